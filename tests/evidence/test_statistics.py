"""The statistics of a claim: each function against a worked example, another library, or a simulation."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.oneway import anova_oneway
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from mixlib.evidence import statistics as s
from mixlib.evidence.statistics import (
    BOUNDS,
    CONTRADICTED,
    EQUIVALENCE,
    LOG_RATIO,
    NO_EFFECT,
    NON_INFERIORITY,
    NOT_JUDGEABLE,
    SMALLER,
    SUPPORTED,
    UNDECIDED,
    Part,
    Printed,
    conjunction,
    judge,
    pooled,
)

A = [1.2, 0.4, 2.1, -0.3, 0.9, 1.4]
B = [0.1, 3.0, -1.2, 0.5, 2.2, 1.0, -0.4, 1.9]


def exact(mean, sd, n=6):
    """Differences with exactly this mean and sample SD."""
    pattern = np.linspace(-1, 1, n)
    return mean + sd * (pattern - pattern.mean()) / pattern.std(ddof=1)


def alike(mean, sd=1.0, sets=5, n=6):
    """The same differences on several data sets."""
    return {f"set{k}": exact(mean, sd, n) for k in range(sets)}


def part(mean, sd=1.0, sets=5, n=6, name="A - B", margin=1.0, **claim):
    return Part(name, alike(mean, sd, sets, n), margin, **claim)


# --- Estimates


def test_one_data_set_is_the_paired_t_interval():
    estimate = pooled({"a": A})
    result = stats.ttest_1samp(A, 0)
    assert estimate.mean == pytest.approx(np.mean(A))
    assert (estimate.se, estimate.df) == pytest.approx((stats.sem(A), 5))
    assert estimate.interval == pytest.approx(tuple(result.confidence_interval(0.95)))
    assert estimate.interval90 == pytest.approx(tuple(result.confidence_interval(0.90)))
    assert (estimate.sets, estimate.seeds, estimate.sd) == (("a",), (6,), pytest.approx(np.std(A, ddof=1)))


def test_two_data_sets_are_welchs_test():
    # mean(a) + mean(b) is a difference of a and -b, whose degrees of freedom are Satterthwaite's.
    estimate = pooled({"a": A, "b": B})
    welch = stats.ttest_ind(A, [-v for v in B], equal_var=False)
    assert estimate.df == pytest.approx(welch.df)
    assert [2 * end for end in estimate.interval] == pytest.approx(list(welch.confidence_interval(0.95)))
    assert judge(Part("p", {"a": A, "b": B}, 1.0)).p == pytest.approx(welch.pvalue)


def test_data_sets_count_equally_whatever_their_seeds():
    assert pooled({"a": A, "b": B}).mean == pytest.approx((np.mean(A) + np.mean(B)) / 2)


@pytest.mark.parametrize("seeds", [[6] * 5, [4, 6, 12]])
def test_intervals_cover_what_they_say(seeds):
    generator, experiments = np.random.default_rng(1), 20_000
    sd = np.linspace(0.5, 2.5, len(seeds))
    data = [d * generator.standard_normal((experiments, n)) for d, n in zip(sd, seeds, strict=True)]
    means = np.stack([d.mean(1) for d in data], axis=1).mean(1)
    se, df = s.satterthwaite(np.stack([d.var(1, ddof=1) for d in data], axis=1), np.array(seeds))
    for confidence in (0.95, 0.90):
        low, high = s.t_interval(means, se, df, confidence)
        assert ((low < 0) & (high > 0)).mean() == pytest.approx(confidence, abs=0.01)


def test_per_seed_interval_is_the_t_interval_of_common_seeds():
    a = pd.Series(A, index=[100, 101, 102, 103, 104, 105])
    b = pd.Series(B, index=[101, 102, 103, 104, 105, 106, 107, 108])
    mean = ((a + b) / 2).dropna()
    assert len(mean) == 5
    expected = stats.ttest_1samp(mean, 0).confidence_interval(0.95)
    assert s.per_seed_interval({"a": a, "b": b}) == pytest.approx(tuple(expected))
    assert s.per_seed_interval({"a": a, "b": b.loc[[105, 106]]}) is None


def test_random_effects_of_statsmodels():
    sets = {"a": A, "b": B, "c": exact(3.0, 1.0), "d": exact(-2.0, 0.5, 8)}
    means = np.array([np.mean(v) for v in sets.values()])
    variances = np.array([stats.sem(v) ** 2 for v in sets.values()])
    with pytest.warns(UserWarning, match="use_t"):
        frame = combine_effects(means, variances, method_re="iterated", use_t=True).summary_frame()
    expected = frame.loc["random effect", ["ci_low", "ci_upp"]]
    assert s.random_effects_interval(sets) == pytest.approx(tuple(expected))
    assert s.random_effects_interval({"a": A}) is None
    assert s.random_effects_interval({"a": A, "b": [1.0] * 6}) is None


def test_random_effects_by_hand():
    # Equal errors: Paule and Mandel's variance makes the means' own spread the error, with K - 1 degrees of freedom.
    sets = {name: exact(mean, 0.5) for name, mean in (("a", 0.0), ("b", 2.0), ("c", 4.0))}
    half = stats.t.ppf(0.975, 2) * 2.0 / math.sqrt(3)
    assert s.random_effects_interval(sets) == pytest.approx((2 - half, 2 + half), rel=1e-4)


def test_heterogeneity_is_welchs_anova():
    sets = [A, B, exact(3.0, 1.0)]
    expected = anova_oneway(sets, use_var="unequal").pvalue
    assert s.heterogeneity_p(dict(zip("abc", sets, strict=True))) == pytest.approx(expected)
    two = stats.ttest_ind(A, B, equal_var=False).pvalue
    assert s.heterogeneity_p({"a": A, "b": B}) == pytest.approx(two)
    assert math.isnan(s.heterogeneity_p({"a": A}))
    assert math.isnan(s.heterogeneity_p({"a": A, "b": [2.0] * 6}))


# --- Bootstrap over rows and seeds


def noise(seeds, rows, of_seed, of_row, rest, seed=0):
    generator = np.random.default_rng(seed)
    return (
        of_seed * generator.standard_normal((seeds, 1))
        + of_row * generator.standard_normal((1, rows))
        + rest * generator.standard_normal((seeds, rows))
    )


def width(interval):
    return interval.high - interval.low


def test_bootstrap_is_the_same_every_time():
    rows = {"a": noise(6, 200, 1, 1, 1)}
    assert s.two_way_bootstrap(rows) == s.two_way_bootstrap(rows)
    assert s.two_way_bootstrap(rows) != s.two_way_bootstrap(rows, seed=1)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (noise(40, 50, 1, 0, 0), lambda d: stats.sem(d[:, 0])),  # only seeds differ
        (noise(6, 200, 0, 1, 0), lambda d: stats.sem(d[0])),  # only rows do, the same of every seed
    ],
    ids=["seeds", "rows"],
)
def test_bootstrap_errors_by_hand(values, error):
    got = width(s.two_way_bootstrap({"a": values}, resamples=8000)) / (2 * stats.norm.ppf(0.975))
    assert got == pytest.approx(error(values), rel=0.05)


def test_bootstrap_of_few_seeds_is_not_too_narrow():
    # One of two seeds is drawn; of two draws half would have the mean 0.5, and the middle 40% would be (0.5, 0.5).
    two = np.array([[0.0, 0.0], [1.0, 1.0]])
    assert s.two_way_bootstrap({"a": two}, confidence=0.4) == (0, 1)


def test_bootstrap_pools_data_sets_equally():
    rows = {"a": noise(6, 300, 1, 1, 1), "b": 5 + noise(8, 100, 1, 1, 1, seed=3)}
    interval = s.two_way_bootstrap(rows)
    assert np.mean(interval) == pytest.approx((rows["a"].mean() + rows["b"].mean()) / 2, abs=0.1)


def test_seeds_alone_cover_too_little_where_they_share_their_rows():
    covered, alone = 0, 0
    for trial in range(100):
        sets = {k: noise(8, 60, 0.05, 1.0, 0.5, seed=1000 * trial + k) for k in range(2)}
        low, high = s.two_way_bootstrap(sets, resamples=200)
        covered += low < 0 < high
        low, high = pooled({k: d.mean(1) for k, d in sets.items()}).interval
        alone += low < 0 < high
    assert alone < 85
    assert covered >= 90


def test_bootstrap_needs_seeds_and_rows():
    with pytest.raises(ValueError, match=r"sst2: wanted an array \(seeds, rows\).*got shape \(1, 3\)"):
        s.two_way_bootstrap({"sst2": np.ones((1, 3))})


# --- Power


@pytest.mark.parametrize(("size", "seeds"), [(0.5, 12), (1.0, 6), (2.0, 20)])
def test_power_of_one_data_set_is_that_of_the_t_test(size, seeds):
    expected = TTestPower().power(size / 1.5, seeds, 0.025, alternative="larger")
    assert s.power(1.5, 1, seeds, size, 0, math.inf, 0.95) == pytest.approx(expected)
    assert s.power(1.5, 1, seeds, -size, -math.inf, 0, 0.95) == pytest.approx(expected)


def test_power_of_several_data_sets_counts_their_degrees_of_freedom():
    expected = stats.nct.sf(stats.t.isf(0.025, 5 * 3), 5 * 3, 0.7 / 1.5 * math.sqrt(5 * 4))
    assert s.power(1.5, 5, 4, 0.7, 0, math.inf, 0.95) == pytest.approx(expected)


@pytest.mark.parametrize(("truth", "sets", "seeds"), [(0.0, 3, 8), (0.4, 5, 6), (0.0, 1, 5)])
def test_power_of_equivalence_by_simulation(truth, sets, seeds):
    generator = np.random.default_rng(2)
    data = truth + 1.5 * generator.standard_normal((40_000, sets, seeds))
    se, _ = s.satterthwaite(data.var(-1, ddof=1), np.array(seeds))
    low, high = s.t_interval(data.mean((1, 2)), se, np.array(sets * (seeds - 1)), 0.90)
    expected = ((low > -1) & (high < 1)).mean()
    assert s.power(1.5, sets, seeds, truth, -1, 1, 0.90) == pytest.approx(expected, abs=0.01)


def seeds_for(sd, sets, size, margin, **kind):
    return s.seeds_needed(replace(pooled(alike(0.0, sets=sets)), sd=sd), size, margin, **kind)


def test_seeds_needed():
    assert seeds_for(1.6, 1, 1.0, 1.0).printed == 23
    assert math.ceil(TTestPower().solve_power(1 / 1.6, alpha=0.05, power=0.8)) == 23
    assert seeds_for(1.6, 3, 1.0, 1.0) == s.SeedsNeeded(8, 8)
    assert seeds_for(1.6, 5, 0.5, 0.5) == s.SeedsNeeded(17, 18)
    assert seeds_for(0.1, 5, 5.0, 5.0) == s.SeedsNeeded(4, 4)  # fewer never decide
    assert seeds_for(6.0, 1, 0.01, 1.0).printed is None  # more than 10,000
    assert seeds_for(1.6, 5, -1.0, 1.0).printed is None  # not as claimed
    assert seeds_for(1.6, 5, None, 1.0).printed is None


def test_seeds_needed_reach_their_power():
    for size in (0.4, 0.7, 1.3):
        n = seeds_for(1.6, 3, size, 1.0).printed
        assert s.power(1.6, 3, n, size, 0, math.inf, 0.95) >= 0.8 > s.power(1.6, 3, n - 1, size, 0, math.inf, 0.95)


def test_seeds_needed_for_other_kinds():
    not_worse = seeds_for(1.6, 3, 0.5, 1.0, kind=NON_INFERIORITY)
    assert not_worse.margin == seeds_for(1.6, 3, 1.0, 1.0).printed  # 0 is a margin above the end
    assert not_worse.printed == seeds_for(1.6, 3, 1.5, 1.0).printed
    assert seeds_for(1.6, 3, 1.0, 1.0, kind=EQUIVALENCE).printed is None  # printed on the very end
    bounds = seeds_for(0.1, 1, 0.7, 0.1, kind=BOUNDS, bounds=(0.5, 0.9))
    assert bounds.printed == bounds.margin == seeds_for(0.1, 1, 0.0, 0.2, kind=EQUIVALENCE).printed
    assert seeds_for(1.6, 3, None, 1.0, kind=BOUNDS, bounds=(-math.inf, 0.0)).margin == 8


# --- Never decided


def test_fewer_than_four_seeds_never_decide():
    few = {"a": exact(9, 0.1, 6), "b": exact(9, 0.1, 3)}
    judgement = judge(Part("p", few, 1.0))
    assert (judgement.category, judgement.seeds_needed, judgement.against) == (UNDECIDED, None, 1)
    assert judgement.words == "undecided: 3 seeds on b, at least 4 are needed"
    assert judge(Part("p", {"a": exact(9, 0.1, 4)}, 1.0)).category == SUPPORTED
    assert judge(Part("p", {"a": [9.0]}, 1.0)).category == UNDECIDED


@pytest.mark.parametrize("values", [[0.5] * 6, [0.0] * 6, [50.1 - 49.6, 60.1 - 59.6, 70.3 - 69.8, 1e-16 + 0.5]])
@pytest.mark.parametrize("kind", [s.SUPERIORITY, NON_INFERIORITY, EQUIVALENCE])
def test_identical_differences_never_decide(values, kind):
    judgement = judge(Part("p", {"rte": values, "sst2": exact(9, 0.1, 4)}, 1.0, kind))
    assert judgement.category == UNDECIDED
    assert judgement.words.startswith("undecided: all differences on rte are identical")
    assert judge(Part("p", {"rte": values}, 1.0, kind)).category == UNDECIDED


# --- Categories, in their order. Five sets of six seeds: SE = SD / sqrt(30), t(25) = 2.060 and 1.708.


@pytest.mark.parametrize(
    ("mean", "sd", "printed", "category", "small"),
    [
        (2.0, 1.5, None, SUPPORTED, False),
        (0.8, 1.5, None, SUPPORTED, False),  # 90% interval reaches 1.27
        (0.5, 0.5, None, SUPPORTED, True),  # [0.31, 0.69]
        (0.5, 0.5, 5.0, SUPPORTED, True),  # comes before "smaller than printed"
        (-2.0, 1.5, 2.0, CONTRADICTED, False),
        (-0.5, 0.5, None, CONTRADICTED, True),
        (0.2, 1.5, None, NO_EFFECT, False),  # 0.2 + 0.468
        (0.2, 1.5, 3.0, NO_EFFECT, False),  # comes before "smaller than printed"
        (0.5, 1.5, None, NO_EFFECT, False),  # 95% [-0.06, 1.06], 90% below 0.97
        (0.4, 2.5, 3.0, SMALLER, False),  # 90% interval reaches 1.18
        (0.4, 2.5, 1.5, UNDECIDED, False),
        (0.4, 2.5, None, UNDECIDED, False),
    ],
)
def test_categories_of_superiority(mean, sd, printed, category, small):
    judgement = judge(part(mean, sd, printed=Printed(printed, runs=15) if printed else None))
    assert (judgement.category, judgement.small) == (category, small)
    assert judgement.label == category + " by less than the margin" * small
    assert (judgement.seeds_needed is not None) == (category == UNDECIDED)


def test_equivalence_interval_agrees_with_tost():
    for mean in (0.2, 0.5, 0.55, 0.6, 0.9):
        values = exact(mean, 0.6)
        p = ttost_paired(values, np.zeros(6), -1, 1)[0]
        assert pooled({"a": values}).interval90.inside(-1, 1) == (p < 0.05)


@pytest.mark.parametrize(("excess", "category"), [(1.01, SMALLER), (0.99, UNDECIDED)])
def test_smaller_than_printed_without_a_printed_spread(excess, category):
    # SE 2.5 / sqrt(30), the paper's 2.5 / sqrt(10), 25 degrees of freedom
    limit = stats.t.ppf(0.975, 25) * 2.5 * math.sqrt(1 / 30 + 1 / 10)
    assert judge(part(0.4, 2.5, printed=Printed(0.4 + excess * limit, runs=10))).category == category


@pytest.mark.parametrize(("excess", "category"), [(1.01, SMALLER), (0.99, UNDECIDED)])
def test_smaller_than_printed_with_a_printed_spread(excess, category):
    ours, paper = 2.5 / math.sqrt(30), 0.8
    df = (ours**2 + paper**2) ** 2 / (ours**4 / 25 + paper**4 / 8)
    limit = stats.t.ppf(0.975, df) * math.hypot(ours, paper)
    assert judge(part(0.4, 2.5, printed=Printed(0.4 + excess * limit, se=paper, df=8))).category == category


@pytest.mark.parametrize(
    ("kind", "bounds", "mean", "sd", "category"),
    [
        (NON_INFERIORITY, None, 0.0, 1.5, SUPPORTED),  # above -0.56
        (NON_INFERIORITY, None, 5.0, 1.5, SUPPORTED),
        (NON_INFERIORITY, None, -0.6, 0.5, SUPPORTED),  # worse, but by less than the margin
        (NON_INFERIORITY, None, -0.5, 1.5, UNDECIDED),  # 95% from -1.06, 90% from -0.97
        (NON_INFERIORITY, None, -1.2, 1.5, UNDECIDED),  # beyond 0, not beyond the margin
        (NON_INFERIORITY, None, -2.0, 1.5, CONTRADICTED),
        (EQUIVALENCE, None, 0.3, 1.5, SUPPORTED),
        (EQUIVALENCE, None, 0.5, 1.5, UNDECIDED),  # 95% to 1.06, 90% to 0.97
        (EQUIVALENCE, None, 0.7, 0.5, SUPPORTED),  # a difference, but less than the margin
        (EQUIVALENCE, None, 2.0, 1.5, CONTRADICTED),
        (EQUIVALENCE, None, -2.0, 1.5, CONTRADICTED),
        (BOUNDS, (0.5, 1.5), 1.0, 0.5, SUPPORTED),
        (BOUNDS, (0.5, 1.5), 1.4, 0.5, UNDECIDED),
        (BOUNDS, (0.5, 1.5), 2.0, 0.5, CONTRADICTED),
        (BOUNDS, (0.5, 1.5), 0.0, 0.5, CONTRADICTED),
        (BOUNDS, (-math.inf, 0.5), -9.0, 0.5, SUPPORTED),
        (BOUNDS, (-math.inf, 0.5), 1.0, 0.5, CONTRADICTED),
    ],
)
def test_categories_of_other_kinds(kind, bounds, mean, sd, category):
    judgement = judge(part(mean, sd, kind=kind, bounds=bounds, printed=Printed(9.0)))
    assert (judgement.category, judgement.small) == (category, False)


@settings(max_examples=40, deadline=None)
@given(
    mean=st.floats(-3, 3),
    sd=st.floats(0.05, 4),
    kind=st.sampled_from(s.KINDS),
    bounds=st.sampled_from([(-1.0, 0.5), (0.5, math.inf), (-math.inf, 1.0)]),
)
def test_decisions_agree_with_intervals_and_p_values(mean, sd, kind, bounds):
    judgement = judge(part(mean, sd, kind=kind, bounds=bounds if kind == BOUNDS else None))
    low, high = s.region(kind, 1.0, bounds if kind == BOUNDS else None)
    assert (judgement.category == SUPPORTED) == (judgement.low > low and judgement.high < high)
    assert (judgement.category == CONTRADICTED) == (judgement.high < low or judgement.low > high)
    assert (judgement.category == CONTRADICTED) == (judgement.against < 0.05)
    assert low < mean < high or judgement.category != SUPPORTED
    assert not low < mean < high or judgement.against == pytest.approx(1)


# --- Data sets that differ


def test_no_effect_is_not_given_where_data_sets_differ():
    judgement = judge(Part("p", {"sst2": exact(3, 0.5), "rte": exact(-2.9, 0.5)}, 1.0))
    assert judgement.differs_between_sets
    assert -1 < judgement.low90 < judgement.high90 < 1
    assert judgement.category == UNDECIDED
    assert judgement.words.endswith("; differs between sets (sst2 +3.0, rte -2.9)")
    assert judgement.seeds_needed.margin is None  # no number of seeds makes them alike
    assert "margin" not in judgement.words


def test_hardly_changes_is_not_supported_where_data_sets_differ():
    sets = {"sst2": exact(3, 0.5), "rte": exact(-2.9, 0.5)}
    assert judge(Part("p", sets, 1.0, EQUIVALENCE)).category == UNDECIDED
    assert judge(Part("p", sets, 1.0, BOUNDS, bounds=(-1, 1))).category == UNDECIDED
    assert judge(Part("p", sets, 1.0, NON_INFERIORITY)).category == SUPPORTED


def test_a_decided_difference_keeps_its_category_where_data_sets_differ():
    judgement = judge(Part("p", {"sst2": exact(3, 0.5), "rte": exact(1, 0.5)}, 1.0))
    assert (judgement.category, judgement.in_general) == (SUPPORTED, False)
    assert judgement.words.startswith("supported on these 2 sets: +2.0 [")
    assert judgement.words.endswith("differs between sets (sst2 +3.0, rte +1.0)")


def test_in_general_only_where_random_effects_agree():
    near = {f"set{k}": exact(m, 0.8) for k, m in enumerate((1.8, 2.0, 2.1, 2.2))}
    far = {f"set{k}": exact(m, 0.8) for k, m in enumerate((0.2, 0.5, 3.0, 5.0))}
    found = judge(Part("p", near, 1.0))
    wider = found.random_effects
    assert found.words.startswith("supported on these 4 sets: +2.0 [")
    assert found.words.endswith(f"; in general too: [{wider.low:+.1f}, {wider.high:+.1f}]")
    assert wider.high - wider.low > found.high - found.low
    assert not judge(Part("p", far, 1.0)).in_general
    assert judge(Part("p", far, 1.0)).random_effects.low < 0
    assert not judge(Part("p", {"a": exact(9, 0.1)}, 1.0)).in_general
    assert judge(Part("p", {"a": exact(9, 0.1)}, 1.0)).words.startswith("supported on this set")
    assert "; in general too: [" in judge(part(-2.0)).words
    assert (
        judge(part(0.0)).words
        == "no effect larger than 0.4 points on these 5 sets; in general no larger than 0.4 points"
    )
    larger = "no effect larger than 0.7 points on these 5 sets; in general no larger than 0.8 points"
    assert judge(part(0.2, 1.5)).words == larger  # 0.668 with 25 degrees of freedom, 0.784 with 4, rounded up
    assert judge(part(0.3, 1.5)).in_general  # t(4): 90% reaches 0.88, 95% would reach 1.06
    assert judge(part(0.5, 1.5)).words == "no effect larger than 1 point on these 5 sets"  # t(4) reaches 1.08


# --- Words


def test_words_name_the_printed_size_below_the_margin():
    text = judge(part(0.0, printed=Printed(0.1))).words
    assert text.endswith("; the printed 0.1 points is neither confirmed nor refuted")
    text = judge(part(0.0, 0.5, printed=Printed(0.9, runs=15))).words
    assert text.endswith("; the printed 0.9 points is larger than what was measured")
    assert "printed" not in judge(part(0.0, printed=Printed(1.5))).words


def test_words_of_undecided_say_what_it_would_take():
    text = judge(part(0.4, 2.5, printed=Printed(1.0))).words
    needed = seeds_for(2.5, 5, 1.0, 1.0)
    wanted = f"needs {needed.printed} seeds for the printed 1 point and {needed.margin} seeds for the margin of 1 point"
    assert text.endswith(wanted)
    assert "more than 10,000 seeds for the printed 0.01 points" in judge(part(0.4, 2.5, printed=Printed(0.01))).words


def test_words_of_undecided_say_for_what_there_are_enough_seeds():
    text = judge(part(0.4, 2.5, printed=Printed(2.0, runs=15))).words
    assert seeds_for(2.5, 5, 2.0, 1.0).printed <= 6 < seeds_for(2.5, 5, 2.0, 1.0).margin == 12
    assert text.endswith("; needs 12 seeds for the margin of 1 point; these 6 seeds would do for the printed 2 points")
    batches = Part("time", {"mrpc": exact(0.15, 0.5, 100)}, 0.2, BOUNDS, bounds=(-math.inf, 0.2), samples="batches")
    assert judge(batches).words.endswith("; these 100 batches would do for the margin of 0.2 points")


def test_words_of_log_ratios_are_factors():
    margin = math.log(1.1)
    loss = Part("loss", alike(math.log(1.3), 0.05), margin, unit=LOG_RATIO)
    assert judge(loss).words.startswith("supported on these 5 sets: x1.30 [x1.2")
    none = judge(Part("loss", alike(0.0, 0.05), margin, unit=LOG_RATIO))
    assert none.high90 == pytest.approx(1.708 * 0.05 / math.sqrt(30), rel=1e-3)  # exp: 1.0157
    assert none.words.startswith("no effect larger than a factor of 1.02 ")
    assert judge(Part("loss", alike(0.04, 0.02), margin, unit=LOG_RATIO)).words.startswith(
        "supported by less than the margin of a factor of 1.10 on these 5 sets"
    )


def test_words_of_not_worse():
    text = judge(part(-0.6, 0.5, kind=NON_INFERIORITY)).words
    assert text.startswith("supported, though worse by less than 1 point, on these 5 sets: -0.6")
    assert judge(part(3.0, 2.5, printed=Printed(9.0))).words.startswith("supported")
    assert judge(part(0.4, 2.5, printed=Printed(3.0, 15))).words.startswith(
        "smaller than the printed 3 points on these"
    )


# --- Claims of several parts


def with_p(p, name="q", sign=-1.0):
    """A part whose difference has this two-sided p value, against the claim for a negative sign."""
    t = stats.t.isf(p / 2, 25)
    return judge(part(sign * t * 3.0 / math.sqrt(30), 3.0, name=name))


GOOD, FLAT, OPEN, BAD = (judge(part(m, sd, name=n)) for m, sd, n in
                         ((3, 1, "good"), (0, 1, "flat"), (0.4, 2.5, "open"), (-3, 1, "bad")))  # fmt: skip
SMALL = judge(part(0.5, 0.5, name="small"))
LESS = judge(part(0.4, 2.5, name="less", printed=Printed(3.0, runs=15)))
DEAD = s.not_judgeable("dead", "the plain model learns nothing on rte")


@pytest.mark.parametrize(
    ("parts", "label"),
    [
        ([GOOD, GOOD], "supported"),
        ([GOOD, SMALL], "supported by less than the margin"),
        ([GOOD, FLAT], NO_EFFECT),
        ([GOOD, LESS], SMALLER),
        ([FLAT, LESS], SMALLER),
        ([GOOD, OPEN], UNDECIDED),
        ([FLAT, OPEN], UNDECIDED),
        ([GOOD, BAD], CONTRADICTED),
        ([OPEN, FLAT, BAD], CONTRADICTED),
        ([GOOD, DEAD], NOT_JUDGEABLE),
        ([BAD, DEAD], CONTRADICTED),
        ([DEAD], NOT_JUDGEABLE),
        ([SMALL], "supported by less than the margin"),
    ],
)
def test_conjunctions(parts, label):
    for order in (parts, parts[::-1]):
        judgement = conjunction("claim", order)
        assert (judgement.label, judgement.name, judgement.parts) == (label, "claim", tuple(order))


def test_the_part_furthest_from_support_stands_for_a_claim():
    """Whatever the kind: a part that should stay below 75 and lies at 80, beside one that should be above zero."""
    above = judge(Part("bounded", {"a": [80, 71, 86, 78, 83.5, 81]}, 5.0, "bounds", bounds=(-math.inf, 75)))
    flat = judge(Part("flat", {"a": [0.1, -1.0, 1.2, 0.3, -0.9, 0.9]}, 0.1))
    assert {above.category, flat.category} == {"undecided"}
    assert conjunction("c", [flat, above]).estimate == above.estimate


def test_conjunctions_name_the_parts():
    assert conjunction("c", [GOOD, FLAT]).words == f"no effect for flat ({FLAT.words}); other parts: good (supported)"
    assert conjunction("c", [FLAT]).words == FLAT.words
    assert conjunction("c", [GOOD, DEAD]).words.startswith("not judgeable here for dead (")
    assert conjunction("c", [GOOD, BAD]).estimate == BAD.estimate
    with pytest.raises(ValueError, match="at least one part"):
        conjunction("c", [])


@pytest.mark.parametrize(
    ("p", "others", "category"),
    [
        (0.04, 0, CONTRADICTED),
        (0.04, 1, UNDECIDED),
        (0.02, 1, CONTRADICTED),
        (0.02, 2, UNDECIDED),
        (0.015, 2, CONTRADICTED),
    ],
)
def test_contradicted_only_after_holm(p, others, category):
    against = with_p(p)
    assert (against.category, against.against) == (CONTRADICTED, pytest.approx(p))
    assert conjunction("c", [against] + [GOOD] * others).category == category


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(1e-4, 0.3), min_size=1, max_size=4))
def test_contradicted_is_holms_rejection(values):
    # at a bound of Holm's, p = 0.05 / k to the last bit, rounding decides
    assume(all(abs(p * k - 0.05) > 1e-9 for p in values for k in range(1, len(values) + 1)))
    reject, *_ = multipletests(values, method="holm")
    assert (conjunction("c", [with_p(p) for p in values]).category == CONTRADICTED) == reject.any()


def test_parts_that_are_not_judgeable_do_not_count_in_holms_correction():
    assert conjunction("c", [with_p(0.04), DEAD]).category == CONTRADICTED


def test_best_needs_a_win_over_each_rival():
    assert s.best("best", [GOOD, GOOD]).category == SUPPORTED
    near = s.best("best", [GOOD, FLAT])
    assert near.category == NO_EFFECT
    assert near.words.endswith("; among the best: no rival is better by more than the margin")
    assert "among the best" not in s.best("best", [GOOD, BAD]).words
    assert "among the best" not in s.best("best", [GOOD, judge(part(0.0, 3.0, sets=2))]).words  # open below the margin
    assert "among the best" not in s.best("best", [GOOD, DEAD]).words
    few = judge(Part("few", {"a": exact(9, 0.1, 3)}, 1.0))
    assert "among the best" not in s.best("best", [GOOD, few]).words
    beaten = s.best("best", [GOOD, judge(part(-0.5, 0.5))])
    assert (beaten.label, "among the best" in beaten.words) == ("contradicted by less than the margin", True)


def test_q_values_are_benjamini_and_hochbergs():
    claims = {"a": with_p(0.01), "b": with_p(0.04, sign=1.0), "c": with_p(0.5)}
    equal = judge(part(0.0, kind=EQUIVALENCE))
    q = s.q_values({**claims, "same": equal, "dead": DEAD})
    assert q.to_dict() == pytest.approx(dict(zip("abc", (0.03, 0.06, 0.5), strict=True)))
    both = conjunction("both", [with_p(0.001, sign=1.0), with_p(0.03, sign=1.0)])
    assert s.q_values({"both": both})["both"] == pytest.approx(0.03)  # each has to hold
    beaten = conjunction("beaten", [with_p(0.001), with_p(0.5)])
    assert s.q_values({"beaten": beaten})["beaten"] == pytest.approx(0.002)  # Holm's
    half_dead = [conjunction("half dead", parts) for parts in ([GOOD, DEAD], [DEAD, GOOD])]  # in whatever order
    assert all(s.q_values({"half dead": found}).empty for found in half_dead)
    assert s.q_values({}).empty


# --- What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "superority"}, "did you mean 'superiority'"),
        ({"margin": 0.0}, "must be above 0, got 0.0"),
        ({"margin": math.nan}, "must be above 0, got nan"),
        ({"bounds": (0, 1)}, "bounds are for claims of kind 'bounds'"),
        ({"kind": BOUNDS}, "bounds are for claims of kind 'bounds'"),
        ({"kind": BOUNDS, "bounds": (1, 0)}, "low below high"),
        ({"differences": {}}, "at least one data set"),
        ({"differences": {"sst2": []}}, "sst2: no differences"),
        (
            {"differences": {"sst2": pd.Series([1, math.nan], index=[100, 101])}},
            "sst2: the difference of seed 101 is nan",
        ),
        ({"differences": {"sst2": pd.Series([1.0, 2.0], index=[7, 7])}}, "sst2: more than one difference for seed 7"),
    ],
)
def test_parts_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Part(**{"name": "p", "differences": {"a": A}, "margin": 1.0} | change)


def test_nothing_that_trains_is_imported():
    code = (
        "import sys, mixlib.evidence.error_rates; assert not {'torch', 'transformers', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
