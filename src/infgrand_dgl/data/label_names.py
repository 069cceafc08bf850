"""Names of the columns of labels that are no classes, in a folder of one's own."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import InputError
from ..system.reading import reading

FILE = "label_names.json"


def read_names(folder: Path) -> tuple[str, ...] | None:
    """None: there is no such file.

    Raises:
        InputError: it is no list of distinct texts.
    """
    path = folder / FILE
    if not path.exists():
        return None
    with reading(path, "valid JSON"):
        content = json.loads(path.read_text(encoding="utf-8"))
    texts = isinstance(content, list) and all(isinstance(name, str) for name in content)
    if not texts or len(set(content)) < len(content):
        found = str(content)[:40]
        raise InputError(f"{path}: expected a list of distinct names of columns, found {found}")
    return tuple(content)


def write_names(names: tuple[str, ...], folder: Path) -> None:
    (folder / FILE).write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")
