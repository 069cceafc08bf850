from contextlib import nullcontext

import pytest
import torch
from torch.nn.functional import normalize

from infgrand_dgl.influence.minimum import min_cosine, min_cosine_reference
from infgrand_dgl.ops import _library
from infgrand_dgl.ops.cones import nearest_axis_reference
from tests.conftest import KERNELS

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
    arguments = op_arguments(x, y)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            least = min_cosine(x, y)
            exact = torch.ops.infgrand.min_over_cones(*arguments.values()).tolist()
            owner, distance = torch.ops.infgrand.nearest_axis(x, y[:50])
            found.append((exact, owner.tolist(), distance.tolist()))
            assert abs(least.value - float(x[exact[0]].double() @ y[exact[1]].double())) <= EXACT
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def op_arguments(x, y):
    """One cone that excludes nothing."""
    return {
        "indptr": torch.tensor([0, len(y)], device=x.device),
        "indices": torch.arange(len(y), dtype=torch.int32, device=x.device),
        "x": x,
        "y": y,
        "axes": torch.zeros_like(y[:1]),
        "limits": torch.full_like(y[:, 0], 2),
        "directions": x.new_zeros(15, x.shape[1]),
        "value": 1.0,
        "eps": 1e-5,
    }


@needs_op
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nearest_axis(dtype, device):
    for count, width in ((1, 1), (5, 3), (16, 20), (33, 50), (150, 7)):
        x = torch.randn(1500, width, dtype=dtype, device=device)
        axes = torch.randn(count, width, dtype=dtype, device=device)
        owner, distance = torch.ops.infgrand.nearest_axis(x, axes)
        dots = x @ axes.T
        torch.testing.assert_close(dots[torch.arange(1500), owner], dots.amax(dim=1))
        torch.testing.assert_close(distance, nearest_axis_reference(x, axes)[1])
    twice = torch.cat([axes, axes])  # of equal ones the first
    assert torch.ops.infgrand.nearest_axis(x, twice)[0].max() < len(axes)
    assert len(torch.ops.infgrand.nearest_axis(x[:0], axes)[0]) == 0


@needs_op
def test_pairs_that_the_limits_exclude_are_not_evaluated(device):
    x, y, axes = (normalize(torch.randn(n, 5, device=device), dim=1) for n in (200, 100, 2))
    arguments = op_arguments(x, y) | {"axes": axes}
    arguments["indptr"] = torch.tensor([0, 40, 100], device=device)
    arguments["limits"] = torch.tensor([-2.0] * 40 + [2.0] * 60, device=device)
    i, j, evaluated = torch.ops.infgrand.min_over_cones(*arguments.values()).tolist()
    assert evaluated == 200 * 60
    assert float(x[i] @ y[j]) == pytest.approx(float((x @ y[40:].T).min()))
    arguments["value"] = -1.5  # nothing lies below
    assert torch.ops.infgrand.min_over_cones(*arguments.values()).tolist()[:2] == [-1, -1]


@needs_op
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("width", "begin"), [(6, 0), (8, 0), (8, 1), (40, 0)])
def test_each_row_meets_the_members_that_its_limits_allow(width, begin, dtype, device):
    """Many cones, empty ones among them, and rows that pass some limits of a cone; operands that
    begin anywhere in memory."""
    x, y, axes = (
        torch.cat([torch.zeros(begin), normalize(torch.randn(n, width), dim=1).flatten()])
        .to(device, dtype)[begin:]
        .view(n, width)
        for n in (3000, 2500, 70)
    )
    sizes = torch.randint(90, (70,)).clamp(min=20) - 20
    indptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    owner = torch.repeat_interleave(sizes)
    limits = torch.rand(len(owner)) * 1.2 - 1
    limits = limits[(10.0 * owner - limits).argsort()]  # they descend in a cone
    members = torch.randint(2500, (len(owner),), dtype=torch.int32, device=device)
    arguments = op_arguments(x, y) | {
        "indptr": indptr.to(device), "indices": members, "axes": axes, "limits": limits.to(x),
    }  # fmt: skip
    i, j, evaluated = torch.ops.infgrand.min_over_cones(*arguments.values()).tolist()
    meets = x @ axes[owner.to(device)].T <= limits.to(x)
    products = x.double() @ y[members.long()].double().T
    # Members come in panels, whose first sets the limit: some more are met.
    value = float(x[i].double() @ y[j].double())
    assert float(products.min()) - EXACT <= value <= float(products[meets].min()) + EXACT
    assert int(meets.sum()) <= evaluated <= int(meets.sum()) + 64 * 70 * 3000


@needs_op
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_few_rows(dtype, device):
    """Fewer than the kernels take at once."""
    for count in (1, 9, 16, 17, 32, 33, 64, 65, 100):
        x, y = (
            normalize(torch.randn(n, 20, dtype=dtype, device=device), dim=1) for n in (count, 70)
        )
        x[-1] = -y[int(torch.randint(70, ()))]  # the minimum is in the last row
        arguments = op_arguments(x, y) | {"value": -0.99}
        i, j, evaluated = torch.ops.infgrand.min_over_cones(*arguments.values()).tolist()
        assert i == count - 1 and evaluated == count * 70
        assert float(x[i].double() @ y[j].double()) == pytest.approx(-1)


@needs_op
def test_a_gpu_needs_no_directions(device):
    """Nor does it read them."""
    x, y = (normalize(torch.randn(n, 33, device=device), dim=1) for n in (90, 80))
    arguments = op_arguments(x, y)
    expected = torch.ops.infgrand.min_over_cones(*arguments.values()).tolist()
    arguments["directions"] = None
    told = pytest.raises(RuntimeError, match="directions are needed on the CPU")
    with told if device == KERNELS == "cpu" else nullcontext():
        assert torch.ops.infgrand.min_over_cones(*arguments.values()).tolist() == expected


@needs_op
@pytest.mark.parametrize(
    ("argument", "change", "told"),
    [
        ("x", lambda x: x[0], "x must have two dimensions"),
        ("x", lambda x: x.half(), "x must be float32 or float64"),
        ("x", lambda x: x.T.contiguous().T, "x must be contiguous"),
        ("y", lambda y: y[:0], r"y must have shape \[at least 1, 5\]"),
        ("y", lambda y: y[:, :4].contiguous(), r"y must have shape \[at least 1, 5\]"),
        ("y", lambda y: y.double(), "y must have the dtype of x"),
        ("axes", lambda a: a.T.contiguous(), "axes must have shape"),
        ("indptr", lambda p: p[:1], r"indptr must have shape \[2\]"),
        ("indices", lambda i: i.long(), "indices must be int32"),
        ("limits", lambda v: v[1:], "limits must have shape"),
        ("limits", lambda v: v.double(), "limits must be float64 where"),
        ("directions", lambda d: d[1:].contiguous(), "directions must have 15 rows"),
    ],
)
def test_unfit_arguments_of_the_op(argument, change, told, device):
    arguments = op_arguments(torch.randn(8, 5, device=device), torch.randn(6, 5, device=device))
    arguments[argument] = change(arguments[argument])
    with pytest.raises(RuntimeError, match=f"infgrand::min_over_cones: {told}"):
        torch.ops.infgrand.min_over_cones(*arguments.values())


@needs_op
@pytest.mark.parametrize(
    ("argument", "told"), [("indptr", "indptr must run from 0"), ("indices", "indices must lie in")]
)
def test_broken_structure_is_no_crash(argument, told, device):
    """An error on the CPU; on a GPU, which cannot look first, a result."""
    arguments = op_arguments(torch.randn(8, 5, device=device), torch.randn(6, 5, device=device))
    arguments[argument] = arguments[argument] + 1
    on_cpu = device == KERNELS == "cpu"
    with pytest.raises(RuntimeError, match=told) if on_cpu else nullcontext():
        torch.ops.infgrand.min_over_cones(*arguments.values()).tolist()


@needs_op
def test_unfit_axes():
    with pytest.raises(RuntimeError, match="infgrand::nearest_axis: axes must have shape"):
        torch.ops.infgrand.nearest_axis(torch.randn(8, 5), torch.randn(3, 4))
