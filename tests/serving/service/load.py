"""Mixed load on a service: `python -m tests.serving.service.load RUN --seconds 600`.

Clients that are right, wrong, too large, slow, and such as vanish, all at once; the server is a
process of its own. Every right one must get the right answer, every wrong one a 4xx and its reason;
resident memory must stay where it is; a SIGTERM must let the server finish what it has taken.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from infgrand_dgl.experiment.service import model_of
from infgrand_dgl.serving.service.model import Model

PATIENCE = 60.0  # seconds; nothing is waited for longer
TIMEOUT = 2  # of the server


class Clients:
    """Of one server; each method is one exchange."""

    def __init__(self, port: int, model: Model) -> None:
        self.port, self.model = port, model
        self.infer = f"/v2/models/{model.specification.name}/infer"
        self.width = model.specification.inputs.width
        assert model.nodes is not None and model.graph is not None
        self.nodes, self.graph = model.nodes, model.graph

    async def sent(self, *parts: bytes, pause: float = 0.0, read: bool = True) -> tuple[int, bytes]:
        """Status and body of an answer; 0: the connection ended without one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            return await answer(reader) if read else (0, b"")
        except (ConnectionResetError, BrokenPipeError, asyncio.IncompleteReadError):
            return 0, b""
        finally:
            writer.close()

    def random_rows(self, most: int) -> np.ndarray:
        ids = np.random.randint(0, self.nodes.num_nodes, random.randint(1, most))
        return self.nodes.rows(ids)

    # Right ones

    async def right_json(self) -> None:
        x = self.random_rows(8)
        status, body = await self.sent(request(self.infer, self.tensor(x)))
        found = json.loads(body)["outputs"][1]["data"]
        expected = self.model.ask(x)["probabilities"].ravel()
        assert status == 200 and np.allclose(found, expected, atol=1e-5), body

    async def right_bytes(self) -> None:
        x = self.random_rows(2000)
        status, body = await self.sent(self.in_bytes(x))
        expected = self.model.ask(x)
        values = np.frombuffer(body[-2 * expected["logits"].nbytes :], "<f4").reshape(2, len(x), -1)
        assert status == 200 and np.allclose(values[0], expected["logits"], atol=1e-4)

    async def right_slowly(self) -> None:
        content = request("/predict", {"nodes": [1]})
        parts = [content[k : k + 40] for k in range(0, len(content), 40)]
        start = time.monotonic()
        status, body = await self.sent(*parts, pause=0.05)
        late = time.monotonic() - start > TIMEOUT  # of a client that had no turn
        assert status == 200 or late, body

    async def right_ids(self) -> None:
        ids = np.random.randint(0, self.nodes.num_nodes, 5).tolist()
        status, body = await self.sent(request("/predict", {"nodes": ids}))
        assert status == 200, body
        assert [each["node"] for each in json.loads(body)["predictions"]] == ids

    async def right_new_ones(self) -> None:
        N, D = self.nodes.num_nodes, self.graph.num_features
        node = {"features": np.random.rand(D).tolist(), "neighbours": [random.randrange(N), N + 1]}
        body = {
            "nodes": [node, {"features": [1.0] * D}],
            "mode": random.choice(["exact", "cached"]),
        }
        status, said = await self.sent(request("/predict/new", body))
        assert status == 200, said
        assert [each["node"] for each in json.loads(said)["predictions"]] == [N, N + 1]

    async def right_metrics(self) -> None:
        path = random.choice(["/metrics", "/v2/health/ready", "/v2", "/openapi.json"])
        status, body = await self.sent(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert status == 200 and body

    # Wrong ones

    async def wrong_json(self) -> None:
        content = random.choice(
            [b"", b"{", b"[" * 5000, b'{"nodes":[NaN]}', b"\xff\0", b'{"nodes": [1' + b"0" * 5000]
        )
        await self.refused(random.choice([self.infer, "/predict", "/predict/new"]), content)

    async def wrong_values(self) -> None:
        x = self.random_rows(3)
        tensor = self.tensor(x)["inputs"][0]
        wrong = random.choice(
            [
                {"datatype": random.choice(["FP64", "INT32", "BYTES", 3])},
                {"shape": [len(x), self.width + 1]},
                {"shape": [-1, self.width]},
                {"data": ["a"] * x.size},
                {"data": [None] * x.size},
                {"data": x.ravel()[1:].tolist()},
            ]
        )
        await self.refused(self.infer, {"inputs": [tensor | wrong]})

    async def wrong_ids(self) -> None:
        N = self.nodes.num_nodes
        ids = random.choice([[N], [-1], ["1"], [1.5], [10**30], [[1]], {"a": 1}, None])
        await self.refused("/predict", {"nodes": ids})

    async def wrong_new_ones(self) -> None:
        D = self.graph.num_features
        features = random.choice([[], [0.0] * (D + 1), ["x"] * D, None])
        node = {"features": features, "neighbours": random.choice([[], [10**12], [-1]])}
        await self.refused("/predict/new", {"nodes": [node]})

    async def wrong_bytes(self) -> None:
        content = self.in_bytes(self.random_rows(50))
        length = str(random.choice([0, 1, 10**6, "x"])).encode()
        header = b"Inference-Header-Content-Length: "
        status, said = await self.sent(re.sub(header + rb"\d+", header + length, content))
        reason(status, said)

    async def wrong_place(self) -> None:
        path = random.choice(["/", "/v2/models/nobody/infer", "/../../etc/passwd", "/%00", "/v1"])
        status, said = await self.sent(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        reason(status, said)

    async def wrong_protocol(self) -> None:
        status, _ = await self.sent(random.randbytes(200) + b"\r\n\r\n")
        assert status in (0, 400)

    async def too_many_rows(self) -> None:
        await self.refused("/predict", {"nodes": [1] * 5000})

    async def too_large(self) -> None:
        declared = {"Content-Length": str(random.choice([1 << 25, 1 << 40]))}
        status, said = await self.sent(request(self.infer, b"", **declared), bytes(1 << 16))
        assert status in (0, 413), said  # 0: it had closed while more was sent

    async def too_large_in_pieces(self) -> None:
        head = request(self.infer, b"", **{"Transfer-Encoding": "chunked", "Content-Length": ""})
        chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
        status, said = await self.sent(head, *[chunk] * 20)
        assert status in (0, 413), said

    # Slow ones, and those that vanish

    async def slow_head(self) -> None:
        status, _ = await self.sent(b"POST /predict HT", b"TP/1.1\r\nHo", pause=1.5 * TIMEOUT)
        assert status == 0

    async def slow_body(self) -> None:
        content = request("/predict", {"nodes": [1]})
        status, said = await self.sent(content[:-4], pause=1.5 * TIMEOUT)
        assert status == 408 and json.loads(said)["error"], said

    async def slow_reader(self) -> None:
        x = self.random_rows(4000)
        body = {"inputs": self.tensor(x)["inputs"]}
        await self.sent(request(self.infer, body), pause=random.random(), read=False)

    async def vanishing(self) -> None:
        content = request("/predict/new", {"nodes": [{"features": [0] * self.graph.num_features}]})
        end = random.choice([len(content), random.randrange(len(content))])
        await self.sent(content[:end], read=False)

    def tensor(self, x: np.ndarray) -> dict[str, Any]:
        shape = list(x.shape)
        data = x.ravel().tolist()
        return {"inputs": [{"name": "x", "datatype": "FP32", "shape": shape, "data": data}]}

    def in_bytes(self, x: np.ndarray) -> bytes:
        tensor = self.tensor(x)["inputs"][0] | {"parameters": {"binary_data_size": 4 * x.size}}
        del tensor["data"]
        said = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
        head = json.dumps(said).encode()
        length = {"Inference-Header-Content-Length": str(len(head))}
        return request(self.infer, head + x.astype("<f4").tobytes(), **length)

    async def refused(self, path: str, body: Any) -> None:
        reason(*await self.sent(request(path, body)))


def request(path: str, body: Any, **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    said = {"Host": "a", "Content-Type": "application/json", "Content-Length": str(len(content))}
    lines = [f"{name}: {value}" for name, value in (said | headers).items() if value]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + content


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
    body = reader.read() if length is None else reader.readexactly(int(length[1]))
    return int(head.split()[1]), await body


def reason(status: int, said: bytes) -> None:
    assert 400 <= status < 500 and json.loads(said)["error"], (status, said)


KINDS: list[Callable[[Clients], Awaitable[None]]] = [
    kind for name, kind in vars(Clients).items() if name.split("_")[0] in
    ("right", "wrong", "too", "slow", "vanishing")
]  # fmt: skip


async def mixed(clients: Clients, seconds: float, at_once: int) -> Counter[str]:
    """How many exchanges of each kind were as they must be; the first that is not is raised."""
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < end:
            kind = random.choice(KINDS)
            try:
                await asyncio.wait_for(kind(clients), PATIENCE)
            except Exception as error:
                raise AssertionError(f"{kind.__name__}: {error!r}") from error
            done[kind.__name__] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(client())
    return done


async def ended(clients: Clients, process: subprocess.Popen[str]) -> Counter[str]:
    """SIGTERM while requests are under way, and some that were taken wait for their bodies."""
    said: Counter[str] = Counter()
    content = request("/predict", {"nodes": [1, 2, 3]}, Expect="100-continue")
    cut = content.index(b"\r\n\r\n") + 4
    taken = []
    for _ in range(8):
        reader, writer = await asyncio.open_connection("127.0.0.1", clients.port)
        writer.write(content[:cut])
        assert b"100" in await reader.readuntil(b"\r\n\r\n")
        taken.append((reader, writer))
    signalled = False

    async def client() -> None:
        while True:
            try:
                status, body = await clients.sent(request("/predict", {"nodes": [1, 2, 3]}))
            except OSError:
                return
            # One that the server has not read yet ends without an answer; none ends half-way.
            assert json.loads(body)["predictions"] if status == 200 else status == 0 and signalled
            said["answered" if status else "not taken"] += 1
            if not status:
                return

    others = [asyncio.create_task(client()) for _ in range(8)]
    await asyncio.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    signalled = True
    await asyncio.sleep(0.2)
    for reader, writer in taken:
        writer.write(content[cut:])
        status, body = await answer(reader)
        assert status == 200 and len(json.loads(body)["predictions"]) == 3, body
        said["taken, answered after SIGTERM"] += 1
        writer.close()
    await asyncio.wait_for(asyncio.gather(*others), PATIENCE)
    assert await asyncio.to_thread(process.wait, PATIENCE) == 0
    return said


def resident(process: subprocess.Popen[str]) -> float:
    """MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


async def under_load(run: Path, seconds: float, at_once: int) -> dict[str, Any]:
    """What happened: exchanges by kind, resident MiB after a tenth of the time and then on."""
    command = [sys.executable, "-m", "infgrand_dgl", "serve", "-q", "--run", str(run)]
    options = ["--port", "0", "--timeout", str(TIMEOUT)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        port = re.search(r":(\d+),", line)
        assert port is not None, line
        clients = Clients(int(port[1]), model_of(run))
        start = await mixed(clients, seconds / 10, at_once)
        memory = [resident(process)]
        done = asyncio.create_task(mixed(clients, 9 * seconds / 10, at_once))
        while not done.done():
            await asyncio.wait([done], timeout=max(0.2, seconds / 60))
            memory.append(resident(process))
        kinds = start + done.result()
        at_the_end = await ended(clients, process)
        return {"exchanges": dict(sorted(kinds.items())), "MiB": memory, "end": dict(at_the_end)}
    finally:
        process.kill()
        process.wait()


def is_flat(memory: list[float]) -> bool:
    """Whether the second half holds no more than the first, and 2 % for luck."""
    half = len(memory) // 2
    return max(memory[half:]) <= 1.02 * max(memory[:half])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=32)
    args = parser.parse_args()
    said = asyncio.run(under_load(args.run, args.seconds, args.clients))
    print(json.dumps(said))
    sys.exit(0 if is_flat(said["MiB"]) else "resident memory grew")
