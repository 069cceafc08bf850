"""What a student reads, times what it minimises."""

from infgrand_dgl import registry
from infgrand_dgl.registry import Method
from infgrand_dgl.studies.catalog import ablation
from tests.studies.made_up import line, results
from tests.studies.small import cells


def test_losses_and_inputs():
    (ablation,) = cells("ablation", seeds=[1])
    assert list(ablation.students) == [
        "mlp",
        "mlp + propagation",
        "glnn",
        "glnn + propagation",
        "infgrand loss",
        "infgrand",
    ]
    shape = {name: (c.method, c.student.features) for name, c in ablation.students.items()}
    assert shape["infgrand loss"] == ("infgrand", "raw")
    assert shape["mlp + propagation"] == ("mlp", "propagated")


def test_ablation_gains_of_the_components():
    rows = results(
        {
            "mlp": [0.6],
            "mlp + propagation": [0.7],
            "glnn": [0.8],
            "infgrand loss": [0.81],
            "infgrand": [0.84],
        }
    )
    lines = ablation.tables(rows)
    assert line(lines, "MLP + propagation − MLP")[1] == "+10.00"
    assert line(lines, "InfGraND, loss only − GLNN")[1] == "+1.00"
    assert line(lines, "InfGraND − InfGraND, loss only")[1] == "+3.00"


def test_a_method_of_a_plugin_is_shown(monkeypatch):
    toy = Method("toy", label="A toy", color="red", marker="*", objective=print)
    monkeypatch.setitem(registry.methods.added, "toy", toy)
    (cell,) = cells("ablation", seeds=[1], methods=["infgrand", "toy"])
    assert list(cell.students)[-2:] == ["toy", "toy + propagation"]
    views = Method("views", label="Views", objective=print, propagated=True)
    monkeypatch.setitem(registry.methods.added, "views", views)
    (other,) = cells("ablation", seeds=[1], methods=["views"])
    assert list(other.students) == ["views"]  # raw features it cannot read
    rows = results({"teacher": [0.7], "toy": [0.8], "toy + propagation": [0.81]})
    assert line(ablation.tables(rows), "Cora")[-2:] == ["80.0", "**81.0**"]
    assert line(ablation.tables(rows), "A toy + propagation − A toy")[1] == "+1.00"
    (legend,) = ablation.figures(rows)[""].legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert {"A toy", "A toy + propagation"} < set(labels)
