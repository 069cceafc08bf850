"""Which split a run takes: of several that are given, or drawn as the authors draw them."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..config.schema import DataConfig
from ..errors import InputError
from .dataset import PARTS as PARTS
from .dataset import UNLABELLED, NodeDataset, Split, check_labels, check_split
from .part import part_of
from .protocol import of_each_class
from .scaling import standardized

SHARES = (0.5, 0.25, 0.25)  # of small graphs, and where labels are no classes


def with_split(dataset: NodeDataset, config: DataConfig, seed: int) -> NodeDataset:
    """The dataset with its split for one seed: chosen or drawn, then hidden and thinned.

    Labels that are chosen by influence are not thinned yet: see `by_influence`.

    Raises:
        InputError: there is none, none is chosen, or one cannot train by it.
    """
    if dataset.lacks is not None:
        raise InputError(dataset.lacks)
    split = _chosen(dataset, config, seed)
    check_labels(split, dataset.labels, _where(dataset, config))
    if config.setting == "inductive":
        split = hide(split, config, seed, dataset.num_nodes)
    if config.label_rate is not None and config.label_choice == "random":
        train = thin(split.train, dataset.labels, config.label_rate, seed)
        split = replace(split, train=train)
    return _seen(replace(dataset, split=split), config)


def with_observed(dataset: NodeDataset, config: DataConfig, seed: int) -> NodeDataset:
    """The dataset with what propagation and influence need of a split: who is hidden.

    Nobody is when transductive, or where the dataset comes without splits; they are then not
    looked at, and neither are labels.
    """
    none = torch.empty(0, dtype=torch.long)
    split = Split(none, none, none)
    given = dataset.lacks is None or dataset.split is not None or dataset.splits
    if config.setting == "inductive" and given:
        split = hide(_chosen(dataset, config, seed), config, seed, dataset.num_nodes)
    return _seen(replace(dataset, split=split), config)


def for_choosing(dataset: NodeDataset, config: DataConfig, seed: int) -> NodeDataset:
    """What settings are chosen by: the dataset with one half of its validation nodes, and the other
    half as test nodes. When inductive, these are hidden, and the hidden ones are not there.

    A best epoch thus has no part in what it is worth, and hidden nodes are served as those of a
    run are: of a graph that has nodes which training did not see. Of seeds 2k and 2k + 1 one tests
    what the other validates by.

    Args:
        dataset: with its split of the seed.

    Raises:
        InputError: there is one validation node.
    """
    train, val, observed = dataset.train, dataset.val, dataset.parts.observed
    if len(val) < 2:
        expected = "expected two nodes or more, to choose settings by"
        raise InputError(f"{dataset.name}: split val: {expected}; found {len(val)}")
    order = torch.randperm(len(val), generator=torch.Generator().manual_seed(seed // 2))
    halves = [val[half].sort().values for half in order.tensor_split(2)]
    chosen, held = halves if seed % 2 else halves[::-1]
    if observed is None:
        return replace(dataset, split=Split(train, chosen, held))
    known = torch.ones(dataset.num_nodes, dtype=torch.bool)
    known[dataset.test] = False
    local = known.cumsum(0) - 1
    rest = observed[~torch.isin(observed, held)]
    split = Split(local[train], local[chosen], local[held], observed=local[rest])
    return _seen(replace(part_of(dataset, known.nonzero().flatten()), split=split), config)


def _seen(dataset: NodeDataset, config: DataConfig) -> NodeDataset:
    """Inductive: features are standardized by those of the observed nodes."""
    if not config.standardize or config.setting != "inductive":
        return dataset
    return standardized(dataset, dataset.observed_view())


def _chosen(dataset: NodeDataset, config: DataConfig, seed: int) -> Split:
    """The split that `data.split` names, checked; of a dataset with one it need not."""
    if config.protocol == "glnn":
        return of_each_class(dataset.labels, seed)
    given, wanted = dataset.splits, config.split
    if not given and dataset.split is not None:
        given = (dataset.split,)
    if not given and isinstance(wanted, int):
        expected = f"expected seed or null, as {dataset.name}'s splits are drawn by seed"
        raise InputError(f"data.split: {expected}; found {wanted}")
    if not given and dataset.task == "classification":
        return per_class(dataset.labels, seed)
    if not given:
        return by_shares(dataset.labelled, SHARES, seed)
    k, number = len(given), seed % len(given) if wanted == "seed" else wanted or 0
    if (wanted is None and k > 1) or number >= k:
        where, found = _where(dataset, config), "null" if wanted is None else wanted
        raise InputError(
            f"data.split: {where} has {k} splits, [{dataset.num_nodes}, {k}]: expected 0 to "
            f"{k - 1} for one of them, or seed for one a seed; found {found}"
        )
    check_split(given[number], dataset.num_nodes, _where(dataset, config))
    return given[number]


def _where(dataset: NodeDataset, config: DataConfig) -> str:
    return config.prepared or config.root or dataset.name


def per_class(
    labels: Tensor, seed: int, train: int = 20, val: int = 500, test: int = 1000
) -> Split:
    """`train` nodes of each class, then `val` and `test` of the rest (Shchur et al., 2018).

    The random numbers are the authors': `torch.manual_seed(seed)`, one permutation per class, one
    for validation, one for test.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(candidates: Tensor, count: int) -> Tensor:
        return candidates[torch.randperm(len(candidates), generator=generator)[:count]]

    free = labels != UNLABELLED
    chosen = [draw((labels == c).nonzero().flatten(), train) for c in range(int(labels.max()) + 1)]
    parts = [torch.cat(chosen).sort().values]
    for count in (val, test):
        free[parts[-1]] = False
        parts.append(draw(free.nonzero().flatten(), count).sort().values)
    return Split(*parts)


def by_shares(candidates: Tensor, shares: tuple[float, ...], seed: int) -> Split:
    """Shares of the nodes that are candidates, bool `[N]`, at random.

    Raises:
        InputError: some part would be empty.
    """
    nodes = candidates.nonzero().flatten()
    order = torch.randperm(len(nodes), generator=torch.Generator().manual_seed(seed))
    ends = np.round(np.cumsum(shares) * len(nodes)).astype(int).tolist()
    parts = [nodes[order[i:j]].sort().values for i, j in zip([0, *ends], ends, strict=False)]
    if not all(map(len, parts)):
        given = " ".join(f"{share:g}" for share in shares)
        raise InputError(f"shares {given}: some part of {len(nodes)} labelled nodes is empty")
    return Split(*parts)


def hide(split: Split, config: DataConfig, seed: int, num_nodes: int) -> Split:
    """Hides `data.split_rate` of the test nodes. What training observes is all else, or with
    `data.observed: authors` the rest of the splits."""
    rate = config.split_rate
    order = torch.randperm(len(split.test), generator=torch.Generator().manual_seed(seed))
    cut = int(len(order) * rate)
    if cut == 0:
        raise InputError(f"data.split_rate: {rate} of {len(order)} test nodes hides none")
    hidden, kept = split.test[order[:cut]], split.test[order[cut:]]
    observed = torch.cat([split.train, split.val, kept])
    if config.observed == "all":
        outside = torch.ones(num_nodes, dtype=torch.bool)
        outside[observed] = outside[hidden] = False
        observed = torch.cat([observed, outside.nonzero().flatten()])
    return replace(split, test=hidden, test_observed=kept, observed=observed)


def thin(train: Tensor, labels: Tensor, rate: float, seed: int) -> Tensor:
    """Keeps `rate` of the training nodes of each class, at least one; of all together where
    labels `[N, C]` are no classes."""
    generator = torch.Generator().manual_seed(seed)
    if labels.ndim > 1:
        count = max(1, round(rate * len(train)))
        return train[torch.randperm(len(train), generator=generator)[:count]].sort().values
    kept = []
    for label in labels[train].unique().tolist():
        ids = train[labels[train] == label]
        count = max(1, round(rate * len(ids)))
        kept.append(ids[torch.randperm(len(ids), generator=generator)[:count]])
    return torch.cat(kept).sort().values


def by_influence(dataset: NodeDataset, config: DataConfig, influence: Tensor) -> NodeDataset:
    """Of the training nodes, `label_rate` of the most or of the least influential ones.

    Over all classes together, as the paper compares them: a class may lose all its labels.

    Args:
        influence: I_g, `[N]`.
    """
    if config.label_rate is None or config.label_choice == "random":
        return dataset
    train = dataset.train
    order = influence[train].cpu().argsort(descending=config.label_choice == "high", stable=True)
    kept = train[order[: max(1, round(config.label_rate * len(train)))]].sort().values
    return replace(dataset, split=replace(dataset.parts, train=kept))
