"""The precision of a run: part of what it is, never the machine's choice, and never mixed in a comparison."""

from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from mixlib.__main__ import main
from mixlib.evidence import tables
from mixlib.papers import registry
from mixlib.papers.mixup_calibration import protocol as mixup_calibration
from mixlib.runs import draws, machine, metrics, models, paths, training
from mixlib.runs.spec import RunFailed, RunSpec
from mixlib.runs.store import Store
from mixlib.runs.training import execute
from tests import fabricate


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)


@pytest.mark.parametrize("instructions", [True, False])
@pytest.mark.parametrize("profile", ["smoke", "mini", "full"])
def test_a_cpu_never_chooses(monkeypatch, instructions, profile):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "bf16_is_fast", lambda: instructions)
    assert machine.default_precision(profile) == "fp32"


def test_a_gpu_takes_bf16_at_full_only(gpu):
    assert [machine.default_precision(profile) for profile in registry.PROFILES] == ["fp32", "fp32", "bf16"]


def test_the_variable_asks_for_another(monkeypatch):
    monkeypatch.setenv("MIXLIB_PRECISION", "bf16")
    assert {machine.default_precision(profile) for profile in registry.PROFILES} == {"bf16"}
    monkeypatch.setenv("MIXLIB_PRECISION", "fp8")
    with pytest.raises(ValueError, match="'fp8'; choose one of fp32, bf16"):
        machine.default_precision("mini")


def test_fp32_is_left_out_of_the_key(spec):
    assert "precision" not in spec.canonical()
    assert replace(spec, precision="bf16").key != spec.key
    with pytest.raises(ValueError, match="unknown precision 'fp16'"):
        replace(spec, precision="fp16")


def test_every_run_of_every_artefact_follows_the_variable(monkeypatch):
    monkeypatch.setenv("MIXLIB_PRECISION", "bf16")
    for artefact in registry.artefacts():
        for spec in registry.artefact_runs(artefact.id, "mini"):
            if isinstance(spec, RunSpec):
                assert spec.precision == "bf16", spec
            elif "run" in spec.params:
                assert spec.params["run"]["precision"] == "bf16", spec
            if first := getattr(spec, "first_stage", None):
                assert first.precision == "bf16"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_is_trained_and_evaluated_in_its_precision(spec, precision, monkeypatch, tmp_path):
    """On any machine: a CPU without instructions for bfloat16 emulates it."""
    monkeypatch.setattr(machine, "bf16_is_fast", lambda: precision == "fp32")  # what the machine likes has no say
    spec, store = replace(spec, precision=precision, keep_state=True), Store(tmp_path)
    record = execute(spec, store)
    assert record.precision == record.environment["precision"] == precision

    model, tokenizer = models.load("tiny", 6)
    store.load_state(spec, model)
    rows = draws.sample(spec.dataset, spec.seed, 32, 16, 32, synthetic_twin=True).test
    inputs = tokenizer(rows["text"].tolist(), padding=True, truncation=True, max_length=32, return_tensors="pt")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        logits = model.eval()(**inputs).logits.float()
    found = metrics.evaluate(logits, torch.tensor(rows["label"].tolist()))["nll"]
    assert found == pytest.approx(record.test["nll"], abs=1e-5 if precision == "fp32" else 2e-3)


def test_the_two_precisions_differ(spec):
    first, second = (execute(replace(spec, precision=precision)) for precision in ("fp32", "bf16"))
    assert first.train_losses != second.train_losses


def test_tf32_is_refused_in_words_where_no_gpu_has_it(spec, monkeypatch):
    monkeypatch.setattr(training, "is_torch_tf32_available", lambda: False)
    with pytest.raises(RunFailed, match=r"tf32 needs an NVIDIA GPU.*--precision fp32 makes the same run anywhere"):
        execute(replace(spec, precision="tf32"))


def test_a_record_says_what_it_was_made_on(spec):
    found = execute(spec).environment
    assert found["cpu"]
    assert found["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert found["threads"] == 1
    if (paths.ROOT / ".git").exists():
        assert len(found["commit"]) == 40
        assert isinstance(found["dirty"], bool)


def test_a_folder_without_git_says_nothing_of_it(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.paths, "ROOT", tmp_path)
    machine.git_state.cache_clear()
    assert machine.git_state() == {}
    machine.git_state.cache_clear()


def _mixed():
    specs = mixup_calibration.table5("mini", seeds=range(4))
    specs = [replace(spec, precision="bf16") if spec.seed == 3 else spec for spec in specs]
    return fabricate.records(specs, lambda spec: {})


def test_tables_refuse_to_pair_seeds_across_precisions():
    with pytest.raises(tables.MixedPrecision, match=r"bf16: sst2 \(64\).*seed 3.*fp32: sst2 \(64\).*seed 0"):
        tables.frame(_mixed())
    with pytest.raises(tables.MixedPrecision):
        tables.scale("mini", _mixed())


def test_a_table_may_show_data_sets_in_different_precisions():
    sst2 = mixup_calibration.table5("mini", seeds=range(2))
    imdb = [replace(spec, dataset="imdb", precision="tf32") for spec in sst2]
    records = fabricate.records([*sst2, *imdb], lambda spec: {})
    assert set(tables.frame(records)["dataset"]) == {"sst2", "imdb"}
    assert " in fp32 and " in tables.scale("mini", records)
    assert tables.source("mini", records).endswith(" in tf32")


def test_the_option_reaches_the_runs_and_ends_with_the_command(monkeypatch, store_folder):
    monkeypatch.setenv("MIXLIB_PRECISION", "")
    done = CliRunner().invoke(
        main, ["run", "calibration-table5", "--profile", "smoke", "--seeds", "0", "--limit", "1", "--precision", "bf16"]
    )
    assert done.exit_code == 0, done.output
    (path,) = store_folder.rglob("*.json")
    assert '"precision": "bf16"' in path.read_text()
    assert machine.default_precision("smoke") == "fp32"
