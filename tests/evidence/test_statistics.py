"""The statistics of a claim: each function against a worked example, another library, or a simulation.

The categories that the rule gives are tested on whole judgements, in ``test_judgements``.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.oneway import anova_oneway
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from mixlib.evidence import statistics as s
from mixlib.evidence.statistics import BOUNDS, EQUIVALENCE, NON_INFERIORITY, Part, pooled

A = [1.2, 0.4, 2.1, -0.3, 0.9, 1.4]
B = [0.1, 3.0, -1.2, 0.5, 2.2, 1.0, -0.4, 1.9]


def exact(mean, sd, n=6):
    """Differences with exactly this mean and sample SD."""
    pattern = np.linspace(-1, 1, n)
    return mean + sd * (pattern - pattern.mean()) / pattern.std(ddof=1)


def alike(mean, sd=1.0, sets=5, n=6):
    """The same differences on several data sets."""
    return {f"set{k}": exact(mean, sd, n) for k in range(sets)}


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


def test_data_sets_count_equally_whatever_their_seeds():
    assert pooled({"a": A, "b": B}).mean == pytest.approx((np.mean(A) + np.mean(B)) / 2)
    assert pooled({"a": exact(0, 1), "b": exact(0, 3, 8)}).sd == pytest.approx(math.sqrt(5))  # the mean of 1 and 9


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


def test_the_estimate_by_seed_is_the_t_interval_of_common_seeds():
    a = pd.Series(A, index=[100, 101, 102, 103, 104, 105])
    b = pd.Series(B, index=[101, 102, 103, 104, 105, 106, 107, 108])
    mean = ((a + b) / 2).dropna()
    assert len(mean) == 5
    found = s.by_seed({"a": a, "b": b})
    for interval, confidence in ((found.interval, 0.95), (found.interval90, 0.90)):
        assert interval == pytest.approx(tuple(stats.ttest_1samp(mean, 0).confidence_interval(confidence)))
    assert (found.mean, found.seeds, found.sd) == (mean.mean(), (5, 5), pooled({"a": a, "b": b}).sd)
    assert math.isnan(s.by_seed({"a": a, "b": b.loc[[105, 106]]}).interval.low)


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


def test_equivalence_interval_agrees_with_tost():
    for mean in (0.2, 0.5, 0.55, 0.6, 0.9):
        values = exact(mean, 0.6)
        p = ttost_paired(values, np.zeros(6), -1, 1)[0]
        assert pooled({"a": values}).interval90.inside(-1, 1) == (p < 0.05)


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
