"""Draws docs/images/choosing.svg: `python docs/choosing_picture.py`."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes

from infgrand_dgl.present.style import RC, save, subplots
from infgrand_dgl.registry import BLACK, BLUE, ORANGE

# By name: text, place of the middle, and width; questions in blue, answers in orange.
QUESTIONS = {
    "edges": ("Does a node have edges\nwhen it is served?", (5.0, 7.2), 2.9),
    "recipe": (
        "Is there time to tune\na recipe?",
        (7.4, 5.6),
        3.6,
    ),
    "labels": ("Are there few labels?", (7.6, 4.0), 2.6),
    "teacher": ("Is there a teacher better than\nan MLP, or time to train one?", (8.3, 2.4), 3.3),
    "taught": ("Is there a teacher, or\ntime to train one?", (1.75, 5.6), 2.7),
}
ANSWERS = {
    "best": ("infgrand-dgl tune", (4.75, 4.0), 2.2),
    "grand": ("grand", (5.5, 2.4), 1.3),
    "infgrand": ("infgrand, or glnn\non propagated features", (6.45, 0.9), 2.7),
    "hops": ("mlp on propagated\nfeatures, sign, gamlp", (9.3, 0.9), 2.4),
    "glnn": ("glnn; then krd,\nffg2m, hgmd", (2.4, 4.0), 1.95),
    "mlp": ("mlp", (0.75, 4.0), 0.9),
}
ARROWS = [
    ("edges", "recipe", "yes"),
    ("edges", "taught", "no"),
    ("recipe", "best", "yes"),
    ("recipe", "labels", "no"),
    ("labels", "grand", "yes"),
    ("labels", "teacher", "no"),
    ("teacher", "infgrand", "yes"),
    ("teacher", "hops", "no"),
    ("taught", "glnn", "yes"),
    ("taught", "mlp", "no"),
]
HEIGHT = 0.78


def draw(axes: Axes) -> None:
    nodes = QUESTIONS | ANSWERS
    for start, end, answer in ARROWS:
        (_, (x0, y0), _), (_, (x1, y1), _) = nodes[start], nodes[end]
        ends = (x0, y0 - HEIGHT / 2), (x1, y1 + HEIGHT / 2)
        arrow = {"arrowstyle": "-|>", "color": BLACK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", ends[1], ends[0], arrowprops=arrow)
        middle = (ends[0][0] + ends[1][0]) / 2, (ends[0][1] + ends[1][1]) / 2
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(*middle, answer, ha="center", va="center", fontsize=7.5, bbox=white)
    for kind, color in ((QUESTIONS, BLUE), (ANSWERS, ORANGE)):
        for text, (x, y), width in kind.values():
            corner = (x - width / 2, y - HEIGHT / 2)
            style = "round,pad=0,rounding_size=0.12"
            box = mpl.patches.FancyBboxPatch(
                corner, width, HEIGHT, style, facecolor="white", edgecolor=color, linewidth=1.2
            )
            axes.add_patch(box)
            axes.text(x, y, text, ha="center", va="center", fontsize=8)
    axes.set(xlim=(0.1, 10.6), ylim=(0.4, 7.7))
    axes.set_axis_off()


if __name__ == "__main__":
    with mpl.rc_context(RC):
        figure, axes = subplots(width=6.5, height=4.6)
        draw(axes)
    save(figure, Path(__file__).parent / "images/choosing.svg")
