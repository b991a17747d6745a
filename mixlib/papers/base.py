"""What the folder of a paper registers, in its module ``paper``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixlib.evidence.cells import Cell, StudyCell
from mixlib.evidence.published import Artefact
from mixlib.runs.records import Spec

if TYPE_CHECKING:
    from mixlib.evidence.claims import Claim


@dataclass(frozen=True)
class Recipe:
    """How an artefact is made.

    Attributes:
        notebook: the notebook that shows it.
        runs: gives its runs for a profile; none for a drawing or a settings table.
        takes_more: whether ``runs`` takes ``more``, names of methods that it would not run otherwise.
    """

    notebook: str
    runs: Callable[..., list[Spec]] | None = None
    takes_more: bool = False


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What a paper did, to be run, judged and shown.

    Attributes:
        key: as in ``data/published``.
        recipes: by artefact id, how it is made.
        measured: what the paper only states and we measure, in addition to ``data/published/artefacts.csv``.
        cells: its own, see :mod:`mixlib.evidence.cells`.
        sensitivity: cells with other settings, which no claim reads.
        studies: cells of what is measured in addition to scores.
        last: prefixes of the names of cells that are left out first if time is short.
        chapters: by notebook, the numbers of the claims that it shows; if two show one, the first is linked.
        claims: makes its claims; called when they are read.
        load: imports its studies, whose functions register themselves; called when one is run.
    """

    key: str
    recipes: Mapping[str, Recipe]
    measured: Sequence[Artefact] = ()
    cells: Sequence[Cell] = ()
    sensitivity: Sequence[Cell] = ()
    studies: Sequence[StudyCell] = ()
    last: Sequence[str] = ()
    chapters: Mapping[str, Sequence[int]] = field(default_factory=dict)
    claims: Callable[[], Iterable[Claim]] | None = None
    load: Callable[[], object] | None = None
