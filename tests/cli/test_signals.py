"""When a signal acts."""

import os
import signal
import sys
from importlib import import_module

import pytest

from infgrand_dgl.cli import signals
from infgrand_dgl.cli.signals import signals_end

ENDS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
SLOW = """
import os, time
os.kill(os.getpid(), {number})
for _ in range({rounds}):
    time.sleep(0.01)
whole = True
"""


@pytest.mark.parametrize(("number", "end"), ENDS)
def test_at_once(number, end):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    after = []
    with pytest.raises(end), signals_end() as received:
        os.kill(os.getpid(), number)
        after.append(1)
    assert received == [number] and not after
    assert before == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize(("number", "end"), ENDS)
def test_during_an_import_when_that_is_over(number, end, tmp_path, monkeypatch):
    (tmp_path / "slow_module.py").write_text(SLOW.format(number=int(number), rounds=10))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(end), signals_end() as received:
        import_module("slow_module")
        while True:
            signal.pause()
    assert received == [number] and sys.modules.pop("slow_module").whole
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_import_that_does_not_end(tmp_path, monkeypatch):
    monkeypatch.setattr(signals, "IMPORT_SECONDS", 0.1)
    (tmp_path / "endless_module.py").write_text(SLOW.format(number=2, rounds=1 << 40))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt), signals_end():
        import_module("endless_module")
    assert "endless_module" not in sys.modules
