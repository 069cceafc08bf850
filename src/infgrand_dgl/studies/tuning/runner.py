"""Searches a space: one process chooses, others train.

tune.json      what was asked for, and every trial
trials.csv     a line for each trial
best.yaml      the experiment with the best trial's values
tune.md, report.html, tune*.png|svg   what was found
work/          folders of the processes, while the search is not done
"""

import multiprocessing
import os
import shutil
import time
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...present.console import Bar, Reporter
from .folder import WORK, Search, Trials, opened
from .outcome import write
from .search import require_optuna
from .trials import Trial
from .worker import work


def tune(
    search: Search, out: Path, *, trials: int, jobs: int, command: str, report: Reporter
) -> Trials:
    """Trains until so many trials have ended, and writes what was found; those before count.

    Args:
        jobs: trials at a time; each takes an even share of the threads.

    Raises:
        InputError: Optuna is not installed, `out` holds something else or trials with other
            settings, the dataset cannot be loaded.
    """
    require_optuna()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("tune: expected one process, found those of torchrun; --jobs starts more")
    with opened(search, out, command) as found:
        before = len(found.ended)
        if 0 < before < trials:
            report.line(f"{before} of {trials} trials have ended already")
        if before < trials:
            try:
                _Pool(found, trials, min(jobs, trials - before), report).run()
            except BaseException as error:
                if found.ended:
                    error.add_note("trials that have ended are kept; to go on: the same command")
                raise
            finally:
                if found.ended:
                    found.write()
        write(found)
        shutil.rmtree(out / WORK, ignore_errors=True)
    return found


class _Worker:
    """A process that trains; its trial, and when that began."""

    def __init__(self, context: Any, *arguments: Any) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()  # so that its end is seen here
        self.trial: Trial | None = None
        self.began = 0.0

    def give(self, trial: Trial) -> None:
        self.trial, self.began = trial, time.perf_counter()
        self.connection.send(trial.values)

    def end(self) -> None:
        """At once: its files are written whole or not at all."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Pool:
    """The processes, until so many trials have ended."""

    def __init__(self, found: Trials, trials: int, jobs: int, report: Reporter) -> None:
        # Forked from a server that has imported everything, and started no thread.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([work.__module__])
        self.found, self.trials, self.report = found, trials, report
        self.threads = None if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)
        self.config = found.search.config.replace(
            "train", baselines=[], checkpoint_every=0, tensorboard=False
        )
        self.bar, self.told, self.jobs = Bar(), False, jobs
        self.start, self.before = time.perf_counter(), float(found.about["seconds"])

    def run(self) -> None:
        workers: dict[int, _Worker] = {}
        try:
            with self.report.bar("tune", self.trials) as self.bar:
                while len(self.found.ended) < self.trials:
                    for number in range(self.jobs):
                        workers[number] = workers.get(number) or self._started(number)
                    waiting = wait([worker.connection for worker in workers.values()])
                    for number, worker in list(workers.items()):
                        if worker.connection in waiting and not self._heard(worker):
                            del workers[number]
                best = self.found.best
                self.bar.result = "no trial finished" if best is None else self._told(best)
        finally:
            for worker in workers.values():
                worker.end()

    def _started(self, number: int) -> _Worker:
        folder = self.found.out / WORK / str(number)
        settings = self.found.search.across or (self.config.data.setting,)
        return _Worker(self.context, self.config, settings, folder, self.threads)

    def _heard(self, worker: _Worker) -> bool:
        """Does as a process says, and gives it its next trial; False where it is no more."""
        found, trial = self.found, worker.trial
        try:
            kind, *said = worker.connection.recv()
        except (EOFError, ConnectionError):  # killed, for want of memory perhaps
            worker.end()
            reason = f"the process ended with exit code {worker.process.exitcode}"
            if trial is None:
                raise InputError(f"tune: {reason} before it trained") from None
            self._end(worker, trial, "failed", reason)
            return False
        if kind == "refused":
            raise InputError(said[0])
        if kind == "seed":
            assert trial is not None
            trial.scores.append(said[0])
            trial.training += said[1]
            if not found.goes_on(trial):
                trial.state = "pruned"
            worker.connection.send(trial.state == "running")
            return True
        if kind == "ready":
            found.about["metric"] = said[0]
            if not self.told:
                self.report.line(said[1])
            self.told = True
        else:
            assert trial is not None
            self._end(worker, trial, "pruned" if trial.state == "pruned" else kind, *said)
        if len(found.ended) + len(found.running) < self.trials:
            worker.give(found.begin())
        return True

    def _end(self, worker: _Worker, trial: Trial, state: str, error: str = "") -> None:
        found = self.found
        trial.seconds, worker.trial = time.perf_counter() - worker.began, None
        found.about["seconds"] = self.before + time.perf_counter() - self.start
        found.end(trial, state, error)
        best = found.best
        note = "" if best is None else f"best {self._told(best)}"
        self.bar.update(len(found.ended), note=note)
        outcome = trial.shown(found.metric) if trial.scores else ""
        if state != "finished":
            outcome = f"{state} {trial.reason or outcome}".strip()
        told = [f"trial {trial.number}: {outcome}", f"{trial.seconds:.1f} s", note]
        self.report.line(", ".join(filter(None, told)))

    def _told(self, trial: Trial) -> str:
        percent = " %" * self.found.metric.percent
        return f"{self.found.metric.shown(trial.score)}{percent} (trial {trial.number})"
