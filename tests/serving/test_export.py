"""Exports say what the student says, and nothing else is handed over."""

import importlib.util
import json
import sys
from dataclasses import replace
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from google.protobuf import text_format

from infgrand_dgl import InputError
from infgrand_dgl.serving import formats, load_classes, load_student
from infgrand_dgl.serving.export import BOUNDS, export, sampled_rows
from infgrand_dgl.serving.formats import safetensors_format
from infgrand_dgl.serving.specification import Specification

from .students import OUTPUTS, SHAPES, WIDTH, rows, specification, student

BATCHES = [1, 2, 3, 1000, 4096, 0, 802, 4096]  # ten thousand rows


def close(found: np.ndarray, expected: torch.Tensor, dtype: str) -> None:
    assert found.dtype == np.float32 and found.shape == tuple(expected.shape)
    largest = expected.abs().amax(dim=0).numpy()
    assert (np.abs(found - expected.numpy()) <= BOUNDS[dtype] * (1 + largest)).all()


CASES = [(format, kind) for format in formats.FORMATS for kind in SHAPES]
CASES = [case for case in CASES if case[0] != "triton" or case[1] == "mlp"]  # ONNX's file


@pytest.mark.parametrize(("format", "kind"), CASES)
@pytest.mark.parametrize("dtype", BOUNDS)
@torch.inference_mode()
def test_batches_of_any_size(format, dtype, kind, tmp_path):
    made = student(kind)
    said = specification(kind, made, dtype=dtype)
    assert export(format, made, said, rows(50).numpy(), tmp_path) <= BOUNDS[dtype]
    assert Specification.load(tmp_path / "specification.json") == said
    ask = formats.find(format).open(tmp_path, said)
    x = rows(sum(BATCHES))
    asked = [ask(part.numpy().astype(dtype)) for part in x.split(BATCHES)]
    assert {tuple(answers) for answers in asked} == {said.answers}
    found = {name: np.concatenate([each[name] for each in asked]) for name in said.answers}
    logits = made(x)
    close(found[said.answers[0]], logits, dtype)
    if kind != "units":
        close(found["probabilities"], logits.softmax(1), dtype)


def test_a_full_disk_is_an_error_of_the_system(tmp_path):
    """Which torch's own writer of files makes an end of the process."""
    (tmp_path / "model.pt2").symlink_to("/dev/full")
    made = student("mlp")
    with pytest.raises(OSError, match="No space left"):
        export("torch", made, specification("mlp", made), rows(3).numpy(), tmp_path)


def test_several_labels_have_a_probability_each(tmp_path):
    made = student("mlp")
    said = specification("mlp", made, task="multilabel")
    x = rows(20)
    export("onnx", made, said, x.numpy(), tmp_path)
    found = formats.find("onnx").open(tmp_path, said)(x.numpy())["probabilities"]
    close(found, made(x).sigmoid().detach(), "float32")


@pytest.mark.parametrize("format", formats.FORMATS)
def test_files_tell_of_the_student_and_not_of_the_machine(format, tmp_path):
    made = student("mlp")
    said = specification("mlp", made)
    export(format, made, said, rows(5).numpy(), tmp_path)
    places = [str(tmp_path), str(Path.home()), sys.prefix, "site-packages", "src/infgrand_dgl"]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert [place for place in places if place.encode() in content] == [], path


def test_onnx_has_names_and_the_specification(tmp_path):
    made = student("sign")
    said = specification("sign", made)
    export("onnx", made, said, rows(5).numpy(), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    shapes = {v.name: (v.type, v.shape) for v in (*session.get_inputs(), *session.get_outputs())}
    assert shapes == {
        "x": ("tensor(float)", ["batch", WIDTH]),
        "logits": ("tensor(float)", ["batch", OUTPUTS]),
        "probabilities": ("tensor(float)", ["batch", OUTPUTS]),
    }
    told = session.get_modelmeta().custom_metadata_map["specification"]
    assert Specification.model_validate_json(told) == said
    assert session.get_modelmeta().producer_name == "infgrand-dgl"


def test_pt2_has_the_specification(tmp_path):
    made = student("mlp")
    said = specification("mlp", made)
    export("torch", made, said, rows(5).numpy(), tmp_path)
    extra = {"specification.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert Specification.model_validate_json(extra["specification.json"]) == said


def test_safetensors_is_a_student_file(tmp_path):
    made = student("gamlp")
    said = specification("gamlp", made)
    export("safetensors", made, said, rows(5).numpy(), tmp_path)
    x = rows(9)
    again = load_student(tmp_path / "model.safetensors")
    torch.testing.assert_close(again(x), made(x), rtol=0, atol=0)
    classes = load_classes(tmp_path / "model.safetensors")
    assert classes is not None and classes.tolist() == said.classes


def model_config():
    """NVIDIA's own definition of config.pbtxt; its package would import grpc too."""
    (path,) = (f for f in files("tritonclient") or () if f.match("*/grpc/model_config_pb2.py"))
    spec = importlib.util.spec_from_file_location("model_config_pb2", str(path.locate()))
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("kind", ["mlp", "units"])
def test_triton_reads_its_configuration(kind, dtype, tmp_path):
    made = student(kind)
    said = specification(kind, made, dtype=dtype)
    export("triton", made, said, rows(5).numpy(), tmp_path)
    pb = model_config()
    config = text_format.Parse((tmp_path / "a-graph/config.pbtxt").read_text(), pb.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("a-graph", "onnxruntime", 4096)
    (x,) = config.input
    wide = {"float32": pb.TYPE_FP32, "float16": pb.TYPE_FP16}[dtype]
    assert (x.name, x.data_type, list(x.dims)) == ("x", wide, [WIDTH])
    assert [(o.name, o.data_type, list(o.dims)) for o in config.output] == [
        (name, pb.TYPE_FP32, [OUTPUTS]) for name in said.answers
    ]
    labels = {o.name: o.label_filename for o in config.output if o.label_filename}
    assert labels == ({"probabilities": "labels.txt"} if kind == "mlp" else {})
    assert config.dynamic_batching.max_queue_delay_microseconds > 0
    told = config.parameters["specification"].string_value
    assert Specification.model_validate_json(told) == said
    lines = (tmp_path / "a-graph/labels.txt").read_text().splitlines()
    assert lines == ["Ä", 'a "b"', "line break", "\\", "😀", "e", "f"]


def test_classes_that_are_numbers_need_no_labels(tmp_path):
    made = student("mlp")
    export("triton", made, specification("mlp", made, classes=None), rows(5).numpy(), tmp_path)
    assert "label_filename" not in (tmp_path / "a-graph/config.pbtxt").read_text()
    assert not (tmp_path / "a-graph/labels.txt").exists()


@pytest.mark.parametrize("wrong", [1e-3, np.nan, np.inf])
def test_another_answer_is_refused(wrong, tmp_path, monkeypatch):
    found = formats.find("safetensors")

    def other(folder, specification):
        ask = found.open(folder, specification)

        def answers(x):
            said = ask(x)
            if len(x) == 1:  # a row by itself
                said["logits"][0, 3] += wrong
            return said

        return answers

    monkeypatch.setattr(safetensors_format, "FORMAT", replace(found, open=other))
    made = student("mlp")
    with pytest.raises(InputError, match="safetensors of float32: answers differ .* at most 1e-05"):
        export("safetensors", made, specification("mlp", made), rows(5).numpy(), tmp_path)


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_numbers_that_float16_has_not(format, tmp_path):
    made = student("mlp")
    x = rows(5).numpy() * 1e6
    export(format, made, specification("mlp", made), x, tmp_path)
    with pytest.raises(InputError, match="float16: answers differ .* may be; float32 may do$"):
        export(format, made, specification("mlp", made, dtype="float16"), x, tmp_path)


def test_sampled_rows():
    x = np.random.randn(1000, 3)
    found = sampled_rows(x, 100)
    assert found.dtype == np.float32 and found.shape == (100, 3)
    np.testing.assert_array_equal(found[[0, -1]], x[[0, -1]].astype(np.float32))
    np.testing.assert_array_equal(sampled_rows(x, 5000), x.astype(np.float32))
    assert sampled_rows(x[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", "not a specification written by export"),
        ('{"name": "a"}', "not a specification written by export"),
        (None, "no such file"),
    ],
)
def test_no_specification(content, message, tmp_path):
    path = tmp_path / "specification.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=f"specification.json: {message}"):
        Specification.load(path)


def test_json_is_readable():
    made = student("mlp")
    text = specification("mlp", made).to_json()
    assert json.loads(text)["inputs"]["hops"] == 2 and "\n" in text
