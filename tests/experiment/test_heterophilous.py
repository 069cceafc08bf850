"""A graph on which neighbours differ, classes are imbalanced and features count: published settings
end at the largest class; `train.metric` with residual, normalised teachers does not."""

import json
from pathlib import Path

import numpy as np
import pytest

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.experiment.train import train
from infgrand_dgl.present.console import Silent

SIDE = 40
TODAY = """
teacher: {hidden: 32}
student: {hidden: 32}
train: {epochs: 100, seeds: [0], device: cpu}
"""
FITTING = """
teacher: {hidden: 32, norm: layer, residual: true, dropout: 0.2, weight_decay: 0.0}
student: {hidden: 32, norm: batch, dropout: 0.2, weight_decay: 0.0}
propagation: {hops: 1}
distillation: {lambda: 0.9}
train: {epochs: 100, seeds: [0], device: cpu, metric: roc_auc}
"""


@pytest.fixture
def board(tmp_path) -> Path:
    """A board whose cells touch eight others. On every fourth cell of the checkerboard's kind there
    is a mine with probability 0.8, elsewhere hardly ever; a cell knows how many of its neighbours
    are mines, two in five know nothing."""
    i, j = np.divmod(np.arange(SIDE**2), SIDE)
    mine = np.random.rand(SIDE**2) < np.where((i % 2 == 0) & (j % 2 == 0), 0.8, 0.02)
    pairs = []
    for di, dj in ((0, 1), (1, 0), (1, 1), (1, -1)):
        inside = (i + di < SIDE) & (j + dj >= 0) & (j + dj < SIDE)
        pairs.append(np.stack([np.flatnonzero(inside), ((i + di) * SIDE + j + dj)[inside]], axis=1))
    edges = np.concatenate(pairs)
    count = np.zeros(SIDE**2, dtype=int)
    for one, other in (edges.T, edges.T[::-1]):
        np.add.at(count, one, mine[other])
    features = np.eye(10, dtype=np.float32)[np.where(np.random.rand(SIDE**2) < 0.4, 9, count)]
    folder = tmp_path / "board"
    folder.mkdir()
    arrays = {"edges": edges, "features": features, "labels": mine.astype(np.int64)}
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    parts = np.array_split(np.random.permutation(SIDE**2), [SIDE**2 // 2, 3 * SIDE**2 // 4])
    split = {name: ids.tolist() for name, ids in zip(("train", "val", "test"), parts, strict=True)}
    (folder / "splits.json").write_text(json.dumps(split))
    return folder


def trained(text, board, out):
    file = out.with_suffix(".yaml")
    file.write_text(f"data: {{name: directory, root: {board}}}\n{text}")
    return train(load_config(file), out, report=Silent())


def test_teacher_and_student_are_no_longer_at_the_largest_class(board, tmp_path):
    today = trained(TODAY, board, tmp_path / "today")
    for model in ("teacher", "student"):
        assert today[model]["test"]["mean"] <= today[model]["largest_class"]["test"]["mean"] + 0.01
    found = trained(FITTING, board, tmp_path / "fitting")
    dataset = load_dataset(load_config(tmp_path / "fitting.yaml"))
    ends = np.load(board / "edges.npy").T
    labels = dataset.labels.numpy()
    rare = labels == 1
    assert 0.1 < rare.mean() < 0.3
    assert (rare[ends].all(0)).sum() < 0.1 * rare[ends].any(0).sum()  # mines hardly touch
    for model in ("teacher", "student"):
        assert found[model]["roc_auc"]["test"]["mean"] > 0.85
        assert found[model]["test"]["mean"] > today[model]["largest_class"]["test"]["mean"] + 0.02
