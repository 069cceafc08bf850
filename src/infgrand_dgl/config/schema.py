"""The YAML as typed models. The text below each key is its documentation (`reference`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from ..errors import InputError
from ..registry import Registry, measures, methods, sources, teachers
from .explain import explain
from .fields import (
    AbsolutePath,
    Bytes,
    Epochs,
    Hops,
    Layers,
    MeasureName,
    MethodName,
    Seed,
    SourceName,
    Style,
    TeacherName,
    Width,
)
from .methods import (
    ConsistencyConfig,
    HGMDConfig,
    KRDConfig,
    NosmogConfig,
    RandomPropagationConfig,
)
from .propagation import PropagationConfig
from .section import Section
from .student import StudentConfig
from .train import TrainConfig


def _check_taken(section: Section, keys: set[str], key: str, registry: Registry[Any]) -> None:
    """Raises unless those of the keys that are set belong to what `key` chooses of the registry.

    (What they belong to is asked only where one is set: that imports it.)
    """
    fields, name = type(section).model_fields, getattr(section, key)
    given = sorted(k for k in keys if getattr(section, k) != fields[k].default)
    strange = [k for k in given if k not in registry[name].settings]
    if strange:
        takers = [each for each in registry if strange[0] in registry[each].settings]
        raise ValueError(f"{', '.join(strange)}: only for {key}: {', '.join(takers)}, not {name}")


OF_SPLITS = {"setting", "split", "observed", "split_rate", "label_rate", "label_choice"}


class DataConfig(Section):
    """Which graph, and what of it a run may see."""

    name: SourceName
    """The dataset."""
    root: AbsolutePath | None = None
    """The download folder, or for `directory` the graph: its folder, or what `data import`
    takes; null: the cache."""
    setting: Literal["transductive", "inductive"] = "transductive"
    """Whether training sees all nodes, or hides some of the test nodes."""
    protocol: Literal["published", "glnn"] = "published"
    """Of InfGraND's paper: the whole graph and its own split, or where it has none 20 nodes of each
    class, 500 and 1000; or GLNN's: the largest connected component alone, of which 20 nodes of each
    class train, 30 validate and all others test, drawn by seed."""
    split: int | Literal["seed"] | None = None
    """Where the graph comes with several splits: the number of one, from 0, or `seed` for the one
    of each seed's number (modulo their count)."""
    observed: Literal["all", "authors"] = "all"
    """What training sees when inductive: all nodes but the hidden ones, or of these those alone
    that are in a split, as in the authors' code."""
    split_rate: float = Field(0.2, gt=0, lt=1)
    """Share of the test nodes that is hidden when inductive."""
    label_rate: float | None = Field(None, gt=0, le=1)
    """Share of the training labels that is kept; null: all."""
    label_choice: Literal["random", "high", "low"] = "random"
    """Which labels are kept: of each class at random, or those of the most, or of the least
    influential nodes."""
    task: Literal["auto", "classification", "multilabel", "regression"] = "auto"
    """What labels are: a class of each node, several labels of 0 and 1 (multilabel), or numbers
    (regression); auto: what they look like."""
    weights: bool | None = None
    """Whether edges have weights; null: where the graph's files name numbers so."""
    standardize: bool = False
    """Whether columns of X are made to have mean 0 and variance 1 over the nodes that training
    sees, after `row_normalize`; constant ones become 0. Sparse X is divided by the deviations
    alone, and stays sparse."""
    row_normalize: bool | None = None
    """Whether rows of X are made to sum to 1; null: as the dataset is published."""
    prepared: AbsolutePath | None = None
    """The folder that `data prepare` made of this section."""
    edges: Literal["undirected", "directed"] = "undirected"
    """How `directory` lists edges: each once, or in both directions."""
    style: Style = "citation"
    """Of `synthetic`: what the generated graph resembles."""
    nodes: int | None = Field(None, ge=10, lt=2**31)
    """Of `synthetic`; null: the style's own, here and below."""
    degree: float | None = Field(None, gt=0)
    """Of `synthetic`: mean number of neighbours."""
    features: Annotated[int, Field(ge=2, le=1 << 20)] | Literal["structural"] | None = None
    """`structural`: made of the graph alone (degrees, random walks), for nodes without any or
    instead of theirs; a number: how many `synthetic` makes."""
    classes: int | None = Field(None, ge=2, le=1 << 20)
    """Of `synthetic`."""
    homophily: float | None = Field(None, ge=0, le=1)
    """Of `synthetic`: share of the edges that join nodes of one label."""
    seed: Seed = 0
    """Of `synthetic`: of its random numbers."""

    def of_splits(self) -> dict[str, Any]:
        """The settings that say what of the data a run may see."""
        given = self.model_dump(include=OF_SPLITS)
        by_split = self.standardize and self.setting == "inductive"
        given |= {"standardize": True} if by_split else {}
        return given | ({"protocol": self.protocol} if self.protocol == "glnn" else {})

    @field_validator("split", mode="before")
    @classmethod
    def _number_or_seed(cls, value: Any) -> Any:
        if value is not None and value != "seed" and (type(value) is not int or value < 0):
            raise ValueError(f"expected a number from 0, or seed; found {value!r}")
        return value

    @model_validator(mode="after")
    def _fits_source(self) -> DataConfig:
        generated = {"style", "nodes", "degree", "features", "classes", "homophily", "seed"}
        if self.features == "structural":
            generated.remove("features")
            if self.row_normalize:
                raise ValueError("row_normalize: only of features that are given, not structural")
        _check_taken(self, generated, "name", sources)
        if self.root is None and sources[self.name].needs_root:
            raise ValueError(f"root: name: {self.name} needs the folder that holds the graph")
        if self.protocol == "glnn":
            if self.split is not None:
                raise ValueError("split: only of protocol: published; glnn's is drawn by seed")
            if sources[self.name].official:
                raise ValueError(
                    f"protocol: glnn: {self.name} has an official split, GLNN's too: published"
                )
        if self.label_choice != "random" and self.label_rate is None:
            raise ValueError(f"label_rate: label_choice: {self.label_choice} needs one")
        return self


class InfluenceConfig(Section):
    """The global scores I_g."""

    measure: MeasureName = "cosine"
    """What counts as influence; `cosine` is the paper's."""
    mix: float | None = Field(None, ge=0, le=1)
    """Of `hybrid`: the cosine's share in its convex mix with the entropy; null: their product."""
    hops: Hops = 2
    """k of X^(k)."""
    normalization: Literal["minmax", "max", "none"] = "minmax"
    """The least score to 0 and the largest to 1 (the authors' code), all over the largest (the
    paper's text), or the sums as they are."""
    inductive: Literal["strict", "authors"] = "strict"
    """Of `cosine`: hidden nodes have no part in it, or as in the authors' code."""
    algorithm: Literal["closed_form", "blocked"] = "closed_form"
    """Of `cosine`: one product per node, or all pairs as the authors do."""

    @model_validator(mode="after")
    def _fits_measure(self) -> InfluenceConfig:
        _check_taken(self, {"mix", "inductive", "algorithm"}, "measure", measures)
        return self


class TeacherConfig(Section):
    """A GNN on the graph."""

    model: TeacherName = "gcn"
    """Its architecture."""
    backend: Literal["auto", "dgl", "native"] = "auto"
    """Of message passing; auto: native, the faster one."""
    layers: Layers = 2
    """Number of layers."""
    hidden: Width = 256
    """Width of the hidden layers, all heads together."""
    heads: Width = 4
    """Of `gat`: attention heads of the hidden layers."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Of hidden layers; of `gat`: of every layer's input."""
    attention_dropout: float = Field(0.3, ge=0, lt=1)
    """Of `gat`."""
    input_dropout: float = Field(0.0, ge=0, lt=1)
    """Of the features."""
    norm: Literal["none", "batch", "layer"] = "none"
    """Normalization of hidden layers, before ReLU."""
    residual: bool = False
    """Whether every layer adds a linear map of its own input."""
    jumping_knowledge: Literal["none", "sum", "max"] = "none"
    """What of all layers' outputs a linear map to the classes gets; none: the last one's are the
    logits."""
    lr: float = Field(0.01, gt=0)
    """Learning rate of Adam."""
    weight_decay: float = Field(5e-4, ge=0)
    """L2 penalty of Adam."""
    epochs: Epochs | None = None
    """At most; null: `train.epochs`."""
    batch_size: int | None = Field(None, ge=1)
    """Training nodes per step, of each process, on sampled neighbourhoods; null: the full graph
    where it fits."""
    fanouts: list[Annotated[int, Field(ge=1)]] | None = None
    """Neighbours sampled by layer; null: 10 each."""
    logits: AbsolutePath | None = None
    """Instead of a teacher: its saved logits, .npy `[N, C]`."""
    logits_dtype: Literal["float32", "float16"] = "float32"
    """In which they are saved."""

    @model_validator(mode="after")
    def _fits(self) -> TeacherConfig:
        if self.hidden % self.heads and "heads" in teachers[self.model].settings:
            raise ValueError(f"hidden: {self.hidden} is not divisible by heads: {self.heads}")
        if self.fanouts is not None and len(self.fanouts) != self.layers:
            raise ValueError(
                f"fanouts: expected one for each of {self.layers} layers, found {self.fanouts}"
            )
        if self.batch_size is not None and self.backend == "dgl":
            raise ValueError("batch_size: sampled training needs backend: native (or auto)")
        return self


class DistillationConfig(Section):
    """L = λ·L_s + (1 - λ)·L_d + μ·L_c, L_s = δ1·mean(CE) + δ2·mean(CE·I_g)."""

    lambda_: float = Field(0.1, ge=0, le=1, alias="lambda")
    """λ."""
    tau: float = Field(1.0, gt=0)
    """τ, the temperature of L_d."""
    delta1: float = Field(1.0, ge=0)
    """δ1."""
    delta2: float = Field(0.2, ge=0)
    """δ2."""
    gamma1: float = Field(1.0, ge=0)
    """γ1; neighbour j weighs γ1 + γ2·I_g(j) in L_d."""
    gamma2: float = Field(0.2, ge=0)
    """γ2."""
    kl: Literal["forward", "reverse"] = "forward"
    """KL(teacher ‖ student), the authors' code, or KL(student ‖ teacher), the paper's text."""
    edge_weighting: Literal["neighborhood", "edges"] = "edges"
    """L_d as the mean over nodes of means over neighbourhoods (the paper's text), or over edges
    (the authors' code)."""
    loss: Literal["collapsed", "apply_edges", "edge_kl"] = "collapsed"
    """How L_d is computed: as a sum over nodes, or edge by edge on DGL, or by our op."""


class ResourcesConfig(Section):
    """What a process may take: bytes, such as 12GB; null: a share of what is free."""

    memory: Bytes | None = None
    """Of the host."""
    gpu_memory: Bytes | None = None
    """Of the GPU."""


class Config(Section):
    """One experiment."""

    method: MethodName = "infgrand"
    """What the student minimises."""
    data: DataConfig
    propagation: PropagationConfig = PropagationConfig()
    influence: InfluenceConfig = InfluenceConfig()
    teacher: TeacherConfig = TeacherConfig()
    student: StudentConfig = StudentConfig()
    distillation: DistillationConfig = DistillationConfig()
    random_propagation: RandomPropagationConfig = RandomPropagationConfig()
    consistency: ConsistencyConfig = ConsistencyConfig()
    krd: KRDConfig = KRDConfig()
    hgmd: HGMDConfig = HGMDConfig()
    nosmog: NosmogConfig = NosmogConfig()
    train: TrainConfig = TrainConfig()
    resources: ResourcesConfig = ResourcesConfig()

    @model_validator(mode="after")
    def _in_order(self) -> Config:
        choice, measure = self.data.label_choice, self.influence.measure
        if choice != "random" and measures[measure].needs_teacher:
            raise ValueError(
                f"data.label_choice: {choice}: comes before the teacher, and influence.measure: "
                f"{measure} needs it"
            )
        if choice != "random" and measures[measure].needs_labels:
            raise ValueError(
                f"data.label_choice: {choice}: chooses the labels of which influence.measure: "
                f"{measure} is made"
            )
        if self.train.precision == "bfloat16" and self.teacher.backend == "dgl":
            raise ValueError("train.precision: bfloat16: needs teacher.backend: native (or auto)")
        return self

    @model_validator(mode="after")
    def _has_hops(self) -> Config:
        if not self.student.reads_hops:
            return self
        features, where = self.student.features, f"student.model: {self.student.model}"
        if not self.reads_propagated:
            raise ValueError(
                f"{where}: reads propagated features, and student.features: {features} of method: "
                f"{self.method} are raw; set student.features: propagated"
            )
        if methods[self.method].positions:
            raise ValueError(f"{where}: has no place for the positions that {self.method} adds")
        if self.random_propagation.mask and "random_propagation" in methods[self.method].sections:
            raise ValueError(f"{where}: random_propagation.mask: only for student.model: mlp")
        return self

    @model_validator(mode="after")
    def _has_all_nodes(self) -> Config:
        if methods[self.method].all_at_once and self.student.batch_size is not None:
            expected = f"expected student.batch_size: null; found {self.student.batch_size}"
            raise ValueError(f"method: {self.method}: needs all nodes in one step; {expected}")
        return self

    @model_validator(mode="after")
    def _has_products(self) -> Config:
        if not self.in_products:
            return self
        s, stored = self.student, self.random_propagation.stored
        for wrong, expected, found in (
            (s.model != "mlp", "student.model: mlp", s.model),
            (s.batch_size is not None, "student.batch_size: null", s.batch_size),
            (bool(stored), "random_propagation.stored: 0 or null", stored),
            (methods[self.method].positions, "a method without positions", self.method),
        ):
            if wrong:
                raise ValueError(f"propagation.of: products: expected {expected}; found {found}")
        return self

    @property
    def reads_propagated(self) -> bool:
        """Whether the student's inputs are propagated features."""
        if self.student.features == "auto":
            return methods[self.method].propagated
        return self.student.features == "propagated"

    @property
    def in_products(self) -> bool:
        """Whether they are propagated inside the student."""
        return self.propagation.of == "products" and self.reads_propagated

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(by_alias=True), sort_keys=False)

    def baseline(self, method: str) -> Config:
        """The same experiment by another method, on the inputs that are that method's own: where
        they are raw, an MLP's."""
        own = {"features": "auto"} | ({} if methods[method].propagated else {"model": "mlp"})
        return self.replace(method=method, student=self.student.model_dump() | own)

    def replace(self, section: str | None = None, **changes: Any) -> Config:
        """The experiment with changes, in a section or beside the sections.

        Raises:
            InputError: as reading a file with these values does.
        """
        values = self.model_dump(by_alias=True)
        changed = values if section is None else values[section]
        fields = type(self if section is None else getattr(self, section)).model_fields
        changed |= {fields[k].alias or k if k in fields else k: v for k, v in changes.items()}
        try:
            return Config.model_validate(values)
        except ValidationError as error:
            raise InputError(explain(error, Config, {}, "config")) from None
