"""Each format in its true layout: imported as it is meant, described, trained on, predicted."""

import json
import pickle
import re
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.io import savemat

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_dataset, load_source
from infgrand_dgl.errors import InputError
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.registry import formats

from ...cli.conftest import refused, run
from .layouts import LAYOUTS, WITH_SPLIT, Graph, beside, graph, ordered, planetoid, tensors


def test_each_format_has_a_layout():
    assert {form.split()[0] for form in LAYOUTS} == set(formats)


@pytest.mark.parametrize("form", LAYOUTS)
def test_import_describe_train_predict(form, tmp_path, capsys):
    g = ordered(graph()) if form == "planetoid" else graph()
    source, out = LAYOUTS[form](g, tmp_path), tmp_path / "out"
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    imported = ("data", "import", source, "--out", out, *beside(form, tmp_path))
    status, output, err = run(capsys, *imported)
    assert status == 0, err
    assert f"out: {g.num_nodes} nodes" in output and "12 features, 3 classes" in output
    assert all(p.stat().st_mtime_ns == t for p, t in before.items() if p != tmp_path)

    d = load_source(DataConfig(name="directory", root=str(out)))
    expected = CSRGraph.from_edges(g.edges[:, 0], g.edges[:, 1], g.num_nodes)
    assert torch.equal(d.csr.indptr, expected.indptr)
    assert torch.equal(d.csr.indices, expected.indices)
    np.testing.assert_array_equal(d.dense_features().numpy(), g.x)
    np.testing.assert_array_equal(d.labels.numpy(), g.y)
    if form in WITH_SPLIT:
        for part, ids in g.split.items():
            assert getattr(d.parts, part).tolist() == ids.tolist()
    else:
        assert "comes without splits" in err

    config = ("--config", out / "experiment.yaml", "--set", "teacher.hidden=8", "student.hidden=8")
    status, output, _ = run(capsys, "data", "describe", *config)
    assert status == 0 and re.search("nodes per class: .*20, .*20, .*20\n", output)
    small = ("train.seeds=[0]", "train.epochs=3", "--out", tmp_path / "run", "-q")
    assert run(capsys, "train", *config, *small)[0] == 0
    predict = ("predict", "--run", tmp_path / "run", "--out", tmp_path / "classes.npy")
    assert run(capsys, *predict)[0] == 0
    assert np.load(tmp_path / "classes.npy").shape == (g.num_nodes,)


@pytest.mark.parametrize(
    "form",
    [
        each
        for each in LAYOUTS
        if each not in ("edge-list", "scipy-matrix", "gnn-benchmark pickled")
    ],
)
def test_root_is_the_source_itself(form, tmp_path):
    g = ordered(graph()) if form == "planetoid" else graph()
    source = LAYOUTS[form](g, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    d = load_source(DataConfig(name="directory", root=str(source)))
    np.testing.assert_array_equal(d.dense_features().numpy(), g.x)
    np.testing.assert_array_equal(d.labels.numpy(), g.y)
    assert d.name == source.name and d.provenance["source"] == form.split()[0]
    assert d.num_edges == CSRGraph.from_edges(g.edges[:, 0], g.edges[:, 1], g.num_nodes).num_edges
    if form in WITH_SPLIT:
        assert d.parts.val.tolist() == g.split["val"].tolist()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("form", ["pyg object", "own"])
def test_a_program_that_has_imported_pyg(form, tmp_path):
    """It gets PyG's own classes; and PyG's own files."""
    from torch_geometric.data import Data

    g, source = graph(), tmp_path / "data.pt"
    if form == "own":
        torch.save(Data(**tensors(g)), source)
    else:
        LAYOUTS[form](g, tmp_path)
    d = load_source(DataConfig(name="directory", root=str(source)))
    np.testing.assert_array_equal(d.dense_features().numpy(), g.x)
    np.testing.assert_array_equal(d.labels.numpy(), g.y)
    assert d.parts.test.tolist() == g.split["test"].tolist()
    assert d.num_edges == CSRGraph.from_edges(g.edges[:, 0], g.edges[:, 1], g.num_nodes).num_edges


def test_ten_masks(tmp_path, capsys):
    g = graph()
    source = WITH_SPLIT["heterophilous-graphs"](g, tmp_path)
    arrays = dict(np.load(source))
    for part in ("train", "val", "test"):
        arrays[f"{part}_masks"] = np.zeros((10, g.num_nodes), bool)
    for k in range(10):
        for part, ids in graph().split.items():
            arrays[f"{part}_masks"][k, ids] = True
    np.savez(source, **arrays)
    assert run(capsys, "data", "import", source, "--out", tmp_path / "out")[0] == 0
    splits = json.loads((tmp_path / "out/splits.json").read_text())
    assert len(splits) == 10
    for k, split in enumerate(splits):
        for part, ids in split.items():
            assert ids == np.flatnonzero(arrays[f"{part}_masks"][k]).tolist()
    config = load_config(tmp_path / "out/experiment.yaml")
    for seed in (3, 24):
        chosen = load_dataset(config, seed).parts
        assert chosen.train.tolist() == splits[seed % 10]["train"]


def test_one_command(tmp_path, capsys):
    source = LAYOUTS["musae"](graph(), tmp_path)
    settings = (f"data.root={source}", "teacher.hidden=8", "student.hidden=8", "train.seeds=[0]")
    small = ("train.epochs=2", "--out", tmp_path / "run", "-q")
    assert run(capsys, "train", "--config", "own", "--set", *settings, *small)[0] == 0
    predict = ("predict", "--run", tmp_path / "run", "--out", tmp_path / "classes.npy")
    assert run(capsys, *predict)[0] == 0
    names = {"company", "government", "politician"}
    assert set(np.load(tmp_path / "classes.npy").tolist()) <= names


def test_twitch(tmp_path):
    """Edges and features go by `new_id`, and `id` is the site's."""
    g = graph()
    path = LAYOUTS["musae"](g, tmp_path)
    order = np.random.permutation(g.num_nodes)
    frame = pd.DataFrame(
        {
            "id": np.random.permutation(order) + 10**8,
            "days": np.where(order % 7 == 0, np.nan, order),
            "mature": g.y[order] == 0,
            "new_id": order,
        }
    )
    frame.to_csv(path / "musae_facebook_target.csv", index=False)
    d = load_source(DataConfig(name="directory", root=str(path)))
    assert d.num_nodes == g.num_nodes and d.num_features == g.x.shape[1]
    assert d.labels.tolist() == (g.y == 0).astype(int).tolist()


def citeseer(g: Graph, folder: Path) -> Path:
    """A node between those that test is in no file but the graph's."""
    path = planetoid(g, folder)
    index = path / "ind.cora.test.index"
    ids = index.read_text().split()
    for name in ("tx", "ty"):
        file = path / f"ind.cora.{name}"
        rows = pickle.loads(file.read_bytes())
        file.write_bytes(
            pickle.dumps(rows[[i for i, n in enumerate(ids) if n != "50"]], protocol=2)
        )
    index.write_text("\n".join(n for n in ids if n != "50"))
    return path


def test_planetoid_with_a_node_left_out(tmp_path):
    g = ordered(graph())
    d = load_source(DataConfig(name="directory", root=str(citeseer(g, tmp_path))))
    assert d.num_nodes == g.num_nodes and d.labels[50] == -1
    assert not d.dense_features()[50].any()
    assert d.parts.test.tolist() == [i for i in range(45, 60) if i != 50]
    kept = np.arange(60) != 50
    np.testing.assert_array_equal(d.dense_features().numpy()[kept], g.x[kept])


def test_planetoid_runs_no_code(tmp_path, capsys):
    path = planetoid(ordered(graph()), tmp_path)
    (path / "ind.cora.y").write_bytes(b"cposix\nsystem\n(S'touch " + bytes(path) + b"/x'\ntR.")
    command = ("data", "import", path, "--out", tmp_path / "out")
    assert "posix.system is none of this format's types" in refused(capsys, tmp_path, *command)


REFUSED = {
    "two musae graphs": (
        "musae",
        lambda p: (p / "other_edges.csv").write_text("a,b"),
        "expected one graph, found musae_facebook_edges.csv and other_edges.csv",
    ),
    "several codes": (
        "matlab",
        lambda p: savemat(p, {"A": np.eye(3), "X": np.eye(3), "Y": np.full((3, 2), 7, "u1")}),
        "labels: expected one label a node.*data.task: regression .or --task. reads numbers",
    ),
    "labels of other nodes": (
        "matlab",
        lambda p: savemat(p, {"A": np.eye(3), "X": np.eye(3), "Y": np.ones((4, 2))}),
        r"labels: expected labels of 3 nodes, found shape \[4, 2\]",
    ),
    "no adjacency": ("matlab", lambda p: savemat(p, {"B": np.eye(3)}), "found b"),
    "no edges": ("pyg", lambda p: torch.save({"x": torch.eye(3)}, p), "expected edge_index"),
    "no Data": ("pyg", lambda p: torch.save(torch.eye(3), p), "to_dict"),
    "text as weights": (
        "networkx graphml",
        lambda p: nx.write_graphml(nx.Graph([(0, 1, {"weight": "x"}), (1, 2, {"weight": "y"})]), p),
        "edges: weight: expected numbers as edge weights, found 'x'",
    ),
    "no graph": ("networkx gexf", lambda p: nx.write_gexf(nx.Graph(), p), "with nodes, found none"),
    "regression": (
        "musae",
        lambda p: pd.DataFrame({"id": range(60), "target": np.arange(60) * 10**6 // 2}).to_csv(
            p / "musae_facebook_target.csv"
        ),
        "every node has a label of its own.*data.task: regression",
    ),
    "several OGB splits": (
        "ogb-raw",
        lambda p: (p / "split/other").mkdir(),
        "expected one split, found other and time",
    ),
    "features of other nodes": (
        "heterophilous-graphs",
        lambda p: np.savez(
            p, node_features=np.eye(3), node_labels=np.zeros(4, int), edges=np.eye(2, dtype=int)
        ),
        "node_labels: expected labels of 3 nodes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path, capsys):
    form, change, told = REFUSED[case]
    source = LAYOUTS[form](graph(), tmp_path)
    change(source)
    found = refused(capsys, tmp_path, "data", "import", source, "--out", tmp_path / "out")
    assert re.search(told, found), found


def test_a_set_in_another_format_says_so(tmp_path, monkeypatch):
    path = planetoid(ordered(graph()), tmp_path)
    monkeypatch.setattr("infgrand_dgl.data.builtin._fetch", _missing)
    with pytest.raises(
        InputError, match=r"nothing there; data.name: directory reads .*cora .planetoid."
    ):
        load_source(DataConfig(name="cora", root=str(path)))
    with pytest.raises(InputError, match="nothing there$"):
        load_source(DataConfig(name="cora", root=str(tmp_path)))


def _missing(*args: object, **settings: object) -> None:
    raise InputError("nothing there")


def test_columns_that_are_not_used_may_lack_numbers(tmp_path, capsys):
    source = LAYOUTS["edge-list"](graph(), tmp_path)
    options = beside("edge-list", tmp_path)
    table = tmp_path / "people.csv"
    pd.read_csv(table).assign(age=[np.nan, *range(59)]).to_csv(table, index=False)
    run(capsys, "data", "import", source, "--out", tmp_path / "out", *options)
    without = options[: options.index("--features")] + options[options.index("--features") + 2 :]
    found = refused(capsys, tmp_path, "data", "import", source, "--out", tmp_path / "b", *without)
    assert "column age: expected a number, found none in row 0" in found


def test_a_node_without_a_label_in_a_split(tmp_path, capsys):
    """The message has the table of the splits and the user's id."""
    source, table = LAYOUTS["edge-list"](graph(), tmp_path), tmp_path / "people.csv"
    frame = pd.read_csv(table)
    frame.loc[frame["split"] == "val", "label"] = ""
    frame.to_csv(table, index=False)
    node = frame.loc[frame["split"] == "val", "id"].iloc[0]
    command = ("data", "import", source, "--out", tmp_path / "out", *beside("edge-list", tmp_path))
    told = refused(capsys, tmp_path, *command)
    assert f"{table}: split val: node '{node}' has no label" in told
    assert run(capsys, *command, "--fractions", ".5", ".25", ".25")[0] == 0


def test_a_matrix_alone(tmp_path, capsys):
    """Row i is node i, also where it has no neighbours; it may be the data.root."""
    g, path = graph(), tmp_path / "adjacency.npz"
    sp.save_npz(path, g.adjacency().tocoo())
    status, output, err = run(capsys, "data", "import", path, "--out", tmp_path / "out")
    assert status == 0 and f"out: {g.num_nodes} nodes" in output, err
    expected = CSRGraph.from_edges(g.edges[:, 0], g.edges[:, 1], g.num_nodes)
    for root in (path, tmp_path / "out"):
        d = load_source(DataConfig(name="directory", root=str(root), features="structural"))
        assert torch.equal(d.csr.indptr, expected.indptr)
        assert torch.equal(d.csr.indices, expected.indices)
    np.save(tmp_path / "x.npy", np.ones((59, 2)))
    command = ("data", "import", path, "--features", tmp_path / "x.npy", "--out", tmp_path / "b")
    found = refused(capsys, tmp_path, *command)
    assert "expected an adjacency of 59 nodes, as" in found and "x.npy has, found 60" in found
    sp.save_npz(path, sp.csr_matrix(np.ones((3, 4))))
    found = refused(capsys, tmp_path, *command)
    assert "adjacency.npz: expected an adjacency [N, N], found [3, 4]" in found
