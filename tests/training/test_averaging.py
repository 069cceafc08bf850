"""The average of weights over steps, against the sum that defines it."""

import numpy as np
import pytest
import torch

from infgrand_dgl.config.reading import load_config
from infgrand_dgl.data import load_dataset
from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.system.runtime import Runtime
from infgrand_dgl.training.averaging import Average
from infgrand_dgl.training.student import train_student

HERE = Runtime.on("cpu")


@pytest.mark.parametrize("beta", [0.3, 0.95])
def test_the_weighted_mean_of_all_steps(beta, device):
    model = MLP(4, 3, 2, layers=2).to(device)
    keys = [*model.state_dict()]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    average, seen = Average(model, optimizer, beta), []
    for _ in range(6):
        optimizer.zero_grad()
        model(torch.randn(5, 4, device=device)).square().sum().backward()
        optimizer.step()
        seen.append([w.detach().cpu().double().numpy().copy() for w in model.parameters()])
        share = beta ** np.arange(len(seen))[::-1]
        with average.in_place():
            found = [w.detach().cpu().double().numpy().copy() for w in model.parameters()]
        for ours, *steps in zip(found, *seen, strict=True):
            np.testing.assert_allclose(ours, np.average(steps, axis=0, weights=share), rtol=1e-4)
        for own, last in zip(model.parameters(), seen[-1], strict=True):
            assert np.array_equal(own.detach().cpu().double().numpy(), last)
    average.leave(model)
    assert [*model.state_dict()] == keys
    model(torch.randn(5, 4, device=device)).sum().backward()
    optimizer.step()  # nothing is taken in any more
    assert float(average.get_buffer("total")) == pytest.approx(
        sum(beta**k for k in range(6)), rel=1e-5
    )


def student(tiny, *overrides):
    config = load_config(tiny, ["method=mlp", "train.epochs=12", "student.dropout=0.5", *overrides])
    view, scores = load_dataset(config, 1), []
    x = view.dense_features()
    model = train_student(
        config, view, x, None, None, HERE, 1, lambda _, values: scores.append(values)
    )
    return model, view, x, scores


def test_the_average_is_validated_and_kept(tiny):
    model, view, x, scores = student(tiny, "student.ema=0.9")
    right = (model(x)[view.val].argmax(1) == view.labels[view.val]).double().mean()
    assert float(right) == pytest.approx(max(s["val_accuracy"] for s in scores), abs=1e-6)
    plain, *_, others = student(tiny)
    assert {*model.state_dict()} == {*plain.state_dict()}
    assert [s["loss"] for s in scores] == [s["loss"] for s in others]  # steps are the same
    assert any(
        not torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True)
    )
