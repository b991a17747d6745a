"""What AMPLIFY registers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mixlib.evidence.published import Artefact
from mixlib.papers.amplify import protocol
from mixlib.papers.base import Paper, Recipe

if TYPE_CHECKING:
    from mixlib.evidence.claims import Claim


def claims() -> Iterable[Claim]:
    from mixlib.papers.amplify.claims import CLAIMS

    return CLAIMS


def load() -> None:
    from mixlib.papers import step_time  # noqa: F401 (studies register themselves)
    from mixlib.papers.amplify import studies  # noqa: F401


PAPER = Paper(
    key="amplify",
    recipes={
        "amplify-figure1": Recipe("40_amplify_figures1_2"),
        "amplify-figure2": Recipe("40_amplify_figures1_2"),
        "amplify-algorithm1": Recipe("40_amplify_figures1_2"),
        "amplify-table1": Recipe("41_amplify_table1", protocol.table1),
        "amplify-table2": Recipe("42_amplify_table2", protocol.table2),
        "amplify-padding": Recipe("42_amplify_table2", protocol.padding),
        "amplify-label-noise": Recipe("42_amplify_table2", protocol.noise),
        "amplify-table3": Recipe("43_amplify_table3", protocol.table3),
        "amplify-table4": Recipe("44_amplify_table4", protocol.table4),
        "amplify-figure3": Recipe("45_amplify_figure3", protocol.figure3),
        "amplify-step-time": Recipe("45_amplify_figure3", protocol.step_time),
        "amplify-figure4": Recipe("46_amplify_figures4_5_6", protocol.attention),
        "amplify-figure5": Recipe("46_amplify_figures4_5_6", protocol.attention),
        "amplify-figure6": Recipe("46_amplify_figures4_5_6", protocol.attention),
        "amplify-figure7": Recipe("47_amplify_figure7", protocol.attention),
        "amplify-fairness": Recipe("52_amplify_fairness", protocol.fairness),
        "amplify-heads": Recipe("52_amplify_fairness", protocol.heads),
    },
    measured=(
        Artefact("amplify-padding", "amplify", "Padding", "measurement", "batches with little and with much padding"),
        Artefact("amplify-label-noise", "amplify", "Label noise", "measurement", "accuracy by share of wrong labels"),
        Artefact("amplify-step-time", "amplify", "Step time", "measurement", "seconds 12,000 updates take, by method"),
        Artefact(
            "amplify-fairness",
            "amplify",
            "Fairness",
            "measurement",
            "what the published comparison's differences explain",
        ),
        Artefact("amplify-heads", "amplify", "Heads", "measurement", "the heads again, with 1,000 rows"),
    ),
    cells=protocol.CELLS,
    studies=protocol.STUDY_CELLS,
    last=("amplify/mrpc", "amplify/trec_fine"),
    chapters={
        "41_amplify_table1": (4,),
        "42_amplify_table2": (1, 2, 3, 5, 6, 15),
        "43_amplify_table3": (7,),
        "44_amplify_table4": (11, 12),
        "45_amplify_figure3": (8, 9, 10),
        "46_amplify_figures4_5_6": (13, 14),
        "47_amplify_figure7": (14,),
    },
    claims=claims,
    load=load,
)
