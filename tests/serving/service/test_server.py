"""A service on a socket: limits of time and size, clients that vanish, an orderly end."""

import asyncio
import json
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from infgrand_dgl.errors import InputError
from infgrand_dgl.serving.service.model import Limits
from infgrand_dgl.serving.service.server import listener

from .conftest import model, serving
from .load import request as posted

QUICK = Limits(rows=10_000, bytes=1 << 20, seconds=0.3)


def connected(port):
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    made.settimeout(10)
    return made


def everything(connection):
    """Until the other side closes, or aborts."""
    content = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            content += part
    return content


def answer(connection):
    """The next one on a connection that stays."""
    content = b""
    while b"\r\n\r\n" not in content:
        content += connection.recv(1 << 16)
    head, _, body = content.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head)
    assert length is not None
    while len(body) < int(length[1]):
        body += connection.recv(1 << 16)
    return int(head.split()[1]), body


def asked(port, request):
    """Status and body of an answer."""
    with connected(port) as connection:
        connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        head, _, body = everything(connection).partition(b"\r\n\r\n")
        return int(head.split()[1]), body


NODES = posted("/predict", {"nodes": [1, 2]})


@pytest.fixture(scope="module")
def served():
    with serving(model(), QUICK) as service:
        yield service


def test_answers_on_one_connection(served):
    with connected(served.port) as connection:
        for _ in range(3):
            connection.sendall(NODES)
            assert answer(connection)[0] == 200


@pytest.mark.parametrize("sent", [b"", b"POST /pred", NODES[:60]])
def test_heads_that_do_not_come_are_not_waited_for(served, sent):
    with connected(served.port) as connection:
        start = time.monotonic()
        connection.sendall(sent)
        assert everything(connection) == b""
        assert 0.2 < time.monotonic() - start < 5


def test_a_second_head_that_does_not_come(served):
    with connected(served.port) as connection:
        connection.sendall(NODES)
        assert answer(connection)[0] == 200
        connection.sendall(b"GET /v2")
        start = time.monotonic()
        assert everything(connection) == b""
        assert 0.2 < time.monotonic() - start < 4  # uvicorn's own wait is 5 s


def test_bodies_that_do_not_come(served):
    with connected(served.port) as connection:
        connection.sendall(NODES[:-3])
        said = everything(connection)
    assert said.startswith(b"HTTP/1.1 408") and b'{"error":"body: not there after 0.3 s"}' in said


LINE = b"X: " + b"a" * 1000 + b"\r\n"
CHUNKED = posted("/predict", b"", **{"Transfer-Encoding": "chunked", "Content-Length": ""})


@pytest.mark.parametrize("start", [b"GET /v2 HTTP/1.1\r\n", CHUNKED + b"2\r\n{}\r\n0\r\n"])
def test_heads_and_trailers_without_end(start):
    sent, begin = 0, time.monotonic()
    with serving(model(), Limits()) as service, connected(service.port) as connection:
        connection.sendall(start)
        with suppress(ConnectionResetError, BrokenPipeError):
            while sent < 64 << 20:
                connection.sendall(LINE)
                sent += len(LINE)
        everything(connection)
    assert sent < 16 << 20  # what lies between the two may hold some
    assert time.monotonic() - begin < 10  # and not when its time was over


def test_offers_of_another_protocol_are_not_taken(served):
    """Java's HttpClient makes one with each first request."""
    offer = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABk",
    }
    with connected(served.port) as connection:
        connection.sendall(posted("/predict", {"nodes": [1, 2]}, **offer))
        assert answer(connection)[0] == 200


@pytest.mark.parametrize("path", ["/v2/models/nobody/infer", "/v2/health/live"])
def test_a_refusal_comes_when_all_is_read(served, path):
    with connected(served.port) as connection:
        for _ in range(2):
            connection.sendall(posted(path, bytes(900_000)))
            assert answer(connection)[0] in (404, 405)


def test_more_connections_than_may_be():
    with serving(model(), Limits(connections=3)) as service:
        first = [connected(service.port) for _ in range(3)]
        for connection in first:
            connection.sendall(NODES)
            assert answer(connection)[0] == 200
        with connected(service.port) as one_more:
            assert everything(one_more) == b""
        first.pop().close()
        deadline = time.monotonic() + 5
        while True:  # until the server has seen it
            with suppress(OSError, IndexError):
                assert asked(service.port, NODES)[0] == 200
                break
            assert time.monotonic() < deadline
        for connection in first:
            connection.close()


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01\x00", b"what\r\n\r\n", b"\0" * 99])
def test_what_is_no_http(served, garbage):
    with connected(served.port) as connection:
        connection.sendall(garbage + b"\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 400")


def test_too_large_is_told_before_it_is_read(served):
    with connected(served.port) as connection:
        head = posted("/predict", b"", **{"Content-Length": str(1 << 40)})
        connection.sendall(head)
        said = everything(connection)
    assert said.startswith(b"HTTP/1.1 413") and b"found 1,099,511,627,776" in said


def test_clients_that_vanish(served):
    before = len(served.log)
    for part in (NODES[:-1], NODES, NODES + NODES[:50]):
        with connected(served.port) as connection:
            connection.sendall(part)
    assert asked(served.port, NODES)[0] == 200
    paths = {each["path"] for each in served.log[before:]}
    assert paths == {"/predict"} and {e["status"] for e in served.log[before:]} <= {200, 400}


def test_two_models_in_one_process():
    with serving(model()) as one, serving(replace(model(), nodes=None, graph=None)) as other:
        assert [asked(each.port, NODES)[0] for each in (one, other)] == [200, 404]


def test_the_end_waits_for_what_was_taken():
    """The head of a request was read, and its body comes after the end has begun."""
    body = {"nodes": [5]}
    request = posted("/predict", body, Expect="100-continue")
    head, content = request[: -len(json.dumps(body))], request[-len(json.dumps(body)) :]
    with serving(model(), Limits()) as service, connected(service.port) as connection:
        connection.sendall(head)
        assert connection.recv(1 << 10).startswith(b"HTTP/1.1 100")
        stopping = asyncio.run(_stopping(service, connection, content))
    assert stopping.startswith(b"HTTP/1.1 200") and b'"node":5' in stopping


async def _stopping(service, connection, content):
    stop = asyncio.create_task(asyncio.to_thread(service.stop))
    while True:  # until no more is taken
        try:
            await asyncio.to_thread(lambda: connected(service.port).close())
        except OSError:
            break
        await asyncio.sleep(0.01)
    connection.sendall(content)
    said = await asyncio.to_thread(everything, connection)
    await stop
    return said


def test_others_are_answered_while_the_model_is_at_work():
    made, started, go = model(), threading.Event(), threading.Event()

    def slow(x):
        if len(x) == 3000:
            started.set()
            assert go.wait(10)
        elif len(x) > 1:  # so that 3000 rows are not asked on the spot
            time.sleep(2e-3)
        return made.ask(x)

    with serving(replace(made, ask=slow)) as service, connected(service.port) as connection:
        connection.sendall(posted("/predict", {"nodes": [1] * 3000}))
        assert started.wait(10)
        assert asked(service.port, b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
        go.set()
        assert answer(connection)[0] == 200


def test_addresses_that_cannot_be_listened_to():
    with listener("127.0.0.1", 0, 1) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--host 127.0.0.1 --port {port}: Address already"):
            listener("127.0.0.1", port, 1)
    for nowhere in ("nowhere.invalid", ".a", "a" * 70):
        with pytest.raises(InputError, match=f"--host {nowhere} --port 0: "):
            listener(nowhere, 0, 1)
    with pytest.raises(InputError, match="Cannot assign requested address"):
        listener("203.0.113.1", 0, 1)
