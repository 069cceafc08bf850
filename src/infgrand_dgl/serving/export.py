"""A student in a format that others run, asked once before it is handed over."""

import copy
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..nn.mlp import MLP
from .answers import Answers, ask
from .formats import find
from .specification import Specification

# The most that an answer may differ from the student's: of 1 + the largest in its column.
BOUNDS = {"float32": 1e-5, "float16": 1e-2}


def export(
    format: str, student: MLP, specification: Specification, rows: np.ndarray, folder: Path
) -> float:
    """Writes the files of a format, and the specification, and asks them what the student is asked.

    Args:
        student: in eval mode; float32, whatever the specification's dtype.
        rows: that it is asked about, float32 `[n, width]`, n at least 1.
        folder: where they go.

    Returns:
        The largest difference to the student's own answers (`difference`).

    Raises:
        InputError: that difference is above `BOUNDS`.
    """
    chosen = find(format)
    expected = ask(Answers(student, specification.model_copy(update={"dtype": "float32"})))(rows)
    exported = Answers(copy.deepcopy(student), specification).eval()
    chosen.write(exported, specification, folder)
    (folder / "specification.json").write_text(specification.to_json())
    asked = chosen.open(folder, specification)
    with np.errstate(over="ignore"):
        x = rows.astype(specification.dtype)
    alone = asked(x[:1])
    first = {name: np.concatenate([alone[name], said[1:]]) for name, said in expected.items()}
    found = np.max([difference(asked(x), expected), difference(first, expected)])
    if not found <= BOUNDS[specification.dtype]:  # nor NaN
        way = "; float32 may do" if specification.dtype == "float16" else ""
        raise InputError(
            f"--format {format} of {specification.dtype}: answers differ from the student's by "
            f"{found:.1g} of 1 + the largest, at most {BOUNDS[specification.dtype]:g} may be{way}"
        )
    return float(found)


def difference(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """max |a - b| / (1 + max |b| of the column) over all answers `[n, C]`; NaN where one is."""
    shares = [
        np.abs(found[name].astype(np.float64) - said) / (1 + np.abs(said).max(axis=0))
        for name, said in expected.items()
    ]
    return float(np.max(shares))


def sampled_rows(inputs: np.ndarray, most: int = 4096) -> np.ndarray:
    """Rows at even distances, float32 `[n, width]`; `inputs` may be mapped from a file."""
    ids = np.unique(np.linspace(0, len(inputs) - 1, min(most, len(inputs))).astype(np.int64))
    return np.ascontiguousarray(inputs[ids], dtype=np.float32)
