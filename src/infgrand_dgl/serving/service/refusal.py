"""What a request is told that cannot be answered: a status, and a reason in one line."""

import reprlib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from ...errors import one_line


class Refusal(BaseModel):
    """Why a request was not answered."""

    error: str


def refused(status: int, reason: str) -> HTTPException:
    return HTTPException(status, one_line(reason))


def explained(error: ValidationError) -> str:
    """The first thing that is wrong with a body: where, what was expected, what was found."""
    return explained_first(error.errors(include_url=False, include_context=False))


def explained_first(errors: Sequence[Any]) -> str:
    """Of errors as pydantic tells them."""
    # Of numbers that may be nested one way's errors tell of the other's lists.
    own = [e for e in errors if e["type"] != "float_type" or not isinstance(e["input"], list)]
    first = (own or errors)[0]
    if first["type"] == "json_invalid" and first["loc"]:  # FastAPI's; pydantic's says where itself
        found = f"found none at character {first['loc'][-1] + 1}: {first['ctx']['error']}"
        return f"body: expected JSON, {found}"
    parts = [str(part) for part in first["loc"] if part != "body" and "[" not in str(part)]
    untold = first["type"] in ("missing", "json_invalid", "key")
    found = "" if untold else f"; found {reprlib.repr(first['input'])}"
    return f"{'.'.join(parts) or 'body'}: {first['msg']}{found}"
