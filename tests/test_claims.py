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
from mixlib.runs import RunSpec
from mixlib.tables import Comparison
from tests.fabricate import records


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


def test_table_names_the_scale(store_folder):
    table = claims.table("ssmix", "full")
    assert set(table["scale"]) == {"full"}
    assert set(table["verdict"]) == {NOT_RUN}
    assert list(claims.table("ssmix", "mini", ids=["ssmix-2"]).index) == ["ssmix-2"]


@pytest.mark.parametrize("seeds", [None, [0]])
@pytest.mark.parametrize("paper", [batchmixup, ssmix, amplify])
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
