"""A study and a measure of another package: trained, kept, shown."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.studies.small import SMALL

PLUGIN = """
from infgrand_dgl.registry import Measure, Study, measures, studies
from infgrand_dgl.studies.summary import means
from infgrand_dgl.studies.tables import accuracies, by_setting
from infgrand_dgl.present.style import subplots


def cases(config):
    yield "", config, {"toy": config.replace("influence", measure="toy")}


def after(cell, folder, rows):
    for row in rows:
        row["letters"] = len(row["model"])
    return [{**cell.where(), "files": len(list(folder.iterdir()))}]


def tables(rows, folders=None):
    counted = [] if folders is None else [f"{len(folders)} folders"]
    part = lambda rows, column: accuracies(rows, ["dataset"], ["teacher", "toy"], column)
    return [*by_setting(rows, part), *counted]


def figures(rows, folders=None):
    figure, axes = subplots()
    axes.bar(range(2), means(rows)["mean"])
    return {"": figure}


measures.add(Measure("toy", label="A toy", scores=lambda inputs: inputs.csr.row_lengths.float()))
studies.add(
    Study(
        "toy-study",
        label="A toy of a study",
        cases=cases,
        tables=tables,
        figures=figures,
        caption="Two bars",
        settings=("transductive",),
        teachers=("gcn",),
        after=after,
        extra="folders",
    )
)
"""


def test_a_study_of_a_plugin(tmp_path):
    site, out = tmp_path / "site", tmp_path / "out"
    info = site / "toy-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "toy.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[infgrand_dgl.plugins]\ntoy = toy\n")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "infgrand_dgl", "study", "toy-study", "--datasets", "cora"]
    command += ["--seeds", "1", "--out", str(out), "--set", *SMALL]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    rows = pd.read_csv(out / "results.csv")
    assert list(rows["letters"]) == [7, 3] and list(rows["model"]) == ["teacher", "toy"]
    assert len(pd.read_csv(out / "folders.csv")) == 1
    page = (out / "toy-study.md").read_text()
    assert "# A toy of a study" in page and "| Dataset | Teacher | A toy |" in page
    assert "1 folders" in page and (out / "toy-study.svg").is_file()
    assert Path(out, "cells/cora_gcn_transductive_1/cell.json").is_file()
