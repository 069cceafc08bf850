"""What is tried next, what mattered, and which trials are worth going on with."""

import pytest

from infgrand_dgl.studies.tuning.search import importances, suggest
from infgrand_dgl.studies.tuning.space import Choices, Range, Space
from infgrand_dgl.studies.tuning.trials import Trial, is_poor, ranked

SPACE: Space = {
    "a.x": Range(0.0, 1.0),
    "a.kind": Choices(("bad", "good", "bad too")),
    "a.y": Range(0.0, 1.0),
}


def score(values):
    return (values["a.kind"] == "good") - (values["a.x"] - 0.3) ** 2


def searched(count, seed=0, sign=1):
    trials: list[Trial] = []
    for number in range(count):
        values = suggest(SPACE, trials, number, seed, sign)
        trials.append(Trial(number, values, "finished", [sign * score(values)]))
    return trials


@pytest.mark.parametrize("sign", [1, -1])
def test_it_finds_what_is_good(sign):
    trials = searched(50, sign=sign)
    late = [trial.values for trial in trials[-20:]]
    assert sum(values["a.kind"] == "good" for values in late) > 12
    best = ranked(trials, sign)[0]
    assert best.values["a.kind"] == "good" and abs(best.values["a.x"] - 0.3) < 0.1


def test_what_is_tried_depends_on_the_trials_alone():
    trials = searched(14)
    assert suggest(SPACE, trials, 14, 0, 1) == suggest(SPACE, trials, 14, 0, 1)
    assert searched(15)[-1].values == suggest(SPACE, trials, 14, 0, 1)
    others = (suggest(SPACE, trials, 15, 0, 1), suggest(SPACE, trials, 14, 1, 1))
    assert suggest(SPACE, trials, 14, 0, 1) not in others


def test_failed_pruned_and_running_trials_are_known_to_it():
    trials = searched(12)
    trials[0] = Trial(0, trials[0].values, "failed", error="no")
    trials[1] = Trial(1, trials[1].values, "pruned", [0.1])
    trials.append(Trial(12, trials[2].values))
    assert suggest(SPACE, trials, 13, 0, 1).keys() == SPACE.keys()


def test_importances():
    trials = searched(40)
    shares = importances(SPACE, trials, 1)
    assert next(iter(shares)) == "a.kind" and shares["a.kind"] > 0.7
    assert sum(shares.values()) == pytest.approx(1)
    assert importances(SPACE, trials[:3], 1) == {}
    alike = [Trial(n, trial.values, "finished", [1.0]) for n, trial in enumerate(trials)]
    assert importances(SPACE, alike, 1) == {}
    one: Space = {**SPACE, "a.z": Choices((7,))}  # of no use to know
    more = [Trial(t.number, {**t.values, "a.z": 7}, "finished", t.scores) for t in trials]
    assert importances(one, more, 1).keys() == SPACE.keys()


def test_the_median_stops_what_is_poor():
    """By hand: of the first seeds of 1, 2, 3, 4, 5 the median is 3."""
    others = [Trial(n, {}, "finished", [float(n), 9.0]) for n in range(1, 6)]
    assert is_poor(Trial(9, {}, scores=[2.9]), others, 1)
    assert not is_poor(Trial(9, {}, scores=[3.0]), others, 1)
    assert is_poor(Trial(9, {}, scores=[3.1]), others, -1)
    assert not is_poor(Trial(9, {}, scores=[3.1]), others, 1)
    # Of two seeds the means are 5, 5.5, 6, 6.5, 7.
    assert is_poor(Trial(9, {}, scores=[3.0, 8.9]), others, 1)
    assert not is_poor(Trial(9, {}, scores=[0.0]), others[:4], 1)
    failed = [Trial(n, {}, "failed", []) for n in range(9)]
    assert not is_poor(Trial(9, {}, scores=[0.0]), [*others[:4], *failed], 1)


def test_the_best_comes_first():
    trials = [Trial(n, {}, "finished", [s, s]) for n, s in enumerate([0.2, 0.9, 0.9, 0.1])]
    trials.append(Trial(4, {}, "pruned", [5.0]))
    assert [trial.number for trial in ranked(trials, 1)] == [1, 2, 0, 3]
    assert [trial.number for trial in ranked(trials, -1)] == [3, 0, 1, 2]


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_tried_twice(seed):
    """While something else is left; then all goes on."""
    space: Space = {"a.x": Choices((1, 2, 3, 4)), "a.y": Choices(("p", "q", "r"))}
    trials: list[Trial] = []
    for number in range(14):
        values = suggest(space, trials, number, seed, 1)
        trials.append(Trial(number, values, "finished", [float(values["a.x"] == 2)]))
    tried = [tuple(trial.values.values()) for trial in trials]
    assert len(set(tried[:12])) == 12 and set(tried[12:]) <= set(tried[:12])
