"""The verdict on each claim: what its runs say, judged by one rule.

Every part of a claim is judged by :func:`mixlib.evidence.judgements.judge`. Nothing here or in the claims, which are
data (:mod:`mixlib.evidence.claims`), decides on its own. Verdicts read the committed seeds of each cell and the
committed gate (:func:`mixlib.evidence.plan.decided`); nothing is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mixlib.arguments import unknown
from mixlib.evidence import judgements, plan, published, statistics
from mixlib.evidence.claims import (
    BEST,
    MEASURES,
    Claim,
    Contrast,
    Measure,
    Term,
    claims,
    ece_margin,
    in_short,
)
from mixlib.evidence.judgements import Judgement
from mixlib.evidence.statistics import Part
from mixlib.runs.records import DamagedRecord, Record, Spec
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store

WAITING = "runs not finished"  # in place of a category


class _Unavailable(ValueError):
    """Why a unit of a contrast does not count."""


class _Unfinished(_Unavailable):
    """Why a unit that counts cannot be read yet. Until it can, the others say nothing: a verdict waits for all."""


@dataclass(frozen=True)
class Verdict:
    """The judgement of a claim, with what it rests on.

    Attributes:
        claim: as data.
        judgement: of the whole claim; its ``parts`` are those of the contrasts.
        cells: for each part, by data set, the seeds that count.
        dead: for each part, by data set, why it does not count.
        records: keys of the records of these cells and seeds.
        waits: whether runs that count are unfinished, so that nothing is said yet, whatever the other parts say.
    """

    claim: Claim
    judgement: Judgement
    cells: tuple[dict[str, list[int]], ...] = ()
    dead: tuple[dict[str, str], ...] = ()
    records: tuple[str, ...] = ()
    waits: bool = False

    @property
    def category(self) -> str:
        """That of the judgement; :data:`WAITING` if runs are not finished."""
        return WAITING if self.waits else self.judgement.category

    @property
    def label(self) -> str:
        """The category as it is counted, see :attr:`mixlib.evidence.judgements.Judgement.label`."""
        return WAITING if self.waits else self.judgement.label

    @property
    def words(self) -> str:
        """What was measured, and on which of the claim's data sets it was not; why is in :attr:`dead`."""
        return "; ".join([self.judgement.words, *self._left_out])

    @property
    def lines(self) -> list[str]:
        """:attr:`words`, a line for each part of the claim."""
        return [*([self.judgement.words] if self.waits else self.judgement.lines), *self._left_out]

    @property
    def _left_out(self) -> list[str]:
        parts = zip(self.cells, self.dead, strict=False)
        names = dict.fromkeys(name for live, dead in parts if live and not self.waits for name in dead)
        return [f"not counted: {', '.join(names)}"] if names else []


class Records:
    """Records of the cells, read once.

    Args:
        store: where records are, by default the repository's.
        decided: which seeds are read and which cells are alive, by default the committed decisions.
    """

    def __init__(self, store: Store | None = None, decided: plan.Decided | None = None) -> None:
        self.store, self.decided = store or Store(), decided or plan.decided()
        self._found: dict[Spec, Record | None] = {}
        self._values: dict[tuple, pd.Series] = {}

    def get(self, spec: Spec) -> Record | None:
        """The record of a run, ``None`` if there is no usable one."""
        if spec not in self._found:
            try:
                self._found[spec] = self.store.get(spec)
            except DamagedRecord:
                self._found[spec] = None
        return self._found[spec]

    def spec(self, term: Term, seed: int) -> Spec:
        """The run of a term with this seed, as the committed cells read it."""
        return self.decided.read(plan.get(term.cell)).spec(term.label, seed)

    def values(self, term: Term, measure: Measure) -> pd.Series:
        """What one term contributes, by seed (and by number, for measures that read several values from a record).

        Raises:
            ValueError: the cell is dead, or runs are missing, synthetic or in different precisions; says which.
        """
        decided = self.decided
        if term.cell in decided.left_out:
            raise _Unavailable(decided.left_out[term.cell])
        if measure.needs and term.cell not in decided.alive:
            raise _Unfinished("not screened yet")
        if measure.needs and measure.needs not in decided.alive[term.cell]:
            raise _Unavailable(decided.why_dead(term.cell, measure.needs))
        seeds = decided.seeds.get(term.cell, [])
        if not seeds:
            raise _Unfinished(WAITING)
        wanted = (term.cell, term.label, measure, *seeds)
        if wanted not in self._values:
            self._values[wanted] = self._read([self.spec(term, seed) for seed in seeds], term.label, measure)
        return self._values[wanted]

    def _read(self, specs: Sequence[Spec], label: str, measure: Measure) -> pd.Series:
        records = [self.get(spec) for spec in specs]
        if missing := records.count(None):
            raise _Unfinished(f"{missing} of {len(records)} runs of {label} are missing")
        if len(found := {record.precision for record in records}) > 1:
            raise _Unfinished(f"its runs were made in {' and '.join(sorted(found))}")
        if any(spec.synthetic for spec in specs):
            raise _Unfinished("its runs are on synthetic data")
        read = {spec.seed: measure.read(record, label) for spec, record in zip(specs, records, strict=True)}
        if all(isinstance(value, float) for value in read.values()):
            return measure.over(pd.Series(read))
        return pd.Series({(seed, i): value for seed, values in read.items() for i, value in enumerate(values)})


def differences(contrast: Contrast, records: Records) -> tuple[dict[str, pd.Series], dict[str, str], dict[str, str]]:
    """The differences of each data set by seed; why some data sets do not count; and why others cannot be read yet."""
    found, dead, unfinished = {}, dict(contrast.not_here), {}
    for name, terms in contrast.units.items():
        if mixed := _mixed_precision(terms, records):
            unfinished[name] = f"its runs were made in {' and '.join(mixed)}"
            continue
        try:
            values = [term.weight * records.values(term, MEASURES[contrast.measure]) for term in terms]
        except _Unfinished as error:
            unfinished[name] = str(error)
        except _Unavailable as error:
            dead[name] = str(error)
        else:
            found[name] = pd.concat(values, axis=1).dropna().sum(axis=1)
    return found, dead, unfinished


def _mixed_precision(terms: Iterable[Term], records: Records) -> list[str]:
    """The precisions that a contrast would compare with each other. A contrast may contain cells of different precision
    if each has its own comparison in it, such as the gain at one size and the gain at another."""
    weights: dict[str, float] = {}
    for term in terms:
        precision = records.decided.read(plan.get(term.cell)).precision
        weights[precision] = weights.get(precision, 0.0) + term.weight
    return sorted(weights) if len(weights) > 1 and any(abs(sum_) > 1e-9 for sum_ in weights.values()) else []


def by_data_set(found: Mapping[str, pd.Series], contrast: Contrast) -> dict[str, pd.Series]:
    """One difference per seed and data set: several sizes of a data set share its test rows and count as their mean."""
    groups: dict[str, list[str]] = {}
    for name in found:
        groups.setdefault(plan.get(contrast.units[name][0].cell).dataset, []).append(name)
    return {
        " and ".join(in_short(names)): pd.concat([found[name] for name in names], axis=1).dropna().mean(axis=1)
        for names in groups.values()
    }


def _margin(contrast: Contrast, live: Iterable[str], records: Records) -> float:
    if contrast.margin is not None:
        return contrast.margin
    plain = [
        records.values(Term(1.0, term.cell, plan.get(term.cell).plain), MEASURES["ece"]).mean()
        for name in live
        for term in contrast.units[name][:1]
    ]
    return ece_margin(sum(plain) / len(plain))


def judge(
    claim: Claim, records: Records, margins: float = 1.0, pool: Callable[..., statistics.Estimate] = statistics.pooled
) -> Verdict:
    """The verdict on a claim, from the records there are.

    Args:
        claim: as data.
        records: of the cells.
        margins: a factor for all margins, to see whether a verdict depends on them.
        pool: how differences become an estimate, likewise.
    """
    if claim.not_here is not None:
        return Verdict(claim, judgements.not_judgeable(claim.id, claim.not_here))
    parts, cells, dead, waits_for = [], [], [], {}
    keys: dict[str, None] = {}
    for contrast in claim.parts:
        found, left_out, unfinished = differences(contrast, records)
        dead.append(left_out | unfinished)
        cells.append({name: sorted({_seed(i) for i in values.index}) for name, values in found.items()})
        terms = [(term, seed) for name, seeds in cells[-1].items() for term in contrast.units[name] for seed in seeds]
        keys |= dict.fromkeys(records.spec(term, seed).key for term, seed in terms)
        waits_for |= unfinished
        if unfinished or not found:
            why = "; ".join(f"{name}: {reason}" for name, reason in (unfinished or left_out).items())
            parts.append(judgements.not_judgeable(contrast.name, why))
            continue
        unit, margin = MEASURES[contrast.measure].unit, margins * _margin(contrast, found, records)
        samples = "batches" if any(values.index.nlevels > 1 for values in found.values()) else "seeds"
        part = Part(contrast.name, by_data_set(found, contrast), margin, contrast.kind, contrast.printed,
                    contrast.bounds, unit, samples)  # fmt: skip
        parts.append(judgements.judge(part, pool))
    together = judgements.best if claim.together == BEST else judgements.conjunction
    whole = together(claim.id, parts)
    if waits_for:  # the correction for several parts needs all of them
        words = f"waits for {', '.join(f'{name} ({reason})' for name, reason in waits_for.items())}"
        whole = replace(judgements.not_judgeable(claim.id, ""), words=words, parts=whole.parts)
    return Verdict(claim, whole, tuple(cells), tuple(dead), tuple(keys), bool(waits_for))


def _seed(index: Any) -> int:
    return index[0] if isinstance(index, tuple) else index


def verdicts(
    paper: str | None = None, ids: Sequence[str] | None = None, records: Records | None = None
) -> dict[str, Verdict]:
    """The verdicts on the claims of a paper, on some of them, or on all; nothing is run.

    Raises:
        ValueError: unknown paper (the message lists them) or claim (it gives the nearest), or a claim of another paper.
    """
    known, papers = claims(), plan.registered().claims
    if paper is not None and paper not in papers:
        raise ValueError(f"unknown paper {paper!r}; choose one of {', '.join(papers)}")
    for id_ in ids or ():
        if id_ not in known:
            raise unknown("claim", id_, known)
        if paper not in (None, known[id_].paper):
            raise ValueError(f"{id_} is a claim of {known[id_].paper}, not of {paper}")
    records = records or Records()
    chosen = [c for c in known.values() if (paper in (None, c.paper)) and (ids is None or c.id in ids)]
    return {claim.id: judge(claim, records) for claim in chosen}


def as_json(verdict: Verdict, records: Records) -> dict[str, Any]:
    """A verdict for programs, with what it would be at half and at twice the margins: see ``claims --json``."""
    said = published.claims(verdict.claim.paper).set_index("id").loc[verdict.claim.id]
    whole = _numbers(verdict.judgement)
    contrasts = verdict.claim.parts
    parts = verdict.judgement.parts or ((verdict.judgement,) if contrasts else ())
    live = [
        {"part": contrast.name, "data_set": name,
         "cells": (cells := list(dict.fromkeys(t.cell for t in contrast.units[name]))),
         "size": [plan.rows_of(cell) for cell in cells],
         "methods": list(dict.fromkeys(t.label for t in contrast.units[name])), "seeds": seeds}
        for contrast, found in zip(contrasts, verdict.cells, strict=False) for name, seeds in found.items()
    ]  # fmt: skip
    dead = [
        {"part": contrast.name, "data_set": name, "reason": reason}
        for contrast, left_out in zip(contrasts, verdict.dead, strict=False)
        for name, reason in left_out.items()
    ]
    return {
        "id": verdict.claim.id, "paper": verdict.claim.paper, "claim": said["claim"], **whole, "verdict": verdict.label,
        "parts": [
            _part(contrast, part, live, records)
            for contrast, part, live in zip(contrasts, parts, verdict.cells, strict=False)
        ],
        "words": verdict.words, "waits": verdict.waits, "cells": live, "dead_cells": dead, "rule": verdict.claim.rule,
        "records": list(verdict.records),
        "at_half_margin": judge(verdict.claim, records, 0.5).label,
        "at_twice_margin": judge(verdict.claim, records, 2.0).label,
    }  # fmt: skip


def over_rows(contrast: Contrast, live: Mapping[str, Sequence[int]], records: Records) -> statistics.Interval | None:
    """A check of a contrast's interval: over seeds *and* test rows, if all seeds were scored on the same rows.

    Args:
        contrast: of accuracy, a mean over test rows; other measures have no such interval.
        live: its data sets that count, with their seeds.
        records: with the kept predictions.

    Returns:
        ``None`` if a data set's seeds share too few rows or none, if no predictions of a run were kept, or if several
        sizes of a data set, which share its test rows, count as one.
    """
    from mixlib.runs.predictions import ROWS_IN_COMMON, in_common  # computes metrics: seconds to import

    sets = [plan.get(contrast.units[name][0].cell).dataset for name in live]
    if contrast.measure != "accuracy" or len(set(sets)) < len(sets):
        return None
    rows: dict[str, np.ndarray] = {}
    for name, seeds in live.items():
        terms = contrast.units[name]
        runs = [(term, records.get(records.spec(term, seed))) for seed in seeds for term in terms]
        try:
            kept = [records.store.predictions(record) for _, record in runs]
        except FileNotFoundError:
            return None
        try:
            shared = in_common(kept)
        except ValueError:  # of other rows
            return None
        if len(shared[0].labels) < ROWS_IN_COMMON or len(seeds) < 2:
            return None
        values = [100 * term.weight * found.per_row("accuracy") for (term, _), found in zip(runs, shared, strict=True)]
        rows[name] = np.array(values).reshape(len(seeds), len(terms), -1).sum(1)
    return statistics.two_way_bootstrap(rows) if rows else None


def collapsed(contrast: Contrast, live: Mapping[str, Sequence[int]], records: Records) -> tuple[int, int]:
    """How many of the runs that a contrast compares ended no better than the largest class of their test rows, and how
    many there are; studies are not counted."""
    found = {
        spec: records.get(spec)
        for name, seeds in live.items()
        for term in contrast.units[name]
        for seed in seeds
        if isinstance(spec := records.spec(term, seed), RunSpec)
    }
    known = [record for record in found.values() if record is not None and "larger_class" in record.data]
    return sum(record.at_chance for record in known), len(known)


def _part(
    contrast: Contrast, judgement: Judgement, live: Mapping[str, Sequence[int]], records: Records
) -> dict[str, Any]:
    """One part of a claim for programs, with the checks that accompany its interval."""
    two_way, (failed, runs) = over_rows(contrast, live, records), collapsed(contrast, live, records)
    checks = {
        "over_rows": None if two_way is None else [round(end, 6) for end in two_way],
        "collapsed_runs": failed, "runs": runs,
    }  # fmt: skip
    return {"name": contrast.name, "measure": contrast.measure} | _numbers(judgement) | checks


def _numbers(judgement: Judgement) -> dict[str, Any]:
    def number(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else round(float(value), 6)

    def interval(ends: statistics.Interval | None) -> list[float | None] | None:
        return None if ends is None else [number(end) for end in ends]

    needed = judgement.seeds_needed
    return {
        "verdict": judgement.label, "words": judgement.words, "estimate": number(judgement.estimate),
        "low": number(judgement.low), "high": number(judgement.high), "printed": number(judgement.printed),
        "margin": number(judgement.margin), "unit": judgement.unit, "kind": judgement.kind,
        "seeds_needed": None if needed is None else {"printed": needed.printed, "margin": needed.margin},
        "differs_between_sets": judgement.differs_between_sets, "in_general": judgement.in_general,
        "random_effects": interval(judgement.random_effects), "per_seed": interval(judgement.per_seed),
    }  # fmt: skip
