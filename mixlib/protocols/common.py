"""What the protocols of several papers share: specs of methods times seeds, and of studies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from mixlib.runs import RunSpec
from mixlib.studies import StudySpec

PROFILES = ("smoke", "mini", "full")
Named = str | tuple[str, dict[str, Any]]  # a method by name, or with parameters in place of the protocol's


def check_profile(profile: str) -> str:
    """The profile itself; ``ValueError`` with the nearest name if there is none of that name."""
    if profile not in PROFILES:
        near = get_close_matches(str(profile), PROFILES, n=1, cutoff=0.4)
        nearest = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"unknown profile {profile!r}; {nearest}choose one of {', '.join(PROFILES)}")
    return profile


def committed(profile: str, model: str | None, seeds: Iterable[int] | None) -> bool:
    """Whether a notebook with these parameters shows the committed records, so that nothing may be trained for it."""
    return check_profile(profile) == "mini" and model is None and seeds is None


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
