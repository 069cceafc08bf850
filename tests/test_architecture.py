"""The limits of the house: entries of the package, lengths of files and functions."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/infgrand_dgl"
FILES = [*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py"), ROOT / "setup.py"]
KERNELS = [path for path in (ROOT / "csrc").rglob("*") if path.suffix in (".h", ".cpp", ".cu")]


def test_entries_of_the_package():
    entries = sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__")
    assert len(entries) <= 24, entries


def test_files_are_short():
    lengths = {str(path): len(path.read_text().splitlines()) for path in [*FILES, *KERNELS]}
    assert {path: n for path, n in lengths.items() if n > 400} == {}


def test_functions_are_short():
    lengths = {
        f"{path}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: n for name, n in lengths.items() if n > 80} == {}
