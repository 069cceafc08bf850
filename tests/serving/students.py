"""Students of every kind, and what says of them."""

from typing import Any

import torch

from infgrand_dgl.nn.mlp import MLP
from infgrand_dgl.nn.students import build
from infgrand_dgl.serving.specification import Inputs, Specification

SHAPES: dict[str, dict[str, Any]] = {
    "linear": {"layers": 1},
    "mlp": {"norm": "batch", "kept": 0.5},
    "units": {"units": True, "layers": 3},
    "sign": {"model": "sign", "hops": 2, "norm": "layer"},
    "gamlp": {"model": "gamlp", "hops": 2},
}
WIDTH, OUTPUTS = 60, 7


def student(kind: str) -> MLP:
    """In eval mode, none of its numbers as it was made."""
    shape = {"in_features": WIDTH, "hidden": 16, "classes": OUTPUTS, "layers": 2, "norm": "none"}
    made = build(shape | SHAPES[kind]).eval()
    for name, values in made.state_dict().items():
        if name.endswith(("running_mean", "shift")):
            values.normal_()
        if name.endswith(("running_var", "scale")):
            values.uniform_(0.5, 2)
    if made.units is not None:  # of numbers that float16 does not have
        made.units.scale.mul_(1e6)
    return made


def specification(kind: str, made: MLP, **changes: Any) -> Specification:
    inputs = Inputs(
        width=WIDTH,
        features=WIDTH,
        hops=2,
        pooling="mean",
        self_loop_weight=1.0,
        row_normalize=True,
        standardize=False,
        sha256="0" * 64,
    )
    said: dict[str, Any] = {
        "name": "a-graph",
        "made_by": "infgrand-dgl 0.1.0",
        "dataset": "a graph",
        "method": "infgrand",
        "seed": 3,
        "task": "regression" if kind == "units" else "classification",
        "outputs": OUTPUTS,
        "classes": ["Ä", 'a "b"', "line\nbreak", "\\", "😀", "e", "f"],
        "dtype": "float32",
        "student": made.shape,
        "inputs": inputs,
    }
    return Specification(**(said | changes))


def rows(n: int) -> torch.Tensor:
    return torch.randn(n, WIDTH)
