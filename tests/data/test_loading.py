"""From an experiment, or its file, to the dataset with its split."""

import io
import logging
import sys
from pathlib import Path

import pytest
import torch

from infgrand_dgl import InputError, load_dataset
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source, original
from infgrand_dgl.data.root import default_root, root_of


def test_seed_of_the_split(tiny, tiny_config):
    """The experiment's first, unless one is given; a file and its Config are the same."""
    inductive = tiny_config.replace("data", setting="inductive")
    first, given = load_dataset(inductive), load_dataset(inductive, seed=1)
    assert inductive.train.seeds[0] == 1 and torch.equal(first.test, given.test)
    assert not torch.equal(first.test, load_dataset(inductive, seed=2).test)
    from_file = load_dataset(tiny)
    assert from_file.fingerprint == load_dataset(tiny_config).fingerprint


def test_log_says_where_it_came_from(tiny_config, caplog):
    with caplog.at_level(logging.INFO):
        load_dataset(tiny_config)
    (message,) = (m for m in caplog.messages if m.startswith("loaded"))
    assert message.startswith("loaded synthetic: {'source': 'generated', 'style': 'citation'")


def test_a_published_set_has_its_task(tiny_config):
    assert load_dataset(tiny_config.replace("data", task="classification")).num_classes > 1
    told = "^data.task: expected auto or classification, which synthetic is for; found regression$"
    with pytest.raises(InputError, match=told):
        load_dataset(tiny_config.replace("data", task="regression"))


def test_root(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == root_of(DataConfig(name="cora")) == tmp_path / "infgrand-dgl"
    for other in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", other)
        assert default_root() == Path.home() / ".cache/infgrand-dgl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_root() == Path.home() / ".cache/infgrand-dgl"
    assert root_of(DataConfig(name="cora", root=str(tmp_path / "files"))) == tmp_path / "files"


def test_a_source_cannot_ask(tiny_config, monkeypatch):
    """As ogb does, before it deletes what a `yes |` has agreed to."""
    answers = io.StringIO("y\n" * 9)
    monkeypatch.setattr("sys.stdin", answers)
    source = original.sources["synthetic"]

    class Asks:
        load = staticmethod(lambda config, root: input("Delete it? (y/N)"))

    monkeypatch.setattr(original, "sources", {"synthetic": Asks})
    with pytest.raises(EOFError):
        load_dataset(tiny_config)
    assert sys.stdin is answers and answers.tell() == 0
    Asks.load = staticmethod(source.load)
    assert load_dataset(tiny_config).name == "synthetic"


def test_without_a_home(tiny_config, tmp_path, monkeypatch):
    """A user id without an entry in passwd, and no HOME."""

    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert load_dataset(tiny_config).name == "synthetic"
    with pytest.raises(InputError, match="data.root: .*no.*; name a folder"):
        load_source(DataConfig(name="cora"))
    assert root_of(DataConfig(name="cora", root=str(tmp_path))) == tmp_path
