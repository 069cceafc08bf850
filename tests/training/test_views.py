"""Students that are trained on random views: resumed, by processes, and served."""

import pytest
import torch

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.experiment.train import train
from infgrand_dgl.present.console import Reporter
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.system.memory import Budget
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.checkpoint import Checkpoint
from infgrand_dgl.training.placement import place
from infgrand_dgl.training.student import train_student
from tests.experiment.test_distributed import train_together, weights

HERE = Runtime.on("cpu")
RANDOM = ["random_propagation.mask=0.5", "random_propagation.views=3", "consistency.weight=0.5"]


class StoppedError(Exception):
    pass


def student(config, checkpoint=None, stop=None):
    view = load_dataset(config, 1).observed_view()
    inputs = student_inputs(config, view, HERE)
    influence = torch.linspace(0, 1, view.num_nodes)
    logits = view.dense_features()[:, : view.num_classes].clone()
    losses = []

    def on_epoch(epoch, values):
        losses.append(values["loss"])
        if epoch == stop:
            raise StoppedError

    made = train_student(
        config, view, inputs, influence, logits, HERE, 1, on_epoch, checkpoint=checkpoint
    )
    return made, losses


@pytest.mark.parametrize("batch_size", [None, 90])
@pytest.mark.parametrize("stored", [0, 5, "products"])
@pytest.mark.parametrize("method", ["infgrand", "grand"])
def test_resumed_bit_for_bit(method, stored, batch_size, tiny, tmp_path):
    how = {"products": "propagation.of=products"}
    views = how.get(stored, f"random_propagation.stored={stored}")
    if stored == "products" and batch_size:
        pytest.skip("products take all nodes in one step")
    config = load_config(
        tiny, [*RANDOM, f"method={method}", views, "train.epochs=8", "consistency.warm_up=6"]
    )
    config = config.replace("student", batch_size=batch_size, dropout=0.5, input_dropout=0.2)
    config = config.replace("student", ema=0.5 * (stored == 5))
    expected, losses = student(config)
    checkpoint = Checkpoint(tmp_path / "c.pt", "this", every=1)
    with pytest.raises(StoppedError):
        student(config, checkpoint, stop=4)
    found, others = student(config, Checkpoint(tmp_path / "c.pt", "this", every=1))
    assert others == losses[3:]  # epoch 4 was stopped before it was saved
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)


@pytest.mark.parametrize(("stored", "batch_size"), [(0, "null"), (4, 90)])
def test_two_processes_equal_one(stored, batch_size, tiny, tmp_path):
    overrides = [*RANDOM, f"student.batch_size={batch_size}", "method=grand", "train.seeds=[1]"]
    overrides += ["student.dropout=0", f"random_propagation.stored={stored}"]
    config = load_config(tiny, overrides)
    tiny.write_text(config.to_yaml())
    train(config, tmp_path / "one", report=Reporter(quiet=True))
    done = train_together(tiny, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one, two = (weights(tmp_path / run, "student") for run in ("one", "two"))
    for key in one:
        torch.testing.assert_close(*map(torch.from_numpy, (two[key], one[key])), rtol=0, atol=1e-5)


def test_the_student_is_served_the_kept_share(tiny):
    config = load_config(tiny, [*RANDOM, "random_propagation.mask=0.25"])
    made, _ = student(config)
    x = torch.randn(5, made.shape["in_features"])
    assert made.kept == made.shape["kept"] == 0.75
    made.kept, served = 1.0, made(x)
    torch.testing.assert_close(made(0.75 * x), served)
    plain, _ = student(config.replace("random_propagation", mask=0.0))
    assert plain.kept == 1 and "kept" not in plain.shape
    other, _ = student(config.model_copy(update={"method": "glnn"}))
    assert other.kept == 1


def test_with_all_weight_on_labels_it_is_grand(tiny):
    """λ = 1, δ1 = 1, δ2 = 0: the distillation is there, and weighs nothing."""
    config = load_config(tiny, [*RANDOM, "distillation.lambda=1", "distillation.delta2=0"])
    _, ours = student(config)
    _, theirs = student(config.replace(method="grand"))
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_the_views_of_a_step_are_reckoned(tiny):
    """What fits with one view needs batches with many."""
    config = load_config(tiny, ["student.hidden=64"])
    x = torch.randn(5000, 40)

    class Left(Budget):
        def left(self, device="cpu"):
            return 5000 * 4000

    runtime = Runtime(torch.device("cpu"), Left(1 << 50))
    assert place(config, x, 3, runtime).step is None
    many = config.replace("random_propagation", views=8, mask=0.5)
    assert place(many, x, 3, runtime).step is not None


def test_end_to_end_above_a_plain_mlp(tiny, tmp_path):
    """On a fifth of the labels, over two splits."""
    overrides = ["method=grand", "train.baselines=[mlp]", "train.seeds=[1, 2]"]
    overrides += ["data.label_rate=0.2", "train.epochs=60", "propagation.hops=4"]
    config = load_config(tiny, [*RANDOM, *overrides])
    found = train(config, tmp_path / "run", report=Reporter(quiet=True))
    assert "teacher" not in found
    assert found["student"]["test"]["mean"] > found["mlp"]["test"]["mean"] + 0.1
