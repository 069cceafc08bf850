"""Ids that nodes have where a graph came from."""

import numpy as np
import pandas as pd
import pytest
import torch

from infgrand_dgl.config.schema import Config, DataConfig
from infgrand_dgl.data import load_source, prepared, store
from infgrand_dgl.data.directory import load
from infgrand_dgl.data.node_ids import as_numbers, from_numbers, read_ids
from infgrand_dgl.data.streams import stream_ids
from infgrand_dgl.errors import InputError

N = 30


@pytest.fixture(params=["numbers", "text"])
def ids(request):
    numbers = 7 + 3 * np.random.permutation(N)
    return (
        numbers
        if request.param == "numbers"
        else np.array([f"π/{k}" * (k % 3) + str(k) for k in numbers])
    )


def test_as_numbers(ids):
    stored = as_numbers(ids)
    assert len(stored) == N and from_numbers(stored).tolist() == ids.tolist()


def read(path):
    found = read_ids(path, N)
    return None if found is None else found.tolist()


def test_read(ids, tmp_path):
    path = tmp_path / "ids.npy"
    assert read_ids(path, N) is None
    np.save(path, np.arange(N))
    assert read_ids(path, N) is None
    np.save(path, ids)
    assert read(path) == ids.tolist()
    with pytest.raises(InputError, match=rf"{path}: expected integers or text \[9\], .* found"):
        read_ids(path, 9)
    np.save(path, np.where(np.arange(N) == 4, ids[2], ids))
    with pytest.raises(InputError, match=f"{path}: expected each id once, found .* twice"):
        read_ids(path, N)
    np.save(path, np.arange(N, dtype=np.uint64) + 2**63)
    with pytest.raises(InputError, match=r"expected ids below 2\^63, or text, found 9223372036854"):
        read_ids(path, N)


def test_asked_for(ids, tmp_path):
    """A column `node` has rows; text and any other column the graph's own ids."""

    def found(name):
        return np.concatenate([*stream_ids(tmp_path / name, N, 7, ids)]).tolist()

    rows = np.random.randint(0, N, 20)
    frame = pd.DataFrame({"class": 1.5, "id": ids[rows]})
    frame.to_csv(tmp_path / "ids.csv", index=False)
    frame.to_parquet(tmp_path / "ids.parquet")
    frame["id"].to_csv(tmp_path / "plain.csv", index=False, header=False)
    np.save(tmp_path / "rows.npy", rows)
    pd.DataFrame({"node": rows, "id": ids[rows]}).to_csv(tmp_path / "both.csv", index=False)
    for name in ("ids.csv", "ids.parquet", "plain.csv", "rows.npy", "both.csv"):
        assert found(name) == rows.tolist(), name
    np.save(tmp_path / "ids.npy", ids[rows])
    if ids.dtype.kind == "U":
        assert found("ids.npy") == rows.tolist()
    (tmp_path / "nobody.csv").write_text(f"id\n{ids[3]}\n1\n")
    with pytest.raises(
        InputError, match=r"nobody.csv: expected an id of the graph's nodes, found '?1'? in row 1"
    ):
        found("nobody.csv")


@pytest.mark.parametrize("sparse", [False, True])
def test_of_a_folder(ids, sparse, tmp_path):
    """They come along, also through a prepared folder and with features that are stored sparse."""
    import scipy.sparse as sp

    x = (np.random.rand(N, 4) * (np.random.rand(N, 4) < 0.3)).astype(np.float32)
    folder = tmp_path / "graph"
    folder.mkdir()
    np.save(folder / "edges.npy", np.random.randint(0, N, (60, 2)))
    np.save(folder / "ids.npy", ids)
    np.save(folder / "labels.npy", np.arange(N) % 3)
    if sparse:
        sp.save_npz(folder / "features.npz", sp.csr_matrix(x))
    else:
        np.save(folder / "features.npy", x)
    (folder / "splits.json").write_text('{"train": [0, 1, 2], "val": [3, 4], "test": [5, 6]}')
    config = DataConfig(name="directory", root=str(folder))
    source = load_source(config)
    assert source.ids is not None and source.ids.tolist() == ids.tolist()
    assert torch.equal(source.features.to_dense(), torch.from_numpy(x))
    if not sparse:
        loaded = load(config, folder).ids
        assert loaded is not None and loaded.tolist() == ids.tolist()
    prepared.prepare(Config(data=config), tmp_path / "set")
    store.verify(tmp_path / "set")
    again = load_source(config.model_copy(update={"prepared": str(tmp_path / "set")}))
    assert again.ids is not None and again.ids.tolist() == ids.tolist()
