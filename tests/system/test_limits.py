"""Control groups as batch systems and containers lay them out, in files made here; ulimit."""

import subprocess
import sys

import numpy as np
import pytest

from infgrand_dgl.system import memory
from infgrand_dgl.system.limits import free_in_groups

GB = 10**9
NONE = 1 << 63
V1_NONE = 9223372036854771712


def group(folder, limit, used, **stat):
    """Of version 2; of version 1 where the folder says so."""
    folder.mkdir(parents=True, exist_ok=True)
    v1 = "/memory" in str(folder)
    names = ("limit_in_bytes", "usage_in_bytes") if v1 else ("max", "current")
    for name, value in zip(names, (limit, used), strict=True):
        (folder / f"memory.{name}").write_text(f"{value}\n")
    lines = [f"{name} {value}\n" for name, value in stat.items()]
    (folder / "memory.stat").write_text("".join(lines))


@pytest.fixture
def machine(tmp_path):
    """A root of groups, and what says which of them the process is in."""
    root, process = tmp_path / "groups", tmp_path / "process"
    root.mkdir()
    process.mkdir()

    def free(cgroup, mountinfo=""):
        (process / "cgroup").write_text(cgroup)
        (process / "mountinfo").write_text(mountinfo)
        return free_in_groups(process, root)

    return root, free


def test_no_limit(machine):
    root, free = machine
    assert free("0::/\n") == NONE and free("") == NONE
    group(root, "max", 5 * GB)
    group(root / "memory", V1_NONE, 5 * GB)
    assert free("4:memory:/\n0::/\n") > 1 << 62


@pytest.mark.parametrize("limited", ["", "a", "a/b", "a/b/c"])
@pytest.mark.parametrize("version", [1, 2])
def test_the_group_or_one_above_it(version, limited, machine):
    root, free = machine
    base, line = (
        (root, "0::/a/b/c\n") if version == 2 else (root / "memory", "7:cpu,memory:/a/b/c\n")
    )
    for name in ("", "a", "a/b", "a/b/c"):
        group(base / name, "max" if version == 2 else V1_NONE, 9 * GB)
    group(base / limited, 2 * GB, GB // 2)
    group(base / "other", GB // 4, 0)  # of another job
    assert free(line) == 2 * GB - GB // 2


def test_the_tightest_counts(machine):
    root, free = machine
    limits = np.random.default_rng().integers(2 * GB, 9 * GB, 4).tolist()
    for depth, limit in enumerate(limits):
        group(root.joinpath(*"abc"[:depth]), limit, GB)
    assert free("0::/a/b/c\n") == min(limits) - GB


def test_both_versions_at_once(machine):
    root, free = machine
    group(root / "memory/slurm/job", 3 * GB, GB)
    group(root / "unified/slurm/job", "max", GB)
    assert free("0::/slurm/job\n8:memory:/slurm/job\n1:cpu:/\n") == 2 * GB
    group(root / "unified/slurm", 2 * GB, GB)
    assert free("0::/slurm/job\n8:memory:/slurm/job\n1:cpu:/\n") == GB


def test_a_container_sees_its_own_group_as_the_root(machine):
    """Its path is that of the host, or leads out of its namespace."""
    root, free = machine
    group(root / "memory", 2 * GB, GB // 2, hierarchical_memory_limit=3 * GB)
    assert free("4:memory:/docker/1e32fcf7\n") == 2 * GB - GB // 2
    group(root, 2 * GB, GB)
    assert free("0::/../../user.slice\n") == GB


def test_a_limit_above_what_is_mounted(machine):
    root, free = machine
    group(root / "memory", V1_NONE, GB, hierarchical_memory_limit=3 * GB)
    assert free("4:memory:/docker/1e32fcf7\n") == 2 * GB


def test_mounted_elsewhere(machine, tmp_path):
    _, free = machine
    group(tmp_path / "here/job", 2 * GB, GB)
    cgroup2 = f"31 23 0:28 / {tmp_path}/here rw,relatime shared:5 - cgroup2 cgroup2 rw\n"
    assert free("0::/job\n", cgroup2) == GB
    group(tmp_path / "memory/step", 3 * GB, GB)
    part = f"31 23 0:28 /slurm/job {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
    assert free("5:memory:/slurm/job/step\n", part) == 2 * GB


def test_what_files_the_kernel_holds_is_free(machine):
    root, free = machine
    group(root / "job", 4 * GB, 3 * GB, inactive_file=2 * GB, active_file=GB)
    assert free("0::/job\n") == 3 * GB
    group(root / "memory", 4 * GB, 3 * GB, total_inactive_file=GB)
    assert free("3:memory:/\n") == 2 * GB
    group(root / "job", GB, 3 * GB)
    assert free("0::/job\n") == 0


def test_throttled_above(machine):
    root, free = machine
    group(root / "job", 4 * GB, GB)
    (root / "job/memory.high").write_text(f"{2 * GB}\n")
    assert free("0::/job\n") == GB


def test_free_memory_is_the_least(monkeypatch):
    for name in ("free_in_groups", "free_by_rlimits"):
        with monkeypatch.context() as patch:
            patch.setattr(memory, name, lambda: 12345)
            assert memory.free_memory() == 12345
    assert 0 < memory.free_memory() < 1 << 50


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("limit", ["AS", "DATA"])
def test_ulimit(limit):
    code = (
        "import resource\nfrom infgrand_dgl.system.limits import free_by_rlimits as free\n"
        "assert free() == 1 << 63\n"
        f"resource.setrlimit(resource.RLIMIT_{limit}, (8 << 30, 8 << 30))\nbefore = free()\n"
        "block = bytearray(1 << 29)\nprint(before, before - free())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, taken = map(int, done.stdout.split())
    assert 0 < before < 8 << 30 and abs(taken - (1 << 29)) < 1 << 24
