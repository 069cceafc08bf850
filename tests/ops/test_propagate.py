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


def with_a_hub(device, nodes=700):
    """A node beside all others: a GPU cuts its row into pieces."""
    return CSRGraph.from_edges(np.zeros(nodes - 1, int), np.arange(1, nodes), nodes).to(device)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("pooling", ["mean", "max", "min", "last"])
@pytest.mark.parametrize("weighted", [False, True])
def test_mask_equals_the_equation(weighted, pooling, dtype, device):
    """Features masked before, in float64; any numbers, 0 among them."""
    csr = random_undirected(70, 120, device, weighted)
    mask = torch.rand(70, device=device).sub(0.4).clamp(min=0)
    for width in (1, 5, 16, 33, 70):
        x = torch.randn(70, width, device=device).to(dtype)
        before = x.clone()
        for hops in range(5):
            arguments: dict[str, Any] = {"hops": hops, "pooling": pooling, "self_loop_weight": 1.5}
            expected = propagate_reference(csr, mask.double()[:, None] * x.double(), **arguments)
            for op in (propagate, propagate_reference):
                found = op(csr, x, mask=mask, **arguments)
                error = (found.double() - expected).norm() / expected.norm()
                assert found.dtype == dtype and found.shape == x.shape
                assert error < (hops + 2 if dtype.itemsize > 2 else 1) * TOLERANCE[dtype]
        assert torch.equal(x, before) and found.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("pooling", ["mean", "max", "min", "last"])
def test_mask_of_nodes_gives_the_bits_of_masked_features(pooling, dtype, device):
    """A mask that keeps all, those of no mask. Rows that are cut, graphs without a node."""
    for csr in (random_undirected(60, 150, device, weighted=True), with_a_hub(device), EMPTY):
        csr = csr.to(device)
        N = csr.num_rows
        x, mask = torch.randn(N, 21, device=device).to(dtype), torch.rand(N, device=device) > 0.4
        for hops in range(5):
            run = partial(propagate, csr, hops=hops, pooling=pooling, self_loop_weight=2.0)
            assert torch.equal(run(x, mask=mask), run(mask[:, None] * x))
            assert torch.equal(run(x, mask=torch.ones_like(mask)), run(x))


EMPTY = CSRGraph(torch.zeros(1, dtype=torch.long), torch.zeros(0, dtype=torch.int32), 0)


def test_mask_of_any_type(device):
    csr, x = random_undirected(60, 150, device), torch.randn(60, 21, device=device).double()
    mask = torch.rand(60, device=device) > 0.4
    for hops in (0, 2):
        run = partial(propagate, csr, x, hops=hops, pooling="mean", self_loop_weight=1.0)
        every_second = torch.stack([mask, ~mask], dim=1).float()[:, 0]
        for other in (mask.int(), mask.half(), mask.double(), every_second):
            assert torch.equal(run(mask=other), run(mask=mask))


def test_mask_by_hand(device):
    """a - b, b masked: both rows of the normalised matrix are (1/2, 1/2), so X^(1) = (x_a/2, x_a/2)
    = X^(2), and the means are (x_a + x_a/2 + x_a/2)/3 and (0 + x_a/2 + x_a/2)/3."""
    csr = CSRGraph.from_edges(np.array([0]), np.array([1]), 2).to(device)
    x, mask = torch.tensor([[6.0], [9.0]], device=device), torch.tensor([1, 0], device=device)
    for op in (propagate, propagate_reference):
        found = op(csr, x, hops=2, pooling="mean", self_loop_weight=1, mask=mask)
        torch.testing.assert_close(found.cpu(), torch.tensor([[4.0], [2.0]]))


@pytest.mark.parametrize("masked", [False, True])
def test_same_bits_for_any_number_of_threads(masked):
    csr, x = random_undirected(5000, 40_000), torch.randn(5000, 70)
    mask = torch.rand(5000) if masked else None
    run = partial(propagate, csr, x, hops=3, pooling="mean", self_loop_weight=1.0, mask=mask)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(run())
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
        for mask in (None, torch.rand(9, device=device), torch.rand(9, device=device) > 0.5):
            assert torch.autograd.gradcheck(partial(propagate, graph, mask=mask, **arguments), x)
    with pytest.raises(RuntimeError, match="not under max or min pooling"):
        propagate(csr, x, hops=3, pooling="max", self_loop_weight=2.0).sum().backward()


def test_a_mask_has_no_gradient(device):
    csr, x = random_csr(9, 9, 40, device), torch.randn(9, 5, device=device)
    mask = torch.rand(9, device=device, requires_grad=True)
    found = propagate(csr, x, hops=2, pooling="mean", self_loop_weight=1.0, mask=mask)
    with pytest.raises(RuntimeError, match="propagate: only x is differentiable"):
        found.sum().backward()


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
        "mask": torch.rand(9, device=device),
    }


@pytest.mark.parametrize("masked", [False, True])
def test_opcheck(masked, device):
    arguments = operands(device)
    if not masked:
        arguments["mask"] = None
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
        ("mask", lambda t: t[:-1], r"mask must have shape \[9\]"),
        ("mask", lambda t: t > 0.5, "mask must be float64 where x is"),
        ("mask", lambda t: t.repeat_interleave(2)[::2], "mask must be contiguous"),
        ("hops", lambda _: 0, "hops must be positive, found 0"),
        ("pooling", lambda _: "sum", "pooling must be mean, max, min or last, found sum"),
    ],
)
def test_unfit_arguments_are_named(argument, change, told, device):
    arguments = operands(device)
    arguments[argument] = change(arguments[argument])
    with pytest.raises(RuntimeError, match=f"infgrand::propagate: {told}"):
        torch.ops.infgrand.propagate(*arguments.values())
