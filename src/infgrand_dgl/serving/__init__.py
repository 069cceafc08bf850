"""A student without its graph: kept in one file, asked, exported."""

from .student import (
    expected_inputs,
    has_labels,
    likeliest,
    load_classes,
    load_student,
    load_task,
    predict,
    ranked,
    rows_of,
    save_weights,
    served,
)

__all__ = [
    "expected_inputs",
    "has_labels",
    "likeliest",
    "load_classes",
    "load_student",
    "load_task",
    "predict",
    "ranked",
    "rows_of",
    "save_weights",
    "served",
]
