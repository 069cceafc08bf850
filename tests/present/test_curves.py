from infgrand_dgl.present.curves import draw_curves, training_curves
from infgrand_dgl.present.style import look, subplots
from infgrand_dgl.registry import Method, methods


def rows(stage, seed, values):
    return [{"stage": stage, "seed": seed, "val_accuracy": value} for value in values]


HISTORY = [
    *rows("toy", 1, [0.5, 0.7, 0.9]),
    *rows("toy", 2, [0.1]),
    *rows("teacher", 1, [0.2, 0.4]),
    *rows("student_collapsed", 1, [0.2]),
]


def test_every_model_has_its_curves(monkeypatch):
    """Each seed, and their mean; a plugin's method too; a training that was repeated has none."""
    method = Method("toy", label="Toy", objective=lambda lesson: None)
    monkeypatch.setitem(methods.added, "toy", method)
    _, axes = subplots()
    draw_curves(axes, HISTORY, "val_accuracy", 100)
    lines = axes.get_lines()
    assert [len(line.get_xdata()) for line in lines] == [2, 2, 3, 1, 3]
    assert [line.get_label() for line in lines if line.get_label()[0] != "_"] == ["Teacher", "Toy"]
    assert [line.get_color() for line in lines[2:]] == [look("toy").color] * 3
    assert lines[-1].get_ydata().tolist() == [30, 40, 50]  # where seed 2 has stopped, its last


def test_a_file(tmp_path):
    training_curves(HISTORY, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
