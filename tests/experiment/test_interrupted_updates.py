"""Updates whose process ends half way: the run is as it was, or as it is to be."""

import errno
import json
import os
import shutil
import signal
import time
from typing import Any

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.experiment import directory, updating
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.experiment.predictor import Predictor
from infgrand_dgl.experiment.train import train
from infgrand_dgl.experiment.updating import update
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.system import redo

from .updates import Updates


def arrays(out) -> dict[str, Any]:
    """All of a run that updates change, but for times."""
    found: dict[str, Any] = {str(p.relative_to(out)): np.load(p) for p in out.rglob("*.npy")}
    found["state"] = (out / "graph/state.json").read_text()
    lines = map(json.loads, (out / "updates.jsonl").read_text().splitlines())
    found["journal"] = [{**line, "time": 0, "seconds": 0} for line in lines]
    return found


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=True)
        if isinstance(one[name], np.ndarray)
        else one[name] == other[name]
        for name in one
    )


class Killed:
    """A run before and after an update, which forked processes make in copies of it."""

    def __init__(self, tmp_path):
        self.made, self.folder = Updates(tmp_path, nodes=100), tmp_path
        self.made.update()
        self.asked = self.made.asked(add=5, remove=5, nodes=2, change=2)
        self.before, self.count = arrays(self.made.out), 0
        copy = self.copy()
        start = time.perf_counter()
        update(RunDirectory.open(copy), self.asked)
        self.seconds, self.after = time.perf_counter() - start, arrays(copy)
        assert not same(self.before, self.after)

    def copy(self):
        self.count += 1
        return shutil.copytree(self.made.out, self.folder / f"copy-{self.count}")

    def fork(self, out, prepare) -> int:
        if child := os.fork():
            return child
        status = 1
        try:
            torch.set_num_threads(1)
            prepare()
            update(RunDirectory.open(out), self.asked)
            status = 0
        finally:
            os._exit(status)

    def left(self, out) -> bool:
        """Whether what was left is the new state; else it is the old one."""
        RunDirectory.open(out)
        found = arrays(out)
        new = same(found, self.after)
        assert new or same(found, self.before)
        assert not (out / "graph/redo/record.npz").exists()
        return new


def test_killed_at_random_moments(tmp_path):
    killed = Killed(tmp_path)
    for moment in np.random.rand(10) * 1.2 * killed.seconds:
        out = killed.copy()
        child = killed.fork(out, lambda: None)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if not killed.left(out):
            update(RunDirectory.open(out), killed.asked)
            assert same(arrays(out), killed.after)


def test_killed_at_each_step_of_writing(tmp_path):
    """The old state until the record has its name, the new one from then on."""
    killed, states, status, step = Killed(tmp_path), [], int(signal.SIGKILL), 0

    def prepare() -> None:
        calls, real = 0, redo._on_disk
        replace, put = type(tmp_path).replace, redo._put

        def counted(call):
            def other(*arguments):
                nonlocal calls
                calls += 1
                if calls > step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments)

            return other

        redo._on_disk, redo._put = counted(real), counted(put)
        type(tmp_path).replace = counted(replace)

    while status == signal.SIGKILL:
        out = killed.copy()
        status = os.waitpid(killed.fork(out, prepare), 0)[1]
        states.append(killed.left(out))
        step += 1
    assert status == 0 and states == sorted(states)
    assert not states[0] and states[-1] and len(states) > 20
    assert states.count(True) > 10


def test_a_reader_ends_what_was_decided(tmp_path, monkeypatch):
    made = Updates(tmp_path)
    made.update()
    with monkeypatch.context() as patch:
        patch.setattr(updating, "finish_update", lambda run: None)
        made.update(nodes=1)
    assert len(np.load(made.out / "propagated.npy")) == made.edges.nodes - 1
    assert Predictor.open(made.out).num_nodes == made.edges.nodes
    made.check()


@pytest.mark.parametrize("first", [True, False])
def test_training_anew_ends_an_update_first(first, tmp_path, monkeypatch):
    """Its arrays are never taken for finished stages of the dataset."""
    made = Updates(tmp_path)
    names = ["propagated.npy", "influence.npy", "seed-1/teacher_logits.npy"]
    before = {name: np.load(made.out / name) for name in names}
    if not first:
        made.update()
    real = type(made.out).replace

    def half(root, folder):
        with monkeypatch.context() as patch:
            patch.setattr(type(root), "replace", killed)
            redo.redo(root, folder)

    def killed(path, target):
        if target.name == "stages.json":
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(directory, "redo", half)
        with pytest.raises(KeyboardInterrupt):
            made.update(add=5)
    assert redo.is_pending(made.out / "graph")
    train(made.config, made.out, overwrite=True, report=Reporter(quiet=True))
    for name in names:
        np.testing.assert_array_equal(np.load(made.out / name), before[name])


def test_an_error_after_the_decision_says_so(tmp_path, monkeypatch):
    made = Updates(tmp_path)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(redo, "_put", full)
        with pytest.raises(InputError, match="an update was decided on, and could not be ended"):
            made.update(nodes=1)
        with pytest.raises(InputError, match="No space left on device.; what opens the run next"):
            Predictor.open(made.out)
    assert Predictor.open(made.out).num_nodes == made.edges.nodes
    made.check()
