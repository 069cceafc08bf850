"""What a call would do to the process, seen in a fork of it."""

import ctypes
import os
import time

import numpy as np
import pytest
import torch

from infgrand_dgl.system.trial import failure


def raises() -> None:
    raise KeyError("a name")


def crashes() -> None:
    ctypes.string_at(0)


def takes_memory() -> None:
    np.ones(1 << 28)  # 2 GiB


class Unfinished:
    def __init__(self) -> None:
        self.own = self  # a circle: freed by gc alone

    def __del__(self) -> None:
        os.abort()


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda: None, None),
        (lambda: torch.ones(10).sum(), None),
        (raises, "KeyError: 'a name'"),
        (crashes, "it ends the library that reads it"),
        (os.abort, "it ends the library that reads it"),
        (lambda: os._exit(3), "it ends the library that reads it"),
        (Unfinished, "it ends the library that reads it"),
    ],
)
def test_failure(work, told, capfd):
    torch.ones(1000, 1000) @ torch.ones(1000, 1000)  # threads that the fork lacks
    assert failure(work, 1 << 30, seconds=30) == told
    assert capfd.readouterr() == ("", "")


def test_memory():
    assert (failure(takes_memory, 1 << 30, seconds=30) or "").startswith("MemoryError")


def test_what_does_not_end_is_not_known(monkeypatch):
    forks, fork = [], os.fork

    def noted() -> int:
        forks.append(fork())
        return forks[-1]

    monkeypatch.setattr(os, "fork", noted)
    start = time.monotonic()
    assert failure(lambda: time.sleep(600), 1 << 30, seconds=0.2) is None
    assert time.monotonic() - start < 60
    with pytest.raises(ChildProcessError):  # nobody is left to wait for
        os.waitpid(forks[0], os.WNOHANG)
