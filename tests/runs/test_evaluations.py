"""What is scored during a run and after it: curves, the last update, and the selected evaluation."""

from dataclasses import replace

import pytest
import torch

from mixlib.runs import draws, models
from mixlib.runs.check import check
from mixlib.runs.predictions import in_common
from mixlib.runs.records import DamagedRecord
from mixlib.runs.store import Store
from mixlib.runs.training import execute


@pytest.fixture
def long(spec):
    return replace(spec, num_train_epochs=4, dev_size=24, test_size=40)


def test_a_curve_scores_the_first_test_examples_and_the_end_scores_all(long):
    usual, curve = execute(long), execute(replace(long, curve_size=8))
    assert {i for i, entry in enumerate(curve.evaluations) if "test" in entry} == {curve.selected, 3}
    assert all("curve" in entry and "dev" in entry for entry in curve.evaluations)
    assert curve.last == usual.last
    assert curve.test == usual.test  # of the same selected evaluation, scored after training
    assert (curve.selected, curve.selected_on) == (usual.selected, "dev")
    assert curve.reliability == usual.reliability
    assert curve.train_losses == usual.train_losses
    assert [e["dev"] for e in curve.evaluations] == [e["dev"] for e in usual.evaluations]


def test_an_earlier_selected_evaluation_is_scored_with_its_own_weights(long):
    """Of a model that gets worse, so that an evaluation before the last is selected."""
    for seed in range(8):
        spec = replace(long, seed=seed, learning_rate=3e-2)
        usual = execute(spec)
        if usual.selected < len(usual.evaluations) - 1 and usual.test != usual.last:
            break
    curve = execute(replace(spec, curve_size=8))
    assert curve.selected == usual.selected
    assert curve.test == usual.test
    assert curve.last == usual.last
    assert curve.test != curve.last


def test_without_a_metric_the_last_counts_and_dev_is_scored_once(long):
    record = execute(replace(long, metric_for_best_model=None, curve_size=0))
    (entry,) = record.evaluations
    assert record.selected_on == "last"
    assert {"dev", "test"} <= entry.keys()
    assert record.test == record.last == execute(long).last
    curve = execute(replace(long, metric_for_best_model=None, curve_size=8))
    assert ["dev" in e for e in curve.evaluations] == [False, False, False, True]
    assert curve.last == record.last


def test_the_curve_is_of_the_first_rows_drawn(long):
    record = execute(replace(long, curve_size=40))
    assert record.evaluations[-1]["curve"] == record.evaluations[-1]["test"]


def test_kept_weights_are_those_of_the_selected_evaluation(long, tmp_path):
    store = Store(tmp_path)
    for seed in range(8):
        spec = replace(long, seed=seed, learning_rate=3e-2, curve_size=8, keep_state=True)
        record = execute(spec, store)
        if record.selected < len(record.evaluations) - 1:
            break
    assert record.selected < len(record.evaluations) - 1
    model, tokenizer = models.load("tiny", 6)
    store.load_state(spec, model)
    rows = draws.sample(spec.dataset, spec.seed, 32, 24, 40, synthetic_twin=True).test
    inputs = tokenizer(rows["text"].tolist(), padding=True, truncation=True, max_length=32, return_tensors="pt")
    with torch.inference_mode():
        predicted = model.eval()(**inputs).logits.argmax(1)
    right = (predicted == torch.tensor(rows["label"].tolist())).double().mean()
    assert float(right) == pytest.approx(record.test["accuracy"], abs=1e-6)


def test_an_epoch_cannot_be_selected_on_a_part_of_the_test_examples(spec):
    with pytest.raises(ValueError, match="needs all of them at every evaluation"):
        replace(spec, dev_size=0, curve_size=8)
    with pytest.raises(ValueError, match="early stopping needs"):
        replace(spec, metric_for_best_model=None, early_stopping_patience=2)


def test_what_the_model_said_of_each_example_is_kept_beside_the_record(long, tmp_path):
    store, spec = Store(tmp_path), replace(long, curve_size=8)
    record = execute(spec, store)
    store.put(record)
    read = store.get(spec)
    kept = store.predictions(read)
    assert set(kept.splits) == {"dev", "test"}
    for split in ("dev", "test"):
        found = kept.metrics(split)
        for name in ("accuracy", "nll", "brier"):
            assert found[name] == pytest.approx(record.evaluations[-1][split][name], abs=2e-3), name
    assert read.scaled == record.scaled == {k: round(v, 6) for k, v in kept.scaled_metrics().items()}
    assert check(tmp_path).faults == []


def test_rows_are_the_same_in_every_method_and_known_again_in_another_draw(long):
    first, second, other = (
        execute(replace(long, curve_size=0, metric_for_best_model=None, **how)).predictions
        for how in ({}, {"method": "none"}, {"seed": 4})
    )
    assert (first["test"].rows == second["test"].rows).all()
    common = in_common([first, other])
    assert 0 < len(common[0].labels) < 40
    assert (common[0].labels == common[1].labels).all()


def test_predictions_of_another_run_or_cut_short_are_found(long, tmp_path):
    store, spec = Store(tmp_path), replace(long, curve_size=8)
    for found in (spec, replace(spec, seed=4)):
        store.put(execute(found, store))
    path, other = (store.path(s).with_suffix(".npz") for s in (spec, replace(spec, seed=4)))
    content = path.read_bytes()
    path.write_bytes(other.read_bytes())
    with pytest.raises(DamagedRecord, match=r"its digest is .*; delete .*\.json to run it again"):
        store.predictions(store.get(spec))
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no predictions .*; delete .*\.json to run it again"):
        store.predictions(store.get(spec))
    one, two = (execute(found, store) for found in (spec, replace(spec, seed=4)))
    named = one.data | {"predictions": two.predictions.digest}
    store.put(replace(one, predictions=two.predictions, data=named))
    assert "that of its kept predictions" in check(tmp_path).faults[0][1]
    store.put(one)
    path.write_bytes(content[:-40])
    with pytest.raises(DamagedRecord, match="not kept predictions"):
        store.predictions(store.get(spec))
    assert len(check(tmp_path).faults) == 1
    path.unlink()
    assert "cannot be read" in check(tmp_path).faults[0][1]
