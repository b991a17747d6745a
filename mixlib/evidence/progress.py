"""Where the evidence stands: which seeds of each cell are read, and which cells are too imprecise for six seeds.

Six seeds of a cell are run first. If a claim's contrast that reads the cell has a standard error above
:data:`mixlib.evidence.statistics.SE_LIMIT`, twelve are wanted. Neither the sign of the contrast nor the verdict plays a
part: adding seeds to undecided claims until they are decided would raise the share of wrong decisions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pandas as pd

from mixlib.evidence import claims, plan, statistics, verdicts
from mixlib.evidence.cells import Cell
from mixlib.evidence.claims import Contrast
from mixlib.evidence.verdicts import Records, Verdict
from mixlib.runs.machine import PRECISIONS


def standard_errors(records: Records, names: Collection[str] | None = None) -> dict[str, tuple[float, str]]:
    """By cell, the largest standard error of the contrasts in points that read it, and the claim it belongs to.

    Cells that no such contrast reads, or whose contrasts wait for runs, are left out. With ``names``, only contrasts
    that read one of these cells count.
    """
    found: dict[str, tuple[float, str]] = {}
    for claim in claims.claims().values():
        for contrast in claim.parts:
            if names is not None and contrast.cells.isdisjoint(names):
                continue
            live, _, unfinished = verdicts.differences(contrast, records)
            if unfinished or not live or not _in_points(contrast):
                continue
            se = statistics.pooled(verdicts.by_data_set(live, contrast)).se
            for cell in {term.cell for name in live for term in contrast.units[name]}:
                found[cell] = max(found.get(cell, (0.0, "")), (se, claim.id))
    return found


def _in_points(contrast: Contrast) -> bool:
    return claims.MEASURES[contrast.measure].unit == "points"


def table(records: Records, names: Collection[str] | None = None) -> pd.DataFrame:
    """All cells with runs of the evidence and the studies that a contrast in points reads, or those of them with these
    ``names``, in the order in which they are run.

    Returns:
        Indexed by the cell's name: ``dataset``, ``methods`` (how many), ``seeds`` that are read, their ``precision``,
        the largest standard ``error`` (nan where no contrast in points reads the cell) and the ``claim`` it belongs to,
        the seeds that are ``wanted``, and those ``complete`` in the precision that has most.
    """
    errors, decided, rows = standard_errors(records, names), records.decided, {}
    judged = {c for claim in claims.claims().values() for part in claim.parts if _in_points(part) for c in part.cells}
    for name, cell in plan.cells().items():
        if not (isinstance(cell, Cell) or name in judged) or (names is not None and name not in names):
            continue
        read = len(decided.seeds.get(name, []))
        error, claim = errors.get(name, (float("nan"), ""))
        wanted = plan.MOST_SEEDS if error > statistics.SE_LIMIT else max(cell.seeds, read)  # none is taken back
        complete = {
            precision: len(plan.whole_seeds(replace(cell, precision=precision), records.store))
            for precision in PRECISIONS
        }
        rows[name] = {
            "dataset": cell.dataset, "methods": len(cell.methods if isinstance(cell, Cell) else cell.labels),
            "seeds": read, "precision": decided.read(cell).precision if read else "", "error": error,
            "claim": claim, "wanted": wanted, "complete": max(complete.values()),
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def interim(found: Mapping[str, Verdict], records: Records) -> list[str]:
    """The claims that are decided on cells with fewer seeds than the rule asks for, so that they may still change.

    Args:
        found: verdicts by claim.
        records: that they were made from.
    """
    read = {
        id_: set().union(*(part.cells for part in verdict.claim.parts))
        for id_, verdict in found.items()
        if verdict.category in statistics.DECIDED
    }
    cells = table(records, set().union(*read.values()))
    short = set(cells.index[(cells["seeds"] > 0) & (cells["seeds"] < cells["wanted"])]) if len(cells) else set()
    return [id_ for id_, names in read.items() if names & short]
