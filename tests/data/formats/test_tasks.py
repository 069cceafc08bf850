"""Several labels a node, and numbers, in the true layout of each format that can hold them."""

import re
from pathlib import Path
from typing import Any

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

from ...cli.conftest import refused, run
from . import layouts
from .labelled import HOLDERS, NAMED, NAMES, Write, numbers, own, plain, several, table, unknown
from .layouts import Graph, graph
from .test_fuzz import refused_of


def imported(write: Write, y: np.ndarray, folder: Path, capsys: Any, *more: str) -> tuple[Any, Any]:
    """The dataset of a run, and what `data import` told."""
    source, options = write(graph(), folder, y)
    if source.name == "mine" and (source / "edges.npy").exists():  # it is one's own folder already
        (folder / "out.yaml").write_text(f"data: {{name: directory, root: {source}}}")
        return load_dataset(load_config(folder / "out.yaml")), ""
    command = ("data", "import", source, "--out", folder / "out", *options, *more)
    status, output, err = run(capsys, *command)
    assert status == 0, err
    assert "12 features" in output
    return load_dataset(load_config(folder / "out/experiment.yaml")), err


@pytest.mark.parametrize("form", HOLDERS)
def test_several_labels(form, tmp_path, capsys):
    y = several()
    d, err = imported(HOLDERS[form], y, tmp_path, capsys)
    assert d.task == "multilabel" and d.num_classes == 4 and d.num_features == 12
    assert d.labels.dtype == torch.float32
    np.testing.assert_array_equal(d.labels.numpy(), y)
    assert d.classes == (NAMES if form in NAMED else d.classes)
    assert d.classes == (tuple(f"label_{c}" for c in range(4)) if "numbered" in form else d.classes)
    assert len(torch.cat([d.train, d.val, d.test]).unique()) == 60
    none = int((y == 0).all(axis=1).sum())
    assert form == "own" or f"{none} nodes have none of the 4 labels" in err
    if form != "own":
        status, output, _ = run(
            capsys, "data", "describe", "--config", tmp_path / "out/experiment.yaml"
        )
        assert status == 0 and f"{int(y[:, 0].sum())} of 60, " in output


TRAINED = [("matlab", "multilabel"), ("pyg", "regression"), ("ogb-raw", "multilabel"),
           ("edge-list", "regression"), ("own", "multilabel")]  # fmt: skip


@pytest.mark.parametrize(("form", "task"), TRAINED)
def test_train_and_predict(form, task, tmp_path, capsys):
    """A command or two from files to predictions, one for each column."""
    y = numbers() if task == "regression" else several()
    source, options = HOLDERS[form](graph(), tmp_path, y)
    config: tuple[object, ...] = ("--config", "own", "--set", f"data.root={source}")
    if form != "own":
        command = ("data", "import", source, "--out", tmp_path / "out", *options)
        assert run(capsys, *command)[0] == 0
        config = ("--config", tmp_path / "out/experiment.yaml", "--set")
    small = ("teacher.hidden=8", "student.hidden=8", "train.seeds=[0]", "train.epochs=3")
    status, _, err = run(capsys, "train", *config, *small, "--out", tmp_path / "run", "-q")
    assert status == 0, err
    predict = ("predict", "--run", tmp_path / "run", "--out", tmp_path / "values.npy")
    assert run(capsys, *predict)[0] == 0
    assert np.load(tmp_path / "values.npy").shape == y.shape


@pytest.mark.parametrize("form", ["pyg", "ogb-raw", "graphsaint", "graphml", "edge-list", "own"])
def test_unknown_labels(form, tmp_path, capsys):
    y = unknown(several())
    d, _ = imported(HOLDERS[form], y, tmp_path, capsys)
    assert d.task == "multilabel"
    np.testing.assert_array_equal(d.labels.numpy(), y)


@pytest.mark.parametrize("form", HOLDERS)
def test_numbers(form, tmp_path, capsys):
    y = numbers()
    d, _ = imported(HOLDERS[form], y, tmp_path, capsys)
    assert d.task == "regression" and d.num_classes == 3 and d.num_features == 12
    np.testing.assert_array_equal(d.labels.numpy(), y.astype(np.float32))


@pytest.mark.parametrize(
    "form", ["pyg", "ogb-raw", "matlab", "folder numbered", "folder of arrays"]
)
def test_one_hot_rows_are_labels_if_asked(form, tmp_path, capsys):
    """A file of one label each is of classes in all other formats, and ambiguous as .npy."""
    y = np.eye(4)[np.random.permutation(np.arange(60) % 4)]
    d, err = imported(HOLDERS[form], y, tmp_path, capsys, "--task", "multilabel")
    assert d.task == "multilabel" and "no node has more than one label" in err
    np.testing.assert_array_equal(d.labels.numpy(), y)
    assert "task: multilabel" in (tmp_path / "out/experiment.yaml").read_text()


@pytest.mark.parametrize("form", ["matlab", "pyg", "gnn-benchmark", "ogb-raw", "graphsaint"])
def test_one_hot_rows_are_classes(form, tmp_path, capsys):
    y = np.random.permutation(np.arange(60) % 4)
    rows = np.eye(4)[y]
    rows[3] = 0
    y[3] = -1
    write = HOLDERS[form]
    source, options = write(graph(), tmp_path, rows)
    split = ("--fractions", ".4", ".3", ".3")
    command = ("data", "import", source, "--out", tmp_path / "out", *options, *split)
    assert run(capsys, *command)[0] == 0
    d = load_dataset(load_config(tmp_path / "out/experiment.yaml"))
    assert d.task == "classification" and d.labels.tolist() == y.tolist()


@pytest.mark.parametrize("values", ["floats", "whole"])
def test_a_column_of_numbers(values, tmp_path, capsys):
    """Floats are numbers by themselves; whole ones where the user says so."""
    y = numbers(columns=1)[:, 0] if values == "floats" else np.arange(60) * 7 - 30
    more = ("--task", "regression") if values == "whole" else ()
    for form in ("tables", "pyg"):
        folder = tmp_path / form
        folder.mkdir()
        write = plain(layouts.pyg if form == "pyg" else layouts.tables)
        d, _ = imported(write, y, folder, capsys, *more)
        assert d.task == "regression" and d.labels.shape == (60, 1)
        np.testing.assert_array_equal(d.labels[:, 0].numpy(), y.astype(np.float32))
        assert d.classes == (("label",) if form == "tables" else None)
        written = (folder / "out/experiment.yaml").read_text()
        assert ("task: regression" in written) == (values == "whole")


def test_missing_numbers_of_a_column(tmp_path, capsys):
    """Also beside whole ones, and -1 is a number."""
    g = graph()
    y = np.random.randint(-5, 90, 60).astype(float)
    y[7] = -1.0
    nobody = np.setdiff1d(g.split["train"], [7])[:2]
    g.split["train"] = np.setdiff1d(g.split["train"], nobody)
    source = layouts.tables(Graph(g.edges, g.x, g.y, g.split), tmp_path)
    frame = pd.read_parquet(source / "nodes.parquet")
    frame["label"] = np.where(np.isin(np.arange(60), nobody), np.nan, y)
    frame.to_csv(source / "nodes.csv", index=False)
    (source / "nodes.parquet").unlink()
    command = ("data", "import", source, "--out", tmp_path / "out", "--task", "regression")
    assert run(capsys, *command)[0] == 0
    d = load_dataset(load_config(tmp_path / "out/experiment.yaml"))
    assert d.labelled.logical_not().nonzero().flatten().tolist() == sorted(nobody)
    known = ~np.isin(np.arange(60), nobody)
    assert d.labels[known, 0].tolist() == y[known].tolist()


def test_many_codes_may_be_numbers(tmp_path, capsys):
    years = np.random.permutation(np.arange(60) % 25 + 1990)
    source, _ = plain(layouts.pyg)(graph(), tmp_path, years)
    command = ("data", "import", source, "--out", tmp_path / "out")
    line = "labels: 25 classes, of less than 5 nodes each on average; data.task: regression"
    assert line in run(capsys, *command)[2]
    told = run(capsys, *command, "--task", "regression", "--overwrite")[2]
    assert "classes" not in told


def traffic(folder: Path) -> tuple[Path, np.ndarray]:
    """MUSAE's Wikipedia folders: monthly visits of a page."""
    source = layouts.musae(graph(), folder)
    visits = np.random.randint(10, 10**6, 60)
    visits[:2] = 999_999  # some pages are as popular as others
    frame = pd.DataFrame({"id": range(60), "target": visits})
    frame.to_csv(source / "musae_facebook_target.csv", index=False)
    return source, visits


def test_monthly_traffic(tmp_path, capsys):
    source, visits = traffic(tmp_path)
    d = load_source(DataConfig(name="directory", root=str(source), task="regression"))
    assert d.task == "regression" and d.labels[:, 0].tolist() == visits.tolist()
    assert d.classes == ("target",)
    for line in (
        refused(capsys, tmp_path, "data", "import", source, "--out", tmp_path / "out"),
        refused(capsys, tmp_path, "data", "describe", "--config", "own", "--set",
                f"data.root={source}"),
    ):  # fmt: skip
        assert "found numbers up to 999999; data.task: regression (or --task)" in line


def test_proteins(tmp_path, capsys):
    """112 tasks, a species a node, features of edges, and none of nodes."""
    g, y = graph(), np.random.rand(60, 112) < 0.3
    y[0] = True
    source = layouts.ogb_raw(Graph(g.edges, g.x, y.astype(int), g.split), tmp_path)
    for name, values in (("edge-feat", np.random.rand(len(g.edges), 8)),
                         ("node_species", np.random.randint(3000, 9000, 60))):  # fmt: skip
        pd.DataFrame(values).to_csv(source / f"raw/{name}.csv.gz", header=False, index=False)
    (source / "split/time").rename(source / "split/species")
    d = load_source(DataConfig(name="directory", root=str(source)))
    assert d.task == "multilabel" and d.num_classes == 112
    np.testing.assert_array_equal(d.labels.numpy(), y)
    assert d.parts.val.tolist() == g.split["val"].tolist()
    (source / "raw/node-feat.csv.gz").unlink()
    with pytest.raises(InputError, match="found none; data.features: structural makes some"):
        load_source(DataConfig(name="directory", root=str(source)))
    assert run(capsys, "data", "import", source, "--out", tmp_path / "out")[0] == 0
    d = load_dataset(load_config(tmp_path / "out/experiment.yaml"))
    assert d.task == "multilabel" and d.num_features > 1 and d.labels.shape == (60, 112)


def test_binary_ogb(tmp_path):
    g, y = graph(), several()
    raw = tmp_path / "mine/raw"
    raw.mkdir(parents=True)
    np.savez(raw / "data.npz", edge_index=g.edges.T, node_feat=g.x.astype(np.float32))
    np.savez(raw / "node-label.npz", node_label=unknown(y))
    d = load_source(DataConfig(name="directory", root=str(raw.parent)))
    assert d.task == "multilabel"
    assert torch.equal(d.labels.nan_to_num(0)[:, 0], torch.from_numpy(y).float()[:, 0])


def test_booleans_and_lists_of_attributes(tmp_path):
    """True and False of GraphML; a list, which GML and Gephi write as several attributes."""
    y = several()
    out = layouts.networkx(graph())
    lists = out.copy()
    for i, node in enumerate(out):
        del out.nodes[node]["class"], lists.nodes[node]["class"]
        out.nodes[node].update({f"target_{c}": bool(v) for c, v in enumerate(y[i])})
        lists.nodes[node]["y"] = [int(v) for v in y[i]]
    nx.write_graphml(out, tmp_path / "graph.graphml")
    nx.write_gml(lists, tmp_path / "graph.gml", stringizer=str)
    for path in (tmp_path / "graph.graphml", tmp_path / "graph.gml"):
        d = load_source(DataConfig(name="directory", root=str(path)))
        assert d.task == "multilabel" and d.num_features == 12
        np.testing.assert_array_equal(d.labels.numpy(), y)


@pytest.mark.parametrize("values", [np.random.rand(60) * 9 + 0.5, np.arange(60)])
def test_a_label_of_its_own_that_is_a_number(values, tmp_path):
    """`label` of every node, which is no name for it."""
    g = layouts.networkx(graph())
    for node, value in zip(g, values.tolist(), strict=True):
        del g.nodes[node]["class"]
        g.nodes[node]["label"] = value
    nx.write_graphml(g, tmp_path / "graph.graphml")
    d = load_source(
        DataConfig(name="directory", root=str(tmp_path / "graph.graphml"), task="regression")
    )
    np.testing.assert_array_equal(d.labels[:, 0].numpy(), values.astype(np.float32))
    auto = load_source(DataConfig(name="directory", root=str(tmp_path / "graph.graphml")))
    assert auto.task == ("regression" if values.dtype.kind == "f" else "classification")
    assert int(auto.labelled.sum()) == (60 if values.dtype.kind == "f" else 0)


def test_no_known_label_names_the_source(tmp_path, capsys):
    source = layouts.pyg(Graph((g := graph()).edges, g.x, np.full(60, np.nan), g.split), tmp_path)
    found = refused(capsys, tmp_path, "data", "import", source, "--out", tmp_path / "out",
                    "--fractions", ".5", ".25", ".25")  # fmt: skip
    assert f"{source}: labels: expected some, found none" in found


def change(source: Path, **columns: object) -> None:
    frame = pd.read_csv(source.parent / "people.csv").astype({"growth": object})
    for name, value in columns.items():
        frame.loc[5, name] = value
    frame.to_csv(source.parent / "people.csv", index=False)


@pytest.mark.parametrize(
    ("break_it", "more", "told"),
    [
        (lambda s: change(s, growth="yes"), (), "column growth: expected numbers as labels, found"
         " 'yes' in row 5 .line 7."),
        (lambda s: change(s, repair=2), ("--task", "multilabel"), "0, 1, or NaN for unknown .*; "
         "found 2.0 at node 5, column 1"),
        (lambda s: change(s, repair=2), ("--task", "classification"), r"expected one label a node, "
         r"\[N\], found float64 \[60, 4\]"),
        (lambda s: None, ("--label", "wealth"), "--label wealth: .* has id, split"),
        (lambda s: None, ("--label", "growth"), "--label growth,.*: expected each column once"),
        (lambda s: None, ("--train-per-class", "3"), "--train-per-class 3: expected classes, found "
         "labels of multilabel; --fractions"),
        (lambda s: change(s, growth=None, repair=None, transport=None, signal=None), (),
         "node 'u5' has no label"),
    ],
)  # fmt: skip
def test_refused(break_it, more, told, tmp_path, capsys):
    source, options = table(graph(), tmp_path, several())
    break_it(source)
    command = ("data", "import", source, "--out", tmp_path / "out", *options, *more)
    found = refused(capsys, tmp_path, *command)
    assert re.search(told, found), found


@pytest.mark.parametrize("content", ["{}", "[1, 2, 3, 4]", '["a", "a", "b", "c"]', '["a"]', "["])
def test_bad_names(content, tmp_path):
    path, _ = own(graph(), tmp_path, several())
    (path / "label_names.json").write_text(content)
    told = "label_names.json: (expected a list of distinct names|expected 4 names|not valid JSON)"
    with pytest.raises(InputError, match=told):
        load_source(DataConfig(name="directory", root=str(path)))


def test_split_of_a_folder(tmp_path, capsys):
    """By shares; rows of one 1 as the user says."""
    path, _ = own(graph(), tmp_path, several())
    shares = ("--fractions", ".5", ".3", ".2", "--overwrite")
    assert run(capsys, "data", "split", path, *shares)[0] == 0
    d = load_source(DataConfig(name="directory", root=str(path)))
    assert [len(part) for part in (d.train, d.val, d.test)] == [30, 18, 12]
    np.save(path / "labels.npy", np.eye(4)[np.arange(60) % 4])
    line = refused(capsys, tmp_path, "data", "split", path, *shares)
    assert "data.task: multilabel (or --task)" in line
    for task in ("multilabel", "classification"):
        assert run(capsys, "data", "split", path, *shares, "--task", task)[0] == 0
        d = load_source(DataConfig(name="directory", root=str(path), task=task))
        assert d.task == task and len(d.train) == 30


def test_wide_labels_are_refused_before_they_are_made_dense(tmp_path):
    g = graph()
    wide = sp.csc_matrix((60, 1 << 17))
    savemat(tmp_path / "wide.mat", {"A": g.adjacency().astype(float), "X": g.x, "group": wide})
    with pytest.raises(InputError, match="labels: expected at most 65536 labels, found 131072"):
        load_source(DataConfig(name="directory", root=str(tmp_path / "wide.mat")))


def test_edges_are_those_of_the_graph(tmp_path, capsys):
    g = graph()
    path, options = table(g, tmp_path, several())
    assert run(capsys, "data", "import", path, "--out", tmp_path / "out", *options)[0] == 0
    d = load_dataset(load_config(tmp_path / "out/experiment.yaml"))
    expected = CSRGraph.from_edges(g.edges[:, 0], g.edges[:, 1], g.num_nodes)
    assert torch.equal(d.csr.indices, expected.indices)
    assert d.parts.test.tolist() == g.split["test"].tolist()


DAMAGED = ["gnn-benchmark sparse", "pyg", "ogb-raw", "edge-list", "folder of labels", "own"]


@pytest.mark.parametrize("form", DAMAGED)
def test_damaged(form, tmp_path, capsys):
    """As `test_fuzz` has it of classes."""
    folder = tmp_path / "given"
    folder.mkdir()
    y = several() if "sparse" in form else unknown(several())
    source, options = HOLDERS[form](graph(), folder, numbers() if form == "pyg" else y)
    assert refused_of(form, source, tmp_path, options, capsys) > 0
