from dataclasses import replace

import pytest

from mixlib import methods
from mixlib.evidence import claims, plan, published
from mixlib.papers import registry
from mixlib.papers.amplify import protocol as amplify
from mixlib.papers.batchmixup import protocol as batchmixup
from mixlib.papers.mixup_calibration import protocol as calibration
from mixlib.papers.ssmix import protocol as ssmix
from mixlib.runs import corpora, paths
from mixlib.runs.training import execute


def full(dataset, few=False):
    return calibration.runs(dataset, few, ["none", "cls_mixup"])


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
    assert set(calibration.CHOICES) == {"lr_scheduler_type", "warmup_ratio", "weight_decay", "max_grad_norm"}
    assert "layer_set S (manifold_mixup)" in silent
    assert calibration.LAYERS is methods.get("manifold_mixup").layers is None
    assert int(said[said["name"] == "ece_bins"]["value"].item()) == 15


@pytest.mark.parametrize("profile", registry.PROFILES)
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


def test_mini_runs_the_cells_of_the_claims_with_the_seeds_that_are_read():
    for number, names in {
        2: ["mixup_calibration/imdb", "mixup_calibration/imdb-32"],
        3: ["mixup_calibration/ag_news", "mixup_calibration/ag_news-32"],
        4: ["mixup_calibration/cola", "common/qnli"],
        5: ["mixup_calibration/sst2-64"],
    }.items():
        cells = [plan.decided().read(plan.get(name)) for name in names]
        allowed = {spec for cell in cells for spec in cell.specs(plan.decided().seeds.get(cell.name, []))}
        specs = getattr(calibration, f"table{number}")("mini")
        assert len(specs) == len(set(specs))
        assert set(specs) <= allowed
        shown = {spec.cell for spec in specs}
        assert {cell.spec("none", 0).cell for cell in cells if plan.decided().seeds.get(cell.name)} <= shown


def test_every_cell_that_the_claims_read_is_in_a_table():
    wanted = {term.cell for claim in claims.claims().values() if claim.paper == "mixup_calibration"
              for part in claim.parts for terms in part.units.values() for term in terms}  # fmt: skip
    shown = {
        spec.cell for spec in [*calibration.tables2_3_4("mini", seeds=[0]), *calibration.table5("mini", seeds=[0])]
    }
    assert {plan.get(name).spec("none", 0).cell for name in wanted} <= shown


def test_tables_have_the_papers_rows():
    for number, table in ((2, calibration.table2), (3, calibration.table3), (4, calibration.table4)):
        printed = published.table(f"mixup_calibration_table{number}")
        rows = set(printed[["dataset", "train_size", "method"]].itertuples(index=False, name=None))
        for profile, left_out in (("full", set()), ("mini", {"rte", "boolq"})):  # which are not learned at mini's size
            ours = {(s.dataset, calibration.size_label(s), s.method) for s in table(profile)}
            assert {row for row in rows if row[0] not in left_out} <= ours
    printed = published.table("mixup_calibration_table5")
    for profile in registry.PROFILES:
        specs = calibration.table5(profile)
        assert {s.method_params.get("padding") for s in specs} == {None, *printed["param"]}
        assert {calibration.size_label(s) for s in specs} == {"64"}


def test_figure_2_shares_its_runs_with_table_4():
    for profile in registry.PROFILES:
        assert set(calibration.figure2(profile)) <= set(calibration.table4(profile))


def test_recipes_name_artefacts_and_notebooks_that_exist():
    from mixlib.book import notebooks

    assert set(registry.RECIPES) <= {a.id for a in registry.artefacts()}
    assert {r.notebook for r in registry.RECIPES.values()} <= set(notebooks.available())


def test_unknown_names_give_the_nearest():
    with pytest.raises(ValueError, match="did you mean mini"):
        registry.artefact_runs("calibration-table2", "minni")
    with pytest.raises(ValueError, match="did you mean calibration-table"):
        registry.artefact_runs("calibration-tabel2", "mini")
    with pytest.raises(ValueError, match="choose one of smoke, mini, full"):
        calibration.table2("huge")


def test_overrides(monkeypatch):
    specs = registry.artefact_runs("calibration-table2", "full", model="tiny", seeds=[7], max_steps=2)
    assert {(s.model, s.seed, s.max_steps) for s in specs} == {("tiny", 7, 2)}
    monkeypatch.delitem(registry.RECIPES, "amplify-table2")  # an artefact without a notebook has no runs
    assert registry.artefact_runs("amplify-table2", "mini") == []


def test_every_artefact_of_the_papers_has_a_notebook():
    assert {a.id for a in registry.artefacts()} == set(registry.RECIPES)
    for recipe in registry.RECIPES.values():
        assert (paths.NOTEBOOKS / f"{recipe.notebook}.ipynb").exists()


def test_full_trains_its_first_steps_where_the_data_are(tmp_path, monkeypatch):
    """The paper's CoLA run on a folder with CoLA's shape, a tiny model in the place of BERT, two updates."""
    rows = corpora.load_split("cola", "train", synthetic_twin=True).rows
    (tmp_path / "cola").mkdir()
    for split, n in (("train", 8551), ("validation", 1043)):
        rows.sample(n, replace=True, random_state=0).to_parquet(tmp_path / "cola" / f"{split}.parquet", index=False)
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    spec = calibration.runs("cola", False, ["manifold_mixup"], model="tiny", seeds=[0])[0]
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


def test_artefacts_of_our_own_stand_after_their_papers():
    ids = [a.id for a in registry.artefacts()]
    assert [a for a in ids if a.startswith("batchmixup")] == [
        "batchmixup-table1", "batchmixup-figure1", "batchmixup-epoch-time", "batchmixup-geometry",
    ]  # fmt: skip
    assert len(set(ids)) == len(ids)
    assert len(ids) - len(published.artefacts()) == 13
    assert {a.id for a in published.artefacts()} <= set(ids)


SAID = published.hyperparameters("batchmixup").set_index("name")["value"]


def test_batchmixup_full_is_all_that_the_paper_states():
    specs = batchmixup.table1("full")
    assert {s.model for s in specs} == {SAID["model"].iloc[0]} == {"roberta-large"}
    assert len({s.seed for s in specs}) == int(SAID["seeds"])
    shares = [float(part.rstrip("%")) / 100 for part in SAID["train_fractions"].split(", ")]
    assert list(batchmixup.FRACTIONS.values()) == shares
    assert {s.train_fraction for s in specs} == set(shares)
    assert corpora.get("fewrel75_none").num_labels == 76
    assert SAID["classes"] == "75 relations + None"
    assert batchmixup.TIMED_N[-1] == int(SAID["n_mixed_points"].split()[0])
    for spec in batchmixup.figure1("full"):
        if spec.study == "toy":
            assert spec.params["epochs"] == int(SAID["epochs"].iloc[-1]) == 100
            assert f"{spec.params['shots']} per class" == SAID["train_size"]
    for dataset in batchmixup.DATASETS:
        heads = {s.head for s in specs if s.dataset == dataset}
        assert heads == {"entities" if dataset.startswith("fewrel") else "tanh"}


def test_batchmixup_takes_what_the_paper_leaves_open_from_its_authors_code_or_marks_it_as_ours():
    open_ = set(SAID[SAID == "not stated"].index)
    assert {"alpha", "optimizer", "learning_rate", "schedule", "warmup", "weight_decay", "batch_size", "epochs",
            "max_length", "checkpoint_selection", "evaluation split"} <= open_  # fmt: skip
    taken = {name for settings in batchmixup.CODE.values() for name in settings} | set(batchmixup.CODE_TRAINING)
    assert taken == {"learning_rate", "batch_size", "num_train_epochs", "max_length", "train_per_class",
                     "lr_scheduler_type", "warmup_ratio", "weight_decay"}  # fmt: skip
    by_set = {s.dataset: s for s in batchmixup.table1("full") if s.method == "none"}
    rte, few = by_set["rte"], by_set["fewrel75_none"]
    assert (rte.learning_rate, rte.batch_size, rte.max_length, rte.lr_scheduler_type) == (1e-6, 5, 128, "constant")
    assert (few.learning_rate, few.batch_size, few.max_length, few.num_train_epochs) == (1e-5, 32, 64, 8)
    assert (few.train_per_class, few.weight_decay, few.warmup_ratio) == (400, 0.01, 0)
    params = {(s.dataset, s.method): s.method_params for s in batchmixup.table1("full")}
    assert params["rte", "mixup"] == {"alpha": 0.4, "n": 15}
    assert params["rte", "none_long"] == {"updates": 15}
    assert params["rte", "batchmixup"] == {"alpha": 1.0, "n": 400, **batchmixup.CHOICES}
    assert params["banking77", "batchmixup"] == {"alpha": 1.0, "n_per_row": 75, **batchmixup.CHOICES}


@pytest.mark.parametrize("profile", registry.PROFILES)
def test_batchmixup_methods_of_a_cell_get_the_same_settings_and_seeds(profile):
    cells = {}
    for spec in batchmixup.table1(profile):
        settings = replace(spec, method="none", method_params={}, seed=0)
        # runs of BANKING77 are the pool's where it has them, and of the same settings
        cells.setdefault((spec.dataset, batchmixup.size_label(spec)), {}).setdefault(spec.method, set()).add(
            (settings, spec.seed)
        )
    for (dataset, _), by_method in cells.items():
        alone = dataset == "rte" and profile == "mini"  # at chance: no control is needed
        assert set(by_method) == {*batchmixup.VARIANTS, *(() if alone else ("none_long",))}
        assert len({frozenset(v) for v in by_method.values()}) == 1


def test_batchmixup_table_1_has_the_papers_cells_at_full_and_the_evidences_below():
    printed = published.table("batchmixup_table1")
    printed = printed[printed["method"] != "majority"]
    rows = set(printed[["dataset", "train_size", "method"]].itertuples(index=False, name=None))
    assert len(rows) == 60
    ours, here = (
        {
            (batchmixup.PRINTED.get(s.dataset, s.dataset), batchmixup.size_label(s), s.method)
            for s in batchmixup.table1(profile)
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
    assert {cell.name for cell in batchmixup.CELLS} == {f"batchmixup/{name}" for name in batchmixup.TABLE_1_ON["mini"]}
    with pytest.raises(ValueError, match=r"on banking77 alone, got 'fewrel'"):
        batchmixup.runs("mini", "fewrel", "1%", ["none"])


def test_batchmixup_full_starts_where_the_data_are(tmp_path, monkeypatch):
    """The paper's FewRel run on the twin's rows in the real data's shape, a tiny model in the place of RoBERTa."""
    (tmp_path / "fewrel80").mkdir()
    for split, each in (("train", 400), ("validation", 2), ("test", 2)):
        rows = corpora.load_split("fewrel80", split, synthetic_twin=True).rows
        rows = rows.groupby("label").sample(each, replace=True, random_state=0)
        rows.to_parquet(tmp_path / "fewrel80" / f"{split}.parquet", index=False)
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    (spec,) = batchmixup.runs("full", "fewrel75_none", "25%", ["mixup"], model="tiny", seeds=[0])
    record = execute(spec.trial(max_steps=2, rows=64))
    assert record.timing["steps"] == 2
    assert record.data["train_rows"] + record.data.get("train_skipped", 0) == 8000


@pytest.mark.parametrize(
    ("given", "seeds"),
    [("0-2,7", [0, 1, 2, 7]), (" 3 , 1 ", [3, 1]), (4, [4]), ([2, 0, 2], [2, 0]), (range(2), [0, 1])],
)
def test_seeds_as_papermill_and_notebooks_give_them(given, seeds):
    for part in (calibration.table5, ssmix.figure2, batchmixup.figure1, amplify.attention):
        assert list(dict.fromkeys(spec.seed for spec in part("smoke", seeds=given))) == seeds
    assert {spec.seed for spec in registry.artefact_runs("common/sst2", "smoke", seeds=given)} == set(seeds)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "seeds is empty"),
        ("", "not a list of numbers such as 0,1,2 or 0-9"),
        ("2-1", "did you mean 1-2"),
        ("0-1000000", "more than 10,000 numbers"),
        (["0"], r"seeds are whole numbers from 0 on, .* got \['0'\]"),
        ([1.5], "seeds are whole numbers"),
        ([True], "seeds are whole numbers"),
        (-1, "seeds are whole numbers"),
        (2.0, "seeds are whole numbers"),
        ([2**32], "seeds are whole numbers from 0 on, at most 4,294,967,295, such as"),
        ("0,4294967296", "seeds are whole numbers from 0 on, at most 4,294,967,295, such as"),
    ],
)
def test_seeds_that_are_none_are_refused_before_anything_runs(given, message):
    with pytest.raises(ValueError, match=message):
        calibration.table5("smoke", seeds=given)
