"""What of a run is finished, by the fingerprint of what it was made of, and its arrays."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from .. import __version__
from ..present.console import Reporter
from ..system.arrays import load_array, map_array
from ..system.reading import reason
from ..system.runtime import Runtime
from ..system.writing import writing

log = logging.getLogger(__name__)


class Stages:
    """Which stages of a run are finished, and what they were made of: stages.json.

    A stage is finished for the fingerprint of its inputs alone; with other inputs it is done anew.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.path = run, run / "stages.json"
        self.stages: dict[str, Any] = self._read() if self.path.is_file() else {}

    def _read(self) -> dict[str, Any]:
        """Of a damaged file nothing, with a warning."""
        try:
            stages = json.loads(self.path.read_text())
            for stage in stages.values():
                stage["fingerprint"], dict(stage["result"]), [Path(f) for f in stage["files"]]
            return dict(stages)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("%s: unreadable, its stages are done anew (%s)", self.path, reason(error))
            return {}

    def finished(self, name: str, fingerprint: str) -> dict[str, Any] | None:
        """The result of a stage, if it was finished for these inputs and its files are whole."""
        stage = self.stages.get(name)
        if stage is None or stage["fingerprint"] != fingerprint:
            return None
        paths = [self.run / f for f in stage["files"]]
        return stage["result"] if all(p.is_file() and is_whole(p) for p in paths) else None

    def finish(
        self, name: str, fingerprint: str, files: Sequence[str], result: Mapping[str, Any]
    ) -> None:
        stage = {"fingerprint": fingerprint, "files": list(files), "result": dict(result)}
        self.stages[name] = stage
        with writing(self.path) as partial:
            partial.write_text(json.dumps(self.stages, indent=1) + "\n")

    def files(self) -> list[str]:
        return [name for stage in self.stages.values() for name in stage["files"]]


def is_whole(path: Path) -> bool:
    """Whether an array or weights are as long as their own header says; else there is a warning."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt"):
                return True
        np.lib.format.open_memmap(path, mode="r")
        return True
    except Exception as error:  # of many kinds
        log.warning("%s: damaged, made anew (%s)", path, reason(error))
        return False


def fingerprint(*parts: Any) -> str:
    """Of anything that JSON can say; models of a configuration included."""
    text = json.dumps([__version__, *parts], sort_keys=True, default=lambda m: m.model_dump())
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Artifact(NamedTuple):
    """An array of a run, and the fingerprint of its making."""

    values: Tensor
    fingerprint: str


class Artifacts:
    """Arrays that no training changes: computed once, kept in files of the run or in memory.

    Attributes:
        seconds: spent on each stage by this process or the one that computed what is reused.
    """

    def __init__(self, run: Path, stages: Stages, runtime: Runtime, report: Reporter) -> None:
        self.run, self.stages, self.runtime, self.report = run, stages, runtime, report
        self.arrays: dict[str, Tensor] = {}  # by fingerprint
        self.filed: dict[str, str] = {}  # the fingerprint of what a file has
        self.seconds: dict[str, float] = {}

    def __contains__(self, fingerprint: str) -> bool:
        return fingerprint in self.arrays

    def forget(self) -> None:
        """Arrays in memory, which another seed has no use for."""
        self.arrays.clear()

    def drop_unused(self, seeds: Sequence[int]) -> None:
        """Removes what an earlier run had for all or for one of these seeds and this one has not:
        readers look for an array in the run first, and then in a seed's folder."""
        folders = {Path(), *(Path(f"seed-{seed}") for seed in seeds)}
        for key, stage in self.stages.stages.items():
            file = f"{key}.npy"
            if stage["files"] == [file] and file not in self.filed and Path(file).parent in folders:
                (self.run / file).unlink(missing_ok=True)

    def array(
        self,
        stage: str,
        fingerprint: str,
        file: str | None,
        compute: Callable[[Path | None, Runtime], Tensor],
    ) -> Artifact:
        """A stage's array: of this process, of the run directory, or computed now.

        Args:
            file: where in the run it is kept; None: in memory alone.
            compute: given the path, which it writes, and where it runs.
        """
        exists = file is None or (
            self.filed.get(file) == fingerprint and (self.run / file).is_file()
        )
        if fingerprint not in self.arrays or not self.runtime.ranks.tell(exists):
            if file is None:
                with self.report.timed(stage) as bar:
                    values = compute(None, replace(self.runtime, progress=bar.update))
            else:
                values = self._in_file(stage, fingerprint, file, compute)
                self.filed[file] = fingerprint
            self.arrays[fingerprint] = values
        return Artifact(self.arrays[fingerprint], fingerprint)

    def _in_file(
        self,
        stage: str,
        fingerprint: str,
        file: str,
        compute: Callable[[Path | None, Runtime], Tensor],
    ) -> Tensor:
        key, path, ranks = file.removesuffix(".npy"), self.run / file, self.runtime.ranks
        self.seconds.setdefault(stage, 0.0)
        result = ranks.tell(self.stages.finished(key, fingerprint))
        if result is not None:
            self.report.line(f"{stage:<28} reused ({result['seconds']:.2f} s)")
            self.seconds[stage] += result["seconds"]
            return self.read(path)
        if ranks.first:
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
        start = time.perf_counter()
        with self.report.bar(stage) as bar:
            values = compute(path, replace(self.runtime, progress=bar.update))
            seconds = time.perf_counter() - start
            bar.result = f"{seconds:.2f} s"
        self.seconds[stage] += seconds
        if ranks.first:
            self.stages.finish(key, fingerprint, [file], {"seconds": seconds})
        ranks.wait()
        return values

    def read(self, path: Path) -> Tensor:
        """An array of the run: in memory where it takes little of what is left, else mapped."""
        if path.stat().st_size < self.runtime.budget.left() / 4:
            return torch.from_numpy(load_array(path))
        return map_array(path)
