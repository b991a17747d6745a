import json
import os
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mixlib.runs import corpora, models
from mixlib.runs import store as stores
from mixlib.runs.heads import MeanClassifier
from mixlib.runs.records import DamagedRecord
from mixlib.runs.spec import RunFailed, RunRecord, RunSpec
from mixlib.runs.store import Store
from mixlib.runs.training import execute, fit, loss_interval


@pytest.fixture(scope="module")
def finished():
    spec = RunSpec(
        paper="mixup_calibration", dataset="trec_coarse", method="manifold_mixup", seed=3, model="tiny", train_size=32,
        dev_size=16, test_size=32, synthetic=True, learning_rate=5e-3, num_train_epochs=2, max_length=32,
    )  # fmt: skip
    torch.set_num_threads(1)
    return execute(spec)


def test_a_record_has_every_evaluation_of_every_split(finished):
    assert [e["epoch"] for e in finished.evaluations] == [1, 2]
    for evaluation in finished.evaluations:
        for split in ("dev", "test"):
            assert set(evaluation[split]) == {"accuracy", "mcc", "nll", "ece", "ece_mass", "brier"}
        assert evaluation["train_loss"] > 0
    scores = [e["dev"]["accuracy"] for e in finished.evaluations]
    assert finished.selected == scores.index(max(scores))
    assert finished.selected_on == "dev"
    assert sum(finished.reliability["rows"]) == 32
    assert finished.reliability["rows"] != [0] * 15
    assert finished.timing["steps"] == 4
    assert set(finished.data) == {"source", "train", "dev", "test", "train_rows", "larger_class", "model"}
    assert {"torch", "transformers", "device", "threads", "precision", "code"} <= set(finished.environment)


def test_same_seed_same_machine_same_metrics(finished):
    again = execute(finished.spec)
    assert again.evaluations == finished.evaluations
    assert again.reliability == finished.reliability
    assert again.data == finished.data


def test_another_seed_gives_other_metrics(finished):
    assert execute(replace(finished.spec, seed=4)).evaluations != finished.evaluations


def test_records_survive_json(finished):
    assert RunRecord.from_json(finished.to_json()) == finished


def test_whole_numbers_make_the_same_run_as_decimals(spec):
    whole, decimal = (replace(spec, weight_decay=number, learning_rate=1e-3) for number in (0, 0.0))
    assert (whole, whole.key, hash(whole)) == (decimal, decimal.key, hash(decimal))


def test_the_key_is_stable_and_ignores_defaults():
    spec = RunSpec(paper="p", dataset="rte", method="none", seed=0, model="tiny")
    assert spec.key == RunSpec(paper="p", dataset="rte", method="none", seed=0, model="tiny", max_length=128).key
    assert spec.key == "6ad68da933fcc06c"  # records on disk are found by it: it must never change
    assert len({spec.key, replace(spec, seed=1).key, replace(spec, method_params={"alpha": 1.0}).key}) == 3
    assert RunSpec.from_canonical(spec.canonical()) == spec


def test_numbers_of_numpy_make_the_same_run(spec):
    given = replace(spec, seed=np.int64(3), learning_rate=np.float64(2e-5), method_params={"alpha": np.float64(0.5)},
                    train_size=np.int32(48))  # fmt: skip
    plain = replace(spec, seed=3, learning_rate=2e-5, method_params={"alpha": 0.5}, train_size=48)
    assert (given, given.key) == (plain, plain.key)
    assert [type(x) for x in (given.seed, given.learning_rate, given.train_size)] == [int, float, int]


def test_a_trial_has_no_development_examples_where_training_leaves_none(finished):
    whole = replace(finished.spec, dataset="trec_coarse", train_size=None, dev_size=None, test_size=20)
    assert whole.trial(max_steps=1).dev_size is None
    assert execute(whole.trial(max_steps=1)).selected_on == "test"
    assert replace(whole, train_size=64).trial(max_steps=1).dev_size == 128
    assert replace(whole, dataset="sst2").trial(max_steps=1).dev_size == 128  # a split of its own


def test_without_development_examples_the_test_split_selects(finished):
    record = execute(replace(finished.spec, dev_size=0))
    assert record.selected_on == "test"
    assert set(record.evaluations[0]) == {"epoch", "step", "test", "train_loss"}


def test_max_steps_is_a_run_of_its_own(finished):
    trial = finished.spec.trial(max_steps=1, rows=20)
    assert (trial.dev_size, trial.test_size) == (16, 20)
    record = execute(trial)
    assert record.timing["steps"] == 1
    assert trial.key != finished.spec.key


def test_eval_epochs_must_divide_the_epochs(finished):
    with pytest.raises(ValueError, match="eval_epochs=3 must divide num_train_epochs=2"):
        replace(finished.spec, eval_epochs=3)


def test_nan_loss_is_no_result(finished):
    with pytest.raises(RunFailed, match=r"became (nan|NaN|inf)"):
        execute(replace(finished.spec, learning_rate=1e30))


def test_store_keeps_and_finds_records(tmp_path, finished):
    store = Store(tmp_path)
    assert store.get(finished.spec) is None
    assert store.missing([finished.spec, finished.spec]) == [finished.spec]
    path = store.put(finished)
    assert path.parent.parent == tmp_path / "synthetic"  # never among real results
    assert store.get(finished.spec) == finished
    assert store.missing([finished.spec]) == []
    assert not list(tmp_path.rglob("*.tmp"))


def test_damaged_records_are_named_and_left_out(tmp_path, finished):
    store = Store(tmp_path)
    path = store.put(finished)
    whole = path.read_text()
    values = json.loads(whole)
    values["spec"]["learning_rate"] = 1.0
    for broken in (whole[: len(whole) // 2], "", "[]", "{}", json.dumps(values)):
        path.write_text(broken)
        with pytest.raises(DamagedRecord, match=f"{path.name}.*running it again replaces it"):
            store.get(finished.spec)
        assert store.missing([finished.spec]) == [finished.spec]
        records, left_out = store.scan()
        assert records == []
        assert list(left_out) == [path]
    path.write_text(whole)
    other = replace(finished.spec, seed=9)
    os.rename(path, store.path(other))
    with pytest.raises(DamagedRecord, match="holds the run"):
        store.get(other)


def test_a_failed_write_leaves_nothing_behind(tmp_path, finished, monkeypatch):
    store = Store(tmp_path)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stores.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.put(finished)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_the_committed_records_are_of_real_data(committed):
    """That all are usable is in test_check."""
    assert len(committed) > 2000
    for record in committed:
        assert record.origin
        assert not record.spec.synthetic
        if isinstance(record, RunRecord):
            assert record.data["source"] != "synthetic twin"
            assert record.spec.model != "tiny"
            assert record.spec.max_steps is None


def test_the_settings_of_a_run_reach_the_trainer_and_the_model(spec):
    """All of them unusual, so that none is met by chance."""
    unusual = {
        "seed": 4, "num_train_epochs": 3, "learning_rate": 3e-4, "weight_decay": 0.07, "lr_scheduler_type": "cosine",
        "max_grad_norm": 0.6, "max_steps": 1,
    }  # fmt: skip
    more = {"batch_size": 5, "group_by_length": True, "dropout": 0.35, "dropout_leak": True}
    trainer = fit(replace(spec, **unusual, **more)).trainer
    assert {name: getattr(trainer.args, name) for name in unusual} == unusual
    assert trainer.args.per_device_train_batch_size == 5
    assert trainer.args.train_sampling_strategy == "group_by_length"
    assert trainer.dropout_leak
    model = trainer.model
    assert (model.config.hidden_dropout_prob, model.config.attention_probs_dropout_prob) == (0.35, 0.35)
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.35}


def test_the_published_schedule_swings_between_the_full_rate_and_nothing(finished):
    """64 rows in batches of 16 and 2 epochs: a cosine of 4 // 2 = 2 updates, continued for all 8."""
    spec = replace(
        finished.spec, method="none", schedule="published", train_size=64, batch_size=16, learning_rate=1e-3,
        warmup_ratio=0.1,
    )  # fmt: skip
    rates = [log["learning_rate"] for log in fit(spec).trainer.state.log_history if "learning_rate" in log]
    assert rates == pytest.approx([1e-3, 5e-4, 0, 5e-4] * 2, abs=1e-9)
    stated = [log["learning_rate"] for log in fit(replace(spec, schedule="stated")).trainer.state.log_history
              if "learning_rate" in log]  # fmt: skip
    assert stated[1:] == sorted(stated[1:], reverse=True)  # after one update of warmup
    with pytest.raises(ValueError, match="unknown schedule 'swing'; choose one of stated, published"):
        replace(spec, schedule="swing")


def test_warmup_is_a_share_of_the_whole_training(finished):
    """8 updates in 4 epochs: the rate rises for half of them, and falls to nothing after the last."""
    spec = replace(finished.spec, method="none", num_train_epochs=4, learning_rate=1e-3, warmup_ratio=0.5)
    rates = [log["learning_rate"] for log in fit(spec).trainer.state.log_history if "learning_rate" in log]
    assert rates == pytest.approx([0, 0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 0.75e-3, 0.5e-3, 0.25e-3], abs=1e-9)


def test_heads_are_drawn_by_the_seed(finished):
    """A learning rate of nothing leaves them as they were drawn."""
    spec = replace(finished.spec, method="none", max_steps=1, learning_rate=0.0)
    heads = [fit(replace(spec, seed=seed)).trainer.model.classifier.weight for seed in (3, 4, 3)]
    assert torch.equal(heads[0], heads[2])
    assert not torch.allclose(heads[0], heads[1], atol=0.01)


@pytest.fixture
def opposite(tmp_path, monkeypatch):
    """A data folder in which the test labels are the opposite of the others: what learning gains on dev it loses on
    test."""
    words = (("ba", "abba", "baba", "bab"), ("xo", "oxo", "xoxo", "oxox"))
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "sst2").mkdir(parents=True)
    for split, flip in (("train", 0), ("validation", 0), ("test", 1)):
        rows = [(f"{words[i % 2][i // 2 % 4]} {split[i % 4]}{i}", (i + flip) % 2) for i in range(64)]
        pd.DataFrame(rows, columns=["text", "label"]).to_parquet(tmp_path / "data" / "sst2" / f"{split}.parquet")


def test_the_evaluation_is_selected_on_dev_and_its_weights_are_kept(tmp_path, opposite):
    spec = RunSpec(
        paper="ssmix", dataset="sst2", method="none", seed=0, model="tiny", learning_rate=5e-3, num_train_epochs=6,
        eval_steps=4, max_length=32, keep_state=True,
    )  # fmt: skip
    store = Store(tmp_path / "store")
    record = execute(spec, store)
    on_dev, on_test = ([e[split]["accuracy"] for e in record.evaluations] for split in ("dev", "test"))
    assert max(on_dev) > 0.95
    assert on_test.index(max(on_test)) != on_dev.index(max(on_dev))
    assert record.selected == on_dev.index(max(on_dev))
    assert record.test["accuracy"] == on_test[record.selected] < 0.2
    model, tokenizer = models.load("tiny", 2)
    store.load_state(spec, model)
    test = corpora.load_split("sst2", "test").rows
    encoded = tokenizer(test["text"].tolist(), padding=True, return_tensors="pt")
    with torch.inference_mode():
        answers = model.eval()(**encoded).logits.argmax(1)
    assert (answers == torch.tensor(test["label"].tolist())).float().mean() < 0.2


def test_the_training_loss_of_each_update_is_kept(finished):
    assert len(finished.train_losses) == 4
    means = [sum(finished.train_losses[i : i + 2]) / 2 for i in (0, 2)]
    assert [e["train_loss"] for e in finished.evaluations] == pytest.approx(means, abs=2e-6)


@pytest.mark.parametrize(("steps", "every", "interval"), [(4, 2, 1), (400, 100, 1), (12075, 12075, 35), (800, 7, 7)])
def test_of_long_runs_means_of_several_losses_are_kept(steps, every, interval):
    assert loss_interval(steps, every) == interval
    assert every % interval == 0


def test_early_stopping_looks_at_the_development_rows(finished):
    spec = replace(finished.spec, learning_rate=1e-9, num_train_epochs=8, early_stopping_patience=2)
    record = execute(spec)
    assert len(record.evaluations) == 3  # the first, and two that are no better
    assert record.selected == 0


def test_label_noise_is_in_the_training_labels_alone(finished):
    clean, noisy = execute(replace(finished.spec, max_steps=1)), execute(
        replace(finished.spec, max_steps=1, label_noise=0.25)
    )  # fmt: skip
    assert noisy.data["labels_changed"] == 8
    assert "labels_changed" not in clean.data
    assert noisy.data["test"] == clean.data["test"]
    assert noisy.train_losses != clean.train_losses


def test_heads_of_the_published_code(finished):
    """The mean head pads every row to max_length, the baselines' head has no token types."""
    spec = replace(finished.spec, dataset="mrpc", max_steps=1, head="published")
    mean = fit(replace(spec, method="amplify")).trainer
    batch = next(iter(mean.get_train_dataloader()))
    assert isinstance(mean.model, MeanClassifier)
    assert batch["input_ids"].shape[1] == spec.max_length
    assert "token_type_ids" in batch
    pooled = fit(replace(spec, method="embedmix")).trainer
    assert "token_type_ids" not in next(iter(pooled.get_train_dataloader()))
    assert "token_type_ids" in next(iter(fit(replace(spec, method="none", head="own")).trainer.get_train_dataloader()))


def test_a_run_does_not_depend_on_those_before_it_in_the_process(spec):
    """Runs share pretrained weights, tokenizer and encoded texts."""
    models._pretrained.cache_clear()
    alone = execute(spec)
    others = [replace(spec, max_length=8), replace(spec, seed=9), replace(spec, dropout=0.5, method="ssmix")]
    after = [execute(other) for other in others]
    assert execute(spec).evaluations == alone.evaluations
    models._pretrained.cache_clear()
    assert execute(others[0]).evaluations == after[0].evaluations


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train_size", -5, "train_size must be a whole number from 1 on, got -5"),
        ("test_size", 0, "test_size must be a whole number from 1 on, got 0"),
        ("test_size", 1.5, "test_size must be a whole number from 1 on, got 1.5"),
        ("dev_size", -1, "dev_size must be a whole number from 0 on, got -1"),
        ("train_fraction", 0, "train_fraction must be a number above 0, at most 1, got 0"),
        ("max_length", 2, "max_length must be a whole number from 3 on, got 2"),
        ("batch_size", 0, "batch_size must be a whole number from 1 on, got 0"),
        ("batch_size", True, "batch_size must be a whole number from 1 on, got True"),
        ("num_train_epochs", 0, "num_train_epochs must be a whole number from 1 on, got 0"),
        ("num_train_epochs", None, "num_train_epochs must be a whole number from 1 on, got None"),
        ("eval_epochs", 0, "eval_epochs must be a whole number from 1 on, got 0"),
        ("eval_steps", 0, "eval_steps must be a whole number from 1 on, got 0"),
        ("warmup_ratio", 5, "warmup_ratio must be a number from 0 on, at most 1, got 5"),
        ("learning_rate", float("nan"), "learning_rate must be a number from 0 on, got nan"),
        ("learning_rate", "2e-5", "learning_rate must be a number from 0 on, got '2e-5'"),
        ("dropout", 1, "dropout must be a number from 0 on, below 1, got 1"),
        ("label_noise", 1.0, "label_noise must be a number from 0 on, below 1, got 1.0"),
        ("seed", -1, "seed must be a whole number from 0 on, at most 4,294,967,295, got -1"),
        ("seed", "0", "seed must be a whole number from 0 on, at most 4,294,967,295, got '0'"),
        ("seed", 2**32, "seed must be a whole number from 0 on, at most 4,294,967,295, got 4294967296"),
        ("seed", np.float64(3), "seed must be a whole number from 0 on, at most 4,294,967,295, got np.float64(3.0)"),
        ("method_params", {"alpha": {1}}, "method_params can hold only numbers, strings, booleans, None"),
        ("metric_for_best_model", "f1", "metric_for_best_model is 'f1'; choose one of 'accuracy', 'mcc', None"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(spec, field, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(spec, **{field: value})
