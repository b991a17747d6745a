"""Claims as data: what they refer to exists, and each is a published one."""

import pytest

from mixlib.evidence import claims, plan, published
from tests.experiments import terms_of

CLAIMS = claims.claims()


def test_claims_refer_to_cells_and_methods_that_exist():
    for claim in CLAIMS.values():
        for part in claim.parts:
            assert part.measure in claims.MEASURES, (claim.id, part.measure)
            assert part.units, (claim.id, part.name)
        for term in terms_of(claim):
            assert term.label in plan.get(term.cell).labels, (claim.id, term)


def test_contrasts_of_accuracies_weigh_both_sides_alike():
    parts = [(claim.id, part) for claim in CLAIMS.values() for part in claim.parts]
    contrasts = [(id_, part) for id_, part in parts if part.measure.startswith("accuracy")]
    assert {"amplify", "batchmixup", "mixup_calibration", "ssmix"} <= {id_.partition("-")[0] for id_, _ in contrasts}
    for id_, part in contrasts:
        for terms in part.units.values():
            assert sum(term.weight for term in terms) == pytest.approx(0.0), (id_, part.name)


def test_sizes_of_a_data_set_are_named_together():
    sizes = [*(f"BANKING77, {n} a class" for n in (1, 5, 30)), "FewRel, 20 a class", "QNLI, for RTE and BoolQ"]
    assert claims.in_short(sizes) == [
        "BANKING77 (1, 5 and 30 a class)",
        "FewRel, 20 a class",
        "QNLI, for RTE and BoolQ",
    ]
    rates = [f"two Gaussian clouds, learning rate {rate}" for rate in (0.01, 0.001)]
    assert claims.in_short(["SST-2", *rates, "SST-5"]) == [
        "SST-2", "two Gaussian clouds (learning rate 0.01 and 0.001)", "SST-5"
    ]  # fmt: skip


def test_what_the_gate_decides_about_is_screened():
    for claim in CLAIMS.values():
        for part in claim.parts:
            for term in [t for terms in part.units.values() for t in terms if claims.MEASURES[part.measure].needs]:
                cell = plan.get(term.cell)
                assert cell.plain in cell.labels, (claim.id, cell.name)


def test_claims_are_published_ones_in_their_order_with_a_rule_or_a_reason():
    for paper in published.papers():
        found = [claim.id for claim in CLAIMS.values() if claim.paper == paper]
        assert not found or found == published.claims(paper)["id"].tolist()
    for claim in CLAIMS.values():
        assert claim.rule.endswith("."), claim.id
        assert claim.rule.count("(") == claim.rule.count(")"), claim.id
        assert bool(claim.parts) != bool(claim.not_here), claim.id
