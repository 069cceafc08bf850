import numpy as np
import pytest
import torch

from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.system.arrays import is_mapped, map_array
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.placement import MAX_STEP, MIN_POOL, MIN_STEP, place

N = 40_000
ROOMY, TIGHT = (Runtime(torch.device("cpu"), Budget(size)) for size in (1 << 50, 1))


@pytest.fixture(params=["memory", "file"])
def inputs(request, tmp_path):
    x = torch.randn(N, 3)
    if request.param == "memory":
        return x
    np.save(tmp_path / "x.npy", x.half().numpy())
    return map_array(tmp_path / "x.npy")


def test_what_fits_is_one_step_of_dense_float32_rows(inputs, tiny_config):
    placement = place(tiny_config.replace("train", inputs="dense"), inputs, 3, ROOMY)
    assert (placement.step, placement.pool) == (None, None)
    x = placement.inputs
    assert isinstance(x, torch.Tensor) and x.dtype == torch.float32 and not is_mapped(x)
    assert torch.equal(x, inputs.float()) and (x is inputs) == (inputs.dtype == torch.float32)


def test_what_does_not_fit_goes_by_steps_and_a_file_by_pools(inputs, tiny_config):
    placement = place(tiny_config.replace("train", inputs="dense"), inputs, 3, TIGHT)
    assert placement.step == MIN_STEP
    assert placement.pool == (MIN_POOL if is_mapped(inputs) else None)
    assert placement.inputs is inputs


@pytest.mark.parametrize(("given", "step"), [(500, 500), (N, None), (N + 1, None)])
def test_a_configured_size_is_taken(given, step, inputs, tiny_config):
    config = tiny_config.replace("student", batch_size=given)
    assert place(config, inputs, 3, ROOMY).step == step
    if is_mapped(inputs):
        assert place(config, inputs, 3, TIGHT).step == (step or min(N, MAX_STEP))


def test_sparse_inputs(tiny_config):
    x = (torch.rand(300, 40) < 0.05).float()
    placement = place(tiny_config.replace("train", inputs="sparse"), x, 3, ROOMY)
    assert isinstance(placement.inputs, SparseMatrix)
    assert torch.equal(placement.inputs @ torch.eye(40), x)
