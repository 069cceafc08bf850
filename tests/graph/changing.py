"""Random edits, and the graph that has them by sets of edges."""

import numpy as np
import torch

from infgrand_dgl.graph.changing import Edits
from infgrand_dgl.graph.csr import CSRGraph


class Edges:
    """The definition: a set of edges with weights, changed one by one."""

    def __init__(self, nodes: int, edges: int, weighted: bool) -> None:
        self.nodes, self.weighted = nodes, weighted
        self.weights: dict[tuple[int, int], float] = {}
        self.add(self.others(edges))

    def add(self, pairs) -> np.ndarray:
        weights = np.random.rand(len(pairs)).astype(np.float32) + 0.1
        weights = weights if self.weighted else np.ones_like(weights)
        self.weights |= dict(zip(pairs, weights.tolist(), strict=True))
        return weights

    def others(self, count: int) -> list[tuple[int, int]]:
        """Edges that are not there; nodes of low numbers have more of them."""
        ends = (self.nodes * np.random.rand(4 * count + 4, 2) ** 1.5).astype(int)
        pairs = {(int(min(e)), int(max(e))) for e in ends if e[0] != e[1]} - self.weights.keys()
        return sorted(pairs, key=lambda _: np.random.rand())[:count]

    def edits(self, add: int, remove: int, nodes: int = 0) -> Edits:
        """Random ones, made here too: edges, each in a random direction, may be among new nodes."""
        there = sorted(self.weights)
        gone = [there[i] for i in np.random.permutation(len(there))[:remove]]
        for pair in gone:
            del self.weights[pair]
        self.nodes += nodes
        come = self.others(add)
        weights = torch.from_numpy(self.add(come))
        return Edits(turned(come), turned(gone), weights if self.weighted else None, nodes)

    def csr(self) -> CSRGraph:
        ends = np.array(sorted(self.weights)).reshape(-1, 2)
        weights = np.array([self.weights[tuple(e)] for e in ends]) if self.weighted else None
        return CSRGraph.from_edges(
            ends[:, 0], ends[:, 1], self.nodes, weights, weighted=self.weighted
        )


def turned(pairs) -> torch.Tensor:
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    back = np.random.rand(len(ends)) < 0.5
    ends[back] = ends[back, ::-1]
    return torch.from_numpy(ends)
