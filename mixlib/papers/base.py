"""What the folder of a paper hands in, as its module ``paper`` says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixlib.evidence.cells import Cell, StudyCell
from mixlib.evidence.published import Artefact
from mixlib.runs.records import Spec

if TYPE_CHECKING:
    from mixlib.evidence.verdicts import Claim


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


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What a paper did, to be run, judged and shown.

    Attributes:
        key: as in ``data/published``.
        recipes: by id of an artefact, how it is made.
        measured: what the paper only states and we measure, beside the artefacts of ``data/published/artefacts.csv``.
        cells: its own, see :mod:`mixlib.evidence.cells`.
        studies: cells of what is measured beside scores.
        last: beginnings of the names of cells that are left out first where time is short.
        chapters: by notebook, the numbers of the claims that it shows; of two the first is linked.
        claims: makes its claims; called when they are read.
        load: imports its studies, whose functions register themselves; called when one is run.
    """

    key: str
    recipes: Mapping[str, Recipe]
    measured: Sequence[Artefact] = ()
    cells: Sequence[Cell] = ()
    studies: Sequence[StudyCell] = ()
    last: Sequence[str] = ()
    chapters: Mapping[str, Sequence[int]] = field(default_factory=dict)
    claims: Callable[[], Iterable[Claim]] | None = None
    load: Callable[[], object] | None = None
