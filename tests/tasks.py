"""A folder of one's own for each task: nodes in a plane, each near its neighbours, with labels that
follow from where they are, some of them unknown; one feature in three tells of it."""

import json
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

TASKS = ("classification", "multilabel", "regression")


def labels_of(task: str, places: np.ndarray, columns: int) -> np.ndarray:
    """Of the places `[N, 2]`: classes `[N]`, or `[N, columns]` of 0 and 1, or of numbers whose
    units grow tenfold."""
    N, y = len(places), places @ np.random.randn(2, columns)
    if task == "classification":
        return y.argmax(axis=1)
    y = (y > 0).astype(float) if task == "multilabel" else 100 + y * 10.0 ** np.arange(columns)
    unknown = np.random.rand(N, columns) < 0.1
    unknown[np.arange(N), np.random.randint(columns, size=N)] = False
    return np.where(unknown, np.nan, y).astype(np.float32)


def write(path: Path, task: str, nodes: int = 240, columns: int = 3) -> Path:
    path.mkdir(parents=True)
    places = np.random.randn(nodes, 2)
    _, near = KDTree(places).query(places, k=5)
    np.save(path / "edges.npy", np.stack([np.repeat(np.arange(nodes), 4), near[:, 1:].ravel()], 1))
    features = np.concatenate(
        [places + 0.5 * np.random.randn(nodes, 2), np.random.randn(nodes, 4)], 1
    )
    np.save(path / "features.npy", features.astype(np.float32))
    np.save(path / "labels.npy", labels_of(task, places, columns))
    ids = np.random.permutation(nodes).tolist()
    split = {"train": ids[: nodes // 2], "val": ids[nodes // 2 : -nodes // 4]}
    split["test"] = ids[-nodes // 4 :]
    (path / "splits.json").write_text(json.dumps(split))
    return path


def settings(path: Path) -> list[str]:
    """Overrides for a training of a second on such a folder."""
    small = ["teacher.hidden=8", "student.hidden=8", "student.weight_decay=0", "train.device=cpu"]
    return ["data.name=directory", f"data.root={path}", "train.epochs=40", *small]
