"""README and the pages of the site do what they say: commands, YAML, Python, names."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import infgrand_dgl
from infgrand_dgl.cli.parser import build_parser
from infgrand_dgl.config import Config, load_config

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def commands() -> list[str]:
    """What follows `infgrand-dgl`; none with a variable or a gap."""
    joined = [code.replace("\\\n", " ") for page in PAGES for code in blocks(page, "bash")]
    lines = re.findall(r"(?:^|-m )infgrand[-_]dgl (.*)$", "\n".join(joined), flags=re.M)
    return [line for line in lines if not re.search(r"[$…]|\.\.\. ", line)]


@pytest.mark.parametrize("command", commands())
def test_command(command, monkeypatch):
    """It is one, and its experiment and settings are valid."""
    monkeypatch.chdir(ROOT)
    arguments = build_parser().parse_args(shlex.split(command, comments=True))
    assert callable(arguments.run_command)
    config = getattr(arguments, "config", None)
    if config not in (None, "mine.yaml"):
        assert isinstance(load_config(config, arguments.set), Config)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "docs/own-graph.md"])
def test_yaml(page):
    (text,) = blocks(ROOT / page, "yaml")
    config = Config.model_validate(yaml.safe_load(text))
    assert (config.data.name, config.teacher.model) == ("directory", "sage")
    assert (config.teacher.hidden, config.student.hidden) == (128, 128)


def test_own_graph(tmp_path, monkeypatch):
    """The folder that the page makes is one that the page's experiment takes."""
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(DOCS / "own-graph.md", "python")
    exec(code, {})
    (text,) = blocks(DOCS / "own-graph.md", "yaml")
    data = infgrand_dgl.load_dataset(Config.model_validate(yaml.safe_load(text)))
    assert (data.num_nodes, len(data.train), len(data.test)) == (100, 60, 20)


def test_recipes(tmp_path):
    """A measure and a method as docs/architecture.md has them, in one training."""
    folders = {"...": "infgrand_dgl.", "..measure": "infgrand_dgl.influence.measure"}
    folders["..objective"] = "infgrand_dgl.distillation.objective"
    recipes = []
    for code in blocks(DOCS / "architecture.md", "python"):
        if "def " in code:
            for relative, absolute in folders.items():
                code = code.replace(f"from {relative}", f"from {absolute}")
            recipes.append(code)
    assert len(recipes) == 2
    run = tmp_path / "run"
    settings = ["influence.measure=squared-degree", "train.baselines=[hard-labels]"]
    settings += ["data.nodes=300", "train.epochs=2"]
    argv = ["train", "--config", "demo", "--seeds", "1", "--out", str(run), "--set", *settings]
    recipes.append(f"from infgrand_dgl.cli import main\nassert main({argv}) == 0")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(recipes)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Hard labels student" in done.stdout
    assert {"influence.npy", "metrics.json"} <= {path.name for path in run.iterdir()}


def test_api_has_all_public_names():
    named = re.findall(r"^::: infgrand_dgl\.(\w+)$", (DOCS / "api.md").read_text(), flags=re.M)
    assert sorted(named) == sorted(set(infgrand_dgl.__all__) - {"__version__"})


def test_all_pages_are_in_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [page.name for page in PAGES[1:] if page.name not in navigation] == []
