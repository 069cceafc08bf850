"""Positions of nodes beside their features (NOSMOG: Tian et al., ICLR 2023, section 3.2)."""

from pathlib import Path

import torch
from torch import Tensor

from ..config.schema import Config
from ..data.dataset import NodeDataset
from ..ops import spmm
from ..system.arrays import blocks, is_mapped, map_array, new_array
from ..system.runtime import Runtime
from ..system.writing import save_array, writing
from .deepwalk import DeepWalk

READ = {"dimension", "walk_length", "walks", "window", "iterations"}  # of the section `nosmog`
ROWS = 1 << 16  # that are written together


def positions(
    config: Config, dataset: NodeDataset, seed: int, out: Path | None, runtime: Runtime
) -> Tensor:
    """DeepWalk's of the graph that training sees, float32 `[N, nosmog.dimension]`, on the CPU.

    A node that is hidden from it gets the mean of its observed neighbours' positions, by the
    weights of edges that have some; zeros where it has none, as an observed node without edges.

    Args:
        out: a .npy file that they are written to; None: none.

    Raises:
        InputError: there is too little memory for them.

    Of several processes the first one finds them.
    """
    ranks, found = runtime.ranks, torch.empty(0)
    with ranks.together():
        if ranks.first:
            found = _found(config, dataset, seed, runtime)
            if out is not None:
                save_array(out, found)
    if out is None:
        return ranks.tell(found)
    return found if ranks.first else map_array(out)


def _found(config: Config, dataset: NodeDataset, seed: int, runtime: Runtime) -> Tensor:
    walked = DeepWalk(**config.nosmog.model_dump(include=READ))
    view, observed = dataset.observed_view(), dataset.parts.observed
    found = walked.of(view.csr, seed, runtime)
    if observed is None:
        return found
    out, seen = torch.zeros(dataset.num_nodes, walked.dimension), torch.zeros(dataset.num_nodes, 1)
    out[observed], seen[observed] = found, 1
    means = spmm(dataset.csr, out) / spmm(dataset.csr, seen).clamp(min=1e-30)
    return torch.where(seen > 0, out, means)


def without_positions(x: Tensor, config: Config) -> Tensor:
    """The inputs of nodes that come without edges, `[n, D + d]`: their positions are 0."""
    return torch.cat([x, x.new_zeros(len(x), config.nosmog.dimension)], dim=1)


def beside(x: Tensor, positions: Tensor, runtime: Runtime, out: Path | None = None) -> Tensor:
    """Features, `[N, D]` dense, and positions, `[N, d]`: `[N, D + d]` of the features' dtype.

    Args:
        out: a .npy file. Where the result does not fit in memory, or the features are mapped, the
            first process writes it there, and it is returned mapped; otherwise nothing is written.

    Raises:
        InputError: it does not fit in memory, and there is no file.
    """
    N, D = x.shape
    size, device = N * (D + positions.shape[1]) * x.element_size(), x.device
    host, gpu = (size, 0) if device.type == "cpu" else (0, size)
    if out is None or (not is_mapped(x) and runtime.budget.fits(host, gpu)):
        runtime.budget.require(f"hold the inputs of {N:,} nodes", host, gpu)
        return torch.cat([x, positions.to(device, x.dtype)], dim=1)
    with runtime.ranks.together():
        if runtime.ranks.first:
            with writing(out) as partial:
                made = new_array(partial, (N, D + positions.shape[1]), x.dtype)
                for rows, part in blocks(x, ROWS):
                    made[rows] = torch.cat([part.cpu(), positions[rows].to(x.dtype)], dim=1)
    return map_array(out)
