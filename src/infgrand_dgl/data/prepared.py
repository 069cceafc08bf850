"""Prepared datasets (`store`): made from any source, and opened instantly."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..config.schema import OF_SPLITS, Config, DataConfig
from ..errors import InputError
from ..graph.csr import CSRGraph
from ..present.console import Reporter
from ..registry import sources
from ..system.reading import reading
from ..system.writing import new_folder
from .dataset import PARTS, NodeDataset, Split, check_labels, check_split
from .node_ids import as_numbers, from_numbers
from .original import load_original
from .root import root_of
from .store import FOLDER, MANIFEST, Store, open_array, read_manifest
from .structural import structural_features

# Settings that change nothing in the folder.
FREE = {"root", "prepared", "task"} | OF_SPLITS


def prepare(
    config: Config,
    out: Path,
    *,
    dtype: str = "float32",
    overwrite: bool = False,
    report: Reporter | None = None,
) -> None:
    """Writes the dataset of `config.data` to the folder `out`, which appears when it is whole.

    Args:
        dtype: of the features: float32, float16 or bfloat16.

    Raises:
        InputError: what loading the dataset raises; `out` holds something, and `overwrite` is
            not given or it is no prepared dataset; the disk is full; features that overflow.
    """
    report = report or Reporter(quiet=True)
    data = config.data.model_copy(update={"prepared": None})
    _check_seen(data)
    with new_folder(out, overwrite, FOLDER) as folder:
        source, root = sources[data.name], root_of(data)
        store = Store(folder, dtype, report)
        try:
            if source.write is not None and source.streamed(data, root):
                _check_streamed(data)
                counts = source.write(data, root, store, report)
            else:
                with report.timed("loading"):
                    dataset = load_original(data)
                if dataset.lacks is None:
                    for split in dataset.splits or filter(None, [dataset.split]):
                        check_split(split, dataset.num_nodes, data.root or data.name)
                        check_labels(split, dataset.labels, data.root or data.name)
                counts = _write(dataset, store)
            store.write_manifest(counts, data.model_dump())
        except OSError as error:
            raise InputError(f"--out {out}: cannot be written ({error.strerror})") from None


def _check_streamed(data: DataConfig) -> None:
    if data.protocol == "glnn":
        raise InputError(
            f"data.protocol: glnn: {data.name} of this size is written part by part, without its "
            "largest component; expected published"
        )
    key = "features: structural" if data.features == "structural" else "standardize: true"
    if data.features == "structural" or data.standardize:
        raise InputError(
            f"data.{key}: {data.name} of this size is written part by part, with the features "
            "that it comes with; leave it out"
        )


def _check_seen(data: DataConfig) -> None:
    if data.standardize and data.setting == "inductive":
        raise InputError(
            "data.standardize: true: when inductive, the nodes that it goes by are those which a "
            "seed does not hide, and a prepared folder is of all; leave data.prepared out"
        )


def _write(dataset: NodeDataset, store: Store) -> dict[str, Any]:
    """All arrays; returns the counts of the manifest."""
    store.put("indptr", dataset.csr.indptr)
    store.put("indices", dataset.csr.indices)
    if dataset.csr.weights is not None:
        store.put("weights", dataset.csr.weights)
    store.put("labels", dataset.labels)
    if dataset.ids is not None:
        store.put("ids", as_numbers(dataset.ids))
    if dataset.split is not None:
        store.split(dataset.split)
    for k, split in enumerate(dataset.splits):
        store.split(split, f"_{k}")
    blocks = (block for _, block in dataset.matrix.blocks())
    store.features(blocks, dataset.num_nodes, dataset.num_features)
    return {
        "name": dataset.name,
        "nodes": dataset.num_nodes,
        "edges": dataset.num_edges,
        "features": dataset.num_features,
        "classes": dataset.num_classes,
        "class_names": dataset.classes,
        "splits": len(dataset.splits),
        "lacks": dataset.lacks,
        "task": dataset.task,
        "provenance": dataset.provenance,
    }


def load(config: DataConfig, folder: Path) -> NodeDataset:
    """A prepared dataset; no array is read, only files and manifest are compared.

    Raises:
        InputError: no prepared folder, a file that does not fit the manifest, or a configuration
            that would make another dataset.
    """
    manifest = read_manifest(folder)
    _check_seen(config)
    made, wanted = manifest["data"], config.model_dump()
    for key, value in wanted.items():
        # A setting younger than the folder had its default.
        then = made.get(key, DataConfig.model_fields[key].default)
        if key not in FREE and then != value:
            then, found = json.dumps(then), json.dumps(value)  # as YAML has them
            raise InputError(
                f"data.{key}: {folder} was prepared with {then}, found {found}; "
                f"prepare it anew, or configure {then}"
            )
    task = manifest.get("task", "classification")
    if config.task not in ("auto", task):
        raise InputError(
            f"data.task: {folder} was prepared with labels of {task}, found {config.task}; "
            f"prepare it anew, or configure auto"
        )
    arrays = {name: open_array(folder, entry) for name, entry in manifest["arrays"].items()}
    N, E, D = (manifest[key] for key in ("nodes", "edges", "features"))
    shapes = {"indptr": [N + 1], "indices": [E], "features": [N, D], "labels": [N]}
    if task != "classification":
        shapes["labels"] = [N, manifest["classes"]]
    if "weights" in arrays:
        shapes["weights"] = [E]
    if "ids" in arrays:
        shapes["ids"] = [N, *arrays["ids"].shape[1:]]
    for name, shape in shapes.items():
        if name not in arrays or list(arrays[name].shape) != shape:
            given = list(arrays[name].shape) if name in arrays else "none"
            raise InputError(f"{folder / MANIFEST}: {name}: expected shape {shape}, found {given}")
    names = manifest.get("class_names")
    with reading(folder / MANIFEST, "a manifest written by data prepare"):
        split = Split(*(arrays[part] for part in PARTS)) if "train" in arrays else None
        numbers = range(manifest.get("splits", 0))
        splits = tuple(Split(*(arrays[f"{part}_{k}"] for part in PARTS)) for k in numbers)
    return NodeDataset(
        name=manifest["name"],
        csr=CSRGraph(
            arrays["indptr"],
            arrays["indices"],
            N,
            symmetric=True,
            weights=arrays.get("weights"),
        ),
        features=arrays["features"],
        labels=arrays["labels"],
        num_classes=manifest["classes"],
        split=split,
        provenance={**manifest["provenance"], "prepared": str(folder)},
        content=_content(manifest),
        classes=names and tuple(names),
        splits=splits,
        lacks=manifest.get("lacks"),
        task=task,
        features_of=structural_features if config.features == "structural" else None,
        ids=from_numbers(arrays["ids"]) if "ids" in arrays else None,
    )


def _content(manifest: dict[str, Any]) -> str:
    """32 digits that stand for all but the split in the dataset's fingerprint."""
    stored = manifest["arrays"].items()
    arrays = {name: entry for name, entry in stored if name.split("_")[0] not in PARTS}
    text = json.dumps([arrays, manifest["classes"]], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
