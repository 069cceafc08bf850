"""Fresh random graphs, the devices present, and the real graphs where they are at hand."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.config.schema import Config
from infgrand_dgl.graph.csr import CSRGraph

# In the background of a script SIGINT is ignored, and so it would be in all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])

# Whose kernels run on the CPU: ops/test_sanitized.py runs the CUDA ones there.
KERNELS = os.environ.get("INFGRAND_TEST_KERNELS", "cpu")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-device", choices=DEVICES, help="only the tests that run on it")


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under --only-device: the tests whose parameter `device` it is, and those that need a GPU."""
    wanted = config.getoption("--only-device")
    if wanted is not None:
        parameters = [item.callspec.params if hasattr(item, "callspec") else {} for item in items]
        on_gpu = [needs_gpu.mark in item.iter_markers("skipif") for item in items]
        chosen = [
            found.get("device") == wanted or (needs and wanted == "cuda")
            for found, needs in zip(parameters, on_gpu, strict=True)
        ]
        others = [item for item, kept in zip(items, chosen, strict=True) if not kept]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item, kept in zip(items, chosen, strict=True) if kept]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def _fresh_seed(request: pytest.FixtureRequest) -> None:
    """Other numbers in every run; a failure names the seed, INFGRAND_TEST_SEED repeats it."""
    seed = int(os.environ.get("INFGRAND_TEST_SEED", int.from_bytes(os.urandom(4), "little")))
    request.node.add_report_section("setup", "seed", f"INFGRAND_TEST_SEED={seed}")
    torch.manual_seed(seed)
    np.random.seed(seed)


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """What a failed test has started would hold up the end of all."""
    yield
    for process in multiprocessing.active_children():
        process.kill()


@pytest.fixture
def real_data() -> Path:
    """A folder in the layout of DGL's download directory, named by INFGRAND_TEST_DATA."""
    folder = os.environ.get("INFGRAND_TEST_DATA")
    if folder is None:
        pytest.skip("INFGRAND_TEST_DATA does not name a folder with the real graphs")
    return Path(folder)


def python_path(*folders: Path) -> str:
    """PYTHONPATH of a process that looks there first, then where this one was told to."""
    given = filter(None, [os.environ.get("PYTHONPATH")])
    return os.pathsep.join([*map(str, folders), *given])


def random_csr(rows: int, cols: int, edges: int, device: str = "cpu") -> CSRGraph:
    """Any rows to any columns: empty rows, parallel edges and self-loops included."""
    target = torch.randint(rows, (edges,)).sort().values
    indptr = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(target, minlength=rows)])
    indices = torch.randint(cols, (edges,), dtype=torch.int32)
    return CSRGraph(indptr.cumsum(0), indices, cols).to(device)


def random_undirected(
    nodes: int, edges: int, device: str = "cpu", weighted: bool = False
) -> CSRGraph:
    """The paper's graph over random edges; some nodes stay isolated."""
    source, target = np.random.randint(0, max(1, int(0.9 * nodes)), size=(2, edges))
    weights = np.random.uniform(0.1, 3, edges) if weighted else None
    return CSRGraph.from_edges(source, target, nodes, weights).to(device)


def dense_adjacency(csr: CSRGraph) -> torch.Tensor:
    """float64 `[N, M]`, parallel edges counted, weights summed."""
    rows = torch.repeat_interleave(csr.row_lengths.cpu())
    A = torch.zeros(csr.num_rows, csr.num_cols, dtype=torch.float64)
    value = torch.ones(csr.num_edges) if csr.weights is None else csr.weights.cpu()
    return A.index_put_((rows, csr.indices.cpu().long()), value.double(), accumulate=True)


# An experiment of a second: a generated graph, few epochs, narrow models.
TINY = {
    "data": {
        "name": "synthetic",
        "style": "citation",
        "nodes": 300,
        "features": 60,
        "classes": 3,
    },
    "teacher": {"hidden": 8},
    "student": {"hidden": 8, "weight_decay": 0.0},
    "train": {"epochs": 5, "seeds": [1, 2], "device": "cpu"},
}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """`TINY` in a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture
def tiny_config(tiny: Path) -> Config:
    return load_config(tiny)
