from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from infgrand_dgl.ops import (
    Cones,
    _library,
    min_over_cones,
    min_over_cones_reference,
    nearest_axis,
    nearest_axis_reference,
)
from tests.conftest import KERNELS

EXACT = 1e-15  # two orders of summing float64 products of float32 numbers
needs_op = pytest.mark.skipif("cpu" not in _library.loaded(), reason="the library is not built")


def unit(*shape, device="cpu"):
    return normalize(torch.randn(*shape), dim=1).to(device)


def of_groups(count, width):
    """Unit rows, many of them equal."""
    return normalize(torch.randn(3, width)[torch.randint(3, (count,))], dim=1)


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
@pytest.mark.parametrize("kind", [unit, of_groups])
def test_same_for_any_number_of_threads(kind):
    x, y = (kind(n, 40) for n in (5000, 3000))
    arguments = op_arguments(x, y)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            exact = torch.ops.infgrand.min_over_cones(*arguments.values()).tolist()
            owner, distance = torch.ops.infgrand.nearest_axis(x, y[:50])
            found.append((exact, owner.tolist(), distance.tolist()))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    i, j, _ = found[0][0]
    least = min(float((rows.double() @ y.double().T).min()) for rows in x.split(1000))
    assert abs(float(x[i].double() @ y[j].double()) - least) <= EXACT


@pytest.mark.parametrize("scan", [min_over_cones, min_over_cones_reference])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_least_pair_within_the_limits(dtype, scan, device):
    """Of cones at random, an empty one among them; some pairs beyond the limits may be met too."""
    x, y, axes = (unit(n, 20, device=device).to(dtype) for n in (900, 700, 4))
    sizes, members = torch.tensor([300, 0, 150, 250]), torch.randperm(700).to(device)
    owner = torch.repeat_interleave(sizes)
    limits = torch.rand(700) * 1.2 - 1
    limits = limits[(10.0 * owner - limits).argsort()].to(axes)  # they descend in a cone
    cones = Cones(axes, sizes.to(device), members, limits)
    products = x.double() @ y[members].double().T
    allowed = products[x @ axes[owner.to(device)].T <= limits]
    least = float(allowed.min())
    settings: dict[str, Any] = {"eps": 1e-5}
    if scan is min_over_cones:
        settings["directions"] = torch.zeros(15, 20, dtype=dtype, device=device)
    for below in (1.0, least + 1e-9):
        i, j, evaluated = scan(x, y, cones, below=below, **settings)
        value = float(x[i].double() @ y[j].double())
        assert float(products.min()) - EXACT <= value <= least + EXACT
        assert evaluated >= len(allowed)
    assert scan(x, y, cones, below=-1.1, **settings)[:2] == (-1, -1)


@needs_op
def test_opcheck(device):
    x, y, axes = (unit(n, 5, device=device) for n in (40, 30, 3))
    torch.library.opcheck(torch.ops.infgrand.nearest_axis.default, (x, axes))
    arguments = op_arguments(x, y)
    torch.library.opcheck(torch.ops.infgrand.min_over_cones.default, tuple(arguments.values()))


@needs_op
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nearest_axis(dtype, device):
    for count, width in ((1, 1), (5, 3), (16, 20), (33, 50), (150, 7)):
        x = torch.randn(1500, width, dtype=dtype, device=device)
        axes = torch.randn(count, width, dtype=dtype, device=device)
        owner, distance = nearest_axis(x, axes)
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
    refused = pytest.raises(RuntimeError, match="directions are needed on the CPU")
    with refused if device == KERNELS == "cpu" else nullcontext():
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
