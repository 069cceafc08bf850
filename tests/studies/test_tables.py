"""Tables of a few numbers, cell by cell."""

import numpy as np
import pandas as pd

from infgrand_dgl.studies import tables

from .made_up import results


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def line(lines, start):
    return next(cells(line) for line in lines if line.startswith(f"| {start}"))


def test_best_of_a_line_is_bold_and_ties_are_all():
    rows = results({"teacher": [0.8204, 0.8204], "glnn": [0.80, 0.82], "infgrand": [0.82, 0.8202]})
    lines = tables.table1(rows)
    assert lines[0] == "## Transductive"
    assert cells(lines[2]) == ["Dataset", "GNN", "Teacher", "MLP", "GLNN", "InfGraND"]
    assert cells(lines[4])[2:] == ["**82.0 ± 0.0**", "–", "81.0 ± 1.0", "**82.0 ± 0.0**"]


def test_star_needs_three_seeds_and_significance():
    glnn = [0.80, 0.81, 0.82]
    clear = results({"glnn": glnn, "infgrand": [0.82, 0.8301, 0.8399]})
    noisy = results({"glnn": glnn, "infgrand": [0.85, 0.78, 0.84]})
    worse = results({"glnn": [0.82, 0.8301, 0.8399], "infgrand": glnn})
    for rows, marked in (
        (clear, True),
        (clear[clear["seed"] < 3], False),
        (noisy, False),
        (worse, False),
    ):
        assert line(tables.table1(rows), "Cora")[-1].endswith("\\*") is marked


def test_gains_over_the_cells():
    one = results({"glnn": [0.80, 0.80], "infgrand": [0.81, 0.83]})
    other = results({"glnn": [0.80, 0.80], "infgrand": [0.79, 0.79]}, dataset="citeseer")
    gain = line(tables.table1(pd.concat([one, other])), "InfGraND − GLNN")
    # 1, 3, −1, −1: mean 0.5, deviation √(11 / 3), t = 0.522 with three degrees of freedom.
    assert gain[1:] == ["+0.50", "−2.55 to +3.55", "4", "1 of 2", "0.638", "1.000"]


def test_missing_cells_say_why():
    rows = pd.concat(
        [
            results({"glnn": [0.80, 0.81], "infgrand": [0.83]}),
            results({"": [np.nan, np.nan]}, dataset="citeseer", status="failed"),
            results({"": [np.nan, np.nan]}, dataset="pubmed", status="not run"),
        ]
    )
    lines = tables.table1(rows)
    assert line(lines, "Cora")[-2:] == ["80.5 ± 0.5", "**83.0 (1 seed)**"]
    assert set(line(lines, "Citeseer")[2:]) == {"failed"}
    assert set(line(lines, "Pubmed")[2:]) == {"not run"}
    note = "\n".join(tables.note(rows))
    assert "over 2 seeds; a cell with fewer says so" in note
    assert "Missing: 2 failed, 2 not run." in note


def test_one_seed_has_no_deviation():
    rows = results({"glnn": [0.80], "infgrand": [0.83]})
    assert "one seed" in tables.note(rows)[0]
    assert line(tables.table1(rows), "Cora")[-2:] == ["80.0", "**83.0**"]
    assert line(tables.table1(rows), "InfGraND − GLNN")[1:] == [
        "+3.00",
        "–",
        "1",
        "1 of 1",
        "–",
        "–",
    ]


def test_inductive_has_hidden_and_observed_nodes():
    rows = results({"glnn": [0.80], "infgrand": [0.83]}, setting="inductive")
    lines = tables.table1(rows.assign(test_observed=rows["test"] + 0.02))
    hidden, observed = (i for i, text in enumerate(lines) if text.startswith("## "))
    assert (lines[hidden], lines[observed]) == (
        "## Inductive: hidden test nodes",
        "## Inductive: observed test nodes",
    )
    assert line(lines[hidden:], "Cora")[-1] == "**83.0**"
    assert line(lines[observed:], "Cora")[-1] == "**85.0**"


def test_high_beside_low():
    high = results({"teacher": [0.80, 0.82]}, case="high")
    low = results({"teacher": [0.70, 0.74]}, case="low")
    lines = tables.high_low(pd.concat([high, low]))
    assert line(lines, "Cora")[2:] == ["**81.0 ± 1.0**", "72.0 ± 2.0", "+9.0"]
    assert line(lines, "High influence − Low influence")[1] == "+9.00"


def test_label_scarce_by_share():
    rows = [
        results({"glnn": [0.7], "infgrand": [0.7 + g]}, case=c)
        for c, g in (("20 %", 0.02), ("10 %", 0.04))
    ]
    lines = tables.label_scarce(pd.concat(rows))
    assert cells(lines[2])[2] == "Labels"
    assert [cells(text)[2] for text in lines[4:6]] == ["10 %", "20 %"]
    assert line(lines, "InfGraND − GLNN |")[1] == "+3.00"
    assert line(lines, "InfGraND − GLNN, 10 % of the labels")[1] == "+4.00"


def test_ablation_gains_of_the_components():
    rows = results(
        {
            "mlp": [0.6],
            "mlp + propagation": [0.7],
            "glnn": [0.8],
            "infgrand loss": [0.81],
            "infgrand": [0.84],
        }
    )
    lines = tables.ablation(rows)
    assert line(lines, "MLP + propagation − MLP")[1] == "+10.00"
    assert line(lines, "InfGraND, loss only − GLNN")[1] == "+1.00"
    assert line(lines, "InfGraND − InfGraND, loss only")[1] == "+3.00"


def test_tradeoff_compares_with_the_best_on_validation():
    rows = pd.concat(
        [
            results({"teacher": [0.80]}, case="2 layers", ms=0.4),
            results({"teacher": [0.84]}, case="2 layers", ms=1.0, teacher="gat"),
            results({"infgrand": [0.82]}, ms=0.1, case="width 256"),
            results({"infgrand": [0.81]}, ms=0.05, case="width 64"),
            results({"": [np.nan]}, case="3 layers", status="failed"),
        ]
    )
    lines = tables.tradeoff(rows)
    assert line(lines, "Cora | GCN, 2 layers")[2:] == [
        "80.0",
        "+2.0 points",
        "0.4",
        "4 ×",
        "0.8",
        "4 ×",
    ]
    assert line(lines, "Cora | GAT, 2 layers")[2:] == [
        "84.0",
        "−2.0 points",
        "1",
        "10 ×",
        "2",
        "10 ×",
    ]
    assert line(lines, "Cora | InfGraND (GCN), width 256")[2:] == [
        "82.0",
        "–",
        "0.1",
        "–",
        "0.2",
        "–",
    ]
    assert line(lines, "Cora | GCN, 3 layers")[2:] == ["failed", *"–––––"]


def test_sensitivity_has_a_table_for_each_parameter():
    rows = [
        results({"infgrand": [a]}, case=c)
        for c, a in (("tau=2", 0.8), ("tau=1", 0.7), ("pooling=max", 0.6))
    ]
    lines = tables.sensitivity(pd.concat(rows))
    start = lines.index("### τ")
    assert cells(lines[start + 2])[2:] == ["1", "2"]
    assert cells(lines[start + 4])[2:] == ["70.0", "**80.0**"]
    assert cells(lines[lines.index("### Pooling") + 4])[2:] == ["60.0"]


def test_rank_correlations_once_a_pair():
    found = pd.DataFrame(
        [("cora", 1, "cosine", "degree", 0.5), ("cora", 2, "cosine", "degree", 0.7),
         ("cora", 1, "degree", "cosine", 0.5), ("pubmed", 1, "cosine", "jacobian", -0.25)],
        columns=["dataset", "seed", "measure", "with", "spearman"],
    )  # fmt: skip
    assert [cells(text) for text in tables.rank_correlations(found)[2:]] == [
        ["Cosine", "Jacobian", "–", "−0.25"],
        ["Cosine", "Degree", "0.60 ± 0.10", "–"],
    ]
