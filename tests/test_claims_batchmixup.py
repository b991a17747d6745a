import numpy as np
import pytest

from mixlib import published
from mixlib.claims import CONTRADICTED, INCONCLUSIVE, NOT_RUN, SUPPORTED
from mixlib.claims import batchmixup as judge
from mixlib.protocols import batchmixup as protocol
from mixlib.runs import RunSpec
from mixlib.store import Store
from tests.fabricate import records, study

PARTS = (protocol.table1, protocol.figure1, protocol.epoch_time, protocol.geometry)
SPECS = [spec for part in PARTS for spec in part("mini")]
SIZES = list(protocol.FRACTIONS)
METHODS = (*protocol.VARIANTS, "none_long")


def studies(ratio, box, toy):
    """Records of the studies: epoch time ratios by method and n, box sides by policy, toy accuracy gain."""
    for spec in SPECS:
        if isinstance(spec, RunSpec):
            continue
        rng = np.random.default_rng(int(spec.key, 16))
        if spec.study == "epoch_time":
            base = 0.4 + 0.01 * spec.seed
            by_n = {m: {str(n): [base * ratio(m, n) * (1 + 0.01 * spec.seed)] * 2 for n in (1, 5, 10, 15)}
                    for m in METHODS[1:4]}  # fmt: skip
            yield study(spec, {"batches_per_epoch": 80, "seconds": {"none": {"1": [base, base]}, **by_n}})
        elif spec.study == "geometry_of_policies":
            rows = [policy | {"rows": n, "box_side": box(policy) + rng.normal(0, 0.01), "spread": 0.1, "distance": 0.1,
                              "effective_rank": 5.0, "batch_rank": 6.0, "largest_share": 0.1}
                    for policy in protocol.POLICIES for n in (5, 8, 32)]  # fmt: skip
            yield study(spec, {"rows": rows})
        elif spec.study == "toy":
            gain = toy if spec.params["method"] == "batchmixup" else 0.0
            yield study(spec, {"accuracy": list(0.8 + gain + rng.normal(0, 0.02, 60))})
        else:
            yield study(spec, {})


def judged(effect, noise=0.004, ratio=None, box=None, toy=0.0):
    ratio = ratio or (lambda method, n: 1.0)
    box = box or (lambda policy: 0.5)
    made = [*records([s for s in SPECS if isinstance(s, RunSpec)], effect, noise), *studies(ratio, box, toy)]
    return judge.verdicts("mini", {record.spec: record for record in made})


GAIN = {"none": 0.0, "none_long": 0.0, "mixup": 0.03, "nonlinear_mixup": 0.06, "batchmixup": 0.10}


def as_the_paper_says(spec):
    size = protocol.size_label(spec)
    gain = GAIN[spec.method]
    if size == "1%" and spec.dataset == "rte":
        return {"accuracy": 0.527076 - 0.8}  # the majority rate
    if size == "1%" and spec.dataset == "fewrel75_none":
        gain = 0.0 if spec.method.startswith("none") else 0.3 + gain
    if (spec.dataset, size, spec.method) in (("banking77", "full", "mixup"), ("rte", "50%", "mixup")):
        gain = -0.04
    shift = -0.5 if spec.dataset != "rte" else -0.2
    if spec.method == "batchmixup":
        gain += 0.02 * SIZES.index(size)
    return {"accuracy": gain + shift}


def published_ratio(method, n):
    return 1.0 if method == "batchmixup" else float(n)


def filled(policy):
    return 0.9 if policy["policy"] == "elementwise" else 0.6


def test_effects_as_claimed_are_supported():
    found = judged(as_the_paper_says, ratio=published_ratio, box=filled, toy=0.1)
    other = {k: v.verdict for k, v in found.items() if v.verdict != SUPPORTED}
    assert other == {"batchmixup-3": INCONCLUSIVE}  # RTE at 1% stays at chance, against the trend, in the paper as well


def test_reversed_effects_are_contradicted():
    def reverse(spec):
        shift = as_the_paper_says(spec)["accuracy"]
        if spec.dataset == "rte" and protocol.size_label(spec) == "1%":
            return {"accuracy": 0.0}  # far above the majority rate
        return {"accuracy": -0.9 - shift if spec.dataset != "rte" else -0.4 - shift}

    found = judged(reverse, ratio=lambda m, n: 2.0 if m == "batchmixup" else 2.5,
                   box=lambda p: 0.2 if p["policy"] == "elementwise" else 0.6, toy=-0.1)  # fmt: skip
    assert {k for k, v in found.items() if v.verdict != CONTRADICTED} == set()


def test_no_effect_supports_no_direction():
    found = judged(lambda spec: {}, noise=0.05)
    for i in (1, 2, 3, 6, 7, 11, 12, 13):
        assert found[f"batchmixup-{i}"].verdict == INCONCLUSIVE, i


def test_a_lift_has_to_survive_equal_updates():
    def only_longer(spec):
        few = spec.dataset == "fewrel75_none" and protocol.size_label(spec) == "1%"
        return {"accuracy": -0.8 + 0.4 * (few and spec.method != "none")}

    found = judged(only_longer)["batchmixup-5"]
    assert found.verdict == CONTRADICTED  # none_long is lifted as well
    assert "no mixup, as many updates" in found.evidence


def test_missing_runs_are_not_run(tmp_path):
    found = judge.verdicts("mini", Store(tmp_path))
    assert {v.verdict for v in found.values()} == {NOT_RUN}
    assert "6 of its 6 runs are missing" in found["batchmixup-8"].evidence


def test_all_claims_of_the_paper_are_judged():
    assert set(judge.verdicts("full")) == set(published.claims("batchmixup")["id"])


@pytest.mark.parametrize(("claim", "part"), [(1, protocol.table1), (9, protocol.epoch_time), (12, protocol.figure1)])
def test_verdicts_trace_to_their_records(claim, part):
    found = judged(lambda spec: {})
    assert set(found[f"batchmixup-{claim}"].records) == {spec.key for spec in part("mini")}
