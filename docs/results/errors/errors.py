"""Whose errors are whose: of the recipe's wrong test nodes, how many GRAND and the best rivals have
wrong too, and how many of their neighbours are of their own class. A line for each seed.

python errors.py amazon-photo 64 2022 2023 2024
python errors.py coauthor-cs 64 2022 2023 2024 propagation.of=products
"""

import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from torch import Tensor

from infgrand_dgl.data import NodeDataset, load_source, with_split
from infgrand_dgl.experiment.train import train
from infgrand_dgl.present.console import Silent
from infgrand_dgl.propagation.inputs import student_inputs
from infgrand_dgl.serving import load_student
from infgrand_dgl.studies.published import Published, every, on_propagated, taught_by
from infgrand_dgl.system.runtime import Runtime


def alike(data: NodeDataset) -> Tensor:
    """The share of a node's neighbours that are of its class, `[N]`; NaN of isolated ones."""
    csr, labels = data.csr, data.labels
    rows = torch.arange(csr.num_rows).repeat_interleave(csr.row_lengths)
    same = (labels[rows] == labels[csr.indices.long()]).double()
    count = torch.zeros(csr.num_rows).double().index_add_(0, rows, same)
    return (count - 1) / (csr.row_lengths - 1)  # each row holds the node itself


def main(dataset: str, hidden: str, *given: str) -> None:
    seeds = ",".join(each for each in given if "=" not in each)
    changes = (f"train.seeds=[{seeds}]", *[each for each in given if "=" in each])
    common = ("data.root=data", f"student.hidden={hidden}", "teacher.hidden=128", *changes)
    cell = Published(dataset, "gcn", "transductive", common, every(["all"]))
    config, recipe, grand = cell.config, cell.recipe(), cell.own("grand")
    assert recipe is not None and grand is not None
    students = {
        name: on_propagated(cell.student(name, config), config) for name in ("glnn", "krd", "hgmd")
    }
    students |= {"grand": taught_by(config, grand), "recipe": taught_by(config, recipe)}
    out = Path(mkdtemp()) / "run"
    train(config, out, students=students, report=Silent())

    source, here = load_source(config.data), Runtime.on("cpu")
    for seed in config.train.seeds:
        data = with_split(source, config.data, seed)
        test, wrong = data.test, {}
        for name, its in students.items():
            student: Any = load_student(out / f"seed-{seed}/{name}.safetensors").eval()
            with torch.no_grad():
                classes = student(student_inputs(its, data, here)[test]).argmax(1)
            wrong[name] = classes != data.labels[test]
        ours, few = wrong["recipe"], alike(data)[test] < 0.5
        shared = [f"{name} {float(w[ours].double().mean()):.2f}" for name, w in wrong.items()]
        errors = [f"{name} {100 * float(w.double().mean()):.1f} %" for name, w in wrong.items()]
        print(
            f"{dataset}, seed {seed}: errors {', '.join(errors)}; of the recipe's have "
            f"{', '.join(shared[:-1])}. Mostly other neighbours have "
            f"{100 * float(few.double().mean()):.1f} % of the nodes, and "
            f"{float(few[ours].double().mean()):.2f} of its errors; of the other nodes "
            f"{100 * float(ours[~few].double().mean()):.1f} % are wrong.",
            flush=True,
        )


main(*sys.argv[1:])
