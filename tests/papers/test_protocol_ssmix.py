from dataclasses import replace

import pytest

from mixlib.evidence import claims, plan, published
from mixlib.papers import registry
from mixlib.papers.ssmix import protocol
from mixlib.runs import corpora
from mixlib.runs.store import Store
from mixlib.runs.training import execute

SAID = published.hyperparameters("ssmix").query("dataset == 'all'").set_index("name")["value"]


@pytest.mark.parametrize("dataset", protocol.DATASETS)
def test_full_is_the_papers_settings(dataset):
    first = protocol.first_stage("full", dataset)
    second = protocol.second_stage("full", dataset, ["none", *protocol.TABLE_2, "unk"])
    assert ", ".join(str(s.seed) for s in first) == SAID["seeds"]
    for stage, specs in (("stage 1", first), ("stage 2", second)):
        for spec in specs:
            assert spec.model == "bert-base-uncased"  # "BERT-base", casing not stated: as in the authors' code
            assert spec.learning_rate == float(SAID[f"learning_rate ({stage})"])
            assert spec.num_train_epochs == int(SAID[f"epochs ({stage})"])
            assert spec.batch_size == int(SAID["batch_size"])
            assert spec.max_length == int(SAID["max_length"])
            assert spec.weight_decay == float(SAID["weight_decay"])
            assert spec.lr_scheduler_type == SAID["schedule"]
            assert f"{spec.warmup_ratio:.0%} of the training steps" == SAID["warmup"]
            assert spec.eval_epochs == 1
            assert f"every {spec.eval_steps} steps" in SAID["checkpoint_selection"]
            assert spec.metric_for_best_model == "accuracy"
            assert not spec.synthetic
            assert not spec.group_by_length
            assert not spec.dropout_leak
    for spec in second:
        assert spec.first_stage in first
        assert spec.first_stage.seed == spec.seed
        params = spec.method_params
        if "alpha" in params:
            assert params == {"alpha": float(SAID["alpha (embedmix, tmix)"]), "originals": True}
        elif spec.method != "none":
            assert f"lambda0 = {params['lam0']}" in SAID["lambda_rule (ssmix)"]
            assert f"lambda0 = {params['lam0']}" == SAID["lambda_rule (ablations)"]


def test_full_has_every_column_of_table_2_and_b1_and_the_official_sizes():
    columns = {d.split()[0] for d in published.table("ssmix_table2")["dataset"]}
    assert set(protocol.DATASETS) == columns
    assert {s.dataset for s in protocol.table2("full", seeds=[0])} == columns - {"mnli"} | {"mnli_mismatched"}
    printed = published.dataset_sizes("ssmix").set_index("dataset")
    for dataset, sizes in protocol.FULL.items():
        said = printed.loc["anli" if dataset.startswith("anli") else dataset, "train"]
        number = float(said.rstrip("k"))
        assert abs(sizes["train_size"] / 1000 - number) < (0.1 if "." in said else 0.5)  # 162,865 is printed 162.8k
    assert set(published.table("ssmix_table2")["method"]) == {"none", *protocol.TABLE_2}
    assert set(published.table("ssmix_tableB1")["method"]) == {"none", *protocol.TABLE_B1}


def test_what_the_paper_leaves_open_is_marked_as_ours():
    silent = set(SAID[SAID == "not stated"].index)
    assert {"dropout", "patience"} <= silent
    assert set(protocol.CHOICES) == {"max_grad_norm", "dropout"}


@pytest.mark.parametrize("profile", registry.PROFILES)
def test_methods_of_a_table_share_settings_seeds_and_first_stage(profile):
    cells = {}
    for spec in protocol.table2(profile) + protocol.tableB1(profile):
        if spec.first_stage is None:
            continue
        settings = replace(spec, method="none", method_params={})
        cells.setdefault(spec.dataset, {}).setdefault(spec.method, set()).add(settings)
    for by_method in cells.values():
        assert set(by_method) == {"none", "unk", *protocol.TABLE_2}
        assert len({frozenset(v) for v in by_method.values()}) == 1


def test_tables_read_the_cells_of_their_claims_and_nothing_else():
    """What verdicts are made from is what the notebooks show: every run of a claim, with the decided seeds."""
    read = {
        "ssmix-1": protocol.table2, "ssmix-2": protocol.table2, "ssmix-3": protocol.table2, "ssmix-5": protocol.table2,
        "ssmix-6": protocol.table2, "ssmix-7": protocol.table2, "ssmix-8": protocol.table2, "ssmix-9": protocol.table2,
        "ssmix-10": protocol.tableB1, "ssmix-13": protocol.ratios, "ssmix-14": protocol.from_the_start,
    }  # fmt: skip
    for claim in (claims.claims()[id_] for id_ in read):
        shown = set(read[claim.id]("mini"))
        for term in (t for part in claim.parts for terms in part.units.values() for t in terms):
            cell = plan.decided().read(plan.get(term.cell))
            for seed in plan.decided().seeds.get(term.cell, []):
                assert cell.spec(term.label, seed) in shown, (claim.id, term)
    everything = {s for cell in protocol.CELLS for s in plan.decided().read(cell).specs(range(100, 112))}
    assert {s for part in read.values() for s in part("mini")} <= everything


@pytest.mark.parametrize("part", [protocol.table2, protocol.tableB1, protocol.ratios, protocol.from_the_start])
def test_seeds_and_model_of_ones_own_and_a_trial_on_synthetic_data(part):
    own = part("mini", seeds=[7], model="tiny")
    assert {(s.seed, s.model, s.synthetic) for s in own} == {(7, "tiny", False)}
    assert {s.dataset for s in own} == {s.dataset for s in part("mini")}
    assert all(s.synthetic and s.model == "tiny" for s in part("smoke"))
    assert len(part("smoke")) <= 28


def test_what_has_no_cell_keeps_its_settings_and_others_are_refused():
    assert {s.train_size for s in protocol.dropout_leak("mini")} == {160}
    with pytest.raises(ValueError, match="'rte' at profile mini; choose one of sst2, trec_coarse, mnli"):
        protocol.first_stage("mini", "rte")


@pytest.mark.parametrize("profile", registry.PROFILES)
def test_the_leak_differs_in_nothing_else_and_is_evaluated_in_mid_epoch(profile):
    specs = protocol.dropout_leak(profile)
    leaky = [s for s in specs if s.dropout_leak]
    assert {replace(s, dropout_leak=False) for s in leaky} <= set(specs)
    for spec in leaky:
        updates = -(-spec.train_size // spec.batch_size)
        assert spec.eval_steps < updates


def test_full_starts_both_stages_where_the_data_are(tmp_path, monkeypatch):
    """The paper's RTE runs on rows of the twin in the real data's number, a tiny model in the place of BERT."""
    (tmp_path / "rte").mkdir()
    twin = corpora.load_split("rte", "train", synthetic_twin=True).rows
    for split, n in (("train", 2490), ("validation", 277)):
        twin.sample(n, replace=True, random_state=0).to_parquet(tmp_path / "rte" / f"{split}.parquet", index=False)
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    (spec,) = protocol.second_stage("full", "rte", ["ssmix"], model="tiny", seeds=[0])
    record = execute(spec.trial(max_steps=2), Store(tmp_path / "store"))
    assert record.timing["steps"] == 2
    assert record.data["train_rows"] == 2490
    assert record.selected_on == "test"
    assert len(record.data["first_stage"]) == 16


def test_full_costs_are_counted_with_the_official_sizes():
    from mixlib.runs import costs

    qqp, rte = (costs.work(protocol.first_stage("full", d, seeds=[0])[0]).flops for d in ("qqp", "rte"))
    assert qqp / rte > 100
