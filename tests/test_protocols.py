from collections import Counter
from dataclasses import replace

import pytest

from mixlib import corpora, methods, protocols, published
from mixlib.protocols import mixup_calibration as calibration
from mixlib.runs import execute


def full(dataset, few=False):
    return calibration.runs("full", dataset, few, ["none", "cls_mixup"])


@pytest.mark.parametrize("dataset", calibration.TABLE_6)
def test_full_is_the_papers_settings(dataset):
    said = published.hyperparameters("mixup_calibration")
    said = said[said["dataset"] == dataset].set_index("name")["value"]
    plain, mixed = (next(s for s in full(dataset) if s.method == m) for m in ("none", "cls_mixup"))
    for spec in (plain, mixed):
        assert spec.learning_rate == float(said["learning_rate"])
        assert spec.batch_size == int(said["batch_size"])
        assert spec.num_train_epochs == int(said["epochs"])
        assert spec.dropout == float(said["dropout"])
        assert spec.max_length == int(said["max_length"])
        assert spec.eval_epochs == 1
        assert not spec.synthetic
        assert not spec.group_by_length
    assert mixed.method_params == {"alpha": float(said["alpha"])}
    assert plain.method_params == {}


def test_full_is_the_papers_model_seeds_sizes_and_selection():
    said = published.hyperparameters("mixup_calibration")
    everywhere = said[said["dataset"] == "all"].set_index("name")["value"]
    for dataset in calibration.TABLE_6:
        specs = full(dataset)
        assert {s.model for s in specs} == {everywhere["model"]}
        assert f"{len({s.seed for s in specs})} runs" == everywhere["seeds"]
        assert {s.metric_for_best_model for s in specs} == {"mcc" if dataset == "cola" else "accuracy"}
    assert said[(said["dataset"] == "imdb") & (said["name"] == "train_sizes")]["value"].item() == "full, 32"
    assert {s.train_size for s in full("imdb", few=True)} == {32}
    assert {s.train_size for s in full("ag_news", few=True)} == {32}
    assert int(said[(said["dataset"] == "sst2") & (said["name"] == "train_size")]["value"].item()) == 64
    assert {s.train_size for s in calibration.table5("full")} == {64}
    printed = published.dataset_sizes("mixup_calibration").set_index("dataset")
    header_counted = {"rte": 1}  # the printed RTE sizes are one too many (inconsistencies.md)
    for dataset in calibration.TABLE_6:
        size = int(printed.loc[dataset, "train"]) - header_counted.get(dataset, 0)
        assert {s.train_size for s in full(dataset)} == {size}
    for dataset in ("imdb", "ag_news"):
        sizes = {(s.dev_size, s.test_size) for s in full(dataset)}
        assert sizes == {(int(printed.loc[dataset, "dev"]), int(printed.loc[dataset, "test"]))}


def test_everything_the_paper_leaves_open_is_marked_as_our_choice():
    said = published.hyperparameters("mixup_calibration")
    silent = set(said[said["value"] == "not stated"]["name"])
    assert {"schedule", "warmup", "weight_decay", "optimizer"} <= silent
    assert set(calibration.CHOICES) == {"lr_scheduler_type", "warmup_ratio", "weight_decay"}
    assert "layer_set S (manifold_mixup)" in silent
    assert calibration.LAYERS is methods.get("manifold_mixup").layers is None
    assert int(said[said["name"] == "ece_bins"]["value"].item()) == 15


@pytest.mark.parametrize("profile", protocols.PROFILES)
def test_all_methods_of_a_cell_get_the_same_settings_and_seeds(profile):
    for table in (calibration.table2, calibration.table3, calibration.table4, calibration.table5):
        cells = {}
        for spec in table(profile):
            settings = replace(spec, method="none", method_params={}, seed=0)
            key = (spec.dataset, calibration.size_label(spec))
            cells.setdefault(key, {}).setdefault((spec.method, str(spec.method_params)), set()).add(
                (settings, spec.seed)
            )
        for by_method in cells.values():
            assert len({frozenset(v) for v in by_method.values()}) == 1


def test_mini_has_at_least_six_seeds_and_ten_in_the_few_example_cells():
    specs = {s for t in ("table2", "table3", "table4", "table5") for s in getattr(calibration, t)("mini")}
    counts = Counter((s.cell, calibration.size_label(s)) for s in specs)
    for (_, size), seeds in counts.items():
        assert seeds >= (6 if size == "full" else 10)


def test_tables_have_the_papers_rows():
    for number, table in ((2, calibration.table2), (3, calibration.table3), (4, calibration.table4)):
        printed = published.table(f"mixup_calibration_table{number}")
        rows = set(printed[["dataset", "train_size", "method"]].itertuples(index=False, name=None))
        ours = {(s.dataset, calibration.size_label(s), s.method) for s in table("mini")}
        assert rows <= ours
    printed = published.table("mixup_calibration_table5")
    assert {s.method_params.get("padding") for s in calibration.table5("mini")} == {None, *printed["param"]}


def test_figure_2_shares_its_runs_with_table_4():
    assert set(calibration.figure2("mini")) <= set(calibration.table4("mini"))


def test_recipes_name_artefacts_and_notebooks_that_exist():
    from mixlib import report

    assert set(protocols.RECIPES) <= {a.id for a in published.artefacts()}
    assert {r.notebook for r in protocols.RECIPES.values()} <= set(report.available())


def test_unknown_names_give_the_nearest():
    with pytest.raises(ValueError, match="did you mean mini"):
        protocols.artefact_runs("calibration-table2", "minni")
    with pytest.raises(ValueError, match="did you mean calibration-table"):
        protocols.artefact_runs("calibration-tabel2", "mini")
    with pytest.raises(ValueError, match="choose one of smoke, mini, full"):
        calibration.table2("huge")


def test_overrides():
    specs = protocols.artefact_runs("calibration-table2", "full", model="tiny", seeds=[7], max_steps=2)
    assert {(s.model, s.seed, s.max_steps) for s in specs} == {("tiny", 7, 2)}
    assert protocols.artefact_runs("ssmix-table2", "mini") == []


def test_full_trains_its_first_steps_where_the_data_are(tmp_path, monkeypatch):
    """The paper's CoLA run on a folder with CoLA's shape, a tiny model in the place of BERT, two updates."""
    rows = corpora.load_split("cola", "train", synthetic_twin=True).rows
    (tmp_path / "cola").mkdir()
    for split, n in (("train", 8551), ("validation", 1043)):
        rows.sample(n, replace=True, random_state=0).to_parquet(tmp_path / "cola" / f"{split}.parquet", index=False)
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    spec = calibration.runs("full", "cola", False, ["manifold_mixup"], model="tiny", seeds=[0])[0]
    record = execute(spec.trial(max_steps=2))
    assert record.timing["steps"] == 2
    assert sum(record.reliability["rows"]) == 128
    assert record.selected_on == "test"


def test_full_refuses_a_source_with_fewer_rows(tmp_path, monkeypatch):
    (tmp_path / "cola").mkdir()
    for split in ("train", "validation"):
        twin = corpora.load_split("cola", "train", synthetic_twin=True).rows
        twin.to_parquet(tmp_path / "cola" / f"{split}.parquet", index=False)
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    with pytest.raises(corpora.DataDiffers, match="8551 train examples were asked for, but MIXLIB_DATA has 640"):
        execute(full("cola")[0])
