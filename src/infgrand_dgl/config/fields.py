"""What the fields of the configuration are made of: names, numbers, bytes, paths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ..registry import Task as Task
from ..registry import measures, methods, sources, teachers

Precision = Literal["float32", "tf32", "bfloat16"]
MetricName = Literal[
    "accuracy", "macro_f1", "balanced_accuracy", "roc_auc", "average_precision", "r2", "mae", "rmse"
]
Style = Literal["citation", "arxiv", "products", "papers100M", "uniform"]

MeasureName = Annotated[str, AfterValidator(measures.check)]
MethodName = Annotated[str, AfterValidator(methods.check)]
TeacherName = Annotated[str, AfterValidator(teachers.check)]
SourceName = Annotated[str, AfterValidator(sources.check)]

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy's range
Width = Annotated[int, Field(ge=1, le=1 << 20)]
Layers = Annotated[int, Field(ge=1, le=1000)]
Epochs = Annotated[int, Field(ge=1, le=10**9)]
Hops = Annotated[int, Field(ge=0, le=10_000)]

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


def _bytes(value: Any) -> Any:
    """12GB, 1.5 GiB or a number of bytes."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([A-Za-z]*)\s*", value)
    if match is None or match[2].upper() not in UNITS:
        raise ValueError(f"expected bytes, such as 12GB, 512MiB or 4000000000; found {value!r}")
    return round(float(match[1]) * UNITS[match[2].upper()])


Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1)]


def _path(path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:  # ~somebody who is not here
        raise ValueError(f"expected a path, found {path!r} ({error})") from None


AbsolutePath = Annotated[str, AfterValidator(_path)]
