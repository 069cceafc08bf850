"""The views of an epoch (`random_propagation`): made for it, or some of those that are stored."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from ..config.schema import Config
from ..data.dataset import NodeDataset
from ..errors import InputError
from ..system.arrays import first_not_finite, is_mapped, new_array
from ..system.kept import kept
from ..system.ranks import ALONE
from ..system.runtime import Runtime
from .memory import matrix_needs, slab_width, slabs_of
from .random import MaskedPropagation, drawn_views, node_mask
from .streamed import propagate_slabs

STORED = 12  # views, where nobody said how many

# Nanoseconds of a view and of the training step that reads it, by type of device: of an entry of
# the graph, a feature and a hop; of a node and a feature in a view's other passes, in reading it,
# and in its dropout; of a node and a weight of the student. On the CPU measured with one thread on
# Cora and Citeseer, students of 32 and 256 units; on an H100 by its products (docs/speed.md) and
# the bandwidth of its memory.
HOP = {"cpu": 0.07, "cuda": 0.0009}
PASSES = {"cpu": 1.5, "cuda": 0.004}
READ = {"cpu": 1.5, "cuda": 0.004}
DROPPED = {"cpu": 2.6, "cuda": 0.004}
WEIGHT = {"cpu": 0.045, "cuda": 0.0002}


def is_cheap(config: Config, view: NodeDataset, device: str) -> bool:
    """Whether a view takes less time than the student's step that reads it, of shapes alone."""
    s, N, D = config.student, view.num_nodes, view.num_features
    made = HOP[device] * view.num_edges * D * config.propagation.hops + PASSES[device] * N * D
    widths = [D, *[s.hidden] * (s.layers - 1), view.num_classes]
    weights = sum(i * o for i, o in pairwise(widths))
    read = READ[device] + (DROPPED[device] if s.input_dropout else 0)
    return made <= read * N * D + WEIGHT[device] * N * weights


def number_stored(config: Config, view: NodeDataset, runtime: Runtime) -> int:
    """R, the number of views that are stored; 0: they are made for every epoch.

    Where `random_propagation.stored` is null: 0 where a view costs less than the training step that
    reads it, by an estimate from shapes alone, and what makes it fits on the device.

    Raises:
        InputError: it is 0, and that does not fit.
    """
    r = config.random_propagation
    # X, the views, and one in the making, with two buffers on a GPU.
    matrices = r.views + (4 if runtime.device.type == "cuda" else 2)
    needs = matrix_needs(view, runtime.device, matrices)
    if r.stored == 0:
        runtime.budget.require("make views for every epoch", *needs)
    if r.stored is not None:
        return r.stored
    cheap = is_cheap(config, view, runtime.device.type)
    return 0 if cheap and runtime.budget.fits(*needs) else max(STORED, r.views)


class RandomViews:
    r"""S views $\bar X_s$ of the observed nodes for every epoch, `[N, D]` each.

    Where they are stored, R are made once, in float16, on the device where they fit into half of
    what is left there, else in memory likewise, else in files of the scratch folder. Otherwise they
    are float32 and made for each epoch.

    Args:
        view: what training may see.
        seed: of the training.

    Raises:
        InputError: the budget has no room for them.
    """

    def __init__(self, config: Config, view: NodeDataset, runtime: Runtime, seed: int) -> None:
        self.config, self.view, self.runtime, self.seed = config, view, runtime, seed
        self.names = [f"view{s}" for s in range(1, config.random_propagation.views + 1)]
        self.stored: list[Tensor] = []
        # The first process decides for all: they have to have the same views.
        with runtime.ranks.together():
            count = number_stored(config, view, runtime)
        count = runtime.ranks.tell(count)
        if count:
            with runtime.ranks.together():
                self.stored = list(self._store(count))
            if runtime.budget.fits_on(runtime.device, 2 * sum(v.nbytes for v in self.stored)):
                self.stored = [v if is_mapped(v) else v.to(runtime.device) for v in self.stored]
            self.rows = self.of(1)
        else:
            self.x = view.dense_features(runtime.device)
            self.rows = {name: torch.empty_like(self.x) for name in self.names}

    def of(self, epoch: int) -> Mapping[str, Tensor]:
        """The views of an epoch, from 1, by name."""
        S = len(self.names)
        if self.stored:
            drawn = drawn_views(len(self.stored), S, self.seed, epoch)
            return {name: self.stored[r] for name, r in zip(self.names, drawn, strict=True)}
        csr = kept(self.view.csr, self.runtime.device)
        for number, out in enumerate(self.rows.values(), start=epoch * S):
            out.copy_(self._propagation(number).of(csr, self.x))
        return self.rows

    def _propagation(self, number: int) -> MaskedPropagation:
        p, delta = self.config.propagation, self.config.random_propagation.mask
        mask = node_mask(self.view.num_nodes, delta, self.seed, number)
        return MaskedPropagation(p.hops, p.self_loop_weight, p.pooling, mask=mask)

    def _store(self, count: int) -> Iterator[Tensor]:
        """Views float16 `[N, D]`, by slabs of columns where the features do not fit."""
        view, runtime = self.view, self.runtime
        shape, scratch = (view.num_nodes, view.num_features), runtime.scratch
        size = 2 * shape[0] * shape[1] * count
        mapped = scratch is not None and runtime.budget.left() < 2 * size
        if not mapped:
            runtime.budget.require(f"store {count} views of {shape[0]:,} nodes", size)
        for number in range(count):
            if mapped and scratch is not None:
                path = scratch / f"view-{runtime.ranks.rank}-{number}.npy"
                out = new_array(path, shape, torch.float16)
            else:
                out = torch.empty(shape, dtype=torch.float16)
            width = slab_width(view.csr, shape[1], runtime)
            columns = list(slabs_of(shape[1], width, ALONE))
            made = self._propagation(number)
            propagate_slabs(view.csr, made, view.matrix, out, columns, runtime.device)
            if first_not_finite(out) is not None:
                raise InputError(
                    "features: too large for views in float16; random_propagation.stored: 0 makes "
                    "them in float32, data.standardize: true makes features smaller"
                )
            yield out
