"""Runs of a second or two, made once, and a study's folder."""

import json
import shutil
from pathlib import Path

import pytest

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.experiment import train as recipe
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.present.style import save, subplots
from infgrand_dgl.report.page import write

SMALL = [
    "data.nodes=300",
    "data.features=60",
    "data.classes=3",
    "teacher.hidden=8",
    "student.hidden=8",
    "train.epochs=5",
    "train.seeds=[1, 2]",
    "train.device=cpu",
    "train.baselines=[mlp, glnn]",
]


def made(out: Path, *overrides: str) -> Path:
    config = load_config("demo", [*SMALL, *overrides])
    recipe.train(config, out, report=Reporter(quiet=True))
    return out


@pytest.fixture(scope="session")
def transductive(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("transductive") / "run")


@pytest.fixture(scope="session")
def inductive(tmp_path_factory) -> Path:
    """Without baselines."""
    setting = "data.setting=inductive"
    return made(tmp_path_factory.mktemp("inductive") / "run", setting, "train.baselines=[]")


@pytest.fixture
def run(transductive, tmp_path) -> Path:
    """A copy to damage."""
    return shutil.copytree(transductive, tmp_path / "run")


@pytest.fixture(scope="session")
def studied(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    told = {
        "study": "table1",
        "title": "Table 1",
        "command": "infgrand-dgl study table1 --seeds '<1>'",
        "cells": {"finished": 40, "failed": 1, "not run": 0},
        "seconds": 7300.0,
        "environment": {"torch": "2.13", "gpus": []},
    }
    (folder / "study.json").write_text(json.dumps(told))
    (folder / "table1.md").write_text(
        "# Table 1\n\nOver **five** [seeds](https://example.org), <script>alert(1)</script>.\n\n"
        "## Cora\n\n| model | test |\n|---|---:|\n| GLNN | 80.1 |\n\n![Accuracy](table1.png)\n\n"
        "Accuracy ([SVG](table1.svg)).\n"
    )
    for name in ("table1", "table1-degrees"):
        figure, axes = subplots()
        axes.plot([1, 2])
        for kind in ("svg", "png"):
            save(figure, folder / f"{name}.{kind}")
    return folder


@pytest.fixture
def study(studied, tmp_path) -> Path:
    """A copy to damage."""
    return shutil.copytree(studied, tmp_path / "study")


@pytest.fixture(scope="session")
def everything(transductive, studied, inductive, tmp_path_factory) -> Path:
    """The page of two runs and a study."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    write([transductive, studied, inductive], out, Reporter(quiet=True))
    return out
