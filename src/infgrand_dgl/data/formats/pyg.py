"""PyG's .pt: a Data, what `Data.to_dict()` gives, or a processed dataset of one graph."""

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ...errors import InputError
from ...graph.convert import WEIGHTS, are_weights
from ...registry import Format, formats
from ...system.reading import reading
from ..dataset import PARTS
from ..imported import Imported, Options, labels_of, parts_of_masks
from ..weights import Wanted, chosen, one_each, refuse_unclear


class _Record:
    """Stands for PyG's classes, which need not be installed: their attributes alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Takes what the class takes, and looks at nothing."""

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


# Each a class of its own: torch finds them by their names.
CLASSES = [
    (type(name, (_Record,), {}), f"torch_geometric.data.{module}.{name}")
    for module, name in (
        ("data", "Data"),
        ("data", "DataEdgeAttr"),
        ("data", "DataTensorAttr"),
        ("storage", "GlobalStorage"),
        ("storage", "NodeStorage"),
        ("storage", "EdgeStorage"),
    )
]
HINT = "torch.save(data.to_dict(), path) writes one that opens everywhere"


def recognizes(path: Path) -> bool:
    return path.suffix in (".pt", ".pth") and path.is_file()


def read(path: Path, options: Options) -> Imported:
    known = torch.serialization.safe_globals(CLASSES)  # type: ignore[arg-type]
    with reading(path, f"a .pt of tensors in PyG's Data; {HINT}"), known:
        content = torch.load(path, map_location="cpu", weights_only=True)
    data = _attributes(content, path)
    index = data.get("edge_index")
    if not isinstance(index, Tensor):
        found = ", ".join(map(str, data)) or "nothing"
        raise InputError(f"{path}: expected edge_index [2, E], found {found}")
    if index.ndim != 2 or index.shape[0] != 2 or index.is_floating_point():
        found = f"{index.dtype} {list(index.shape)}"
        raise InputError(f"{path}: expected integers [2, E] in edge_index, found {found}")
    x, y = _array(data.get("x")), _array(data.get("y"))
    N = _count(data, x, index, path)
    masks = {part: _array(data[f"{part}_mask"]) for part in PARTS
             if isinstance(data.get(f"{part}_mask"), Tensor)}  # fmt: skip
    return Imported(
        edges=index.numpy().T.astype(np.int64),
        weights=_weights(data, index.shape[1], N, options.weights, str(path)),
        directed=True,
        num_nodes=N,
        features=x,
        labels=None if y is None else labels_of(y, N, f"{path}: y", options.task),
        splits=parts_of_masks(masks, N, str(path)) if len(masks) == len(PARTS) else (),
    )


def _weights(
    data: dict[str, Any], num_edges: int, num_nodes: int, wanted: Wanted, where: str
) -> np.ndarray | None:
    """`[E]` of `edge_weight`; of `edge_attr`, or what else there is one of an edge, if wanted."""
    sizes = {key: value.numel() for key, value in data.items() if isinstance(value, Tensor)}
    sizes.pop("edge_index")
    of_edges = [key for key, n in sizes.items() if "edge" in key or n == num_edges != num_nodes]
    named = [key for key in of_edges if key in WEIGHTS]
    single = [key for key in of_edges if sizes[key] == num_edges]
    names = [*of_edges] if isinstance(wanted, str) else named or single
    taken = chosen(names, wanted, where)
    if taken is not None:
        return one_each(_array(data[names[taken]]), num_edges, f"{where}: {names[taken]}")
    if wanted is None and "edge_attr" in single:
        values = _array(data["edge_attr"]).ravel()
        if values.dtype.kind in "biuf" and are_weights(values.astype(np.float64)):
            refuse_unclear(values, f"{where}: edge_attr is unclear")
    return None


def _attributes(content: Any, path: Path) -> dict[str, Any]:
    """Tensors by name, wherever the versions of PyG keep them."""
    if isinstance(content, tuple | list) and content:  # (data, slices) of an InMemoryDataset
        slices = content[1] if len(content) > 1 else None
        if isinstance(slices, dict) and any(len(each) > 2 for each in slices.values()):
            raise InputError(f"{path}: expected one graph, found several")
        content = content[0]
    for _ in range(3):
        # A program that has imported PyG gets its own classes, whose attributes are theirs to make.
        if isinstance(content, _Record) or type(content).__module__.startswith("torch_geometric."):
            content = vars(content)
        inner = (
            content.get("_store", content.get("_mapping")) if isinstance(content, dict) else None
        )
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected PyG's Data, found {type(content).__name__}; {HINT}")
    return content


def _array(value: Any) -> Any:
    """Dense, or sparse of SciPy; None of what is no tensor."""
    if not isinstance(value, Tensor):
        return None
    value = value.detach()
    if value.layout != torch.strided:
        coo = value.to_sparse_coo().coalesce()
        return sp.csr_matrix((coo.values().numpy(), coo.indices().numpy()), shape=tuple(coo.shape))
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def _count(data: dict[str, Any], x: Any, index: Tensor, path: Path) -> int:
    if x is not None and x.ndim:
        return int(x.shape[0])
    told = data.get("num_nodes")
    return told if isinstance(told, int) else int(index.max()) + 1 if index.numel() else 0


formats.add(
    Format(
        "pyg",
        label="PyTorch Geometric",
        place=32,
        about=".pt with a Data (edge_index, x, y, train_mask, ...) or its to_dict()",
        recognizes=recognizes,
        read=read,
    )
)
