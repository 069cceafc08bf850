import errno
import os
from pathlib import Path

import numpy as np
import pytest

from infgrand_dgl import InputError
from infgrand_dgl.experiment.directory import RunDirectory, new_run
from infgrand_dgl.system.writing import check_writable, save_array, writing


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


def test_only_files_are_written(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(InputError, match="expected the name of a file, found another kind"):
            check_writable(path)


def test_links_keep_their_target(tmp_path):
    (tmp_path / "link.npy").symlink_to(tmp_path / "target.npy")
    save_array(tmp_path / "link.npy", np.arange(3))
    assert (tmp_path / "link.npy").is_symlink() and (tmp_path / "target.npy").is_file()


def test_asking_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "new" / "deep" / "a.npy")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told(tmp_path):
    told = "--out .*a.npy: cannot be written .No space left"
    with pytest.raises(InputError, match=told), writing(tmp_path / "a.npy"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def write_run(out: Path, text: str, overwrite: bool = False) -> None:
    with new_run(out, overwrite) as run:
        run.write_text("metrics.json", text)


def test_a_run_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "deep" / "run"
    with pytest.raises(KeyError), new_run(out, False) as run:
        run.write_text("config.yaml", "half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    write_run(out, "first")
    write_run(out, "second", overwrite=True)
    assert (out / "metrics.json").read_text() == "second"
    assert list(out.parent.iterdir()) == [out]


def test_of_two_runs_under_one_name_the_second_is_refused(tmp_path):
    out = tmp_path / "run"
    with new_run(out) as run:
        run.write_text("metrics.json", "slow")
        for flags in ({}, {"resume": True}, {"fresh": True}):
            with (
                pytest.raises(InputError, match="another process is writing it"),
                new_run(out, **flags),
            ):
                pass
    assert (out / "metrics.json").read_text() == "slow"


def test_what_came_in_the_meantime_stays(tmp_path):
    out = tmp_path / "run"
    told = pytest.raises(InputError, match="the run is whole, and stays in ")
    with told as error, new_run(out) as run:
        run.write_text("metrics.json", "slow")
        out.mkdir()
        (out / "metrics.json").write_text("quick")
    assert (out / "metrics.json").read_text() == "quick"
    kept = Path(str(error.value).rsplit(" ", 1)[1])
    assert (kept / "metrics.json").read_text() == "slow"


@pytest.mark.parametrize("out", ["empty", "link", ".", "empty/../empty"])
def test_a_run_fills_an_empty_folder(out, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    if out != ".":
        (home / "empty").mkdir()
    (home.parent / "elsewhere").mkdir()
    if out == "link":
        (home / "link").symlink_to(home.parent / "elsewhere")
    write_run(Path(out), "whole")
    assert (home.parent / "home" / out / "metrics.json").read_text() == "whole"
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_unfit_run_directories(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: expected a folder, found a file"):
        write_run(tmp_path / "file", "")
    with pytest.raises(InputError, match="/proc: is a mount point"):
        write_run(Path("/proc"), "")
    with pytest.raises(InputError, match="cannot be written .File name too long"):
        write_run(tmp_path / ("x" * 300), "")
    out = tmp_path / "run"
    write_run(out, "")
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="--overwrite would delete thesis.tex, no part of a run"):
        write_run(out, "", overwrite=True)
    assert (out / "thesis.tex").exists()
