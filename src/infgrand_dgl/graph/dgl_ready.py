"""Makes `import dgl` work, whichever torch there is, and end. Imports neither.

DGL's wheels carry an optional part, graphbolt, as one library for each torch version they were
built for, and `import dgl` fails under any other torch. Nothing here uses graphbolt, so where its
library for this torch is missing an empty module takes its place.

DGL imports ogb where that is installed. ogb then asks PyPI for its newest version, in a thread that
a process without a network waits for at its end: it is imported here as if it could not ask.
"""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

NAME = "dgl.graphbolt"


def prepare() -> None:
    """Once is enough; after a DGL that was imported, or is not installed, nothing is done."""
    if "dgl" in sys.modules or NAME in sys.modules:
        return
    spec = find_spec("dgl")
    if spec is None or spec.origin is None:
        return
    os.environ.setdefault("DGLBACKEND", "pytorch")  # else DGL writes a file into the home folder
    for part in [name for name in sys.modules if name.startswith("dgl.")]:
        del sys.modules[part]  # of an `import dgl` that failed
    library = f"libgraphbolt_pytorch_{_torch_version()}.so"
    if not Path(spec.origin).with_name("graphbolt").joinpath(library).exists():
        sys.modules[NAME] = ModuleType(NAME)
    _import_ogb()


def _import_ogb() -> None:
    asks = "outdated"  # what it asks with
    before = sys.modules.get(asks)
    sys.modules[asks] = None  # type: ignore[assignment]
    try:
        import ogb  # noqa: F401
    except ImportError:  # DGL does without
        pass
    finally:
        del sys.modules[asks]
        if before is not None:
            sys.modules[asks] = before


def has_graphbolt() -> bool:
    """Whether DGL's own is there, and not the empty module."""
    return hasattr(sys.modules.get(NAME), "__path__")


def _torch_version() -> str:
    try:
        return version("torch").split("+")[0]
    except PackageNotFoundError:
        return ""
