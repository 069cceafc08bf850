"""Sampled neighbourhoods: what a step needs of a graph that is too large for full batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..features.matrix import FeatureMatrix
from ..features.sparse import Inputs, SparseMatrix, row_source
from ..graph import dgl_bridge
from ..graph.csr import CSRGraph
from ..graph.dgl_bridge import DGLGraph, dgl
from ..graph.weights import WEIGHT
from ..system.arrays import release
from ..system.ranks import Ranks
from ..system.runtime import Runtime
from ..system.transfer import Staging, prefetched

Batch = tuple[Tensor, list[CSRGraph], Tensor | SparseMatrix]  # seeds, blocks, inputs
Sample = tuple[CSRGraph, Tensor, Tensor]  # a block, and the nodes that its rows and columns are


class Neighborhoods:
    """Samples a graph's neighbourhoods on the CPU by DGL's `NeighborSampler`.

    Args:
        csr: a square graph, on the CPU.
        features: `[N, D]`; a mapped file is read where a batch needs it.
        fanouts: neighbours sampled per node, by layer.
        runtime: batches go to its device; pages of mapped features are released once its budget is
            used up.
        inputs: how a first layer takes them; "auto": as the features are.
    """

    def __init__(
        self,
        csr: CSRGraph,
        features: FeatureMatrix,
        fanouts: Sequence[int],
        runtime: Runtime,
        inputs: Inputs = "auto",
    ) -> None:
        self.csr, self.device, self.budget = csr, runtime.device, runtime.budget
        self.staging = Staging(runtime.device)
        self.graph = sampling_graph(csr)
        self.sampler = dgl.dataloading.NeighborSampler(list(fanouts))
        self.features = row_source(features, inputs)

    def batches(self, nodes: Tensor, batch_size: int, seed: int) -> Iterator[Batch]:
        """Nodes, int64 `[n]`, in pieces as they are listed, with blocks and inputs on `device`.

        Inputs are the float32 features of the first block's sources. The same for the same seed.
        On a GPU the next batch is made while one is used.
        """
        return prefetched(self._sampled(nodes, batch_size, seed), self.device)

    def _sampled(self, nodes: Tensor, batch_size: int, seed: int) -> Iterator[Callable[[], Batch]]:
        """What makes each batch of its sample.

        Samples are drawn by the thread that asks, as DGL's random numbers are each thread's own;
        another may do the rest. (DataLoader would add nothing but threads.)
        """
        with dgl_bridge.one_thread():
            dgl_bridge.seed(seed)
        for seeds in nodes.split(batch_size):
            with dgl_bridge.one_thread():
                sources, _, blocks = self.sampler.sample_blocks(
                    self.graph, seeds.to(self.graph.idtype)
                )
            yield partial(self._batch, seeds, list(map(self._sample, blocks)), sources.long())

    def _batch(self, seeds: Tensor, samples: list[Sample], sources: Tensor) -> Batch:
        return seeds, [self._moved(*sample) for sample in samples], self.gather(sources)

    def gather(self, nodes: Tensor) -> Tensor | SparseMatrix:
        """The inputs of nodes, int64 `[n]`: float32 on `device`."""
        rows = gather(self.features, nodes, self.staging)
        if isinstance(self.features, Tensor) and not self.budget.left():
            release(self.features)
        return rows

    def _moved(self, block: CSRGraph, targets: Tensor, sources: Tensor) -> CSRGraph:
        """With the degrees of the graph, by which layers estimate what it would give."""
        rows, columns = self.csr.row_sums[targets], self.csr.col_sums[sources]
        return replace(block, row_degrees=rows, col_degrees=columns).to(self.device)

    def _sample(self, block: DGLGraph) -> Sample:
        """Sampled edges weigh as much more as they are fewer, so that sums over them have those of
        the graph as their mean."""
        targets, sources = (data[dgl.NID].long() for data in (block.dstdata, block.srcdata))
        if self.csr.weights is not None:
            more = self.csr.row_lengths[targets] / block.in_degrees()
            weights = self.csr.weights[block.edata[dgl.EID].long()]
            block.edata[WEIGHT] = weights * more[block.edges()[1].long()]
        return CSRGraph.from_dgl(block), targets, sources


def sampling_graph(csr: CSRGraph) -> DGLGraph:
    """The graph for DGL's samplers: edge ids implied, 32-bit ids where they suffice."""
    index = torch.int32 if csr.num_edges < 1 << 31 else torch.int64
    columns = csr.indptr.to(index), csr.indices.to(index), torch.empty(0, dtype=index)
    return dgl.graph(("csc", columns), num_nodes=csr.num_rows)


def gather(
    features: Tensor | SparseMatrix, nodes: Tensor, staging: Staging
) -> Tensor | SparseMatrix:
    """Rows of host memory or a mapped file, int64 `[n]`, as float32 on the device of `staging`."""
    if isinstance(features, SparseMatrix):
        return features[nodes].to(staging.device, torch.float32)
    return staging.rows(features, nodes).float()


def shuffled(nodes: Tensor, ranks: Ranks, *seed: int) -> Tensor:
    """This process's share of the shuffled nodes, of the same size in every process.

    Where they do not divide, the first of the order come once more.
    """
    rng = torch.Generator().manual_seed(mixed(*seed))
    order = torch.randperm(len(nodes), generator=rng)
    padded = -(-len(nodes) // ranks.size) * ranks.size
    return nodes[order[torch.arange(ranks.rank, padded, ranks.size) % len(nodes)]]


def mixed(*numbers: int) -> int:
    """One seed of several numbers, in `[0, 2**31)`."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0]) >> 1
