"""Influence and propagation as DGL transforms, for a dataset's `transform=` argument.

Weights of edges are read where `influence_scores` reads them.
"""

from torch import Tensor

from .data.labels import UNLABELLED
from .errors import InputError
from .graph.dgl_bridge import DGLGraph, dgl
from .influence.measure import Normalization
from .influence.scores import influence_scores
from .ops import Pooling
from .propagation.equation import propagate_features
from .registry import measures


class AddInfluence(dgl.transforms.BaseTransform):
    """Adds `influence_scores` of `ndata[feature]` as `ndata[key]`, float32 `[N]`.

    A measure of labels gets `ndata[label]` of the nodes in `ndata[mask]`.
    """

    def __init__(
        self,
        *,
        hops: int = 2,
        measure: str = "cosine",
        normalization: Normalization = "minmax",
        self_loop_weight: float = 1.0,
        feature: str = "feat",
        key: str = "influence",
        label: str = "label",
        mask: str = "train_mask",
    ) -> None:
        self.label, self.mask = label, mask
        self.hops, self.measure, self.normalization = hops, measure, normalization
        self.self_loop_weight, self.feature, self.key = self_loop_weight, feature, key

    def __call__(self, g: DGLGraph) -> DGLGraph:
        x, labels = _ndata(g, self.feature, "feature: the transform"), None
        if self.measure in measures and measures[self.measure].needs_labels:
            why = f"measure: {self.measure}"
            label, mask = _ndata(g, self.label, why), _ndata(g, self.mask, why)
            labels = label.masked_fill(~mask.bool(), UNLABELLED)
        g.ndata[self.key] = influence_scores(
            g,
            x,
            hops=self.hops,
            measure=self.measure,
            normalization=self.normalization,
            self_loop_weight=self.self_loop_weight,
            labels=labels,
        )
        return g


class AddPropagatedFeatures(dgl.transforms.BaseTransform):
    """Adds `propagate_features` of `ndata[feature]` as `ndata[key]`, `[N, D]`."""

    def __init__(
        self,
        *,
        hops: int,
        pooling: Pooling = "mean",
        self_loop_weight: float = 1.0,
        feature: str = "feat",
        key: str = "propagated",
    ) -> None:
        self.hops, self.pooling, self.self_loop_weight = hops, pooling, self_loop_weight
        self.feature, self.key = feature, key

    def __call__(self, g: DGLGraph) -> DGLGraph:
        g.ndata[self.key] = propagate_features(
            g,
            _ndata(g, self.feature, "feature: the transform"),
            hops=self.hops,
            pooling=self.pooling,
            self_loop_weight=self.self_loop_weight,
        )
        return g


def _ndata(g: DGLGraph, name: str, who: str) -> Tensor:
    if name not in g.ndata:
        found = ", ".join(map(repr, g.ndata)) or "none"
        raise InputError(f"{who} needs ndata {name!r}, found {found}")
    return g.ndata[name]
