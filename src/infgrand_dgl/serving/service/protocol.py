"""Open Inference Protocol, version 2, with the binary tensors of Triton's and KServe's clients.

https://github.com/kserve/open-inference-protocol and, for tensors whose bytes follow the JSON,
Triton's "binary data" extension: the header Inference-Header-Content-Length has the JSON's length,
`binary_data_size` of a tensor's parameters that of its bytes, little-endian, in order.
"""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..specification import Specification
from .model import Model
from .refusal import explained, refused
from .schema import body, check_finite, integer, many, number, one_of

HEADER = "Inference-Header-Content-Length"
DATATYPES = {"float32": "FP32", "float16": "FP16"}
VERSION = "1"

Parameters = dict[str, Any]


class Server(BaseModel):
    name: str = "infgrand-dgl"
    version: str = version("infgrand-dgl")
    extensions: list[str] = ["binary_tensor_data"]


class ModelReady(BaseModel):
    name: str
    ready: bool


class TensorMetadata(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    """-1: any number of rows."""


class ModelMetadata(BaseModel):
    model_config = ConfigDict(protected_namespaces=())
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: Parameters
    """`specification`: JSON, what the model reads and says."""


class OutputTensor(BaseModel):
    name: str
    datatype: Literal["FP32"]
    shape: list[int]
    data: list[float]
    """Row by row."""


class InferResponse(BaseModel):
    model_config = ConfigDict(protected_namespaces=())
    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


@dataclass(frozen=True)
class Request:
    """
    Args:
        x: `[n, width]` of the model's dtype.
        outputs: names, and whether each is to come as bytes.
    """

    id: str | None
    x: np.ndarray
    outputs: dict[str, bool]


def metadata(model: Model) -> ModelMetadata:
    said = model.specification
    x = TensorMetadata(name="x", datatype=DATATYPES[said.dtype], shape=[-1, said.inputs.width])
    outputs = [
        TensorMetadata(name=name, datatype="FP32", shape=[-1, said.outputs])
        for name in said.answers
    ]
    return ModelMetadata(
        name=said.name,
        versions=[VERSION],
        platform=model.platform,
        inputs=[x],
        outputs=outputs,
        parameters={"specification": said.to_json()},
    )


def body_of(
    specification: Specification, most_rows: int, *, binary: bool = False
) -> type[BaseModel]:
    """The JSON of a request to a model.

    Args:
        binary: bytes may follow it; such a tensor has no `data`.
    """
    width, each = specification.inputs.width, number(specification.dtype)
    nested = many(many(each, width, width), most_rows, 1)
    data: Any = many(each, most_rows * width) | nested
    said = "as many numbers as shape says, row by row, flat or nested"
    tensor = body(
        "InputTensor",
        base=BaseModel,
        name=(one_of("x"), ...),
        datatype=(one_of(DATATYPES[specification.dtype]), ...),
        shape=(tuple[integer(0, most_rows + 1), integer(width, width + 1)], ...),  # type: ignore[misc]
        data=(data | None, None) if binary else (data, Field(description=said)),
        parameters=(Parameters | None, None),
    )
    output = body(
        "RequestedOutput",
        base=BaseModel,
        name=(one_of(*specification.answers), ...),
        parameters=(Parameters | None, None),
    )
    return body(
        "InferRequest",
        base=BaseModel,
        id=(str | None, None),
        inputs=(many(tensor, 1, 1), ...),
        outputs=(many(output, len(specification.answers)), []),
        parameters=(Parameters | None, None),
    )


def parse(
    content: bytes, header: str | None, schema: type[BaseModel], specification: Specification
) -> Request:
    """
    Args:
        header: of `HEADER`.
        schema: of `body_of`.

    Raises:
        HTTPException: 400; it is no request to this model.
    """
    if header is None:
        json_bytes, binary = content, b""
    else:
        fits = header.isascii() and header.isdecimal() and len(header) < 20
        if not fits or int(header) > len(content):
            expected = f"expected the bytes of the JSON, at most {len(content)}"
            raise refused(400, f"{HEADER}: {expected}, found {header[:20]!r}")
        json_bytes, binary = content[: int(header)], content[int(header) :]
    try:
        said: Any = schema.model_validate_json(json_bytes)
    except ValidationError as error:
        raise refused(400, explained(error)) from None
    x = _tensor(said.inputs[0], binary, np.dtype(specification.dtype).newbyteorder("<"))
    check_finite(x, "inputs.0.data")
    every = _parameter(said, "binary_data_output") is True
    wanted = {output.name: _is_binary(output, every) for output in said.outputs}
    return Request(said.id, x, wanted or dict.fromkeys(specification.answers, every))


def _tensor(tensor: Any, binary: bytes, dtype: np.dtype) -> np.ndarray:
    size, shape = _parameter(tensor, "binary_data_size"), tensor.shape
    if (size is None) == (tensor.data is None):
        found = "both" if size is not None else "neither"
        raise refused(400, f"inputs.0: expected data or binary_data_size, found {found}")
    if size is None:
        if binary:
            raise refused(400, f"body: expected the JSON alone, found {len(binary)} bytes after it")
        values = np.array(tensor.data, dtype=dtype)
        if values.size != shape[0] * shape[1]:
            expected = f"expected {shape[0] * shape[1]} numbers, as shape says"
            raise refused(400, f"inputs.0.data: {expected}; found {values.size}")
    else:
        needed = shape[0] * shape[1] * dtype.itemsize
        if size is True or size != needed or len(binary) != needed:
            expected = f"expected {needed} bytes, as shape says"
            found = f"binary_data_size {str(size)[:20]}, and {len(binary)} bytes"
            raise refused(400, f"inputs.0: {expected}; found {found}")
        values = np.frombuffer(binary, dtype=dtype)
    return values.reshape(shape).astype(dtype.newbyteorder("="))  # a copy, which can be written


def _is_binary(output: Any, every: bool) -> bool:
    if _parameter(output, "classification"):
        raise refused(400, f"outputs: {output.name}: classification is not among the extensions")
    return _parameter(output, "binary_data", every) is True


def _parameter(said: Any, name: str, default: Any = None) -> Any:
    return (said.parameters or {}).get(name, default)


def response(
    request: Request, answers: dict[str, np.ndarray], specification: Specification
) -> tuple[dict[str, Any], bytes]:
    """The JSON, and the bytes that follow it."""
    outputs, binary = [], []
    for name, as_bytes in request.outputs.items():
        values = answers[name]
        tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": list(values.shape)}
        if as_bytes:
            binary.append(np.ascontiguousarray(values, "<f4").tobytes())
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = values.ravel().tolist()
        outputs.append(tensor)
    said = {"model_name": specification.name, "model_version": VERSION, "outputs": outputs}
    if request.id is not None:
        said["id"] = request.id
    return said, b"".join(binary)
