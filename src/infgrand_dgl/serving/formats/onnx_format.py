"""ONNX, by torch's exporter; `onnxruntime` runs it on whatever machine."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...system.installed import require
from ..answers import Answers, Ask
from ..specification import Specification
from .format import Format
from .program import silent, traced

FILE = "model.onnx"


def write(answers: Answers, specification: Specification, folder: Path) -> None:
    save(answers, specification, folder / FILE)


def save(answers: Answers, specification: Specification, path: Path) -> None:
    """One file: input `x`, outputs the specification's answers, of any number of rows."""
    import onnx

    with silent():
        program = torch.onnx.export(
            traced(answers, specification),
            input_names=["x"],
            output_names=list(specification.answers),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model: Any = program.model_proto
    model.producer_name, model.producer_version = specification.made_by.split()
    onnx.helper.set_model_props(model, {"specification": specification.to_json()})
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:], model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def open_file(path: Path) -> Ask:
    require(["onnxruntime"], str(path), "serve")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def ask(x: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, {"x": x}), strict=True))

    return ask


def loading(specification: Specification) -> str:
    said = "".join(f"{name}, " for name in specification.answers)
    said = said.rstrip(" ") if len(specification.answers) == 1 else said.rstrip(", ")
    return f"""```python
import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{FILE}")
metadata = session.get_modelmeta().custom_metadata_map
specification = json.loads(metadata["specification"])  # classes, and how inputs are made
x = np.zeros((10, {specification.inputs.width}), np.{specification.dtype})  # rows
{said} = session.run(None, {{"x": x}})
```
"""


FORMAT = Format(
    "ONNX",
    "onnxruntime_onnx",
    lambda specification: FILE,
    write,
    lambda folder, specification: open_file(folder / FILE),
    loading,
    ("onnx", "onnxscript", "onnxruntime"),
)
