"""The ctypes layer against a library of C that computes the product on the host."""

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from ctypes import c_int, c_void_p
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
import torch

from infgrand_dgl.benchmark import backends, cusparse, hops
from infgrand_dgl.benchmark.harness import is_out_of_memory
from tests.conftest import random_csr, random_undirected

SOURCE = Path(__file__).with_name("cusparse_on_host.c")
COMPILER = os.environ.get("CC", "gcc")
STREAM = 0x1234
pytestmark = pytest.mark.skipif(shutil.which(COMPILER) is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cusparse") / "libcusparse.so.12"
    found = Path(sysconfig.get_paths()["purelib"]).glob("nvidia/*/include")
    includes = [f"-I{folder}" for folder in (*found, "/usr/local/cuda/include")]
    command = [COMPILER, "-w", "-O1", "-shared", "-fPIC", *includes, SOURCE, "-o", out]
    subprocess.run(list(map(str, command)), check=True)
    return out


@pytest.fixture
def library(path) -> ctypes.CDLL:
    return cusparse.with_prototypes(str(path))


def counted(library: ctypes.CDLL, name: str) -> int:
    return c_int.in_dll(library, name).value


@pytest.mark.parametrize(("method", "algorithm"), cusparse.ALGORITHMS.items())
@pytest.mark.parametrize("ids", [torch.int32, torch.int64])
def test_products_of_one_setup(library, method, algorithm, ids, monkeypatch):
    monkeypatch.setattr(cusparse, "LONG_IDS", 2**31 if ids == torch.int32 else 1)
    csr = random_csr(40, 30, 200)
    values, dense = torch.randn(200), torch.zeros(40, 30)
    rows = torch.repeat_interleave(csr.row_lengths)
    dense.index_put_((rows, csr.indices.long()), values, accumulate=True)
    before = [counted(library, name) for name in ("products", "preparations", "live")]
    product = cusparse.Product(library, csr, values, 7, algorithm, STREAM)
    results = []
    for _ in range(3):
        x = torch.randn(30, 7)
        results.append((product(x), dense @ x))
    for found, expected in results:  # each its own
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    done = [counted(library, name) for name in ("products", "preparations", "live")]
    assert [after - b for after, b in zip(done, before, strict=True)] == [3, 1, 4]
    assert counted(library, "last_algorithm") == algorithm
    assert c_void_p.in_dll(library, "last_stream").value == STREAM
    del product
    assert counted(library, "live") == before[2]


def test_an_error_has_its_name(library):
    csr = random_undirected(10, 20)
    product = cusparse.Product(library, csr, torch.ones(csr.num_edges), 3, 6, STREAM)
    c_int.in_dll(library, "fail_with").value = 2
    try:
        with pytest.raises(
            RuntimeError, match="cusparseSpMM: CUSPARSE_STATUS_ALLOC_FAILED"
        ) as error:
            product(torch.ones(10, 3))
    finally:
        c_int.in_dll(library, "fail_with").value = 0
    assert is_out_of_memory(error.value)
    with pytest.raises(
        RuntimeError, match="cusparseSpMM_bufferSize: CUSPARSE_STATUS_INVALID_VALUE"
    ):
        cusparse.Product(library, csr, torch.ones(csr.num_edges), 3, 7, STREAM)


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch has loaded the real one")
def test_the_library_that_is_loaded(path, library):
    assert Path(cusparse.loaded()).resolve() == path.resolve()


@pytest.mark.parametrize("count", [None, 3])
def test_the_peers_on_a_gpu(count, path, monkeypatch):
    """They are made as there, on the CPU; CuPy's part is played by numpy and SciPy."""
    GPU = torch.device("cuda")
    csr, x = random_undirected(50, 200), torch.randn(50, 5)
    monkeypatch.setattr(backends, "missing", lambda backend, device: "this DGL has no CUDA")
    monkeypatch.setattr(cusparse, "loaded", lambda: "")
    monkeypatch.setattr(hops, "_absent", lambda package: f"{package} is not installed")
    here = {c.method: c for c in hops.on_device(hops.Work(csr, x, count, 1.0), GPU)}
    assert {c.method: c.missing for c in here.values() if c.missing} == {
        "dgl": "this DGL has no CUDA",
        "cusparse_alg2": "torch has loaded no libcusparse",
        "cusparse_alg3": "torch has loaded no libcusparse",
        "cupy": "cupy is not installed",
        "pyg": "torch_geometric is not installed",
    }
    assert here["pyg"].needs > 2 * 4 * csr.num_edges * 5

    monkeypatch.setattr(cusparse, "loaded", lambda: str(path))
    monkeypatch.setattr(hops, "_absent", lambda package: "")
    stream = SimpleNamespace(cuda_stream=STREAM)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    cupy, cupyx = ModuleType("cupy"), ModuleType("cupyx.scipy.sparse")
    cupy.__dict__["from_dlpack"] = np.from_dlpack
    cupyx.__dict__["csr_matrix"] = scipy.sparse.csr_matrix
    for module in (cupy, ModuleType("cupyx"), ModuleType("cupyx.scipy"), cupyx):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    peers = ("infgrand", "torch_csr", "torch_csr_int32", *cusparse.ALGORITHMS, "cupy")
    for c in hops.on_device(hops.Work(csr, x, count, 1.0), GPU):
        if c.method in peers:
            assert not c.missing and 0 <= c.holds <= c.needs
            assert c.describe(c.prepare()())["max_abs_difference"] < 3e-6
            assert c.rates(2.0)["roof_share"] == 0.5
