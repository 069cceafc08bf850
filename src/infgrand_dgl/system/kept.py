"""Graphs and features on the GPU that one stage after the other uses: each is uploaded once."""

from typing import Any, TypeVar

import torch
from torch.utils.weak import WeakIdKeyDictionary

from .transfer import tensors

T = TypeVar("T")

_copies = WeakIdKeyDictionary()  # of originals, which lie elsewhere, while these live


def kept(original: T, device: torch.device | str) -> T:
    """`original.to(device)`, of a tensor or graph: the copy of the last time, if it is still there.

    It stays until the original goes or a budget needs the room (`Budget.make_room`). Not to be
    written to.
    """
    device = torch.device(device)
    where, copy = _copies.get(original, (None, None))
    if where != device:
        copy = original.to(device)  # type: ignore[attr-defined]
        if copy is not original:
            _copies[original] = device, copy
    return copy


def held() -> int:
    """Bytes of the copies."""
    copies: list[Any] = list(_copies.values())
    return sum(tensor.nbytes for tensor in tensors(copies) if tensor.device.type != "cpu")


def drop() -> None:
    """Forgets the copies. Whoever uses one still has it."""
    _copies.clear()
