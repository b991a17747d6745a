"""How often the rule of :mod:`.statistics` errs: the whole rule on simulated experiments with a known truth.

    python -m mixlib error-rates --output rates.csv

A design is everything fixed before a claim is judged: the number of data sets and seeds, the spread of paired
differences, what the paper prints, the margin, the kind of claim and its parts. For each design, experiments are drawn
under truths that range from the opposite of the paper to exactly the paper, and judged by :func:`.statistics.decide`
and :func:`mixlib.evidence.statistics.combine`, the functions that judge the real records.

"Supported" is wrong if the claim is false, "contradicted" if it is true. A claim is about *these* data sets, so if
effects differ between sets, the truth is the mean of the effects drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from mixlib.evidence.statistics import (
    ALPHA,
    CATEGORIES,
    CONFIDENCE,
    CONTRADICTED,
    MIN_SEEDS,
    NO_EFFECT,
    SE_LIMIT,
    SMALLER,
    SUPERIORITY,
    SUPPORTED,
    UNDECIDED,
    Decision,
    Printed,
    combine,
    decide,
    region,
    satterthwaite,
    t_interval,
)

EXPERIMENTS = 4000
COUNTED = 50  # experiments with a true (false) claim, below which no rate is given
PRECISION, UNTIL_DECIDED = "precision", "until decided"


@dataclass(frozen=True)
class Design:
    """The plan of one claim. Sizes, SD and margin in one unit: points, or log ratios.

    Attributes:
        claim: its id.
        sets: data sets that are pooled.
        seeds: of each.
        sd: of one seed's paired difference; a sequence gives each data set its own.
        printed: the paper's size, positive as claimed, or the size to expect if it prints none.
        is_printed: whether the paper prints a size; if not, nothing is smaller than printed.
        margin: the smallest difference that matters.
        kind: of claim, as in :class:`mixlib.evidence.statistics.Part`.
        bounds: for claims of kind "bounds".
        parts: how many contrasts must hold together; 2 or more share their plain run (or their method).
        printed_se: standard error of the printed size; ``None`` if no spread is printed.
        printed_runs: seeds x data sets behind the printed size.
        more_seeds: seeds of each data set after adding some; ``None`` for never.
        adding: when they are added: ``"precision"`` if the standard error is above ``se_limit``, whatever the sign (the
            rule); ``"until decided"`` if the category is undecided (peeking, to see what that would do).
        se_limit: of the pooled contrast.
        part_correlation: of the differences of two parts on the same seed and data set; one half if they share a run
            and all runs have the same spread.
        set_correlation: of the differences of one seed on two data sets, which the pooled interval takes to be 0.
        noise_df: degrees of freedom of the noise, scaled to ``sd``: infinite is normal, 3 has runs that fail now and
            then.
    """

    claim: str
    sets: int
    seeds: int
    sd: float | Sequence[float]
    printed: float
    margin: float
    kind: str = SUPERIORITY
    bounds: tuple[float, float] | None = None
    parts: int = 1
    printed_se: float | None = None
    printed_runs: int = 15
    is_printed: bool = True
    more_seeds: int | None = None
    adding: str = PRECISION
    se_limit: float = SE_LIMIT
    part_correlation: float = 0.5
    set_correlation: float = 0.0
    noise_df: float = math.inf


@dataclass(frozen=True)
class Truth:
    """A state of the world: the mean effect of each part, and the SD of effects between data sets."""

    name: str
    effects: tuple[float, ...]
    between: float = 0.0


def truths(design: Design) -> list[Truth]:
    """The truths under which a design is simulated.

    The paper exactly right; half and a tenth as large; no effect; the opposite; effects that differ between data sets
    with an SD of half a margin and of one margin, around the printed size and around 0. For kinds other than
    superiority, also each end of what is claimed, where errors are most likely; for several parts, also all but one as
    printed and the last without effect.
    """

    def same(name: str, effect: float, between: float = 0.0) -> Truth:
        return Truth(name, (effect,) * design.parts, between)

    p, margin = design.printed, design.margin
    found = [
        same("as printed", p),
        same("half as large", p / 2),
        same("a tenth as large", p / 10),
        same("no effect", 0.0),
        same("opposite", -p),
    ]
    if design.sets > 1:
        for around, centre in (("printed", p), ("0", 0.0)):
            found += [same(f"sets differ by {f:g} margins around {around}", centre, f * margin) for f in (0.5, 1.0)]
    if design.kind != SUPERIORITY:
        ends = zip(("low", "high"), region(design.kind, margin, design.bounds), strict=True)
        found += [same(f"at the {name} end of the claim", end) for name, end in ends if math.isfinite(end)]
    if design.parts > 1:
        found.append(Truth("one part without effect", (p,) * (design.parts - 1) + (0.0,)))
    return found


def welch_p(means: np.ndarray, variances: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """p of Welch's analysis of variance from summaries, data sets on the last axis.

    statsmodels' ``anova_generic`` for many experiments at once; nan with a single data set.
    """
    k = means.shape[-1]
    if k < 2:
        return np.full(means.shape[:-1], np.nan)
    weights = seeds / variances
    share = weights / weights.sum(-1, keepdims=True)
    between = (weights * (means - (share * means).sum(-1, keepdims=True)) ** 2).sum(-1) / (k - 1)
    tail = ((1 - share) ** 2 / (seeds - 1)).sum(-1) / (k**2 - 1)
    return stats.f.sf(between / (1 + 2 * (k - 2) * tail), k - 1, 1 / (3 * tail))


def random_effects(means: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the 95% interval with random effects, from means and their variances; data sets on the last axis.

    statsmodels' ``combine_effects`` (Paule and Mandel) for many experiments at once; nan with a single data set.
    """
    k = means.shape[-1]
    if k < 2:
        return np.full(means.shape[:-1], np.nan), np.full(means.shape[:-1], np.nan)
    between = np.zeros((*means.shape[:-1], 1))
    for _ in range(50):  # Newton's steps from 0; they never pass the root
        weights = 1 / (variances + between)
        centre = (weights * means).sum(-1, keepdims=True) / weights.sum(-1, keepdims=True)
        squares = (means - centre) ** 2
        excess = (weights * squares).sum(-1, keepdims=True) - (k - 1)
        if (excess < 1e-5).all():
            break
        step = excess / (weights**2 * squares).sum(-1, keepdims=True)
        between += np.where(excess >= 1e-5, step, 0)
    return t_interval(centre[..., 0], 1 / np.sqrt(weights.sum(-1)), np.array(k - 1), CONFIDENCE)


def judged(
    design: Design, means: np.ndarray, variances: np.ndarray, seeds: np.ndarray
) -> tuple[Decision, np.ndarray, np.ndarray]:
    """The claim's decision in each experiment, whether it is supported in general, and each part's standard error.

    Args:
        design: what the rule needs to know.
        means, variances: of the differences, of shape (parts, experiments, sets).
        seeds: behind them, of a shape that broadcasts to theirs.
    """
    se, df = satterthwaite(variances, seeds)
    decision = combine(
        decide(
            means.mean(-1),
            se,
            df,
            np.sqrt(variances.mean(-1)),
            decidable=np.broadcast_to(seeds >= MIN_SEEDS, means.shape).all(-1) & (variances > 0).all(-1),
            differs=welch_p(means, variances, seeds) < ALPHA,
            margin=design.margin,
            kind=design.kind,
            printed=Printed(design.printed, design.printed_runs, design.printed_se) if design.is_printed else None,
            bounds=design.bounds,
        )
    )
    first, last = region(design.kind, design.margin, design.bounds)
    low, high = random_effects(means, variances / seeds)
    general = (decision.category == CATEGORIES.index(SUPPORTED)) & ((low > first) & (high < last)).all(0)
    return decision, general, se


def draw(
    design: Design, truth: Truth, experiments: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """True effects (parts, experiments, sets) and differences (parts, experiments, sets, seeds)."""
    shape = (design.parts, experiments, design.sets, design.more_seeds or design.seeds)

    def noise(*shape: int) -> np.ndarray:
        if math.isinf(design.noise_df):
            return generator.standard_normal(shape)
        return generator.standard_t(design.noise_df, shape) * math.sqrt((design.noise_df - 2) / design.noise_df)

    shared, by_seed = design.part_correlation if design.parts > 1 else 0.0, design.set_correlation
    deviations = math.sqrt(1 - shared - by_seed) * noise(*shape)
    if shared:
        deviations += math.sqrt(shared) * noise(1, *shape[1:])
    if by_seed:
        deviations += math.sqrt(by_seed) * noise(*shape[:2], 1, shape[3])
    effects = np.array(truth.effects)[:, None, None] + truth.between * generator.standard_normal(shape[:3])
    sd = np.broadcast_to(design.sd, design.sets)[:, None]
    return effects, effects[..., None] + sd * deviations


def simulate(design: Design, truth: Truth, experiments: int, generator: np.random.Generator) -> dict[str, object]:
    """Rates of the categories of one design under one truth, and of wrong ones; one row of :func:`rates`."""
    effects, differences = draw(design, truth, experiments, generator)

    def summary(seeds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first = differences[..., :seeds]
        return first.mean(-1), first.var(-1, ddof=1), np.array(seeds)

    decision, general, se = judged(design, *summary(design.seeds))
    used = np.full(experiments, design.seeds)
    if design.more_seeds:
        added = (se > design.se_limit).any(0)
        if design.adding == UNTIL_DECIDED:
            added = decision.category == CATEGORIES.index(UNDECIDED)
        later, later_general, _ = judged(design, *summary(design.more_seeds))
        general = np.where(added, later_general, general)
        decision = Decision(*(np.where(added, new, old) for new, old in zip(later, decision, strict=True)))
        used = np.where(added, design.more_seeds, used)

    truth_of_parts = effects.mean(-1)
    low, high = region(design.kind, design.margin, design.bounds)
    holds = ((truth_of_parts > low) & (truth_of_parts < high)).all(0)
    holds_in_general = all(low < effect < high for effect in truth.effects)
    found = {name: decision.category == CATEGORIES.index(name) for name in CATEGORIES[1:]}
    beyond_margin = (np.abs(truth_of_parts) >= design.margin).all(0)
    as_printed = (truth_of_parts >= design.printed).all(0)

    def rate(event: np.ndarray, among: np.ndarray) -> float:
        return float(event[among].mean()) if among.sum() >= COUNTED else math.nan

    return {
        "claim": design.claim,
        "kind": design.kind,
        "parts": design.parts,
        "sets": design.sets,
        "seeds": design.seeds,
        "sd": float(np.mean(design.sd)),
        "printed": design.printed,
        "margin": design.margin,
        "truth": truth.name,
        "claim_holds": float(holds.mean()),
        **{name: float(found[name].mean()) for name in reversed(CATEGORIES[1:])},
        "by less than the margin": float(decision.small.mean()),
        "supported in general": float(general.mean()),
        "wrong supported": rate(found[SUPPORTED], ~holds),
        "wrong contradicted": rate(found[CONTRADICTED], holds),
        "wrong no effect": rate(found[NO_EFFECT], beyond_margin),
        "wrong smaller": rate(found[SMALLER], as_printed),
        "wrong in general": math.nan if holds_in_general else float(general.mean()),
        "seeds used": float(used.mean()),
    }


def rates(designs: Iterable[Design], experiments: int = EXPERIMENTS, seed: int = 0) -> pd.DataFrame:
    """The rates of every design under every truth.

    Args:
        designs: of the claims.
        experiments: drawn for each design and truth; the standard error of a rate of 5% is 0.34 points with 4,000.
        seed: of all draws. A design's draws depend only on its place in the list.

    Returns:
        One row per design and truth: the design, ``claim_holds`` (in what share of the experiments the claim is true),
        the rate of each category, that of "by less than the margin" among all, and the rates of wrong decisions among
        the experiments in which they are wrong (nan if those are fewer than 50): "supported" for a false claim,
        "contradicted" for a true one, "no effect" for parts with effects of a margin or more, "smaller than printed"
        for effects that are not; ``wrong in general`` is the rate of "supported in general" if the mean over all
        imaginable data sets is not as claimed. ``seeds used`` is the mean over experiments.
    """
    rows = []
    for place, design in enumerate(designs):
        for number, truth in enumerate(truths(design)):
            rows.append(simulate(design, truth, experiments, np.random.default_rng([seed, place, number])))
    return pd.DataFrame(rows)


def powered(table: pd.DataFrame, wanted: float = 0.8) -> list[str]:
    """Claims that come out as supported with at least this chance if the paper is exactly right, in their order."""
    right = table[(table["truth"] == "as printed") & (table[SUPPORTED] >= wanted)]
    return list(right["claim"])


def expected_wrong(table: pd.DataFrame) -> pd.DataFrame:
    """How many wrong verdicts to expect over all claims of the table, if each truth held for all of them at once.

    Returns:
        Index ``truth``; columns ``claims`` (that have this truth) and the expected numbers of wrong "supported" and
        "contradicted". The numbers do not show how errors cluster: claims that share runs err together.
    """
    table = table.assign(
        supported=table["wrong supported"].fillna(0) * (1 - table["claim_holds"]),
        contradicted=table["wrong contradicted"].fillna(0) * table["claim_holds"],
    )
    sums = table.groupby("truth", sort=False).agg(
        claims=("claim", "size"), supported=("supported", "sum"), contradicted=("contradicted", "sum")
    )
    return sums.rename(columns={"supported": "wrong supported", "contradicted": "wrong contradicted"})


def beyond(table: pd.DataFrame, limit: float = ALPHA) -> pd.DataFrame:
    """The rows in which a wrong "supported" or "contradicted" is more frequent than the limit allows."""
    return table[(table["wrong supported"] > limit) | (table["wrong contradicted"] > limit)]


def summary(table: pd.DataFrame) -> str:
    """The rates in percent, the wrong verdicts to expect, the claims with 80% power, and whatever errs too often."""
    columns = ["claim", "truth", *reversed(CATEGORIES[1:]), "wrong supported", "wrong contradicted"]
    shown = 100 * table[columns].set_index(["claim", "truth"])
    errs = beyond(table)[columns[:2] + columns[-2:]]
    return "\n".join([
        shown.round(1).to_string(na_rep="-"),
        "\nExpected wrong verdicts, were each truth that of all claims:",
        expected_wrong(table).round(2).to_string(),
        f"\n80% power for the printed size: {', '.join(powered(table)) or 'none'}",
        f"\nWrong in more than {ALPHA:.0%}: {errs.to_string(index=False) if len(errs) else 'none'}",
    ])  # fmt: skip
