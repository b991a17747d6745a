import numpy as np
import pandas as pd
import pytest

from mixlib.evidence import published
from mixlib.papers.amplify import frames as judge
from mixlib.papers.amplify import protocol
from tests.fabricate import by_method, records, study


def fair(spec):
    """Unrelated labels cost a baseline 2 points, AMPLIFY's mean head brings 3, types 1, the schedule nothing."""
    accuracy = 0.01 if spec.method == "amplify" else 0.0
    if spec.method_params.get("label_perm") == "independent":
        accuracy -= 0.02
    if spec.head != "own":
        accuracy += 0.03 if spec.method == "amplify" or spec.head == "mean" else -0.01
    return {"accuracy": accuracy}


def test_factor_effects_find_what_was_put_in():
    effects = judge.factor_effects(records(protocol.fairness("mini"), fair, noise=1e-4))
    by = effects.set_index(["dataset", "rival", "factor"])
    assert set(effects["factor"]) == set(judge.FACTORS)
    for dataset, typed in (("mrpc", 1.0), ("trec_fine", 0.0)):  # single texts have no types to leave out
        for rival in protocol.BASELINES:
            row = by.loc[dataset, rival]
            assert row.loc["as stated", "lead"] == pytest.approx(1, abs=0.05)
            assert row.loc["labels", "change"] == pytest.approx(2, abs=0.05)
            assert row.loc["head", "change"] == pytest.approx(3 + typed, abs=0.05)
            assert row.loc["schedule", "change"] == pytest.approx(0, abs=0.05)
            assert row.loc["all three", "change"] == pytest.approx(5 + typed, abs=0.05)
            assert row.loc["labels", "decided"]
        assert by.loc[(dataset, "none", "labels"), "change"] == 0
    row = by.loc["mrpc", "embedmix", "labels"]
    assert row["printed"] == 1.04
    assert row["share"] == pytest.approx(100 * 2 / 1.04, rel=0.05)


def test_draws_are_compared_with_the_papers_number_and_with_no_mixup():
    gain = {1: -0.05, 3: 0.0, 5: 0.02, 7: 0.01, 9: 0.0, 20: 0.0}
    made = records(protocol.table1("mini"), lambda s: {"accuracy": gain.get(s.method_params.get("n"), 0.0)}, noise=1e-6)
    data = judge.measured(made, param="n")
    table = judge.by_draws(published.table("amplify_table1"), data, judge.sizes(data))
    assert list(table.index) == [
        ("TREC-coarse, 500 rows (paper 4,089)", row)
        for row in ("no mixup", "n = 1", "n = 3", "n = 5", "n = 7", "n = 9", "n = 20")
    ]
    one, five = table.iloc[1], table.iloc[3]
    assert one["measured, minus no mixup"].startswith("-5.0 [")
    assert one["measured, n = 5 minus this"].startswith("+7.0 [")
    assert (one["published"], one["published, n = 5 minus this"]) == ("96.60", "+0.00")
    assert (five["measured, n = 5 minus this"], five["published, n = 5 minus this"]) == ("", "")


def test_what_wrong_labels_cost_beside_what_they_cost_amplify():
    lost = {"none": 0.10, "embedmix": 0.06, "amplify": 0.08, "tmix": 0.08, "sentencemix": 0.08}
    made = records(protocol.noise("mini"), lambda s: {"accuracy": -5 * s.label_noise * lost[s.method]}, noise=1e-6)
    table = judge.lost_to_noise(made).loc["TREC-coarse", "20%"]
    assert table.loc["no mixup", "lost"].startswith("+10.0 [")
    assert table.loc["EmbedMix", "lost, minus AMPLIFY's"].startswith("-2.0 [")
    assert table.loc["AMPLIFY", "lost, minus AMPLIFY's"] == ""
    assert table.loc["AMPLIFY", ["all labels right", "labels wrong"]].tolist() == ["80.0", "72.0"]


def test_training_losses_are_compared_as_ratios_to_amplifys():
    def losses(spec):
        size = 2.0 if spec.method == "tmix" else 1.0
        return {"train_losses": [size * (0.5 + 0.1 * (-1) ** i) for i in range(24)]}

    table = judge.training_losses(records(protocol.figure3("mini"), losses, noise=1e-6))
    row = table.loc["SST-2", "TMix"]
    assert row["training loss"] == "1.000"
    assert row["training loss / AMPLIFY's"] == row["its unsteadiness / AMPLIFY's"] == "2.00 [2.00, 2.00]"
    assert table.loc[("SST-2", "AMPLIFY"), "training loss / AMPLIFY's"] == ""
    assert ("MRPC", "TMix") not in table.index


def test_the_papers_name_of_a_data_set_is_found_at_full():
    made = records([s for s in protocol.table2("full") if s.dataset in ("yelp_polarity", "mrpc")], lambda s: {})
    assert set(judge.measured(made)["dataset"]) == {"yelp5", "mrpc"}


def test_the_tables_of_the_fairness_experiment_show_what_was_put_in():
    made = records(protocol.fairness("mini"), fair, noise=1e-4)
    table = judge.effects_by_rival(judge.factor_effects(made)).loc["TREC-fine"]
    assert table.loc["EmbedMix", "printed lead"] == "+1.00"
    assert table.loc["EmbedMix", "change by labels"].startswith("+2.0 [")
    assert table.loc["no mixup", "change by labels"] == "has none"
    heads = judge.by_head(judge.conditions(made))
    for dataset in ("TREC-fine", "MRPC"):
        for head in ("own head", "mean head"):
            assert heads.loc[(dataset, head), "AMPLIFY minus no mixup"].startswith("+1.0 ["), (dataset, head)
    added = heads.loc["MRPC", "mean head minus own head"]
    assert [value.partition(" ")[0] for value in added] == ["+3.0", "+3.0", "+0.0"] or added.iloc[2].startswith("-0.0")
    assert ("MRPC", "own head, its pooler trained first") not in heads.index  # not run there
    assert ("TREC-fine", "EmbedMix", "unrelated labels") in judge.every_condition(judge.conditions(made)).index
    assert set(judge.of_labels(made).index) == {
        (name, label) for name in ("MRPC", "TREC-fine") for label in ("EmbedMix", "SentenceMix", "TMix")
    }


def test_heads_are_taken_apart_again_in_the_cells_of_the_evidence():
    """As in `fair`; and mixing after a first stage gains half a point. First stages are compared with nothing."""

    def scores(spec):
        if spec.keep_state:
            return {"accuracy": 0.4}
        return {"accuracy": 0.005 * (spec.method == "amplify")} if spec.first_stage else fair(spec)

    made = records(protocol.heads("mini", seeds=range(100, 106)), scores, noise=1e-4)
    effects = judge.factor_effects(made, factors=judge.FACTORS_AGAIN)
    by = effects.set_index(["rival", "factor"])
    assert set(effects["factor"]) == set(judge.FACTORS_AGAIN)
    assert by.loc[("none", "as stated"), "lead"] == pytest.approx(1, abs=0.05)
    assert by.loc[("none", "head"), "change"] == pytest.approx(3, abs=0.05)
    assert by.loc[("none", "head"), "lead"] == pytest.approx(4, abs=0.05)
    for rival in judge.RIVALS:
        assert by.loc[(rival, "trained pooler"), "lead"] == pytest.approx(0.5, abs=0.05)
    assert by.loc[("tmix", "trained pooler"), "interval"] == ""  # nothing to compare with: not run as stated
    table = judge.effects_by_rival(effects).loc["TREC-fine"]
    assert table.loc["TMix", "lead with trained pooler"].startswith("+0.5 [")
    heads = judge.by_head(judge.conditions(made)).loc["TREC-fine", "AMPLIFY minus no mixup"]
    assert heads["mean head"].startswith("+1.0 [")
    assert heads["own head, its pooler trained first"].startswith("+0.5 [")
    assert set(judge.factor_effects(made)["factor"]) == {"as stated", "labels", "head"}  # for no mixup, without labels


def test_attention_is_shown_by_method_and_compared_by_seed():
    crossing = {"amplify": 0.2, "embedmix": 0.5, "none": 0.4}
    made = []
    for spec in protocol.attention("mini"):
        c = crossing[spec.params["run"]["method"]] + 1e-6 * np.random.default_rng(int(spec.key, 16)).random()
        made.append(study(spec, {"accuracy": 0.7, "crossing": c, "crossing_made": [c, c],
                                 "resolved": {"animal": c, "too": c, "tired": c}}))  # fmt: skip
    table = judge.attention_by_method(judge.attention_frame(made), {"crossing_made": "crossing,\nmade pairs"})
    row = table.loc["crossing, made pairs"]
    assert row[["AMPLIFY", "EmbedMix", "no mixup"]].tolist() == ["20.0", "50.0", "40.0"]
    assert row["AMPLIFY minus EmbedMix"].startswith("-30.0 [")


def test_gains_of_the_small_and_of_the_whole_model():
    def effect(spec):
        return {"accuracy": 0.0 if spec.method == "none" else 0.01 if spec.model.endswith("[::2]") else 0.03}

    specs = protocol.table3("mini")
    gains = judge.small_and_whole(records(specs, effect, noise=0))
    means = gains.groupby("model", sort=False)["gain"].mean()
    assert means.tolist() == pytest.approx([1, 3])
    assert isinstance(gains, pd.DataFrame)
    assert len(gains) == len({(spec.model, spec.seed) for spec in specs})


def test_variances_stand_beside_the_printed_ones():
    printed = pd.DataFrame(
        [("mrpc", "none", "0.2"), ("mrpc", "amplify", "0.1"), ("yelp5", "none", "0.3"), ("yelp5", "amplify", "0.4")],
        columns=["dataset", "method", "value_printed"],
    )
    data = pd.DataFrame({"dataset": ["mrpc"] * 3, "method": ["none"] * 3, "accuracy": [70.0, 72.0, 74.0]})
    table = judge.variances(printed, data)
    assert table.loc["mrpc"].tolist() == ["0.2 | 4.00 (2.0)", "0.1 | not run"]
    assert table.loc["yelp5", "no mixup"] == "0.3 | not run"


def test_data_sets_are_named_with_their_sizes_for_readers():
    data = by_method((0, 1, 2), amplify=1.0)
    assert judge.sizes(data) == {"sst2": "SST-2, 400 rows (paper 67,349)", "mrpc": "MRPC, 3,668 rows"}
    assert judge.sizes(data, beside_paper=False) == {"sst2": "SST-2, 400 rows", "mrpc": "MRPC, 3,668 rows"}


def test_changes_are_paired_differences_by_data_set():
    table = judge.changes(by_method(amplify=1.2, embedmix=-2.0), {"sst2": "a", "mrpc": "b"})
    assert list(table.index) == ["a", "b"]
    assert list(table) == ["no mixup", "EmbedMix", "AMPLIFY"]
    assert table.loc["a", "no mixup"] == "81.0 ± 1.4"
    # differences 1.2 and 1.32: 1.26 plus and minus 12.706 times 0.06
    assert table.loc["a", "AMPLIFY"] == "+1.3 [0.5, 2.0]"
