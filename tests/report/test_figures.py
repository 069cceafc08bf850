from typing import Any

import numpy as np
import pytest

from infgrand_dgl.present.style import data_uri, look
from infgrand_dgl.report import figures


def test_the_same_figure_the_same_picture():
    drawn = [figures.confusion_matrix(np.array([[5, 1], [0, 7]])) for _ in range(2)]
    assert len({data_uri(figure) for figure in drawn}) == 1


@pytest.mark.parametrize(
    ("names", "shown"),
    [(["bio", "x" * 30], ["bio", "x" * 12 + "…"]), (["5", "9"], ["5", "9"])],
)
def test_classes_have_their_names_on_the_axes(names, shown):
    (axes,) = figures.confusion_matrix(np.array([[5, 1], [0, 7]]), names).axes
    for axis in (axes.xaxis, axes.yaxis):
        assert [tick.get_text() for tick in axis.get_ticklabels()] == shown
        assert axis.get_ticklocs().tolist() == [0, 1]


def wilson(correct: int, count: int, z: float = 1.959964) -> list[float]:
    """By the book: the middle is drawn towards a half."""
    share, spread = correct / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return [100 * (middle - half), 100 * (middle + half)]


def test_bars_are_wilson_intervals():
    counts = [(0, 5), (5, 5), (3, 7), (930, 1000)]
    by_model = {"teacher": counts, "mlp": counts[::-1]}
    (axes,) = figures.accuracy_by("abcd", by_model, "Neighbours").axes
    containers: list[Any] = list(axes.containers)
    for container, (model, expected) in zip(containers, by_model.items(), strict=True):
        points, _, (bars,) = container.lines
        assert container.get_label() == look(model).label
        assert points.get_color() == look(model).color
        assert points.get_ydata() == pytest.approx([100 * r / n for r, n in expected])
        for segment, (r, n) in zip(bars.get_segments(), expected, strict=True):
            assert segment[:, 1] == pytest.approx(wilson(r, n), abs=1e-4)
