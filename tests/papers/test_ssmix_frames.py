import re
from dataclasses import replace

import numpy as np
import pytest

from mixlib.evidence import plan, published, verdicts
from mixlib.papers.ssmix import frames, protocol
from mixlib.papers.ssmix.claims import OTHER_SETS
from mixlib.runs.engines import run_all
from tests.fabricate import record, records

TABLE_2, TABLE_B1 = published.table("ssmix_table2"), published.table("ssmix_tableB1")
SEEDS = list(range(4))
# over stage 1: going on without mixup gains 2 points, SSMix one more than that, TMix loses one
GAIN = {"none": 0.02, "embedmix": 0.02, "tmix": -0.01, "unk": 0.02, "ssmix_nosal_nospan": 0.01, "ssmix_nosal": 0.02,
        "ssmix": 0.03}  # fmt: skip


def effect(spec):
    return {"accuracy": 0.0 if spec.keep_state else GAIN[spec.method]}


def made(part, effect=effect, noise=0.0, **overrides):
    return records(part("mini", seeds=SEEDS, **overrides), effect, noise)


def two(first, second, dataset="sst2", method="ssmix"):
    """Records of one run in two stages; a stage is a list of (dev, test) accuracies, one an evaluation."""
    start = protocol.first_stage("mini", dataset, seeds=[0])[0]
    specs = (start, protocol.second_stage("mini", dataset, [method], seeds=[0])[0])
    found = []
    for spec, stage in zip(specs, (first, second), strict=True):
        rows = [{"epoch": 1.0, "step": 1, "dev": {"accuracy": d}, "test": {"accuracy": t}} for d, t in stage]
        dev = [d for d, _ in stage]
        found.append(replace(record(spec), evaluations=rows, selected=dev.index(max(dev)), selected_on="dev"))
    return found


@pytest.mark.parametrize(
    ("over", "changed"), [({}, {"TMix": 1, "UNK": -1}), ({"over": "unk"}, {"TMix": 1, "SSMix": 1})]
)
def test_losses_are_compared_with_the_method_that_is_named(over, changed):
    loss = {"tmix": 0.2, "unk": -0.2}
    runs = made(protocol.tableB1, lambda spec: {"nll": loss.get(spec.method, 0.0)})
    runs += made(protocol.table2, lambda spec: {"nll": loss.get(spec.method, 0.0)})
    shown = frames.losses(runs, **over)["SST-2"]
    for method, sign in changed.items():
        assert re.search(rf", {'[+]' if sign > 0 else '-'}[1-9]", shown[method])
    assert "[" not in shown["UNK" if over else "no mixup, stage 2"]


@pytest.mark.parametrize(("score", "expected"), [("last", 80.0), ("best", 50.0), ("published", 90.0)])
def test_three_scores_of_two_stages(score, expected):
    runs = two([(0.7, 0.9), (0.8, 0.5)], [(0.75, 0.6), (0.6, 0.8)], "trec_coarse")  # stage 1 is ahead on dev alone
    data = frames.frame_of_stages(runs, score).set_index("method")["accuracy"]
    assert data["ssmix"] == pytest.approx(expected)
    assert data["none"] == pytest.approx(90.0 if score == "published" else 50.0)


def test_the_first_stage_wins_a_tie_and_a_lost_one_is_named():
    runs = two([(0.8, 0.5)], [(0.8, 0.6)])
    assert frames.frame_of_stages(runs, "best").set_index("method")["accuracy"]["ssmix"] == 50.0
    with pytest.raises(ValueError, match="record of its first stage is not among those given"):
        frames.frame_of_stages(runs[1:], "best")
    with pytest.raises(ValueError, match="choose one of last, best, published"):
        frames.frame_of_stages(runs, "first")


def test_the_reported_split_and_the_papers_columns():
    runs = two([(0.7, 0.9)], [(0.75, 0.6)])
    assert frames.frame_of_stages(runs, "published").set_index("method")["accuracy"]["ssmix"] == 75.0
    spec = protocol.first_stage("full", "anli_r2", seeds=[0])[0]
    anli = replace(runs[0], spec=spec)
    own = {"accuracy": {"anli_r2 valid": 70.0, "anli_r2 test": 90.0}}
    assert frames.frame_of_stages([anli], "last").set_index("dataset")[["accuracy"]].to_dict() == own
    assert list(frames.frame_of_stages([anli], "best")["dataset"]) == ["anli_r2 test"]  # chosen on the others
    mnli = replace(runs[0], spec=protocol.first_stage("full", "mnli", seeds=[0])[0])
    assert mnli.spec.dataset == "mnli_mismatched"
    assert list(frames.frame_of_stages([mnli], "last")["dataset"]) == ["mnli"]


def test_differences_are_to_a_second_stage_without_mixup_and_the_papers_rule_stands_beside():
    table = frames.beside(TABLE_2, made(protocol.table2))
    sst2, mean = (table.xs(name) for name in ("SST-2, 400 rows (paper 67,349)", "mean of these 4"))
    assert sst2.loc["SSMix"].tolist() == ["93.10", "83.0 ± 0.0", "+0.14", "+1.0 [1.0, 1.0]", "+3.0 [3.0, 3.0]"]
    assert sst2.loc["TMix"].tolist()[3:] == ["-3.0 [-3.0, -3.0]", "= stage 1"]
    assert sst2.loc["no mixup, stage 1", "measured Δ"] == "-2.0 [-2.0, -2.0]"
    assert sst2.loc["no mixup, stage 2"].tolist()[:3] == ["–", "82.0 ± 0.0", ""]
    printed = [93.10 - 92.96, 97.60 - 97.08, 90.24 - 86.68, 91.54 - 91.28]
    assert mean.loc["SSMix", "printed Δ"] == f"{np.mean(printed):+.2f}"
    assert len(table) == 5 * 7


def test_the_mean_of_the_table_is_the_estimate_of_the_claim():
    """From the committed records: the last rows of Table 2 and the judgement of claim 1 are one number."""
    decided = replace(plan.decided(), alive={name: ["accuracy"] for name in plan.decided().seeds})
    found = run_all(protocol.table2("mini"), read_only=True, progress=False)
    judged = verdicts.verdicts(ids=["ssmix-1"], records=verdicts.Records(decided=decided))["ssmix-1"].judgement
    shown = frames.beside(TABLE_2, found)["measured Δ"].iloc[-7:].droplevel(0)["SSMix"]
    assert shown == f"{judged.estimate:+.1f} [{judged.low:.1f}, {judged.high:.1f}]"


def test_what_was_not_measured_is_one_line_with_reasons():
    line = frames.not_measured(TABLE_2, made(protocol.table2), OTHER_SETS)
    assert "QQP, ANLI (not available offline)" in line
    assert "SST-2" not in line
    full = records(protocol.table2("full", seeds=[0, 1]), effect)
    assert frames.not_measured(TABLE_2, full, OTHER_SETS) == "All printed columns are measured."


def test_the_whole_paper_fits_the_tables_as_well():
    full = records(protocol.tableB1("full", seeds=[0, 1]), effect, 0.004)
    table = frames.beside(TABLE_B1, full)
    assert "ANLI R3 valid, 162,865 rows" in table.index.get_level_values(0)  # no "(paper ...)" at the paper's size
    assert len(table) == (14 + 1) * 6


def test_rules_of_the_score_give_a_do_nothing_method_its_gain():
    rules = frames.rules(made(protocol.table2))
    assert list(rules) == list(frames.RULES.values())
    assert rules.loc["no mixup, stage 2", frames.RULES["last"]] == "+2.0 [2.0, 2.0]"


def test_contrasts_count_columns_as_printed_and_as_measured():
    table = frames.contrasts(TABLE_2, made(protocol.table2), [("ssmix", "embedmix"), ("ssmix", "none")])
    assert table.iloc[0, :2].tolist() == ["11 / 1 / 2", "4 / 0 / 0"]  # the first is claim 2's own count
    assert table.iloc[1, 3] == "+1.0 [1.0, 1.0]"
    assert table.index[1] == "SSMix over no mixup"


def test_table_a1_has_the_measured_columns_with_variances():
    table = frames.variances(published.table("ssmix_tableA1"), made(protocol.table2, noise=0.01))
    assert table.shape == (4, 6)
    variance, deviation = table.loc["SST-2", "SSMix"].split(" | ")[1].rstrip(")").split(" (")
    assert float(deviation) ** 2 == pytest.approx(float(variance), abs=0.2)


def test_losses_are_compared_by_their_ratio():
    table = frames.losses(made(protocol.table2, lambda s: {"nll": -0.3 if s.method == "ssmix" else 0.0}))
    assert table.loc["SSMix", "SST-2"] == "30.0, -50% [-50, -50]"
    assert table.loc["no mixup, stage 2", "SST-2"] == "60.0"


def test_shares_are_compared_with_the_papers_and_none_is_a_stage_without_mixup():
    def by_share(spec):
        return {"accuracy": {0.5: -0.01}.get(spec.method_params.get("lam0"), 0.0)}

    table = frames.ratio_table(frames.ratio_frame(made(protocol.ratios, by_share)))
    assert list(table.index) == [(d, s) for d in ("SST-2", "TREC-coarse") for s in ("no mixup", "0.01", "0.1", "0.5")]
    assert table.loc[("SST-2", "0.5"), "difference from 0.1"] == "-1.0 [-1.0, -1.0]"
    assert table.loc[("SST-2", "0.1"), "difference from 0.1"] == ""


def curved(spec):
    """A record with as many evaluations as its cell has; SSMix from the start is behind until its last epoch."""
    epochs, every = spec.num_train_epochs, spec.eval_epochs
    at = range(every, epochs + 1, every)
    late = spec.method == "ssmix" and spec.first_stage is None
    rows = [{"epoch": float(e), "step": e, "curve": {"accuracy": 0.5 if late and e < epochs else 0.8},
             "dev": {"accuracy": 0.7}, "test": {"accuracy": 0.9, "nll": 0.3}} for e in at]  # fmt: skip
    return replace(record(spec), evaluations=rows, selected_on="dev")


def test_two_stages_and_the_start_are_compared_where_the_first_stage_ends_and_at_the_last_update():
    runs = [curved(spec) for spec in protocol.from_the_start("mini", seeds=SEEDS)]
    table = frames.start_table(runs)
    middle, end = table.columns
    assert "after 5 of 8 epochs" in middle
    assert "after all 8" in end
    assert table.loc["two stages − from the start, SSMix"].tolist() == ["+30.0 [30.0, 30.0]", "+0.0 [0.0, 0.0]"]
    curve = frames.curves(runs)
    assert curve.groupby("way")["epoch"].unique().map(list).to_dict() == {
        "no mixup, then SSMix": [5, 8], "no mixup, then no mixup": [5, 8],
        "SSMix from the start": list(range(1, 9)), "no mixup from the start": list(range(1, 9)),
    }  # fmt: skip


def test_leak_effects_compare_with_and_without():
    def leaky(spec):
        return {"accuracy": -0.05 if spec.dropout_leak and spec.method != "ssmix" else 0.0}

    found = frames.leak_effects(records(protocol.dropout_leak("mini"), leaky)).set_index(["method", "what"])
    assert found.loc[("embedmix", "change"), "mean"] == pytest.approx(-5, abs=0.5)
    assert found.loc[("embedmix", "lead with the leak"), "mean"] == pytest.approx(5, abs=0.5)
    assert abs(found.loc[("embedmix", "lead"), "mean"]) < 0.5
    assert found.loc[("embedmix", "change"), "decided"]
