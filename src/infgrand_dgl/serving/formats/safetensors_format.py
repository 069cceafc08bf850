"""The weights, and what makes a student of them, in one file: for this package elsewhere."""

import re
from pathlib import Path

from ...config.fields import Task
from ..answers import Answers, Ask, ask
from ..specification import Specification
from ..student import load_student, save_weights
from .format import Format

FILE = "model.safetensors"


def write(answers: Answers, specification: Specification, folder: Path) -> None:
    save_weights(
        folder / FILE,
        answers.student,
        specification.classes,
        specification.task,
        specification=specification.to_json(),
    )


def open_file(folder: Path, specification: Specification) -> Ask:
    return ask(Answers(load_student(folder / FILE), specification).eval())


def loading(specification: Specification) -> str:
    x = f"np.zeros((10, {specification.inputs.width}), np.float32)"
    return in_python(specification.task, FILE, x)


SAYING = {  # of a task: what `predict` gives, and a line that reads it
    "classification": ("probabilities", "classes = likeliest(probabilities, load_classes(file))"),
    "multilabel": ("probabilities", "labels = has_labels(probabilities)  # 0 and 1"),
    "regression": ("values", ""),
}


def in_python(task: Task, file: str, x: str) -> str:
    """Markdown: a student's file asked by this package.

    Args:
        x: a NumPy expression for its inputs.
    """
    said, read = SAYING[task]
    called = ["load_student", "load_task", "predict", *re.findall(r"(\w+)\(", read)]
    return f"""```python
from pathlib import Path

import numpy as np

from infgrand_dgl.serving import {", ".join(sorted(called))}

file = Path("{file}")
x = {x}  # rows
{said} = predict(load_student(file), x, load_task(file))  # float32 [n, C]
{read}
```
"""


FORMAT = Format(
    "safetensors", "pytorch_safetensors", lambda specification: FILE, write, open_file, loading
)
