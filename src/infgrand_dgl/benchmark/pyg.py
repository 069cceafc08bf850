"""The teachers on PyTorch Geometric's layers, for `benchmark train`: the same equations and widths.

A graph is PyG's `edge_index`, of which every edge makes a message, or a CSR adjacency (`adj`) for
torch's sparse products; GATConv takes an `edge_index` alone.
"""

import importlib.util
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..config.schema import Config
from ..data import NodeDataset
from ..graph.csr import CSRGraph
from ..nn.gnn import GNN, around, layer_widths
from ..system.precision import products_in
from ..system.runtime import Runtime
from ..training.loop import OnEpoch, fit, seed_everything
from ..training.optimizer import adam
from ..training.teacher import on_full_graph
from .hops import edge_values

FORMS = {"gcn": ("edge_index", "adj"), "sage": ("edge_index", "adj"), "gat": ("edge_index",)}


@dataclass(frozen=True)
class Graph:
    """What a layer takes beside x."""

    arguments: tuple[Tensor, ...]


def missing(teacher: str, csr: CSRGraph) -> str:
    """Why it cannot run; empty where it can."""
    if importlib.util.find_spec("torch_geometric") is None:
        return "torch_geometric is not installed"
    unread = teacher == "sage" and csr.weights is not None
    return "PyG's SAGEConv reads no edge weights" if unread else ""


def message_bytes(csr: CSRGraph, width: int, form: str) -> int:
    """Of a layer's messages and their gradients, which an adjacency does without."""
    return 16 * csr.num_edges + (3 * 4 * width * csr.num_edges if form == "edge_index" else 0)


def train(
    config: Config, view: NodeDataset, runtime: Runtime, seed: int, form: str, on_epoch: OnEpoch
) -> GNN:
    """As `train_teacher` on the full graph."""
    seed_everything(seed)
    device = runtime.device
    model = model_of(config, view.num_features, view.num_classes).to(device)
    graph = graph_of(config.teacher.model, view.csr.to(device), form)
    task = on_full_graph(config, model, view, graph, view.dense_features(device), runtime)
    with products_in(config.train.precision, device):
        fit(
            model,
            task,
            optimizer=adam(model, config.teacher),
            epochs=config.train.epochs,
            patience=config.train.patience,
            on_epoch=on_epoch,
        )
    return model


def model_of(config: Config, in_features: int, classes: int) -> GNN:
    """The teacher that `config` describes; dropout is before a layer of GAT, else after one."""
    widths = layer_widths(config.teacher, in_features, classes)
    between = 0.0 if config.teacher.model == "gat" else config.teacher.dropout
    settings = around(config.teacher, classes)
    return GNN(_layers(config, widths), widths, between, "dgl", **settings)


class Layer(nn.Module):
    """PyG's, called as ours are."""

    def __init__(self, conv: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv, self.dropout = conv, nn.Dropout(dropout)

    def forward(self, graph: Graph, x: Tensor) -> Tensor:
        return self.conv(self.dropout(x), *graph.arguments)


def _layers(config: Config, widths: list[int]) -> Iterator[nn.Module]:
    from torch_geometric.nn import GATConv, GCNConv, SAGEConv

    t = config.teacher
    make = {
        "gcn": partial(GCNConv, normalize=False, add_self_loops=False),
        "sage": partial(SAGEConv, aggr="mean", root_weight=False),
    }
    if t.model in make:
        yield from (Layer(make[t.model](i, o)) for i, o in pairwise(widths))
        return
    attention = partial(GATConv, add_self_loops=False, dropout=t.attention_dropout)
    for i, o in pairwise(widths[:-1]):
        yield Layer(attention(i, o // t.heads, heads=t.heads), t.dropout)
    yield Layer(attention(widths[-2], widths[-1]), t.dropout)


def graph_of(teacher: str, csr: CSRGraph, form: str) -> Graph:
    """The graph as the teacher's layers take it: normalised for GCN, each node once more among its
    neighbours for GraphSAGE's mean."""
    rows, columns = torch.repeat_interleave(csr.row_lengths), csr.indices.long()
    values = edge_values(csr) if teacher == "gcn" else None
    if teacher == "sage":
        loops = torch.arange(csr.num_rows, device=rows.device)
        rows, order = torch.cat([rows, loops]).sort(stable=True)
        columns = torch.cat([columns, loops])[order]
    if form == "edge_index":
        edges = torch.stack([columns, rows])
        return Graph((edges,) if values is None else (edges, values))
    lengths = rows.bincount(minlength=csr.num_rows)
    indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    values = torch.ones(len(rows), device=rows.device) if values is None else values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch's CSR is in beta
        adjacency = torch.sparse_csr_tensor(indptr, columns, values, (csr.num_rows, csr.num_cols))
    return Graph((adjacency,))
