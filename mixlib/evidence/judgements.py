"""What a paired experiment says about a claim: a category for each part and for the whole, in words.

:func:`judge` decides a part by the rule of :mod:`mixlib.evidence.statistics`, :func:`conjunction` a claim with several
parts, :func:`best` a claim to beat every rival::

    part = Part("CLS MixUp - none", {"sst2": d1, "trec_coarse": d2}, margin=1.0, printed=Printed(1.4, runs=10))
    judge(part).words   # "no effect larger than 0.8 points on these 2 sets"
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import stats

from mixlib.evidence.statistics import (
    ALPHA,
    BOUNDS,
    CATEGORIES,
    CONTRADICTED,
    EQUIVALENCE_CONFIDENCE,
    LOG_RATIO,
    MIN_SEEDS,
    MOST_SOUGHT,
    NO_EFFECT,
    NON_INFERIORITY,
    NOT_JUDGEABLE,
    SMALLER,
    SUPERIORITY,
    SUPPORTED,
    UNDECIDED,
    Decision,
    Estimate,
    Interval,
    Part,
    SeedsNeeded,
    by_seed,
    combine,
    corrected,
    decide,
    heterogeneity_p,
    no_spread,
    pooled,
    random_effects_interval,
    region,
    seeds_needed,
    series,
    smaller_than_printed,
)

ROUNDED = 1e-9  # printed sizes are means of differences: 0.9999999999999964 is 1 point


@dataclass(frozen=True)
class Judgement:
    """The category of a part or a claim, in words, and the numbers behind it.

    For a claim with several parts, the numbers are those of the part that decides: the one most clearly against a
    contradicted claim, else, in the weakest category, the one furthest from support.

    Attributes:
        name: of the part or claim.
        category: one of :data:`~mixlib.evidence.statistics.CATEGORIES`.
        words: the finding in a sentence.
        small: supported or contradicted, but by less than the margin; counted separately, see ``label``.
        decidable: at least 4 seeds on every data set, and spread on each.
        in_general: the random-effects interval over data sets agrees.
        kind: as in :class:`~mixlib.evidence.statistics.Part`.
        margin: likewise.
        unit: likewise.
        bounds: likewise.
        printed: the printed size, if there is one.
        estimate: the pooled contrast, positive as claimed; for kind ``BOUNDS``, within the bounds as claimed.
        low: lower end of its 95% interval.
        high: upper end.
        low90: lower end of its 90% interval.
        high90: upper end.
        p: two-sided p value of no difference.
        against: p value against the claim, see :class:`~mixlib.evidence.statistics.Decision`.
        sets: the data sets.
        seeds: how many each of them has.
        differs_between_sets: whether Welch's analysis of variance over data sets has p below 5%.
        random_effects: 95% interval for data sets in general.
        per_seed: 95% interval of each seed's mean over data sets.
        seeds_needed: where undecided.
        parts: the judgements that make up a claim with several parts.
        note: what is to be added about a claim with several parts.
    """

    name: str
    category: str
    words: str
    small: bool = False
    decidable: bool = False
    in_general: bool = False
    kind: str = SUPERIORITY
    margin: float = math.nan
    unit: str = "points"
    bounds: tuple[float, float] | None = None
    printed: float | None = None
    estimate: float = math.nan
    low: float = math.nan
    high: float = math.nan
    low90: float = math.nan
    high90: float = math.nan
    p: float = math.nan
    against: float = 1.0
    sets: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    differs_between_sets: bool = False
    random_effects: Interval | None = None
    per_seed: Interval | None = None
    seeds_needed: SeedsNeeded | None = None
    parts: tuple[Judgement, ...] = field(default=(), repr=False)
    note: str = ""

    @property
    def label(self) -> str:
        """The category as it is counted, with ``"supported by less than the margin"`` apart from ``"supported"``."""
        return f"{self.category} by less than the margin" if self.small else self.category

    @property
    def lines(self) -> list[str]:
        """The finding for readers, a line for each part in their order."""
        if not self.parts[1:]:
            return [self.words]
        return [f"{p.name}: {_as_part(p, self.category)}" for p in self.parts] + ([self.note] if self.note else [])

    @property
    def numbers(self) -> str:
        """The estimate for readers, with its unit and, if there is one, its 95% interval."""
        if math.isfinite(self.low):
            shown = with_interval((self.estimate, self.low, self.high), self.unit)
        else:
            shown = amount(self.estimate, self.unit, sign=True)
        return shown if self.unit == LOG_RATIO else f"{shown}{_after(self.unit)}"


def not_judgeable(name: str, why: str) -> Judgement:
    """The judgement of a part that cannot be measured here, with the reason in words."""
    return Judgement(name, NOT_JUDGEABLE, f"{NOT_JUDGEABLE}: {why}")


def judge(part: Part, pool: Callable[..., Estimate] = pooled) -> Judgement:
    """Decide one part of a claim with :func:`~mixlib.evidence.statistics.decide`, and put the result into words.

    Args:
        part: of a claim.
        pool: makes the estimate from ``part.differences``; another one shows whether the verdict depends on it.
    """
    estimate = pool(part.differences)
    found = series(part.differences)
    few = [name for name, seeds in zip(estimate.sets, estimate.seeds, strict=True) if seeds < MIN_SEEDS]
    same = [name for name, values in found.items() if no_spread(values)]
    p_sets = heterogeneity_p(part.differences)
    decision = decide(
        *(np.asarray(v) for v in (estimate.mean, estimate.se, estimate.df, estimate.sd)),
        decidable=np.asarray(not few and not same),
        differs=np.asarray(p_sets < ALPHA),
        margin=part.margin,
        kind=part.kind,
        printed=part.printed,
        bounds=part.bounds,
    )
    category = CATEGORIES[int(decision.category)]
    over_sets, of_seeds = random_effects_interval(part.differences), by_seed(part.differences)
    general = _in_general(part, category, over_sets)
    judgement = Judgement(
        part.name,
        category,
        words="",
        small=bool(decision.small),
        decidable=not few and not same,
        in_general=general is not None,
        kind=part.kind,
        margin=part.margin,
        unit=part.unit,
        bounds=part.bounds,
        printed=part.printed.size if part.printed else None,
        estimate=estimate.mean,
        low=estimate.interval.low,
        high=estimate.interval.high,
        low90=estimate.interval90.low,
        high90=estimate.interval90.high,
        p=float(2 * stats.t.sf(abs(estimate.mean) / estimate.se, estimate.df)) if estimate.se > 0 else math.nan,
        against=float(decision.against),
        sets=estimate.sets,
        seeds=estimate.seeds,
        differs_between_sets=p_sets < ALPHA,
        random_effects=over_sets,
        per_seed=of_seeds.interval if math.isfinite(of_seeds.se) else None,
    )
    if category == UNDECIDED and not few and not same:
        size = part.printed.size if part.printed else None
        needed = seeds_needed(estimate, size, part.margin, part.kind, part.bounds)
        if judgement.differs_between_sets and part.kind != NON_INFERIORITY:  # no number of seeds makes sets alike
            needed = replace(needed, margin=None)
        judgement = replace(judgement, seeds_needed=needed)
    if few:
        words = f"{UNDECIDED}: {min(estimate.seeds)} {part.samples} on {few[0]}, at least {MIN_SEEDS} are needed"
    elif same:
        words = f"{UNDECIDED}: all differences on {same[0]} are identical, so nothing says how far they could vary"
    else:
        words = _words(judgement, part, estimate, general)
    return replace(judgement, words=words)


def _in_general(part: Part, category: str, interval: Interval | None) -> Interval | None:
    """The interval with random effects over data sets if it says the same as the one over seeds, else ``None``; that is
    the given one at 95%, or for "no effect" one at 90%."""
    low, high = part.region
    if category == NO_EFFECT:
        interval = random_effects_interval(part.differences, EQUIVALENCE_CONFIDENCE)
        low, high = -part.margin, part.margin
    if interval is None:
        return None
    if category == CONTRADICTED:
        agrees = interval.high < low or interval.low > high
    else:
        agrees = category in (SUPPORTED, NO_EFFECT) and interval.inside(low, high)
    return interval if agrees else None


def with_interval(values: Iterable[float], unit: str) -> str:
    """An estimate and the ends of its interval for readers: ``+0.8 [-0.1, 1.5]``, or ``x1.08 [x1.01, x1.15]``."""
    estimate, low, high = values
    return f"{amount(estimate, unit, sign=True)} {_interval(low, high, unit)}"


def amount(value: float, unit: str, sign: bool = False) -> str:
    """A difference for readers: ``0.8 points`` or ``a factor of 1.08``; with its sign ``+0.8`` or ``x1.08``."""
    if unit == LOG_RATIO:
        return f"x{math.exp(value):.2f}" if sign else f"a factor of {math.exp(abs(value)):.2f}"
    if sign:
        return f"{value:+.1f}"
    digits = f"{abs(value):.1f}".removesuffix(".0") if abs(value) >= 0.05 or not value else f"{abs(value):.2g}"
    return f"{digits}{_after(unit[:-1] if digits == '1' and unit.endswith('points') else unit)}"


def _after(unit: str) -> str:
    """A unit as it follows a number."""
    return unit if unit.startswith("%") else f" {unit}"


def _interval(low: float, high: float, unit: str) -> str:
    return "[{}, {}]".format(*(amount(end, unit, sign=True).removeprefix("+") for end in (low, high)))


def _words(j: Judgement, part: Part, estimate: Estimate, in_general: Interval | None) -> str:
    """The finding in one sentence, followed by the means of the data sets if they differ."""
    where = f"on these {len(j.sets)} sets" if len(j.sets) > 1 else "on this set"
    general = ""
    if in_general is not None:  # an interval of its own, with the spread over data sets
        general = f"; in general too: {_interval(in_general.low, in_general.high, j.unit)}"
    if j.category == NO_EFFECT:
        if in_general is not None:
            general = f"; in general no larger than {_bound(in_general, j.unit)}"
        text = f"no effect larger than {_bound((j.low90, j.high90), j.unit)} {where}{general}"
        if j.printed is not None and abs(j.printed) < j.margin - ROUNDED:
            excluded = smaller_than_printed(
                *(np.asarray(v) for v in (j.estimate, estimate.se, estimate.df, estimate.sd)), part.printed
            )
            end = "is larger than what was measured" if excluded else "is neither confirmed nor refuted"
            if not excluded and abs(j.printed) > max(-j.low90, j.high90):
                end += ", because of its own error"
            text += f"; the printed {amount(j.printed, j.unit)} {end}"
    elif j.category == SMALLER:
        text = f"smaller than the printed {amount(j.printed, j.unit)} {where}: {j.numbers}"
    elif j.category == UNDECIDED:
        text = f"undecided {where}: {j.numbers}{_needs(j, part.samples)}"
    else:
        margin = f" by less than the margin of {amount(j.margin, j.unit)}" if j.small else ""
        if j.kind == NON_INFERIORITY and j.category == SUPPORTED and j.high < 0:
            margin = f", though worse by less than {amount(j.margin, j.unit)},"
        text = f"{j.category}{margin} {where}: {j.numbers}{general}"
    if j.differs_between_sets:
        means = {name: values.mean() for name, values in series(part.differences).items()}
        listed = ", ".join(
            f"{n} {amount(m, j.unit, True)}" for n, m in sorted(means.items(), key=lambda item: -item[1])
        )
        text += f"; differs between sets ({listed})"
    return text


def _bound(interval: tuple[float, float], unit: str) -> str:
    """The larger end of an interval around zero, rounded up to what `amount` shows, so that it remains a bound."""
    value = max(-interval[0], interval[1])
    if unit == LOG_RATIO:
        return amount(math.log(math.ceil(100 * math.exp(value) - 1e-9) / 100), unit)
    return amount(math.ceil(10 * value - 1e-9) / 10, unit)


def _needs(j: Judgement, samples: str) -> str:
    """How many seeds (or batches) an undecided part would need, and for what there already are enough of them; a
    printed size that is not as claimed is left out."""
    needed, enough, there = [], [], min(j.seeds)
    wanted = [(j.seeds_needed.printed, f"the printed {amount(j.printed, j.unit)}")] if _can_show_printed(j) else []
    if j.seeds_needed.margin or not j.differs_between_sets:
        in_range = j.kind == BOUNDS and j.bounds is not None and all(map(math.isfinite, j.bounds))
        size = "a truth in the middle of the claimed range" if in_range else f"the margin of {amount(j.margin, j.unit)}"
        wanted.append((j.seeds_needed.margin, size))
    for number, size in wanted:
        if number is not None and number <= there:
            enough.append(size)
        else:
            count = f"{number:,}" if number else f"more than {MOST_SOUGHT:,}"
            needed.append(f"{count} {samples} for {size}")
    text = f"; needs {' and '.join(needed)}" if needed else ""
    return text + (f"; these {there} {samples} would do for {' and '.join(enough)}" if enough else "")


def _can_show_printed(j: Judgement) -> bool:
    return j.printed is not None and (bool(j.seeds_needed.printed) or (j.kind == SUPERIORITY and j.printed > 0))


def conjunction(name: str, parts: Sequence[Judgement]) -> Judgement:
    """Judge a claim that makes several statements at once; see :func:`~mixlib.evidence.statistics.combine`.

    Parts that are not judgeable are left out of Holm's correction; they keep a claim from being supported but not
    from being contradicted. ``in_general`` if every part that decides is. ``ValueError`` without parts.
    """
    if not parts:
        raise ValueError(f"{name}: a claim needs at least one part, got none")
    judged = sorted((p for p in parts if p.category != NOT_JUDGEABLE), key=_standing)
    dead = [p for p in parts if p.category == NOT_JUDGEABLE]
    category, small, against = NOT_JUDGEABLE, False, 1.0
    if judged:
        found = combine(
            Decision(
                np.array([CATEGORIES.index(p.category) for p in judged]),
                np.array([p.small for p in judged]),
                np.array([p.against for p in judged]),
            )
        )
        category, small, against = CATEGORIES[int(found.category)], bool(found.small), float(found.against)
    if category == CONTRADICTED:
        reject, _ = corrected([p.against for p in judged])
        deciding = sorted((p for p, r in zip(judged, reject, strict=True) if r), key=lambda p: p.against)
    elif dead:
        category, small, deciding = NOT_JUDGEABLE, False, dead
    else:
        same = (UNDECIDED, CONTRADICTED) if category == UNDECIDED else (category,)
        deciding = [p for p in judged if p.category in same]
    words = deciding[0].words
    if len(parts) > 1:
        words = f"{category}: " + "; ".join(f"{p.name} ({_as_part(p, category)})" for p in deciding)
        others = [f"{p.name} ({_as_other_part(p)})" for p in parts if p not in deciding]
        words += f"; other parts: {', '.join(others)}" if others else ""
    general = all(p.in_general for p in deciding)
    return replace(
        deciding[0], name=name, category=category, words=words, small=small, in_general=general, against=against,
        parts=tuple(parts),
    )  # fmt: skip


def _as_part(j: Judgement, category: str) -> str:
    """The words of a part in a claim of this category."""
    if category == UNDECIDED and j.category == CONTRADICTED:
        return f"by itself {j.words}; not after Holm's correction"
    return j.words


def _as_other_part(j: Judgement) -> str:
    """The category of a part that does not decide, with its numbers if it has any."""
    return f"{j.category}: {j.numbers}" if math.isfinite(j.estimate) else j.category


def _standing(j: Judgement) -> float:
    """How well a part does, whatever its unit and kind: how far the estimate lies within what is claimed, in widths of
    its interval."""
    low, high = region(j.kind, j.margin, j.bounds)
    return min(j.estimate - low, high - j.estimate) / (j.high - j.low) if j.high > j.low else -math.inf


def best(name: str, parts: Sequence[Judgement]) -> Judgement:
    """Judge "the best of several": a win over each rival, one part (of kind superiority) per rival.

    It is never judged only against the rival that looks best on the same runs, which would be biased against the claim.
    If it is not supported but no rival is better by more than the margin (the 95% interval of each part stays above
    minus the margin), the words add "among the best"; the category stays what :func:`conjunction` says.
    """
    judgement = conjunction(name, parts)
    among = all(p.decidable and p.low > -p.margin for p in parts)
    if judgement.category == SUPPORTED or not among:
        return judgement
    note = "among the best: no rival is better by more than the margin"
    return replace(judgement, words=f"{judgement.words}; {note}", note=note)


def q_values(judgements: Mapping[str, Judgement]) -> pd.Series:
    """Benjamini and Hochberg's q of the claims with a part of kind superiority that has a p value, by claim.

    It changes no category: q above 0.05 marks a finding that may be one of the few wrong ones to be expected among
    so many. For a claim with several parts, the largest p counts if they all have to hold, except that a contradicted
    claim has the p value that contradicts it.
    """
    p = {}
    for claim, j in judgements.items():
        parts = [part.p for part in j.parts or (j,) if part.kind == SUPERIORITY and not math.isnan(part.p)]
        value = j.against if j.category == CONTRADICTED else max(parts, default=math.nan)
        if (
            any(part.kind == SUPERIORITY for part in j.parts or (j,))
            and j.category != NOT_JUDGEABLE
            and not math.isnan(value)
        ):
            p[claim] = value
    adjusted = corrected(list(p.values()), "fdr_bh")[1] if p else []
    return pd.Series(adjusted, index=list(p), dtype=float, name="q")
