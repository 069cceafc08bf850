"""`benchmark serve`: one node, by the student in torch, in ONNX Runtime and behind HTTP, and by the
teachers. Random weights: time does not depend on them.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ..config.schema import Config
from ..data import NodeDataset
from ..experiment.exporting import inputs_of
from ..nn.mlp import MLP
from ..nn.students import build, shape_of
from ..propagation.inputs import propagation_of
from ..serving.answers import Answers, Ask, ask
from ..serving.export import export
from ..serving.formats import find
from ..serving.service import PACKAGES
from ..serving.specification import Specification
from .harness import Contender, Row
from .inference import SEED, Way, repeated, teachers_of

CLIENTS = (1, 64)
ROUND = 1.0  # seconds that clients ask the service in a round
CALLS = 2000  # of a bare student in a round
FORMAT = "onnx"


def contenders(config: Config, dataset: NodeDataset, device: torch.device) -> list[Contender]:
    x = propagation_of(config).of(dataset.csr, dataset.dense_features()).numpy()
    student = build(shape_of(config, x.shape[1], dataset.num_classes)).eval()
    said = specification(config, dataset, student)
    exported = Exported(student, said, x)
    found = [
        Contender("student_torch", lambda: partial(calls, ask(Answers(student, said)), x)),
        Contender("student_onnxruntime", lambda: partial(calls, exported.ask, x)),
        *(
            Contender("service", partial(exported.clients, count), columns={"clients": count})
            for count in CLIENTS
        ),
    ]
    for each in found[1:]:
        needed = (*find(FORMAT).packages, *PACKAGES)
        each.missing = next(
            (f"{name} is not installed" for name in needed if find_spec(name) is None), ""
        )
    found += of_teachers(config, dataset, device)
    for each in found:
        each.columns = {"clients": 1} | each.columns
        each.laps, each.of_laps = True, partial(rates, each.columns["clients"])
    return found


def rates(clients: int, seconds: Sequence[float]) -> Row:
    """The 99th percentile, and by Little's law what clients get that ask again when answered."""
    return {
        "p99_seconds": float(np.quantile(seconds, 0.99)),
        "requests_per_second": clients / float(np.mean(seconds)),
    }


def of_teachers(config: Config, dataset: NodeDataset, device: torch.device) -> list[Contender]:
    def contender(way: Way) -> Contender:
        run = repeated(way.call, dataset.num_nodes, 1, device)
        return Contender(way.method, lambda: run, needs=way.needs(1), missing=way.missing)

    return [contender(way) for way in teachers_of(config, dataset, dataset.dense_features(device))]


def specification(config: Config, dataset: NodeDataset, student: MLP) -> Specification:
    return Specification(
        name="student",
        made_by="infgrand-dgl benchmark",
        dataset=dataset.name,
        method=config.method,
        seed=SEED,
        task="classification",
        outputs=dataset.num_classes,
        classes=None,
        dtype="float32",
        student=student.shape,
        inputs=inputs_of(config, student.shape["in_features"], dataset.num_features, "0" * 64),
    )


def calls(ask: Ask, x: np.ndarray) -> list[float]:
    """Seconds of each, a row each time."""
    seconds = []
    for row in np.random.default_rng(SEED).integers(len(x), size=CALLS):
        start = time.perf_counter()
        ask(x[row : row + 1])
        seconds.append(time.perf_counter() - start)
    return seconds


class Exported:
    """An export, and a service of it: made when first asked, gone when forgotten."""

    def __init__(self, student: MLP, said: Specification, x: np.ndarray) -> None:
        self.student, self.said, self.x = student, said, x

    @cached_property
    def folder(self) -> Path:
        folder = tempfile.TemporaryDirectory()
        weakref.finalize(self, folder.cleanup)
        export(FORMAT, self.student, self.said, self.x[:100], Path(folder.name))
        return Path(folder.name)

    @cached_property
    def ask(self) -> Ask:
        return find(FORMAT).open(self.folder, self.said)

    @cached_property
    def port(self) -> int:
        command = [sys.executable, "-m", "infgrand_dgl", "serve", "-q", "--port", "0"]
        command += ["--run", str(self.folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        weakref.finalize(self, process.kill)
        assert process.stdout is not None
        found = re.search(r":(\d+),", process.stdout.readline())
        if found is None:
            raise RuntimeError("infgrand-dgl serve did not start")
        return int(found[1])

    def clients(self, count: int) -> Clients:
        return Clients(self.port, [request(self.said, row) for row in self.x[:1000]], count)


class Clients:
    """Each has a connection, and asks again when it is answered. Called, they do so for a round,
    and it says the seconds of each answer."""

    def __init__(self, port: int, requests: Sequence[bytes], count: int) -> None:
        self.port, self.requests, self.count = port, requests, count

    def __call__(self) -> list[float]:
        seconds: list[float] = []
        asyncio.run(self._all(seconds))
        return seconds

    async def _all(self, seconds: list[float]) -> None:
        connections = [
            await asyncio.open_connection("127.0.0.1", self.port) for _ in range(self.count)
        ]
        end = time.perf_counter() + ROUND
        async with asyncio.TaskGroup() as group:
            for place, connection in enumerate(connections):
                group.create_task(self._one(*connection, place, end, seconds))

    async def _one(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        place: int,
        end: float,
        seconds: list[float],
    ) -> None:
        while (start := time.perf_counter()) < end:
            writer.write(self.requests[(place + len(seconds)) % len(self.requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                raise RuntimeError(f"infgrand-dgl serve: {head.splitlines()[0].decode()}")
            await reader.readexactly(int(length[1]))
            seconds.append(time.perf_counter() - start)
        writer.close()


def request(said: Specification, row: np.ndarray) -> bytes:
    """About one row, in bytes, for probabilities in bytes."""
    content = row.astype("<f4").tobytes()
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, said.inputs.width]}
    wanted = {"name": "probabilities", "parameters": {"binary_data": True}}
    size = {"parameters": {"binary_data_size": len(content)}}
    head = json.dumps({"inputs": [tensor | size], "outputs": [wanted]}).encode()
    lines = [
        f"POST /v2/models/{said.name}/infer HTTP/1.1",
        "Host: localhost",
        f"Inference-Header-Content-Length: {len(head)}",
        f"Content-Length: {len(head) + len(content)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + head + content
