from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.ops import propagate, propagate_reference
from tests.conftest import dense_adjacency, random_csr, random_undirected

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 8e-3, torch.float16: 1e-3}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("pooling", ["mean", "max", "min", "last"])
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


def dense_operator(csr, w):
    """Ã as the equation reads, float64."""
    A = dense_adjacency(csr) + (w - 1) * torch.eye(csr.num_rows, dtype=torch.float64)
    scale = A.sum(1).rsqrt()
    return scale[:, None] * A * scale


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("width", [1, 7, 33])
@pytest.mark.parametrize("w", [0.5, 1.0, 2.0])
def test_weighted_equals_the_equation(w, width, dtype, device):
    csr = random_undirected(60, 150, device, weighted=True)
    assert csr.weights is not None
    x = torch.randn(60, width, device=device).to(dtype)
    steps = [x.cpu().double()]
    for _ in range(3):
        steps.append(dense_operator(csr, w) @ steps[-1])
    pools = {
        "mean": torch.stack(steps).mean(0),
        "max": torch.stack(steps).amax(0),
        "min": torch.stack(steps).amin(0),
        "last": steps[-1],
    }
    for pooling, expected in pools.items():
        for op in (propagate, propagate_reference):
            found = op(csr, x, hops=3, pooling=pooling, self_loop_weight=w).cpu()  # type: ignore[arg-type]
            error = (found.double() - expected).norm() / expected.norm()
            assert (
                found.dtype == dtype and error < (4 if dtype.itemsize > 2 else 1) * TOLERANCE[dtype]
            )


def test_weighted_by_hand(device):
    """Two nodes, an edge that weighs 3: each has 1 + 3."""
    csr = CSRGraph.from_edges(np.array([0]), np.array([1]), 3, np.array([3.0])).to(device)
    x = torch.tensor([[8.0], [0.0], [5.0]], device=device)
    found = propagate(csr, x, hops=1, pooling="last", self_loop_weight=1.0)
    assert found.flatten().tolist() == pytest.approx([2, 6, 5])
    found = propagate(csr, x, hops=1, pooling="last", self_loop_weight=13.0)
    assert found.flatten().tolist() == pytest.approx([6.5, 1.5, 5])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_weights_of_1_give_the_same_bits(dtype, device):
    csr = random_undirected(60, 150, device)
    ones = replace(csr, weights=torch.ones(csr.num_edges, device=device))
    x = torch.randn(60, 21, device=device).to(dtype)
    arguments: dict[str, Any] = {"hops": 3, "pooling": "mean", "self_loop_weight": 1.5}
    assert torch.equal(propagate(ones, x, **arguments), propagate(csr, x, **arguments))


def test_weights_and_self_loops_may_be_scaled_together(device):
    r"""$\tilde A$ is the same for $cA$ and $cw$."""
    source, target = np.random.randint(0, 40, size=(2, 200))
    weights, x = np.random.uniform(0.5, 2, 200), torch.randn(45, 6, device=device).double()
    a = CSRGraph.from_edges(source, target, 45, weights).to(device)
    b = CSRGraph.from_edges(source, target, 45, 8 * weights).to(device)
    arguments: dict[str, Any] = {"hops": 2, "pooling": "mean"}
    torch.testing.assert_close(
        propagate(a, x, self_loop_weight=0.5, **arguments),
        propagate(b, x, self_loop_weight=4.0, **arguments),
    )


def test_an_edge_of_next_to_no_weight_is_next_to_none(device):
    pairs = np.random.permutation(np.stack(np.triu_indices(40, 1), axis=1))[:200]
    weights = np.random.uniform(0.5, 2, 200) * np.where(np.arange(200) < 150, 1, 1e-12)
    x = torch.randn(40, 6, device=device).double()
    few, every = (
        CSRGraph.from_edges(pairs[:count, 0], pairs[:count, 1], 40, weights[:count]).to(device)
        for count in (150, 200)
    )
    arguments: dict[str, Any] = {"hops": 2, "pooling": "mean", "self_loop_weight": 1.0}
    found, expected = (propagate(csr, x, **arguments) for csr in (every, few))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pooling", ["mean", "max", "min", "last"])
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


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_gradient(pooling, device):
    csr = random_csr(9, 9, 40, device)
    x = torch.randn(9, 5, dtype=torch.float64, device=device, requires_grad=True)
    arguments: dict[str, Any] = {"hops": 3, "pooling": pooling, "self_loop_weight": 2.0}
    weighted = replace(csr, weights=torch.rand(40, device=device) + 0.1)
    for graph in (csr, weighted, random_undirected(9, 20, device, weighted=True)):
        assert torch.autograd.gradcheck(partial(propagate, graph, **arguments), x)
    with pytest.raises(RuntimeError, match="not under max or min pooling"):
        propagate(csr, x, hops=3, pooling="max", self_loop_weight=2.0).sum().backward()


def operands(device):
    csr = random_csr(9, 9, 40, device)
    x, scale = torch.randn(9, 5, device=device), torch.rand(9, device=device)
    csr = replace(csr, weights=torch.rand(40, device=device))
    return {
        "indptr": csr.indptr,
        "indices": csr.indices,
        "x": x,
        "scale": scale,
        "self_weight": 0.0,
        "hops": 2,
        "pooling": "mean",
        "values": csr.weights,
    }


def test_opcheck(device):
    arguments = operands(device)
    torch.library.opcheck(torch.ops.infgrand.propagate.default, tuple(arguments.values()))
    csr = replace(random_csr(9, 9, 40, device), weights=arguments["values"])
    arguments["x"].requires_grad_()
    back = csr.transposed
    transposed = back.indptr, back.indices, back.weights, back.schedule
    torch.library.opcheck(
        torch.ops.infgrand.propagate.default,
        (csr.indptr, csr.indices, *list(arguments.values())[2:], csr.schedule, *transposed),
    )


def test_backward_needs_the_values_in_the_order_of_the_transposed_graph(device):
    arguments = operands(device)
    csr = random_csr(9, 9, 40, device)
    arguments["x"].requires_grad_()
    out = torch.ops.infgrand.propagate(
        *arguments.values(), indptr_t=csr.indptr, indices_t=csr.indices
    )
    with pytest.raises(RuntimeError, match="needs indptr_t, indices_t and values_t"):
        out.sum().backward()


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
        ("values", lambda t: t[:-1], r"values must have shape \[40\]"),
        ("values", lambda t: t.double(), "values must be float64 where x is"),
        ("hops", lambda _: 0, "hops must be positive, found 0"),
        ("pooling", lambda _: "sum", "pooling must be mean, max, min or last, found sum"),
    ],
)
def test_unfit_arguments_are_named(argument, change, told, device):
    arguments = operands(device)
    arguments[argument] = change(arguments[argument])
    with pytest.raises(RuntimeError, match=f"infgrand::propagate: {told}"):
        torch.ops.infgrand.propagate(*arguments.values())
