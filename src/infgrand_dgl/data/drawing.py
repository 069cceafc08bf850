"""Splits drawn at random: so many nodes of each class, or shares of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..errors import InputError
from .imported import Part
from .labels import read_labels
from .splits import PARTS, per_class

USUAL = (20, 500, 1000)  # Shchur et al. (2018)
SHARES = (0.5, 0.25, 0.25)  # of smaller graphs


@dataclass(frozen=True)
class Draw:
    """
    Args:
        train_per_class: nodes of each class; None: by `fractions`.
        val, test: then of the rest.
        fractions: shares of the labelled nodes that train, validate and test.
        seed: of the first split; the next has the next.
        count: how many splits.
    """

    train_per_class: int | None = None
    val: int = USUAL[1]
    test: int = USUAL[2]
    fractions: tuple[float, ...] | None = None
    seed: int = 0
    count: int = 1

    def of(self, labels: np.ndarray) -> tuple[Part, ...]:
        """Splits of nodes by their labels `[N]`: those with one alone.

        Raises:
            InputError: there are too few nodes, of a class or in all.
        """
        codes = _codes(labels)
        seeds = range(self.seed, self.seed + self.count)
        if self.fractions is not None:
            return tuple(_by_shares(codes, self.fractions, seed) for seed in seeds)
        assert self.train_per_class is not None
        self._check_counts(codes, labels)
        counts = (self.train_per_class, self.val, self.test)
        splits = [per_class(torch.from_numpy(codes), seed, *counts) for seed in seeds]
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


def usual_split(labels: np.ndarray) -> tuple[tuple[Part, ...], str]:
    """The split of a graph that comes without one, and a line that tells of it."""
    sizes = np.bincount(_codes(labels)[_codes(labels) >= 0], minlength=1)
    train, val, test = USUAL
    if sizes.min() > train and sizes.sum() - train * len(sizes) >= val + test:
        draw, how = Draw(train), f"{train} nodes of each class, {val} and {test}"
    else:
        draw, how = Draw(fractions=SHARES), ", ".join(f"{share:.0%}" for share in SHARES)
    told = f"it comes without splits: {how} train, validate and test, drawn with seed 0"
    return draw.of(labels), told


def _codes(labels: np.ndarray) -> np.ndarray:
    """int64 `[N]` of classes 0 to C - 1 in ascending order; -1 of nodes without a label."""
    codes = read_labels(labels, "labels").values.numpy()
    if (codes < 0).all():
        raise InputError("labels: expected some, found none to draw splits from")
    return codes


def _by_shares(codes: np.ndarray, shares: tuple[float, ...], seed: int) -> Part:
    nodes = np.flatnonzero(codes >= 0)
    order = torch.randperm(len(nodes), generator=torch.Generator().manual_seed(seed)).numpy()
    ends = np.round(np.cumsum(shares) * len(nodes)).astype(int)
    if min(np.diff([0, *ends])) < 1:
        raise InputError(
            f"--fractions {' '.join(f'{share:g}' for share in shares)}: some part of "
            f"{len(nodes)} labelled nodes is empty"
        )
    parts = np.split(nodes[order], ends)
    return {part: np.sort(parts[i]) for i, part in enumerate(PARTS)}
