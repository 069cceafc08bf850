"""GraphML, GEXF and GML, as NetworkX, Gephi and yEd write them: attributes of nodes are columns."""

from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd

from ...errors import InputError
from ...graph.convert import WEIGHTS
from ...registry import Format, formats
from ...system.reading import reading
from ..feature_files import read_features
from ..imported import Imported, Options
from ..node_tables import LABELS, read_nodes
from ..tables import Table, texts
from ..weights import Wanted, as_weights, chosen

RESERVED = ("id", "key")  # of an edge, as GEXF and GraphML have them
READERS = {".graphml": nx.read_graphml, ".gexf": nx.read_gexf, ".gml": nx.read_gml}


def recognizes(path: Path) -> bool:
    return path.suffix.lower() in READERS and path.is_file()


def read(path: Path, options: Options) -> Imported:
    with reading(path, f"a readable {path.suffix} file"):
        graph = READERS[path.suffix.lower()](path)
    if not len(graph):
        raise InputError(f"{path}: expected a graph with nodes, found none")
    rows = [attributes for _, attributes in graph.nodes(data=True)]
    frame = pd.DataFrame(rows).drop(columns=["viz", "id"], errors="ignore").astype(object)
    frame = _vectors(frame.where(frame.notna(), ""), path)
    named = options.label is None and options.task != "regression"
    if "label" in frame and named and _is_display(frame):
        frame = frame.drop(columns="label")
    nodes = read_nodes(Table(frame, True, path, None), options, options.features is None)
    features = nodes.features if options.features is None else read_features(options.features)[0]
    unused = ", ".join(nodes.unused)
    weights, notes = _weights(graph, options.weights, str(path))
    if unused:
        notes = [f"{path}: text is not used: {unused}", *notes]
    number = {node: i for i, node in enumerate(graph)}
    pairs = [(number[u], number[v]) for u, v in graph.edges()]
    return Imported(
        edges=np.array(pairs, np.int64).reshape(-1, 2),
        weights=weights,
        directed=graph.is_directed(),
        num_nodes=len(graph),
        features=features,
        labels=nodes.labels,
        label_names=nodes.label_names,
        splits=nodes.splits,
        notes=tuple(notes),
        ids=np.array([str(node) for node in graph]),
    )


def _weights(graph: nx.Graph, wanted: Wanted, where: str) -> tuple[np.ndarray | None, list[str]]:
    """Of an attribute of the edges: `[E]`, and lines for the user. NetworkX takes a missing one
    for 1."""
    attributes = [attributes for *_, attributes in graph.edges(data=True)]
    names = {name: None for each in attributes for name in each if name not in RESERVED}
    numeric = [n for n in names if all(_is_number(each.get(n, 1)) for each in attributes)]
    candidates = (
        [*names]
        if isinstance(wanted, str)
        else [n for n in names if n in numeric or n.lower() in WEIGHTS]
    )
    taken = chosen(candidates, wanted, f"{where}: edges")
    if taken is None:
        return None, []
    name = candidates[taken]
    values = [each.get(name, 1) for each in attributes]
    if name not in numeric:
        found = next(repr(value) for value in values if not _is_number(value))
        expected = "expected numbers as edge weights"
        raise InputError(f"{where}: edges: {name}: {expected}, found {found}")
    missing = sum(name not in each for each in attributes)
    notes = [f"{where}: {missing:,} edges without {name} have weight 1"] if missing else []
    return as_weights(np.array(values, np.float64), f"{where}: edges: {name}"), notes


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _is_display(frame: pd.DataFrame) -> bool:
    """Whether `label` is a name for each node, which Gephi shows, and neither class nor number."""
    labels = texts(frame["label"])
    others = [name for name in frame if str(name).lower() in LABELS and name != "label"]
    alone = len(labels) > 2 and len(set(labels)) == len(labels)
    return bool(others) or (alone and not any(isinstance(each, float) for each in frame["label"]))


def _vectors(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Attributes that hold a list of numbers (GML), or its text, as a column for each."""
    for name in list(frame):
        first = frame[name].iloc[0]
        if isinstance(first, str) and first.startswith("[") and first.endswith("]"):
            frame[name] = [str(each).strip("[]").replace(",", " ").split() for each in frame[name]]
            first = frame[name].iloc[0]
        if not isinstance(first, list):
            continue
        lengths = {len(each) if isinstance(each, list) else 0 for each in frame[name]}
        if len(lengths) > 1:
            raise InputError(f"{path}: {name}: expected as many numbers of every node")
        columns = pd.DataFrame(frame[name].tolist()).add_prefix(f"{name}_")
        frame = pd.concat([frame.drop(columns=name), columns.astype(object)], axis=1)
    return frame


formats.add(
    Format(
        "networkx",
        label="GraphML, GEXF, GML",
        place=30,
        about=".graphml, .gexf, .gml: attributes of nodes are label, split and features",
        recognizes=recognizes,
        read=read,
    )
)
