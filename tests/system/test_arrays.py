import numpy as np
import pytest
import torch

from infgrand_dgl.system import arrays
from infgrand_dgl.system.arrays import blocks, empty, first_not_finite, map_array, new_array, slices


def test_slices_cover_a_range():
    assert list(slices(range(3, 10), 3)) == [slice(3, 6), slice(6, 9), slice(9, 10)]
    assert list(slices(range(0), 3)) == []


@pytest.mark.parametrize("mapped", [True, False])
def test_blocks_of_rows(mapped, tmp_path):
    x = torch.randn(10, 3)
    if mapped:
        np.save(tmp_path / "x.npy", x.numpy())
        x = map_array(tmp_path / "x.npy")
    met = list(blocks(x, 4))
    assert [part for part, _ in met] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert all(torch.equal(block, x[part]) for part, block in met)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(30,), (30, 4)])
def test_the_first_row_that_is_not_finite(shape, dtype, monkeypatch):
    monkeypatch.setattr(arrays, "FINITE_ROWS", 7)
    x = torch.randn(shape).to(dtype)
    assert first_not_finite(x) is None and first_not_finite(x[:0]) is None
    x.view(30, -1)[[22, 23], -1] = torch.inf
    assert first_not_finite(x) == 22
    x.view(30, -1)[3, 0] = torch.nan
    assert first_not_finite(x) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_new_arrays(dtype, tmp_path):
    x = new_array(tmp_path / "x.npy", (3, 2), dtype)
    assert x.dtype == dtype == empty((3, 2), dtype).dtype
    x[:] = torch.arange(6).view(3, 2)
    saved = np.load(tmp_path / "x.npy")
    assert saved.tolist() == [[0, 1], [2, 3], [4, 5]] and torch.from_numpy(saved).dtype == dtype
