r"""One-time feature propagation (paper: "One-Time Feature Propagation").

$$X^{(k)} = \tilde A\,X^{(k-1)},\quad \tilde A = S^{-1/2}(A + wI)\,S^{-1/2},\quad
  \tilde X = \mathrm{POOL}(\{X^{(0)}, \dots, X^{(P)}\})$$

with $A$ the adjacency without self-loops, weights and all, and $S$ the row sums of $A + wI$.
Without pooling it is all of them side by side, $X^{(0)} \,\|\, \dots \,\|\, X^{(P)}$.
"""

import math
from dataclasses import dataclass, replace
from numbers import Integral
from typing import get_args

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..errors import InputError, check_choice, check_number
from ..features.convert import given_features
from ..features.matrix import FeatureMatrix
from ..graph.convert import GraphLike, as_csr
from ..graph.csr import CSRGraph
from ..ops import Pooling, propagate
from ..ops.propagate import pooled


@dataclass(frozen=True)
class Propagation:
    r"""$\mathrm{POOL}(\{X^{(0)}, \dots, X^{(P)}\})$, or all of them side by side.

    Args:
        hops: P.
        self_loop_weight: w.
        pooling: elementwise over the P + 1 matrices, or the last of them alone; None: none.

    Raises:
        InputError: hops that are no integer from 0 on, a weight that is negative or infinite.
    """

    hops: int
    self_loop_weight: float
    pooling: Pooling | None = "last"

    def __post_init__(self) -> None:
        hops, weight = self.hops, self.self_loop_weight
        if isinstance(hops, bool) or not isinstance(hops, Integral) or hops < 0:
            raise InputError(f"hops: expected an integer from 0 on, found {hops!r}")
        object.__setattr__(self, "hops", int(hops))  # NumPy's are integers, too
        check_number("self_loop_weight", weight, "0 or more", lambda w: 0 <= w < math.inf)

    @property
    def parts(self) -> list["Propagation"]:
        """What the result has side by side, each made of the one before, the first of X."""
        if self.pooling is not None:
            return [self]
        start = replace(self, hops=0, pooling="last")
        return [start, *[Propagation(1, self.self_loop_weight, "last")] * self.hops]

    def pool(self, steps: list[Tensor]) -> Tensor:
        """Of X^(0) to X^(P), `[n, D]` each: `[n, D]`, or without pooling `[n, (P + 1) D]`."""
        return torch.cat(steps, dim=1) if self.pooling is None else pooled(steps, self.pooling)

    def of(self, csr: CSRGraph, x: Tensor) -> Tensor:
        """Of a graph and X, `[N, D]` of floating point, on one device (`ops.propagate`).

        Without pooling `[N, (P + 1) D]`.
        """
        hops, w = self.hops, self.self_loop_weight
        if self.pooling is not None:
            return propagate(csr, x, hops=hops, pooling=self.pooling, self_loop_weight=w)
        (N, D), dtype = x.shape, x.dtype
        out = x.new_empty(N, len(self.parts) * D)
        x = x.to(torch.promote_types(dtype, torch.float32))  # 16-bit features are rounded once
        out[:, :D] = x
        for k, one in enumerate(self.parts[1:], 1):
            x = one.of(csr, x)
            out[:, k * D : (k + 1) * D] = x
        return out


@torch.no_grad()
def propagate_features(
    graph: GraphLike,
    features: Tensor | np.ndarray | sp.sparray,
    *,
    hops: int,
    pooling: Pooling | None = "mean",
    self_loop_weight: float = 1.0,
) -> Tensor:
    r"""The student's input $\tilde X = \mathrm{POOL}(\{X^{(0)}, \dots, X^{(P)}\})$.

    Holds beside `features`, whatever the number of hops, at most three `[N, D]` buffers on CUDA,
    and little more than the result on the CPU. Without pooling two more on either.

    Args:
        graph: an undirected graph of any kind that `influence_scores` takes, with weights or
            without; parallel edges are merged (those with weights add up), and the self-loops it
            may have give way to `self_loop_weight`. A `CSRGraph` is taken as it is.
        features: $X$, floating point `[N, D]`, dense or sparse CSR; arrays and SciPy matrices
            become float32.
        hops: P; 0 returns the features.
        pooling: "mean", "max" or "min", elementwise over the P + 1 matrices, or the "last" of them;
            None: all of them side by side, $X^{(0)} \,\|\, \dots \,\|\, X^{(P)}$.
        self_loop_weight: w; 1 is the paper's text, 2 the authors' code.

    Returns:
        `[N, D]`, or `[N, (P + 1) D]`, dense, on the device and of the dtype of `features`.

    Raises:
        InputError: a directed graph or none, weights that are negative or not finite, features of
            another length, NaN or infinite features, a negative number of hops, an unknown pooling.
    """
    propagation = Propagation(hops, self_loop_weight, pooling)
    if pooling is not None:
        check_choice("pooling", pooling, get_args(Pooling))
    features = given_features(features)
    csr = as_csr(graph, features.device, len(features))
    return propagation.of(csr, FeatureMatrix(features).checked_dense(csr.num_rows))
