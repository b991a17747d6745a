"""Checks of what users give: the value as Python's own, or an error with what was got and what would be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def check_count(name: str, value: Any) -> int:
    """``value`` as Python's ``int``; ``ValueError`` unless it is a whole number of at least 1."""
    number = as_number(value)
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return number


def check_choice(name: str, value: Any, known: Sequence[Any]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of the ``known``."""
    if not any(value is each or (value == each and type(value) is type(each)) for each in known):
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, got {value!r}")
