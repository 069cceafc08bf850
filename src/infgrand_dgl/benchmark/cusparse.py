"""cuSPARSE's CSR product with all but the product done once: the fastest that it can be called.

torch makes descriptors and workspace anew for every product, and lets cuSPARSE look at the matrix
each time. Here they are made once, through ctypes on the library that torch itself has loaded;
`cusparseSpMM_preprocess` too.
"""

import ctypes
import re
import weakref
from ctypes import POINTER, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import torch
from torch import Tensor

from ..graph.csr import CSRGraph

# cusparse.h and library_types.h of CUDA 12 and 13.
ALGORITHMS = {"cusparse_alg2": 6, "cusparse_alg3": 12}  # CUSPARSE_SPMM_CSR_ALG2 and _ALG3
NON_TRANSPOSE = 0
INDEX_TYPES = {torch.int32: 2, torch.int64: 3}
BASE_ZERO = 0
ROW_MAJOR = 2
R_32F = 0

LONG_IDS = 2**31  # entries

_HANDLE = POINTER(c_void_p)
_PRODUCT = (c_void_p, c_int, c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_int)
PROTOTYPES = {
    "cusparseCreate": (_HANDLE,),
    "cusparseDestroy": (c_void_p,),
    "cusparseSetStream": (c_void_p, c_void_p),
    "cusparseCreateCsr": (
        *(_HANDLE, c_int64, c_int64, c_int64, c_void_p, c_void_p, c_void_p),
        *(c_int, c_int, c_int, c_int),
    ),
    "cusparseDestroySpMat": (c_void_p,),
    "cusparseCreateDnMat": (_HANDLE, c_int64, c_int64, c_int64, c_void_p, c_int, c_int),
    "cusparseDnMatSetValues": (c_void_p, c_void_p),
    "cusparseDestroyDnMat": (c_void_p,),
    "cusparseSpMM_bufferSize": (*_PRODUCT, POINTER(c_size_t)),
    "cusparseSpMM_preprocess": (*_PRODUCT, c_void_p),
    "cusparseSpMM": (*_PRODUCT, c_void_p),
}


def loaded() -> str:
    """The file of the libcusparse that this process has loaded; empty where there is none."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return ""
    line = re.search(r" (/.*/libcusparse\.so[.\d]*)$", maps, flags=re.MULTILINE)
    return line[1] if line else ""


def with_prototypes(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    for name, arguments in PROTOTYPES.items():
        getattr(library, name).argtypes = arguments
    library.cusparseGetErrorName.argtypes = (c_int,)
    library.cusparseGetErrorName.restype = c_char_p
    return library


class Product:
    """$Y = AX$ for one A and any X of `width` columns, float32, row-major.

    Args:
        csr: the pattern of A; row pointers and column ids, which cuSPARSE wants alike, are passed
            as int32, and as int64 from `LONG_IDS` entries on.
        values: of A's entries, float32 `[E]`.
        algorithm: a `cusparseSpMMAlg_t`.
        stream: the CUDA stream that every product runs on.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        csr: CSRGraph,
        values: Tensor,
        width: int,
        algorithm: int,
        stream: int,
    ) -> None:
        self.library, self.shape, self.width = library, (csr.num_rows, csr.num_cols), width
        ids = torch.int32 if csr.num_edges < LONG_IDS else torch.int64
        self.arrays = csr.indptr.to(ids), csr.indices.to(ids), values
        self.one, self.zero = c_float(1), c_float(0)
        x, out = (values.new_empty(rows, width) for rows in (csr.num_cols, csr.num_rows))

        self.made: list[tuple[str, c_void_p]] = []
        weakref.finalize(self, _destroy, library, self.made)
        handle = self._make("cusparseCreate", "cusparseDestroy")
        self._call("cusparseSetStream", handle, stream)
        A = self._make(
            "cusparseCreateCsr",
            "cusparseDestroySpMat",
            *(*self.shape, csr.num_edges, *(array.data_ptr() for array in self.arrays)),
            *(INDEX_TYPES[ids], INDEX_TYPES[ids], BASE_ZERO, R_32F),
        )
        self.X, self.Y = (
            self._make(
                "cusparseCreateDnMat",
                "cusparseDestroyDnMat",
                *(len(dense), width, width, dense.data_ptr(), R_32F, ROW_MAJOR),
            )
            for dense in (x, out)
        )
        one, zero = (ctypes.byref(factor) for factor in (self.one, self.zero))
        self.operands = (
            *(handle, NON_TRANSPOSE, NON_TRANSPOSE, one, A, self.X, zero, self.Y),
            *(R_32F, algorithm),
        )
        size = c_size_t()
        self._call("cusparseSpMM_bufferSize", *self.operands, ctypes.byref(size))
        self.buffer = values.new_empty(max(size.value, 1), dtype=torch.uint8)
        self._call("cusparseSpMM_preprocess", *self.operands, self.buffer.data_ptr())

    def __call__(self, x: Tensor) -> Tensor:
        out = x.new_empty(self.shape[0], self.width)
        self._call("cusparseDnMatSetValues", self.X, x.data_ptr())
        self._call("cusparseDnMatSetValues", self.Y, out.data_ptr())
        self._call("cusparseSpMM", *self.operands, self.buffer.data_ptr())
        return out

    def _make(self, create: str, destroy: str, *arguments: object) -> c_void_p:
        handle = c_void_p()
        self._call(create, ctypes.byref(handle), *arguments)
        self.made.append((destroy, handle))
        return handle

    def _call(self, name: str, *arguments: object) -> None:
        if status := getattr(self.library, name)(*arguments):
            what = self.library.cusparseGetErrorName(status).decode()
            raise RuntimeError(f"{name}: {what}")


def _destroy(library: ctypes.CDLL, made: list[tuple[str, c_void_p]]) -> None:
    for destroy, what in reversed(made):
        getattr(library, destroy)(what)
