"""Codes and names of classes become 0 to C-1, and say what they were."""

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.data.labels import labelled, read_labels

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
    array = np.where(
        none,
        np.random.choice(["", "-1", "nan", "  ", "NA", "n/a", "Null", "None"], N),
        names[values],
    )
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
        ([0, 1, -2], "^l: expected whole numbers from 0 .*; found -2 at node 2; data.task: regr"),
        ([0, np.inf], "found inf at node 1"),
        (np.array([0, 2**64 - 1], np.uint64), "found 18446744073709551615 at node 1"),
        (np.array([1j]), "expected integers or texts, found complex128"),
        (np.array([b"\xff"]), "expected text in UTF-8"),
        (ONE_HOT, r"found float64 \[60, 3\]; of one-hot rows argmax.*data.task: multilabel"),
        (
            np.full((2, 3), 7),
            r"\[N\], found int64 \[2, 3\]; data.task: regression .or --task. reads numbers$",
        ),
        (np.array([["a", "b"]]), r"expected one label a node, \[N\], found <U1 \[1, 2\]$"),
        (np.ones((2, 2, 2)), r"\[N\], found float64 \[2, 2, 2\]"),
        (np.ones((2, 0)), r"expected numbers \[N, C\].*found float64 \[2, 0\]"),
        (np.array(3), r"expected one label a node, \[N\], found int64 \[\]"),
    ],
)
def test_bad(array, told):
    with pytest.raises(InputError, match=told):
        read_labels(np.asarray(array), "l")


def several(C: int = 5) -> np.ndarray:
    """float64 `[N, C]` of 0, 1 and NaN, some row with several ones, some without a label."""
    values = np.where(np.random.rand(N, C) < 0.2, np.nan, np.random.rand(N, C) < 0.4)
    values[0], values[1] = 1, np.nan
    return values


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, object])
@pytest.mark.parametrize("task", ["auto", "multilabel"])
def test_several_labels(dtype, task):
    values = several()
    given = values.astype(dtype)
    if dtype is object:
        given[np.isnan(values)] = None
    found = read_labels(given, "", task)
    assert found.task == "multilabel" and found.num_classes == 5 and found.classes is None
    assert found.values.dtype == torch.float32
    np.testing.assert_array_equal(found.values.numpy(), values)
    assert labelled(found.values).tolist() == [not np.isnan(row).all() for row in values]


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8])
def test_several_labels_without_unknown(dtype):
    values = np.random.rand(N, 4) < 0.5
    values[0] = True
    found = read_labels(values.astype(dtype), "")
    assert found.task == "multilabel" and (found.values.numpy() == values).all()


def test_one_hot_rows_are_what_the_user_says(drawn):
    values, none = drawn
    rows = np.eye(4)[values]
    rows[none] = np.nan  # nodes without a label do not make them less ambiguous
    rows[0] = np.eye(4)[values[0]]
    with pytest.raises(InputError, match=r"^l: .*argmax\(axis=1\) .* data.task: multilabel"):
        read_labels(rows, "l")
    assert read_labels(rows, "l", "multilabel").values.shape == (N, 4)
    found = read_labels(rows, "l", "classification")
    expected = np.where(np.isnan(rows).all(axis=1), -1, values)
    assert found.task == "classification" and found.values.tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, 3)])
def test_numbers(shape):
    values = np.random.randn(*shape) * 1e3
    values[3] = np.nan
    for task in ("auto", "regression"):
        found = read_labels(values, "", task)
        assert found.task == "regression" and found.values.shape == (N, *(shape[1:] or (1,)))
        expected = values.astype(np.float32).reshape(found.values.shape)
        np.testing.assert_array_equal(found.values.numpy(), expected)


def test_a_task_is_forced():
    whole = np.random.randint(-5, 5, N)
    assert read_labels(whole, "", "regression").values[:, 0].tolist() == whole.tolist()
    assert read_labels(whole.astype(float), "", "regression").task == "regression"
    alone = read_labels(np.array([0, 1, np.nan]), "", "multilabel")
    assert alone.values.shape == (3, 1) and alone.task == "multilabel"


@pytest.mark.parametrize(
    ("task", "array", "told"),
    [
        ("classification", [0, 1.5], "found 1.5 at node 1; data.task: regression"),
        (
            "classification",
            several(),
            r"expected one label a node, \[N\], found float64 \[60, 5\]; data.task: mult",
        ),
        ("multilabel", [[0, 1], [1, 2]], "0, 1, or NaN.*found 2 at node 1, column 1$"),
        ("multilabel", [[0, -1], [1, 1]], "found -1 at node 0, column 1$"),
        ("multilabel", [[0, 1 + 1e-12]], "found 1.000000000001 at node 0, column 1$"),
        (
            "multilabel",
            ["a", "b"],
            r"expected numbers \[N, C\] \(data.task: multilabel\), found <U1",
        ),
        ("multilabel", np.zeros((2, 1 << 17), bool), r"at most 65536 columns, found bool \[2, 131"),
        ("regression", ["a", "b"], r"expected numbers \[N, C\] \(data.task: regression\)"),
        ("regression", [0.5, np.inf], "expected finite numbers .*; found inf at node 1$"),
        ("auto", [[1.0, -1.0], [1.0, 1.0]], "0 for a label that a node has not.*found -1, 0 and 1"),
        ("auto", [[1, -1], [1, 1]], "0 for a label that a node has not.*found -1, 0 and 1"),
        ("auto", [[0.5, 1], [0.25, 1e300]], "within float32.* found 1e.300 at node 1, column 1$"),
    ],
)
def test_bad_of_a_task(task, array, told):
    with pytest.raises(InputError, match=told):
        read_labels(np.asarray(array), "l", task)


def test_float32_columns_are_not_copied():
    values = several().astype(np.float32)
    found = read_labels(values, "").values
    assert found.data_ptr() == values.ctypes.data
    values.flags.writeable = False  # torch has no such tensors
    assert read_labels(values, "").values.data_ptr() != values.ctypes.data
