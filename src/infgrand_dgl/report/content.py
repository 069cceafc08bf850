"""What a page is made of; template.html says how it looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from ..present.style import data_uri

Cells = Sequence[str]


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of which names its row; without a header, names and values."""

    rows: Sequence[Cells]
    header: Cells = ()
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, what it shows for those who do not see it, and its caption."""

    uri: str
    alt: str
    caption: str

    @classmethod
    def of(cls, figure: Figure, alt: str, caption: str) -> "Picture":
        return cls(data_uri(figure), alt, caption)


@dataclass(frozen=True)
class Section:
    """Under a title: a note, text, tables, pictures, and a listing to unfold."""

    title: str
    note: str = ""
    text: Markup | str = ""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    listing: str = ""


@dataclass(frozen=True)
class Part:
    """One run or study, or what compares several."""

    kind: str
    title: str
    lead: str
    sections: Sequence[Section]
    command: str = ""


def facts(values: Mapping[str, Any], caption: str = "") -> Table:
    """Names and values, nested ones in one cell."""
    return Table([[key.replace("_", " "), _text(v)] for key, v in values.items()], caption=caption)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else str(value)
