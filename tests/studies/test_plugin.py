"""A study and a measure of another package: trained, kept, shown."""

import pandas as pd

from tests.studies.small import SMALL
from tests.test_plugins import done, install

PLUGIN = """
from infgrand_dgl.registry import Measure, Study, measures, studies
from infgrand_dgl.studies.summary import means
from infgrand_dgl.studies.tables import scored, by_setting
from infgrand_dgl.present.style import subplots


def cases(config):
    yield "", config, {"toy": config.replace("influence", measure="toy")}


def after(cell, folder, rows):
    for row in rows:
        row["letters"] = len(row["model"])
    return [{**cell.where(), "files": len(list(folder.iterdir()))}]


def tables(rows, folders=None):
    counted = [] if folders is None else [f"{len(folders)} folders"]
    part = lambda rows, column: scored(rows, ["dataset"], ["teacher", "toy"], column)
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
    install("toy", PLUGIN, tmp_path)
    asked = ["toy-study", "--datasets", "cora", "--seeds", "1", "--out", "out"]
    done(tmp_path, "study", *asked, "--set", *SMALL)
    out = tmp_path / "out"
    rows = pd.read_csv(out / "results.csv")
    assert list(rows["letters"]) == [7, 3] and list(rows["model"]) == ["teacher", "toy"]
    assert len(pd.read_csv(out / "folders.csv")) == 1
    page = (out / "toy-study.md").read_text()
    assert "# A toy of a study" in page and "| Dataset | Teacher | A toy |" in page
    assert "1 folders" in page and (out / "toy-study.svg").is_file()
