"""What an exported student reads and says: JSON that goes with every export."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..config.fields import Hops, Seed, Task, Width
from ..config.section import Section
from ..system.reading import reading

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
DType = Literal["float32", "float16"]


class Inputs(Section):
    """How the rows that it reads are made of features X `[N, features]` and a graph."""

    width: int = Field(ge=1)
    """Numbers a row."""
    features: int = Field(ge=1)
    """D."""
    positions: int = Field(0, ge=0)
    """Columns beside them that say where in the graph a node is (NOSMOG)."""
    hops: Hops
    """P; 0: X as it is."""
    pooling: Literal["mean", "max", "min", "last", "side by side"]
    """POOL of X^(0) to X^(P), or all of them, (P + 1) D columns."""
    self_loop_weight: float
    """w of Ã."""
    row_normalize: bool
    """Whether rows of X sum to 1."""
    standardize: bool
    """Whether columns of X have mean 0 and variance 1 over the nodes that training saw."""
    sha256: str
    """Of the run's propagated.npy, which has these rows of its own nodes."""


class Specification(Section):
    """Of one exported student."""

    name: str = Field(pattern=f"^{NAME}$")
    """Of the model, in paths and URLs."""
    made_by: str
    """Package and version."""
    dataset: str
    method: str
    seed: Seed
    task: Task
    """What outputs are."""
    outputs: Width
    """C."""
    classes: list[int] | list[str] | None
    """Codes or names by output; null: their numbers."""
    dtype: DType
    """Of weights and inputs; outputs are float32."""
    student: dict[str, Any]
    """Its architecture."""
    inputs: Inputs
    temperature: float = Field(1.0, gt=0)
    """That logits are divided by for the probabilities."""

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of what it says of a row, float32 `[n, C]` each."""
        return ("values",) if self.task == "regression" else ("logits", "probabilities")

    @classmethod
    def load(cls, path: Path) -> Specification:
        """
        Raises:
            InputError: there is no such file, or something else is in it.
        """
        with reading(path, "a specification written by export"):
            return cls.model_validate_json(path.read_text())

    def to_json(self) -> str:
        return self.model_dump_json(indent=1) + "\n"
