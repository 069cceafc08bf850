"""A run that is interrupted, killed or repeated ends as one that was left alone."""

import json
import random
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from infgrand_dgl import InputError
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.experiment import steps
from infgrand_dgl.experiment import train as recipe
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.serving import load_student
from infgrand_dgl.training import checkpoint as checkpoints
from tests.processes import Process

QUIET = Reporter(quiet=True)


def train(config, out, **flags):
    return recipe.train(config, out, report=QUIET, **flags)


def judged(metrics):
    """Metrics without clocks."""
    return {
        model: {k: v for k, v in metrics[model].items() if "milliseconds" not in k}
        for model in ("mlp", "teacher", "student")
        if model in metrics
    }


@pytest.fixture
def experiment(tmp_path, tiny) -> Path:
    """Some seconds long, with dropout, batches and norms: all that random states decide."""
    content = yaml.safe_load(tiny.read_text())
    content["student"] |= {"layers": 3, "norm": "batch", "batch_size": 100, "dropout": 0.4}
    content["train"] |= {"epochs": 40, "patience": 40, "baselines": ["mlp"], "checkpoint_every": 7}
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def start(experiment, out, *flags):
    train = ["-m", "infgrand_dgl", "train", "--config", experiment]
    return Process(*train, "--quiet", "--out", out, *flags)


def epochs_done(out: Path) -> int:
    history = out.with_name(f"{out.name}.partial") / "history.csv"
    return len(history.read_text().splitlines()) if history.exists() else 0


def test_killed_and_resumed(experiment, tmp_path):
    """kill -9, three times, each at a random epoch."""
    whole, out = tmp_path / "whole", tmp_path / "killed"
    expected = train(load_config(experiment), whole)
    lines = len((whole / "history.csv").read_text().splitlines())
    for at in sorted(random.sample(range(1, lines), 3)):
        process = start(experiment, out, "--resume")
        while epochs_done(out) < at and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.finished()
    done = start(experiment, out, "--resume").finished()
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "metrics.json").read_text())
    assert judged(found) == judged(expected)
    for name in ("history.csv", "influence.npy", "propagated.npy", "seed-2/student.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert {p.name for p in out.iterdir()} == {p.name for p in whole.iterdir()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_between_checkpoints(number, experiment, tmp_path):
    """A signal is heeded at the end of an epoch, which is then the one that is gone on from."""
    text = experiment.read_text().replace("checkpoint_every: 7", "checkpoint_every: 0")
    experiment.write_text(text)
    whole, out = tmp_path / "whole", tmp_path / "out"
    expected = train(load_config(experiment), whole)
    process = start(experiment, out)
    while epochs_done(out) < 10:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(number)
    done = process.finished()
    assert done.returncode == 128 + number
    what = "interrupted" if number == signal.SIGINT else "terminated"
    resume = f"infgrand-dgl train --resume --out {out}"
    assert done.stderr == f"infgrand-dgl: {what}; to go on: {resume}\n"
    assert (tmp_path / "out.partial/checkpoint.pt").exists()
    again = Process("-m", *resume.replace("-", "_", 1).split(), "--quiet").finished()
    assert again.returncode == 0
    assert judged(json.loads((out / "metrics.json").read_text())) == judged(expected)
    assert (out / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()


def test_of_gpus_only_this_process_s_state_is_saved(tmp_path, monkeypatch):
    """To ask the others for theirs would open a context on each."""
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    state = torch.randint(256, (16,), dtype=torch.uint8)
    told: list[torch.Tensor] = []
    for name, fake in {
        "is_initialized": lambda: True,
        "is_available": lambda: True,
        "get_rng_state": lambda: state,
        "get_rng_state_all": None,
        "set_rng_state": told.append,
        "set_rng_state_all": None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    file = checkpoints.Checkpoint(tmp_path / "c.pt", "mark")
    file.save(model, optimizer, checkpoints.TrainingState(epoch=3))
    assert file.restore(model, optimizer).epoch == 3
    assert len(told) == 1 and torch.equal(told[0], state)


def test_a_failed_save_leaves_the_checkpoint_before_it(tmp_path, monkeypatch):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    file = checkpoints.Checkpoint(tmp_path / "c.pt", "mark")
    file.save(model, optimizer, checkpoints.TrainingState(epoch=3, best_val=0.5))

    def full_disk(content, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(InputError, match="cannot be written .No space left"):
        file.save(model, optimizer, checkpoints.TrainingState(epoch=4))
    found = file.restore(model, optimizer)
    assert (found.epoch, found.best_val) == (3, 0.5)
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]
    other = checkpoints.Checkpoint(tmp_path / "c.pt", "another mark")
    assert other.restore(model, optimizer).epoch == 0


def test_random_states_are_restored(tmp_path):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    file = checkpoints.Checkpoint(tmp_path / "c.pt", "mark")

    def draw():
        return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()

    file.save(model, optimizer, checkpoints.TrainingState())
    expected = draw()
    draw()
    file.restore(model, optimizer)
    assert draw() == expected


def counted(monkeypatch):
    """How often each stage is worked on."""
    calls: dict[str, int] = {}

    def call(name, original, *args, **options):
        mlp = name == "train_student" and args[0].method == "mlp"
        key = "train_mlp" if mlp else name
        calls[key] = calls.get(key, 0) + 1
        return original(*args, **options)

    for name in ("influence", "student_inputs", "train_teacher", "train_student"):
        original = getattr(steps, name)
        monkeypatch.setattr(steps, name, partial(call, name, original))
    return calls


CHANGES: dict[str, tuple[dict, dict]] = {
    "nothing": ({}, {}),
    "student": ({"student": {"lr": 0.02}}, {"train_mlp": 2, "train_student": 2}),
    "loss": ({"distillation": {"gamma2": 0.9}}, {"train_student": 2}),
    "teacher": ({"teacher": {"hidden": 9}}, {"train_teacher": 2, "train_student": 2}),
    "propagation": ({"propagation": {"hops": 1}}, {"student_inputs": 1, "train_student": 2}),
    "products": ({"propagation": {"of": "products"}}, {"train_student": 2}),
    "influence": ({"influence": {"hops": 1}}, {"influence": 1, "train_student": 2}),
    "precision": (
        {"train": {"precision": "bfloat16"}},
        {"train_mlp": 2, "train_teacher": 2, "train_student": 2},
    ),
    "checkpoints": ({"train": {"checkpoint_every": 1}}, {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_stages_with_unchanged_inputs_are_reused(change, tiny_config, tmp_path, monkeypatch):
    config = tiny_config.replace("train", baselines=["mlp"])
    first = train(config, tmp_path / "run")
    calls = counted(monkeypatch)
    changes, expected = CHANGES[change]
    for section, values in changes.items():
        config = config.replace(section, **values)
    again = train(config, tmp_path / "run", overwrite=True)
    assert calls == expected
    if not expected:
        assert judged(again) == judged(first)
    alone = train(config, tmp_path / "alone")
    assert judged(again) == judged(alone)
    history = (tmp_path / "run/history.csv").read_bytes().splitlines()
    assert sorted(history) == sorted((tmp_path / "alone/history.csv").read_bytes().splitlines())


def cut(whole: bytes) -> bytes:
    return whole[: random.randrange(len(whole))]


def zeros(whole: bytes) -> bytes:
    return bytes(len(whole))


def flipped(whole: bytes) -> bytes:
    at = len(whole) // 2
    return whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]


DAMAGED = {
    "stages.json": {"influence": 1, "student_inputs": 1, "train_teacher": 2, "train_student": 2},
    "influence.npy": {"influence": 1},
    "propagated.npy": {"student_inputs": 1},
    "seed-1/teacher_logits.npy": {"train_teacher": 1},
    "seed-2/teacher.safetensors": {"train_teacher": 1},
    "seed-2/student.safetensors": {"train_student": 1},
    "history.csv": {},
}


@pytest.mark.parametrize("damage", [cut, zeros])
@pytest.mark.parametrize("file", DAMAGED)
def test_a_damaged_file_counts_as_absent(file, damage, tiny_config, tmp_path, monkeypatch, caplog):
    expected, run = train(tiny_config, tmp_path / "run"), tmp_path / "run"
    calls = counted(monkeypatch)
    (run / file).write_bytes(damage((run / file).read_bytes()))
    assert judged(train(tiny_config, run, overwrite=True)) == judged(expected)
    assert calls == DAMAGED[file]
    if damage is zeros or file != "history.csv":  # whose lines before the cut are read
        assert f"{file}: " in caplog.text
    assert load_student(run / "seed-2/student.safetensors")
    caplog.clear()
    assert judged(train(tiny_config, run, overwrite=True)) == judged(expected)
    assert calls == DAMAGED[file] and not caplog.text


def test_columns_that_a_history_no_longer_has_are_left_out(tiny_config, tmp_path):
    run = tmp_path / "run"
    train(tiny_config, run)
    expected = (run / "history.csv").read_text()
    wider = "".join(f"{line},0.5\n" for line in expected.splitlines())
    (run / "history.csv").write_text(wider.replace("0.5\n", "test_accuracy\n", 1))
    train(tiny_config, run, overwrite=True)
    assert (run / "history.csv").read_text().splitlines() == expected.splitlines()


def test_damaged_metrics_of_a_whole_run(tiny_config, tmp_path, monkeypatch, caplog):
    expected = train(tiny_config, tmp_path / "run")
    calls, file = counted(monkeypatch), tmp_path / "run/metrics.json"
    file.write_bytes(cut(file.read_bytes()))
    assert judged(train(tiny_config, tmp_path / "run", resume=True)) == judged(expected)
    assert not calls and f"{file}: not written by train" in caplog.text
    assert judged(json.loads(file.read_text())) == judged(expected)


@pytest.mark.parametrize("damage", [cut, zeros, flipped, lambda whole: b"", lambda whole: b"PK"])
def test_a_damaged_checkpoint_counts_as_none(damage, tmp_path, caplog):
    model = torch.nn.Linear(300, 200)
    optimizer = torch.optim.Adam(model.parameters())
    file = checkpoints.Checkpoint(tmp_path / "c.pt", "mark")
    file.save(model, optimizer, checkpoints.TrainingState(epoch=3))
    assert file.restore(model, optimizer).epoch == 3 and not caplog.text
    file.path.write_bytes(damage(file.path.read_bytes()))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert file.restore(model, optimizer).epoch == 0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert f"{tmp_path}/c.pt: unreadable" in caplog.text
    file.save(model, optimizer, checkpoints.TrainingState(epoch=4))
    assert file.restore(model, optimizer).epoch == 4


def test_a_checkpoint_of_something_else(tmp_path, caplog):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    for content in ([1, 2], {"fingerprint": "mark"}, torch.ones(3)):
        torch.save(content, tmp_path / "c.pt")
        caplog.clear()
        state = checkpoints.Checkpoint(tmp_path / "c.pt", "mark").restore(model, optimizer)
        assert state.epoch == 0 and "c.pt: unreadable" in caplog.text


def test_fresh_reuses_nothing(tiny_config, tmp_path, monkeypatch):
    train(tiny_config, tmp_path / "run")
    calls = counted(monkeypatch)
    train(tiny_config, tmp_path / "run", overwrite=True, fresh=True)
    every = {"influence": 1, "student_inputs": 1, "train_teacher": 2, "train_student": 2}
    assert calls == every


def test_other_data_are_another_run(tiny_config, tmp_path, monkeypatch):
    train(tiny_config, tmp_path / "run")
    calls = counted(monkeypatch)
    train(tiny_config.replace("data", seed=5), tmp_path / "run", overwrite=True)
    assert calls["influence"] == 1 and calls["train_teacher"] == 2


def test_an_unfinished_run_is_not_begun_anew_by_accident(tiny_config, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(steps, "train_student", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError) as error:
            train(tiny_config, tmp_path / "run")
    assert "infgrand-dgl train --resume --out" in error.value.__notes__[0]
    with pytest.raises(
        InputError, match="unfinished run is in run.partial; --resume goes"
    ) as found:
        train(tiny_config, tmp_path / "run")
    assert not hasattr(found.value, "__notes__")  # it has said how
    calls = counted(monkeypatch)
    metrics = train(tiny_config, tmp_path / "run", resume=True)
    assert calls == {"train_teacher": 1, "train_student": 2}
    assert train(tiny_config, tmp_path / "run", resume=True) == metrics  # it is whole
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("section", "change", "told"),
    [
        ("train", {"seeds": [1, 3]}, r"train.seeds: \[1, 2\], now \[1, 3\]"),
        ("student", {"hidden": 9}, "student.hidden: 8, now 9"),
    ],
)
def test_a_whole_run_of_other_settings_is_not_told_as_these(
    section, change, told, tiny_config, tmp_path
):
    metrics = train(tiny_config, tmp_path / "run")
    message = rf"run is whole, with other settings \({told}\); --overwrite makes it anew"
    with pytest.raises(InputError, match=message):
        train(tiny_config.replace(section, **change), tmp_path / "run", resume=True)
    elsewhere = tiny_config.replace("train", checkpoint_every=3).replace("resources", memory="2GB")
    assert train(elsewhere, tmp_path / "run", resume=True) == metrics


def test_resume_without_a_run_starts_one(tiny_config, tmp_path):
    train(tiny_config, tmp_path / "run", resume=True)
    assert load_student(tmp_path / "run/seed-1/student.safetensors")


def test_tensorboard(tiny_config, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tiny_config.replace("train", tensorboard=True), tmp_path / "run")
    board = EventAccumulator(str(tmp_path / "run/tensorboard")).Reload()
    assert len(board.Scalars("seed-1/student/distillation_loss")) == 5
    assert len(board.Scalars("seed-2/teacher/val_accuracy")) == 5
