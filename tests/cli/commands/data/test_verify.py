"""What is checked: tests/data/test_prepared.py."""

from ...conftest import run


def test_verify(tiny, tmp_path, capsys):
    folder = tmp_path / "set"
    run(capsys, "data", "prepare", "--config", tiny, "--out", folder)
    assert run(capsys, "data", "verify", folder, "-q") == (0, f"{folder}: ok\n", "")
    labels = bytearray((folder / "labels.npy").read_bytes())
    labels[-1] ^= 1
    (folder / "labels.npy").write_bytes(labels)
    status, _, err = run(capsys, "data", "verify", folder)
    assert status == 2 and "labels.npy: damaged: expected checksum" in err
