"""The parser and the files of `commands/`."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from infgrand_dgl.benchmark.command import BENCHMARKS
from infgrand_dgl.cli import commands
from infgrand_dgl.cli.command import Group, find_commands
from infgrand_dgl.cli.parser import add_commands

from .conftest import run

COMMANDS = find_commands(commands.__name__, commands.__path__)


def names(commands, above=()):
    """Of all commands, as they are typed."""
    for name, command in commands.items():
        if isinstance(command, Group):
            yield from names(command.commands, (*above, name))
        else:
            yield " ".join((*above, name))


def test_order_of_the_commands():
    expected = ["train", "influence", "propagate", "predict", "export", "update", "serve", "report"]
    expected += [
        f"data {name}" for name in ("list", "describe", "import", "split", "prepare", "verify")
    ]
    expected += ["study", "tune", *(f"benchmark {name}" for name in (*BENCHMARKS, "all")), "info"]
    assert list(names(COMMANDS)) == expected


@pytest.mark.parametrize("command", list(names(COMMANDS)))
def test_help_has_an_example(command, capsys):
    status, output, _ = run(capsys, *command.split(), "--help")
    assert status == 0 and "--verbose" in output
    assert f"example:\ninfgrand-dgl {command}" in output


def test_each_file_has_a_test():
    root = Path(commands.__file__).parent
    for file in root.rglob("[a-z]*.py"):
        test = Path(__file__).parent / "commands" / file.relative_to(root)
        assert test.with_name(f"test_{file.name}").is_file()


def test_help_is_quick():
    """It waits for nothing heavy, and parsing neither."""
    code = (
        "import sys; from infgrand_dgl.cli.parser import build_parser;"
        "parser = build_parser(); parser.format_help(); parser.parse_args(['data', 'list']);"
        "print(*{'torch', 'dgl', 'numpy', 'pandas', 'matplotlib', 'rich', 'pydantic'}"
        " & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_a_file_is_a_command(tmp_path, monkeypatch, capsys):
    """And a folder of files is a group of commands."""
    folder = tmp_path / "toy_commands"
    (folder / "more").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    text = "from infgrand_dgl.cli.command import Command\n"
    text += "command = Command('says {0}', 'toy', lambda args: print('{0}'), place={1})\n"
    (folder / "good_day.py").write_text(text.format("hello", 2))
    (folder / "bye.py").write_text(text.format("bye", 3))
    (folder / "more" / "night.py").write_text(text.format("good night", 1))
    (folder / "more" / "__init__.py").write_text(
        "from infgrand_dgl.cli.command import Group, find_commands\n"
        "command = Group('more', find_commands(__name__, __path__), kind='word', place=1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    toys = find_commands("toy_commands", [str(folder)])
    assert list(names(toys)) == ["more night", "good-day", "bye"]
    parser = argparse.ArgumentParser()
    add_commands(parser, toys)
    args = parser.parse_args(["more", "night", "-v"])
    args.run_command(args)
    assert args.verbose and capsys.readouterr().out == "good night\n"
    with pytest.raises(SystemExit):
        parser.parse_args(["more"])
    assert "the following arguments are required: word" in capsys.readouterr().err


def test_usage_errors(capsys):
    for arguments in (
        [],
        ["trai"],
        ["influence"],
        ["train", "--config"],
        ["predict", "--seed", "x"],
        ["data"],
        ["benchmark"],
    ):
        status, _, err = run(capsys, *arguments)
        assert status == 2 and "usage: infgrand-dgl" in err
