"""All cells of the evidence, and in which order they are run.

Nothing here knows any paper: papers register what they have (:func:`register`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mixlib.arguments import unknown
from mixlib.evidence.cells import SCREENING_SEEDS, AnyCell, Cell, StudyCell, first_seeds
from mixlib.evidence.cells import Decided as Decided
from mixlib.evidence.cells import decided as decided
from mixlib.runs.profiles import Seeds, seeds_or
from mixlib.runs.records import Spec
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store
from mixlib.runs.studies import TIMED

SENSITIVITY_SEEDS, FIRST_SEEDS, MOST_SEEDS = 3, 6, 12


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What papers register to be run and judged.

    Attributes:
        pool: cells with all methods.
        papers: cells with a protocol of their own, in the order in which they are run.
        sensitivity: cells with other settings, which no claim reads.
        studies: what is measured in addition to scores.
        last: prefixes of the names of those cells that are left out first if time is short.
        claims: by paper, in the papers' order, what makes its claims (:class:`mixlib.evidence.claims.Claim`); called
            when they are read.
        chapters: by notebook, the paper and the numbers of those of its claims that it shows.
    """

    pool: Sequence[Cell]
    papers: Sequence[Cell]
    sensitivity: Sequence[Cell]
    studies: Sequence[StudyCell]
    last: Sequence[str]
    claims: dict[str, Callable[[], Iterable[Any]]]
    chapters: Mapping[str, tuple[str, Sequence[int]]] = field(default_factory=dict)


_REGISTERED: dict[str, Registered] = {}
_CELLS: dict[str, AnyCell] = {}


def register(what: Registered) -> None:
    """Register what there is; replaces anything registered before."""
    _REGISTERED["now"] = what
    _CELLS.clear()
    _CELLS.update({cell.name: cell for cell in (*what.pool, *what.papers, *what.sensitivity, *what.studies)})


def registered() -> Registered:
    """What papers have registered; ``RuntimeError`` if they have not been imported."""
    if not _REGISTERED:
        raise RuntimeError("no cells or claims are registered yet: import mixlib.papers.registry, which registers them")
    return _REGISTERED["now"]


def cells() -> dict[str, AnyCell]:
    """Every cell by name."""
    registered()
    return _CELLS


def get(name: str) -> AnyCell:
    """The cell of this name; ``ValueError`` with the nearest names if there is none."""
    if name not in cells():
        raise unknown("cell", name, cells())
    return cells()[name]


def rows_of(name: str) -> str:
    """How many rows a cell trains on, in words: ``400 rows`` or ``10 a class``."""
    recipe = get(name).recipe
    rows, a_class = recipe.get("train_size"), recipe.get("train_per_class")
    return f"{a_class} a class" if a_class else f"{rows} rows"


def as_read(cell: AnyCell, profile: str) -> AnyCell:
    """A cell in the precision in which its committed seeds are read, so that further seeds fit to them; not at profile
    ``smoke``."""
    return decided().read(cell) if profile == "mini" and decided().seeds.get(cell.name) else cell


def _seed_by_seed(found: Iterable[Cell], seeds: Iterable[int], profile: str) -> list[RunSpec]:
    found = [as_read(cell, profile) for cell in found]
    return [spec for seed in seeds for cell in found for spec in cell.specs([seed], profile=profile)]


def _is_last(cell: Cell) -> bool:
    return any(cell.name.startswith(name) for name in registered().last)


def _screening(profile: str, last: bool) -> list[RunSpec]:
    """The plain model of every cell, with seeds that no table uses; separate for the cells that are run last."""
    screened = [
        cell
        for cell in (*registered().pool, *registered().papers)
        if cell.plain in cell.labels and _is_last(cell) == last
    ]
    return [cell.spec(cell.plain, seed, profile) for seed in SCREENING_SEEDS for cell in screened]


def _studies(profile: str) -> list[Spec]:
    """Seed by seed, with those that measure seconds at the end: nothing runs alongside them."""
    found = [
        spec
        for seed in first_seeds(max(cell.seeds for cell in registered().studies))
        for cell in registered().studies
        if seed in first_seeds(cell.seeds)
        for spec in as_read(cell, profile).specs([seed], profile=profile)
    ]
    return sorted(found, key=lambda spec: spec.study in TIMED)


# In the order in which they are run: seed by seed, so that what is there is a whole experiment at any time
WAVES: dict[str, Callable[[str], list[Spec]]] = {
    "screening": lambda profile: _screening(profile, last=False),
    "pool": lambda profile: _seed_by_seed(registered().pool, first_seeds(FIRST_SEEDS), profile),
    "papers": lambda profile: _seed_by_seed(
        (c for c in registered().papers if not _is_last(c)), first_seeds(FIRST_SEEDS), profile
    ),
    "studies": _studies,
    "sensitivity": lambda profile: _seed_by_seed(registered().sensitivity, first_seeds(SENSITIVITY_SEEDS), profile),
    "last": lambda profile: [
        *_screening(profile, last=True),
        *_seed_by_seed(filter(_is_last, registered().papers), first_seeds(FIRST_SEEDS), profile),
    ],
    "more": lambda profile: _seed_by_seed(
        (c for c in registered().papers if c.seeds > FIRST_SEEDS),
        first_seeds(MOST_SEEDS)[FIRST_SEEDS:],
        profile,
    ),
}


EVERYTHING = "evidence"


def names() -> list[str]:
    """What can be run by name: the waves, all of them together, and each cell."""
    return [EVERYTHING, *WAVES, *cells()]


def runs(name: str, profile: str = "mini", seeds: Seeds | None = None) -> list[Spec]:
    """The runs of a wave, of a cell, or of the whole evidence in the order of the waves; each once, in the precision in
    which its cell is read (screening: in that of the profile).

    Args:
        name: one of :func:`names`.
        profile: ``mini``, or ``smoke`` for a trial that takes seconds, on synthetic data.
        seeds: only these; for a cell, by default its first ones, as many as its claims need at least.

    Raises:
        ValueError: an unknown profile, ``full`` (the cells have none), or wrong seeds.
    """
    if name in cells():
        wanted = seeds_or(seeds, first_seeds(cells()[name].seeds))
        return as_read(cells()[name], profile).specs(wanted, profile=profile)
    parts = list(WAVES) if name == EVERYTHING else [name]
    only = None if seeds is None else set(seeds_or(seeds, ()))
    found = dict.fromkeys(spec for part in parts for spec in WAVES[part](profile))
    return [spec for spec in found if only is None or spec.seed in only]


def whole_seeds(cell: AnyCell, store: Store) -> list[int]:
    """The seeds of a cell, from the first on, at which all its methods are done."""
    seeds: list[int] = []
    for seed in first_seeds(MOST_SEEDS):
        if store.missing(cell.specs([seed])):
            break
        seeds.append(seed)
    return seeds
