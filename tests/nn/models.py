"""Small teachers on small graphs, on one backend or on both."""

from typing import Any, get_args

import torch

from infgrand_dgl.config.schema import TeacherConfig
from infgrand_dgl.nn.gnn import Backend
from infgrand_dgl.training.teacher import build_teacher
from tests.conftest import random_undirected

BACKENDS = get_args(Backend)

# Settings of what is around the convolutions.
AROUND: list[dict[str, Any]] = [
    {},
    {"norm": "layer", "residual": True},
    {"norm": "batch", "jumping_knowledge": "sum"},
    {"residual": True, "jumping_knowledge": "max", "input_dropout": 0.3},
]


def setup(model, layers=2, **options):
    csr = random_undirected(30, 60)
    config = TeacherConfig(model=model, layers=layers, hidden=8, dropout=0.4, heads=2, **options)
    return csr, build_teacher(config, 5, 3).eval(), torch.randn(30, 5)


def both(model, in_features, *, training=False, device="cpu", **options):
    """The same model on either backend."""
    options = {"layers": 3, "hidden": 16, "heads": 2, "dropout": 0.0, "attention_dropout": 0.0} | (
        options
    )
    found = []
    for backend in BACKENDS:
        config = TeacherConfig(model=model, backend=backend, **options)
        torch.manual_seed(3)
        found.append(build_teacher(config, in_features, 5).train(training))
    one, other = found
    assert (one.backend, other.backend) == ("dgl", "native")
    state = other.state_dict()
    assert list(state) == list(one.state_dict())
    # Bit for bit: the same seed initialises both alike.
    assert all(torch.equal(value, state[key]) for key, value in one.state_dict().items())
    for p in one.parameters():
        torch.nn.init.normal_(p, std=0.5)  # biases are born as zeros
    other.load_state_dict(one.state_dict())
    return one, other.to(device)
