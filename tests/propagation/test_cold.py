"""Inputs of nodes without edges: what they are in a graph where they are alone."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.config.schema import Config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.data.dataset import NodeDataset, Split
from infgrand_dgl.data.structural import structural_features
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.propagation.cold import cold_inputs, without_edges
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected

NODES = torch.tensor([17, 3, 30])


def inputs(w, pooling, hops):
    given = {"hops": hops, "pooling": pooling, "self_loop_weight": w}
    return Config.model_validate({"data": {"name": "cora"}, "propagation": given})


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("w", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("pooling", ["mean", "max", "min"])
def test_every_hop_is_the_node_itself(pooling, w, weighted, device):
    """Beside it the same nodes in a graph that has no edge of theirs."""
    x = torch.randn(40, 6)
    csr = random_undirected(40, 100, weighted=weighted)
    dataset = NodeDataset.from_arrays(csr, x, np.arange(40) % 3)
    runtime = Runtime.on(device)
    found = cold_inputs(inputs(w, pooling, 3), dataset, NODES, runtime).cpu()
    if w > 0:
        torch.testing.assert_close(found, x[NODES])
    rows = torch.repeat_interleave(csr.row_lengths)
    theirs = torch.isin(rows, NODES) | torch.isin(csr.indices, NODES)
    weights = None if csr.weights is None else csr.weights[~theirs].numpy()
    others = (csr.indices[~theirs].numpy(), rows[~theirs].numpy(), 40)
    cut = replace(dataset, csr=CSRGraph.from_edges(*others, weights), split=Split(*[NODES] * 3))
    expected = student_inputs(inputs(w, pooling, 3), cut, runtime).cpu()[NODES]
    torch.testing.assert_close(found, expected)


def test_of_sparse_features():
    x = sp.random(40, 100, density=0.05, format="csr", dtype=np.float32)
    dataset = NodeDataset.from_arrays(random_undirected(40, 100), x, np.arange(40) % 3)
    assert dataset.matrix.is_sparse
    found = cold_inputs(inputs(1.0, "mean", 2), dataset, NODES, Runtime.on("cpu"))
    torch.testing.assert_close(found, torch.from_numpy(x.toarray())[NODES])


def test_features_of_the_graph_are_those_of_a_node_alone():
    dataset = NodeDataset.from_arrays(random_undirected(40, 100), None, np.arange(40) % 3)
    alone = without_edges(dataset, NODES)
    assert alone.num_edges == 3 and torch.equal(alone.labels, dataset.labels[NODES])
    (row,) = structural_features(random_undirected(1, 0))
    assert torch.equal(alone.features, row.expand(3, -1))


def test_standardized_by_what_training_sees(tiny):
    config = load_config(tiny, ["data.setting=inductive", "data.standardize=true"])
    dataset = load_dataset(config)
    found = cold_inputs(config, dataset, dataset.test, Runtime.on("cpu"))
    torch.testing.assert_close(found, dataset.dense_features()[dataset.test])
