"""A student as it is exported: with what its outputs say beside them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..nn.mlp import MLP
from .specification import Specification
from .student import served

# Rows `[n, width]` of the specification's dtype to its answers, float32 `[n, C]` each.
Ask = Callable[[np.ndarray], dict[str, np.ndarray]]


class Answers(nn.Module):
    """Rows `[n, width]` to the `answers` of a specification, by name.

    Args:
        student: in eval mode; of `specification.dtype` it becomes, but for units of numbers, which
            stay float32: float16 ends at 65504.
    """

    def __init__(self, student: MLP, specification: Specification) -> None:
        super().__init__()
        units, student.units = student.units, None
        self.student = student.to(getattr(torch, specification.dtype))
        student.units = units
        self.task, self.names = specification.task, specification.answers
        self.temperature = specification.temperature

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.student(x).float()
        said = (logits,) if len(self.names) == 1 else (logits, self.said(logits))
        return dict(zip(self.names, said, strict=True))

    def said(self, logits: Tensor) -> Tensor:
        return served(logits, self.task, self.temperature)


def ask(model: Callable[[Tensor], dict[str, Tensor]]) -> Ask:
    """A model of torch on the CPU, asked by arrays."""

    @torch.inference_mode()
    def answers(x: np.ndarray) -> dict[str, np.ndarray]:
        return {name: said.numpy() for name, said in model(torch.from_numpy(x)).items()}

    return answers
