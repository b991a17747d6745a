"""Notebooks as a reader meets them: title, figures, and what they found."""

from __future__ import annotations

import re
from dataclasses import dataclass

import nbformat

from mixlib.book import captions

SENTENCES = 3  # of what a chapter found, at its top


@dataclass(frozen=True)
class Figure:
    """A picture in a chapter: its PNG (base64), the chapter's title, the heading above it, and words for readers who
    cannot see it."""

    image: str
    chapter: str
    heading: str
    words: str

    @property
    def title(self) -> str:
        """What it shows, also without the chapter around it."""
        return f"{self.chapter}{' ' if self.chapter.endswith('?') else ': '}{self.heading}".rstrip(": ")


@dataclass(frozen=True)
class Chapter:
    """A notebook as a reader meets it: name without suffix, title, its figures, and what it found: the first
    sentences in bold of what we see (not words that only name a subject)."""

    name: str
    title: str
    figures: tuple[Figure, ...]
    in_short: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """The two digits by which text names it."""
        return self.name[:2]

    @classmethod
    def of(cls, name: str, notebook: nbformat.NotebookNode) -> Chapter:
        """The chapter of an executed notebook; the nearest heading above a figure is its title."""
        title, heading, found, said_first = name, "", [], []
        for cell in notebook.cells:
            if cell.cell_type == "markdown" and cell.source.startswith("## What we see"):
                bold = re.findall(r"^\*\*([^*]+\.)\*\*", cell.source, re.MULTILINE)
                said_first = [words for words in bold if len(words.split()) > 3 and not words.startswith("What ")]
            headings = re.findall(r"^(#+) +(.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else ()
            for level, words in headings:
                title, heading = (words, "") if level == "#" else (title, words)
            for output in cell.get("outputs", ()):
                if "image/png" in output.get("data", {}):
                    said = captions.of_code(cell.source) or heading or title
                    found.append(Figure(output["data"]["image/png"], title, heading, said))
        return cls(name, title, tuple(found), tuple(said_first[:SENTENCES]))
