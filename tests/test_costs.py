from dataclasses import replace

import pytest

from mixlib import costs
from mixlib.protocols import batchmixup
from mixlib.protocols import mixup_calibration as protocol
from tests.fabricate import records
from tests.fabricate import study as fabricated_study


def test_a_cell_with_records_takes_their_median():
    specs = protocol.table2("mini")
    made = records(specs[:3], lambda s: {})
    estimate = costs.estimate(specs[3:6], made)
    assert estimate.seconds == pytest.approx(3 * 2.0)  # fabricated records took 2 s each
    assert estimate.basis == "records of this model"


def test_another_cell_of_the_same_model_scales_with_its_operations():
    specs = protocol.table2("mini")
    made = records(specs[:3], lambda s: {})
    twice = replace(specs[0], num_train_epochs=2 * specs[0].num_train_epochs)
    ratio = costs.flops(twice) / costs.flops(specs[0])
    assert ratio == pytest.approx(2)
    assert costs.estimate([twice], made).seconds == pytest.approx(2.0 * ratio)


def test_a_model_without_records_is_counted_in_gpu_time():
    spec = protocol.runs("full", "cola", False, ["none"])[0]
    estimate = costs.estimate([spec], [])
    tokens = 8551 * 5 * 128
    operations = (6 * tokens + 2 * 1043 * 5 * 128) * 85e6
    assert estimate.seconds == pytest.approx(costs.RUN_SECONDS + operations / costs.GPU_FLOPS)
    assert estimate.basis == "counted for one GPU"


def test_a_trial_costs_its_steps():
    spec = protocol.runs("full", "imdb", False, ["none"])[0]
    assert costs.flops(spec.trial(max_steps=2)) < costs.flops(spec) / 1000


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (600, "10 min"), (7200, "2.0 h")])
def test_times_are_readable(seconds, text):
    assert costs.as_text(seconds) == text


def test_several_updates_of_a_batch_cost_several_times_its_training():
    specs = {s.method: s for s in batchmixup.runs("full", "rte", "full", ["none", "none_long", "mixup", "batchmixup"])}
    evaluation = costs.flops(replace(specs["none"], max_steps=1)) / costs.flops(specs["none"])
    assert evaluation < 0.2
    ratio = costs.flops(specs["mixup"]) / costs.flops(specs["none"])
    assert 12 < ratio < 15
    assert costs.flops(specs["none_long"]) == costs.flops(specs["mixup"])
    assert costs.flops(specs["batchmixup"]) == costs.flops(specs["none"])


def test_training_examples_of_a_run():
    def rows(dataset, fraction, profile="full"):
        return costs.train_rows(batchmixup.runs(profile, dataset, fraction, ["none"])[0])

    assert rows("fewrel75_none", "full") == 80 * 400
    assert rows("fewrel75_none", "25%") == 80 * 100
    assert rows("rte", "full") == 2490
    assert rows("banking77", "50%") == pytest.approx(5001.5)
    assert rows("fewrel75_none", "1%", "mini") == 80


def test_a_study_takes_the_time_of_its_records_or_a_round_number():
    specs = batchmixup.epoch_time("mini")
    made = [fabricated_study(specs[0], {}, seconds=40.0)]
    assert costs.estimate(specs[1:3], made).seconds == pytest.approx(80.0)
    assert costs.estimate(specs[:1], []).seconds == costs.STUDY_SECONDS
