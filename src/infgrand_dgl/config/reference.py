"""docs/configuration.md, made of the schema: `python -m infgrand_dgl.config.reference`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from ..registry import Registry
from .schema import Config

INTRODUCTION = """\
# Configuration

Every key of an experiment file. `extends: FILE` takes the keys of another file first; `--set
section.key=value` on the command line wins over both. An unknown key is an error. This page is
made of the schema: `make configuration` writes it anew.
"""
TYPES = {int: "integer", float: "number", str: "text", bool: "true or false"}


def reference() -> str:
    """The page, in Markdown."""
    fields = Config.model_fields
    top = {key: field for key, field in fields.items() if not _is_section(field)}
    parts = [INTRODUCTION, *_table(top)]
    for key, field in fields.items():
        if _is_section(field):
            section = field.annotation
            assert section is not None
            parts += [f"\n## {key}\n", f"{section.__doc__}\n", *_table(section.model_fields)]
    return "\n".join(parts) + "\n"


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _table(fields: dict[str, FieldInfo]) -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in fields.items():
        kind = _type(field.annotation, field.metadata)
        default = "required" if field.is_required() else f"`{_value(field.default)}`"
        meaning = " ".join((field.description or "").split())
        cells = (f"`{field.alias or name}`", kind, default, meaning)
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _value(value: Any) -> str:
    """As YAML has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], [*arguments[1:], *metadata])
    if origin is Literal:
        return ", ".join(f"`{_value(choice)}`" for choice in arguments)
    if origin in (Union, UnionType):
        some = [_type(each, metadata) for each in arguments if each is not NoneType]
        return " or ".join([*some, "null"])
    if origin is list:
        return f"list of {_type(arguments[0])}"
    bounds = []
    for constraint in _flat(metadata):
        if isinstance(constraint, AfterValidator):
            known = getattr(constraint.func, "__self__", None)
            return ", ".join(f"`{n}`" for n in known) if isinstance(known, Registry) else "path"
        if isinstance(constraint, BeforeValidator):
            return "bytes"
        for sign, attribute in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le")):
            value = getattr(constraint, attribute, None)
            if value is not None:
                bounds.append(f"{sign} {value:,}")
    return ", ".join([TYPES[annotation], *bounds])


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    """The constraints, those of a `Field` one by one."""
    for each in metadata:
        yield from each.metadata if isinstance(each, FieldInfo) else [each]


if __name__ == "__main__":
    print(reference(), end="")
