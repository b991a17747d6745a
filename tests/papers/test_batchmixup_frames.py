import numpy as np
import pandas as pd
import pytest

from mixlib.evidence import published, tables
from mixlib.papers.batchmixup import frames as judge
from mixlib.papers.batchmixup import protocol
from tests.fabricate import records, study

PRINTED = published.table("batchmixup_table1")
GAIN = {"none": 0.0, "none_long": 0.03, "mixup": 0.02, "nonlinear_mixup": -0.01, "batchmixup": -0.1}


def made(profile="mini"):
    found = records(protocol.table1(profile), lambda s: {"accuracy": GAIN[s.method]}, noise=1e-6)
    return found, tables.frame(found, protocol.size_label)


def test_accuracies_stand_beside_the_row_of_the_paper_that_a_size_stands_for():
    table = judge.accuracies(PRINTED, made()[1])
    assert table.loc[("BANKING77", "77 (1%)"), "BatchMixup"] == "55.21 | 70.0 ± 0.0"
    assert table.loc[("BANKING77", "2,310 (25%)"), "no mixup"] == "80.95 | 80.0 ± 0.0"
    assert table.loc[("BANKING77", "770 (10 a class)"), "no mixup"] == "– | 80.0 ± 0.0"
    assert table.loc[("RTE", "24 (1%)"), tables.LABELS["none_long"]] == "not run"
    whole = ("BANKING77", "9,500 (full)")
    assert table.loc[whole].tolist() == ["93.77 | 80.0 ± 0.0", *["not run"] * 3, "94.94 | 70.0 ± 0.0"]
    assert (table.drop("RTE").drop(whole)[tables.LABELS["none_long"]] == "– | 83.0 ± 0.0").all()


def test_gains_are_paired_and_have_the_papers_beside_them():
    data = made()[1]
    table = judge.gains(data, printed=PRINTED)
    assert table.loc[("FewRel", "294 (1%)"), "BatchMixup"].startswith("+56.88 | -10.0 [")
    assert table.loc[("BANKING77", "770 (10 a class)"), "mixup (all pairs)"].startswith("– | +2.0 [")
    assert "no mixup" not in table
    equal = judge.gains(data[data["dataset"] != "rte"], over="none_long")
    assert equal.loc[("BANKING77", "77 (1%)"), "mixup (all pairs)"].startswith("-1.0 [")
    assert judge.gains(data, over="none_long").loc[("RTE", "24 (1%)"), "BatchMixup"] == "not run"


def test_at_full_every_printed_cell_has_its_measured_one():
    table = judge.accuracies(PRINTED, made("full")[1])
    assert table.loc[("FewRel, 75 + None", "8,000 (25%)"), "no mixup"] == "78.95 | 80.0 ± 0.0"
    assert not table.drop(columns=tables.LABELS["none_long"]).map(lambda text: text.startswith("–")).any().any()


def test_updates_are_those_of_the_records():
    found, _ = made()
    for record in found:
        record.timing["steps"] = 30 if record.spec.method in ("none", "batchmixup") else 90
    table = judge.updates(found)
    assert table.loc[("BANKING77", "77"), ["no mixup", "BatchMixup", "mixup (all pairs)"]].tolist() == [
        "30",
        "30",
        "90",
    ]
    assert table.loc[("RTE", "24"), tables.LABELS["none_long"]] == "not run"
    assert table.loc[("RTE", "24"), ["epochs", "rows of a batch"]].tolist() == ["12", "16"]
    assert table.loc[("BANKING77", "77"), "epochs"] == "40"


def test_the_last_training_losses_stand_beside_that_of_guessing():
    found, _ = made()
    for record in found:
        record.train_losses[:] = [9.0] * 18 + ([4.0, 5.0] if record.spec.method == "batchmixup" else [-1.0, -2.0])
    table = judge.last_losses(found)
    assert table.loc[("BANKING77", "77"), ["guessing", "BatchMixup", "no mixup"]].tolist() == ["4.34", "4.50", "-1.50"]
    assert table.loc[("RTE", "24"), "guessing"] == "0.69"


def test_chance_is_shown_by_both_definitions():
    table = judge.chance(PRINTED)
    assert table.loc["RTE"].tolist() == ["50.16", "50.00", "50.16", "52.71"]
    assert table.loc["BANKING77", "one over the classes"] == "1.30"


def test_epoch_times_are_ratios_to_the_mean_plain_step_of_the_same_batch():
    (spec,) = protocol.epoch_time("smoke")
    assert spec.params["batches"] == 2
    seconds = {"none": {"1": [1.0, 3.0, 4.0, 4.0]}, "mixup": {"1": [2.0, 4.0], "5": [10.0, 40.0]}}
    table = judge.epoch_ratios([study(spec, {"batches_per_epoch": 80, "seconds": seconds})])
    ratios = {key: group["ratio"].tolist() for key, group in table.groupby(["method", "n"])}
    assert ratios == {("none", 1): [1.0, 1.0], ("mixup", 1): [1.0, 1.0], ("mixup", 5): [5.0, 10.0]}
    assert tables.geometric_mean(pd.Series([5.0, 10.0]))[0] == pytest.approx(50**0.5)


def test_policies_are_named_and_ranks_are_shares_of_the_batch():
    (spec, *_) = protocol.geometry("mini")
    rows = [policy | {"rows": 5, "effective_rank": 2.0, "batch_rank": 4.0} for policy in protocol.POLICIES]
    table = judge.policy_rows([study(spec, {"rows": rows})])
    assert np.all(table["rank_share"] == 0.5)
    assert {"BatchMixup, α 1, τ 1", "one weight a row, α 1, τ 0.1", "pairwise, α 0.4"} <= set(table["label"])


def policies_by(gain, specs):
    """Rows of runs that gain this much accuracy over the 80% of a plain run."""
    found = records(specs, lambda s: {"accuracy": gain(s)}, noise=0)
    for record in found:
        record.data["larger_class"] = 0.12
        record.timing["steps"] = 10 * record.spec.num_train_epochs
    return judge.trained_rows(found)


def test_training_on_each_policys_points_is_set_against_no_mixup_and_chance():
    data = policies_by(
        lambda s: {"none": 0, "mixup": -0.05}.get(
            s.method, -0.7 if s.method_params.get("policy") == "sample" else -0.3
        ),
        protocol.policies("mini", seeds=[100, 101]),
    )
    (spec, *_) = protocol.policies_placed("mini")
    policies = [p for p in protocol.POLICIES if p["policy"] != "sample"]
    rows = [policy | {"rows": n, "effective_rank": 1.0, "batch_rank": 1.0, "spread": n / 100}
            for policy in policies for n in (5, 16)]  # fmt: skip
    table = judge.trained(data, judge.policy_rows([study(spec, {"rows": rows})]))
    assert len(table) == 11
    assert table.loc["pairwise, α 0.4"].tolist() == ["0.16", "75.0 ± 0.0", "-5.0 [-5.0, -5.0]", "0 of 2"]
    assert table.loc["one weight a row, α 1, τ 0.1"].tolist() == ["", "10.0 ± 0.0", "-70.0 [-70.0, -70.0]", "2 of 2"]
    assert table.loc["no mixup", "difference from no mixup"] == ""
    assert not table.index.str.contains("α 8").any()


def test_longer_and_slower_training_is_shown_for_no_mixup_and_the_papers_policy():
    specs = [*protocol.policies("mini", seeds=[100, 101]), *protocol.longer_and_slower("mini", seeds=[100, 101])]
    table = judge.by_budget(policies_by(lambda s: s.num_train_epochs * s.learning_rate, specs))
    assert list(table) == ["no mixup", "BatchMixup, α 1, τ 1"]
    rates = [("8", "0.0002"), ("24", "0.0002"), ("8", "5e-05"), ("24", "5e-05"), ("8", "2e-05")]
    assert [key[0::2] for key in table.index] == rates
    assert table["no mixup"].tolist() == ["80.2 ± 0.0", "80.5 ± 0.0", *["not run"] * 3]
    assert table["BatchMixup, α 1, τ 1"].tolist()[:4] == ["80.2 ± 0.0", "80.5 ± 0.0", "80.0 ± 0.0", "80.1 ± 0.0"]


def test_policies_are_compared_by_their_loss():
    specs = [*protocol.policies("mini", seeds=[100, 101]), *protocol.policies_bounded("mini", seeds=[100, 101])]
    table = judge.by_objective(
        policies_by(lambda s: 0.1 * (s.method_params.get("objective") == "cross_entropy"), specs)
    )
    assert list(table.index) == ["nonlinear, α 0.4", *(f"BatchMixup, α 1, τ {t}" for t in ("1", "0.3", "0.1", "0.03"))]
    assert set(table["softmax"]) == {"80.0 ± 0.0"}
    assert set(table["cross-entropy"]) == {"90.0 ± 0.0"}
