"""What runs cost: from records of the same kind where there are some, else from counting floating point operations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from mixlib import corpora, methods
from mixlib.runs import RunSpec
from mixlib.store import Record, Spec

# parameters outside the embeddings: every one of them takes part in one multiply-add a token
ENCODER_PARAMETERS = {"bert-base-uncased": 85e6, "distilbert-base-uncased": 43e6, "roberta-large": 303e6,
                      "all-MiniLM-L6-v2": 10.6e6, "tiny": 0.02e6}  # fmt: skip
TRAIN_FLOPS = 6  # a parameter and token: 2 forward, 4 backward
EVAL_FLOPS = 2
GPU_FLOPS = 20e12  # batches of 16 short texts keep a data-centre GPU far below its peak
CPU_FLOPS = 50e9  # a core
STUDY_SECONDS = 300
RUN_SECONDS = 2  # loading, tokenizing, starting
ASSUMPTIONS = (
    "Assumed for runs of a kind that was never run here: every text fills max_length (an upper bound), 6 floating "
    "point operations a parameter and token for training and 2 for evaluation, 85 M parameters for bert-base and 303 M "
    f"for roberta-large outside the embeddings, a GPU that sustains {GPU_FLOPS / 1e12:.0f} TFLOP/s on small batches in "
    f"bf16, and {RUN_SECONDS} s a run beside training; {STUDY_SECONDS} s for a study. Runs one after the other."
)


def flops(spec: RunSpec) -> float:
    """Upper bound of the floating point operations of a run, padding every text to ``max_length``.

    Splits taken whole count as large as the committed cards say. Unknown models count as BERT-base.
    """
    whole = spec.model.partition("[")[0]  # some of its blocks count as all of them
    parameters = ENCODER_PARAMETERS.get(whole, ENCODER_PARAMETERS["bert-base-uncased"])
    method = methods.get(spec.method, **spec.method_params)
    steps = math.ceil(train_rows(spec) / spec.batch_size) * method.updates_per_batch
    rows = train_rows(spec) * spec.num_train_epochs * method.updates_per_batch
    trained = method.passes * min(rows, (spec.max_steps or 10**12) * spec.batch_size)
    corpus = corpora.get(spec.dataset)
    wanted = ((spec.dev_size, corpus.dev), (spec.test_size, corpus.test))
    evaluated = sum(_split_rows(spec.dataset, split) if size is None else size for size, split in wanted)
    every = min(steps * spec.eval_epochs, spec.eval_steps or 10**12)
    evaluations = 1 if spec.max_steps else steps * spec.num_train_epochs // every
    return parameters * spec.max_length * (TRAIN_FLOPS * trained + EVAL_FLOPS * evaluated * evaluations)


def train_rows(spec: RunSpec) -> float:
    """Training examples of a run."""
    if spec.train_size is not None:
        return spec.train_size
    corpus = corpora.get(spec.dataset)
    groups = corpora.get(corpus.merged).num_labels if corpus.merged else corpus.num_labels
    pool = spec.train_per_class * groups if spec.train_per_class else _split_rows(spec.dataset, "train")
    return max(groups, pool * spec.train_fraction)


def _split_rows(dataset: str, split: str) -> int:
    splits = corpora.cards().get(dataset, {}).get("splits", {})
    rows = [splits[part]["rows"] for part in split.split("+") if part in splits]
    return sum(rows) if rows else 1000


def relative(spec: Spec) -> float:
    """How long a run takes, as a share of what others take on the same machine: for the time that a sweep has left."""
    return 1 + flops(spec) / CPU_FLOPS if isinstance(spec, RunSpec) else STUDY_SECONDS


@dataclass(frozen=True)
class Estimate:
    """Seconds that runs will take one after the other, and what that rests on."""

    seconds: float
    basis: str


def estimate(specs: Sequence[Spec], records: Iterable[Record]) -> Estimate:
    """What these runs would take.

    A run of a cell that has records takes their median time; another one of the same model takes the time that
    records of that model need per operation; a model without records is counted in GPU time.
    """
    by_cell: dict[Spec, list[float]] = {}
    per_flop: dict[str, list[float]] = {}
    for record in records:
        seconds = record.timing["total_seconds"]
        by_cell.setdefault(record.spec.cell, []).append(seconds)
        if isinstance(record.spec, RunSpec):
            per_flop.setdefault(record.spec.model, []).append(seconds / flops(record.spec))
    total, counted = 0.0, False
    for spec in specs:
        if spec.cell in by_cell:
            total += median(by_cell[spec.cell])
        elif not isinstance(spec, RunSpec):
            total, counted = total + STUDY_SECONDS, True
        elif spec.model in per_flop:
            total += median(per_flop[spec.model]) * flops(spec)
        else:
            total, counted = total + RUN_SECONDS + flops(spec) / GPU_FLOPS, True
    return Estimate(total, "counted for one GPU" if counted else "records of this model")


def as_text(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3.4 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
