import os
import signal
import threading

import pytest

from infgrand_dgl.training.interrupts import interruptible, obey


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_one_acts(number):
    class Acted(Exception):  # noqa: N818
        pass

    def act(number, frame):
        raise Acted

    before = signal.signal(number, act)
    try:
        with pytest.raises(ZeroDivisionError), interruptible() as interrupted:
            assert interrupted() == 0
            os.kill(os.getpid(), number)
            assert interrupted() == number
            with pytest.raises(Acted):
                os.kill(os.getpid(), number)
            raise ZeroDivisionError
        assert signal.getsignal(number) is act
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    ("number", "end"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_what_the_block_did_not_heed_acts_at_its_end(number, end):
    done = []
    with pytest.raises(end), interruptible():
        os.kill(os.getpid(), number)
        done.append(number)
    assert done == [number]


def test_other_threads_take_no_signals():
    seen = []

    def work():
        with interruptible() as interrupted:
            seen.append(interrupted())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0]


def test_a_signal_ends_the_process_as_usual():
    obey(0)
    with pytest.raises(KeyboardInterrupt):
        obey(signal.SIGINT)
    with pytest.raises(SystemExit) as error:
        obey(signal.SIGTERM)
    assert error.value.code == 128 + signal.SIGTERM
