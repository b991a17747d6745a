"""What is claimed, as data: which runs a claim compares, what is read from them, and the margins.

A claim has parts; each is a contrast of runs on some data sets. The claims themselves are in the folders of the papers.
What the runs say about them is worked out in :mod:`mixlib.evidence.verdicts`; nothing is decided here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mixlib.evidence import plan, statistics
from mixlib.evidence.statistics import Printed
from mixlib.runs.spec import RunRecord
from mixlib.runs.studies import StudyRecord

POINT, FACTOR = 1.0, math.log(1.1)  # margins: of accuracy and MCC in points, of losses and times as a factor
ECE_POINTS, ECE_SHARE = 2.0, 0.25  # the smaller of 2 points and a quarter of the plain model's


def ece_margin(plain: float) -> float:
    """The smallest difference in calibration error that matters, in points.

    Args:
        plain: the plain model's calibration error, the mean over data sets, in points.
    """
    return min(ECE_POINTS, ECE_SHARE * plain)


ALL, BEST = "all", "best"  # every part has to hold; every part is a rival to be beaten


@dataclass(frozen=True)
class Measure:
    """What is read from a record.

    Attributes:
        title: for readers, such as ``accuracy``.
        unit: ``log ratio`` for values compared by their ratio; otherwise what readers see after a number, such as
            ``points`` or ``% of a plain step``.
        needs: what the gate must have found alive in a cell, ``accuracy`` or ``loss``; ``None``: nothing.
        read: maps a record and the label of the run to one value, or to several from one record (times of batches).
        over: what is computed from the values of all seeds, such as how far each is from their median.
    """

    title: str
    unit: str
    needs: str | None
    read: Callable[[Any, str], float | Sequence[float]]
    over: Callable[[pd.Series], pd.Series] = lambda values: values


def _points(metric: str) -> Callable[[RunRecord, str], float]:
    return lambda record, label: 100 * record.last[metric]


def _log(metric: str) -> Callable[[RunRecord, str], float]:
    return lambda record, label: math.log(record.last[metric])


def _rise(record: RunRecord, label: str) -> float:
    curve = [entry["curve"]["nll"] for entry in record.evaluations]
    return math.log(curve[-1] / min(curve))


WINDOW = 5  # recorded losses (updates, or means of two in long runs) over which their spread is taken


def _unsteadiness(record: RunRecord, label: str) -> float:
    return math.log(pd.Series(record.train_losses, dtype=float).rolling(WINDOW).std().mean())


EARLY = 5  # epochs


def _early(record: RunRecord, label: str) -> float:
    return 100 * next(e for e in record.evaluations if round(e["epoch"]) == EARLY)["curve"]["accuracy"]


def batch_seconds(record: StudyRecord, label: str) -> np.ndarray:
    """Seconds per batch; ``label`` is a method, or ``METHOD n=N``. If a batch was timed several times, their mean."""
    method, _, n = label.partition(" n=")
    found = record.values["seconds"][method]
    taken = found[n or "1"] if isinstance(found, dict) else found
    return np.reshape(taken, (record.spec.params["batches"], -1)).mean(axis=1)


def step_ratio(record: StudyRecord, label: str) -> np.ndarray:
    """Time of a step over that of a plain step on the same batch, one number per batch."""
    return batch_seconds(record, label) / batch_seconds(record, "none")


MEASURES: dict[str, Measure] = {  # those of one paper are with its claims, and are added there
    "accuracy": Measure("accuracy", "points", "accuracy", _points("accuracy")),
    "mcc": Measure("Matthews correlation", "points", "accuracy", _points("mcc")),
    "loss": Measure("loss", "log ratio", "loss", _log("nll")),
    "ece": Measure("calibration error", "points", "loss", _points("ece")),
    "above chance": Measure("accuracy above the largest class of the test rows", "points", None,
                            lambda record, label: 100 * (record.last["accuracy"] - record.data["larger_class"])),
    "deviation": Measure("distance of a seed's accuracy from the median seed's", "points", "accuracy",
                         _points("accuracy"), over=lambda values: (values - values.median()).abs()),
    f"accuracy after {EARLY} epochs": Measure(f"accuracy on the rows of the curve after {EARLY} epochs", "points",
                                              "accuracy", _early),
    "rise": Measure("last test loss over the lowest one of its curve", "log ratio", "loss", _rise),
    "training loss": Measure("mean training loss", "log ratio", "loss",
                             lambda record, label: math.log(np.mean(record.train_losses))),
    "unsteadiness": Measure(f"mean standard deviation of the training loss over {WINDOW} updates", "log ratio", "loss",
                            _unsteadiness),
    "seconds": Measure("seconds of a step on the same batch", "log ratio", None,
                       lambda record, label: np.log(batch_seconds(record, label)).tolist()),
    "plain steps": Measure("time of a step in % of a plain step on the same batch", "% of a plain step", None,
                           lambda record, label: (100 * step_ratio(record, label)).tolist()),
}  # fmt: skip


@dataclass(frozen=True)
class Term:
    """A run of a contrast: how it counts, its cell and its label there."""

    weight: float
    cell: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One part of a claim: which runs are compared, and what is claimed about the difference.

    Attributes:
        name: in words, such as ``SSMix against EmbedMix``.
        measure: a key of :data:`MEASURES`.
        units: for each data set, as readers call it, the terms of the contrast there, signed so that a positive sum is
            as claimed. Interactions have terms of several cells.
        margin: the smallest difference that matters, in the measure's unit; ``None``: that of calibration errors, which
            depends on the plain model's error.
        kind: as in :class:`~mixlib.evidence.statistics.Part`.
        bounds: likewise.
        printed: what the paper prints, signed as the terms are; ``None`` if it prints nothing.
        not_here: data sets of the paper that no cell represents, with the reason.
    """

    name: str
    measure: str
    units: Mapping[str, tuple[Term, ...]]
    margin: float | None = POINT
    kind: str = statistics.SUPERIORITY
    bounds: tuple[float, float] | None = None
    printed: Printed | None = None
    not_here: Mapping[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> set[str]:
        """The names of the cells that it reads."""
        return {term.cell for terms in self.units.values() for term in terms}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of a paper as data.

    Attributes:
        id: as in ``data/published/claims.csv``.
        parts: what it says, one contrast each.
        rule: the whole rule in one readable line.
        together: :data:`ALL` or :data:`BEST`.
        not_here: why it cannot be judged here at all; ``None`` if it can.
        caveat: what its verdict alone would hide, in a few words for readers.
    """

    id: str
    parts: tuple[Contrast, ...] = ()
    rule: str
    together: str = ALL
    not_here: str | None = None
    caveat: str = ""

    @property
    def paper(self) -> str:
        """Whose claim it is."""
        return self.id.rpartition("-")[0]


def against(first: str, second: str, cells: Mapping[str, str], sign: float = 1.0) -> dict[str, tuple[Term, ...]]:
    """The units of ``sign`` times (first - second).

    Args:
        first, second: labels in the cells.
        cells: by the name of a data set, the cell that represents it.
        sign: -1 if less is better.
    """
    return {name: (Term(sign, cell, first), Term(-sign, cell, second)) for name, cell in cells.items()}


def claims() -> dict[str, Claim]:
    """All claims by id, in the papers' order."""
    return {claim.id: claim for of_paper in plan.registered().claims.values() for claim in of_paper()}


def in_short(names: Iterable[str]) -> list[str]:
    """Names of data sets for readers, where those that differ in one number are one: ``BANKING77 (1, 5 and 30 a
    class)``."""
    groups: dict[tuple[str, ...], list[str]] = {}  # the numbers, by the words around them
    for name in names:
        found = re.fullmatch(r"(.+?), (\D*)([\d.]+)(\D*)", name)
        words, number = ((found[1], found[2], found[4]), found[3]) if found else ((name,), "")
        groups.setdefault(words, []).append(number)
    short = []
    for (name, *around), (*others, last) in groups.items():
        if others:
            short.append(f"{name} ({around[0]}{', '.join(others)} and {last}{around[1]})")
        else:
            short.append(f"{name}, {last.join(around)}" if around else name)
    return short
