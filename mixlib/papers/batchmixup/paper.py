"""What BatchMixup registers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mixlib.evidence.published import Artefact
from mixlib.papers.base import Paper, Recipe
from mixlib.papers.batchmixup import protocol

if TYPE_CHECKING:
    from mixlib.evidence.claims import Claim


def claims() -> Iterable[Claim]:
    from mixlib.papers.batchmixup.claims import CLAIMS

    return CLAIMS


def load() -> None:
    from mixlib.papers.batchmixup import studies  # noqa: F401 (its functions register themselves)


PAPER = Paper(
    key="batchmixup",
    recipes={
        "batchmixup-figure1": Recipe("10_batchmixup_figure1", protocol.figure1),
        "batchmixup-table1": Recipe("11_batchmixup_table1", protocol.table1),
        "batchmixup-epoch-time": Recipe("12_batchmixup_epoch_time", protocol.epoch_time),
        "batchmixup-geometry": Recipe("13_batchmixup_geometry", protocol.geometry),
        "batchmixup-policies": Recipe("13_batchmixup_geometry", protocol.trained_policies),
    },
    measured=(
        Artefact(
            "batchmixup-epoch-time", "batchmixup", "Epoch time", "measurement", "seconds an epoch takes, by method"
        ),
        Artefact("batchmixup-geometry", "batchmixup", "Geometry", "measurement", "where mixed points lie"),
        Artefact(
            "batchmixup-policies",
            "batchmixup",
            "Policies",
            "measurement",
            "accuracy after training on mixed points of several policies",
        ),
    ),
    cells=protocol.CELLS,
    sensitivity=protocol.VARIED,
    studies=protocol.STUDY_CELLS,
    last=("batchmixup/fewrel", "batchmixup/banking77-all"),
    chapters={
        "10_batchmixup_figure1": (12,),
        "11_batchmixup_table1": (1, 2, 3, 4, 5, 6, 7, 13),
        "12_batchmixup_epoch_time": (8, 9, 10),
        "13_batchmixup_geometry": (11,),
    },
    claims=claims,
    load=load,
)
