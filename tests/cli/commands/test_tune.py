"""`infgrand-dgl tune`: what is said, and its exit status."""

import sys

from infgrand_dgl.cli import main


def test_it_ends_with_a_recipe(tiny, tmp_path, capsys, monkeypatch):
    """What the method does not read is left out; the default folder has the experiment's name."""
    monkeypatch.chdir(tmp_path)
    assert main(["tune", "--config", str(tiny), "--trials", "1", "--set", "method=mlp"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("left out, as method: mlp does not read them: distillation.lambda, ")
    assert said[-2:] == [
        "1 finished, 0 pruned, 0 failed",
        "best: tuned/tiny/best.yaml; read tuned/tiny/tune.md or tuned/tiny/report.html",
    ]
    recipe = (tmp_path / "tuned/tiny/best.yaml").read_text()
    assert "extends: ../../tiny.yaml\n" in recipe and "method: mlp\n" in recipe
    assert "lambda" not in recipe and "  dropout: 0.5\n" in recipe


def test_without_optuna(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    command = ["tune", "--config", str(tiny), "--trials", "1", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    message = "error: tune: Optuna is not installed (pip install infgrand-dgl[tune])\n"
    assert capsys.readouterr().err == f"infgrand-dgl: {message}"
    assert not (tmp_path / "out").exists()


def test_a_space_of_nothing(tiny, tmp_path, capsys):
    (tmp_path / "space.yaml").write_text("krd.every: [1, 2]\n")
    command = ["tune", "--config", str(tiny), "--space", str(tmp_path / "space.yaml")]
    assert main([*command, "--trials", "1", "--out", str(tmp_path / "out")]) == 2
    assert "nothing is left of it to try" in capsys.readouterr().err


def test_where_all_fail(tiny, tmp_path, capsys):
    space = tmp_path / "space.yaml"
    space.write_text("student.lr: [1.0e+38]\n")
    command = ["tune", "--config", str(tiny), "--space", str(space), "--trials", "2"]
    assert main([*command, "--out", str(tmp_path / "out"), "-q"]) == 1
    said = capsys.readouterr()
    assert "0 finished, 0 pruned, 2 failed" in said.out and "no trial has finished" in said.err
    assert "No trial has finished." in (tmp_path / "out/tune.md").read_text()
    assert not (tmp_path / "out/best.yaml").exists()


def test_over_which_settings(tiny, tmp_path, capsys):
    command = ["tune", "--config", str(tiny), "--trials", "1", "--out", str(tmp_path / "out")]
    assert main([*command, "--settings", "transductive", "production"]) == 2
    expected = "--settings: expected transductive or inductive, found 'production'"
    assert expected in capsys.readouterr().err
    both = ["--settings", "transductive", "inductive"]
    assert main([*command, *both, "--set", "method=mlp", "-q"]) == 0
    assert "2 settings" in (tmp_path / "out/best.yaml").read_text()
    assert main([*command, "--settings", "inductive", "--set", "method=mlp"]) == 2
    assert "other settings (--settings: " in capsys.readouterr().err
