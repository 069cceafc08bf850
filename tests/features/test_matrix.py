"""Every kind of features gives the same rows, checks and numbers through one face."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.features import matrix as module
from infgrand_dgl.features.matrix import FeatureMatrix
from infgrand_dgl.system.arrays import map_array
from infgrand_dgl.system.ranks import Ranks
from infgrand_dgl.system.runtime import Runtime

RUNTIME = Runtime.on("cpu")
KINDS = ["float32", "float64", "float16", "bfloat16", "mapped", "mapped half", "sparse"]


def bag_of_words() -> torch.Tensor:
    """`[100, 7]`, of numbers that 16 bits hold; the last rows are empty."""
    x = torch.randint(-3, 4, (100, 7)) * (torch.rand(100, 7) < 0.4) / 2
    x[97:] = 0
    return x


def made(kind: str, x: torch.Tensor, folder) -> FeatureMatrix:
    if kind == "sparse":
        return FeatureMatrix(x.to_sparse_csr())
    if not kind.startswith("mapped"):
        return FeatureMatrix(x.to(getattr(torch, kind)))
    np.save(folder / "x.npy", (x.half() if kind == "mapped half" else x).numpy())
    return FeatureMatrix(map_array(folder / "x.npy"))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_blocks_and_gathered_rows(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 9 * 7 * 4)
    x = bag_of_words()
    matrix = made(kind, x, tmp_path)
    assert (matrix.num_rows, matrix.num_columns) == (100, 7)
    dtype = torch.float64 if kind == "float64" else torch.float32
    assert matrix.computed_dtype == dtype
    for rows in (slice(0, 100), slice(3, 20), slice(90, 100), slice(5, 5)):
        part = matrix.rows(rows)
        assert part.dtype == dtype and torch.equal(part.float(), x[rows])
    for share in (None, range(0), range(100), range(13, 88)):
        met = list(matrix.blocks(share))
        share = range(100) if share is None else share
        assert [part for part, _ in met] == list(matrix.row_slices(share))
        assert all(part.stop - part.start <= 9 for part, _ in met)
        assert [i for part, _ in met for i in range(part.start, part.stop)] == list(share)
        assert all(torch.equal(block.float(), x[part]) for part, block in met)
    ids = torch.randint(100, (30,))
    assert torch.equal(matrix.gather(ids), x[ids])
    assert torch.equal(matrix.dense(), x)
    assert torch.equal(matrix.to_dense().float(), x)


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_is(kind, tmp_path):
    x = bag_of_words()
    matrix = made(kind, x, tmp_path)
    nonzero = int(x.count_nonzero())
    assert matrix.is_sparse == (kind == "sparse") and matrix.is_mapped == kind.startswith("mapped")
    assert matrix.is_plain == (kind in ("float32", "mapped"))
    assert matrix.count_nonzero() == nonzero
    if kind == "sparse":
        assert matrix.stored_bytes == 8 * 101 + 12 * nonzero
        assert matrix.input_bytes == 12 * nonzero
    else:
        assert matrix.stored_bytes == 700 * matrix.dtype.itemsize
        assert matrix.input_bytes == 2800
    assert sum(part.nbytes for part in matrix.parts) == matrix.stored_bytes


def test_what_need_not_be_copied_is_not():
    x = torch.randn(10, 3)
    matrix = FeatureMatrix(x)
    for same in (matrix.rows(slice(0, 10)), matrix.to_dense(), matrix.dense()):
        assert same.data_ptr() == x.data_ptr()
    assert matrix.checked_dense(10).data_ptr() == x.data_ptr()


@pytest.mark.parametrize("kind", KINDS)
def test_largest_magnitude(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 9 * 7 * 4)
    x = bag_of_words()
    for row, value in ((99, 7.5), (40, -9.25)):
        x[row, 3] = value
        assert made(kind, x, tmp_path).largest_magnitude(100, RUNTIME) == abs(value)
    assert FeatureMatrix(torch.zeros(4, 0)).largest_magnitude(4, RUNTIME) == 0


def test_each_process_looks_at_its_share(monkeypatch):
    for name in ("max", "gather"):
        monkeypatch.setattr(Ranks, name, lambda self, value: value)
    monkeypatch.setattr("torch.distributed.all_gather_object", lambda errors, error: None)
    x = torch.arange(10.0).view(10, 1)
    runtime = replace(RUNTIME, ranks=Ranks(0, 2))
    assert FeatureMatrix(x).largest_magnitude(10, runtime) == 4
    x[7] = torch.nan  # the other's
    assert FeatureMatrix(x).largest_magnitude(10, runtime) == 4


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_not_finite(kind, value, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 9 * 7 * 4)
    x = bag_of_words()
    x[[61, 83], 5] = value
    matrix = made(kind, x, tmp_path)
    message = "features: expected finite numbers, found NaN or infinity in row 61"
    with pytest.raises(InputError, match=message):
        matrix.largest_magnitude(100, RUNTIME)
    with pytest.raises(InputError, match=message):
        matrix.checked_dense(100)
    stored = "features: expected 100 rows of finite numbers" if kind == "sparse" else message
    with pytest.raises(InputError, match=stored):
        matrix.check_stored(100)


def test_a_sum_may_overflow_where_every_entry_is_finite():
    x = torch.full((4, 4), 3e38)
    assert FeatureMatrix(x).checked_dense(4) is x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3, 2), r"features: expected shape \[4, D\], found \[3, 2\]"),
        (torch.zeros(4), r"features: expected shape \[4, D\], found \[4\]"),
        (torch.zeros(4, 2).long(), "features: expected floating point, found torch.int64"),
    ],
)
def test_unfit(x, message):
    matrix = FeatureMatrix(x)
    calls = (matrix.check, matrix.checked_dense, lambda n: matrix.largest_magnitude(n, RUNTIME))
    for call in calls:
        with pytest.raises(InputError, match=message):
            call(4)
