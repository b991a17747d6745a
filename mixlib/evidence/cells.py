"""Cells of the evidence: one data set under one recipe, with the methods compared on it.

Claims are judged on cells. All runs of a cell and seed draw the same rows, so methods are compared seed by seed. Cells
of several papers that share a recipe are one cell, so a run serves all of them.

Three things are decided once and committed in ``data/evidence.json``: which seeds of a cell notebooks and verdicts
read, in which precision, and which cells are alive. Records of further seeds may be in the store before they are read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from mixlib.runs import paths
from mixlib.runs.checkpoints import MINILM, TINY
from mixlib.runs.machine import default_precision
from mixlib.runs.profiles import Seeds, check_profile, seeds_or, study_of
from mixlib.runs.spec import RunSpec
from mixlib.runs.studies import StudySpec

FIRST = "first stage"  # of cells in two stages: what every second stage starts from
SCREENING_SEEDS = range(1000, 1004)  # that no table uses; the plain model alone
FIRST_SEED = 100  # seeds below were looked at before the rules were fixed


def first_seeds(count: int) -> range:
    """The first seeds of the evidence."""
    return range(FIRST_SEED, FIRST_SEED + count)


# One recipe for all: what differs between data sets is the number of rows and epochs, the length of the texts, and the
# learning rate. Chosen on the plain model alone.
RECIPE: dict[str, Any] = {
    "batch_size": 16, "learning_rate": 1e-4, "lr_scheduler_type": "linear", "warmup_ratio": 0.1, "weight_decay": 0.01,
    "max_grad_norm": 1.0, "dropout": None, "max_length": 64, "dev_size": 500, "curve_size": 256, "eval_epochs": 2,
}  # fmt: skip
SMOKE: dict[str, Any] = {
    "learning_rate": 5e-3, "dev_size": 16, "test_size": 32, "curve_size": 16, "num_train_epochs": 2, "eval_epochs": 2,
    "max_length": 32,
}  # fmt: skip
SMOKE_ROWS = {"train_size": 48, "train_per_class": 2}
# For what is studied in or around a run rather than in its scores: nothing is chosen, so no development rows are kept
STUDIED: dict[str, Any] = {"dev_size": 0, "curve_size": None, "metric_for_best_model": None}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One data set under one recipe.

    Attributes:
        name: such as ``common/sst2``.
        paper: the paper whose runs they are, ``common`` for those of the pool. Cells that share paper, recipe and a
            method share its runs.
        dataset: see :data:`mixlib.runs.corpora.CORPORA`.
        recipe: fields of ``RunSpec`` that all its runs share.
        methods: by label: a method's key and its parameters. ``none`` is the plain model.
        first: fields in which the first stage differs, for cells with two stages; ``none`` is then a second stage
            without mixup, and the label :data:`FIRST` the first stage alone.
        seeds: how many its claims need at least.
        model: in place of all-MiniLM-L6-v2.
        precision: of its runs, in place of the profile's.
        says: what the cell is for, in a few words.
    """

    name: str
    paper: str
    dataset: str
    recipe: Mapping[str, Any]
    methods: Mapping[str, tuple[str, Mapping[str, Any]]]
    first: Mapping[str, Any] | None = None
    seeds: int = 6
    model: str = MINILM
    precision: str | None = None
    says: str = ""

    @property
    def labels(self) -> list[str]:
        """What can be compared on it: its methods, and the first stage if there is one."""
        return [*([FIRST] if self.first is not None else []), *self.methods]

    @property
    def plain(self) -> str:
        """The label of the run that the gate looks at."""
        return "none" if self.first is None else FIRST

    def spec(self, label: str, seed: int, profile: str = "mini") -> RunSpec:
        """One run of the cell.

        Raises:
            ValueError: the cell has no such method.
        """
        _check(self, label, "method")
        fields, small = _fields(self, seed, profile)
        first = dict(self.first or {}) | {name: small[name] for name in self.first or {} if name in small}
        stage_1 = RunSpec(method="none", keep_state=True, **fields | first) if self.first is not None else None
        if label == FIRST:
            return stage_1
        method, params = self.methods[label]
        return RunSpec(method=method, method_params=dict(params), first_stage=stage_1, **fields)

    def specs(self, seeds: Iterable[int], labels: Iterable[str] | None = None, profile: str = "mini") -> list[RunSpec]:
        """The runs of these seeds, seed by seed; by default of all methods."""
        wanted = self.labels if labels is None else list(labels)
        return [self.spec(label, seed, profile) for seed in seeds for label in wanted]

    def with_rate(self, factor: float) -> Cell:
        """This cell at another learning rate."""
        rate = self.recipe["learning_rate"] * factor
        name = f"{self.name} at {factor:g} times the learning rate"
        return replace(self, name=name, recipe={**self.recipe, "learning_rate": rate})


@dataclass(frozen=True, kw_only=True)
class StudyCell:
    """One study whose numbers claims compare: a time, a geometry, an illustration.

    Attributes:
        name: such as ``batchmixup/epoch time``.
        study: see :func:`mixlib.runs.studies.every`.
        dataset: of the run that is studied; ``None`` if no run is.
        recipe: fields of that ``RunSpec``; without a run only the number of rows, for readers.
        params: of the study.
        varied: by label of what is compared, what is particular to its spec: fields of the run, or params if no run is
            studied. Empty if one record holds everything that is compared.
        methods: by label, the key of the method that it is about, where that is not the label's first word.
        smoke: params of the study in a trial that takes seconds.
        seeds: how many its claims need; 1 if the sample consists of the batches of one record.
        model, precision: as in :class:`Cell`.
        says: what the cell is for, in a few words.
    """

    name: str
    study: str
    dataset: str | None
    recipe: Mapping[str, Any]
    params: Mapping[str, Any]
    varied: Mapping[str, Mapping[str, Any]]
    smoke: Mapping[str, Any]
    methods: Mapping[str, str] = field(default_factory=dict)
    seeds: int = 6
    model: str = MINILM
    precision: str | None = None
    says: str = ""

    @property
    def paper(self) -> str:
        """Whose study it is."""
        return self.name.partition("/")[0]

    @property
    def labels(self) -> list[str]:
        """What can be compared."""
        return list(self.varied)

    @property
    def plain(self) -> None:
        """The gate looks at no study."""

    def on(self, model: str | None) -> StudyCell:
        """This cell on another model, or itself for ``None``."""
        return self if model is None else replace(self, model=model)

    def spec(self, label: str, seed: int, profile: str = "mini") -> StudySpec:
        """The study that holds what this label names.

        Raises:
            ValueError: nothing in the cell has this label.
        """
        _check(self, label, "part")
        own, params = self.varied[label], {**self.params, **(self.smoke if profile == "smoke" else {})}
        fields, _ = _fields(self, seed, profile)
        if self.dataset is None:
            return StudySpec(paper=self.paper, study=self.study, seed=seed, synthetic=profile == "smoke",
                             params=params | own)  # fmt: skip
        return study_of(RunSpec(**{"method": "none"} | fields | STUDIED | own), self.study, **params)

    def specs(
        self, seeds: Iterable[int], labels: Iterable[str] | None = None, profile: str = "mini"
    ) -> list[StudySpec]:
        """The studies of these seeds, each once; by default of all labels."""
        wanted = self.labels if labels is None else list(labels)
        return list(dict.fromkeys(self.spec(label, seed, profile) for seed in seeds for label in wanted))


AnyCell = Cell | StudyCell


def _check(cell: AnyCell, label: str, kind: str) -> None:
    if label not in cell.labels:
        raise ValueError(f"{cell.name} has no {kind} {label!r}; it has {', '.join(cell.labels)}")


def _fields(cell: AnyCell, seed: int, profile: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that all runs of a cell share at a profile, and those of them that make a trial small."""
    if check_profile(profile) == "full":
        raise ValueError("the cells of the evidence have no profile full: that is the papers' own protocol")
    fields = {
        "paper": cell.paper, "dataset": cell.dataset, "model": cell.model, "seed": seed,
        "precision": cell.precision or default_precision(profile), **cell.recipe,
    }  # fmt: skip
    if profile != "smoke":
        return fields, {}
    rows = {name: size for name, size in SMOKE_ROWS.items() if fields.get(name)}
    small = SMOKE | rows | {"synthetic": True, "model": cell.model.replace(MINILM, TINY)}
    return fields | small, small


def cell(name: str, dataset: str, methods: Mapping[str, tuple[str, Mapping[str, Any]]], **rest: Any) -> Cell:
    """A cell of :data:`RECIPE`.

    Args:
        name, dataset, methods: of the cell.
        **rest: ``paper`` (by default the part of the name before the slash), ``first``, ``seeds``, ``model`` and
            ``says`` of the cell, and fields of ``RunSpec`` for its recipe.
    """
    own = {key: rest.pop(key) for key in ("paper", "first", "seeds", "model", "says") if key in rest}
    own.setdefault("paper", name.partition("/")[0])
    return Cell(name=name, dataset=dataset, methods=methods, recipe=RECIPE | rest, **own)


@dataclass(frozen=True)
class Decided:
    """What ``data/evidence.json`` says.

    Attributes:
        seeds: by cell, those that notebooks and verdicts read.
        alive: by cell, what claims may be about there: ``accuracy`` (and MCC), ``loss`` (and calibration).
        screened: by cell, the numbers of the screening on which this was decided: ``accuracy``, ``larger_class`` and
            ``mcc`` (fractions), ``p_accuracy`` and ``p_mcc`` (one-sided), and ``seeds`` (how many were run).
        left_out: cells that will not be run, with the reason.
        precision: by cell, the precision in which its runs are read, ``fp32`` if nothing is said. All runs of a cell
            are in one precision; ``tf32`` runs are those of a GPU.
    """

    seeds: dict[str, list[int]]
    alive: dict[str, list[str]]
    screened: dict[str, dict[str, float]]
    left_out: dict[str, str] = field(default_factory=dict)
    precision: dict[str, str] = field(default_factory=dict)

    def read(self, cell: AnyCell) -> AnyCell:
        """A cell in the precision in which it is read: ``MIXLIB_PRECISION``, else the one that was decided on."""
        asked = os.environ.get("MIXLIB_PRECISION")
        return replace(cell, precision=asked or self.precision.get(cell.name, "fp32"))

    def why_dead(self, cell: str, needs: str) -> str:
        """Why a cell says nothing about accuracy, or about loss."""
        found = self.screened[cell]
        if needs == "accuracy":
            return (
                f"the plain model does not beat the largest class ({100 * found['accuracy']:.1f}% against "
                f"{100 * found['larger_class']:.1f}%)"
            )
        return f"the plain model is not above chance (MCC x100 {100 * found['mcc']:.1f})"


@lru_cache(maxsize=1)
def decided() -> Decided:
    """The committed decisions."""
    return Decided(**json.loads(paths.of_checkout(paths.EVIDENCE).read_text(encoding="utf-8")))


def table_runs(
    cells: Iterable[Cell],
    profile: str,
    labels: Iterable[str] | None = None,
    model: str | None = None,
    seeds: Seeds | None = None,
    **recipe: Any,
) -> list[RunSpec]:
    """The runs of some cells that a table or figure reads, cell by cell, at profile ``smoke`` or ``mini``.

    With the committed settings, these are the seeds decided on for each cell, in their precision (or
    ``MIXLIB_PRECISION``); a cell without such seeds is left out as long as another has some. If seeds are given, those
    are used, in a cell's precision if all of them were decided on for it, otherwise in the profile's, as with a model
    or a recipe.

    Args:
        cells: of the evidence.
        profile: ``smoke`` (two seeds) or ``mini``.
        labels: only these of each cell's labels, if it has them; by default all.
        model, seeds, recipe: replace those of the cells; ``recipe`` gives fields of ``RunSpec``.

    Raises:
        ValueError: profile ``full``, which is for the papers' own protocols, an unknown one, or wrong seeds.
    """
    labels = None if labels is None else list(labels)
    found = [(cell, cell.labels if labels is None else [x for x in labels if x in cell.labels]) for cell in cells]
    as_committed = profile == "mini" and model is None and not recipe
    all_decided = as_committed and seeds is None and any(decided().seeds.get(cell.name) for cell, _ in found)
    specs = []
    for cell, wanted in found:
        there = decided().seeds.get(cell.name, [])
        chosen = there if all_decided else seeds_or(seeds, _first_seeds(cell, profile))
        own = replace(cell, model=model or cell.model, recipe=cell.recipe | recipe)
        own = decided().read(own) if as_committed and set(chosen) <= set(there) else own
        specs += own.specs(chosen, wanted, profile)
    return specs


def _first_seeds(cell: AnyCell, profile: str) -> range:
    return first_seeds(2 if profile == "smoke" else cell.seeds)
