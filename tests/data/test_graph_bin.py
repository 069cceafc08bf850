"""A graph saved by DGL in a folder of one's own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source
from infgrand_dgl.graph.dgl_bridge import dgl

from .test_directory import EDGES, EXPECTED, N, load, pairs, written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path)


def test_dgl_file_with_and_without_the_other_files(folder):
    (folder / "edges.npy").unlink()
    graph = dgl.graph((torch.from_numpy(EDGES[:, 0]), torch.from_numpy(EDGES[:, 1])), num_nodes=N)
    dgl.save_graphs(str(folder / "graph.bin"), [graph])
    assert pairs(load(folder)) == EXPECTED

    graph.ndata["feat"] = torch.rand(N, 2, dtype=torch.bfloat16)
    graph.ndata["label"] = torch.tensor([0, 1, 0, 1, 0, 1, 0])
    for part, ids in (("train", [0, 1]), ("val", [2, 3]), ("test", [4, 5])):
        mask = torch.zeros(N, dtype=torch.bool)
        mask[ids] = True
        graph.ndata[f"{part}_mask"] = mask
    dgl.save_graphs(str(folder / "graph.bin"), [graph])
    for file in ("features.npy", "labels.npy", "splits.json"):
        (folder / file).unlink()
    d = load(folder)
    assert torch.equal(d.features, graph.ndata["feat"].float())
    assert d.parts.val.tolist() == [2, 3]


def test_bad_dgl_file(folder):
    (folder / "edges.npy").unlink()
    (folder / "graph.bin").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="graph.bin: not a graph saved by DGL"):
        load(folder)
    dgl.save_graphs(str(folder / "graph.bin"), [dgl.graph(([0], [1]), num_nodes=3)])
    with pytest.raises(InputError, match="features.npy: expected 3 rows.*found 7"):
        load(folder)
    relations = {("a", "r", "a"): ([0], [1]), ("a", "s", "a"): ([0], [1])}
    dgl.save_graphs(str(folder / "graph.bin"), [dgl.heterograph(relations)])
    with pytest.raises(InputError, match="one node type and one edge type, found 1 and 2"):
        load(folder)


@pytest.mark.parametrize(
    ("key", "values", "alone", "wanted"),
    [
        ("weight", [1, 2], [1, 2], [1, 2]),
        ("w", [[0.5], [0.6]], [0.5, 0.6], [0.5, 0.6]),
        ("sim", [0.5, 0.6], "unclear", [0.5, 0.6]),
        ("column", [[0.5], [0.6]], "unclear", [0.5, 0.6]),
        ("constant", [0.5, 0.5], None, [0.5, 0.5]),
        ("year", [2001, 2002], None, [2001, 2002]),
        ("feat", [[0.5, 0.6], [0.7, 0.8]], None, "expected edge weights"),
    ],
)
def test_edge_weights_in_a_dgl_file(key, values, alone, wanted, folder):
    (folder / "edges.npy").unlink()
    graph = dgl.graph(([0, 1], [1, 2]), num_nodes=N)
    graph.edata[key] = torch.tensor(values)
    dgl.save_graphs(str(folder / "graph.bin"), [graph])
    for said, expected in ((None, alone), (True, wanted), (False, None)):
        if isinstance(expected, str):
            with pytest.raises(InputError, match=f"graph.bin.*{expected}|{expected}.*graph.bin"):
                load(folder, weights=said)
            continue
        csr = load(folder, weights=said).csr
        assert (csr.weights is None) == (expected is None)
        if expected is not None:
            found = csr.weights[csr.indices != torch.repeat_interleave(csr.row_lengths)]
            assert sorted(set(found.tolist())) == pytest.approx(sorted(set(expected)))


def test_damaged_graph_bin(tmp_path):
    """Each loads or is refused, none ends the process; DGL's reader does on several of these."""
    source, target = torch.randint(0, 50, (2, 200))
    graph = dgl.graph((source, target), num_nodes=50)
    graph.ndata["feat"] = torch.rand(50, 3)
    path = tmp_path / "graph.bin"
    dgl.save_graphs(str(path), [graph])
    whole = path.read_bytes()
    config, told = DataConfig(name="directory", root=str(tmp_path)), 0
    sizes = [0, 9, 100, len(whole) // 2, len(whole) - 1]
    places = np.random.randint(0, 300, 5)
    damaged = [whole[:n] for n in sizes]
    damaged += [whole[:at] + bytes([255]) * 8 + whole[at + 8 :] for at in places]
    for data in damaged:
        path.write_bytes(data)
        try:
            load_source(config)
        except InputError as error:
            assert str(path) in str(error)
            told += 1
    assert told >= len(sizes) - 1
    path.write_bytes(whole)
    assert load_source(config).num_nodes == 50
