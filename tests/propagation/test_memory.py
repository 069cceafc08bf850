"""What propagation takes is counted before it is begun."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from infgrand_dgl.propagation.memory import matrix_needs, slab_needs, slab_width
from infgrand_dgl.system.arrays import map_array
from infgrand_dgl.system.memory import Budget, resident
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected
from tests.propagation.test_streamed import random_dataset

CPU = torch.device("cpu")


def test_widths_grow_with_the_budget():
    csr, plenty = random_undirected(200_000, 10), Runtime(CPU, Budget(1 << 60, 1 << 60))
    widths = []
    for width in (8, 16, 40, 64, 100):
        needed, _ = slab_needs(csr, width, CPU)
        widths.append(slab_width(csr, 100, Runtime(CPU, Budget(resident() + needed + (1 << 21)))))
    assert widths == [8, 16, 32, 64, 100]
    assert slab_width(csr, 3, plenty) == 3
    assert slab_width(csr, 100, plenty) == 100


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["float32", "float16", "mapped", "sparse"])
def test_what_a_gpu_and_its_host_hold(kind, weighted, tmp_path):
    """Features are uploaded as they are stored; what is kept of them counts beside what is used."""
    dataset = random_dataset(weighted=weighted)
    x = dataset.features
    if kind == "mapped":
        np.save(tmp_path / "x.npy", x.numpy())
        x = map_array(tmp_path / "x.npy")
    elif kind != "float32":
        x = x.half() if kind == "float16" else x.to_sparse_csr()
    dataset = replace(dataset, features=x)
    matrix, graph = 4 * 500 * 50, 8 * 501 + (8 if weighted else 4) * dataset.num_edges
    kept = {"float16": matrix // 2, "sparse": 8 * 501 + 12 * 500 * 50}.get(kind, 0)
    for graphs in (1, 2):
        host, gpu = matrix_needs(dataset, torch.device("cuda"), 4, graphs)
        assert gpu == graphs * (graph + kept) + 4 * matrix + 300 * 500
        assert host == (matrix if kind == "mapped" else 0)
