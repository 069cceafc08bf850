"""The YAML of an experiment: its typed sections, and how files are read."""

from .fields import Precision
from .reading import find_config, load_config, shipped_experiments
from .schema import (
    Config,
    DataConfig,
    DistillationConfig,
    InfluenceConfig,
    PropagationConfig,
    ResourcesConfig,
    StudentConfig,
    Style,
    TeacherConfig,
    TrainConfig,
)

__all__ = [
    "Config",
    "DataConfig",
    "DistillationConfig",
    "InfluenceConfig",
    "Precision",
    "PropagationConfig",
    "ResourcesConfig",
    "StudentConfig",
    "Style",
    "TeacherConfig",
    "TrainConfig",
    "find_config",
    "load_config",
    "shipped_experiments",
]
