import numpy as np
import pytest

from infgrand_dgl.data.drawing import Draw, usual_split
from infgrand_dgl.errors import InputError


def labels(n: int = 300) -> np.ndarray:
    return np.random.permutation(np.arange(n) % 4 - 1)  # a quarter has none


def test_fractions_are_of_the_labelled_nodes():
    y = labels()
    first, second = Draw(fractions=(0.5, 0.25, 0.25), seed=3, count=2).of(y)
    ids = np.concatenate([first[part] for part in ("train", "val", "test")])
    assert [len(first[p]) for p in ("train", "val", "test")] == [112, 57, 56]
    assert sorted(ids) == np.flatnonzero(y >= 0).tolist()
    assert second["train"].tolist() != first["train"].tolist()
    (again,) = Draw(fractions=(0.5, 0.25, 0.25), seed=4).of(y)
    assert all(np.array_equal(again[part], second[part]) for part in again)


def test_parts_need_not_be_all():
    (split,) = Draw(fractions=(0.1, 0.1, 0.1)).of(labels())
    assert [len(ids) for ids in split.values()] == [22, 23, 23]


def test_per_class_of_names():
    names = np.array(["", "b", "a", "c"])[labels() + 1]
    (split,) = Draw(10, val=50, test=60).of(names)
    assert {name: int((names[split["train"]] == name).sum()) for name in "abc"} == dict.fromkeys(
        "abc", 10
    )
    ids = np.concatenate(list(split.values()))
    assert len(set(ids)) == len(ids) == 140 and (names[ids] != "").all()


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (Draw(76), "class 0 has 75 nodes"),
        (Draw(20, val=100, test=70), "165 labelled nodes are left after 20 of each of 3 classes"),
        (Draw(fractions=(0.001, 0.5, 0.4)), "some part of 225 labelled nodes is empty"),
    ],
)
def test_too_few(draw, told):
    with pytest.raises(InputError, match=told):
        draw.of(labels())
    with pytest.raises(InputError, match="found none to draw splits from"):
        draw.of(np.full(9, -1))


@pytest.mark.parametrize(("n", "train"), [(2400, 60), (120, 45)])
def test_usual_split(n, train):
    (split,), told = usual_split(labels(n))
    assert len(split["train"]) == train and "without splits" in told


@pytest.mark.parametrize("kind", ["several", "numbers"])
def test_labels_that_are_no_classes(kind):
    """By shares of the nodes of which some label is known."""
    values = np.random.rand(200, 3) < 0.5 if kind == "several" else np.random.rand(200, 3)
    values = np.where(np.arange(200)[:, None] < 20, np.nan, values)
    values[20], values[21, 0] = 1, np.nan
    (split,), told = usual_split(values)
    assert [len(ids) for ids in split.values()] == [90, 45, 45] and "50%, 25%, 25%" in told
    assert sorted(np.concatenate(list(split.values()))) == list(range(20, 200))
    with pytest.raises(InputError, match=r"--train-per-class 5: expected classes.*--fractions"):
        Draw(5).of(values)
