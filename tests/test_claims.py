import pytest

from mixlib import claims, published
from mixlib.claims import (
    CONTRADICTED,
    INCONCLUSIVE,
    NO_VERDICT,
    NOT_RUN,
    SUPPORTED,
    amplify,
    batchmixup,
    directions,
    ssmix,
)
from mixlib.claims import mixup_calibration as judge
from mixlib.protocols import mixup_calibration as protocol
from mixlib.runs import RunSpec
from mixlib.store import Store
from mixlib.tables import Comparison
from tests.fabricate import records

SPECS = [s for t in ("table2", "table3", "table4", "table5") for s in getattr(protocol, t)("mini")]


def judged(effect, noise=0.004):
    """The verdicts on fabricated records; a dictionary stands in for the folder of records."""
    store = {record.spec: record for record in records(SPECS, effect, noise)}
    return judge.verdicts("mini", store)


def as_the_paper_says(spec):
    """Effects as the paper claims them, all large against the noise."""
    few = protocol.size_label(spec) == "32"
    shift = {}
    if spec.dataset in ("imdb", "ag_news") and spec.method != "none":
        token = spec.method != "cls_mixup"
        shift = {"accuracy": 0.02 + 0.02 * token, "nll": -0.15, "ece": -0.08}
        if few:
            shift = {"accuracy": 0.06 + 0.04 * token, "nll": -0.35, "ece": -0.12}
        if spec.method == "manifold_mixup":
            shift["ece"] -= 0.05
    if spec.dataset == "cola" and spec.method in ("input_mixup", "manifold_mixup"):
        shift = {"mcc": -0.08, "nll": -0.1, "ece": -0.05 if spec.method == "input_mixup" else -0.15}
    if spec.dataset in ("cola", "rte", "boolq"):
        if spec.method == "none":
            shift["losses"] = [0.6, 0.5, 1.5 + 0.001 * spec.seed]
        if spec.method == "cls_mixup":
            shift |= {"nll": -0.2, "ece": -0.1, "losses": [0.4, 0.35, 0.5 + 0.002 * spec.seed]}
        if spec.method == "cls_mixup_late":
            shift |= {"accuracy": 0.05, "mcc": 0.08}
    padding = spec.method_params.get("padding", "")
    if spec.dataset == "sst2":
        order = {"sep_pair": 0.08, "pad_pair": 0.04, "unused_pair": 0.04, "no_pad": 0.0}
        shift = {"accuracy": order.get(padding, -0.08)}
    return shift


def reverse(spec):
    shift = as_the_paper_says(spec)
    turned = {k: -v for k, v in shift.items() if k != "losses"}
    if spec.method in ("none", "cls_mixup") and "losses" in shift:
        turned["losses"] = [0.4, 0.35, 0.5] if spec.method == "none" else [0.6, 0.5, 1.5 + 0.001 * spec.seed]
    return turned


def test_effects_as_claimed_are_supported():
    found = judged(as_the_paper_says)
    wrong = {k: v for k, v in found.items() if v.verdict != SUPPORTED}
    # claims 3 and 8 exclude each other: the paper itself has CoLA below the plain model
    assert set(wrong) <= {"mixup_calibration-3", "mixup_calibration-9"}, wrong
    assert found["mixup_calibration-3"].verdict == CONTRADICTED
    assert found["mixup_calibration-9"].verdict in (SUPPORTED, INCONCLUSIVE)


def test_reversed_effects_are_contradicted():
    found = judged(reverse)
    contradicted = {k for k, v in found.items() if v.verdict == CONTRADICTED}
    assert contradicted >= {f"mixup_calibration-{i}" for i in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15)}


def test_no_effect_supports_no_direction():
    found = judged(lambda spec: {}, noise=0.05)
    for i in (1, 2, 4, 6, 7, 8, 10, 12, 13, 14):
        assert found[f"mixup_calibration-{i}"].verdict == INCONCLUSIVE


def test_a_plain_model_at_chance_says_nothing_about_cola():
    found = judged(lambda s: {"mcc": -0.5} if s.dataset == "cola" else {}, noise=0.02)
    verdict = found["mixup_calibration-8"]
    assert verdict.verdict == INCONCLUSIVE
    assert "not above chance" in verdict.evidence


def test_missing_runs_are_not_run(tmp_path):
    found = judge.verdicts("mini", Store(tmp_path))
    assert {v.verdict for v in found.values()} == {NOT_RUN}
    assert "64 of its" not in found["mixup_calibration-12"].evidence
    assert "80 of its 80 runs are missing" in found["mixup_calibration-12"].evidence


def test_all_claims_of_the_paper_are_judged():
    assert set(judge.verdicts("full")) == set(published.claims("mixup_calibration")["id"])


def test_beating_one_rival_is_not_being_the_best():
    order = {"sep_pair": 0.04, "pad_pair": 0.045, "unused_pair": -0.1}
    found = judged(lambda s: {"accuracy": order.get(s.method_params.get("padding", ""), 0.0)}, noise=0.02)
    assert found["mixup_calibration-13"].verdict == INCONCLUSIVE


def comparison(mean, decided):
    return Comparison("c", mean, mean - 1, mean + 1, 0.01 if decided else 0.5, 6, decided)


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([(1, True), (1, False)], SUPPORTED),
        ([(1, True), (1, False), (1, False)], INCONCLUSIVE),
        ([(1, True), (-1, True)], INCONCLUSIVE),
        ([(1, False), (-1, True)], CONTRADICTED),
        ([(1, False), (-1, False)], INCONCLUSIVE),
    ],
)
def test_the_rule_for_directions(pairs, verdict):
    assert directions([comparison(*pair) for pair in pairs]).verdict == verdict


def test_verdicts_trace_to_their_records():
    found = judged(lambda spec: {})
    keys = {s.key for s in protocol.table5("mini")}
    assert set(found["mixup_calibration-12"].records) == keys


def test_table_names_the_scale(store_folder):
    table = claims.table("mixup_calibration", "full")
    assert set(table["scale"]) == {"full"}
    assert set(table["verdict"]) == {NOT_RUN}
    assert list(claims.table("mixup_calibration", "mini", ids=["mixup_calibration-2"]).index) == ["mixup_calibration-2"]
    assert set(claims.table("ssmix", "mini")["verdict"]) == {NOT_RUN}


@pytest.mark.parametrize("seeds", [None, [0]])
@pytest.mark.parametrize("paper", [batchmixup, judge, ssmix, amplify])
def test_what_a_profile_leaves_out_is_not_judged_and_stops_nothing(paper, seeds):
    """``smoke`` runs few data sets, and one seed has no spread."""
    few = {} if seeds is None else {"seeds": seeds}
    specs = [spec for parts in paper.NEEDS.values() for part in parts for spec in part("smoke", **few)]
    made = records([spec for spec in specs if isinstance(spec, RunSpec)], lambda spec: {})
    verdicts = paper.verdicts("smoke", {r.spec: r for r in made}, **few)
    assert len(verdicts) == len(published.claims(paper.protocol.PAPER))
    assert any(verdict.records for verdict in verdicts.values())
    assert all(verdict.evidence for verdict in verdicts.values())
    assert {verdict.verdict for verdict in verdicts.values()} <= {NOT_RUN, NO_VERDICT}


def test_synthetic_data_has_no_verdict():
    specs = [spec for table in (protocol.table2, protocol.table3) for spec in table("smoke")]
    found = judge.verdicts("smoke", {r.spec: r for r in records(specs, as_the_paper_says)})
    assert found["mixup_calibration-1"].verdict == NO_VERDICT
    assert "differences have the claimed sign" in found["mixup_calibration-1"].evidence
