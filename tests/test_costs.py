from dataclasses import replace

import pytest

from mixlib import costs
from mixlib.protocols import mixup_calibration as protocol
from tests.fabricate import records


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
