"""Masks and ids of one split or of several, in every form against a drawn truth."""

import json

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.data.masks import from_json, from_masks, given_splits
from infgrand_dgl.data.split import PARTS

N, K = 40, 3


@pytest.fixture
def truth():
    """bool `[N, K]` by part, disjoint in each split."""
    owner = np.stack([np.random.permutation(np.arange(N) % 4) for _ in range(K)], axis=1)
    return {part: owner == k for k, part in enumerate(PARTS)}


def ids(splits, part):
    return [getattr(split, part).tolist() for split in splits]


def expected(truth, part):
    return [np.flatnonzero(column).tolist() for column in truth[part].T]


def as_json(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_masks_of_several_splits(dtype, truth):
    splits = from_masks({p: truth[p].astype(dtype) for p in PARTS}, N, "")
    assert len(splits) == K
    for part in PARTS:
        assert ids(splits, part) == expected(truth, part)


@pytest.mark.parametrize("shape", [(N,), (N, 1)])
def test_masks_of_one_split(shape, truth):
    splits = from_masks({p: truth[p][:, 0].reshape(shape) for p in PARTS}, N, "")
    assert len(splits) == 1
    for part in PARTS:
        assert ids(splits, part) == expected(truth, part)[:1]


def test_a_part_of_one_column_belongs_to_every_split(truth):
    """As WikiCS has it: one test mask, many of training."""
    masks = {**truth, "test": truth["test"][:, 0]}
    splits = from_masks(masks, N, "")
    assert ids(splits, "train") == expected(truth, "train")
    assert ids(splits, "test") == expected(truth, "test")[:1] * K


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.T, r"^g: train_mask: expected a mask \[40\].*found bool \[3, 40\]$"),
        (lambda m: m[:-1], r"train_mask: expected a mask .*found bool \[39, 3\]"),
        (lambda m: m[:, :0], r"train_mask: expected a mask .*found bool \[40, 0\]"),
        (lambda m: m[:, :, None], r"train_mask: expected a mask .*found bool \[40, 3, 1\]"),
        (lambda m: m * 2, r"mask of 0 and 1, found 2 in int64 \[40, 3\]"),
        (lambda m: np.where(m, np.nan, 0), r"mask of 0 and 1, found nan in float64 \[40, 3\]"),
        (lambda m: m.astype(str), r"mask of 0 and 1, found (True|False) in <U5 \[40, 3\]"),
        (lambda m: m[:, :2], "expected as many splits of every part, found 2 of train, 3 of val"),
    ],
)
def test_bad_masks(change, told, truth):
    with pytest.raises(InputError, match=told):
        from_masks({**truth, "train": change(truth["train"])}, N, "g: ")


FORMS = {
    "ids": lambda t, p, k: np.flatnonzero(t[p][:, k]).tolist(),
    "zeros and ones": lambda t, p, k: t[p][:, k].astype(int).tolist(),
    "floats": lambda t, p, k: t[p][:, k].astype(float).tolist(),
    "booleans": lambda t, p, k: t[p][:, k].tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_json(form, truth):
    """One split; a list of splits; lists in the parts."""
    one = [{p: FORMS[form](truth, p, k) for p in PARTS} for k in range(K)]
    lists = {p: [split[p] for split in one] for p in PARTS}
    for content, count in ((one[0], 1), (one, K), (lists, K)):
        splits = from_json(as_json(content), N, "")
        assert len(splits) == count
        for part in PARTS:
            assert ids(splits, part) == expected(truth, part)[:count]


def test_json_of_rows(truth):
    splits = from_json(as_json({p: truth[p].astype(int).tolist() for p in PARTS}), N, "")
    for part in PARTS:
        assert ids(splits, part) == expected(truth, part)


def test_two_nodes_have_ids_not_masks():
    (split,) = from_json({"train": [0, 1], "val": [0], "test": [1]}, 2, "")
    assert split.train.tolist() == [0, 1] and split.val.tolist() == [0]


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ([True, False], "train: expected true or false for each of 40, found 2 of them"),
        ([1, True] + [0] * 37 + [2], "train: expected node ids 0 to 39, found True"),
        ([0.0, 1.0], "train: expected node ids 0 to 39, found 0.0"),
        ([[0], [1, 40]], "train: split 1: expected node ids 0 to 39, found 40"),
        ([[0, 1], 2], r"train: expected node ids 0 to 39, found \[0, 1\]"),
        ([["0"]], "train: split 0: expected node ids 0 to 39, found '0'"),
        ("0", "train: expected a list of node ids, found '0'"),
        ([[1] * N] * N, r"train: expected k lists, or N rows of k: \[40, 40\] may be either"),
    ],
)
def test_bad_json(train, told):
    with pytest.raises(InputError, match=told):
        from_json(as_json({"train": train, "val": [2], "test": [3]}), N, "")


@pytest.mark.parametrize("content", [None, 3, "x", [], [1], [{}, 1]])
def test_json_of_something_else(content):
    with pytest.raises(InputError, match="train: expected a list of node ids, found [^k]"):
        from_json(content, N, "")


def test_json_of_other_keys():
    with pytest.raises(InputError, match="^val: .*, found keys train, valid, test$"):
        from_json({"train": [0], "valid": [1], "test": [2]}, N, "")


@pytest.mark.parametrize("kind", [list, np.int32, torch.tensor, lambda ids: [*np.array(ids)]])
def test_mappings_of_a_program(kind):
    one = {"train": kind([0, 1]), "val": kind([2]), "test": kind([3])}
    (split,) = given_splits(one, N, "")
    assert [getattr(split, p).tolist() for p in PARTS] == [[0, 1], [2], [3]]
    assert split.train.dtype == torch.long
    first, second, third = given_splits([one, split, one], N, "")
    assert second is split and first.val.tolist() == third.val.tolist() == [2]
    lists = {"train": [kind([0, 1]), kind([4])], "val": kind([2]), "test": kind([3])}
    assert [s.train.tolist() for s in given_splits(lists, N, "")] == [[0, 1], [4]]
    assert given_splits(None, N, "") == ()


PARTS_OF = {"train": [0], "val": [1], "test": [2]}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("train", "a: split: expected a Split, a mapping of train, .* found str"),
        ({}, "a: split: expected .*; found an empty one"),
        ([PARTS_OF, 3], "a: split 1: split: expected a Split, .*; found int"),
        ({"train": [0], "valid": [1], "test": [2]}, "found train, valid, test"),
        (PARTS_OF | {"observed": [3]}, "found train, val, test, observed"),
        (PARTS_OF | {"val": np.array([40])}, "a: split val: expected node ids 0 to 39, found 40"),
        (PARTS_OF | {"val": np.array([1.0])}, "a: split val: expected node ids 0 to 39, found 1.0"),
        (PARTS_OF | {"val": {1}}, "a: split val: expected a list of node ids, found {1}"),
    ],
)
def test_bad_splits_of_a_program(given, told):
    with pytest.raises(InputError, match=told):
        given_splits(given, N, "a: ")
