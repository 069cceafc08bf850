"""Lines of the log, where somebody reads them and where nobody does."""

import io
import json
import logging
import threading

from infgrand_dgl.serving.service.log import WAITING, Log


def lines(to):
    return [json.loads(line) for line in to.getvalue().splitlines()]


def test_lines():
    to = io.StringIO()
    log = Log(to=to)
    log("request", path="/a\nb", status=200)
    try:
        raise ZeroDivisionError("none")
    except ZeroDivisionError:
        logging.getLogger("uvicorn.error").exception("what failed")
    log.close()
    first, second = lines(to)
    assert (first["event"], first["path"], first["status"]) == ("request", "/a\nb", 200)
    assert first["time"].endswith("+00:00")
    assert (second["event"], second["level"]) == ("server", "error")
    assert second["message"] == "what failed" and "ZeroDivisionError: none" in second["trace"]


def test_quiet():
    to = io.StringIO()
    log = Log(requests=False, to=to)
    log("request", status=200)
    log("server", level="error")
    log.close()
    assert [line["event"] for line in lines(to)] == ["server"]


def test_lines_that_nobody_reads_are_lost_and_counted():
    go, started = threading.Event(), threading.Event()

    class Full(io.StringIO):
        def write(self, text):
            started.set()
            assert go.wait(10)
            return super().write(text)

    to = Full()
    log = Log(to=to)
    log("request", number=0)
    assert started.wait(10)
    for number in range(1, WAITING + 6):
        log("request", number=number)
    assert log.lost == 5
    go.set()
    while not log.lines.empty():
        pass
    log("request", number=-1)
    log.close(10)
    found = lines(to)
    assert len(found) == WAITING + 2 and found[-1]["lost_lines"] == 5


def test_a_reader_that_is_gone_stops_nobody():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    log = Log(to=Gone())
    for _ in range(3):
        log("request")
    log.close()
    assert not log.thread.is_alive()
