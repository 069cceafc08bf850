"""How every picture looks: one palette, readable without colour vision and on paper."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

from ..registry import (
    AMBER,
    BLACK,
    BLUE,
    GREEN,
    OLIVE,
    ORANGE,
    PINK,
    SKY,
    TEAL,
    WINE,
    Registry,
    measures,
    methods,
    sources,
    teachers,
)
from ..system.writing import writing

PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER, BLACK, WINE, TEAL, OLIVE)
MARKERS = "osD^vPX<>h*"

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


@dataclass(frozen=True)
class Look:
    """How something is shown, everywhere alike."""

    label: str
    color: str
    marker: str


ROLES = {"teacher": Look("Teacher", BLUE, "o"), "student": Look("Student", ORANGE, "X")}


def models() -> list[str]:
    """As legends have them: the teacher, the student, the methods from the last to the first."""
    return [*ROLES, *(method.name for method in reversed(methods.in_order()))]


def look(name: str) -> Look:
    """Of a role, or of a method, teacher, measure or dataset by its name."""
    if name in ROLES:
        return ROLES[name]
    registries: tuple[Registry[Any], ...] = (methods, teachers, measures, sources)
    for registry in registries:
        if name in registry:
            return _look(registry, name)
    return Look(name, BLACK, "o")


def _look(registry: Registry[Any], name: str) -> Look:
    choice, choices = registry[name], list(registry.values())
    beside = [*choices, *(ROLES.values() if registry is methods else ())]  # in a legend

    def free(attribute: str, usual: Sequence[str]) -> str:
        """For a choice that brings none: the next that nothing beside it has."""
        taken = {getattr(other, attribute) for other in beside}
        rest = [value for value in usual if value not in taken] or usual
        without = [other.name for other in choices if not getattr(other, attribute)]
        return rest[without.index(name) % len(rest)]

    color = choice.color or free("color", PALETTE)
    return Look(choice.label, color, choice.marker or free("marker", MARKERS))


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
