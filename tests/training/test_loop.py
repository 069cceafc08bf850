import pytest
import torch

from infgrand_dgl import InputError
from infgrand_dgl.training.loop import Task, fit, seed_everything


def run(val, patience=3, loss=lambda w: w.square().sum()):
    """Trains one weight while validation follows `val`; returns the weight after each epoch."""
    model = torch.nn.Linear(1, 1, bias=False)
    seen, weights = [], []

    def evaluate():
        weights.append(model.weight.item())
        return torch.tensor(val[len(weights) - 1], dtype=torch.float64)

    fit(
        model,
        Task(
            lambda epoch: ({"loss": loss(model.weight), "part": model.weight.sum()} for _ in "a"),
            evaluate,
        ),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        epochs=len(val),
        patience=patience,
        on_epoch=lambda epoch, values: seen.append((epoch, values)),
    )
    return model, weights, seen


def test_best_weights_are_kept_and_a_tie_counts_as_better():
    model, weights, seen = run([0.1, 0.5, 0.4, 0.5, 0.2], patience=10)
    assert model.weight.item() == weights[3]
    assert not model.training
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4, 5]
    assert seen[2][1]["val_accuracy"] == 0.4 and {"loss", "part"} <= set(seen[0][1])


def test_patience_counts_epochs_since_the_best():
    model, weights, seen = run([0.5, 0.4, 0.4, 0.4, 0.9], patience=3)
    assert len(seen) == 4 and model.weight.item() == weights[0]
    _, _, seen = run([0.5, 0.4, 0.5, 0.4, 0.4, 0.4, 0.9], patience=3)
    assert len(seen) == 6


def test_divergence_is_told():
    with pytest.raises(InputError, match="training diverged in epoch 1: the loss is nan"):
        run([0.5], loss=lambda w: (w * torch.nan).sum())
    with pytest.raises(InputError, match="diverged in epoch 2: validation accuracy is nan"):
        run([0.5, torch.nan, 0.6])
    with pytest.raises(InputError, match="diverged in epoch 1: validation accuracy is nan"):
        run([torch.nan])


def test_seeding():
    draws = []
    for _ in range(2):
        seed_everything(5)
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


def test_every_batch_is_a_step_and_their_mean_loss_is_recorded():
    model, seen = torch.nn.Linear(1, 1, bias=False), []
    start = model.weight.item()

    def steps(epoch):
        for factor in (1.0, 2.0, 6.0):
            yield {"loss": factor * epoch * model.weight.sum(), "part": torch.tensor(factor)}

    fit(
        model,
        Task(steps, lambda: torch.tensor(1.0)),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        epochs=2,
        patience=3,
        on_epoch=lambda epoch, values: seen.append(values),
    )
    assert model.weight.item() == pytest.approx(start - 0.1 * 9 * (1 + 2), abs=1e-5)
    assert seen[0]["part"] == pytest.approx(3)
    expected = (start + 2 * (start - 0.1) + 6 * (start - 0.3)) / 3
    assert seen[0]["loss"] == pytest.approx(expected, abs=1e-5)
