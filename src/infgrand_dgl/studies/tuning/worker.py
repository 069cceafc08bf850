"""A process that trains trials, one after another, for the one that chooses them.

It says ("ready", metric, a line about the dataset) or ("refused", why) at first; then of each
trial's values that it is sent ("seed", score, seconds of training) after every seed, to which the
answer is whether to go on, and last ("finished",) or ("failed", why).
"""

import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from ...config.schema import Config
from ...errors import InputError
from .space import with_values
from .trials import Bench


def work(
    connection: Connection,
    config: Config,
    settings: Sequence[str],
    folder: Path,
    threads: int | None,
) -> None:
    """Until the connection is closed.

    Args:
        settings: of `data.setting`, each of which has a folder in `folder`.
        threads: of this process's share; None: as many as torch takes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process gets it too, and ends this
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        try:
            benches = _benches(config, settings, folder)
        except InputError as error:
            connection.send(("refused", str(error)))
            return
        connection.send(("ready", benches[0].metric, benches[0].about))
        while True:
            _train(benches, config, connection.recv(), connection)
    except (EOFError, OSError, KeyboardInterrupt):
        sys.exit(1)


def _benches(config: Config, settings: Sequence[str], folder: Path) -> list[Bench]:
    benches: list[Bench] = []
    for setting in settings:
        own = config.replace("data", setting=setting)
        # Standardized features are those of the nodes that a setting lets be seen.
        loaded = benches[0].source if benches and not config.data.standardize else None
        benches.append(Bench(own, folder / setting, loaded))
    return benches


def _train(
    benches: Sequence[Bench], config: Config, values: Mapping[str, Any], connection: Connection
) -> None:
    try:
        config = with_values(config, values, "space")
        for seed in config.train.seeds:
            outcomes = [bench.student(config, seed) for bench in benches]
            score = fmean(outcome.scores["test"] for outcome in outcomes)
            connection.send(("seed", score, sum(outcome.seconds for outcome in outcomes)))
            if not connection.recv():
                break
    except InputError as error:
        connection.send(("failed", str(error)))
    except (EOFError, ConnectionError):
        raise
    except Exception:
        connection.send(("failed", traceback.format_exc().strip()))
    else:
        connection.send(("finished",))
