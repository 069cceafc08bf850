import os

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.run import RunDirectory, load_student, predict, save_array, save_weights, writing


def test_student_file_is_complete(tmp_path):
    mlp = MLP(5, 7, 3, layers=3, dropout=0.5, norm="batch")
    mlp.state_dict()["norms.0.running_mean"].fill_(0.3)
    save_weights(tmp_path / "s.safetensors", mlp)
    again = load_student(tmp_path / "s.safetensors")
    x = torch.randn(11, 5)
    torch.testing.assert_close(again(x), mlp.eval()(x), rtol=0, atol=0)


def test_predict_in_batches():
    mlp = MLP(4, 6, 3, layers=2, norm="layer").eval()
    x = np.random.rand(100, 4).astype(np.float32)
    whole = mlp(torch.from_numpy(x)).softmax(1)
    torch.testing.assert_close(predict(mlp, x, batch=7), whole.detach())
    torch.testing.assert_close(predict(mlp, x.astype(np.float64)), whole.detach())
    assert predict(mlp, x[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (np.zeros((3, 5), np.float32), r"expected floating point \[n, 4\], found float32 \[3, 5\]"),
        (np.zeros(4, np.float32), r"found float32 \[4\]"),
        (np.zeros((3, 4), int), r"found int64 \[3, 4\]"),
        (np.array([[0.0] * 4, [0.0, np.inf, 0.0, 0.0]]), "found others in row 1"),
    ],
)
def test_bad_inputs(inputs, told):
    with pytest.raises(InputError, match=told):
        predict(MLP(4, 6, 3, layers=2).eval(), inputs)


def test_bad_student_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_student(tmp_path / "gone.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a student written by train"):
        load_student(tmp_path / "bad.safetensors")
    save_weights(tmp_path / "other.safetensors", torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match="not a student written by train"):
        load_student(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("metrics", "told"), [("{", "JSONDecodeError"), ("{}", "KeyError"), ("[]", "TypeError")]
)
def test_bad_metrics(metrics, told, tmp_path):
    (tmp_path / "metrics.json").write_text(metrics)
    for read in (RunDirectory.best_seed, lambda run: run.student(1)):
        with pytest.raises(InputError, match=f"metrics.json: not written by train .{told}"):
            read(RunDirectory(tmp_path))


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "deep" / "a.npy"
    mask = os.umask(0o022)
    try:
        save_array(path, np.arange(3))
    finally:
        os.umask(mask)
    with pytest.raises(RuntimeError), writing(path) as partial:
        partial.write_bytes(b"half")
        raise RuntimeError
    assert np.load(path).tolist() == [0, 1, 2]
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(InputError, match="--out .*: cannot be written"):
        save_array(path / "below_a_file.npy", np.arange(3))
