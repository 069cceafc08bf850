r"""The influence-guided loss (paper: "Influence-Guided Distillation Loss").

Every node i learns from the soft labels of its neighbours j, itself included:

$$L_d = \sum_i \sum_{j\in N(i)} a_{ij}\,D_{ij},\qquad a_{ij} = r_i\,c_j,\quad
  c_j = \gamma_1 + \gamma_2 I_g(j)$$

with $r_i = 1/(|N(i)|\,N)$ (`edge_weighting="neighborhood"`: the paper's text over N, so that both
forms have the scale of a mean) or $r_i = 1/E$ (`"edges"`: the authors' code). On a graph with
weights $a_{ij} = r_i\,c_j\,w_{ij}$, where the sum of the weights of row i takes the place of
$|N(i)|$, and that of all weights the place of $E$. $D_{ij}$ is the divergence of student i from
teacher j. Of classes it is $\mathrm{KL}(q_j \| p_i)$ (`kl="forward"`: the authors' code) or
$\mathrm{KL}(p_i \| q_j)$ (`"reverse"`: the paper's text), with $p_i = \sigma(h^s_i/\tau)$ of the
student and $q_j = \sigma(h^t_j/\tau)$ of the teacher; there is no $\tau^2$ factor. `tasks/` has it
for each task.

All are linear in the neighbour's term, so the sum over edges collapses exactly to a sum over
nodes, with targets that are computed once. What node i has beside its targets is its `own` term:
the loss of a batch of nodes is made of their rows alone, and needs no graph.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..config.fields import Task
from ..errors import InputError, check_choice, check_number, check_shape
from ..graph.convert import GraphLike, as_csr
from ..graph.weights import WEIGHT
from ..ops import Direction, edge_kl, spmm
from ..system.arrays import first_not_finite
from .tasks import DIVERGENCES

Errors = Callable[[Tensor, Tensor], Tensor]
EdgeWeighting = Literal["neighborhood", "edges"]
Form = Literal["collapsed", "apply_edges", "edge_kl"]


class DistillationLoss(nn.Module):
    r"""$L_d$ of a student's logits against a fixed teacher.

    Args:
        graph: an undirected graph of any kind that `influence_scores` takes, with weights or
            without, completed to one self-loop per node; a `CSRGraph` is taken as it is, parallel
            edges and all. Row i holds N(i).
        teacher_logits: $h^t$, `[N, C]`, floating point; of regression its predictions.
        influence: $I_g$, `[N]`.
        gamma1, gamma2: $\gamma_1, \gamma_2 \ge 0$.
        tau: the temperature, positive; of regression 1.
        kl: "forward" or "reverse"; of regression "forward".
        edge_weighting: "neighborhood" or "edges".
        form: "collapsed" needs no edges after construction. The others are the sum as written,
            O(E) memory per call: "apply_edges" on DGL's `apply_edges`, "edge_kl", of classes alone,
            on our op.
        task: "classification", "multilabel" or "regression".
        scale: of regression: in what each column's error is measured, `[C]`; 1 by default.
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
    own: Tensor  # collapsed: [N, 1], or [N, 2]
    teacher: Tensor  # edge by edge: [N, C], or [N, 2C]
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
        task: Task = "classification",
        scale: Tensor | None = None,
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
        if not teacher_logits.numel() or teacher_logits.is_complex():
            found = f"{teacher_logits.dtype} {list(teacher_logits.shape)}"
            raise InputError(f"teacher_logits: expected numbers, N and C at least 1, found {found}")
        _check_choices(kl, edge_weighting, form, task)
        check_number("tau", tau, "a positive number", lambda t: 0 < t < math.inf)
        for name, gamma in (("gamma1", gamma1), ("gamma2", gamma2)):
            check_number(name, gamma, "0 or more", lambda g: 0 <= g < math.inf)
        _check_room(teacher_logits, columns, out)
        for name, given in (("teacher_logits", teacher_logits), ("influence", influence)):
            if first_not_finite(given) is not None:
                raise InputError(f"{name}: expected finite numbers, found NaN or infinity")
        dtype = torch.promote_types(teacher_logits.dtype, torch.float32)
        self.tau, self.kl, self.form, self.shape = tau, kl, form, teacher_logits.shape
        if scale is not None:
            check_shape("scale", scale, [self.shape[1]])
            if not ((scale > 0) & scale.isfinite()).all():
                raise InputError(f"scale: expected positive numbers, found {scale.tolist()}")
            scale = scale.detach().to(device, dtype)
        DIVERGENCES[task].check(kl, tau, form)
        self.divergence = DIVERGENCES[task](kl, tau, scale)

        c = gamma1 + gamma2 * influence.detach().to(device, dtype)
        if edge_weighting == "neighborhood":
            sums = csr.row_sums
            r = (sums.masked_fill(sums == 0, 1) * N).to(dtype).reciprocal()
        else:
            total = csr.num_edges if csr.weights is None else float(csr.row_sums.sum())
            r = torch.full((N,), 1 / (total or 1), dtype=dtype, device=device)

        def aggregate(x: Tensor) -> Tensor:
            return spmm(csr, x, r.to(x.dtype), c.to(x.dtype))

        logits = teacher_logits.detach()
        self.columns = columns or logits.shape[1]
        if form == "collapsed":
            targets, own = self.divergence.collapse(logits, aggregate, dtype, self.columns, out)
            self.register_buffer("targets", targets)
            self.register_buffer("own", own)
            return
        self.register_buffer("teacher", self.divergence.readable(logits.to(dtype)))
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

    def per_node(self) -> dict[str, Tensor]:
        """Collapsed: what the loss of a node is made of, row by row.

        Raises:
            InputError: another form, which is made of edges.
        """
        if self.form != "collapsed":
            raise InputError(f"form: per_node is of collapsed, found {self.form}")
        return {"targets": self.targets, "own": self.own}

    def forward(
        self, student_logits: Tensor, targets: Tensor | None = None, own: Tensor | None = None
    ) -> Tensor:
        if self.form != "collapsed":
            check_shape("student_logits", student_logits, self.shape)
            student = student_logits.to(self.teacher.dtype)
            if self.form == "edge_kl":
                scaled = student / self.tau
                return edge_kl(self.graph, scaled, self.teacher, self.a, direction=self.kl).sum()
            return self.edge_sum(self.divergence.readable(student))
        if targets is None or own is None:
            targets, own = self.targets, self.own
        check_shape("student_logits", student_logits, targets.shape)
        check_shape("own", own, [len(targets), self.own.shape[1]])
        return self.divergence.of_nodes(student_logits.to(targets.dtype), targets, own)

    def edge_sum(self, student: Tensor) -> Tensor:
        """The definition, edge by edge: sources are neighbours j, destinations students i."""
        from ..graph.dgl_bridge import dgl

        fn, g = dgl.function, self.graph
        with g.local_scope():
            g.ndata.update({"c": self.c[:, None], "r": self.r[:, None]})
            self.divergence.along_edges(g, self.teacher, student)
            g.apply_edges(fn.u_mul_v("c", "r", "a"))
            a = g.edata["a"]
            if WEIGHT in g.edata:
                a = a * g.edata[WEIGHT].to(a.dtype)[:, None]
            return (a * g.edata["D"]).sum()


def _check_room(teacher_logits: Tensor, columns: int | None, out: Tensor | None) -> None:
    if columns is not None:
        check_number("columns", columns, "an integer from 1 on", lambda k: k > 0 and k % 1 == 0)
    if out is not None:
        check_shape("out", out, teacher_logits.shape)
        if not out.is_floating_point():
            raise InputError(f"out: expected floating point, found {out.dtype}")


def _check_choices(kl: str, edge_weighting: str, form: str, task: str) -> None:
    check_choice("kl", kl, get_args(Direction))
    check_choice("edge_weighting", edge_weighting, get_args(EdgeWeighting))
    check_choice("form", form, get_args(Form))
    check_choice("task", task, get_args(Task))


def supervised_loss(
    logits: Tensor,
    labels: Tensor,
    influence: Tensor,
    *,
    delta1: float,
    delta2: float,
    count: int | None = None,
    class_weights: Tensor | None = None,
    errors: Errors | None = None,
) -> Tensor:
    r"""$L_s = \delta_1\,\mathrm{mean}(CE) + \delta_2\,\mathrm{mean}(CE\cdot I_g)$.

    Args:
        logits: `[n, C]`.
        labels: int64 `[n]`; -1 where there is none: such a node adds nothing. (Leaving it out by a
            mask would make a GPU wait for the shape.) Or what `errors` takes.
        influence: $I_g$ of the same nodes, `[n]`.
        count: of labelled nodes, over which the means are taken; n by default.
        class_weights: of each class's CE, `[C]`; by default 1.
        errors: of another task (`tasks.LearningTask.errors`), in the place of CE.

    Raises:
        InputError: labels or influence of other nodes or shape than the logits, labels that are not
            int64.
    """
    check_shape("logits", logits, ["n", "C"])
    check_shape("influence", influence, [len(logits)])
    if errors is None:
        check_shape("labels", labels, [len(logits)])
        if labels.dtype != torch.int64:
            raise InputError(f"labels: expected int64, found {labels.dtype}")
        ce = cross_entropy(logits, labels, class_weights, reduction="none", ignore_index=-1)
    else:
        ce = errors(logits, labels)
    weighted = delta1 * ce.sum() + delta2 * (ce * influence).sum()
    return weighted / (len(labels) if count is None else count)
