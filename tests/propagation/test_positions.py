"""Positions of the nodes of a split, and beside features."""

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.data import NodeDataset, Split
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.propagation.deepwalk import DeepWalk
from infgrand_dgl.propagation.positions import beside, positions, without_positions
from infgrand_dgl.system.arrays import is_mapped, map_array, new_array
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime

HERE = Runtime(torch.device("cpu"), Budget(1 << 40, 1 << 40))


@pytest.fixture
def config(tiny_config):
    small = {"dimension": 4, "walk_length": 6, "walks": 2, "window": 2}
    return tiny_config.replace("nosmog", **small)


def dataset(observed, weights=None):
    """0 - 1 - 2 - 3 - 4 - 5 and 6 - 5, 6 - 0; node 7 alone."""
    source, target = np.array([0, 1, 2, 3, 4, 6, 6]), np.array([1, 2, 3, 4, 5, 5, 0])
    csr = CSRGraph.from_edges(source, target, 8, weights)
    ids = torch.tensor
    split = Split(ids([0]), ids([1]), ids([6]), ids([2]), observed)
    return NodeDataset("path", csr, torch.rand(8, 3), torch.zeros(8).long(), 2, split, {})


def walked(config):
    n = config.nosmog
    return DeepWalk(n.dimension, n.walk_length, n.walks, n.window, n.iterations)


def test_transductive_are_the_whole_graphs(config):
    data = dataset(None)
    assert torch.equal(positions(config, data, 3, None, HERE), walked(config).of(data.csr, 3, HERE))


@pytest.mark.parametrize("weighted", [False, True])
def test_hidden_by_hand(weighted, config):
    """5, 6 and 7 are hidden: 5 sees 4, and 6 which is hidden too; 6 sees 0, and 5; 7 nobody.
    Node 3 is hidden with them: the mean of 2 and 4."""
    weights = np.array([1, 1, 1, 3, 1, 1, 1], dtype=np.float64) if weighted else None
    observed = torch.tensor([0, 1, 2, 4])
    data = dataset(observed, weights)
    found = positions(config, data, 3, None, HERE)
    seen = walked(config).of(data.observed_view().csr, 3, HERE)
    of_node = dict(zip(observed.tolist(), seen, strict=True))
    for node, position in of_node.items():
        assert torch.equal(found[node], position)
    assert found[4].tolist() == [0] * 4 and found[7].tolist() == [0] * 4  # no observed neighbours
    torch.testing.assert_close(found[5], of_node[4])
    torch.testing.assert_close(found[6], of_node[0])
    share = 0.25 if weighted else 0.5
    torch.testing.assert_close(found[3], share * of_node[2] + (1 - share) * of_node[4])
    assert float(found[3].abs().min()) > 0


def test_in_a_file(config, tmp_path):
    path, data = tmp_path / "positions.npy", dataset(None)
    found = positions(config, data, 3, path, HERE)
    assert np.array_equal(np.load(path), found.numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_beside(dtype, tmp_path):
    """In memory; and in a file where the features are in one or memory is short."""
    x, p = torch.rand(9, 3).to(dtype), torch.rand(9, 2)
    expected = torch.cat([x, p.to(dtype)], dim=1)
    path = tmp_path / "x.npy"
    assert torch.equal(beside(x, p, HERE, path), expected) and not path.exists()
    new_array(path, (9, 3), dtype).copy_(x)
    found = beside(map_array(path), p, HERE, path)
    assert is_mapped(found) and torch.equal(found, expected) and found.dtype == dtype
    assert np.array_equal(np.load(path), expected.numpy())
    short = Runtime(torch.device("cpu"), Budget(1))
    found = beside(x, p, short, tmp_path / "other.npy")
    assert is_mapped(found) and torch.equal(found, expected)
    with pytest.raises(InputError, match="resources.memory: .* hold the inputs of 9 nodes"):
        beside(x, p, short)


def test_without_positions(config):
    x, d = torch.rand(3, 2), config.nosmog.dimension
    assert torch.equal(without_positions(x, config), torch.cat([x, torch.zeros(3, d)], dim=1))
