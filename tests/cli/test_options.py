"""Options that several commands share."""

import argparse

import pytest

from infgrand_dgl.cli import options

from .conftest import run


def test_integers_of_a_range():
    parse = options.integer(1, 1024)
    assert [parse("1"), parse("1024")] == [1, 1024]
    for text in ("0", "1025", "-1", "1.5", "x", ""):
        with pytest.raises(argparse.ArgumentTypeError, match=f"from 1 to 1024, found '{text}'"):
            parse(text)
    assert options.SEED("4294967295") == 2**32 - 1


def test_seed_out_of_range(tiny, tmp_path, capsys):
    command = ("influence", "--config", tiny, "--seed", "4294967296", "--out", tmp_path / "i.npy")
    status, _, err = run(capsys, *command)
    assert status == 2 and "expected an integer from 0 to 2^32 - 1, found '4294967296'" in err


@pytest.mark.parametrize("required", [False, True])
def test_settings_add_up(required):
    parser = argparse.ArgumentParser()
    (options.experiment if required else options.resumable_experiment)(parser)
    settings = ["--set", "a=1", "b=2", "--set", "c=3"]
    args = parser.parse_args([*(["--config", "demo"] if required else []), *settings])
    assert args.set == ["a=1", "b=2", "c=3"] and args.config == ("demo" if required else None)
    if required:
        with pytest.raises(SystemExit):
            parser.parse_args(settings)
