"""What a report counts: bins of nodes, calibration, confusions, rank correlation."""

from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

BINS = 15  # of calibration


def quantile_bins(values: np.ndarray, count: int) -> list[np.ndarray]:
    """At most `count` bins of about as many values each, ascending: positions in `values` `[n]`.

    Equal values share a bin, so that bins of small integers may differ in size.
    """
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]))
    bins = np.searchsorted(edges, values)
    rows = [np.flatnonzero(bins == k) for k in range(len(edges) + 1)]
    return [r for r in rows if len(r)]


class Calibration(NamedTuple):
    """Of the bins that hold nodes: mean confidence, accuracy and number of nodes, `[B]` each."""

    confidence: np.ndarray
    accuracy: np.ndarray
    nodes: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap between the two, weighted by nodes."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.nodes))


def calibration(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Over `BINS` bins of one width, from the likeliest class of `[n, C]` and its probability."""
    return _binned(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def calibration_of_labels(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Of all known labels of all nodes, `[n, C]`, NaN where one is not: the probability that
    it has is the confidence, the share that a node has it the accuracy."""
    known = ~np.isnan(labels)
    return _binned(probabilities[known], labels[known] == 1)


def _binned(confidence: np.ndarray, correct: np.ndarray) -> Calibration:
    confidence, correct = confidence.astype(np.float64), correct.astype(np.float64)
    index = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    nodes, sure, right = (np.bincount(index, w, BINS) for w in (None, confidence, correct))
    used = nodes > 0
    return Calibration(sure[used] / nodes[used], right[used] / nodes[used], nodes[used])


def most_confused(matrix: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """(class, what it was taken for, nodes) of the largest entries of `[C, C]` off the diagonal."""
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:count]
    pairs = [(*divmod(int(k), len(off)), int(off.flat[k])) for k in order]
    return [pair for pair in pairs if pair[2]]


def spearman(x: np.ndarray, y: np.ndarray) -> float | None:
    """Rank correlation; None where either is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(spearmanr(x, y).statistic)
