"""OGB's path: a small folder in OGB's raw layout, through ogb's own loader."""

import gzip
import io

import numpy as np
import pandas as pd
import pytest
import torch
from ogb.nodeproppred import Evaluator

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import Config, DataConfig
from infgrand_dgl.data import bucketed, load_source, ogb, ogb_archive, prepared
from infgrand_dgl.training.loop import accuracy

# Raised inside ogb, and by what it makes of pandas and torch.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)
N, D = 500, 128


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    pd.DataFrame(values).to_csv(text, header=False, index=False)
    path.write_bytes(gzip.compress(text.getvalue().encode()))


def products(root):
    """ogbn-products' layout: every undirected edge once, a split by sales rank."""
    folder = root / "ogbn_products"
    edges = np.random.randint(0, N, size=(2000, 2))
    write(folder / "raw/edge.csv.gz", edges)
    write(folder / "raw/node-feat.csv.gz", np.random.randn(N, 100).round(4))
    write(folder / "raw/node-label.csv.gz", np.arange(N) % 47)
    write(folder / "raw/num-node-list.csv.gz", [N])
    write(folder / "raw/num-edge-list.csv.gz", [len(edges)])
    for name, ids in (("train", range(100)), ("valid", range(100, 150)), ("test", range(150, N))):
        write(folder / f"split/sales_ranking/{name}.csv.gz", list(ids))
    (folder / "RELEASE_v1.txt").write_text("")
    return edges


def papers100M(root):  # noqa: N802
    """ogbn-papers100M's layout: binary arrays, labels on a part of the nodes."""
    folder = root / "ogbn_papers100M"
    (folder / "raw").mkdir(parents=True)
    edges = np.random.randint(0, N, size=(2000, 2))
    np.savez(
        folder / "raw/data.npz",
        edge_index=edges.T,
        num_nodes_list=[N],
        num_edges_list=[len(edges)],
        node_feat=np.random.randn(N, D).astype(np.float32),
        node_year=np.full((N, 1), 2017),
    )
    labels = (np.arange(N) % 172).astype(np.float32)[:, None]
    labels[100:] = np.nan
    np.savez(folder / "raw/node-label.npz", node_label=labels)
    for name, ids in (("train", range(60)), ("valid", range(60, 80)), ("test", range(80, 100))):
        write(folder / f"split/time/{name}.csv.gz", list(ids))
    (folder / "RELEASE_v1.txt").write_text("")
    return edges


@pytest.fixture
def arxiv(tmp_path):
    """ogbn-arxiv's raw layout with fewer nodes: directed edges, features, years, a time split."""
    folder = tmp_path / "ogbn_arxiv"
    edges = np.random.randint(0, N, size=(1500, 2))
    write(folder / "raw/edge.csv.gz", edges)
    write(folder / "raw/node-feat.csv.gz", np.random.randn(N, D).round(4))
    write(folder / "raw/node-label.csv.gz", np.arange(N) % 40)
    write(folder / "raw/node_year.csv.gz", np.full(N, 2017))
    write(folder / "raw/num-node-list.csv.gz", [N])
    write(folder / "raw/num-edge-list.csv.gz", [len(edges)])
    for name, ids in (("train", range(300)), ("valid", range(300, 400)), ("test", range(400, N))):
        write(folder / f"split/time/{name}.csv.gz", list(ids))
    (folder / "RELEASE_v1.txt").write_text("")
    return tmp_path, edges


def test_arxiv_is_made_undirected(arxiv):
    root, edges = arxiv
    d = load_source(DataConfig(name="ogbn-arxiv", root=str(root)))
    assert (d.num_nodes, d.num_features, d.num_classes) == (N, D, 40)
    assert [len(ids) for ids in (d.train, d.val, d.test)] == [300, 100, 100]
    found = set(zip(*(ids.tolist() for ids in d.graph.edges()), strict=True))
    expected = {(a, b) for u, v in edges.tolist() for a, b in ((u, v), (v, u))}
    assert found == expected | {(i, i) for i in range(N)}
    assert d.labels.dtype == torch.long and d.features.dtype == torch.float32


@pytest.mark.parametrize(
    ("write_set", "features", "classes", "labelled"),
    [(products, 100, 47, N), (papers100M, D, 172, 100)],
)
def test_products_and_papers(write_set, features, classes, labelled, tmp_path):
    edges = write_set(tmp_path)
    config = DataConfig.model_validate(
        {"name": f"ogbn-{write_set.__name__}", "root": str(tmp_path)}
    )
    d = load_source(config)
    assert (d.num_nodes, d.num_features) == (N, features)
    assert classes - 73 <= d.num_classes <= classes
    both = {(a, b) for u, v in edges.tolist() for a, b in ((u, v), (v, u))}
    rows = torch.repeat_interleave(d.csr.row_lengths).tolist()
    found = set(zip(d.csr.indices.tolist(), rows, strict=True))
    assert found == both | {(i, i) for i in range(N)} and len(found) == d.num_edges
    assert int((d.labels >= 0).sum()) == labelled
    assert torch.equal(torch.cat([d.train, d.val, d.test]), torch.arange(labelled))


@pytest.mark.parametrize("name", ["ogbn-arxiv", "ogbn-products", "ogbn-papers100M"])
def test_ogb_judges_as_we_do(name):
    logits, labels = torch.randn(3000, 47), torch.randint(47, (3000,))
    logits[torch.arange(2000), labels[:2000]] += 5
    classes = logits.argmax(1)
    judged = Evaluator(name).eval({"y_true": labels[:, None], "y_pred": classes[:, None]})
    assert judged["acc"] == accuracy(classes, labels) == ogb.accuracy(name, classes, labels)


BAD = {
    "mismatched feature rows": (
        lambda f: write(f / "raw/node-feat.csv.gz", np.zeros((N - 1, D))),
        "not readable as ogbn-arxiv .*Got 499 and 500",
    ),
    "edge id >= N": (
        lambda f: write(f / "raw/edge.csv.gz", np.full((1500, 2), N)),
        "not readable as ogbn-arxiv .*got 500 and 500",
    ),
    "missing features": (
        lambda f: (f / "raw/node-feat.csv.gz").unlink(),
        "no node features; add raw/node-feat.csv.gz and delete .*/processed",
    ),
    "corrupt edges": (
        lambda f: (f / "raw/edge.csv.gz").write_bytes(b"nonsense"),
        "not readable as ogbn-arxiv .BadGzipFile",
    ),
    "truncated edges": (
        lambda f: (f / "raw/edge.csv.gz").write_bytes((f / "raw/edge.csv.gz").read_bytes()[:900]),
        "not readable as ogbn-arxiv .EOFError",
    ),
    "no split": (
        lambda f: (f / "split/time/valid.csv.gz").unlink(),
        "not readable as ogbn-arxiv .*valid.csv.gz",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, arxiv):
    root, _ = arxiv
    break_it, told = BAD[case]
    break_it(root / "ogbn_arxiv")
    with pytest.raises(InputError, match=f"{root}/ogbn_arxiv: {told}") as error:
        load_source(DataConfig(name="ogbn-arxiv", root=str(root)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["ogbn-products", "ogbn-papers100M"])
def test_missing_data_says_the_two_ways_to_get_it(name, tmp_path, monkeypatch):
    from urllib.error import URLError

    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(
        InputError, match="Either run this command in a terminal.*or unpack"
    ) as error:
        load_source(DataConfig(name=name, root=str(tmp_path)))
    folder = tmp_path / name.replace("-", "_") / "raw"
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


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
    monkeypatch.setattr(bucketed, "CHUNK", 300)
    monkeypatch.setattr(bucketed, "BUCKET", 500)
    monkeypatch.setattr(ogb_archive, "BLOCK", 99)
    with monkeypatch.context() as patched:
        patched.setattr(prepared, "load_source", None)  # the loader is not asked
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
