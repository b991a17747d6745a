"""A user's own texts and labels, from a file, a folder, a data frame or the hub, read strictly.

Anything unusable is refused, naming its file, row and column, before anything is written. What is read becomes a data
set of its own, whose name contains the digest of its content (:func:`mixlib.runs.corpora.own_name`): the same rows are
the same data set, whatever their order and the file format.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, load_dataset

from mixlib.runs import corpora
from mixlib.runs.corpora import DataDiffers, DataUnavailable

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json")
DELIMITERS = {".csv": ",;\t|", ".tsv": "\t"}
FEWEST_ROWS = 20  # of a file
TEST_SHARE, DEV_SHARE = 0.2, 0.15  # of a file, if there is no test file; of the training file
MOST_TEST, MOST_DEV = 5000, 2000
FEW = 5  # a class with fewer rows is said to have few
RESULTS = "mixlib-results"  # the folder next to the data in which results are kept
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("validation", "valid", "val", "dev", "eval"), "validation"
)
NAMED = 3  # this many classes are named, the rest only counted

Source = str | os.PathLike[str] | pd.DataFrame


@dataclass(frozen=True)
class OwnData:
    """A user's own data set, read and checked.

    Attributes:
        name: as in specs and records.
        title: as the user calls it.
        labels: the name of each class, in the order of their numbers.
        counts: rows of each class, with columns ``train`` and, if there is a test file, ``test``.
        is_pair: whether a row has two texts.
        has_test: whether the test rows come from a source of their own.
        remarks: what a reader has to know about the data, one sentence each; the first one lists the classes.
        folder: the results are kept in it.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    counts: pd.DataFrame
    is_pair: bool
    has_test: bool
    remarks: tuple[str, ...]
    folder: Path

    @property
    def rows(self) -> int:
        """Number of rows, not counting a test file."""
        return int(self.counts["train"].sum())

    def sizes(self, train_size: int | None = None, batch_size: int = 16) -> dict[str, int | None]:
        """``train_size``, ``dev_size`` and ``test_size`` of its runs.

        Without a test file, a fifth of the rows are for testing, at least as many as there are classes; 15% of the
        training file are for fitting a temperature and are never trained on. If the last batch of an epoch would have a
        single row, which has nothing to mix with, that row goes there as well.

        Args:
            train_size: number of training rows, by default all that remain.
            batch_size: rows per batch.

        Raises:
            ValueError: there are fewer rows than asked for.
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
        found = corpora.sample(self.name, seed, **(sizes or self.sizes()))
        return {"train": found.train, "dev": found.dev, "test": found.test}


@dataclass(frozen=True)
class _Table:
    """Columns of values as they were read, and how to name one of its rows."""

    title: str
    columns: dict[str, Sequence[Any]]
    lines: Sequence[int] | None = None  # the line of the file on which each row begins
    files: tuple[tuple[int, _Table], ...] = ()  # if it was read from several: the number of rows of each, and the file

    def place(self, row: int, column: str | None = None) -> str:
        for rows, file in self.files:
            if row < rows:
                return file.place(row, column)
            row -= rows
        line = f" (line {self.lines[row]})" if self.lines is not None else ""
        return f"{self.title}, row {row + 1}{line}" + (f", column {column!r}" if column else "")

    def column(self, name: str) -> Sequence[Any]:
        if name not in self.columns:
            near = get_close_matches(name, self.columns, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise DataDiffers(
                f"{self.title} has no column {name!r}; {hint}its columns are {', '.join(map(repr, self.columns))}"
            )
        return self.columns[name]


def read(
    source: Source, text: str = "text", label: str = "label", text_b: str | None = None, test: Source | None = None
) -> OwnData:
    """Read a user's own data set, so that runs of this process can draw from it.

    Args:
        source: a file (.csv, .tsv, .parquet, .jsonl, .json), a folder with such files for each split (train, test,
            validation or dev in their names) or with a data set card, which ``datasets.load_dataset`` reads, a name on
            the hub (``OWNER/NAME`` or ``OWNER/NAME:CONFIGURATION``), or a data frame. In a folder or on the hub, the
            split ``test``, or else ``validation``, is the test file. Text files are UTF-8.
        text, label: the names of the columns. Labels are text, whole numbers, or true and false.
        text_b: the column of the second text of a pair.
        test: the test rows, with the same column names; by default they are drawn from ``source``.

    Raises:
        DataDiffers: something cannot be used; the message names file, row (from 1, without the header) and column.
        DataUnavailable, FileNotFoundError: it is not available.
    """
    names = [text, *([text_b] if text_b else []), label]
    if len(set(names)) < len(names):
        raise ValueError(f"text, text_b and label must be different columns, got {', '.join(map(repr, names))}")
    found = _tables(source, names)
    if test is not None:
        rows = _tables(test, names)["train"]
        of_frame = isinstance(test, pd.DataFrame)
        found = {"train": found["train"], "test": replace(rows, title="the test data frame") if of_frame else rows}
    for table in found.values():
        rows = min(len(table.column(name)) for name in names)
        if rows < FEWEST_ROWS:
            raise DataDiffers(
                f"{table.title} has {rows} row{'' if rows == 1 else 's'}; at least {FEWEST_ROWS} are needed"
            )
    texts = {split: _texts(table, names[:-1]) for split, table in found.items()}
    labels = {split: _labels(table, label) for split, table in found.items()}
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
    title, stem, folder = _called(source)
    splits = {}
    for split, columns in texts.items():
        rows = pd.DataFrame(columns | {"label": [numbers[name] for name in labels[split]]})
        splits[split] = corpora.split_of(rows, found[split].title)
    parts = {split: corpora.checksum(of) for split, of in splits.items()}
    digest = corpora.digest_of(parts)
    name = corpora.own_name(stem, len(classes), text_b is not None, "test" in splits, digest)
    corpora.OWN.update({(name, split): of for split, of in splits.items()})
    counts = pd.DataFrame({split: Counter(of) for split, of in labels.items()}, index=classes).fillna(0).astype(int)
    remarks = tuple(_remarks(counts, {split: of.rows for split, of in splits.items()}))
    return OwnData(name, title, classes, counts, text_b is not None, "test" in splits, remarks, folder)


# --- Sources ----------------------------------------------------------------------------------------------------------


def _called(source: Source) -> tuple[str, str, Path]:
    """What a source is called, a short form of this for file names, and the folder it is in."""
    if isinstance(source, pd.DataFrame):
        return "the data frame", "frame", Path.cwd()
    path = Path(source).expanduser()
    there = path.exists()
    path = path.absolute() if path.name else path.resolve()  # the folder "." has a name; a link keeps its own
    stem = re.sub(r"[^A-Za-z0-9_.]+", "_", path.stem if path.is_file() else path.name) or "data"
    return path.name or str(path) if there else str(source), stem[:40], path.resolve().parent if there else Path.cwd()


def _tables(source: Source, names: Sequence[str]) -> dict[str, _Table]:
    """The splits ``train`` and, if the source has one, ``test``."""
    if isinstance(source, pd.DataFrame):
        return {"train": _of_frame("the data frame", source, names)}
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataDiffers(f"{path} cannot be read: supported files end in {', '.join(SUFFIXES)}")
        return {"train": _file(path, names)}
    if path.is_dir() and not _data_files(path):
        raise FileNotFoundError(f"no file in {path} can be read: supported files end in {', '.join(SUFFIXES)}")
    if path.is_dir() and (files := _split_files(path)):
        tables = {
            split: [_file(file, names, file.relative_to(path).as_posix()) for file in of] for split, of in files.items()
        }
        return {
            split: _joined(path, of, names)
            for split, of in tables.items()
            if split == "train" or all(set(names) <= {*table.columns} for table in of)
        }
    if path.is_dir() or not (path.suffix.lower() in SUFFIXES or _written_as_path(str(source))):
        return _hub(str(source), names, "" if path.is_dir() else _meant(path))
    raise FileNotFoundError(f"there is no file {path}{_meant(path)}")


def _data_files(folder: Path) -> list[Path]:
    """The files of a folder that can be read; not hidden ones (an editor has copies), nor results kept there."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") or part == RESULTS for part in file.relative_to(folder).parts)
    ]


def _split_files(folder: Path) -> dict[str, list[Path]]:
    """The files of a folder by split, ``train`` and possibly ``test`` (or, without one, ``validation``), by words of
    their names; empty if none is for training or the folder has a data set card, which ``datasets`` reads."""
    found: dict[str, list[Path]] = {}
    for file in _data_files(folder):
        words = re.findall("[a-z]+", file.relative_to(folder).with_suffix("").as_posix().lower())
        found.setdefault(next((SPLITS[word] for word in words if word in SPLITS), "train"), []).append(file)
    if (folder / "README.md").exists() or "train" not in found:
        return {}
    test = found.get("test") or found.get("validation")
    return {"train": found["train"]} | ({"test": test} if test else {})


def _joined(folder: Path, tables: Sequence[_Table], names: Sequence[str]) -> _Table:
    """The rows of the files of one split, one file after the other."""
    if len(tables) == 1:
        return tables[0]
    columns = {name: [value for table in tables for value in table.column(name)] for name in names}
    title = f"{folder.name} ({', '.join(table.title for table in tables[:NAMED])}{', …' * (len(tables) > NAMED)})"
    return _Table(title, columns, files=tuple((len(table.column(names[0])), table) for table in tables))


def _meant(path: Path) -> str:
    """For a file that is not there: the one in its folder with a similar name."""
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    near = get_close_matches(path.name, [other.name for other in beside], n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""


def _written_as_path(name: str) -> bool:
    return not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?", name) or name.startswith(".")


def _hub(name: str, names: Sequence[str], meant: str) -> dict[str, _Table]:
    repo, _, config = (name, "", "") if os.path.isdir(name) else name.partition(":")
    try:
        data = load_dataset(repo, config or None)
    except Exception as error:  # offline, gone, gated, several configurations: many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if os.path.isdir(name):
            raise DataDiffers(f"{name} cannot be read by datasets: {error.__cause__ or reason}") from error
        raise DataUnavailable(
            f"{name} is neither a file here nor a data set that the Hugging Face hub provides ({reason}){meant}"
        ) from error
    if not isinstance(data, DatasetDict):
        data = DatasetDict({"train": data})
    first = "train" if "train" in data else next(iter(data))
    tables = {"train": _of_dataset(f"{name}, split {first}", data[first], names)}
    for split in ("test", "validation", "dev"):
        if split in data and split != first and set(names) <= set(data[split].column_names):
            table = _of_dataset(f"{name}, split {split}", data[split], names)
            if set(table.columns[names[-1]]) - {None, -1}:  # else its labels are not public
                return tables | {"test": table}
    return tables


def _of_frame(title: str, frame: pd.DataFrame, names: Sequence[str]) -> _Table:
    frame = frame.rename(columns=str)
    _check_once(title, list(frame.columns), names)
    return _Table(title, {name: frame[name].tolist() if name in names else () for name in frame.columns})


def _check_once(place: str, columns: Sequence[str], names: Sequence[str]) -> None:
    if twice := [name for name in names if list(columns).count(name) > 1]:
        raise DataDiffers(f"{place}: the column {twice[0]!r} occurs twice")


def _of_dataset(title: str, data: Dataset, names: Sequence[str]) -> _Table:
    columns: dict[str, Sequence[Any]] = {name: data[name][:] if name in names else () for name in data.column_names}
    kind = data.features.get(names[-1])
    if isinstance(kind, ClassLabel):
        columns[names[-1]] = [None if i in (None, -1) else kind.names[i] for i in columns[names[-1]]]  # -1: no label
    return _Table(title, columns)


def _file(path: Path, names: Sequence[str], title: str = "") -> _Table:
    """One file; errors call it ``title``, by default its name."""
    title = title or path.name
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        try:
            frame = pd.read_parquet(path)
        except Exception as error:  # pyarrow has many kinds
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataDiffers(f"{title} cannot be read as parquet: {reason}") from error
        return _of_frame(title, frame, names)
    content = _decoded(path, title)
    return _csv(title, suffix, content, names) if suffix in DELIMITERS else _json(title, content)


def _decoded(path: Path, title: str) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, place = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise DataDiffers(
            f"{title}, line {line}, byte {place} of it: not UTF-8 (byte 0x{content[error.start]:02x}); save the "
            "file as UTF-8"
        ) from error
    if (at := text.find("\0")) >= 0:
        raise DataDiffers(f"{title}, line {text.count(chr(10), 0, at) + 1}: a zero byte; this is not a text file")
    if not text.strip():
        raise DataDiffers(f"{title} is empty")
    return text


def _csv(title: str, suffix: str, content: str, names: Sequence[str]) -> _Table:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    delimiters = DELIMITERS[suffix]

    def rows_of(delimiter: str) -> Any:
        return csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)

    def known(delimiter: str) -> int:  # of the columns asked for
        try:
            return len(set(names) & {field.strip() for field in next(filter(None, rows_of(delimiter)), [])})
        except csv.Error:
            return 0

    first, _, rest = content.partition("\n")
    if suffix == ".csv" and re.fullmatch(r"sep=[,;\t|]\r?", first):  # a line that Excel writes and reads
        delimiters, content = first[4], f"\n{rest}"
    reader = rows_of(max(delimiters, key=known))
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    begins = 1
    try:
        for fields in reader:
            if not header:
                header = [field.strip() for field in fields]
                _check_once(f"{title}, line {begins}", header, names)
            elif fields:  # not a blank line
                if len(fields) != len(header):
                    column = header[min(len(fields), len(header)) - 1]
                    count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
                    raise DataDiffers(
                        f"{title}, row {len(rows) + 1} (line {begins}), column {column!r}: the row has {count}, "
                        f"but the header has {len(header)} ({', '.join(header)}); put a text "
                        f"that contains the separator {reader.dialect.delimiter!r} in double quotes"
                    )
                rows.append(fields)
                lines.append(begins)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise DataDiffers(
            f"{title}, row {len(rows) + 1} (from line {begins} on): {error}; is a double quote left open, or is "
            'there one inside a text? (inside a quoted text, write it as "")'
        ) from error
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(header, ())
    return _Table(title, columns, lines)


def _json(title: str, content: str) -> _Table:
    """JSON lines, or one array of objects."""
    if content.lstrip().startswith("{") and _is_object(content) and content.strip().count("\n"):
        raise DataDiffers(f"{title}: expected an array of objects, or one object a line; got a single object")
    if content.lstrip().startswith("["):
        try:
            objects, lines = json.loads(content), None
        except ValueError as error:
            raise DataDiffers(f"{title} is not JSON: {error}") from error
    else:
        objects, lines = [], []
        for number, line in enumerate(content.split("\n"), 1):
            if not line.strip():
                continue
            try:
                objects.append(json.loads(line))
            except ValueError as error:
                raise DataDiffers(
                    f"{title}, row {len(objects) + 1} (line {number}): not JSON ({error}); each line is an object"
                ) from error
            lines.append(number)
    table = _Table(title, {}, lines)
    for i, values in enumerate(objects):
        if not isinstance(values, dict):
            raise DataDiffers(f"{table.place(i)}: expected an object, got {json.dumps(values)[:60]}")
    if not objects:
        raise DataDiffers(f"{title} has no rows")
    names = dict.fromkeys(name for values in objects for name in values)
    return _Table(title, {name: [values.get(name) for values in objects] for name in names}, lines)


def _is_object(content: str) -> bool:
    """Whether a whole text is one JSON object."""
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False


# --- Values -----------------------------------------------------------------------------------------------------------


def _refuse(table: _Table, column: str, wrong: Sequence[tuple[int, str]]) -> None:
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


def _texts(table: _Table, names: Sequence[str]) -> dict[str, Sequence[str]]:
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


def _labels(table: _Table, name: str) -> list[str]:
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


def _classes(table: _Table, name: str, labels: Sequence[str]) -> tuple[str, ...]:
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
