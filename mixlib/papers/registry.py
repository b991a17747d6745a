"""What each paper did, as data: one module a paper, and here which artefact is made by which notebook and runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING

from mixlib.evidence import plan as plan
from mixlib.evidence import published
from mixlib.evidence.published import Artefact
from mixlib.papers.amplify import protocol as amplify
from mixlib.papers.batchmixup import protocol as batchmixup
from mixlib.papers.common import pool as pool
from mixlib.papers.mixup_calibration import protocol as mixup_calibration
from mixlib.papers.playground import protocol as playground
from mixlib.papers.ssmix import protocol as ssmix
from mixlib.runs import studies
from mixlib.runs.profiles import PROFILES as PROFILES
from mixlib.runs.profiles import check_profile
from mixlib.runs.profiles import committed as committed
from mixlib.runs.profiles import numbers as numbers
from mixlib.runs.records import Spec

if TYPE_CHECKING:
    from mixlib.evidence.verdicts import Claim

LAST = (  # cells that are left out first where time is short
    "amplify/mrpc", "batchmixup/fewrel", "batchmixup/banking77-all", "ssmix/qnli", "amplify/trec_fine",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How an artefact is made.

    Attributes:
        notebook: that shows it.
        runs: for a profile; none for a drawing or a settings table.
        takes_more: whether ``runs`` takes ``more``, names of methods that it would not run by itself.
    """

    notebook: str
    runs: Callable[..., list[Spec]] | None = None
    takes_more: bool = False


# What the papers only state and we measure
EXTRAS = (
    Artefact("batchmixup-epoch-time", "batchmixup", "Epoch time", "measurement", "seconds an epoch takes, by method"),
    Artefact("batchmixup-geometry", "batchmixup", "Geometry", "measurement", "where mixed points lie"),
    Artefact("ssmix-mixing-ratio", "ssmix", "Mixing ratio", "measurement", "accuracy by share of tokens replaced"),
    Artefact("ssmix-step-time", "ssmix", "Step time", "measurement", "seconds a step takes, by method"),
    Artefact("ssmix-two-stages", "ssmix", "Two stages", "measurement", "mixing after plain training or from the start"),
    Artefact(
        "ssmix-dropout-leak", "ssmix", "Dropout leak", "measurement", "what a fault of the published code explains"
    ),
    Artefact("amplify-padding", "amplify", "Padding", "measurement", "batches with little and with much padding"),
    Artefact("amplify-label-noise", "amplify", "Label noise", "measurement", "accuracy by share of wrong labels"),
    Artefact("amplify-step-time", "amplify", "Step time", "measurement", "seconds 12,000 updates take, by method"),
    Artefact(
        "amplify-fairness", "amplify", "Fairness", "measurement", "what the published comparison's differences explain"
    ),
    Artefact("common-protocol", "common", "Common protocol", "measurement", "every method under one recipe a data set"),
    Artefact("common-learning-rate", "common", "Learning rate", "measurement", "the same at half and twice the rate"),
    Artefact("common-playground", "common", "Playground", "measurement", "what each method makes of a pair of texts"),
)

RECIPES: dict[str, Recipe] = {
    "batchmixup-figure1": Recipe("10_batchmixup_figure1", batchmixup.figure1),
    "batchmixup-table1": Recipe("11_batchmixup_table1", batchmixup.table1),
    "batchmixup-epoch-time": Recipe("12_batchmixup_epoch_time", batchmixup.epoch_time),
    "batchmixup-geometry": Recipe("13_batchmixup_geometry", batchmixup.geometry),
    "calibration-table1": Recipe("20_calibration_tables1_6"),
    "calibration-table6": Recipe("20_calibration_tables1_6"),
    "calibration-figure1": Recipe("21_calibration_figure1"),
    "calibration-table2": Recipe("22_calibration_table2", mixup_calibration.table2),
    "calibration-table3": Recipe("23_calibration_table3", mixup_calibration.table3),
    "calibration-table4": Recipe("24_calibration_table4", mixup_calibration.table4),
    "calibration-table5": Recipe("25_calibration_table5", mixup_calibration.table5),
    "calibration-figure2": Recipe("26_calibration_figure2", mixup_calibration.figure2),
    "ssmix-table1": Recipe("30_ssmix_table1"),
    "ssmix-figure1": Recipe("31_ssmix_figures1_3_4_5", ssmix.figures1_3_4_5),
    "ssmix-figure3": Recipe("31_ssmix_figures1_3_4_5", ssmix.figures1_3_4_5),
    "ssmix-figure4": Recipe("31_ssmix_figures1_3_4_5", ssmix.figures1_3_4_5),
    "ssmix-figure5": Recipe("31_ssmix_figures1_3_4_5", ssmix.figures1_3_4_5),
    "ssmix-algorithm1": Recipe("31_ssmix_figures1_3_4_5"),
    "ssmix-table2": Recipe("32_ssmix_table2_tableA1", ssmix.table2),
    "ssmix-tableA1": Recipe("32_ssmix_table2_tableA1", ssmix.table2),
    "ssmix-tableB1": Recipe("33_ssmix_tableB1", ssmix.tableB1),
    "ssmix-mixing-ratio": Recipe("33_ssmix_tableB1", ssmix.ratios),
    "ssmix-figure2": Recipe("34_ssmix_figure2", ssmix.figure2),
    "ssmix-step-time": Recipe("35_ssmix_step_time", ssmix.step_time),
    "ssmix-two-stages": Recipe("35_ssmix_step_time", ssmix.from_the_start),
    "ssmix-dropout-leak": Recipe("36_ssmix_dropout_leak", ssmix.dropout_leak),
    "amplify-figure1": Recipe("40_amplify_figures1_2"),
    "amplify-figure2": Recipe("40_amplify_figures1_2"),
    "amplify-algorithm1": Recipe("40_amplify_figures1_2"),
    "amplify-table1": Recipe("41_amplify_table1", amplify.table1),
    "amplify-table2": Recipe("42_amplify_table2", amplify.table2),
    "amplify-padding": Recipe("42_amplify_table2", amplify.padding),
    "amplify-label-noise": Recipe("42_amplify_table2", amplify.noise),
    "amplify-table3": Recipe("43_amplify_table3", amplify.table3),
    "amplify-table4": Recipe("44_amplify_table4", amplify.table4),
    "amplify-figure3": Recipe("45_amplify_figure3", amplify.figure3),
    "amplify-step-time": Recipe("45_amplify_figure3", amplify.step_time),
    "amplify-figure4": Recipe("46_amplify_figures4_5_6", amplify.attention),
    "amplify-figure5": Recipe("46_amplify_figures4_5_6", amplify.attention),
    "amplify-figure6": Recipe("46_amplify_figures4_5_6", amplify.attention),
    "amplify-figure7": Recipe("47_amplify_figure7", amplify.attention),
    "amplify-fairness": Recipe("52_amplify_fairness", amplify.fairness),
    "common-protocol": Recipe("51_common_protocol", pool.methods_on_all, takes_more=True),
    "common-learning-rate": Recipe("51_common_protocol", pool.sensitivity, takes_more=True),
    "common-playground": Recipe("54_playground", playground.runs),
}


def artefacts() -> list[Artefact]:
    """Every table, figure and algorithm of the papers, and after each paper's what we measure beside them."""
    found = published.artefacts()
    papers = [artefact.paper for artefact in found]
    order = {paper: place for place, paper in enumerate(dict.fromkeys([*papers, *(extra.paper for extra in EXTRAS)]))}
    return sorted(
        [*found, *EXTRAS], key=lambda artefact: order[artefact.paper]
    )  # stable: extras behind the papers' own


def artefact_runs(artefact_id: str, profile: str, **overrides: object) -> list[Spec]:
    """The runs an artefact needs at a profile, ``[]`` if it needs none or is not built yet.

    In place of an artefact: a cell of the evidence, a wave of them, or ``evidence`` for all
    (:mod:`mixlib.evidence.plan`); of these only ``seeds`` can be overridden.

    Raises:
        ValueError: unknown artefact or profile (with the nearest names), or a model for the evidence.
    """
    check_profile(profile)
    if artefact_id in plan.names():
        if overrides.get("model") is not None:
            raise ValueError(f"of {artefact_id} only seeds can be chosen, its model belongs to it")
        if profile == "full":  # the evidence has a protocol of its own, the papers have theirs
            return []
        return plan.runs(artefact_id, profile, overrides.get("seeds"))
    known = [artefact.id for artefact in artefacts()]
    if artefact_id not in known:
        everything = [*known, *plan.names()]
        near = get_close_matches(artefact_id, everything, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else "`python -m mixlib list` names them"
        raise ValueError(f"unknown artefact {artefact_id!r}; {hint}")
    recipe = RECIPES.get(artefact_id)
    return recipe.runs(profile, **overrides) if recipe and recipe.runs else []


def _claims_of(paper: str) -> Iterable[Claim]:
    from mixlib.papers.amplify import claims as amplify
    from mixlib.papers.batchmixup import claims as batchmixup
    from mixlib.papers.mixup_calibration import claims as mixup_calibration
    from mixlib.papers.ssmix import claims as ssmix

    return {
        "batchmixup": batchmixup.CLAIMS, "mixup_calibration": mixup_calibration.CLAIMS, "ssmix": ssmix.CLAIMS,
        "amplify": amplify.CLAIMS,
    }[paper]  # fmt: skip


def load_studies() -> None:
    """Register the papers' studies."""
    from mixlib.papers.amplify import studies as amplify  # noqa: F401 (their functions register themselves)
    from mixlib.papers.batchmixup import studies as batchmixup  # noqa: F401 (their functions register themselves)
    from mixlib.papers.playground import studies as common  # noqa: F401 (their functions register themselves)
    from mixlib.papers.ssmix import studies as ssmix  # noqa: F401 (their functions register themselves)


studies.hand_in(load_studies)
plan.hand_in(
    plan.Handed(
        pool=pool.POOL,
        papers=(*mixup_calibration.CELLS, *ssmix.CELLS, *batchmixup.CELLS, *amplify.CELLS),
        sensitivity=pool.SENSITIVITY,
        studies=(*batchmixup.STUDY_CELLS, *ssmix.STUDY_CELLS, *amplify.STUDY_CELLS),
        last=LAST,
        claims={paper: partial(_claims_of, paper) for paper in published.PAPERS},
    )
)
