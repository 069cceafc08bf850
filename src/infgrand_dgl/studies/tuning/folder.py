"""A search's folder: what was asked for, and every trial that has ended, in tune.json."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from ...config.reading import flat
from ...config.schema import Config
from ...errors import InputError
from ...experiment.directory import LOCK, locked
from ...experiment.environment import environment
from ...system.reading import reading
from ...system.writing import explained, writing
from ...training.metrics import METRICS, Metric
from ..grid import anywhere
from .search import suggest
from .space import Space, value_of
from .trials import STATES, Trial, is_poor, ranked

MARKER, WORK = "tune.json", "work"


@dataclass(frozen=True)
class Search:
    """What is searched, and how.

    Args:
        file: of the experiment.
        config: the experiment as it is without the space.
        seed: of what is tried.
        prune: whether a trial ends early whose first seeds are poor.
        across: the settings over which a trial is scored; none: the experiment's own.
    """

    file: Path
    config: Config
    space: Space
    seed: int = 0
    prune: bool = False
    across: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """What all trials of a folder have alike, by key; not where they run."""
        config = anywhere(self.config).replace("train", baselines=[], tensorboard=False)
        space = {f"space: {key}": part.written() for key, part in self.space.items()}
        options = {"--seed": self.seed, "--prune": self.prune, "--settings": list(self.across)}
        return {**flat(config), **space, **options}


@dataclass
class Trials:
    """The trials of a folder, in their order.

    Args:
        about: what the marker says beside.
    """

    search: Search
    out: Path
    about: dict[str, Any]
    ended: list[Trial]
    running: list[Trial] = field(default_factory=list)

    @property
    def metric(self) -> Metric:
        return METRICS[self.about["metric"]]

    @property
    def best(self) -> Trial | None:
        return next(iter(ranked(self.ended, self.metric.sign)), None)

    @property
    def counts(self) -> dict[str, int]:
        return {state: sum(t.state == state for t in self.ended) for state in STATES}

    def begin(self) -> Trial:
        """The next one; the first is the experiment itself, as far as it is in the space."""
        search, known = self.search, [*self.ended, *self.running]
        taken = {trial.number for trial in known}
        number = next(n for n in count() if n not in taken)
        values = suggest(search.space, known, number, search.seed, self.metric.sign)
        if number == 0:
            own = {key: value_of(search.config, key) for key in search.space}
            values |= {key: value for key, value in own.items() if value in search.space[key]}
        trial = Trial(number, values)
        self.running.append(trial)
        return trial

    def goes_on(self, trial: Trial) -> bool:
        """Whether it is worth its next seed."""
        last = len(trial.scores) == len(self.search.config.train.seeds)
        poor = self.search.prune and not last and is_poor(trial, self.ended, self.metric.sign)
        return not poor

    def end(self, trial: Trial, state: str, error: str = "") -> None:
        trial.state, trial.error = state, error
        self.running.remove(trial)
        self.ended = sorted([*self.ended, trial], key=lambda trial: trial.number)
        self.write()

    def write(self) -> None:
        """The marker."""
        ended = [asdict(trial) for trial in self.ended]
        content = {**self.about, "trials": self.counts, "ended": ended}
        with writing(self.out / MARKER) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n")


@contextmanager
def opened(search: Search, out: Path, command: str) -> Iterator[Trials]:
    """The trials of a folder, which is made if there is none; no other process has it meanwhile.

    Raises:
        InputError: it holds something else, or trials of other settings; another process has it.
    """
    with explained(out, "--out"):
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out}: expected a folder, found a file")
        out.mkdir(parents=True, exist_ok=True)
        foreign = [path for path in out.iterdir() if path.name not in (LOCK, WORK)]
        if foreign and not (out / MARKER).is_file():
            raise InputError(f"--out {out}: expected a new folder, or one of tune")
        lock = locked(out, out)
    try:
        yield _read(search, out, command)
    finally:
        (out / LOCK).unlink()
        os.close(lock)
        if not (out / MARKER).is_file():  # nothing has come of it
            shutil.rmtree(out / WORK, ignore_errors=True)
            with suppress(OSError):
                out.rmdir()


def _read(search: Search, out: Path, command: str) -> Trials:
    settings, path = search.settings(), out / MARKER
    if not path.is_file():
        about = {
            "study": "tune",
            "title": f"Tuning of {search.file.stem}",
            "command": command,
            "seconds": 0.0,
        }
        about |= {"metric": "accuracy", "environment": environment(), "settings": settings}
        return Trials(search, out, about, [])
    with reading(path, "written by tune"):
        about = json.loads(path.read_text())
        ended = [Trial(**trial) for trial in about.pop("ended")]
        held = dict(about["settings"])
        METRICS[about["metric"]], float(about["seconds"])
        # Each line made a part.
        lines = dict.fromkeys([*about["command"].splitlines(), command])
    for key in {**held, **settings}:
        was, now = (each.get(key, "none") for each in (held, settings))
        if was != now:
            raise InputError(
                f"--out {out}: holds trials with other settings ({key}: {was}, now {now}); "
                "choose another folder"
            )
    return Trials(search, out, {**about, "command": "\n".join(lines)}, ended)
