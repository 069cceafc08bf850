"""Changes of a configuration are checked as a file is."""

import pytest

from infgrand_dgl import InputError


def test_replace(tiny_config):
    changed = tiny_config.replace("student", hidden=9).replace("distillation", lambda_=0.5)
    assert (changed.student.hidden, changed.distillation.lambda_) == (9, 0.5)
    assert changed.replace(method="glnn").method == "glnn"
    assert changed.teacher == tiny_config.teacher and tiny_config.student.hidden == 8


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("student", {"weight_dekay": 1}, "student.weight_dekay: unknown key; did you mean"),
        ("student", {"hidden": 0}, "student.hidden: expected a number >= 1, found 0"),
        ("teacher", {"model": "gat", "hidden": 10, "heads": 7}, "10 is not divisible by heads: 7"),
        ("train", {"mlp": False}, "train.mlp: unknown key"),
        ("influence", {"measure": "pagerank", "algorithm": "blocked"}, "only for measure: cosine"),
        (None, {"method": "glm"}, "method: expected one of .*; found 'glm'"),
        (None, {"methd": "glnn"}, "methd: unknown section; did you mean 'method'"),
    ],
)
def test_replace_is_checked(section, changes, message, tiny_config):
    with pytest.raises(InputError, match=message):
        tiny_config.replace(section, **changes)


def test_baseline_has_inputs_of_its_own(tiny_config):
    changed = tiny_config.replace("student", features="propagated").baseline("mlp")
    assert (changed.method, changed.student.features) == ("mlp", "auto")
