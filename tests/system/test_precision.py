from typing import get_args

import pytest
import torch

from infgrand_dgl.config.fields import Precision
from infgrand_dgl.system.precision import forward_in, products_in


@pytest.mark.parametrize("precision", get_args(Precision))
def test_precision_of_products(precision, device):
    """Logits are float32 whatever the products are; tf32 is a GPU's."""
    device = torch.device(device)
    model, x = torch.nn.Linear(64, 5, device=device), torch.randn(9, 64, device=device)
    with products_in(precision, device):
        logits = forward_in(precision, model, device)(x)
    assert logits.dtype == torch.float32
    exact = x.double() @ model.weight.double().T + model.bias.double()
    error = float((logits - exact).detach().abs().max())
    assert error < {"float32": 1e-5, "tf32": 1e-2, "bfloat16": 0.2}[precision]
    if device.type == "cpu":
        assert (error > 1e-4) == (precision == "bfloat16")
    (gradient,) = torch.autograd.grad(logits.sum(), [model.weight])
    assert gradient.dtype == torch.float32


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("device_type", ["cpu", "cuda"])
def test_tf32_is_set_for_a_gpu_and_put_back(precision, device_type):
    before = torch.get_float32_matmul_precision()
    chosen = precision == "tf32" and device_type == "cuda"
    with pytest.raises(ZeroDivisionError), products_in(precision, torch.device(device_type)):
        assert torch.get_float32_matmul_precision() == ("high" if chosen else before)
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == before
