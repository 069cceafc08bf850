import numpy as np
import pytest
from scipy.stats import spearmanr

from infgrand_dgl.report.statistics import calibration, most_confused, quantile_bins, spearman


def test_quantile_bins():
    shuffled = np.random.permutation(np.arange(1.0, 11.0))
    bins = quantile_bins(shuffled, 5)
    assert [sorted(shuffled[b]) for b in bins] == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    degrees = np.array([0, 0, 0, 1, 1, 2, 9])  # equal ones stay together
    assert [degrees[b].tolist() for b in quantile_bins(degrees, 3)] == [[0, 0, 0], [1, 1], [2, 9]]
    assert [len(b) for b in quantile_bins(np.array([0] * 9 + [5]), 4)] == [9, 1]
    assert [b.tolist() for b in quantile_bins(np.zeros(4), 5)] == [[0, 1, 2, 3]]
    assert [b.tolist() for b in quantile_bins(np.array([3.0, 1.0]), 5)] == [[1], [0]]


def test_calibration_by_hand():
    """Two nodes in the bin of 0.9, of which one is right, and one node in that of 0.6."""
    p = np.array([[0.88, 0.12], [0.92, 0.08], [0.4, 0.6]])
    found = calibration(p, np.array([0, 1, 1]))
    assert found.nodes.tolist() == [1, 2]
    assert found.confidence == pytest.approx([0.6, 0.9])
    assert found.accuracy == pytest.approx([1.0, 0.5])
    assert found.error == pytest.approx((1 * 0.4 + 2 * 0.4) / 3)


def test_calibration_of_many():
    p = np.random.dirichlet(np.full(4, 0.4), size=500).astype(np.float32)
    labels = np.random.randint(4, size=500)
    total = 0.0
    for k in range(15):
        inside = (p.max(1) > k / 15) & (p.max(1) <= (k + 1) / 15)
        if inside.any():
            gap = (p.argmax(1) == labels)[inside].mean() - p.max(1)[inside].mean()
            total += inside.mean() * abs(gap)
    assert calibration(p, labels).error == pytest.approx(total, abs=1e-5)
    assert calibration(np.eye(4)[labels], labels).error == 0


def test_most_confused():
    small = np.array([[9, 2, 0], [1, 9, 0], [0, 5, 9]])
    assert most_confused(small, 2) == [(2, 1, 5), (0, 1, 2)]
    assert most_confused(small, 9) == [(2, 1, 5), (0, 1, 2), (1, 0, 1)]


def test_spearman():
    x, y = np.random.rand(50), np.random.randint(5, size=50)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert spearman(x, np.ones(50)) is None
