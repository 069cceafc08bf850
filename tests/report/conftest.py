"""Runs of a second or two, made once, a study's folder, and what is asked of a page."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from infgrand_dgl.cli import main
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.experiment.train import train
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
    train(config, out, report=Reporter(quiet=True))
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
    content = {
        "study": "table1",
        "title": "Table 1",
        "command": "infgrand-dgl study table1 --seeds '<1>'",
        "cells": {"finished": 40, "failed": 1, "not run": 0},
        "seconds": 7300.0,
        "environment": {"torch": "2.13", "gpus": []},
    }
    (folder / "study.json").write_text(json.dumps(content))
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


class Page(HTMLParser):
    """Tags, their attributes and the text of a page, whose elements all close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.text = html, ""
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.tags if name in attrs]

    def rows(self):
        """Of all tables, cells joined by |."""
        rows = re.findall(r"<tr>(.*?)</tr>", self.html, flags=re.DOTALL)
        return [
            "|".join(re.sub("<.*?>", "", cell) for cell in re.split(r"</t[hd]>", row)).strip("|")
            for row in rows
        ]


def checked(html):
    """The page, which needs nothing else."""
    page = Page(html)
    for where in page.attributes("src") + page.attributes("href"):
        assert where.startswith(("data:", "#"))
    assert not {"script", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "@import" not in html and "url(" not in html
    for tag, attrs in page.tags:
        assert tag != "img" or attrs["alt"]
    return page


@pytest.fixture
def report(tmp_path, capsys):
    """The page of a command."""

    def report(*paths):
        out = tmp_path / "report.html"
        assert main(["report", *map(str, paths), "--out", str(out), "-q"]) == 0
        assert capsys.readouterr().out == f"wrote {out}\n"
        return checked(out.read_text())

    return report


@pytest.fixture
def refused(tmp_path, capsys):
    """The one line of error of a report that leaves no page; else what it did instead."""

    def refused(path: Path) -> str:
        out = tmp_path / "none.html"
        status = main(["report", str(path), "--out", str(out)])
        error = capsys.readouterr().err
        if status != 2 or error.count("\n") != 1 or out.exists():
            return f"not refused: status {status}, a page: {out.exists()}\n{error}"
        return error

    return refused
