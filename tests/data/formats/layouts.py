"""A small random graph in the true layout of each format."""

import gzip
import json
import pickle
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.io import savemat

PARTS = ("train", "val", "test")


@dataclass
class Graph:
    """Labels that features tell; the last node has no neighbours."""

    edges: np.ndarray
    x: np.ndarray
    y: np.ndarray
    split: dict[str, np.ndarray]

    @property
    def num_nodes(self) -> int:
        return len(self.y)

    def masks(self) -> dict[str, np.ndarray]:
        masks = {part: np.zeros(self.num_nodes, bool) for part in PARTS}
        for part in PARTS:
            masks[part][self.split[part]] = True
        return masks

    def adjacency(self) -> sp.csr_matrix:
        """Of each edge one direction, as cora_ml has it."""
        ones, N = np.ones(len(self.edges), np.float32), self.num_nodes
        matrix = sp.csr_matrix((ones, self.edges.T), (N, N))
        matrix.data[:] = 1
        return matrix

    def sparse(self) -> sp.csr_matrix:
        return sp.csr_matrix(self.x.astype(np.float32))


def graph(n: int = 60, d: int = 12, classes: int = 3) -> Graph:
    y = np.random.permutation(np.arange(n) % classes)
    edges = np.random.randint(0, n - 1, size=(3 * n, 2))
    edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    x = (np.random.rand(n, d) < 0.2).astype(np.float64)
    x[np.arange(n), y] = 1
    x[0, -1] = 1
    order = np.random.permutation(n)
    cut = (n // 2, 3 * n // 4)
    parts = [np.sort(part) for part in np.split(order, cut)]
    return Graph(edges, x, y, dict(zip(PARTS, parts, strict=True)))


def gnn_benchmark(g: Graph, folder: Path) -> Path:
    arrays: dict[str, Any] = {}
    path = folder / "cora_ml.npz"
    for name, matrix in (("adj", g.adjacency()), ("attr", g.sparse())):
        for part in ("data", "indices", "indptr"):
            arrays[f"{name}_{part}"] = getattr(matrix, part)
        arrays[f"{name}_shape"] = np.array(matrix.shape)
    names = np.array([f"node {i}" for i in range(g.num_nodes)], dtype=object)
    np.savez(path, labels=g.y, node_names=names, **arrays)
    return path


def pickled(g: Graph, folder: Path) -> Path:
    path = folder / "pickled.npz"
    np.savez(path, adj_matrix=g.adjacency(), attr_matrix=g.sparse(), labels=g.y)
    return path


def heterophilous(g: Graph, folder: Path, k: int = 1) -> Path:
    """Masks are `[k, N]` there."""
    path = folder / "minesweeper.npz"
    masks: dict[str, Any] = {f"{p}_masks": np.stack([m] * k) for p, m in g.masks().items()}
    np.savez(path, node_features=g.x, node_labels=g.y, edges=g.edges, **masks)
    return path


def geom_gcn(g: Graph, folder: Path) -> Path:
    path = folder / "texas"
    path.mkdir()
    edges = "".join(f"{u}\t{v}\n" for u, v in g.edges)
    (path / "out1_graph_edges.txt").write_text(f"node_id\tnode_id\n{edges}")
    lines = [
        f"{i}\t{','.join(str(int(v)) for v in g.x[i])}\t{g.y[i]}\n"
        for i in np.random.permutation(g.num_nodes)
    ]
    header = "node_id\tfeature\tlabel\n"
    (path / "out1_node_feature_label.txt").write_text(header + "".join(lines))
    (folder / "splits").mkdir(exist_ok=True)
    masks: dict[str, Any] = {f"{part}_mask": mask for part, mask in g.masks().items()}
    np.savez(folder / "splits/texas_split_0.6_0.2_0.npz", **masks)
    return path


def film(g: Graph, folder: Path) -> Path:
    """Its rows list the columns that are 1."""
    path = geom_gcn(g, folder)
    lines = [f"{i}\t{','.join(map(str, np.flatnonzero(g.x[i])))}\t{g.y[i]}\n"
             for i in range(g.num_nodes)]  # fmt: skip
    (path / "out1_node_feature_label.txt").write_text("node_id\tfeature\tlabel\n" + "".join(lines))
    return path


def musae(g: Graph, folder: Path) -> Path:
    path = folder / "facebook"
    path.mkdir()
    edges = pd.DataFrame(g.edges, columns=["id_1", "id_2"])
    edges.to_csv(path / "musae_facebook_edges.csv", index=False)
    features = {str(i): np.flatnonzero(g.x[i]).tolist() for i in range(g.num_nodes)}
    (path / "musae_facebook_features.json").write_text(json.dumps(features))
    names = np.array(["company", "government", "politician"])
    targets = {
        "id": range(g.num_nodes),
        "facebook_id": np.random.randint(10**9, 10**10, g.num_nodes),
        "page_name": [f"Page, number {i}" for i in range(g.num_nodes)],
        "page_type": names[g.y],
    }
    pd.DataFrame(targets).to_csv(path / "musae_facebook_target.csv", index=False)
    return path


def planetoid(g: Graph, folder: Path) -> Path:
    """Nodes that train come first, those that test last; pickles of Python 2, as SciPy was."""
    path = folder / "cora"
    path.mkdir()
    hot, x = np.eye(3, dtype=np.int32)[g.y], g.sparse()
    train, known = len(g.split["train"]), g.num_nodes - len(g.split["test"])
    test = np.random.permutation(np.arange(known, g.num_nodes))
    lists: dict[int, list[int]] = {i: [] for i in range(g.num_nodes)}
    for u, v in g.edges.tolist():
        lists[u].append(v)
        lists[v].append(u)
    content = {
        "x": x[:train], "y": hot[:train], "allx": x[:known], "ally": hot[:known],
        "tx": x[test], "ty": hot[test], "graph": lists,
    }  # fmt: skip
    for name, value in content.items():
        (path / f"ind.cora.{name}").write_bytes(pickle.dumps(value, protocol=2))
    (path / "ind.cora.test.index").write_text("".join(f"{i}\n" for i in test))
    return path


def ordered(g: Graph) -> Graph:
    """Split as Planetoid's order of nodes says."""
    cuts = np.cumsum([len(g.split[part]) for part in PARTS])[:2]
    parts = np.split(np.arange(g.num_nodes), cuts)
    return Graph(g.edges, g.x, g.y, dict(zip(PARTS, parts, strict=True)))


def ogb_raw(g: Graph, folder: Path) -> Path:
    path = folder / "mine"
    (path / "split/time").mkdir(parents=True)
    (path / "raw").mkdir()

    def write(name: str, values: Any) -> None:
        pd.DataFrame(values).to_csv(path / name, header=False, index=False, compression="gzip")

    write("raw/edge.csv.gz", g.edges)
    write("raw/node-feat.csv.gz", g.x)
    write("raw/node-label.csv.gz", g.y)
    write("raw/num-node-list.csv.gz", [g.num_nodes])
    write("raw/num-edge-list.csv.gz", [len(g.edges)])
    for part, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        write(f"split/time/{name}.csv.gz", g.split[part])
    return path


def graphsaint(g: Graph, folder: Path) -> Path:
    """Each edge in both directions, classes or rows of 0 and 1 by id, as Yelp's and PyG's files."""
    path = folder / "yelp"
    (path / "raw").mkdir(parents=True)
    one = g.adjacency()
    sp.save_npz(path / "raw/adj_full.npz", ((one + one.T) > 0).astype(bool))
    np.save(path / "raw/feats.npy", g.x)
    rows = {str(i): g.y[i].tolist() for i in range(g.num_nodes)}
    (path / "raw/class_map.json").write_text(json.dumps(rows))
    roles = {
        name: g.split[part].tolist() for part, name in zip(PARTS, ("tr", "va", "te"), strict=True)
    }
    (path / "raw/role.json").write_text(json.dumps(roles))
    return path


def networkx(g: Graph) -> nx.Graph:
    out = nx.Graph()
    parts = {int(i): part for part in PARTS for i in g.split[part]}
    for i in range(g.num_nodes):
        columns = {f"f{j}": float(v) for j, v in enumerate(g.x[i])}
        out.add_node(f"n{i}", **{"class": "abc"[g.y[i]], "split": parts[i]}, **columns)
    out.add_edges_from((f"n{u}", f"n{v}") for u, v in g.edges)
    return out


def graphml(g: Graph, folder: Path) -> Path:
    nx.write_graphml(networkx(g), folder / "graph.graphml")
    return folder / "graph.graphml"


def gexf(g: Graph, folder: Path) -> Path:
    nx.write_gexf(networkx(g), folder / "graph.gexf")
    return folder / "graph.gexf"


def matlab(g: Graph, folder: Path) -> Path:
    content = {"Network": g.adjacency().astype(float), "Attributes": g.sparse().astype(float)}
    masks = {f"{part}_mask": mask.astype(np.uint8) for part, mask in g.masks().items()}
    savemat(folder / "blog.mat", {**content, "Label": (g.y + 1)[:, None], **masks})
    return folder / "blog.mat"


def tensors(g: Graph) -> dict[str, torch.Tensor]:
    masks = {f"{part}_mask": torch.from_numpy(mask) for part, mask in g.masks().items()}
    x, y = torch.from_numpy(g.x).float(), torch.from_numpy(g.y)
    return {"x": x, "edge_index": torch.from_numpy(g.edges.T.copy()), "y": y, **masks}


def pyg(g: Graph, folder: Path) -> Path:
    torch.save(tensors(g), folder / "data.pt")
    return folder / "data.pt"


def pyg_object(g: Graph, folder: Path) -> Path:
    """What torch.save(data) writes: classes of PyG by name, a store within the Data."""
    made, package = {}, "torch_geometric.data"
    modules = {name: types.ModuleType(name) for name in
               ("torch_geometric", package, f"{package}.data", f"{package}.storage")}  # fmt: skip
    for short, name in (("data", "Data"), ("storage", "GlobalStorage")):
        made[name] = type(name, (), {"__module__": f"{package}.{short}"})
        setattr(modules[f"{package}.{short}"], name, made[name])
    data, store = made["Data"](), made["GlobalStorage"]()
    data.__dict__["_store"] = store
    store.__dict__ |= {"_mapping": tensors(g), "_parent": data}
    with pytest.MonkeyPatch.context() as patch:
        for full, module in modules.items():
            patch.setitem(sys.modules, full, module)
        torch.save(data, folder / "data.pt")
    return folder / "data.pt"


def snap(g: Graph, folder: Path) -> Path:
    """Text ids, comments, gzip; a table of the nodes in another order, sparse features."""
    lines = "".join(f"u{u}\tu{v}\n" for u, v in g.edges)
    header = "# Directed graph\n# FromNodeId\tToNodeId\n"
    with gzip.open(folder / "links.txt.gz", "wt") as file:
        file.write(header + lines)
    parts = {int(i): part for part in PARTS for i in g.split[part]}
    rows = [{"id": f"u{i}", "split": parts[i], "label": "abc"[g.y[i]]} for i in range(g.num_nodes)]
    pd.DataFrame(rows).to_csv(folder / "people.csv", index=False)
    sp.save_npz(folder / "features.npz", g.sparse())
    return folder / "links.txt.gz"


def scipy_matrix(g: Graph, folder: Path) -> Path:
    """Beside it a table of the nodes, and sparse features."""
    snap(g, folder)
    table = pd.read_csv(folder / "people.csv").assign(id=range(g.num_nodes))
    table.to_csv(folder / "people.csv", index=False)
    sp.save_npz(folder / "adjacency.npz", g.adjacency())
    return folder / "adjacency.npz"


def tables(g: Graph, folder: Path) -> Path:
    """A folder: semicolons, ids with gaps, features in columns of the node table."""
    path, ids = folder / "tables", np.arange(g.num_nodes) * 7 + 100
    path.mkdir()
    pd.DataFrame(ids[g.edges], columns=["src", "dst"]).to_csv(path / "edges.csv", sep=";")
    masks = {f"{part}_mask": mask.astype(int) for part, mask in g.masks().items()}
    columns = {f"x{j}": g.x[:, j] for j in range(g.x.shape[1])}
    pd.DataFrame({"node_id": ids, "label": g.y, **masks, **columns}).to_parquet(
        path / "nodes.parquet"
    )
    return path


def linqs(g: Graph, folder: Path) -> Path:
    """Cora's: tabs, ids that are numbers, citations of papers that are in no line."""
    path, ids = folder / "cora", np.random.permutation(10**6)[: g.num_nodes + 1]
    path.mkdir()
    names = ["Case_Based", "Neural_Networks", "Theory"]
    rows = (
        "\t".join([str(ids[i]), *(f"{v:g}" for v in g.x[i]), names[g.y[i]]])
        for i in range(g.num_nodes)
    )
    (path / "cora.content").write_text("\n".join(rows) + "\n")
    pairs = [*(f"{ids[v]}\t{ids[u]}\n" for u, v in g.edges), f"{ids[-1]}\t{ids[0]}\n"]
    (path / "cora.cites").write_text("".join(pairs))
    (path / "README").write_text("This directory contains the Cora data set.\n")
    return path


def linqs_text(g: Graph, folder: Path) -> Path:
    """WebKB's: spaces, addresses as ids; the file itself is named."""
    ids = [f"http://www.cs.cornell.edu/~{i}/" for i in np.random.permutation(g.num_nodes)]
    rows = (
        " ".join([ids[i], *(f"{v:g}" for v in g.x[i]), ["course", "faculty", "student"][g.y[i]]])
        for i in range(g.num_nodes)
    )
    path = folder / "cornell.content"
    path.write_text("".join(f"{row}\n" for row in rows))
    (folder / "cornell.cites").write_text("".join(f"{ids[u]} {ids[v]}\n" for u, v in g.edges))
    return path


def pubmed(g: Graph, folder: Path) -> Path:
    """Two lines above the rows, which have what is not 0, by name and in any order."""
    path = folder / "Pubmed-Diabetes"
    (path / "data").mkdir(parents=True)
    words, ids = [f"w-{j}" for j in range(g.x.shape[1])], np.random.permutation(10**7)
    columns = "\t".join(f"numeric:{word}:0.0" for word in words)
    lines = ["NODE\tpaper", f"cat=1,2,3:label\t{columns}"]
    for i in range(g.num_nodes):
        has = np.random.permutation(np.flatnonzero(g.x[i]))
        values = [f"{words[j]}={g.x[i, j]}" for j in has]
        summary = "summary=" + ",".join(words[j] for j in has)
        lines.append("\t".join([str(ids[i]), f"label={g.y[i] + 1}", *values, summary]))
    (path / "data/Pubmed-Diabetes.NODE.paper.tab").write_text("\n".join(lines) + "\n")
    cites = ["DIRECTED\tcites", "NO_FEATURES"]
    cites += [f"{k}\tpaper:{ids[u]}\t|\tpaper:{ids[v]}" for k, (u, v) in enumerate(g.edges)]
    (path / "data/Pubmed-Diabetes.DIRECTED.cites.tab").write_text("\n".join(cites) + "\n")
    return path


Layout = Callable[[Graph, Path], Path]
# What has its own split, and what comes without one.
WITH_SPLIT: dict[str, Layout] = {
    "heterophilous-graphs": heterophilous,
    "geom-gcn": geom_gcn,
    "geom-gcn film": film,
    "planetoid": planetoid,
    "ogb-raw": ogb_raw,
    "graphsaint": graphsaint,
    "networkx graphml": graphml,
    "networkx gexf": gexf,
    "matlab": matlab,
    "pyg": pyg,
    "pyg object": pyg_object,
    "folder": tables,
    "edge-list": snap,
    "scipy-matrix": scipy_matrix,
}
WITHOUT: dict[str, Layout] = {
    "gnn-benchmark": gnn_benchmark,
    "gnn-benchmark pickled": pickled,
    "musae": musae,
    "linqs": linqs,
    "linqs text": linqs_text,
    "linqs pubmed": pubmed,
}
LAYOUTS = {**WITH_SPLIT, **WITHOUT}


def beside(form: str, folder: Path) -> list[str]:
    """Options of `data import` that a layout needs."""
    if form in ("edge-list", "scipy-matrix"):
        features = str(folder / "features.npz")
        return ["--nodes", str(folder / "people.csv"), "--features", features]
    return ["--trust"] if form.endswith("pickled") else []
