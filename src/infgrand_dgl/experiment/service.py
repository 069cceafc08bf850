"""What `serve` serves: a run's student with its nodes, or an export."""

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..serving.answers import Answers, Ask, ask
from ..serving.formats import FORMATS, find
from ..serving.service.model import Graph, Model
from ..serving.specification import Specification
from ..system.reading import reading
from .directory import RunDirectory
from .exporting import specify
from .predictor import Predictor

SPECIFICATION = "specification.json"


def model_of(
    path: Path, seed: int | None = None, *, calibrated: bool = False, graph: bool = True
) -> Model:
    """Of a run directory, or of a folder that `export` wrote.

    Args:
        seed, calibrated: as of `Predictor`; of runs alone.
        graph: of a run is loaded, for new nodes.

    Raises:
        InputError: neither is there, or a file of it is damaged; a package is missing.
    """
    if not (path / SPECIFICATION).is_file():
        return _of_run(path, seed, calibrated, graph)
    for option, given in (("--seed", seed is not None), ("--calibrated", calibrated)):
        if given:
            raise InputError(f"{option}: of a run; {path} is an export, which has said so already")
    return _of_export(path)


def _of_export(path: Path) -> Model:
    specification = Specification.load(path / SPECIFICATION)
    for name in FORMATS:
        format = find(name)
        file = path / format.file(specification)
        if file.is_file():
            with reading(file, f"a model that export wrote as {name}"):
                ask = format.open(path, specification)
                _check_answers(ask, specification)
                return Model(specification, ask, format.platform)
    raise InputError(f"--run {path}: expected a model beside {SPECIFICATION}, found none")


def _check_answers(ask: Ask, specification: Specification) -> None:
    row = np.zeros((1, specification.inputs.width), specification.dtype)
    found = {name: said.shape for name, said in ask(row).items()}
    if found != dict.fromkeys(specification.answers, (1, specification.outputs)):
        raise ValueError(f"{SPECIFICATION} says something else than its answers, {found}")


def _of_run(path: Path, seed: int | None, calibrated: bool, graph: bool) -> Model:
    run = RunDirectory.open(path)
    predictor = Predictor(run, seed, calibrated=calibrated)
    student, temperature = predictor.student, predictor.temperature
    specification = specify(run, predictor.seed, student, "float32", None, temperature)
    return Model(
        specification,
        ask(Answers(student, specification).eval()),
        find("safetensors").platform,
        _Nodes(predictor),
        _graph_of(predictor) if graph else None,
    )


def _graph_of(predictor: Predictor) -> Graph:
    try:
        return _Graph(predictor)
    except InputError as error:
        raise InputError(f"{error}; --no-graph serves the run without new nodes") from None


class _Nodes:
    def __init__(self, predictor: Predictor) -> None:
        self.inputs, self.num_nodes = predictor.inputs, predictor.num_nodes
        self.ids = None
        if predictor.ids is not None:
            import pandas as pd  # where there are some

            self.ids = pd.Index(predictor.ids)
            self.ids.get_indexer(self.ids[:1])  # makes its table: of millions, seconds

    def rows(self, ids: np.ndarray) -> np.ndarray:
        return self.inputs[ids].astype(np.float32)


class _Graph:
    """Loads it."""

    def __init__(self, predictor: Predictor) -> None:
        dataset = predictor.graph.dataset
        self.num_features, self.weighted = dataset.num_features, dataset.csr.weights is not None
        self.predictor = predictor

    def new(self, features: Any, edges: Any, weights: Any, *, cached: bool) -> np.ndarray:
        try:
            return self.predictor.new(features, edges, weights, cached=cached)
        except InputError as error:
            if str(error).startswith("features:"):  # such as no number is after normalization
                raise
            raise RuntimeError(str(error)) from error  # the run's fault
