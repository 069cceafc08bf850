import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from infgrand_dgl import InputError, influence_scores
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.influence import cosine as influence_module
from infgrand_dgl.influence.compute import influence
from infgrand_dgl.influence.cosine import cosine_influence
from infgrand_dgl.influence.scores import spread
from infgrand_dgl.system.runtime import Runtime
from tests.conftest import random_undirected
from tests.propagation.test_equation import stages


def all_pairs(csr, x, hops, w):
    """Every cos(x_i, x_j^(k)) in dense float64: what the authors' algorithm holds."""
    y = stages(csr, x, hops, w)[-1]
    return normalize(x.cpu().double(), dim=1) @ normalize(y, dim=1).T


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("w", [1.0, 2.0])
@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.parametrize("algorithm", ["closed_form", "blocked"])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_authors_algorithm(weighted, algorithm, hops, w, signed, device):
    csr = random_undirected(150, 300, device, weighted)
    x = torch.randn(150, 8, device=device)
    x = x if signed else x.abs()
    x[7] = 0  # a node without features, as Citeseer has
    C = all_pairs(csr, x, hops, w)
    for columns in (None, 60):
        scaled = ((C - C.min()) / (C.max() - C.min()))[:, :columns].sum(dim=1)
        found = cosine_influence(
            csr, x, hops=hops, self_loop_weight=w, algorithm=algorithm, num_columns=columns
        )
        expected = (scaled / scaled.max()).float()
        torch.testing.assert_close(found.scores.cpu(), expected, rtol=0, atol=3e-6)
        if found.minimum is not None:
            assert abs(found.minimum.value - float(C.min())) < 1e-6


def test_normalizations(device):
    csr = random_undirected(90, 200, device)
    x = torch.randn(90, 5, device=device)
    sums = all_pairs(csr, x, 2, 1.0).sum(dim=1)
    for name, expected in (("none", sums), ("max", sums.clamp(min=0) / sums.max())):
        found = cosine_influence(csr, x, normalization=name).scores  # type: ignore[arg-type]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.cpu().double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalization", ["minmax", "max"])
@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16])
def test_features_of_16_bits(dtype, normalization, device):
    """Are computed in float32."""
    csr, x = random_undirected(90, 200, device), torch.randn(90, 5, device=device).to(dtype)
    found = influence_scores(csr, x, normalization=normalization)
    torch.testing.assert_close(found, influence_scores(csr, x.float(), normalization=normalization))


def test_blocks_of_pairs(monkeypatch):
    """Any size gives the same; a GPU's is what fits there, up to 2^30."""
    csr, x = random_undirected(90, 200), torch.randn(90, 5)
    whole = cosine_influence(csr, x, algorithm="blocked").scores
    monkeypatch.setitem(influence_module.PAIRS_AT_ONCE, "cpu", 7 * 90 + 1)
    by_seven = cosine_influence(csr, x, algorithm="blocked").scores
    torch.testing.assert_close(by_seven, whole, rtol=0, atol=1e-6)

    GPU = torch.device("cuda")
    for free, pairs in ((80 << 30, 1 << 30), (8 << 30, (9 << 30) // 12)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 80 << 30))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3 << 30)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2 << 30)
        assert influence_module.pairs_at_once(GPU) == pairs


def test_equal_nodes_are_equally_influential():
    """A complete graph of equal features: all cosines are 1, and no node stands out."""
    csr = random_undirected(6, 200)
    for normalization in ("minmax", "max"):
        for algorithm in ("closed_form", "blocked"):
            found = cosine_influence(
                csr, torch.ones(6, 3), normalization=normalization, algorithm=algorithm
            )
            assert found.scores.tolist() == [1.0] * 6


@pytest.mark.parametrize("algorithm", ["closed_form", "blocked"])
def test_parallel_rows_differ_by_rounding_alone(algorithm):
    csr = random_undirected(300, 900)
    x = torch.rand(300, 1) * torch.rand(1, 20)
    assert (cosine_influence(csr, x, algorithm=algorithm).scores == 1).all()


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1e-12, 1e12, 1e19, 1e37])
def test_scale_of_the_features_makes_no_difference(scale, device):
    csr = random_undirected(200, 500, device)
    x = torch.rand(200, 9, device=device)
    torch.testing.assert_close(influence_scores(csr, scale * x), influence_scores(csr, x))


def test_star_by_hand():
    """Hub (1, 0), leaves (0, 1), k = 0: x_i·s is 1 for the hub and 3 for each leaf, m = 0."""
    csr = random_undirected(4, 0)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    found = influence_scores(csr, x, hops=0)
    torch.testing.assert_close(found, torch.tensor([1 / 3, 1, 1, 1]))


def test_spread_and_its_warning():
    s = spread(torch.tensor([1.0, 2.0, 3.0, 4.0, float("nan"), 5.0]))
    assert (s.min, s.mean, s.max, s.quartiles) == (1, 3, 5, (2, 3, 4))
    assert s.coefficient_of_variation == pytest.approx(2**0.5 / 3)
    assert not s.flat
    assert spread(torch.tensor([0.98, 0.99, 1.0])).flat


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"measure": "pagerang"}, "measure: expected"),
        ({"normalization": "sum"}, "normalization: expected minmax, max or none, found 'sum'"),
        ({"hops": -1}, "hops: expected an integer from 0 on"),
        ({"hops": 2.0}, "hops: expected an integer from 0 on, found 2.0"),
        ({"self_loop_weight": -1.0}, "self_loop_weight: expected 0 or more, found -1"),
        ({"self_loop_weight": float("nan")}, "self_loop_weight: expected 0 or more, found nan"),
    ],
)
def test_bad_settings(arguments, told):
    with pytest.raises(InputError, match=told):
        influence_scores(random_undirected(5, 5), torch.randn(5, 2), **arguments)


@pytest.mark.parametrize(
    ("reference", "overrides"),
    [
        ("cora", ["data.name=cora"]),
        ("amazon-photo", ["data.name=amazon-photo"]),
        (
            "cora_ind1440",
            ["data.name=cora", "data.setting=inductive", "influence.inductive=authors"],
        ),
    ],
)
@pytest.mark.parametrize("algorithm", ["closed_form", "blocked"])
def test_authors_published_vectors(algorithm, reference, overrides, real_data, device):
    config = load_config(
        "cora_gcn_transductive",
        [
            f"data.root={real_data}",
            f"influence.algorithm={algorithm}",
            *overrides,
        ],
    )
    found = influence(config, load_dataset(config), Runtime.on(device)).scores.cpu().numpy()
    expected = np.load(real_data / f"reference/influence_{reference}.npy")
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("seed", [2022, 5])
def test_strict_inductive_scores_do_not_see_hidden_nodes(seed):
    config = load_config("demo", ["data.setting=inductive", "data.nodes=800"])
    dataset = load_dataset(config, seed)
    before = influence(config, dataset, Runtime.on("cpu")).scores
    hidden = dataset.test
    assert before[hidden].isnan().all() and before[dataset.parts.observed].isfinite().all()

    changed = dataset.dense_features().clone()
    changed[hidden] = torch.rand(len(hidden), dataset.num_features)
    object.__setattr__(dataset, "features", changed)
    del dataset.__dict__["_observed_view"]
    after = influence(config, dataset, Runtime.on("cpu")).scores
    assert torch.equal(before.isnan(), after.isnan())
    assert torch.equal(before[~before.isnan()], after[~after.isnan()])

    authors = config.replace("influence", inductive="authors")
    whole = influence(authors, dataset, Runtime.on("cpu")).scores
    assert whole.isfinite().all()
