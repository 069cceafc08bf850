"""Small generated graphs, in memory and from a prepared folder."""

from pathlib import Path
from typing import Any

from infgrand_dgl.config.schema import Config, DataConfig
from infgrand_dgl.data import NodeDataset, load_source

DENSE: dict[str, Any] = {"style": "arxiv", "nodes": 900, "features": 20, "classes": 5}


def config(**settings: Any) -> Config:
    return Config(data=DataConfig(name="synthetic", **{"nodes": 400, "features": 60, **settings}))


def opened(folder: Path, **settings: Any) -> NodeDataset:
    return load_source(config(**settings).data.model_copy(update={"prepared": str(folder)}))
