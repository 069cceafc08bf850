import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from infgrand_dgl.training.calibration import LEAST, MOST, temperature


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_of_logits_whose_labels_are_drawn_of_them(true):
    h = 2 * torch.randn(20_000, 4)
    y = torch.multinomial((h / true).softmax(dim=1), 1).squeeze(1)
    assert temperature(h, y) == pytest.approx(true, rel=0.1)
    drawn = torch.bernoulli((h / true).sigmoid())
    drawn[torch.rand(drawn.shape) < 0.3] = torch.nan
    assert temperature(h, drawn) == pytest.approx(true, rel=0.1)


def test_no_other_temperature_is_better():
    """By a grid, in NumPy."""
    h = np.random.randn(50, 3) * 3
    y = (h + np.random.gumbel(size=h.shape) * 2).argmax(axis=1)
    found = temperature(torch.from_numpy(h), torch.from_numpy(y))

    def error(T):
        return (logsumexp(h / T, axis=1) - h[np.arange(50), y] / T).mean()

    assert LEAST <= found <= MOST
    assert error(found) <= min(error(T) for T in np.geomspace(LEAST, MOST, 500)) + 1e-6


def test_logits_that_are_always_right_are_sharpened_and_no_more():
    h = torch.eye(3)[torch.arange(30) % 3]
    assert LEAST <= temperature(h, h.argmax(dim=1)) < 0.1
    assert temperature(h, (h.argmax(dim=1) + 1) % 3) > 10
