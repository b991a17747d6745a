"""Markdown as MyST reads it, for generated pages and README."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

MINUS = "−"


def plain(text: object) -> str:
    """Text that Markdown leaves as it is, on one line."""
    return plain_ends(str(text)).strip()


def words_alone(text: str) -> str:
    """A heading without its Markdown: emphasis, code and links become plain words."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", re.sub(r"[*`]", "", text))


def roomy(text: object) -> str:
    """:func:`plain` text in a cell of a table, which keeps some width on a narrow screen."""
    return f"[{plain(text)}]{{.roomy}}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines) + "\n"


def bullets(lines: Iterable[str]) -> str:
    """A Markdown list; lines are Markdown already."""
    return "".join(f"* {line}\n" for line in lines)


def folded(line: str) -> str:
    """A sentence with a list below it, as HTML on one line: the sentence and the number of items, which open the list.
    Lines without a list stay as they are."""
    said, *items = line.split("\n  * ")
    if not items:
        return line
    summary = re.sub(r"\*\*(.+?)\*\*", rf"<b>\1: {len(items)}</b>", html.escape(said, quote=False)).rstrip(":")
    inner = "".join(f"<li>{html.escape(item, quote=False)}</li>" for item in items)
    return f"<details><summary>{summary}</summary><ul>{inner}</ul></details>"


def signed(value: float) -> str:
    """``+1.2`` or ``−0.4``."""
    return f"{value:+.1f}".replace("-", MINUS)


def interval(estimate: float, low: float, high: float) -> str:
    """``+1.2 [−0.4, 2.8]``, its bounds on one line."""
    low, high = (signed(end).removeprefix("+") for end in (low, high))
    return f"{signed(estimate)} [{low},\u00a0{high}]"


def percent(estimate: float, low: float, high: float) -> str:
    """A saving in percent: ``1.2% [−0.4, 2.8]``."""
    first, rest = interval(estimate, low, high).removeprefix("+").split(" ", 1)
    return f"{first}% {rest}"


def plain_code(text: str) -> str:
    """As :func:`plain`, with code in backticks left as it is."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part.replace("|", r"\|") if part.startswith("`") else plain_ends(part) for part in parts)


def plain_ends(text: str) -> str:
    """As :func:`plain`, with the blanks at both ends kept."""
    return re.sub(r"([\\*_`|<>\[\]$])", r"\\\1", re.sub(r"\s+", " ", text))


def from_rst(text: str) -> str:
    """A docstring's inline marks as Markdown: double backticks and roles become code."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return re.sub(r"``([^`]+)``", r"`\1`", text)
