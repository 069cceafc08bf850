"""Studies of a second: a generated graph in the place of each of the paper's, small models."""

import pandas as pd

from infgrand_dgl.present.console import Reporter
from infgrand_dgl.registry import studies
from infgrand_dgl.studies.grid import cells_of
from infgrand_dgl.studies.published import SETTINGS
from infgrand_dgl.studies.runner import study

QUIET = Reporter(quiet=True)
SMALL = [
    "data.name=synthetic",
    "data.nodes=250",
    "data.features=40",
    "data.classes=3",
    "teacher.hidden=8",
    "student.hidden=8",
    "teacher.layers=2",
    "student.layers=2",
    "train.epochs=4",
    "train.device=cpu",
    "student.weight_decay=0",
]


def cells(
    name="table1",
    datasets=("cora",),
    teachers=("gcn",),
    settings=None,
    seeds=(1, 2),
    more=(),
    methods=None,
):
    plan, given = studies[name], [*SMALL, *more]
    settings = settings or (plan.settings or SETTINGS)[:1]
    return cells_of(plan, datasets, teachers, settings, seeds, given, methods=methods)


def run(name, asked, out, **options):
    return study(name, asked, out, command="infgrand-dgl study", report=QUIET, **options)


def results(out):
    return pd.read_csv(out / "results.csv", keep_default_na=False, na_values=[""])
