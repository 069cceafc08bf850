r"""One-time feature propagation (paper: "One-Time Feature Propagation").

$$X^{(k)} = \tilde A\,X^{(k-1)},\quad \tilde A = S^{-1/2}(A + wI)\,S^{-1/2},\quad
  \tilde X = \mathrm{POOL}(\{X^{(0)}, \dots, X^{(P)}\})$$

with $A$ the adjacency without self-loops and $S$ the row sums of $A + wI$.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Literal, get_args

import torch
from torch import Tensor

from ._dgl import DGLGraph
from .errors import InputError, check_choice, check_shape
from .graph import CSRGraph, as_csr
from .ops import spmm

Pooling = Literal["mean", "max", "min"]


@torch.no_grad()
def propagate_features(
    graph: DGLGraph | CSRGraph,
    features: Tensor,
    *,
    hops: int,
    pooling: Pooling = "mean",
    self_loop_weight: float = 1.0,
) -> Tensor:
    r"""The student's input $\tilde X = \mathrm{POOL}(\{X^{(0)}, \dots, X^{(P)}\})$.

    Holds at most three `[N, D]` buffers beside `features`, whatever the number of hops.

    Args:
        graph: an undirected graph; parallel edges are merged, and the self-loops it may have give
            way to `self_loop_weight`. A `CSRGraph` is taken as it is.
        features: $X$, floating point `[N, D]`, dense or sparse CSR.
        hops: P; 0 returns the features.
        pooling: "mean", "max" or "min", elementwise over the P + 1 matrices.
        self_loop_weight: w; 1 is the paper's text, 2 the authors' code.

    Returns:
        `[N, D]`, dense, on the device and of the dtype of `features`.

    Raises:
        InputError: a directed graph, features of another length, NaN or infinite features, a
            negative number of hops, an unknown pooling.
    """
    if hops < 0:
        raise InputError(f"hops: expected 0 or more, found {hops}")
    check_choice("pooling", pooling, get_args(Pooling))
    csr = as_csr(graph, features.device)
    x = check_features(features, csr.num_rows)
    pooled = x.clone()
    for xk in islice(propagation_steps(csr, x, self_loop_weight), hops):
        if pooling == "mean":
            pooled += xk
        elif pooling == "max":
            torch.maximum(pooled, xk, out=pooled)
        else:
            torch.minimum(pooled, xk, out=pooled)
    return pooled.div_(hops + 1) if pooling == "mean" else pooled


def propagation_steps(csr: CSRGraph, x: Tensor, self_loop_weight: float) -> Iterator[Tensor]:
    r"""$X^{(1)}, X^{(2)}, \dots$ without end; `csr` holds one self-loop per node."""
    scale = inverse_sqrt_degree(csr, self_loop_weight).to(torch.promote_types(x.dtype, torch.float))
    while True:
        x = spmm(csr, x, scale, scale, self_weight=self_loop_weight - 1)
        yield x


def inverse_sqrt_degree(csr: CSRGraph, self_loop_weight: float) -> Tensor:
    r"""The diagonal of $S^{-1/2}$, float64 `[N]`; 0 for a node with nothing to sum."""
    degree = csr.row_lengths.double() + (self_loop_weight - 1)
    return torch.where(degree > 0, degree.rsqrt(), 0.0)


def check_features(features: Tensor, num_nodes: int) -> Tensor:
    """Dense contiguous features `[N, D]`, or the InputError that says what is wrong."""
    check_shape("features", features, [num_nodes, "D"])
    if not features.is_floating_point():
        raise InputError(f"features: expected floating point, found {features.dtype}")
    dense = (features if features.layout == torch.strided else features.to_dense()).contiguous()
    # A sum is finite iff nothing in it is not, short of an overflow; look closer only then.
    if not dense.sum().isfinite() and not dense.isfinite().all():
        row = int((~dense.isfinite()).any(dim=1).nonzero()[0])
        raise InputError(f"features: expected finite numbers, found NaN or infinity in row {row}")
    return dense
