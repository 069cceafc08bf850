"""A student without its graph: kept in one file, loaded, asked."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .errors import InputError
from .nn.mlp import MLP
from .system.reading import reading
from .system.writing import writing


def save_weights(path: Path, model: nn.Module) -> None:
    """The state_dict; an MLP's shape rides along as JSON, so that its file is complete."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    metadata = {"mlp": json.dumps(model.shape)} if isinstance(model, MLP) else None
    with writing(path) as partial:
        save_file(tensors, partial, metadata=metadata)


def load_student(path: Path) -> MLP:
    """An MLP in eval mode from the one file that `train` wrote."""
    with reading(path, "a student written by train"):
        with safe_open(path, framework="pt") as file:
            shape = json.loads((file.metadata() or {})["mlp"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = MLP(**shape)
        model.load_state_dict(weights)
    return model.eval()


@torch.inference_mode()
def predict(model: MLP, inputs: np.ndarray, batch: int = 1 << 16) -> Tensor:
    """float32 probabilities `[n, C]`: the MLP alone on propagated features `[n, D]`."""
    width = model.shape["in_features"]
    if inputs.ndim != 2 or inputs.shape[1] != width or inputs.dtype.kind != "f":
        found = f"{inputs.dtype} {list(inputs.shape)}"
        raise InputError(f"propagated: expected floating point [n, {width}], found {found}")
    parts = []
    for start in range(0, len(inputs), batch):
        x = torch.from_numpy(np.array(inputs[start : start + batch], dtype=np.float32))
        if not x.isfinite().all():
            row = start + int((~x.isfinite()).any(dim=1).nonzero()[0])
            raise InputError(f"propagated: expected finite numbers, found others in row {row}")
        parts.append(model(x).softmax(dim=1))
    return torch.cat(parts) if parts else torch.empty(0, model.shape["classes"])
