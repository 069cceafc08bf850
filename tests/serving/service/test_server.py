"""A service on a socket: limits of time and size, clients that vanish, an orderly end."""

import asyncio
import json
import socket
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from infgrand_dgl.errors import InputError
from infgrand_dgl.serving.service.model import Limits
from infgrand_dgl.serving.service.server import HEAD, listener

from ..students import WIDTH
from .conftest import model, serving

QUICK = Limits(rows=10_000, bytes=1 << 20, seconds=0.3)


def posted(path, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    said = {"Host": "a", "Content-Type": "application/json", "Content-Length": len(content)}
    lines = [f"{name}: {value}" for name, value in (said | headers).items()]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + content


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
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")


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
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /v2")
        start = time.monotonic()
        assert everything(connection) == b""
        assert 0.2 < time.monotonic() - start < 4  # uvicorn's own wait is 5 s


def test_bodies_that_do_not_come(served):
    with connected(served.port) as connection:
        connection.sendall(NODES[:-3])
        said = everything(connection)
    assert said.startswith(b"HTTP/1.1 408") and b'{"error":"body: not there after 0.3 s"}' in said


def test_heads_without_end():
    line, start = b"X: " + b"a" * 1000 + b"\r\n", time.monotonic()
    with serving(model(), Limits()) as service, connected(service.port) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\n")
        with suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(2 * HEAD // len(line)):
                connection.sendall(line)
        assert everything(connection) == b""
    assert time.monotonic() - start < 10  # and not when its time was over


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01\x00", b"what\r\n\r\n", b"\0" * 99])
def test_what_is_no_http(served, garbage):
    with connected(served.port) as connection:
        connection.sendall(garbage + b"\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 400")


def test_too_large_is_told_before_it_is_read(served):
    with connected(served.port) as connection:
        head = posted("/predict", b"", **{"Content-Length": 1 << 40})
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


def test_many_rows_go_by_a_thread_and_others_are_answered_meanwhile(served):
    x = np.random.randn(3000, WIDTH).astype("<f4")
    given = {"name": "x", "datatype": "FP32", "shape": [3000, WIDTH]}
    head = json.dumps({"inputs": [given | {"parameters": {"binary_data_size": x.nbytes}}]}).encode()
    request = posted(
        "/v2/models/a-graph/infer",
        head + x.tobytes(),
        **{"Inference-Header-Content-Length": len(head)},
    )
    assert asked(served.port, request)[0] == 200


def test_addresses_that_cannot_be_listened_to():
    with listener("127.0.0.1", 0, 1) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--host 127.0.0.1 --port {port}: Address already"):
            listener("127.0.0.1", port, 1)
    with pytest.raises(InputError, match="--host nowhere.invalid"):
        listener("nowhere.invalid", 0, 1)
    with pytest.raises(InputError, match="Cannot assign requested address"):
        listener("203.0.113.1", 0, 1)
