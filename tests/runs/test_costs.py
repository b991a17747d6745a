from dataclasses import replace

import pytest

from mixlib.papers.batchmixup import protocol as batchmixup
from mixlib.papers.mixup_calibration import protocol
from mixlib.runs import costs
from mixlib.runs.costs import Costs
from tests.fabricate import records
from tests.fabricate import study as fabricated_study


def flops(spec):
    return costs.work(spec).flops


def test_a_cell_with_records_takes_their_median():
    specs = protocol.table2("mini")
    made = records(specs[:3], lambda s: {})
    estimate = Costs(made, "test machine").estimate(specs[3:6])
    assert estimate.seconds == pytest.approx(3 * 2.0)  # fabricated records took 2 s each
    assert estimate.gpu_seconds == 0
    assert str(estimate) == "about 6 s by records of a test machine"


def test_another_cell_of_the_same_model_takes_what_records_needed_a_run_an_update_and_an_operation():
    base = protocol.table2("mini")[0]
    specs = [replace(base, num_train_epochs=e, batch_size=b, seed=1) for e in (4, 8, 20) for b in (8, 16, 32)]

    def seconds(spec):
        amount = costs.work(spec)
        return 2 + 0.03 * amount.updates + amount.flops / 40e9

    made = [replace(r, timing={**r.timing, "total_seconds": seconds(r.spec)}) for r in records(specs, lambda s: {})]
    new = replace(base, num_train_epochs=100, batch_size=16)
    assert Costs(made, "test machine").estimate([new]).seconds == pytest.approx(seconds(new), rel=1e-6)
    assert costs.relative(new) > 4 * costs.relative(specs[-1])


def test_records_of_a_users_own_method_are_no_obstacle_where_its_class_is_unknown():
    specs = protocol.table2("mini")[:3]
    made = records(specs, lambda s: {})
    own = replace(made[0], spec=replace(specs[0], method="Mine@0123456789abcdef", method_params={"factor": 0.5}))
    alone, both = (Costs(found, "test machine") for found in (made, [*made, own]))
    new = replace(specs[0], num_train_epochs=98)
    assert both.estimate([new]) == alone.estimate([new])
    assert both.estimate([own.spec]).seconds == pytest.approx(2.0)  # as its record took


def test_records_of_this_machine_come_before_those_of_others():
    specs = protocol.table2("mini")[:3]
    made = [
        replace(r, timing={**r.timing, "total_seconds": 50.0}, origin="8-core") for r in records(specs, lambda s: {})
    ]
    slow = [*made, replace(made[0], origin="2-core", timing={**made[0].timing, "total_seconds": 90.0})]
    assert Costs(slow, "2-core").estimate(specs[:1]).seconds == 90
    elsewhere = Costs(slow, "a new machine").estimate(specs[:1])
    assert (elsewhere.seconds, elsewhere.machine) == (50, "8-core")


def test_a_model_without_records_is_counted_in_gpu_time():
    spec = protocol.runs("cola", False, ["none"])[0]
    estimate = Costs([], "test machine").estimate([spec])
    tokens = 1.2 * (1.3 * (7.7 + 7.9) / 2 + 3)
    operations = 85e6 * tokens * (6 * 8551 * 5 + 2 * 1043 * 5)
    updates = 5 * -(-8551 // spec.batch_size)
    seconds = costs.RUN_SECONDS + updates * costs.GPU_UPDATE_SECONDS + operations / costs.GPU_FLOPS
    assert estimate.gpu_seconds == pytest.approx(seconds)
    assert estimate.seconds == 0
    assert str(estimate) == f"about {seconds / 3600:.2g} GPU-hours by counting"


def test_texts_are_as_long_as_their_words_or_as_max_length():
    def tokens(dataset, **fields):
        return costs.tokens(replace(protocol.runs("cola", False, ["none"])[0], dataset=dataset, **fields))

    assert tokens("cola") < 20
    assert tokens("imdb") == 128
    assert tokens("imdb", max_length=512) > 300
    assert tokens("yelp_polarity", max_length=256) == 256
    assert tokens("cola", head="mean") == 128


def test_a_trial_costs_its_steps():
    spec = protocol.runs("imdb", False, ["none"])[0]
    assert flops(spec.trial(max_steps=2)) < flops(spec) / 1000


def test_only_what_is_scored_during_training_counts_at_each_evaluation():
    """With a curve, only its rows; without a selection, no development rows."""
    spec = replace(protocol.runs("imdb", False, ["none"])[0], dev_size=500, test_size=1000, eval_epochs=1)
    rows = spec.num_train_epochs - 1  # evaluations before the last
    curve = replace(spec, curve_size=256)
    last = replace(curve, metric_for_best_model=None)
    a_row = costs.EVAL_FLOPS * costs.ENCODER_PARAMETERS[spec.model] * costs.tokens(spec)
    assert (flops(spec) - flops(curve)) / a_row == pytest.approx(rows * (1000 - 256))
    assert (flops(curve) - flops(last)) / a_row == pytest.approx(rows * 500)


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (600, "10 min"), (7200, "2.0 h")])
def test_times_are_readable(seconds, text):
    assert costs.as_text(seconds) == text


def test_several_updates_of_a_batch_cost_several_times_its_training():
    specs = {s.method: s for s in batchmixup.runs("full", "rte", "full", ["none", "none_long", "mixup", "batchmixup"])}
    evaluation = flops(replace(specs["none"], max_steps=1)) / flops(specs["none"])
    assert evaluation < 0.2
    ratio = flops(specs["mixup"]) / flops(specs["none"])
    assert 12 < ratio < 15
    assert flops(specs["none_long"]) == flops(specs["mixup"])
    assert flops(specs["batchmixup"]) == flops(specs["none"])


def test_training_examples_of_a_run():
    def rows(dataset, fraction, profile="full"):
        return costs.train_rows(batchmixup.runs(profile, dataset, fraction, ["none"])[0])

    assert rows("fewrel75_none", "full") == 80 * 400
    assert rows("fewrel75_none", "25%") == 80 * 100
    assert rows("rte", "full") == 2490
    assert rows("banking77", "50%") == pytest.approx(5001.5)
    assert rows("banking77", "1%", "mini") == 77  # at least one a class


def test_a_study_takes_the_time_of_its_records_or_a_round_number():
    specs = batchmixup.epoch_time("mini", seeds=range(3))
    made = [fabricated_study(specs[0], {}, seconds=40.0)]
    assert Costs(made, "test machine").estimate(specs[1:3]).seconds == pytest.approx(80.0)
    assert Costs([], "test machine").estimate(specs[:1]).gpu_seconds == costs.STUDY_SECONDS
