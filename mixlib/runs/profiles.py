"""What the protocols of several papers share: specs of methods times seeds, and of studies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any

from mixlib.runs.spec import RunSpec
from mixlib.runs.studies import StudySpec

PROFILES = ("smoke", "mini", "full")
MOST_NUMBERS = 10_000  # a longer list is a typing error
LARGEST_SEED = 2**32 - 1  # of numpy's generators
Named = str | tuple[str, dict[str, Any]]  # a method by name, or with parameters in place of the protocol's
Seeds = Iterable[int] | int | str  # a list, a single one, or text such as "0,1,5-9"


def check_profile(profile: str) -> str:
    """The profile itself; ``ValueError`` with those there are if there is none of that name."""
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    return profile


def committed(profile: str, model: str | None, seeds: Seeds | None) -> bool:
    """Whether a notebook with these parameters shows the committed records, so that nothing may be trained for it."""
    return check_profile(profile) == "mini" and model is None and seeds is None


def numbers(text: str) -> list[int]:
    """``"0,1,5-9"`` as a list of whole numbers.

    Raises:
        ValueError: it is not such a list, is empty, or holds a range that ends before it begins or more than 10,000
            numbers.
    """
    found: list[int] = []
    for part in str(text).split(","):
        ends = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", part.strip(), re.ASCII)
        if not ends:
            raise ValueError(f"{text!r} is not a list of numbers such as 0,1,2 or 0-9")
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if last < first:
            raise ValueError(f"the range {part.strip()} ends before it begins; did you mean {last}-{first}?")
        if len(found) + last - first >= MOST_NUMBERS:
            raise ValueError(f"{text!r} is more than {MOST_NUMBERS:,} numbers")
        found += range(first, last + 1)
    return found


def seeds_or(seeds: Seeds | None, usual: Iterable[int]) -> list[int]:
    """The seeds asked for, each once; the usual ones for ``None``.

    Args:
        seeds: a list, a single number, which is one seed and not a count, or text as in :func:`numbers`, such as
            papermill's ``-p seeds 0-2`` gives.
        usual: of the protocol.

    Raises:
        ValueError: no seeds, or something that is not one, such as a number above :data:`LARGEST_SEED`.
    """
    if seeds is None:
        return list(usual)
    if isinstance(seeds, str):
        given: list[Any] = numbers(seeds)
    else:
        given = list(seeds) if isinstance(seeds, Iterable) else [seeds]
    for seed in given:
        if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
            raise ValueError(
                f"seeds are whole numbers from 0 on, at most {LARGEST_SEED:,.0f}, such as [0, 1, 2] or '0-2', got "
                f"{seeds!r}"
            )
    if not given:
        raise ValueError("seeds is empty: leave it out (None) for the profile's, or name some, such as [0, 1, 2]")
    return list(dict.fromkeys(int(seed) for seed in given))


def method_runs(
    methods: Iterable[Named], params_of: Callable[[str], dict[str, Any]], seeds: Iterable[int], **fields: Any
) -> list[RunSpec]:
    """Every method with every seed, alike in everything else.

    Args:
        methods: names, or names with parameters in place of the protocol's.
        params_of: the protocol's parameters of a method.
        seeds: of the runs.
        **fields: of ``RunSpec``.
    """
    named = [method if isinstance(method, tuple) else (method, {}) for method in methods]
    seeds = list(seeds)
    return [
        RunSpec(method=name, method_params=params_of(name) | params, seed=seed, **fields)
        for name, params in named
        for seed in seeds
    ]


def study_of(run: RunSpec, study: str, **params: Any) -> StudySpec:
    """A study of a run, of the same paper and seed."""
    spec = {name: value for name, value in run.canonical().items() if name != "seed"}
    return StudySpec(
        paper=run.paper, study=study, seed=run.seed, synthetic=run.synthetic, params={"run": spec, **params}
    )
