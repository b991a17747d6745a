"""A user's own texts and labels: are they usable, how are they split, and what does a reader have to know about them?

Wherever they come from (:mod:`mixlib.comparing.sources`), anything unusable is refused, naming its file, row and
column, before anything is written. What is read becomes a data set of its own, whose name contains the digest of its
content (:func:`mixlib.runs.corpora.own_name`): the same rows are the same data set, whatever their order and the file
format.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixlib.comparing.sources import Source, Table, called, tables_of
from mixlib.runs import checkpoints, corpora, draws
from mixlib.runs.corpora import DataDiffers

FEWEST_ROWS = 20  # of a file
TEST_SHARE, DEV_SHARE = 0.2, 0.15  # of a file, if there is no test file; of the training file
MOST_TEST, MOST_DEV = 5000, 2000
FEW = 5  # a class with fewer rows is said to have few
NAMED = 3  # this many classes are named, the rest only counted


@dataclass(frozen=True)
class OwnData:
    """A user's own data set, read and checked.

    Attributes:
        name: as in specs and records.
        title: as the user calls it.
        labels: the name of each class, in the order of their numbers.
        counts: rows of each class, with columns ``train`` and, if there is a test file, ``test``.
        has_test: whether the test rows come from a source of their own.
        remarks: what a reader has to know about the data, one sentence each.
        folder: where the data are; by default results go to ``mixlib-results`` in it.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    counts: pd.DataFrame
    has_test: bool
    remarks: tuple[str, ...]
    folder: Path

    @property
    def rows(self) -> int:
        """Number of rows, not counting a test file."""
        return int(self.counts["train"].sum())

    def sizes(self, train_size: int | None = None, batch_size: int = 16) -> dict[str, int | None]:
        """``train_size``, ``dev_size`` and ``test_size`` of its runs.

        Without a test file, a fifth of the rows are for testing: at least as many as classes, at most 5,000. Of the
        training file, 15% (at most 2,000 rows) are for fitting a temperature and are never trained on. If the last
        batch of an epoch would have a single row, which has nothing to mix with, that row is not trained on; it joins
        those 15% unless ``train_size`` is given.

        Args:
            train_size: number of training rows, by default all that remain.
            batch_size: rows per batch.

        Returns:
            The three sizes; ``test_size`` is ``None`` with a test file, all of whose rows are used.

        Raises:
            ValueError: too few rows for ``train_size``, for the classes, or for batches of this size.
        """
        classes, rows = len(self.labels), self.rows
        test = 0 if self.has_test else min(max(round(TEST_SHARE * rows), classes), MOST_TEST, rows - 2 * classes)
        dev = min(max(round(DEV_SHARE * rows), min(classes, rows // 5)), MOST_DEV, rows - test - classes)
        train = rows - test - dev
        if train_size is not None:
            if not classes <= train_size <= train:
                raise ValueError(
                    f"{self.title}: {train_size} training rows were asked for; the possible range is {classes} (one "
                    f"per class) to {train}"
                )
            train = train_size
        if train % batch_size == 1 and batch_size > 1:
            train, dev = train - 1, dev + (train_size is None)
        if train < classes:
            raise ValueError(
                f"{self.title}: {train + 1} training rows in batches of {batch_size} leave one row with nothing to mix "
                f"with, and without it there are fewer rows than the {classes} classes; choose another batch_size"
            )
        if dev < 1:
            raise ValueError(f"{self.title}: {rows} rows are too few for {classes} classes")
        return {"train_size": train, "dev_size": dev, "test_size": None if self.has_test else test}

    def split(self, seed: int, sizes: Mapping[str, int | None] | None = None) -> dict[str, pd.DataFrame]:
        """The rows ``train`` (in the order in which a run gets them), ``dev`` and ``test`` of a seed.

        The columns are ``text``, ``text_b`` for pairs, and ``label``, the number of the class.
        """
        found = draws.sample(self.name, seed, **(sizes or self.sizes()))
        return {"train": found.train, "dev": found.dev, "test": found.test}


def read(
    source: Source, text: str = "text", label: str = "label", text_b: str | None = None, test: Source | None = None
) -> OwnData:
    """Read a user's own data set, so that runs of this process can draw from it.

    Args:
        source: a file (.csv, .tsv, .parquet, .jsonl, .ndjson, .json), a folder of such files whose names contain their
            split (train, test, validation or dev), a folder with a data set card, which ``datasets.load_dataset``
            reads, a name on the hub (``OWNER/NAME`` or ``OWNER/NAME:CONFIGURATION``), a data frame, or a 🤗 ``Dataset``
            or ``DatasetDict``. In a folder, on the hub or in a ``DatasetDict``, the split ``test``, or else
            ``validation``, serves as the test file. Text files are UTF-8.
        text, label: the names of the columns. Labels are text, whole numbers, or true and false.
        text_b: the column of the second text of a pair.
        test: the test rows, with the same column names; by default they are drawn from ``source``.

    Raises:
        DataDiffers: something cannot be used; the message names file, row (from 1, without the header) and column.
        DataUnavailable, FileNotFoundError: it is not available.
        ValueError: one column was named for two purposes.
    """
    names = [text, *([text_b] if text_b else []), label]
    if len(set(names)) < len(names):
        raise ValueError(f"text, text_b and label must be different columns, got {', '.join(map(repr, names))}")
    found = tables_of(source, names)
    if test is not None:
        given = tables_of(test, names)
        rows = given.get("test", given["train"])  # of a folder or a data set with splits, that for testing
        if not isinstance(test, (str, Path)):  # both are in memory: no file name tells them apart
            rows = replace(rows, title=rows.title.replace("the data", "the test data", 1))
        found = {"train": found["train"], "test": rows}
    for table in found.values():
        rows = min(len(table.column(name)) for name in names)
        if rows < FEWEST_ROWS:
            raise DataDiffers(
                f"{table.title} has {rows} row{'' if rows == 1 else 's'}; at least {FEWEST_ROWS} are needed"
            )
    texts = {split: _texts(table, names[:-1]) for split, table in found.items()}
    labels = {split: _labels(table, label) for split, table in found.items()}
    if all(re.fullmatch(r"-?\d+(\.0)?", name) for name in labels["train"]):  # pandas writes gaps' neighbours as 1.0
        labels = {split: [re.sub(r"^(-?\d+)\.0$", r"\1", name) for name in names] for split, names in labels.items()}
    classes = _classes(found["train"], label, labels["train"])
    numbers = {name: number for number, name in enumerate(classes)}
    for i, name in enumerate(labels.get("test", [])):
        if name not in numbers:
            near = get_close_matches(name, classes, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DataDiffers(
                f"{found['test'].place(i, label)}: the label {name!r} occurs in no training row, so no model could "
                f"ever predict it{hint}"
            )
    if len(judged := set(labels.get("test", classes))) == 1:
        raise DataDiffers(
            f"{found['test'].title}, column {label!r}: every label is {judged.pop()!r}; test rows of one class cannot "
            "show whether a model tells the classes apart"
        )
    title, stem, folder = called(source)
    splits = {}
    for split, columns in texts.items():
        rows = pd.DataFrame(columns | {"label": [numbers[name] for name in labels[split]]})
        splits[split] = corpora.split_of(rows, found[split].title)
    parts = {split: corpora.checksum(of) for split, of in splits.items()}
    digest = checkpoints.of_parts(parts)
    name = corpora.own_name(stem, len(classes), text_b is not None, "test" in splits, digest)
    corpora.OWN.update({(name, split): of for split, of in splits.items()})
    counts = pd.DataFrame({split: Counter(of) for split, of in labels.items()}, index=classes).fillna(0).astype(int)
    remarks = (*found["train"].remarks, *_remarks(counts, {split: of.rows for split, of in splits.items()}))
    return OwnData(name, title, classes, counts, "test" in splits, remarks, folder)


# --- Values -----------------------------------------------------------------------------------------------------------


def _refuse(table: Table, column: str, wrong: Sequence[tuple[int, str]]) -> None:
    """Name the first row that cannot be used, and count the others."""
    if wrong:
        row, reason = wrong[0]
        others = f" ({len(wrong)} such rows in all)" if len(wrong) > 1 else ""
        raise DataDiffers(f"{table.place(row, column)}: {reason}{others}")


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _torn(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _texts(table: Table, names: Sequence[str]) -> dict[str, Sequence[str]]:
    texts = {}
    for ours, name in zip(("text", "text_b"), names, strict=False):
        values, wrong = table.column(name), []
        for i, value in enumerate(values):
            if _missing(value) or (isinstance(value, str) and not value.strip()):
                wrong.append((i, "no text"))
            elif not isinstance(value, str):
                wrong.append((i, f"expected a text, got {value!r} ({type(value).__name__})"))
            elif _torn(value):
                wrong.append((i, "half a character (a lone surrogate), which is not text"))
        _refuse(table, name, wrong)
        texts[ours] = list(values)
    return texts


def _labels(table: Table, name: str) -> list[str]:
    labels: list[str] = []
    wrong = []
    for i, value in enumerate(table.column(name)):
        if _missing(value) or (isinstance(value, str) and not value.strip()):
            wrong.append((i, "no label"))
        elif isinstance(value, (bool, np.bool_, int, np.integer)):
            labels.append(str(value))
        elif isinstance(value, (float, np.floating)) and float(value).is_integer():
            labels.append(str(int(value)))  # pandas makes floats of whole numbers
        elif isinstance(value, str):
            labels.append(value.strip())
        else:
            wrong.append((i, f"a label must be a text or a whole number, got {value!r} ({type(value).__name__})"))
    _refuse(table, name, wrong)
    return labels


def _classes(table: Table, name: str, labels: Sequence[str]) -> tuple[str, ...]:
    """The classes in alphabetical order, or in numerical order if they are whole numbers."""
    found = set(labels)
    whole = all(re.fullmatch(r"-?\d{1,18}", label) for label in found)
    classes = tuple(sorted(found, key=(lambda label: (int(label), label)) if whole else str))
    if len(classes) < 2:
        raise DataDiffers(f"{table.title}, column {name!r}: every label is {classes[0]!r}; two classes are needed")
    if 3 * len(classes) > len(labels):
        raise DataDiffers(
            f"{table.title}, column {name!r}: {len(classes)} different labels in {len(labels)} rows, fewer than three "
            "rows per class; is this the label column?"
        )
    return classes


# --- Remarks ----------------------------------------------------------------------------------------------------------


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:NAMED])
    return shown + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _classes_have(names: Sequence[str]) -> str:
    return "1 class has" if len(names) == 1 else f"{len(names)} classes have"


def _remarks(counts: pd.DataFrame, rows: Mapping[str, pd.DataFrame]) -> list[str]:
    judged = counts.get("test", counts["train"])
    train = counts["train"].sort_values(ascending=False, kind="stable")
    largest, smallest = train.index[0], train.index[-1]
    share = 100 * judged.max() / judged.sum()
    said = [
        f"{train.sum()} rows"
        + (f" and {counts['test'].sum()} test rows" if "test" in counts else "")
        + f", {len(train)} classes"
        + (
            f": {', '.join(f'{name!r} {n}' for name, n in train.items())}"
            if len(train) <= 2 * NAMED
            else f", from {largest!r} ({train.iloc[0]} rows) to {smallest!r} ({train.iloc[-1]})"
        )
        + (
            f". Imbalanced: the largest class has {train.iloc[0] / train.iloc[-1]:.1f} times the rows of the smallest"
            if train.iloc[0] >= 1.5 * train.iloc[-1]
            else ". Balanced"
        )
        + f", and always answering {judged.idxmax()!r} is right in {share:.1f}% of the "
        + ("test rows" if "test" in counts else "rows")
    ]
    if all(re.fullmatch(r"-?\d*\.?\d+", name) for name in train.index) and any("." in name for name in train.index):
        said.append("the labels are amounts; each one counts as a class, no nearer to the next than to any other")
    if few := [name for name, n in train.items() if n < FEW]:
        said.append(f"{_classes_have(few)} fewer than {FEW} rows ({_listed(few)}): hardly enough to learn or to judge")
    if "test" in counts and len(absent := [name for name, n in counts["test"].items() if not n]):
        said.append(f"{_classes_have(absent)} no test row ({_listed(absent)})")
    texts = {split: list(zip(*(of[c] for c in of if c != "label"), strict=True)) for split, of in rows.items()}
    by_text: dict[tuple, set[int]] = {}
    for content, label in zip(texts["train"], rows["train"]["label"], strict=True):
        by_text.setdefault(content, set()).add(label)
    if torn := sum(len(labels) > 1 for labels in by_text.values()):
        said.append(f"{torn} {'text occurs' if torn == 1 else 'texts occur'} with different labels")
    if "test" in rows:
        if known := sum(content in by_text for content in texts["test"]):
            have = "1 test row has" if known == 1 else f"{known} test rows have"
            said.append(f"{have} a text of the training rows, which makes test scores too good")
    elif copies := len(texts["train"]) - len(by_text):
        repeat = "1 row repeats" if copies == 1 else f"{copies} rows repeat"
        said.append(
            f"{repeat} the text of another row; where one is for training and the other for testing, test scores are "
            "too good"
        )
    return said
