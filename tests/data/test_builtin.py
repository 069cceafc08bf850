import shutil

import numpy as np
import pytest
import requests
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source

# nodes, directed edges without self-loops, features, classes: the published counts
COUNTS = {
    "cora": (2708, 10556, 1433, 7),
    "citeseer": (3327, 9228 - 124, 3703, 6),
    "amazon-photo": (7650, 238163 - 1, 745, 8),
    "coauthor-cs": (18333, 163788, 6805, 15),
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(name, real_data):
    before = sorted(real_data.rglob("*"))
    d = load_source(DataConfig(name=name, root=str(real_data)))
    nodes, edges, features, classes = COUNTS[name]
    assert (d.num_nodes, d.num_edges - nodes, d.num_features, d.num_classes) == (
        nodes,
        edges,
        features,
        classes,
    )
    assert d.labels.unique().tolist() == list(range(classes))
    assert sorted(real_data.rglob("*")) == before  # nothing is written beside the raw files


def test_planetoid_split_and_row_normalised_features(real_data):
    d = load_source(DataConfig(name="cora", root=str(real_data)))
    assert d.train.tolist() == list(range(140)) and d.val.tolist() == list(range(140, 640))
    assert d.test.tolist() == list(range(1708, 2708))
    assert d.features.is_sparse_csr  # 1.3 % of the entries
    rows = d.dense_features().sum(dim=1)
    torch.testing.assert_close(rows, torch.ones_like(rows))
    with pytest.raises(InputError, match="row_normalize: DGL row-normalises this set"):
        load_source(DataConfig(name="pubmed", root=str(real_data), row_normalize=False))


@pytest.mark.parametrize(("name", "words"), [("cora", 49216), ("citeseer", 105165)])
def test_bags_of_words(name, words, real_data):
    """0 and 1, as published, and the rows that DGL makes of them."""
    x, normalized = (
        load_source(DataConfig(name=name, root=str(real_data), row_normalize=each)).dense_features()
        for each in (False, None)
    )
    assert x.unique().tolist() == [0, 1] and int(x.sum()) == words
    torch.testing.assert_close(x / x.sum(dim=1, keepdim=True).clamp(min=1), normalized)


def test_raw_node_order(real_data):
    """DGL's own loader renumbers the nodes of these sets."""
    d = load_source(DataConfig(name="amazon-photo", root=str(real_data)))
    (path,) = real_data.glob("amazon_co_buy_photo_*/*.npz")
    with np.load(path) as raw:
        assert np.array_equal(d.labels.numpy(), raw["labels"])
        first = raw["attr_indices"][: raw["attr_indptr"][1]]
    assert set(d.dense_features()[0].nonzero().flatten().tolist()) == set(first.tolist())
    normalized = load_source(
        DataConfig(name="amazon-photo", root=str(real_data), row_normalize=True)
    ).dense_features()
    sums = normalized.sum(dim=1)
    torch.testing.assert_close(sums, (sums > 0).float())


def halve(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def change(**first):
    """Other first entries in some arrays of the file."""

    def change_file(path):
        with np.load(path) as file:
            arrays = dict(file)
        for name, value in first.items():
            arrays[name][0] = value
        np.savez(path, **arrays)

    return change_file


@pytest.mark.parametrize(
    "break_it", [halve, change(adj_indices=7650), change(attr_indices=-1), change(adj_shape=7)]
)
def test_corrupt_npz(break_it, real_data, tmp_path):
    (source,) = real_data.glob("amazon_co_buy_photo_*")
    target = tmp_path / source.name
    target.mkdir()
    shutil.copyfile(source / "amazon_co_buy_photo.npz", target / "amazon_co_buy_photo.npz")
    break_it(target / "amazon_co_buy_photo.npz")
    with pytest.raises(InputError, match="amazon_co_buy_photo.npz: not a readable npz") as error:
        load_source(DataConfig(name="amazon-photo", root=str(tmp_path)))
    assert "\n" not in str(error.value)


def test_corrupt_planetoid(real_data, tmp_path):
    (source,) = real_data.glob("cora_v2_*")
    target = tmp_path / source.name
    shutil.copytree(source, target)
    (target / "ind.cora_v2.allx").chmod(0o644)
    (target / "ind.cora_v2.allx").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cora_v2_.*: not readable as this set"):
        load_source(DataConfig(name="cora", root=str(tmp_path)))


FOLDERS = {
    "cora": ("CoraGraphDataset", "cora_v2_d697a464"),
    "citeseer": ("CiteseerGraphDataset", "citeseer_d6836239"),
    "pubmed": ("PubmedGraphDataset", "pubmed_35464cad"),
    "amazon-photo": ("AmazonCoBuyPhotoDataset", "amazon_co_buy_photo_b75d805d"),
    "amazon-computers": ("AmazonCoBuyComputerDataset", "amazon_co_buy_computer_"),
    "coauthor-cs": ("CoauthorCSDataset", "coauthor_cs_10782e7c"),
    "coauthor-physics": ("CoauthorPhysicsDataset", "coauthor_physics_"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_missing_set_says_where_to_put_which_files(name, tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise requests.ConnectionError("no network")

    monkeypatch.setattr("requests.get", offline)
    dgl_class, folder = FOLDERS[name]
    with pytest.raises(InputError, match=f"no {dgl_class}.*put .*into .*{folder}") as error:
        load_source(DataConfig.model_validate({"name": name, "root": str(tmp_path)}))
    assert "\n" not in str(error.value)
