"""Results that no model has had, in the form of real ones."""

from itertools import combinations

import numpy as np
import pandas as pd

from infgrand_dgl.registry import measures

THREE = ("cora", "citeseer", "coauthor-physics")
LEVEL = {"cora": 82, "citeseer": 71, "pubmed": 79, "amazon-photo": 92, "coauthor-cs": 91}
GAIN = {
    "teacher": 0,
    "mlp": -14,
    "mlp + propagation": -4,
    "glnn": -1,
    "glnn + propagation": 0.6,
    "infgrand loss": 0.5,
    "infgrand": 1.6,
}
RIVALS = {
    **{model: gain for model, gain in GAIN.items() if model != "infgrand loss"},
    "krd": -0.5,
    "krd + propagation": 1.0,
    "Recipe": 3.0,
}
FOUR = ("teacher", "mlp", "glnn", "infgrand")
MS = {"gcn": 0.9, "sage": 0.7, "gat": 1.3}


COLUMNS = ["dataset", "teacher", "setting", "seed", "case", "model", "validation", "test"]
COLUMNS += ["test_observed", "ms_per_request", "ms_per_1000_nodes", "seconds", "status"]


def results(
    tests,
    *,
    dataset="cora",
    teacher="gcn",
    setting="transductive",
    case="",
    ms=0.1,
    status="finished",
):
    """Rows of one cell: of each model the accuracy of seeds 1, 2, …"""
    return pd.DataFrame(
        [
            (
                dataset,
                teacher,
                setting,
                seed,
                case,
                model,
                test,
                test,
                np.nan,
                2 * ms,
                ms,
                3.0,
                status,
            )
            for model, values in tests.items()
            for seed, test in enumerate(values, start=1)
        ],
        columns=COLUMNS,
    )


def made_up(study, datasets=THREE, seeds=3, settings=("transductive",)):
    """Rows as a study leaves them, all of them finished."""
    random = np.random.default_rng(1)
    rows = []

    def add(dataset, teacher, setting, case, model, gain, ms=0.1):
        hidden = -6 if setting == "inductive" and model in ("mlp", "glnn") else 0
        for seed in range(2022, 2022 + seeds):
            test = (LEVEL.get(dataset, 94) + gain + hidden + random.normal(0, 0.8)) / 100
            observed = test + 0.01 if setting == "inductive" else np.nan
            time = ms * random.uniform(0.9, 1.1)
            cell = (dataset, teacher, setting, seed, case, model)
            rows.append((*cell, test, test, observed, 2 * time, time, 3.0, "finished"))

    for dataset in datasets:
        for setting in settings:
            for teacher in ("gcn", "sage", "gat"):
                cell = (dataset, teacher, setting)
                if study == "table1":
                    for model in FOUR:
                        add(*cell, "", model, GAIN[model])
                elif study == "high-low":
                    add(*cell, "high", "teacher", -6)
                    add(*cell, "low", "teacher", -14)
                elif study == "tradeoff":
                    for layers in (1, 2, 3, 4):
                        ms = MS[teacher] * layers
                        add(*cell, f"{layers} layers", "teacher", -abs(layers - 2), ms)
                elif study == "rivals":
                    for model, gain in RIVALS.items():
                        add(*cell, "", model, gain)
                if teacher != "gcn":
                    continue
                if study == "tradeoff":
                    for case, ms in (("", 0.12), ("width 64", 0.05), ("width 512", 0.3)):
                        for model in FOUR[1:]:
                            add(*cell, case, model, GAIN[model] + ms, ms)
                elif study == "label-scarce":
                    for share in (10, 20, 40):
                        for model in FOUR:
                            add(*cell, f"{share} %", model, GAIN[model] - 120 / share)
                elif study == "ablation":
                    for model, gain in GAIN.items():
                        add(*cell, "", model, gain)
                elif study == "sensitivity":
                    add(*cell, "", "teacher", 0)
                    for value in (0.0, 0.1, 0.3, 0.5, 0.9):
                        add(*cell, f"lambda={value}", "infgrand", -8 * (value - 0.1) ** 2)
                    for value in (0.5, 1.0, 1.5, 2.0, 4.0):
                        add(*cell, f"tau={value}", "infgrand", -((value - 1.5) ** 2) / 3)
                    for value in (0.01, 0.1, 0.5, 1, 10):
                        add(*cell, f"gamma2/gamma1={value}", "infgrand", 0)
                    for value in (0, 1, 2, 3, 5):
                        add(*cell, f"hops={value}", "infgrand", min(value, 2))
                    for pooling in ("mean", "max", "min"):
                        add(*cell, f"pooling={pooling}", "infgrand", -3 * (pooling == "min"))
                elif study == "measures":
                    add(*cell, "", "teacher", 0)
                    for measure in [m.name for m in measures.in_order()]:
                        add(*cell, "", measure, 1 + (measure == "cosine"))
    made = pd.DataFrame(rows, columns=COLUMNS)
    return with_collapsed(made) if study == "rivals" else made


def with_collapsed(rows):
    """GLNN's first seed has not learnt, its second had to be trained again; hidden nodes have been
    judged by their features alone."""
    glnn = rows["model"] == "glnn"
    rows["retrained"] = glnn & (rows["seed"] == 2023)
    first = glnn & (rows["seed"] == 2022)
    rows.loc[first, ["validation", "test"]] = 0.3
    rows["test_cold"] = (rows["test"] - 0.15).where(rows["setting"] == "inductive")
    return rows


def with_gaps(rows):
    """The last dataset failed; of the first one the last seed was not run."""
    numbers = [
        "validation",
        "test",
        "test_observed",
        "ms_per_1000_nodes",
        "ms_per_request",
        "seconds",
    ]
    failed = rows["dataset"] == rows["dataset"].iloc[-1]
    waiting = (rows["dataset"] == rows["dataset"].iloc[0]) & (rows["seed"] == rows["seed"].max())
    rows = rows.copy()
    for where, status in ((failed, "failed"), (waiting, "not run")):
        rows.loc[where, numbers] = np.nan
        rows.loc[where, ["model", "status"]] = ["", status]
        rows.loc[where & rows["case"].str.contains("="), "case"] = ""
    return rows.drop_duplicates()


def made_up_correlations(datasets=THREE, seeds=3):
    random = np.random.default_rng(2)
    names = [m.name for m in measures.in_order()][:6]
    pairs = list(combinations([*names, "centroid cosine"], 2))
    return pd.DataFrame(
        [
            (dataset, 2022 + seed, a, b, np.clip(random.normal(0.2, 0.5), -1, 1))
            for dataset in datasets
            for seed in range(seeds)
            for a, b in pairs
        ],
        columns=["dataset", "seed", "measure", "with", "spearman"],
    )


def cells(line):
    """Of a line of a table in Markdown."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def line(lines, start):
    """The cells of the first line that starts so."""
    return next(cells(line) for line in lines if line.startswith(f"| {start}"))
