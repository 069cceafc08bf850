"""Tables as people write them, and graphs of edge lists, node tables and features."""

import gzip
import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source
from infgrand_dgl.data.imported import Options
from infgrand_dgl.data.importing import read
from infgrand_dgl.data.tables import read_table
from infgrand_dgl.errors import InputError
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.system import installed

N = 9


def pairs() -> np.ndarray:
    """Some edges twice; the first is not 0, 1; every node occurs."""
    chain = np.stack([np.arange(1, N), np.arange(N - 1)], axis=1)
    return np.concatenate([[[4, 2]], chain, np.random.randint(0, N, (12, 2))])


def lines(edges, separator, **settings):
    return pd.DataFrame(edges, columns=["source", "target"]).to_csv(
        index=settings.pop("index", False), header=settings.pop("header", False), sep=separator
    )


SNAP = "# Undirected graph\n# Nodes: 9 Edges: 21\n# FromNodeId\tToNodeId\n"
WRITTEN = {
    "comma": lambda e: lines(e, ","),
    "comma and space": lambda e: lines(e, ",").replace(",", ", "),
    "tab": lambda e: lines(e, "\t"),
    "semicolon": lambda e: lines(e, ";"),
    "space": lambda e: lines(e, " "),
    "spaces": lambda e: "\n".join(f"   {u}    {v}  " for u, v in e),
    "header": lambda e: lines(e, ",", header=True),
    "header between tabs": lambda e: lines(e, "\t", header=True),
    "other names": lambda e: "FromNodeId ToNodeId\n" + lines(e, " "),
    "targets first": lambda e: "target,source\n" + lines(e[:, ::-1], ","),
    "pandas index": lambda e: lines(e, ",", header=True, index=True),
    "pandas index without names": lambda e: pd.DataFrame(e).to_csv(),
    "R": lambda e: '"u" "v"\n' + "".join(f'"{i + 1}" {u} {v}\n' for i, (u, v) in enumerate(e)),
    "floats": lambda e: lines(e.astype(float), ","),
    "SNAP": lambda e: SNAP + lines(e, "\t"),
    "KONECT": lambda e: "% sym unweighted\n% 21 9 9\n" + lines(e, " "),
    "comment between": lambda e: (
        lines(e[:5], " ") + "# and now, here: more\n\n" + lines(e[5:], " ")
    ),
    "blank lines": lambda e: "\n\n" + lines(e, ",").replace("\n", "\n\n"),
    "Windows": lambda e: "\ufeff" + lines(e, ";", header=True).replace("\n", "\r\n"),
    "quotes": lambda e: "".join(f'"{u}","{v}"\n' for u, v in e),
    "equal weights": lambda e: "".join(f"{u} {v} 1.0\n" for u, v in e),
}


def features(folder: Path) -> np.ndarray:
    x = np.round(np.random.rand(N, 3), 3)
    np.save(folder / "features.npy", x)
    return x


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".tsv.gz"])
@pytest.mark.parametrize("written", WRITTEN)
def test_edge_lists(written, suffix, tmp_path):
    edges = pairs()
    features(tmp_path)
    data = WRITTEN[written](edges).encode()
    (tmp_path / f"edges{suffix}").write_bytes(gzip.compress(data) if suffix[-3:] == ".gz" else data)
    found: Any = read(tmp_path, Options())[1]
    assert found.num_nodes == N
    np.testing.assert_array_equal(found.edges, edges)


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".edgelist.gz"])
@pytest.mark.parametrize("delimiter", [" ", ",", "\t"])
@pytest.mark.parametrize("data", [False, True])
def test_edge_lists_of_networkx(data, delimiter, suffix, tmp_path):
    """`networkx.write_edgelist` writes attributes as a dict, {} where there are none."""
    weights = np.random.rand(N, N) + 0.5
    graph = nx.DiGraph([*pairs()])
    if data:
        for u, v in graph.edges:
            graph.edges[u, v].update({"kind": "a, b", "weight": float(weights[u, v])})
    path = tmp_path / f"graph{suffix}"
    nx.write_edgelist(graph, path, delimiter=delimiter)
    np.save(tmp_path / "features.npy", np.ones((N, 2)))
    found = read(path, Options(features=tmp_path / "features.npy"))[1]
    assert sorted(map(tuple, found.edges.tolist())) == sorted(graph.edges)
    assert (found.weights is not None) == data
    if data:
        np.testing.assert_array_equal(found.weights, weights[tuple(found.edges.T)])
        assert found.notes == (f"{path}: column kind is not used",)


MISSING = "expected a node id as a whole number within 64 bits, found '' in row 2 .line 3."
BAD = {
    "missing": ("1,2\n2,3\n4,\n5,6\n", MISSING),
    "missing above": (",1\n2,3\n", r"found '' in row 0 .line 1."),
    "missing below a comment": ("# a\n\n1,2\n2,3\n# b\n,4\n", r"found '' in row 2 .line 6."),
    "row cut short": ("1,2\n2,3\n4\n5,6\n", MISSING),
    "fraction": ("1,2\n2.5,3\n", r"found '2.5' in row 1 .line 2."),
    "too large": ("1,2\n1180591620717411303424,3\n", r"found '1180591620717411303424' in row 1"),
    "infinite": ("1,2\ninf,3\n", "found 'inf' in row 1"),
    "out of range": (
        "0,2\n2,9\n",
        r"expected node ids 0 to 8 .features has 9 rows., found edge 2, 9 in row 1 .line 2.$",
    ),
    "numbers as names": ("1,2\n2,5411\n", "found edge 2, 5411 in row 1 .*; where ids are names"),
    "from one": ("1,2\n9,3\n", r"found edge 9, 3 in row 1 .line 2.; they seem to count from 1"),
    "negative": ("1,2\n-1,3\n", "found edge -1, 3 in row 1"),
    "names": ("1,2\nann,bob\n", r"found 'ann', 'bob' in row 1 .line 2.; where ids are names"),
    "one column": ("1\n2\n", "expected two node ids a row"),
    "weights": ("1,2,0.5\n2,3,0.7\n", "column 2 is unclear, found 0.5 to 0.7; data.weights: true"),
    "text": ("1,2,x\n2,3,y\n", "column 2 is unclear, found text; data.weights: true"),
    "text as weights": (
        "a,b,weight\n1,2,x\n2,3,4\n",
        "expected numbers as edge weights, found 'x' in",
    ),
    "more fields": ("1,2\n2,3,4\n", "not a readable .csv file"),
    "no edge": ("1 2 {}\n2\n3 4 {}\n", "expected two node ids a row, found 2 in 3 rows"),
    "broken dict": ("1 2 {'weight': 3}\n2 3 {'weight'}\n", "not an edge list as NetworkX writes"),
    "nothing": ("", "it has no rows"),
    "comments alone": ("# a\n# b\n", "it has no rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_edge_lists(case, tmp_path):
    text, told = BAD[case]
    features(tmp_path)
    (tmp_path / "edges.csv").write_text(text)
    with pytest.raises(InputError, match=told) as error:
        read(tmp_path, Options())
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_a_header_of_numbers_is_told(tmp_path):
    features(tmp_path)
    (tmp_path / "edges.csv").write_text("0,1\n0,3\n4,5\n")
    assert "the first row, 0,1, is an edge" in read(tmp_path, Options())[1].notes[0]
    (tmp_path / "edges.csv").write_text("0,1\n0,3\n1,0\n")
    assert read(tmp_path, Options())[1].notes == ()


def test_a_header_of_other_words_is_told(tmp_path):
    (path := tmp_path / "links.csv").write_text("# of 2020\nuser,friend\np1,p2\np2,p3\n")
    told = f"{path}: the first row, 'user','friend', is an edge; delete it if it is a header"
    assert told in read(path, Options())[1].notes
    (tmp_path / "nodes.csv").write_text("id,f\np1,0\np2,1\np3,0\n")
    with pytest.raises(InputError, match=r"found 'user' in row 0 .line 2.; is it a header\?$"):
        read(path, Options(nodes=tmp_path / "nodes.csv"))
    for rows in ("p1,p2\np2,p3\n", "p1,p2\n", "p1,p1\np2,p3\n"):
        path.write_text(rows)
        assert not any("first row" in note for note in read(path, Options())[1].notes)


def table(ids) -> pd.DataFrame:
    parts = np.array(["train", "valid", "test", ""])[np.arange(N) % 4]
    return pd.DataFrame(
        {
            "name": [f"Name, {i}" for i in range(N)],
            "node_id": ids,
            "class": np.array(["red", "blue", ""])[np.arange(N) % 3],
            "split": parts,
            "height": np.random.rand(N),
            "count": np.random.randint(0, 9, N),
        }
    )


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("text", [True, False])
def test_node_table(kind, text, tmp_path):
    edges, ids = pairs(), np.random.permutation(1000)[:N]
    names = np.array([f"n {i}" for i in ids]) if text else ids
    frame = table(names)
    path = tmp_path / f"nodes.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=kind == "csv", sep="," if kind == "csv" else "\t")
    pd.DataFrame(names[edges], columns=["from", "to"]).to_csv(tmp_path / "edges.csv", index=False)
    found: Any = read(tmp_path, Options())[1]
    np.testing.assert_array_equal(found.edges, edges)
    np.testing.assert_allclose(found.features, frame[["height", "count"]].to_numpy())
    assert found.labels.tolist() == frame["class"].tolist()
    (split,) = found.splits
    assert {part: ids.tolist() for part, ids in split.items()} == {
        "train": [0, 4, 8],
        "val": [1, 5],
        "test": [2, 6],
    }
    assert found.ids.tolist() == names.tolist()
    assert any("text is not used: name" in note for note in found.notes)


@pytest.mark.parametrize("missing", ["", "nan", "NA", "n/a", "NULL", "None", "<NA>"])
def test_cells_without_a_value(missing, tmp_path):
    """Numbers among text do not make a column of numbers; ids may be called NA."""
    rows = f"NA,a,train,1,7,0\nDE,{missing},,y,x,1\nFR,b,{missing},2,z,0\nIT,a,val,x,{missing},0"
    (tmp_path / "nodes.csv").write_text(f"id,label,split,half,name,f\n{rows}\n")
    (tmp_path / "edges.csv").write_text("source,target\nNA,DE\nFR,NA\nIT,DE\n")
    found: Any = read(tmp_path, Options())[1]
    assert found.ids.tolist() == ["NA", "DE", "FR", "IT"] and found.edges[1].tolist() == [2, 0]
    assert found.labels.tolist() == ["a", "", "b", "a"] and found.features.tolist() == [
        [0],
        [1],
        [0],
        [0],
    ]
    assert found.splits[0]["train"].tolist() == [0] and found.splits[0]["val"].tolist() == [3]
    assert any("text is not used: half, name" in note for note in found.notes)


def test_several_splits_and_masks(tmp_path):
    np.savetxt(tmp_path / "edges.txt", pairs(), fmt="%d")
    frame = pd.DataFrame({"label": np.arange(N) % 2, "x": np.random.rand(N)})
    for k in range(11):
        frame[f"split_{k}"] = np.roll(["train", "val", "test"] * 3, k)
    frame.to_csv(tmp_path / "nodes.csv", index=False)
    found: Any = read(tmp_path, Options())[1]
    assert [split["train"].tolist() for split in found.splits] == [
        [(i + k) % 3 + 3 * j for j in range(3)] for k in range(11) for i in (0,)
    ]
    masks = pd.DataFrame({"label": np.arange(N) % 2, "x": 0.5})
    for k, part in enumerate(("train", "val", "test")):
        masks[f"{part}_mask"] = np.arange(N) % 3 == k
    masks.to_csv(tmp_path / "nodes.csv", index=False)
    (split,) = read(tmp_path, Options())[1].splits
    assert split["val"].tolist() == [1, 4, 7]


@pytest.mark.parametrize("kind", ["npz", "dense.npz", "csv", "ids.csv", "index.csv", "parquet"])
def test_features(kind, tmp_path):
    edges, x = pairs(), np.round(np.random.rand(N, 4) * (np.random.rand(N, 4) < 0.5), 3)
    np.save(tmp_path / "edges.npy", edges)
    frame, path = pd.DataFrame(x), tmp_path / f"features.{kind.split('.')[-1]}"
    if kind == "npz":
        sp.save_npz(path, sp.csc_matrix(x))
    elif kind == "dense.npz":
        np.savez(path, x=x)
    elif kind == "parquet":
        frame.rename(columns=str).to_parquet(path)
    elif kind == "csv":
        frame.to_csv(path, index=False, header=False)
    elif kind == "index.csv":
        frame.add_prefix("f").to_csv(path)
    else:
        order = np.random.permutation(N)
        pd.DataFrame({"id": order, **{f"f{j}": x[order, j] for j in range(4)}}).to_csv(
            path, index=False
        )
        pd.DataFrame({"id": range(N), "label": np.arange(N) % 2}).to_csv(
            tmp_path / "nodes.csv", index=False
        )
    found: Any = read(tmp_path, Options())[1]
    values = found.features.toarray() if sp.issparse(found.features) else found.features
    np.testing.assert_allclose(values, x)
    np.testing.assert_array_equal(found.edges, edges)


def test_own_folder_with_sparse_features_stays_sparse(tmp_path):
    x = sp.random(N, 400, 0.02, format="csr")
    sp.save_npz(tmp_path / "features.npz", x)
    np.save(tmp_path / "edges.npy", pairs())
    np.save(tmp_path / "labels.npy", np.arange(N) % 2)
    parts = {"train": [0, 1], "val": [2, 3], "test": [4, 5]}
    (tmp_path / "splits.json").write_text(json.dumps(parts))
    d = load_source(DataConfig(name="directory", root=str(tmp_path)))
    assert d.matrix.is_sparse and d.parts.val.tolist() == [2, 3]
    np.testing.assert_allclose(d.dense_features().numpy(), x.toarray(), rtol=1e-6)
    edges = np.load(tmp_path / "edges.npy")
    assert d.num_edges == CSRGraph.from_edges(edges[:, 0], edges[:, 1], N).num_edges
    rows = load_source(DataConfig(name="directory", root=str(tmp_path), row_normalize=True))
    sums = rows.dense_features().sum(dim=1).numpy()
    np.testing.assert_allclose(sums, (x.toarray().sum(axis=1) > 0).astype(float), rtol=1e-5)


NODES = "id,label,f\n"
BAD_NODES = {
    "node twice": (NODES + "1,a,0\n2,b,0\n1,a,0\n", r"node 1 is there again in row 2 .line 4."),
    "edge of nobody": (
        NODES + "1,a,0\n2,b,0\n4,a,0\n",
        "expected ids of .*nodes.csv, found '3' in row 1",
    ),
    "no number": (
        NODES + "1,a,0\n2,b,\n3,a,0\n",
        "column f: expected a number, found none in row 1",
    ),
    "NA for a number": (
        NODES + "1,a,0\n2,b,N/A\n3,a,0\n",
        "column f: expected a number, found none in row 1 .line 3.",
    ),
    "text among numbers": (
        NODES + "1,a,0\n2,b,NA\n3,a,many\n4,b,1\n",
        "column f: expected a number, found 'many' in row 2 .line 4.",
    ),
    "NA for an id": (NODES + "1,a,0\nNA,b,0\n3,a,0\n", "column id: a node id as .*'NA' in row 1"),
    "labels of their own": (NODES + "1,a,0\n2,b,0\n3,c,0\n", "--label names the column of classes"),
    "split": (
        "id,split,f\n1,train,0\n2,tset,0\n3,val,0\n",
        "column split: expected train, .*'tset' in row 1",
    ),
    "missing id": (NODES + "1,a,0\n,b,0\n3,a,0\n", "column id: a node id as a whole .*row 1"),
}


@pytest.mark.parametrize("case", BAD_NODES)
def test_bad_node_tables(case, tmp_path):
    text, told = BAD_NODES[case]
    (tmp_path / "nodes.csv").write_text(text)
    (tmp_path / "edges.csv").write_text("1,2\n2,3\n")
    with pytest.raises(InputError, match=told) as error:
        read(tmp_path, Options())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("edges", ["ann,bob\n", "1042,1077\n"])
def test_a_node_table_without_a_column_of_ids(edges, tmp_path):
    (tmp_path / "nodes.csv").write_text("Name,class,f\nann,x,0\nbob,y,1\n")
    (tmp_path / "edges.csv").write_text(f"source,target\n{edges}")
    told = r"; .*nodes.csv has no column id: data import --id names it .it has Name, class, f.$"
    with pytest.raises(InputError, match=told):
        read(tmp_path, Options())


def test_columns_by_name(tmp_path):
    frame = table(np.arange(N)).rename(columns={"class": "Colour", "node_id": "who"})
    frame.to_csv(tmp_path / "nodes.csv", index=False)
    pd.DataFrame(pairs()).to_csv(tmp_path / "edges.csv", index=False, header=False)
    found: Any = read(tmp_path, Options(id="who", label=("colour",)))[1]
    assert found.labels.tolist() == frame["Colour"].tolist() and found.features.shape == (N, 2)
    with pytest.raises(InputError, match="--label shade: .*nodes.csv has"):
        read(tmp_path, Options(label=("shade",)))


def test_parquet_needs_pyarrow(tmp_path, monkeypatch):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "nodes.parquet")
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"pyarrow is not installed \(pip install infgrand-dgl\[parquet\]\)"
    ):
        read_table(tmp_path / "nodes.parquet")
