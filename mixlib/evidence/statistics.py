"""What paired experiments show: pooled contrasts with their intervals and power, and the rule that gives a category.

A part of a claim is a contrast of two methods on some data sets: for each set the differences of runs that share a
seed, signed so that positive is as claimed, in points or as log ratios (losses, times). See :class:`Part`. What the
rule says about a part or a claim, in words, is in :mod:`mixlib.evidence.judgements`.

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
from dataclasses import dataclass
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
DECIDED = (SMALLER, NO_EFFECT, CONTRADICTED, SUPPORTED)

CONFIDENCE = 0.95  # of every interval that supports or contradicts
EQUIVALENCE_CONFIDENCE = 0.90  # of "no effect larger than X": TOST at 5%
ALPHA = 1 - CONFIDENCE
MIN_SEEDS = 4  # a data set with fewer never decides
SE_LIMIT = 0.36  # points: a contrast with a larger standard error asks for more seeds, whatever its sign
POWER = 0.8  # what "seeds needed" stands for
MOST_SOUGHT = 10_000  # seeds needed are not looked for beyond
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
        unit: ``"log ratio"`` (shown as a factor), or what readers see after a number, such as ``"points"``.
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
    """The two numbers between which the true difference lies if a claim of this kind holds. ``ValueError`` for an
    unknown kind, a margin that is not above 0, or missing, superfluous or reversed bounds."""
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        raise ValueError(
            f"unknown kind of claim {kind!r}; " + (f"did you mean {near[0]!r}?" if near else f"choose one of {KINDS}")
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
    be independent, although some data sets share texts (both TREC, both SST); :func:`by_seed` checks what that does.
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


def by_seed(differences: Mapping[str, pd.Series | Sequence[float]]) -> Estimate:
    """A check of :func:`pooled`: the mean, with its t intervals, of each seed's mean over data sets.

    It needs no independence between data sets of the same seed, but has fewer degrees of freedom: seeds - 1, of the
    seeds that every data set has. Without an interval (nan) with fewer than two of them. ``sd`` is that of ``pooled``.
    """
    table = pd.concat(series(differences), axis=1).dropna()
    means = table.mean(axis=1)
    mean, se, df = float(means.mean()), float(means.sem()), float(len(means) - 1)
    intervals = [Interval(*map(float, t_interval(mean, se, df, c))) for c in (CONFIDENCE, EQUIVALENCE_CONFIDENCE)]
    return Estimate(
        mean, se, df, pooled(differences).sd, *intervals, tuple(table.columns), (len(means),) * len(table.columns)
    )


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


ROUNDING = 4e-6  # records keep six digits: how far apart equal differences of up to four of their fractions can be


def no_spread(differences: pd.Series | Sequence[float], scale: float = 100.0) -> bool:
    """Whether all differences are equal up to the rounding of records, as they are for identical runs.

    Args:
        differences: at least one.
        scale: what the fractions of records were multiplied by.
    """
    values = np.asarray(differences, dtype=float)
    return bool(np.ptp(values) <= ROUNDING * scale + 1e-9 * float(np.abs(values).max()))


def two_way_bootstrap(
    rows: Mapping[str, np.ndarray], resamples: int = 2000, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """:func:`two_way_bootstraps` at one confidence."""
    return two_way_bootstraps(rows, (confidence,), resamples, seed)[0]


def two_way_bootstraps(
    rows: Mapping[str, np.ndarray], confidences: Sequence[float], resamples: int = 2000, seed: int = 0
) -> list[Interval]:
    """Percentile intervals of the pooled contrast over seeds *and* test rows, if all seeds share the test rows.

    Intervals over seeds alone are then too narrow: the rows are a sample as well, and the same one every time. (If each
    seed has its own rows, their contribution is already in the spread over seeds, and :func:`pooled` is right.)

    Args:
        rows: data set -> paired differences of a score that is a mean over rows (correctness, log-likelihood, Brier),
            of shape (seeds, rows), in the unit of the contrast. Column j is the same test row for every seed: rows are
            drawn jointly.
        confidences: of the intervals, all from the same draws.
        resamples: how many.
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
    tails = [(1 - confidence) / 2 for confidence in confidences]
    return [Interval(*map(float, np.quantile(means, [tail, 1 - tail]))) for tail in tails]


# --- Power ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeedsNeeded:
    """Seeds per data set for 80% power, at least 4; ``None`` if no number up to 10,000 is enough.

    Attributes:
        printed: to decide the claim if the printed size is the truth. Also ``None`` without a printed size, or if the
            printed size itself is not as claimed.
        margin: to show that there is no effect beyond the margin if there is none at all; for other kinds than
            superiority, to support the claim if the truth is in the middle of what it says. A judgement leaves it out
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
        tried = range(MIN_SEEDS, MOST_SOUGHT + 1)
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

    Args:
        mean, se, df, sd: as in :class:`Estimate`.
        decidable: whether each data set has enough seeds, and spread over them.
        differs: whether the data sets differ (:func:`heterogeneity_p` below 5%).
        margin, kind, printed, bounds: as in :class:`Part`.

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
        rules = [low > 0, outside, inside_margin & ~differs, smaller_than_printed(mean, se, df, sd, printed)]
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


def smaller_than_printed(
    mean: np.ndarray, se: np.ndarray, df: np.ndarray, sd: np.ndarray, printed: Printed | None
) -> np.ndarray:
    """Whether the printed size exceeds the measured one by more than both errors explain; no, if none is printed.

    Arrays of one shape, or numbers; their meaning and the test are those of :func:`decide`.
    """
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


def corrected(p: Sequence[float] | pd.Series, method: str = "holm") -> tuple[np.ndarray, np.ndarray]:
    """Which of several p values are small enough together, and the corrected values.

    Args:
        p: the values.
        method: of :func:`statsmodels.stats.multitest.multipletests`.
    """
    with quick_garbage_collection():  # multipletests collects at each call
        reject, values, *_ = multipletests(p, alpha=ALPHA, method=method)
    return reject, values
