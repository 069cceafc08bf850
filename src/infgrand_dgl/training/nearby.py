"""What a teacher says of some nodes, from what that depends on alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..graph.changing import ChangingGraph
from ..graph.csr import CSRGraph
from ..nn.gnn import GNN
from ..propagation.surroundings import first_rows, surroundings


@torch.no_grad()
def logits_nearby(
    model: GNN, graph: ChangingGraph, rows: Callable[[Tensor], Tensor], ids: Tensor
) -> Tensor:
    r"""$H^{(L)}$ of distinct nodes, int64 `[b]`, float32 `[b, C]`: layer l for the nodes within
    $L - l$ hops, with the degrees of the whole graph.

    Args:
        model: of the native backend, in eval mode, on the CPU.
        rows: X by ids, float32 `[n, D]`.
    """
    L = len(model.layers)
    reach, near = surroundings(graph.entries, ids, L, graph.num_nodes)
    degrees = graph.degrees[reach[-1]]
    degrees = degrees.long() if graph.weights is None else degrees  # as `CSRGraph.row_sums`

    def block(within: Tensor, sources: Tensor) -> CSRGraph:
        n, m = len(within), len(sources)
        cut = first_rows(near, n, m)
        return CSRGraph(
            cut.indptr,
            cut.indices,
            m,
            row_degrees=degrees[:n],
            col_degrees=degrees[:m],
            weights=cut.weights,
        )

    blocks = [block(reach[k - 1], reach[k]) for k in range(L, 0, -1)]
    return model(blocks, rows(reach[-1]))
