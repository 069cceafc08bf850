"""Each format in its true layout: imported as it is meant, described, trained on, predicted."""

import json
import re

import numpy as np
import pytest
import torch

from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import load_source
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.registry import formats

from ...cli.conftest import run
from .layouts import LAYOUTS, WITH_SPLIT, beside, graph, ordered


def test_each_format_has_a_layout():
    assert {form.split()[0] for form in LAYOUTS} == set(formats)


@pytest.mark.parametrize("form", LAYOUTS)
def test_import_describe_train_predict(form, tmp_path, capsys):
    g = ordered(graph()) if form == "planetoid" else graph()
    source, out = LAYOUTS[form](g, tmp_path), tmp_path / "out"
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    imported = ("data", "import", source, "--out", out, *beside(form, tmp_path))
    status, output, err = run(capsys, *imported)
    assert status == 0, err
    assert f"out: {g.num_nodes} nodes" in output and "12 features, 3 classes" in output
    assert all(p.stat().st_mtime_ns == t for p, t in before.items() if p != tmp_path)

    d = load_source(DataConfig(name="directory", root=str(out)))
    expected = CSRGraph.from_edges(g.edges[:, 0], g.edges[:, 1], g.num_nodes)
    assert torch.equal(d.csr.indptr, expected.indptr)
    assert torch.equal(d.csr.indices, expected.indices)
    np.testing.assert_array_equal(d.dense_features().numpy(), g.x)
    np.testing.assert_array_equal(d.labels.numpy(), g.y)
    if form in WITH_SPLIT:
        for part, ids in g.split.items():
            assert getattr(d.parts, part).tolist() == ids.tolist()
    else:
        assert "comes without splits" in err

    config = ("--config", out / "experiment.yaml", "--set", "teacher.hidden=8", "student.hidden=8")
    status, output, _ = run(capsys, "data", "describe", *config)
    assert status == 0 and re.search("nodes per class: .*20, .*20, .*20\n", output)
    small = ("train.seeds=[0]", "train.epochs=3", "--out", tmp_path / "run", "-q")
    assert run(capsys, "train", *config, *small)[0] == 0
    predict = ("predict", "--run", tmp_path / "run", "--out", tmp_path / "classes.npy")
    assert run(capsys, *predict)[0] == 0
    assert np.load(tmp_path / "classes.npy").shape == (g.num_nodes,)


@pytest.mark.parametrize(
    "form", [each for each in LAYOUTS if each not in ("edge-list", "gnn-benchmark pickled")]
)
def test_root_is_the_source_itself(form, tmp_path):
    g = ordered(graph()) if form == "planetoid" else graph()
    source = LAYOUTS[form](g, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    d = load_source(DataConfig(name="directory", root=str(source)))
    np.testing.assert_array_equal(d.dense_features().numpy(), g.x)
    np.testing.assert_array_equal(d.labels.numpy(), g.y)
    assert d.name == source.name and d.provenance["source"] == form.split()[0]
    assert d.num_edges == CSRGraph.from_edges(g.edges[:, 0], g.edges[:, 1], g.num_nodes).num_edges
    if form in WITH_SPLIT:
        assert d.parts.val.tolist() == g.split["val"].tolist()
    assert sorted(tmp_path.rglob("*")) == before


def test_ten_masks(tmp_path, capsys):
    g = graph()
    source = WITH_SPLIT["heterophilous-graphs"](g, tmp_path)
    arrays = dict(np.load(source))
    for part in ("train", "val", "test"):
        arrays[f"{part}_masks"] = np.zeros((10, g.num_nodes), bool)
    for k in range(10):
        for part, ids in graph().split.items():
            arrays[f"{part}_masks"][k, ids] = True
    np.savez(source, **arrays)
    assert run(capsys, "data", "import", source, "--out", tmp_path / "out")[0] == 0
    splits = json.loads((tmp_path / "out/splits.json").read_text())
    assert len(splits) == 10
    for k, split in enumerate(splits):
        for part, ids in split.items():
            assert ids == np.flatnonzero(arrays[f"{part}_masks"][k]).tolist()
