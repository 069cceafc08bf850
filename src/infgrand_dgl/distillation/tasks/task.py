"""What every task says of itself: the error of an output, and how far a student is from a teacher.

Both are means over the C columns where a node has several, so that they do not grow with C.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...config.fields import Task
from ...config.schema import Config
from ...data.dataset import NodeDataset
from ...errors import InputError
from ...ops import Direction
from ...system.arrays import blocks, release

BLOCK_ROWS = 1 << 16  # of logits that are looked at together

# Of `[N, K]` the sums over neighbours, Σ_j a_ij x_j.
Aggregate = Callable[[Tensor], Tensor]


class LearningTask(ABC):
    """The supervised error of a model's outputs, of what the training nodes of a view decide.

    Args:
        config: `train.class_weights` is read.
        view: what training may see.
        device: of the outputs.

    Attributes:
        units: shift and scale, float32 `[C]` each, of outputs in the labels' own units; None: the
            last layer's are the outputs.

    Raises:
        InputError: a setting that the task does not have.
    """

    none: ClassVar[float]  # the label of a node that has none
    units: tuple[Tensor, Tensor] | None = None

    @abstractmethod
    def __init__(self, config: Config, view: NodeDataset, device: torch.device) -> None: ...

    @abstractmethod
    def errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Of each of some nodes, outputs `[n, C]` and labels `[n, ...]`, to `[n]`: 0 where no label
        is known. The mean over the training nodes is that over their known labels."""

    def total(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The sum of the errors."""
        return self.errors(outputs, labels).sum()

    def mean(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean of the errors of some training nodes."""
        return self.total(outputs, labels) / len(labels)

    def training_labels(self, view: NodeDataset) -> Tensor:
        """Labels of all nodes, `[N, ...]`: none but where they train."""
        labels = torch.full_like(view.labels, self.none)
        labels[view.train] = view.labels[view.train]
        return labels


class Divergence(nn.Module, ABC):
    r"""$D_{ij}$ of student i from teacher j, whose sum over edges is one over nodes:

    $$\sum_{ij} a_{ij}\,D_{ij} = \sum_i f(h^s_i, \mathrm{targets}_i, \mathrm{own}_i)$$

    with targets and own terms that are sums $\sum_j a_{ij}\,g(h^t_j)$ over the neighbours.

    Args:
        kl, tau: where the task has them.
        scale: of each column, `[C]`, likewise.
    """

    task: ClassVar[Task]
    of_distributions: ClassVar[bool] = True  # which have a temperature, and two directions
    edge_op: ClassVar[bool] = False  # whether `ops.edge_kl` computes it
    bytes_per_class: ClassVar[int] = 12  # and node, while the targets are made

    def __init__(self, kl: Direction, tau: float, scale: Tensor | None = None) -> None:
        super().__init__()
        self.kl, self.tau = kl, tau

    @classmethod
    def check(
        cls, kl: str = "forward", tau: float = 1.0, loss: str = "collapsed", where: str = ""
    ) -> None:
        """
        Args:
            loss: its form.
            where: begins messages.

        Raises:
            InputError: the task does not have it.
        """
        if not cls.of_distributions and tau != 1:
            raise InputError(f"{where}tau: {cls.task} has no temperature, expected 1, found {tau}")
        if not cls.of_distributions and kl != "forward":
            expected = "has no directions, expected forward"
            raise InputError(f"{where}kl: {cls.task} {expected}, found {kl}")
        if loss == "edge_kl" and not cls.edge_op:
            key, others = f"{where}loss" if where else "form", "collapsed and apply_edges"
            raise InputError(f"{key}: edge_kl is for classification; {cls.task} has {others}")

    @abstractmethod
    def collapse(
        self,
        logits: Tensor,
        aggregate: Aggregate,
        dtype: torch.dtype,
        columns: int,
        out: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Targets `[N, C]` and own terms `[N, 1 or 2]`, by so many columns at a time.

        Args:
            logits: the teacher's outputs, `[N, C]`, possibly memory-mapped.
            dtype: of both.
            out: where the targets go.
        """

    @abstractmethod
    def of_nodes(self, outputs: Tensor, targets: Tensor, own: Tensor) -> Tensor:
        """The sum of f over some nodes, from the student's outputs `[n, C]` in the dtype of
        `targets`."""

    @abstractmethod
    def readable(self, outputs: Tensor) -> Tensor:
        """Outputs `[N, C]` as `along_edges` takes them, of student and teacher."""

    @abstractmethod
    def along_edges(self, g: Any, teacher: Tensor, student: Tensor) -> None:
        """The definition: sets `g.edata["D"]`, `[E, 1]`. Sources are neighbours j, destinations
        students i; both from `readable`."""


def collapsed(
    logits: Tensor,
    aggregate: Aggregate,
    term: Callable[[slice, slice, Tensor], Tensor],
    dtype: torch.dtype,
    columns: int,
    out: Tensor,
    settle: Callable[[slice, slice, Tensor], Tensor] | None = None,
) -> Tensor:
    """`out`, filled with the sums over neighbours of a term of the teacher's outputs.

    Args:
        term: (rows, columns, outputs of these in `dtype`) to the term, likewise `[b, k]`.
        dtype: in which it is summed.
        settle: (rows, columns, sums) to what is kept.
    """
    N, C = logits.shape
    for k in range(0, C, columns):
        some = slice(k, min(k + columns, C))
        source = logits.new_empty(N, some.stop - k, dtype=dtype)
        for part, z in blocks(logits, BLOCK_ROWS):
            source[part] = term(part, some, z[:, some].to(dtype))
        sums = aggregate(source)
        del source
        for part, rows in blocks(sums, BLOCK_ROWS):
            out[part, some] = (rows if settle is None else settle(part, some, rows)).to(out.dtype)
            release(out)
    return out
