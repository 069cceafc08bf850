"""A small graph with several labels a node, or numbers, in the true layout of each format that can
hold them."""

import json
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.io import savemat

from . import layouts
from .layouts import Graph

NAMES = ("growth", "repair", "transport", "signal")
Write = Callable[[Graph, Path, np.ndarray], tuple[Path, list[str]]]


def several(n: int = 60) -> np.ndarray:
    """float64 `[n, 4]` of 0 and 1: some node has several, one none, and no column is constant."""
    values = (np.random.rand(n, 4) < 0.4).astype(np.float64)
    values[0], values[1], values[2:6] = [1, 1, 1, 0], 0, np.eye(4)
    return values


def unknown(values: np.ndarray) -> np.ndarray:
    """With NaN; every node keeps one label that is known."""
    out = np.where(np.random.rand(*values.shape) < 0.2, np.nan, values)
    out[:, 0] = values[:, 0]
    return out


def numbers(n: int = 60, columns: int = 3) -> np.ndarray:
    return np.round(np.random.randn(n, columns) * 20, 3) + 0.25


def plain(write: layouts.Layout) -> Write:
    """A layout that holds labels of any shape."""
    return lambda g, folder, y: (write(Graph(g.edges, g.x, y, g.split), folder), [])


def pickled(g: Graph, folder: Path, y: np.ndarray) -> tuple[Path, list[str]]:
    return layouts.pickled(Graph(g.edges, g.x, y, g.split), folder), ["--trust"]


def sparse_labels(g: Graph, folder: Path, y: np.ndarray) -> tuple[Path, list[str]]:
    path = layouts.gnn_benchmark(g, folder)
    arrays = dict(np.load(path, allow_pickle=True))
    del arrays["labels"], arrays["node_names"]
    matrix = sp.csr_matrix(y)
    for part in ("data", "indices", "indptr", "shape"):
        arrays[f"labels_{part}"] = np.asarray(getattr(matrix, part))
    np.savez(path, **arrays)
    return path, []


def matlab(g: Graph, folder: Path, y: np.ndarray) -> tuple[Path, list[str]]:
    """BlogCatalog's: `network` and `group`, sparse; here with attributes."""
    content = {"network": g.adjacency().astype(float), "group": sp.csc_matrix(y)}
    savemat(folder / "blogcatalog.mat", {**content, "attributes": g.sparse().astype(float)})
    return folder / "blogcatalog.mat", []


def frame_of(g: Graph, y: np.ndarray, names: tuple[str, ...] = NAMES) -> pd.DataFrame:
    parts = {int(i): part for part in layouts.PARTS for i in g.split[part]}
    columns = {name: y[:, c] for c, name in enumerate(names[: y.shape[1]])}
    features = {f"x{j}": g.x[:, j] for j in range(g.x.shape[1])}
    ids = [f"u{i}" for i in range(g.num_nodes)]
    split = [parts[i] for i in range(g.num_nodes)]
    return pd.DataFrame({"id": ids, "split": split, **features, **columns})


def table(g: Graph, folder: Path, y: np.ndarray) -> tuple[Path, list[str]]:
    lines = "".join(f"u{u} u{v}\n" for u, v in g.edges)
    (folder / "links.txt").write_text(lines)
    frame_of(g, y).to_csv(folder / "people.csv", index=False)
    columns = ["--label", "growth,repair", "--label", ",".join(NAMES[2 : y.shape[1]])]
    return folder / "links.txt", ["--nodes", str(folder / "people.csv"), *columns]


def numbered(g: Graph, folder: Path, y: np.ndarray) -> tuple[Path, list[str]]:
    """`label_0`, `label_1`, ...: never features."""
    path = folder / "tables"
    path.mkdir()
    edges = pd.DataFrame([(f"u{u}", f"u{v}") for u, v in g.edges])
    edges.to_csv(path / "edges.csv", index=False, header=False)
    names = tuple(f"label_{c}" for c in range(y.shape[1]))
    frame_of(g, y, names).to_parquet(path / "nodes.parquet")
    return path, []


def beside(g: Graph, folder: Path, y: np.ndarray) -> tuple[Path, list[str]]:
    """A table of labels alone."""
    path = folder / "mine"
    path.mkdir()
    pd.DataFrame(g.edges).to_csv(path / "edges.tsv", sep="\t", index=False, header=False)
    np.save(path / "features.npy", g.x)
    pd.DataFrame(y, columns=NAMES[: y.shape[1]]).to_csv(path / "labels.csv", index=False)
    return path, []


def named_array(g: Graph, folder: Path, y: np.ndarray) -> tuple[Path, list[str]]:
    path, _ = beside(g, folder, y)
    (path / "labels.csv").unlink()
    np.save(path / "labels.npy", y)
    (path / "label_names.json").write_text(json.dumps(NAMES[: y.shape[1]]))
    return path, []


def own(g: Graph, folder: Path, y: np.ndarray) -> tuple[Path, list[str]]:
    path, _ = named_array(g, folder, y)
    (path / "edges.tsv").unlink()
    np.save(path / "edges.npy", g.edges)
    split = {part: ids.tolist() for part, ids in g.split.items()}
    (path / "splits.json").write_text(json.dumps(split))
    return path, []


def attributes(writer: Callable[..., None], ending: str) -> Write:
    def write(g: Graph, folder: Path, y: np.ndarray) -> tuple[Path, list[str]]:
        out = layouts.networkx(g)
        for i, node in enumerate(out):
            del out.nodes[node]["class"]
            out.nodes[node].update({NAMES[c]: float(v) for c, v in enumerate(y[i])})
        writer(out, folder / f"graph.{ending}")
        return folder / f"graph.{ending}", ["--label", ",".join(NAMES[: y.shape[1]])]

    return write


HOLDERS: dict[str, Write] = {
    "gnn-benchmark": plain(layouts.gnn_benchmark),
    "gnn-benchmark sparse": sparse_labels,
    "gnn-benchmark pickled": pickled,
    "heterophilous-graphs": plain(layouts.heterophilous),
    "matlab": matlab,
    "pyg": plain(layouts.pyg),
    "pyg object": plain(layouts.pyg_object),
    "ogb-raw": plain(layouts.ogb_raw),
    "graphsaint": plain(layouts.graphsaint),
    "graphml": attributes(nx.write_graphml, "graphml"),
    "gexf": attributes(nx.write_gexf, "gexf"),
    "gml": attributes(nx.write_gml, "gml"),
    "edge-list": table,
    "folder numbered": numbered,
    "folder of labels": beside,
    "folder of arrays": named_array,
    "own": own,
}
NAMED = {"graphml", "gexf", "gml", "edge-list", "folder of labels", "folder of arrays", "own"}
