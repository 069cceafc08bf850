"""A run's student, asked about nodes that files name: rows come and answers go block by block."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.streams import stream_ids, stream_numbers
from ..data.text_tables import is_table
from ..errors import InputError
from ..serving import expected_inputs, load_task, predict
from ..system.arrays import release, together
from .directory import RunDirectory

log = logging.getLogger(__name__)
Answers = Iterator[tuple[np.ndarray, Tensor]]  # ids, int64 `[b]`, and as of `predict` `[b, C]`
Numbered = Iterator[tuple[np.ndarray, np.ndarray]]


def of_stored(
    run: RunDirectory,
    seed: int,
    *,
    propagated: Path | None = None,
    nodes: Path | None = None,
    calibrated: bool = False,
) -> Answers:
    """Of propagated features, without a graph.

    Args:
        propagated: `[n, width]`, as of `stream_numbers`; None: the run's.
        nodes: ids whose rows of the run are wanted, as of `stream_ids`; None: all.

    Raises:
        InputError: as of these; no such seed, or no temperature.
    """
    student, task = run.student(seed), load_task(run.weights(seed, "student"))
    temperature = run.temperature(seed) if calibrated else 1.0
    width = student.shape["in_features"]
    if nodes is None:
        path = propagated or run.array("propagated.npy", seed)
        for ids, x in _numbered(stream_numbers(path, width, expected_inputs(student))):
            yield ids, predict(student, x, task, temperature=temperature)
        return
    inputs = run.propagated(seed)
    for ids in stream_ids(nodes, len(inputs), together(width), run.ids):
        yield ids, predict(student, inputs[ids], task, temperature=temperature)
        release(inputs)


def of_joining(
    run: RunDirectory,
    seed: int,
    features: Path,
    *,
    nodes: Path | None = None,
    edges: Path | None = None,
    cached: bool = False,
    calibrated: bool = False,
) -> Answers:
    """Of new nodes, or of known ones whose features are others; loads the dataset.

    New nodes that come without edges are read block by block, the others at once, as sparse
    matrices and folders of Parquet are.

    Args:
        features: numbers `[n, D]` as of `read_features`.
        nodes: ids of known nodes; None: they are new, N to N + n - 1.
        edges: of new nodes, as of `read_edges`.
        cached: as of `Predictor.new`.

    Raises:
        InputError: as of `Predictor`; files that do not fit.
    """
    from .predictor import Predictor  # and DGL

    predictor = Predictor(run, seed, calibrated=calibrated)
    N, D = predictor.num_nodes, predictor.num_features
    if (is_table(features) or features.suffix.lower() == ".npy") and not features.is_dir():
        blocks = stream_numbers(features, D, f"numbers [n, {D}]", "fiub")
        if nodes is None and edges is None:
            rows = _numbered(blocks, N)
            return ((ids, torch.from_numpy(predictor.new(x, cached=cached))) for ids, x in rows)
        x = np.concatenate([np.empty((0, D), np.float32), *blocks])
    else:
        from ..data.feature_files import read_features

        x, found = read_features(features)
        if found is not None:
            raise InputError(f"{features}: expected no column of ids, found one")
    if nodes is not None:
        ids = np.concatenate([np.empty(0, np.int64), *stream_ids(nodes, N, N, run.ids)])
        said = predictor.changed(ids, x)
    else:
        n = x.shape[0]
        ids = np.arange(N, N + n)
        ends, weights = (None, None) if edges is None else _edges(edges, N, n)
        weighted = predictor.graph.dataset.csr.weights is not None
        if weighted and edges is not None and weights is None:
            log.warning("--edges %s has no weights: each edge weighs 1", edges)
        try:
            said = predictor.new(x, ends, weights, cached=cached)
        except InputError as error:
            if not str(error).startswith(("edges:", "weights:")):
                raise
            raise InputError(f"{edges}: {error}") from None
    return iter([(ids, torch.from_numpy(said))])


def _edges(path: Path, N: int, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Of n new nodes: ids `[m, 2]`, and weights where the file has some."""
    from ..data.edge_lists import in_range
    from ..data.edits import read_pairs

    listed = read_pairs(path, "--edges")
    return in_range(listed, N + n, f"new ones from {N}"), listed.weights


def _numbered(blocks: Iterator[np.ndarray], first: int = 0) -> Numbered:
    """With ids from `first` on."""
    for x in blocks:
        yield np.arange(first, first + len(x)), x
        first += len(x)
