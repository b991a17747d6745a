from dataclasses import replace

import numpy as np
import pytest

from mixlib import published, tables
from mixlib.claims import CONTRADICTED, INCONCLUSIVE, NOT_RUN, SUPPORTED
from mixlib.claims import ssmix as judge
from mixlib.protocols import ssmix as protocol
from mixlib.runs import RunSpec
from mixlib.store import Store
from tests.fabricate import record, records, study

PARTS = (protocol.tableB1, protocol.table2, protocol.ratios, protocol.from_the_start)
RUNS = [spec for part in PARTS for spec in part("mini")]
STUDIES = [spec for part in (protocol.step_time, protocol.figure2) for spec in part("mini")]
# what the paper says: input level above hidden level, saliency above span, both above unknown words
GAIN = {"none": 0.0, "embedmix": 0.01, "tmix": 0.01, "unk": 0.005, "ssmix_nosal_nospan": 0.03, "ssmix_nosal": 0.04,
        "ssmix": 0.08}  # fmt: skip


def as_the_paper_says(spec):
    if spec.keep_state:
        return {"accuracy": -0.02}
    gain = GAIN[spec.method]
    if spec.dataset == "trec_fine":
        gain *= 2
    if spec.method == "ssmix" and spec.method_params["lam0"] != 0.1:
        gain -= 0.04
    return {"accuracy": gain}


def studied(times=None, distance=None):
    """Records of the studies: step times by method in plain steps, distances from the segment by method."""
    times = {"tmix": 2.1, "ssmix": 4.1, "ssmix_split": 6.0} | (times or {})
    distance = distance or {"ssmix": 0.3, "embedmix": 0.01, "tmix": 0.01}
    for spec in STUDIES:
        rng = np.random.default_rng(int(spec.key, 16))
        if spec.study == "step_time":
            plain = list(0.5 + 0.01 * rng.random(8))
            seconds = {m["label"]: [p * times.get(m["label"], 2.0) * (1 + 0.002 * rng.random()) for p in plain]
                       for m in protocol.TIMED}  # fmt: skip
            yield study(spec, {"tokens": 13.0, "seconds": {"none": plain, **seconds, "padded": [6 * p for p in plain]}})
        else:
            rows = [{"ratio": ratio, "method": m, "weight": 0.9, "along": 0.1, "distance": d + 0.002 * rng.random()}
                    for ratio in protocol.RATIOS_DRAWN for m, d in distance.items() for _ in range(5)]  # fmt: skip
            yield study(spec, {"rows": rows, "pictures": [], "accuracy": 0.7})


def judged(effect, noise=0.004, **kinds):
    made = [*records(RUNS, effect, noise), *studied(**kinds)]
    return judge.verdicts("mini", {r.spec: r for r in curved(made)})


def curved(made):
    """The runs of claim 14 with learning curves: mixing from the start reaches its best late."""
    starts = set(protocol.from_the_start("mini"))
    for r in made:
        if r.spec not in starts or r.spec.first_stage is not None:
            yield r
        elif r.spec.keep_state:
            yield replace(r, timing=r.timing | {"steps": 50})
        else:
            test = r.evaluations[0]["test"]
            late = [{"epoch": float(i), "step": 10 * i, "test": test | {"accuracy": 0.5}} for i in range(1, 9)]
            yield replace(r, evaluations=[*late, {"epoch": 9.0, "step": 90 + r.spec.seed, "test": test}])


def test_effects_as_claimed_are_supported():
    found = {k: v.verdict for k, v in judged(as_the_paper_says).items()}
    assert {k: v for k, v in found.items() if v != SUPPORTED} == {"ssmix-4": NOT_RUN}  # no large set at this scale


def test_reversed_effects_are_contradicted():
    found = judged(lambda s: {"accuracy": -as_the_paper_says(s)["accuracy"]}, times={"tmix": 1.5, "ssmix": 2.0},
                   distance={"ssmix": 0.05, "embedmix": 0.3, "tmix": 0.3})  # fmt: skip
    for number in (1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15):
        assert found[f"ssmix-{number}"].verdict == CONTRADICTED, found[f"ssmix-{number}"]


def test_no_effect_is_inconclusive():
    found = judged(lambda spec: {"accuracy": 0.0})
    for number in (1, 2, 3, 5, 6, 7, 8, 9, 10, 13):
        assert found[f"ssmix-{number}"].verdict == INCONCLUSIVE, found[f"ssmix-{number}"]


def test_every_claim_has_a_test_and_missing_runs_say_so(tmp_path):
    found = judge.verdicts("mini", Store(tmp_path))
    assert list(found) == list(published.claims("ssmix")["id"])
    assert {v.verdict for v in found.values()} == {NOT_RUN}


def test_the_evidence_can_be_traced_to_its_records():
    found = judged(as_the_paper_says)
    assert set(found["ssmix-13"].records) == {s.key for s in protocol.ratios("mini")}
    assert set(found["ssmix-11"].records) == {s.key for s in protocol.step_time("mini")}


def two(first, second, dataset="rte", method="ssmix"):
    """Records of one run in two stages; a stage is a list of (dev, test) accuracies, one an evaluation."""
    start = protocol.first_stage("mini", dataset, seeds=[0])[0]
    specs = (start, protocol.second_stage("mini", dataset, [method], seeds=[0])[0])
    made = []
    for spec, stage in zip(specs, (first, second), strict=True):
        rows = [{"epoch": 1.0, "step": 1, "dev": {"accuracy": d}, "test": {"accuracy": t}} for d, t in stage]
        dev = [d for d, _ in stage]
        made.append(replace(record(spec), evaluations=rows, selected=dev.index(max(dev)), selected_on="dev"))
    return made


@pytest.mark.parametrize(
    ("score", "expected"),
    [("second", 60.0), ("best", 50.0), ("published", 90.0)],
)
def test_three_scores_of_two_stages(score, expected):
    made = two([(0.7, 0.9), (0.8, 0.5)], [(0.75, 0.6), (0.6, 0.8)])  # stage 1 is ahead on dev, not on test
    data = tables.two_stages(made, score).set_index("method")["accuracy"]
    assert data["ssmix"] == pytest.approx(expected)
    assert data["none"] == pytest.approx(90.0 if score == "published" else 50.0)


def test_the_first_stage_wins_a_tie_and_a_lost_one_is_named():
    made = two([(0.8, 0.5)], [(0.8, 0.6)])
    assert tables.two_stages(made, "best").set_index("method")["accuracy"]["ssmix"] == 50.0
    with pytest.raises(ValueError, match="record of its first stage is not among those given"):
        tables.two_stages(made[1:], "best")
    with pytest.raises(ValueError, match="choose one of best, second, published"):
        tables.two_stages(made, "first")


def test_the_reported_split_and_the_papers_columns():
    made = two([(0.7, 0.9)], [(0.75, 0.6)])
    assert tables.two_stages(made, "published", {"rte": "dev"}).set_index("method")["accuracy"]["ssmix"] == 75.0
    spec = protocol.first_stage("full", "anli_r2", seeds=[0])[0]
    anli = replace(made[0], spec=spec)
    assert list(tables.two_stages([anli])["dataset"]) == ["anli_r2 valid", "anli_r2 test"]
    mnli = replace(made[0], spec=protocol.first_stage("full", "mnli", seeds=[0])[0])
    assert mnli.spec.dataset == "mnli_mismatched"
    assert list(tables.two_stages([mnli])["dataset"]) == ["mnli"]


def test_wins_are_counted_as_printed_and_as_measured():
    printed = tables.by_split(published.table("ssmix_table2"))
    made = records(list(protocol.table2("mini")), as_the_paper_says)
    data = tables.two_stages(made, "second")
    counts = tables.wins(printed, data, [("ssmix", "embedmix"), ("ssmix", "none")], baseline="none_long")
    assert list(counts.iloc[0]) == ["11 / 1 / 2", "7 / 0 / 0", "7 / 0 / 0"]  # the first is claim 2's own count
    assert counts.index[1] == "SSMix against no mixup, as many updates"


def test_table_a1_has_all_columns_and_says_what_is_not_to_be_had():
    printed = tables.by_split(published.table("ssmix_tableA1"))
    data = tables.two_stages(records(protocol.table2("mini"), as_the_paper_says), "best")
    table = tables.variances(printed, data, {"qqp": "not to be had offline"})
    assert table.shape == (14, 6)
    assert table.loc["qqp", "SSMix"].endswith("| not to be had offline")
    mean, deviation = table.loc["rte", "no mixup"].split(" | ")[1].rstrip(")").split(" (")
    assert float(deviation) ** 2 == pytest.approx(float(mean), abs=0.1)


def test_leak_effects_compare_with_and_without():
    def effect(spec):
        return {"accuracy": -0.05 if spec.dropout_leak and spec.method != "ssmix" else 0.0}

    found = judge.leak_effects(records(protocol.dropout_leak("mini"), effect)).set_index(["method", "what"])
    assert found.loc[("embedmix", "change"), "mean"] == pytest.approx(-5, abs=0.5)
    assert found.loc[("embedmix", "lead with the leak"), "mean"] == pytest.approx(5, abs=0.5)
    assert abs(found.loc[("embedmix", "lead"), "mean"]) < 0.5
    assert found.loc[("embedmix", "change"), "decided"]
    assert isinstance(RUNS[0], RunSpec)
