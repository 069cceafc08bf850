"""How matrices are multiplied: float32 as such, by tensor cores in tf32, or in bfloat16."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from ..config.fields import Precision


def forward_in(
    precision: Precision, model: Callable[..., Any], device: torch.device
) -> Callable[..., Any]:
    """The model's forward with its products in a precision (`train.precision`); float32 results.

    bfloat16 is autocast: weights and losses stay float32.
    """
    # No cache: a CUDA graph must not find casts in it that were made outside.
    reduced = precision == "bfloat16"
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=reduced, cache_enabled=False)

    def forward(*given: Any, **options: Any) -> Any:
        with autocast:
            found = model(*given, **options)
        return found.float() if isinstance(found, Tensor) else tuple(x.float() for x in found)

    return forward


def products_in(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """tf32: in the block a GPU multiplies float32 by tensor cores, with 10 bits of mantissa."""
    tf32 = precision == "tf32" and device.type == "cuda"
    return float32_products("high") if tf32 else nullcontext()


@contextmanager
def float32_products(how: Literal["highest", "high"]) -> Iterator[None]:
    """In the block float32 products are taken as such ("highest"), or by a GPU in tf32 ("high").

    (By torch's older interface: `fp32_precision` of its newer one leaves the older unreadable.)
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(how)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
