import pytest
import torch

from infgrand_dgl.ops import edge_dot, edge_dot_reference, edge_kl
from tests.conftest import random_csr


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 2, 5, 8, 16, 31, 41, 128, 200])
def test_edge_dot_equals_reference(width, dtype, device):
    """Empty rows, parallel edges, and one row that is longer than a warp's share."""
    csr = random_csr(60, 47, 500, device)
    x = torch.randn(60, width, dtype=dtype, device=device)
    y = torch.randn(47, width, dtype=dtype, device=device)
    found, expected = edge_dot(csr, x, y), edge_dot_reference(csr, x.double(), y.double())
    assert found.dtype == dtype and found.shape == (500,)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    assert (found - expected).norm() <= tolerance * width**0.5 * expected.norm()


def test_edge_dot_of_no_edges(device):
    csr = random_csr(4, 3, 0, device)
    assert (
        edge_dot(csr, torch.ones(4, 2, device=device), torch.ones(3, 2, device=device)).numel() == 0
    )


def test_edge_dot_gradient(device):
    csr = random_csr(9, 7, 30, device)
    x = torch.randn(9, 4, dtype=torch.float64, device=device, requires_grad=True)
    y = torch.randn(7, 4, dtype=torch.float64, device=device)
    assert torch.autograd.gradcheck(lambda x: edge_dot(csr, x, y), x)


def kl(p, q):
    return (p * (p.log() - q.log())).sum(dim=1)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("weighted", [False, True])
def test_edge_kl_is_its_definition(direction, weighted, device):
    csr = random_csr(40, 30, 300, device)
    i, j = torch.repeat_interleave(csr.row_lengths), csr.indices.long()
    student = torch.randn(40, 6, dtype=torch.float64, device=device, requires_grad=True)
    teacher = torch.randn(30, 6, dtype=torch.float64, device=device)
    weights = torch.rand(300, dtype=torch.float64, device=device) if weighted else None
    tau = 1.7
    p, q = (student / tau).softmax(1)[i], (teacher / tau).softmax(1)[j]
    expected = kl(q, p) if direction == "forward" else kl(p, q)
    expected = expected if weights is None else weights * expected
    found = edge_kl(csr, student, teacher, weights, tau=tau, direction=direction)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(300, dtype=torch.float64, device=device)
    slopes = [torch.autograd.grad(out, student, upstream)[0] for out in (found, expected)]
    torch.testing.assert_close(*slopes)
    single = edge_kl(csr, student.float(), teacher.float(), tau=tau, direction=direction)
    assert single.dtype == torch.float32
    plain = edge_kl(csr, student, teacher, tau=tau, direction=direction)
    torch.testing.assert_close(single.double(), plain, rtol=1e-5, atol=1e-5)


def operands(device):
    csr = random_csr(9, 7, 30, device)
    return {
        "indptr": csr.indptr,
        "indices": csr.indices,
        "x": torch.randn(9, 5, device=device),
        "y": torch.randn(7, 5, device=device),
    }


def test_opcheck(device):
    arguments = operands(device)
    arguments["x"].requires_grad_()
    torch.library.opcheck(torch.ops.infgrand.edge_dot.default, tuple(arguments.values()))


@pytest.mark.parametrize(
    ("argument", "change", "told"),
    [
        ("indptr", lambda t: t.int(), "indptr must be int64"),
        ("indices", lambda t: t.long(), "indices must be int32"),
        ("x", lambda t: t[:-1], "x must have a row for each of the 9 rows of indptr, found 8"),
        ("x", lambda t: t.half(), "x must be float32 or float64"),
        ("y", lambda t: t[:, :-1].contiguous(), r"y must have shape \[M, 5\]"),
        ("y", lambda t: t.double(), "y must have the dtype of x"),
        ("y", lambda t: t.T.contiguous().T, "y must be contiguous"),
    ],
)
def test_unfit_arguments_are_named(argument, change, told, device):
    arguments = operands(device)
    arguments[argument] = change(arguments[argument])
    with pytest.raises(RuntimeError, match=f"infgrand::edge_dot: {told}"):
        torch.ops.infgrand.edge_dot(*arguments.values())
