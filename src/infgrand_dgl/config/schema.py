"""The YAML as typed models: `extends:` a base file, `key=value` overrides, one clear error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

DatasetName = Literal[
    "cora",
    "citeseer",
    "pubmed",
    "amazon-photo",
    "amazon-computers",
    "coauthor-cs",
    "coauthor-physics",
    "ogbn-arxiv",
    "ogbn-products",
    "ogbn-papers100M",
    "synthetic",
    "directory",
]
Method = Literal["infgrand", "glnn", "mlp"]
Precision = Literal["float32", "tf32", "bfloat16"]
Style = Literal["citation", "arxiv", "products", "papers100M", "uniform"]


Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy's range
Width = Annotated[int, Field(ge=1, le=1 << 20)]
Layers = Annotated[int, Field(ge=1, le=1000)]
Epochs = Annotated[int, Field(ge=1, le=10**9)]
Hops = Annotated[int, Field(ge=0, le=10_000)]

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


def _bytes(value: Any) -> Any:
    """12GB, 1.5 GiB or a number of bytes."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([A-Za-z]*)\s*", value)
    if match is None or match[2].upper() not in UNITS:
        raise ValueError(f"expected bytes, such as 12GB, 512MiB or 4000000000; found {value!r}")
    return round(float(match[1]) * UNITS[match[2].upper()])


Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataConfig(Section):
    """`data`: which graph, and what of it a run may see."""

    name: DatasetName
    # The download folder, or for `directory` the folder that holds the graph.
    root: str | None = None
    setting: Literal["transductive", "inductive"] = "transductive"
    split_rate: float = Field(0.2, gt=0, lt=1)  # share of the test nodes hidden when inductive
    label_rate: float | None = Field(None, gt=0, le=1)  # share of the training labels kept
    # Which: of each class at random, or those of the most, or of the least influential nodes.
    label_choice: Literal["random", "high", "low"] = "random"
    row_normalize: bool | None = None  # rows of X sum to 1; null: as the dataset is published
    prepared: str | None = None  # the folder that `data prepare` made of this section
    # directory
    edges: Literal["undirected", "directed"] = "undirected"
    # synthetic; null: the style's own
    style: Style = "citation"
    nodes: int | None = Field(None, ge=10, lt=2**31)
    degree: float | None = Field(None, gt=0)
    features: int | None = Field(None, ge=2, le=1 << 20)
    classes: int | None = Field(None, ge=2, le=1 << 20)
    homophily: float | None = Field(None, ge=0, le=1)
    seed: Seed = 0

    @field_validator("root", "prepared")
    @classmethod
    def _absolute(cls, root: str | None) -> str | None:
        try:
            return None if root is None else str(Path(root).expanduser().absolute())
        except RuntimeError as error:  # ~somebody who is not here
            raise ValueError(f"expected a folder, found {root!r} ({error})") from None

    def of_splits(self) -> dict[str, Any]:
        """The settings that say what of the data a run may see."""
        return self.model_dump(include={"setting", "split_rate", "label_rate", "label_choice"})

    @model_validator(mode="after")
    def _fits_source(self) -> DataConfig:
        synthetic = {"style", "nodes", "degree", "features", "classes", "homophily", "seed"}
        given = sorted(k for k in synthetic if getattr(self, k) != _default(self, k))
        if self.name != "synthetic" and given:
            raise ValueError(f"{', '.join(given)}: only for name: synthetic, not {self.name}")
        if self.name == "directory" and self.root is None:
            raise ValueError("root: name: directory needs the folder that holds the graph")
        if self.label_choice != "random" and self.label_rate is None:
            raise ValueError(f"label_rate: label_choice: {self.label_choice} needs one")
        return self


class PropagationConfig(Section):
    """`propagation`: the student's input, POOL of X^(0) to X^(P)."""

    hops: Hops = 2
    pooling: Literal["mean", "max", "min"] = "mean"
    self_loop_weight: float = Field(1.0, ge=0)


class InfluenceConfig(Section):
    """`influence`: the global scores I_g."""

    measure: Literal["cosine", "jacobian", "pagerank", "degree", "entropy", "hybrid", "uniform"] = (
        "cosine"
    )
    # hybrid: the cosine's share in its convex mix with the entropy; null: their product
    mix: float | None = Field(None, ge=0, le=1)
    hops: Hops = 2
    normalization: Literal["minmax", "max", "none"] = "minmax"
    inductive: Literal["strict", "authors"] = "strict"
    algorithm: Literal["closed_form", "blocked"] = "closed_form"

    @model_validator(mode="after")
    def _fits_measure(self) -> InfluenceConfig:
        if self.mix is not None and self.measure != "hybrid":
            raise ValueError(f"mix: only for measure: hybrid, not {self.measure}")
        cosine = {"inductive": "authors", "algorithm": "blocked"}
        for key, value in cosine.items():
            if getattr(self, key) == value and self.measure != "cosine":
                raise ValueError(f"{key}: {value}: only for measure: cosine, not {self.measure}")
        return self


class TeacherConfig(Section):
    """`teacher`: a GNN on the graph."""

    model: Literal["gcn", "gat", "sage"] = "gcn"
    backend: Literal["auto", "dgl", "native"] = "auto"  # of message passing; auto: native
    layers: Layers = 2
    hidden: Width = 256
    heads: Width = 4  # gat
    dropout: float = Field(0.5, ge=0, lt=1)
    attention_dropout: float = Field(0.3, ge=0, lt=1)  # gat
    lr: float = Field(0.01, gt=0)
    weight_decay: float = Field(5e-4, ge=0)
    epochs: Epochs | None = None  # null: train.epochs
    # Training nodes per step, of each process, on sampled neighbourhoods; null: the full graph
    # where it fits.
    batch_size: int | None = Field(None, ge=1)
    fanouts: list[Annotated[int, Field(ge=1)]] | None = None  # neighbours sampled by layer, of 10
    logits: str | None = None  # instead of a teacher: its saved logits, .npy [N, C]
    logits_dtype: Literal["float32", "float16"] = "float32"

    @field_validator("logits")
    @classmethod
    def _absolute(cls, logits: str | None) -> str | None:
        return None if logits is None else str(Path(logits).expanduser().absolute())

    @model_validator(mode="after")
    def _fits(self) -> TeacherConfig:
        if self.model == "gat" and self.hidden % self.heads:
            raise ValueError(f"hidden: {self.hidden} is not divisible by heads: {self.heads}")
        if self.fanouts is not None and len(self.fanouts) != self.layers:
            raise ValueError(
                f"fanouts: expected one for each of {self.layers} layers, found {self.fanouts}"
            )
        if self.batch_size is not None and self.backend == "dgl":
            raise ValueError("batch_size: sampled training needs backend: native (or auto)")
        return self


class StudentConfig(Section):
    """`student`: an MLP."""

    # What it reads; auto: infgrand's propagated features, the baselines' raw ones.
    features: Literal["auto", "raw", "propagated"] = "auto"
    layers: Layers = 2
    hidden: Width = 256
    dropout: float = Field(0.5, ge=0, lt=1)
    norm: Literal["none", "batch", "layer"] = "none"
    lr: float = Field(0.01, gt=0)
    weight_decay: float = Field(5e-4, ge=0)
    epochs: Epochs | None = None  # of student and baselines; null: train.epochs
    batch_size: int | None = Field(None, ge=2)  # nodes per step; null: all where they fit


class DistillationConfig(Section):
    """`distillation`: L = λ·L_s + (1 - λ)·L_d."""

    lambda_: float = Field(0.1, ge=0, le=1, alias="lambda")
    tau: float = Field(1.0, gt=0)
    delta1: float = Field(1.0, ge=0)
    delta2: float = Field(0.2, ge=0)
    gamma1: float = Field(1.0, ge=0)
    gamma2: float = Field(0.2, ge=0)
    kl: Literal["forward", "reverse"] = "forward"
    edge_weighting: Literal["neighborhood", "edges"] = "edges"
    loss: Literal["collapsed", "apply_edges", "edge_kl"] = "collapsed"


class TrainConfig(Section):
    """`train`: what teacher, student and baselines have in common."""

    epochs: Epochs = 500
    patience: Epochs = 50  # epochs without a validation accuracy as high as the best
    seeds: list[Seed] = Field([2022, 2023, 2024, 2025, 2026], min_length=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # Of matrix products in training; tf32: on a GPU, elsewhere float32; bfloat16: autocast, and
    # hidden layers are aggregated in it.
    precision: Precision = "float32"
    # How first layers take their input; auto: sparse below the density where that is faster.
    inputs: Literal["auto", "dense", "sparse"] = "auto"
    # Trained beside, for comparison, with the student's sizes and the same teacher.
    baselines: list[Method] = []
    compile: bool = False  # torch.compile of student and baselines
    checkpoint_every: int = Field(20, ge=0)  # epochs; 0: only when interrupted
    tensorboard: bool = False  # scalars into <run>/tensorboard

    @field_validator("seeds", "baselines")
    @classmethod
    def _distinct(cls, values: list[Any], info: ValidationInfo) -> list[Any]:
        if len(set(values)) < len(values):
            raise ValueError(f"expected distinct {info.field_name}, found {values}")
        return values


class ResourcesConfig(Section):
    """`resources`: bytes that a process may take; null: a share of what is free."""

    memory: Bytes | None = None
    gpu_memory: Bytes | None = None


class Config(Section):
    """One experiment."""

    method: Method = "infgrand"  # of the student: training/methods.py
    data: DataConfig
    propagation: PropagationConfig = PropagationConfig()
    influence: InfluenceConfig = InfluenceConfig()
    teacher: TeacherConfig = TeacherConfig()
    student: StudentConfig = StudentConfig()
    distillation: DistillationConfig = DistillationConfig()
    train: TrainConfig = TrainConfig()
    resources: ResourcesConfig = ResourcesConfig()

    @model_validator(mode="after")
    def _in_order(self) -> Config:
        choice, measure = self.data.label_choice, self.influence.measure
        if choice != "random" and measure in ("entropy", "hybrid"):
            raise ValueError(
                f"data.label_choice: {choice}: comes before the teacher, and influence.measure: "
                f"{measure} needs it"
            )
        if self.train.precision == "bfloat16" and self.teacher.backend == "dgl":
            raise ValueError("train.precision: bfloat16: needs teacher.backend: native (or auto)")
        return self

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(by_alias=True), sort_keys=False)

    def baseline(self, method: str) -> Config:
        """The same experiment by another method, on the inputs that are that method's own."""
        return self.replace("student", features="auto").model_copy(update={"method": method})

    def replace(self, section: str, **changes: Any) -> Config:
        changed = getattr(self, section).model_copy(update=changes)
        return self.model_copy(update={section: changed})


def _default(section: Section, key: str) -> Any:
    return type(section).model_fields[key].default


# Reading


# Errors


DATASETS: tuple[str, ...] = get_args(DatasetName)
