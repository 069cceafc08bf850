"""The page: every part in one HTML file that needs nothing beside it."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import __version__
from ..errors import InputError
from ..present.console import Reporter
from ..system.writing import check_writable, writing
from .content import Part
from .metrics import Metrics
from .run import comparison, run_part
from .study import MARKERS, study_part


def write(paths: Sequence[Path], out: Path, report: Reporter) -> None:
    """The report of run directories and studies, in their order, as the file `out`.

    Raises:
        InputError: a path is neither, a file in it is missing or damaged, a run's dataset cannot
            be loaded, or `out` cannot be written.
    """
    check_writable(out)
    kinds = {path: kind_of(path) for path in paths}
    names = [path.resolve().name for path in paths]
    parts: list[Part] = []
    runs: dict[str, Metrics] = {}
    for path, name in zip(paths, names, strict=True):
        title = name if names.count(name) == 1 else str(path)
        with report.timed(title):
            if kinds[path] == "run":
                part, runs[title] = run_part(path, title)
            else:
                part = study_part(path)
            parts.append(part)
    if len(runs) > 1:
        parts.insert(0, comparison(runs))
    with writing(out) as partial:
        partial.write_text(render(parts), encoding="utf-8")


def kind_of(path: Path) -> str:
    if any((path / name).is_file() for name in MARKERS):
        return "study"
    if (path / "metrics.json").is_file() and (path / "config.yaml").is_file():
        return "run"
    raise InputError(
        f"{path}: expected a run directory (config.yaml, metrics.json), a study (study.json) "
        "or a search (tune.json)"
    )


def render(parts: Sequence[Part]) -> str:
    templates = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("template.html").render(parts=parts, version=__version__)
