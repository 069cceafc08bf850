r"""The influence-guided loss (paper: "Influence-Guided Distillation Loss").

Every node i learns from the soft labels of its neighbours j, itself included:

$$L_d = \sum_i \sum_{j\in N(i)} a_{ij}\,\mathrm{KL}_{ij},\qquad a_{ij} = r_i\,c_j,\quad
  c_j = \gamma_1 + \gamma_2 I_g(j)$$

with $r_i = 1/(|N(i)|\,N)$ (`edge_weighting="neighborhood"`: the paper's text over N, so that both
forms have the scale of a mean) or $r_i = 1/E$ (`"edges"`: the authors' code). On a graph with
weights $a_{ij} = r_i\,c_j\,w_{ij}$, where the sum of the weights of row i takes the place of
$|N(i)|$, and that of all weights the place of $E$. With
$p_i = \sigma(h^s_i/\tau)$ of the student and $q_j = \sigma(h^t_j/\tau)$ of the teacher,
$\mathrm{KL}_{ij}$ is $\mathrm{KL}(q_j \| p_i)$ (`kl="forward"`: the authors' code) or
$\mathrm{KL}(p_i \| q_j)$ (`"reverse"`: the paper's text). There is no $\tau^2$ factor.

Both are linear in the neighbour's term, so the sum over edges collapses exactly to a sum over
nodes, with targets that are computed once:

    forward:  L_d = const - Σ_i T_i·log p_i,              T_i = Σ_j a_ij q_j
    reverse:  L_d = Σ_i [ w_i p_i·log p_i - p_i·U_i ],    U_i = Σ_j a_ij log q_j,  w_i = Σ_j a_ij

The constant of node i, $\sum_j a_{ij}\,q_j\cdot\log q_j$, or $w_i$, is its `own` term: the loss of
a batch of nodes is made of their rows alone, and needs no graph.
"""

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy

from ..errors import InputError, check_choice, check_shape
from ..graph.convert import GraphLike, as_csr
from ..graph.csr import CSRGraph
from ..graph.dgl_bridge import dgl
from ..graph.weights import WEIGHT
from ..ops import Direction, edge_kl, spmm
from ..system.arrays import blocks, first_not_finite, release

EdgeWeighting = Literal["neighborhood", "edges"]
Form = Literal["collapsed", "apply_edges", "edge_kl"]

BLOCK_ROWS = 1 << 16  # of logits that are looked at together


class DistillationLoss(nn.Module):
    r"""$L_d$ of a student's logits against a fixed teacher.

    Args:
        graph: an undirected graph of any kind that `influence_scores` takes, with weights or
            without, completed to one self-loop per node; a `CSRGraph` is taken as it is, parallel
            edges and all. Row i holds N(i).
        teacher_logits: $h^t$, `[N, C]`, floating point.
        influence: $I_g$, `[N]`.
        gamma1, gamma2: $\gamma_1, \gamma_2 \ge 0$.
        tau: the temperature, positive.
        kl: "forward" or "reverse".
        edge_weighting: "neighborhood" or "edges".
        form: "collapsed" needs no edges after construction. The others are the sum as written,
            O(E) memory per call: "apply_edges" on DGL's `apply_edges`, "edge_kl" on our op.
        columns: collapsed: how many classes are aggregated at a time; all by default.
        out: collapsed: where the targets go, `[N, C]` (a memory-mapped tensor, say).

    Call with student logits `[N, C]` (any dtype; the loss is computed in that of the teacher's
    logits, at least float32) to get a differentiable scalar. The collapsed form also takes logits
    of some nodes, `[n, C]`, with their rows of `per_node()`: the part of the sum that is theirs.

    Raises:
        InputError: shapes that do not fit the graph, NaN or infinity in the teacher's logits or
            the influence, or a setting out of range.
    """

    targets: Tensor  # collapsed: T or U, [N, C]
    own: Tensor  # collapsed: const_i or w_i, [N, 1]
    log_q: Tensor  # edge by edge: [N, C]
    c: Tensor  # apply_edges: [N], and r
    r: Tensor
    a: Tensor  # edge_kl: [E]
    graph: Any  # edge by edge: a DGLGraph for apply_edges, a CSRGraph for edge_kl

    def __init__(
        self,
        graph: GraphLike,
        teacher_logits: Tensor,
        influence: Tensor,
        *,
        gamma1: float,
        gamma2: float,
        tau: float,
        kl: Direction = "forward",
        edge_weighting: EdgeWeighting = "edges",
        form: Form = "collapsed",
        columns: int | None = None,
        out: Tensor | None = None,
    ) -> None:
        super().__init__()
        for name, given in (("teacher_logits", teacher_logits), ("influence", influence)):
            if not isinstance(given, Tensor):
                raise InputError(f"{name}: expected a tensor, found {type(given).__name__}")
        device = teacher_logits.device
        check_shape("teacher_logits", teacher_logits, ["N", "C"])
        csr = as_csr(graph, device, len(teacher_logits))
        N = csr.num_rows
        check_shape("teacher_logits", teacher_logits, [N, "C"])
        check_shape("influence", influence, [N])
        check_choice("kl", kl, get_args(Direction))
        check_choice("edge_weighting", edge_weighting, get_args(EdgeWeighting))
        check_choice("form", form, get_args(Form))
        if not 0 < tau < math.inf:
            raise InputError(f"tau: expected a positive number, found {tau}")
        for name, gamma in (("gamma1", gamma1), ("gamma2", gamma2)):
            if not 0 <= gamma < math.inf:
                raise InputError(f"{name}: expected 0 or more, found {gamma}")
        for name, given in (("teacher_logits", teacher_logits), ("influence", influence)):
            if first_not_finite(given) is not None:
                raise InputError(f"{name}: expected finite numbers, found NaN or infinity")
        dtype = torch.promote_types(teacher_logits.dtype, torch.float32)
        self.tau, self.kl, self.form = tau, kl, form

        c = gamma1 + gamma2 * influence.detach().to(device, dtype)
        if edge_weighting == "neighborhood":
            sums = csr.row_sums
            r = (sums.masked_fill(sums == 0, 1) * N).to(dtype).reciprocal()
        else:
            total = csr.num_edges if csr.weights is None else float(csr.row_sums.sum())
            r = torch.full((N,), 1 / (total or 1), dtype=dtype, device=device)

        if form == "collapsed":
            logits = teacher_logits.detach()
            targets, own = self.collapse(csr, logits, r, c, columns or logits.shape[1], out)
            self.register_buffer("targets", targets)
            self.register_buffer("own", own)
            return
        log_q = (teacher_logits.detach().to(dtype) / tau).log_softmax(dim=1)
        self.register_buffer("log_q", log_q)
        if form == "edge_kl":
            self.graph = csr
            a = r.repeat_interleave(csr.row_lengths) * c[csr.indices.long()]
            self.register_buffer("a", a if csr.weights is None else a * csr.weights)
        elif device.type == "cpu":
            self.graph = csr.to_dgl()
            self.register_buffer("c", c)
            self.register_buffer("r", r)
        else:
            raise InputError(
                "form: apply_edges runs on the CPU; on a GPU take collapsed or edge_kl"
            )

    def collapse(
        self, csr: CSRGraph, logits: Tensor, r: Tensor, c: Tensor, columns: int, out: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Targets `[N, C]` and own terms `[N, 1]`, by so many columns at a time."""
        forward, (N, C) = self.kl == "forward", logits.shape
        normalizer = torch.cat(
            [(z.to(c.dtype) / self.tau).logsumexp(1, True) for _, z in blocks(logits, BLOCK_ROWS)]
        )
        targets = out if out is not None else logits.new_empty(N, C, dtype=c.dtype)
        own = torch.zeros_like(normalizer) if forward else torch.ones_like(normalizer)
        for k in range(0, C, columns):
            source = logits.new_empty(N, min(columns, C - k), dtype=c.dtype)
            for part, z in blocks(logits, BLOCK_ROWS):
                log_q = torch.div(z[:, k : k + columns].to(c.dtype), self.tau)
                log_q.sub_(normalizer[part])
                source[part] = log_q.exp() if forward else log_q
                if forward:
                    own[part] += torch.linalg.vecdot(source[part], log_q)[:, None]
            sums = spmm(csr, source, r, c)
            del source
            for part, rows in blocks(sums, BLOCK_ROWS):
                targets[part, k : k + columns] = rows
                release(targets)
        return targets, spmm(csr, own, r, c)

    def per_node(self) -> dict[str, Tensor]:
        """Collapsed: what the loss of a node is made of, row by row."""
        return {"targets": self.targets, "own": self.own}

    def forward(
        self, student_logits: Tensor, targets: Tensor | None = None, own: Tensor | None = None
    ) -> Tensor:
        if self.form != "collapsed":
            check_shape("student_logits", student_logits, self.log_q.shape)
            scaled = student_logits.to(self.log_q.dtype) / self.tau
            if self.form == "edge_kl":
                return edge_kl(self.graph, scaled, self.log_q, self.a, direction=self.kl).sum()
            return self.edge_sum(scaled.log_softmax(dim=1))
        if targets is None or own is None:
            targets, own = self.targets, self.own
        check_shape("student_logits", student_logits, targets.shape)
        scaled = student_logits.to(targets.dtype) / self.tau
        if self.kl == "reverse":
            return _CollapsedReverse.apply(scaled, own, targets)
        return own.sum() - (targets * scaled.log_softmax(dim=1)).sum()

    def edge_sum(self, log_p: Tensor) -> Tensor:
        """The definition, edge by edge: sources are neighbours j, destinations students i."""
        fn, g = dgl.function, self.graph
        q, p = self.log_q.exp(), log_p.exp()
        with g.local_scope():
            g.ndata.update({"log_q": self.log_q, "q": q, "log_p": log_p, "p": p})
            g.ndata.update({"c": self.c[:, None], "r": self.r[:, None]})
            if self.kl == "forward":  # q_j·log q_j - q_j·log p_i
                g.ndata["own"] = (q * self.log_q).sum(dim=1, keepdim=True)
                g.apply_edges(fn.u_dot_v("q", "log_p", "cross"))
                g.apply_edges(fn.u_sub_e("own", "cross", "kl"))
            else:  # p_i·log p_i - log q_j·p_i
                g.ndata["own"] = (p * log_p).sum(dim=1, keepdim=True)
                g.apply_edges(fn.u_dot_v("log_q", "p", "cross"))
                g.apply_edges(fn.v_sub_e("own", "cross", "kl"))
            g.apply_edges(fn.u_mul_v("c", "r", "a"))
            a = g.edata["a"]
            if WEIGHT in g.edata:
                a = a * g.edata[WEIGHT].to(a.dtype)[:, None]
            return (a * g.edata["kl"]).sum()


class _CollapsedReverse(torch.autograd.Function):
    r"""$\sum_i p_i\cdot g_i$, $g_i = w_i \log p_i - U_i$, with the gradient
    $p_i\circ(g_i - p_i\cdot g_i)$ in the logits: half of the passes that autograd takes."""

    @staticmethod
    def forward(ctx: Any, scaled: Tensor, w: Tensor, U: Tensor) -> Tensor:
        log_p = scaled.log_softmax(dim=1)
        p = log_p.exp()
        per_class = log_p.mul_(w).sub_(U).mul_(p)
        per_node = per_class.sum(dim=1, keepdim=True)
        ctx.save_for_backward(per_class.addcmul_(p, per_node, value=-1))
        return per_node.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad * ctx.saved_tensors[0], None, None


def supervised_loss(
    logits: Tensor,
    labels: Tensor,
    influence: Tensor,
    *,
    delta1: float,
    delta2: float,
    count: int | None = None,
    class_weights: Tensor | None = None,
) -> Tensor:
    r"""$L_s = \delta_1\,\mathrm{mean}(CE) + \delta_2\,\mathrm{mean}(CE\cdot I_g)$.

    Args:
        logits: `[n, C]`.
        labels: int64 `[n]`; -1 where there is none: such a node adds nothing. (Leaving it out by a
            mask would make a GPU wait for the shape.)
        influence: $I_g$ of the same nodes, `[n]`.
        count: of labelled nodes, over which the means are taken; n by default.
        class_weights: of each class's CE, `[C]`; by default 1.
    """
    ce = cross_entropy(logits, labels, class_weights, reduction="none", ignore_index=-1)
    weighted = delta1 * ce.sum() + delta2 * (ce * influence).sum()
    return weighted / (len(labels) if count is None else count)
