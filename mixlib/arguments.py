"""Checks of what users give: the value as Python's own, or an error with what was got and what would be right; and
words that such errors have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any


def as_number(value: Any) -> int | float | None:
    """A number, numpy's included, as Python's ``int`` or ``float``; ``None`` for all else, truth values included."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return int(value) if isinstance(value, Integral) else float(value)


def check_number(name: str, value: Any, says: str, holds: Callable[[float], bool]) -> float:
    """``value`` as Python's ``float``.

    Args:
        name: of the argument.
        value: what was given.
        says: what it must be, for the message.
        holds: whether a number is that.

    Raises:
        ValueError: no number, or one that is not that.
    """
    number = as_number(value)
    if number is None or not holds(number):
        raise ValueError(f"{name} must be {says}, got {value!r}")
    return float(number)


def check_count(name: str, value: Any, fewest: int = 1) -> int:
    """``value`` as Python's ``int``; ``ValueError`` unless it is a whole number of at least ``fewest``."""
    number = as_number(value)
    if not isinstance(number, int) or number < fewest:
        raise ValueError(f"{name} must be a whole number of at least {fewest}, got {value!r}")
    return number


def check_choice(name: str, value: Any, known: Sequence[Any]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of the ``known``."""
    if not any(value is each or (value == each and type(value) is type(each)) for each in known):
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, got {value!r}")


def unknown(kind: str, name: Any, known: Iterable[str], more: str = "") -> ValueError:
    """The error for a name that nothing has, with the nearest of those that there are."""
    near = get_close_matches(str(name), list(known), n=3, cutoff=0)
    return ValueError(f"unknown {kind} {name!r}; did you mean {', '.join(near)}?{more}")


def first_line(error: BaseException) -> str:
    """The first line of what an error says; of one that says nothing, its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
