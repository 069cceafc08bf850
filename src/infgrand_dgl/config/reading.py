"""Experiment files: `extends:` a base file, `key=value` overrides, one clear error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    ValidationError,
)

from ..errors import InputError
from ..registry import nearest
from .explain import explain, kind_of
from .schema import Config


class _Loader(yaml.SafeLoader):
    """YAML where 1e-3 is a number, as in YAML 1.2, and a repeated key an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="expected a name as key", problem_mark=key.start_mark
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads an experiment file.

    Args:
        path: a YAML file; the name of a shipped experiment ("demo", "experiments/arxiv.yaml",
            "rivals/krd_cora_gcn_transductive") does where no such file exists.
        overrides: `section.key=value`, the value in YAML; they win over the file.

    Raises:
        InputError: names the file (or override) and key, what is allowed and what was found.
    """
    origin: dict[str, str] = {}
    merged = _read(find_config(path), origin)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise InputError(f"--set: expected section.key=value, found {override!r}")
        nested = _parse(text, f"--set {override}", "a YAML value")
        for part in reversed(key.split(".")):
            nested = {part: nested}
        _merge(merged, nested, origin, f"--set {override}")
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise InputError(explain(error, Config, origin, str(path))) from None


def find_config(path: str | Path) -> Path:
    """The file itself, or the shipped experiment of that name."""
    path = Path(path)
    try:
        if path.is_file():
            return path
    except OSError as error:  # a name too long
        raise InputError(f"{path}: {error.strerror}") from None
    shipped = shipped_experiments()
    name = path.as_posix().removesuffix(".yaml").removeprefix("experiments/")
    if name in shipped:
        return shipped[name]
    if path.exists():
        found = "a directory" if path.is_dir() else "no regular file"
        raise InputError(f"{path}: expected a YAML file, found {found}")
    raise InputError(f"{path}: no such file{nearest(name, shipped)}")


def shipped_experiments() -> dict[str, Path]:
    """The files by name, those of a folder as "rivals/krd_cora_gcn_transductive"."""
    folder = Path(str(resources.files(__package__))) / "experiments"
    files = [file for part in ("", "best", "rivals") for file in (folder / part).glob("*.yaml")]
    names = (file.relative_to(folder).with_suffix("").as_posix() for file in files)
    return dict(sorted(zip(names, files, strict=True)))


def _read(path: Path, origin: dict[str, str], extended: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in extended:
        raise InputError(f"{path}: extends itself, by way of {extended[-1]}")
    content = read_mapping(path, "sections")
    merged: dict[str, Any] = {}
    base = content.pop("extends", None)
    if base is not None:
        if not isinstance(base, str):
            raise InputError(f"{path}: extends: expected a file name, found {base!r}")
        parent = path.parent / base
        if not parent.is_file():
            shipped = shipped_experiments()
            if base not in shipped:
                raise InputError(f"{path}: extends: no such file: {parent}")
            parent = shipped[base]
        merged = _read(parent, origin, (*extended, path.resolve()))
    _merge(merged, content, origin, str(path))
    return merged


def read_mapping(path: Path, expected: str) -> dict[Any, Any]:
    """What a YAML file holds, not checked; of an empty one nothing.

    Raises:
        InputError: it cannot be read, or holds something else than what is `expected`.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected a YAML file, found binary data") from None
    content = _parse(text, str(path), "valid YAML")
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected {expected}, found {kind_of(content)}")
    return content


def _parse(text: str, source: str, expected: str) -> Any:
    try:
        for event in yaml.parse(text, _Loader):
            if isinstance(event, yaml.AliasEvent):  # it could hold itself
                raise yaml.YAMLError(f"aliases are not read: *{event.anchor}")
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2020-13-45
        raise InputError(f"{source}: not {expected} ({_problem(error)})") from None


def _merge(
    into: dict[str, Any], new: Mapping[Any, Any], origin: dict[str, str], source: str, at: str = ""
) -> None:
    """Merges section by section, and notes which source every key came from."""
    for key, value in new.items():
        where = f"{at}.{key}".lstrip(".")
        origin[where] = source
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, origin, source, where)
        elif isinstance(value, dict):
            into[key] = {}
            _merge(into[key], value, origin, source, where)
        else:
            into[key] = value


def _problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())


def flat(config: Config) -> dict[str, Any]:
    """All settings by `section.key`, as YAML has them."""
    settings: dict[str, Any] = {}
    for section, values in config.model_dump(by_alias=True).items():
        nested = values if isinstance(values, dict) else {"": values}
        settings |= {f"{section}.{key}".rstrip("."): value for key, value in nested.items()}
    return settings
