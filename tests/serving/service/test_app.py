"""What a service answers, and what it refuses, asked without a network."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from infgrand_dgl.serving.service import app as app_module
from infgrand_dgl.serving.service import refusal
from infgrand_dgl.serving.service.app import application
from infgrand_dgl.serving.service.model import Limits
from infgrand_dgl.serving.service.protocol import HEADER

from ..students import OUTPUTS, WIDTH, rows
from .conftest import D, N, model

INFER = "/v2/models/a-graph/infer"
LIMITS = Limits(rows=20, bytes=100_000)


@pytest.fixture
def served():
    return model()


@pytest.fixture
def client(served):
    with TestClient(application(served, LIMITS)) as client:
        yield client


def tensor(x, **changes):
    shape = list(np.shape(x))
    return {"name": "x", "datatype": "FP32", "shape": shape, "data": np.ravel(x).tolist()} | changes


def told(answer, status, reason):
    assert answer.status_code == status and answer.json().keys() == {"error"}
    said = answer.json()["error"]
    assert len(said.splitlines()) == 1 and len(said) < 300 and re.search(reason, said), said


def expected(served, x):
    return served.ask(np.asarray(x, served.specification.dtype))


def test_health_and_metadata(client, served):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/models/a-graph", "/v2/models/a-graph/versions/1"):
        assert client.get(f"{path}/ready").json() == {"name": "a-graph", "ready": True}
        said = client.get(path).json()
        assert said["versions"] == ["1"] and said["platform"] == "pytorch_safetensors"
        assert said["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, WIDTH]}]
        names = ["logits", "probabilities"]
        assert [output["name"] for output in said["outputs"]] == names
        specification = json.loads(said["parameters"]["specification"])
        assert specification == served.specification.model_dump()


@pytest.mark.parametrize("n", [0, 1, 20])
@pytest.mark.parametrize("nested", [True, False])
def test_infer_in_json(client, served, n, nested):
    x = rows(n).numpy()
    data = x.tolist() if nested else x.ravel().tolist()
    body = {"id": "seven", "inputs": [tensor(x, data=data)], "ignored": 1}
    said = client.post(INFER, json=body).json()
    assert (said["id"], said["model_name"], said["model_version"]) == ("seven", "a-graph", "1")
    for output, (name, values) in zip(said["outputs"], expected(served, x).items(), strict=True):
        assert (output["name"], output["datatype"]) == (name, "FP32")
        assert output["shape"] == [n, OUTPUTS]
        found = np.array(output["data"], np.float32).reshape(n, OUTPUTS)
        np.testing.assert_allclose(found, values, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_infer_in_bytes(dtype):
    served = model(dtype=dtype)
    x = rows(7).numpy().astype(dtype)
    binary = x.astype(x.dtype.newbyteorder("<")).tobytes()
    sized = {"binary_data_size": len(binary)}
    datatype = {"float32": "FP32", "float16": "FP16"}[dtype]
    given = {"name": "x", "datatype": datatype, "shape": [7, WIDTH], "parameters": sized}
    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "logits"}]
    head = json.dumps({"inputs": [given], "outputs": wanted}).encode()
    with TestClient(application(served, LIMITS)) as client:
        answer = client.post(INFER, content=head + binary, headers={HEADER: str(len(head))})
    length = int(answer.headers[HEADER])
    said = json.loads(answer.content[:length])
    first, second = said["outputs"]
    answers = expected(served, x)
    assert first["parameters"] == {"binary_data_size": 4 * 7 * OUTPUTS} and "data" not in first
    found = np.frombuffer(answer.content[length:], "<f4").reshape(7, OUTPUTS)
    np.testing.assert_allclose(found, answers["probabilities"], atol=1e-6)
    np.testing.assert_allclose(second["data"], answers["logits"].ravel(), rtol=1e-5, atol=1e-5)


X = np.zeros((2, 60)).tolist()
OF_X = {"inputs": [tensor(X)]}
BAD = [
    (b"", "body: Invalid JSON"),
    (b"{", "body: Invalid JSON: EOF while parsing"),
    (b"\xff\xfe", "body: Invalid JSON"),
    (b"[" * 10_000, "body: Invalid JSON: recursion limit"),
    (b"null", "body: Input should be an object"),
    (b"{}", "inputs: Field required"),
    ({"inputs": []}, "inputs: List should have at least 1 item"),
    ({"inputs": [tensor(X)] * 2}, "inputs: List should have at most 1 item"),
    ({"inputs": [tensor(X, name="y")]}, "inputs.0.name: Input should be 'x'; found 'y'"),
    ({"inputs": [tensor(X, datatype="FP64")]}, "inputs.0.datatype: Input should be 'FP32'"),
    ({"inputs": [tensor(X, shape=[2, 59])]}, "inputs.0.shape.1: .* 60; found 59"),
    ({"inputs": [tensor(X, shape=[3, 60])]}, "inputs.0.data: expected 180 numbers.*; found 120"),
    ({"inputs": [tensor(X, shape=[-1, 60])]}, "inputs.0.shape.0: .* 0; found -1"),
    ({"inputs": [tensor(X, shape=[21, 60])]}, "inputs.0.shape.0: .* 20; found 21"),
    ({"inputs": [tensor(X, shape=[2])]}, "inputs.0.shape"),
    ({"inputs": [tensor(X, data=[[0.0] * 59] * 2)]}, "inputs.0.data.0: List .* 60 items"),
    ({"inputs": [tensor(X, data=["0"] * 120)]}, "inputs.0.data.0: .* number; found '0'"),
    ({"inputs": [tensor(X, data=[True] * 120)]}, "inputs.0.data.0: .* number; found True"),
    ({"inputs": [tensor(X, data=[1e31] * 120)]}, "inputs.0.data.0: .* found 1e\\+31"),
    ({"inputs": [{k: v for k, v in tensor(X).items() if k != "data"}]}, "found neither"),
    (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,60],"data":[NaN]}]}', "inputs.0.data.0"),
    (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,60],"data":[1e999]}]}', "inputs.0.data"),
    (OF_X | {"outputs": [{"name": "z"}]}, "outputs.0.name: .* 'logits' or 'probabilities'"),
    (
        OF_X | {"outputs": [{"name": "logits", "parameters": {"classification": 2}}]},
        "classification is not among the extensions",
    ),
    ({"inputs": [tensor(X, parameters={"binary_data_size": 480})]}, "found both"),
    (OF_X | {"id": 7}, "id: Input should be a valid string; found 7"),
]


@pytest.mark.parametrize(("body", "reason"), BAD)
def test_bad_requests_are_told_why(client, body, reason):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    told(client.post(INFER, content=content), 400, reason)


@pytest.mark.parametrize("header", ["-1", "1e3", "9" * 30, "", "x", "1000000"])
def test_lengths_of_the_json_that_are_none(client, header):
    content = json.dumps(OF_X).encode()
    answer = client.post(INFER, content=content, headers={HEADER: header})
    assert answer.status_code == 400 and HEADER in answer.json()["error"]


@pytest.mark.parametrize("size", [479, 481, -1, "480", True, None, 480.5])
def test_bytes_that_are_not_as_long_as_they_say(client, size):
    given = tensor(X, parameters={"binary_data_size": size})
    del given["data"]
    head = json.dumps({"inputs": [given]}).encode()
    content = head + bytes(480)
    answer = client.post(INFER, content=content, headers={HEADER: str(len(head))})
    assert answer.status_code == 400 and "inputs.0: expected" in answer.json()["error"]


def test_bytes_that_are_no_finite_numbers(client):
    x = np.zeros((3, WIDTH), "<f4")
    x[1, 5] = np.inf
    given = tensor(x, parameters={"binary_data_size": x.nbytes})
    del given["data"]
    head = json.dumps({"inputs": [given]}).encode()
    answer = client.post(INFER, content=head + x.tobytes(), headers={HEADER: str(len(head))})
    assert answer.json()["error"].endswith("expected finite numbers, found others in row 1")


def test_what_is_not_there(client):
    answer = client.get("/v2/models/other")
    assert answer.status_code == 404 and "the model is /v2/models/a-graph" in answer.json()["error"]
    answer = client.put(INFER)
    assert answer.status_code == 405 and answer.json().keys() == {"error"}
    assert answer.headers["allow"] == "POST"


def test_bodies_that_are_compressed(client):
    answer = client.post(INFER, content=b"x", headers={"content-encoding": "gzip"})
    told(answer, 415, "content-encoding: expected none, found b'gzip'")


MANY = 300_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", {str(k): 0 for k in range(MANY)}),
        ("/predict", {"nodes": [""] * 10_000}),
        ("/predict/new", {"nodes": [{"features": [0] * D, "neighbours": [""] * 60_000}]}),
        ("/predict/new", {"nodes": [{"features": [0] * D, "neighbours": [1] * MANY}]}),
        (INFER, {"inputs": [tensor(X, data=[""] * MANY)]}),
        (INFER, OF_X | {"outputs": [0] * MANY}),
    ],
)
def test_only_the_first_of_many_errors_is_made(served, path, body, monkeypatch):
    counts = []

    def counted(errors):
        counts.append(len(errors))
        return told_by(errors)

    told_by = refusal.explained_first
    monkeypatch.setattr(refusal, "explained_first", counted)
    monkeypatch.setattr(app_module, "explained_first", counted)
    with TestClient(application(served, Limits(rows=20_000))) as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 400 and len(answer.content) < 300
    assert counts and counts[0] <= 4  # a way that numbers may be nested each


@pytest.mark.parametrize("stream", [True, False])
def test_bodies_that_are_too_large(client, stream):
    content = b" " * (LIMITS.bytes + 1)
    answer = client.post(INFER, content=iter([content[:5], content[5:]]) if stream else content)
    assert answer.status_code == 413 and answer.headers["connection"] == "close"
    assert answer.json()["error"] == "body: at most 100,000 bytes, found 100,001"


def test_ids_that_look_like_a_mask(client):
    ids = [0, 1] * 10
    assert len(client.post("/predict", json={"nodes": ids}).json()["predictions"]) == 20


def test_parameters_that_are_null(client):
    body = {"inputs": [tensor(X, parameters=None)], "parameters": None}
    assert client.post(INFER, json=body).status_code == 200


def test_nodes_of_the_run(client, served):
    ids = np.random.randint(0, N, 20)
    said = client.post("/predict", json={"nodes": ids.tolist(), "top": 3}).json()["predictions"]
    probabilities = expected(served, served.nodes.rows(ids))["probabilities"]
    order = (-probabilities).argsort(axis=1, kind="stable")
    for k, each in enumerate(said):
        assert each["node"] == ids[k]
        names = [served.specification.classes[c] for c in order[k, :3]]
        assert [likely["class"] for likely in each["top"]] == names
        found = [likely["probability"] for likely in each["top"]]
        np.testing.assert_allclose(found, probabilities[k, order[k, :3]], atol=1e-6)
    assert len(client.post("/predict", json={"nodes": [3]}).json()["predictions"][0]["top"]) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"nodes": [0, N]}, "nodes.1: .* 49; found 50"),
        ({"nodes": [-1]}, "nodes.0: .* found -1"),
        ({"nodes": ["1"]}, "nodes.0: .* valid integer; found '1'"),
        ({"nodes": [1.5]}, "nodes.0: .* valid integer; found 1.5"),
        ({"nodes": [True]}, "nodes.0: .* valid integer; found True"),
        ({"nodes": [0] * 21}, "nodes: List should have at most 20 items"),
        ({"nodes": [0], "top": OUTPUTS + 1}, "top: .* 7; found 8"),
        ({"nodes": [0], "node": 3}, "body: unknown key 'node'"),
        ({"nodes": 0}, "nodes: Input should be a valid list"),
        ([], "body: .* found \\[\\]"),
    ],
)
def test_ids_that_are_none(client, body, reason):
    told(client.post("/predict", json=body), 400, reason)


@pytest.mark.parametrize(
    "ids", [7 + 3 * np.arange(N - 1), np.array([f"a/{i}" for i in range(N - 1)])]
)
def test_nodes_by_ids_from_elsewhere(ids, served):
    """All but the last node, which came later, have one."""
    served.nodes.ids = pd.Index(ids)
    with TestClient(application(served, LIMITS)) as client:

        def ask(**body):
            return client.post("/predict", json=body)

        wanted = np.random.randint(0, N - 1, 5)
        said = ask(ids=ids[wanted].tolist()).json()
        assert said == ask(nodes=wanted.tolist()).json()
        assert [each["node"] for each in said["predictions"]] == wanted.tolist()
        assert [each["id"] for each in said["predictions"]] == ids[wanted].tolist()
        assert ask(nodes=[N - 1]).json()["predictions"][0]["id"] is None
        assert ask(ids=[]).json() == {"predictions": []}
        nobody = [ids[0].item(), ids[1].item() * 99]
        told(ask(ids=nobody), 404, r"ids.1: expected an id of the graph's nodes; found '?")
        for body in ({}, {"nodes": [1], "ids": ids[:1].tolist()}):
            told(ask(**body), 400, "body: expected one of nodes and ids")
        told(ask(ids=[1.5]), 400, "ids.0: Input should be a valid (string|integer)")


def test_a_body_that_is_no_json(client):
    answer = client.post("/predict", content=b"{", headers={"content-type": "application/json"})
    told(answer, 400, "body: expected JSON, found none at character 2: Expecting property name")


@pytest.mark.parametrize("path", ["/predict", "/predict/new"])
def test_a_body_of_another_type(client, path):
    """As curl sends it, unless it is told."""
    for found in ("application/x-www-form-urlencoded", "text/x", None):
        headers = {} if found is None else {"content-type": found}
        answer = client.post(path, content=b'{"nodes": [1]}', headers=headers)
        told(answer, 415, f"^Content-Type: expected application/json, found {found or 'none'}$")
    told(client.post(path), 400, "body: Field required")


def test_tasks():
    with TestClient(application(model(task="multilabel"), LIMITS)) as client:
        (said,) = client.post("/predict", json={"nodes": [4]}).json()["predictions"]
        likely = [p > 0.5 for p in said["probabilities"]]
        names = ["Ä", 'a "b"', "line\nbreak", "\\", "😀", "e", "f"]
        assert said["labels"] == [name for name, is_ in zip(names, likely, strict=True) if is_]
    served = model("units", classes=None)
    assert served.nodes is not None
    with TestClient(application(served, LIMITS)) as client:
        (said,) = client.post("/predict", json={"nodes": [4]}).json()["predictions"]
        values = expected(served, served.nodes.rows(np.array([4])))["values"][0]
        np.testing.assert_allclose(said["values"], values, rtol=1e-6)
        assert client.post("/predict", json={"nodes": [4], "top": 1}).status_code == 400


def test_new_nodes():
    with TestClient(application(model(weighted=True, classes=None), LIMITS)) as client:
        nodes = [
            {"features": [1.0, 2, 3, 4], "neighbours": [7, {"node": N + 1, "weight": 2.5}]},
            {"features": [0] * D},
        ]
        body = {"nodes": nodes, "mode": "cached", "top": OUTPUTS}
        first, second = client.post("/predict/new", json=body).json()["predictions"]
        said = {each["class"]: each["probability"] for each in first["top"]}
        assert (first["node"], second["node"]) == (N, N + 1)
        assert said[0] == 10 and said[1] == 7 + N + 1 and said[2] == 3.5 and said[3] == 1
        assert client.post("/predict/new", json={"nodes": []}).json() == {"predictions": []}


@pytest.mark.parametrize(
    ("node", "status", "reason"),
    [
        ({"features": [0] * 3}, 400, "nodes.0.features: List should have at least 4 items"),
        ({"features": [0, 0, 0, "x"]}, 400, "nodes.0.features.3: .* found 'x'"),
        ({"features": [0] * 4, "neighbours": [N + 1]}, 404, "known are 0 to 49, .* found 51"),
        ({"features": [0] * 4, "neighbours": [-1]}, 400, "nodes.0.neighbours.0"),
        ({"features": [0] * 4, "neighbours": [{"node": 1, "weight": 1}]}, 400, "neighbours.0"),
        ({"neighbours": [1]}, 400, "nodes.0.features: Field required"),
    ],
)
def test_new_nodes_that_cannot_be(client, node, status, reason):
    told(client.post("/predict/new", json={"nodes": [node]}), status, reason)


def test_numbers_so_large_that_no_answer_is(served):
    large = replace(served, ask=lambda x: {"logits": x[:, :OUTPUTS] * np.float32(1e30)})
    with TestClient(application(large, LIMITS)) as client:
        x = np.zeros((2, WIDTH))
        x[1] = 1e30
        reason = "logits: of numbers so large: expected finite numbers, found others in row 1"
        with np.errstate(over="ignore"):
            told(client.post(INFER, json={"inputs": [tensor(x)]}), 400, reason)


def test_failures_are_500_and_told_to_the_log(served):
    log: list[dict] = []

    def fails(x):
        return served.ask(x) if len(x) != 3 else 1 / 0

    app = application(replace(served, ask=fails), LIMITS, lambda **said: log.append(said))
    with TestClient(app, raise_server_exceptions=False) as client:
        for nodes, status in (([1, 2, 3], 500), ([1], 200)):
            assert client.post("/predict", json={"nodes": nodes}).status_code == status
        answer = client.post("/predict", json={"nodes": [1, 2, 3]})
        assert answer.json() == {"error": "the server failed; its log says why"}
    assert [each["status"] for each in log] == [500, 200, 500]
    assert log[1]["path"] == "/predict" and log[1]["rows"] == 1 and log[1]["ms"] > 0


def test_metrics(client):
    for nodes in ([1], [1, 2], ["x"]):
        client.post("/predict", json={"nodes": nodes})
    client.get("/nowhere")
    text = client.get("/metrics").text
    assert 'infgrand_requests_total{path="/predict",status="200"} 2.0' in text
    assert 'infgrand_requests_total{path="/predict",status="400"} 1.0' in text
    assert 'infgrand_requests_total{path="other",status="404"} 1.0' in text
    assert "infgrand_rows_total 3.0" in text and "infgrand_waiting_rows 0.0" in text
    assert 'infgrand_batch_rows_bucket{le="1.0"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_an_export_has_no_nodes(served):
    export = replace(served, nodes=None, graph=None)
    with TestClient(application(export, LIMITS)) as client:
        assert client.post("/predict", json={"nodes": [1]}).status_code == 404
        paths = client.get("/openapi.json").json()["paths"]
        assert INFER in paths and not [path for path in paths if path.startswith("/predict")]
