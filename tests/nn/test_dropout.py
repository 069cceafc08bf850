import pytest
import torch

from infgrand_dgl.nn.dropout import dropout


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 0.999999])
def test_dropout(p, device):
    x = torch.ones(2400, 1001, device=device, requires_grad=True)
    y = dropout(x, p, True)
    kept = y != 0
    n, share = x.numel(), float(kept.double().mean())
    # In 65536ths, and at most 65535 of them.
    dropped = min(round(p * 65536), 65535) / 65536 if device == "cpu" else p
    assert abs(share - (1 - dropped)) <= 6 * (dropped * (1 - dropped) / n) ** 0.5
    deviation = (dropped / (1 - dropped) / n) ** 0.5
    assert float(y.detach().double().mean()) == pytest.approx(1, abs=6 * deviation)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], y)
    # No entry says anything of its neighbours, the four of a draw among them.
    flat = kept.flatten().double()
    for lag in (1, 2, 3, 4, 1001):
        together = float((flat[lag:] * flat[:-lag]).mean())
        assert abs(together - share**2) <= 12 / n**0.5
    assert dropout(x, p, False) is x
