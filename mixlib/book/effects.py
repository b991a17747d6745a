"""What a method does and costs under the common recipe, from the records of the pool: "which for what"."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixlib.evidence import verdicts
from mixlib.evidence.statistics import Judgement
from mixlib.evidence.verdicts import Claim, Contrast, Records
from mixlib.machine import PRECISIONS
from mixlib.protocols import pool
from mixlib.store import Store

BETTER = {"accuracy": 1.0, "loss": -1.0, "ece": -1.0}  # the sign with which more of the difference is better
MARGINS = {"accuracy": verdicts.POINT, "loss": verdicts.FACTOR, "ece": None}


@dataclass(frozen=True)
class Cost:
    """Training time over that of plain fine-tuning on the same rows.

    Attributes:
        median, low, high: the median and the quartiles over pairs of runs.
        pairs: how many.
        made_on: classes of machine.
    """

    median: float
    low: float
    high: float
    pairs: int
    made_on: tuple[str, ...]


def costs(store: Store | None = None) -> dict[str, Cost]:
    """By method of the pool, what its runs cost; methods without a pair of runs are left out."""
    store, ratios, machines = store or Store(), {}, {}
    for cell in (replace(cell, precision=precision) for cell in pool.POOL for precision in PRECISIONS):
        specs = {(seed, label): cell.spec(label, seed) for seed in range(100, 112) for label in cell.labels}
        missing = set(store.missing(specs.values()))
        found = {name: store.get(spec) for name, spec in specs.items() if spec not in missing}
        for (seed, label), record in found.items():
            plain = found.get((seed, cell.plain))
            if plain is not None and plain.origin == record.origin:
                ratio = record.timing["train_seconds"] / plain.timing["train_seconds"]
                ratios.setdefault(label, []).append(ratio)
                machines.setdefault(label, {})[record.origin] = None
    return {
        label: Cost(*(float(np.quantile(found, q)) for q in (0.5, 0.25, 0.75)), len(found), tuple(machines[label]))
        for label, found in ratios.items()
    }


def effect(method: str, measure: str, records: Records) -> Judgement:
    """A method against plain fine-tuning over the data sets of the pool, by the rule of the verdicts; positive: better.

    Args:
        method: a label of the pool other than ``none``.
        measure: a key of :data:`BETTER`.
        records: where runs are read.
    """
    cells = {cell.name: cell.name for cell in pool.POOL}
    contrast = Contrast(
        name=f"{method} against none", measure=measure, margin=MARGINS[measure],
        units=verdicts.against(method, "none", cells, BETTER[measure]),
    )  # fmt: skip
    return verdicts.judge(Claim(id=f"common-{method}", parts=(contrast,), rule=contrast.name), records).judgement
