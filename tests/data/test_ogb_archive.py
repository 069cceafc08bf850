"""ogbn-papers100M out of a small archive in OGB's layout, without OGB's loader."""

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import Config
from infgrand_dgl.data import bucketed, load_source, ogb_archive, prepared
from tests.data.ogb_layout import N, papers100M

# Raised inside ogb, and by what it makes of pandas and torch.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


@pytest.mark.parametrize("transposed", [False, True])
def test_papers_is_prepared_as_a_stream(transposed, tmp_path, monkeypatch):
    """Of the raw archive alone, and with what OGB's loader makes of it."""
    papers100M(tmp_path)
    raw = tmp_path / "ogbn_papers100M/raw/data.npz"
    arrays = dict(np.load(raw))
    order = np.asfortranarray if transposed else np.ascontiguousarray
    np.savez_compressed(raw, **{**arrays, "edge_index": order(arrays["edge_index"])})
    config = Config.model_validate({"data": {"name": "ogbn-papers100M", "root": str(tmp_path)}})
    expected = load_source(config.data)
    monkeypatch.setattr(bucketed, "CHUNK_EDGES", 300)
    monkeypatch.setattr(bucketed, "BUCKET_ENTRIES", 500)
    monkeypatch.setattr(ogb_archive, "BLOCK_ROWS", 99)
    with monkeypatch.context() as patched:
        patched.setattr(prepared, "load_original", None)  # the loader is not asked
        prepared.prepare(config, tmp_path / "out")
    found = load_source(config.data.model_copy(update={"prepared": str(tmp_path / "out")}))
    for name in ("features", "labels", "train", "val", "test"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert torch.equal(found.csr.indptr, expected.csr.indptr)
    assert torch.equal(found.csr.indices, expected.csr.indices)
    assert found.num_classes == expected.num_classes


def test_papers_with_an_id_out_of_range(tmp_path):
    papers100M(tmp_path)
    raw = tmp_path / "ogbn_papers100M/raw/data.npz"
    arrays = dict(np.load(raw))
    arrays["edge_index"][1, 7] = N
    np.savez(raw, **arrays)
    config = Config.model_validate({"data": {"name": "ogbn-papers100M", "root": str(tmp_path)}})
    with pytest.raises(InputError, match=f"data.npz: expected node ids 0 to {N - 1}, found {N}"):
        prepared.prepare(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
