"""Arrays in files: read, or mapped so that their memory is the file, and used block by block."""

import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .reading import reading

FINITE_ROWS = 1 << 16  # that are looked at together for what is not finite
NUMBERS = 1 << 22  # that are in memory together where rows of a file are read and answered

Array = TypeVar("Array", Tensor, np.ndarray)

# The mappings behind tensors of `map_array` and `new_array`, by address.
_mappings: WeakValueDictionary[int, mmap.mmap] = WeakValueDictionary()


def load_array(path: Path, mmap: bool = False) -> np.ndarray:
    """The array of a .npy file. np.load would take zip archives and pickles too."""
    with reading(path, "a readable .npy file"):
        try:
            if mmap:
                return np.lib.format.open_memmap(path, mode="r")
            with path.open("rb") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        except ValueError as error:
            if not re.search("Object arrays|Python objects", str(error)):
                raise
            expected = "expected numbers or texts, found objects of Python"
            way = "array.astype(str) makes texts (of None 'None', where '' is no label)"
            raise InputError(f"{path}: {expected}; {way}") from None


def map_array(path: Path, write: bool = False) -> Tensor:
    """A .npy file as a tensor whose memory is the file: nothing is read before it is used.

    Args:
        write: what is written to the tensor goes to the file; otherwise it stays private.
    """
    with reading(path, "a readable .npy file"):
        if write:
            array = np.lib.format.open_memmap(path, mode="r+")
            return _mapped(array, array._mmap)  # type: ignore[attr-defined]
        header = np.lib.format.open_memmap(path, mode="r")
        # No room is reserved for writes that never come: the file may be larger than memory.
        flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0x4000)
        with path.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, flags, mmap.PROT_READ | mmap.PROT_WRITE)
        order: Literal["C", "F"] = "C" if header.flags.c_contiguous else "F"
        return _mapped(
            np.ndarray(header.shape, header.dtype, mapping, header.offset, order=order), mapping
        )


def new_array(path: Path, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """A new .npy file, mapped for writing. Its room on the disk is taken now.

    Raises:
        OSError: the disk is full.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype_name(dtype), shape=shape)
    with path.open("r+b") as file:  # else a full disk would kill the process at some later write
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return _mapped(array, array._mmap)  # type: ignore[attr-defined]


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """In host memory, of huge pages, which NumPy asks for: filled three times as fast."""
    return torch.from_numpy(np.empty(shape, dtype_name(dtype)))


def dtype_name(dtype: torch.dtype) -> str:
    """NumPy's name, for all that NumPy has."""
    return str(dtype).removeprefix("torch.")


def _mapped(array: np.ndarray, mapping: mmap.mmap) -> Tensor:
    tensor = torch.from_numpy(array)
    _mappings[tensor.untyped_storage().data_ptr()] = mapping
    return tensor


def release(*tensors: Tensor | np.ndarray) -> None:
    """Pages of what is mapped leave the memory of the process; the next use reads them again.

    What was written to a `new_array` is kept. Any other tensor is left alone.
    """
    for mapping in filter(None, map(_mapping, tensors)):
        mapping.madvise(mmap.MADV_DONTNEED)


def is_mapped(tensor: Tensor) -> bool:
    """Whether `release` has an effect: the memory of the tensor is a file."""
    return _mapping(tensor) is not None


def _mapping(tensor: Tensor | np.ndarray) -> mmap.mmap | None:
    if isinstance(tensor, np.ndarray):  # np.memmap has one
        return getattr(tensor, "_mmap", None)
    if tensor.layout != torch.strided:
        return None
    return _mappings.get(tensor.untyped_storage().data_ptr())


def slices(rows: range, size: int) -> Iterator[slice]:
    """Consecutive parts of `rows`, `size` each, the last of what is left."""
    for begin in range(rows.start, rows.stop, size):
        yield slice(begin, min(begin + size, rows.stop))


def together(width: int) -> int:
    """How many rows of so many numbers are read and answered together."""
    return max(1, min(1 << 16, NUMBERS // max(1, width)))


def blocks(values: Array, size: int) -> Iterator[tuple[slice, Array]]:
    """All rows of `[N, ...]`, `size` together; of a mapped tensor one block is in memory."""
    for part in slices(range(len(values)), size):
        yield part, values[part]
        release(values)


def first_not_finite(values: Tensor) -> int | None:
    """The first row of `[N, ...]`, possibly mapped, with NaN or infinity; None: all are finite."""
    for part, rows in blocks(values, FINITE_ROWS):
        finite = rows.isfinite()
        if not finite.all():
            return part.start + int((~finite).reshape(len(rows), -1).any(dim=1).nonzero()[0])
    return None
