import pytest
import torch

from infgrand_dgl.benchmark import backends, pyg, train
from infgrand_dgl.cli import main
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_source
from infgrand_dgl.registry import teachers
from tests.benchmark.conftest import MODELS, SMALL, check_rows, run

VIEWS = ("view_fused", "view_masked_first")
RANDOM = {"features": "student_random", "products": "student_random_products"}
STUDENTS = ["student", "student_products", *RANDOM.values()]


def test_epochs_of_each_backend_and_a_seed(tmp_path):
    found = run("train", *MODELS, "--set", "train.epochs=2", tmp_path=tmp_path)
    names = [
        f"{t.name}_{kind}"
        for t in teachers.in_order()
        for kind in (*backends.BACKENDS, *(f"pyg_{form}" for form in pyg.FORMS[t.name]))
    ]
    assert [row["method"] for row in found["rows"]] == [*names, *STUDENTS, *VIEWS, "seed"]
    epochs = [row.get("epochs") for row in found["rows"]]
    assert epochs == [*[1] * (len(names) + 4), None, None, 2]
    check_rows(found["rows"], alike="epochs")
    assert found["size"]["seed_epochs"] == 2 and found["size"]["hidden"] == 8


def test_an_experiment_of_your_own(tiny, tmp_path):
    out = tmp_path / "b.json"
    inductive = ["--set", "data.setting=inductive"]
    arguments = ["--config", str(tiny), *inductive, "--repeat", "1", "--json", str(out)]
    assert main(["benchmark", "train", *arguments]) == 0
    assert '"seed_epochs": 5' in out.read_text()


def test_a_seed_trains_no_baseline(tiny, monkeypatch):
    config = load_config(tiny, ["train.baselines=[mlp]"])
    trained = []

    def fake(config, out, **settings):
        trained.append((config.train.baselines, config.train.seeds))
        return {"seconds": {"influence": 1, "propagate": 2, "teacher": [3], "student": [4]}}

    monkeypatch.setattr(train, "train", fake)
    found = train.contenders(config, load_source(config.data), torch.device("cpu"))
    assert found[-1].method == "seed" and found[-1].prepare()() == [10]
    assert trained == [([], [1])]


def test_an_epoch_is_timed_from_end_to_end(monkeypatch):
    clock = iter([1.0, 1.5, 2.5])
    monkeypatch.setattr(train.time, "perf_counter", lambda: next(clock))

    def three(on_epoch):
        for epoch in (1, 2, 3):
            on_epoch(epoch, {})

    assert train.epochs(three)() == [0.5, 1.0]


def test_sizes_go_with_a_generated_graph(tiny, capsys):
    assert main(["benchmark", "train", *SMALL, "--config", str(tiny)]) == 2
    err = capsys.readouterr().err
    assert "--nodes: not with --config" in err and err.count("\n") == 1


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_both_ways_make_the_same_view(pooling, tiny):
    config = load_config(tiny, [f"propagation.pooling={pooling}", "propagation.hops=3"])
    made = train.contenders(config, load_source(config.data), torch.device("cpu"))
    fused, first = (c.prepare()() for c in made if c.method in VIEWS)
    assert not torch.equal(first, torch.zeros_like(first))
    torch.testing.assert_close(fused, first)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], STUDENTS),
        (["propagation.of=products"], ["student", *RANDOM.values()]),
        (["student.batch_size=50"], ["student", "student_random"]),
        (["propagation.pooling=max"], ["student", "student_random"]),
        (["student.model=gamlp"], ["student"]),
        (["method=glnn"], ["student", *RANDOM.values()]),  # which reads raw features
        (["method=glnn", "student.features=propagated"], STUDENTS),
        (["method=nosmog", "student.features=propagated"], ["student", *RANDOM.values()]),
    ],
)
def test_a_student_is_measured_in_all_ways_that_it_has(overrides, expected, tiny):
    config = load_config(tiny, overrides)
    made = train.contenders(config, load_source(config.data), torch.device("cpu"))
    assert [c.method for c in made if c.method in STUDENTS] == expected


@pytest.mark.parametrize("of", ["features", "products"])
def test_the_random_student_has_views_and_consistency(of, tiny, monkeypatch):
    """Whatever the experiment has."""
    seen = []
    monkeypatch.setattr(train, "train_student", lambda config, *_: seen.append(config))
    config = load_config(tiny, ["method=grand", "random_propagation.views=5"])
    made = train.contenders(config, load_source(config.data), torch.device("cpu"))
    (contender,) = [c for c in made if c.method == RANDOM[of]]
    contender.prepare()()
    (found,) = seen
    r = found.random_propagation
    assert (found.propagation.of, r.mask, r.views, r.stored) == (of, 0.5, 2, 0)
    assert found.method == "infgrand" and found.consistency.weight == 1


@pytest.mark.parametrize("method", ["grand", "infgrand"])
def test_a_seed_with_and_without_a_teacher(method, tiny):
    (seconds,) = train.end_to_end(load_config(tiny, [f"method={method}", "train.epochs=2"]))
    assert 0 < seconds < 600
