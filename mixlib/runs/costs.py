"""What runs cost: from records of the same kind if there are any, else by counting floating-point operations."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from scipy.optimize import nnls

from mixlib import methods
from mixlib.runs import corpora
from mixlib.runs.checkpoints import base_name, find
from mixlib.runs.records import Record, Spec
from mixlib.runs.spec import OWN_METHOD, RunSpec

# parameters outside the embeddings: each of them takes part in one multiply-add per token
ENCODER_PARAMETERS = {"bert-base-uncased": 85e6, "distilbert-base-uncased": 43e6, "roberta-large": 303e6,
                      "all-MiniLM-L6-v2": 10.6e6, "tiny": 0.02e6}  # fmt: skip
USUAL_MODEL = "bert-base-uncased"  # what a model counts as whose size is not known
# what configurations of other families call the width, the number of blocks, and the width inside a block
SIZES = (("hidden_size", "d_model", "dim", "n_embd"), ("num_hidden_layers", "num_layers", "n_layers", "n_layer"),
         ("intermediate_size", "encoder_ffn_dim", "d_ff", "hidden_dim", "n_inner"))  # fmt: skip
TRAIN_FLOPS = 6  # per parameter and token: 2 forward, 4 backward
EVAL_FLOPS = 2
TOKENS_A_WORD, PADDING = 1.3, 1.2
GPU_FLOPS = 20e12  # what batches of 16 short texts get out of a data-centre GPU
GPU_UPDATE_SECONDS = 0.02  # launching the kernels of an update, however small the batch
RUN_SECONDS = 1  # loading, tokenizing, starting
STUDY_SECONDS = 300
CORE_FLOPS = 50e9  # of a CPU: what MiniLM on texts of 20 tokens gets out of it, another run beside it
ASSUMPTIONS = (
    f"GPU-hours are counted, not measured: {TRAIN_FLOPS} floating-point operations per parameter and token for "
    f"training, {EVAL_FLOPS} for evaluation; 85 M parameters for bert-base and 303 M for roberta-large outside the "
    f"embeddings; {TOKENS_A_WORD:g} tokens per word and {PADDING:g} times that with padding (word counts: "
    f"data/corpora.json), or max_length if a data set is not in it; a GPU that sustains {GPU_FLOPS / 1e12:.0f} TFLOP/s "
    f"in bf16 and needs {1000 * GPU_UPDATE_SECONDS:.0f} ms more per update; {RUN_SECONDS} s more per run, "
    f"{STUDY_SECONDS} s per study. One run after another; `bench --sweep` measures what several at once gain."
)


@dataclass(frozen=True)
class Work:
    """How much work a run is: floating-point operations and optimizer updates."""

    flops: float
    updates: float


def work(spec: RunSpec) -> Work:
    """How much work a run is. Splits taken whole count with their counted size, models that are not here as BERT-base,
    texts of unknown length as ``max_length`` tokens."""
    whole = base_name(spec.model)  # a model with some of its blocks counts as the whole
    parameters = encoder_parameters(whole) or ENCODER_PARAMETERS[USUAL_MODEL]
    method = methods.get(spec.method, **spec.method_params)
    steps = math.ceil(train_rows(spec) / spec.batch_size) * method.updates_per_batch
    updates = min(steps * spec.num_train_epochs, spec.max_steps or 10**12)
    trained = method.passes * min(train_rows(spec) * spec.num_train_epochs * method.updates_per_batch,
                                  updates * spec.batch_size)  # fmt: skip
    corpus = corpora.get(spec.dataset)
    wanted = ((spec.dev_size, corpus.dev), (spec.test_size, corpus.test))
    dev, test = (_split_rows(spec.dataset, split) if size is None else size for size, split in wanted)
    before = test if spec.curve_size is None else min(spec.curve_size, test)  # at evaluations before the last
    before += 0 if spec.metric_for_best_model is None else dev
    every = min(steps * spec.eval_epochs, spec.eval_steps or 10**12)
    evaluations = 1 if spec.max_steps else steps * spec.num_train_epochs // every
    operations = TRAIN_FLOPS * trained + EVAL_FLOPS * (before * (evaluations - 1) + dev + test)
    return Work(parameters * tokens(spec) * operations, updates)


@lru_cache(maxsize=64)
def encoder_parameters(model: str) -> float | None:
    """Parameters of a model outside its embeddings, about: in each block 4 matrices of attention and 2 more. ``None``
    if its configuration is not here."""
    if model in ENCODER_PARAMETERS:
        return ENCODER_PARAMETERS[model]
    from transformers.utils import cached_file  # seconds to import

    try:
        path = cached_file(find(model), "config.json", local_files_only=True)
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not found, not on this machine, no name of the hub's
        return None
    width, count, inner = (
        next((config[name] for name in names if isinstance(config.get(name), int)), None) for names in SIZES
    )
    return count * (4 * width**2 + 2 * width * (inner or 4 * width)) if width and count else None


def tokens(spec: RunSpec) -> float:
    """Tokens per text in a run, with padding."""
    splits = _splits(spec.dataset)
    words = [split["mean_words"] for split in splits.values()]
    if not words or spec.head == "mean":  # that head's rows are padded to max_length
        return spec.max_length
    return min(spec.max_length, PADDING * (TOKENS_A_WORD * mean(words) + 3))


def train_rows(spec: RunSpec) -> float:
    """Number of training examples in a run."""
    if spec.train_size is not None:
        return spec.train_size
    corpus = corpora.get(spec.dataset)
    groups = corpora.get(corpus.merged).num_labels if corpus.merged else corpus.num_labels
    pool = spec.train_per_class * groups if spec.train_per_class else _split_rows(spec.dataset, "train")
    return max(groups, pool * spec.train_fraction)


def _splits(dataset: str) -> dict[str, Any]:
    """The counted splits of a data set; none if it was not counted."""
    try:
        return (_own_counts(dataset) if corpora.get(dataset).own else corpora.committed_counts().get(dataset, {})).get(
            "splits", {}
        )
    except corpora.DataUnavailable:  # a file that only another process has read
        return {}


@lru_cache(maxsize=8)
def _own_counts(dataset: str) -> dict[str, Any]:
    return corpora.counted(dataset)


def _split_rows(dataset: str, split: str) -> int:
    splits = _splits(dataset)
    rows = [splits[part]["rows"] for part in split.split("+") if part in splits]
    return sum(rows) if rows else 1000


def cpu_seconds(spec: RunSpec, cores: int = 1) -> float:
    """How long a run takes on some cores of a CPU, by counting."""
    return RUN_SECONDS + work(spec).flops / (cores * CORE_FLOPS)


def relative(spec: Spec) -> float:
    """How long a run takes relative to others on the same machine, for estimating the time that a sweep has left."""
    return cpu_seconds(spec) if isinstance(spec, RunSpec) else STUDY_SECONDS


@dataclass(frozen=True)
class Estimate:
    """How long runs will take one after another.

    Attributes:
        seconds: for runs whose kind was run before, on a machine like the one it ran on.
        machine: that machine.
        gpu_seconds: for the others, on a GPU, by counting (:data:`ASSUMPTIONS`).
    """

    seconds: float
    machine: str
    gpu_seconds: float

    def __str__(self) -> str:
        here = f"{as_text(self.seconds)} by records of a {self.machine}" if self.seconds else ""
        hours = self.gpu_seconds / 3600
        there = f"{hours:.0f}" if hours >= 10 else f"{hours:.2g}"
        there = f"{there} GPU-hours by counting" if hours else ""
        return "about " + " and ".join(filter(None, [here, there])) if here or there else "nothing"


class Costs:
    """How long runs take, learned from records: those of this machine if it has any, else those of the machine with the
    most.

    Args:
        records: of any machine.
        machine: this one, as :func:`mixlib.runs.machine.machine_class` names it.
    """

    def __init__(self, records: Iterable[Record], machine: str) -> None:
        records = list(records)
        origins = Counter(record.origin for record in records)
        self.machine = machine if machine in origins or not origins else origins.most_common(1)[0][0]
        cells: dict[Spec, list[float]] = defaultdict(list)
        kinds: dict[str, list[tuple[float, Work]]] = defaultdict(list)
        for record in records:
            if record.origin == self.machine:
                seconds = record.timing["total_seconds"]
                cells[record.spec.cell].append(seconds)
                if isinstance(record.spec, RunSpec) and not OWN_METHOD.fullmatch(record.spec.method):
                    kinds[record.spec.model].append((seconds, work(record.spec)))
        self._cells = {cell: median(seconds) for cell, seconds in cells.items()}
        self._rates = {model: _rates(measured) for model, measured in kinds.items()}

    def estimate(self, specs: Iterable[Spec]) -> Estimate:
        """How long these runs take.

        A run whose cell has records takes their median time. Otherwise, a run whose model has records takes what those
        needed per run, per update and per operation. The rest, and studies never done before, are estimated by
        counting.
        """
        seconds = gpu = 0.0
        for spec in specs:
            if spec.cell in self._cells:
                seconds += self._cells[spec.cell]
            elif not isinstance(spec, RunSpec):
                gpu += STUDY_SECONDS
            elif spec.model in self._rates:
                amount = work(spec)
                seconds += float(self._rates[spec.model] @ (1, amount.updates, amount.flops))
            else:
                amount = work(spec)
                gpu += RUN_SECONDS + amount.updates * GPU_UPDATE_SECONDS + amount.flops / GPU_FLOPS
        return Estimate(seconds, self.machine, gpu)


def _rates(measured: list[tuple[float, Work]]) -> np.ndarray:
    """Seconds per run, per update and per operation, none below 0, with the least relative error."""
    seconds = np.array([s for s, _ in measured])
    amounts = np.array([(1, w.updates, w.flops) for _, w in measured])
    scale = amounts.max(0)
    found, _ = nnls(amounts / scale / seconds[:, None], np.ones(len(seconds)))
    return found / scale


def as_text(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3.4 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 3600:.0f} h"
