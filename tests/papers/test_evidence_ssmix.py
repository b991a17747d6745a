"""The SSMix paper's claims: what it prints for them, and cases in which a part alone decides."""

import math
from dataclasses import replace

import pytest

from mixlib.evidence import claims, plan, statistics, verdicts
from tests.experiments import experiment
from tests.fabricate import record

CLAIMS = {claim.id: claim for claim in claims.claims().values() if claim.paper == "ssmix"}


@pytest.mark.parametrize(
    ("id_", "part", "size", "runs"),
    [
        ("ssmix-1", 0, (0.14 + 0.52 + 3.56 + 0.26) / 4, 20),
        ("ssmix-2", 0, (0.07 + 0.16 + 0.20 + 0.11) / 4, 20),
        ("ssmix-2", 1, (0.07 + 0.08 + 0.08 + 0.14) / 4, 20),
        ("ssmix-3", 0, (93.12 - 93.03 + 97.48 - 97.48 + 269.0 / 3 - 90.10 + 274.28 / 3 - 91.415) / 4, 20),
        ("ssmix-5", 0, 3.56 - 0.52, 5),
        ("ssmix-6", 0, (0.16 + 0.20) / 2, 10),
        ("ssmix-7", 1, 91.54 - 91.40, 5),
        ("ssmix-8", 0, (-0.02 + 0.04 + 0.36 - 0.16) / 4, 20),
        ("ssmix-8", 1, (-0.02 + 0.16 + 0.68 + 0.25) / 4, 20),
        ("ssmix-9", 0, (0.00 + 0.12 + 0.32 + 0.41) / 4, 20),
        ("ssmix-10", 0, (93.12 - 93.10 + 97.48 - 97.44 + 269.0 / 3 - 89.24 + 274.28 / 3 - 91.45) / 4, 20),
        ("ssmix-11", 0, math.log(2), 1),
    ],
)
def test_printed_sizes_are_those_of_the_papers_tables(id_, part, size, runs):
    said = CLAIMS[id_].parts[part].printed
    assert said.size == pytest.approx(size, abs=1e-6)
    assert said.runs == runs


def test_printed_errors_come_from_variances_of_five_runs():
    embedmix, _ = CLAIMS["ssmix-7"].parts  # on QNLI: variances of 0.03 and 0.04
    assert embedmix.printed.se == pytest.approx(math.sqrt((0.03 + 0.04) / 4))
    assert CLAIMS["ssmix-10"].parts[0].printed.se is None  # Table B.1 prints none for UNK


def _faster(records, label, factor):
    """The same experiment with a method whose step takes ``factor`` times as long."""
    made = records.store.made
    for spec, found in made.items():
        seconds = found.values["seconds"]
        slower = seconds | {label: [factor * taken for taken in seconds[label]]}
        made[spec] = replace(found, values=found.values | {"seconds": slower})
    return records


def test_twice_the_time_is_neither_three_times_nor_one_and_a_half():
    claim = CLAIMS["ssmix-11"]
    for factor in (1.5, 0.75):  # of 1.96
        found = verdicts.judge(claim, _faster(experiment(claim), "ssmix_split", factor)).judgement
        assert found.category == statistics.CONTRADICTED
        assert "SSMix with a saliency pass against EmbedMix" in found.words


def test_slightly_longer_is_not_half_as_long_again():
    claim = CLAIMS["ssmix-12"]
    assert verdicts.judge(claim, experiment(claim)).judgement.category == statistics.SUPPORTED
    found = verdicts.judge(claim, _faster(experiment(claim), "tmix", 1.5)).judgement
    assert found.category == statistics.CONTRADICTED


def test_hidden_mixing_off_the_segment_contradicts_that_it_stays_there():
    claim = CLAIMS["ssmix-15"]
    found = verdicts.judge(claim, experiment(claim, wrong=["TMix on the segment"])).judgement
    assert found.category == statistics.CONTRADICTED
    assert "TMix on the segment" in found.words


def test_speed_is_read_from_the_curve_after_five_epochs():
    cell = plan.get("ssmix/trec_coarse from the start")
    made = record(cell.spec("ssmix", 100))
    evaluations = [
        {"epoch": e, "step": int(e), "curve": {"accuracy": e / 10}, "test": made.last} for e in (4.0, 5.0, 8.0)
    ]
    found = claims.MEASURES["accuracy after 5 epochs"].read(replace(made, evaluations=evaluations), "ssmix")
    assert found == pytest.approx(50.0)


def test_both_ways_of_claim_14_are_scored_after_five_epochs_and_train_equally_long():
    two, start = plan.get("ssmix/trec_coarse"), plan.get("ssmix/trec_coarse from the start")
    assert two.first["num_train_epochs"] == two.first["eval_epochs"] == 5
    assert start.recipe["eval_epochs"] == 1
    assert start.recipe["num_train_epochs"] == 5 + two.recipe["num_train_epochs"]
    assert {cell.recipe["curve_size"] for cell in (two, start)} == {256}


def test_a_dead_pair_set_leaves_the_claim_on_pairs_without_a_verdict():
    records = experiment(CLAIMS["ssmix-2"])
    screened = {"ssmix/qnli": {"accuracy": 0.51, "larger_class": 0.51, "mcc": 0.02}}
    records.decided = replace(
        records.decided, alive=records.decided.alive | {"ssmix/qnli": ["loss"]}, screened=screened
    )
    on_all = verdicts.judge(CLAIMS["ssmix-2"], records)
    assert on_all.judgement.category == statistics.SUPPORTED
    assert "QNLI" not in on_all.cells[0]
    on_pairs = verdicts.judge(CLAIMS["ssmix-7"], records).judgement
    assert on_pairs.category == statistics.NOT_JUDGEABLE
    assert "QNLI: the plain model does not beat the largest class (51.0% against 51.0%)" in on_pairs.words


def test_the_claim_about_large_sets_is_left_without_a_verdict():
    found = verdicts.judge(CLAIMS["ssmix-4"], experiment(CLAIMS["ssmix-4"])).judgement
    assert found.category == statistics.NOT_JUDGEABLE
    assert "10,000 rows" in found.words
