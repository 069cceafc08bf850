"""Every study, from results that no model has had, to files that open."""

from xml.etree import ElementTree

import pytest
from PIL import Image

from infgrand_dgl.registry import studies
from infgrand_dgl.studies.render import render
from infgrand_dgl.training.metrics import METRICS

from .made_up import made_up, made_up_correlations, with_gaps


def check(files, out, study):
    page = (out / f"{study}.md").read_text()
    for file in files:
        assert file.is_file()
        if file.suffix == ".png":
            with Image.open(file) as image:
                assert image.width >= 700
            assert f"]({file.name})" in page
        elif file.suffix == ".svg":
            assert ElementTree.parse(file).getroot().tag.endswith("svg")
            assert f"[SVG]({file.name})" in page
    assert len({file.name for file in files}) == len(files)
    return page


@pytest.mark.parametrize("study", studies)
def test_renders_with_gaps(study, tmp_path):
    extra = made_up_correlations(["cora"]) if study == "measures" else None
    rows = with_gaps(made_up(study))
    files = render(study, rows, tmp_path, extra=extra, about="It took 12 s.")
    page = check(files, tmp_path, study)
    assert len(files) == (5 if study in ("measures", "tradeoff", "rivals") else 3)
    assert "It took 12 s." in page and "failed" in page and "(2 seeds)" in page
    assert "nan" not in page


@pytest.mark.parametrize("study", studies)
def test_nothing_has_finished(study, tmp_path):
    rows = made_up(study, datasets=["cora"], seeds=1)
    rows = with_gaps(rows).assign(status="not run")
    assert render(study, rows, tmp_path) == [tmp_path / f"{study}.md"]
    page = (tmp_path / f"{study}.md").read_text()
    assert "Nothing has finished." in page and "not run" in page
    render(study, rows.iloc[:0], tmp_path)


@pytest.mark.parametrize("metric", ["roc_auc", "r2", "rmse"])
@pytest.mark.parametrize("study", studies)
def test_another_metric_is_named_everywhere(study, metric, tmp_path):
    rows = made_up(study, datasets=["cora"]).assign(metric=metric)
    rows["test"] -= 0.9 * (metric == "r2")  # it may be negative
    page = check(render(study, rows, tmp_path), tmp_path, study)
    label = METRICS[metric].label
    assert f"Test {label}" in page and "accuracy" not in page.lower() and "{" not in page
    assert ("percent" in page) == METRICS[metric].percent
    drawn = (tmp_path / f"{study}.svg").read_text()
    assert f"<!-- Test {label}" in drawn and "ccuracy" not in drawn


def test_one_seed_of_one_dataset_inductive(tmp_path):
    rows = made_up("ablation", datasets=["cora"], seeds=1, settings=["inductive"])
    page = check(render("ablation", rows, tmp_path), tmp_path, "ablation")
    assert "(inductive, GCN teacher, hidden test nodes)" in page


def test_the_same_rows_draw_the_same_svg(tmp_path):
    rows = made_up("high-low", datasets=["cora"])
    svg = tmp_path / "high-low.svg"
    render("high-low", rows, tmp_path)
    first = svg.read_bytes()
    render("high-low", rows, tmp_path)
    assert svg.read_bytes() == first
