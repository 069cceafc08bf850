"""What a student reads in a step: its inputs, once or several times, or random views of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config.schema import Config
from ..data.dataset import NodeDataset
from ..propagation.products import PropagatedMatrix
from ..propagation.views import RandomViews
from ..registry import methods
from ..system.runtime import Runtime


@dataclass(frozen=True)
class Views:
    """The S readings of a node in a step.

    Args:
        count: S.
        random: where they come from; None: each is of the node's input, where that is propagated
            inside the student with a share
        mask: of the nodes masked, anew for each.
    """

    count: int = 1
    random: RandomViews | None = None
    mask: float = 0.0

    @property
    def rows(self) -> dict[str, Tensor]:
        """Of an epoch's views, by name."""
        return {} if self.random is None else dict(self.random.rows)

    @classmethod
    def of(cls, config: Config, view: NodeDataset, runtime: Runtime, seed: int) -> Views:
        """By the section `random_propagation` (`RandomViews`)."""
        r = config.random_propagation
        if config.in_products:
            return cls(r.views, mask=r.mask)
        return cls(r.views, RandomViews(config, view, runtime, seed) if r.mask else None)

    def of_epoch(self, epoch: int) -> dict[str, Tensor]:
        """Those rows anew."""
        return {} if self.random is None else dict(self.random.of(epoch))

    def logits(self, student: Callable[..., Tensor], batch: Mapping[str, Any]) -> list[Tensor]:
        """The student's of each view, `[b, C]`; one pass of all, but of products."""
        if self.random is not None:
            return self._together(student, torch.cat([batch[n] for n in self.random.names]))
        x = batch["x"]
        if isinstance(x, PropagatedMatrix):
            return [student(x.masked(self.mask)) for _ in range(self.count)]
        if self.count == 1:
            return [student(x)]
        rows = torch.arange(x.shape[0], device=x.device)
        return self._together(student, x[rows.repeat(self.count)])

    def _together(self, student: Callable[..., Tensor], x: Any) -> list[Tensor]:
        return list(student(x).chunk(self.count))


ONE_VIEW = Views()


def views_of(config: Config) -> int:
    """S, how often a step reads a node."""
    has_views = "random_propagation" in methods[config.method].sections
    return config.random_propagation.views if has_views else 1
