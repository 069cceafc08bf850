from itertools import pairwise

import numpy as np
import pytest
import torch

from infgrand_dgl.benchmark import backends, inference
from infgrand_dgl.cli import main
from infgrand_dgl.config.reading import load_config
from infgrand_dgl.config.schema import TeacherConfig
from infgrand_dgl.data import load_source
from infgrand_dgl.training.teacher import build_teacher
from tests.benchmark.conftest import MODELS, SMALL, check_rows, run

METHODS = {"student"} | {
    f"{m}_{how}" for m in ("gcn", "sage", "gat") for how in ("full", "sampled")
}
CPU = torch.device("cpu")


def test_every_method_at_every_batch_size(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inference, "ROUND", 0.0005)
    picture = tmp_path / "b.png"
    found = run("inference", *MODELS, "--plot", str(picture), tmp_path=tmp_path)
    for batch in (1, 10, "all"):  # 400 nodes: a thousand are not to be had
        assert {r["method"] for r in found["rows"] if r["batch"] == batch} == METHODS
    assert len(found["rows"]) == 3 * len(METHODS)
    check_rows(found["rows"], alike="batch")
    for row in found["rows"]:
        assert row.get("backend") in ([None] if row["method"] == "student" else ["native"])
    size = found["size"]
    assert (size["layers"], size["hidden"], size["sampled_neighbours_per_layer"]) == (2, 8, 10)
    assert picture.read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "random weights" in out and "gat_sampled" in out


@pytest.mark.parametrize("backend", backends.BACKENDS)
@pytest.mark.parametrize(
    "model", ["gat", "sage"]
)  # a block has not the degrees that GCN divides by
def test_whole_neighbourhoods_give_the_full_graph_forward(model, backend, monkeypatch):
    monkeypatch.setattr(inference, "CHUNK_NODES", 7)
    overrides = ["data.nodes=200", "data.style=arxiv", "data.features=9", "data.classes=4"]
    config = load_config("demo", [*overrides, "teacher.hidden=8"])
    dataset = load_source(config.data)
    chosen = config.replace("teacher", model=model, backend=backend).teacher
    teacher = build_teacher(chosen, 9, 4).eval()
    nodes, x = torch.randperm(200)[:20], dataset.features
    with torch.inference_mode():
        expected = inference.full(teacher, backends.graph(dataset, backend, CPU), x, nodes)
        found = inference.sampled(teacher, dataset.graph, x, nodes, fanout=200)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_every_call_has_other_nodes(monkeypatch):
    monkeypatch.setattr(inference, "ROUND", 1e-3)

    def calls() -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []

        def call(nodes: torch.Tensor) -> torch.Tensor:
            seen.append(nodes)
            return nodes

        assert len(inference.repeated(call, 50, 8, CPU)()) == len(seen)
        return seen

    first, second = calls(), calls()
    assert any((a != b).any() for a, b in pairwise(first))
    assert all((a == b).all() for a, b in zip(first, second, strict=False))  # seeded
    assert all(len(np.unique(a)) == 8 for a in first)


def test_heads_divide_the_width(capsys):
    assert TeacherConfig().heads == 4
    assert main(["benchmark", "inference", *SMALL, "--hidden", "6"]) == 2
    err = capsys.readouterr().err
    assert "6 is not divisible by heads: 4" in err and err.count("\n") == 1
