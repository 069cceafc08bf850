from infgrand_dgl.cli.accuracy_table import accuracy_table
from infgrand_dgl.config.schema import Config
from infgrand_dgl.registry import Method, methods


def config(**settings):
    return Config.model_validate({"data": {"name": "cora"}, **settings})


def of(mean, pace=None, **parts):
    metrics = {part: {"mean": mean, "std": 0.0123} for part in ("val", "test")} | parts
    times = {"milliseconds_per_1000_nodes": pace, "milliseconds_per_request": pace and 2 * pace}
    return metrics | {key: {"mean": time} for key, time in times.items() if time is not None}


def test_rows_and_columns():
    metrics = {"teacher": of(0.5), "mlp": of(0.25, 1.234), "glnn": of(0.75), "student": of(1.0)}
    header, rows = accuracy_table(config(train={"baselines": ["mlp", "glnn"]}), metrics)
    times = ["ms per 1000 nodes", "ms per request of 10"]
    assert header == ["model", "validation (%)", "test (%)", *times]
    assert rows == [
        ["plain MLP", "25.0 ± 1.2", "25.0 ± 1.2", "1.23", "2.47"],
        ["GLNN student", "75.0 ± 1.2", "75.0 ± 1.2", "-", "-"],
        ["teacher (gcn)", "50.0 ± 1.2", "50.0 ± 1.2", "-", "-"],
        ["InfGraND student", "100.0 ± 1.2", "100.0 ± 1.2", "-", "-"],
    ]


def test_inductive_and_without_a_teacher():
    """A model that was not trained has no row."""
    metrics = {"student": of(0.5, test_observed={"mean": 0.25, "std": 0.0})}
    header, rows = accuracy_table(config(method="mlp"), metrics)
    assert header[1:4] == ["validation (%)", "test (%)", "test, observed (%)"]
    assert rows == [["plain MLP", "50.0 ± 1.2", "50.0 ± 1.2", "25.0 ± 0.0", "-", "-"]]


def test_methods_of_others(monkeypatch):
    for name, needs_teacher in (("toy", True), ("alone", False)):
        choice = Method(name, label=name.title(), objective=print, needs_teacher=needs_teacher)
        monkeypatch.setitem(methods.added, name, choice)
    toy = config().model_copy(update={"method": "toy"})
    toy.train.baselines[:] = ["alone"]
    _, rows = accuracy_table(toy, {"alone": of(0.5), "student": of(0.5)})
    assert [row[0] for row in rows] == ["plain Alone", "Toy student"]
