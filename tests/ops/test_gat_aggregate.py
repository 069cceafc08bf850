from contextlib import nullcontext
from typing import Any

import pytest
import torch

from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.ops import gat_aggregate, gat_aggregate_reference
from infgrand_dgl.ops.gat_aggregate import dropout_mask
from tests.conftest import KERNELS, random_csr

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-14}


def operands(csr: CSRGraph, heads: int, features: int, dtype: torch.dtype = torch.float64):
    device, (N, M) = csr.indptr.device, (csr.num_rows, csr.num_cols)
    return [
        torch.randn(*shape, dtype=dtype, device=device)
        for shape in ((M, heads, features), (M, heads), (N, heads))
    ]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize(
    ("heads", "features"),
    [
        *[(1, 1), (1, 7), (1, 16), (1, 47), (1, 130), (2, 6), (2, 16), (2, 260), (3, 5), (3, 40)],
        *[(4, 64), (5, 12), (7, 40), (8, 16), (8, 33), (40, 1), (70, 4)],
    ],
)
def test_equals_reference(heads, features, dropout, dtype, device):
    csr = random_csr(60, 47, 500, device)
    given = operands(csr, heads, features, dtype)
    options: dict[str, Any] = {"slope": 0.2, "dropout": dropout, "seed": -12345}
    found = gat_aggregate(csr, *given, **options)
    expected = gat_aggregate_reference(csr, *(t.double() for t in given), **options)
    assert found.dtype == dtype and found.shape == (60, heads, features)
    assert (found - expected).norm() <= TOLERANCE[dtype] * expected.norm()
    assert (found[csr.row_lengths == 0] == 0).all()


def test_long_rows_and_large_scores(device):
    """A softmax over 5000 neighbours, with scores that overflow exp."""
    indptr = torch.tensor([0, 0, 5000, 5003])
    indices = torch.randint(20, (5003,), dtype=torch.int32)
    csr = CSRGraph(indptr, indices, 20).to(device)
    x, source, target = operands(csr, 2, 9, torch.float32)
    source[4] = -torch.inf  # no weight
    given = (x, 500 * source, 500 * target)
    found = gat_aggregate(csr, *given)
    expected = gat_aggregate_reference(csr, *(t.double() for t in given))
    assert (found - expected).norm() <= 1e-4 * expected.norm()


def with_long_rows(device: str) -> CSRGraph:
    """Rows about the lengths at which kernels split them, among shorter and empty ones; columns
    likewise. More rows than columns.

    The long columns are of many rows: hundreds of equal addends, as of one neighbour in one row,
    round to one side in float32, in the equation too.
    """
    lengths = torch.randint(30, 80, (70,))
    lengths[[0, 1, 3, 4, 20, 50, 69]] = torch.tensor([1, 7, 512, 513, 0, 1500, 770])
    indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    indices = torch.randint(40, (int(indptr[-1]),), dtype=torch.int32)
    chosen = torch.rand(len(indices)).masked_fill(
        torch.repeat_interleave(lengths > 500, lengths), 1
    )
    indices[chosen < 0.45] = 39
    indices[chosen < 0.25] = 7
    return CSRGraph(indptr, indices, 40).to(device)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("heads", "features"), [(1, 7), (1, 47), (1, 130), (2, 40), (4, 64), (8, 16), (40, 1)]
)
def test_rows_in_pieces(heads, features, dtype, device):
    """Forward and backward, over rows and columns longer than a piece; the same bits again."""
    csr = with_long_rows(device)
    assert len(csr.pieces) > 10 and len(csr.transposed.pieces) > 6
    exact = [t.requires_grad_() for t in operands(csr, heads, features)]
    upstream = torch.randn(70, heads, features, dtype=torch.float64, device=device)
    options: dict[str, Any] = {"dropout": 0.3, "seed": 4}
    y = gat_aggregate_reference(csr, *exact, **options)
    expected = [y, *torch.autograd.grad(y, exact, upstream)]
    given = [t.detach().to(dtype).requires_grad_() for t in exact]
    results = []
    for _ in range(2):
        y = gat_aggregate(csr, *given, **options)
        results.append([y, *torch.autograd.grad(y, given, upstream.to(dtype))])
    for found, again, reference in zip(*results, expected, strict=True):
        assert torch.equal(found, again)
        assert (found - reference).norm() <= 10 * TOLERANCE[dtype] * reference.norm()


def test_rows_that_are_not_aligned(device):
    """Operands that begin anywhere in memory."""
    csr = random_csr(30, 20, 200, device)
    for heads, features in ((2, 16), (1, 40)):
        given = operands(csr, heads, features)
        upstream = torch.randn(30, heads, features, dtype=torch.float64, device=device)
        y = gat_aggregate_reference(csr, *(t.requires_grad_() for t in given))
        expected = [y, *torch.autograd.grad(y, given, upstream)]
        for begin in (1, 2):
            *single, grad = (
                torch.cat([t.new_zeros(begin), t.detach().flatten()]).float()[begin:].view_as(t)
                for t in (*given, upstream)
            )
            y = gat_aggregate(csr, *(t.requires_grad_() for t in single))
            found = [y, *torch.autograd.grad(y, single, grad)]
            for first, second in zip(found, expected, strict=True):
                assert (first - second).norm() <= 2e-5 * second.norm()


def test_broken_structure_is_no_crash(device):
    """An error on the CPU; on a GPU, which cannot look first, NaN or a wrong result."""
    csr = with_long_rows(device)
    x, source, target = operands(csr, 2, 9, torch.float32)
    options = (0.2, 0.0, 0)
    back = csr.transposed
    whole, normalizer = torch.ops.infgrand.gat_aggregate(
        csr.indptr, csr.indices, x, source, target, *options, schedule=csr.schedule
    )
    constants = (source, target, normalizer, (x.new_ones(70, 2, 9) * whole).sum(2), *options)
    backward = torch.ops.infgrand.gat_aggregate_backward
    on_cpu = device == KERNELS == "cpu"
    for edge, missing in ((0, -1), (int(csr.indptr[50]) + 700, 40)):
        indices = csr.indices.clone()
        indices[edge] = missing
        row = int((csr.indptr <= edge).sum()) - 1
        with pytest.raises(RuntimeError, match="indices") if on_cpu else nullcontext():
            found = torch.ops.infgrand.gat_aggregate(
                csr.indptr, indices, x, source, target, *options, schedule=csr.schedule
            )
            d_target, _ = backward(
                csr.indptr, indices, whole, x, *constants, False, schedule=csr.schedule
            )
            for t, expected in zip(found, (whole, normalizer), strict=True):
                assert t[row].isnan().all()
                others = torch.arange(70, device=device) != row
                assert torch.equal(t[others], expected[others])
            assert d_target[row].isnan().all() and d_target.isnan().sum() == 2
    indices = back.indices.clone()
    indices[-1] = 70
    column = int((back.indptr < len(indices)).sum()) - 1
    with pytest.raises(RuntimeError, match="indices") if on_cpu else nullcontext():
        found = backward(back.indptr, indices, x, whole, *constants, True, schedule=back.schedule)
        for t in found:
            assert t[column].isnan().all() and t.isnan().sum() == t[column].numel()
    low, high = -(1 << 62), 1 << 62
    for lines in ([[low, high], [high, low]], [[50, high], [70, 0], [-1, -1]]):
        broken = torch.tensor(lines, device=device).repeat(50, 1)
        torch.ops.infgrand.gat_aggregate(
            csr.indptr, csr.indices, x, source, target, *options, schedule=broken
        )
        backward(back.indptr, back.indices, x, whole, *constants, True, schedule=broken)
    with pytest.raises(RuntimeError, match="indptr") if on_cpu else nullcontext():
        torch.ops.infgrand.gat_aggregate(
            csr.indptr.flip(0), csr.indices, x, source, target, *options, schedule=csr.schedule
        )


def test_no_features_and_no_rows(device):
    csr = random_csr(5, 4, 9, device)
    for heads, features in ((2, 0), (0, 3)):
        given = [t.requires_grad_() for t in operands(csr, heads, features)]
        y = gat_aggregate(csr, *given)
        assert y.shape == (5, heads, features)
        for t in torch.autograd.grad(y.sum(), given):
            assert (t == 0).all()
    none = CSRGraph(torch.zeros(1, dtype=torch.long), torch.empty(0, dtype=torch.int32), 4)
    assert gat_aggregate(none.to(device), *operands(none.to(device), 2, 3)).shape == (0, 2, 3)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradient(dropout, device):
    csr = random_csr(7, 6, 30, device)
    given = [t.requires_grad_() for t in operands(csr, 2, 3)]
    options: dict[str, Any] = {"slope": 0.1, "dropout": dropout, "seed": 99}
    assert torch.autograd.gradcheck(lambda *t: gat_aggregate(csr, *t, **options), given)
    upstream = torch.randn(7, 2, 3, dtype=torch.float64, device=device)
    ours = torch.autograd.grad(gat_aggregate(csr, *given, **options), given, upstream)
    reference = torch.autograd.grad(
        gat_aggregate_reference(csr, *given, **options), given, upstream
    )
    for first, second in zip(ours, reference, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("heads", [1, 4])
def test_gradient_in_float32(heads, device):
    csr = random_csr(200, 200, 3000, device)
    given = [t.requires_grad_() for t in operands(csr, heads, 40)]
    upstream = torch.randn(200, heads, 40, dtype=torch.float64, device=device)
    expected = torch.autograd.grad(gat_aggregate_reference(csr, *given), given, upstream)
    single = [t.detach().float().requires_grad_() for t in given]
    found = torch.autograd.grad(gat_aggregate(csr, *single), single, upstream.float())
    for first, second in zip(found, expected, strict=True):
        assert (first - second).norm() <= 2e-5 * second.norm()


def test_mask_is_a_fair_and_independent_draw():
    i, j = torch.randint(100_000, (2, 200_000)).unbind()
    masks = dropout_mask(i, j, 2, 0.3, seed=5)
    assert set(masks.unique().tolist()) == {0.0, 1 / 0.7}
    kept = (masks > 0).double()
    assert (kept.mean(dim=0) - 0.7).abs().max() < 0.005  # five standard deviations
    other = (dropout_mask(i, j, 2, 0.3, seed=6) > 0).double()
    for a, b in ((kept[:, 0], kept[:, 1]), (kept[:, 0], other[:, 0])):
        assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.012


def test_same_bits_for_any_number_of_threads():
    csr = random_csr(3000, 3000, 60_000)
    given = [t.requires_grad_() for t in operands(csr, 2, 20, torch.float32)]
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            y = gat_aggregate(csr, *given, dropout=0.2, seed=1)
            results.append([y.detach(), *torch.autograd.grad(y.square().sum(), given)])
    finally:
        torch.set_num_threads(before)
    assert all(
        torch.equal(a, b) for other in results for a, b in zip(results[0], other, strict=True)
    )


def arguments_of(csr: CSRGraph) -> dict[str, Any]:
    x, source, target = operands(csr, 2, 3, torch.float32)
    back = csr.transposed
    return {
        "indptr": csr.indptr,
        "indices": csr.indices,
        "x": x,
        "source": source,
        "target": target,
        "slope": 0.2,
        "dropout": 0.5,
        "seed": 3,
        "schedule": csr.schedule,
        "indptr_t": back.indptr,
        "indices_t": back.indices,
        "schedule_t": back.schedule,
    }


def test_opcheck(device):
    arguments = arguments_of(random_csr(7, 6, 30, device))
    for name in ("x", "source", "target"):
        arguments[name].requires_grad_()
    torch.library.opcheck(torch.ops.infgrand.gat_aggregate.default, tuple(arguments.values()))


@pytest.mark.parametrize(
    ("argument", "change", "told"),
    [
        ("indptr", lambda t: t.int(), "indptr must be int64"),
        ("indices", lambda t: t.long(), "indices must be int32"),
        ("x", lambda t: t[0], "x must have three dimensions, found 2"),
        ("x", lambda t: t.half(), "x must be float32 or float64"),
        ("x", lambda t: t.mT.contiguous().mT, "x must be contiguous"),
        ("x", lambda t: t.new_empty(2**31 + 1, 0, 3), r"x must have at most 2\^31 rows"),
        ("x", lambda t: t.new_empty(0, 2**16, 2**15), r"x must have fewer than 2\^31 features"),
        ("source", lambda t: t[:-1], r"source must have shape \[6, 2\]"),
        ("source", lambda t: t.double(), "source must have the dtype of x"),
        ("target", lambda t: t[:, :1].contiguous(), r"target must have shape \[7, 2\]"),
        ("dropout", lambda _: 1.0, r"dropout must lie in \[0, 1\)"),
    ],
)
def test_unfit_arguments_are_named(argument, change, told, device):
    arguments = arguments_of(random_csr(7, 6, 30, device))
    arguments[argument] = change(arguments[argument])
    with pytest.raises(RuntimeError, match=f"infgrand::gat_aggregate: {told}"):
        torch.ops.infgrand.gat_aggregate(*arguments.values())


@pytest.mark.parametrize("argument", ["own", "other", "source", "target", "normalizer", "delta"])
def test_unfit_arguments_of_the_backward_pass_are_named(argument, device):
    csr = random_csr(7, 6, 30, device)
    x, source, target = operands(csr, 2, 3, torch.float32)
    arguments = {
        "own": torch.randn(7, 2, 3, device=device),
        "other": x,
        "source": source,
        "target": target,
        "normalizer": torch.zeros(7, 2, device=device),
        "delta": torch.zeros(7, 2, device=device),
    }
    backward = torch.ops.infgrand.gat_aggregate_backward
    backward(csr.indptr, csr.indices, *arguments.values(), 0.2, 0.0, 0, False)
    arguments[argument] = arguments[argument].double()
    told = f"infgrand::gat_aggregate_backward: (own|{argument})"
    with pytest.raises(RuntimeError, match=told):
        backward(csr.indptr, csr.indices, *arguments.values(), 0.2, 0.0, 0, False)


def test_backward_without_transpose_is_an_error():
    csr = random_csr(7, 6, 30)
    x, source, target = operands(csr, 2, 3)
    y, _ = torch.ops.infgrand.gat_aggregate(
        csr.indptr, csr.indices, x.requires_grad_(), source, target, 0.2, 0.0, 0
    )
    with pytest.raises(RuntimeError, match="needs indptr_t and indices_t"):
        y.sum().backward()
