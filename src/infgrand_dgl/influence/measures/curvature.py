"""The curvature of a node's edges (G2MLP's weights, with Forman's curvature for Ollivier's)."""

import torch
from torch import Tensor

from ...ops import spmm
from ...registry import Measure, measures
from ..measure import Inputs
from ..triangles import triangles

GAMMA = 1.0
WITHIN = 3.0  # standard deviations


def curvature(inputs: Inputs) -> Tensor:
    r"""$\alpha_i = e^{-\gamma\tilde\kappa_i}$ over its mean, $\gamma = 1$, float64 `[N]`: nodes on
    the boundary of communities weigh more.

    $\tilde\kappa$ is `forman` less its mean, over its standard deviation, both of the nodes that
    have an edge; others have 0. G2MLP takes Ollivier and Ricci's curvature, which lies in [-2, 1].
    Forman's has no lower bound: beside a hub it is minus the hub's degree, and $e^{-\tilde\kappa}$
    of some such leaves would be all there is. So $\tilde\kappa$ is held within $\pm$ `WITHIN`.

    The mean is 1, as the paper has it, so that `influence.normalization` has no part in it.
    """
    kappa, linked = forman(inputs), inputs.csr.row_lengths > 1
    some = kappa[linked]
    deviation = some.std(correction=0) if len(some) else kappa.new_zeros(())
    away = torch.where(linked & (deviation > 0), (kappa - some.mean()) / deviation, 0.0)
    alpha = (-GAMMA * away.clamp(-WITHIN, WITHIN)).exp()
    return alpha / alpha.mean()


def forman(inputs: Inputs) -> Tensor:
    r"""The mean over a node's edges, self-loops left out, of Forman's curvature
    $4 - d_i - d_j + 3\,\triangle_{ij}$, $\triangle$ the triangles on an edge; float64 `[N]`, 0 of a
    node without edges. What edges weigh has no part in it.

    Over the edges of node i the sum of $\triangle_{ij}$ is twice the triangles that i is a corner
    of, so that those of nodes are enough.
    """
    csr = inputs.csr
    degree = csr.row_lengths.double() - 1
    ones = degree.new_ones(csr.num_edges)
    of_neighbours = spmm(csr, degree[:, None], values=ones)[:, 0] - degree
    mean = (6 * triangles(csr) - of_neighbours) / degree
    return torch.where(degree > 0, 4 - degree + mean, 0.0)


measures.add(Measure("curvature", label="Curvature", place=8, scores=curvature, normalized=True))
