"""check_ops.py [--device cuda]: every op on every dtype against its pure-torch reference.

A line per op and dtype with the largest relative error of the values and of the gradients, measured
against the reference in float64 on the same device. All of them run, whatever fails; the status
is 1 if one missed its limit. `--small` makes a few small calls of each, for compute-sanitizer.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from infgrand_dgl import ops
from infgrand_dgl.graph.csr import CSRGraph
from infgrand_dgl.influence.minimum import min_cosine, min_cosine_reference

# Of sums over the 40 000 neighbours of a row, one after the other.
REAL = {torch.float32: 1e-4, torch.float64: 1e-12}
FLOATING = {**REAL, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}


class Sizes:
    """What the ops are called on: rows that are empty, short, or split among warps.

    heads: of the attention, with the features of each; pairs: rows and width of min_cosine.
    """

    def __init__(self, device: str, small: bool) -> None:
        mixed = torch.randint(24, (60,)) * (torch.rand(60) < 0.8)
        empty = torch.zeros(5, dtype=torch.long)
        self.device = device
        if small:
            self.rows = {"mixed": torch.cat([mixed, torch.tensor([3000, 0, 257])])}
            self.widths: tuple[int, ...] = (3, 100)
            self.heads: tuple[tuple[int, int], ...] = ((3, 5), (4, 16))
            self.pairs: tuple[tuple[int, int, int], ...] = ((900, 1100, 100),)
        else:
            long = torch.tensor([0, 40_000, 0, 3, 1025, 0, 257])
            self.rows = {"mixed": mixed, "long": long, "empty": empty, "none": empty[:0]}
            self.widths = (1, 3, 64, 100, 128, 602)
            self.heads = ((1, 1), (1, 7), (3, 5), (4, 16), (8, 8), (4, 64), (1, 130))
            self.pairs = ((1, 1, 3), (300, 200, 1), (900, 1100, 100), (3000, 4000, 602),
                          (6000, 5000, 128), (20_000, 17_000, 16))  # fmt: skip

    def graphs(self, cols: int | None = None) -> Iterator[tuple[str, CSRGraph]]:
        """With so many columns, or as many as there are rows."""
        for name, lengths in self.rows.items():
            indptr = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
            M = len(lengths) if cols is None else cols
            indices = torch.randint(max(1, M), (int(indptr[-1]),), dtype=torch.int32)
            yield name, CSRGraph(indptr, indices, M).to(self.device)

    def random(self, *shape: int, dtype: torch.dtype) -> Tensor:
        return torch.randn(*shape, device=self.device).to(dtype)


@dataclass
class Case:
    """One call of an op.

    Args:
        run: of the operands, on the op (True) or on its reference.
        given: the operands in the dtype under test.
        differentiable: how many of the first ones are.
    """

    name: str
    run: Callable[[bool, list[Tensor]], Tensor]
    given: list[Tensor]
    differentiable: int = 0

    def errors(self) -> tuple[float, float]:
        """Of the values and of the gradients, relative in the Euclidean norm."""
        values, slopes = self.call(True, self.given)
        expected, exact = self.call(False, [t.double() for t in self.given])
        if values.dtype != self.given[0].dtype:
            raise TypeError(f"the result is {values.dtype}")
        backward = (distance(*pair) for pair in zip(slopes, exact, strict=True))
        return distance(values, expected), max(backward, default=0.0)

    def call(self, compiled: bool, given: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        given = [t.detach().requires_grad_(k < self.differentiable) for k, t in enumerate(given)]
        y = self.run(compiled, given)
        if not self.differentiable:
            return y, []
        upstream = torch.linspace(-1, 2, max(1, y.numel()), device=y.device)[: y.numel()]
        wanted = given[: self.differentiable]
        return y.detach(), list(torch.autograd.grad(y, wanted, upstream.reshape(y.shape).to(y)))


def distance(values: Tensor, expected: Tensor) -> float:
    """nan, which no limit admits, where a number is missing."""
    if values.shape != expected.shape:
        raise ValueError(f"the shape is {list(values.shape)}, expected {list(expected.shape)}")
    norm = float(expected.norm()) or 1.0
    return float((values.double() - expected).norm()) / norm


def spmm_cases(dtype: torch.dtype, sizes: Sizes) -> Iterator[Case]:
    scale = torch.promote_types(dtype, torch.float32)
    for name, csr in sizes.graphs(47):
        r, c = (sizes.random(n, dtype=scale).abs() for n in (csr.num_rows, csr.num_cols))
        v = sizes.random(csr.num_edges, dtype=scale)
        forms: dict[str, tuple[Any, ...]] = {
            "plain": (None, None, 0.0, None),
            "scales": (r, c, 1.5, None),
            "values": (None, c, 0.0, v),
        }
        for width in sizes.widths:
            x = sizes.random(csr.num_cols, width, dtype=dtype)
            for form, options in forms.items():

                def run(compiled, given, csr=csr, options=options):
                    (x,) = given
                    acc = torch.promote_types(x.dtype, torch.float32)
                    cast: list[Any] = [o.to(acc) if isinstance(o, Tensor) else o for o in options]
                    op = ops.spmm if compiled else ops.spmm_reference
                    return op(csr, x, *cast[:3], values=cast[3])

                yield Case(f"{name}, {form}, D = {width}", run, [x], 1)


def propagate_cases(dtype: torch.dtype, sizes: Sizes) -> Iterator[Case]:
    graphs = list(sizes.graphs())
    weighted = [
        (
            f"{name} weighted",
            replace(csr, weights=sizes.random(csr.num_edges, dtype=torch.float32).abs()),
        )
        for name, csr in graphs
    ]
    for name, csr in graphs + weighted:
        for width in sizes.widths:
            x = sizes.random(csr.num_rows, width, dtype=dtype)
            masks = {"": None, " masked": sizes.random(csr.num_rows, dtype=torch.float32).abs()}
            for pooling, masked in product(("mean", "max", "min", "last"), masks):

                def run(compiled, given, csr=csr, pooling=pooling, mask=masks[masked]):
                    op = ops.propagate if compiled else ops.propagate_reference
                    arguments = {"hops": 3, "pooling": pooling, "self_loop_weight": 1.5}
                    return op(csr, given[0], mask=mask, **arguments)

                linear = pooling in ("mean", "last")
                yield Case(f"{name}{masked}, {pooling}, D = {width}", run, [x], int(linear))


def edge_dot_cases(dtype: torch.dtype, sizes: Sizes) -> Iterator[Case]:
    for name, csr in sizes.graphs(47):
        for width in sizes.widths:
            x = sizes.random(csr.num_rows, width, dtype=dtype)
            y = sizes.random(csr.num_cols, width, dtype=dtype)

            def run(compiled, given, csr=csr):
                return (ops.edge_dot if compiled else ops.edge_dot_reference)(csr, *given)

            yield Case(f"{name}, D = {width}", run, [x, y], 1)


def gat_cases(dtype: torch.dtype, sizes: Sizes) -> Iterator[Case]:
    for name, csr in sizes.graphs(47):
        N, M = csr.num_rows, csr.num_cols
        for heads, features in sizes.heads:
            shapes = ((M, heads, features), (M, heads), (N, heads))
            given = [sizes.random(*shape, dtype=dtype) for shape in shapes]
            for dropout in (0.0, 0.4):

                def run(compiled, given, csr=csr, dropout=dropout):
                    op = ops.gat_aggregate if compiled else ops.gat_aggregate_reference
                    return op(csr, *given, dropout=dropout, seed=7)

                yield Case(f"{name}, {heads} × {features}, dropout {dropout}", run, given, 3)


def min_cosine_cases(dtype: torch.dtype, sizes: Sizes) -> Iterator[Case]:
    """The minimum is exact in float64: its error is absolute, and the pair must attain it."""
    for n, m, width in sizes.pairs:
        gauss = [sizes.random(k, width, dtype=dtype) for k in (n, m)]
        centres = sizes.random(6, width, dtype=dtype)
        clusters = [centres[torch.randint(6, (len(g),))] + 0.1 * g for g in gauss]
        cone = [gauss[0], 1 + 0.2 * gauss[1]]
        for name, rows in {"sphere": gauss, "clusters": clusters, "cone": cone}.items():
            x, y = (torch.nn.functional.normalize(t, dim=1) for t in rows)

            def run(compiled, given, x=x, y=y):
                if not compiled:
                    return torch.full_like(given[0], min_cosine_reference(x, y)).expand(2)
                minimum = min_cosine(x, y)
                i, j = minimum.pair
                attained = float(x[i].double() @ y[j].double())
                return torch.tensor([minimum.value, attained], dtype=torch.float64)

            one = torch.ones(1, dtype=torch.float64)
            yield Case(f"{name}, {n} × {m}, D = {width}", run, [one])


OPS: dict[str, tuple[Callable[..., Iterator[Case]], dict[torch.dtype, float]]] = {
    "spmm": (spmm_cases, FLOATING),
    "propagate": (propagate_cases, FLOATING),
    "edge_dot": (edge_dot_cases, REAL),
    "gat": (gat_cases, {torch.float32: 1e-3, torch.float64: 1e-11}),  # slopes that cancel
    "min_cosine": (min_cosine_cases, dict.fromkeys(REAL, 1e-13)),
}


def check(op: str, dtype: torch.dtype, sizes: Sizes) -> dict[str, object]:
    """The row of one op and dtype; prints it."""
    make, limits = OPS[op]
    limit, forward, backward, calls = limits[dtype], 0.0, 0.0, 0
    missed: list[str] = []
    for case in make(dtype, sizes):
        calls += 1
        try:
            errors = case.errors()
        except Exception as error:  # whatever it is, the others run
            reason = str(error).splitlines() or [""]
            missed.append(f"{case.name}: {type(error).__name__}: {reason[0]}")
            continue
        forward, backward = max(forward, errors[0]), max(backward, errors[1])
        if not max(errors) <= limit or any(e != e for e in errors):
            missed.append(f"{case.name}: {errors[0]:.1e} and {errors[1]:.1e}")
    name = str(dtype).removeprefix("torch.")
    print(
        f"{op:10} {name:8} values {forward:.1e}, gradients {backward:.1e}, limit {limit:.0e}, "
        f"{calls} calls: {'MISSED' if missed else 'ok'}",
        *(f"    {line}" for line in missed),
        sep="\n",
        flush=True,
    )
    return {"op": op, "dtype": name, "values": forward, "gradients": backward, "limit": limit,
            "calls": calls, "missed": missed}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--only", nargs="+", default=list(OPS), choices=OPS, metavar="OP")
    parser.add_argument("--small", action="store_true", help="a few small calls of each")
    parser.add_argument("--seed", type=int, help="of the random operands (default: another)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    args = parser.parse_args(arguments)
    seed = torch.seed() % 2**32 if args.seed is None else args.seed
    torch.manual_seed(seed)
    compiled = args.device in ops.loaded()
    print(f"{args.device}, torch {torch.__version__}, compiled kernels: {compiled}, --seed {seed}")
    sizes = Sizes(args.device, args.small)
    rows: list[dict[str, object]] = []
    result = {"device": args.device, "compiled": compiled, "seed": seed, "rows": rows}
    for op in args.only:
        for dtype in OPS[op][1]:
            rows.append(check(op, dtype, sizes))
            if args.json:
                args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if compiled and not any(row["missed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
