import json

import pytest
from click.testing import CliRunner
from transformers import Trainer

from mixlib.__main__ import main
from mixlib.evidence.cells import RECIPE
from mixlib.papers import registry
from mixlib.runs import throughput
from mixlib.trainer import MixupTrainer


def test_a_sweep_is_timed_beside_one_run_after_the_other():
    asked = ["--runs", "4", "--time-limit", "300", "--profile", "smoke", "--tokens", "12,40", "--rounds", "2"]
    result = CliRunner().invoke(main, ["bench", "--sweep", *asked, "--json"])
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)
    assert (measured["runs"], measured["profile"]) == (4, "smoke")
    plain, other = measured["engines"]
    assert (plain["engine"], other["engine"]) == ("local cpus_per_run=1", "local time_limit=300.0")
    assert plain["ratio"] == 1
    assert other["ratio"] == pytest.approx(plain["seconds"] / other["seconds"], rel=0.01)
    for row in (plain, other):
        assert row["workers"] == 1
        assert 0 < row["train_seconds"] < row["seconds"] / 4
        assert row["beside_seconds"] == pytest.approx(row["seconds"] / 4 - row["train_seconds"], abs=0.01)
    assert [row["tokens"] for row in measured["trainer"]] == [12, 40]
    for row in measured["trainer"]:
        assert (row["model"], row["rounds"]) == ("tiny", 2)
        assert row["ratio"] > 0
        assert row["seconds"] > 0
        assert row["loss_difference"] <= 1e-6


def test_the_trainer_does_the_same_updates_and_scores_more(monkeypatch):
    scored = {"ours": 0, "theirs": 0}

    def counted(who, evaluation_loop):
        def count(trainer, loader, *args, **kwargs):
            scored[who] += len(loader.dataset)
            return evaluation_loop(trainer, loader, *args, **kwargs)

        return count

    monkeypatch.setattr(MixupTrainer, "evaluation_loop", counted("ours", MixupTrainer.evaluation_loop), raising=False)
    theirs = counted("theirs", Trainer.evaluation_loop)
    monkeypatch.setattr(throughput._SameNoise, "evaluation_loop", theirs, raising=False)
    (row,) = throughput.beside_trainer(RECIPE, [16], rounds=1, smoke=True)
    dev, curve, test, trial = 40, 32, 120, 1
    assert scored["theirs"] == (6 + trial) * (dev + test)
    once = (3 + trial) * (dev + curve) + (1 + trial) * test
    assert scored["ours"] in (once, once + test)  # the selected evaluation may be the last
    assert row["loss_difference"] <= 1e-6


def test_without_real_data_the_tiny_model_runs(monkeypatch, no_data):
    monkeypatch.setattr(throughput, "_beside_trainer", lambda spec, rounds: spec)
    (spec,) = throughput.beside_trainer(RECIPE, [16])
    assert (spec.model, spec.synthetic, spec.max_length, spec.precision) == ("tiny", True, 16, "fp32")
    monkeypatch.setenv("MIXLIB_PRECISION", "bf16")  # as --precision does
    assert throughput.beside_trainer(RECIPE, [16])[0].precision == "bf16"
    with pytest.raises(ValueError, match=r"at least 4 tokens are needed, got 3 and \[2\]"):
        throughput.beside_trainer(RECIPE, [2])


def test_the_grid_is_taken_from_all_artefacts():
    specs = [spec for a in registry.artefacts() for spec in registry.artefact_runs(a.id, "smoke")]
    grid = throughput._grid(specs, 40)
    assert len(set(grid)) == 40
    assert {spec.paper for spec in grid} == {"batchmixup", "mixup_calibration", "ssmix", "amplify", "common"}
    assert not any(spec.first_stage for spec in grid)
    with pytest.raises(ValueError, match="ask for 1 to"):
        throughput._grid(specs, 100_000)
