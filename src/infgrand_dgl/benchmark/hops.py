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
from ..graph.weights import WEIGHT
from ..ops import propagate, spmm
from ..ops.propagate import inverse_sqrt_degree
from . import backends, cusparse
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
    return on_device(Work(csr, x, hops, roof), device)


def on_device(work: "Work", device: torch.device) -> list[Contender]:
    """Those that run on a kind of device."""
    csr, N, E = work.csr, work.csr.num_rows, work.csr.num_edges
    no_dgl = backends.missing("dgl", device)
    everywhere = [
        work.ours(),
        work.peer("torch_csr", partial(torch_hop, csr, torch.int64), 12 * E),
        work.peer("dgl", partial(dgl_hop, csr), 16 * E + 16 * N, matrices=2, missing=no_dgl),
    ]
    others = on_cpu(work) if device.type == "cpu" else on_gpu(work)
    return [*everywhere, *others, work.ours(torch.bfloat16)]


def on_cpu(work: "Work") -> list[Contender]:
    return [
        work.peer("scipy", partial(scipy_hop, work.csr), work.short_ids, start=work.x.numpy),
    ]


def on_gpu(work: "Work") -> list[Contender]:
    csr, E, width = work.csr, work.csr.num_edges, work.x.shape[1]
    short_ids, too_long = work.short_ids, "" if E < 2**31 else "its ids are int32"
    int32 = partial(torch_hop, csr, torch.int32)
    no_library = "" if cusparse.loaded() else "torch has loaded no libcusparse"
    set_up = [
        work.peer(name, partial(cusparse_hop, csr, width, number), short_ids, missing=no_library)
        for name, number in cusparse.ALGORITHMS.items()
    ]
    cupy = work.peer(
        "cupy",
        partial(cupy_hop, csr),
        short_ids,
        matrices=1,  # it copies x into columns, and the result is so, too
        missing=too_long or _absent("cupy"),
        start=lambda: importlib.import_module("cupy").from_dlpack(work.x),
    )
    pyg = work.peer(
        "pyg",
        partial(pyg_hop, csr),
        20 * E,
        call=2 * 4 * E * width,  # a row of x and a message for every edge
        missing=_absent("torch_geometric"),
    )
    torch_int32 = work.peer("torch_csr_int32", int32, short_ids, missing=too_long)
    return [torch_int32, *set_up, cupy, pyg]


class Work:
    """Hops of one matrix, by whoever does them.

    Args:
        csr, x: the graph, and the features `[N, D]`.
        hops, roof: as of `contenders`.
    """

    def __init__(self, csr: CSRGraph, x: Tensor, hops: int | None, roof: float) -> None:
        self.csr, self.x, self.hops, self.roof = csr, x, hops, roof
        self.matrix = 4 * x.numel()  # bytes
        self.short_ids = 4 * csr.num_rows + 4 * csr.num_edges  # int32 row pointers, and the values
        self.reference = self._infgrand(x)()

    def ours(self, dtype: torch.dtype = torch.float32) -> Contender:
        """On features of that type."""
        size, plain = dtype.itemsize, dtype == torch.float32
        matrix = size * self.x.numel()
        holds = 0 if plain else matrix
        return Contender(
            "infgrand" if plain else f"infgrand_{str(dtype).removeprefix('torch.')}",
            lambda: self._infgrand(self.x.to(dtype)),
            self._describe,
            partial(self._rates, size=size),
            needs=(1 if self.hops is None else 3) * matrix + holds,
            holds=holds,
        )

    def peer(
        self,
        method: str,
        make: Make,
        holds: int,
        *,
        matrices: int = 0,
        call: int = 0,
        missing: str = "",
        start: Callable[[], Any] | None = None,
    ) -> Contender:
        """A library that has a hop.

        Args:
            make: its hop, on its adjacency, which takes `holds` bytes.
            matrices: like x, that a call holds beside result and sum.
            call: more bytes that a call holds.
            start: x as the library likes to have it.
        """
        call += (matrices + (1 if self.hops is None else 4)) * self.matrix
        return Contender(
            method,
            lambda: self._repeated(make(), self.x if start is None else start()),
            self._describe,
            self._rates,
            needs=holds + max(call, 16 * self.csr.num_edges),  # `edge_values` on the way
            holds=holds,
            missing=missing,
        )

    def _infgrand(self, x: Tensor) -> Callable[[], Tensor]:
        if self.hops is None:
            return partial(infgrand_hop(self.csr), x)
        return partial(propagate, self.csr, x, hops=self.hops, pooling="mean", self_loop_weight=1.0)

    def _repeated(self, hop: Hop, x: Any) -> Callable[[], Any]:
        hops = self.hops
        if hops is None:
            return lambda: hop(x)

        def run() -> Any:
            pooled = xk = x
            for _ in range(hops):
                xk = hop(xk)
                pooled = pooled + xk
            return pooled / (hops + 1)

        return run

    def _describe(self, result: Any) -> Row:
        device = self.x.device
        y = result if isinstance(result, Tensor) else torch.as_tensor(result, device=device)
        return {"max_abs_difference": float((y - self.reference).abs().max())}

    def _rates(self, seconds: float, size: int = 4) -> Row:
        csr, width = self.csr, self.x.shape[1]
        moved = (self.hops or 1) * edge_bytes(csr, width, size)
        roof = self.roof * once_bytes(csr, width, size) / once_bytes(csr, width)
        return {"gigabytes_per_second": moved / seconds / 1e9, "roof_share": roof / seconds}


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
    return {
        "copy_gigabytes_per_second": bandwidth / 1e9,
        "roof_rows_read_once_seconds": hops * once_bytes(csr, width) / bandwidth,
        "roof_every_edge_read_seconds": hops * edge_bytes(csr, width) / bandwidth,
    }


def once_bytes(csr: CSRGraph, width: int, size: int = 4) -> int:
    """Bytes of one hop in which every row is read once: those, the result, the CSR."""
    return 2 * size * width * csr.num_rows + 4 * csr.num_edges + 8 * csr.num_rows


def edge_bytes(csr: CSRGraph, width: int, size: int = 4) -> int:
    """Bytes of one hop without any reuse: a row per edge, the result, the CSR."""
    return size * width * (csr.num_edges + csr.num_rows) + 4 * csr.num_edges + 8 * csr.num_rows


# One hop of each library, on the normalised adjacency as it likes to have it.


def infgrand_hop(csr: CSRGraph) -> Hop:
    scale = inverse_sqrt_degree(csr, 1.0, torch.float32)
    return lambda x: spmm(csr, x, scale, scale)


def edge_values(csr: CSRGraph) -> Tensor:
    scale = inverse_sqrt_degree(csr, 1.0, torch.float32)
    values = torch.repeat_interleave(scale, csr.row_lengths)
    values.mul_(scale.index_select(0, csr.indices))
    return values if csr.weights is None else values.mul_(csr.weights)


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
    graph, fn = csr.to_dgl().to(csr.indptr.device), dgl.function
    scale = inverse_sqrt_degree(csr, 1.0, torch.float32)[:, None]
    message = fn.copy_u("h", "m") if csr.weights is None else fn.u_mul_e("h", WEIGHT, "m")

    def hop(x: Tensor) -> Tensor:
        with graph.local_scope():
            graph.ndata["h"] = scale * x
            graph.update_all(message, fn.sum("m", "h"))
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

    class Weighted(MessagePassing):
        def forward(self, x: Tensor) -> Tensor:
            return self.propagate(edges, x=x, w=values)

        def message(self, x_j: Tensor, w: Tensor) -> Tensor:
            return w * x_j

    return Weighted(aggr="add")
