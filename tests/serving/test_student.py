from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infgrand_dgl import InputError
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.serving import (
    has_labels,
    likeliest,
    load_classes,
    load_student,
    load_task,
    predict,
    rows_of,
    save_weights,
)


def test_student_file_is_complete(tmp_path):
    mlp = MLP(5, 7, 3, layers=3, dropout=0.5, norm="batch")
    mlp.state_dict()["norms.0.running_mean"].fill_(0.3)
    save_weights(tmp_path / "s.safetensors", mlp)
    again = load_student(tmp_path / "s.safetensors")
    x = torch.randn(11, 5)
    torch.testing.assert_close(again(x), mlp.eval()(x), rtol=0, atol=0)


@pytest.mark.parametrize("classes", [None, (4, 7, 10**12), ("art", "bio", "cs")])
def test_classes_come_back(classes, tmp_path):
    path = tmp_path / "s.safetensors"
    save_weights(path, MLP(5, 7, 3, layers=2), classes)
    found, numbers = load_classes(path), torch.randint(3, (20,))
    named = likeliest(torch.eye(3)[numbers], found)
    if classes is None:
        assert found is None and named.tolist() == numbers.tolist() and named.dtype == np.int64
    else:
        assert found is not None and found.tolist() == list(classes)
        assert named.tolist() == [classes[k] for k in numbers.tolist()]
    assert load_student(path).shape["classes"] == 3


def test_predict_in_batches():
    mlp = MLP(4, 6, 3, layers=2, norm="layer").eval()
    x = np.random.rand(100, 4).astype(np.float32)
    expected = mlp(torch.from_numpy(x)).softmax(1)
    torch.testing.assert_close(predict(mlp, x, batch=7), expected.detach())
    torch.testing.assert_close(predict(mlp, x.astype(np.float64)), expected.detach())
    assert predict(mlp, x[:0]).shape == (0, 3)


def test_the_task_comes_back(tmp_path):
    path, mlp = tmp_path / "s.safetensors", MLP(4, 6, 3, layers=2).eval()
    x = np.random.randn(20, 4).astype(np.float32)
    logits = mlp(torch.from_numpy(x)).detach()
    expected: dict[Any, torch.Tensor] = {
        "classification": logits.exp() / logits.exp().sum(dim=1, keepdim=True),
        "multilabel": 1 / (1 + (-logits).exp()),
        "regression": logits,
    }
    for task, outputs in expected.items():
        save_weights(path, mlp, ("a", "b", "c"), task)
        assert load_task(path) == task
        torch.testing.assert_close(predict(load_student(path), x, load_task(path)), outputs)
    found = has_labels(expected["multilabel"])
    assert found.dtype == np.int8 and (found == (logits > 0).numpy()).all()
    save_file({"w": torch.ones(1)}, path)  # of before there were others
    assert load_task(path) == "classification"
    save_file({"w": torch.ones(1)}, path, metadata={"task": '"ranking"'})
    with pytest.raises(InputError, match="not a student written by train .*'ranking'"):
        load_task(path)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((3, 5), np.float32), r"expected floating point \[n, 4\], found float32 \[3, 5\]"),
        (np.zeros(4, np.float32), r"found float32 \[4\]"),
        (np.zeros((3, 4), int), r"found int64 \[3, 4\]"),
        (np.array([[0.0] * 4, [0.0, np.inf, 0.0, 0.0]]), "found others in row 1"),
        (torch.zeros(3, 4), "expected an array of NumPy, found Tensor"),
    ],
)
def test_bad_inputs(inputs, message):
    with pytest.raises(InputError, match=message):
        predict(MLP(4, 6, 3, layers=2).eval(), inputs)


def test_rows_of_nodes():
    inputs = np.random.rand(9, 3)
    nodes = np.array([8, 0, 8], dtype=np.uint8)
    assert np.array_equal(rows_of(inputs, nodes, "--nodes x"), inputs[[8, 0, 8]])
    assert rows_of(inputs, nodes[:0], "--nodes x").shape == (0, 3)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([1, 9], "expected ids 0 to 8, found 9"),
        ([-1], "expected ids 0 to 8, found -1"),
        ([[1]], r"expected integers \[n\], found int64 \[1, 1\]"),
        ([0.5], r"expected integers \[n\], found float64 \[1\]"),
        (np.eye(9, dtype=int)[3], "expected ids; found 9 zeros and ones, as in a mask: .* of it"),
        ([True], r"expected integers \[n\], found bool \[1\]"),
    ],
)
def test_rows_of_no_nodes(nodes, message):
    with pytest.raises(InputError, match=f"^--nodes x: {message}$"):
        rows_of(np.zeros((9, 3)), np.array(nodes), "--nodes x")


def test_bad_student_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_student(tmp_path / "gone.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a student written by train"):
        load_student(tmp_path / "bad.safetensors")
    save_weights(tmp_path / "other.safetensors", torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match="not a student written by train"):
        load_student(tmp_path / "other.safetensors")
