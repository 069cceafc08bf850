"""The limits of the house: entries of the package, lengths of files and functions."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/infgrand_dgl"
FILES = [
    path
    for folder in ("src", "tests", "benchmarks", "csrc", "examples")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def test_entries_of_the_package():
    entries = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 24, sorted(path.name for path in entries)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lengths(path):
    text = path.read_text()
    limit = 400 if PACKAGE in path.parents or path.parts[-2] == "benchmarks" else 600
    assert len(text.splitlines()) <= limit
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    lengths = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, functions)
    }
    assert max(lengths.values(), default=0) <= 80, lengths
