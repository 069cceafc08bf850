"""The only place that imports DGL, which `dgl_ready` has prepared.

It is imported where something of DGL's is made: half a second that most commands need not spend.
"""

import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch

from .dgl_ready import has_graphbolt, prepare

_HERE = "dgl" not in sys.modules  # and nobody has seeded it
if importlib.util.find_spec("dgl") is None:
    raise ImportError("DGL is not installed; `pip install dgl==2.1.0` installs it")
prepare()
with warnings.catch_warnings():
    # Of DGL's docstrings, wherever it is compiled anew; an error under `python -W error`.
    warnings.filterwarnings("ignore", "invalid escape sequence")
    import dgl

GRAPHBOLT = has_graphbolt()
DGLGraph: TypeAlias = dgl.DGLGraph


def has_cuda() -> bool:
    """Whether this DGL can hold a graph on the GPU (PyPI's wheels cannot)."""
    if not torch.cuda.is_available():
        return False
    try:
        dgl.graph(([0], [0])).to("cuda")
    except dgl.DGLError:
        return False
    return True


def seed(value: int) -> None:
    """Seeds DGL's own random numbers (neighbour sampling)."""
    dgl.seed(value)


@contextmanager
def one_thread() -> Iterator[None]:
    """In the block, DGL works on one thread of this process, and so gives the same for a seed.

    On several, the nodes of a sampled block come in any order. Not to be left open around work
    of torch, whose threads these are too.
    """
    threads = dgl.utils.get_num_threads()
    dgl.utils.set_num_threads(1)
    try:
        yield
    finally:
        dgl.utils.set_num_threads(threads)


def homogeneous(graph: Any) -> bool:
    """One node type and one edge type; a block tells its sources from its targets."""
    return len(graph.etypes) == 1 and (graph.is_block or len(graph.ntypes) == 1)


# DGL adds to a seed the number of the thread, counted by who draws first: here that is this one.
if _HERE:
    with one_thread():
        seed(0)
