"""`update` of a run whose graph gets new edges, beside all of it from scratch.

New edges are uniformly random, or gathered: of nodes of a ball that has at least as many, about a
random one, each with the end of a walk of two steps. From scratch are the edited graph's inputs,
influence and teacher's logits: how long it takes to compute them, and with the run's dataset read
before and the arrays written after. Of `update` all is counted but the start of the process and
the files of edges. Differences are relative to the largest number of an array.

`plane DIR NODES` writes a graph of one's own: points in the unit square, each joined with its four
nearest; 100 features, cosines and sines of the place with noise, of `counts` those above 1.5 alone.

infgrand-dgl train --config amazon-photo_gcn_transductive --set data.root=data train.epochs=20 \\
    --seeds 0 --out runs/photo
for kind in signed counts; do
    python updates.py plane graphs/$kind 500000 $kind
    infgrand-dgl train --config own --set data.root=graphs/$kind train.epochs=2 \\
        teacher.hidden=64 student.hidden=64 --seeds 0 --out runs/$kind
done
python updates.py run runs/photo runs/signed runs/counts
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from infgrand_dgl.data import NodeDataset, Split, load_source
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.experiment.graph_state import GraphState
from infgrand_dgl.experiment.judging import of_inputs
from infgrand_dgl.experiment.updating import Update, update
from infgrand_dgl.graph.changing import Edits
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.propagation.inputs import propagation_of
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.readings import load_teacher
from infgrand_dgl.training.teacher import logits_of

NOTHING = torch.empty(0, 2, dtype=torch.long)


def plane(folder: str, nodes: str, kind: str) -> None:
    N, path, rng = int(nodes), Path(folder), np.random.default_rng(0)
    path.mkdir(parents=True)
    places = rng.random((N, 2))
    _, near = KDTree(places).query(places, k=5)
    np.save(path / "edges.npy", np.stack([np.repeat(np.arange(N), 4), near[:, 1:].ravel()], 1))
    angles = places @ rng.normal(scale=4, size=(2, 50))
    x = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) + rng.normal(size=(N, 100))
    x = np.where(x > 1.5, x, 0) if kind == "counts" else x
    np.save(path / "features.npy", x.astype(np.float32))
    np.save(path / "labels.npy", (places * 3).astype(int) @ [3, 1])
    ids = rng.permutation(N).tolist()
    split = {"train": ids[: N // 10], "val": ids[N // 10 : N // 5], "test": ids[N // 5 :]}
    (path / "splits.json").write_text(json.dumps(split))


def new_edges(csr: CSRGraph, count: int, gathered: bool) -> Tensor:
    """That the graph does not have, `[count, 2]`."""
    N = csr.num_rows

    def step(nodes: Tensor) -> Tensor:
        at = (torch.rand(len(nodes)) * csr.row_lengths[nodes]).long()
        return csr.indices[csr.indptr[nodes] + at].long()

    pool = torch.arange(N)
    if gathered:
        pool = torch.randint(N, (1,))
        while len(pool) < count:
            ball = torch.cat([pool, csr.indices[csr.entries_of(pool)].long()]).unique()
            pool = ball if len(ball) > len(pool) else torch.randint(N, (1,))
    one = pool[torch.randint(len(pool), (8 * count,))]
    other = step(step(one)) if gathered else torch.randint(N, (8 * count,))
    keys = torch.minimum(one, other) * N + torch.maximum(one, other)
    keys = keys[one != other].unique()
    rows = torch.arange(N).repeat_interleave(csr.row_lengths)
    keys = keys[~torch.isin(keys, rows * N + csr.indices)]
    keys = keys[torch.randperm(len(keys))[:count]]
    return torch.stack([keys // N, keys % N], dim=1)


def scratch(run: RunDirectory, csr: CSRGraph, x: Tensor) -> tuple[dict[str, Tensor], float]:
    """Of the edited graph, by name of the run's file; and the seconds."""
    config, nobody, seed = run.config, torch.empty(0, dtype=torch.long), run.config.train.seeds[0]
    runtime, path = Runtime.on("cpu"), f"seed-{seed}/teacher_logits.npy"
    labels, split = torch.full((len(x),), -1), Split(nobody, nobody, nobody)
    C = np.load(run.path / path, mmap_mode="r").shape[1]
    data = NodeDataset("edited", csr, x, labels, C, split, {})
    teacher = load_teacher(
        run.weights(seed, "teacher"), config.teacher, (x.shape[1], C), runtime.device
    )
    start = time.perf_counter()
    found = {
        "propagated.npy": propagation_of(of_inputs(config)).of(csr, x),
        "influence.npy": influence(config, data, runtime).scores,
        path: logits_of(teacher, data, runtime),
    }
    return found, time.perf_counter() - start


def files(run: RunDirectory, arrays: dict[str, Tensor]) -> float:
    """Seconds of reading the run's dataset and of writing arrays."""
    start = time.perf_counter()
    load_source(run.config.data)
    for values in arrays.values():
        with tempfile.NamedTemporaryFile(dir=run.path) as file:
            np.save(file, values.numpy())
    return time.perf_counter() - start


def measured(run: RunDirectory, share: float, gathered: bool, repeats: int) -> None:
    state = GraphState.open(run.graph)
    csr, x = state.graph.csr(), state.hops[0].clone()
    count = max(1, round(share * (csr.num_edges - csr.num_rows) / 2))
    times, apart = [], 0.0
    for k in range(repeats):
        edges = new_edges(csr, count, gathered)
        done = update(run, Update(Edits(edges, NOTHING)))
        if not k:  # the others are the same, where their edges have gone again
            graph = GraphState.open(run.graph).graph.csr()
            expected, seconds = scratch(run, graph, x)
            around = files(run, expected)
            for name, values in expected.items():
                found = torch.from_numpy(np.load(run.path / name))
                apart = max(apart, float((found - values).abs().max() / values.abs().max()))
        times.append(done.seconds)
        update(run, Update(Edits(NOTHING, edges)))
        if sum(times) > 10:
            break
    best = float(np.median(times))
    print(
        f"{100 * share:4.1f} % {'gathered' if gathered else 'random':<8} {count:>7,} edges; "
        f"rows: inputs {done.inputs:>7,} influence {done.influence:>7,} "
        f"targets {next(iter(done.logits.values())):>7,}; update {best:7.3f} s; scratch "
        f"{seconds:7.3f} s ({seconds / best:.1f}x), with files {seconds + around:7.3f} s "
        f"({(seconds + around) / best:.1f}x); differ by {apart:.1e}",
        flush=True,
    )


def main(*paths: str) -> None:
    for path in paths:
        copy = Path(f"{path}-updated")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy)
        run = RunDirectory.open(copy)
        start = time.perf_counter()
        update(run, Update(Edits(NOTHING, NOTHING)))
        seconds = time.perf_counter() - start
        csr, c = GraphState.open(run.graph).graph.csr(), run.config
        degree = (csr.num_edges - csr.num_rows) / csr.num_rows
        print(
            f"{path}: {csr.num_rows:,} nodes, degree {degree:.1f}, hops: inputs "
            f"{of_inputs(c).propagation.hops}, influence {c.influence.hops}, teacher "
            f"{c.teacher.layers}; the first update {seconds:.1f} s"
        )
        for gathered in (True, False):
            for share in (0.001, 0.01):
                measured(run, share, gathered, repeats=3)
        edge = new_edges(csr, 1, gathered=True)
        done = [update(run, Update(Edits(edge, NOTHING))).seconds]
        done.append(update(run, Update(Edits(NOTHING, edge))).seconds)
        print(f"one edge: {np.mean(done):.3f} s")


if __name__ == "__main__":
    {"plane": plane, "run": main}[sys.argv[1]](*sys.argv[2:])
