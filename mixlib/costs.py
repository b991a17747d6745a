"""What runs cost: from records of the same kind where there are some, else from counting floating point operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from mixlib.runs import RunRecord, RunSpec

# parameters outside the embeddings: every one of them takes part in one multiply-add a token
ENCODER_PARAMETERS = {"bert-base-uncased": 85e6, "all-MiniLM-L6-v2": 10.6e6, "tiny": 0.02e6}
TRAIN_FLOPS = 6  # a parameter and token: 2 forward, 4 backward
EVAL_FLOPS = 2
GPU_FLOPS = 20e12  # batches of 16 short texts keep a data-centre GPU far below its peak
RUN_SECONDS = 2  # loading, tokenizing, starting
ASSUMPTIONS = (
    "Assumed for runs of a kind that was never run here: every text fills max_length (an upper bound), 6 floating "
    "point operations a parameter and token for training and 2 for evaluation, 85 M parameters for bert-base outside "
    f"the embeddings, a GPU that sustains {GPU_FLOPS / 1e12:.0f} TFLOP/s on batches of 16 in bf16, and {RUN_SECONDS} s "
    "a run beside training. Runs one after the other."
)


def flops(spec: RunSpec) -> float:
    """Upper bound of the floating point operations of a run, padding every text to ``max_length``.

    Sizes of ``None`` count as 1000 rows. Unknown models count as BERT-base.
    """
    parameters = ENCODER_PARAMETERS.get(spec.model, ENCODER_PARAMETERS["bert-base-uncased"])
    rows = spec.train_size or 1000
    trained = min(rows * spec.num_train_epochs, (spec.max_steps or 10**12) * spec.batch_size)
    evaluated = sum(1000 if size is None else size for size in (spec.dev_size, spec.test_size))
    evaluations = 1 if spec.max_steps else spec.num_train_epochs // spec.eval_epochs
    return parameters * spec.max_length * (TRAIN_FLOPS * trained + EVAL_FLOPS * evaluated * evaluations)


@dataclass(frozen=True)
class Estimate:
    """Seconds that runs will take one after the other, and what that rests on."""

    seconds: float
    basis: str


def estimate(specs: Sequence[RunSpec], records: Iterable[RunRecord]) -> Estimate:
    """What these runs would take.

    A run of a cell that has records takes their median time; another one of the same model takes the time that
    records of that model need per operation; a model without records is counted in GPU time.
    """
    by_cell: dict[RunSpec, list[float]] = {}
    per_flop: dict[str, list[float]] = {}
    for record in records:
        seconds = record.timing["total_seconds"]
        by_cell.setdefault(_kind(record.spec), []).append(seconds)
        per_flop.setdefault(record.spec.model, []).append(seconds / flops(record.spec))
    total, counted = 0.0, False
    for spec in specs:
        if _kind(spec) in by_cell:
            total += median(by_cell[_kind(spec)])
        elif spec.model in per_flop:
            total += median(per_flop[spec.model]) * flops(spec)
        else:
            total, counted = total + RUN_SECONDS + flops(spec) / GPU_FLOPS, True
    return Estimate(total, "counted for one GPU" if counted else "records of this model")


def _kind(spec: RunSpec) -> RunSpec:
    return replace(spec, seed=0)


def as_text(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3.4 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
