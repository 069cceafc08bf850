"""`benchmark propagate` and `benchmark spmm`: ours against sparse libraries.

X^(0) to X^(P) under mean pooling, and one product with the normalised adjacency alone.
"""

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._dgl import dgl
from ..data import NodeDataset
from ..graph import CSRGraph
from ..ops import propagate, spmm
from ..ops.propagate import inverse_sqrt_degree
from .harness import Contender, Row

Hop = Callable[[Any], Any]


def contenders(dataset: NodeDataset, hops: int | None, device: torch.device) -> list[Contender]:
    """Of so many hops and pooling, or of one product where `hops` is None."""
    csr, x = dataset.csr.to(device), dataset.dense_features().to(device)
    moved, product = (hops or 1) * edge_bytes(csr, x.shape[1]), infgrand_hop(csr)

    def ours() -> Tensor:
        if hops is None:
            return product(x)
        return propagate(csr, x, hops=hops, pooling="mean", self_loop_weight=1.0)

    reference = ours()

    def describe(found: Any, seconds: float) -> Row:
        found = found if isinstance(found, Tensor) else torch.as_tensor(found, device=device)
        return {
            "gigabytes_per_second": moved / seconds / 1e9,
            "max_abs_difference": float((found - reference).abs().max()),
        }

    def with_hop(hop: Hop, start: Any = x) -> Callable[[], Any]:
        if hops is None:
            return lambda: hop(start)

        def run() -> Any:
            pooled = xk = start
            for _ in range(hops):
                xk = hop(xk)
                pooled = pooled + xk
            return pooled / (hops + 1)

        return run

    found = [
        Contender("infgrand", ours, describe),
        Contender("torch_csr", with_hop(torch_hop(csr, x.dtype)), describe),
    ]
    if device.type == "cpu":
        found.append(Contender("dgl", with_hop(dgl_hop(csr)), describe))
        found.append(Contender("scipy", with_hop(scipy_hop(csr), x.numpy()), describe))
    elif importlib.util.find_spec("cupy"):
        import cupy

        start = cupy.from_dlpack(x)
        found.append(Contender("cupy", with_hop(cupy_hop(csr), start), describe))
    if device.type == "cuda" and importlib.util.find_spec("torch_geometric"):
        found.append(Contender("pyg", with_hop(pyg_hop(csr)), describe))
    return found


def roofs(dataset: NodeDataset, hops: int, bandwidth: float) -> Row:
    """Seconds of `hops` hops at the copy bandwidth, with every reuse and with none."""
    width, csr = dataset.num_features, dataset.csr
    ids = 4 * csr.num_edges + 8 * csr.num_rows
    once = 2 * 4 * width * csr.num_rows + ids
    return {
        "copy_gigabytes_per_second": bandwidth / 1e9,
        "roof_rows_read_once_seconds": hops * once / bandwidth,
        "roof_every_edge_read_seconds": hops * edge_bytes(csr, width) / bandwidth,
    }


def edge_bytes(csr: CSRGraph, width: int) -> int:
    """Bytes of one hop in float32 without any reuse: a row per edge, the result, the CSR."""
    return 4 * width * (csr.num_edges + csr.num_rows) + 4 * csr.num_edges + 8 * csr.num_rows


# One hop of each library, on the normalised adjacency as it likes to have it.


def infgrand_hop(csr: CSRGraph) -> Hop:
    scale = inverse_sqrt_degree(csr, 1.0, torch.float32)
    return lambda x: spmm(csr, x, scale, scale)


def edge_values(csr: CSRGraph, dtype: torch.dtype = torch.float32) -> Tensor:
    scale = inverse_sqrt_degree(csr, 1.0, dtype)
    return torch.repeat_interleave(scale, csr.row_lengths) * scale[csr.indices.long()]


def torch_hop(csr: CSRGraph, dtype: torch.dtype) -> Hop:
    shape = (csr.num_rows, csr.num_cols)
    parts = (csr.indptr, csr.indices.long(), edge_values(csr, dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch's CSR is in beta
        A = torch.sparse_csr_tensor(*parts, shape, check_invariants=False)
    return lambda x: A @ x


def dgl_hop(csr: CSRGraph) -> Hop:
    graph, scale = csr.to_dgl(), inverse_sqrt_degree(csr, 1.0, torch.float32)[:, None]

    def hop(x: Tensor) -> Tensor:
        with graph.local_scope():
            graph.ndata["h"] = scale * x
            graph.update_all(dgl.function.copy_u("h", "m"), dgl.function.sum("m", "h"))
            return scale * graph.ndata["h"]

    return hop


def scipy_hop(csr: CSRGraph) -> Hop:
    import scipy.sparse as sp

    parts = (edge_values(csr).numpy(), csr.indices.numpy(), csr.indptr.numpy())
    A = sp.csr_matrix(parts, shape=(csr.num_rows, csr.num_cols))
    return lambda x: A @ x


def cupy_hop(csr: CSRGraph) -> Hop:
    import cupy
    from cupyx.scipy.sparse import csr_matrix

    parts = [cupy.from_dlpack(t) for t in (edge_values(csr), csr.indices, csr.indptr.int())]
    A = csr_matrix(tuple(parts), shape=(csr.num_rows, csr.num_cols))
    return lambda x: A @ x


def pyg_hop(csr: CSRGraph) -> Hop:
    from torch_geometric.nn import MessagePassing

    target = torch.repeat_interleave(csr.row_lengths)
    edges, values = torch.stack([csr.indices.long(), target]), edge_values(csr)[:, None]

    class Hop_(MessagePassing):  # noqa: N801
        def message(self, x_j: Tensor, w: Tensor) -> Tensor:
            return w * x_j

    layer = Hop_(aggr="add")
    return lambda x: layer.propagate(edges, x=x, w=values)
