"""What every epoch of a run recorded."""

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..system.reading import reason
from ..system.writing import writing

log = logging.getLogger(__name__)

KEYS = ("seed", "stage", "epoch")
LOSSES = ("loss", "supervised_loss", "distillation_loss", "consistency_loss")


class History:
    """Losses and the validation metric of every epoch: history.csv, a line as soon as there is one.

    Args:
        path: a file that is there already is read first, as far as it has this metric.
        metric: of `training.metrics.METRICS`.
        tensorboard: also scalars into this folder.
        writes: False: nothing is written.

    Raises:
        InputError: TensorBoard is asked for and not installed.
    """

    def __init__(
        self,
        path: Path,
        metric: str = "accuracy",
        tensorboard: Path | None = None,
        writes: bool = True,
    ) -> None:
        self.path, self.writes = path, writes
        self.columns = [*KEYS, *LOSSES, f"val_{metric}"]
        rows = self._read() if path.is_file() else []
        self.rows = [
            {column: row[column] for column in self.columns if column in row}
            for row in rows
            if f"val_{metric}" in row
        ]
        self.scalars: Any = None
        if tensorboard is not None and writes:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise InputError(
                    "train.tensorboard: TensorBoard is not installed (pip install tensorboard)"
                ) from None
            self.scalars = SummaryWriter(str(tensorboard))

    def _read(self) -> list[dict[str, Any]]:
        try:
            return read_history(self.path)
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            log.warning("%s: unreadable, begun anew (%s)", self.path, reason(error))
            return []

    def begin(self, seed: int, stage: str, after: int = 0) -> None:
        """Forgets what epochs later than `after` a stage left, and a line cut short."""
        self.rows = [
            row
            for row in self.rows
            if (row["seed"], row["stage"]) != (seed, stage) or row["epoch"] <= after
        ]
        self.write(self.rows)

    def add(self, row: Mapping[str, Any]) -> None:
        self.rows.append(dict(row))
        if not self.writes:
            return
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)
        if self.scalars is not None:
            for key in row.keys() - set(KEYS):
                name = f"seed-{row['seed']}/{row['stage']}/{key}"
                self.scalars.add_scalar(name, row[key], row["epoch"])

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not self.writes:
            return
        with writing(self.path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)

    def settle(self, retrained: Mapping[int, Sequence[str]]) -> None:
        """Of a model that was retrained, and kept, the second training stands under its name.

        Args:
            retrained: the models, by seed.
        """

        def stage(seed: int, name: str) -> str:
            if name in retrained[seed]:
                return f"{name}_collapsed"
            model = name.removesuffix("_retrained")
            return model if model in retrained[seed] else name

        self.rows = [row | {"stage": stage(row["seed"], row["stage"])} for row in self.rows]
        self.write(self.rows)
        self.close()

    def close(self) -> None:
        if self.scalars is not None:
            self.scalars.close()


def read_history(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a history.csv; a number that a stage does not have is left out."""
    rows = []
    with path.open(newline="") as file:
        lines = csv.DictReader(file)
        if missing := set(KEYS) - set(lines.fieldnames or ()):
            raise ValueError(f"no column {min(missing)}")
        for row in lines:
            if None not in row.values():  # a line that a kill cut short
                numbers = {k: float(v) for k, v in row.items() if k not in KEYS and v}
                first = {"seed": int(row["seed"]), "stage": row["stage"]}
                rows.append({**first, "epoch": int(row["epoch"]), **numbers})
    return rows
