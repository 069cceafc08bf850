"""A student without its graph: kept in one file, asked, exported."""

from .student import (
    has_labels,
    likeliest,
    load_classes,
    load_student,
    load_task,
    predict,
    rows_of,
    save_weights,
    served,
)

__all__ = [
    "has_labels",
    "likeliest",
    "load_classes",
    "load_student",
    "load_task",
    "predict",
    "rows_of",
    "save_weights",
    "served",
]
