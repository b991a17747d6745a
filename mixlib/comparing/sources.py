"""What a user's texts and labels are read from: a file, a folder, a data frame, or a data set on the hub.

Each becomes a :class:`Table`: columns of values as they were read, with the place of every row for messages. A source
without rows, or with broken ones, is refused, and the error names the line. Whether the values can be used is checked
in :mod:`mixlib.comparing.own_data`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, load_dataset

from mixlib.arguments import first_line
from mixlib.runs.corpora import DataDiffers, DataUnavailable

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json")
DELIMITERS = {".csv": ",;\t|", ".tsv": "\t"}
RESULTS = "mixlib-results"  # the folder next to the data in which results are kept
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("validation", "valid", "val", "dev", "eval"), "validation"
)
NAMED = 3  # this many files of a split are named

Source = str | os.PathLike[str] | pd.DataFrame | Dataset | DatasetDict
IN_MEMORY = (pd.DataFrame, Dataset, DatasetDict)


@dataclass(frozen=True)
class Table:
    """Columns of values as they were read, and how to name one of its rows.

    Attributes:
        title: what it is called in messages.
        columns: by name, the values of each column; columns that were not asked for may be empty.
        lines: the line of the file on which each row begins.
        files: if it was read from several, the number of rows of each, and the file.
        remarks: what a reader should know about how it was read.
    """

    title: str
    columns: dict[str, Sequence[Any]]
    lines: Sequence[int] | None = None
    files: tuple[tuple[int, Table], ...] = ()
    remarks: tuple[str, ...] = ()

    def place(self, row: int, column: str | None = None) -> str:
        """A row, counted from 0 here and from 1 in the text, and a column, in words."""
        for rows, file in self.files:
            if row < rows:
                return file.place(row, column)
            row -= rows
        line = f" (line {self.lines[row]})" if self.lines is not None else ""
        return f"{self.title}, row {row + 1}{line}" + (f", column {column!r}" if column else "")

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column; :class:`~mixlib.runs.corpora.DataDiffers` with the nearest name if there is none."""
        if name not in self.columns:
            near = get_close_matches(name, self.columns, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise DataDiffers(
                f"{self.title} has no column {name!r}; {hint}its columns are {', '.join(map(repr, self.columns))}; say "
                "which holds the texts and which the labels (--text and --label; in Python text=, label=)"
            )
        return self.columns[name]


def called(source: Source) -> tuple[str, str, Path]:
    """What a source is called, a short form of this for file names, and the folder it is in."""
    if isinstance(source, pd.DataFrame):
        return "the data frame", "frame", Path.cwd()
    if isinstance(source, IN_MEMORY):
        return "the data set", "dataset", Path.cwd()
    path = Path(source).expanduser()
    there = path.exists()
    path = path.absolute() if path.name else path.resolve()  # the folder "." has a name; a link keeps its own
    stem = re.sub(r"[^A-Za-z0-9_.]+", "_", path.stem if path.is_file() else path.name) or "data"
    return path.name or str(path) if there else str(source), stem[:40], path.resolve().parent if there else Path.cwd()


def tables_of(source: Source, names: Sequence[str]) -> dict[str, Table]:
    """The splits ``train`` and, if the source has one, ``test``.

    Args:
        source: as :func:`mixlib.comparing.own_data.read` takes it.
        names: the columns to read, that of the labels last.

    Raises:
        DataDiffers: it cannot be read; the message names file and row.
        DataUnavailable, FileNotFoundError: it is not available.
    """
    if not isinstance(source, (str, os.PathLike, *IN_MEMORY)):
        raise DataDiffers(
            f"data must be a file, a name on the hub, a pandas DataFrame or a 🤗 Dataset, got {type(source).__name__}"
        )
    if isinstance(source, pd.DataFrame):
        return {"train": _of_frame("the data frame", source, names)}
    if isinstance(source, (Dataset, DatasetDict)):
        return _of_datasets("the data set", source, names)
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataDiffers(f"{path} cannot be read: supported files end in {', '.join(SUFFIXES)}")
        return {"train": _file(path, names)}
    if path.is_dir() and not _data_files(path):
        raise FileNotFoundError(f"no file in {path} can be read: supported files end in {', '.join(SUFFIXES)}")
    if path.is_dir() and (files := _split_files(path)):
        return _of_splits(path, files, names)
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
    """The files of a folder by split, ``train``, ``test`` and ``validation``, by words of their names; empty if none is
    for training or the folder has a data set card, which ``datasets`` reads."""
    found: dict[str, list[Path]] = {}
    for file in _data_files(folder):
        words = re.findall("[a-z]+", file.relative_to(folder).with_suffix("").as_posix().lower())
        found.setdefault(next((SPLITS[word] for word in words if word in SPLITS), "train"), []).append(file)
    if (folder / "README.md").exists() or "train" not in found:
        return {}
    for file in found["train"]:  # mytest.csv next to mytrain.csv
        if re.search("test|valid", file.stem.lower()) and any(
            "train" in other.stem.lower() for other in found["train"]
        ):
            raise DataDiffers(
                f"{folder.name}: is {file.name} for testing? The word is not apart from others in its name, so it "
                "would be trained on; rename it (my-test.csv), or give it as the test file"
            )
    return found


def _of_splits(folder: Path, files: Mapping[str, Sequence[Path]], names: Sequence[str]) -> dict[str, Table]:
    """The training rows, and as test rows those of the first of ``test`` and ``validation`` that has the columns."""
    found, remarks = {}, []
    for split in ("train", "test", "validation"):
        if split in files and "test" not in found:
            tables = [_file(file, names, file.relative_to(folder).as_posix()) for file in files[split]]
            lacking = [(table, name) for table in tables for name in names if name not in table.columns]
            labels = [] if lacking else [str(label) for table in tables for label in table.column(names[-1])]
            hidden = set(labels) == {"-1"}
            if split == "train" or not (lacking or hidden):
                found["train" if split == "train" else "test"] = _joined(folder, tables, names)
            elif hidden:
                remarks.append(f"the labels of {tables[0].title} are all -1, not public, so its rows are not used")
            else:
                remarks.append(f"{lacking[0][0].title} has no column {lacking[0][1]!r}, so its rows are not used")
    return found | {"train": replace(found["train"], remarks=tuple(remarks))}


def _joined(folder: Path, tables: Sequence[Table], names: Sequence[str]) -> Table:
    """The rows of the files of one split, one file after the other."""
    if len(tables) == 1:
        return tables[0]
    columns = {name: [value for table in tables for value in table.column(name)] for name in names}
    title = f"{folder.name} ({', '.join(table.title for table in tables[:NAMED])}{', …' * (len(tables) > NAMED)})"
    return Table(title, columns, files=tuple((len(table.column(names[0])), table) for table in tables))


def _meant(path: Path) -> str:
    """For a file that is not there: the one in its folder with a similar name."""
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    near = get_close_matches(path.name, [other.name for other in beside], n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""


def _written_as_path(name: str) -> bool:
    return not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?", name) or name.startswith(".")


def _hub(name: str, names: Sequence[str], meant: str) -> dict[str, Table]:
    repo, _, config = (name, "", "") if os.path.isdir(name) else name.partition(":")
    try:
        data = load_dataset(repo, config or None)
    except Exception as error:  # offline, gone, gated, several configurations: many kinds
        reason = first_line(error)
        if os.path.isdir(name):
            raise DataDiffers(f"{name} cannot be read by datasets: {error.__cause__ or reason}") from error
        raise DataUnavailable(
            f"{name} is neither a file here nor a data set that the Hugging Face hub provides ({reason}){meant}"
        ) from error
    return _of_datasets(name, data, names)


def _of_datasets(name: str, data: Dataset | DatasetDict, names: Sequence[str]) -> dict[str, Table]:
    """The training rows of a data set, and as test rows those of the first split that has public labels."""
    if not isinstance(data, DatasetDict):
        data = DatasetDict({"train": data})
    first = "train" if "train" in data else next(iter(data))
    tables = {"train": _of_dataset(f"{name}, split {first}", data[first], names)}
    for split in ("test", "validation", "dev"):
        if split in data and split != first and set(names) <= set(data[split].column_names):
            table = _of_dataset(f"{name}, split {split}", data[split], names)
            if any(label not in (None, -1) for label in table.columns[names[-1]]):  # else they are not public
                return tables | {"test": table}
    return tables


def _of_frame(title: str, frame: pd.DataFrame, names: Sequence[str]) -> Table:
    frame = frame.rename(columns=str)
    _check_once(title, list(frame.columns), names)
    return Table(title, {name: frame[name].tolist() if name in names else () for name in frame.columns})


def _check_once(place: str, columns: Sequence[str], names: Sequence[str]) -> None:
    if twice := [name for name in names if list(columns).count(name) > 1]:
        raise DataDiffers(f"{place}: the column {twice[0]!r} occurs twice")


def _of_dataset(title: str, data: Dataset, names: Sequence[str]) -> Table:
    columns: dict[str, Sequence[Any]] = {name: data[name][:] if name in names else () for name in data.column_names}
    kind = data.features.get(names[-1])
    if isinstance(kind, ClassLabel):
        columns[names[-1]] = [None if i in (None, -1) else kind.names[i] for i in columns[names[-1]]]  # -1: no label
    return Table(title, columns)


def _file(path: Path, names: Sequence[str], title: str = "") -> Table:
    """One file; errors call it ``title``, by default its name."""
    title = title or path.name
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        try:
            frame = pd.read_parquet(path)
        except Exception as error:  # pyarrow has many kinds
            raise DataDiffers(f"{title} cannot be read as parquet: {first_line(error)}") from error
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


def _csv(title: str, suffix: str, content: str, names: Sequence[str]) -> Table:
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
    return Table(title, columns, lines)


def _json(title: str, content: str) -> Table:
    """JSON lines, or one array of objects."""
    if content.lstrip().startswith("{") and _is_object(content) and _holds_columns(content):
        raise DataDiffers(
            f"{title}: expected an array of objects, or one object per line; got a single object (in pandas: "
            "to_json(..., orient='records', lines=True))"
        )
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
    table = Table(title, {}, lines)
    for i, values in enumerate(objects):
        if not isinstance(values, dict):
            raise DataDiffers(f"{table.place(i)}: expected an object, got {json.dumps(values)[:60]}")
    if not objects:
        raise DataDiffers(f"{title} has no rows")
    names = dict.fromkeys(name for values in objects for name in values)
    return Table(title, {name: [values.get(name) for values in objects] for name in names}, lines)


def _holds_columns(content: str) -> bool:
    """Whether one JSON object is more than a row: written on several lines, or with columns as its values."""
    return "\n" in content.strip() or any(isinstance(value, dict | list) for value in json.loads(content).values())


def _is_object(content: str) -> bool:
    """Whether a whole text is one JSON object."""
    try:
        return isinstance(json.loads(content), dict)
    except ValueError:
        return False
