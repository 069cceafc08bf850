"""infgrand-dgl: GNN-to-MLP distillation guided by node influence (InfGraND), on DGL."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from .graph.dgl_ready import prepare as _prepare_dgl

__version__ = version("infgrand-dgl")
_prepare_dgl()  # so that `import dgl` works after `import infgrand_dgl`

if TYPE_CHECKING:
    from .data import NodeDataset as NodeDataset
    from .data import load_dataset as load_dataset
    from .distillation.loss import DistillationLoss as DistillationLoss
    from .distillation.loss import supervised_loss as supervised_loss
    from .errors import InputError as InputError
    from .experiment.predictor import Predictor as Predictor
    from .graph.csr import CSRGraph as CSRGraph
    from .influence.scores import influence_scores as influence_scores
    from .propagation.equation import propagate_features as propagate_features
    from .transforms import AddInfluence as AddInfluence
    from .transforms import AddPropagatedFeatures as AddPropagatedFeatures

# Imported on first use: torch and DGL take seconds, and `--help` or `predict` need neither or one.
_HOMES = {
    "NodeDataset": "data",
    "load_dataset": "data",
    "DistillationLoss": "distillation",
    "supervised_loss": "distillation",
    "InputError": "errors",
    "Predictor": "experiment.predictor",
    "CSRGraph": "graph",
    "influence_scores": "influence",
    "propagate_features": "propagation",
    "AddInfluence": "transforms",
    "AddPropagatedFeatures": "transforms",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
