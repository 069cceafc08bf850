import pytest
import torch
from torch.nn.functional import normalize

from infgrand_dgl.influence.minimum import min_cosine, min_cosine_reference
from infgrand_dgl.ops import _library

EXACT = 1e-15  # two orders of summing float64 products of float32 numbers
needs_op = pytest.mark.skipif("cpu" not in _library.loaded(), reason="the library is not built")


@pytest.fixture(params=[pytest.param("compiled", marks=needs_op), "torch"])
def path(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(_library, "loaded", frozenset)


def rows(kind: str, count: int, width: int) -> torch.Tensor:
    gauss = torch.randn(count, width)
    if kind == "sphere":
        return gauss
    if kind == "cone":
        return torch.ones(width) + 0.2 * gauss
    if kind == "antipodal":
        return torch.where(torch.rand(count, 1) < 0.5, 1.0, -1.0) + 0.05 * gauss
    if kind == "clusters":
        return torch.randn(6, width)[torch.randint(6, (count,))] + 0.1 * gauss
    if kind == "duplicates":
        return torch.randn(3, width)[torch.randint(3, (count,))]
    if kind == "parallel":
        return torch.ones(width) + 1e-4 * gauss
    if kind == "nonnegative":
        return gauss.abs()
    if kind == "sparse":
        return gauss.abs() * (torch.rand(count, width) < 0.1)
    assert kind == "outlier"
    cone = torch.ones(width) + 0.05 * gauss
    cone[-1] = -1
    return cone


KINDS = [
    "sphere",
    "cone",
    "antipodal",
    "clusters",
    "duplicates",
    "parallel",
    "nonnegative",
    "sparse",
    "outlier",
]


def check(x, y):
    x, y = normalize(x, dim=1), normalize(y, dim=1)
    found = min_cosine(x, y)
    assert abs(found.value - min_cosine_reference(x, y)) <= EXACT
    i, j = found.pair
    assert abs(float(x[i].double() @ y[j].double()) - found.value) <= EXACT
    return found


def test_thousands_of_small_inputs(path, device):
    for trial in range(2000 if device == "cpu" else 400):
        n, m = torch.randint(1, 81, (2,)).tolist()
        width = int(torch.randint(1, 21, ()))
        x_kind, y_kind = (KINDS[k] for k in torch.randint(len(KINDS), (2,)).tolist())
        x, y = rows(x_kind, n, width), rows(y_kind, m, width)
        if trial % 3 == 0:  # zero rows, at times all of them
            x[torch.rand(n) < 0.2], y[torch.rand(m) < 0.2] = 0, 0
        if trial % 5 == 0:  # every row of y is one of x, or its opposite
            y = x[torch.randint(n, (m,))] * (1 if trial % 2 else -1)
        if trial % 7 == 0:
            x, y = x.double(), y.double()
        check(x.to(device), y.to(device))


@pytest.mark.parametrize("y_kind", KINDS)
@pytest.mark.parametrize("x_kind", KINDS)
def test_equals_brute_force(x_kind, y_kind, path, device):
    for _ in range(3):
        n, m = torch.randint(1, 1500, (2,)).tolist()
        width = int(torch.randint(1, 50, ()))
        check(rows(x_kind, n, width).to(device), rows(y_kind, m, width).to(device))


@pytest.mark.parametrize("kind", KINDS)
def test_below_a_known_value(kind, path, device):
    x, y = (normalize(rows(kind, n, 7).to(device), dim=1) for n in (200, 150))
    exact = min_cosine_reference(x, y)
    for known in (exact - 0.1, exact - 1e-12):
        found = min_cosine(x, y, below=known)
        assert (found.value, found.pair) == (known, (-1, -1))
    for known in (exact + 1e-12, 0.5 * exact + 0.5, 2.0):
        found = min_cosine(x, y, below=known)
        assert abs(found.value - exact) <= EXACT or exact > 1 - EXACT
        assert found.pair != (-1, -1) or exact > 1 - EXACT


def test_blocks_of_rows_one_below_the_other(path, device):
    x, y = (normalize(rows("clusters", 300, 7).to(device), dim=1) for _ in range(2))
    value = float("inf")
    for block in x.split(90):
        for other in y.split(110):
            value = min_cosine(block, other, below=value).value
    assert abs(value - min_cosine_reference(x, y)) <= EXACT


@pytest.mark.parametrize("kind", KINDS)
def test_more_rows_than_a_sample(kind, path, device):
    found = check(rows(kind, 6000, 12).to(device), rows(kind, 5000, 12).to(device))
    assert found.pairs_evaluated > 0 or found.value == 0  # a zero row, or disjoint ones


def test_float64(device):
    check(rows("sphere", 300, 9).double().to(device), rows("cone", 200, 9).double().to(device))


def test_zero_rows_meet_everything_at_zero(device):
    x, y = rows("cone", 3000, 8).to(device), rows("cone", 2000, 8).to(device)
    assert check(x, y).value > 0
    for changed in (x, y):
        kept = changed[1234].clone()
        changed[1234] = 0
        assert check(x, y).value == 0
        changed[1234] = kept
    x[:-1] = 0
    check(x, y)
    y[1:] = 0  # one pair is left, and its cosine is positive
    assert check(x, y).value == 0
    x[:] = 0
    assert check(x, y).value == 0


def test_one_row_and_one_column(device):
    for n, m in ((1, 1), (1, 900), (900, 1)):
        check(rows("sphere", n, 4).to(device), rows("sphere", m, 4).to(device))


def test_descent_on_every_eighth_row(path, device):
    x, y = rows("clusters", 20_000, 6).to(device), rows("sphere", 17_000, 6).to(device)
    check(x, y)


def test_wide_rows(path, device):
    """Wider than the directions that the compiled scan looks at first."""
    for width in (32, 33, 130):
        for kind in ("sphere", "outlier", "duplicates", "parallel"):
            check(rows(kind, 900, width).to(device), rows("clusters", 1100, width).to(device))


def test_smooth_rows_are_certified_without_visiting_most_pairs(path, device):
    x, y = rows("sphere", 20_000, 16).to(device), rows("cone", 20_000, 16).to(device)
    found = check(x, y)
    assert found.cones >= 1
    assert found.share(20_000 * 20_000) < 0.1


def test_nonnegative_disjoint_pair_needs_no_cones(device):
    x = rows("sparse", 5000, 40).to(device)
    found = check(x, rows("nonnegative", 10, 40).to(device) * (torch.rand(10, 40) < 0.5).to(device))
    assert found.value == 0 and found.cones == 0


def test_lowered_matmul_precision_does_not_reach_the_bounds():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        check(rows("sphere", 3000, 30), rows("cone", 3000, 30))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.ones(2, 3), torch.ones(2, 4)),
        (torch.ones(0, 3), torch.ones(2, 3)),
        (torch.ones(3), torch.ones(2, 3)),
        (torch.ones(2, 3), torch.ones(2, 3).double()),
    ],
)
def test_unfit_operands(x, y):
    with pytest.raises(ValueError, match="min_cosine"):
        min_cosine(x, y)


@needs_op
@pytest.mark.parametrize("kind", ["sphere", "clusters", "duplicates"])
def test_same_for_any_number_of_threads(kind):
    x, y = (normalize(rows(kind, n, 40), dim=1) for n in (5000, 3000))
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(min_cosine(x, y))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]
