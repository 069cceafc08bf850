"""Rows of files in blocks, beside the same files read at once."""

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infgrand_dgl.data.feature_files import read_features
from infgrand_dgl.data.streams import stream_ids, stream_numbers
from infgrand_dgl.data.tables import read_blocks, read_table
from infgrand_dgl.data.text_tables import SAMPLED, Rows, form_of, open_text, sample
from infgrand_dgl.errors import InputError
from infgrand_dgl.system import installed

N, D = 23, 4


@pytest.fixture(autouse=True)
def blocks_of_five(monkeypatch):
    monkeypatch.setattr("infgrand_dgl.system.arrays.NUMBERS", 5 * D)


def named(x):
    return pd.DataFrame(x, columns=[f"x{k}" for k in range(D)])


def text(x, separator=",", **settings):
    return named(x).to_csv(sep=separator, **{"index": False, "header": False} | settings)


def between(x):
    """Comments and blank lines between rows, one of them with more fields."""
    rows = text(x).splitlines()
    return "# a, b, c, d, e, f\n\n" + "\n% a\n\n// b\n".join(rows) + "\n"


WRITTEN = {
    "plain": text,
    "header": lambda x: text(x, header=True),
    "row numbers": lambda x: text(x, header=True, index=True),
    "row numbers of pandas": lambda x: pd.DataFrame(x).to_csv(),
    "R": lambda x: (
        " ".join(f'"x{k}"' for k in range(D))
        + "".join(f'\n"{i + 1}" {" ".join(map(str, row))}' for i, row in enumerate(x))
    ),
    "tabs": lambda x: text(x, "\t"),
    "semicolons and spaces": lambda x: text(x, ";", header=True).replace(";", " ; "),
    "spaces": lambda x: text(x, " ").replace(" ", "   "),
    "quotes": lambda x: text(x, quoting=1),
    "comments": between,
    "Windows": lambda x: "\ufeff" + text(x, header=True).replace("\n", "\r\n"),
    "no end": lambda x: text(x).rstrip("\n"),
    "whole numbers": lambda x: text(np.round(10 * x).astype(int), header=True),
}


def streamed(path):
    parts = [*stream_numbers(path, D, "numbers", "fiub")]
    assert all(0 < len(part) <= 5 and part.dtype == np.float32 for part in parts)
    return np.concatenate(parts)


@pytest.mark.parametrize("suffix", [".csv", ".tsv.gz"])
@pytest.mark.parametrize("written", WRITTEN)
def test_text_as_read_at_once(written, suffix, tmp_path):
    path, content = tmp_path / f"x{suffix}", WRITTEN[written](np.random.randn(N, D)).encode()
    path.write_bytes(gzip.compress(content) if suffix == ".tsv.gz" else content)
    at_once, _ = read_features(path)
    assert at_once.shape == (N, D)
    np.testing.assert_array_equal(streamed(path), at_once.astype(np.float32))


@pytest.mark.parametrize("rows", [0, 1, 5, N])
def test_parquet_and_arrays(rows, tmp_path):
    x = np.random.randn(rows, D)
    frame = named(x).astype({"x1": np.float32})
    frame.to_parquet(tmp_path / "x.parquet", row_group_size=7)
    expected = frame.to_numpy().astype(np.float32)
    parts = [*stream_numbers(tmp_path / "x.parquet", D, "numbers")]
    np.testing.assert_array_equal(np.concatenate([np.empty((0, D)), *parts]), expected)
    for kind in (np.float16, ">f4", np.float64):
        np.save(tmp_path / "x.npy", np.asfortranarray(x.astype(kind)))
        parts = [*stream_numbers(tmp_path / "x.npy", D, "numbers")]
        found = np.concatenate([np.empty((0, D)), *parts])
        np.testing.assert_array_equal(found, x.astype(kind).astype(np.float32))


def damaged(row, column, cell, **settings):
    frame = named(np.random.randn(N, D)).astype(object)
    frame.iloc[row, column] = cell
    return frame.to_csv(index=False, **settings)


COUNTED = text(np.random.randn(9, D), header=True, index=True).replace("\n7,", "\n8,")
ROWS = text(np.ones((N, D), int))
BAD = {
    "NaN": (lambda: damaged(17, 2, "nan"), r"found 'nan' in row 17 \(line 19\), column 2"),
    "nothing": (lambda: damaged(17, 2, ""), r"found '' in row 17 \(line 19\), column 2"),
    "infinity": (lambda: damaged(3, 0, "-inf"), r"found '-inf' in row 3 \(line 5\), column 0"),
    "text": (lambda: damaged(22, 3, "1.2.3"), r"found '1.2.3' in row 22 \(line 24\), column 3"),
    "large": (lambda: damaged(5, 3, 1e39), r"within float32, found '1e\+39' in row 5 \(line 7\)"),
    "below a comment": (
        lambda: "# a\n\n" + damaged(9, 1, "x", header=False),
        r"found 'x' in row 9 \(line 12\), column 1",
    ),
    "few fields": (
        lambda: text(np.ones((N, D))) + "1,2,3\n",
        r"expected 4 fields a row, found 3 in row 23 \(line 24\)",
    ),
    "many fields": (  # at the beginning of a block
        lambda: text(np.ones((10, D))) + "1,2,3,4,5\n",
        r"expected 4 fields a row, found 5 in row 10 \(line 11\)",
    ),
    "narrow": (lambda: "1,2,3\n4,5,6\n", r"expected numbers \[n, 4\], found 3 columns"),
    "ids": (lambda: damaged(0, 0, 1).replace("x0", "node"), "expected no column of ids, found"),
    "no row numbers": (lambda: COUNTED, "expected no column of ids, found one"),
    "numbers as header": (
        lambda: pd.DataFrame(np.random.randn(N, D)).to_csv(index=False),
        "expected names above the rows, or none; found 0 to 3, a header of pandas without names",
    ),
    "nothing at all": (lambda: "", "it has no rows"),
    "NA first": (lambda: "NA,2,3,4\n" + ROWS, "found 'NA' among numbers in the first"),
    "typed first": (lambda: "1,2,3,1.O\n" + ROWS, "found '1.O' among numbers in the first"),
    "hexadecimal first": (lambda: "1,0x10,3,4\n" + ROWS, "found '0x10' among numbers in the first"),
    "no values first": (lambda: "NA,NA,NA,NA\n" + ROWS, "found only 'NA' in the first"),
    "truths first": (
        lambda: ROWS[:40].replace("1,1\n", "1,True\n") + ROWS,
        r"numbers alone or truth values alone in column 3, found '1' in row 5 \(line 6\)",
    ),
    "truths later": (
        lambda: text(np.ones((25, D), int)) + "1,False,1,1\n" * 9,
        r"truth values alone in column 1, found 'False' in row 25 \(line 26\)",
    ),
    "a row of tabs": (
        lambda: "# a\n\n1\t2\t3\t4\n \n\t\t\t\n5\t6\t7\tx\n",
        r"found '' in row 1 \(line 5\), column 0",
    ),
    "below rows of tabs": (lambda: "\t\t\t\n" * 4 + "1\t2\n", r"found 2 in row 4 \(line 5\)"),
    "a form feed": (
        lambda: "1,2,3,4\n\x0c\n5,6,7,8\n",
        r"expected 4 fields a row, found 1 in row 1 \(line 2\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_text(case, tmp_path):
    content, told = BAD[case]
    (tmp_path / "x.csv").write_text(content())
    with pytest.raises(InputError, match=told) as error:
        [*stream_numbers(tmp_path / "x.csv", D, "numbers [n, 4]")]
    assert "\n" not in str(error.value) and str(error.value).startswith(str(tmp_path / "x.csv"))


@pytest.mark.parametrize(
    ("separator", "lines"), [("\t", [2, 5, 6, 7, 8, 9]), (",", [2, 5, 7, 8, 9])]
)
def test_what_is_a_row(separator, lines, tmp_path):
    """As pandas sees it, in blocks as at once."""
    rows = ["a{}b", "{}", " ", "", "1{}2", "\t", " {} ", "{}3", "  4{}5", "# {}"]
    path = tmp_path / "x.txt"
    path.write_text("\n".join(rows).format(*[separator] * 9) + "\n")
    at_once = read_table(path, ("a",))
    blocks = pd.concat([block.frame for block in read_blocks(path, ("a",))])
    assert blocks.astype(str).to_numpy().tolist() == at_once.frame.astype(str).to_numpy().tolist()
    places = [at_once.place(row) for row in range(len(at_once.frame))]
    assert places == [f"row {row} (line {line})" for row, line in enumerate(lines)]


def test_zero_and_one_are_a_row_of_two_columns(tmp_path):
    (tmp_path / "x.csv").write_text("0,1\n1,1\n1,0\n")
    (found,) = stream_numbers(tmp_path / "x.csv", 2, "numbers")
    assert found.tolist() == [[0, 1], [1, 1], [1, 0]]
    (tmp_path / "x.csv").write_text("a,b\nTrue,1\nFalse,1\n")
    (found,) = stream_numbers(tmp_path / "x.csv", 2, "numbers")
    assert found.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    "column",
    [
        pd.date_range("2026-01-01", periods=N),
        pd.to_timedelta(np.arange(N), unit="s"),
        [b"1"] * N,
        [[1.0]] * N,
    ],
)
def test_what_is_no_number_of_parquet(column, tmp_path):
    path = tmp_path / "x.parquet"
    named(np.ones((N, D))).assign(x1=column).to_parquet(path)
    with pytest.raises(InputError, match="expected finite numbers .* in row 0, column 1$"):
        [*stream_numbers(path, D, "numbers")]
    with pytest.raises(InputError, match="expected numbers as features, found text in column x1"):
        read_features(path)


def test_memory_of_wide_text(tmp_path):
    """By its characters, not its lines: few lines, and none of a pandas column for each."""
    path, line = tmp_path / "x.csv", ",".join(["0.25"] * 5_000) + "\n"
    path.write_text(100 * line)
    assert 2 <= len(sample(path)) <= SAMPLED // len(line) + 1
    form = form_of(path, ())
    with open_text(path) as file:
        rows = Rows(file, form, path)
        assert rows.read(9) == line and rows.read(len(line) + 1) == 2 * line
        assert len(rows.read(1 << 30)) == 97 * len(line) and rows.read(9) == ""
    path.write_text(2 * line)
    tracemalloc.start()
    next(read_blocks(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 9 << 20
    wide = ",".join(["0.25"] * (SAMPLED // 4)) + "\n"
    path.write_text(3 * wide)
    assert [line for _, line in sample(path)] == 2 * [wide[:-1]]


def test_bad_parquet_and_arrays(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"

    def refused(x, told, path=path, kinds="f"):
        np.save(path, x) if path.suffix == ".npy" else x.to_parquet(path)
        with pytest.raises(InputError, match=told):
            [*stream_numbers(path, D, "floating point [n, 4]", kinds)]

    x = np.random.randn(N, D)
    refused(named(x)[["x0"]], r"expected floating point \[n, 4\], found 1 columns")
    refused(named(x).rename_axis("id"), "expected no column of ids")
    x[17, 2] = np.nan
    refused(named(x), "expected finite numbers within float32, found 'nan' in row 17, column 2")
    array = tmp_path / "x.npy"
    refused(x, "found 'nan' in row 17, column 2", array)
    refused((x > 0).astype(int), r"expected floating .* found int64 \[23, 4\]", array)
    refused(np.full((N, D), 1e39), "found '1e[+]39' in row 0, column 0", array)
    refused(x[:, 0], r"found float64 \[23\]", array)
    refused(x[None], r"found float64 \[1, 23, 4\]", array)
    refused(x.astype(object), r"found objects of Python; array.astype\(str\) makes texts", array)
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match="x.parquet: not a readable .parquet file"):
        [*stream_numbers(path, D, "numbers")]
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"pyarrow is not installed \(pip install infgrand-dgl\[parquet\]\)"
    ):
        [*stream_numbers(path, D, "numbers")]


def test_ids(tmp_path):
    ids = np.random.randint(0, 99, N)

    def found(path: Path, size=9):
        parts = [*stream_ids(path, 99, size)]
        assert all(len(part) <= size and part.dtype == np.int64 for part in parts)
        return np.concatenate(parts).tolist()

    np.save(tmp_path / "ids.npy", ids.astype(np.uint8))
    assert found(tmp_path / "ids.npy") == ids.tolist()
    frame = pd.DataFrame({"class": "art", "node": ids})
    frame.to_parquet(tmp_path / "ids.parquet")
    frame.to_csv(tmp_path / "named.csv")
    frame["node"].to_csv(tmp_path / "header.csv", index=False)
    counted = pd.DataFrame({"class": ids}, index=pd.RangeIndex(3, 3 + N, name="node"))
    counted.to_parquet(tmp_path / "counted.parquet")
    assert found(tmp_path / "counted.parquet") == [*range(3, 3 + N)]
    np.savetxt(tmp_path / "floats.txt", ids, fmt="%.1f")
    # What `predict` writes of classes that are named as ids are; a frame with its index.
    frame = frame.drop(columns="class").assign(id=0.25, vertex=0.75)
    frame.to_csv(tmp_path / "classes.csv", index=False)
    frame.to_parquet(tmp_path / "classes.PARQUET")
    frame[["node"]].reset_index().to_csv(tmp_path / "index.csv", index=False)
    written = ("classes.csv", "classes.PARQUET", "index.csv")
    for name in ("ids.parquet", "named.csv", "header.csv", "floats.txt", *written):
        assert found(tmp_path / name) == ids.tolist(), name


def test_no_columns(tmp_path):
    pd.DataFrame(index=range(3)).to_parquet(tmp_path / "ids.parquet")
    with pytest.raises(InputError, match="ids.parquet: expected node ids, found no columns"):
        [*stream_ids(tmp_path / "ids.parquet", 9, 4)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("4\n" * 30 + "9\n", r"expected ids 0 to 8, found 9 in row 30 \(line 31\)"),
        ("id\n3\n\n-1\n", r"expected ids 0 to 8, found -1 in row 1 \(line 4\)"),
        ("3\nann\n", r"expected node ids, found 'ann' in row 1 \(line 2\)"),
        (
            "id\n3\n2.5\n",
            r"expected a node id as a whole number .* found '2.5' in row 1 \(line 3\)",
        ),
        ("1,2\n3,4\n", "expected node ids, found 2 columns, none of them named id or node"),
        ("NA\n1\n2\n", "expected names above the rows, or none; found only 'NA' in the first"),
        ("0\n1\n" + "0\n" * 7, "expected ids; found 9 zeros and ones, as in a mask"),
    ],
)
def test_no_ids(content, told, tmp_path):
    (tmp_path / "ids.csv").write_text(content)
    with pytest.raises(InputError, match=f"^{tmp_path}/ids.csv: {told}"):
        [*stream_ids(tmp_path / "ids.csv", 9, 4)]
