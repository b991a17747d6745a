"""What is said about a part and a claim: the categories of the rule in their order, and the words."""

import math

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mixlib.evidence.judgements import best, conjunction, judge, not_judgeable, q_values
from mixlib.evidence.statistics import (
    BOUNDS,
    CONTRADICTED,
    EQUIVALENCE,
    KINDS,
    LOG_RATIO,
    NO_EFFECT,
    NON_INFERIORITY,
    NOT_JUDGEABLE,
    SMALLER,
    SUPERIORITY,
    SUPPORTED,
    UNDECIDED,
    Part,
    Printed,
    by_seed,
    region,
)
from tests.evidence.test_statistics import A, B, alike, exact, seeds_for


def part(mean, sd=1.0, sets=5, n=6, name="A - B", margin=1.0, **claim):
    return Part(name, alike(mean, sd, sets, n), margin, **claim)


def test_the_interval_of_each_seeds_mean_stands_beside_the_pooled_one():
    expected = stats.ttest_1samp(A, 0).confidence_interval(0.95)
    assert judge(Part("p", {"a": A, "b": A}, 1.0)).per_seed == pytest.approx(tuple(expected))


def test_a_printed_size_as_large_as_the_margin_is_not_called_smaller():
    flat = exact(0.0, 0.3)
    for size, named in ((0.5, True), (1.0, False), (0.9999999999999964, False)):
        found = judge(Part("p", {"a": flat}, 1.0, printed=Printed(size, runs=10)))
        assert found.category == NO_EFFECT
        assert ("; the printed" in found.words) == named


def test_data_sets_that_move_together_decide_less_by_each_seeds_mean():
    same = exact(1.3, 2.0)
    both = Part("p", {"a": same, "b": same}, 1.0)
    assert judge(both).category == SUPPORTED
    assert judge(both, by_seed).category == judge(Part("p", {"a": same}, 1.0)).category == UNDECIDED
    few = {"a": pd.Series(same, index=range(6)), "b": pd.Series(same, index=range(3, 9))}
    assert judge(Part("p", few, 1.0), by_seed).words == "undecided: 3 seeds on a, at least 4 are needed"


def test_p_of_two_data_sets_is_welchs():
    welch = stats.ttest_ind(A, [-v for v in B], equal_var=False)
    assert judge(Part("p", {"a": A, "b": B}, 1.0)).p == pytest.approx(welch.pvalue)


# --- Never decided


def test_fewer_than_four_seeds_never_decide():
    few = {"a": exact(9, 0.1, 6), "b": exact(9, 0.1, 3)}
    judgement = judge(Part("p", few, 1.0))
    assert (judgement.category, judgement.seeds_needed, judgement.against) == (UNDECIDED, None, 1)
    assert judgement.words == "undecided: 3 seeds on b, at least 4 are needed"
    assert judge(Part("p", {"a": exact(9, 0.1, 4)}, 1.0)).category == SUPPORTED
    assert judge(Part("p", {"a": [9.0]}, 1.0)).category == UNDECIDED


# one row of 24 more with each seed: equal but for the six digits that records keep
ONE_ROW = [100 * (round((k + 1) / 24, 6) - round(k / 24, 6)) for k in (12, 13, 15, 19)]


@pytest.mark.parametrize(
    "values", [[0.5] * 6, [0.0] * 6, [50.1 - 49.6, 60.1 - 59.6, 70.3 - 69.8, 1e-16 + 0.5], ONE_ROW]
)
@pytest.mark.parametrize("kind", [SUPERIORITY, NON_INFERIORITY, EQUIVALENCE])
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
    kind=st.sampled_from(KINDS),
    bounds=st.sampled_from([(-1.0, 0.5), (0.5, math.inf), (-math.inf, 1.0)]),
)
def test_decisions_agree_with_intervals_and_p_values(mean, sd, kind, bounds):
    judgement = judge(part(mean, sd, kind=kind, bounds=bounds if kind == BOUNDS else None))
    low, high = region(kind, 1.0, bounds if kind == BOUNDS else None)
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


def test_seeds_can_still_show_not_worse_where_data_sets_differ():
    judgement = judge(Part("p", {"sst2": exact(2, 1.5), "rte": exact(-3.4, 1.5)}, 1.0, NON_INFERIORITY))
    assert (judgement.category, judgement.differs_between_sets) == (UNDECIDED, True)
    assert judgement.seeds_needed.margin
    assert f"needs {judgement.seeds_needed.margin} seeds for the margin of 1 point" in judgement.words


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
    assert found.words.endswith(f"; in general too: [{wider.low:.1f}, {wider.high:.1f}]")
    assert wider.high - wider.low > found.high - found.low
    assert not judge(Part("p", far, 1.0)).in_general
    assert judge(Part("p", far, 1.0)).random_effects.low < 0
    against = judge(Part("p", {name: -values for name, values in far.items()}, 1.0))
    assert (against.category, against.in_general) == (CONTRADICTED, False)
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
    text = judge(part(0.0, printed=Printed(0.5, se=1.0))).words  # beyond what was measured, by less than its own error
    assert text.endswith("; the printed 0.5 points is neither confirmed nor refuted, because of its own error")


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
    ranged = Part("time", {"mrpc": exact(0.15, 0.5, 100)}, 0.2, BOUNDS, bounds=(-0.2, 0.2), samples="batches")
    assert judge(ranged).words.endswith("; these 100 batches would do for a truth in the middle of the claimed range")


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
SMALL_BAD = judge(part(-0.5, 0.5, name="small and bad"))
DEAD = not_judgeable("dead", "the plain model learns nothing on rte")


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
        ([SMALL_BAD, GOOD], "contradicted by less than the margin"),
        ([SMALL_BAD, BAD], CONTRADICTED),
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


def test_the_part_most_clearly_against_stands_for_a_contradicted_claim():
    first, second = with_p(0.01, "first"), with_p(0.001, "second")
    claim = conjunction("c", [first, second])
    assert claim.estimate == second.estimate
    assert claim.words == f"contradicted: second ({second.words}); first ({first.words})"


def test_a_claim_holds_in_general_if_every_part_that_decides_does():
    far = judge(Part("far", {f"set{k}": exact(m, 0.8) for k, m in enumerate((0.2, 0.5, 3.0, 5.0))}, 1.0))
    assert (GOOD.in_general, far.in_general, far.category) == (True, False, SUPPORTED)
    assert conjunction("c", [GOOD, GOOD]).in_general
    assert not conjunction("c", [GOOD, far]).in_general
    assert conjunction("c", [far, BAD]).in_general  # the first does not decide


def test_conjunctions_name_the_parts():
    others = f"good (supported: {GOOD.numbers})"
    assert conjunction("c", [GOOD, FLAT]).words == f"no effect: flat ({FLAT.words}); other parts: {others}"
    assert conjunction("c", [BAD, DEAD]).words.endswith("; other parts: dead (not judgeable here)")
    assert conjunction("c", [FLAT]).words == FLAT.words
    assert conjunction("c", [GOOD, DEAD]).words.startswith("not judgeable here: dead (")
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
    claim = conjunction("c", [against] + [GOOD] * others)
    assert claim.category == category
    assert ("q (by itself contradicted" in claim.words) == (category == UNDECIDED)
    assert ("; not after Holm's correction)" in claim.words) == (category == UNDECIDED)


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
    assert best("best", [GOOD, GOOD]).category == SUPPORTED
    near = best("best", [GOOD, FLAT])
    assert near.category == NO_EFFECT
    assert near.words.endswith("; among the best: no rival is better by more than the margin")
    assert "among the best" not in best("best", [GOOD, BAD]).words
    assert "among the best" not in best("best", [GOOD, judge(part(0.0, 3.0, sets=2))]).words  # open below the margin
    assert "among the best" not in best("best", [GOOD, DEAD]).words
    few = judge(Part("few", {"a": exact(9, 0.1, 3)}, 1.0))
    assert "among the best" not in best("best", [GOOD, few]).words
    beaten = best("best", [GOOD, judge(part(-0.5, 0.5))])
    assert (beaten.label, "among the best" in beaten.words) == ("contradicted by less than the margin", True)


def test_q_values_are_benjamini_and_hochbergs():
    claims = {"a": with_p(0.01), "b": with_p(0.04, sign=1.0), "c": with_p(0.5)}
    equal = judge(part(0.0, kind=EQUIVALENCE))
    q = q_values({**claims, "same": equal, "dead": DEAD})
    assert q.to_dict() == pytest.approx(dict(zip("abc", (0.03, 0.06, 0.5), strict=True)))
    both = conjunction("both", [with_p(0.001, sign=1.0), with_p(0.03, sign=1.0)])
    assert q_values({"both": both})["both"] == pytest.approx(0.03)  # each has to hold
    beaten = conjunction("beaten", [with_p(0.001), with_p(0.5)])
    assert q_values({"beaten": beaten})["beaten"] == pytest.approx(0.002)  # Holm's
    for first in (with_p(0.03), equal):  # whichever part decides
        assert q_values({"mixed": conjunction("mixed", [first, equal, with_p(0.03)])})["mixed"] == pytest.approx(0.03)
    half_dead = [conjunction("half dead", parts) for parts in ([GOOD, DEAD], [DEAD, GOOD])]  # in whatever order
    assert all(q_values({"half dead": found}).empty for found in half_dead)
    assert q_values({}).empty
