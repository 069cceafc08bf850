"""Spaces: what can be written in one, and what is told of one that is wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infgrand_dgl import InputError
from infgrand_dgl.config.reading import flat, load_config
from infgrand_dgl.studies.tuning.search import suggest
from infgrand_dgl.studies.tuning.space import (
    Choices,
    Range,
    find_space,
    read_space,
    unread,
    with_values,
)
from infgrand_dgl.studies.tuning.trials import Trial

DEMO = load_config("demo")


def read(text, tmp_path, config=DEMO):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return read_space(path, config)


def test_kinds(tmp_path):
    space = read(
        "propagation.hops: [2, 4]\n"
        "student.hidden: {low: 16, high: 64, step: 16}\n"
        "student.dropout: {low: 0, high: 0.8}\n"
        "student.lr: {low: 1e-3, high: 1e-1, log: true}\n"
        "student.norm: [none, batch]\n"
        "teacher.fanouts: [null, [5, 5]]\n"
        "method: [glnn, infgrand]\n",
        tmp_path,
    )
    assert space == {
        "propagation.hops": Choices((2, 4)),
        "student.hidden": Range(16, 64, step=16, whole=True),
        "student.dropout": Range(0.0, 0.8),
        "student.lr": Range(1e-3, 1e-1, log=True),
        "student.norm": Choices(("none", "batch")),
        "teacher.fanouts": Choices((None, [5, 5])),
        "method": Choices(("glnn", "infgrand")),
    }
    assert [v for v in range(80) if v in space["student.hidden"]] == [16, 32, 48, 64]
    assert 0.31 in space["student.dropout"] and 0.81 not in space["student.dropout"]
    assert True not in space["student.hidden"] and "a" not in space["student.lr"]


def test_the_shipped_space_is_what_is_to_be_chosen():
    space = read_space(find_space("student"), DEMO)
    assert 0 in space["distillation.lambda"] and 1 in space["distillation.lambda"]
    assert space["propagation.hops"] == Choices((2, 4, 8, 16))
    assert space.keys() == {
        *("propagation.hops", "distillation.lambda", "distillation.tau", "consistency.weight"),
        *("consistency.temperature", "random_propagation.mask", "student.dropout"),
        *("student.input_dropout", "student.hidden", "student.lr", "student.weight_decay"),
    }
    left = unread(DEMO.replace(method="mlp"), space)
    assert {"distillation.lambda", "distillation.tau", "consistency.weight"} <= set(left)
    assert not [key for key in left if key.startswith(("student.", "propagation."))]


def test_regression_has_no_distributions():
    """A trial with a temperature, or with consistency, would fail."""
    space = read_space(find_space("student"), DEMO)
    left = ["distillation.tau", "consistency.weight", "consistency.temperature"]
    assert unread(DEMO, space, "regression") == left
    assert unread(DEMO, space, "multilabel") == []


def test_the_space_of_the_recipe():
    """Narrower, of any width, with self-loops that may count twice and an average of weights."""
    wide, narrow = (read_space(find_space(name), DEMO) for name in ("student", "recipe"))
    more = {"propagation.self_loop_weight", "student.ema"}
    assert narrow.keys() == (wide.keys() | more) - {"student.hidden"}
    assert 0 not in narrow["distillation.lambda"] and 1 in narrow["distillation.lambda"]


def test_what_one_of_the_methods_reads_stays(tmp_path):
    text = "teacher.lr: [0.01]\ninfluence.hops: [1, 2]\ndistillation.gamma2: [0.1]\n"
    mlp = DEMO.replace(method="mlp")
    assert unread(mlp, read(text, tmp_path)) == [
        "teacher.lr",
        "influence.hops",
        "distillation.gamma2",
    ]
    assert unread(mlp, read(text + "method: [mlp, infgrand]\n", tmp_path)) == []


LOW = "low: expected a number, found"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "space.yaml: expected keys with choices or ranges, found nothing"),
        ("- 1", "space.yaml: expected keys with choices or ranges, found a list"),
        ("a: [", "space.yaml: not valid YAML"),
        ("student.lr: 3", "space.yaml: student.lr: expected a list of choices.*; found 3"),
        ("student.lr: []", "space.yaml: student.lr: expected at least one choice, found none"),
        ("student.lr: [1, 1]", "space.yaml: student.lr: expected distinct choices, found 1 twice"),
        ("student.lr: [0.1, -1]", "space.yaml: student.lr: expected a number > 0.*, found -1"),
        ("student.lr: [fast]", "space.yaml: student.lr: expected a number.*, found 'fast'"),
        ("student.rate: [1]", "space.yaml: student.rate: unknown key.*allowed: model"),
        ("pupil.lr: [1]", "space.yaml: pupil: unknown section"),
        ("student.lr.x: [1]", "space.yaml: student.lr: expected a number"),
        ("student: [1]", "space.yaml: student: expected a key such as student.lr"),
        ("method: [none]", "space.yaml: method: expected one of .*; found 'none'"),
        ("data.name: [cora]", "space.yaml: data.name: all trials have it alike"),
        ("train.seeds: [[1]]", "space.yaml: train.seeds: all trials have it alike"),
        ("student.lr: {low: 0.1}", "space.yaml: student.lr: high: expected a number, found None"),
        ("student.lr: {low: x, high: 1}", f"space.yaml: student.lr: {LOW} 'x'"),
        ("student.lr: {low: '1', high: 2}", f"space.yaml: student.lr: {LOW} '1'"),
        (f"student.hidden: {{low: 1, high: 1{'0' * 400}}}", "hidden: high: expected a number"),
        ("student.lr: {low: true, high: 2}", f"space.yaml: student.lr: {LOW} True"),
        ("student.lr: {low: .nan, high: 1}", f"space.yaml: student.lr: {LOW} nan"),
        ("student.lr: {low: 1, high: .inf}", "space.yaml: student.lr: high: .*found inf"),
        ("student.lr: {low: 2, high: 1}", "student.lr: expected low < high, found 2 and 1"),
        ("student.lr: {low: 0, high: 1}", "student.lr: expected a number > 0.*, found 0"),
        ("student.lr: {low: 0.1, high: 1, lg: true}", "student.lr: .*; found 'lg'"),
        ("student.lr: {low: 0.1, high: 1, log: 1}", "log: expected true or false, found 1"),
        (
            "student.dropout: {low: 0, high: 0.5, log: true}",
            "student.dropout: log: expected low > 0 and no step, found low: 0",
        ),
        (
            "student.lr: {low: 0.1, high: 1, log: true, step: 0.1}",
            "student.lr: log: expected low > 0 and no step, found a step",
        ),
        ("student.lr: {low: 1, high: 2, step: 0.3}", "step: expected one that leads to high"),
        ("student.lr: {low: 1, high: 2, step: -1}", "step: .* found -1"),
        ("student.hidden: {low: 4, high: 8, step: 0.5}", "student.hidden: step: .* found 0.5"),
        ("student.hidden: {low: 4.5, high: 8}", "hidden: expected an integer, found 4.5"),
        ("student.hidden: {low: 4, high: 8.5}", "hidden: expected an integer, found 8.5"),
        ("student.dropout: {low: 0.5, high: 1.0}", "student.dropout: .* < 1.* found 1.0"),
    ],
)
def test_what_is_wrong_is_told(text, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        read(text, tmp_path)
    assert "\n" not in str(error.value)


def test_no_such_space():
    with pytest.raises(InputError, match="--space studnt: no such file; did you mean 'student'"):
        find_space("studnt")


numbers = st.floats(1e-6, 0.4).map(lambda x: float(f"{x:.3g}"))
parts = st.one_of(
    st.lists(st.floats(0, 0.9), min_size=1, max_size=4, unique=True).map(
        lambda values: Choices(tuple(values))
    ),
    st.builds(lambda low, more, log: Range(low, low + more, log), numbers, numbers, st.booleans()),
    st.builds(
        lambda low, n: Range(low, float(f"{low + n * 0.01:.6g}"), step=0.01),
        numbers,
        st.integers(1, 9),
    ),
    st.builds(lambda low, n: Range(low, low + n, whole=True), st.integers(1, 9), st.integers(1, 9)),
)


@settings(deadline=None, max_examples=40)
@given(part=parts, seed=st.integers(0, 2**32 - 1), count=st.integers(0, 12))
def test_what_is_suggested_is_in_the_space(part, seed, count):
    """And a configuration takes it."""
    key = "student.hidden" if isinstance(part, Range) and part.whole else "student.dropout"
    trials: list[Trial] = []
    for number in range(count + 1):
        values = suggest({key: part}, trials, number, seed, 1)
        assert values.keys() == {key} and values[key] in part
        trials.append(Trial(number, values, "finished", [float(number % 3)]))
    assert flat(with_values(DEMO, values))[key] == values[key]
