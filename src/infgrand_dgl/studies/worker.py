"""One cell of a study, in a process of its own: trains, keeps what is small, writes cell.json."""

import json
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..experiment.train import train
from ..present.console import Silent
from ..registry import studies
from ..system.writing import writing
from ..training.metrics import recorded
from .grid import Cell

KEPT = {"config.yaml", "metrics.json", "history.csv", "teacher_logits.npy"}


def work(study: str, cell: Cell, folder: Path, threads: int | None) -> None:
    """In the process of a cell; what it leaves is cell.json, or error.txt beside the folder."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        run(study, cell, folder)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        reason = str(error) if isinstance(error, InputError) else traceback.format_exc()
        error_of(folder).write_text(reason.strip() + "\n")
        sys.exit(1)


TESTED = ("test", "test_observed", "test_cold", "production")


def error_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.error.txt")


def run(study: str, cell: Cell, folder: Path) -> None:
    start = time.perf_counter()
    metrics = train(
        cell.config, folder, students=cell.students, resume=True, figures=False, report=Silent()
    )
    for path in [p for p in folder.rglob("*") if p.is_file() and p.name not in KEPT]:
        path.unlink()
    rows, plan = rows_of(cell, metrics), studies[study]
    extra = plan.after(cell, folder, rows) if plan.after else None
    result: dict[str, Any] = {"mark": cell.fingerprint, "rows": rows}
    if plan.extra:
        result[plan.extra] = extra or []
    result["seconds"] = time.perf_counter() - start
    with writing(folder / "cell.json") as partial:
        partial.write_text(json.dumps(result, indent=1) + "\n")


def rows_of(cell: Cell, metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each trained model, as in results.csv."""
    rows, metric = [], recorded(metrics)
    for name in [n for n in ("teacher", *cell.students) if n in metrics]:
        trained, (model, _, case) = metrics[name], name.partition(", ")
        values = metric.of_model(trained)
        test = {p: values[p]["mean"] if p in values else None for p in TESTED}
        pace = trained.get("milliseconds_per_1000_nodes")
        own = None if name == "teacher" else cell.own
        rows.append(
            {
                **cell.where(),
                "case": case or cell.case,
                "model": model,
                "validation": values["val"]["mean"],
                **test,
                "ms_per_1000_nodes": pace["mean"] if pace else None,
                "seconds": metrics["seconds"][name][0],
                "retrained": name in metrics["retrained"][0],
                **({} if own is None else {"settings": "own" if name in own else "cell"}),
                **({} if metric.name == "accuracy" else {"metric": metric.name}),
            }
        )
    return rows
