"""What the MixUp-calibration paper registers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mixlib.papers.base import Paper, Recipe
from mixlib.papers.mixup_calibration import protocol

if TYPE_CHECKING:
    from mixlib.evidence.claims import Claim


def claims() -> Iterable[Claim]:
    from mixlib.papers.mixup_calibration.claims import CLAIMS

    return CLAIMS


PAPER = Paper(
    key="mixup_calibration",
    recipes={
        "calibration-table1": Recipe("20_calibration_tables1_6"),
        "calibration-table6": Recipe("20_calibration_tables1_6"),
        "calibration-figure1": Recipe("21_calibration_figure1"),
        "calibration-table2": Recipe("22_calibration_table2", protocol.table2),
        "calibration-table3": Recipe("23_calibration_table3", protocol.table3),
        "calibration-table4": Recipe("24_calibration_table4", protocol.table4),
        "calibration-table5": Recipe("25_calibration_table5", protocol.table5),
        "calibration-figure2": Recipe("26_calibration_figure2", protocol.figure2),
    },
    cells=protocol.CELLS,
    chapters={
        "22_calibration_table2": (1, 2, 3, 4, 5, 6, 7),
        "23_calibration_table3": (1, 2, 3, 4, 5, 6, 7),
        "24_calibration_table4": (2, 3, 4, 8, 9, 10, 15),
        "25_calibration_table5": (12, 13, 14),
        "26_calibration_figure2": (10, 11),
    },
    claims=claims,
)
