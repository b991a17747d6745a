"""Records with chosen numbers, for tests of what is computed from records."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from mixlib.runs import costs
from mixlib.runs.spec import RunRecord, RunSpec
from mixlib.runs.studies import StudyRecord, StudySpec


def record(
    spec: RunSpec, accuracy=0.8, mcc=0.5, nll=0.5, ece=0.1, losses=None, train_losses=(0.4, 0.2, 0.3, 0.1)
) -> RunRecord:
    """A record of ``spec`` with these test metrics; ``losses`` are test losses of several evaluations."""
    test = {"accuracy": accuracy, "mcc": mcc, "nll": nll, "ece": ece}
    evaluations = [
        {"epoch": float(i + 1), "step": i + 1, "train_loss": 0.1, "test": {**test, "nll": loss}}
        for i, loss in enumerate(losses or [nll])
    ]
    return RunRecord(
        spec=spec, evaluations=evaluations, selected=0, selected_on="test",
        reliability={"rows": [0] * 10 + [20] * 5, "confidence": [0.0] * 10 + [14.0, 15.0, 16.0, 17.5, 19.0],
                     "correct": [0] * 10 + [12, 13, 14, 15, 16]},
        timing={"train_seconds": 1.0, "eval_seconds": 0.5, "steps": 2, "seconds_per_step": 0.5, "total_seconds": 2.0},
        data={"source": "fabricated", "train_rows": round(costs.train_rows(spec))}, environment={},
        origin="test machine", started="2026-01-01T00:00:00+00:00", train_losses=list(train_losses),
    )  # fmt: skip


def records(specs: list[RunSpec], effect: Callable[[RunSpec], dict[str, float]], noise=0.004) -> list[RunRecord]:
    """Records whose metrics are a base plus ``effect(spec)`` plus a little noise of their own.

    The salt is one with which no comparison without an effect is decided by chance.
    """
    made = []
    for spec in dict.fromkeys(specs):
        rng = np.random.default_rng([int(spec.key, 16), 2])
        base = {"accuracy": 0.8, "mcc": 0.5, "nll": 0.6, "ece": 0.2}
        shift = effect(spec)
        values = {k: float(v + shift.get(k, 0.0) + rng.normal(0, noise)) for k, v in base.items()}
        more = {name: shift[name] for name in ("losses", "train_losses") if name in shift}
        if "train_losses" in more:
            more["train_losses"] = [loss * (1 + rng.normal(0, noise)) for loss in more["train_losses"]]
        made.append(record(spec, **values, **more))
    return made


def study(spec: StudySpec, values: dict, seconds: float = 1.0) -> StudyRecord:
    """A record of a study with these values."""
    return StudyRecord(
        spec=spec, values=values, timing={"total_seconds": seconds}, environment={}, origin="test machine",
        started="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def by_method(seeds=(0, 1), **gains):
    """Accuracies of two seeds (or others) on SST-2 and MRPC, without mixup 80 and 82, with a method so much more; as
    :func:`mixlib.evidence.tables.frame` has them."""
    return pd.DataFrame(
        {"dataset": dataset, "train_size": "full", "method": method, "param": "", "seed": seed, "examples": rows,
         "accuracy": 80.0 + 2 * seed + gain * (1 + 0.1 * seed)}
        for dataset, rows in (("sst2", 400), ("mrpc", 3668))
        for method, gain in ({"none": 0.0} | gains).items() for seed in seeds
    )  # fmt: skip
