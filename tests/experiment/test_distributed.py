"""Two processes (torchrun, gloo) do what one does."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
import yaml
from safetensors.numpy import load_file

from infgrand_dgl import InputError
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.experiment import train as recipe
from infgrand_dgl.present.console import Reporter
from tests import processes
from tests.conftest import python_path


def train_together(experiment, out):
    train = ["-m", "infgrand_dgl", "train"]
    return processes.together(*train, "--config", experiment, "--out", out)


def torchrun(experiment, out):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "-m", "infgrand_dgl", "train"]
    command += ["--config", str(experiment), "--out", str(out)]
    threads = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads})


@pytest.fixture
def experiment(tmp_path, tiny):
    content = yaml.safe_load(tiny.read_text())
    content["data"] |= {"style": "arxiv", "nodes": 1000, "features": 40}
    content["student"] |= {"layers": 3, "dropout": 0.0, "norm": "layer"}
    content["train"] |= {"seeds": [1], "baselines": ["mlp"]}
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def weights(run, name):
    return load_file(run / f"seed-1/{name}.safetensors")


@pytest.mark.parametrize(("batch_size", "started"), [(None, torchrun), (64, train_together)])
def test_two_processes_equal_one(batch_size, started, experiment, tmp_path):
    changed = load_config(experiment).replace("student", batch_size=batch_size)
    experiment.write_text(changed.to_yaml())
    expected = recipe.train(changed, tmp_path / "one", report=Reporter(quiet=True))
    done = started(experiment, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run directory:") == 1  # one of them speaks
    found = json.loads((tmp_path / "two/metrics.json").read_text())
    assert (found["processes"], expected["processes"]) == (2, 1)
    for name in ("influence.npy", "propagated.npy"):
        one, two = (np.load(tmp_path / run / name) for run in ("one", "two"))
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-6)
    for name in ("mlp", "teacher", "student"):
        one, two = (weights(tmp_path / run, name) for run in ("one", "two"))
        for key in one:
            np.testing.assert_allclose(two[key], one[key], rtol=0, atol=1e-5, err_msg=key)
    for model in ("mlp", "teacher", "student"):
        for part in ("val", "test"):
            assert found[model][part]["mean"] == pytest.approx(
                expected[model][part]["mean"], abs=0.01
            )


WITH_GPUS = """
import glob
import torch
import torch.distributed as dist
import torch.testing._internal.distributed.fake_pg  # a backend that leaves tensors as they are
from infgrand_dgl.system.ranks import joined

init = dist.init_process_group

def without_nccl(backend, device_id, timeout):
    assert backend == "cpu:gloo,cuda:nccl" and device_id == torch.device("cuda", chosen[0])
    init("cpu:gloo,cuda:fake", timeout=timeout)

chosen = []
dist.init_process_group = without_nccl
torch.cuda.set_device = chosen.append
torch.cuda.device_count = lambda: 2
with joined(torch.device("cuda")) as ranks:
    assert chosen == [ranks.rank]
    assert ranks.tell(ranks.rank + 5) == 5
    assert ranks.gather(ranks.rank) == [0, 1] and ranks.greatest(ranks.rank) == 1
    assert ranks.sum(torch.full((3,), 1 + ranks.rank)).tolist() == [3, 3, 3]
    assert ranks.min(torch.tensor(ranks.rank)) == 0 and ranks.max(torch.tensor(ranks.rank)) == 1
    ranks.wait()
    try:
        with ranks.together():
            assert ranks.first, "not the first"
    except AssertionError as error:
        assert "not the first" in str(error)
    else:
        raise SystemExit(1)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 1))
    model(torch.full((1, 2), float(ranks.rank))).sum().backward()
    assert model.module.weight.grad.tolist() == [[0.5, 0.5]]
    del model
threads = [open(name).read().strip() for name in glob.glob("/proc/self/task/*/comm")]
assert threads and not any("gloo" in name for name in threads), threads
"""


def test_beside_gpus_what_lies_on_the_host_goes_by_gloo(tmp_path):
    """Numbers of the CPU (a teacher on DGL, files, messages) meet no backend of the GPUs."""
    (tmp_path / "ranks.py").write_text(WITH_GPUS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(tmp_path / "ranks.py")],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


def test_more_processes_than_gpus(monkeypatch):
    from infgrand_dgl.system.ranks import joined

    given = {"RANK": 1, "WORLD_SIZE": 6, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 3}
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(dist, "init_process_group", None)
    expected = "torchrun: expected a GPU for each of the 3 processes here, found 2"
    with pytest.raises(InputError, match=expected), joined(torch.device("cuda")):
        pass


DIES = """
import os, threading, time

def die():
    while not os.path.exists("{history}") or sum(1 for _ in open("{history}")) < 3:
        time.sleep(0.01)
    os._exit(9)

if os.environ.get("RANK") == "1":
    threading.Thread(target=die, daemon=True).start()
"""


@pytest.mark.parametrize("stage", ["mlp", "teacher"])
def test_a_failed_process_ends_the_run_with_a_message(stage, experiment, tmp_path, monkeypatch):
    """The second one dies while both train (the plain MLP), or while it waits (the teacher)."""
    content = yaml.safe_load(experiment.read_text())
    content["train"] |= {
        "epochs": 100_000,
        "patience": 100_000,
        "baselines": ["mlp"] * (stage == "mlp"),
    }
    experiment.write_text(yaml.safe_dump(content))
    history = tmp_path / "run.partial/history.csv"
    (tmp_path / "sitecustomize.py").write_text(DIES.format(history=history))
    monkeypatch.setenv("PYTHONPATH", python_path(tmp_path))
    done = torchrun(experiment, tmp_path / "run")
    assert done.returncode != 0
    assert "another process of this run has failed" in done.stderr
    assert f"to go on: infgrand-dgl train --resume --out {tmp_path / 'run'}" in done.stderr
    assert done.stderr.count("Traceback") == 1, done.stderr  # torchrun's own
    assert not (tmp_path / "run").exists() and history.exists()


def test_bad_input_is_told_once(experiment, tmp_path):
    (tmp_path / "out").write_text("")
    done = torchrun(experiment, tmp_path / "out")
    assert done.returncode != 0
    assert done.stderr.count("expected a folder, found a file") == 1
    assert (tmp_path / "out").read_text() == ""


def _namespaces() -> bool:
    """Whether this user may make network namespaces."""
    if shutil.which("ip") is None:
        return False
    made = subprocess.run(["ip", "netns", "add", "infgrand-probe"], capture_output=True)
    subprocess.run(["ip", "netns", "del", "infgrand-probe"], capture_output=True)
    return made.returncode == 0


@pytest.fixture
def hosts():
    """Two network namespaces joined by a cable: hosts with addresses of their own."""
    if not _namespaces():
        pytest.skip("needs ip netns, and the right to use it")
    names = [f"infgrand-{os.getpid()}-{k}" for k in range(2)]

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True)

    for name in names:
        ip("netns", "add", name)
    try:
        cable = [f"ig{os.getpid() % 100000}{k}" for k in range(2)]
        ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
        for k, name in enumerate(names):
            ip("link", "set", cable[k], "netns", name)
            inside = ("-n", name)
            ip(*inside, "addr", "add", f"10.77.0.{k + 1}/24", "dev", cable[k])
            ip(*inside, "link", "set", cable[k], "up")
            ip(*inside, "link", "set", "lo", "up")
        yield list(zip(names, cable, strict=True))
    finally:
        for name in names:
            ip("netns", "del", name)


def test_two_hosts(hosts, experiment, tmp_path):
    """One process on each of two hosts that share a folder."""
    recipe.train(load_config(experiment), tmp_path / "one", report=Reporter(quiet=True))
    processes = []
    for rank, (name, cable) in enumerate(hosts):
        command = ["ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run"]
        command += ["--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"]
        command += ["--master-addr", "10.77.0.1", "--master-port", "29511"]
        command += ["-m", "infgrand_dgl", "train", "--config", str(experiment)]
        command += ["--out", str(tmp_path / "two"), "--quiet"]
        settings = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "GLOO_SOCKET_IFNAME": cable}
        processes.append(
            subprocess.Popen(
                command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True
            )
        )
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    for name in ("mlp", "teacher", "student"):
        one, two = (weights(tmp_path / run, name) for run in ("one", "two"))
        for key in one:
            np.testing.assert_allclose(two[key], one[key], rtol=0, atol=1e-5, err_msg=key)
