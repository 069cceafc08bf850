"""Features of the graph alone, against their definitions in float64."""

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.io import savemat

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import Config, DataConfig
from infgrand_dgl.data import NodeDataset, Split, load_source, with_split
from infgrand_dgl.data.prepared import prepare
from infgrand_dgl.data.structural import (
    COLUMNS,
    DEGREE_BINS,
    PROBES,
    STEPS,
    local_degree_profile,
    return_probabilities,
    structural_features,
)
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.graph.dgl_bridge import dgl
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.system.runtime import Runtime

from ..cli.conftest import refused, run
from ..conftest import dense_adjacency, random_undirected
from .formats import layouts
from .ogb_layout import products

CPU = torch.device("cpu")


def neighbours(csr: CSRGraph) -> torch.Tensor:
    return dense_adjacency(csr) - torch.eye(csr.num_rows, dtype=torch.float64)


def walks(csr: CSRGraph) -> torch.Tensor:
    """(P^k)_ii by the definition, float64 `[N, STEPS - 1]`."""
    A = neighbours(csr)
    P = A / A.sum(1, keepdim=True).clamp(min=1)
    powers = [torch.linalg.matrix_power(P, k).diagonal() for k in range(2, STEPS + 1)]
    return torch.stack(powers, dim=1)


def test_exact_return_probabilities():
    csr = random_undirected(90, 200)  # of which some are isolated
    torch.testing.assert_close(return_probabilities(csr).double(), walks(csr), rtol=1e-4, atol=1e-7)
    assert torch.equal(return_probabilities(csr, exact=True), return_probabilities(csr))


@pytest.mark.parametrize("draws", [PROBES, 50 * PROBES])
def test_estimated_return_probabilities(draws, monkeypatch):
    """Within six standard deviations of any number of draws; exact for two steps."""
    monkeypatch.setattr("infgrand_dgl.data.structural.PROBES", draws)
    csr = random_undirected(300, 1000)
    expected, deviation = walks(csr), (2 / draws) ** 0.5
    found = return_probabilities(csr, exact=False).double()
    torch.testing.assert_close(found[:, 0], expected[:, 0], rtol=1e-5, atol=1e-7)
    even = expected[:, ::2]
    off = (found - expected).abs()
    assert bool((off[:, ::2] <= 6 * deviation * even + 1e-6).all())
    # Of an odd number of steps by the even ones around it.
    assert bool((off[:, 1::2] <= 6 * deviation * (even[:, :-1] * even[:, 1:]).sqrt() + 1e-6).all())


def test_degree_profile():
    csr = random_undirected(120, 300)
    A = neighbours(csr)
    logs = A.sum(1).log1p()
    rows = []
    for i in range(120):
        of = logs[A[i] > 0]
        profile = [of.min(), of.max(), of.mean(), of.std(correction=0)] if len(of) else [0.0] * 4
        rows.append([float(logs[i]), *map(float, profile)])
    expected = torch.tensor(rows, dtype=torch.float64)
    torch.testing.assert_close(local_degree_profile(csr), expected, rtol=1e-9, atol=1e-9)


def test_degree_profile_in_blocks(monkeypatch):
    csr = random_undirected(200, 900)
    whole = local_degree_profile(csr)
    monkeypatch.setattr("infgrand_dgl.data.structural.ROW_ENTRIES", 50)
    assert torch.equal(local_degree_profile(csr), whole)


def test_all_columns():
    """A star's middle and ends; binned degrees; always the same."""
    n = 41
    csr = CSRGraph.from_edges(np.zeros(n - 1, int), np.arange(1, n), n)
    x = structural_features(csr)
    assert x.shape == (n, COLUMNS) == (n, 36) and x.dtype == torch.float32
    bins = x[:, 5 : 5 + DEGREE_BINS]
    assert bins[0].nonzero().item() == 5 and bool((bins[1:].nonzero()[:, 1] == 1).all())
    back = x[:, 5 + DEGREE_BINS :]  # from the middle surely, after an even number of steps
    expected = torch.tensor([1.0, 0.0] * 8)[: STEPS - 1]
    torch.testing.assert_close(back[0], expected)
    torch.testing.assert_close(back[1], expected / (n - 1))
    assert torch.equal(structural_features(csr), x)
    assert bool(x.isfinite().all())


def graph(n: int = 60) -> tuple[np.ndarray, np.ndarray, dict[str, list[int]]]:
    """Edges, labels that say who has many neighbours, and a split."""
    y = np.random.permutation(np.arange(n) % 2)
    hubs = np.flatnonzero(y)
    edges = np.concatenate(
        [np.random.choice(hubs, (150, 2)), np.random.randint(0, n, (40, 2)), [[0, n - 1]]]
    )
    order = np.random.permutation(n).tolist()
    return edges, y, {"train": order[:20], "val": order[20:30], "test": order[30:]}


def write_folder(folder: Path, edges, y, split) -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / "edges.npy", edges)
    np.save(folder / "labels.npy", y)
    (folder / "splits.json").write_text(json.dumps(split))
    return folder


def test_folder(tmp_path):
    edges, y, split = graph()
    folder = write_folder(tmp_path / "g", edges, y, split)
    data = DataConfig(name="directory", root=str(folder), features="structural")
    d = load_source(data)
    expected = structural_features(CSRGraph.from_edges(edges[:, 0], edges[:, 1], 60))
    assert torch.equal(d.features, expected) and d.parts.train.tolist() == split["train"]
    with pytest.raises(InputError, match=r"features.npy: no such .*data.features: structural"):
        load_source(DataConfig(name="directory", root=str(folder)))
    # Those that are there give way.
    np.save(folder / "features.npy", np.random.rand(60, 3))
    assert load_source(DataConfig(name="directory", root=str(folder))).num_features == 3
    assert torch.equal(load_source(data).features, expected)


@pytest.mark.parametrize("known", ["labels", "ids", "edges"])
def test_how_many_nodes(known, tmp_path):
    np.save(tmp_path / "edges.npy", [[0, 1], [1, 4]])
    if known == "labels":
        np.save(tmp_path / "labels.npy", np.array([0, 1, 0, 1, 0, 1, -1]))
    if known == "ids":
        np.save(tmp_path / "ids.npy", np.arange(9))
    data = DataConfig(name="directory", root=str(tmp_path), features="structural")
    assert load_source(data).num_nodes == {"labels": 7, "ids": 9, "edges": 5}[known]


@pytest.mark.parametrize(
    ("edges", "told"),
    [
        ([[0, 1], [1, 2**40]], "without large gaps in edges, found 1099511627776"),
        (np.empty((0, 2), int), "expected at least one node, found none"),
        ([[0, -1]], "expected node ids 0 to 0 .* found edge 0, -1"),
    ],
)
def test_ids_that_say_nothing(edges, told, tmp_path):
    np.save(tmp_path / "edges.npy", edges)
    data = DataConfig(name="directory", root=str(tmp_path), features="structural")
    with pytest.raises(InputError, match=told):
        load_source(data)


def test_graph_bin(tmp_path):
    edges, _, _ = graph()
    g = dgl.graph((torch.from_numpy(edges[:, 0]), torch.from_numpy(edges[:, 1])), num_nodes=63)
    dgl.save_graphs(str(tmp_path / "graph.bin"), [g])
    data = DataConfig(name="directory", root=str(tmp_path), features="structural")
    d = load_source(data)
    assert torch.equal(
        d.features, structural_features(CSRGraph.from_edges(edges[:, 0], edges[:, 1], 63))
    )


@pytest.mark.parametrize("form", ["edge list", "graphml"])
def test_import_train_predict(form, tmp_path, capsys):
    """A graph without features, and its experiment; what `propagate` makes of a later one."""
    edges, y, _ = graph()
    out = tmp_path / "out"
    if form == "edge list":
        source = tmp_path / "links.txt"
        source.write_text(
            "".join(f"n{u} n{v}\n" for u, v in [*edges, *((i, i) for i in range(60))])
        )
        names = {"id": [f"n{i}" for i in range(60)], "label": y}
        pd.DataFrame(names).to_csv(tmp_path / "people.csv")
        beside = ["--nodes", str(tmp_path / "people.csv")]
    else:
        g = nx.Graph()
        g.add_nodes_from((f"n{i}", {"label": f"class {c}"}) for i, c in enumerate(y.tolist()))
        g.add_edges_from((f"n{u}", f"n{v}") for u, v in edges)
        source, beside = tmp_path / "g.graphml", []
        nx.write_graphml(g, source)
    status, told, err = run(capsys, "data", "import", source, "--out", out, *beside)
    assert status == 0, err
    assert f"{COLUMNS} features, 2 classes" in told and "data.features: structural" in err
    content = yaml.safe_load((out / "experiment.yaml").read_text())
    assert content["data"]["features"] == "structural" and not list(out.glob("features*"))

    experiment = ("--config", out / "experiment.yaml")
    assert run(capsys, "data", "describe", *experiment)[0] == 0
    small = ("--set", "train.seeds=[0]", "train.epochs=4", "teacher.hidden=8", "student.hidden=8")
    assert run(capsys, "train", *experiment, *small, "--out", tmp_path / "run", "-q")[0] == 0
    predict = ("predict", "--run", tmp_path / "run", "--out", tmp_path / "classes.npy")
    assert run(capsys, *predict)[0] == 0
    assert np.load(tmp_path / "classes.npy").shape == (60,)
    for command, file in (("propagate", "x.npy"), ("influence", "i.npy")):
        assert run(capsys, command, *experiment, "--out", tmp_path / file, "-q")[0] == 0
    later = write_folder(tmp_path / "later", *graph(80))
    new = (*experiment, "--set", f"data.root={later}", "--out", tmp_path / "new.npy", "-q")
    assert run(capsys, "propagate", *new)[0] == 0
    assert run(capsys, *predict, "--propagated", tmp_path / "new.npy")[0] == 0
    assert np.load(tmp_path / "classes.npy").shape == (80,)


def test_an_edge_list_alone(tmp_path, capsys):
    """Without labels nothing is trained, but its isolated nodes are kept and it is propagated."""
    torch.save({"edge_index": torch.tensor([[0, 1], [1, 2]]), "num_nodes": 6}, tmp_path / "d.pt")
    assert run(capsys, "data", "import", tmp_path / "d.pt", "--out", tmp_path / "g")[0] == 0
    config = ("--config", tmp_path / "g/experiment.yaml", "--out", tmp_path / "x.npy", "-q")
    assert run(capsys, "propagate", *config)[0] == 0
    assert np.load(tmp_path / "x.npy").shape == (6, COLUMNS)
    (tmp_path / "links.csv").write_text("a,b\nb,c\n")
    own = ("--config", "own", "--set", f"data.root={tmp_path / 'links.csv'}")
    told = refused(capsys, tmp_path, "propagate", *own, "--out", tmp_path / "y.npy")
    assert "expected features, found none; data.features: structural" in told
    made = (*own, "data.features=structural", "--out", tmp_path / "y.npy", "-q")
    assert run(capsys, "propagate", *made)[0] == 0
    assert np.load(tmp_path / "y.npy").shape == (3, COLUMNS)


def test_split_of_a_folder_without_features(tmp_path, capsys):
    folder = write_folder(tmp_path / "g", *graph())
    (folder / "splits.json").unlink()
    assert run(capsys, "data", "split", folder, "--fractions", ".5", ".25", ".25")[0] == 0
    assert len(json.loads((folder / "splits.json").read_text())["train"]) == 30


def test_ogb(tmp_path):
    edges = products(tmp_path)
    (tmp_path / "ogbn_products/raw/node-feat.csv.gz").unlink()
    values = {"name": "ogbn-products", "root": str(tmp_path)}
    with pytest.raises(InputError, match="no node features; .*data.features: structural"):
        load_source(DataConfig.model_validate(values))
    d = load_source(DataConfig.model_validate({**values, "features": "structural"}))
    expected = structural_features(CSRGraph.from_edges(edges[:, 0], edges[:, 1], d.num_nodes))
    assert torch.equal(d.features, expected)


def inductive(folder: Path, **settings) -> DataConfig:
    return DataConfig(
        name="directory",
        root=str(folder),
        features="structural",
        setting="inductive",
        split_rate=0.5,
        **settings,
    )


@pytest.mark.parametrize("stored", [False, True])
def test_inductive(stored, tmp_path):
    """Training sees features of the observed graph alone; hidden nodes get the whole graph's."""
    folder = write_folder(tmp_path / "g", *graph())
    data = inductive(folder)
    if stored:
        prepare(Config(data=data), tmp_path / "set")
        data = data.model_copy(update={"prepared": str(tmp_path / "set")})
    d = with_split(load_source(data), data, 3)
    view, observed, hidden = d.observed_view(), d.parts.observed, d.parts.test
    assert observed is not None
    seen = structural_features(d.csr.subgraph(observed))
    assert torch.equal(view.features, seen)
    assert not torch.equal(seen, d.features[observed])
    config = Config(data=data).replace("propagation", hops=0)
    x = student_inputs(config, d, Runtime.on(CPU, config.resources))
    assert torch.equal(x[observed], seen)
    assert torch.equal(x[hidden], structural_features(d.csr)[hidden])


def test_inductive_run(tmp_path, capsys):
    """The arrays of a run are a split's own, those of a student on raw features too."""
    folder = write_folder(tmp_path / "g", *graph())
    config = Config(
        method="mlp",
        data=inductive(folder),
    ).replace("train", epochs=2, seeds=[0, 1], baselines=["glnn"])
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    train = ("train", "--config", tmp_path / "c.yaml", "--out", tmp_path / "run", "-q")
    assert run(capsys, *train)[0] == 0
    for seed in (0, 1):
        d = with_split(load_source(config.data), config.data, seed)
        x = np.load(tmp_path / f"run/seed-{seed}/propagated.npy")
        observed = d.parts.observed
        assert observed is not None
        np.testing.assert_array_equal(x[observed], d.observed_view().features.numpy())
        np.testing.assert_array_equal(x[d.parts.test], d.features[d.parts.test].numpy())


def test_from_arrays():
    edges, y, split = graph()
    parts = Split(*(torch.tensor(split[part]) for part in ("train", "val", "test")))
    d = NodeDataset.from_arrays(edges.T, None, y, parts)
    assert torch.equal(d.features, structural_features(d.csr)) and d.num_nodes == 60


def test_instead_of_a_sources_own():
    data = DataConfig(name="synthetic", nodes=300, classes=3, features="structural")
    d = load_source(data)
    assert torch.equal(d.features, structural_features(d.csr))
    with pytest.raises(ValueError, match="row_normalize: only of features that are given"):
        DataConfig(name="cora", features="structural", row_normalize=True)
    assert DataConfig(name="cora", features="structural").features == "structural"


def test_what_is_written_part_by_part_keeps_its_features(tmp_path, monkeypatch):
    monkeypatch.setattr("infgrand_dgl.data.synthetic.IN_MEMORY_EDGES", 100)
    data = DataConfig(name="synthetic", style="arxiv", nodes=900, features="structural")
    with pytest.raises(InputError, match="data.features: structural: synthetic of this size"):
        prepare(Config(data=data), tmp_path / "set")
    assert not list(tmp_path.iterdir())


def test_formats_whose_features_may_be_missing(tmp_path):
    edges, y, _ = graph()
    musae = tmp_path / "deezer"
    musae.mkdir()
    pd.DataFrame(edges, columns=["id_1", "id_2"]).to_csv(musae / "d_edges.csv", index=False)
    pd.DataFrame({"id": range(60), "target": y}).to_csv(musae / "d_target.csv", index=False)
    mat = tmp_path / "g.mat"
    savemat(mat, {"edges": edges + 1, "labels": y})  # in a row, and counted from 1
    g = layouts.graph()
    raw, npz = layouts.ogb_raw(g, tmp_path), layouts.gnn_benchmark(g, tmp_path)
    (raw / "raw/node-feat.csv.gz").unlink()
    with np.load(npz, allow_pickle=True) as archive:
        arrays = {k: v for k, v in archive.items() if not k.startswith("attr")}
    np.savez(npz, **arrays)
    for source in (musae, mat, raw, npz):
        listed = edges if source in (musae, mat) else g.edges
        expected = structural_features(CSRGraph.from_edges(listed[:, 0], listed[:, 1], 60))
        data = DataConfig(name="directory", root=str(source), features="structural")
        assert torch.equal(load_source(data).features, expected)
