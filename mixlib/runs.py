"""One fine-tuning run: what it is (:class:`RunSpec`), what came out (:class:`RunRecord`), and where that is kept.

A run's key is a hash of what it is, so two notebooks that need the same run share it, and a sweep that was stopped
goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import os
import platform
import resource
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback

import mixlib
from mixlib import corpora, heads, methods, metrics, models
from mixlib.store import Record, Spec, Store
from mixlib.trainer import MixupTrainer

SCHEDULES = ("stated", "published")
TOKEN_TYPES = {"token_type_ids"}
LOSSES_KEPT = 400  # in a record
EVAL_ROWS = {"cpu": 32, "cuda": 128}  # a CPU is busy with few rows, and fewer need less padding
LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "tokenizers", "torchmetrics", "scikit-learn", "numpy")


class RunFailed(RuntimeError):
    """A run that ended without a result, such as one whose loss became NaN."""


@dataclass(frozen=True, kw_only=True)
class RunSpec(Spec):
    """Everything a run's numbers depend on, except the machine. Equal specs are the same run.

    Attributes:
        dataset: see :data:`mixlib.corpora.CORPORA`.
        train_size, dev_size, test_size: examples drawn for this seed; ``None`` all. Without development examples the
            epoch is selected on the test split.
        train_per_class, train_fraction: training examples of each class, and the share kept of each class (see
            :func:`mixlib.corpora.sample`), in place of ``train_size``.
        model, head: see :func:`mixlib.models.load`. Rows for ``head="mean"`` are padded to ``max_length``.
            ``head="published"`` is the one that AMPLIFY's code gives the method (:func:`mixlib.heads.of_method`).
        method, method_params: see :mod:`mixlib.methods`.
        max_length: tokens, longer texts are cut.
        batch_size, learning_rate, num_train_epochs, warmup_ratio, weight_decay, lr_scheduler_type: of AdamW training.
        schedule: ``"stated"``: as those say. ``"published"``: as AMPLIFY's code has it: a cosine without warmup whose
            length is the batches of an epoch *divided* by the epochs, and which goes on past its end, so that the
            learning rate swings between its full value and 0.
        early_stopping_patience: stop after so many evaluations without a better ``metric_for_best_model``.
        label_noise: share of the training labels replaced by other ones (:func:`mixlib.corpora.with_label_noise`).
        dropout: of encoder and head; ``None`` keeps the model's own.
        eval_epochs: epochs from one evaluation to the next.
        eval_steps: updates from one evaluation to the next where that is sooner.
        group_by_length: whether batches hold texts of similar length.
        metric_for_best_model: ``accuracy`` or ``mcc``; the evaluation with its highest value is selected.
        max_grad_norm: gradients are clipped to it, 0 for no clipping.
        first_stage: the run whose best weights this one starts from, with a fresh optimizer; ``None``: the pretrained
            ones.
        keep_state: keep the weights of the selected evaluation in the store, for runs that start from them.
        dropout_leak: see :class:`mixlib.trainer.MixupTrainer`.
        max_steps: stop after so many optimizer updates (a trial, not the protocol).
        seed: (of the draw of examples, the new head, dropout, batch order and mixing), paper, synthetic: see
            :class:`mixlib.store.Spec`.
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
    metric_for_best_model: str = "accuracy"
    max_grad_norm: float = 1.0
    first_stage: RunSpec | None = None
    keep_state: bool = False
    dropout_leak: bool = False
    max_steps: int | None = None

    def __post_init__(self) -> None:
        # parameters as JSON reads them back, so that a spec equals the one in its record
        object.__setattr__(self, "method_params", json.loads(json.dumps(self.method_params)))
        if self.num_train_epochs % self.eval_epochs:
            raise ValueError(f"eval_epochs={self.eval_epochs} must divide num_train_epochs={self.num_train_epochs}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"unknown schedule {self.schedule!r}; choose one of {', '.join(SCHEDULES)}")
        if self.first_stage is not None and not self.first_stage.keep_state:
            raise ValueError("a run can start only from one that keeps its weights: first_stage needs keep_state=True")

    @classmethod
    def from_canonical(cls, values: dict[str, Any]) -> RunSpec:
        first = values.get("first_stage")
        return cls(**values | ({"first_stage": cls.from_canonical(first)} if first else {}))

    @property
    def cell(self) -> RunSpec:
        return replace(self, seed=0, first_stage=self.first_stage and self.first_stage.cell)

    @property
    def name(self) -> str:
        return f"{self.dataset}-{self.method}"

    def trial(self, max_steps: int, rows: int = 128) -> RunSpec:
        """The first ``max_steps`` updates of this run, evaluated on at most ``rows`` examples: does it start at all?"""
        few = {f"{role}_size": rows if size is None else min(rows, size)
               for role, size in (("dev", self.dev_size), ("test", self.test_size))}  # fmt: skip
        first = self.first_stage and self.first_stage.trial(max_steps, rows)
        return replace(self, max_steps=max_steps, first_stage=first, **few)

    __hash__ = Spec.__hash__

    def __str__(self) -> str:
        params = "".join(f" {name}={value}" for name, value in self.method_params.items())
        size = self.train_size or (f"{self.train_per_class} a class" if self.train_per_class else "all")
        share = "" if self.train_fraction == 1 else f", {100 * self.train_fraction:g}%"
        stage = " after a first stage" if self.first_stage else ""
        leak = " with the dropout leak" if self.dropout_leak else ""
        own = {"head": "own", "schedule": "stated", "label_noise": 0.0}
        other = "".join(f" {name}={getattr(self, name)}" for name, usual in own.items() if getattr(self, name) != usual)
        return f"{self.dataset} ({size}{share}) {self.method}{params}{other}{stage}{leak} seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class RunRecord(Record):
    """What one finished run measured.

    Attributes:
        evaluations: one entry an evaluation: ``epoch``, ``step``, and for ``dev`` and ``test`` the metrics of
            :func:`mixlib.metrics.evaluate`; ``train_loss`` is the mean training loss since the evaluation before.
        selected: index of the evaluation that the selection rule chose.
        selected_on: ``dev`` or ``test``, the split the choice was made on.
        reliability: reliability bins of the test split at the selected evaluation.
        train_losses: training loss of each update, of mixed rows where rows are mixed; in a run of more than
            ``LOSSES_KEPT`` updates means of several. Empty in older records.
        timing: ``train_seconds`` (without evaluation), ``eval_seconds``, ``steps``, ``seconds_per_step``,
            ``total_seconds``.
        data: source and checksums of the drawn examples; ``train_rows``; ``labels_changed`` by label noise; ``state``,
            the digest of the weights that were kept; ``first_stage``, the digest of those it started from; where
            entities were cut off by ``max_length``, the rows left out of each split.
        spec, environment, origin, started: see :class:`mixlib.store.Record`.
    """

    spec_type: ClassVar[type[RunSpec]] = RunSpec

    evaluations: list[dict[str, Any]]
    selected: int
    selected_on: str
    reliability: dict[str, list[float]]
    timing: dict[str, float]
    data: dict[str, Any]
    train_losses: list[float] = field(default_factory=list)

    def check(self) -> None:
        self.test["accuracy"]

    @property
    def summary(self) -> str:
        return f"accuracy {self.test['accuracy']:.3f} nll {self.test['nll']:.3f} ece {self.test['ece']:.3f}"

    @property
    def test(self) -> dict[str, float]:
        """Test metrics of the selected evaluation."""
        return self.evaluations[self.selected]["test"]


def bf16_is_fast() -> bool:
    """Whether bfloat16 pays on this machine: a CUDA GPU, or a CPU with instructions for it.

    PyTorch emulates bfloat16 on other CPUs, which is many times slower than float32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def machine_class() -> str:
    """A name for the kind of machine: GPU, or number of CPU cores."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()}-core {platform.machine()} CPU"


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the source that a run's numbers depend on: tells whether two records were made by the same code."""
    folder = Path(mixlib.__file__).parent
    names = ("mixing", "sites", "trainer", "corpora", "synthetic", "models", "metrics", "runs", "heads", "spans")
    digest = sha256()
    for path in sorted([*(folder / f"{name}.py" for name in names), *(folder / "methods").glob("*.py")]):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return f"{mixlib.__version__}+{digest.hexdigest()[:10]}"


class _StopOnNan(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs):
        for name, value in (logs or {}).items():
            if isinstance(value, float) and not math.isfinite(value) and name.endswith(("loss", "nll")):
                raise RunFailed(f"{name} became {value} at step {state.global_step}")


class _StopEarly(EarlyStoppingCallback):
    """Early stopping that looks at the split it is to look at, and asks for no checkpoints."""

    def on_train_begin(self, args, state, control, **kwargs):
        pass

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        if args.metric_for_best_model in metrics:
            super().on_evaluate(args, state, control, metrics, **kwargs)


def loss_interval(steps: int, every: int) -> int:
    """Updates from one logged training loss to the next: divides ``every``, and keeps to ``LOSSES_KEPT`` losses."""
    return next(n for n in range(1, every + 1) if every % n == 0 and (steps <= LOSSES_KEPT * n or n == every))


def _finite_metrics(prediction: EvalPrediction) -> dict[str, Any]:
    if not np.isfinite(prediction.predictions).all():
        raise RunFailed("the logits became NaN or infinite")
    return metrics.evaluate(prediction.predictions, prediction.label_ids)


@dataclass(frozen=True)
class Fitted:
    """A trained model with what it was trained on.

    Attributes:
        trainer: after training; ``trainer.model`` is the model of the last step.
        tokenizer: of the model.
        train: the encoded training examples.
        evaluated: the encoded ``dev`` (where there is one) and ``test`` examples, longest first.
        data: source and checksums of the examples, rows trained on and left out.
        seconds: training took, evaluation included.
    """

    trainer: MixupTrainer
    tokenizer: Any
    train: Dataset
    evaluated: dict[str, Dataset]
    data: dict[str, Any]
    seconds: float

    def last(self, metric: str) -> float:
        """A metric of the test split at the last evaluation."""
        return [log for log in self.trainer.state.log_history if "eval_test_nll" in log][-1][f"eval_test_{metric}"]


def fit(spec: RunSpec, store: Store | None = None) -> Fitted:
    """Train one run; :func:`execute` makes the record of it.

    A run that starts from another one takes its weights from the store; where they are not kept, that one is run now.

    Args:
        spec: the run.
        store: where weights are kept, by default the repository's.

    Raises:
        RunFailed: the loss became NaN or infinite.
        ValueError, OSError: unknown names, values out of range, data or model that cannot be had.
    """
    corpus = corpora.get(spec.dataset)
    data = corpora.sample(
        spec.dataset, spec.seed, spec.train_size, spec.dev_size, spec.test_size, synthetic_twin=spec.synthetic,
        train_per_class=spec.train_per_class, train_fraction=spec.train_fraction,
    )  # fmt: skip
    set_seed(spec.seed)  # before the model is built: its head is random
    head = heads.of_method(spec.head, spec.method)
    model = models.classifier(spec.model, corpus.num_labels, spec.dropout, head)
    pretrained = models.pretrained(models.base_name(spec.model))
    tokenizer, known = pretrained.tokenizer, pretrained.encoded.setdefault(spec.max_length, {})
    found = {"source": data.source, **data.checksums}
    if spec.first_stage is not None:
        found["first_stage"] = _first_stage(spec.first_stage, model, store or Store())
    noisy = corpora.with_label_noise(data.train, spec.label_noise, corpus.num_labels, spec.seed)
    splits = {"train": noisy, "dev": data.dev, "test": data.test}
    encoded = {
        name: corpora.encode(rows, tokenizer, spec.max_length, entities=head == "entities", skip_cut=True, known=known)
        for name, rows in splits.items()
        if len(rows)
    }
    if head == "untyped":
        encoded = {name: rows.remove_columns(TOKEN_TYPES & set(rows.column_names)) for name, rows in encoded.items()}
    skipped = {f"{name}_skipped": len(splits[name]) - len(rows) for name, rows in encoded.items()}
    train = encoded.pop("train")
    evaluated = {name: corpora.longest_first(rows) for name, rows in encoded.items()}
    method = methods.get(spec.method, **spec.method_params)
    steps_per_epoch = math.ceil(len(train) / spec.batch_size) * method.updates_per_batch
    steps = spec.max_steps or steps_per_epoch * spec.num_train_epochs
    every = spec.max_steps or min(steps_per_epoch * spec.eval_epochs, spec.eval_steps or steps)
    selected_on = "dev" if "dev" in evaluated else "test"
    best = {"metric_for_best_model": f"eval_{selected_on}_{spec.metric_for_best_model}", "greater_is_better": True}
    keeping: dict[str, Any] = {"save_strategy": "no"}
    if spec.keep_state:
        keeping = best | {
            "save_strategy": "steps", "save_steps": every, "save_total_limit": 1, "save_only_model": True,
            "load_best_model_at_end": True,
        }  # fmt: skip
    callbacks: list[TrainerCallback] = [_StopOnNan()]
    if spec.early_stopping_patience is not None:
        keeping |= best
        callbacks.append(_StopEarly(spec.early_stopping_patience))
    schedule: dict[str, Any] = {"lr_scheduler_type": spec.lr_scheduler_type}
    schedule["warmup_steps"] = math.ceil(spec.warmup_ratio * steps)
    if spec.schedule == "published":
        length = max(1, len(train) // spec.batch_size // spec.num_train_epochs)
        schedule = {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": steps / (2 * length)}}
    fixed = {"padding": "max_length", "max_length": spec.max_length} if head == "mean" else {}
    bf16 = bf16_is_fast()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory(prefix="mixlib-run-") as folder:
        trainer = MixupTrainer(
            model=model,
            method=method,
            dropout_leak=spec.dropout_leak,
            args=TrainingArguments(
                output_dir=folder,
                seed=spec.seed,
                num_train_epochs=spec.num_train_epochs,
                max_steps=spec.max_steps or -1,
                per_device_train_batch_size=spec.batch_size,
                per_device_eval_batch_size=EVAL_ROWS["cuda" if torch.cuda.is_available() else "cpu"],
                learning_rate=spec.learning_rate,
                weight_decay=spec.weight_decay,
                **schedule,
                optim="adamw_torch_fused",
                bf16=bf16,
                use_cpu=bf16 and not torch.cuda.is_available(),  # the Trainer asks for it before it uses bf16 on a CPU
                max_grad_norm=spec.max_grad_norm,
                train_sampling_strategy="group_by_length" if spec.group_by_length else "random",
                eval_strategy="steps",
                eval_steps=every,
                logging_strategy="steps",
                logging_steps=loss_interval(steps, every),
                logging_nan_inf_filter=False,
                **keeping,
                report_to=[],
                dataloader_pin_memory=torch.cuda.is_available(),
                disable_tqdm=True,
            ),
            train_dataset=train,
            eval_dataset=evaluated,
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer, **fixed),
            compute_metrics=_finite_metrics,
            callbacks=callbacks,
        )
        trainer.pop_callback(PrinterCallback)
        training_clock = time.perf_counter()
        with models.quiet():  # a sweep has one bar
            trainer.train()
        seconds = time.perf_counter() - training_clock
    found["train_rows"] = len(train)
    if changed := int((noisy["label"] != data.train["label"]).sum()):
        found["labels_changed"] = changed
    found |= {name: rows for name, rows in skipped.items() if rows}
    return Fitted(trainer, tokenizer, train, evaluated, found, seconds)


def _first_stage(spec: RunSpec, model: torch.nn.Module, store: Store) -> str:
    """Load the weights that a run kept into the model, after running it if they are not there; their digest."""
    if not store.state_path(spec).exists():
        record = execute(spec, store)
        if store.get(spec) is None:
            store.put(record)
    return store.load_state(spec, model)


def execute(spec: RunSpec, store: Store | None = None) -> RunRecord:
    """Train and evaluate one run and return its record; nothing is written but weights that are to be kept.

    Args:
        spec: the run.
        store: where weights are kept, by default the repository's.

    Raises what :func:`fit` raises.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    fitted = fit(spec, store)
    trainer = fitted.trainer
    evaluations, losses, eval_seconds = _evaluations(trainer.state.log_history, list(fitted.evaluated))
    selected_on = "dev" if "dev" in fitted.evaluated else "test"
    scores = [entry[selected_on][spec.metric_for_best_model] for entry in evaluations]
    selected = scores.index(max(scores))  # the first of equals
    if spec.keep_state:
        fitted.data["state"] = (store or Store()).put_state(spec, trainer.model)
    bins = [entry.pop("reliability") for entry in evaluations]
    return RunRecord(
        spec=spec,
        evaluations=evaluations,
        selected=selected,
        selected_on=selected_on,
        reliability=bins[selected],
        train_losses=losses,
        timing={
            "train_seconds": round(fitted.seconds - eval_seconds, 3),
            "eval_seconds": round(eval_seconds, 3),
            "steps": trainer.state.global_step,
            "seconds_per_step": round((fitted.seconds - eval_seconds) / trainer.state.global_step, 4),
            "total_seconds": round(time.perf_counter() - clock, 3),
        },
        data=fitted.data,
        environment=environment("bf16" if bf16_is_fast() else "fp32"),
        origin=machine_class(),
        started=started.isoformat(timespec="seconds"),
    )


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def environment(precision: str) -> dict[str, Any]:
    """What a record says of the machine and the libraries it was made with."""
    gpu = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "python": platform.python_version(),
        **_versions(),
        "code": code_version(),
        "device": torch.cuda.get_device_name() if gpu else platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "peak_memory_mib": round(peak / 2**20),
    }


def _evaluations(history: list[dict[str, Any]], splits: list[str]) -> tuple[list[dict[str, Any]], list[float], float]:
    """Group the Trainer's log by step into one entry an evaluation; the training losses, and seconds of evaluation."""
    by_step: dict[int, dict[str, Any]] = {}
    losses: list[float] = []
    since: list[float] = []  # losses after the evaluation before
    seconds = 0.0
    names = ("accuracy", "mcc", "nll", "ece")
    for log in history:
        entry = by_step.setdefault(log["step"], {"step": log["step"], "epoch": round(log["epoch"], 4)})
        if "loss" in log:
            losses.append(round(log["loss"], 6))
            since.append(log["loss"])
        for split in splits:
            if f"eval_{split}_nll" in log:
                if since:
                    entry["train_loss"] = round(sum(since) / len(since), 6)
                    since.clear()
                entry[split] = {name: round(log[f"eval_{split}_{name}"], 6) for name in names}
                seconds += log[f"eval_{split}_runtime"]
                if split == "test":
                    entry["reliability"] = log["eval_test_reliability"]
    return [entry for entry in by_step.values() if "test" in entry], losses, seconds
