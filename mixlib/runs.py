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
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding, EvalPrediction, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback

import mixlib
from mixlib import corpora, metrics, models, paths
from mixlib.trainer import MixupTrainer

EVAL_ROWS = 128
LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "tokenizers", "torchmetrics", "scikit-learn", "numpy")


class RunFailed(RuntimeError):
    """A run that ended without a result, such as one whose loss became NaN."""


class DamagedRecord(ValueError):
    """A record file that cannot be read, or that is not the record of the run it stands for."""


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything a run's numbers depend on, except the machine. Equal specs are the same run.

    Attributes:
        paper: whose protocol this is.
        dataset: see :data:`mixlib.corpora.CORPORA`.
        train_size, dev_size, test_size: examples drawn for this seed; ``None`` all. Without development examples the
            epoch is selected on the test split.
        synthetic: train on the offline twin, never a result.
        model: see :func:`mixlib.models.load`.
        method, method_params: see :mod:`mixlib.methods`.
        max_length: tokens, longer texts are cut.
        batch_size, learning_rate, num_train_epochs, warmup_ratio, weight_decay, lr_scheduler_type: of AdamW training.
        dropout: of encoder and head; ``None`` keeps the model's own.
        eval_epochs: epochs from one evaluation to the next.
        group_by_length: whether batches hold texts of similar length.
        metric_for_best_model: ``accuracy`` or ``mcc``; the evaluation with its highest value is selected.
        max_steps: stop after so many optimizer updates (a trial, not the protocol).
        seed: of the draw of examples, the new head, dropout, batch order and mixing.
    """

    paper: str
    dataset: str
    method: str
    seed: int
    model: str
    method_params: dict[str, Any] = field(default_factory=dict)
    train_size: int | None = None
    dev_size: int | None = None
    test_size: int | None = None
    synthetic: bool = False
    max_length: int = 128
    batch_size: int = 16
    learning_rate: float = 2e-5
    num_train_epochs: int = 3
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    lr_scheduler_type: str = "linear"
    dropout: float | None = None
    eval_epochs: int = 1
    group_by_length: bool = False
    metric_for_best_model: str = "accuracy"
    max_steps: int | None = None

    def __post_init__(self) -> None:
        # parameters as JSON reads them back, so that a spec equals the one in its record
        object.__setattr__(self, "method_params", json.loads(json.dumps(self.method_params)))
        if self.num_train_epochs % self.eval_epochs:
            raise ValueError(f"eval_epochs={self.eval_epochs} must divide num_train_epochs={self.num_train_epochs}")

    def canonical(self) -> dict[str, Any]:
        """The fields that differ from their defaults, with sorted names: what the key is made of.

        Leaving defaults out keeps the keys of existing records when a field is added.
        """
        kept = {}
        for item in sorted(fields(self), key=lambda f: f.name):
            default = item.default if item.default_factory is MISSING else item.default_factory()
            if default is MISSING or getattr(self, item.name) != default:
                kept[item.name] = getattr(self, item.name)
        return json.loads(json.dumps(kept))

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name this run."""
        return sha256(json.dumps(self.canonical(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def cell(self) -> RunSpec:
        """This run without its seed: runs of one cell of a table share it."""
        return replace(self, seed=0)

    def trial(self, max_steps: int, rows: int = 128) -> RunSpec:
        """The first ``max_steps`` updates of this run, evaluated on at most ``rows`` examples: does it start at all?"""
        few = {f"{role}_size": rows if size is None else min(rows, size)
               for role, size in (("dev", self.dev_size), ("test", self.test_size))}  # fmt: skip
        return replace(self, max_steps=max_steps, **few)

    @classmethod
    def from_canonical(cls, values: dict[str, Any]) -> RunSpec:
        """The spec that :meth:`canonical` wrote."""
        return cls(**values)

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        params = "".join(f" {name}={value}" for name, value in self.method_params.items())
        return f"{self.dataset} ({self.train_size or 'all'}) {self.method}{params} seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What one finished run measured.

    Attributes:
        spec: what was run.
        evaluations: one entry an evaluation: ``epoch``, ``step``, and for ``dev`` and ``test`` the metrics of
            :func:`mixlib.metrics.evaluate`; ``train_loss`` is the mean training loss since the evaluation before.
        selected: index of the evaluation that the selection rule chose.
        selected_on: ``dev`` or ``test``, the split the choice was made on.
        reliability: reliability bins of the test split at the selected evaluation.
        timing: ``train_seconds`` (without evaluation), ``eval_seconds``, ``steps``, ``seconds_per_step``,
            ``total_seconds``.
        data: source and checksums of the drawn examples.
        environment: versions, device, threads, precision, peak memory in MiB.
        origin: class of machine it was made on.
        started: UTC time.
    """

    spec: RunSpec
    evaluations: list[dict[str, Any]]
    selected: int
    selected_on: str
    reliability: dict[str, list[float]]
    timing: dict[str, float]
    data: dict[str, Any]
    environment: dict[str, Any]
    origin: str
    started: str

    @property
    def test(self) -> dict[str, float]:
        """Test metrics of the selected evaluation."""
        return self.evaluations[self.selected]["test"]

    def to_json(self) -> str:
        """The record as text, with its key."""
        values = {"key": self.spec.key, **{f.name: getattr(self, f.name) for f in fields(self)}}
        values["spec"] = self.spec.canonical()
        return json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> RunRecord:
        """Read a record; :class:`DamagedRecord` if it is cut short, edited in its settings, or of another kind."""
        try:
            values = json.loads(text)
            key = values.pop("key")
            record = cls(**{**values, "spec": RunSpec.from_canonical(values["spec"])})
            record.evaluations[record.selected]["test"]["accuracy"]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise DamagedRecord(f"not a run record ({type(error).__name__}: {error})") from error
        if key != record.spec.key:
            raise DamagedRecord(f"its settings have the key {record.spec.key}, but it says {key}")
        return record


class Store:
    """A folder of records, one JSON file a finished run, by default the repository's ``data/results``.

    Args:
        folder: for runs on real data; synthetic ones go to a folder of their own that is not committed.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder else paths.results()
        self.synthetic_folder = self.folder / "synthetic" if folder else paths.synthetic_results()

    def path(self, spec: RunSpec) -> Path:
        """Where the record of this run is, or would be."""
        folder = self.synthetic_folder if spec.synthetic else self.folder
        return folder / spec.paper / f"{spec.dataset}-{spec.method}-{spec.seed}-{spec.key}.json"

    def get(self, spec: RunSpec) -> RunRecord | None:
        """The record of this run, ``None`` if it has not been made.

        Raises:
            DamagedRecord: the file is there but unusable; it is named, and has to be deleted to run it again.
        """
        path = self.path(spec)
        try:
            text = path.read_text()
        except FileNotFoundError:
            return None
        try:
            record = RunRecord.from_json(text)
        except DamagedRecord as error:
            raise DamagedRecord(f"{path}: {error}; delete it to run it again") from error
        if record.spec != spec:
            raise DamagedRecord(f"{path}: holds the run {record.spec}, not {spec}; delete it to run it again")
        return record

    def put(self, record: RunRecord) -> Path:
        """Write a record by atomic rename: other processes see all of it or nothing."""
        path = self.path(record.spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
            try:
                file.write(record.to_json())
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
        return path

    def missing(self, specs: Iterable[RunSpec]) -> list[RunSpec]:
        """Those of the runs that have no usable record, each once."""
        return [spec for spec in dict.fromkeys(specs) if not self._usable(spec)]

    def _usable(self, spec: RunSpec) -> bool:
        try:
            return self.get(spec) is not None
        except DamagedRecord:
            return False

    def scan(self) -> tuple[list[RunRecord], dict[Path, str]]:
        """All usable records of the folder, and for each file left out the reason."""
        records, left_out = [], {}
        for path in sorted({*self.folder.rglob("*.json"), *self.synthetic_folder.rglob("*.json")}):
            try:
                record = RunRecord.from_json(path.read_text())
                if path.name != self.path(record.spec).name:
                    raise DamagedRecord(f"its name does not fit its settings ({self.path(record.spec).name})")
                records.append(record)
            except (DamagedRecord, UnicodeDecodeError) as error:
                left_out[path] = str(error)
        return records, left_out


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
    names = ("mixing", "sites", "trainer", "corpora", "synthetic", "models", "metrics", "runs")
    digest = sha256()
    for path in sorted([*(folder / f"{name}.py" for name in names), *(folder / "methods").glob("*.py")]):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return f"{mixlib.__version__}+{digest.hexdigest()[:10]}"


class _StopOnNan(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs):
        for name, value in (logs or {}).items():
            if isinstance(value, float) and not math.isfinite(value) and name.endswith(("loss", "nll")):
                raise RunFailed(f"{name} became {value} at step {state.global_step}")


def _finite_metrics(prediction: EvalPrediction) -> dict[str, Any]:
    if not np.isfinite(prediction.predictions).all():
        raise RunFailed("the logits became NaN or infinite")
    return metrics.evaluate(prediction.predictions, prediction.label_ids)


def execute(spec: RunSpec) -> RunRecord:
    """Train and evaluate one run and return its record; nothing is written.

    Raises:
        RunFailed: the loss became NaN or infinite.
        ValueError, OSError: unknown names, values out of range, data or model that cannot be had.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    corpus = corpora.get(spec.dataset)
    data = corpora.sample(
        spec.dataset, spec.seed, spec.train_size, spec.dev_size, spec.test_size, synthetic_twin=spec.synthetic
    )
    set_seed(spec.seed)  # before the model is built: its head is random
    model, tokenizer = models.load(spec.model, corpus.num_labels, spec.dropout)
    train = corpora.encode(data.train, tokenizer, spec.max_length)
    splits = {"dev": data.dev, "test": data.test} if len(data.dev) else {"test": data.test}
    evaluated = {
        name: corpora.longest_first(corpora.encode(rows, tokenizer, spec.max_length)) for name, rows in splits.items()
    }
    steps_per_epoch = math.ceil(len(train) / spec.batch_size)
    steps = spec.max_steps or steps_per_epoch * spec.num_train_epochs
    every = spec.max_steps or steps_per_epoch * spec.eval_epochs
    bf16 = bf16_is_fast()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory(prefix="mixlib-run-") as folder:
        trainer = MixupTrainer(
            model=model,
            method=spec.method,
            method_params=spec.method_params,
            args=TrainingArguments(
                output_dir=folder,
                seed=spec.seed,
                num_train_epochs=spec.num_train_epochs,
                max_steps=spec.max_steps or -1,
                per_device_train_batch_size=spec.batch_size,
                per_device_eval_batch_size=EVAL_ROWS,
                learning_rate=spec.learning_rate,
                warmup_steps=math.ceil(spec.warmup_ratio * steps),
                weight_decay=spec.weight_decay,
                lr_scheduler_type=spec.lr_scheduler_type,
                optim="adamw_torch_fused",
                bf16=bf16,
                use_cpu=bf16 and not torch.cuda.is_available(),  # the Trainer asks for it before it uses bf16 on a CPU
                max_grad_norm=1.0,
                train_sampling_strategy="group_by_length" if spec.group_by_length else "random",
                eval_strategy="steps",
                eval_steps=every,
                logging_strategy="steps",
                logging_steps=every,
                logging_nan_inf_filter=False,
                save_strategy="no",
                report_to=[],
                dataloader_pin_memory=torch.cuda.is_available(),
                disable_tqdm=True,
            ),
            train_dataset=train,
            eval_dataset=evaluated,
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=_finite_metrics,
            callbacks=[_StopOnNan()],
        )
        trainer.pop_callback(PrinterCallback)
        training_clock = time.perf_counter()
        trainer.train()
        train_seconds = time.perf_counter() - training_clock
    evaluations, eval_seconds = _evaluations(trainer.state.log_history, list(splits))
    selected_on = "dev" if "dev" in splits else "test"
    scores = [entry[selected_on][spec.metric_for_best_model] for entry in evaluations]
    selected = scores.index(max(scores))  # the first of equals
    bins = [entry.pop("reliability") for entry in evaluations]
    peak = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else _peak_rss()
    return RunRecord(
        spec=spec,
        evaluations=evaluations,
        selected=selected,
        selected_on=selected_on,
        reliability=bins[selected],
        timing={
            "train_seconds": round(train_seconds - eval_seconds, 3),
            "eval_seconds": round(eval_seconds, 3),
            "steps": trainer.state.global_step,
            "seconds_per_step": round((train_seconds - eval_seconds) / trainer.state.global_step, 4),
            "total_seconds": round(time.perf_counter() - clock, 3),
        },
        data={"source": data.source, **data.checksums},
        environment={
            "python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
            "code": code_version(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
            "threads": torch.get_num_threads(),
            "precision": "bf16" if bf16 else "fp32",
            "peak_memory_mib": round(peak),
        },
        origin=machine_class(),
        started=started.isoformat(timespec="seconds"),
    )


def _peak_rss() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _evaluations(history: list[dict[str, Any]], splits: list[str]) -> tuple[list[dict[str, Any]], float]:
    """Group the Trainer's log by step into one entry an evaluation; also the seconds evaluation took."""
    by_step: dict[int, dict[str, Any]] = {}
    seconds = 0.0
    names = ("accuracy", "mcc", "nll", "ece")
    for log in history:
        entry = by_step.setdefault(log["step"], {"step": log["step"], "epoch": round(log["epoch"], 4)})
        if "loss" in log:
            entry["train_loss"] = round(log["loss"], 6)
        for split in splits:
            if f"eval_{split}_nll" in log:
                entry[split] = {name: round(log[f"eval_{split}_{name}"], 6) for name in names}
                seconds += log[f"eval_{split}_runtime"]
                if split == "test":
                    entry["reliability"] = log["eval_test_reliability"]
    return [entry for entry in by_step.values() if "test" in entry], seconds
