"""One fine-tuning run: what it is (:class:`RunSpec`) and what came out (:class:`RunRecord`).

Nothing here trains, so reading records does not wait for the training code, which is :mod:`mixlib.runs.training`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

from mixlib.runs.checkpoints import ModelName, settled
from mixlib.runs.machine import PRECISIONS
from mixlib.runs.records import BESIDE, Record, Spec, number

if TYPE_CHECKING:
    from mixlib.runs.predictions import Predictions

SCHEDULES = ("stated", "published")
LOSSES_KEPT = 400  # in a record
RANGES = {"accuracy": (0, 1), "mcc": (-1, 1), "nll": (0, math.inf), "ece": (0, 1), "ece_mass": (0, 1), "brier": (0, 2)}
ADDED = ("ece_mass", "brier")  # metrics that older records lack
NUMBERS: dict[str, tuple[type, float, float]] = {  # of a RunSpec: type and range, ends included
    "seed": (int, 0, 2**32 - 1), "train_size": (int, 1, math.inf), "train_per_class": (int, 1, math.inf),
    "train_fraction": (float, 1e-9, 1), "dev_size": (int, 0, math.inf), "test_size": (int, 1, math.inf),
    "max_length": (int, 3, math.inf), "batch_size": (int, 1, math.inf), "learning_rate": (float, 0, 1e300),
    "num_train_epochs": (int, 1, math.inf), "warmup_ratio": (float, 0, 1), "weight_decay": (float, 0, 1e300),
    "early_stopping_patience": (int, 1, math.inf), "label_noise": (float, 0, 1 - 1e-9), "dropout": (float, 0, 1 - 1e-9),
    "eval_epochs": (int, 1, math.inf), "eval_steps": (int, 1, math.inf), "curve_size": (int, 0, math.inf),
    "max_grad_norm": (float, 0, 1e300), "max_steps": (int, 1, math.inf),
}  # fmt: skip
OWN_METHOD = re.compile(r".+@[0-9a-f]{16}")  # a user's class, see mixlib.comparing.choices
METRICS = ("accuracy", "mcc")  # that an evaluation can be selected by


class RunFailed(RuntimeError):
    """A run that ended without a result, such as one whose loss became NaN."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunSpec(Spec):
    """Everything a run's numbers depend on, except the machine. Equal specs are the same run.

    Attributes:
        dataset: see :data:`mixlib.runs.corpora.CORPORA`.
        train_size, dev_size, test_size: examples drawn for this seed; ``None`` for all. Without development examples
            the epoch is selected on the test split.
        train_per_class, train_fraction: training examples of each class, and the share kept of each class (see
            :func:`mixlib.runs.draws.sample`), instead of ``train_size``.
        model: see :func:`mixlib.runs.models.load`. A folder is held as ``NAME@DIGEST``, see
            :mod:`mixlib.runs.checkpoints`.
        head: see :func:`mixlib.runs.models.load`. Rows for ``head="mean"`` are padded to ``max_length``.
            ``head="published"`` is the one that AMPLIFY's code gives the method
            (:func:`mixlib.runs.heads.of_method`).
        method, method_params: see :mod:`mixlib.methods`.
        max_length: in tokens; longer texts are cut.
        batch_size, learning_rate, num_train_epochs, warmup_ratio, weight_decay, lr_scheduler_type: of AdamW training.
        schedule: ``"stated"``: as those say. ``"published"``: as in AMPLIFY's code, a cosine without warmup whose
            length is the batches of an epoch *divided* by the epochs, and which continues past its end, so that the
            learning rate swings between its full value and 0.
        early_stopping_patience: stop after this many evaluations without a better ``metric_for_best_model``.
        label_noise: share of the training labels replaced by other ones (:func:`mixlib.runs.draws.with_label_noise`).
        dropout: of encoder and head; ``None`` keeps the model's own.
        eval_epochs: epochs from one evaluation to the next.
        eval_steps: updates from one evaluation to the next, if that is sooner.
        group_by_length: whether batches hold texts of similar length.
        metric_for_best_model: ``accuracy`` or ``mcc``; the evaluation with its highest value is selected. ``None``: the
            last one counts, and development examples are scored at the last update only, for temperature scaling.
        curve_size: test examples scored at evaluations before the last; all of them are scored at the last update and
            at the selected evaluation. ``None``: all of them at every evaluation.
        max_grad_norm: gradients are clipped to this norm; 0 for no clipping.
        precision: ``fp32``, ``bf16`` for autocast, or ``tf32`` for the tensor cores of an NVIDIA GPU; a run in another
            precision is another run.
        first_stage: the run whose best weights this one starts from, with a fresh optimizer; ``None``: the pretrained
            ones.
        keep_state: keep the weights of the selected evaluation in the store, for runs that start from them.
        dropout_leak: see :class:`mixlib.trainer.MixupTrainer`.
        max_steps: stop after this many optimizer updates (a trial, not the protocol).
        seed: of the draw of examples, the new head, dropout, batch order and mixing. ``paper`` and ``synthetic`` are
            explained at :class:`mixlib.runs.records.Spec`.

    Raises:
        ValueError: a number out of range, an unknown metric, schedule or precision, or settings that clash.
        ModelUnavailable: ``model`` is written as a path, but there is no folder there.
    """

    dataset: str
    method: str
    model: str
    method_params: dict[str, Any] = field(default_factory=dict)
    head: str = "own"
    train_size: int | None = None
    train_per_class: int | None = None
    train_fraction: float = 1.0
    dev_size: int | None = None
    test_size: int | None = None
    max_length: int = 128
    batch_size: int = 16
    learning_rate: float = 2e-5
    num_train_epochs: int = 3
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    lr_scheduler_type: str = "linear"
    schedule: str = "stated"
    early_stopping_patience: int | None = None
    label_noise: float = 0.0
    dropout: float | None = None
    eval_epochs: int = 1
    eval_steps: int | None = None
    group_by_length: bool = False
    metric_for_best_model: str | None = "accuracy"
    curve_size: int | None = None
    max_grad_norm: float = 1.0
    precision: str = "fp32"
    first_stage: RunSpec | None = None
    keep_state: bool = False
    dropout_leak: bool = False
    max_steps: int | None = None

    def __post_init__(self) -> None:
        # parameters as JSON reads them back, so that a spec equals the one in its record
        object.__setattr__(self, "method_params", json.loads(json.dumps(self.method_params, default=_plain)))
        object.__setattr__(self, "model", settled(self.model))
        for name, (kind, low, high) in NUMBERS.items():
            object.__setattr__(self, name, _checked_number(name, getattr(self, name), kind, low, high))
        if self.metric_for_best_model not in (*METRICS, None):
            choices = ", ".join(map(repr, METRICS))
            raise ValueError(f"metric_for_best_model is {self.metric_for_best_model!r}; choose one of {choices}, None")
        if self.num_train_epochs % self.eval_epochs:
            raise ValueError(f"eval_epochs={self.eval_epochs} must divide num_train_epochs={self.num_train_epochs}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {self.schedule!r}; choose one of {', '.join(SCHEDULES)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}")
        if self.curve_size is not None and self.dev_size == 0 and self.metric_for_best_model is not None:
            raise ValueError("with dev_size=0 an epoch is selected on test examples, which needs all of them at every "
                             "evaluation: set curve_size=None, metric_for_best_model=None or a dev_size")  # fmt: skip
        if self.metric_for_best_model is None and self.early_stopping_patience is not None:
            raise ValueError("early stopping needs a metric_for_best_model to watch, got None")
        if self.first_stage is not None and not self.first_stage.keep_state:
            raise ValueError("a run can start only from one that keeps its weights: first_stage needs keep_state=True")

    def in_precision(self, precision: str) -> RunSpec:
        """This run, and those it starts from, in another precision."""
        first = self.first_stage and self.first_stage.in_precision(precision)
        return replace(self, precision=precision, first_stage=first)

    @classmethod
    def from_canonical(cls, values: dict[str, Any]) -> RunSpec:
        first = values.get("first_stage")
        settled_before = {"model": ModelName(values["model"])}
        return cls(**values | settled_before | ({"first_stage": cls.from_canonical(first)} if first else {}))

    @property
    def cell(self) -> RunSpec:
        return replace(self, seed=0, first_stage=self.first_stage and self.first_stage.cell)

    @property
    def name(self) -> str:
        return f"{self.dataset}-{self.method}"

    def trial(self, max_steps: int, rows: int = 128) -> RunSpec:
        """This run cut to ``max_steps`` updates and scored on at most ``rows`` examples, to see whether it works.

        Where this run has no ``dev_size`` and its training leaves no rows for development, the trial has none either.
        """
        from mixlib.runs import corpora

        few = {f"{role}_size": rows if size is None else min(rows, size)
               for role, size in (("dev", self.dev_size), ("test", self.test_size))}  # fmt: skip
        corpus, all_trained_on = corpora.get(self.dataset), self.train_size is None and self.train_per_class is None
        if self.dev_size is None and corpus.dev == "train" and (corpus.own or all_trained_on):
            few["dev_size"] = None
        first = self.first_stage and self.first_stage.trial(max_steps, rows)
        return replace(self, max_steps=max_steps, first_stage=first, **few)

    def __str__(self) -> str:
        params = "".join(f" {name}={value}" for name, value in self.method_params.items())
        size = self.train_size or (f"{self.train_per_class} a class" if self.train_per_class else "all")
        share = "" if self.train_fraction == 1 else f", {100 * self.train_fraction:g}%"
        stage = " after a first stage" if self.first_stage else ""
        leak = " with the dropout leak" if self.dropout_leak else ""
        own = {"head": "own", "schedule": "stated", "label_noise": 0.0, "precision": "fp32"}
        other = "".join(f" {name}={getattr(self, name)}" for name, usual in own.items() if getattr(self, name) != usual)
        return f"{self.dataset} ({size}{share}) {self.method}{params}{other}{stage}{leak} seed {self.seed}"


def _checked_number(name: str, value: Any, kind: type, low: float, high: float) -> int | float | None:
    """The number as Python's; ``ValueError`` unless it is of this kind and in this range, or ``None`` where that is the
    default."""
    if value is None and RunSpec.__dataclass_fields__[name].default is None:
        return None
    wanted = Integral if kind is int else Real
    if isinstance(value, bool) or not isinstance(value, wanted) or not low <= value <= high:
        what = "a whole number" if kind is int else "a number"
        begin = f"above {low:.0f}" if 0 < low < 1 else f"from {low:g} on"
        end = "" if high >= 1e300 else f", below {high:.0f}" if high < 1 else f", at most {high:,.0f}"
        raise ValueError(f"{name} must be {what} {begin}{end}, got {value!r}")
    return kind(value)  # 0 and 0.0 are the same run


def _plain(value: Any) -> int | float:
    """A number, numpy's included, as Python's; ``ValueError`` for what JSON cannot hold."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise ValueError(f"method_params can hold only numbers, strings, booleans, None and lists of these, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class RunRecord(Record):
    """What one finished run measured.

    Attributes:
        evaluations: one entry per evaluation: ``epoch``, ``step``, and for ``dev`` and ``test`` the metrics of
            :func:`mixlib.runs.metrics.evaluate`; ``train_loss`` is the mean training loss since the previous
            evaluation. With ``curve_size`` an entry has ``curve``, the metrics of those examples, and only the last and
            the selected one have ``test``.
        selected: index of the evaluation that the selection rule chose.
        selected_on: ``dev`` or ``test``, the split the choice was made on; ``last`` if none was made.
        scaled: metrics of the test examples at the last update after temperature scaling: ``temperature`` (fitted on
            the development examples), ``nll``, ``ece``, ``ece_mass``, ``brier``. Empty without development examples.
        reliability: reliability bins of the test split at the selected evaluation.
        train_losses: training loss of each update, on mixed rows if rows are mixed; in a run of more than
            ``LOSSES_KEPT`` updates, means over several. Empty in older records.
        timing: ``train_seconds`` (without evaluation), ``eval_seconds``, ``steps``, ``seconds_per_step``,
            ``total_seconds``.
        data: source and checksums of the drawn examples; ``model``, the digest of the pretrained model; ``train_rows``;
            ``larger_class``, the share of the most common class of the test examples; ``labels_changed`` by label
            noise; ``state``, the digest of the weights that were kept; ``first_stage``, the digest of those it started
            from; ``predictions``, the digest of the file next to the record; if entities were cut off by
            ``max_length``, the rows left out of each split.
        predictions: what the model predicted for each example at the last update, if ``curve_size`` is given or the
            last evaluation counts; ``None`` in a record read from a file (see
            :meth:`mixlib.runs.store.Store.predictions`).
        spec, environment, origin, started: see :class:`mixlib.runs.records.Record`.
    """

    spec_type: ClassVar[type[RunSpec]] = RunSpec

    evaluations: list[dict[str, Any]]
    selected: int
    selected_on: str
    reliability: dict[str, list[float]]
    timing: dict[str, float]
    data: dict[str, Any]
    train_losses: list[float] = field(default_factory=list)
    scaled: dict[str, float] = field(default_factory=dict)
    predictions: Predictions | None = field(default=None, compare=False, repr=False, metadata=BESIDE)

    def check(self) -> None:
        from mixlib import methods
        from mixlib.runs import corpora

        corpora.get(self.spec.dataset)
        if not OWN_METHOD.fullmatch(self.spec.method):  # known only to the process that has its class
            methods.get(self.spec.method, **self.spec.method_params)
        step = 0
        for evaluation in self.evaluations:
            step = number(evaluation, "step", step + 1)  # each after the one before
            number(evaluation, "epoch", 0)
            if "train_loss" in evaluation:
                number(evaluation, "train_loss")
            for split in evaluation.keys() & {"dev", "test", "curve"}:
                for name, (low, high) in RANGES.items():
                    if name in evaluation[split] or name not in ADDED:
                        number(evaluation[split], name, low, high)
        self._check_selection()
        rows, confidence, correct = (self.reliability[name] for name in ("rows", "confidence", "correct"))
        if not len(rows) == len(confidence) == len(correct):
            raise ValueError("reliability has lists of different lengths")
        for i in range(len(rows)):
            number(rows, i, 0)
            number(confidence, i, 0, rows[i] + 1e-4)  # sums of shares, rounded
            number(correct, i, 0, rows[i])
        for name in ("train_seconds", "eval_seconds", "seconds_per_step", "total_seconds", "steps"):
            number(self.timing, name, 0)
        for i in range(len(self.train_losses)):
            number(self.train_losses, i)
        for name in self.scaled:
            number(self.scaled, name, *RANGES.get(name, (0, math.inf)))
        for name in ("source", "model", "state", "first_stage", "predictions"):
            if not isinstance(self.data.get(name, ""), str):
                raise TypeError(f"{name} of the data is no text but {self.data[name]!r}")

    def _check_selection(self) -> None:
        usual = "dev" if "dev" in self.evaluations[0] else "test"
        expected = "last" if self.spec.metric_for_best_model is None else usual
        if self.selected_on != expected:
            raise ValueError(f"selected_on is {self.selected_on!r}, but by its settings and metrics it is {expected!r}")
        best = len(self.evaluations) - 1
        if self.selected_on != "last":
            scores = [entry[self.selected_on][self.spec.metric_for_best_model] for entry in self.evaluations]
            best = scores.index(max(scores))  # the first if tied
        if type(self.selected) is not int or self.selected != best:
            raise ValueError(f"selected is {self.selected!r}, but the best evaluation is {best}")
        for index in {best, len(self.evaluations) - 1} if self.spec.curve_size is not None else {best}:
            self.evaluations[index]["test"]["accuracy"]

    @property
    def summary(self) -> str:
        return f"accuracy {self.test['accuracy']:.3f} nll {self.test['nll']:.3f} ece {self.test['ece']:.3f}"

    @property
    def test(self) -> dict[str, float]:
        """Test metrics of the selected evaluation."""
        return self.evaluations[self.selected]["test"]

    @property
    def last(self) -> dict[str, float]:
        """Test metrics of the last evaluation: what a fixed budget of training gives."""
        return self.evaluations[-1]["test"]

    @property
    def at_chance(self) -> bool:
        """Whether it ended no better than the largest class of its test rows."""
        return self.last["accuracy"] <= self.data["larger_class"]
