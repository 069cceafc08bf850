"""Makes `import dgl` work, whichever torch there is, and end. Imports neither.

DGL's wheels carry an optional part, graphbolt, as one library for each torch version they were
built for, and `import dgl` fails under any other torch. Nothing here uses graphbolt, so where its
library for this torch is missing an empty module takes its place.

DGL imports ogb where that is installed. ogb then asks PyPI for its newest version, in a thread that
a process without a network waits for at its end: its version is told here instead.
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
    library = f"libgraphbolt_pytorch_{_version('torch')}.so"
    if not Path(spec.origin).with_name("graphbolt").joinpath(library).exists():
        sys.modules[NAME] = ModuleType(NAME)
    _silence_ogb()


def _silence_ogb() -> None:
    name = "ogb.version"  # the module that asks
    installed = _version("ogb")
    if installed and name not in sys.modules:
        sys.modules[name] = module = ModuleType(name)
        module.__dict__["__version__"] = installed


def has_graphbolt() -> bool:
    """Whether DGL's own is there, and not the empty module."""
    return hasattr(sys.modules.get(NAME), "__path__")


def _version(package: str) -> str:
    try:
        return version(package).split("+")[0]
    except PackageNotFoundError:
        return ""
