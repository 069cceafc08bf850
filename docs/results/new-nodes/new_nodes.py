"""Hidden nodes as nodes that join the rest of the graph: what cached and cold leave of exact.

For all of them at once, and for each alone with those that are not hidden: the difference of their
inputs, ||x - exact|| / ||exact|| on average; the share whose class is another than exact's; and the
accuracy. Mean over the run's seeds.

infgrand-dgl train --config cora_gcn_inductive --set data.root=data --out runs/paper
infgrand-dgl train --config best/cora --set data.root=data data.setting=inductive --out runs/best
python new_nodes.py runs/paper runs/best
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from infgrand_dgl.data import NodeDataset, load_source, with_split
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.propagation.equation import Propagation
from infgrand_dgl.propagation.inputs import propagation_of
from infgrand_dgl.propagation.joining import Joined

Inputs = dict[str, Tensor]


def joining(data: NodeDataset, nodes: Tensor, rest: Tensor, csr: CSRGraph) -> Joined:
    """Nodes `[n]` with their edges to the rest, `[N]`, whose graph is `csr`, and to each other."""
    N, x = len(rest), data.dense_features()
    local = torch.full((data.num_nodes,), -1)
    local[rest] = torch.arange(N)
    local[nodes] = torch.arange(N, N + len(nodes))
    rows = torch.arange(data.num_nodes).repeat_interleave(data.csr.row_lengths)
    edges = torch.stack([local[rows], local[data.csr.indices.long()]], dim=1)
    edges = edges[(edges >= 0).all(dim=1) & (edges >= N).any(dim=1)]
    return Joined.of(csr, lambda ids: x[rest[ids]], x[nodes], edges)


def inputs(joined: Joined, propagation: Propagation, stored: Tensor) -> Inputs:
    D = joined.newcomers.shape[1]
    steps = range(1, propagation.hops)
    width = (1 + len(steps)) * D
    alone = Joined.of(joined.known, joined.features, joined.newcomers, torch.empty(0, 2).long())
    return {
        "exact": joined.exact(propagation, joined.ids),
        "cached": joined.cached(propagation, lambda ids: stored[ids, :width]),
        "cold": alone.exact(propagation, alone.ids),
    }


def main(*runs: str) -> None:
    for path in runs:
        run = RunDirectory.open(Path(path))
        config, found = run.config, defaultdict(list)
        propagation, source = propagation_of(config), load_source(config.data)
        hops = Propagation(max(0, propagation.hops - 1), propagation.self_loop_weight, None)
        for seed in config.train.seeds:
            data, student = with_split(source, config.data, seed), run.student(seed)
            hidden, everyone = data.test, torch.arange(data.num_nodes)
            rest = everyone[~torch.isin(everyone, hidden)]
            csr = data.csr.subgraph(rest)
            stored = hops.of(csr, data.dense_features()[rest])
            together = inputs(joining(data, hidden, rest, csr), propagation, stored)
            single = [
                inputs(joining(data, node[None], rest, csr), propagation, stored) for node in hidden
            ]
            each = {way: torch.cat([one[way] for one in single]) for way in together}
            for how, ways in (("together", together), ("one by one", each)):
                exact = ways["exact"]
                with torch.no_grad():
                    said = {way: student(x).argmax(dim=1) for way, x in ways.items()}
                for way, x in ways.items():
                    apart = (x - exact).norm(dim=1) / exact.norm(dim=1)
                    other = (said[way] != said["exact"]).double().mean()
                    right = (said[way] == data.labels[hidden]).double().mean()
                    numbers = [float(apart.nanmean()), float(other), float(right)]
                    found[how, way].append(numbers)
        print(f"{config.data.name}, {propagation.hops} hops, {len(config.train.seeds)} seeds")
        for (how, way), values in found.items():
            apart, other, right = np.mean(values, axis=0)
            print(
                f"{how:<11} {way:<7} inputs {100 * apart:5.2f} % off, "
                f"{100 * other:5.2f} % other classes, accuracy {100 * right:.1f} %"
            )


main(*sys.argv[1:])
