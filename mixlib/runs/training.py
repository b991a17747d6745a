"""How a run is done: a :class:`mixlib.runs.spec.RunSpec` in, a trained model and a :class:`mixlib.runs.spec.RunRecord`
out."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
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
from transformers.utils import is_torch_tf32_available

from mixlib import methods
from mixlib.runs import corpora, draws, encoding, heads, metrics, models, scratch, trimming
from mixlib.runs.machine import environment, machine_class
from mixlib.runs.predictions import Predictions
from mixlib.runs.spec import LOSSES_KEPT, RANGES, RunFailed, RunRecord, RunSpec
from mixlib.runs.store import Store
from mixlib.trainer import MixupTrainer

TOKEN_TYPES = {"token_type_ids"}
SPLITS = ("dev", "test", "curve")  # curve: the test examples scored at each evaluation
EVAL_ROWS = {"cpu": 32, "cuda": 128}  # a few rows keep a CPU busy, and fewer need less padding


class _StopOnNan(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs):
        for name, value in (logs or {}).items():
            if isinstance(value, float) and not math.isfinite(value) and name.endswith(("loss", "nll")):
                raise RunFailed(f"{name} became {value} at step {state.global_step}")


class _StopEarly(EarlyStoppingCallback):
    """Early stopping that looks at the split it is told to, and needs no checkpoints."""

    def on_train_begin(self, args, state, control, **kwargs):
        pass

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        if args.metric_for_best_model in metrics:
            super().on_evaluate(args, state, control, metrics, **kwargs)


class _KeepBest(TrainerCallback):
    """Keeps, in memory, a copy of the weights of the evaluation with the highest ``metric``, the first if tied."""

    def __init__(self, metric: str) -> None:
        self.metric, self.score, self.step = metric, -math.inf, -1
        self.state: dict[str, torch.Tensor] = {}

    def on_evaluate(self, args, state, control, model=None, metrics=None, **kwargs):
        if metrics.get(self.metric, -math.inf) > self.score:
            self.score, self.step = metrics[self.metric], state.global_step
            self.state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


class _Trainer(MixupTrainer):
    """Remembers the logits and labels of each split's last evaluation (keys ``eval_dev``, ``eval_test``, ...).

    How often a run is scored has no influence on its training: each pass over rows takes a number from the stream that
    dropout draws from, so that stream is restored afterwards.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scored: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        with torch.random.fork_rng(devices=[]):
            output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        self.scored[metric_key_prefix] = output.predictions, output.label_ids
        return output


def loss_interval(steps: int, every: int) -> int:
    """How many updates lie between two logged training losses: the smallest divisor of ``every`` that gives at most
    ``LOSSES_KEPT`` losses, else ``every`` itself."""
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
        evaluated: the encoded ``dev`` (if there are any) and ``test`` examples, longest first.
        rows: for ``dev`` and ``test`` the digests of those examples, in the same order.
        drawn_from: see :class:`mixlib.runs.draws.Sample`.
        best: the weights of the evaluation to be selected, if they may be needed after the last step.
        data: source and checksums of the examples, rows trained on and left out.
        seconds: how long training took, evaluation included.
    """

    trainer: _Trainer
    tokenizer: Any
    train: Dataset
    evaluated: dict[str, Dataset]
    rows: dict[str, list[bytes]]
    drawn_from: dict[str, tuple[bytes, ...]]
    best: _KeepBest | None
    data: dict[str, Any]
    seconds: float

    def last(self, metric: str) -> float:
        """A metric of the test split at the last evaluation."""
        return [log for log in self.trainer.state.log_history if "eval_test_nll" in log][-1][f"eval_test_{metric}"]


def fit(spec: RunSpec, store: Store | None = None) -> Fitted:
    """Train one run; :func:`execute` makes the record of it.

    A run that starts from another one takes that one's weights from the store; if they are not kept, that one is run
    first.

    Args:
        spec: the run.
        store: where weights are kept, by default the repository's.

    Raises:
        RunFailed: the loss or the logits became NaN or infinite, or the run asks for tf32 and there is no GPU for it.
        ValueError, OSError: unknown names, values out of range, data or model not available.
    """
    head = heads.of_method(spec.head, spec.method)
    rows = _drawn(spec, head)
    set_seed(spec.seed)  # before the model is built: its head is random
    model = models.classifier(spec.model, rows.num_labels, spec.dropout, head)
    rows.found["model"] = models.weights_digest(spec.model)
    if spec.first_stage is not None:
        rows.found["first_stage"] = _first_stage(spec.first_stage, model, store or Store())
    best = _best_kept(spec, rows.evaluated)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory(prefix=scratch.prefix("run"), ignore_cleanup_errors=True) as folder:
        trainer = _trainer(spec, model, head, rows, best, folder)
        seconds = _train(trainer, spec.precision, [rows.train, *rows.evaluated.values()])
    return Fitted(
        trainer, rows.tokenizer, rows.train, rows.evaluated, rows.digests, rows.drawn_from, best, rows.found, seconds
    )


@dataclass(frozen=True)
class _Rows:
    """What a run trains on and is scored on: fields of :class:`Fitted`, and those below.

    Attributes:
        watched: what is scored during training, by the name of its scores.
        found: ``data`` of :class:`Fitted`.
    """

    num_labels: int
    tokenizer: Any
    train: Dataset
    evaluated: dict[str, Dataset]
    watched: dict[str, Dataset]
    digests: dict[str, list[bytes]]
    drawn_from: dict[str, tuple[bytes, ...]]
    found: dict[str, Any]


def _drawn(spec: RunSpec, head: str) -> _Rows:
    """The rows of a run: drawn, some of their labels changed if the run asks for it, tokenized."""
    num_labels = corpora.get(spec.dataset).num_labels
    data = draws.sample(
        spec.dataset, spec.seed, spec.train_size, spec.dev_size, spec.test_size, synthetic_twin=spec.synthetic,
        train_per_class=spec.train_per_class, train_fraction=spec.train_fraction,
    )  # fmt: skip
    noisy = draws.with_label_noise(data.train, spec.label_noise, num_labels, spec.seed)
    encoded = _encoded(spec, head, {"train": noisy, "dev": data.dev, "test": data.test})
    train = encoded.pop("train").remove_columns("row")
    ordered = {name: encoding.longest_first(split) for name, split in encoded.items()}
    digests = {name: [data.digests[name][i] for i in split["row"]] for name, split in ordered.items()}
    evaluated = {name: split.remove_columns("row") for name, split in ordered.items()}

    found = {"source": data.source, **data.checksums, "train_rows": len(train)}
    found["larger_class"] = round(float(data.test["label"].value_counts(normalize=True).max()), 6)
    if changed := int((noisy["label"] != data.train["label"]).sum()):
        found["labels_changed"] = changed
    found |= {f"{name}_skipped": skipped for name, skipped in _skipped(data, train, evaluated).items() if skipped}
    tokenizer = models.pretrained(models.base_name(spec.model)).tokenizer
    watched = _watched(spec, evaluated, encoded["test"])
    return _Rows(num_labels, tokenizer, train, evaluated, watched, digests, data.drawn_from, found)


def _watched(spec: RunSpec, evaluated: dict[str, Dataset], test: Dataset) -> dict[str, Dataset]:
    """What is scored during training: all that is evaluated if the run selects, else the test rows; instead of the test
    rows, the first ``curve_size`` of them if the run says so."""
    watched = evaluated if spec.metric_for_best_model else {"test": evaluated["test"]}
    if spec.curve_size is None:
        return watched
    few = test.select(range(min(spec.curve_size, len(test))))
    curve = {"curve": encoding.longest_first(few).remove_columns("row")} if len(few) else {}
    return {name: split for name, split in watched.items() if name != "test"} | curve


def _best_kept(spec: RunSpec, evaluated: Container[str]) -> _KeepBest | None:
    """What keeps the weights to be selected, if they are needed after the last step."""
    selected_on = _selected_on(spec, evaluated)
    if selected_on == "last" or not (spec.keep_state or spec.curve_size is not None):
        return None
    return _KeepBest(f"eval_{selected_on}_{spec.metric_for_best_model}")


def _trainer(
    spec: RunSpec, model: torch.nn.Module, head: str, rows: _Rows, best: _KeepBest | None, folder: str
) -> _Trainer:
    """The trainer of a run; ``folder`` is for its files."""
    method = methods.get(spec.method, **spec.method_params)
    selected_on = _selected_on(spec, rows.evaluated) if rows.watched else None
    padding = {"padding": "max_length", "max_length": spec.max_length} if head == "mean" else {}
    patience = spec.early_stopping_patience
    trainer = _Trainer(
        model=model,
        method=method,
        dropout_leak=spec.dropout_leak,
        args=_arguments(spec, folder, len(rows.train), method.updates_per_batch, selected_on),
        train_dataset=rows.train,
        eval_dataset=rows.watched or None,
        processing_class=rows.tokenizer,
        data_collator=DataCollatorWithPadding(rows.tokenizer, **padding),
        compute_metrics=_finite_metrics,
        preprocess_logits_for_metrics=_logits_alone,
        callbacks=[
            _StopOnNan(),
            *([_StopEarly(patience)] if patience is not None else []),
            *([best] if best else []),
        ],
    )
    trainer.pop_callback(PrinterCallback)  # a sweep has one bar
    return trainer


def _logits_alone(output: Any, labels: torch.Tensor) -> torch.Tensor:
    """The logits, without what encoder-decoders return with them."""
    return output[0] if isinstance(output, tuple) else output


def _train(trainer: _Trainer, precision: str, met: Iterable[Dataset]) -> float:
    """Train, with the embedding rows of the tokens in ``met`` alone; returns the seconds it took."""
    set_tf32(precision)
    clock = time.perf_counter()
    occurring = trimming.occurring(trainer.processing_class, list(met), trainer.method)
    with models.quiet(), trimming.trimmed(trainer.model, occurring):
        trainer.train()
    return time.perf_counter() - clock


def _selected_on(spec: RunSpec, evaluated: Container[str]) -> str:
    """What the evaluation is selected on: a split, or ``last`` if the last one counts."""
    if spec.metric_for_best_model is None:
        return "last"
    return "dev" if "dev" in evaluated else "test"


def _encoded(spec: RunSpec, head: str, splits: dict[str, pd.DataFrame]) -> dict[str, Dataset]:
    """The token ids of the splits that have rows, with the column ``row``: which of the drawn examples each one is."""
    pretrained = models.pretrained(models.base_name(spec.model))
    known = pretrained.encoded.setdefault(spec.max_length, {})
    encoded = {
        name: encoding.encode(
            rows, pretrained.tokenizer, spec.max_length, entities=head == "entities", skip_cut=True, known=known
        )
        for name, rows in splits.items()
        if len(rows)
    }
    if head == "untyped":
        encoded = {name: rows.remove_columns(TOKEN_TYPES & set(rows.column_names)) for name, rows in encoded.items()}
    return encoded


def _skipped(data: draws.Sample, train: Dataset, evaluated: dict[str, Dataset]) -> dict[str, int]:
    """For each split, how many drawn examples are not in it."""
    drawn = {"train": data.train, "dev": data.dev, "test": data.test}
    return {name: len(drawn[name]) - len(rows) for name, rows in {"train": train, **evaluated}.items()}


def check_precision(precision: str, of: object) -> None:
    """Raise ``RunFailed`` if what is to be done cannot be done in this precision on this machine."""
    if precision == "tf32" and not is_torch_tf32_available():
        raise RunFailed(
            f"{of}: precision tf32 needs an NVIDIA GPU of the Ampere generation or later, and there is none here; "
            "--precision fp32 makes the same run anywhere, as a run of its own"
        )


def set_tf32(precision: str) -> None:
    """Set how a GPU computes matrix products of float32. By default transformers makes them tf32, and the first setting
    it is given holds for the process; here one process does runs of several precisions."""
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"


def _arguments(
    spec: RunSpec, folder: str, rows: int, updates_per_batch: int, selected_on: str | None
) -> TrainingArguments:
    """The Trainer's arguments for a run that trains on this many rows. ``selected_on=None``: nothing is scored during
    training."""
    steps_per_epoch = math.ceil(rows / spec.batch_size) * updates_per_batch
    steps = spec.max_steps or steps_per_epoch * spec.num_train_epochs
    every = spec.max_steps or min(steps_per_epoch * spec.eval_epochs, spec.eval_steps or steps)
    schedule: dict[str, Any] = {"lr_scheduler_type": spec.lr_scheduler_type}
    schedule["warmup_steps"] = math.ceil(spec.warmup_ratio * steps)
    if spec.schedule == "published":
        length = max(1, rows // spec.batch_size // spec.num_train_epochs)
        schedule = {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": steps / (2 * length)}}
    if spec.early_stopping_patience is not None:
        metric = f"eval_{selected_on}_{spec.metric_for_best_model}"
        schedule |= {"metric_for_best_model": metric, "greater_is_better": True}
    gpu, bf16 = torch.cuda.is_available(), spec.precision == "bf16"
    check_precision(spec.precision, spec)
    return TrainingArguments(
        output_dir=folder,
        seed=spec.seed,
        num_train_epochs=spec.num_train_epochs,
        max_steps=spec.max_steps or -1,
        per_device_train_batch_size=spec.batch_size,
        per_device_eval_batch_size=EVAL_ROWS["cuda" if gpu else "cpu"],
        learning_rate=spec.learning_rate,
        weight_decay=spec.weight_decay,
        **schedule,
        optim="adamw_torch_fused",
        bf16=bf16,
        use_cpu=bf16 and not gpu,  # the Trainer requires it before it uses bf16 on a CPU
        max_grad_norm=spec.max_grad_norm,
        train_sampling_strategy="group_by_length" if spec.group_by_length else "random",
        eval_strategy="steps" if selected_on else "no",
        eval_steps=every,
        logging_strategy="steps",
        logging_steps=loss_interval(steps, every),
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=[],
        dataloader_pin_memory=gpu,
        disable_tqdm=True,
    )


def _first_stage(spec: RunSpec, model: torch.nn.Module, store: Store) -> str:
    """Load the weights that a run kept into the model, doing that run first if they or their record are missing;
    returns their digest. Weights that are not those of the record are refused."""
    if store.state(spec) is None or store.get(spec) is None:
        store.keep(execute(spec, store))
    return store.load_state(spec, model)


def execute(spec: RunSpec, store: Store | None = None) -> RunRecord:
    """Train and evaluate one run and return its record; nothing is written except weights that are to be kept.

    Args:
        spec: the run.
        store: where weights are kept, by default the repository's.

    Raises what :func:`fit` raises.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    fitted = fit(spec, store)
    trainer, after_training = fitted.trainer, time.perf_counter()
    selected_on = _selected_on(spec, fitted.evaluated)
    predictions = None
    with models.quiet():
        if spec.metric_for_best_model is None or spec.curve_size is not None:
            _score_the_last_update(fitted)
            predictions = _predictions(fitted)
            fitted.data["predictions"] = predictions.digest
        evaluations, losses, eval_seconds = _evaluations(trainer.state.log_history)
        selected = len(evaluations) - 1
        if selected_on != "last":
            scores = [entry[selected_on][spec.metric_for_best_model] for entry in evaluations]
            selected = scores.index(max(scores))  # the first if tied
        if fitted.best:
            trainer.model.load_state_dict(fitted.best.state)
        if "test" not in evaluations[selected]:
            found = trainer.evaluate(fitted.evaluated["test"], metric_key_prefix="eval_selected")
            eval_seconds += found["eval_selected_runtime"]
            evaluations[selected]["test"] = _metrics(found, "eval_selected")
    seconds = fitted.seconds + time.perf_counter() - after_training
    if spec.keep_state:
        fitted.data["state"] = (store or Store()).put_state(spec, trainer.model)
    reliability = evaluations[selected]["test"]["reliability"]
    for entry in evaluations:
        for split in entry.keys() & set(SPLITS):
            entry[split].pop("reliability", None)
    return RunRecord(
        spec=spec,
        evaluations=evaluations,
        selected=selected,
        selected_on=selected_on,
        reliability=reliability,
        train_losses=losses,
        scaled=_rounded(predictions.scaled_metrics()) if predictions and "dev" in predictions.splits else {},
        predictions=predictions,
        timing={
            "train_seconds": round(seconds - eval_seconds, 3),
            "eval_seconds": round(eval_seconds, 3),
            "steps": trainer.state.global_step,
            "seconds_per_step": round((seconds - eval_seconds) / trainer.state.global_step, 4),
            "total_seconds": round(time.perf_counter() - clock, 3),
        },
        data=fitted.data,
        environment=environment(spec.precision),
        origin=machine_class(),
        started=started.isoformat(timespec="seconds"),
    )


def _score_the_last_update(fitted: Fitted) -> None:
    """Score the examples of each split that were not scored at the last update of training."""
    trainer = fitted.trainer
    scored = {key for log in trainer.state.log_history if log["step"] == trainer.state.global_step for key in log}
    rest = {name: part for name, part in fitted.evaluated.items() if f"eval_{name}_nll" not in scored}
    if rest:
        trainer.evaluate(rest)


def _predictions(fitted: Fitted) -> Predictions:
    """What the model predicted for the examples of each split at the last update."""
    scored = fitted.trainer.scored
    splits = {name: (*scored[f"eval_{name}"], fitted.rows[name]) for name in fitted.evaluated}
    return Predictions.from_logits(splits, fitted.drawn_from)


def _rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in found.items()}


def _metrics(log: dict[str, Any], prefix: str) -> dict[str, Any]:
    """What :func:`mixlib.runs.metrics.evaluate` found, from a Trainer's log."""
    found = {name: round(log[f"{prefix}_{name}"], 6) for name in RANGES if f"{prefix}_{name}" in log}
    return found | {"reliability": log[f"{prefix}_reliability"]}


def _evaluations(history: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[float], float]:
    """Group the Trainer's log by step into one entry per evaluation; also the training losses, and seconds of
    evaluation."""
    by_step: dict[int, dict[str, Any]] = {}
    losses: list[float] = []
    since: list[float] = []  # losses since the previous evaluation
    seconds = 0.0
    for log in history:
        entry = by_step.setdefault(log["step"], {"step": log["step"], "epoch": round(log["epoch"], 4)})
        if "loss" in log:
            losses.append(round(log["loss"], 6))
            since.append(log["loss"])
        for split in SPLITS:
            if f"eval_{split}_nll" in log:
                if since:
                    entry["train_loss"] = round(sum(since) / len(since), 6)
                    since.clear()
                entry[split] = _metrics(log, f"eval_{split}")
                seconds += log[f"eval_{split}_runtime"]
    return [entry for entry in by_step.values() if entry.keys() & set(SPLITS)], losses, seconds
