"""What a search leaves: a recipe, a table, a page with figures; all of validation nodes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ...config.reading import flat, load_config, shipped_experiments
from ...present import style
from ...present.console import Silent
from ...report import page
from ...system.writing import writing
from ..tables import Lines, markdown
from .figures import Scores, of_importances, of_values
from .folder import Trials
from .search import importances
from .space import value_of, with_values
from .trials import Trial, finished, ranked

TOP = 10  # trials of the page
PLACES = ("train.device", "resources.memory", "resources.gpu_memory")  # no part of a recipe


def write(found: Trials) -> None:
    """All files but the marker, which is there."""
    out, best = found.out, found.best
    with writing(out / "trials.csv") as partial:
        table(found).to_csv(partial, index=False)
    if best is not None:
        with writing(out / "best.yaml") as partial:
            partial.write_text(recipe(found, best))
    shares = importances(found.search.space, found.ended, found.metric.sign)
    with writing(out / "tune.md") as partial:
        partial.write_text("\n".join(_page(found, best, shares)).rstrip() + "\n")
    page.write([out], out / "report.html", Silent())


def table(found: Trials) -> pd.DataFrame:
    """A row for each trial; scores as they are, of a failed one what it has."""
    rows = []
    for trial in found.ended:
        spread = trial.spread if trial.scores else {"mean": None, "std": None}
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state,
                f"validation_{found.metric.name}": spread["mean"],
                "std": spread["std"],
                "seeds": len(trial.scores),
                "seconds": round(trial.seconds, 3),
                "training_seconds": round(trial.training, 3),
                **trial.values,
                "error": trial.reason,
            }
        )
    return pd.DataFrame(rows)


def recipe(found: Trials, best: Trial) -> str:
    """An experiment file: what it extends, and what differs from that."""
    search = found.search
    base, config = flat(load_config(search.file)), flat(with_values(search.config, best.values))
    changed = {k: v for k, v in config.items() if base[k] != v and k not in PLACES} | best.values
    sections: dict[str, Any] = {"extends": _extended(search.file, found.out)}
    for key, value in changed.items():
        section, _, setting = key.partition(".")
        if setting:
            sections.setdefault(section, {})[setting] = value
        else:
            sections[section] = value
    commands = [f"# {line}\n" for line in found.about["command"].splitlines()]
    head = f"# Trial {best.number}, the best of {len(found.ended)}: {_scored(found, best)}.\n"
    return "".join(commands) + head + yaml.safe_dump(sections, sort_keys=False)


def _extended(file: Path, out: Path) -> str:
    """A shipped experiment by its name, another from where the recipe is."""
    if shipped_experiments().get(file.stem) == file:
        return file.stem
    return os.path.relpath(file.resolve(), out.resolve())


def _scored(found: Trials, trial: Trial) -> str:
    metric, seeds = found.metric, len(trial.scores)
    shown = f"{trial.shown(metric)}{' %' * metric.percent}"
    settings = f" and {count} settings" if (count := len(found.search.across)) > 1 else ""
    return f"validation {metric.label} {shown} over {seeds} seed{'s' * (seeds > 1)}{settings}"


def _page(found: Trials, best: Trial | None, shares: Mapping[str, float]) -> Lines:
    lines = [f"# {found.about['title']}", "", f"```bash\n{found.about['command']}\n```", ""]
    done = finished(found.ended)
    failed = {trial.reason: trial for trial in found.ended if trial.state == "failed"}
    if best is None:
        lines += ["No trial has finished.", ""]
    else:
        lines += [f"Trial {best.number} is the best: {_scored(found, best)}.", *_first(found), ""]
        lines += ["`best.yaml` is the experiment with its settings. One half of the validation "]
        lines[-1] += "nodes scored what the other half chose an epoch of. No test node's label "
        lines[-1] += "had a part in it."
        lines += ["", "## The best settings", "", *_settings(found, best, shares), ""]
        lines += _drawn(found, best, shares, done)
        lines += [f"## The best {min(TOP, len(done))} trials", "", *_top(found), ""]
    if failed:
        lines += ["## Failed", ""]
        lines += [f"- Trial {trial.number}: {reason}" for reason, trial in failed.items()]
    return lines


def _first(found: Trials) -> Lines:
    """What the experiment itself had, where all of it is in the space."""
    own = {key: value_of(found.search.config, key) for key in found.search.space}
    trials = [t for t in finished(found.ended) if t.values == own]
    return [f"The experiment as it was: {_scored(found, trials[0])}."] if trials else []


def _settings(found: Trials, best: Trial, shares: Mapping[str, float]) -> Lines:
    header = ["Setting", "Before", "Best", *(["Importance"] if shares else [])]
    body = []
    for key in sorted(best.values, key=lambda key: -shares.get(key, 0.0)):
        own = value_of(found.search.config, key)
        share = [f"{shares.get(key, 0.0):.2f}"] if shares else []
        body.append([f"`{key}`", _text(own), _text(best.values[key]), *share])
    return markdown(header, body)


def _top(found: Trials) -> Lines:
    metric, keys = found.metric, list(found.search.space)
    header = ["Trial", metric.title("Validation"), "Seconds", *(f"`{key}`" for key in keys)]
    body = []
    for trial in ranked(found.ended, metric.sign)[:TOP]:
        values = [_text(trial.values[key]) for key in keys]
        first = [str(trial.number), trial.shown(metric), f"{trial.seconds:.1f}"]
        body.append([*first, *values])
    return markdown(header, body)


def _text(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).splitlines()[0].replace("|", "\\|")


def _drawn(found: Trials, best: Trial, shares: Mapping[str, float], done: Sequence[Trial]) -> Lines:
    """The figures, where there is enough to draw, and their captions."""
    if not shares:
        return []
    label, scale = found.metric.axis("Validation"), found.metric.scale
    scores: Scores = [(trial.values, scale * trial.score) for trial in done]
    drawn = {
        "tune-importance": (
            of_importances(shares),
            "What settings mattered: the share of the scores' variance that each explains alone "
            "(fANOVA)",
        ),
        "tune-values": (
            of_values(found.search.space, list(shares)[:6], scores, done.index(best), label),
            f"Validation {found.metric.label} of the trials by the settings that mattered most; "
            "the diamond is the best trial, triangles are off the scale",
        ),
    }
    lines = ["## What mattered", ""]
    for stem, (figure, caption) in drawn.items():
        for suffix in ("png", "svg"):
            style.save(figure, found.out / f"{stem}.{suffix}")
        lines += [f"![{caption}]({stem}.png)", "", f"{caption} ([SVG]({stem}.svg)).", ""]
    return lines
