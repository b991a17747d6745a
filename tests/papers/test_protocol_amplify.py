from collections import Counter
from dataclasses import replace

import pytest

from mixlib import methods
from mixlib.evidence import claims, plan, published
from mixlib.evidence.cells import Cell
from mixlib.papers import registry
from mixlib.papers.amplify import protocol
from mixlib.runs import corpora, costs
from mixlib.runs.training import execute

SAID = published.hyperparameters("amplify").query("dataset == 'all'").set_index("name")["value"]
BASELINES = "(embedmix, sentencemix, tmix)"


@pytest.mark.parametrize("dataset", protocol.DATASETS)
def test_full_is_the_papers_settings(dataset):
    specs = [s for s in protocol.table2("full") if s.dataset == protocol.FULL_DATA.get(dataset, dataset)]
    assert {s.method for s in specs} == set(protocol.TABLE_2)
    assert len({s.seed for s in specs}) == int(SAID["seeds"])
    for spec in specs:
        assert spec.model == SAID["model"]
        assert spec.learning_rate == float(SAID["learning_rate"])
        assert spec.lr_scheduler_type == SAID["schedule"]
        assert spec.schedule == "stated"
        assert f"{spec.warmup_ratio:.0%} of the training steps" == SAID["warmup"]
        assert spec.weight_decay == float(SAID["weight_decay"])
        assert spec.batch_size == int(SAID["batch_size"])
        assert spec.max_length == int(SAID["max_length"])
        assert spec.num_train_epochs == int(SAID["epochs"])
        assert spec.early_stopping_patience == int(SAID["patience"])
        assert spec.head == "own"
        assert spec.label_noise == 0
        assert spec.eval_epochs == 1
        assert not spec.synthetic
        assert not spec.group_by_length
        params = spec.method_params
        if spec.method == "amplify":
            assert params == {"alpha": float(SAID["alpha (amplify)"]), "n": int(SAID["n_weights (amplify)"])}
            assert methods.get("amplify", **params).blocks is None
            assert "every block" in SAID["mix_level (amplify)"]
            assert "largest of n draws" in SAID["lambda_rule (amplify)"]
        elif spec.method != "none":
            assert params == {"alpha": float(SAID[f"alpha {BASELINES}"])}
            assert "max(lambda_t, 1-lambda_t)" in SAID[f"lambda_rule {BASELINES}"]
    assert protocol.STATED["adam_epsilon"] == float(SAID["eps"])


def test_the_other_settings_of_the_paper():
    settings = published.hyperparameters("amplify").set_index("name")
    draws = {s.method_params["n"] for s in protocol.table1("full") if s.method == "amplify"}
    assert ", ".join(map(str, sorted(draws))) in settings.loc["n_weights (amplify)", "note"]
    assert protocol.STATED["iterations"] == int(settings.loc["iterations shown in Figure 3", "value"])
    long = protocol.figure3("full")
    updates = -(-long[0].train_size // long[0].batch_size) * long[0].num_train_epochs
    assert protocol.STATED["iterations"] <= updates < protocol.STATED["iterations"] + 115
    assert long[0].early_stopping_patience is None
    assert settings.loc["model (Table 3)", "value"].startswith("DistilBERT")
    assert {s.model for s in protocol.table3("full")} == {"distilbert-base-uncased", "bert-base-uncased"}
    from mixlib.methods.hidden_mixup import TMIX_BLOCKS

    assert ", ".join(b.partition("/")[0] for b in TMIX_BLOCKS) == settings.loc["layer_set (tmix)", "value"]


def test_what_the_paper_leaves_open_is_marked_as_ours():
    silent = set(SAID[SAID == "not stated"].index)
    assert silent == {"dropout", "checkpoint_selection", "evaluation split"}
    assert set(protocol.CHOICES) == {"max_grad_norm", "dropout", "metric_for_best_model"}


def test_full_has_every_row_and_column_of_the_tables():
    for number in (1, 2, 3, 4):
        printed = published.table(f"amplify_table{number}")
        assert set(printed["dataset"]) - {"mean"} == set(protocol.DATASETS)
    rows = {protocol.method_of(s) for s in protocol.table4("full")}
    assert rows == {"none", "amplify", "amplify_block4", "amplify_block8", "amplify_block12"}
    assert set(published.table("amplify_table2")["method"]) == set(protocol.TABLE_2)
    assert {str(n) for n in protocol.DRAWS} == set(published.table("amplify_table1")["param"])
    for dataset, sizes in protocol.FULL.items():
        corpus = corpora.get(protocol.FULL_DATA.get(dataset, dataset))
        held_out = 3 * sizes["dev_size"] == sizes["train_size"]
        assert held_out == (corpus.dev == "train"), dataset


@pytest.mark.parametrize("profile", registry.PROFILES)
@pytest.mark.parametrize("part", ["table1", "table2", "table4", "noise"])
def test_methods_of_a_table_share_settings_and_seeds(profile, part):
    cells = {}
    for spec in getattr(protocol, part)(profile):
        settings = replace(spec, method="none", method_params={})
        row = (spec.method, str(spec.method_params))
        cells.setdefault((spec.dataset, spec.label_noise, spec.train_size), {}).setdefault(row, set()).add(settings)
    for by_row in cells.values():
        assert len({frozenset(v) for v in by_row.values()}) == 1


def test_mini_has_enough_seeds():
    for part in (
        protocol.table1,
        protocol.table3,
        protocol.table4,
        protocol.fairness,
        protocol.figure3,
        protocol.noise,
    ):
        counts = Counter(s.cell for s in part("mini"))
        assert min(counts.values()) >= 6, part.__name__


def test_mini_reads_the_cells_that_claims_are_judged_on():
    known = plan.cells()
    read = {
        spec
        for part in ("table1", "table2", "table3", "table4", "figure3", "padding", "noise")
        for spec in getattr(protocol, part)("mini")
    }
    for claim in claims.claims().values():
        for term in [t for c in claim.parts if claim.paper == "amplify" for unit in c.units.values() for t in unit]:
            cell = plan.decided().read(known[term.cell])
            if isinstance(cell, Cell):
                assert {cell.spec(term.label, seed) for seed in plan.decided().seeds.get(term.cell, [])} <= read, term
    # what the pool has beside the paper's data sets and methods
    assert {s.dataset for s in protocol.table2("mini")} >= {"ag_news", "qnli"}
    assert {s.method for s in protocol.table2("mini")} == {*protocol.TABLE_2, *protocol.CONTROLS}


def test_a_small_run_of_its_own_says_of_which_data_sets_there_are_some():
    with pytest.raises(ValueError, match=r"mrpc and trec_fine alone, got 'imdb'"):
        protocol.runs("mini", "imdb", ["none"])


@pytest.mark.parametrize("profile", registry.PROFILES)
def test_the_factors_of_the_fairness_experiment(profile):
    """One at a time and all together, each factor for every method that has it, nothing else changed."""
    specs = protocol.fairness(profile)
    assert len(set(specs)) == len(specs)
    for dataset in protocol.FAIR_ON[profile]:
        untyped = "published" if corpora.get(dataset).is_pair else "own"
        here = [s for s in specs if s.dataset == dataset]
        found = {(s.method, s.method_params.get("label_perm", "same"), s.head, s.schedule) for s in here}
        for method in protocol.TABLE_2:
            labels = "independent" if method in protocol.BASELINES else "same"
            head = "published" if method == "amplify" else untyped
            for cell in (("same", "own", "stated"), (labels, "own", "stated"), ("same", head, "stated"),
                         ("same", "own", "published"), (labels, head, "published")):  # fmt: skip
                assert (method, *cell) in found, (dataset, method, cell)
        assert ("none", "same", "mean", "stated") in found
        settings = {replace(s, method="none", method_params={}, head="own", schedule="stated", seed=0) for s in here}
        assert len(settings) == 1


def test_heads_read_whole_cells_or_at_full_the_runs_of_fairness():
    """All of one seed see the same rows; the plain model has each head, so that it can be told from mixing."""
    specs = protocol.heads("mini", seeds=[100])
    assert len(specs) == len(set(specs)) == 10
    assert {(s.method, s.head) for s in specs} >= {(m, h) for m in ("none", "amplify") for h in ("own", "mean")}
    assert len({(s.dataset, s.train_size, s.learning_rate, s.test_size, s.seed) for s in specs}) == 1
    whole = protocol.heads("full")
    assert set(whole) < set(protocol.fairness("full"))
    assert {s.method for s in whole} == {"none", "amplify"}
    assert {(s.dataset, s.schedule) for s in whole} == {("trec_fine", "stated")}


def test_full_starts_where_the_data_are(tmp_path, monkeypatch):
    """The paper's MRPC on rows of the twin in the real data's number, a tiny model in the place of BERT."""
    (tmp_path / "mrpc").mkdir()
    twin = corpora.load_split("mrpc", "train", synthetic_twin=True).rows
    for split, n in (("train", 3668), ("validation", 408), ("test", 1725)):
        twin.sample(n, replace=True, random_state=0).to_parquet(tmp_path / "mrpc" / f"{split}.parquet", index=False)
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    spec = next(s for s in protocol.table2("full", model="tiny", seeds=[0]) if s.method == "amplify")
    record = execute(spec.trial(max_steps=2))
    assert record.timing["steps"] == 2
    assert record.data["train_rows"] == 3668
    assert record.selected_on == "dev"


def test_full_costs_are_counted():
    mrpc, yelp = (
        costs.work(next(s for s in protocol.table2("full") if s.dataset == d)).flops for d in ("mrpc", "yelp_polarity")
    )
    assert yelp / mrpc > 80


def test_block_variants_are_told_apart_in_tables():
    by_block = {protocol.method_of(s): s for s in protocol.table4("mini")}
    assert by_block["amplify_block8"].method_params["blocks"] == ["8/12"]
    assert by_block["amplify"].method_params == protocol.METHODS["amplify"]
