"""Other measures: their students, and how they rank the nodes."""

import pandas as pd
import pytest

from infgrand_dgl import registry
from infgrand_dgl.data import load_dataset
from infgrand_dgl.registry import Measure
from infgrand_dgl.studies.catalog import measures
from tests.studies.made_up import cells, line, results
from tests.studies.small import cells as small_cells
from tests.studies.small import run


def test_every_measure_in_order():
    (cell,) = small_cells("measures", seeds=[1])
    expected = ["cosine", "jacobian", "pagerank", "degree", "entropy", "hybrid"]
    expected += ["agreement", "curvature", "label-reach", "renode", "uniform"]
    assert list(cell.students) == expected
    assert [config.influence.measure for config in cell.students.values()] == expected


def test_correlations_of_the_measures(tmp_path):
    asked = small_cells("measures", seeds=[1])
    run("measures", asked, tmp_path / "out")
    rows = pd.read_csv(tmp_path / "out/correlations.csv")
    table = rows.pivot_table(index="measure", columns="with", values="spearman")
    assert (table.values.diagonal() == pytest.approx(1)) and "uniform" not in table
    dataset = load_dataset(asked[0].config, 1)
    degree = (dataset.csr.row_lengths - 1).double()
    centroid = dataset.dense_features() @ dataset.dense_features().mean(dim=0)
    centroid /= dataset.dense_features().norm(dim=1)
    both = pd.DataFrame({"degree": degree, "centroid": centroid.double()})
    expected = both.corr(method="spearman")["degree"]["centroid"]
    assert table["degree"]["centroid cosine"] == pytest.approx(expected, abs=1e-3)


def test_rank_correlations_once_a_pair():
    found = pd.DataFrame(
        [("cora", 1, "cosine", "degree", 0.5), ("cora", 2, "cosine", "degree", 0.7),
         ("cora", 1, "degree", "cosine", 0.5), ("pubmed", 1, "cosine", "jacobian", -0.25)],
        columns=["dataset", "seed", "measure", "with", "spearman"],
    )  # fmt: skip
    assert [cells(text) for text in measures.rank_correlations(found)[2:]] == [
        ["Cosine", "Jacobian", "–", "−0.25"],
        ["Cosine", "Degree", "0.60 ± 0.10", "–"],
    ]


def test_a_measure_of_a_plugin_is_shown(monkeypatch):
    """After ours, in what is trained, in the table and in the figure."""
    toy = Measure("toy", label="A toy", scores=print)
    monkeypatch.setitem(registry.measures.added, "toy", toy)
    (cell,) = small_cells("measures", seeds=[1])
    assert list(cell.students)[-2:] == ["uniform", "toy"]
    tests = {"teacher": [0.7], "toy": [0.8], "cosine": [0.81], "uniform": [0.79]}
    rows = results(tests)
    lines = measures.tables(rows)
    assert cells(lines[2])[2:] == ["Teacher", "Cosine", "Uniform", "A toy"]
    assert line(lines, "Cosine − A toy")[1] == "+1.00"
    (axes,) = measures.figures(rows)[""].axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["Cosine", "Uniform", "A toy"]
