"""What a format of exports is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..answers import Answers, Ask
from ..specification import Specification


@dataclass(frozen=True)
class Format:
    """
    Args:
        label: within a sentence.
        platform: `<framework>_<format>`, as the Open Inference Protocol calls it.
        file: where the model is in its folder.
        write: (the model, its specification, a folder) writes its files there.
        open: (the same folder, the specification) to the model as it is asked from these files.
        loading: Markdown: how somebody else loads it, of a specification.
        packages: what it needs beside the core, names of modules.
    """

    label: str
    platform: str
    file: Callable[[Specification], str]
    write: Callable[[Answers, Specification, Path], None]
    open: Callable[[Path, Specification], Ask]
    loading: Callable[[Specification], str]
    packages: tuple[str, ...] = ()
