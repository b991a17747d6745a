"""The design of every claim, for the simulation of how often the rule errs (:mod:`.error_rates`)."""

from __future__ import annotations

import math

from mixlib.evidence import plan, statistics
from mixlib.evidence.cells import AnyCell, Cell, StudyCell
from mixlib.evidence.claims import ECE_POINTS, Claim, Contrast, claims
from mixlib.evidence.error_rates import Design

# Spread of one seed's paired difference, from pilot runs of these recipes; measures without one: 1.5 margins
SPREADS = {"accuracy": 1.5, "mcc": 3.0, "loss": 0.1, "ece": 3.0}


def designs() -> list[Design]:
    """One design for each claim that can be judged here: that of its part with the least power for the printed size.

    A claim whose paper prints no size gets its margin as the size.
    """
    return [_design(claim) for claim in claims().values() if claim.not_here is None]


def _design(claim: Claim) -> Design:
    parts = [_of_part(claim, part) for part in claim.parts]
    return min(parts, key=lambda design: design.printed / design.sd * (design.sets * design.seeds) ** 0.5)


def _samples(cell: AnyCell) -> int:
    """How many differences a cell gives: one per seed, or one per batch if one record was made of many."""
    return cell.params.get("batches", 1) if isinstance(cell, StudyCell) and cell.seeds == 1 else cell.seeds


def _of_part(claim: Claim, part: Contrast) -> Design:
    cells = [plan.get(terms[0].cell) for terms in part.units.values()]
    margin = ECE_POINTS if part.margin is None else part.margin
    usual = margin if part.kind == statistics.SUPERIORITY else 0.0
    if part.bounds is not None:
        low, high = part.bounds
        usual = high - margin if math.isinf(low) else low + margin if math.isinf(high) else (low + high) / 2
    return Design(
        claim=claim.id,
        sets=len({cell.dataset for cell in cells}),
        seeds=min(_samples(cell) for cell in cells),
        sd=SPREADS.get(part.measure, 1.5 * margin),
        printed=part.printed.size if part.printed else usual,
        margin=margin,
        kind=part.kind,
        bounds=part.bounds,
        parts=len(claim.parts),
        printed_se=part.printed.se if part.printed else None,
        printed_runs=part.printed.runs if part.printed else 15,
        is_printed=part.printed is not None,
        more_seeds=plan.MOST_SEEDS
        if all(isinstance(cell, Cell) and cell.seeds < plan.MOST_SEEDS for cell in cells)
        else None,
    )
