"""Error rates of the rule: the simulation judges as the rule does, and finds the rates that theory gives."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.oneway import anova_oneway

from mixlib.__main__ import main
from mixlib.evidence import claims, designs
from mixlib.evidence import error_rates as e
from mixlib.evidence import statistics as s
from mixlib.evidence.error_rates import Design, Truth
from mixlib.evidence.judgements import conjunction, judge

POOL = Design(claim="c", sets=5, seeds=6, sd=1.5, printed=1.0, margin=1.0)


def row(truth, experiments=20_000, **change):
    """One simulated row: a truth of :func:`truths` by name, or an effect."""
    design = replace(POOL, **change)
    if not isinstance(truth, str):
        found = Truth("effect", (float(truth),) * design.parts)
    else:
        found = next(t for t in e.truths(design) if t.name == truth)
    return e.simulate(design, found, experiments, np.random.default_rng(5))


def summaries(count, sets, seeds):
    data = np.random.default_rng(3).normal(size=(count, sets, seeds)) * np.linspace(0.3, 2, sets)[:, None]
    data += np.random.default_rng(4).normal(size=(count, sets, 1))
    return data, data.mean(-1), data.var(-1, ddof=1)


# --- The same rule


@pytest.mark.parametrize("sets", [2, 5])
def test_summaries_give_what_statsmodels_gives(sets):
    data, means, variances = summaries(20, sets, 6)
    p = e.welch_p(means, variances, np.array(6))
    low, high = e.random_effects(means, variances / 6)
    for i, experiment in enumerate(data):
        assert p[i] == pytest.approx(anova_oneway(list(experiment), use_var="unequal").pvalue)
        result = combine_effects(means[i], variances[i] / 6, method_re="iterated", use_t=True)
        assert (low[i], high[i]) == pytest.approx(tuple(result.conf_int(use_t=True)[1]), rel=1e-5, abs=1e-7)


def test_a_single_data_set_has_no_spread_between_sets():
    _, means, variances = summaries(3, 1, 6)
    assert np.isnan(e.welch_p(means, variances, np.array(6))).all()
    assert np.isnan(e.random_effects(means, variances)).all()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"sets": 1, "seeds": 4},
        {"sets": 2, "sd": 3.0, "printed": 3.0, "printed_runs": 5},
        {"sd": 2.5, "printed": 2.5, "printed_se": 0.5},
        {"seeds": 3},
        {"kind": s.NON_INFERIORITY, "sd": 2.5},
        {"kind": s.EQUIVALENCE, "sets": 3, "printed": 0.3},
        {"kind": s.BOUNDS, "bounds": (0.5, 2.0)},
        {"parts": 2},
        {"parts": 3, "sd": 2.5, "printed": 3.0},
    ],
    ids=str,
)
def test_experiments_are_judged_as_records_are(change):
    design = replace(POOL, **change)
    generator = np.random.default_rng(11)
    seen = set()
    for truth in e.truths(design):
        _, differences = e.draw(design, truth, 3, generator)
        decision, general, _ = e.judged(
            design, differences.mean(-1), differences.var(-1, ddof=1), np.array(design.seeds)
        )
        for i in range(3):
            parts = [
                s.Part(f"part {j}", {f"set{k}": d for k, d in enumerate(sets)}, 1.0, design.kind,
                       s.Printed(design.printed, design.printed_runs, design.printed_se), design.bounds)
                for j, sets in enumerate(differences[:, i])
            ]  # fmt: skip
            judgements = [judge(part) for part in parts]
            judgement = conjunction("c", judgements)
            assert s.CATEGORIES[decision.category[i]] == judgement.category
            assert decision.small[i] == judgement.small
            assert decision.against[i] == pytest.approx(judgement.against)
            supported = judgement.category == s.SUPPORTED
            assert general[i] == (supported and all(j.in_general for j in judgements))
            seen.add(judgement.category)
    assert seen == {s.UNDECIDED} if design.seeds < 4 else len(seen) > 1


# --- Rates that theory gives


@pytest.mark.parametrize("change", [{}, {"sets": 1, "seeds": 12}, {"sd": 2.5, "seeds": 12}])
def test_power_is_that_of_the_formula(change):
    design = replace(POOL, **change)
    expected = s.power(design.sd, design.sets, design.seeds, 1.0, 0, math.inf, 0.95)
    assert row("as printed", **change)[s.SUPPORTED] == pytest.approx(expected, abs=0.015)
    no_effect = s.power(design.sd, design.sets, design.seeds, 0.0, -1, 1, 0.90)
    if design.sets == 1:  # else a twentieth of them "differs between sets"
        found = row("no effect", **change)
        assert found[s.NO_EFFECT] + found["by less than the margin"] == pytest.approx(no_effect, abs=0.015)


@pytest.mark.parametrize(
    ("effect", "supported", "no_effect"), [(0.0, 0.025, 0.87), (0.5, 0.41, 0.45), (1.0, 0.93, 0.03), (2.0, 1.0, 0.0)]
)
def test_the_rule_at_five_sets_and_six_seeds(effect, supported, no_effect):
    found = row(effect)
    assert (found[s.SUPPORTED], found[s.NO_EFFECT]) == pytest.approx((supported, no_effect), abs=0.015)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"sets": 1, "seeds": 4},
        {"sd": (0.3, 0.3, 0.3, 0.3, 5.0), "seeds": 4},
        {"noise_df": 3},
        {"parts": 3},
        {"more_seeds": 12, "sd": 2.0},
        {"kind": s.NON_INFERIORITY},
        {"kind": s.EQUIVALENCE, "printed": 0.0},
        {"kind": s.BOUNDS, "bounds": (0.5, 1.5), "sets": 2},
    ],
    ids=str,
)
def test_wrong_decisions_are_rarer_than_one_in_twenty(change):
    table = e.rates([replace(POOL, **change)], experiments=4000)
    assert e.beyond(table).empty
    assert table["wrong in general"].max() <= 0.05 or table["wrong in general"].isna().all()
    if change.get("kind", s.SUPERIORITY) == s.SUPERIORITY and "parts" not in change:
        assert table[["wrong no effect", "wrong smaller"]].max().max() <= 0.05


def test_one_part_without_effect_is_where_a_conjunction_errs_most():
    assert row("one part without effect", parts=3, printed=3.0)["wrong supported"] == pytest.approx(0.025, abs=0.005)
    assert row("no effect", parts=3)["wrong supported"] < 0.01


def test_the_ends_of_a_claim_are_where_it_errs_most():
    for end in ("low", "high"):
        found = row(f"at the {end} end of the claim", kind=s.EQUIVALENCE, sets=1, seeds=40)
        assert found["wrong supported"] == found[s.SUPPORTED] == pytest.approx(0.025, abs=0.005)
    assert row("at the low end of the claim", kind=s.NON_INFERIORITY)[s.SUPPORTED] == pytest.approx(0.025, abs=0.005)


def test_adding_seeds_until_decided_errs_more_than_by_precision():
    plan = {"sets": 1, "seeds": 4, "more_seeds": 40}
    peeking = row("no effect", adding=e.UNTIL_DECIDED, **plan)
    blind = row("no effect", se_limit=0.0, **plan)
    assert peeking["wrong supported"] > 0.037
    assert blind["wrong supported"] == pytest.approx(0.025, abs=0.005)
    assert (blind["seeds used"], row("no effect", se_limit=99.0, **plan)["seeds used"]) == (40, 4)
    assert 4 < peeking["seeds used"] < 40


def test_seeds_that_act_alike_on_all_data_sets_break_the_limit():
    assert row("no effect", set_correlation=0.3)["wrong supported"] > 0.07


def test_effects_that_differ_between_sets():
    found = row("sets differ by 1 margins around 0")
    assert found["claim_holds"] == pytest.approx(0.5, abs=0.02)
    assert found[s.SUPPORTED] > 0.1  # right about these data sets
    assert found["wrong supported"] < 0.02
    assert found["wrong in general"] == found["supported in general"] < 0.03
    assert math.isnan(row("as printed")["wrong in general"])


# --- Drawing


def test_draws_have_the_spread_and_correlations_of_the_design():
    design = replace(POOL, sets=2, sd=(1.0, 3.0), parts=2, part_correlation=0.5, set_correlation=0.2)
    effects, d = e.draw(design, Truth("t", (1.0, -2.0), 0.7), 20_000, np.random.default_rng(0))
    assert effects.mean((1, 2)) == pytest.approx([1, -2], abs=0.02)
    assert effects.std() == pytest.approx(math.sqrt(0.7**2 + 1.5**2), abs=0.02)
    noise = d - effects[..., None]
    assert noise.std((0, 1, 3)) == pytest.approx([1, 3], rel=0.02)

    def correlation(a, b):
        return np.corrcoef(a.ravel(), b.ravel())[0, 1]

    assert correlation(noise[0, :, 0], noise[1, :, 0]) == pytest.approx(0.5, abs=0.02)
    assert correlation(noise[0, :, 0], noise[0, :, 1]) == pytest.approx(0.2, abs=0.02)
    assert correlation(noise[0, :, 0, 0], noise[0, :, 0, 1]) == pytest.approx(0, abs=0.03)


def test_heavy_tails_keep_their_spread():
    design = replace(POOL, noise_df=5)
    _, d = e.draw(design, Truth("t", (0.0,)), 20_000, np.random.default_rng(0))
    assert d.std() == pytest.approx(1.5, rel=0.02)
    assert (np.abs(d) > 4 * 1.5).mean() > 1e-3  # 6e-5 of a normal


# --- Tables


@pytest.fixture(scope="module")
def table():
    others = [replace(POOL, claim="hopeless", printed=0.1), replace(POOL, claim="large", printed=3.0)]
    return e.rates([POOL, *others], experiments=2000)


def test_tables_are_the_same_every_time(table):
    again = e.rates([POOL], experiments=2000)
    pd.testing.assert_frame_equal(again, table[table["claim"] == "c"])
    assert not e.rates([POOL], experiments=2000, seed=1).equals(again)


def test_categories_are_all_there_is(table):
    assert table[list(s.CATEGORIES[1:])].sum(axis=1).to_numpy() == pytest.approx(1)
    assert list(table["truth"].unique()) == [t.name for t in e.truths(POOL)]


def test_claims_with_power(table):
    assert e.powered(table) == ["c", "large"]
    assert e.powered(table, 0.999) == ["large"]


def test_expected_wrong_verdicts_are_sums_over_claims(table):
    expected = e.expected_wrong(table)
    nothing = table[table["truth"] == "no effect"]
    assert expected.loc["no effect", "claims"] == 3
    assert expected.loc["no effect", "wrong supported"] == pytest.approx(nothing[s.SUPPORTED].sum())
    assert expected.loc["no effect", "wrong contradicted"] == 0
    tenth = table[table["truth"] == "a tenth as large"]
    assert expected.loc["a tenth as large", "wrong contradicted"] == pytest.approx(tenth[s.CONTRADICTED].sum())
    mixed = table[table["truth"] == "sets differ by 1 margins around 0"]
    wrong = (mixed["wrong supported"] * (1 - mixed["claim_holds"])).sum()
    assert expected.loc["sets differ by 1 margins around 0", "wrong supported"] == pytest.approx(wrong)


def test_rows_beyond_a_limit(table):
    assert e.beyond(table).empty
    assert set(e.beyond(table, 0.01)["truth"]) >= {"no effect"}


def test_the_command_simulates_every_claim_that_can_be_judged(tmp_path, monkeypatch):
    large = replace(POOL, claim="large", printed=3.0)
    monkeypatch.setattr(designs, "designs", lambda: [POOL, large])
    done = CliRunner().invoke(main, ["error-rates", "--experiments", "200", "--output", str(tmp_path / "rates.csv")])
    assert done.exit_code == 0, done.output
    assert "80% power for the printed size: c, large" in done.output
    written = pd.read_csv(tmp_path / "rates.csv")
    assert written[s.SUPPORTED].to_numpy() == pytest.approx(
        e.rates([POOL], 200)[s.SUPPORTED].to_numpy().tolist()
        + e.rates([POOL, large], 200)[s.SUPPORTED].to_numpy()[len(written) // 2 :].tolist(),
        abs=1e-4,
    )
    done = CliRunner().invoke(main, ["error-rates", "--output", "rates.xlsx"])
    assert "must end in .csv, got rates.xlsx" in done.output
    assert done.exit_code == 1


def test_every_claim_that_can_be_judged_has_a_design():
    found = {design.claim: design for design in designs.designs()}
    assert set(found) == {claim.id for claim in claims.claims().values() if claim.not_here is None}
    assert all(math.isfinite(design.printed) for design in found.values())
    assert found["amplify-10"].seeds == 100  # batches of one record
    assert found["batchmixup-7"].sets == 2  # sizes of one data set count once
    assert found["ssmix-1"].more_seeds == 12  # where the standard error asks for them
    assert found["amplify-10"].more_seeds is None


def test_nothing_is_smaller_than_a_size_that_is_not_printed():
    (design,) = (design for design in designs.designs() if design.claim == "amplify-15")
    assert not design.is_printed
    assert (e.rates([design], 200)["smaller than printed"] == 0).all()
    assert (e.rates([replace(design, is_printed=True)], 200)["smaller than printed"] > 0).any()
