from pathlib import Path

import pytest

from infgrand_dgl import InputError
from infgrand_dgl.config.reading import load_config


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, name: str = "c.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_extends_a_shipped_one(written):
    """By its name, unless there is such a file."""
    assert load_config(written("extends: demo\nteacher: {hidden: 64}")) == load_config(
        "demo", ["teacher.hidden=64"]
    )
    written("data: {name: cora}", "demo")
    assert load_config(written("extends: demo")).data.name == "cora"


def test_extends_overrides_and_round_trip(written):
    written("data: {name: cora}\nteacher: {lr: 1e-3, hidden: 32}\ntrain: {seeds: [1]}", "base.yaml")
    middle = written("extends: base.yaml\nteacher: {hidden: 64}", "middle.yaml")
    config = load_config(
        middle, ["student.norm=batch", "distillation.lambda=0.5", "train.baselines=[mlp]"]
    )
    assert (config.teacher.lr, config.teacher.hidden) == (0.001, 64)
    assert config.student.norm == "batch" and config.distillation.lambda_ == 0.5
    assert config.train.baselines == ["mlp"] and config.train.seeds == [1]
    again = written(config.to_yaml(), "again.yaml")
    assert load_config(again) == config


def test_a_directory_name_is_resolved(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(written("data: {name: cora, root: here}")).data.root == str(
        tmp_path / "here"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "data: {name: corra}",
            "c.yaml: data.name: expected one of amazon-computers, .*; found 'corra'; did you mean 'cora'?",
        ),
        ("teachr: {}", "c.yaml: teachr: unknown section; did you mean 'teacher'?"),
        (
            "teacher: {hiden: 3}",
            r"c.yaml: teacher.hiden: unknown key; did you mean 'hidden'\? \(allowed: model, ",
        ),
        ("teacher: {hidden: wide}", "c.yaml: teacher.hidden: expected an integer, found 'wide'"),
        ("teacher: {hidden: 0}", "c.yaml: teacher.hidden: expected a number >= 1, found 0"),
        ("teacher: {lr: .nan}", "c.yaml: teacher.lr: .*found nan"),
        ("teacher: 3", "c.yaml: teacher: expected a section with keys model, .*found int"),
        (
            "teacher: {model: gat, hidden: 6}",
            "c.yaml: teacher: hidden: 6 is not divisible by heads: 4",
        ),
        ("train: {seeds: [1, 1]}", r"c.yaml: train.seeds: expected distinct seeds, found \[1, 1\]"),
        (
            "teacher: {backend: dgl}\ntrain: {precision: bfloat16}",
            r"c.yaml: train.precision: bfloat16: needs teacher.backend: native \(or auto\)",
        ),
        (
            "train: {precision: fp16}",
            "c.yaml: train.precision: expected one of float32, tf32, bfloat16; found 'fp16'",
        ),
        ("train: {seeds: []}", "c.yaml: train.seeds: expected at least one"),
        ("train: {compile: 1}", "c.yaml: train.compile: expected true or false, found 1"),
        (
            "distillation: {kl: fwd}",
            "c.yaml: distillation.kl: expected one of forward, reverse; found 'fwd'",
        ),
        ("train: {seeds: [-3]}", "train.seeds.0: expected a number >= 0, found -3"),
        ("train: {seeds: [4294967296]}", "train.seeds.0: expected a number < 4294967296"),
        (f"propagation: {{hops: {10**30}}}", "propagation.hops: expected a number <= 10000"),
        (f"student: {{hidden: {10**30}}}", "student.hidden: expected a number <= 1048576"),
    ],
)
def test_bad_value_names_file_key_and_choice(text, told, written):
    if not text.startswith("data"):
        text = "data: {name: cora}\n" + text
    with pytest.raises(InputError, match=told) as error:
        load_config(written(text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("teacher: {}", "c.yaml: data: required, but not given"),
        ("data: {name: cora, nodes: 100}", "data: nodes: only for name: synthetic, not cora"),
        ("data: {name: directory}", "root: name: directory needs the folder"),
        ("data: {name: cora}\ndata: {name: pubmed}", "line 2, column 1: key 'data' is given twice"),
        ("data: {name: cora", "c.yaml: not valid YAML"),
        ("- cora", "c.yaml: expected sections, found a list"),
        ("extends: gone.yaml", "c.yaml: extends: no such file: .*gone.yaml"),
        ("extends: c.yaml", "c.yaml: extends itself"),
        ("extends: 3", "c.yaml: extends: expected a file name, found 3"),
        ("data: {name: cora, root: '~nobodyhere/x'}", "data.root: .*nobodyhere/x.*home directory"),
        ("? [a, b]\n: 3", "c.yaml: not valid YAML .line 1, column 3: expected a name as key"),
        ("data: {{ name }}", "c.yaml: not valid YAML .*expected a name as key"),
        ("data: &d {name: cora, x: *d}", r"c.yaml: not valid YAML .aliases are not read: \*d"),
        ("train: {epochs: 2020-13-45}", "c.yaml: not valid YAML .month must be in 1..12"),
        ("train: {epochs: !!int x}", "c.yaml: not valid YAML .invalid literal for int"),
    ],
)
def test_bad_file(text, told, written):
    with pytest.raises(InputError, match=told):
        load_config(written(text))


def test_bad_override(written):
    with pytest.raises(InputError, match="--set train.epochs=2020-13-45: not a YAML value"):
        load_config(written("data: {name: cora}"), ["train.epochs=2020-13-45"])


def test_name_too_long():
    with pytest.raises(InputError, match="File name too long"):
        load_config("x" * 300)


def test_the_file_that_holds_the_key_is_named(written):
    written("teacher: {hidden: wide}", "base.yaml")
    with pytest.raises(InputError, match="base.yaml: teacher.hidden"):
        load_config(written("extends: base.yaml\ndata: {name: cora}"))
    with pytest.raises(InputError, match="--set teacher.lr=fast: teacher.lr: expected a number"):
        load_config(written("data: {name: cora}"), ["teacher.lr=fast"])
    with pytest.raises(InputError, match="--set: expected section.key=value, found 'teacher'"):
        load_config(written("data: {name: cora}"), ["teacher"])


def test_missing_file_suggests_a_shipped_one(tmp_path):
    with pytest.raises(InputError, match="corra_gcn_transductive.yaml: no such file; did you mean"):
        load_config("corra_gcn_transductive.yaml")
    with pytest.raises(InputError, match="/dev/null: expected a YAML file, found no regular file"):
        load_config("/dev/null")
    with pytest.raises(InputError, match="expected a YAML file, found a directory"):
        load_config(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="binary data"):
        load_config(tmp_path / "b.yaml")
