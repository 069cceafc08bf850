"""`benchmark propagate` and `benchmark spmm`: ours against sparse libraries.

X^(0) to X^(P) under mean pooling, and one product with the normalised adjacency alone.
"""

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..data import NodeDataset
from ..graph.csr import CSRGraph
from ..graph.dgl_bridge import dgl
from ..ops import propagate, spmm
from ..ops.propagate import inverse_sqrt_degree
from . import cusparse, teachers
from .harness import Contender, Row

Hop = Callable[[Any], Any]
Make = Callable[[], Hop]


def contenders(
    dataset: NodeDataset, hops: int | None, device: torch.device, roof: float
) -> list[Contender]:
    """Of so many hops and pooling, or of one product where `hops` is None.

    Args:
        roof: seconds in which the memory could deliver every row once.
    """
    csr, x = dataset.csr.to(device), dataset.dense_features().to(device)
    return over(csr, x, hops, device, roof)


def over(
    csr: CSRGraph, x: Tensor, hops: int | None, device: torch.device, roof: float
) -> list[Contender]:
    """Those that run on a kind of device."""
    moved = (hops or 1) * edge_bytes(csr, x.shape[1])

    def ours() -> Callable[[], Tensor]:
        if hops is None:
            return partial(infgrand_hop(csr), x)
        return partial(propagate, csr, x, hops=hops, pooling="mean", self_loop_weight=1.0)

    reference = ours()()

    def describe(found: Any) -> Row:
        found = found if isinstance(found, Tensor) else torch.as_tensor(found, device=x.device)
        return {"max_abs_difference": float((found - reference).abs().max())}

    def rates(seconds: float) -> Row:
        return {"gigabytes_per_second": moved / seconds / 1e9, "roof_share": roof / seconds}

    def with_hop(hop: Hop, start: Any) -> Callable[[], Any]:
        if hops is None:
            return lambda: hop(start)

        def run() -> Any:
            pooled = xk = start
            for _ in range(hops):
                xk = hop(xk)
                pooled = pooled + xk
            return pooled / (hops + 1)

        return run

    E, N, dense = csr.num_edges, csr.num_rows, 4 * x.numel()
    short_ids = 4 * N + 4 * E  # row pointers as int32, and the values

    def peer(
        method: str,
        make: Make,
        holds: int,
        dense_matrices: int = 0,
        per_call: int = 0,
        missing: str = "",
        start: Callable[[], Any] = lambda: x,
    ) -> Contender:
        """`holds`: of its adjacency; in a call some matrices like x, beside result and sum."""
        call = (dense_matrices + (1 if hops is None else 4)) * dense + per_call
        return Contender(
            method,
            lambda: with_hop(make(), start()),
            describe,
            rates,
            needs=holds + max(call, 16 * E),  # `edge_values` on the way
            holds=holds,
            missing=missing,
        )

    dgl_missing = teachers.missing("dgl", device)
    found = [
        Contender("infgrand", ours, describe, rates, needs=(1 if hops is None else 3) * dense),
        peer("torch_csr", partial(torch_hop, csr, torch.int64), 12 * E),
        peer("dgl", partial(dgl_hop, csr), 16 * E + 16 * N, 2, missing=dgl_missing),
    ]
    if device.type == "cpu":
        return [*found, peer("scipy", partial(scipy_hop, csr), short_ids, start=x.numpy)]
    too_long = "" if E < 2**31 else "its ids are int32"
    found.append(
        peer("torch_csr_int32", partial(torch_hop, csr, torch.int32), short_ids, missing=too_long)
    )
    absent = "" if cusparse.loaded() else "torch has loaded no libcusparse"
    found += [
        peer(method, partial(cusparse_hop, csr, x.shape[1], number), short_ids, missing=absent)
        for method, number in cusparse.ALGORITHMS.items()
    ]
    return [
        *found,
        # It copies x into columns, and the result is so, too.
        peer("cupy", partial(cupy_hop, csr), short_ids, 1, missing=too_long or _absent("cupy"),
             start=lambda: importlib.import_module("cupy").from_dlpack(x)),
        # A row of x and a message for every edge.
        peer("pyg", partial(pyg_hop, csr), 20 * E, per_call=2 * 4 * E * x.shape[1],
             missing=_absent("torch_geometric")),
    ]  # fmt: skip


def _absent(package: str) -> str:
    return "" if importlib.util.find_spec(package) else f"{package} is not installed"


def with_hub(dataset: NodeDataset, neighbours: int) -> NodeDataset:
    """Node 0 joined to as many others, if there are so many: one row that is very long."""
    csr = dataset.csr
    others = torch.arange(1, min(neighbours, csr.num_rows - 1) + 1)
    rows = torch.cat([torch.repeat_interleave(csr.row_lengths), torch.zeros_like(others)])
    columns = torch.cat([csr.indices.long(), others])
    longer = CSRGraph.from_edges(rows.numpy(), columns.numpy(), csr.num_rows)
    return replace(dataset, csr=longer)


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


def edge_values(csr: CSRGraph) -> Tensor:
    scale = inverse_sqrt_degree(csr, 1.0, torch.float32)
    return torch.repeat_interleave(scale, csr.row_lengths).mul_(scale.index_select(0, csr.indices))


def torch_hop(csr: CSRGraph, ids: torch.dtype) -> Hop:
    """By cuSPARSE on a GPU, which torch sets up anew for every product."""
    shape = (csr.num_rows, csr.num_cols)
    parts = (csr.indptr.to(ids), csr.indices.to(ids), edge_values(csr))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch's CSR is in beta
        A = torch.sparse_csr_tensor(*parts, shape, check_invariants=False)
    return lambda x: A @ x


def cusparse_hop(csr: CSRGraph, width: int, algorithm: int) -> Hop:
    """By cuSPARSE, set up once."""
    library = cusparse.with_prototypes(cusparse.loaded())
    stream = torch.cuda.current_stream(csr.indptr.device).cuda_stream
    return cusparse.Product(library, csr, edge_values(csr), width, algorithm, stream)


def dgl_hop(csr: CSRGraph) -> Hop:
    graph = csr.to_dgl().to(csr.indptr.device)
    scale = inverse_sqrt_degree(csr, 1.0, torch.float32)[:, None]

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
