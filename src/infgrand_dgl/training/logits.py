"""A teacher's logits from a file, its own of an earlier run or another program's."""

from pathlib import Path

from torch import Tensor

from ..errors import InputError
from ..system.arrays import dtype_name, first_not_finite, map_array


def load_logits(path: Path, num_nodes: int, num_classes: int) -> Tensor:
    """Saved logits, `[N, C]` of a floating dtype, memory-mapped.

    Raises:
        InputError: another shape or dtype, or a row that is not finite.
    """
    logits = map_array(path)
    expected = [num_nodes, num_classes]
    if list(logits.shape) != expected or not logits.is_floating_point():
        raise InputError(
            f"{path}: expected floating-point logits of shape {expected}, "
            f"found {dtype_name(logits.dtype)} of shape {list(logits.shape)}"
        )
    if (node := first_not_finite(logits)) is not None:
        raise InputError(f"{path}: expected finite logits, but those of node {node} are not")
    return logits
