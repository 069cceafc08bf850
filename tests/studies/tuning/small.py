"""Searches of a second: a generated graph, few epochs, narrow models."""

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.studies.tuning.folder import Search
from infgrand_dgl.studies.tuning.runner import tune
from infgrand_dgl.studies.tuning.space import read_space

SPACE = """
student.lr: {low: 1e-3, high: 1e-1, log: true}
student.dropout: [0.0, 0.5]
distillation.lambda: [0, 0.1, 1]
"""
QUIET = Reporter(quiet=True)


def search(tiny, text=SPACE, overrides=(), **options):
    config = load_config(tiny, overrides)
    file = tiny.parent / "space.yaml"
    file.write_text(text)
    return Search(tiny, config, read_space(file, config), **options)


def run(asked, out, trials, jobs=1, report=QUIET):
    command = "infgrand-dgl tune --config tiny.yaml"
    return tune(asked, out, trials=trials, jobs=jobs, command=command, report=report)


def told(found):
    """What does not depend on the time that it took."""
    return [(t.number, t.values, t.state, t.scores) for t in found.ended]
