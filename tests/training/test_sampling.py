from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl.config.schema import TeacherConfig
from infgrand_dgl.features.matrix import FeatureMatrix
from infgrand_dgl.features.sparse import SparseMatrix
from infgrand_dgl.nn import native
from infgrand_dgl.system.arrays import map_array
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.ranks import Ranks
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.sampling import Neighborhoods, mixed, shuffled
from infgrand_dgl.training.teacher import build_teacher
from tests.conftest import dense_adjacency, random_undirected
from tests.nn.models import AROUND

CPU = Runtime.on("cpu")


@pytest.mark.parametrize("in_features", [7, 40])  # aggregated before and after the product with W
@pytest.mark.parametrize("model", ["gcn", "sage", "gat"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("around", AROUND)
def test_all_neighbours_give_the_full_graphs_logits(around, weighted, model, in_features, device):
    csr, x = random_undirected(200, 900, weighted=weighted), torch.randn(200, in_features)
    config = TeacherConfig(model=model, layers=3, hidden=16, heads=2, **around)
    teacher = build_teacher(config, in_features, 5).to(device).eval()
    sampler = Neighborhoods(csr, FeatureMatrix(x), [200] * 3, Runtime.on(device))
    nodes = torch.randperm(200)[:90]
    found = [teacher(blocks, h) for _, blocks, h in sampler.batches(nodes, 40, 1)]
    assert [len(part) for part in found] == [40, 40, 10]
    full = teacher(csr.to(device), x.to(device))[nodes.to(device)]
    torch.testing.assert_close(torch.cat(found), full, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("conv", ["GraphConv", "SAGEConv"])
def test_a_sampled_aggregation_is_unbiased(conv, weighted, device):
    """Over many samples its mean is the aggregation of the whole graph."""
    csr, x = random_undirected(60, 500, weighted=weighted), torch.randn(60, 6) + 1
    options = {"GraphConv": {"norm": "both"}, "SAGEConv": {"aggregator_type": "gcn"}}[conv]
    layer = getattr(native, conv)(6, 4, **options).to(device)
    sampler = Neighborhoods(csr, FeatureMatrix(x), [3], Runtime.on(device))
    with torch.no_grad():
        full = layer(csr.to(device), x.to(device))
        draws = torch.stack(
            [
                layer(blocks[0], h)
                for draw in range(600)
                for _, blocks, h in sampler.batches(torch.arange(60), 60, draw)
            ]
        )
    error = draws.std(dim=0) / 600**0.5
    assert ((draws.mean(dim=0) - full).abs() <= 6 * error + 1e-5).all()
    assert error.max() > 1e-4  # not all rows were sampled whole


def test_blocks_carry_the_graphs_degrees():
    csr = random_undirected(100, 800)
    sampler = Neighborhoods(csr, FeatureMatrix(torch.zeros(100, 1)), [4, 2], CPU)
    batches: Any = sampler.batches(torch.randperm(100)[:20], 20, 3)
    [(seeds, (first, last), _)] = batches
    assert torch.equal(last.row_degrees, csr.row_lengths[seeds])
    assert torch.equal(first.row_degrees, last.col_degrees)
    assert torch.equal(last.row_lengths, csr.row_lengths[seeds].clamp(max=2))
    assert torch.equal(first.row_lengths, first.row_degrees.clamp(max=4))
    assert len(first.col_degrees) == first.num_cols


def test_weights_of_blocks_stand_for_those_left_out():
    csr = random_undirected(100, 800, weighted=True)
    assert csr.weights is not None
    sampler = Neighborhoods(csr, FeatureMatrix(torch.zeros(100, 1)), [4], CPU)
    batches: Any = sampler.batches(torch.arange(100), 100, 3)
    [(seeds, (block,), _)] = batches
    assert torch.equal(block.row_degrees, csr.row_sums[seeds])
    A = dense_adjacency(csr)
    taken = block.row_lengths
    more = (csr.row_lengths[seeds] / taken).repeat_interleave(taken)
    found, possible = block.weights / more, A[seeds].repeat_interleave(taken, dim=0)
    assert ((found[:, None] - possible).abs() < 1e-6).any(dim=1).all()
    sums = torch.zeros(100, dtype=torch.float64)
    for draw in range(300):
        batches = sampler.batches(torch.arange(100), 100, draw)
        [(_, (block,), _)] = batches
        sums += block.row_sums / 300
    torch.testing.assert_close(sums, csr.row_sums, rtol=0.2, atol=0)


def test_the_same_seed_samples_the_same_whatever_the_threads():
    csr, x = random_undirected(3000, 60_000), torch.randn(3000, 4)
    sampler = Neighborhoods(csr, FeatureMatrix(x), [3, 3], CPU)
    nodes, threads = torch.randperm(3000), torch.get_num_threads()

    def drawn(seed):
        batches: Any = sampler.batches(nodes, 500, seed)
        return [
            torch.cat([h.flatten(), *(b.indices.float() for b in blocks)])
            for _, blocks, h in batches
        ]

    first = drawn(5)
    try:
        for number in (threads, 1, threads + 1):
            torch.set_num_threads(number)
            assert all(map(torch.equal, first, drawn(5)))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert not torch.equal(first[0], drawn(6)[0])
    # An epoch that was cut off leaves nothing behind.
    next(sampler.batches(nodes, 500, 7))
    assert all(map(torch.equal, first, drawn(5)))


@pytest.mark.parametrize("inputs", ["auto", "dense", "sparse"])
@pytest.mark.parametrize("kind", ["float32", "mapped float16", "sparse"])
def test_inputs_are_the_float32_rows_of_the_sources(kind, inputs, tmp_path, device):
    csr = random_undirected(50, 150)
    x = torch.randn(50, 20) * (torch.rand(50, 20) < 0.2)
    features = x
    if kind == "mapped float16":
        np.save(tmp_path / "x.npy", x.half().numpy())
        features = map_array(tmp_path / "x.npy")
        x = x.half().float()
    elif kind == "sparse":
        features = x.to_sparse_csr()
    # The budget is used up: pages of the file go and come again.
    runtime = Runtime(torch.device(device), Budget(1))
    sampler = Neighborhoods(csr, FeatureMatrix(features), [50], runtime, inputs)
    batches: Any = sampler.batches(torch.randperm(50), 8, 1)
    for seeds, blocks, h in batches:
        is_sparse = inputs == "sparse" or (inputs == "auto" and kind == "sparse")
        assert isinstance(h, SparseMatrix) == is_sparse
        dense = h @ torch.eye(20, device=device) if is_sparse else h
        assert dense.dtype == torch.float32 and dense.device.type == device
        torch.testing.assert_close(dense[: len(seeds)].cpu(), x[seeds])
        assert dense.shape[0] == blocks[0].num_cols


@pytest.mark.parametrize(("count", "size"), [(12, 1), (12, 3), (13, 3), (2, 5)])
def test_shares_cover_the_shuffled_nodes(count, size):
    nodes = torch.randperm(100)[:count]
    shares = [shuffled(nodes, Ranks(rank, size), 4, 2) for rank in range(size)]
    assert {len(share) for share in shares} == {-(-count // size)}
    assert set(torch.cat(shares).tolist()) == set(nodes.tolist())
    assert torch.equal(shares[0], shuffled(nodes, Ranks(0, size), 4, 2))
    if count > 2:
        assert not torch.equal(shares[0], shuffled(nodes, Ranks(0, size), 4, 3))


def test_mixed_seeds_differ():
    seeds = {mixed(*n) for n in [(1, 2), (2, 1), (1, 2, 0), (1, 3), (2**32 - 1, 10**9)]}
    assert len(seeds) >= 4 and all(0 <= seed < 2**31 for seed in seeds)
