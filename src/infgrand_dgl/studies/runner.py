"""Runs the cells of a study, several at a time, each in a process of its own.

    study.json           what was asked for, how many cells are finished, versions and devices
    results.csv          one row for each trained model
    <extra>.csv          what a study keeps besides, e.g. correlations.csv of the measures
    <study>*.md|png|svg  tables and figures
    cells/<cell>/        config.yaml, metrics.json, history.csv, logits of a finished cell
    cells/<cell>.error.txt  why one failed

A finished cell is kept and not run again while its configuration is the same.
"""

import json
import logging
import multiprocessing
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import InputError
from ..experiment.environment import environment
from ..present.console import Reporter
from ..registry import studies
from ..system.reading import reading, reason
from ..system.writing import explained, writing
from .grid import Cell
from .render import render
from .worker import error_of, work

log = logging.getLogger(__name__)

Rows = list[dict[str, Any]]

MARKER = "study.json"
# Settings that say where and not what: a study may go on with others.
PLACES = ("data.root=", "train.device=", "resources.")


def study(
    name: str,
    cells: Sequence[Cell],
    out: Path,
    *,
    command: str,
    overrides: Sequence[str] = (),
    jobs: int = 1,
    render_only: bool = False,
    report: Reporter,
) -> dict[str, int]:
    """Runs what is not finished yet and renders everything that is; counts of cells by status.

    Args:
        cells: what is asked for; finished ones in `out` that are not among them are rendered too.
        command: that makes this study, for its page.
        overrides: `key=value`; a folder holds one study with one set of them.
        jobs: cells at a time; each takes an even share of the threads.
        render_only: run nothing.

    Raises:
        InputError: `out` holds something else, or the study with other settings.
    """
    what = sorted(o for o in overrides if not o.startswith(PLACES))
    before = _opened(name, out, what)
    if not before and render_only:
        raise InputError(f"--render-only: --out {out} holds no study yet")
    plan = studies[name]
    if plan.alone:
        jobs = 1
    todo = [c for c in cells if _finished(out, c.name).get("mark") != c.fingerprint]
    todo = [] if render_only else todo
    start = time.perf_counter()
    about = {
        "study": name,
        "title": plan.label,
        "command": command,
        "set": what,
        "environment": environment(),
    }
    if not before:  # a kill now, and the folder is this study's all the same
        with explained(out, "--out"):
            (out / "cells").mkdir(parents=True, exist_ok=True)
        _write_marker(out, {**about, "seconds": 0.0, "cells": {}})
    elif not todo:  # what made it stays
        about |= {key: before[key] for key in ("command", "environment")}
    else:  # each line made a part
        about["command"] = "\n".join(dict.fromkeys([*before["command"].splitlines(), command]))
    if todo and len(todo) < len(cells):
        report.line(f"{len(cells) - len(todo)} of {len(cells)} cells are finished already")
    try:
        _run(name, todo, out, jobs, report)
    except BaseException as error:
        error.add_note("what is finished is kept; to go on: the same command")
        raise
    finally:
        spent = time.perf_counter() - start if todo else 0.0  # rendering alone is not counted
        seconds = before.get("seconds", 0.0) + spent
        counts = _gather(name, cells, out, {**about, "seconds": seconds})
    return counts


def _opened(name: str, out: Path, what: list[str]) -> dict[str, Any]:
    path = out / MARKER
    if path.is_file():
        with reading(path, "written by study"):
            before = json.loads(path.read_text())
            held = (before["study"], before["set"])
        if held != (name, what):
            text = " ".join([held[0], *held[1]])
            raise InputError(f"--out {out}: holds the study {text}; choose another folder")
        return before
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: expected a new folder, or one of this study")
    return {}


def _write_marker(out: Path, about: Mapping[str, Any]) -> None:
    with writing(out / MARKER) as partial:
        partial.write_text(json.dumps(about, indent=2) + "\n")


def _finished(out: Path, name: str) -> dict[str, Any]:
    """The cell.json of a cell of that name; empty where there is none, or a damaged one."""
    path = out / "cells" / name / "cell.json"
    if not path.is_file():
        return {}
    try:
        result = json.loads(path.read_text())
        result["mark"], [dict(row) for row in result["rows"]]
        return dict(result)
    except (ValueError, TypeError, KeyError) as error:
        log.warning("%s: unreadable, counts as not run (%s)", path, reason(error))
        return {}


def _run(name: str, todo: Sequence[Cell], out: Path, jobs: int, report: Reporter) -> None:
    # Forked from a server that has imported everything, and started no thread.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["infgrand_dgl.studies.worker"])
    threads = None if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)
    running: dict[int, tuple[BaseProcess, Cell, float]] = {}
    waiting, done, start = list(todo), 0, time.perf_counter()
    with report.bar(name, len(todo)) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    cell = waiting.pop(0)
                    process = _started(context, name, cell, out, threads)
                    running[process.sentinel] = process, cell, time.perf_counter()
                    bar.update(done, note=_names(running))
                ended = wait(list(running))
                for sentinel in [s for s in running if s in ended]:
                    process, cell, began = running.pop(sentinel)
                    process.join()
                    done += 1
                    now = time.perf_counter()
                    left = (now - start) / done * (len(todo) - done)
                    outcome = _outcome(process, out / "cells" / cell.name)
                    report.line(
                        f"{cell.name}: {outcome}, {now - began:.0f} s "
                        f"({done} of {len(todo)}, about {left / 60:.0f} min left)"
                    )
                    bar.update(done, note=_names(running))
        except BaseException:
            for process, *_ in running.values():
                process.terminate()
            for process, *_ in running.values():
                process.join()
            raise
        bar.result = f"{time.perf_counter() - start:.0f} s"


def _started(context: Any, name: str, cell: Cell, out: Path, threads: int | None) -> BaseProcess:
    folder = out / "cells" / cell.name
    if folder.is_dir():  # of another configuration
        shutil.rmtree(folder)
    error_of(folder).unlink(missing_ok=True)
    process = context.Process(target=work, args=(name, cell, folder, threads))
    process.start()
    return process


def _names(running: Mapping[int, tuple[BaseProcess, Cell, float]]) -> str:
    return ", ".join(cell.name for _, cell, _ in running.values())


def _outcome(process: BaseProcess, folder: Path) -> str:
    if process.exitcode == 0:
        return "finished"
    error = error_of(folder)
    if not error.is_file():  # killed, for want of memory perhaps
        error.write_text(f"the process ended with exit code {process.exitcode}\n")
    return f"failed ({error.read_text().strip().splitlines()[-1]})"


def _gather(name: str, cells: Sequence[Cell], out: Path, about: dict[str, Any]) -> dict[str, int]:
    """Writes tables, figures and study.json from what is finished."""
    rows, extra_rows, counts = _collected(name, cells, out)
    columns = dict.fromkeys([*COLUMNS, *(column for row in rows for column in row)])
    results = pd.DataFrame(rows, columns=list(columns))
    _write_csv(results, out / "results.csv")
    extra = pd.DataFrame(extra_rows) if extra_rows else None
    if extra is not None:
        _write_csv(extra, out / f"{studies[name].extra}.csv")
    about["cells"] = counts
    _write_marker(out, about)
    render(name, results, out, extra=extra, about=_heading(about))
    return counts


def _collected(name: str, cells: Sequence[Cell], out: Path) -> tuple[Rows, Rows, dict[str, int]]:
    """Rows of all cells, finished or asked for; the study's `extra`; cells by status."""
    rows: Rows = []
    extra: Rows = []
    counts = {"finished": 0, "failed": 0, "not run": 0}
    names = [path.parent.name for path in sorted((out / "cells").glob("*/cell.json"))]
    finished = {cell: result for cell in names if (result := _finished(out, cell))}
    for result in finished.values():
        rows += [{**row, "status": "finished"} for row in result["rows"]]
        extra += result.get(studies[name].extra, [])
        counts["finished"] += 1
    for cell in cells:
        if cell.name not in finished:
            failed = error_of(out / "cells" / cell.name).is_file()
            status = "failed" if failed else "not run"
            rows.append({**cell.where(), "case": cell.case, "model": "", "status": status})
            counts[status] += 1
    return rows, extra, counts


# Of results.csv, before those that a study adds.
COLUMNS = (
    "dataset",
    "teacher",
    "setting",
    "seed",
    "case",
    "model",
    "validation",
    "test",
    "test_observed",
    "test_cold",
    "production",
    "ms_per_1000_nodes",
    "ms_per_request",
    "seconds",
    "retrained",
    "status",
)


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    with writing(path) as partial:
        frame.to_csv(partial, index=False)


def _heading(about: Mapping[str, Any]) -> str:
    """Markdown below the title: the command, and what it took."""
    e, counts = about["environment"], about["cells"]
    where = ", ".join(e["gpus"]) or f"{e['cpu']}, {e['cpu_cores']} cores"
    cells = ", ".join(f"{count} {status}" for status, count in counts.items())
    return (
        f"```bash\n{about['command']}\n```\n\n"
        f"{cells}; {about['seconds'] / 60:.0f} min on {where} "
        f"(infgrand-dgl {e['infgrand_dgl']}, torch {e['torch']})."
    )
