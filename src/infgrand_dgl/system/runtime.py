"""What a computation runs in: device, budget, scratch folder, processes, progress."""

import torch

from ..errors import InputError


def resolve_device(name: str) -> torch.device:
    """The device of a name; "auto" is the GPU where torch has one.

    Raises:
        InputError: "cuda" without one.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        why = "this torch has no CUDA" if torch.version.cuda is None else "torch finds no GPU"
        raise InputError(f"train.device: cuda is not available ({why}); use cpu or auto")
    return torch.device(name)
