"""The generated parts of README and of the book's pages, each between two marks, written by ``python -m mixlib
update-notebooks``."""

from __future__ import annotations

from collections.abc import Mapping

from mixlib.book import pages
from mixlib.book.findings import COLUMNS, Findings, noted
from mixlib.book.markdown import bullets, folded, table
from mixlib.evidence import ledger, published
from mixlib.papers.common import pool


def parts(found: Findings) -> dict[str, dict[str, str]]:
    """By page, as a path below the repository's root, its parts: Markdown by name."""
    return {
        "README.md": of_readme(found),
        "notebooks/statistics.md": {"margins": found.margins(), "cells": found.cells()},
        "notebooks/limitations.md": {"errata": errata()},
        "notebooks/what_did_not_work.md": {"dead cells": found.dead()},
    }


def errata() -> str:
    """What is wrong in several papers, or in their code; the errata of one paper are on its page of the site."""
    listed = pages.inconsistencies()
    names = [name for name in listed if name not in published.papers() and not name.startswith("Conventions")]
    return "\n\n".join(f"### {name}\n\n{listed[name]}" for name in names)


def of_readme(found: Findings) -> dict[str, str]:
    """What was found; lists of claims are folded, because README is one screen."""
    keys = [key for key in pool.METHODS if key != "none"]
    header = ["method", "time (plain = 1)", *COLUMNS]
    rows = [
        [f"{pool.labels()[key]} (`{key}`)", found.cost(key), *(found.gain(key, c) for c in COLUMNS)] for key in keys
    ]
    counts = ledger.counts(found.verdicts)
    return {
        "verdicts": table(
            ["", *counts.columns],
            [[str(name), *map(str, row)] for name, row in zip(counts.index, counts.to_numpy(), strict=True)],
        ),
        "findings": bullets(map(folded, found.sentences()[1:])),
        "methods": f"{bullets(found.answers(pool.labels()))}\n{noted(table(header, rows))}",
    }


def filled(text: str, parts: Mapping[str, str]) -> str:
    """A page with its parts regenerated.

    Args:
        text: the page, with the two marks of every part once.
        parts: Markdown by name.

    Raises:
        ValueError: marks are missing or occur twice; the message names them.
    """
    for name, part in parts.items():
        first, last = marks(name)
        if text.count(first) != 1 or text.count(last) != 1:
            raise ValueError(f"this page needs the lines {first!r} and {last!r} once each")
        before, _, rest = text.partition(first)
        after = rest.partition(last)[2]
        text = f"{before}{first}\n{part.strip()}\n{last}{after}"
    return text


def marks(name: str) -> tuple[str, str]:
    """The lines before and after a part."""
    return f"<!-- {name}, written by `python -m mixlib update-notebooks` -->", f"<!-- end of the {name} -->"
