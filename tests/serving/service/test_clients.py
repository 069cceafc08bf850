"""Clients that nobody here wrote: Triton's, and schemathesis, which knows the OpenAPI page alone."""

import subprocess
import sys

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from infgrand_dgl.serving.service.model import Limits

from ..students import OUTPUTS, WIDTH, rows
from .conftest import model, serving

pytestmark = pytest.mark.filterwarnings("default")  # gevent's, and its client's

# What shape says of the length of data no schema can say.
CONFIGURATION = """
[[operations]]
include-path = "/v2/models/a-graph/infer"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400"]
"""


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_client_of_triton(dtype):
    made = model(dtype=dtype)
    x = rows(9).numpy().astype(dtype)
    expected = made.ask(x)
    with serving(made) as service:
        client = InferenceServerClient(f"127.0.0.1:{service.port}")
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("a-graph") and client.is_model_ready("a-graph", "1")
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        (described,) = client.get_model_metadata("a-graph")["inputs"]
        assert described["shape"] == [-1, WIDTH]
        given = InferInput("x", [9, WIDTH], described["datatype"])
        for binary in [True, False] if dtype == "float32" else [True]:
            given.set_data_from_numpy(x, binary_data=binary)
            said = client.infer("a-graph", [given], request_id="seven", model_version="1")
            assert said.get_response()["id"] == "seven"
            for name, values in expected.items():
                assert np.allclose(said.as_numpy(name), values, atol=1e-5)
            wanted = InferRequestedOutput("logits", binary_data=binary)
            said = client.infer("a-graph", [given], outputs=[wanted])
            assert said.as_numpy("logits").shape == (9, OUTPUTS)
            assert said.as_numpy("probabilities") is None
        with pytest.raises(InferenceServerException, match="nothing is here"):
            client.get_model_metadata("other")
        wrong = InferInput("x", [9, WIDTH], "FP64")
        wrong.set_data_from_numpy(np.zeros((9, WIDTH)))
        with pytest.raises(InferenceServerException, match=r"datatype: Input should be 'FP"):
            client.infer("a-graph", [wrong])
        client.close()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_openapi_page_tells_the_truth(weighted, tmp_path):
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    made = model(weighted=weighted)
    with serving(made, Limits(rows=100)) as service:
        page = f"http://127.0.0.1:{service.port}/openapi.json"
        program = f"{sys.prefix}/bin/schemathesis"
        options = ["--config-file", configuration, "run", page, "--max-examples", "15"]
        done = subprocess.run(
            [program, *options], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0 and "9 selected" in done.stdout, done.stdout[-4000:]
