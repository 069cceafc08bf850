"""Changes of several files, all or none. (Killed processes: experiment/test_updating.py.)"""

import os

import numpy as np
import pytest

from infgrand_dgl import InputError
from infgrand_dgl.system.redo import LOG, Changes, alone, is_pending, redo


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64])
@pytest.mark.parametrize("shape", [(9,), (9, 5)])
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_rows(share, shape, dtype, tmp_path):
    """Of an array that grows, few of them or most; nothing before the commit, and as often as one
    wants afterwards."""
    path, known = tmp_path / "a.npy", (10 * np.random.randn(*shape)).astype(dtype)
    np.save(path, known)
    length = 12
    ids = np.concatenate([np.random.permutation(9)[: int(9 * share)], np.arange(9, length)])
    ids = ids[: max(1, int(share * length))]
    rows = (10 * np.random.randn(len(ids), *shape[1:])).astype(dtype)
    changes = Changes(tmp_path, tmp_path)
    changes.rows("a.npy", ids, rows, length)
    np.testing.assert_array_equal(np.load(path), known)
    redo(tmp_path, tmp_path)
    assert not is_pending(tmp_path)
    np.testing.assert_array_equal(np.load(path), known)
    changes.commit()
    assert is_pending(tmp_path)
    record = (tmp_path / LOG / "record.npz").read_bytes()
    redo(tmp_path, tmp_path)
    expected = np.zeros((length, *shape[1:]), dtype)
    expected[:9] = known
    expected[ids] = rows
    np.testing.assert_array_equal(np.load(path), expected)
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / LOG).mkdir()
    (tmp_path / LOG / "record.npz").write_bytes(record)
    redo(tmp_path, tmp_path)
    np.testing.assert_array_equal(np.load(path), expected)


def test_files_and_lines(tmp_path):
    """Of a line half of which was written by a process that ended, none is left."""
    (tmp_path / "old.txt").write_text("old")
    for k in range(3):
        changes = Changes(tmp_path, tmp_path)
        changes.text("old.txt", f"new {k}")
        changes.array("b.npy", np.arange(k + 1))
        changes.line("log", f"line {k}")
        changes.commit()
        with (tmp_path / "log").open("a") as file:
            file.write("li")
        redo(tmp_path, tmp_path)
    assert (tmp_path / "old.txt").read_text() == "new 2"
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), [0, 1, 2])
    assert (tmp_path / "log").read_text() == "line 0\nline 1\nline 2\n"


def test_a_line_is_not_written_through_another_name(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "a.txt").write_text("one\n")
    os.link(tmp_path / "a.txt", tmp_path / "b.txt")
    changes = Changes(tmp_path, tmp_path / "log")
    changes.line("a.txt", "two")
    changes.commit()
    redo(tmp_path, tmp_path / "log")
    assert (tmp_path / "a.txt").read_text() == "one\ntwo\n"
    assert (tmp_path / "b.txt").read_text() == "one\n"


def test_other_names_of_a_file_keep_what_is_there(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(9))
    (tmp_path / "b.npy").hardlink_to(tmp_path / "a.npy")
    changes = Changes(tmp_path, tmp_path)
    changes.rows("a.npy", np.array([1]), np.ones(1), 9)
    changes.commit()
    redo(tmp_path, tmp_path)
    assert np.load(tmp_path / "a.npy").sum() == 1 and not np.load(tmp_path / "b.npy").any()


def test_alone(tmp_path):
    message = "x: another process is changing it"
    with alone(tmp_path, "x"), pytest.raises(InputError, match=message), alone(tmp_path, "x"):
        pass
    with alone(tmp_path, "x", wait=True):
        pass
