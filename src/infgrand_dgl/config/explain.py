"""pydantic's errors in one line: source, key, what is allowed and found, the nearest match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ..registry import nearest

EXPECTED = {
    "int_type": "expected an integer",
    "float_type": "expected a number",
    "string_type": "expected a text",
    "bool_type": "expected true or false",
    "list_type": "expected a list",
    "too_short": "expected at least one",
}
KINDS = {dict: "a section", list: "a list", str: "a text", type(None): "nothing"}


def explain(
    error: ValidationError, model: type[BaseModel], origin: Mapping[str, str], source: str
) -> str:
    """Of the first error.

    Args:
        model: what was validated.
        origin: where each key came from: a file, or an option.
        source: where those came from that are not in `origin`.
    """
    first = error.errors()[0]
    location, kind = first["loc"], first["type"]
    parts = [str(part) for part in location]
    section = model
    for part in location[:-1] if kind == "extra_forbidden" else location:
        field = _annotation(section, part)
        if isinstance(field, type) and issubclass(field, BaseModel):
            section = field
    names = [f.alias or name for name, f in section.model_fields.items()]
    longest_first = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    source = next((origin[key] for key in longest_first if key in origin), source)
    message = _message(first, kind, "key" if len(parts) > 1 else "section", names)
    return ": ".join(filter(None, [source, ".".join(parts), message]))


def _message(error: Any, kind: str, noun: str, names: list[str]) -> str:
    value = error["input"]
    if kind == "extra_forbidden":
        hint = nearest(str(error["loc"][-1]), names)
        return f"unknown {noun}{hint} (allowed: {', '.join(names)})"
    if kind == "missing":
        return "required, but not given"
    if kind == "literal_error":
        allowed = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        hint = nearest(str(value), allowed.split(", "))
        return f"expected one of {allowed}; found {value!r}{hint}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind in ("model_type", "model_attributes_type"):
        return f"expected a section with keys {', '.join(names)}; found {kind_of(value)}"
    return f"{EXPECTED.get(kind) or _bound(error)}, found {value!r}"


def kind_of(value: Any) -> str:
    """What a reader of YAML calls a value of this type."""
    return KINDS.get(type(value), type(value).__name__)


def _bound(error: Any) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    bounds = [f"{signs[k]} {v}" for k, v in error.get("ctx", {}).items() if k in signs]
    return f"expected a number {' and '.join(bounds)}" if bounds else error["msg"]


def _annotation(section: type[BaseModel], key: Any) -> Any:
    for name, field in section.model_fields.items():
        if key in (name, field.alias):
            return field.annotation
    return None
