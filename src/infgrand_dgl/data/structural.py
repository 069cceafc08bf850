r"""Features of the graph alone, for nodes without any: `data.features: structural`.

For node $i$ with $d_i$ neighbours, self-loops left out, `COLUMNS` numbers whatever the graph, so
that a student of one can be asked about another:

- the local degree profile (Cai and Wang, 2018, "A simple yet effective baseline for non-attributed
  graph classification") of $\log(1 + d)$: its own; least, largest, mean and standard deviation
  over its neighbours.
- one-hot $\lfloor\log_2(1 + d_i)\rfloor$, the last of `DEGREE_BINS` for all above: the one-hot
  degree of Xu et al. (2019, "How powerful are graph neural networks?"), of a fixed width.
- random-walk encodings (Dwivedi et al., 2022, "Graph neural networks with learnable structural and
  positional representations"): the probabilities $(P^k)_{ii}$, $P = D^{-1}A$, of being back after
  $k = 2, \dots,$ `STEPS` steps; after one it is 0. They are also those of the symmetric
  $S = D^{-1/2} A D^{-1/2}$, so that half as many products are enough:

$$(P^{a+b})_{ii} = \sum_j (S^a)_{ij} (S^b)_{ij} = \mathrm{E}_z[(S^a z)_i (S^b z)_i]$$

with entries of $z$ that are 1 or -1 at random (Hutchinson, 1990). The sum is taken where its
$O(EN)$ work is small. Elsewhere it is the mean over `PROBES` fixed draws of $z$, in $O(E)$:
unbiased, of even $k$ with a standard deviation below $\sqrt{2/\mathrm{PROBES}}$ of the value;
$k = 2$ is exact in both. Edge weights have no part in any of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..graph.csr import CSRGraph
from ..ops import spmm
from ..system.arrays import release, slices

DEGREE_BINS = 16
STEPS = 16  # as in GraphGPS and Dwivedi et al.
COLUMNS = 5 + DEGREE_BINS + STEPS - 1
EXACT_BELOW = 1 << 30  # products of an edge and a number in one S·Y with all columns: N·E
PROBES = 128
AT_ONCE = 16  # of the columns of Y, or of the draws of z
ROW_ENTRIES = 1 << 22  # of neighbours looked at together


@torch.no_grad()
def structural_features(graph: CSRGraph) -> Tensor:
    """float32 `[N, COLUMNS]`; the same in every call.

    Args:
        graph: undirected and simple, one self-loop per node; on the CPU.
    """
    degrees = graph.row_lengths - 1
    bins = (degrees + 1).double().log2().floor().long().clamp_(max=DEGREE_BINS - 1)
    columns = [local_degree_profile(graph), one_hot(bins, DEGREE_BINS), return_probabilities(graph)]
    return torch.cat([each.float() for each in columns], dim=1)


def local_degree_profile(graph: CSRGraph) -> Tensor:
    """float64 `[N, 5]`, of log(1 + d): a node's own; min, max, mean, standard deviation of its
    neighbours', 0 where it has none."""
    N = graph.num_rows
    logs = np.log1p((graph.row_lengths - 1).numpy().astype(np.float64))
    out = np.zeros((N, 5))
    out[:, 0] = logs
    step = max(1, ROW_ENTRIES * N // max(1, graph.num_edges))
    for part in slices(range(N), step):
        pointers = graph.indptr[part.start : part.stop + 1].numpy()
        columns = graph.indices[int(pointers[0]) : int(pointers[-1])].numpy()
        lengths = np.diff(pointers)
        rows = np.repeat(np.arange(part.start, part.stop), lengths)
        loop, begin, many = columns == rows, pointers[:-1] - pointers[0], np.maximum(1, lengths - 1)
        values = logs[columns]
        mean = np.add.reduceat(np.where(loop, 0, values), begin) / many
        off = np.where(loop, 0, values - mean[rows - part.start])
        profile = (
            np.minimum.reduceat(np.where(loop, np.inf, values), begin),
            np.maximum.reduceat(np.where(loop, -np.inf, values), begin),
            mean,
            np.sqrt(np.add.reduceat(off**2, begin) / many),
        )
        out[part, 1:] = np.where(lengths == 1, 0, profile).T
        release(graph.indices)
    return torch.from_numpy(out)


def return_probabilities(graph: CSRGraph, exact: bool | None = None) -> Tensor:
    """float32 `[N, STEPS - 1]`: (P^k)_ii for k from 2.

    Args:
        exact: rather than estimated; by default where that is little work.
    """
    N = graph.num_rows
    rows = torch.repeat_interleave(graph.row_lengths)
    entries = graph.indices[graph.indices != rows]
    A = CSRGraph(graph.indptr - torch.arange(N + 1), entries, N, symmetric=True)
    del rows
    degrees = A.row_lengths.float()
    scale = torch.where(degrees > 0, degrees.rsqrt(), 0.0)
    out = torch.zeros(N, STEPS - 1)
    if exact if exact is not None else N * graph.num_edges < EXACT_BELOW:
        for nodes in slices(range(N), AT_ONCE):
            columns = torch.arange(nodes.start, nodes.stop)
            unit = torch.zeros(N, len(columns))
            unit[columns, columns - nodes.start] = 1
            for k, product in _products(A, scale, unit):
                out[nodes, k - 2] = product.sum(dim=0)
        return out
    generator = torch.Generator().manual_seed(0)
    for _ in range(0, PROBES, AT_ONCE):
        signs = torch.randint(2, (N, AT_ONCE), generator=generator, dtype=torch.int8)
        for k, product in _products(A, scale, 2 * signs.float() - 1):
            out[:, k - 2] += product.sum(dim=1)
    out /= PROBES
    out[:, 0] = spmm(A, (scale**2)[:, None], row_scale=scale**2)[:, 0]
    return out


def _products(A: CSRGraph, scale: Tensor, y: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(k, S^a Y ⊙ S^b Y) with a + b = k and b = a or a + 1, for k from 2 to STEPS."""
    y = spmm(A, y, scale, scale)
    yield 2, y * y
    for k in range(3, STEPS + 1, 2):
        after = spmm(A, y, scale, scale)
        yield k, y * after
        if k < STEPS:
            yield k + 1, after * after
        y = after
