"""Bodies of requests as one model takes them: pydantic's types, of limits known at run time."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from ..specification import DType
from .refusal import refused

LARGEST = {"float32": 1e30, "float16": 65504.0}  # such that sums of many are finite, too


def number(dtype: DType) -> Any:
    """A finite one."""
    largest = LARGEST[dtype]
    return Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-largest, le=largest)]


def integer(low: int, below: int) -> Any:
    """One, which JSON may write as 3.0."""
    return Annotated[int, Field(strict=True, ge=low, le=below - 1), BeforeValidator(_whole)]


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def many(each: Any, most: int | None, least: int = 0, description: str | None = None) -> Any:
    """A list."""
    field = Field(min_length=least, max_length=most, description=description, fail_fast=True)
    return Annotated[list[each], field]


def one_of(*values: Any) -> Any:
    return Literal[values]


class Strict(BaseModel):
    """Of known keys alone. The first other one is told: a body may have a million."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if isinstance(value, dict):
            other = next((key for key in value if key not in cls.model_fields), None)
            if other is not None:
                raise PydanticCustomError(
                    "key", "unknown key {key}", {"key": repr(str(other)[:80])}
                )
        return value


def body(name: str, /, *, base: type[BaseModel] = Strict, **fields: Any) -> Any:
    """A model of (type, default) by name; `...` is no default."""
    made: type[BaseModel] = create_model(name, __base__=base, **fields)
    return made


def check_finite(values: np.ndarray, what: str) -> None:
    """
    Raises:
        HTTPException: 400; a row of `[n, k]` has NaN or infinity.
    """
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise refused(400, f"{what}: expected finite numbers, found others in row {row}")
