"""Runs that start from the best weights of another run, and the dropout leak."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from mixlib.runs import models
from mixlib.runs.engines import run_all
from mixlib.runs.records import DamagedRecord
from mixlib.runs.spec import RunRecord, RunSpec
from mixlib.runs.store import Store
from mixlib.runs.training import execute

FIRST = RunSpec(
    paper="ssmix", dataset="sst2", method="none", seed=1, model="tiny", train_size=48, dev_size=24, test_size=24,
    batch_size=16, synthetic=True, learning_rate=5e-3, num_train_epochs=3, max_length=32, keep_state=True,
)  # fmt: skip
SECOND = replace(
    FIRST, method="ssmix", learning_rate=1e-3, num_train_epochs=1, keep_state=False, first_stage=FIRST, eval_steps=1
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    torch.set_num_threads(1)
    store = Store(tmp_path_factory.mktemp("store"))
    return store, *run_all([FIRST, SECOND], store=store, progress=False)


def test_the_best_weights_are_kept_not_the_last(done):
    store, first, _ = done
    model, tokenizer = models.load("tiny", 2)
    assert store.load_state(FIRST, model) == first.data["state"]
    # as many right answers as the record says of its selected evaluation
    from mixlib.runs import draws, metrics

    test = draws.sample("sst2", 1, 48, 24, 24, synthetic_twin=True).test
    rows = tokenizer(test["text"].tolist(), padding=True, truncation=True, max_length=32, return_tensors="pt")
    with torch.inference_mode():
        logits = model.eval()(**rows).logits
    assert metrics.evaluate(logits, torch.tensor(test["label"].tolist()))["nll"] == pytest.approx(
        first.test["nll"], abs=1e-5
    )


def test_a_second_stage_starts_from_those_weights_and_says_so(done):
    _, first, second = done
    assert second.data["first_stage"] == first.data["state"]
    assert second.data["train"] == first.data["train"]
    # a learning rate of nothing leaves the first stage's model as it was
    still = execute(replace(SECOND, learning_rate=0.0), done[0])
    assert still.evaluations[0]["test"] == first.test


def test_the_first_stage_is_run_once_for_all_methods(done, monkeypatch):
    store, *_ = done
    before = store.state_path(FIRST).stat().st_mtime_ns
    other = execute(replace(SECOND, method="ssmix_nosal"), store)
    assert store.state_path(FIRST).stat().st_mtime_ns == before
    assert other.data["first_stage"] == done[1].data["state"]


def test_a_lost_first_stage_is_run_again_and_is_the_same(done, tmp_path):
    empty = Store(tmp_path)
    again = execute(SECOND, empty)
    assert again.evaluations == done[2].evaluations
    assert again.data == done[2].data
    assert empty.get(FIRST).evaluations == done[1].evaluations  # and its record is kept as well


def test_damaged_weights_are_named(done, tmp_path):
    store = Store(tmp_path)
    store.put(done[1])
    store.state_path(FIRST).write_bytes(done[0].state_path(FIRST).read_bytes()[:500])
    with pytest.raises(DamagedRecord, match=rf"{FIRST.key}\.safetensors.*delete it to run"):
        execute(SECOND, store)


def test_nothing_half_written_is_left(tmp_path):
    store = Store(tmp_path)

    class Unwritable(nn.Module):
        def state_dict(self, *args, **kwargs):
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.put_state(FIRST, Unwritable())
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_specs_of_two_stages_survive_json_and_share_a_cell(done):
    text = done[2].to_json()
    assert RunRecord.from_json(text) == done[2]
    assert json.loads(text)["spec"]["first_stage"]["keep_state"]
    other = replace(SECOND, seed=2, first_stage=replace(FIRST, seed=2))
    assert other.cell == SECOND.cell
    assert other.key != SECOND.key
    assert SECOND.trial(2).first_stage.max_steps == 2


def test_a_run_cannot_start_from_one_that_keeps_nothing():
    with pytest.raises(ValueError, match="keep_state=True"):
        replace(SECOND, first_stage=replace(FIRST, keep_state=False))


def test_evaluation_in_mid_epoch_every_so_many_updates(done):
    assert [e["step"] for e in done[2].evaluations] == [1, 2, 3]


LEAKY = replace(SECOND, eval_steps=1, dropout_leak=True)


def test_the_dropout_leak_changes_every_method_but_ssmix(done):
    store = done[0]
    for method, changes in (("none", True), ("unk", True), ("ssmix", False)):
        spec = replace(LEAKY, method=method, num_train_epochs=2)
        leaky, sound = execute(spec, store), execute(replace(spec, dropout_leak=False), store)
        assert (leaky.evaluations != sound.evaluations) is changes, method
        assert leaky.evaluations[0] == sound.evaluations[0]  # nothing has leaked before the first evaluation


def test_dropout_is_off_from_the_evaluation_to_the_end_of_the_epoch_only(monkeypatch):
    from mixlib.trainer import MixupTrainer

    modes = []
    step = MixupTrainer.training_step

    def watched(self, model, inputs, num_items_in_batch=None):
        result = step(self, model, inputs, num_items_in_batch)
        modes.append(model.training)
        return result

    monkeypatch.setattr(MixupTrainer, "training_step", watched)
    spec = replace(FIRST, keep_state=False, num_train_epochs=2, train_size=64, eval_steps=2)  # 4 updates an epoch
    execute(replace(spec, dropout_leak=True))
    assert modes == [True, True, False, False] * 2
    modes.clear()
    execute(spec)
    assert modes == [True] * 8
