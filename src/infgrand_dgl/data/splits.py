"""Splits that depend on the run's seed, drawn as the authors draw them."""

from dataclasses import replace

import torch
from torch import Tensor

from ..config.schema import DataConfig
from ..errors import InputError
from .dataset import UNLABELLED, NodeDataset, Split

PARTS = ("train", "val", "test")  # as files and masks are named


def with_split(dataset: NodeDataset, config: DataConfig, seed: int) -> NodeDataset:
    """The dataset with its split for one seed: drawn if not published, then hidden and thinned.

    Labels that are chosen by influence are not thinned yet: see `by_influence`.
    """
    split = dataset.split or per_class(dataset.labels, seed)
    if config.setting == "inductive":
        split = hide(split, config.split_rate, seed)
    if config.label_rate is not None and config.label_choice == "random":
        train = thin(split.train, dataset.labels, config.label_rate, seed)
        split = replace(split, train=train)
    return replace(dataset, split=split)


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


def hide(split: Split, rate: float, seed: int) -> Split:
    """Hides `rate` of the test nodes: the rest of the splits is what training observes."""
    order = torch.randperm(len(split.test), generator=torch.Generator().manual_seed(seed))
    cut = int(len(order) * rate)
    if cut == 0:
        raise InputError(f"data.split_rate: {rate} of {len(order)} test nodes hides none")
    hidden, kept = split.test[order[:cut]], split.test[order[cut:]]
    observed = torch.cat([split.train, split.val, kept])
    return replace(split, test=hidden, test_observed=kept, observed=observed)


def thin(train: Tensor, labels: Tensor, rate: float, seed: int) -> Tensor:
    """Keeps `rate` of the training nodes of each class, at least one."""
    generator = torch.Generator().manual_seed(seed)
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
