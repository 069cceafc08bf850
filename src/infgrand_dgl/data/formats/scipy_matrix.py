"""An adjacency that `scipy.sparse.save_npz` wrote: row i is node i."""

from pathlib import Path

from ...registry import Format, formats
from ..npz import keys_of
from ..tabular import read

KEYS = {"format", "shape", "data"}


def recognizes(path: Path) -> bool:
    return set(keys_of(path)) >= KEYS


formats.add(
    Format(
        "scipy-matrix",
        label="SciPy matrix",
        place=32,
        about=".npz of scipy.sparse.save_npz, an adjacency; --nodes, --features beside it",
        recognizes=recognizes,
        read=read,
    )
)
