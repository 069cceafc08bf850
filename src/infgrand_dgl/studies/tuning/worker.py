"""A process that trains trials, one after another, for the one that chooses them.

It says ("ready", metric, a line about the dataset) or ("refused", why) at first; then of each
trial's values that it is sent ("seed", score, seconds of training) after every seed, to which the
answer is whether to go on, and last ("finished",) or ("failed", why).
"""

import signal
import sys
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ...config.schema import Config
from ...errors import InputError
from .space import with_values
from .trials import Bench


def work(connection: Connection, config: Config, folder: Path, threads: int | None) -> None:
    """Until the connection is closed.

    Args:
        threads: of this process's share; None: as many as torch takes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process gets it too, and ends this
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        try:
            bench = Bench(config, folder)
        except InputError as error:
            connection.send(("refused", str(error)))
            return
        connection.send(("ready", bench.metric, bench.about))
        while True:
            _train(bench, config, connection.recv(), connection)
    except (EOFError, OSError, KeyboardInterrupt):
        sys.exit(1)


def _train(bench: Bench, config: Config, values: Mapping[str, Any], connection: Connection) -> None:
    try:
        config = with_values(config, values, "space")
        for seed in config.train.seeds:
            outcome = bench.student(config, seed)
            connection.send(("seed", outcome.val, outcome.seconds))
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
