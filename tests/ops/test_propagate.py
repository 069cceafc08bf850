from typing import Any

import pytest
import torch

from infgrand_dgl.ops import propagate, propagate_reference
from tests.conftest import random_csr, random_undirected

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 8e-3, torch.float16: 1e-3}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("pooling", ["mean", "max", "min", None])
@pytest.mark.parametrize("width", [1, 3, 7, 16, 33, 130])
def test_equals_reference(width, pooling, dtype, device):
    """Widths whose vectors overlap, and more than one tile; a directed graph is as good."""
    for csr in (random_undirected(60, 150, device), random_csr(60, 60, 300, device)):
        x = torch.randn(60, width, device=device).to(dtype)
        for hops in (0, 1, 2, 3, 6):
            arguments: dict[str, Any] = {"hops": hops, "pooling": pooling, "self_loop_weight": 1.5}
            found = propagate(csr, x, **arguments)
            expected = propagate_reference(csr, x.double(), **arguments)
            assert found.dtype == dtype
            error = (found.double() - expected).norm() / expected.norm()
            assert error < (hops + 1 if dtype.itemsize > 2 else 1) * TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pooling", ["mean", "max", "min", None])
def test_features_of_16_bits_are_rounded_once(pooling, dtype, device):
    """Not hop by hop: what fits, and where, must not show in the numbers."""
    csr, x = random_undirected(60, 150, device), torch.randn(60, 21, device=device).to(dtype)
    before = x.clone()
    for hops in (1, 2, 3, 4):
        arguments: dict[str, Any] = {"hops": hops, "pooling": pooling, "self_loop_weight": 2.0}
        expected = propagate(csr, x.float(), **arguments).to(dtype)
        assert torch.equal(propagate(csr, x, **arguments), expected)
        assert torch.equal(x, before)


def test_same_bits_for_any_number_of_threads():
    csr, x = random_undirected(5000, 40_000), torch.randn(5000, 70)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(propagate(csr, x, hops=3, pooling="mean", self_loop_weight=1.0))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results)


@pytest.mark.parametrize("pooling", ["mean", None])
def test_gradient(pooling, device):
    csr = random_csr(9, 9, 40, device)
    x = torch.randn(9, 5, dtype=torch.float64, device=device, requires_grad=True)
    arguments: dict[str, Any] = {"hops": 3, "pooling": pooling, "self_loop_weight": 2.0}
    assert torch.autograd.gradcheck(lambda x: propagate(csr, x, **arguments), x)
    with pytest.raises(RuntimeError, match="not under max or min pooling"):
        propagate(csr, x, hops=3, pooling="max", self_loop_weight=2.0).sum().backward()


def operands(device):
    csr = random_csr(9, 9, 40, device)
    x, scale = torch.randn(9, 5, device=device), torch.rand(9, device=device)
    return {
        "indptr": csr.indptr,
        "indices": csr.indices,
        "x": x,
        "scale": scale,
        "self_weight": 0.0,
        "hops": 2,
        "pooling": "mean",
    }


def test_opcheck(device):
    arguments = operands(device)
    torch.library.opcheck(torch.ops.infgrand.propagate.default, tuple(arguments.values()))


@pytest.mark.parametrize(
    ("argument", "change", "told"),
    [
        ("indptr", lambda t: t.int(), "indptr must be int64"),
        ("indptr", lambda t: t[:-1], "x must have a row for each of the 8 rows of indptr, found 9"),
        ("indices", lambda t: t.long(), "indices must be int32"),
        ("x", lambda t: t.T.contiguous().T, "x must be contiguous"),
        (
            "x",
            lambda t: t.new_empty(2**31 + 1, 0),
            r"x must have at most 2\^31 rows, found 2147483649",
        ),
        ("x", lambda t: t.new_empty(0, 2**31), r"x must have fewer than 2\^31 features"),
        ("scale", lambda t: t[:-1], r"scale must have shape \[9\]"),
        ("scale", lambda t: t.double(), "scale must be float64 where x is"),
        ("hops", lambda _: 0, "hops must be positive, found 0"),
        ("pooling", lambda _: "sum", "pooling must be mean, max, min or last, found sum"),
    ],
)
def test_unfit_arguments_are_named(argument, change, told, device):
    arguments = operands(device)
    arguments[argument] = change(arguments[argument])
    with pytest.raises(RuntimeError, match=f"infgrand::propagate: {told}"):
        torch.ops.infgrand.propagate(*arguments.values())
