"""`serve`: what is served says what the run's student says, and one process under load."""

import asyncio
import json
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from infgrand_dgl.errors import InputError
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.experiment.exporting import export_run
from infgrand_dgl.experiment.predictor import Predictor
from infgrand_dgl.experiment.service import model_of
from infgrand_dgl.serving.formats import FORMATS
from infgrand_dgl.system import installed
from tests.serving.service.conftest import serving
from tests.serving.service.load import KINDS, is_flat, under_load

from ..conftest import refused

ROOT = Path(__file__).parents[3]
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


def test_what_the_run_has_lost_is_no_fault_of_a_request(trained):
    made = model_of(trained)
    assert made.graph is not None
    with pytest.raises(InputError, match="features: "):
        made.graph.new(np.full((1, 60), np.inf), None, None, cached=False)
    (trained / "hops.npy").mkdir()
    with pytest.raises(RuntimeError, match=r"hops\.npy"):
        made.graph.new(np.ones((1, 60)), None, None, cached=True)


def test_a_run_without_a_graph_to_join(trained):
    path = trained / "config.yaml"
    path.write_text(path.read_text().replace("features: 60", "features: structural"))
    with pytest.raises(InputError, match="structural.*; --no-graph serves the run without new"):
        model_of(trained)
    assert model_of(trained, graph=False).nodes is not None


@pytest.mark.parametrize("format", FORMATS)
def test_an_export(format, trained, tmp_path):
    export_run(RunDirectory.open(trained), 2, format, tmp_path / "exported", name="a-name")
    made = model_of(tmp_path / "exported")
    assert made.nodes is None and made.graph is None and made.specification.name == "a-name"
    assert made.platform == PLATFORMS[format]
    x = np.load(trained / "propagated.npy")[:30]
    expected = Predictor.open(trained, 2).stored(np.arange(30))
    np.testing.assert_allclose(made.ask(x)["probabilities"], expected, atol=1e-5)
    said = tmp_path / "exported/specification.json"
    text = said.read_text()
    for key, value in (("width", 61), ("outputs", 4), ("name", '"a b/{x}"')):
        said.write_text(re.sub(rf'"{key}": [^,]+,', f'"{key}": {value},', text))
        with pytest.raises(
            InputError, match="specification|a model that export wrote as|found none"
        ):
            model_of(tmp_path / "exported")
    said.write_text(text)
    for file in (tmp_path / "exported").rglob("model.*"):
        file.write_bytes(b"damaged")
    with pytest.raises(InputError, match=rf"{file}: not a "):
        model_of(tmp_path / "exported")
    file.unlink()
    with pytest.raises(InputError, match="expected a model beside specification.json, found none"):
        model_of(tmp_path / "exported")


def code(page, naming, **changes):
    """The one block of Python of a page that names something, with other names and numbers."""
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    (found,) = (block for block in blocks if naming in block)
    for old, new in changes.items():
        found = found.replace(old.strip("_"), str(new))
    return found


@pytest.mark.filterwarnings("default")  # gevent's
def test_pages(trained, tmp_path, capsys, monkeypatch):
    """docs/serving.md's code, and the card's of an export for Triton."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/cora").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    expected = Predictor.open(trained).stored([3, 1, 4])
    with serving(model_of(trained)) as service:
        port = {"_8000": service.port, "_1433": 60, "_2708": 300}
        names: dict = {}
        page = (ROOT / "docs/serving.md").read_text()
        exec(code(page, "import requests", **port), names)
        likeliest = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
        assert likeliest == [f"[({k}," for k in expected.argmax(axis=1)]
        new = names["requests"].post(f"{names['service']}/predict/new", json=names["body"])
        assert [each["node"] for each in new.json()["predictions"]] == [300, 301]
        (line,) = re.findall(r"^curl .*", page, flags=re.M)
        if shutil.which("curl"):
            line = line.replace("8000", str(service.port))
            done = subprocess.run(shlex.split(line), capture_output=True, check=True)
            assert [each["node"] for each in json.loads(done.stdout)["predictions"]] == [3, 1, 4]
        exec(code(page, "tritonclient", **port, **{'"cora"': '"synthetic"'}))
        assert capsys.readouterr().out.strip() == str(expected.argmax(axis=1))
        export_run(RunDirectory.open(trained), 2, "triton", tmp_path / "exported")
        exec(code((tmp_path / "exported/README.md").read_text(), "tritonclient", **port), names)
        assert names["probabilities"].shape == (10, 3)


def test_files_for_triton_and_kserve():
    (service,) = yaml.safe_load((ROOT / "examples/serving/compose.yaml").read_text())[
        "services"
    ].values()
    assert service["volumes"] == ["${MODELS:-./models}:/models:ro"]
    assert "--model-repository=/models" in service["command"]
    page = (ROOT / "docs/serving.md").read_text()
    (kserve,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.S)
    served = yaml.safe_load(kserve)["spec"]["predictor"]["model"]
    assert (served["modelFormat"], served["protocolVersion"]) == ({"name": "triton"}, "v2")


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
