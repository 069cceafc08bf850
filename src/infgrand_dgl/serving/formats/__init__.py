"""What a student is exported as: a file of this folder for each."""

from importlib import import_module

from .format import Format

# Names of the modules; `FORMAT` is what each ends with.
FORMATS = ("onnx", "torch", "triton", "safetensors")


def find(name: str) -> Format:
    """One of `FORMATS`."""
    format: Format = import_module(f".{name}_format", __name__).FORMAT
    return format


__all__ = ["FORMATS", "Format", "find"]
