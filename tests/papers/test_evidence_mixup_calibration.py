"""The claims of the MixUp-calibration paper: printed sizes against numbers read by hand, and what hangs on the gate."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mixlib.evidence import statistics
from mixlib.evidence.verdicts import Records, judge
from mixlib.papers.mixup_calibration import claims as mixup_calibration
from tests.experiments import experiment, of_run

CLAIMS = {claim.id.rpartition("-")[2]: claim for claim in mixup_calibration.CLAIMS}


def sizes(number: str) -> list[float]:
    return [part.printed.size for part in CLAIMS[number].parts]


def test_printed_accuracies_are_means_of_tables_2_and_3():
    cls, few, many = (0.2 + 0.0 + 1.4 + 1.5) / 4, (1.4 + 2.6 + 4.1 + 1.5 + 1.0 + 0.4) / 6, (0.2 + 0.3 + 0.1) / 6
    assert sizes("1")[0] == pytest.approx(cls)
    assert sizes("1")[3] == pytest.approx(few - many)
    assert sizes("3")[0] == pytest.approx(cls)  # CoLA has no printed accuracy
    assert sizes("7")[0] == pytest.approx(((92.1 - 92.0) + (70.8 - 69.6) + (93.8 - 93.7) + (82.9 - 83.4)) / 4)


def test_printed_losses_are_log_ratios_and_calibration_errors_points():
    # data sets weigh as in the estimate: the two sizes of one together, RTE and BoolQ (for which QNLI stands) together
    pairs = (math.log(125 / 80) + math.log(170 / 89)) / 2, ((27.6 - 20.8) + (24.8 - 21.8)) / 2
    assert sizes("10") == pytest.approx([(math.log(56 / 48) + pairs[0]) / 2, ((11.5 - 9.7) + pairs[1]) / 2])
    content = ((6.8 - 4.4) + (8.9 - 3.4)) / 2 + ((4.1 - 3.0) + (6.2 - 4.8)) / 2
    assert sizes("4")[2] == pytest.approx((content + (10.1 - 9.0)) / 3)
    assert sizes("5") == pytest.approx([((7.7 - 3.4) + (5.0 - 4.8)) / 2])
    assert sizes("8") == pytest.approx([52.5 - 50.8, 52.5 - 51.0])


def test_printed_paddings_are_those_of_table_5():
    pair, longest = (80.22 + 82.00 + 81.20) / 3, (68.14 + 69.21 + 73.61) / 3
    assert sizes("12") == pytest.approx([pair - 78.38, pair - longest])
    assert sizes("13") == pytest.approx([82.00 - 81.20, 82.00 - 80.22])
    assert sizes("14") == pytest.approx([78.38 - 68.14, 78.38 - 69.21, 78.38 - 73.61])
    error = math.sqrt((1.2**2 + 1.4**2 + 1.0**2) / 9 + 3.2**2)
    assert CLAIMS["12"].parts[0].printed.se == pytest.approx(error)


def test_beating_the_longest_padding_alone_does_not_support_pairwise_padding():
    found = judge(CLAIMS["12"], experiment(CLAIMS["12"], wrong=["pairwise padding against none"])).judgement
    assert found.category == statistics.CONTRADICTED


def test_the_margin_of_calibration_errors_is_2_points_or_a_quarter_of_the_plain_models():
    claim = CLAIMS["5"]
    records = experiment(claim)
    assert judge(claim, records).judgement.margin == 2
    for spec, record in records.store.made.items():
        if spec.method == "none":
            test = record.evaluations[-1]["test"] | {"ece": 0.04}
            records.store.made[spec] = replace(record, evaluations=[{**record.evaluations[-1], "test": test}])
    assert judge(claim, Records(records.store, records.decided)).judgement.margin == pytest.approx(1)


@pytest.mark.parametrize("number", ["8", "15"])
def test_matthews_correlation_on_cola_is_judged_only_where_accuracy_is_alive(number):
    claim = CLAIMS[number]
    records = experiment(claim)
    screened = {"mixup_calibration/cola": {"accuracy": 0.69, "larger_class": 0.691, "mcc": 0.1}}
    records.decided = replace(records.decided, alive={"mixup_calibration/cola": ["loss"]}, screened=screened)
    found = judge(claim, records).judgement
    assert found.category == statistics.NOT_JUDGEABLE
    assert "does not beat the largest class" in found.words


def test_overfitting_needs_a_curve_that_rises_less():
    claim = CLAIMS["11"]
    found = judge(claim, experiment(claim, wrong=["less rise after the lowest loss"])).judgement
    assert found.category == statistics.CONTRADICTED
    assert [part.category for part in found.parts] == [statistics.SUPPORTED, statistics.CONTRADICTED]


@pytest.mark.parametrize(("number", "expected"), [
    ("2", statistics.SUPPORTED), ("3", statistics.SUPPORTED), ("4", statistics.SUPPORTED), ("5", statistics.SUPPORTED),
    ("7", statistics.SUPPORTED), ("8", statistics.CONTRADICTED), ("10", statistics.SUPPORTED),
    ("11", statistics.SUPPORTED), ("15", statistics.CONTRADICTED),
])  # fmt: skip
def test_methods_that_are_better_in_everything_are_seen_as_better(number, expected):
    """Sizes by method, whatever the terms of the claim are: no mixup, CLS, CLS in the last half, Input, Manifold."""
    better = ("none", "cls_mixup", "cls_mixup_late", "input_mixup", "manifold_mixup")
    records = experiment(CLAIMS[number])
    for spec in records.store.made:
        step, noise = better.index(spec.method), np.random.default_rng(int(spec.key, 16)).normal(0, 0.1, size=1)
        records.store.made[spec] = of_run(spec, {
            "accuracy": 60 + 4 * step + noise, "mcc": 40 + 4 * step + noise, "loss": -0.2 * step + noise / 10,
            "ece": 35 - 5 * step + noise, "rise": 1 - 0.2 * step + noise / 10,
        })  # fmt: skip
    assert judge(CLAIMS[number], records).judgement.label == expected
