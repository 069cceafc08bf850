"""The figures: tests/data/test_summary.py."""

from ...conftest import run


def test_describe(tiny, capsys):
    inductive = ("--set", "data.setting=inductive")
    status, output, _ = run(capsys, "data", "describe", "--config", tiny, *inductive)
    assert status == 0
    words = ("300 nodes", "neighbours: mean", "features: ", "edge homophily: 0.", "nodes per class")
    ends = ("split: ", "provenance: ", "training sees ")
    for line, start in zip(output.splitlines(), (*words, *ends), strict=True):
        assert start in line
    assert "test_observed" in output


def test_split_of_a_seed(tiny, capsys):
    command = ("data", "describe", "--config", tiny, "--set", "data.setting=inductive", "--seed")
    outputs = [run(capsys, *command, seed)[1] for seed in (1, 1, 2)]
    assert outputs[0] == outputs[1] and "observed" in outputs[2]
