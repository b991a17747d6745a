from collections import Counter
from dataclasses import replace

import pytest

from mixlib import corpora, protocols, published
from mixlib.protocols import ssmix as protocol
from mixlib.store import Store
from mixlib.training import execute

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
    assert set(protocol.datasets("full")) == columns
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


@pytest.mark.parametrize("profile", protocols.PROFILES)
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


def test_mini_has_enough_seeds_and_stands_beside_data_that_can_be_had():
    counts = Counter(s.cell for s in protocol.table2("mini"))
    assert min(counts.values()) >= 6
    assert set(protocol.OFFLINE) | {"qqp", "anli_r1", "anli_r2", "anli_r3"} == set(protocol.DATASETS)


@pytest.mark.parametrize("profile", protocols.PROFILES)
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
    from mixlib import costs

    qqp, rte = (costs.work(protocol.first_stage("full", d, seeds=[0])[0]).flops for d in ("qqp", "rte"))
    assert qqp / rte > 100
