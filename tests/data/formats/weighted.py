"""A small graph with edge weights in the true layout of each format that has some."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from scipy.io import savemat

from infgrand_dgl.graph.dgl_bridge import dgl

from . import layouts
from .layouts import Graph

Layout = Callable[[Graph, np.ndarray, Path], Path]


def graph() -> tuple[Graph, np.ndarray]:
    """Every edge once, in one of the two directions; weights are dyadic, so that sums are exact."""
    g = layouts.graph()
    ends = np.unique(np.sort(g.edges, axis=1), axis=0)
    turned = np.random.rand(len(ends)) < 0.5
    g.edges = np.where(turned[:, None], ends[:, ::-1], ends)
    weights = np.random.randint(1, 64, len(ends)) / 16
    weights[:2] = 0.5, 2.25
    return g, weights


def adjacency(g: Graph, weights: np.ndarray) -> np.ndarray:
    """Of the paper's graph, by its definition: `[N, N]`, float64, a self-loop of 1 each."""
    N = g.num_nodes
    one_way, there = np.zeros((N, N)), np.zeros((N, N), bool)
    for (u, v), w in zip(g.edges.tolist(), weights.tolist(), strict=True):
        one_way[u, v] += w
        there[u, v] |= w > 0
    both = there & there.T
    out = np.where(both, (one_way + one_way.T) / 2, one_way + one_way.T)
    np.fill_diagonal(out, 1)
    return out


def _rest(g: Graph, folder: Path) -> Path:
    path = folder / "mine"
    path.mkdir()
    np.save(path / "features.npy", g.x)
    np.save(path / "labels.npy", g.y)
    return path


def own(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = _rest(g, folder)
    np.save(path / "edges.npy", g.edges)
    np.save(path / "weights.npy", weights)
    return path


def third_column(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = _rest(g, folder)
    np.save(path / "edges.npy", np.column_stack([g.edges, weights]))
    return path


def table(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = _rest(g, folder)
    columns = {"source": g.edges[:, 0], "kind": "a", "target": g.edges[:, 1], "Weight": weights}
    pd.DataFrame(columns).to_csv(path / "edges.csv", index=False, sep=";")
    return path


def parquet(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = _rest(g, folder)
    columns = {"source": g.edges[:, 0], "target": g.edges[:, 1], "rating": weights}
    pd.DataFrame(columns).to_parquet(path / "edges.parquet")
    return path


def beside_a_table(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = _rest(g, folder)
    pd.DataFrame(g.edges).to_csv(path / "edges.tsv", index=False, header=False, sep="\t")
    pd.DataFrame({"weight": weights}).to_csv(path / "weights.csv", index=False)
    return path


def snap(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    """Text ids and a third column, as weighted edge lists of SNAP and NetworkX have them."""
    layouts.snap(g, folder)
    rows = zip(g.edges.tolist(), weights.tolist(), strict=True)
    (folder / "links.txt").write_text(
        "# weighted\n" + "".join(f"u{u} u{v} {w}\n" for (u, v), w in rows)
    )
    return folder / "links.txt"


def scipy_matrix(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = layouts.scipy_matrix(g, folder)
    sp.save_npz(path, sp.coo_matrix((weights, g.edges.T), (g.num_nodes, g.num_nodes)))
    return path


def gnn_benchmark(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = layouts.gnn_benchmark(g, folder)
    with np.load(path, allow_pickle=True) as archive:
        arrays: dict[str, Any] = dict(archive)
    matrix = sp.csr_matrix((weights, g.edges.T), (g.num_nodes, g.num_nodes))
    arrays |= {f"adj_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
    np.savez(path, **arrays)
    return path


def matlab(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = layouts.matlab(g, folder)
    matrix = sp.csc_matrix((weights, g.edges.T), (g.num_nodes, g.num_nodes))
    savemat(path, {"W": matrix + matrix.T, "X": g.x, "Y": (g.y + 1)[:, None]})
    return path


def matlab_edges(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    listed = {"edges": g.edges.astype(float), "weight": weights[:, None]}
    savemat(folder / "blog.mat", {**listed, "X": g.x, "Y": (g.y + 1)[:, None]})
    return folder / "blog.mat"


def matlab_columns(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    listed = np.column_stack([g.edges, weights])
    savemat(folder / "blog.mat", {"edges": listed, "X": g.x, "Y": (g.y + 1)[:, None]})
    return folder / "blog.mat"


def networkx(g: Graph, weights: np.ndarray, name: str = "weight") -> nx.Graph:
    out = layouts.networkx(g)
    for (u, v), w in zip(g.edges.tolist(), weights.tolist(), strict=True):
        out.edges[f"n{u}", f"n{v}"][name] = w
    return out


def graphml(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    nx.write_graphml(networkx(g, weights), folder / "graph.graphml")
    return folder / "graph.graphml"


def gexf(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    nx.write_gexf(networkx(g, weights), folder / "graph.gexf")
    return folder / "graph.gexf"


def gml(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    nx.write_gml(networkx(g, weights, "closeness"), folder / "graph.gml")
    return folder / "graph.gml"


def pyg(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    data = {**layouts.tensors(g), "edge_weight": torch.from_numpy(weights).float()}
    torch.save(data, folder / "data.pt")
    return folder / "data.pt"


def pyg_attribute(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    data = {**layouts.tensors(g), "edge_attr": torch.from_numpy(weights)[:, None]}
    torch.save(data, folder / "data.pt")
    return folder / "data.pt"


def geom_gcn(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = layouts.geom_gcn(g, folder)
    rows = zip(g.edges.tolist(), weights.tolist(), strict=True)
    lines = "".join(f"{u}\t{v}\t{w}\n" for (u, v), w in rows)
    (path / "out1_graph_edges.txt").write_text("node_id\tnode_id\tweight\n" + lines)
    return path


def musae(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = layouts.musae(g, folder)
    columns = {"id_1": g.edges[:, 0], "id_2": g.edges[:, 1], "weight": weights}
    pd.DataFrame(columns).to_csv(path / "musae_facebook_edges.csv", index=False)
    return path


def dgl_file(g: Graph, weights: np.ndarray, folder: Path) -> Path:
    path = _rest(g, folder)
    saved = dgl.graph(tuple(torch.from_numpy(g.edges.T.copy())), num_nodes=g.num_nodes)
    saved.edata["edge_weight"] = torch.from_numpy(weights)[:, None]
    saved.edata["year"] = torch.arange(len(weights))
    dgl.save_graphs(str(path / "graph.bin"), [saved])
    return path


# Those that are weights by their names, or as values of a matrix; and what a user must say of others.
NAMED: dict[str, Layout] = {
    "folder": own,
    "folder table": table,
    "folder beside": beside_a_table,
    "gnn-benchmark": gnn_benchmark,
    "matlab": matlab,
    "scipy-matrix": scipy_matrix,
    "matlab edges": matlab_edges,
    "networkx graphml": graphml,
    "networkx gexf": gexf,
    "pyg": pyg,
    "geom-gcn": geom_gcn,
    "musae": musae,
}
UNCLEAR: dict[str, tuple[Layout, list[str]]] = {
    "folder columns": (third_column, ["--weights"]),
    "edge-list": (snap, ["--weights"]),
    "edge-list by its number": (snap, ["--weights", "2"]),
    "matlab columns": (matlab_columns, ["--weights"]),
    "pyg edge_attr": (pyg_attribute, ["--weights"]),
    "pyg edge_attr by its name": (pyg_attribute, ["--weights", "edge_attr"]),
}
# Names that only a user knows; without a word of theirs they are no weights.
OTHER: dict[str, tuple[Layout, list[str]]] = {
    "folder parquet": (parquet, ["--weights", "Rating"]),
    "networkx gml": (gml, ["--weights", "closeness"]),
}
