"""What a student reads in a step: its inputs, once or several times, or random views of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config.schema import Config
from ..data.dataset import NodeDataset
from ..propagation.products import RandomProducts
from ..propagation.views import RandomViews
from ..registry import methods
from ..system.runtime import Runtime


@dataclass(frozen=True)
class Views:
    """The S readings of a node in a step.

    Args:
        count: S.
        random: where they come from, or
        products: what makes them of the first layer's products; of neither, each is the node's
            input.
    """

    count: int = 1
    random: RandomViews | None = None
    products: RandomProducts | None = None

    @property
    def rows(self) -> dict[str, Tensor]:
        """Of an epoch's views, by name."""
        return {} if self.random is None else dict(self.random.rows)

    @classmethod
    def of(cls, config: Config, view: NodeDataset, runtime: Runtime, seed: int) -> Views:
        """By the section `random_propagation` (`RandomViews`)."""
        r = config.random_propagation
        if r.of == "products":
            return cls(r.views, products=RandomProducts(config, view, runtime))
        return cls(r.views, RandomViews(config, view, runtime, seed) if r.mask else None)

    def of_epoch(self, epoch: int) -> dict[str, Tensor]:
        """Those rows anew."""
        return {} if self.random is None else dict(self.random.of(epoch))

    def logits(self, student: Callable[..., Tensor], batch: Mapping[str, Any]) -> list[Tensor]:
        """The student's of each view, `[b, C]`; one pass of all, but of products."""
        if self.products is not None:
            p = self.products
            return [student(p.x, propagated=p) for _ in range(self.count)]
        if self.random is not None:
            x = torch.cat([batch[name] for name in self.random.names])
        elif self.count == 1:
            return [student(batch["x"])]
        else:
            x = batch["x"]
            x = x[torch.arange(x.shape[0], device=x.device).repeat(self.count)]
        return list(student(x).chunk(self.count))

    def evaluated(self, student: Callable[..., Tensor]) -> Tensor:
        """The logits of X~, `[N, C]`, of a student in evaluation mode, by its products."""
        assert self.products is not None
        return student(self.products.x, propagated=self.products.whole)


ONE_VIEW = Views()


def in_products(config: Config) -> bool:
    """Whether views are made inside the student."""
    has_views = "random_propagation" in methods[config.method].sections
    return has_views and config.random_propagation.of == "products"


def views_of(config: Config) -> int:
    """S, how often a step reads a node."""
    has_views = "random_propagation" in methods[config.method].sections
    return config.random_propagation.views if has_views else 1
