"""Splits drawn at random: so many nodes of each class, or shares of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from ..config.fields import Task
from ..errors import InputError
from .dataset import Split
from .imported import Part
from .labels import Labels, labelled, read_labels
from .splits import PARTS, SHARES, by_shares, per_class

USUAL = (20, 500, 1000)  # Shchur et al. (2018)


@dataclass(frozen=True)
class Draw:
    """
    Args:
        train_per_class: nodes of each class; None: by `fractions`.
        val, test: then of the rest.
        fractions: shares of the labelled nodes, of several labels those with one that is known,
            that train, validate and test.
        seed: of the first split; the next has the next.
        count: how many splits.
    """

    train_per_class: int | None = None
    val: int = USUAL[1]
    test: int = USUAL[2]
    fractions: tuple[float, ...] | None = None
    seed: int = 0
    count: int = 1

    def of(
        self, labels: np.ndarray, task: Task | Literal["auto"] = "auto", where: str = "labels"
    ) -> tuple[Part, ...]:
        """Splits of nodes by their labels, as `read_labels` takes them: those with one alone.

        Args:
            where: names the labels in messages.

        Raises:
            InputError: there are too few nodes, of a class or in all; or no classes to draw from.
        """
        found = _labels(labels, task, where)
        seeds = range(self.seed, self.seed + self.count)
        if self.fractions is not None:
            nodes, shares = labelled(found.values), self.fractions
            splits = [_of_option(nodes, shares, seed) for seed in seeds]
        else:
            assert self.train_per_class is not None
            if found.task != "classification":
                raise InputError(
                    f"--train-per-class {self.train_per_class}: expected classes, found labels of "
                    f"{found.task}; --fractions draws from all"
                )
            self._check_counts(found.values.numpy(), labels)
            counts = (self.train_per_class, self.val, self.test)
            splits = [per_class(found.values, seed, *counts) for seed in seeds]
        return tuple({part: getattr(each, part).numpy() for part in PARTS} for each in splits)

    def _check_counts(self, codes: np.ndarray, labels: np.ndarray) -> None:
        wanted = self.train_per_class or 0
        sizes = np.bincount(codes[codes >= 0])
        if (sizes < wanted).any():
            small = int(sizes.argmin())
            name = labels[codes == small][0]
            raise InputError(
                f"--train-per-class {wanted}: class {name} has {sizes[small]} nodes; "
                f"fewer, or --fractions, fit"
            )
        left = int(sizes.sum()) - wanted * len(sizes)
        if self.val + self.test > left:
            raise InputError(
                f"--val {self.val} --test {self.test}: {left} labelled nodes are left after "
                f"{wanted} of each of {len(sizes)} classes"
            )


def usual_split(
    labels: np.ndarray, task: Task | Literal["auto"] = "auto", where: str = "labels"
) -> tuple[tuple[Part, ...], str]:
    """The split of a graph that comes without one, and a line that tells of it: of classes 20
    nodes each where there are as many, else shares of all."""
    found, draw = _labels(labels, task, where), Draw(fractions=SHARES)
    how = ", ".join(f"{share:.0%}" for share in SHARES)
    if found.task == "classification":
        sizes = np.bincount(found.values[labelled(found.values)].numpy(), minlength=1)
        train, val, test = USUAL
        if sizes.min() > train and sizes.sum() - train * len(sizes) >= val + test:
            draw, how = Draw(train), f"{train} nodes of each class, {val} and {test}"
    told = f"it comes without splits: {how} train, validate and test, drawn with seed 0"
    return draw.of(labels, task, where), told


def _labels(labels: np.ndarray, task: Task | Literal["auto"], where: str) -> Labels:
    found = read_labels(labels, where, task)
    if not labelled(found.values).any():
        raise InputError(f"{where}: expected some, found none to draw splits from")
    return found


def _of_option(nodes: Tensor, shares: tuple[float, ...], seed: int) -> Split:
    try:
        return by_shares(nodes, shares, seed)
    except InputError as error:
        raise InputError(f"--fractions: {error}") from None
