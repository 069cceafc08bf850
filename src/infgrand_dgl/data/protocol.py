"""The protocol of GLNN and its followers: `data.protocol: glnn`.

CPF (Yang et al., WWW 2021) cuts a graph to its largest connected component, as Shchur et al. (2018,
"Pitfalls of graph neural network evaluation") do, and draws of each class 20 nodes that train and
30 that validate; all others test. GLNN (Zhang et al., ICLR 2022) hides a fifth of these when
inductive.
"""

from dataclasses import replace

import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from ..errors import InputError
from .dataset import NodeDataset, Split
from .labels import UNLABELLED
from .part import part_of

TRAIN, VAL = 20, 30  # of each class


def largest_component(dataset: NodeDataset) -> NodeDataset:
    """The dataset of the largest connected component's nodes, in their order, without a split; the
    first one's of equals. `nodes` are their ids in the dataset that is given.

    Raises:
        InputError: labels that are no classes, or a class with too few nodes there.
    """
    if dataset.task != "classification":
        raise InputError(
            f"data.protocol: glnn draws nodes of each class, but {dataset.name} has labels of "
            f"{dataset.task}; expected published"
        )
    csr, N = dataset.csr, dataset.num_nodes
    graph = sp.csr_matrix(
        (torch.ones(len(csr.indices)).numpy(), csr.indices.numpy(), csr.indptr.numpy())
    )
    _, components = connected_components(graph, directed=False)
    of_node = torch.from_numpy(components).long()
    nodes = (of_node == of_node.bincount().argmax()).nonzero().flatten()
    labels = dataset.labels[nodes]
    if dataset.num_classes:  # else `lacks` says it
        _check_counts(labels, dataset)
    provenance = {name: told for name, told in dataset.provenance.items() if name != "split"}
    provenance |= {
        "component": f"{len(nodes):,} of {N:,} nodes",
        "split": f"{TRAIN} and {VAL} per class, the rest (glnn)",
    }
    return replace(
        part_of(dataset, nodes),
        lacks=None if dataset.num_classes else dataset.lacks,
        provenance=provenance,
    )


def _check_counts(labels: Tensor, dataset: NodeDataset) -> None:
    sizes = torch.bincount(labels[labels != UNLABELLED], minlength=dataset.num_classes)
    needed, small = TRAIN + VAL + 1, int(sizes.argmin())
    if int(sizes[small]) < needed:
        raise InputError(
            f"data.protocol: glnn needs {needed} nodes of each class or more, found "
            f"{int(sizes[small])} of class {dataset.class_names[small]} among the "
            f"{len(labels):,} of the largest component of {dataset.name}; expected published"
        )


def of_each_class(labels: Tensor, seed: int) -> Split:
    """`TRAIN` nodes of each class, `VAL` others of each, and all the rest that have a label.

    Drawn by torch's generator of the seed, one permutation a class, so that they are not the nodes
    of CPF's code, whose files have another order of nodes, too.
    """
    generator = torch.Generator().manual_seed(seed)
    parts: tuple[list[Tensor], ...] = ([], [], [])
    for c in range(int(labels.max()) + 1):
        nodes = (labels == c).nonzero().flatten()
        order = nodes[torch.randperm(len(nodes), generator=generator)]
        sizes = [TRAIN, VAL, len(nodes) - TRAIN - VAL]
        for part, some in zip(parts, order.split(sizes), strict=True):
            part.append(some)
    return Split(*(torch.cat(part).sort().values for part in parts))
