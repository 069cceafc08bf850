"""The data sources: a file for each, named after it, and what the registry says of them."""

import subprocess
import sys
from pathlib import Path

import pytest

import infgrand_dgl.data.sources
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source, ogb
from infgrand_dgl.registry import Source, sources
from infgrand_dgl.training.evaluation import evaluate

FILES = sorted(Path(infgrand_dgl.data.sources.__path__[0]).glob("[a-z]*.py"))
OGB = {"ogbn-arxiv", "ogbn-products", "ogbn-papers100M"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_file_adds_the_source_it_is_named_after(file):
    name = file.stem.replace("_", "-")
    source = sources[name]
    assert isinstance(source, Source) and source.name == name
    assert source.label and source.about


def test_order_is_that_of_the_paper_then_ours():
    assert [source.name for source in sources.in_order()] == [
        *("cora", "citeseer", "pubmed", "amazon-photo", "amazon-computers"),
        *("coauthor-cs", "coauthor-physics"),
        *("ogbn-arxiv", "ogbn-products", "ogbn-papers100M", "synthetic", "directory"),
    ]


def test_names_and_settings_are_known_without_torch():
    """Configurations look them up."""
    code = (
        "import sys; from infgrand_dgl.registry import sources; "
        f"assert len(list(sources)) == {len(FILES)}; assert 'torch' not in sys.modules; "
        "assert all(source.about for source in sources.values()); "
        "assert not {'torch', 'dgl', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_each_needs():
    assert {name for name in sources if sources[name].needs_root} == {"directory"}
    assert {name for name in sources if sources[name].accuracy} == OGB
    assert {name for name in sources if sources[name].write} == {"synthetic", "ogbn-papers100M"}
    owned = {name: sources[name].settings for name in sources if sources[name].settings}
    assert owned.keys() == {"synthetic"}
    assert owned["synthetic"] <= DataConfig.model_fields.keys()


def test_streamed(tmp_path):
    small = DataConfig(name="synthetic", style="arxiv", nodes=1000)
    assert not sources["synthetic"].streamed(small, tmp_path)
    large = DataConfig(name="synthetic", style="papers100M")
    assert sources["synthetic"].streamed(large, tmp_path)
    papers = DataConfig(name="ogbn-papers100M", root=str(tmp_path))
    assert not sources["ogbn-papers100M"].streamed(papers, tmp_path)
    archive = tmp_path / "ogbn_papers100M/raw/data.npz"
    archive.parent.mkdir(parents=True)
    archive.touch()
    assert sources["ogbn-papers100M"].streamed(papers, tmp_path)


@pytest.mark.parametrize("name", sorted(OGB))
def test_ogb_judges_its_sets(name, monkeypatch):
    """And no others."""
    from dataclasses import replace

    asked = []

    def accuracy(of, predicted, labels):
        asked.append(of)
        return 0.25

    monkeypatch.setattr(ogb, "accuracy", accuracy)
    dataset = load_source(DataConfig(name="synthetic", nodes=400))
    ours = evaluate(lambda ids, read: dataset.labels[ids], dataset)
    assert (ours["test"], asked) == (1.0, [])
    theirs = evaluate(lambda ids, read: dataset.labels[ids], replace(dataset, name=name))
    assert (theirs["test"], asked) == (0.25, [name, name])
