"""The papers, and which of their artefacts is made by which notebook and runs."""

from __future__ import annotations

from difflib import get_close_matches

from mixlib.evidence import plan as plan
from mixlib.evidence import published
from mixlib.evidence.published import Artefact
from mixlib.papers.amplify.paper import PAPER as AMPLIFY
from mixlib.papers.base import Recipe as Recipe
from mixlib.papers.batchmixup.paper import PAPER as BATCHMIXUP
from mixlib.papers.common import pool as pool
from mixlib.papers.common.paper import PAPER as COMMON
from mixlib.papers.mixup_calibration.paper import PAPER as MIXUP_CALIBRATION
from mixlib.papers.ssmix.paper import PAPER as SSMIX
from mixlib.runs import studies
from mixlib.runs.profiles import PROFILES as PROFILES
from mixlib.runs.profiles import check_profile
from mixlib.runs.profiles import committed as committed
from mixlib.runs.records import Spec

# In the book's order; a further paper is a line here
PAPERS = (BATCHMIXUP, MIXUP_CALIBRATION, SSMIX, AMPLIFY, COMMON)

RECIPES: dict[str, Recipe] = {id_: recipe for paper in PAPERS for id_, recipe in paper.recipes.items()}


def artefacts() -> list[Artefact]:
    """Every table, figure and algorithm of the papers, and after each paper's, what we measure in addition."""
    own = published.artefacts()
    return [
        artefact
        for paper in PAPERS
        for artefact in (*(found for found in own if found.paper == paper.key), *paper.measured)
    ]


def artefact_runs(artefact_id: str, profile: str, **overrides: object) -> list[Spec]:
    """The runs an artefact needs at a profile, ``[]`` if it needs none or is not built yet.

    Instead of an artefact: a cell of the evidence, a wave of them, or ``evidence`` for all
    (:mod:`mixlib.evidence.plan`). These have no runs at ``full``, and only their ``seeds`` can be overridden.

    Raises:
        ValueError: unknown artefact or profile (with the nearest names), or a model for the evidence.
    """
    check_profile(profile)
    if artefact_id in plan.names():
        if overrides.get("model") is not None:
            raise ValueError(f"for {artefact_id} only seeds can be chosen; its model is fixed")
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


def load_studies() -> None:
    """Register the papers' studies."""
    for paper in PAPERS:
        if paper.load:
            paper.load()


studies.register(load_studies)
plan.register(
    plan.Registered(
        pool=pool.POOL,
        papers=[cell for paper in PAPERS for cell in paper.cells],
        sensitivity=[cell for paper in PAPERS for cell in paper.sensitivity],
        studies=[cell for paper in PAPERS for cell in paper.studies],
        last=[name for paper in PAPERS for name in paper.last],
        claims={paper.key: paper.claims for paper in PAPERS if paper.claims},
        chapters={name: (paper.key, numbers) for paper in PAPERS for name, numbers in paper.chapters.items()},
    )
)
