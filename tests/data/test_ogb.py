"""OGB's path: a small folder in OGB's raw layout, as it is read here."""

import gzip
from unittest.mock import Mock

import numpy as np
import pytest
import requests
import torch

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import NodeDataset, load_source, ogb, ogb_files
from infgrand_dgl.training.metrics import accuracy
from tests.data.ogb_layout import D, N, papers100M, products, write

# Raised inside ogb, and by what it makes of pandas and torch.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


def arxiv_in(root):
    return DataConfig(name="ogbn-arxiv", root=str(root))


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
    from ogb.nodeproppred import Evaluator

    logits, labels = torch.randn(3000, 47), torch.randint(47, (3000,))
    logits[torch.arange(2000), labels[:2000]] += 5
    classes = logits.argmax(1)
    judged = Evaluator(name).eval({"y_true": labels[:, None], "y_pred": classes[:, None]})
    assert judged["acc"] == accuracy(classes, labels) == ogb.accuracy(name, classes, labels)


BAD = {
    "mismatched feature rows": (
        lambda f: write(f / "raw/node-feat.csv.gz", np.zeros((N - 1, D))),
        "/raw/node-feat.csv.gz: expected 500 rows .numbers., found 499",
    ),
    "edge id >= N": (
        lambda f: write(f / "raw/edge.csv.gz", np.full((1500, 2), N)),
        "/raw/edge.csv.gz: expected node ids 0 to 499, found 500",
    ),
    "edge id missing": (
        lambda f: write(f / "raw/edge.csv.gz", [[0, 1], [2, None]]),
        "/raw/edge.csv.gz: expected integers, found nan in row 1",
    ),
    "edges as text": (
        lambda f: write(f / "raw/edge.csv.gz", [["a", "b"]] * 9),
        "/raw/edge.csv.gz: not OGB's: two node ids a row .*(object|str)",
    ),
    "two labels a node": (
        lambda f: write(f / "raw/node-label.csv.gz", np.zeros((N, 2), int)),
        "/raw/node-label.csv.gz: expected 1 columns .one label a row., found 2",
    ),
    "missing features": (
        lambda f: (f / "raw/node-feat.csv.gz").unlink(),
        ": no node features; add raw/node-feat.csv.gz",
    ),
    "corrupt edges": (
        lambda f: (f / "raw/edge.csv.gz").write_bytes(b"nonsense"),
        "/raw/edge.csv.gz: not OGB's: .*BadGzipFile",
    ),
    "truncated edges": (
        lambda f: (f / "raw/edge.csv.gz").write_bytes((f / "raw/edge.csv.gz").read_bytes()[:900]),
        "/raw/edge.csv.gz: not OGB's: .*EOFError",
    ),
    "empty labels": (
        lambda f: (f / "raw/node-label.csv.gz").write_bytes(gzip.compress(b"")),
        "/raw/node-label.csv.gz: not OGB's: .*EmptyDataError",
    ),
    "no split": (
        lambda f: (f / "split/time/valid.csv.gz").unlink(),
        ".*valid.csv.gz: no such file",
    ),
    "no raw": (
        lambda f: (f / "raw").rename(f / "elsewhere"),
        ": expected a folder raw in it; unpack OGB's archive .*arxiv.zip. there, or move",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, arxiv):
    root, _ = arxiv
    break_it, told = BAD[case]
    break_it(root / "ogbn_arxiv")
    before = files(root)
    with pytest.raises(InputError, match=f"{root}/ogbn_arxiv{told}") as error:
        load_source(arxiv_in(root))
    assert "\n" not in str(error.value)
    assert before.items() <= files(root).items()


def files(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def arrays(d: NodeDataset) -> list[torch.Tensor]:
    return [d.csr.indptr, d.csr.indices, d.features, d.labels, d.train, d.val, d.test]


def same(one: NodeDataset, other: NodeDataset) -> bool:
    return all(map(torch.equal, arrays(one), arrays(other)))


def test_a_folder_that_must_not_change(arxiv, monkeypatch):
    """Without the file that ogb asks for, and nowhere to write: nobody is asked, all stays."""
    root, _ = arxiv
    expected = load_source(arxiv_in(root))
    monkeypatch.setattr(ogb_files, "KEPT_FROM_BYTES", 0)
    (root / "ogbn_arxiv/RELEASE_v1.txt").unlink()
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question"))
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    before = sorted(root.rglob("*"))
    assert same(load_source(arxiv_in(root)), expected)
    assert sorted(root.rglob("*")) == before


def refuse(*args, **kwargs):
    raise PermissionError(13, "Permission denied")


def test_what_was_read_is_kept(arxiv, monkeypatch, caplog):
    monkeypatch.setattr(ogb_files, "KEPT_FROM_BYTES", 0)
    root, _ = arxiv
    expected = load_source(arxiv_in(root))
    cache = root / "ogbn_arxiv" / ogb_files.CACHE
    with monkeypatch.context() as patch:
        patch.setattr(ogb_files, "_integers", integers := Mock(wraps=ogb_files._integers))
        assert same(load_source(arxiv_in(root)), expected)
        assert integers.call_count == 3  # the split
    whole = cache.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (b"", whole[: len(whole) // 2], whole[:-7], bytes(flipped)):
        cache.write_bytes(damaged)
        caplog.clear()
        assert same(load_source(arxiv_in(root)), expected)
        assert f"{cache}: not readable" in caplog.text
        assert cache.read_bytes() == whole
    write(root / "ogbn_arxiv/raw/node-feat.csv.gz", np.ones((N, D)))  # younger than the cache
    assert (load_source(arxiv_in(root)).features == 1).all()


def test_pieces_of_a_large_file(arxiv, monkeypatch, capsys):
    root, _ = arxiv
    expected = load_source(arxiv_in(root))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(ogb_files, "PIECE_NUMBERS", 7 * D)
    monkeypatch.setattr("infgrand_dgl.present.transfers.LARGE_BYTES", 100_000)
    assert same(load_source(arxiv_in(root)), expected)
    told = f"infgrand-dgl: Loading {root}/ogbn_arxiv/raw/node-feat.csv.gz\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("name", ["ogbn-products", "ogbn-papers100M"])
def test_missing_data_says_the_two_ways_to_get_it(name, tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise requests.ConnectionError("no network")

    monkeypatch.setattr("requests.get", offline)
    with pytest.raises(
        InputError, match="Either run this command with a network, or unpack"
    ) as error:
        load_source(DataConfig(name=name, root=str(tmp_path)))
    folder = tmp_path / name.replace("-", "_") / "raw"
    assert "\n" not in str(error.value) and str(folder) in str(error.value)
    assert not list(tmp_path.iterdir())
