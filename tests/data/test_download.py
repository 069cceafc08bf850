"""Downloads from servers on this machine that behave and misbehave."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import requests

from infgrand_dgl import InputError
from infgrand_dgl.config.schema import DataConfig
from infgrand_dgl.data import download, load_source
from infgrand_dgl.data.download import fetch
from tests.data.ogb_layout import products


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


CONTENT = np.random.bytes(5 << 20)
ARCHIVE = zipped(inner__raw__x=CONTENT, inner__y=b"y")


class Server(ThreadingHTTPServer):
    """Answers by `respond`, which a test replaces, and counts how often it is asked."""

    daemon_threads = True
    asked = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.respond = answer(ARCHIVE)
        self.url = f"http://127.0.0.1:{self.server_port}/set.zip"

    def handle_error(self, request, client_address):
        pass  # who hangs up


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.asked += 1
        self.server.respond(self)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def answer(body: bytes, status: int = 200, length: int | None = None):
    def respond(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def is_whole(folder):
    return (folder / "raw/x").read_bytes() == CONTENT and (folder / "y").read_bytes() == b"y"


def test_whole(server, tmp_path, capsys):
    root = tmp_path / "new"
    fetch(server.url, root / "set.zip", root / "set", "inner")
    assert is_whole(root / "set") and [p.name for p in root.iterdir()] == ["set"]
    assert f"Downloading {server.url} to {root}" in capsys.readouterr().err


def test_an_archive_that_is_there_is_unpacked_and_stays(server, tmp_path):
    (tmp_path / "set.zip").write_bytes(ARCHIVE)
    fetch(server.url, tmp_path / "set.zip", tmp_path / "set", "inner")
    assert is_whole(tmp_path / "set") and server.asked == 0
    assert (tmp_path / "set.zip").read_bytes() == ARCHIVE


HALVES = {
    "cut": ARCHIVE[: len(ARCHIVE) // 2],
    "without its directory": ARCHIVE[:-100],
    "empty": b"",
    "other bytes": ARCHIVE[:3000] + b"other" + ARCHIVE[3005:],
    "a page": b"<html>Sign in</html>",
    "another set": zipped(outer__x=b"x"),
}


@pytest.mark.parametrize("half", HALVES)
def test_half_archives_are_named_and_fetched_again(half, server, tmp_path, caplog):
    (tmp_path / "set.zip").write_bytes(HALVES[half])
    fetch(server.url, tmp_path / "set.zip", tmp_path / "set", "inner")
    assert is_whole(tmp_path / "set") and server.asked == 1
    assert f"{tmp_path}/set.zip: not a whole archive" in caplog.text


@pytest.mark.parametrize("half", HALVES)
def test_what_comes_is_no_archive(half, server, tmp_path):
    server.respond = answer(HALVES[half])
    with pytest.raises(InputError, match=f"{server.url}: expected a zip archive") as error:
        fetch(server.url, tmp_path / "set.zip", tmp_path / "set", "inner")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def hang(handler):
    answer(ARCHIVE[:1000], length=len(ARCHIVE))(handler)
    handler.wfile.flush()
    time.sleep(3)


@pytest.mark.parametrize(
    "respond", [hang, answer(ARCHIVE[:2000], length=len(ARCHIVE)), answer(b"gone", 404)]
)
def test_no_whole_answer(respond, server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (1, 0.2))
    server.respond = respond
    with pytest.raises(requests.RequestException):
        fetch(server.url, tmp_path / "set.zip", tmp_path / "set", "inner")
    assert not list(tmp_path.iterdir())


def test_nothing_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (1, 0.2))
    with pytest.raises(requests.RequestException):
        fetch("http://127.0.0.1:9/set.zip", tmp_path / "set.zip", tmp_path / "set")
    assert not list(tmp_path.iterdir())


def test_larger_than_the_disk(server, tmp_path):
    server.respond = answer(b"", length=1 << 62)
    with pytest.raises(InputError, match=f"{server.url} takes 4,611.*, but .* are free"):
        fetch(server.url, tmp_path / "set.zip", tmp_path / "set")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("during", ["downloaded", "unpack"])
def test_interrupted(during, end, server, tmp_path, monkeypatch):
    """Nothing is left, and nothing is asked for again."""
    target = {"downloaded": "requests.models.Response.iter_content", "unpack": "shutil.copyfileobj"}

    def interrupt(*args, **kwargs):
        raise end

    monkeypatch.setattr(target[during], interrupt)
    with pytest.raises(end):
        fetch(server.url, tmp_path / "set.zip", tmp_path / "set", "inner")
    assert not list(tmp_path.iterdir()) and server.asked == 1


def test_ogb_set(server, tmp_path, monkeypatch):
    """From the archive to the dataset."""
    edges = products(tmp_path / "made")
    folder = tmp_path / "made/ogbn_products"
    files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    named = {f"products__{name}".replace("/", "__"): content for name, content in files.items()}
    server.respond = answer(zipped(**named))
    proxy = server.url.removesuffix("/set.zip")
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    root = tmp_path / "root"
    d = load_source(DataConfig(name="ogbn-products", root=str(root)))
    assert server.asked == 1 and [p.name for p in root.iterdir()] == ["ogbn_products"]
    assert d.num_edges <= 2 * len(edges) + d.num_nodes
    assert load_source(DataConfig(name="ogbn-products", root=str(root))).num_nodes == d.num_nodes
    assert server.asked == 1


def test_built_in_set(server, tmp_path, monkeypatch):
    monkeypatch.setenv("DGL_REPO", server.url.removesuffix("set.zip"))
    server.respond = hang
    monkeypatch.setattr(download, "TIMEOUT", (1, 0.2))
    config = DataConfig(name="cora", root=str(tmp_path))
    with pytest.raises(InputError, match="cannot be downloaded .*Read timed out") as error:
        load_source(config)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir()) and server.asked == 1

    calls = []

    def interrupt(*args, **kwargs):
        calls.append(args)
        raise KeyboardInterrupt

    monkeypatch.setattr("requests.get", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_source(config)
    assert len(calls) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_server_does_not_answer(number, server, tmp_path):
    """The first one ends the command."""
    server.respond = lambda handler: time.sleep(60)
    arguments = ["data", "describe", "--config", "cora_gcn_transductive"]
    process = subprocess.Popen(
        [sys.executable, "-m", "infgrand_dgl", *arguments, "--set", f"data.root={tmp_path}"],
        env={**os.environ, "DGL_REPO": server.url.removesuffix("set.zip")},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not server.asked:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    what = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert (process.returncode, err.splitlines()[-1]) == (128 + number, f"infgrand-dgl: {what}")
    assert server.asked == 1 and not list(tmp_path.iterdir())
