"""Every cell of every study is an experiment."""

import pytest

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.registry import studies
from infgrand_dgl.studies.grid import cells_of, teachers
from infgrand_dgl.studies.published import DATASETS, SETTINGS


@pytest.mark.parametrize("name", studies)
def test_published_grid(name):
    """A cell's name says which it is."""
    plan = studies[name]
    cells = cells_of(
        plan, DATASETS, plan.teachers or teachers(), plan.settings or SETTINGS, None, []
    )
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    for cell in cells:
        assert cell.config.train.seeds == [cell.seed]
        assert (cell.config.data.name, cell.config.teacher.model) == (cell.dataset, cell.teacher)
        assert cell.config.data.setting == cell.setting
        for student in cell.students.values():
            assert (student.data, student.teacher) == (cell.config.data, cell.config.teacher)
            assert validated(student) == student  # a YAML file could say it


def validated(config):
    return type(config).model_validate(config.model_dump(by_alias=True))


def test_defaults_are_published():
    assert teachers() == ("gcn", "sage", "gat")
    assert set(DATASETS) == {
        "cora",
        "citeseer",
        "pubmed",
        "amazon-photo",
        "coauthor-cs",
        "coauthor-physics",
    }
    for dataset in DATASETS:
        for teacher in teachers():
            for setting in SETTINGS:
                assert load_config(f"{dataset}_{teacher}_{setting}").data.setting == setting


def test_the_studies_of_the_paper_and_its_rivals():
    assert set(studies) == {
        "table1",
        "high-low",
        "label-scarce",
        "ablation",
        "tradeoff",
        "sensitivity",
        "measures",
        "rivals",
    }
