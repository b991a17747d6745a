"""What SSMix registers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mixlib.evidence.published import Artefact
from mixlib.papers.base import Paper, Recipe
from mixlib.papers.ssmix import protocol

if TYPE_CHECKING:
    from mixlib.evidence.claims import Claim


def claims() -> Iterable[Claim]:
    from mixlib.papers.ssmix.claims import CLAIMS

    return CLAIMS


def load() -> None:
    from mixlib.papers import step_time  # noqa: F401 (studies register themselves)
    from mixlib.papers.ssmix import studies  # noqa: F401


PAPER = Paper(
    key="ssmix",
    recipes={
        "ssmix-table1": Recipe("30_ssmix_table1"),
        "ssmix-figure1": Recipe("31_ssmix_figures1_3_4_5", protocol.figures1_3_4_5),
        "ssmix-figure3": Recipe("31_ssmix_figures1_3_4_5", protocol.figures1_3_4_5),
        "ssmix-figure4": Recipe("31_ssmix_figures1_3_4_5", protocol.figures1_3_4_5),
        "ssmix-figure5": Recipe("31_ssmix_figures1_3_4_5", protocol.figures1_3_4_5),
        "ssmix-algorithm1": Recipe("31_ssmix_figures1_3_4_5"),
        "ssmix-table2": Recipe("32_ssmix_table2_tableA1", protocol.table2),
        "ssmix-tableA1": Recipe("32_ssmix_table2_tableA1", protocol.table2),
        "ssmix-tableB1": Recipe("33_ssmix_tableB1", protocol.tableB1),
        "ssmix-mixing-ratio": Recipe("33_ssmix_tableB1", protocol.ratios),
        "ssmix-figure2": Recipe("34_ssmix_figure2", protocol.figure2),
        "ssmix-step-time": Recipe("35_ssmix_step_time", protocol.step_time),
        "ssmix-two-stages": Recipe("35_ssmix_step_time", protocol.from_the_start),
        "ssmix-dropout-leak": Recipe("36_ssmix_dropout_leak", protocol.dropout_leak),
    },
    measured=(
        Artefact("ssmix-mixing-ratio", "ssmix", "Mixing ratio", "measurement", "accuracy by share of tokens replaced"),
        Artefact("ssmix-step-time", "ssmix", "Step time", "measurement", "seconds a step takes, by method"),
        Artefact(
            "ssmix-two-stages", "ssmix", "Two stages", "measurement", "mixing after plain training or from the start"
        ),
        Artefact(
            "ssmix-dropout-leak", "ssmix", "Dropout leak", "measurement", "what a fault of the published code explains"
        ),
    ),
    cells=protocol.CELLS,
    studies=protocol.STUDY_CELLS,
    last=("ssmix/qnli",),
    chapters={
        "32_ssmix_table2_tableA1": (1, 2, 3, 4, 5, 6, 7, 8, 9),
        "33_ssmix_tableB1": (10, 13),
        "34_ssmix_figure2": (15,),
        "35_ssmix_step_time": (11, 12, 14),
    },
    claims=claims,
    load=load,
)
