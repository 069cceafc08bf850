"""Rows of X^(0) to X^(P), side by side: what some students read of a node."""

from typing import Any

from ..errors import InputError


def hop_width(shape: dict[str, Any]) -> int:
    """D, of a student's shape whose inputs are `[n, (P + 1) D]`.

    Raises:
        InputError: it says no `hops`, or they do not fit its `in_features`.
    """
    width, hops = shape["in_features"], shape.get("hops")
    if hops is None or hops < 0 or width % (hops + 1):
        raise InputError(f"in_features: expected a multiple of hops + 1; found {width}, {hops=}")
    return int(width) // (int(hops) + 1)
