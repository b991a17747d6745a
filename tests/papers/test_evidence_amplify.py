"""The AMPLIFY paper's claims: what it prints for them, and cases in which a part alone decides."""

import math
from dataclasses import replace

import pytest

from mixlib.evidence import claims, plan, statistics, verdicts
from mixlib.methods.mixing import mean_partner_share
from mixlib.papers.amplify import protocol
from tests.experiments import experiment

CLAIMS = {claim.id: claim for claim in claims.claims().values() if claim.paper == "amplify"}


@pytest.mark.parametrize(
    ("id_", "part", "size", "runs"),
    [
        ("amplify-1", 0, (-0.04 + 0.17 + 0.80 + 4.20 + 1.83) / 5, 15),
        ("amplify-1", 1, (-0.30 + 1.43 + 0.27 + 1.00 + 1.04) / 5, 15),
        ("amplify-1", 2, (-0.70 + 0.36 + 0.60 + 0.80) / 4, 12),
        ("amplify-1", 3, (-0.61 + 0.50 + 0.13 + 1.00) / 4, 12),
        ("amplify-2", 0, 1.83, 3),
        ("amplify-2", 1, 1.04, 3),
        ("amplify-2", 2, 4.20, 3),
        ("amplify-4", 0, 0.0, 1),
        ("amplify-4", 1, 0.6, 1),
        ("amplify-6", 0, 0.04, 3),
        ("amplify-11", 0, 53.77 - (52.78 + 53.03) / 2, 3),
        ("amplify-11", 1, 96.73 - (96.60 + 96.27) / 2, 3),
        ("amplify-12", 2, (97.00 - 96.73 + 53.41 - 53.03) / 2, 6),
    ],
)
def test_printed_sizes_are_those_of_the_papers_tables(id_, part, size, runs):
    said = CLAIMS[id_].parts[part].printed
    assert said.size == pytest.approx(size, abs=1e-6)
    assert said.runs == runs


def test_printed_errors_come_from_variances_divided_by_three_runs():
    on_mrpc = CLAIMS["amplify-2"].parts[0].printed
    assert on_mrpc.se == pytest.approx(math.sqrt((0.110 + 0.442) / 2))
    assert CLAIMS["amplify-4"].parts[1].printed.se is None  # Table 1 prints none


def test_printed_variances_are_shown_as_distances_of_seeds():
    plain, amplify = (0.605, 0.519, 0.240, 0.596), (0.041, 0.227, 0.187, 0.276)
    by_hand = sum(math.sqrt(1.5 * a) - math.sqrt(1.5 * b) for a, b in zip(plain, amplify, strict=True)) / 4
    assert CLAIMS["amplify-3"].parts[0].printed.size == pytest.approx(0.70 * by_hand)


def test_a_loss_as_large_without_padding_refutes_that_padding_is_the_reason():
    claim = CLAIMS["amplify-6"]
    records = experiment(claim)
    made, little = records.store.made, plan.get("amplify/sst2 by length")
    for label in little.labels:
        for seed in range(100, 106):
            much = made[plan.get("common/sst2").spec(label, seed)]
            spec = little.spec(label, seed)
            made[spec] = replace(much, spec=spec)
    made[spec] = replace(made[spec], evaluations=[e | {"test": e["test"] | {"accuracy": e["test"]["accuracy"] - 1e-3}}
                                                  for e in made[spec].evaluations])  # fmt: skip
    loses, because = verdicts.judge(claim, records).judgement.parts
    assert loses.category == statistics.SUPPORTED
    assert because.category == statistics.NO_EFFECT
    assert verdicts.judge(claim, records).judgement.category == statistics.NO_EFFECT


def test_losing_as_much_to_wrong_labels_from_a_higher_level_is_no_advantage():
    claim = CLAIMS["amplify-15"]
    records = experiment(claim)
    made, clean, noisy = records.store.made, plan.get("common/trec_coarse"), plan.get("amplify/trec_coarse 20% noise")
    for label in ("amplify", "embedmix", "sentencemix", "tmix"):
        for seed in range(100, 106):
            found = made[clean.spec(label, seed)]
            lost = 0.05 + 1e-3 * (-1) ** seed * (label == "amplify")
            test = found.last | {"accuracy": found.last["accuracy"] - lost}
            last = found.evaluations[-1] | {"test": test}
            made[noisy.spec(label, seed)] = replace(
                found, spec=noisy.spec(label, seed), evaluations=[*found.evaluations[:-1], last]
            )
    assert verdicts.judge(claim, records).judgement.category == statistics.NO_EFFECT


def test_a_rival_within_the_margin_leaves_amplify_among_the_best_but_not_supported():
    claim = CLAIMS["amplify-1"]
    records = experiment(claim)
    made = records.store.made
    for name in ("sst2", "sst5", "trec_coarse", "trec_fine"):
        for seed in range(100, 106):
            cell = plan.get(f"common/{name}")
            spec, best = cell.spec("tmix", seed), made[cell.spec("amplify", seed)]
            entry = best.evaluations[-1]
            same = entry["test"] | {"accuracy": entry["test"]["accuracy"] + 1e-3 * (-1) ** seed}
            made[spec] = replace(best, spec=spec, evaluations=[*best.evaluations[:-1], entry | {"test": same}])
    found = verdicts.judge(claim, records).judgement
    assert found.category == statistics.NO_EFFECT
    assert "AMPLIFY over TMix" in found.words
    assert "among the best" in found.words


def test_amplify_may_be_faster_than_a_plain_step_but_not_slower_by_a_fifth():
    claim = CLAIMS["amplify-10"]
    assert verdicts.judge(claim, experiment(claim)).judgement.category == statistics.SUPPORTED
    records = experiment(claim)
    for spec, found in records.store.made.items():
        seconds = found.values["seconds"]
        slow = seconds | {"amplify": [1.2 * taken for taken in seconds["none"]]}
        slow["amplify"][0] *= 1.01
        records.store.made[spec] = replace(found, values={"seconds": slow})
    assert verdicts.judge(claim, records).judgement.category == statistics.CONTRADICTED


def test_the_weights_that_claim_8_names_are_those_of_the_methods():
    alpha, n = protocol.METHODS["amplify"]["alpha"], protocol.METHODS["amplify"]["n"]
    assert f"{mean_partner_share(alpha, 'max_of_n', n):.2f}" == "0.04"
    assert f"{mean_partner_share(protocol.METHODS['tmix']['alpha'], 'folded'):.2f}" == "0.10"
    assert "0.04 with AMPLIFY, 0.10 with the others" in CLAIMS["amplify-8"].rule


@pytest.mark.parametrize(
    ("name", "of_pool"), [("amplify/sst5 blocks", "common/sst5"), ("amplify/trec_coarse draws", "common/trec_coarse")]
)
def test_single_blocks_are_compared_with_the_pools_runs(name, of_pool):
    for label in ("none", "amplify"):
        assert plan.get(name).spec(label, 100) == plan.get(of_pool).spec(label, 100)


@pytest.mark.parametrize(("id_", "reason"), [("amplify-5", "560,000 reviews"), ("amplify-7", "DistilBERT is not")])
def test_claims_that_need_what_is_not_here_say_so(id_, reason):
    found = verdicts.judge(CLAIMS[id_], experiment(CLAIMS[id_])).judgement
    assert found.category == statistics.NOT_JUDGEABLE
    assert reason in found.words


def test_missing_runs_on_pairs_leave_the_claim_about_them_without_a_verdict():
    claim = CLAIMS["amplify-2"]
    records = experiment(claim)
    del records.store.made[plan.get("amplify/mrpc").spec("amplify", 100)]
    found = verdicts.judge(claim, records).judgement
    assert found.category == statistics.NOT_JUDGEABLE
    assert "1 of 6 runs of amplify are missing" in found.words
