"""The rows of a graph too large for memory: edges sorted bucket by bucket, by way of the disk."""

import shutil
from collections.abc import Callable, Iterable

import numpy as np

from ..graph.csr import distinct, rows_of_keys
from ..present.console import Reporter
from .store import Store

CHUNK_EDGES = 1 << 22  # at a time
BUCKET_ENTRIES = 1 << 25  # that are sorted at once: 270 MB, of which copies are made


def write_rows(
    chunks: Callable[[int, Callable[[int], None]], Iterable[np.ndarray]],
    num_nodes: int,
    num_edges: int,
    store: Store,
    report: Reporter,
) -> int:
    """Writes `indptr` and `indices` of the paper's graph.

    Args:
        chunks: (size, progress) to keys low·N + high in parts of that size at most; `progress` is
            called with the number of edges done. Edges may be repeated.
        num_edges: about how many edges there are, one direction.

    Returns:
        E, both directions and a self-loop per node.
    """
    folder = store.folder / "buckets"
    folder.mkdir()
    count = 2 * num_edges // BUCKET_ENTRIES + 1
    bounds = np.linspace(0, num_nodes, count + 1).astype(np.int64)
    paths = [folder / str(k) for k in range(count)]
    with report.timed("edges", num_edges) as bar:
        for keys in chunks(CHUNK_EDGES, bar.update):
            low, high = np.divmod(keys, num_nodes)
            both = np.concatenate([keys, high * num_nodes + low])
            both.sort()
            cuts = np.searchsorted(both, bounds * num_nodes)
            for path, start, stop in zip(paths, cuts, cuts[1:], strict=False):
                with path.open("ab") as file:
                    file.write(both[start:stop].data)
    total = 0
    with (
        report.timed("rows", count) as bar,
        store.array("indptr", "int64", num_nodes + 1) as indptr,
        store.array("indices", "int32") as indices,
    ):
        indptr.append(np.zeros(1, dtype=np.int64))
        for k, (path, first, last) in enumerate(zip(paths, bounds, bounds[1:], strict=False)):
            loops = np.arange(first, last) * (num_nodes + 1)
            keys = distinct(np.concatenate([np.fromfile(path, dtype=np.int64), loops]))
            path.unlink()
            pointers, columns = rows_of_keys(keys, first, last, num_nodes)
            indptr.append(pointers[1:] + total)
            indices.append(columns)
            total += len(columns)
            bar.update(k + 1)
    shutil.rmtree(folder)
    return total
