import pytest
import torch

from infgrand_dgl.benchmark import hops
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source
from tests.benchmark.conftest import bound, run
from tests.conftest import dense_adjacency, random_undirected


def test_rates_by_hand(tmp_path):
    found = run("propagate", "--hops", "3", tmp_path=tmp_path)
    E, size = found["size"]["edges"], found["size"]
    bandwidth = size["copy_gigabytes_per_second"] * 1e9
    for row in found["rows"]:
        seconds, row_bytes = (
            row["seconds"]["median"],
            9 * (4 if "bfloat" not in row["method"] else 2),
        )
        moved = 3 * (row_bytes * (E + 400) + 4 * E + 8 * 400)
        assert row["gigabytes_per_second"] == pytest.approx(moved / seconds / 1e9)
        roof = 3 * (2 * row_bytes * 400 + 4 * E + 8 * 400) / bandwidth
        assert row["roof_share"] == pytest.approx(roof / seconds)
    assert size["roof_rows_read_once_seconds"] == pytest.approx(
        3 * (72 * 400 + 4 * E + 8 * 400) / bandwidth
    )
    moved = 3 * (36 * (E + 400) + 4 * E + 8 * 400)
    assert size["roof_every_edge_read_seconds"] == pytest.approx(
        moved / size["copy_gigabytes_per_second"] / 1e9
    )
    assert size["roof_rows_read_once_seconds"] < size["roof_every_edge_read_seconds"]


def test_a_row_of_a_million(tmp_path):
    """Or of as many as there are."""
    found = run("spmm", "--hub", "1000000", tmp_path=tmp_path)
    assert found["size"]["largest_degree"] == 399
    assert all(row.get("max_abs_difference", 0) < bound(row) for row in found["rows"])
    data = load_source(DataConfig(name="synthetic", nodes=300))
    joined = dense_adjacency(hops.with_hub(data, 50).csr)
    expected = dense_adjacency(data.csr)
    expected[0, :51] = expected[:51, 0] = 1
    assert torch.equal(joined, expected)


@pytest.mark.parametrize("count", [None, 3])
def test_all_multiply_by_the_weights_of_edges(count):
    csr, x = random_undirected(40, 90, weighted=True), torch.randn(40, 5)
    made = hops.on_device(hops.Work(csr, x, count, 1.0), torch.device("cpu"))
    assert {c.method for c in made} == {
        "infgrand",
        "torch_csr",
        "dgl",
        "scipy",
        "infgrand_bfloat16",
    }
    for contender in made:
        difference = contender.describe(contender.prepare()())["max_abs_difference"]
        most = 0.2 if contender.method == "infgrand_bfloat16" else 1e-5
        assert difference < most, contender.method
