"""OGB's path: a small folder in OGB's raw layout, through ogb's own loader."""

import numpy as np
import pytest
import torch
from ogb.nodeproppred import Evaluator

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source, ogb
from infgrand_dgl.training.metrics import accuracy
from tests.data.ogb_layout import D, N, papers100M, products, write

# Raised inside ogb, and by what it makes of pandas and torch.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


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
