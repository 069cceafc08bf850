"""One cell of a study, in a process of its own: trains, keeps what is small, writes cell.json."""

import json
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr

from ..data import load_dataset
from ..errors import InputError
from ..experiment.train import train
from ..influence.compute import influence
from ..influence.cosine import unit_rows
from ..present.console import Reporter
from ..system.arrays import load_array
from ..system.runtime import Runtime, resolve_device
from ..system.writing import writing
from .grid import Cell
from .latency import latencies

Row = dict[str, Any]

KEPT = {"config.yaml", "metrics.json", "history.csv", "teacher_logits.npy"}


def work(study: str, cell: Cell, mark: str, folder: Path, threads: int | None) -> None:
    """In the process of a cell; what it leaves is cell.json, or error.txt beside the folder."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        run(study, cell, mark, folder)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        told = str(error) if isinstance(error, InputError) else traceback.format_exc()
        error_of(folder).write_text(told.strip() + "\n")
        sys.exit(1)


def error_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.error.txt")


def run(study: str, cell: Cell, mark: str, folder: Path) -> None:
    start = time.perf_counter()
    metrics = train(cell.config, folder, students=cell.students, resume=True, report=_Silent())
    for path in [p for p in folder.rglob("*") if p.is_file() and p.name not in KEPT]:
        path.unlink()
    shutil.rmtree(folder / "figures", ignore_errors=True)
    found: dict[str, Any] = {"mark": mark, "rows": rows_of(cell, metrics), "correlations": []}
    if study == "tradeoff":
        times = latencies(cell)
        for row in found["rows"]:
            row["ms_per_request"] = times[row["model"], row["case"]]
    if study == "measures":
        found["correlations"] = correlations(cell, folder)
    found["seconds"] = time.perf_counter() - start
    with writing(folder / "cell.json") as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n")


class _Silent(Reporter):
    """A collapsed student is told by its row."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def warn(self, text: str) -> None:
        pass


def rows_of(cell: Cell, metrics: dict[str, Any]) -> list[Row]:
    """A row for each trained model, as in results.csv."""
    rows = []
    for name in [n for n in ("teacher", *cell.students) if n in metrics]:
        found, (model, _, case) = metrics[name], name.partition(", ")
        test = {p: found[p]["mean"] if p in found else None for p in ("test", "test_observed")}
        pace = found.get("milliseconds_per_1000_nodes")
        rows.append(
            {
                **cell.where(),
                "case": case or cell.case,
                "model": model,
                "validation": found["val"]["mean"],
                **test,
                "ms_per_1000_nodes": pace["mean"] if pace else None,
                "seconds": metrics["seconds"][name][0],
                "retrained": name in metrics["retrained"][0],
            }
        )
    return rows


def correlations(cell: Cell, folder: Path) -> list[Row]:
    """Spearman's rank correlations of the measures with each other and with the features' mean.

    "centroid cosine" is the cosine of a node's raw features with their mean over all nodes: no
    edge has a part in it.
    """
    dataset = load_dataset(cell.config, cell.seed)
    runtime = Runtime.on(resolve_device(cell.config.train.device), cell.config.resources)
    logits = torch.from_numpy(load_array(folder / f"seed-{cell.seed}/teacher_logits.npy")).float()
    scores = {
        name: influence(config, dataset, runtime, logits=logits).scores.cpu()
        for name, config in cell.students.items()
        if name != "uniform"
    }
    seen = ~next(iter(scores.values())).isnan()
    x = dataset.dense_features()[seen]
    scores = {name: values[seen] for name, values in scores.items()}
    scores["centroid cosine"] = unit_rows(x) @ unit_rows(x.mean(dim=0, keepdim=True))[0]
    rho = spearmanr(torch.stack(list(scores.values()), dim=1).double().numpy()).statistic
    return [
        {**cell.where(), "measure": a, "with": b, "spearman": float(rho[i, j])}
        for i, a in enumerate(scores)
        for j, b in enumerate(scores)
    ]
