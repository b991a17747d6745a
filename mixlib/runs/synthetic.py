"""Offline twins of the data sets: texts of invented words with the columns, splits and labels of the real ones.

They exist so that anyone can run everything without a network, in seconds, and they can be learned: the words of a
text lean towards its class. They say nothing about language, and what is trained on them is never a result.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd

ROWS = {"train": 640, "validation": 240, "test": 320}
MARKERS = 4  # words of each class
MAX_CLASSES = 80
FILLERS = 120
MARKED = 0.35  # share of words that come from the class
MISLEADING = 0.12  # share of marked words that come from another class


@lru_cache(maxsize=1)
def vocabulary() -> tuple[str, ...]:
    """All words of all twins: first the class words, then the fillers."""
    words = ("".join(parts) for parts in product("bdfgklmnprstvz", "aeiou", "bdklmnrst", "aeio"))
    return tuple(word for word, _ in zip(words, range(MAX_CLASSES * MARKERS + FILLERS), strict=False))


def _words(rng: np.random.Generator, label: int, num_labels: int, length: int) -> list[str]:
    vocab = vocabulary()
    source = np.where(rng.random(length) < MISLEADING, rng.integers(num_labels, size=length), label)
    marked = source * MARKERS + rng.integers(MARKERS, size=length)
    filler = MAX_CLASSES * MARKERS + rng.integers(FILLERS, size=length)
    return [vocab[i] for i in np.where(rng.random(length) < MARKED, marked, filler)]


def twin(name: str, split: str, task: str, num_labels: int) -> pd.DataFrame:
    """The rows of one split of a twin, the same on every machine.

    Args:
        name: data set, which seeds the twin.
        split: ``train``, ``validation`` or ``test``.
        task: ``sentence``, ``pair``, ``question type``, ``intent``, ``relation`` or ``yes/no``.
        num_labels: number of classes.

    Returns:
        Columns ``text``, ``text_b`` (tasks ``pair`` and ``yes/no``), ``label``, ``label_name``; for ``relation`` also
        ``head``, ``tail`` and their word spans ``head_start``, ``head_end``, ``tail_start``, ``tail_end``.
    """
    rng = np.random.default_rng(zlib.crc32(f"{name}/{split}".encode()))
    rows = []
    for i in range(max(ROWS[split], 4 * num_labels)):
        label = i % num_labels
        words = _words(rng, label, num_labels, int(rng.integers(5, 24)))
        row: dict[str, object] = {"text": " ".join(words), "label": label, "label_name": f"class_{label}"}
        if task == "question type":
            row["text"] += " ?"
        if task in ("pair", "yes/no"):
            second = _words(rng, label, num_labels, int(rng.integers(5, 16)))
            row["text_b"] = " ".join(second) + (" ?" if task == "yes/no" else "")
        if task == "relation":
            head, tail = sorted(rng.choice(len(words), size=2, replace=False).tolist())
            row |= {"head": words[head], "tail": words[tail], "head_start": head, "head_end": head + 1}
            row |= {"tail_start": tail, "tail_end": tail + 1}
        rows.append(row)
    return pd.DataFrame(rows)
