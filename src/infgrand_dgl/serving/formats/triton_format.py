"""A model repository of NVIDIA Triton: the ONNX file, and how it is served.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html
"""

import json
from pathlib import Path

from ..answers import Answers, Ask
from ..specification import Specification
from . import onnx_format
from .format import Format

BATCH = 4096  # rows that are worked on together, of one request or of several
DELAY = 100  # microseconds that a request waits for others
LABELS = "labels.txt"
TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16"}


def write(answers: Answers, specification: Specification, folder: Path) -> None:
    model = folder / specification.name
    (model / "1").mkdir(parents=True)
    onnx_format.save(answers, specification, folder / file(specification))
    (model / "config.pbtxt").write_text(configuration(specification))
    if specification.classes is not None:
        lines = (" ".join(str(name).split()) for name in specification.classes)
        (model / LABELS).write_text("".join(f"{line}\n" for line in lines))


def configuration(specification: Specification) -> str:
    """config.pbtxt, a `ModelConfig` in protobuf's text form (whose strings JSON's are)."""
    labels = f' label_filename: "{LABELS}"' if specification.classes is not None else ""
    outputs = ",\n".join(
        f'  {{ name: "{name}" data_type: TYPE_FP32 dims: [ {specification.outputs} ]'
        f"{labels * (name == 'probabilities')} }}"
        for name in specification.answers
    )
    width, dtype = specification.inputs.width, TYPES[specification.dtype]
    said = json.dumps(specification.model_dump_json(), ensure_ascii=False)
    return f"""name: {json.dumps(specification.name)}
backend: "onnxruntime"
max_batch_size: {BATCH}
input [
  {{ name: "x" data_type: {dtype} dims: [ {width} ] }}
]
output [
{outputs}
]
dynamic_batching {{ max_queue_delay_microseconds: {DELAY} }}
parameters {{ key: "specification" value {{ string_value: {said} }} }}
"""


def file(specification: Specification) -> str:
    return f"{specification.name}/1/{onnx_format.FILE}"


def open_file(folder: Path, specification: Specification) -> Ask:
    return onnx_format.open_file(folder / file(specification))


def loading(specification: Specification) -> str:
    name, inputs, said = specification.name, specification.inputs, specification.answers[-1]
    datatype = TYPES[specification.dtype].replace("TYPE_", "")
    return f"""This folder is a model repository:

```bash
docker run --rm -p 8000:8000 -v "$PWD":/models nvcr.io/nvidia/tritonserver:<version>-py3 \\
    tritonserver --model-repository=/models
```

It speaks the Open Inference Protocol:

```python
import numpy as np
import tritonclient.http

client = tritonclient.http.InferenceServerClient("localhost:8000")
rows = np.zeros((10, {inputs.width}), np.{specification.dtype})
x = tritonclient.http.InferInput("x", rows.shape, "{datatype}")
x.set_data_from_numpy(rows)
{said} = client.infer("{name}", [x]).as_numpy("{said}")
```
"""


FORMAT = Format(
    "a Triton repository",
    onnx_format.FORMAT.platform,
    file,
    write,
    open_file,
    loading,
    onnx_format.FORMAT.packages,
)
