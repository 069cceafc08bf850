"""Edge weights and directions, from each format to the dataset."""

import json
import re
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.io import savemat

from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source
from infgrand_dgl.data.dataset import NodeDataset
from infgrand_dgl.errors import InputError
from infgrand_dgl.graph.csr import CSRGraph

from ...cli.conftest import refused, run
from . import layouts, weighted
from .layouts import beside
from .weighted import NAMED, OTHER, UNCLEAR, adjacency, graph

GIVEN = {**{form: (layout, []) for form, layout in NAMED.items()}, **UNCLEAR, **OTHER}


def load(path: Path, **settings: object) -> NodeDataset:
    return load_source(DataConfig(name="directory", root=str(path), **settings))  # type: ignore


def dense(csr: CSRGraph) -> np.ndarray:
    values = np.ones(csr.num_edges) if csr.weights is None else csr.weights.numpy()
    shape = (csr.num_rows, csr.num_cols)
    return sp.csr_matrix((values, csr.indices.numpy(), csr.indptr.numpy()), shape).toarray()


@pytest.mark.parametrize("form", GIVEN)
def test_import(form, tmp_path, capsys):
    """What is written loads back the same, and `--drop-weights` takes the edges alone."""
    layout, said = GIVEN[form]
    g, weights = graph()
    source, expected = layout(g, weights, tmp_path), adjacency(g, weights)
    command = ("data", "import", source, *beside(form.split()[0], tmp_path), "--out")
    status, output, err = run(capsys, *command, tmp_path / "out", *said)
    assert status == 0, err
    assert f"{g.num_nodes} nodes" in output and "edges have weights; --drop-weights" in err
    d = load(tmp_path / "out")
    assert d.csr.weights is not None and d.csr.weights.dtype == torch.float32
    np.testing.assert_array_equal(dense(d.csr), expected)
    assert d.provenance["weights"] == "given"
    np.testing.assert_array_equal(dense(load(tmp_path / "out", weights=False).csr), expected > 0)

    status, _, err = run(capsys, *command, tmp_path / "plain", "--drop-weights")
    assert status == 0 and "edges have weights" not in err, err
    assert not (tmp_path / "plain/weights.npy").exists()
    plain = load(tmp_path / "plain")
    assert plain.csr.weights is None and "weights" not in plain.provenance
    np.testing.assert_array_equal(dense(plain.csr), expected > 0)


# Nothing beside data.root says where the matrix' features are.
@pytest.mark.parametrize("form", [each for each in NAMED if each != "scipy-matrix"])
def test_root_is_the_source_itself(form, tmp_path):
    g, weights = graph()
    source = NAMED[form](g, weights, tmp_path)
    expected = adjacency(g, weights)
    for wanted in (None, True):
        np.testing.assert_array_equal(dense(load(source, weights=wanted).csr), expected)
    plain = load(source, weights=False)
    assert plain.csr.weights is None
    np.testing.assert_array_equal(dense(plain.csr), expected > 0)
    assert plain.fingerprint != load(source).fingerprint


@pytest.mark.parametrize("form", UNCLEAR)
def test_what_is_unclear_is_asked(form, tmp_path, capsys):
    g, weights = graph()
    source = UNCLEAR[form][0](g, weights, tmp_path)
    command = ("data", "import", source, *beside(form.split()[0], tmp_path))
    told = refused(capsys, tmp_path, *command, "--out", tmp_path / "out")
    assert "unclear" in told and "--weights" in told and "--drop-weights" in told


@pytest.mark.parametrize("form", OTHER)
def test_other_names_are_no_weights(form, tmp_path, capsys):
    g, weights = graph()
    source = OTHER[form][0](g, weights, tmp_path)
    d = load(source)
    assert d.csr.weights is None
    np.testing.assert_array_equal(dense(d.csr), adjacency(g, weights) > 0)
    np.testing.assert_array_equal(dense(load(source, weights=True).csr), adjacency(g, weights))
    if form == "folder parquet":
        status, _, err = run(capsys, "data", "import", source, "--out", tmp_path / "out")
        assert status == 0 and "column rating is not used; data import --weights rating" in err


@pytest.mark.parametrize("form", layouts.LAYOUTS)
def test_a_graph_without_weights_has_none_to_take(form, tmp_path, capsys):
    g = layouts.ordered(layouts.graph()) if form == "planetoid" else layouts.graph()
    if form.split()[0] in ("gnn-benchmark", "graphsaint", "matlab", "scipy-matrix"):
        pytest.skip("the ones of its matrix are weights, if a user says so")
    source = layouts.LAYOUTS[form](g, tmp_path)
    command = ("data", "import", source, *beside(form, tmp_path), "--out", tmp_path / "out")
    told = refused(capsys, tmp_path, *command, "--weights")
    assert "expected edge weights (--weights), found none" in told


def test_a_dgl_file(tmp_path):
    g, weights = graph()
    source = weighted.dgl_file(g, weights, tmp_path)
    for wanted in (None, True):
        d = load(source, weights=wanted)
        np.testing.assert_array_equal(dense(d.csr), adjacency(g, weights))
    np.testing.assert_array_equal(dense(load(source, weights=False).csr), adjacency(g, weights) > 0)


def test_loops_parallels_zeros_and_both_directions(tmp_path, caplog):
    g, _ = graph()
    g.edges = np.array(
        [[0, 1], [0, 1], [2, 2], [3, 4], [4, 3], [5, 6], [6, 5], [7, 8], [8, 9], [9, 8]]
    )
    weights = np.array([0.5, 1.25, 7, 2, 5, 0.75, 0.75, 0, 0, 3])
    d = load(weighted.own(g, weights, tmp_path))
    np.testing.assert_array_equal(dense(d.csr), adjacency(g, weights))
    by_hand = {(0, 1): 1.75, (2, 2): 1, (3, 4): 3.5, (5, 6): 0.75, (7, 8): 0, (8, 9): 3}
    for (u, v), weight in by_hand.items():
        assert dense(d.csr)[u, v] == dense(d.csr)[v, u] == weight
    (line,) = [r.getMessage() for r in caplog.records if "mean counts" in r.getMessage()]
    assert line.startswith("1 edges weigh more in one direction")


def test_counts_in_a_matrix(tmp_path, capsys):
    """They are merged, and told; they are weights for who says so."""
    g, _ = graph()
    counts = np.random.randint(1, 5, len(g.edges)).astype(float)
    counts[:2] = 1, 4
    source = weighted.gnn_benchmark(g, counts, tmp_path)
    status, _, err = run(capsys, "data", "import", source, "--out", tmp_path / "merged")
    assert (
        status == 0 and "adjacency: 1 to 4 count parallel edges, which are merged; data.weig" in err
    )
    np.testing.assert_array_equal(dense(load(tmp_path / "merged").csr), adjacency(g, counts) > 0)
    assert run(capsys, "data", "import", source, "--out", tmp_path / "out", "--weights")[0] == 0
    np.testing.assert_array_equal(dense(load(tmp_path / "out").csr), adjacency(g, counts))


def test_missing_attributes_are_one(tmp_path, capsys):
    g, weights = graph()
    network = weighted.networkx(g, weights)
    for u, v in g.edges[-3:].tolist():
        del network.edges[f"n{u}", f"n{v}"]["weight"]
    nx.write_graphml(network, tmp_path / "graph.graphml")
    command = ("data", "import", tmp_path / "graph.graphml", "--out", tmp_path / "out")
    status, _, err = run(capsys, *command)
    assert status == 0 and "3 edges without weight have weight 1" in err
    weights[-3:] = 1
    np.testing.assert_array_equal(dense(load(tmp_path / "out").csr), adjacency(g, weights))


def _changed(value):
    """The weight of the third edge is another."""

    def write(form, folder):
        g, weights = graph()
        weights = weights.astype(float)
        weights[2] = value
        return {**NAMED, "edge-list": weighted.snap}[form](g, weights, folder)

    return write


def _text(form, folder):
    path = NAMED[form](*graph(), folder)
    file = path / "edges.csv"
    lines = file.read_text().splitlines()
    lines[3] = ";".join([*lines[3].split(";")[:3], "heavy"])
    file.write_text("\n".join(lines))
    return path


def _short(form, folder):
    g, weights = graph()
    return {"folder": weighted.own, "pyg": weighted.pyg, "matlab edges": weighted.matlab_edges,
            "folder beside": weighted.beside_a_table}[form](g, weights[:-1], folder)  # fmt: skip


def _twice(form, folder):
    path = weighted.table(*graph(), folder)
    np.save(path / "weights.npy", graph()[1])
    return path


def _unlike(form, folder):
    path = weighted.table(*graph(), folder)
    (path / "edges.csv").write_text("u,v,w,weight\n0,1,2,3\n")
    return path


BAD = {
    "negative": ("folder", _changed(-1), r"weights.npy: expected edge weights of 0.*found -1 in row 2"),
    "NaN": ("folder", _changed(np.nan), "weights.npy: .*found nan in row 2"),
    "infinite": ("folder", _changed(np.inf), "weights.npy: .*found inf in row 2"),
    "beyond float32": ("folder", _changed(1e39), r"within float32, found 1e\+39 in row 2"),
    "below float32": ("folder", _changed(1e-50), "within float32, found 1e-50 in row 2"),
    "negative in a table": ("folder table", _changed(-1), r"edges.csv: column Weight: .*found -1 in row 2 .line 4."),
    "text in a table": ("folder table", _text, r"found 'heavy' in row 2 .line 4."),
    "NaN in a table": ("folder table", _changed(np.nan), r"found '' in row 2 .line 4."),
    "negative in a matrix": ("gnn-benchmark", _changed(-0.5), r"adjacency: .*found -0.5 in entry \d+, \d+"),
    "NaN in a matrix": ("matlab", _changed(np.nan), "adjacency: .*found nan"),
    "negative in GraphML": ("networkx graphml", _changed(-2), "edges: weight: .*found -2"),
    "negative in PyG": ("pyg", _changed(-2), "edge_weight: .*found -2 in row 2"),
    "negative beside a node table": ("edge-list", _changed(-2), "column 2: .*found -2 in row 2 .line 4."),
    "too few": ("folder", _short, r"weights.npy: expected edge weights \[\d+\], one for each edge, found \[\d+\]"),
    "too few in PyG": ("pyg", _short, r"edge_weight: expected edge weights \[\d+\]"),
    "too few in MATLAB": ("matlab edges", _short, r"weight: expected edge weights \[\d+\]"),
    "too few in a table": ("folder beside", _short, r"weights.csv: expected edge weights \[\d+\]"),
    "twice": ("folder table", _twice, "weights.npy: expected edge weights once, found some in"),
    "two columns": ("folder table", _unlike, "expected one kind of edge weights, found w and weight"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_refused(case, tmp_path, capsys):
    form, write, told = BAD[case]
    source = write(form, tmp_path)
    said = ["--weights"] if form == "edge-list" else []
    command = ("data", "import", source, *beside(form, tmp_path), "--out", tmp_path / "out")
    found = refused(capsys, tmp_path, *command, *said)
    assert re.search(told, found), found


WRONG_NAME = {
    "folder table": "expected one of kind, Weight",
    "networkx graphml": "expected one of weight",
    "gnn-benchmark": "it has no names",
    "pyg": "expected one of edge_weight",
}


@pytest.mark.parametrize("form", WRONG_NAME)
def test_no_such_column(form, tmp_path, capsys):
    source = NAMED[form](*graph(), tmp_path)
    command = ("data", "import", source, "--out", tmp_path / "out", "--weights", "strength")
    assert WRONG_NAME[form] in refused(capsys, tmp_path, *command)


def test_one_or_the_other(tmp_path, capsys):
    status, _, err = run(capsys, "data", "import", "x", "--out", "y", "--weights", "--drop-weights")
    assert status == 2 and "--drop-weights: not allowed with argument --weights" in err


# Directions


def _pairs(both: int, alone: int, folder: Path) -> Path:
    """A folder of edges of which some are listed in both directions."""
    g, _ = graph()
    ends = g.edges[: both + alone]
    g.edges = np.concatenate([ends, ends[:both, ::-1], [[3, 3]], ends[:1]])
    path = weighted.own(g, np.ones(0), folder)
    (path / "weights.npy").unlink()
    return path


@pytest.mark.parametrize(
    ("both", "alone", "told"),
    [
        (7, 5, "edges: made undirected, 5 of 19 had no reverse"),
        (9, 0, None),
        (0, 11, None),
    ],
)
def test_directions_of_a_list(both, alone, told, tmp_path, caplog, capsys):
    source = _pairs(both, alone, tmp_path)
    d = load(source)
    assert d.num_edges == 2 * (both + alone) + d.num_nodes
    lines = [r.getMessage() for r in caplog.records]
    assert lines == ([] if told is None else [f"{source}: {told}"])
    assert d.provenance.get("edges") == (told and told.removeprefix("edges: "))
    _, _, err = run(capsys, "data", "import", source, "--out", tmp_path / "out")
    assert ("made undirected" in err) == (told is not None)
    if alone:
        with pytest.raises(InputError, match="has no reverse"):
            load(source, edges="directed")
    else:
        assert load(source, edges="directed").num_edges == d.num_edges


def _directed(form, g, folder):
    if form == "graphml":
        network = nx.DiGraph(layouts.networkx(g))
        network.remove_edges_from([*network.edges])
        network.add_edges_from((f"n{u}", f"n{v}") for u, v in g.edges)
        nx.write_graphml(network, folder / "graph.graphml")
        return folder / "graph.graphml"
    if form == "dgl":
        return weighted.dgl_file(g, np.ones(len(g.edges)), folder)
    if form == "half":
        g.edges = np.sort(g.edges, axis=1)
        return layouts.gnn_benchmark(g, folder)
    return layouts.LAYOUTS[form](g, folder)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("graphml", True),
        ("dgl", True),
        ("pyg", True),
        ("gnn-benchmark", True),
        ("half", False),
        ("networkx gexf", False),
        ("musae", False),
    ],
)
def test_directions_of_a_format(form, told, tmp_path, caplog):
    """Every edge is there once: that is an undirected graph, unless the format says otherwise."""
    g, _ = graph()
    E, source = len(g.edges), _directed(form, g, tmp_path)
    assert load(source).num_edges == 2 * E + g.num_nodes
    lines = [r.getMessage() for r in caplog.records]
    expected = f"edges: made undirected, {E} of {E} had no reverse"
    assert any(expected in line for line in lines) == told


def test_a_graph_of_ones(tmp_path):
    """Weights of 1 are as good as none."""
    g, weights = graph()
    d = load(weighted.own(g, np.ones_like(weights), tmp_path))
    assert d.csr.weights is None
    assert d.fingerprint == load(tmp_path / "mine", weights=False).fingerprint


def test_splits_are_drawn_whatever_the_weights_are(tmp_path, capsys):
    source = weighted.third_column(*graph(), tmp_path)
    assert run(capsys, "data", "split", source, "--fractions", ".5", ".25", ".25")[0] == 0
    assert len(json.loads((source / "splits.json").read_text())["train"]) == 30


def test_a_matrix_of_negative_numbers_without_weights(tmp_path):
    """Signed edges are edges, for who drops what they weigh."""
    matrix = np.zeros((8, 8))
    matrix[0, 1:3] = matrix[1:3, 0] = 1, -1
    content = {"A": matrix, "X": np.eye(8), "Y": [[1, 2, 2, 1, 1, 2, 2, 1]]}
    savemat(tmp_path / "signed.mat", content)
    with pytest.raises(InputError, match=r"adjacency: .*found -1 in entry 0, 2"):
        load(tmp_path / "signed.mat")
    d = load(tmp_path / "signed.mat", weights=False)
    np.testing.assert_array_equal(dense(d.csr), (matrix != 0) | np.eye(8, dtype=bool))


def test_ogb_weights_by_name_or_by_wish(tmp_path, capsys):
    g = layouts.graph()
    source, values = layouts.ogb_raw(g, tmp_path), np.random.rand(len(g.edges)) + 0.5
    table = pd.DataFrame(values)
    table.to_csv(source / "raw/edge-feat.csv.gz", header=False, index=False)
    command = ("data", "import", source, "--out")
    told = run(capsys, *command, tmp_path / "without")[2]
    assert "edge-feat.csv.gz: it is not used; data import --weights" in told
    assert not (tmp_path / "without/weights.npy").exists()
    run(capsys, *command, tmp_path / "wanted", "--weights")
    table.to_csv(source / "raw/edge_weight.csv.gz", header=False, index=False)
    run(capsys, *command, tmp_path / "named")
    for folder in ("wanted", "named"):
        np.testing.assert_allclose(np.load(tmp_path / folder / "weights.npy"), values)
    table.iloc[1:].to_csv(source / "raw/edge_weight.csv.gz", header=False, index=False)
    found = refused(capsys, tmp_path, *command, tmp_path / "short")
    assert f"edge_weight.csv.gz: expected {len(g.edges)} rows (one weight an edge)" in found


def test_a_drawn_split_is_told_as_drawn(tmp_path):
    source = layouts.gnn_benchmark(layouts.graph(), tmp_path)
    d = load_source(DataConfig(name="directory", root=str(source)))
    assert d.provenance["split"] == "drawn"
