"""What some methods need of a trained teacher beside its logits (`registry.Method.teacher`)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..config.schema import TeacherConfig
from ..data import NodeDataset
from ..errors import InputError
from ..nn.gnn import GNN
from ..system.arrays import new_array, release
from ..system.runtime import Runtime
from .sampling import mixed
from .teacher import build_teacher, logits_of

NOISE = 1  # beside the seed, so that the noise is no other drawing's


def load_teacher(
    path: Path, config: TeacherConfig, shape: tuple[int, int], device: torch.device
) -> GNN:
    """The teacher that a run keeps, in eval mode.

    Args:
        shape: numbers of features and of classes.
    """
    weights = load_file(path)
    model = build_teacher(config, *shape)
    if "units.shift" in weights:
        model.set_units(weights["units.shift"], weights["units.scale"])
    model.load_state_dict(weights)
    return model.to(device).eval()


def hidden_states(model: GNN, dataset: NodeDataset, runtime: Runtime, seed: int) -> Tensor:
    """What the last layer reads, or the head of jumping knowledge, float32 `[N, H]` on the CPU: of
    all nodes, of what each may see.

    Args:
        runtime: its device is the model's.
        seed: plays no part.

    Raises:
        InputError: the last layer is the first one, which reads the features.
    """
    if len(model.layers) == 1 and model.head is None:
        raise InputError("teacher.layers: 1: there is no hidden layer, which the method needs")
    return dataset.by_view(lambda data: logits_of(model, data, runtime, hidden=True))


def perturbed_logits(model: GNN, dataset: NodeDataset, runtime: Runtime, seed: int) -> Tensor:
    r"""Logits of $X + \epsilon$, $\epsilon \sim N(0, 1)$ by entry, float32 `[N, C]` on the CPU: of
    all nodes, of what each may see.

    Args:
        runtime: its device is the model's; features that do not fit its budget are a mapped file
            in its scratch folder.
        seed: decides the one draw.
    """

    def logits(data: NodeDataset) -> Tensor:
        noisy = replace(data, features=_noisy(data, runtime, seed))
        return logits_of(model, noisy, runtime)

    return dataset.by_view(logits)


def _noisy(data: NodeDataset, runtime: Runtime, seed: int) -> Tensor:
    """X + ε, float32 `[N, D]`."""
    shape = data.num_nodes, data.num_features
    if runtime.scratch is None or 8 * data.num_nodes * data.num_features <= runtime.budget.left():
        out = torch.empty(shape)
    else:
        path = runtime.scratch / "noisy.npy"
        out = new_array(path, shape)
        path.unlink()  # the mapping keeps it
    generator = torch.Generator().manual_seed(mixed(seed, NOISE))
    for part, rows in data.matrix.blocks():
        torch.randn(rows.shape, generator=generator, out=out[part]).add_(rows)
        release(out)
    return out


READINGS: dict[str, Callable[[GNN, NodeDataset, Runtime, int], Tensor]] = {
    "hidden": hidden_states,
    "perturbed": perturbed_logits,
}
