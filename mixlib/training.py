"""How a run is done: a :class:`mixlib.runs.RunSpec` in, a trained model and a :class:`mixlib.runs.RunRecord` out."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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

from mixlib import corpora, heads, methods, metrics, models
from mixlib.machine import bf16_is_fast, environment, machine_class
from mixlib.runs import LOSSES_KEPT, RunFailed, RunRecord, RunSpec
from mixlib.store import Store
from mixlib.trainer import MixupTrainer

TOKEN_TYPES = {"token_type_ids"}
EVAL_ROWS = {"cpu": 32, "cuda": 128}  # a CPU is busy with few rows, and fewer need less padding


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
    """Load the weights that a run kept into the model, after running it if they or their record are not there; their
    digest. Weights that are not those of the record are refused."""
    if store.state(spec) is None or store.get(spec) is None:
        store.keep(execute(spec, store))
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
