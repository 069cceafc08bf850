"""The .npz of heterophilous-graphs (Platonov et al., 2023): one graph with ten splits."""

from pathlib import Path

from ...errors import InputError
from ...registry import Format, formats
from ..imported import Imported, Options, labels_of, parts_of_masks
from ..npz import keys_of, read_npz

KEYS = ("node_features", "node_labels", "edges")
MASKS = ("train_masks", "val_masks", "test_masks")


def recognizes(path: Path) -> bool:
    return set(KEYS) <= set(keys_of(path))


def read(path: Path, options: Options) -> Imported:
    masked = set(MASKS) <= set(keys_of(path))
    arrays = read_npz(path, [*KEYS, *(MASKS if masked else ())])
    features, edges = arrays["node_features"], arrays["edges"]
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise InputError(f"{path}: edges: expected shape [E, 2], found {list(edges.shape)}")
    if features.ndim != 2:
        raise InputError(f"{path}: node_features: expected [N, D], found {list(features.shape)}")
    N = len(features)
    masks = {name.removesuffix("_masks"): arrays[name] for name in MASKS if masked}
    return Imported(
        edges=edges,
        directed=False,
        num_nodes=N,
        features=features,
        labels=labels_of(arrays["node_labels"], N, f"{path}: node_labels", options.task),
        splits=parts_of_masks(masks, N, str(path)) if masked else (),
    )


formats.add(
    Format(
        "heterophilous-graphs",
        label="heterophilous-graphs",
        place=11,
        about=".npz with node_features, node_labels, edges, train_masks, val_masks, test_masks",
        recognizes=recognizes,
        read=read,
    )
)
