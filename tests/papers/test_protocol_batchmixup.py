from dataclasses import replace

import pytest

from mixlib import methods
from mixlib.evidence import published
from mixlib.papers import registry
from mixlib.papers.batchmixup import protocol
from mixlib.papers.common import pool
from mixlib.runs import corpora
from mixlib.runs.training import execute

SAID = published.hyperparameters("batchmixup").set_index("name")["value"]


def test_batchmixup_full_is_all_that_the_paper_states():
    specs = protocol.table1("full")
    assert {s.model for s in specs} == {SAID["model"].iloc[0]} == {"roberta-large"}
    assert len({s.seed for s in specs}) == int(SAID["seeds"])
    shares = [float(part.rstrip("%")) / 100 for part in SAID["train_fractions"].split(", ")]
    assert list(protocol.FRACTIONS.values()) == shares
    assert {s.train_fraction for s in specs} == set(shares)
    assert corpora.get("fewrel75_none").num_labels == 76
    assert SAID["classes"] == "75 relations + None"
    assert protocol.TIMED_N[-1] == int(SAID["n_mixed_points"].split()[0])
    for spec in protocol.figure1("full"):
        if spec.study == "toy":
            assert spec.params["epochs"] == int(SAID["epochs"].iloc[-1]) == 100
            assert f"{spec.params['shots']} per class" == SAID["train_size"]
    for dataset in protocol.DATASETS:
        heads = {s.head for s in specs if s.dataset == dataset}
        assert heads == {"entities" if dataset.startswith("fewrel") else "tanh"}


def test_batchmixup_takes_what_the_paper_leaves_open_from_its_authors_code_or_marks_it_as_ours():
    open_ = set(SAID[SAID == "not stated"].index)
    assert {"alpha", "optimizer", "learning_rate", "schedule", "warmup", "weight_decay", "batch_size", "epochs",
            "max_length", "checkpoint_selection", "evaluation split"} <= open_  # fmt: skip
    taken = {name for settings in protocol.CODE.values() for name in settings} | set(protocol.CODE_TRAINING)
    assert taken == {"learning_rate", "batch_size", "num_train_epochs", "max_length", "train_per_class",
                     "lr_scheduler_type", "warmup_ratio", "weight_decay"}  # fmt: skip
    by_set = {s.dataset: s for s in protocol.table1("full") if s.method == "none"}
    rte, few = by_set["rte"], by_set["fewrel75_none"]
    assert (rte.learning_rate, rte.batch_size, rte.max_length, rte.lr_scheduler_type) == (1e-6, 5, 128, "constant")
    assert (few.learning_rate, few.batch_size, few.max_length, few.num_train_epochs) == (1e-5, 32, 64, 8)
    assert (few.train_per_class, few.weight_decay, few.warmup_ratio) == (400, 0.01, 0)
    params = {(s.dataset, s.method): s.method_params for s in protocol.table1("full")}
    assert params["rte", "mixup"] == {"alpha": 0.4, "n": 15}
    assert params["rte", "none_long"] == {"updates": 15}
    assert params["rte", "batchmixup"] == {"alpha": 1.0, "n": 400, **protocol.CHOICES}
    assert params["banking77", "batchmixup"] == {"alpha": 1.0, "n_per_row": 75, **protocol.CHOICES}


@pytest.mark.parametrize("profile", registry.PROFILES)
def test_batchmixup_methods_of_a_cell_get_the_same_settings_and_seeds(profile):
    cells = {}
    for spec in protocol.table1(profile):
        settings = replace(spec, method="none", method_params={}, seed=0)
        # runs of BANKING77 are the pool's where it has them, and of the same settings
        cells.setdefault((spec.dataset, protocol.size_label(spec)), {}).setdefault(spec.method, set()).add(
            (settings, spec.seed)
        )
    fewer = {
        ("rte", "1%"): set(protocol.VARIANTS),  # at chance: no control is needed
        ("banking77", "full"): {"none", "batchmixup"},  # of the two that its claim compares
    }
    for cell, by_method in cells.items():
        everything = {*protocol.VARIANTS, "none_long"}
        assert set(by_method) == (fewer.get(cell, everything) if profile == "mini" else everything)
        assert len({frozenset(v) for v in by_method.values()}) == 1


def test_batchmixup_table_1_has_the_papers_cells_at_full_and_the_evidences_below():
    printed = published.table("batchmixup_table1")
    printed = printed[printed["method"] != "majority"]
    rows = set(printed[["dataset", "train_size", "method"]].itertuples(index=False, name=None))
    assert len(rows) == 60
    ours, here = (
        {
            (protocol.PRINTED.get(s.dataset, s.dataset), protocol.size_label(s), s.method)
            for s in protocol.table1(profile)
        }
        for profile in ("full", "mini")
    )
    assert rows <= ours
    sizes = {(dataset, size) for dataset, size, _ in here}
    assert {
        ("banking77", "1%"),
        ("banking77", "10 a class"),
        ("banking77", "25%"),
        ("fewrel", "1%"),
        ("rte", "1%"),
    } <= sizes
    assert {cell.name for cell in protocol.CELLS} == {f"batchmixup/{name}" for name in protocol.TABLE_1_ON["mini"]}
    with pytest.raises(ValueError, match=r"on banking77 alone, got 'fewrel'"):
        protocol.runs("mini", "fewrel", "1%", ["none"])


def test_batchmixup_full_starts_where_the_data_are(tmp_path, monkeypatch):
    """The paper's FewRel run on the twin's rows in the real data's shape, a tiny model in the place of RoBERTa."""
    (tmp_path / "fewrel80").mkdir()
    for split, each in (("train", 400), ("validation", 2), ("test", 2)):
        rows = corpora.load_split("fewrel80", split, synthetic_twin=True).rows
        rows = rows.groupby("label").sample(each, replace=True, random_state=0)
        rows.to_parquet(tmp_path / "fewrel80" / f"{split}.parquet", index=False)
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    (spec,) = protocol.runs("full", "fewrel75_none", "25%", ["mixup"], model="tiny", seeds=[0])
    record = execute(spec.trial(max_steps=2, rows=64))
    assert record.timing["steps"] == 2
    assert record.data["train_rows"] + record.data.get("train_skipped", 0) == 8000


@pytest.mark.parametrize("profile", registry.PROFILES)
def test_policies_train_under_one_recipe_with_one_update_a_batch(profile):
    specs = protocol.policies(profile)
    assert {methods.get(s.method, **s.method_params).updates_per_batch for s in specs} == {1}
    assert len({replace(s, method="none", method_params={}, seed=0) for s in specs}) == 1
    rows = {rows for study in protocol.policies_placed(profile) for rows in study.params["rows"]}
    assert specs[0].batch_size in rows


def test_the_papers_policy_is_the_pools_and_is_varied_in_length_and_rate_alone():
    (own,) = protocol.THE_PAPERS_ALONE.values()
    assert own == pool.METHODS["batchmixup"]
    (base,) = (s for s in protocol.policies("mini", seeds=[100]) if own == (s.method, s.method_params))
    assert base == pool.POOL[4].spec("batchmixup", 100)
    varied = [s for s in protocol.longer_and_slower("mini", seeds=[100]) if s.method == base.method]
    assert {(s.num_train_epochs / base.num_train_epochs, s.learning_rate / base.learning_rate) for s in varied} == {
        (3, 1), (1, 0.25), (3, 0.25), (1, 0.1)
    }  # fmt: skip
    assert {replace(s, num_train_epochs=8, learning_rate=2e-4, eval_epochs=2) for s in varied} == {base}
