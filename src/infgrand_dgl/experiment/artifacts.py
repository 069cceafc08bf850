"""The finished stages of a run, by the fingerprint of what they were made of."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..system.reading import reading
from ..system.writing import writing


class Stages:
    """Which stages of a run are finished, and what they were made of: stages.json.

    A stage is finished for the fingerprint of its inputs alone; with other inputs it is done anew.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.path = run, run / "stages.json"
        self.finished_ones: dict[str, Any] = {}
        if self.path.is_file():
            with reading(self.path, "written by train"):
                self.finished_ones = dict(json.loads(self.path.read_text()))

    def finished(self, name: str, fingerprint: str) -> dict[str, Any] | None:
        """The result of a stage, if it was finished for these inputs and its files are there."""
        stage = self.finished_ones.get(name)
        if stage is None or stage["fingerprint"] != fingerprint:
            return None
        return stage["result"] if all((self.run / f).is_file() for f in stage["files"]) else None

    def finish(
        self, name: str, fingerprint: str, files: Sequence[str], result: Mapping[str, Any]
    ) -> None:
        stage = {"fingerprint": fingerprint, "files": list(files), "result": dict(result)}
        self.finished_ones[name] = stage
        with writing(self.path) as partial:
            partial.write_text(json.dumps(self.finished_ones, indent=1) + "\n")

    def files(self) -> list[str]:
        return [name for stage in self.finished_ones.values() for name in stage["files"]]


def fingerprint(*parts: Any) -> str:
    """Of anything that JSON can say; models of a configuration included."""
    text = json.dumps([__version__, *parts], sort_keys=True, default=lambda m: m.model_dump())
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
