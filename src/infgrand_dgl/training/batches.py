"""Rows of nodes for one training step after another; no graph is needed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor

from ..distillation.objective import Rows
from ..features.sparse import SparseMatrix
from ..system.arrays import release
from ..system.ranks import ALONE, Ranks
from ..system.transfer import Staging, ahead

CHUNK_ROWS = 1024  # consecutive rows that are read together from a file


class NodeBatches:
    """All nodes once per epoch, in random order, as batches of one size (to within one row).

    Tensors that lie on `device` are indexed there. Others, memory-mapped ones for instance, are
    read some chunks of consecutive rows at a time, in random order, and go to the device ahead of
    their use; batches are drawn there from what was read together.

    Args:
        rows: per-node tensors, `[N, ...]` each, by name.
        size: nodes per step, of all processes together; None: all, as they are.
        device: of the batches.
        pool: rows that are read together from tensors that are not on `device`, which holds two
            pools.
        ranks: each process gets its share of every batch.
        seed: of the order; with it, every epoch has its own.
    """

    def __init__(
        self,
        rows: Mapping[str, Tensor | SparseMatrix],
        size: int | None,
        device: torch.device,
        *,
        pool: int | None = None,
        ranks: Ranks = ALONE,
        seed: int = 0,
    ) -> None:
        self.rows, self.device, self.ranks, self.seed = dict(rows), device, ranks, seed
        self.count = next(iter(rows.values())).shape[0]
        self.size = self.count if size is None else min(size, self.count)
        self.pool = self.count if pool is None else max(pool, self.size)
        self.staging = Staging(device)
        self.full = self._full() if self.size == self.count else None

    def _pools(self) -> list[int]:
        """How many rows are read together, one time after the other."""
        full, rest = divmod(self.count, self.pool)
        return [self.pool] * full + [rest] * (rest > 0)

    def __len__(self) -> int:
        """Steps per epoch."""
        return sum(-(-rows // self.size) for rows in self._pools())

    def renew(self, rows: Mapping[str, Tensor]) -> None:
        """New values of some of the rows, which lie where the old ones do."""
        self.rows |= {k: v.to(self.rows[k].device) for k, v in rows.items()}
        if self.full is not None and rows:
            self.full = self._full()

    def epoch(self, number: int) -> Iterator[Rows]:
        if self.full is not None:
            yield self.full
            return
        generator = torch.Generator().manual_seed((self.seed << 24) + number)
        if self.pool >= self.count and self._resident():
            ids = torch.randperm(self.count, generator=generator).to(self.device)
            for part in ids.tensor_split(len(self)):
                yield {k: v[part[self._share(len(part))]] for k, v in self.rows.items()}
            return
        chunks = torch.randperm(-(-self.count // CHUNK_ROWS), generator=generator)
        ids = (chunks[:, None] * CHUNK_ROWS + torch.arange(CHUNK_ROWS)).flatten()
        pools = ids[ids < self.count].split(self.pool)
        for pool, parts in ahead(self._reads(pools, generator), self.device):
            for part in parts:
                yield {k: v[part] for k, v in pool.items()}
            del pool  # before the one after the next is read

    def _reads(
        self, pools: Iterable[Tensor], generator: torch.Generator
    ) -> Iterator[Callable[[], tuple[Rows, tuple[Tensor, ...]]]]:
        """Of each pool this process's rows, on the device, and which of them each batch takes."""
        for ids in pools:
            mine = ids[self._share(len(ids))]
            order = torch.randperm(len(mine), generator=generator)
            yield partial(self._read, mine, order, -(-len(ids) // self.size))

    def _read(self, ids: Tensor, order: Tensor, steps: int) -> tuple[Rows, tuple[Tensor, ...]]:
        pool: Rows = {}
        for name, values in self.rows.items():
            if isinstance(values, Tensor):
                pool[name] = self.staging.rows(values, ids)
                release(values)
            else:
                pool[name] = values[ids].to(self.device)
        return pool, order.to(self.device).tensor_split(steps)

    def _resident(self) -> bool:
        return all(v.device.type == self.device.type for v in self.rows.values())

    def _share(self, length: int) -> slice:
        mine = self.ranks.share(length)
        return slice(mine.start, mine.stop)

    def _full(self) -> Rows:
        """This process's share of all rows, on the device."""
        if self.ranks.size == 1:
            return {k: v.to(self.device) for k, v in self.rows.items()}
        ids = torch.arange(self.count)[self._share(self.count)]
        return {k: v[ids.to(v.device)].to(self.device) for k, v in self.rows.items()}
