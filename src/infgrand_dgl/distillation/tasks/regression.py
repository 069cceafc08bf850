r"""Numbers of each node, NaN where one is not known: squared error in standard deviations.

With the scales $\varsigma_c$ of the columns, $w_i = \sum_j a_{ij}$ and the mean of the neighbours
$m_i = \sum_j a_{ij} h^t_j / w_i$:

    Σ_ij a_ij mean_c ((h^s_ic - h^t_jc)/ς_c)² = Σ_i [ w_i mean_c ((h^s_ic - m_ic)/ς_c)² + v_i ],
    v_i = Σ_j a_ij mean_c ((h^t_jc - m_ic)/ς_c)²

The targets are $m_i$, from the teacher's mean and over the scale; the `own` terms are $w_i, v_i$.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...config.schema import Config
from ...data.dataset import NodeDataset
from ...errors import InputError
from ...ops import Direction
from ...system.arrays import blocks
from .task import BLOCK_ROWS, Aggregate, Divergence, LearningTask, collapsed


class Regression(LearningTask):
    """Squared error of outputs and labels, `[n, C]` each, over the variance of the training nodes'.

    The outputs are in the labels' own units; what a model's last layer gives is shifted and scaled
    by mean and standard deviation of the training nodes' (1 where they are equal).
    """

    none = torch.nan

    def __init__(self, config: Config, view: NodeDataset, device: torch.device) -> None:
        if config.train.class_weights != "none":
            raise InputError(
                f"train.class_weights: {config.train.class_weights}: regression has no classes"
            )
        labels = view.labels[view.train].double()
        known = ~labels.isnan()
        self.known_per_node = float(known.sum()) / max(1, len(labels))
        shift = labels.nanmean(dim=0).nan_to_num()
        std = (labels - shift).square().nanmean(dim=0).sqrt()
        low, high = (labels.nan_to_num(nan=x) for x in (torch.inf, -torch.inf))
        std[high.amax(dim=0) <= low.amin(dim=0)] = 1
        self.units = shift.float().to(device), std.float().to(device)

    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        assert self.units is not None
        known = ~labels.isnan()
        off = torch.where(known, outputs - labels.nan_to_num(), 0.0) / self.units[1]
        return off.square().sum(dim=1) / self.known_per_node


class SquaredError(Divergence):
    r"""$\mathrm{mean}_c ((h^s_{ic} - h^t_{jc})/\varsigma_c)^2$."""

    task = "regression"
    of_distributions = False
    bytes_per_class = 24

    scale: Tensor  # [C]
    shift: Tensor  # the teacher's mean, [C]

    def __init__(self, kl: Direction, tau: float, scale: Tensor | None = None) -> None:
        super().__init__(kl, tau)
        self.register_buffer("scale", torch.ones(()) if scale is None else scale)
        self.register_buffer("shift", torch.zeros(()))

    def collapse(
        self,
        logits: Tensor,
        aggregate: Aggregate,
        dtype: torch.dtype,
        columns: int,
        out: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """In float64, where the spread is no difference of numbers that are nearly equal."""
        (N, C), wide = logits.shape, torch.float64
        total = sum(z.to(wide).sum(dim=0) for _, z in blocks(logits, BLOCK_ROWS))
        shift = (torch.as_tensor(total) / N).to(dtype)
        self.shift, self.scale = shift, self.scale.to(logits.device, dtype).expand(C).contiguous()
        targets = out if out is not None else logits.new_empty(N, C, dtype=dtype)
        squares, own = (logits.new_zeros(N, 1, dtype=wide) for _ in range(2))
        w = aggregate(torch.ones_like(squares))

        def term(part: slice, some: slice, z: Tensor) -> Tensor:
            z = (z - self.shift[some]) / self.scale[some]
            squares[part] += z.square().sum(dim=1, keepdim=True) / C
            return z

        def settle(part: slice, _: slice, sums: Tensor) -> Tensor:
            m = torch.where(w[part] > 0, sums / w[part], 0.0)
            own[part] -= (sums * m).sum(dim=1, keepdim=True) / C
            return m

        collapsed(logits, aggregate, term, wide, columns, targets, settle)
        spread = (own + aggregate(squares)).clamp(min=0)
        return targets, torch.cat([w, spread], dim=1).to(dtype)

    def of_nodes(self, outputs: Tensor, targets: Tensor, own: Tensor) -> Tensor:
        w, spread = own.split(1, dim=1)
        off = (outputs - self.shift) / self.scale - targets
        return (w * off.square()).sum() / outputs.shape[1] + spread.sum()

    def readable(self, outputs: Tensor) -> Tensor:
        return outputs / self.scale.to(outputs.device, outputs.dtype)

    def along_edges(self, g: Any, teacher: Tensor, student: Tensor) -> None:
        from ...graph.dgl_bridge import dgl

        g.ndata.update({"t": teacher, "s": student})
        g.apply_edges(dgl.function.v_sub_u("s", "t", "off"))
        g.edata["D"] = g.edata["off"].square().mean(dim=1, keepdim=True)
