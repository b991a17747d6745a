"""How many seeds cells have, and how many they are asked for."""

import math
from dataclasses import replace

import pytest

from mixlib.evidence import claims, plan, progress, statistics, verdicts
from mixlib.evidence.verdicts import Records
from tests.experiments import Shelf, experiment

CLAIM = "mixup_calibration-9"  # one contrast in points, on two cells


def found(noise, wrong=(), seeds=6):
    records = experiment(claims.claims()[CLAIM], wrong, noise, seeds)
    return progress.table(records).loc["common/qnli"]


def test_twelve_seeds_are_wanted_where_the_standard_error_is_large():
    loose, tight = found(noise=2), found(noise=0.1)
    assert (loose["seeds"], loose["complete"], loose["claim"]) == (6, 0, CLAIM)  # of one method, not of the whole cell
    assert loose["error"] > statistics.SE_LIMIT > tight["error"] > 0
    assert (loose["wanted"], tight["wanted"]) == (12, 6)


def test_neither_sign_nor_verdict_plays_a_part():
    part = claims.claims()[CLAIM].parts[0].name
    right, wrong = found(noise=0.1), found(noise=0.1, wrong=[part])
    assert right["error"] == pytest.approx(wrong["error"])


def test_the_standard_error_is_that_of_the_verdict():
    records = experiment(claims.claims()[CLAIM], noise=2, seeds=6)
    judged = verdicts.judge(claims.claims()[CLAIM], records).judgement
    error, claim = progress.standard_errors(records)["common/qnli"]
    assert judged.low < judged.estimate - error < judged.estimate + error < judged.high
    assert claim == CLAIM


def test_the_largest_standard_error_of_all_claims_that_read_a_cell_counts(monkeypatch):
    claim = claims.claims()[CLAIM]
    (part,) = claim.parts
    tripled = {name: tuple(replace(t, weight=3 * t.weight) for t in terms) for name, terms in part.units.items()}
    both = {CLAIM: claim, "wide": replace(claim, id="wide", parts=(replace(part, units=tripled),))}
    found, records = [], experiment(claim, seeds=6)
    for known in ({CLAIM: claim}, both, dict(reversed(both.items()))):
        monkeypatch.setattr(claims, "claims", lambda known=known: known)
        found.append(progress.standard_errors(records)["common/qnli"])
    assert found[1] == found[2] == (pytest.approx(3 * found[0][0]), "wide")


def test_cells_without_runs_have_no_error_and_planned_seeds():
    table = progress.table(Records(decided=plan.Decided({}, {}, {})))
    assert list(table.index)[:2] == ["common/sst2", "common/ag_news"]
    assert table["error"].map(math.isnan).all()
    assert table.loc["common/sst2 at 2 times the learning rate", "wanted"] == plan.SENSITIVITY_SEEDS
    assert table.loc["mixup_calibration/imdb-32", "wanted"] == 12
    assert (table["seeds"] == 0).all()


def test_seeds_that_are_read_stay_wanted():
    """Twelve make a cell precise, and six would then do."""
    read = plan.Decided({"common/qnli": list(range(100, 112))}, {}, {})
    assert progress.table(Records(Shelf({}), read), ["common/qnli"]).loc["common/qnli", "wanted"] == 12


@pytest.mark.parametrize(("noise", "named"), [(2, True), (0.1, False)])
def test_decided_claims_on_cells_that_lack_seeds_are_interim(noise, named):
    records = experiment(claims.claims()[CLAIM], noise=noise, seeds=6)
    judged = verdicts.judge(claims.claims()[CLAIM], records)
    decided = replace(judged, judgement=replace(judged.judgement, category=statistics.SUPPORTED))
    undecided = replace(judged, judgement=replace(judged.judgement, category=statistics.UNDECIDED))
    assert progress.interim({CLAIM: decided}, records) == [CLAIM] * named
    assert progress.interim({CLAIM: undecided}, records) == []


def test_studies_in_points_are_asked_for_twelve_like_other_cells():
    """Those of distances and times keep their number."""
    claim = claims.claims()["batchmixup-12"]
    table = progress.table(experiment(claim, noise=2, seeds=6))
    assert table.loc["batchmixup/toy", "error"] > statistics.SE_LIMIT
    assert table.loc["batchmixup/toy", "wanted"] == 12
    assert "amplify/attention" in table.index
    assert not {"batchmixup/geometry", "ssmix/off the segment", "amplify/step time"} & set(table.index)
