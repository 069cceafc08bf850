"""Codes and names of classes become 0 to C-1, and say what they were."""

import numpy as np
import pytest

from infgrand_dgl import InputError
from infgrand_dgl.data.labels import read_labels

N = 60


@pytest.fixture
def drawn():
    """Classes `[N]`, of which 0 to 3 all occur, and which nodes have none."""
    values = np.random.permutation(np.arange(N) % 4)
    return values, np.random.rand(N) < 0.2


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, np.float16, np.float64])
@pytest.mark.parametrize("shape", [(N,), (N, 1)])
def test_classes_without_gaps_stay(dtype, shape, drawn):
    found = read_labels(drawn[0].astype(dtype).reshape(shape), "")
    assert found.values.tolist() == drawn[0].tolist()
    assert found.num_classes == 4 and found.classes is None


def test_codes_with_gaps(drawn):
    values, none = drawn
    codes = np.sort(np.random.choice(10**6, 4, replace=False) + 4)
    array = np.where(none, -1, codes[values])
    for given in (array, array.astype(float), np.where(none, np.nan, array)):
        found = read_labels(given, "")
        assert found.values.tolist() == np.where(none, -1, values).tolist()
        assert found.classes == tuple(codes) and found.num_classes == 4
        assert all(type(code) is int for code in found.classes)


@pytest.mark.parametrize("kind", ["U", "S"])
def test_names(kind, drawn):
    values, none = drawn
    names = np.array(["art", "biología", "cs", "law"])
    array = np.where(none, np.random.choice(["", "-1", "nan", "  "], N), names[values])
    found = read_labels(np.char.encode(array, "utf-8") if kind == "S" else array, "")
    assert found.values.tolist() == np.where(none, -1, values).tolist()
    assert found.classes == tuple(names)


def test_booleans():
    found = read_labels(np.array([True, False, True]), "")
    assert found.values.tolist() == [1, 0, 1] and found.classes is None


def test_no_label_at_all():
    found = read_labels(np.full(N, -1), "")
    assert found.num_classes == 0 and (found.values == -1).all()


ONE_HOT = np.eye(3)[np.random.randint(3, size=N)]


@pytest.mark.parametrize(
    ("array", "told"),
    [
        ([0, 1, -2], "^l: expected whole numbers from 0 .*; found -2 at node 2$"),
        ([0, 1.5], "found 1.5 at node 1"),
        ([0, np.inf], "found inf at node 1"),
        (np.array([0, 2**64 - 1], np.uint64), "found 18446744073709551615 at node 1"),
        (np.array([1j]), "expected integers or texts, found complex128"),
        (np.array([b"\xff"]), "expected text in UTF-8"),
        (ONE_HOT, r"found float64 \[60, 3\]; of one-hot rows argmax"),
        (np.zeros((2, 3)), r"expected one label a node, \[N\], found float64 \[2, 3\]$"),
        (np.array(3), r"expected one label a node, \[N\], found int64 \[\]"),
    ],
)
def test_bad(array, told):
    with pytest.raises(InputError, match=told):
        read_labels(np.asarray(array), "l")
