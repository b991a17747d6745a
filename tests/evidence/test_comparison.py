"""All methods under one protocol: what each gains over the plain model, their ranks, and ensembles."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mixlib.evidence import comparison, judgements, statistics
from mixlib.papers.common import pool
from mixlib.runs.predictions import Predictions
from tests.fabricate import records


def scores(values: dict[tuple[str, str], list[float]], score: str = "accuracy", scaled: bool = False) -> pd.DataFrame:
    rows = [
        (data_set, method, 100 + i, score, scaled, value)
        for (data_set, method), of in values.items()
        for i, value in enumerate(of)
    ]
    return pd.DataFrame(rows, columns=["data_set", "method", "seed", "score", "scaled", "value"])


def test_differences_are_paired_by_seed_and_turned_so_that_more_is_better():
    table = scores({("a", "none"): [80.0, 82.0], ("a", "tmix"): [81.0, 85.0], ("b", "none"): [50.0, 50.0]})
    (name, change), *rest = comparison.differences(table, "accuracy", "tmix").items()
    assert (name, change.to_dict(), rest) == ("a", {100: 1.0, 101: 3.0}, [])
    losses = scores({("a", "none"): [50.0, 40.0], ("a", "tmix"): [40.0, 50.0]}, "nll")
    assert comparison.differences(losses, "nll", "tmix")["a"].tolist() == pytest.approx([np.log(1.25), -np.log(1.25)])
    assert comparison.differences(losses, "nll", "tmix", scaled=True) == {}


def test_a_method_is_called_better_worse_or_level():
    generator = np.random.default_rng(0)
    plain = {name: 80 + generator.normal(0, 1, 8) for name in "abcde"}
    effects = {"up": 3.0, "down": -3.0, "level": 0.0}
    values = {(name, "none"): list(v) for name, v in plain.items()}
    for method, effect in effects.items():
        values |= {(name, method): list(v + effect + generator.normal(0, 0.8, 8)) for name, v in plain.items()}
    found = comparison.against_plain(scores(values), ["none", *effects], "accuracy")
    assert found["category"].to_dict() == {"up": "better", "down": "worse", "level": "no difference that matters"}
    assert found.loc["level", "words"].startswith("no difference larger than")
    assert (found["p_holm"] >= found["p"]).all()
    ranked = comparison.ranks(scores(values), ["none", *effects], "accuracy")
    assert list(ranked.index[[0, -1]]) == ["up", "down"]
    assert ((ranked["low"] <= ranked["rank"]) & (ranked["rank"] <= ranked["high"])).all()


def test_losses_are_shown_in_percent_of_the_plain_model():
    losses = scores({("a", "none"): [50.0] * 5, ("a", "tmix"): [40.0, 41.0, 39.0, 40.0, 40.0]}, "nll")
    found = comparison.in_percent(losses, ["tmix"], "nll")
    assert found.loc["tmix", "estimate"] == pytest.approx(20, abs=0.1)
    assert found.attrs["margin"] == pytest.approx(100 * (1 - 1 / 1.1))


def test_where_nothing_is_compared_tables_are_empty():
    alone = scores({("a", "none"): [50.0] * 5}, "nll")
    assert comparison.in_percent(alone, ["none", "tmix"], "nll").empty
    assert comparison.by_rate({"half": alone}, ["tmix"], "nll").empty
    raw = pd.concat(
        [scores({("a", "none"): [50.0] * 5, ("a", "tmix"): [51.0] * 5}, score) for score in comparison.PANELS]
    )
    assert comparison.in_words(raw, ["tmix"], scaled=True).empty  # runs without development rows have no temperature
    shown = comparison.panels(raw, ["tmix"])["NLL: % saved"]
    assert list(shown[comparison.RAW].index) == ["tmix"]
    assert shown[comparison.SCALED].empty


def test_variants_of_a_method_are_not_taken_for_seeds():
    specs = [spec for n in (1, 5) for spec in pool.on("sst2").specs([100, 101], ["amplify"])
             for spec in [replace(spec, method_params=spec.method_params | {"n": n})]]  # fmt: skip
    assert len(comparison.labelled(records(specs[:2], lambda spec: {}))["sst2", "amplify"]) == 2
    with pytest.raises(ValueError, match="amplify has several runs on sst2 with one seed"):
        comparison.labelled(records(specs, lambda spec: {}))


def test_too_few_seeds_are_named_and_a_decided_mean_says_where_data_sets_differ():
    one = judgements.judge(statistics.Part("x", {"a": pd.Series([0.5])}, 1.0))
    assert comparison.said(one) == "undecided: 1 seeds on a, at least 4 are needed"
    apart = {"a": pd.Series([5.0, 5.1, 4.9, 5.0]), "b": pd.Series([-1.0, -1.1, -0.9, -1.0])}
    assert comparison.said(judgements.judge(statistics.Part("x", apart, 1.0))).startswith(
        "better, data sets differ: +2.0 ["
    )


def test_undecided_says_where_data_sets_differ():
    generator = np.random.default_rng(3)
    plain = {name: 80 + generator.normal(0, 0.1, 6) for name in "abc"}
    effects = {"apart": (2.0, -2.0, 0.0), "wide": (0.0, 0.0, 0.0)}
    values = {(name, "none"): list(v) for name, v in plain.items()}
    for method, by_set in effects.items():
        spread = 0.1 if method == "apart" else 4.0
        values |= {(name, method): list(v + effect + generator.normal(0, spread, 6))
                   for (name, v), effect in zip(plain.items(), by_set, strict=True)}  # fmt: skip
    found = comparison.against_plain(scores(values), list(effects), "accuracy")["words"]
    assert found["apart"].startswith("undecided, data sets differ: ")
    assert found["wide"].startswith("undecided: ")


def test_gains_at_several_rates_are_in_points_or_percent_of_the_loss():
    losses = scores({("a", "none"): [50.0] * 5, ("a", "tmix"): [40.0, 41.0, 39.0, 40.0, 40.0]}, "nll")
    accuracies = scores({("a", "none"): [80.0] * 5, ("a", "tmix"): [81.0, 82.0, 83.0, 81.0, 83.0]})
    table = pd.concat([losses, accuracies])
    assert comparison.by_rate({"half": table}, ["tmix"]).loc["tmix", "half"].startswith("+2.0 [0.")
    assert comparison.by_rate({"half": table}, ["tmix"], "nll").loc["tmix", "half"].startswith("+20.0 [1")


def test_what_a_temperature_does_is_the_mean_over_seeds_of_one_method():
    runs = comparison.labelled(
        records(pool.POOL[0].specs([100, 101], ["none", "tmix"]), lambda s: {"nll": 0.1}, noise=0)
    )
    for record in (record for found in runs.values() for record in found):
        record.scaled.update(temperature=2.0 + record.spec.seed % 2, nll=0.3, ece=0.05)
        record.last["ece"] = 0.2
    raw = 100 * np.mean([record.last["nll"] for record in runs["sst2", "none"]])
    assert comparison.temperatures(runs).to_dict("index") == {
        "sst2": {"temperature": "2.50", "NLL x100": f"{raw:.1f} → 30.0", "ECE %": "20.0 → 5.0"}
    }


def test_an_ensemble_is_the_mean_of_probabilities_on_common_rows():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 400)
    digests = [i.to_bytes(4, "big") for i in range(400)]
    logits = [2 * np.eye(3)[labels] + generator.normal(0, 2, (400, 3)) for _ in range(4)]
    members = [Predictions.from_logits({"test": (each, labels, digests)}) for each in logits]
    parts = (digests[:100], digests[100:200], digests[200:300], digests[300:])
    apart = [
        Predictions.from_logits({"test": (each[:100], labels[:100], some)}, {"test": digests})
        for each, some in zip(logits, parts, strict=True)
    ]
    found = comparison.ensembles({"shared": members, "apart": apart}, resamples=200)
    assert list(found.values.index) == ["shared"]
    mean = np.mean([np.exp(each["test"].log_probs) for each in members], axis=0)
    right = 100 * (mean.argmax(1) == members[0]["test"].labels).mean()
    assert re.search(r"→ ([\d.]+)", found.values.loc["shared", "accuracy %"])[1] == f"{right:.1f}"
    assert (found.estimates["low"] > 0).loc[["accuracy", "nll"]].all()
    assert list(found.gains.index) == ["as trained"]
    none = comparison.ensembles({"apart": apart})
    assert "no data set has 200 test rows" in none.values.to_string()
    assert none.estimates.empty


def test_an_ensemble_of_scaled_seeds_is_compared_with_scaled_seeds():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 400)
    digests = [i.to_bytes(4, "big") for i in range(400)]
    logits = [sharper * (np.eye(3)[labels] + generator.normal(0, 1, (400, 3))) for sharper in (2, 5, 9)]
    members = [Predictions.from_logits(dict.fromkeys(("dev", "test"), (each, labels, digests))) for each in logits]
    assert max(member.temperature for member in members) > 2
    raw, scaled = (comparison.ensembles({"one": members}, each, resamples=200) for each in (False, True))
    assert list(scaled.gains.index) == ["every seed scaled"]
    alone, together = map(float, scaled.values.loc["one", "NLL x100"].split(" → "))
    assert alone == pytest.approx(100 * np.mean([each.scaled_metrics()["nll"] for each in members]), abs=0.06)
    probabilities = np.mean([np.exp(each["test"].scaled(each.temperature)) for each in members], axis=0)
    own = np.take_along_axis(probabilities, members[0]["test"].labels[:, None], 1)
    assert together == pytest.approx(-100 * np.log(own).mean(), abs=0.06)
    assert scaled.estimates.loc["nll", "estimate"] < raw.estimates.loc["nll", "estimate"] / 2


def test_the_calibration_error_of_an_ensemble_is_that_of_the_metrics():
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 4, 300)
    digests = [i.to_bytes(4, "big") for i in range(300)]
    (one,) = Predictions.from_logits({"test": (generator.normal(0, 3, (300, 4)), labels, digests)}).splits.values()
    found = comparison._row_scores(one.log_probs, one.labels)
    weights = np.full((1, 300), 1 / 300)
    wanted = one.metrics()
    for name in ("accuracy", "nll", "ece", "brier"):
        assert comparison._weighted(name, found, weights)[0] == pytest.approx(wanted[name], abs=1e-6)


def test_seeds_of_ranks_are_drawn_one_less_than_there_are():
    """The second method is first only if none of three of the six seeds is drawn: in 1 of 32 draws of five seeds, which
    a 95% interval includes, but in 1 of 64 draws of six."""
    gains = {"x": [0.0] * 6, "y": [-100.0, -100.0, -100.0, 1.0, 1.0, 1.0]}
    rows = [("a", m, seed, "accuracy", False, gain) for m, of in gains.items() for seed, gain in enumerate(of)]
    table = pd.DataFrame(rows, columns=["data_set", "method", "seed", "score", "scaled", "value"])
    found = comparison.ranks(table, ["x", "y"], "accuracy", resamples=20_000)
    assert found.loc["y", ["rank", "low", "high"]].tolist() == [2, 1, 2]


def test_the_time_of_training_is_the_mean_over_data_sets_of_the_ratio_of_median_times():
    seconds = {("a", "none"): [10, 20, 90], ("a", "tmix"): [30, 5, 50], ("b", "none"): [4], ("b", "tmix"): [8, 12, 16],
               ("b", "ssmix"): [14]}  # fmt: skip
    specs = pool.POOL[0].specs([100, 101, 102], ["none"])
    runs = {key: records(specs[: len(taken)], lambda spec: {}) for key, taken in seconds.items()}
    for key, taken in seconds.items():
        for record, of in zip(runs[key], taken, strict=True):
            record.timing["train_seconds"] = float(of)
    assert comparison.training_time(runs).to_dict() == {"none": 1.0, "ssmix": 3.5, "tmix": (1.5 + 3.0) / 2}


def test_the_margin_of_calibration_errors_is_that_of_the_plain_raw_ones():
    """A quarter of the mean of 3 and 5, whatever other methods, scores and scaled errors are, and at most 2 points."""
    plain = scores({("a", "none"): [2.0, 4.0, 3.0], ("b", "none"): [5.0], ("a", "tmix"): [90.0]}, "ece")
    others = scores({("a", "none"): [80.0]}), scores({("a", "none"): [60.0]}, "ece", scaled=True)
    assert comparison.margin(pd.concat([plain, *others]), "ece") == 1.0
    assert comparison.margin(scores({("a", "none"): [30.0]}, "ece"), "ece") == 2.0
    assert comparison.margin(plain, "accuracy") == 1.0


def test_runs_no_better_than_the_largest_class_are_counted_by_method_and_data_set():
    specs = pool.POOL[0].specs([100, 101, 102], ["none"])
    ended = {("a", "none"): [0.6, 0.7, 0.8], ("a", "tmix"): [0.5, 0.6, 0.61], ("b", "tmix"): [0.9, 0.9],
             ("b", "ssmix"): [0.59]}  # fmt: skip
    runs = {key: records(specs[: len(of)], lambda spec: {}) for key, of in ended.items()}
    for key, of in ended.items():
        for record, accuracy in zip(runs[key], of, strict=True):
            record.last["accuracy"], record.data["larger_class"] = accuracy, 0.6
    assert comparison.collapsed(runs).to_dict("index") == {
        "none": {"a": "1 of 3", "b": ""}, "tmix": {"a": "2 of 3", "b": ""}, "ssmix": {"a": "", "b": "1 of 1"}
    }  # fmt: skip
    assert comparison.collapsed({("b", "tmix"): runs["b", "tmix"]}).empty


def test_levels_of_the_plain_model_are_by_data_set_with_its_seeds():
    rows = [(d, "none", seed, score, False, 90.0 + seed) for d, n in (("sst2", 3), ("qnli", 2)) for seed in range(n)
            for score in ("accuracy", "nll")]  # fmt: skip
    table = pd.DataFrame(rows, columns=["data_set", "method", "seed", "score", "scaled", "value"])
    found = comparison.plain_levels({"half": table}).loc["half"]
    assert found["sst2", "accuracy %"] == "91.0"
    assert (found["sst2", "seeds"], found["qnli", "seeds"]) == ("3", "2")
    assert comparison.plain_levels({}).empty
