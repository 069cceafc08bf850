"""The optimizer: torch's Adam to the bit, in every process that compiles nothing without torch's compiler."""

import subprocess
import sys
from copy import deepcopy

import torch

from infgrand_dgl.training.optimizer import adam

SEEN = """
import sys
from infgrand_dgl.cli import main
status = main(["train", "--config", sys.argv[1], "--out", sys.argv[2]])
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
sys.exit(status)
"""


def test_steps_and_state_are_those_of_torch(device, tiny_config):
    settings = tiny_config.replace("teacher", lr=0.03, weight_decay=0.07).teacher
    ours = torch.nn.Linear(7, 3).to(device)
    theirs = deepcopy(ours)
    optimizers = (
        adam(ours, settings),
        torch.optim.Adam(theirs.parameters(), lr=0.03, weight_decay=0.07, fused=True),
    )
    for _ in range(5):
        x = torch.randn(20, 7, device=device)
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)
    assert not ours.weight.grad_fn  # no step is recorded
    state, expected = (optimizer.state_dict() for optimizer in optimizers)
    assert state["param_groups"] == expected["param_groups"]
    for k, tensors in expected["state"].items():
        assert all(torch.equal(state["state"][k][name], value) for name, value in tensors.items())

    again = deepcopy(theirs)
    resumed = adam(again, settings)
    resumed.load_state_dict(deepcopy(expected))
    for model, optimizer in ((again, resumed), (theirs, optimizers[1])):
        model.weight.grad = torch.ones_like(model.weight)
        model.bias.grad = torch.ones_like(model.bias)
        optimizer.step()
    assert torch.equal(again.weight, theirs.weight) and torch.equal(again.bias, theirs.bias)


def test_hooks_are_called(tiny_config):
    model, called = torch.nn.Linear(2, 1), []
    optimizer = adam(model, tiny_config.teacher)
    hook = optimizer.register_step_post_hook(lambda *_: called.append(1))
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    hook.remove()
    optimizer.step()
    assert called == [1]


def test_a_training_does_not_import_torchs_compiler(tiny, tmp_path):
    run = [sys.executable, "-c", SEEN, str(tiny), str(tmp_path / "run")]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stderr
