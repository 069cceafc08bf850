"""The students, by name; the one place that makes them."""

from typing import Any

from ..config.schema import Config
from ..registry import methods
from .gamlp import GAMLP
from .mlp import MLP
from .sign import SIGN

STUDENTS: dict[str, type[MLP]] = {model.name: model for model in (MLP, SIGN, GAMLP)}


def shape_of(config: Config, in_features: int, classes: int) -> dict[str, Any]:
    """Of the configuration's student; `in_features` are those of all that it reads."""
    s = config.student
    shape: dict[str, Any] = {
        "in_features": in_features,
        "hidden": s.hidden,
        "classes": classes,
        "layers": s.layers,
        "norm": s.norm,
    }
    if (kept := kept_share(config)) != 1:
        shape["kept"] = kept
    return shape | ({"model": s.model, "hops": config.propagation.hops} if s.reads_hops else {})


def kept_share(config: Config) -> float:
    r"""$1 - \delta$, what the student's inputs are multiplied by outside of training."""
    masked = "random_propagation" in methods[config.method].sections
    return 1 - config.random_propagation.mask if masked else 1.0


def build(shape: dict[str, Any], **training: Any) -> MLP:
    """A student of a shape, which its file says too (`MLP.shape`).

    Args:
        training: what is no part of the shape: dropout, input_dropout.
    """
    shape = dict(shape)
    return STUDENTS[shape.pop("model", MLP.name)](**shape, **training)


def inner_width(shape: dict[str, Any]) -> int:
    """Numbers that a student of that shape makes of a node before its outputs."""
    return STUDENTS[shape.get("model", MLP.name)].inner_width(shape)
