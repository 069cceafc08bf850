"""Generated graphs: a degree-corrected stochastic block model with class-dependent features.

Every node has a class and a propensity drawn from a power law. An edge starts at a node in
proportion to its propensity, stays in the class with probability `homophily`, and ends at a node
of the chosen class (or of any other) in proportion to propensity (Karrer and Newman, 2011).
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..config import DataConfig, Style
from ..errors import InputError
from ..graph import CSRGraph, distinct
from .dataset import NodeDataset, Split
from .features import from_scipy, row_normalized

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """A style's sizes, and what makes its features and splits."""

    nodes: int
    degree: float  # mean number of neighbours, self-loop not counted
    features: int
    classes: int
    homophily: float  # share of edges inside a class
    signal: float  # how far the classes' features lie apart
    exponent: float = 2.5  # of the power law of degrees
    common_mean: float = 0.0  # length of the vector that all dense features share
    train: float | int = 20  # share of the nodes, or nodes per class
    val: float | int = 500
    bag_of_words: bool = False


RECIPES: dict[Style, Recipe] = {
    "citation": Recipe(3000, 4, 1000, 7, 0.8, signal=0.7, bag_of_words=True),
    "arxiv": Recipe(169_343, 14, 128, 40, 0.65, signal=0.8, common_mean=1.0, train=0.54, val=0.18),
    "products": Recipe(2_449_029, 50, 100, 47, 0.8, signal=0.8, train=0.08, val=0.02),
    "uniform": Recipe(169_343, 14, 128, 40, 0.2, signal=0.8),
}
WORDS = 18  # distinct words per node, about Cora's


def load(config: DataConfig, root: Path) -> NodeDataset:
    style = RECIPES[config.style]
    sizes = ("nodes", "degree", "features", "classes", "homophily")
    r = Recipe(**{**vars(style), **{k: v for k in sizes if (v := getattr(config, k)) is not None}})
    if r.nodes < 4 * r.classes:
        raise InputError(
            f"data.nodes: expected at least 4 per class ({4 * r.classes}), found {r.nodes}"
        )
    if r.degree > (r.nodes - 1) / 4:
        raise InputError(f"data.degree: {r.degree} neighbours are too many for {r.nodes} nodes")
    rng = np.random.default_rng(config.seed)
    labels = class_labels(rng, r)
    source, target = edges(rng, r, labels)
    features = bag_of_words(rng, r, labels) if r.bag_of_words else dense(rng, r, labels)
    if config.row_normalize and not r.bag_of_words:
        raise InputError(
            "data.row_normalize: only for style: citation; the other styles are signed"
        )
    return NodeDataset(
        name="synthetic",
        csr=CSRGraph.from_edges(source, target, r.nodes),
        features=features,
        labels=torch.from_numpy(labels),
        num_classes=r.classes,
        split=draw_split(rng, r, labels),
        provenance={"source": "generated", "style": config.style, "seed": config.seed, **vars(r)},
    )


def class_labels(rng: np.random.Generator, r: Recipe) -> np.ndarray:
    """int64 `[N]`; class sizes fall like 1/sqrt(rank), and no class is empty."""
    share = 1 / np.sqrt(np.arange(1, r.classes + 1))
    labels = rng.choice(r.classes, size=r.nodes, p=share / share.sum())
    labels[: 4 * r.classes] = np.tile(np.arange(r.classes), 4)
    return rng.permutation(labels)


def edges(rng: np.random.Generator, r: Recipe, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct undirected edges without self-loops.

    N·degree/2 but for one in a thousand, as far as the classes have room: n nodes make n·(n - 1)/2
    pairs, and the last of them are not hunted down. What falls 5 % short is logged.
    """
    wanted = r.nodes * r.degree / 2
    propensity = (1 - rng.random(r.nodes)) ** (-1 / (r.exponent - 1))
    propensity *= 2 * wanted / propensity.sum()
    # The structural cut-off: no pair of a class is expected to be joined more than once.
    total = np.bincount(labels, weights=propensity, minlength=r.classes)
    propensity = np.minimum(propensity, np.sqrt(total / max(r.homophily, 1 / r.classes))[labels])
    propensity *= 2 * wanted / propensity.sum()
    # A node's propensity as that many tickets, rounded at random; tickets lie class by class, so
    # a draw in proportion to propensity is one random position.
    counts = np.floor(propensity + rng.random(r.nodes)).astype(np.int64)
    by_class = np.argsort(labels, kind="stable")
    tickets = np.repeat(by_class, counts[by_class])
    size = np.bincount(labels, weights=counts, minlength=r.classes).astype(np.int64)
    first = np.cumsum(size) - size

    def draw(count: int, inside: bool) -> np.ndarray:
        if len(tickets) == (0 if inside else size.max()):  # no partner for anybody
            return tickets[:0]
        source = tickets[rng.integers(len(tickets), size=count)]
        begin, length = first[labels[source]], size[labels[source]]
        if inside:  # a ticket of the class
            at = begin + np.floor(rng.random(count) * length).astype(np.int64)
        else:  # a ticket of the others, which skip the class's interval
            at = np.floor(rng.random(count) * (len(tickets) - length)).astype(np.int64)
            at += np.where(at >= begin, length, 0)
        target = tickets[at]
        low, high = np.minimum(source, target), np.maximum(source, target)
        return (low * r.nodes + high)[low < high]

    def draw_distinct(count: int, inside: bool) -> np.ndarray:
        """Crowded classes repeat edges: what is missing is drawn again, at the last yield."""
        keys, share = np.empty(0, dtype=np.int64), 1.0
        while (missing := count - len(keys)) > count / 1000 and share > 1e-3:
            more = draw(int(missing / share) + 16, inside)
            before = len(keys)
            keys = distinct(np.concatenate([keys, more]))
            share = (len(keys) - before) / max(len(more), 1)
        if len(keys) > count:
            keys = keys[np.sort(rng.permutation(len(keys))[:count])]
        return keys

    within = round(wanted * r.homophily)
    keys = np.concatenate(
        [draw_distinct(within, True), draw_distinct(round(wanted) - within, False)]
    )
    if len(keys) < 0.95 * wanted:
        reached = 2 * len(keys) / r.nodes
        log.warning("data.degree: %.4g asked for, %.4g reached", r.degree, reached)
    return keys // r.nodes, keys % r.nodes


def dense(rng: np.random.Generator, r: Recipe, labels: np.ndarray) -> Tensor:
    """float32 `[N, D]`: class mean + noise, dimension d scaled by 1/sqrt(d), + a common mean."""
    spectrum = (1 / np.sqrt(np.arange(1, r.features + 1))).astype(np.float32)
    means = r.signal * rng.standard_normal((r.classes, r.features), dtype=np.float32)
    means -= np.average(means, axis=0, weights=np.bincount(labels)).astype(np.float32)
    x = rng.standard_normal((r.nodes, r.features), dtype=np.float32)
    for start in range(0, r.nodes, 1 << 16):  # in place, piece by piece: x may be large
        x[start : start + (1 << 16)] += means[labels[start : start + (1 << 16)]]
    x *= spectrum
    common = rng.standard_normal(r.features, dtype=np.float32)
    x += r.common_mean * common / np.linalg.norm(common)
    return torch.from_numpy(x)


def bag_of_words(rng: np.random.Generator, r: Recipe, labels: np.ndarray) -> Tensor:
    """Row-normalised binary word counts `[N, D]`, sparse; every class prefers its own words."""
    popularity = 1 / np.arange(10, r.features + 10)
    lengths = 1 + rng.poisson(WORDS, size=r.nodes)
    rows = np.repeat(np.arange(r.nodes), lengths)
    columns = np.empty(len(rows), dtype=np.int64)
    for c in range(r.classes):
        weights = popularity * np.exp(r.signal * rng.standard_normal(r.features))
        mine = labels[rows] == c
        columns[mine] = rng.choice(r.features, size=int(mine.sum()), p=weights / weights.sum())
    counts = sp.coo_matrix(
        (np.ones(len(rows)), (rows, columns)), shape=(r.nodes, r.features)
    ).tocsr()
    counts.data[:] = 1
    return from_scipy(row_normalized(counts))


def draw_split(rng: np.random.Generator, r: Recipe, labels: np.ndarray) -> Split:
    """`train` nodes per class, `val` and up to 1000 test nodes (citation, uniform); or shares."""
    order = rng.permutation(r.nodes)
    if isinstance(r.train, float):
        cuts = [round(r.train * r.nodes), round((r.train + r.val) * r.nodes)]
        train, val, test = np.split(order, cuts)
    else:
        per_class = min(r.train, r.nodes // (4 * r.classes))
        ranks = np.empty(r.nodes, dtype=np.int64)
        for c in range(r.classes):
            mine = order[labels[order] == c]
            ranks[mine] = np.arange(len(mine))
        train, rest = np.flatnonzero(ranks < per_class), order[ranks[order] >= per_class]
        val = rest[: min(int(r.val), len(rest) // 3)]
        test = rest[len(val) : len(val) + 1000]
    return Split(*(torch.from_numpy(np.sort(ids)) for ids in (train, val, test)))
