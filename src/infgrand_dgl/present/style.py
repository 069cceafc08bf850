"""How every picture looks: one palette, readable without colour vision and on paper."""

import base64
import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

from ..system.writing import writing

# Okabe and Ito's colours; a colour and a marker belong to one model everywhere.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, BLACK = "#56B4E9", "#E69F00", "#222222"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER, BLACK)
MARKERS = "osD^vPX"
MARKER_OF = {"teacher": "o", "mlp": "s", "glnn": "^", "infgrand": "D", "student": "X"}
MARKER_OF |= {"gcn": "o", "sage": "v", "gat": "P"}
COLORS = {
    "teacher": BLUE,
    "student": ORANGE,
    "infgrand": ORANGE,
    "mlp": GREEN,
    "glnn": PINK,
    "gcn": BLUE,
    "sage": SKY,
    "gat": AMBER,
}
NAMES = {
    "teacher": "Teacher",
    "student": "Student",
    "infgrand": "InfGraND",
    "mlp": "MLP",
    "glnn": "GLNN",
    "gcn": "GCN",
    "sage": "GraphSAGE",
    "gat": "GAT",
}

RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.linewidth": 0.7,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2.5,
    "svg.hashsalt": "infgrand-dgl",  # the same figure, the same file
}


def subplots(
    rows: int = 1, columns: int = 1, *, width: float = 5.5, height: float = 3.4, **kwargs: Any
) -> tuple[Figure, Any]:
    """`Figure.subplots` in this style; the size in inches is that of the whole figure."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, **kwargs)


def save(figure: Figure, path: Path) -> None:
    """By the suffix of `path`, whole or not at all."""
    kind = path.suffix.removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else None
    with writing(path) as partial, mpl.rc_context(RC):
        figure.savefig(partial, format=kind, dpi=200, metadata=metadata)


def data_uri(figure: Figure) -> str:
    """The figure as an SVG that stands in an HTML page by itself."""
    buffer = io.BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="svg", dpi=200, metadata={"Date": None})
    return as_data_uri(buffer.getvalue(), "svg+xml")


def as_data_uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
