"""Verdicts: the rule finds out whether claims are right, and says what it could not read."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mixlib.evidence import claims, plan, statistics, verdicts
from mixlib.evidence.cells import FIRST_SEED
from mixlib.evidence.claims import ECE_POINTS
from mixlib.evidence.verdicts import Records
from mixlib.runs.predictions import Predictions
from mixlib.runs.records import DamagedRecord
from mixlib.runs.studies import TIMED, StudySpec
from tests.experiments import experiment, wanted

CLAIMS = claims.claims()
JUDGED = {id_: claim for id_, claim in CLAIMS.items() if claim.not_here is None}


@pytest.mark.parametrize("id_", JUDGED)
def test_a_claim_is_supported_where_it_is_right_and_contradicted_where_it_is_wrong(id_):
    claim = JUDGED[id_]
    records = experiment(claim)
    verdict = verdicts.judge(claim, records)
    right = verdict.judgement
    wrong = verdicts.judge(claim, experiment(claim, wrong=[part.name for part in claim.parts])).judgement
    assert right.label == statistics.SUPPORTED, right.words
    assert wrong.label == statistics.CONTRADICTED, wrong.words
    shown = json.loads(json.dumps(verdicts.as_json(verdict, records)))
    assert shown["verdict"] == statistics.SUPPORTED
    assert all(cell["size"] and "None" not in cell["size"][0] for cell in shown["cells"])
    assert shown["at_half_margin"] == statistics.SUPPORTED


@pytest.mark.parametrize("id_", [id_ for id_, claim in JUDGED.items() if len(claim.parts) > 1])
def test_a_claim_of_several_parts_needs_every_part(id_):
    claim = JUDGED[id_]
    assert len({part.name for part in claim.parts}) == len(claim.parts)
    for part in claim.parts:
        found = verdicts.judge(claim, experiment(claim, wrong=[part.name])).judgement
        assert found.label == statistics.CONTRADICTED, found.words
        assert part.name in found.words


def test_missing_records_are_named():
    claim = CLAIMS["batchmixup-1"]
    records = experiment(claim)
    for spec in [s for s in records.store.made if s.method == "batchmixup" and s.seed == FIRST_SEED]:
        del records.store.made[spec]
    found = verdicts.judge(claim, records)
    assert found.judgement.category == statistics.NOT_JUDGEABLE
    assert "1 of 6 runs of batchmixup are missing" in found.dead[0]["BANKING77, 1 a class"]
    assert found.words.startswith("waits for BANKING77, 1 a class (1 of 6 runs of batchmixup are missing)")


def test_a_dead_cell_is_named_and_left_out():
    claim = CLAIMS["batchmixup-6"]
    records = experiment(claim)
    alive = records.decided.alive | {"batchmixup/fewrel": ["loss"]}
    screened = {"batchmixup/fewrel": {"accuracy": 0.05, "larger_class": 0.06, "mcc": 0.01}}
    records.decided = replace(records.decided, alive=alive, screened=screened)
    found = verdicts.judge(claim, records)
    assert found.judgement.category == statistics.SUPPORTED
    assert found.dead[0]["FewRel, 20 a class"] == "the plain model does not beat the largest class (5.0% against 6.0%)"
    assert "; not counted: " in found.words
    assert "FewRel, 20 a class" in found.words.partition("; not counted: ")[2]
    assert "FewRel, 20 a class" not in found.cells[0]


def test_runs_of_different_precision_are_not_compared():
    claim = CLAIMS["batchmixup-2"]
    records = experiment(claim)
    made = records.store.made
    first = next(iter(made))
    made[first] = replace(made[first], environment={"precision": "bf16"})
    found = verdicts.judge(claim, records)
    assert found.words == "waits for BANKING77, all rows (its runs were made in bf16 and fp32)"


def test_cells_read_in_different_precision_are_not_compared():
    claim = CLAIMS["ssmix-14"]
    records = experiment(claim)
    assert verdicts.judge(claim, records).judgement.category == statistics.SUPPORTED
    records.decided = replace(records.decided, precision={"ssmix/trec_coarse": "tf32"})
    assert verdicts.judge(claim, records).words == "waits for TREC-coarse (its runs were made in fp32 and tf32)"


def test_gains_in_different_precision_are_compared():
    """Each gain is over the plain model in its own precision."""
    claim = CLAIMS["batchmixup-3"]
    records = experiment(claim)
    small, made = plan.get("batchmixup/banking77-5"), records.store.made
    for spec in small.specs(range(100, 112)):
        if spec in made:
            other = spec.in_precision("tf32")
            made[other] = replace(made[spec], spec=other, environment={"precision": "tf32"})
            del made[spec]
    before = records.decided
    records.decided = replace(before, precision={small.name: "tf32"})
    assert verdicts.judge(claim, records).judgement.category == statistics.SUPPORTED


def test_a_verdict_waits_for_all_that_counts():
    claim = CLAIMS["ssmix-1"]
    records = experiment(claim)
    assert verdicts.judge(claim, records).judgement.category == statistics.SUPPORTED
    decided = records.decided
    records.decided = replace(decided, seeds={**decided.seeds, "ssmix/qnli": []})
    waiting = verdicts.judge(claim, records)
    assert waiting.words == "waits for QNLI (runs not finished)"
    records.decided = replace(records.decided, left_out={"ssmix/qnli": "left out, for its cost"})
    found = verdicts.judge(claim, records)
    assert found.judgement.category == statistics.SUPPORTED
    assert found.dead[0]["QNLI"] == "left out, for its cost"
    unscreened = {name: what for name, what in decided.alive.items() if name != "ssmix/sst2"}
    records.decided = replace(decided, alive=unscreened)
    assert verdicts.judge(claim, records).words == "waits for SST-2 (not screened yet)"


def test_sizes_of_one_data_set_count_as_one():
    claim = CLAIMS["batchmixup-7"]
    found = verdicts.judge(claim, experiment(claim))
    assert len(found.cells[0]) == 5
    assert len(found.judgement.sets) == 2


def test_each_cell_has_its_own_size():
    claim = CLAIMS["batchmixup-3"]  # four sizes of one data set, whose names are not in the order of their rows
    records = experiment(claim)
    shown = verdicts.as_json(verdicts.judge(claim, records), records)["cells"]
    sizes = {cell: size for of in shown for cell, size in zip(of["cells"], of["size"], strict=True)}
    assert sizes == {f"batchmixup/banking77-{n}": f"{n} a class" for n in (1, 5, 10, 30)}


def test_a_verdict_may_hang_on_its_margin():
    claim = CLAIMS["mixup_calibration-9"]  # hardly changes
    records = experiment(claim, noise=1.1)
    shown = verdicts.as_json(verdicts.judge(claim, records), records)
    assert (shown["at_half_margin"], shown["verdict"], shown["at_twice_margin"]) == (
        statistics.UNDECIDED, statistics.SUPPORTED, statistics.SUPPORTED
    )  # fmt: skip


def test_a_claim_that_cannot_be_judged_here_says_why():
    found = verdicts.judge(CLAIMS["batchmixup-13"], experiment(CLAIMS["batchmixup-13"]))
    assert found.judgement.category == statistics.NOT_JUDGEABLE
    assert "all rows of BANKING77" in found.judgement.words


def test_batches_of_a_timed_study_are_its_sample():
    found = verdicts.judge(CLAIMS["batchmixup-8"], experiment(CLAIMS["batchmixup-8"], noise=0.5))
    assert found.judgement.seeds == (100,)
    assert found.cells == ({"RTE": [FIRST_SEED]},)
    unclear = verdicts.judge(CLAIMS["batchmixup-8"], experiment(CLAIMS["batchmixup-8"], noise=20.0))
    assert unclear.judgement.category == statistics.UNDECIDED
    assert " batches " in unclear.words
    assert " seeds " not in unclear.words


def test_studies_are_a_wave_of_their_own_with_the_timed_ones_at_its_end():
    wave = plan.runs("studies")
    timed = [spec.study in TIMED for spec in wave]
    assert all(isinstance(spec, StudySpec) for spec in wave)
    assert timed == sorted(timed)
    assert {spec.seed for spec in wave if spec.study in TIMED} == {FIRST_SEED}
    assert len(wave) == len(set(wave))
    assert set(wave) <= set(plan.runs("evidence"))
    assert not set(wave) & set(plan.runs("screening"))


def test_study_cells_name_what_they_have():
    cell = plan.get("batchmixup/epoch time")
    assert cell.spec("mixup n=15", 100) == cell.spec("none", 100)
    with pytest.raises(ValueError, match="no part 'mixup n=2'; it has none, mixup n=1"):
        cell.spec("mixup n=2", 100)
    with pytest.raises(ValueError, match="no profile full"):
        cell.spec("none", 100, "full")


def test_checks_stand_beside_the_interval_of_a_part(monkeypatch):
    """Over seeds and test rows where all seeds share the rows; and how many runs learned nothing."""
    claim = CLAIMS["ssmix-1"]
    records = experiment(claim)
    verdict = verdicts.judge(claim, records)
    for record in records.store.made.values():
        record.data["larger_class"] = 0.2
    (part,) = verdicts.as_json(verdict, records)["parts"]
    assert part["over_rows"] is None  # nothing is kept of fabricated runs
    assert part["collapsed_runs"] == 0
    assert part["runs"] == 2 * sum(len(seeds) for seeds in verdict.cells[0].values())

    some = next(record for record in records.store.made.values() if record.spec.method == "ssmix")
    worse = [*some.evaluations[:-1], {**some.evaluations[-1], "test": {**some.last, "accuracy": 0.1}}]
    records.store.made[some.spec] = records._found[some.spec] = replace(some, evaluations=worse)
    assert verdicts.as_json(verdict, records)["parts"][0]["collapsed_runs"] == 1

    labels, digests = np.arange(400) % 2, [i.to_bytes(4, "big") for i in range(400)]

    def kept(record):
        """SSMix is right on all rows, the others on three in four."""
        wrong = (np.arange(400) % 4 == 0) & (record.spec.method != "ssmix")
        logits = 3.0 * np.eye(2)[np.where(wrong, 1 - labels, labels)]
        return Predictions.from_logits({"test": (logits, labels, digests)})

    monkeypatch.setattr(records.store, "predictions", kept)
    low, high = verdicts.as_json(verdict, records)["parts"][0]["over_rows"]
    assert low < 25 < high
    assert high - low < 6  # 25 points of 400 rows on each of several sets


def test_several_sizes_of_a_data_set_have_no_interval_over_rows(monkeypatch):
    """They share its test rows and count as one data set, so drawing the rows of each apart would be wrong."""
    (contrast,) = CLAIMS["ssmix-1"].parts
    name, terms = next(iter(contrast.units.items()))
    records = experiment(CLAIMS["ssmix-1"])
    labels, digests = np.arange(400) % 2, [i.to_bytes(4, "big") for i in range(400)]
    kept = Predictions.from_logits({"test": (3.0 * np.eye(2)[labels], labels, digests)})
    monkeypatch.setattr(records.store, "predictions", lambda record: kept)
    assert verdicts.over_rows(contrast, {name: [100, 101]}, records) is not None
    twice = replace(contrast, units={name: terms, "another size": terms})
    assert verdicts.over_rows(twice, {name: [100, 101], "another size": [100, 101]}, records) is None


@pytest.mark.parametrize(("error", "raised"), [(DamagedRecord("cut"), True), (FileNotFoundError("none kept"), False)])
def test_damaged_predictions_are_no_missing_ones(monkeypatch, error, raised):
    (contrast,) = CLAIMS["ssmix-1"].parts
    records = experiment(CLAIMS["ssmix-1"])

    def unreadable(record):
        raise error

    monkeypatch.setattr(records.store, "predictions", unreadable)
    seeds = {next(iter(contrast.units)): [100, 101]}
    if raised:
        with pytest.raises(DamagedRecord, match="cut"):
            verdicts.over_rows(contrast, seeds, records)
    else:
        assert verdicts.over_rows(contrast, seeds, records) is None


@pytest.mark.parametrize(
    ("id_", "seeds"),
    [
        ("mixup_calibration-6", (5, 5)), ("ssmix-14", (5,)), ("batchmixup-3", (5,)), ("batchmixup-7", (5, 6)),
        ("batchmixup-12", (6,)), ("amplify-9", (100,)),
    ],
)  # fmt: skip
def test_cells_read_with_different_seeds_are_compared_on_those_they_share(id_, seeds):
    """Every second cell lacks the first seed. Studies are one cell each; a timed one counts its batches."""
    claim = CLAIMS[id_]
    records = experiment(claim)
    read = {cell: found[i % 2 :] for i, (cell, found) in enumerate(sorted(records.decided.seeds.items()))}
    records.decided = replace(records.decided, seeds=read)
    verdict = verdicts.judge(claim, records)
    for part, judged in zip(claim.parts, verdict.judgement.parts or [verdict.judgement], strict=True):
        assert judged.seeds == seeds
        assert judged.estimate == pytest.approx(wanted(part, True), abs=0.2 * (part.margin or ECE_POINTS))
    made = {spec.key: spec.seed for spec in records.store.made}
    assert {made[key] for key in verdict.records} == {
        s for live in verdict.cells for seeds in live.values() for s in seeds
    }
    found = verdicts.as_json(verdict, records)
    assert len(found["parts"]) == len(claim.parts)
    json.dumps(found)


def test_the_margin_of_calibration_errors_is_a_quarter_of_the_mean_over_data_sets():
    claim = CLAIMS["mixup_calibration-10"]
    records = experiment(claim)
    for errors, margin in (({"cola": 0.02, "qnli": 0.06}, 1.0), ({"cola": 0.06, "qnli": 0.3}, ECE_POINTS)):
        for spec, made in records.store.made.items():
            if spec.method == "none":
                made.last["ece"] = errors[spec.dataset]
        again = Records(records.store, records.decided)
        assert verdicts.judge(claim, again).judgement.margin == pytest.approx(margin)
        assert verdicts.judge(claim, again, 0.5).judgement.margin == pytest.approx(margin / 2)


def test_a_claim_waits_for_all_its_parts_even_where_one_is_contradicted():
    """The correction for several parts counts all of them."""
    claim = CLAIMS["amplify-2"]
    names = [part.name for part in claim.parts]
    records = experiment(claim, wrong=names[:1])
    assert verdicts.judge(claim, records).category == statistics.CONTRADICTED
    last = next(iter(claim.parts[-1].units.values()))[0].cell
    records.decided = replace(records.decided, seeds={**records.decided.seeds, last: []})
    waiting = verdicts.judge(claim, records)
    assert waiting.waits
    assert waiting.category == waiting.label == verdicts.WAITING
    said = verdicts.as_json(waiting, records)
    assert said["waits"] is True
    assert said["at_half_margin"] == said["at_twice_margin"] == verdicts.WAITING  # the margin moves nothing
    assert said["words"] == waiting.words
    assert waiting.words.startswith("waits for ")
