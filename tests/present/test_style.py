"""Everything that can be chosen has a look, also what another package brings."""

import pytest

from infgrand_dgl.present.style import (
    BLACK,
    MARKERS,
    OLIVE,
    ROLES,
    Look,
    data_uri,
    look,
    models,
    subplots,
)
from infgrand_dgl.registry import Method, measures, methods, sources, teachers


@pytest.fixture
def toy(monkeypatch) -> str:
    method = Method("toy", label="Toy", objective=lambda lesson: None)
    monkeypatch.setitem(methods.added, "toy", method)
    return "toy"


def test_models_in_order():
    expected = ["infgrand", "grand", "nosmog", "hgmd", "krd", "ffg2m", "glnn", "mlp"]
    assert models() == ["teacher", "student", *expected]


def test_a_plugin_is_a_model(toy):
    assert set(models()) - {*ROLES, *methods} == set() and toy in models()


def test_looks_of_one_legend_differ(toy):
    looks = [look(name) for name in models() if name != "student"]  # which InfGraND's are
    assert len({shown.color for shown in looks}) == len(looks)
    assert len({shown.marker for shown in looks}) == len(looks)
    assert look(toy) == Look("Toy", OLIVE, "*")


def test_every_choice_has_its_label():
    for registry in (methods, teachers, measures, sources):
        for name in registry:
            shown = look(name)
            assert shown.label == registry[name].label
            assert shown.color.startswith("#") and shown.marker in MARKERS
    assert look("PageRank, twice") == Look("PageRank, twice", BLACK, "o")


def test_the_same_figure_the_same_picture():
    def drawn():
        figure, axes = subplots()
        axes.plot([1, 3, 2])
        return data_uri(figure)

    assert drawn() == drawn() and drawn().startswith("data:image/svg+xml;base64,")
