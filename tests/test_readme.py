"""The README's Python and YAML do what it says."""

import re
from pathlib import Path
from typing import Any

import yaml

from infgrand_dgl.config.schema import Config
from infgrand_dgl.training.loop import accuracy

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python():
    (code,) = blocks("python")
    scope: dict[str, Any] = {}
    exec(code, scope)
    data, x = scope["data"], scope["x"]
    assert scope["influence"].shape == (data.num_nodes,) and x.shape == data.features.shape
    student = scope["student"].eval()
    assert accuracy(student(x)[data.test].argmax(1), data.labels[data.test]) > 0.8


def test_yaml():
    (text,) = blocks("yaml")
    config = Config.model_validate(yaml.safe_load(text))
    assert (config.data.name, config.teacher.model) == ("directory", "sage")
    assert (config.teacher.hidden, config.student.hidden) == (128, 128)
