"""`serve`: what is served says what the run's student says, and one process under load."""

import asyncio
import socket

import numpy as np
import pytest

from infgrand_dgl.errors import InputError
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.experiment.exporting import export_run
from infgrand_dgl.experiment.predictor import Predictor
from infgrand_dgl.experiment.service import model_of
from infgrand_dgl.serving.formats import FORMATS
from infgrand_dgl.system import installed
from tests.serving.service.load import KINDS, is_flat, under_load

from ..conftest import refused

PLATFORMS = {
    "onnx": "onnxruntime_onnx",
    "triton": "onnxruntime_onnx",
    "torch": "pytorch_export",
    "safetensors": "pytorch_safetensors",
}


def test_a_run(trained):
    predictor = Predictor.open(trained, seed=1, calibrated=True)
    made = model_of(trained, 1, calibrated=True)
    assert made.nodes is not None and made.graph is not None
    ids = np.random.randint(0, made.nodes.num_nodes, 20)
    said = made.ask(made.nodes.rows(ids))["probabilities"]
    np.testing.assert_allclose(said, predictor.stored(ids), atol=1e-6)
    features, edges = np.random.rand(2, 60), [[300, 5], [301, 300]]
    assert (made.graph.num_features, made.graph.weighted) == (60, False)
    for cached in (False, True):
        new = made.graph.new(features, edges, None, cached=cached)
        expected = predictor.new(features, edges, cached=cached)
        np.testing.assert_allclose(new, expected, atol=1e-6)
    assert model_of(trained, graph=False).graph is None


@pytest.mark.parametrize("format", FORMATS)
def test_an_export(format, trained, tmp_path):
    export_run(RunDirectory.open(trained), 2, format, tmp_path / "exported", name="a-name")
    made = model_of(tmp_path / "exported")
    assert made.nodes is None and made.graph is None and made.specification.name == "a-name"
    assert made.platform == PLATFORMS[format]
    x = np.load(trained / "propagated.npy")[:30]
    expected = Predictor.open(trained, 2).stored(np.arange(30))
    np.testing.assert_allclose(made.ask(x)["probabilities"], expected, atol=1e-5)
    for file in (tmp_path / "exported").rglob("model.*"):
        file.write_bytes(b"damaged")
    with pytest.raises(InputError, match=rf"{file}: not a "):
        model_of(tmp_path / "exported")
    file.unlink()
    with pytest.raises(InputError, match="expected a model beside specification.json, found none"):
        model_of(tmp_path / "exported")


def test_what_cannot_be_served(trained, tmp_path, capsys, monkeypatch):
    command = ("serve", "--run", trained)
    assert "expected a run directory" in refused(capsys, tmp_path, "serve", "--run", tmp_path)
    assert "--seed 9: expected one of" in refused(capsys, tmp_path, *command, "--seed", 9)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port}: Address" in refused(capsys, tmp_path, *command, "--port", port)
    (trained / "specification.json").write_text("{}")
    assert "specification.json: " in refused(capsys, tmp_path, *command)
    assert "--calibrated: of a run" in refused(capsys, tmp_path, *command, "--calibrated")
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name == "uvicorn" else name)
    expected = "serve: uvicorn is not installed (pip install infgrand-dgl[serve])"
    assert refused(capsys, tmp_path, *command) == expected


def test_a_process_under_mixed_load(trained_once):
    said = asyncio.run(under_load(trained_once, 2, 24))
    assert set(said["exchanges"]) > {"right_json", "right_new_ones", "wrong_values", "slow_body"}
    assert len(said["exchanges"]) > 0.8 * len(KINDS) and said["end"]["answered"] > 0
    assert said["end"]["taken, answered after SIGTERM"] == 8


def test_memory_that_grows_is_found():
    steady = 400 + np.random.rand(50)
    assert is_flat(steady.tolist())
    assert not is_flat((steady + np.linspace(0, 20, 50)).tolist())
