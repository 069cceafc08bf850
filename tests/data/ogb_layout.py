"""Small sets in OGB's raw layouts."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

N, D = 500, 128


def write(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    pd.DataFrame(values).to_csv(text, header=False, index=False)
    path.write_bytes(gzip.compress(text.getvalue().encode()))


def products(root: Path) -> np.ndarray:
    """ogbn-products' layout: every undirected edge once, a split by sales rank."""
    folder = root / "ogbn_products"
    edges = np.random.randint(0, N, size=(2000, 2))
    write(folder / "raw/edge.csv.gz", edges)
    write(folder / "raw/node-feat.csv.gz", np.random.randn(N, 100).round(4))
    write(folder / "raw/node-label.csv.gz", np.arange(N) % 47)
    write(folder / "raw/num-node-list.csv.gz", [N])
    write(folder / "raw/num-edge-list.csv.gz", [len(edges)])
    for name, ids in (("train", range(100)), ("valid", range(100, 150)), ("test", range(150, N))):
        write(folder / f"split/sales_ranking/{name}.csv.gz", list(ids))
    (folder / "RELEASE_v1.txt").write_text("")
    return edges


def papers100M(root: Path) -> np.ndarray:  # noqa: N802
    """ogbn-papers100M's layout: binary arrays, labels on a part of the nodes."""
    folder = root / "ogbn_papers100M"
    (folder / "raw").mkdir(parents=True)
    edges = np.random.randint(0, N, size=(2000, 2))
    np.savez(
        folder / "raw/data.npz",
        edge_index=edges.T,
        num_nodes_list=[N],
        num_edges_list=[len(edges)],
        node_feat=np.random.randn(N, D).astype(np.float32),
        node_year=np.full((N, 1), 2017),
    )
    labels = (np.arange(N) % 172).astype(np.float32)[:, None]
    labels[100:] = np.nan
    np.savez(folder / "raw/node-label.npz", node_label=labels)
    for name, ids in (("train", range(60)), ("valid", range(60, 80)), ("test", range(80, 100))):
        write(folder / f"split/time/{name}.csv.gz", list(ids))
    (folder / "RELEASE_v1.txt").write_text("")
    return edges
