"""What a paired experiment says about a claim: one pooled contrast, its intervals, and a category.

A claim has one or more parts. A part is a contrast of two methods on some data sets: for each set the differences of
runs that share a seed, signed so that positive is as claimed, in points or as log ratios (losses, times). :func:`judge`
decides a part, :func:`conjunction` a claim with several parts, :func:`best` a claim to beat every rival::

    part = Part("CLS MixUp - none", {"sst2": d1, "trec_coarse": d2}, margin=1.0, printed=Printed(1.4, runs=10))
    judge(part).words   # "no effect larger than 0.8 points on these 2 sets"

The pooled contrast is the mean over data sets of the mean difference. Its standard error covers seeds only, so it is a
statement about *these data sets*; "in general" is said only where an interval with random effects over data sets
agrees. Every test is at 5% two-sided (95% intervals); only "no effect larger than X" uses the 90% interval, as is usual
for two one-sided tests of equivalence (TOST).

The rule itself, :func:`decide` and :func:`combine`, works on arrays of any shape, so that
:mod:`mixlib.evidence.error_rates` can run the very same code over thousands of simulated experiments.
"""

from __future__ import annotations

import difflib
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.oneway import anova_oneway
from statsmodels.stats.power import ttest_power

from mixlib.runs.garbage import quick_garbage_collection

# Kinds of claims. Each says where the true difference lies if the claim holds; see `Part.region`.
SUPERIORITY = "superiority"  # "A is better than B": above 0
NON_INFERIORITY = "non-inferiority"  # "at least as good", "costs no more": above minus the margin
EQUIVALENCE = "equivalence"  # "hardly changes", "costs the same": within the margin on both sides
BOUNDS = "bounds"  # "about twice the time": between two given numbers
KINDS = (SUPERIORITY, NON_INFERIORITY, EQUIVALENCE, BOUNDS)

NOT_JUDGEABLE = "not judgeable here"
UNDECIDED = "undecided"
SMALLER = "smaller than printed"
NO_EFFECT = "no effect"
CONTRADICTED = "contradicted"
SUPPORTED = "supported"
CATEGORIES = (NOT_JUDGEABLE, UNDECIDED, SMALLER, NO_EFFECT, CONTRADICTED, SUPPORTED)  # what is known of a claim, rising

CONFIDENCE = 0.95  # of every interval that supports or contradicts
EQUIVALENCE_CONFIDENCE = 0.90  # of "no effect larger than X": TOST at 5%
ALPHA = 1 - CONFIDENCE
MIN_SEEDS = 4  # a data set with fewer never decides
SE_LIMIT = 0.36  # points: a contrast with a larger standard error asks for more seeds, whatever its sign
POWER = 0.8  # what "seeds needed" stands for
MOST_SEEDS = 10_000  # seeds needed are not looked for beyond
LOG_RATIO = "log ratio"  # the unit of losses and times; shown as factors


class Interval(NamedTuple):
    """A confidence interval, in the unit of the differences."""

    low: float
    high: float

    def inside(self, low: float, high: float) -> bool:
        """Whether the whole interval lies strictly between two numbers."""
        return low < self.low and self.high < high


@dataclass(frozen=True)
class Printed:
    """The paper's own number for a contrast, signed as the differences are: positive is as claimed.

    Attributes:
        size: the printed difference (the mean over the same data sets if there are several), in points or as a log
            ratio.
        runs: seeds x data sets behind it; needed only if no ``se`` is known, because then the paper is taken to be as
            precise as that many of our own runs.
        se: its standard error, if the paper prints a spread.
        df: degrees of freedom of ``se``.
    """

    size: float
    runs: int = 3
    se: float | None = None
    df: float = math.inf


@dataclass(frozen=True)
class Part:
    """One part of a claim: a contrast, what is claimed about it, and what was measured.

    Attributes:
        name: in words, such as ``"SSMix - EmbedMix, accuracy"``.
        differences: data set -> differences of runs with the same seed, positive as claimed. A ``Series`` is indexed by
            seed; in a plain sequence the positions serve as seeds.
        margin: the smallest difference that matters, above 0, in the unit of the differences (a log ratio: log 1.1).
        kind: one of ``KINDS``.
        printed: the paper's number, if it has one.
        bounds: for ``BOUNDS`` only, the range in which the claim places the difference; one end may be infinite.
        unit: ``"points"``, or ``"log ratio"`` (shown as a factor).
        samples: what one difference of a data set comes from, for the words: ``"seeds"``, or ``"batches"`` if one
            record holds many.

    Raises:
        ValueError: an unknown kind, a margin that is not above 0, missing or superfluous bounds, no data set, or a
            difference that is not a finite number (the message names its data set and seed).
    """

    name: str
    differences: Mapping[str, pd.Series | Sequence[float]]
    margin: float
    kind: str = SUPERIORITY
    printed: Printed | None = None
    bounds: tuple[float, float] | None = None
    unit: str = "points"
    samples: str = "seeds"

    def __post_init__(self) -> None:
        region(self.kind, self.margin, self.bounds)  # refuses what makes no sense
        series(self.differences)

    @property
    def region(self) -> tuple[float, float]:
        """The two numbers between which the true difference lies if the claim holds."""
        return region(self.kind, self.margin, self.bounds)


def region(kind: str, margin: float, bounds: tuple[float, float] | None = None) -> tuple[float, float]:
    """The two numbers between which the true difference lies if a claim of this kind holds. ``ValueError`` as
    `Part`."""
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        raise ValueError(
            f"unknown kind of claim {kind!r}; " + (f"did you mean {near[0]!r}?" if near else f"one of {KINDS}")
        )
    if not margin > 0:
        raise ValueError(f"a margin must be above 0, got {margin!r}")
    if (kind == BOUNDS) != (bounds is not None):
        raise ValueError(f"bounds are for claims of kind {BOUNDS!r} and only those, got {bounds!r} for {kind!r}")
    if bounds is not None:
        if not bounds[0] < bounds[1]:
            raise ValueError(f"bounds must be (low, high) with low below high, got {bounds!r}")
        return bounds
    return {SUPERIORITY: (0.0, math.inf), NON_INFERIORITY: (-margin, math.inf), EQUIVALENCE: (-margin, margin)}[kind]


def series(differences: Mapping[str, pd.Series | Sequence[float]]) -> dict[str, pd.Series]:
    """The differences as one ``Series`` of floats per data set, indexed by seed. ``ValueError`` as :class:`Part`."""
    if not differences:
        raise ValueError("a contrast needs at least one data set, got none")
    found = {name: pd.Series(values, dtype=float) for name, values in differences.items()}
    for name, values in found.items():
        if values.empty:
            raise ValueError(f"{name}: no differences; leave out a data set that was not run")
        if not values.index.is_unique:
            raise ValueError(f"{name}: more than one difference for seed {values.index[values.index.duplicated()][0]}")
        bad = values.index[~np.isfinite(values.to_numpy())]
        if len(bad):
            raise ValueError(f"{name}: the difference of seed {bad[0]} is {values[bad[0]]}, not a finite number")
    return found


# --- Estimates --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """The pooled contrast of :func:`pooled`.

    Attributes:
        mean: mean over data sets of the mean paired difference.
        se: its standard error over seeds; nan if a data set has a single seed.
        df: Satterthwaite's degrees of freedom.
        sd: square root of the mean over data sets of the variance of one seed's difference.
        interval: at 95%.
        interval90: at 90%.
        sets: names of the data sets.
        seeds: of each data set, in the same order.
    """

    mean: float
    se: float
    df: float
    sd: float
    interval: Interval
    interval90: Interval
    sets: tuple[str, ...]
    seeds: tuple[int, ...]


def satterthwaite(variances: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard error and degrees of freedom of a mean of independent means; data sets on the last axis.

    The variance is sum(s_k^2 / n_k) / K^2, its degrees of freedom (sum v_k)^2 / sum(v_k^2 / (n_k - 1)) with
    v_k = s_k^2 / n_k. Without any variance there is nothing to estimate, and the degrees of freedom are those of all
    seeds.
    """
    v = variances / seeds
    total = v.sum(-1)
    spread = (v**2 / (seeds - 1)).sum(-1)
    all_seeds = np.broadcast_to(seeds - 1.0, v.shape).sum(-1)
    df = np.where(total > 0, total**2 / np.where(spread > 0, spread, 1), all_seeds)
    return np.sqrt(total) / v.shape[-1], df


def t_interval(mean: np.ndarray, se: np.ndarray, df: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of a t interval; arrays of any shape."""
    half = stats.t.ppf((1 + confidence) / 2, df) * se
    return mean - half, mean + half


def pooled(differences: Mapping[str, pd.Series | Sequence[float]]) -> Estimate:
    """The mean over data sets of the mean paired difference, with its t intervals over seeds (Satterthwaite).

    Data sets count equally, whatever their number of seeds. The runs of two data sets with the same seed are taken to
    be independent draws (they share no data, only numbers); :func:`per_seed_interval` checks that.
    """
    found = series(differences)
    means = np.array([v.mean() for v in found.values()])
    seeds = np.array([len(v) for v in found.values()])
    variances = np.array([v.var(ddof=1) for v in found.values()])  # nan for a single seed
    if np.isnan(variances).any():
        se = df = sd = math.nan
    else:
        se, df = map(float, satterthwaite(variances, seeds))
        sd = float(np.sqrt(variances.mean()))
    mean = float(means.mean())
    intervals = [Interval(*map(float, t_interval(mean, se, df, c))) for c in (CONFIDENCE, EQUIVALENCE_CONFIDENCE)]
    return Estimate(mean, se, df, sd, *intervals, tuple(found), tuple(map(int, seeds)))


def per_seed_interval(differences: Mapping[str, pd.Series | Sequence[float]]) -> Interval | None:
    """A check of :func:`pooled`: the 95% t interval of each seed's mean over data sets.

    It needs no independence between data sets of the same seed, but has fewer degrees of freedom: seeds - 1, of the
    seeds that every data set has. ``None`` with fewer than two of them.
    """
    table = pd.concat(series(differences), axis=1).dropna()
    if len(table) < 2:
        return None
    by_seed = table.mean(axis=1)
    return Interval(*map(float, t_interval(by_seed.mean(), by_seed.sem(), len(by_seed) - 1, CONFIDENCE)))


def random_effects_interval(
    differences: Mapping[str, pd.Series | Sequence[float]], confidence: float = CONFIDENCE
) -> Interval | None:
    """The interval for data sets in general: random effects over data sets (Paule and Mandel), t with K - 1 degrees.

    ``None`` with a single data set, or if one has no spread over seeds to be weighted by.
    """
    found = series(differences).values()
    variances = np.array([v.var(ddof=1) / len(v) for v in found])
    if len(variances) < 2 or not (variances > 0).all():
        return None
    means = np.array([v.mean() for v in found])
    with np.errstate(divide="ignore"):  # of equal means, in a number that is not read
        result = combine_effects(means, variances, method_re="iterated", use_t=True)
    _, low_high, _, _ = result.conf_int(alpha=1 - confidence, use_t=True)  # the second is "random effect"
    return Interval(*map(float, low_high))


def heterogeneity_p(differences: Mapping[str, pd.Series | Sequence[float]]) -> float:
    """p of Welch's analysis of variance over data sets: do their mean differences differ?

    nan with a single data set, or if one has no spread over seeds.
    """
    found = list(series(differences).values())
    if len(found) < 2 or any(len(v) < 2 or no_spread(v) for v in found):
        return math.nan
    return float(anova_oneway([v.to_numpy() for v in found], use_var="unequal").pvalue)


def no_spread(differences: pd.Series | Sequence[float]) -> bool:
    """Whether all differences are equal up to rounding, as they are for identical runs."""
    values = np.asarray(differences, dtype=float)
    return bool(np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())))


def two_way_bootstrap(
    rows: Mapping[str, np.ndarray], resamples: int = 2000, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Percentile interval of the pooled contrast over seeds *and* test rows, if all seeds share the test rows.

    Intervals over seeds alone are then too narrow: the rows are a sample as well, and the same one every time. (If each
    seed has its own rows, their contribution is already in the spread over seeds, and :func:`pooled` is right.)

    Args:
        rows: data set -> paired differences of a score that is a mean over rows (correctness, log-likelihood, Brier),
            of shape (seeds, rows), in the unit of the contrast. Column j is the same test row for every seed: rows are
            drawn jointly.
        resamples: how many.
        confidence: of the interval.
        seed: of the draws, which are the same every time.

    Seeds are drawn n - 1 out of n: drawn n out of n, the spread over a few seeds would come out too small by
    (n - 1) / n. ``ValueError`` unless every array has two axes with at least 2 seeds and 2 rows.
    """
    generator = np.random.default_rng(seed)
    means = np.zeros(resamples)
    for name, values in rows.items():
        d = np.asarray(values, dtype=float)
        if d.ndim != 2 or min(d.shape) < 2:
            raise ValueError(f"{name}: wanted an array (seeds, rows) with at least 2 of each, got shape {d.shape}")
        n, m = d.shape
        of_seeds = generator.multinomial(n - 1, np.full(n, 1 / n), size=resamples) / (n - 1)
        of_rows = generator.multinomial(m, np.full(m, 1 / m), size=resamples) / m
        means += ((of_seeds @ d) * of_rows).sum(axis=1) / len(rows)
    tail = (1 - confidence) / 2
    return Interval(*map(float, np.quantile(means, [tail, 1 - tail])))


# --- Power ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeedsNeeded:
    """Seeds per data set for 80% power, at least 4; ``None`` if no number up to 10,000 is enough.

    Attributes:
        printed: to decide the claim if the printed size is the truth. Also ``None`` without a printed size, or if the
            printed size itself is not as claimed.
        margin: to show that there is no effect beyond the margin if there is none at all; for other kinds than
            superiority, to support the claim if the truth is in the middle of what it says. :func:`judge` leaves it out
            if the data sets differ, because then "no effect" is not given however many seeds there are.
    """

    printed: int | None
    margin: int | None


def power(sd: float, sets: int, seeds: int, truth: float, low: float, high: float, confidence: float) -> float:
    """Chance that the t interval of the pooled contrast lies entirely between ``low`` and ``high``.

    Args:
        sd: of one seed's difference within a data set, the same for all.
        sets: how many data sets are pooled.
        seeds: of each.
        truth: the true difference, the same for all.
        low, high: one may be infinite. With (0, inf) this is the power to detect a positive difference, with
            (-margin, margin) that of TOST.
        confidence: of the interval.

    All data sets are assumed to have the same spread. Satterthwaite's degrees of freedom come out somewhat lower than
    this assumes: with 4 seeds the true power is up to 3 points below this value, with 12 within 1.
    """
    runs, df, tail = sets * seeds, sets * (seeds - 1), (1 - confidence) / 2
    if math.isinf(low) or math.isinf(high):
        distance = truth - low if math.isinf(high) else high - truth
        return float(ttest_power(distance / sd, runs, tail, df=df, alternative="larger"))
    # Given the measured SD, the mean must fall between low + h and high - h (h: half the interval). The average over
    # the distribution of that SD, by its quantiles.
    measured = np.sqrt(stats.chi2.ppf((np.arange(200) + 0.5) / 200, df) / df)
    half = stats.t.isf(tail, df) * measured
    z_low, z_high = ((edge - truth) / sd * math.sqrt(runs) for edge in (low, high))
    chance = stats.norm.cdf(z_high - half) - stats.norm.cdf(z_low + half)
    return float(np.clip(chance, 0, None).mean())


def seeds_needed(
    estimate: Estimate,
    size: float | None,
    margin: float,
    kind: str = SUPERIORITY,
    bounds: tuple[float, float] | None = None,
) -> SeedsNeeded:
    """Seeds per data set that a claim would need, given the spread seen so far, on the same number of data sets."""
    low, high = region(kind, margin, bounds)

    def search(truth: float, low: float, high: float, confidence: float) -> int | None:
        if not low < truth < high:
            return None
        if not estimate.sd > 0:
            return MIN_SEEDS
        tried = range(MIN_SEEDS, MOST_SEEDS + 1)
        place = bisect_left(
            tried, POWER, key=lambda n: power(estimate.sd, len(estimate.sets), n, truth, low, high, confidence)
        )
        return tried[place] if place < len(tried) else None

    printed = None if size is None else search(size, low, high, CONFIDENCE)
    if kind == SUPERIORITY:
        return SeedsNeeded(printed, search(0.0, -margin, margin, EQUIVALENCE_CONFIDENCE))
    middle = (low + high) / 2
    if math.isinf(middle):
        middle = low + margin if math.isinf(high) else high - margin
    return SeedsNeeded(printed, search(middle, low, high, CONFIDENCE))


# --- The rule ---------------------------------------------------------------------------------------------------------


class Decision(NamedTuple):
    """What :func:`decide` finds, each an array of the same shape.

    ``category`` is an index into ``CATEGORIES``; ``small`` says that what is supported or contradicted is so by less
    than the margin; ``against`` is the two-sided p value of the difference lying outside what is claimed, 1 if the
    estimate lies inside.
    """

    category: np.ndarray
    small: np.ndarray
    against: np.ndarray


def decide(
    mean: np.ndarray,
    se: np.ndarray,
    df: np.ndarray,
    sd: np.ndarray,
    decidable: np.ndarray,
    differs: np.ndarray,
    margin: float,
    kind: str = SUPERIORITY,
    printed: Printed | None = None,
    bounds: tuple[float, float] | None = None,
) -> Decision:
    """The category of one part, from its pooled contrast. Arrays of one shape, or numbers.

    Superiority, the first that holds:

    1. ``undecided``: not ``decidable`` (fewer than 4 seeds on a data set, or no spread).
    2. ``supported``, ``contradicted``: the 95% interval lies beyond 0; ``small`` if the 90% interval lies inside the
       margin.
    3. ``no effect``: the 90% interval lies inside the margin, and the data sets do not differ.
    4. ``smaller than printed``: printed minus measured exceeds t x sqrt(our SE^2 + the paper's SE^2), t two-sided 5%.
       Its degrees of freedom are ours if the paper's error is taken from our SD, else those of both by Satterthwaite.
    5. ``undecided``.

    Any other kind says that the difference lies in a region: ``supported`` if the 95% interval is entirely inside,
    ``contradicted`` if it is entirely outside, else ``undecided``. (For one-sided regions this is a one-sided test at
    2.5%, the same strength of evidence as for superiority.) "No effect" and "smaller than printed" are not given there:
    they would restate the claim at a lower level. A region with two ends is not supported if the data sets differ, for
    the same reason that "no effect" is not given: +3 and -2 would average to "hardly changes".
    """
    low, high = t_interval(mean, se, df, CONFIDENCE)
    low90, high90 = t_interval(mean, se, df, EQUIVALENCE_CONFIDENCE)
    first, last = region(kind, margin, bounds)
    inside_margin = (low90 > -margin) & (high90 < margin)
    outside = (high < first) | (low > last)
    if kind == SUPERIORITY:
        small = inside_margin
        rules = [low > 0, outside, inside_margin & ~differs, _smaller(mean, se, df, sd, printed)]
        found = [SUPPORTED, CONTRADICTED, NO_EFFECT, SMALLER]
    else:
        small = np.zeros_like(inside_margin)
        two_ends = math.isfinite(first) and math.isfinite(last)
        rules = [(low > first) & (high < last) & ~(differs & two_ends), outside]
        found = [SUPPORTED, CONTRADICTED]
    category = np.select(
        [~decidable, *rules], [CATEGORIES.index(c) for c in (UNDECIDED, *found)], CATEGORIES.index(UNDECIDED)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        one_sided = np.minimum(stats.t.cdf((mean - first) / se, df), stats.t.sf((mean - last) / se, df))
    against = np.where(decidable, np.minimum(1.0, 2 * one_sided), 1.0)
    decided = (category == CATEGORIES.index(SUPPORTED)) | (category == CATEGORIES.index(CONTRADICTED))
    return Decision(category, small & decided, against)


def _smaller(mean: np.ndarray, se: np.ndarray, df: np.ndarray, sd: np.ndarray, printed: Printed | None) -> np.ndarray:
    """Whether the printed size exceeds the measured one by more than both errors explain."""
    if printed is None:
        return np.zeros(np.shape(mean), dtype=bool)
    paper, paper_df = (sd / math.sqrt(printed.runs), None) if printed.se is None else (printed.se, printed.df)
    variance = se**2 + paper**2
    if paper_df is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            df = variance**2 / (se**4 / df + paper**4 / paper_df)
    return (printed.size > 0) & (printed.size - mean > stats.t.ppf((1 + CONFIDENCE) / 2, df) * np.sqrt(variance))


def combine(decision: Decision) -> Decision:
    """The category of a claim from those of its parts, which lie on the first axis.

    Supported: every part is. Contradicted: a part is, after Holm's correction over the parts (the smallest p value
    times the number of parts is below 5%). Else the weakest category of a part in the order of ``CATEGORIES``, where a
    part that is contradicted only before the correction counts as undecided. ``small`` if a supported part is, or if
    every contradicted one is.
    """
    category, small, against = decision
    contradicted = CATEGORIES.index(CONTRADICTED)
    p = np.minimum(1.0, against.min(axis=0) * len(against))
    weakest = np.where(category == contradicted, CATEGORIES.index(UNDECIDED), category).min(axis=0)
    # An undecidable part has p = 1, and a p below 5% means contradicted, so this names no part that is not.
    found = np.where(p < ALPHA, contradicted, weakest)
    all_small = (small | (category != contradicted)).all(axis=0)
    return Decision(found, np.where(found == contradicted, all_small, (found == len(CATEGORIES) - 1) & small.any(0)), p)


# --- Judgements -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judgement:
    """The category of a part or a claim, in words, and the numbers behind it.

    For a claim with several parts, the numbers are those of the part that decides: the one most clearly against a
    contradicted claim, else, in the weakest category, the one furthest from support.

    Attributes:
        name: of the part or claim.
        category: one of ``CATEGORIES``.
        words: the finding in a sentence.
        small: supported or contradicted, but by less than the margin; counted separately, see ``label``.
        decidable: at least 4 seeds on every data set, and spread on each.
        in_general: the random-effects interval over data sets agrees.
        kind, margin, unit, bounds: as in :class:`Part`.
        printed: the printed size, if there is one.
        estimate: the pooled contrast, positive as claimed; for kind ``BOUNDS``, within the bounds as claimed.
        low, high: its 95% interval.
        low90, high90: its 90% interval.
        p: two-sided p value of no difference.
        against: p value against the claim, see :class:`Decision`.
        sets, seeds: the data sets, and how many seeds each has.
        p_heterogeneity: of Welch's analysis of variance over data sets.
        differs_between_sets: whether it is below 5%.
        random_effects: 95% interval for data sets in general.
        per_seed: 95% interval of each seed's mean over data sets.
        seeds_needed: where undecided.
        parts: the judgements that make up a claim with several parts.
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
    p_heterogeneity: float = math.nan
    differs_between_sets: bool = False
    random_effects: Interval | None = None
    per_seed: Interval | None = None
    seeds_needed: SeedsNeeded | None = None
    parts: tuple[Judgement, ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """The category as it is counted: ``"supported by less than the margin"`` separately from ``"supported"``."""
        return f"{self.category} by less than the margin" if self.small else self.category


def not_judgeable(name: str, why: str) -> Judgement:
    """The judgement of a part that cannot be measured here, with the reason in words."""
    return Judgement(name, NOT_JUDGEABLE, f"{NOT_JUDGEABLE}: {why}")


def judge(part: Part) -> Judgement:
    """Decide one part of a claim with :func:`decide`, and put the result into words."""
    estimate = pooled(part.differences)
    found = series(part.differences)
    few = [name for name, values in found.items() if len(values) < MIN_SEEDS]
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
    judgement = Judgement(
        part.name,
        category,
        words="",
        small=bool(decision.small),
        decidable=not few and not same,
        in_general=_in_general(part, category),
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
        p_heterogeneity=p_sets,
        differs_between_sets=p_sets < ALPHA,
        random_effects=random_effects_interval(part.differences),
        per_seed=per_seed_interval(part.differences),
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
        words = _words(judgement, part, estimate)
    return replace(judgement, words=words)


def _in_general(part: Part, category: str) -> bool:
    """Whether the interval with random effects over data sets says the same as the one over seeds."""
    low, high = part.region
    if category == NO_EFFECT:
        interval, low, high = (
            random_effects_interval(part.differences, EQUIVALENCE_CONFIDENCE),
            -part.margin,
            part.margin,
        )
    else:
        interval = random_effects_interval(part.differences)
    if interval is None:
        return False
    if category == CONTRADICTED:
        return interval.high < low or interval.low > high
    return category in (SUPPORTED, NO_EFFECT) and interval.inside(low, high)


def amount(value: float, unit: str, sign: bool = False) -> str:
    """A difference for readers: ``0.8 points`` or ``a factor of 1.08``; with its sign ``+0.8`` or ``x1.08``."""
    if unit == LOG_RATIO:
        return f"x{math.exp(value):.2f}" if sign else f"a factor of {math.exp(abs(value)):.2f}"
    if sign:
        return f"{value:+.1f}"
    digits = f"{abs(value):.1f}".removesuffix(".0") if abs(value) >= 0.05 or not value else f"{abs(value):.2g}"
    return f"{digits} {unit[:-1] if digits == '1' and unit.endswith('s') else unit}"


def _words(j: Judgement, part: Part, estimate: Estimate) -> str:
    """The finding in one sentence, followed by the means of the data sets if they differ."""
    where = f"on these {len(j.sets)} sets" if len(j.sets) > 1 else "on this set"
    interval = "[{}, {}]".format(*(amount(end, j.unit, True) for end in (j.low, j.high)))
    ends = f"{amount(j.estimate, j.unit, True)} {interval}"
    general = ""
    if j.in_general:  # an interval of its own, with the spread over data sets
        confidence = EQUIVALENCE_CONFIDENCE if j.category == NO_EFFECT else CONFIDENCE
        found = random_effects_interval(part.differences, confidence)
        general = "; in general too: [{}, {}]".format(*(amount(end, j.unit, True) for end in found))
    if j.category == NO_EFFECT:
        if j.in_general:
            general = f"; in general no larger than {_bound(found, j.unit)}"
        text = f"no effect larger than {_bound((j.low90, j.high90), j.unit)} {where}{general}"
        if j.printed is not None and abs(j.printed) < j.margin:
            excluded = _smaller(
                *(np.asarray(v) for v in (j.estimate, estimate.se, estimate.df, estimate.sd)), part.printed
            )
            end = "is larger than what was measured" if excluded else "is neither confirmed nor refuted"
            if not excluded and abs(j.printed) > max(-j.low90, j.high90):
                end += ", because of its own error"
            text += f"; the printed {amount(j.printed, j.unit)} {end}"
    elif j.category == SMALLER:
        text = f"smaller than the printed {amount(j.printed, j.unit)} {where}: {ends}"
    elif j.category == UNDECIDED:
        text = f"undecided {where}: {ends}{_needs(j, part.samples)}"
    else:
        margin = f" by less than the margin of {amount(j.margin, j.unit)}" if j.small else ""
        if j.kind == NON_INFERIORITY and j.category == SUPPORTED and j.high < 0:
            margin = f", though worse by less than {amount(j.margin, j.unit)},"
        text = f"{j.category}{margin} {where}: {ends}{general}"
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
        wanted.append((j.seeds_needed.margin, f"the margin of {amount(j.margin, j.unit)}"))
    for number, size in wanted:
        if number is not None and number <= there:
            enough.append(size)
        else:
            count = f"{number:,}" if number else f"more than {MOST_SEEDS:,}"
            needed.append(f"{count} {samples} for {size}")
    text = f"; needs {' and '.join(needed)}" if needed else ""
    return text + (f"; these {there} {samples} would do for {' and '.join(enough)}" if enough else "")


def _can_show_printed(j: Judgement) -> bool:
    return j.printed is not None and (bool(j.seeds_needed.printed) or (j.kind == SUPERIORITY and j.printed > 0))


def conjunction(name: str, parts: Sequence[Judgement]) -> Judgement:
    """Judge a claim that makes several statements at once; see :func:`combine`.

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
        words = f"{category} for " + "; ".join(f"{p.name} ({_as_part(p, category)})" for p in deciding)
        others = [f"{p.name} ({p.category})" for p in parts if p not in deciding]
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


def _standing(j: Judgement) -> float:
    """How well a part does, whatever its unit and kind: how far the estimate lies within what is claimed, in widths of
    its interval."""
    low, high = region(j.kind, j.margin, j.bounds)
    return min(j.estimate - low, high - j.estimate) / (j.high - j.low) if j.high > j.low else -math.inf


def corrected(p: Sequence[float] | pd.Series, method: str = "holm") -> tuple[np.ndarray, np.ndarray]:
    """Which of several p values are small enough together, and the corrected values.

    Args:
        p: the values.
        method: of :func:`statsmodels.stats.multitest.multipletests`.
    """
    with quick_garbage_collection():  # multipletests collects at each call
        reject, values, *_ = multipletests(p, alpha=ALPHA, method=method)
    return reject, values


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
    return replace(judgement, words=f"{judgement.words}; among the best: no rival is better by more than the margin")


def q_values(judgements: Mapping[str, Judgement]) -> pd.Series:
    """Benjamini and Hochberg's q of the claims of kind superiority that have a p value, by claim.

    It changes no category: q above 0.05 marks a finding that may be one of the few wrong ones to be expected among
    so many. For a claim with several parts, the largest p counts if they all have to hold, except that a contradicted
    claim has the p value that contradicts it.
    """
    p = {}
    for claim, j in judgements.items():
        parts = [part.p for part in j.parts or (j,) if part.kind == SUPERIORITY and not math.isnan(part.p)]
        value = j.against if j.category == CONTRADICTED else max(parts, default=math.nan)
        if j.kind == SUPERIORITY and j.category != NOT_JUDGEABLE and not math.isnan(value):
            p[claim] = value
    adjusted = corrected(list(p.values()), "fdr_bh")[1] if p else []
    return pd.Series(adjusted, index=list(p), dtype=float, name="q")
