"""Which cells are alive: if the plain model learns nothing, a difference between two runs says nothing about a method.

This is decided once, from the plain model's screening runs on seeds that no table uses, and committed. Deciding it on a
table's own seeds would favour the plain model, because its luck there would count twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from scipy import stats

from mixlib.evidence import plan
from mixlib.evidence.cells import SCREENING_SEEDS, AnyCell, Decided
from mixlib.evidence.statistics import MIN_SEEDS
from mixlib.evidence.tables import rows_of
from mixlib.runs import paths
from mixlib.runs.machine import PRECISIONS
from mixlib.runs.spec import RunRecord
from mixlib.runs.store import Store, write_text

ALPHA = 0.05  # one-sided


def beats(excesses: Mapping[str, np.ndarray], pooled: Collection[str] | None = None) -> dict[str, float]:
    """For each cell, the one-sided p value of a mean excess above zero.

    The spread over seeds is pooled over the cells, because four seeds of one cell say too little about it.

    Args:
        excesses: by cell, one value per seed.
        pooled: the cells over which the spread is pooled, by default all.

    Raises:
        ValueError: no cell has two seeds.
    """
    spread = [values for name, values in excesses.items() if pooled is None or name in pooled]
    df = sum(len(values) - 1 for values in spread)
    if df < 1:
        raise ValueError("the spread over seeds needs at least one cell with two seeds")
    squares = sum(((values - values.mean()) ** 2).sum() for values in spread)
    sd = float(np.sqrt(squares / df))
    found = {}
    for name, values in excesses.items():
        error = sd / np.sqrt(len(values))
        found[name] = float(stats.t.sf(values.mean() / error, df)) if sd else float(values.mean() <= 0)
    return found


def screened(records: Mapping[str, list[RunRecord]]) -> tuple[dict[str, list[str]], dict[str, dict[str, float]]]:
    """What is alive in each cell, and the numbers on which it was decided; see :class:`mixlib.evidence.plan.Decided`.

    Accuracy is alive if the plain model beats the largest class of its test rows, loss if its Matthews correlation is
    above zero.

    Args:
        records: by cell, the plain model's screening runs.
    """
    scores = {name: [record.last for record in found] for name, found in records.items()}
    larger = {name: np.array([record.data["larger_class"] for record in found]) for name, found in records.items()}
    accuracy = {name: np.array([score["accuracy"] for score in found]) for name, found in scores.items()}
    mcc = {name: np.array([score["mcc"] for score in found]) for name, found in scores.items()}
    # Cells that share their runs, such as common/ag_news and mixup_calibration/ag_news, count once in the spread
    once = {frozenset(record.spec for record in found): name for name, found in reversed(records.items())}.values()
    p_accuracy = beats({name: accuracy[name] - larger[name] for name in records}, once)
    p_mcc = beats(mcc, once)
    numbers = {
        name: {
            "accuracy": round(float(accuracy[name].mean()), 4), "larger_class": round(float(larger[name].mean()), 4),
            "mcc": round(float(mcc[name].mean()), 4), "p_accuracy": float(f"{p_accuracy[name]:.3g}"),
            "p_mcc": float(f"{p_mcc[name]:.3g}"), "seeds": len(records[name]),
        }
        for name in records
    }  # fmt: skip
    alive = {
        name: [what for what, p in (("accuracy", p_accuracy[name]), ("loss", p_mcc[name])) if p < ALPHA]
        for name in records
    }
    return alive, numbers


def screening_runs(cell: AnyCell) -> list:
    """The plain model's screening runs of a cell; none for a cell without a plain model, such as a study."""
    return [cell.spec(cell.plain, seed) for seed in SCREENING_SEEDS] if cell.plain in cell.labels else []


def decide(store: Store | None = None) -> list[str]:
    """Decide on the cells screened since the last time, write this to ``data/evidence.json``, and return their names.

    Earlier decisions stay as they are. Nothing is decided before the whole wave ``screening`` is complete, because the
    spread over seeds is pooled over its cells; each of the cells that are run last follows when its own runs are there.

    Raises:
        ValueError: runs of the screening are missing.
    """
    store, before = store or Store(), plan.decided()
    wanted = plan.runs("screening")
    if missing := len(store.missing(wanted)):
        raise ValueError(
            f"{missing} of {len(wanted)} screening runs are missing; make them first: python -m mixlib run screening"
        )
    runs = {name: screening_runs(cell) for name, cell in plan.cells().items()}
    done = {name: found for name, found in runs.items() if found and not store.missing(found)}
    whole = {name: [store.get(spec) for spec in found] for name, found in done.items()}
    alive, numbers = screened(whole)
    new = [name for name in whole if name not in before.alive]
    for name in new:
        before.alive[name], before.screened[name] = alive[name], numbers[name]
    _commit(before)
    return new


def _commit(decided: plan.Decided) -> None:
    text = json.dumps(asdict(decided), indent=1, sort_keys=True) + "\n"
    write_text(paths.EVIDENCE, text)
    plan.decided.cache_clear()


def raise_seeds(
    store: Store | None = None, chapters: Callable[[], Iterable[Iterable[Any]]] = tuple
) -> dict[str, list[int]]:
    """Let notebooks and verdicts read every complete seed of each cell, in order; returns the cells that gained some.

    A seed is complete when all methods of the cell are done. Seeds count from the first on without a gap, so that none
    is left out because of its result, and up to the planned number or to all twelve, because any number in between
    would depend on when one looks. A cell is read in the precision in which it has the most complete seeds, or in
    ``fp32``, which every machine has, if there are as many; and not before it has enough of them to decide anything.
    Cells that a chapter compares change their precision together.

    Args:
        store: of the runs.
        chapters: gives the runs that each chapter compares, by the decisions as they stand when it is called.
    """
    store, before, gained = store or Store(), plan.decided(), {}
    was = Decided(**asdict(before))
    for name, cell in plan.cells().items():
        for precision in PRECISIONS:
            seeds = plan.whole_seeds(replace(cell, precision=precision), store)
            seeds = seeds if len(seeds) == plan.MOST_SEEDS else seeds[: cell.seeds]
            better = len(seeds) - len(before.seeds.get(name, []))
            nearer = PRECISIONS.index(precision) < PRECISIONS.index(before.precision.get(name, PRECISIONS[0]))
            if (better > 0 or (better == 0 and nearer)) and len(seeds) >= min(MIN_SEEDS, cell.seeds):
                before.seeds[name] = gained[name] = seeds
                before.precision[name] = precision
    once = {name: was.precision.get(name, PRECISIONS[0]) for name in was.seeds}
    moved = {name for name in gained if before.precision[name] != once.get(name, before.precision[name])}
    while moved:
        mixed = _mixed(chapters())
        held = {name for name in moved if mixed & set(plan.as_read(plan.get(name), "mini").specs(gained[name]))}
        if not held:
            break
        for name in held:
            before.seeds[name], before.precision[name] = was.seeds[name], once[name]
            del gained[name]
        moved -= held
    _commit(before)
    return gained


def _mixed(chapters: Iterable[Iterable[Any]]) -> set[Any]:
    """The runs of those chapters that would compare runs in different precisions."""
    found: set[Any] = set()
    for runs in chapters:
        precisions: dict[tuple, set[str]] = {}
        runs = list(runs)
        for spec in runs:
            precisions.setdefault(rows_of(spec), set()).add(spec.precision)
        found |= {spec for spec in runs if len(precisions[rows_of(spec)]) > 1}
    return found
