from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.ops import spmm, spmm_reference
from tests.conftest import DEVICES, KERNELS, dense_adjacency, random_csr, random_undirected

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13, torch.bfloat16: 8e-3, torch.float16: 1e-3}


def operands(rows, cols, width, dtype, device):
    acc = torch.promote_types(dtype, torch.float32)
    x = torch.randn(cols, width, device=device).to(dtype)
    return x, torch.rand(rows, device=device, dtype=acc), torch.rand(cols, device=device, dtype=acc)


def relative_error(found, expected):
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 8, 15, 16, 17, 40, 64, 100, 128, 300, 602])
def test_equals_dense_product(width, dtype, device):
    rows, cols = 60, 47
    csr = random_csr(rows, cols, 500, device)
    x, r, c = operands(rows, cols, width, dtype, device)
    u = 1.5
    own = torch.zeros(rows, cols, dtype=torch.float64)
    own[range(cols), range(cols)] = u
    A = dense_adjacency(csr) + own
    expected = r.cpu().double()[:, None] * (A @ (c.cpu().double()[:, None] * x.cpu().double()))
    for op in (spmm, spmm_reference):
        found = op(csr, x, r, c, u)
        assert found.dtype == dtype and found.shape == (rows, width)
        assert relative_error(found.cpu(), expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("width", [1, 3, 8, 40, 300])
def test_values_of_edges(width, dtype, device):
    csr = random_csr(60, 47, 500, device)
    x, r, c = operands(60, 47, width, dtype, device)
    v = torch.randn(500, device=device, dtype=r.dtype)
    expected = spmm_reference(csr, x.double(), r.double(), c.double(), 0.5, values=v.double())
    assert relative_error(spmm(csr, x, r, c, 0.5, values=v), expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("symmetric", [False, True])
def test_weights_of_the_graph_are_its_values(symmetric, dtype, device):
    csr = random_undirected(50, 200, device, weighted=True)
    if not symmetric:
        weights = torch.rand(500, device=device) + 0.1
        csr = replace(random_csr(60, 47, 500, device), weights=weights)
    x, r, c = operands(csr.num_rows, csr.num_cols, 9, dtype, device)
    A = dense_adjacency(csr)
    n = min(A.shape)
    A[range(n), range(n)] += 0.5
    expected = r.cpu().double()[:, None] * (A @ (c.cpu().double()[:, None] * x.cpu().double()))
    for op in (spmm, spmm_reference):
        assert relative_error(op(csr, x, r, c, 0.5).cpu(), expected) < TOLERANCE[dtype]
    if dtype == torch.float64:
        assert torch.autograd.gradcheck(lambda x: spmm(csr, x, r, c, 0.5), x.requires_grad_())
        found = torch.autograd.grad(spmm(csr, x).square().sum(), x)[0]
        slope = 2 * dense_adjacency(csr).T @ (dense_adjacency(csr) @ x.detach().cpu())
        torch.testing.assert_close(found.cpu(), slope)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_weights_of_1_give_the_same_bits(dtype, device):
    csr = random_csr(60, 47, 900, device)
    ones = replace(csr, weights=torch.ones(900, device=device))
    x, r, c = operands(60, 47, 21, dtype, device)
    assert torch.equal(spmm(ones, x, r, c, 0.5), spmm(csr, x, r, c, 0.5))


def test_an_edge_that_weighs_k_is_k_edges(device):
    csr = random_csr(40, 30, 200, device)
    counts = torch.randint(1, 5, (200,), device=device)
    heavy = replace(csr, weights=counts.float())
    many = CSRGraph(
        torch.cat([counts.new_zeros(1), counts.cumsum(0)])[csr.indptr],
        csr.indices.repeat_interleave(counts),
        30,
    )
    x = torch.randn(30, 7, dtype=torch.float64, device=device)
    torch.testing.assert_close(spmm(heavy, x), spmm(many, x))
    assert torch.equal(heavy.row_sums, many.row_sums.double())


def test_values_go_before_weights(device):
    csr = random_undirected(30, 90, device, weighted=True)
    v, x = torch.rand(csr.num_edges, device=device), torch.randn(30, 4, device=device)
    plain = replace(csr, weights=None)
    assert torch.equal(spmm(csr, x, values=v), spmm(plain, x, values=v))


def test_without_scales_or_self_term(device):
    csr = random_csr(30, 50, 200, device)
    x = torch.randn(50, 9, device=device)
    expected = dense_adjacency(csr) @ x.cpu().double()
    assert relative_error(spmm(csr, x).cpu(), expected) < 1e-6


def test_empty_rows_empty_graph_and_long_rows(device):
    for lengths in ([0, 0, 0], [0, 100_000, 0, 3], [512, 513, 768, 769, 0, 5000], []):
        indptr = torch.tensor([0, *torch.tensor(lengths, dtype=torch.long).cumsum(0).tolist()])
        indices = torch.randint(20, (int(indptr[-1]),), dtype=torch.int32)
        csr = CSRGraph(indptr, indices, 20).to(device)
        x = torch.randn(20, 33, device=device)
        found = spmm(csr, x)
        assert found.shape == (len(lengths), 33)
        expected = spmm_reference(csr, x.double())
        assert (found - expected).norm() <= 1e-5 * expected.norm()
        assert (found[[k for k, n in enumerate(lengths) if n == 0]] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_row_of_a_million_neighbours(dtype, device):
    """100 features of 16 bits are read by eight bytes, of 32 bits by sixteen."""
    lengths = torch.tensor([3, 1_000_000, 0, 700])
    indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    indices = torch.randint(50, (int(indptr[-1]),), dtype=torch.int32)
    csr = CSRGraph(indptr, indices, 50).to(device)
    x, r, c = operands(4, 50, 100, dtype, device)
    r /= 1000  # float16 ends at 65504
    expected = spmm_reference(csr, x.double(), r.double(), c.double(), 0.5)
    assert relative_error(spmm(csr, x, r, c, 0.5), expected) < TOLERANCE[dtype]


@pytest.mark.skipif("cuda" not in {KERNELS, *DEVICES}, reason="of the CUDA kernels")
def test_schedules_out_of_range_read_nothing_outside():
    device = DEVICES[-1]
    csr = random_csr(6, 40, 4000, device)
    x = torch.randn(40, 5, device=device)
    for low, high in ((-(1 << 40), 1 << 40), (-9, 5000), (0, 6)):
        schedule = torch.randint(low, high, (13, 2)).to(device)
        found = torch.ops.infgrand.spmm(
            csr.indptr, csr.indices, x, None, None, 0.0, schedule=schedule
        )
        assert found.shape == (6, 5)


def test_more_rows_than_columns_have_no_self_term_there(device):
    csr = random_csr(12, 5, 30, device)
    x = torch.randn(5, 4, device=device, dtype=torch.float64)
    added = spmm(csr, x, self_weight=2.0) - spmm(csr, x)
    torch.testing.assert_close(added[:5], 2 * x)
    assert (added[5:] == 0).all()


def test_same_bits_for_any_number_of_threads():
    csr = random_csr(5000, 5000, 80_000)
    x = torch.randn(5000, 70)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(spmm(csr, x))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results)


def test_gradient(device):
    csr = random_csr(13, 9, 40, device)
    x, r, c = operands(13, 9, 5, torch.float64, device)
    assert torch.autograd.gradcheck(lambda x: spmm(csr, x, r, c, 0.7), x.requires_grad_())
    first = torch.autograd.grad(spmm(csr, x, r, c, 0.7).square().sum(), x)[0]
    second = torch.autograd.grad(spmm_reference(csr, x, r, c, 0.7).square().sum(), x)[0]
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("symmetric", [False, True])
def test_gradient_with_values(symmetric, device):
    """The values follow their edges into the transposed CSR, whatever the order of its rows."""
    if symmetric:
        csr = random_undirected(12, 40, device)
        shuffled = torch.rand(csr.num_edges, device=device) + torch.repeat_interleave(
            csr.row_lengths
        )
        csr = CSRGraph(csr.indptr, csr.indices[shuffled.argsort()], 12, symmetric=True)
    else:
        csr = random_csr(12, 12, 40, device)
    x, r, c = operands(12, 12, 5, torch.float64, device)
    v = torch.randn(csr.num_edges, device=device, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: spmm(csr, x, r, c, 0.7, values=v), x.requires_grad_())


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_opcheck(dtype, device):
    csr = random_csr(13, 9, 40, device)
    x, r, c = operands(13, 9, 5, dtype, device)
    back, v = csr.transposed, torch.randn(40, device=device, dtype=r.dtype)
    arguments = (csr.indptr, csr.indices, x.requires_grad_(), r, c, 0.5)
    for values in ((None, None), (v, v[csr.transposition])):
        transposed = back.indptr, back.indices, values[1], back.schedule
        torch.library.opcheck(
            torch.ops.infgrand.spmm.default, (*arguments, values[0], csr.schedule, *transposed)
        )
    torch.library.opcheck(
        torch.ops.infgrand.spmm.default, (csr.indptr, csr.indices, x.detach(), None, None, 0.0)
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("argument", "change", "told"),
    [
        ("indptr", lambda t: t.int(), "indptr must be int64"),
        ("indptr", lambda t: t[None], "indptr must have shape"),
        ("indptr", lambda t: t[:0], "indptr must have shape"),
        ("indptr", lambda t: t.repeat_interleave(2)[::2], "indptr must be contiguous"),
        ("indices", lambda t: t.long(), "indices must be int32"),
        ("indices", lambda t: t[None], "indices must have one dimension"),
        ("indices", lambda t: t.repeat_interleave(2)[::2], "indices must be contiguous"),
        ("x", lambda t: t.long(), "x must be float32"),
        ("x", lambda t: t[0], "x must have two dimensions"),
        ("x", lambda t: t.T.contiguous().T, "x must be contiguous"),
        (
            "x",
            lambda t: t.new_empty(2**31 + 1, 0),
            r"x must have at most 2\^31 rows, found 2147483649",
        ),
        ("x", lambda t: t.new_empty(0, 2**31), r"x must have fewer than 2\^31 features"),
        ("row_scale", lambda t: t[:-1], "row_scale must have shape"),
        ("row_scale", lambda t: t.double(), "row_scale must be float64 where x is"),
        ("col_scale", lambda t: t[:-1], "col_scale must have shape"),
        ("col_scale", lambda t: t.repeat_interleave(2)[::2], "col_scale must be contiguous"),
        ("values", lambda t: t[:-1], r"values must have shape \[40\]"),
        ("schedule", lambda t: t[:, :1], r"schedule must have shape \[P \+ 13, 2\]"),
        ("schedule", lambda t: t[:3], r"schedule must have shape \[P \+ 13, 2\]"),
        ("schedule", lambda t: t.int(), "schedule must be int64"),
    ],
)
def test_unfit_arguments_are_named(argument, change, told, device):
    csr = random_csr(13, 9, 40, device)
    x, r, c = operands(13, 9, 5, torch.float32, device)
    arguments = {
        "indptr": csr.indptr,
        "indices": csr.indices,
        "x": x,
        "row_scale": r,
        "col_scale": c,
        "self_weight": 0.0,
        "values": torch.rand(40, device=device),
        "schedule": torch.zeros(15, 2, dtype=torch.long, device=device),
    }
    if argument == "schedule" and "cuda" not in (KERNELS, device):
        pytest.skip("CUDA's kernels alone read it")
    arguments[argument] = change(arguments[argument])
    with pytest.raises(RuntimeError, match=f"infgrand::spmm: {told}"):
        torch.ops.infgrand.spmm(*arguments.values())


@pytest.mark.parametrize(
    ("indptr", "indices", "told"),
    [
        ([0, 1, 3], [0, 1, 5], r"indices must lie in \[0, 5\)"),
        ([0, 1, 3], [0, -1, 4], r"indices must lie in \[0, 5\)"),
        ([0, 1, 2], [0, 1, 4], "indptr must run from 0"),
        ([1, 1, 3], [0, 1, 4], "indptr must run from 0"),
        ([0, 4, 3], [0, 1, 4], "indptr must not decrease"),
    ],
)
def test_broken_structure_is_an_error_not_a_crash(indptr, indices, told):
    pointers, columns = torch.tensor(indptr), torch.tensor(indices, dtype=torch.int32)
    with pytest.raises(RuntimeError, match=told) if KERNELS == "cpu" else nullcontext():
        torch.ops.infgrand.spmm(pointers, columns, torch.randn(5, 3), None, None, 0.0)


@pytest.mark.parametrize("device", DEVICES if KERNELS == "cuda" else DEVICES[1:])
def test_missing_column_makes_nan_on_the_gpu(device):
    """Asking the GPU for an error would cost every product a synchronisation."""
    pointers = torch.tensor([0, 1, 3], device=device)
    columns = torch.tensor([4, 1, 5], dtype=torch.int32, device=device)
    x = torch.randn(5, 3, device=device)
    found = torch.ops.infgrand.spmm(pointers, columns, x, None, None, 0.0)
    assert torch.equal(found[0], x[4]) and found[1].isnan().all()


def test_backward_without_transpose_and_scale_gradients_are_errors():
    csr = random_csr(13, 9, 40)
    x, r, c = operands(13, 9, 5, torch.float32, "cpu")
    out = torch.ops.infgrand.spmm(csr.indptr, csr.indices, x.requires_grad_(), r, c, 0.0)
    with pytest.raises(RuntimeError, match="needs indptr_t, indices_t and values_t"):
        out.sum().backward()
    with pytest.raises(RuntimeError, match="not differentiable"):
        spmm(csr, x, r.requires_grad_(), c).sum().backward()
