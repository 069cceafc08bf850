"""What a search may choose from: a file of `section.key`, each with choices or a range.

propagation.hops: [2, 4, 8, 16]
student.dropout: {low: 0.0, high: 0.8, step: 0.1}
student.lr: {low: 1e-3, high: 3e-2, log: true}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ... import config as package
from ...config import explain as messages
from ...config import methods as sections_of_methods
from ...config.explain import explain
from ...config.fields import Task
from ...config.reading import flat, read_mapping
from ...config.schema import Config
from ...errors import InputError
from ...registry import Method, methods, nearest

# What trials are compared by is no part of a space, nor where and beside what they run.
FIXED = {"data", "resources"}
FIXED_KEYS = {
    f"train.{key}"
    for key in ("metric", "seeds", "device", "baselines", "checkpoint_every", "tensorboard")
}
OF_DISTRIBUTIONS = {"distillation.tau", "distillation.kl", "consistency"}  # what numbers have not
EXPECTED = "expected a list of choices, or a range of low, high and perhaps log or step"
EXPECTED_INTEGER = messages.EXPECTED["int_type"]


@dataclass(frozen=True)
class Choices:
    """Some values; they have no order."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    def written(self) -> Any:
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; of a whole number's key whole ones.

    Args:
        log: the logarithm is uniform.
        step: from one value to the next; None: of whole numbers 1, of others none.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def __contains__(self, value: Any) -> bool:
        """Whether it can be chosen."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return self.low <= value <= self.high and abs(steps - round(steps)) < 1e-9

    def written(self) -> Any:
        step = {} if self.step is None else {"step": self.step}
        return {"low": self.low, "high": self.high, "log": self.log, **step}


Space = dict[str, Choices | Range]  # by `section.key`, in the order of the file


def find_space(path: str) -> Path:
    """The file itself, or the shipped space of that name."""
    if Path(path).is_file():
        return Path(path)
    folder = Path(str(resources.files(package))) / "experiments" / "spaces"
    shipped = {file.stem: file for file in sorted(folder.glob("*.yaml"))}
    if path in shipped:
        return shipped[path]
    named = ", ".join(shipped)
    raise InputError(f"--space {path}: no such file{nearest(path, shipped)} (shipped: {named})")


def read_space(path: Path, config: Config) -> Space:
    """The space in a file, every value of which the experiment may have.

    Raises:
        InputError: names the file and the key, what is expected and what was found.
    """
    content = read_mapping(path, "keys with choices or ranges")
    if not content:
        raise InputError(f"{path}: expected keys with choices or ranges, found nothing")
    return {str(key): _part(path, str(key), given, config) for key, given in content.items()}


def with_values(config: Config, values: Mapping[str, Any], source: str = "tune") -> Config:
    """The experiment with these settings, by `section.key`.

    Raises:
        InputError: as reading a file of that name does, `source`.
    """
    content: dict[str, Any] = config.model_dump(by_alias=True)
    for key, value in values.items():
        *sections, last = key.split(".")
        at = content
        for section in sections:
            if not isinstance(at.get(section), dict):
                at[section] = {}
            at = at[section]
        at[last] = value
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise InputError(explain(error, Config, {}, source)) from None


def value_of(config: Config, key: str) -> Any:
    """What the experiment has there."""
    return flat(config)[key]


def unread(config: Config, space: Space, task: Task = "classification") -> list[str]:
    """The keys that no method of the space, or the experiment's own, reads; of regression also
    those that are of distributions alone."""
    part = space.get("method")
    names = part.values if isinstance(part, Choices) else [config.method]
    chosen = [methods[name] for name in names]
    sections = Config.model_fields.items()
    of_methods = {
        name for name, s in sections if s.annotation in vars(sections_of_methods).values()
    }

    def reads(key: str, method: Method) -> bool:
        section, _, setting = key.partition(".")
        if task == "regression" and (section in OF_DISTRIBUTIONS or key in OF_DISTRIBUTIONS):
            return False
        if section == "distillation":
            return method.reads(setting)
        if section == "teacher":
            return method.needs_teacher
        if section == "influence":
            return method.needs_influence
        return section not in of_methods or section in method.sections

    return [key for key in space if not any(reads(key, method) for method in chosen)]


def _part(path: Path, key: str, given: Any, config: Config) -> Choices | Range:
    if key.partition(".")[0] in FIXED or key in FIXED_KEYS:
        raise InputError(f"{path}: {key}: all trials have it alike, and so no space does")
    if key != "method" and "." not in key:
        raise InputError(f"{path}: {key}: expected a key such as student.lr")
    if isinstance(given, list):
        part: Choices | Range = _choices(path, key, given)
        tried = list(given)
    elif isinstance(given, dict):
        part = _range(path, key, given, config)
        tried = [part.low, part.high]
    else:
        raise InputError(f"{path}: {key}: {EXPECTED}; found {given!r}")
    for value in tried:
        with_values(config, {key: value}, str(path))
    return part


def _choices(path: Path, key: str, given: list[Any]) -> Choices:
    if not given:
        raise InputError(f"{path}: {key}: expected at least one choice, found none")
    twice = [value for i, value in enumerate(given) if value in given[:i]]
    if twice:
        raise InputError(f"{path}: {key}: expected distinct choices, found {twice[0]!r} twice")
    return Choices(tuple(given))


def _range(path: Path, key: str, given: dict[Any, Any], config: Config) -> Range:
    where = f"{path}: {key}"
    if strange := [name for name in given if name not in ("low", "high", "log", "step")]:
        raise InputError(f"{where}: {EXPECTED}; found {strange[0]!r}")
    for name in ("low", "high", "step"):
        value = given.get(name)
        if not _is_number(value) and (name in given or name != "step"):
            raise InputError(f"{where}: {name}: expected a number, found {value!r}")
    low, high, step, log = given["low"], given["high"], given.get("step"), given.get("log")
    if log is not None and not isinstance(log, bool):
        raise InputError(f"{where}: log: expected true or false, found {log!r}")
    if not low < high:
        raise InputError(f"{where}: expected low < high, found {low} and {high}")
    if log and (low <= 0 or step is not None):
        found = "a step" if step is not None else f"low: {low}"
        raise InputError(f"{where}: log: expected low > 0 and no step, found {found}")
    whole = _is_whole(key, low, config)
    if step is not None:
        fits = step > 0 and (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)) == 0
        if not fits or (whole and not isinstance(step, int)):
            raise InputError(f"{where}: step: expected one that leads to high, found {step}")
    return Range(low, high, bool(log), step, whole)


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return type(value) is int and abs(value) < 2**63


def _is_whole(key: str, low: float, config: Config) -> bool:
    """Whether the key takes whole numbers alone."""
    try:
        with_values(config, {key: float(low)})
    except InputError as error:
        return EXPECTED_INTEGER in str(error)
    return False
