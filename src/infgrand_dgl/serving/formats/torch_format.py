"""torch.export's `.pt2`: a program that torch runs without this package."""

import io
from pathlib import Path

import torch

from ..answers import Answers, Ask, ask
from ..specification import Specification
from .format import Format
from .program import silent, traced

FILE = "model.pt2"


def write(answers: Answers, specification: Specification, folder: Path) -> None:
    extra = {"specification.json": specification.to_json()}
    buffer = io.BytesIO()  # torch's own writer of files ends the process where the disk is full
    with silent():
        torch.export.save(traced(answers, specification), buffer, extra_files=extra)
    (folder / FILE).write_bytes(buffer.getbuffer())


def open_file(folder: Path, specification: Specification) -> Ask:
    with silent():
        return ask(torch.export.load(folder / FILE).module())


def loading(specification: Specification) -> str:
    said = specification.answers[-1]
    return f"""```python
import json

import torch

extra = {{"specification.json": ""}}
model = torch.export.load("{FILE}", extra_files=extra).module()
specification = json.loads(extra["specification.json"])  # classes, and how inputs are made
x = torch.zeros(10, {specification.inputs.width}, dtype=torch.{specification.dtype})  # rows
{said} = model(x)["{said}"]
```
"""


FORMAT = Format(
    "torch.export", "pytorch_export", lambda specification: FILE, write, open_file, loading
)
