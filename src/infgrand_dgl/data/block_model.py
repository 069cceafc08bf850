"""A degree-corrected stochastic block model, some of whose labels the graph does not know.

Every node has a class and a propensity drawn from a power law. An edge starts at a node in
proportion to its propensity, stays in the class with some probability h, and ends at a node of
the chosen class (or of any other) in proportion to propensity (Karrer and Newman, 2011).

A share `noise` of the nodes then carries a label that is drawn anew. They are chosen in proportion
to 1/propensity², so that few edges lead to them; h follows from the homophily that the labels are
to have. No model can be right about such nodes, just as in citation graphs, where a part of the
nodes belongs to another field than all it cites.

The few nodes that most others know, whose degree is a share of the nodes, are drawn to by many
edges more than once: these are merged, and as many drawn anew.
"""

import logging
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp

from ..graph.csr import distinct

log = logging.getLogger(__name__)

MAX_TICKETS = 1 << 29  # 2 GiB
SAMPLE_NODES = 1 << 16  # at least, on which repeated edges are counted
PARTNERS = 512  # of a node in its class, on which its repeated edges are reckoned


class BlockModel:
    """Draws edges and labels.

    Args:
        degree: mean number of neighbours, self-loop not counted.
        homophily: share of the edges between nodes of one label, as far as the noise allows.
        exponent: of the power law of degrees.
        largest: edges drawn to the node with the most, repeated ones counted, as a share of the
            nodes; in other classes than the largest, in proportion to their size. 0: as many as
            join no pair of a class more than once, the structural cut-off.
        noise: share of the nodes whose label is drawn anew.

    Attributes:
        classes: small integers `[N]`, what edges and features follow.
        labels: as classes, and these themselves where there is no noise.
        homophily: h.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        nodes: int,
        degree: float,
        classes: int,
        homophily: float,
        exponent: float,
        largest: float,
        noise: float,
    ) -> None:
        self.rng, self.nodes, self.degree, self.largest = rng, nodes, degree, largest
        self.wanted = nodes * degree / 2
        share = 1 / np.sqrt(np.arange(1, classes + 1))
        share /= share.sum()
        self.classes = self.labels = _no_class_empty(rng, nodes, share)
        inside = 1.0 if noise else max(homophily, 1 / classes)
        propensity = self._propensity(exponent, largest, inside, classes)
        if noise:
            clock = rng.exponential(size=nodes)
            clock *= propensity**2
            count = round(noise * nodes)
            redrawn = clock <= np.partition(clock, count - 1)[count - 1]
            self.labels = self.classes.copy()
            self.labels[redrawn] = rng.choice(classes, size=int(redrawn.sum()), p=share)
        # A node's propensity as that many tickets, rounded at random; tickets lie class by class,
        # so a draw in proportion to propensity is one random position.
        propensity *= min(1.0, MAX_TICKETS / (2 * self.wanted))
        propensity += rng.random(nodes)
        counts = np.floor(propensity, out=propensity).astype(np.int32)
        del propensity
        by_class = np.argsort(self.classes, kind="stable").astype(np.int32)
        self.tickets = np.repeat(by_class, counts[by_class])
        del by_class
        self.size = np.bincount(self.classes, weights=counts, minlength=classes).astype(np.int64)
        self.first = np.cumsum(self.size) - self.size
        self.homophily = reached = homophily
        if noise:
            self.homophily, reached = self._latent(homophily, counts)
        if noise and largest:  # labels of nodes whose edges are repeated count less
            self.homophily, reached = self._latent(homophily, counts * self._distinct_share(counts))
        if abs(homophily - reached) > 0.03:  # a small graph of a style falls short of its own
            log.warning("data.homophily: %.4g asked for, %.4g expected", homophily, reached)

    def _propensity(
        self, exponent: float, largest: float, homophily: float, classes: int
    ) -> np.ndarray:
        """Expected degrees, float64 `[N]`."""
        propensity = (1 - self.rng.random(self.nodes)) ** (-1 / (exponent - 1))
        propensity *= 2 * self.wanted / propensity.sum()
        total = np.bincount(self.classes, weights=propensity, minlength=classes)
        most = np.sqrt(total / homophily)
        if largest:
            size = np.bincount(self.classes)
            c = int(size.argmax())
            most = np.maximum(most, largest * self.nodes * size / size[c])
            mine = np.flatnonzero(self.classes == c)
            propensity[mine[propensity[mine].argmax()]] = most[c]
        np.minimum(propensity, most[self.classes], out=propensity)
        propensity *= 2 * self.wanted / propensity.sum()
        return propensity

    def _distinct_share(self, counts: np.ndarray) -> np.ndarray:
        """Of each node's edges inside its class, float64 `[N]`: of a Poisson number of edges that
        join a pair, 1 - exp(-mean) are left."""
        values, which = np.unique(counts, return_inverse=True)
        share = np.ones((len(self.size), len(values)))
        for c in np.flatnonzero(self.size):
            some = min(self.size[c], PARTNERS)
            partners = self.tickets[self.first[c] + np.arange(some) * self.size[c] // some]
            mean = self.homophily / self.size[c] * np.outer(values, counts[partners])
            np.maximum(mean, 1e-300, out=mean)
            share[c] = (-np.expm1(-mean) / mean).mean(axis=1)
        return share[self.classes, which]

    def _latent(self, homophily: float, counts: np.ndarray) -> tuple[float, float]:
        """The homophily of the classes that gives the labels theirs, and theirs, if it falls short.

        Args:
            counts: each node's weight as an end of an edge, `[N]`.
        """
        C = len(self.size)
        # Tickets by class and label.
        joint = sp.csr_array((counts.astype(float), (self.classes, self.labels)), shape=(C, C))
        of_class, total = joint.sum(axis=1), max(counts.sum(), 1)
        square = joint.power(2).sum(axis=1)
        # How often two ends of one class, and of two classes, have the same label.
        same = (square / np.maximum(of_class, 1)).sum() / total
        others = np.maximum(total - of_class, 1)
        apart = ((joint @ joint.sum(axis=0) - square) / others).sum() / total
        if not apart < same:
            return homophily, homophily
        latent = float(min(max((homophily - apart) / (same - apart), 0), 1))
        return latent, apart + latent * (same - apart)

    @property
    def kinds(self) -> tuple[tuple[int, bool], ...]:
        """How many edges, inside a class and not."""
        within = round(self.wanted * self.homophily)
        return (within, True), (round(self.wanted) - within, False)

    def draw(self, count: int, inside: bool) -> np.ndarray:
        """low·N + high of that many edges; repeated edges occur, self-loops are left out."""
        rng, tickets, first, size = self.rng, self.tickets, self.first, self.size
        if len(tickets) == (0 if inside else size.max()):  # no partner for anybody
            return np.empty(0, dtype=np.int64)
        source = tickets[rng.integers(len(tickets), size=count)]
        mine = self.classes[source]
        begin, length = first[mine], size[mine]
        if inside:  # a ticket of the class
            position = begin + np.floor(rng.random(count) * length).astype(np.int64)
        else:  # a ticket of the others, which skip the class's interval
            position = np.floor(rng.random(count) * (len(tickets) - length)).astype(np.int64)
            position += np.where(position >= begin, length, 0)
        target = tickets[position]
        low, high = np.minimum(source, target), np.maximum(source, target)
        return (low.astype(np.int64) * self.nodes + high)[low < high]

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct undirected edges without self-loops.

        N·degree/2 but for one in a thousand, as far as the classes have room: n nodes make
        n·(n - 1)/2 pairs, and the last of them are not hunted down. What falls 5 % short is
        logged.
        """
        keys = np.concatenate([self._distinct(count, inside) for count, inside in self.kinds])
        self._warn_of_few(len(keys))
        return keys // self.nodes, keys % self.nodes

    def _distinct(self, count: int, inside: bool) -> np.ndarray:
        """Crowded classes repeat edges: what is missing is drawn again, at the last yield."""
        keys, share = np.empty(0, dtype=np.int64), 1.0
        while (missing := count - len(keys)) > count / 1000 and share > 1e-3:
            more = self.draw(min(int(missing / share), count) + 16, inside)
            before = len(keys)
            keys = distinct(np.concatenate([keys, more]))
            share = (len(keys) - before) / max(len(more), 1)
        if len(keys) > count:
            keys = keys[np.sort(self.rng.permutation(len(keys))[:count])]
        return keys

    def chunks(self, size: int, progress: Callable[[int], None]) -> Iterator[np.ndarray]:
        """Keys low·N + high of the edges in parts of up to `size`, where `edges` needs too much.

        Edges are repeated, within a part and across. The distinct ones are N·degree/2 but for
        about one in a thousand: they are counted on a sample.

        Args:
            progress: is given about how many distinct edges there are.
        """
        done = 0.0
        for count, inside in self.kinds:
            sample = np.empty(0, dtype=np.int64)
            drawn = seen = 0
            share = 1.0
            for _ in range(8):  # rounds; two are enough unless the classes are crowded
                # Repeats grow with the square: the next edge is new with probability 2·share - 1.
                # Those of a few nodes with very many edges do not: rather too few at first.
                new = share if self.largest else 2 * share - 1
                todo = int((count - share * drawn) / max(new, 0.1))
                if todo <= count / 1000:
                    break
                while todo > 0:
                    keys = self.draw(min(size, todo), inside)
                    todo -= min(size, todo)
                    drawn += len(keys)
                    some = self._sampled(keys)
                    seen += len(some)
                    sample = np.concatenate([sample, some])
                    yield keys
                    progress(int(done + share * drawn))
                sample = distinct(sample)
                share = len(sample) / max(seen, 1)
            done += share * drawn
        self._warn_of_few(round(done))

    def _sampled(self, keys: np.ndarray) -> np.ndarray:
        """All edges of some nodes; where few nodes have most repeats, those of some pairs."""
        nodes = max(SAMPLE_NODES, self.nodes // 256)
        if not self.largest:
            return keys[keys < self.nodes * nodes]
        mixed = (keys.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
        return keys[mixed % np.uint64(max(1, self.nodes // nodes)) == 0]

    def _warn_of_few(self, count: int) -> None:
        """Logs that the graph has fewer edges than were asked for."""
        if count < 0.95 * self.wanted:
            reached = 2 * count / self.nodes
            log.warning("data.degree: %.4g asked for, %.4g reached", self.degree, reached)


def _no_class_empty(rng: np.random.Generator, nodes: int, share: np.ndarray) -> np.ndarray:
    """`[N]`, at least four nodes of every class."""
    classes = rng.choice(len(share), size=nodes, p=share)
    classes[: 4 * len(share)] = np.tile(np.arange(len(share)), 4)
    return rng.permutation(classes).astype(np.min_scalar_type(len(share)))
