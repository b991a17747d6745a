"""Engines by name, with options."""

from __future__ import annotations

import json
from contextlib import suppress
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from mixlib.runs.engines.base import Engine
from mixlib.runs.engines.local import Local
from mixlib.runs.engines.on_ray import Ray

PYTHON = {"True": True, "False": False, "None": None}
ENGINES: dict[str, type[Engine]] = {kind.name: kind for kind in (Local, Ray)}


def get(engine: str | Engine) -> Engine:
    """The engine for this description: its name, followed by options as in ``"ray gpus_per_run=0.25 retries=1"``.

    The same description gives the same engine, so that what it keeps for the next sweep is found again.

    Raises:
        ValueError: no such engine or option (with the nearest names), or a value of the wrong kind.
    """
    return engine if isinstance(engine, Engine) else _get(str(engine))


@lru_cache(maxsize=32)
def _get(description: str) -> Engine:
    name, *options = description.split() or [""]
    if name not in ENGINES:
        raise ValueError(f"unknown engine {name!r}; choose one of {', '.join(ENGINES)}")
    known, values = ENGINES[name].options(), {}
    for option in options:
        key, _, value = option.partition("=")
        if key not in known or not value:
            near = get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}=...? " if near else ""
            raise ValueError(f"engine {name!r} has no option {option!r}; {hint}it has {', '.join(known)}")
        values[key] = value if key in ENGINES[name].texts else value_of(value)
    return ENGINES[name](**values)


def describe(engine: str, **options: Any) -> str:
    """The description of an engine with these options added; those that are ``None`` are left out."""
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    return " ".join([engine, *given])


def value_of(text: str) -> Any:
    """The value in ``name=value``: what the text says in Python or as JSON, such as a number or true, else the text
    itself."""
    if text in PYTHON:
        return PYTHON[text]
    for read in (json.loads, float):  # .4 and +1 are no JSON
        with suppress(ValueError):
            return read(text)
    return text
