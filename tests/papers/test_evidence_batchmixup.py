"""The claims of the BatchMixup paper: printed sizes against numbers read by hand, and what the parts are about."""

import math

import numpy as np
import pytest

from mixlib.evidence import statistics
from mixlib.evidence.claims import MEASURES
from mixlib.evidence.printed import printed
from mixlib.evidence.verdicts import judge
from mixlib.papers.batchmixup import claims as batchmixup
from tests.experiments import experiment

CLAIMS = {claim.id.rpartition("-")[2]: claim for claim in batchmixup.CLAIMS}


def sizes(number: str) -> list[float]:
    return [part.printed.size for part in CLAIMS[number].parts]


def test_printed_gains_are_those_of_table_1_at_the_sizes_that_are_run():
    # BANKING77 at 1% and 25%: BatchMixup 55.21 and 87.71, none 42.21 and 80.95, mixup 50.21 and 84.95
    assert sizes("1")[:2] == pytest.approx([(13.00 + 6.76) / 2, (5.00 + 2.76) / 2])
    assert sizes("2") == pytest.approx([94.94 - 93.77])
    assert sizes("5") == pytest.approx([49.93 - 3.41, 55.29 - 3.41, 60.29 - 3.41])
    assert sizes("7") == pytest.approx([((52.21 - 50.21) + (85.44 - 84.95)) / 2])
    assert sizes("4") == pytest.approx([50.16 - 50.41, 50.16 - 51.74, 50.16 - 51.41, 50.16 - 51.46])


def test_the_papers_error_is_that_of_means_of_three_runs():
    (part,) = CLAIMS["2"].parts  # 93.77 +- 0.44 and 94.94 +- 0.20, standard deviations
    assert part.printed.se == pytest.approx(math.sqrt((0.44**2 + 0.20**2) / 3))
    assert 2 < part.printed.df < 4
    assert part.printed.runs == 3


def test_the_printed_trend_is_the_slope_of_the_gains_over_halvings():
    x, y = [0.0, math.log2(4 / 3), 1.0, 2.0, math.log2(100)], [1.17, 3.24, 5.02, 6.76, 13.00]
    mean_x, mean_y = sum(x) / 5, sum(y) / 5
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)
    assert sizes("3") == pytest.approx([slope])
    (part,) = CLAIMS["3"].parts
    # a gain that is one point larger at each halving from 30 rows a class on is a slope of 1
    gains = {"batchmixup/banking77-30": 0.0, "batchmixup/banking77-10": math.log2(3),
             "batchmixup/banking77-5": math.log2(6), "batchmixup/banking77-1": math.log2(30)}  # fmt: skip
    terms = part.units["BANKING77"]
    assert sum(t.weight * gains[t.cell] for t in terms if t.label == "batchmixup") == pytest.approx(1)
    assert sum(t.weight for t in terms) == pytest.approx(0)


def test_times_are_turned_as_claimed():
    assert [math.exp(size) for size in sizes("9")] == pytest.approx([20 / 1.5] * 2)
    slopes = judge(CLAIMS["10"], experiment(CLAIMS["10"])).judgement.parts
    assert [part.estimate for part in slopes] == pytest.approx([100, 0], abs=1)
    assert slopes[0].words.startswith("supported on this set: +")


def test_a_small_true_difference_of_the_toy_is_not_what_the_figure_shows():
    claim = CLAIMS["12"]
    found = judge(claim, experiment(claim, wrong=["without mixup the classes are not separated"])).judgement
    assert found.category == statistics.CONTRADICTED
    assert [part.category for part in found.parts] == [statistics.SUPPORTED, statistics.CONTRADICTED]


def test_a_row_that_is_not_printed_or_not_alone_is_refused():
    with pytest.raises(ValueError, match=r"one printed number in batchmixup_table1 with .*sst2.*, got 0"):
        printed("batchmixup_table1", [[(1.0, {"dataset": "sst2"})]], 3)
    with pytest.raises(ValueError, match="got 21"):
        printed("batchmixup_table1", [[(1.0, {"dataset": "rte"})]], 3)


def test_printed_spreads_become_standard_errors():
    std = printed("batchmixup_table1", [[(1.0, {"dataset": "rte", "train_size": "50%", "method": "mixup"})]], 3)
    assert (std.size, std.se, std.df) == (75.19, pytest.approx(6.07 / math.sqrt(3)), pytest.approx(2))
    variance = printed("amplify_table2", [[(1.0, {"dataset": "mrpc", "method": "none"})]], 3)
    # of three runs, divided by three
    assert (variance.size, variance.se) == (81.20, pytest.approx(math.sqrt(0.442 / 2)))
    where = {"dataset": "imdb", "train_size": "32", "method": "none", "metric": "loss"}
    stderr = printed("mixup_calibration_table2", [[(1.0, where)]], 5, log=True)
    assert (stderr.size, stderr.se) == (pytest.approx(math.log(180)), pytest.approx(19 / 180))


def test_every_measure_of_a_timed_step_reads_means_of_the_plain_turns():
    records = experiment(CLAIMS["9"])
    (spec,) = records.store.made
    made = records.store.made[spec]
    made.values["seconds"]["none"]["1"] = [1.0, 3.0] * spec.params["batches"]
    assert MEASURES["seconds"].read(made, "none") == pytest.approx([math.log(2)] * 100)


@pytest.mark.parametrize(("taken", "expected"), [
    ({"batchmixup": 1.0, "mixup": 15.0}, ("supported", "supported", "supported")),
    ({"batchmixup": 2.0, "mixup": 15.0}, ("contradicted", "contradicted", "contradicted")),
    ({"batchmixup": 1.0, "mixup": 5.0}, ("supported", "contradicted", "contradicted")),
])  # fmt: skip
def test_times_decide_the_claims_about_an_epoch(taken, expected):
    """Plain steps at n = 15, and in proportion below, whatever the terms of the claims are."""
    rng = np.random.default_rng(0)
    for number, category in zip(("8", "9", "10"), expected, strict=True):
        records = experiment(CLAIMS[number])
        (spec,) = records.store.made
        values = {"none": {"1": rng.normal(1, 0.01, 500).tolist()}}
        for method in ("batchmixup", "mixup", "nonlinear_mixup"):
            end = taken[method.removeprefix("nonlinear_")]
            per_n = (end - 1) / 14
            values[method] = {str(n): rng.normal(1 + per_n * (n - 1), 0.01, 100).tolist() for n in (1, 5, 15)}
        records.store.made[spec].values["seconds"] = values
        assert judge(CLAIMS[number], records).judgement.category == category, number
