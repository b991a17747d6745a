"""Cells and waves of the evidence, the gate, and the seeds that are read."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mixlib.evidence import gate, plan, tables
from mixlib.evidence.cells import FIRST, SCREENING_SEEDS, table_runs
from mixlib.papers import registry
from mixlib.papers.common import pool
from mixlib.runs import corpora, paths
from mixlib.runs.engines import run_all
from mixlib.runs.engines.sweep import NothingToRead
from mixlib.runs.store import Store
from tests import fabricate


@pytest.fixture
def decisions(tmp_path, monkeypatch):
    """No decision has been made yet."""
    path = tmp_path / "evidence.json"
    path.write_text('{"alive": {}, "screened": {}, "seeds": {}}')
    monkeypatch.setattr(paths, "EVIDENCE", path)
    plan.decided.cache_clear()
    yield path
    plan.decided.cache_clear()


def screen(store, name, accuracy, mcc, larger=0.5):
    for spec, luck in zip(gate.screening_runs(plan.get(name)), (-0.01, 0.01, 0.0, 0.0), strict=True):
        record = fabricate.record(spec, accuracy=accuracy + luck, mcc=mcc + luck)
        store.put(replace(record, data=record.data | {"larger_class": larger}))


def test_all_methods_of_a_cell_and_seed_share_everything_but_the_method():
    for name in ("common/sst2", "ssmix/sst2", "mixup_calibration/sst2-64"):
        cell = plan.get(name)
        of_seed = [spec for spec in cell.specs([100]) if spec.first_stage is not None or cell.first is None]
        assert len({replace(spec, method="none", method_params={}) for spec in of_seed}) == 1
    first, *rest = plan.get("ssmix/sst2").specs([101])
    assert first.keep_state
    assert {spec.first_stage for spec in rest} == {first}


def test_cells_of_one_recipe_share_runs():
    assert plan.get("batchmixup/banking77-10").spec("none", 100) == plan.get("common/banking77").spec("none", 100)
    shared = plan.get("amplify/trec_coarse draws").spec("amplify", 100)
    assert shared == plan.get("common/trec_coarse").spec("amplify", 100)


def test_waves_go_seed_by_seed_and_screening_has_seeds_of_no_table():
    seeds = [spec.seed for spec in plan.runs("pool")]
    assert seeds == sorted(seeds)
    assert set(seeds) == set(range(100, 106))
    assert {spec.seed for spec in plan.runs("screening")} == set(SCREENING_SEEDS)
    assert {spec.method for spec in plan.runs("screening")} == {"none"}
    screened = {spec for name in plan.WAVES for spec in plan.runs(name) if spec.seed in SCREENING_SEEDS}
    varied = plan.registered().sensitivity
    cells = [cell for cell in plan.cells().values() if cell.plain in cell.labels and cell not in varied]
    assert screened == {spec for cell in cells for spec in gate.screening_runs(cell)}
    assert set(plan.runs("evidence")) == {spec for name in plan.WAVES for spec in plan.runs(name)}
    read = plan.decided().read  # in the precision of the committed seeds, so that more seeds fit to them
    for name, seeds in (("common/sst2", 6), ("amplify/trec_coarse draws", 12), (pool.SENSITIVITY[0].name, 3)):
        assert {spec.seed for spec in plan.runs(name)} == set(range(100, 100 + seeds)), "as many as are planned"
    assert plan.runs("pool", seeds=[103]) == [spec for cell in pool.POOL for spec in read(cell).specs([103])]
    assert {spec.precision for spec in plan.runs("common/sst2", seeds=[107])} == {read(pool.POOL[0]).precision}


def test_unknown_cells_methods_and_profiles_are_named():
    with pytest.raises(ValueError, match="did you mean common/sst5, common/sst2"):
        plan.get("common/sst")
    with pytest.raises(ValueError, match="common/sst2 has no method 'mixip'; it has none, none_long"):
        plan.get("common/sst2").spec("mixip", 100)
    with pytest.raises(ValueError, match="no profile full"):
        plan.get("common/sst2").spec("none", 100, "full")
    assert registry.artefact_runs("pool", "full") == []
    assert registry.artefact_runs("pool", "mini") == plan.runs("pool")
    with pytest.raises(ValueError, match="did you mean screening"):
        registry.artefact_runs("screnning", "mini")


def test_a_cell_runs_at_smoke(tmp_path):
    store = Store(tmp_path)
    specs = plan.get("ssmix/trec_coarse").specs([100], [FIRST, "none", "ssmix"], "smoke")
    first, plain, _ = run_all(specs, store=store, progress=False)
    assert plain.data["first_stage"] == first.data["state"]
    assert plain.scaled["temperature"] > 0
    assert store.predictions(plain).metrics("test")["accuracy"] == pytest.approx(plain.last["accuracy"])


def test_the_gate_pools_the_spread_over_cells():
    rng = np.random.default_rng(0)
    dead = {f"dead {i}": rng.normal(0, 0.02, 4) for i in range(2000)}
    rate = np.mean([p < gate.ALPHA for p in gate.beats(dead).values()])
    assert rate == pytest.approx(0.05, abs=0.012)
    clear = gate.beats({"a": np.array([0.1, 0.12, 0.11, 0.09]), "b": np.array([-0.1, -0.12, -0.11, -0.09])})
    assert clear["a"] < 0.001 < 0.999 < clear["b"]
    with pytest.raises(ValueError, match="at least one cell with two seeds"):
        gate.beats({"a": np.array([0.1])})


def test_cells_that_share_their_screening_runs_count_once_in_the_spread(tmp_path):
    store = Store(tmp_path)
    names = ["common/ag_news", "common/sst2", "mixup_calibration/ag_news"]
    for name, accuracy in zip(names, (0.8, 0.7, 0.8), strict=True):
        screen(store, name, accuracy, 0.5)
    runs = {name: [store.get(spec) for spec in gate.screening_runs(plan.get(name))] for name in names}
    assert runs[names[0]] == runs[names[2]]
    noisy = [replace(r, evaluations=[r.evaluations[-1] | {"test": r.last | {"accuracy": a}}])
             for r, a in zip(runs[names[0]], (0.2, 0.9, 0.4, 0.9), strict=True)]  # fmt: skip
    runs |= {names[0]: noisy, names[2]: noisy}
    once = gate.screened({name: runs[name] for name in names[:2]})[1]["common/sst2"]
    assert gate.screened(runs)[1]["common/sst2"] == once


def test_what_is_decided_stays_decided(decisions, tmp_path):
    store, wave = Store(tmp_path / "store"), set(plan.runs("screening"))
    screened = [name for name, cell in plan.cells().items() if wave & set(gate.screening_runs(cell))]
    for name in screened:
        screen(store, name, 0.79, 0.6)
    screen(store, "common/qnli", 0.505, 0.001)
    screen(store, "mixup_calibration/cola", 0.69, 0.2, larger=0.691)
    last = gate.screening_runs(plan.get("common/sst5"))[-1]
    kept = store.path(last).read_text()
    store.path(last).unlink()
    with pytest.raises(ValueError, match=f"1 of {len(wave)} screening runs are missing"):
        gate.decide(store)
    store.path(last).write_text(kept)
    assert set(gate.decide(store)) == set(screened)
    both = ["accuracy", "loss"]
    others = {"common/qnli": [], "mixup_calibration/cola": ["loss"]}
    assert plan.decided().alive == {name: others.get(name, both) for name in screened}
    assert "50.5% against 50.0%" in plan.decided().why_dead("common/qnli", "accuracy")
    before = decisions.read_text()
    screen(store, "common/qnli", 0.8, 0.6)
    assert gate.decide(store) == []
    assert decisions.read_text() == before


def test_seeds_are_read_only_when_whole_and_without_a_gap(decisions, tmp_path):
    store, cell = Store(tmp_path / "store"), plan.get("mixup_calibration/imdb")
    for spec in [*cell.specs([100, 101, 102, 105]), *cell.specs([103, 104], ["none"])]:
        store.put(fabricate.record(spec))
    assert gate.raise_seeds(store) == {}  # three decide nothing
    for spec in cell.specs([103]):
        store.put(fabricate.record(spec))
    assert gate.raise_seeds(store) == {"mixup_calibration/imdb": [100, 101, 102, 103]}
    assert json.loads(decisions.read_text())["seeds"] == {"mixup_calibration/imdb": [100, 101, 102, 103]}
    assert gate.raise_seeds(store) == {}


def test_no_number_of_seeds_between_the_planned_one_and_all_is_read(decisions, tmp_path):
    store, cell, name = Store(tmp_path / "store"), plan.get("mixup_calibration/imdb"), "mixup_calibration/imdb"
    for spec in cell.specs(range(100, 109)):
        store.put(fabricate.record(spec))
    assert gate.raise_seeds(store) == {name: list(range(100, 106))}
    for spec in cell.specs(range(109, 112)):
        store.put(fabricate.record(spec))
    assert gate.raise_seeds(store) == {name: list(range(100, 112))}


def test_cells_at_other_learning_rates_are_read_at_three_seeds(decisions, tmp_path):
    store, cell = Store(tmp_path / "store"), pool.SENSITIVITY[0]
    for spec in cell.specs([100, 101, 102]):
        store.put(fabricate.record(spec))
    assert gate.raise_seeds(store) == {cell.name: [100, 101, 102]}


def test_a_cell_is_read_in_the_precision_of_most_whole_seeds(decisions, tmp_path):
    store, cell, name = Store(tmp_path / "store"), plan.get("mixup_calibration/imdb"), "mixup_calibration/imdb"
    for precision, seeds in {"fp32": [100, 101, 102, 105], "tf32": [100, 101, 102, 103]}.items():
        for spec in replace(cell, precision=precision).specs(seeds):
            store.put(fabricate.record(spec))
    assert gate.raise_seeds(store) == {name: [100, 101, 102, 103]}
    assert plan.decided().precision == {name: "tf32"}
    assert {spec.precision for spec in plan.decided().read(cell).specs([100])} == {"tf32"}
    for spec in replace(cell, precision="fp32").specs([103]):  # now as many: fp32, which every machine has
        store.put(fabricate.record(spec))
    store = Store(store.folder)
    assert gate.raise_seeds(store) == {name: [100, 101, 102, 103]}
    assert plan.decided().precision == {name: "fp32"}
    assert gate.raise_seeds(store) == {}


def test_cells_that_a_chapter_compares_change_their_precision_together(decisions, tmp_path):
    store, names = Store(tmp_path / "store"), ["common/sst2", "amplify/sst2 by length", "mixup_calibration/imdb"]
    pooled, by_length, alone = (plan.get(name) for name in names)

    def chapters():
        found = [plan.as_read(cell, "mini").specs(plan.decided().seeds[cell.name]) for cell in (pooled, by_length)]
        return [[*found[0], *found[1]], plan.as_read(alone, "mini").specs([100])]

    def run(precision, cells, count):
        for cell in cells:
            for spec in replace(cell, precision=precision).specs(range(100, 100 + count)):
                store.put(fabricate.record(spec))

    run("tf32", (pooled, by_length, alone), 6)
    assert set(gate.raise_seeds(store, chapters)) == set(names)
    run("fp32", (by_length, alone), 6)  # the chapter sets the pool's cell beside the one by length
    store = Store(store.folder)
    assert gate.raise_seeds(store, chapters) == {"mixup_calibration/imdb": list(range(100, 106))}
    assert plan.decided().precision == dict(zip(names, ("tf32", "tf32", "fp32"), strict=True))
    run("fp32", (pooled,), 6)
    assert set(gate.raise_seeds(Store(store.folder), chapters)) == set(names[:2])
    assert set(json.loads(decisions.read_text())["precision"].values()) == {"fp32"}


def test_every_data_set_has_a_name_for_readers():
    assert set(corpora.CORPORA) <= set(tables.NAMES)


def test_no_chapter_compares_runs_in_different_precisions():
    assert gate._mixed(registry.artefact_runs(id_, "mini") for id_ in registry.RECIPES) == set()


def test_a_table_reads_the_decided_seeds_in_their_precision(decisions, monkeypatch):
    few, pool_cell = plan.get("mixup_calibration/ag_news-32"), plan.get("common/ag_news")
    assert {spec.seed for spec in table_runs([few], "mini")} == set(
        range(100, 112)
    )  # nothing decided: what is to be run
    read = {"seeds": {"common/ag_news": [100, 101]}, "precision": {"common/ag_news": "tf32"}}
    decisions.write_text(json.dumps({"alive": {}, "screened": {}} | read))
    plan.decided.cache_clear()
    found = table_runs([pool_cell, few], "mini", ["none", "cls_mixup"])
    assert found == replace(pool_cell, precision="tf32").specs([100, 101], ["none", "cls_mixup"])
    own = table_runs([pool_cell, few], "mini", ["none"], seeds=[7])
    assert {(spec.seed, spec.precision) for spec in own} == {(7, "fp32")}
    some = table_runs([pool_cell], "mini", ["none"], seeds=[101])  # what is there is read, not made in fp32
    assert {(spec.seed, spec.precision) for spec in some} == {(101, "tf32")}
    more = table_runs([pool_cell], "mini", ["none"], seeds="100-102")  # one precision in a table
    assert {spec.precision for spec in more} == {"fp32"}
    assert {spec.num_train_epochs for spec in table_runs([few], "mini", ["none"], num_train_epochs=10)} == {10}
    assert all(spec.synthetic and spec.seed in (100, 101) for spec in table_runs([few], "smoke"))
    monkeypatch.setenv("MIXLIB_PRECISION", "fp32")
    assert {spec.precision for spec in table_runs([pool_cell], "mini")} == {"fp32"}
    assert plan.decided().read(pool_cell).precision == "fp32"  # so verdicts read what tables and `run` make


def test_no_batch_of_a_cell_has_a_single_row():
    """There is nothing to mix it with."""
    for cell in plan.cells().values():
        rows = cell.recipe.get("train_size") or (
            cell.recipe.get("train_per_class", 0) * (corpora.get(cell.dataset).num_labels if cell.dataset else 1)
        )
        assert rows % cell.recipe.get("batch_size", 16) != 1, cell.name


def test_with_the_committed_settings_nothing_is_trained(tmp_path, spec):
    assert registry.committed("mini", None, None)
    assert not any(registry.committed(*given) for given in (("smoke", None, None), ("mini", "tiny", None),
                                                             ("mini", None, [0])))  # fmt: skip
    with pytest.raises(NothingToRead, match=r"1 of 1 runs have no record in .*python -m mixlib run"):
        run_all([spec], store=Store(tmp_path), read_only=True)
    assert not list(tmp_path.rglob("*.json"))
