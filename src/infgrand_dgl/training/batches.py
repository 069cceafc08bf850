"""Rows of nodes for one training step after another; no graph is needed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from ..distributed import ALONE, Ranks
from ..files import release
from ..sparse import SparseMatrix

T = TypeVar("T")
Rows: TypeAlias = dict[str, Any]  # Tensor or SparseMatrix, [n, ...]

CHUNK = 1024  # consecutive rows that are read together from a file


class NodeBatches:
    """All nodes once per epoch, in random order, as batches of one size (to within one row).

    Tensors that lie on `device` are indexed there. Others, memory-mapped ones for instance, are
    read some chunks of consecutive rows at a time, in random order and ahead of their use; batches
    are drawn from what was read together.

    Args:
        rows: per-node tensors, `[N, ...]` each, by name.
        size: nodes per step, of all processes together; None: all, as they are.
        device: of the batches.
        pool: rows that are read together from tensors that are not on `device`.
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
        self.whole = self._taken(slice(None)) if self.size == self.count else None

    def _pools(self) -> list[int]:
        """How many rows are read together, one time after the other."""
        full, rest = divmod(self.count, self.pool)
        return [self.pool] * full + [rest] * (rest > 0)

    def __len__(self) -> int:
        """Steps per epoch."""
        return sum(-(-rows // self.size) for rows in self._pools())

    def epoch(self, number: int) -> Iterator[Rows]:
        if self.whole is not None:
            yield self.whole
            return
        generator = torch.Generator().manual_seed((self.seed << 24) + number)
        if self.pool >= self.count and self._resident():
            ids = torch.randperm(self.count, generator=generator)
            for part in ids.tensor_split(len(self)):
                yield self._taken(part[self._share(len(part))])
            return
        chunks = torch.randperm(-(-self.count // CHUNK), generator=generator)
        ids = (chunks[:, None] * CHUNK + torch.arange(CHUNK)).flatten()
        pools = ids[ids < self.count].split(self.pool)
        for pool, length in zip(
            ahead(self._reader(ids) for ids in pools), self._pools(), strict=True
        ):
            mine = self._share(length)
            order = torch.randperm(len(range(length)[mine]), generator=generator)
            for part in order.tensor_split(-(-length // self.size)):
                yield {k: v[part].to(self.device, non_blocking=True) for k, v in pool.items()}

    def _resident(self) -> bool:
        return all(v.device.type == self.device.type for v in self.rows.values())

    def _share(self, length: int) -> slice:
        mine = self.ranks.share(length)
        return slice(mine.start, mine.stop)

    def _taken(self, ids: Tensor | slice) -> Rows:
        if isinstance(ids, slice):
            if self.ranks.size == 1:
                return {k: v.to(self.device) for k, v in self.rows.items()}
            ids = torch.arange(self.count)[self._share(self.count)]
        return {k: v[ids.to(v.device)].to(self.device) for k, v in self.rows.items()}

    def _reader(self, ids: Tensor) -> Callable[[], Rows]:
        mine = ids[self._share(len(ids))]

        def read() -> Rows:
            pool: Rows = {}
            for name, values in self.rows.items():
                read = values[mine]
                if isinstance(values, Tensor):
                    release(values)
                if isinstance(read, Tensor) and self.device.type == "cuda":
                    read = read.pin_memory()
                pool[name] = read
            return pool

        return read


def ahead(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The results of the calls, each made by a thread while the one before is used."""
    with ThreadPoolExecutor(1) as thread:
        pending = deque()  # type: ignore[var-annotated]
        for call in calls:
            pending.append(thread.submit(call))
            if len(pending) > 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
