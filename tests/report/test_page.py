import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import confusion_matrix

from infgrand_dgl.cli import main
from infgrand_dgl.data import load_dataset
from infgrand_dgl.experiment.directory import RunDirectory
from infgrand_dgl.present.style import data_uri
from infgrand_dgl.report import figures
from infgrand_dgl.report.content import Part, Picture, Section, Table, facts
from infgrand_dgl.report.measures import calibration
from infgrand_dgl.report.page import render
from infgrand_dgl.report.run import Judged, _trust
from infgrand_dgl.serving import load_student

from .conftest import made


class Page(HTMLParser):
    """Tags, their attributes and the text of a page, whose elements all close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.text = html, ""
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.tags if name in attrs]

    def rows(self):
        """Of all tables, cells joined by |."""
        rows = re.findall(r"<tr>(.*?)</tr>", self.html, flags=re.DOTALL)
        return [
            "|".join(re.sub("<.*?>", "", cell) for cell in re.split(r"</t[hd]>", row)).strip("|")
            for row in rows
        ]


def checked(html):
    """The page, which needs nothing else."""
    page = Page(html)
    for where in page.attributes("src") + page.attributes("href"):
        assert where.startswith(("data:", "#"))
    assert not {"script", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert "@import" not in html and "url(" not in html
    for tag, attrs in page.tags:
        assert tag != "img" or attrs["alt"]
    return page


@pytest.fixture
def report(tmp_path, capsys):
    """The page of a command."""

    def report(*paths):
        out = tmp_path / "report.html"
        assert main(["report", *map(str, paths), "--out", str(out), "-q"]) == 0
        assert capsys.readouterr().out == f"wrote {out}\n"
        return checked(out.read_text())

    return report


def fails(capsys, tmp_path, path, told):
    out = tmp_path / "none.html"
    assert main(["report", str(path), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert re.search(told, error) and error.count("\n") == 1 and not out.exists()


def test_run(report, transductive):
    page = report(transductive)
    metrics = json.loads((transductive / "metrics.json").read_text())
    rows = page.rows()
    for model, name in (("teacher", "Teacher (gcn)"), ("student", "Student (InfGraND)")):
        m = metrics[model]
        cells = [m["val"], m["test"], m["macro_f1"]["test"]]
        told = [f"{100 * c['mean']:.1f} ± {100 * c['std']:.1f}" for c in cells]
        assert any(row.startswith("|".join([name, *told])) for row in rows)
    names = [row.split("|")[0] for row in rows]
    assert names[:5] == ["model", "Teacher (gcn)", "Student (InfGraND)", "GLNN", "MLP"]
    assert f"edges|{metrics['dataset']['edges']:,}, both directions and self-loops" in rows
    assert {"source|generated", "gpus|none"} <= set(rows)
    seconds = metrics["seconds"]["student"]
    spent = f"{np.mean(seconds):.2f} ± {np.std(seconds):.2f}|{sum(seconds):.2f}"
    assert f"Student, per seed|{spent}" in rows
    assert (transductive / "config.yaml").read_text() in page.text
    assert len(page.attributes("src")) == 8 == page.html.count("</figcaption>\n</figure>")


def test_the_same_figure_the_same_picture():
    drawn = [figures.confusion_matrix(np.array([[5, 1], [0, 7]])) for _ in range(2)]
    assert len({data_uri(figure) for figure in drawn}) == 1


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
def test_pictures_show_what_the_stored_models_do(setting, report, request, monkeypatch):
    folder = request.getfixturevalue(setting)
    drawn: dict[str, list[Any]] = {}

    def watched(name, draw):
        def watching(*args):
            drawn.setdefault(name, []).append(args)
            return draw(*args)

        return watching

    for name in ("confusion_matrix", "reliability", "accuracy_by", "influence_by_degree"):
        monkeypatch.setattr(figures, name, watched(name, getattr(figures, name)))
    page = report(folder)

    run = RunDirectory(folder)
    seed = run.best_seed()
    assert f"Models of seed {seed}" in page.text
    dataset, seeded = load_dataset(run.config, seed), folder / f"seed-{seed}"
    here = seeded if setting == "inductive" else folder
    scores, x = np.load(here / "influence.npy"), torch.from_numpy(np.load(here / "propagated.npy"))
    p = {
        "teacher": torch.from_numpy(np.load(seeded / "teacher_logits.npy")).softmax(1).numpy(),
        "student": load_student(seeded / "student.safetensors")(x).softmax(1).detach().numpy(),
    }
    if setting == "transductive":
        for name in ("glnn", "mlp"):
            mlp = load_student(seeded / f"{name}.safetensors")
            p[name] = mlp(dataset.dense_features()).softmax(1).detach().numpy()
    labels, test = dataset.labels.numpy(), dataset.test.numpy()

    expected = confusion_matrix(labels[test], p["student"][test].argmax(1), labels=range(3))
    assert (drawn["confusion_matrix"][0][0] == expected).all()
    for model, found in drawn["reliability"][0][0].items():
        error = calibration(p[model][test], labels[test]).error
        assert found.error == pytest.approx(error, abs=1e-5)

    by_influence, by_degree = drawn["accuracy_by"]
    scored = dataset.parts.test_observed.numpy() if setting == "inductive" else test
    assert ("observed test nodes" in page.text) == (setting == "inductive")
    order = scored[np.argsort(scores[scored])]
    assert list(by_degree[1]) == list(by_influence[1]) == list(p)
    for model, counts in by_influence[1].items():
        lowest = order[: counts[0][1]]
        assert len(counts) == 5 and sum(n for _, n in counts) == len(scored)
        assert counts[0][0] == (p[model].argmax(1) == labels)[lowest].sum()
    neighbours = dataset.csr.row_lengths.numpy() - 1
    for group, (right, count) in zip(by_degree[0], by_degree[1]["student"], strict=True):
        low, *more = group.split("\n")[0].split("–")
        inside = (neighbours[test] >= int(low)) & (
            neighbours[test] <= int(more[0] if more else low)
        )
        assert count == inside.sum()
        assert right == (p["student"].argmax(1) == labels)[test[inside]].sum()
    known = ~np.isnan(scores)
    assert (drawn["influence_by_degree"][0][0] == scores[known]).all()


def test_many_classes_are_told_by_their_confusions():
    labels = np.repeat(np.arange(25), 4)
    predicted = np.where(labels == 7, 3, labels)
    judged = Judged(np.arange(100), labels, {"student": np.eye(25)[predicted]})
    section = _trust(judged, 25, 1)
    assert [list(row) for row in section.tables[0].rows] == [["7", "3", "4", "100.0"]]
    assert len(section.pictures) == 1


def test_methods_without_teacher_or_influence(report, tmp_path):
    """And a baseline that reads propagated features, as no file of the run holds them."""
    plain = made(tmp_path / "plain", "method=mlp", "train.baselines=[]")
    page = report(plain)
    assert "Student (MLP)" in page.text and "Teacher" not in page.text
    assert "<h2>Influence</h2>" not in page.html and len(page.attributes("src")) == 5
    both = made(tmp_path / "both", "method=glnn", "train.baselines=[infgrand]")
    names = [row.split("|")[0] for row in report(both).rows()]
    assert names[:4] == ["model", "Teacher (gcn)", "Student (GLNN)", "InfGraND"]


def test_saved_logits_are_the_teacher(report, run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    moved = run / "theirs.npy"
    (run / "seed-1" / "teacher_logits.npy").rename(moved)
    (run / "seed-2" / "teacher_logits.npy").unlink()
    config["teacher"]["logits"] = str(moved)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert "Teacher (saved logits)" in report(run).text


def test_several_parts(everything, transductive, inductive):
    page = checked(everything.read_text())
    for words in ("Contents", "Side by side", "Table 1"):
        assert words in page.text
    assert f"{transductive}|{inductive}" in page.rows()  # of one name, so by their paths
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links == ["#part-1", "#part-2", "#part-3", "#part-4"]
    assert {link[1:] for link in links} <= set(page.attributes("id"))
    metrics = [json.loads((r / "metrics.json").read_text()) for r in (transductive, inductive)]
    told = [f"{100 * m['student']['test']['mean']:.1f} ±" for m in metrics]
    (row,) = [row for row in page.rows() if row.startswith("Student, test (%)")]
    assert all(t in cell for t, cell in zip(told, row.split("|")[1:], strict=True))
    (row,) = [row for row in page.rows() if row.startswith("MLP, test (%)")]
    assert row.count("±") == 1


def test_what_others_wrote_is_escaped():
    bad = "<script>alert('&')</script><img src=http://example.org/x.png>"
    table = Table([[bad, bad]], [bad, bad], bad)
    section = Section(bad, bad, bad, [table, facts({bad: [bad, {bad: bad}]})], listing=bad)
    picture = Picture("data:,", f'"{bad}', bad)
    parts = [Part(bad, bad, bad, [section, Section(bad, pictures=[picture])], bad)] * 2
    assert bad in checked(render(parts)).text


def test_study(report, study):
    page = report(study)
    for words in ("Cells: 40 finished, 1 failed; 2.0 h", "--seeds '<1>'", "five", "seeds"):
        assert words in page.text
    assert "<strong>five</strong>" in page.html and "&lt;script&gt;" in page.html
    assert page.html.count("<h1>") == 1 and "<h3>Cora</h3>" in page.html
    assert '<td style="text-align:right">80.1</td>' in page.html
    assert "Accuracy." in page.text
    # One picture where it is named, the other below.
    assert [attrs["alt"] for tag, attrs in page.tags if tag == "img"] == [
        "Accuracy",
        "table1-degrees",
    ]
    assert all(src.startswith("data:image/svg+xml;") for src in page.attributes("src"))


def test_unfit_paths(capsys, tmp_path):
    told = "expected a run directory .config.yaml, metrics.json. or a study .study.json"
    for path in (tmp_path / "gone", tmp_path):
        fails(capsys, tmp_path, path, f"{path}: {told}")


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("metrics.json", "{}", "metrics.json: not written by train"),
        ("metrics.json", "[1", "metrics.json: not written by train"),
        ("config.yaml", "data: {name: directory, root: /gone}", "/gone"),
        ("config.yaml", "data: [", "config.yaml: not valid YAML"),
        ("history.csv", None, "history.csv: no such file"),
        ("history.csv", "a,b\n1,2\n", "history.csv: not a history written by train"),
        ("influence.npy", "x", "influence.npy: not a readable .npy file"),
        ("propagated.npy", None, "propagated.npy: no such file"),
        ("seed-{}/student.safetensors", None, "student.safetensors: no such file"),
        ("seed-{}/teacher_logits.npy", None, "teacher_logits.npy: no such file"),
    ],
)
def test_damaged_runs(file, content, told, run, tmp_path, capsys):
    path = run / file.format(RunDirectory(run).best_seed())
    path.unlink() if content is None else path.write_text(content)
    fails(capsys, tmp_path, run, told)


def test_arrays_of_another_graph(run, tmp_path, capsys):
    np.save(run / "influence.npy", np.ones(299, np.float32))
    fails(capsys, tmp_path, run, r"influence.npy: expected floating point \[300\], found float32")
    np.save(run / f"seed-{RunDirectory(run).best_seed()}/teacher_logits.npy", np.ones((299, 3)))
    fails(capsys, tmp_path, run, r"teacher_logits.npy: expected \[300, n\], found float64")
    config = (run / "config.yaml").read_text().replace("nodes: 300", "nodes: 310")
    (run / "config.yaml").write_text(config)
    fails(capsys, tmp_path, run, "its dataset is another one by now: expected 300 nodes, found 310")


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("study.json", "{}", "study.json: not written by a study .KeyError"),
        ("table1.md", None, "table1.md: no such file"),
        ("table1.md", "![x](gone.png)", "gone.png: no such file"),
        ("table1.md", "![x](../secret.png)", "expected a .svg or .png beside it, found ../secret"),
        ("table1.md", "![x](https://a.b/x.png)", "expected a .svg or .png beside it, found https"),
    ],
)
def test_damaged_studies(file, content, told, study, tmp_path, capsys):
    path = study / file
    path.unlink() if content is None else path.write_text(content)
    fails(capsys, tmp_path, study, told)


def test_out_is_checked_first(transductive, tmp_path, capsys):
    assert main(["report", str(transductive), "--out", str(tmp_path)]) == 2
    assert "expected the name of a file" in capsys.readouterr().err
