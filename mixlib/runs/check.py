"""Check that a folder of records is consistent, beyond what a single record can show.

A fault makes a number, or a comparison of numbers, wrong. What is merely good to know is a note.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixlib.runs import paths
from mixlib.runs.checkpoints import base_name
from mixlib.runs.records import DamagedRecord, Record, Spec
from mixlib.runs.spec import RunRecord, RunSpec
from mixlib.runs.store import Store

UNCOMMITTED = (".failed", ".damaged", ".lock", ".tmp", ".safetensors")  # what a store keeps next to records
NAMED = 5  # of each kind; the rest are only counted

Records = Mapping[Path, Record]
Faults = Iterator[tuple[Path, str]]


@dataclass(frozen=True)
class Findings:
    """What a check of a folder found.

    Attributes:
        records: how many are usable.
        faults: each file with what is wrong with it, in the order of file names.
        notes: what is worth knowing but not a fault, one line each.
    """

    records: int
    faults: list[tuple[Path, str]]
    notes: list[str]


def check(folder: Path | None = None) -> Findings:
    """Check a folder of records, by default the repository's; each file is read, nothing is written. A store's folder
    ``synthetic`` may be checked by itself.

    Raises:
        NotADirectoryError: there is no such folder.
    """
    folder = folder or paths.results()
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}")
    store = Store(folder)
    if folder.name == store.synthetic_folder.name:
        store.synthetic_folder = folder
    found, left_out = store.contents()
    runs = {path: record for path, record in found.items() if isinstance(record, RunRecord)}
    faults = [
        *left_out.items(), *_misplaced(found, store), *_measured(runs), *_draws(runs), *_models(runs), *_stages(runs),
        *_predictions(runs, store), *_strays(store),
    ]  # fmt: skip
    notes = [*_unfinished(runs), *_codes(found), *_digests(found), *_failures(store)]
    return Findings(len(found), sorted(faults), notes)


def _misplaced(found: Records, store: Store) -> Faults:
    """A run has one record, where the store looks for it."""
    first: dict[str, Path] = {}
    for path, record in found.items():
        if (other := first.setdefault(record.spec.key, path)) != path:
            yield path, f"holds the same run as {other}"
        elif path != (right := store.path(record.spec)):
            yield path, f"is not where its run is looked for ({right})"


def _measured(runs: Mapping[Path, RunRecord]) -> Faults:
    """Numbers that a record states twice agree."""
    for path, record in runs.items():
        bins, test, last = record.reliability, record.test, record.evaluations[-1]["step"]
        rows = sum(bins["rows"])
        if (size := record.spec.test_size) is not None and rows != size - record.data.get("test_skipped", 0):
            yield path, f"its reliability bins hold {rows} rows, but {size} test rows were drawn"
        gaps = (abs(sure - right) for sure, right in zip(bins["confidence"], bins["correct"], strict=True))
        for name, value in (("accuracy", sum(bins["correct"]) / rows), ("ece", sum(gaps) / rows)) if rows else ():
            if abs(value - test[name]) > 1e-5:  # both are rounded to six digits
                yield path, f"its {name} is {test[name]}, but that of its reliability bins is {value:.6f}"
        if last != record.timing["steps"]:
            yield path, f"its last evaluation is at step {last}, but it took {record.timing['steps']}"


def _draws(runs: Mapping[Path, RunRecord]) -> Faults:
    """With one seed, all methods see the same rows; label noise comes after the draw."""
    sizes = ("dataset", "seed", "synthetic", "train_size", "train_per_class", "train_fraction", "dev_size", "test_size")
    alike = _grouped(runs, lambda record: tuple(getattr(record.spec, name) for name in sizes))
    for group in alike.values():
        for split in ("train", "dev", "test"):
            drawn = {path: runs[path].data.get(split) for path in group}
            yield from ((path, f"names no checksum of its {split} rows") for path in group if drawn[path] is None)
            yield from _odd_ones(drawn, f"drew other {split} rows than runs of the same data set, sizes and seed")


def _models(runs: Mapping[Path, RunRecord]) -> Faults:
    """A model name stands for the same model everywhere."""
    for group in _grouped(runs, lambda record: base_name(record.spec.model)).values():
        used = {path: runs[path].data.get("model") for path in group}
        yield from _odd_ones(used, "started from other pretrained weights than runs of the same model")


def _stages(runs: Mapping[Path, RunRecord]) -> Faults:
    """A second stage names the weights of its first stage, and the first stage has a record. (If the two name different
    weights, the store has already left the record out.)"""
    there = {record.spec for record in runs.values()}
    for path, record in runs.items():
        if record.spec.keep_state and "state" not in record.data:
            yield path, "keeps weights for others, but does not name them"
        if record.spec.first_stage is not None:
            if "first_stage" not in record.data:
                yield path, "does not name the weights it started from"
            if record.spec.first_stage not in there:
                yield path, f"the record of its first stage ({record.spec.first_stage}) is not there"


def _predictions(runs: Mapping[Path, RunRecord], store: Store) -> Faults:
    """The kept predictions of a run are there, and give the metrics of its record."""
    for path, record in runs.items():
        if "predictions" not in record.data:
            continue
        try:
            accuracy = store.predictions(record).per_row("accuracy").mean()
        except (OSError, DamagedRecord) as error:
            yield path, f"its kept predictions cannot be read: {error}"
            continue
        if abs(accuracy - record.last["accuracy"]) > 1e-5:
            yield path, f"its last accuracy is {record.last['accuracy']}, that of its kept predictions {accuracy:.6f}"


def _strays(store: Store) -> Faults:
    """The folder holds nothing but records and what belongs to them, and hidden files, as systems leave them."""
    for path in store.folder.rglob("*"):
        if path.is_file() and not path.name.startswith(".") and path.suffix not in (".json", ".npz", *UNCOMMITTED):
            yield path, "is neither a record nor a file that a store keeps next to records"
        if path.suffix == ".npz" and not path.with_suffix(".json").exists():
            yield path, "has no record beside it"


def _grouped(found: Records, key: Callable[[Any], Any]) -> dict[Any, list[Path]]:
    groups: dict[Any, list[Path]] = defaultdict(list)
    for path, record in found.items():
        groups[key(record)].append(path)
    return groups


def _odd_ones(values: Mapping[Path, Any], what: str) -> Faults:
    """The files whose value is not the most common one."""
    counted = Counter(value for value in values.values() if value is not None)
    for path, value in values.items():
        if value is not None and value != (usual := counted.most_common(1)[0][0]):
            yield path, f"{what}: {value}, where {counted[usual]} of {len(values)} have {usual}"


def _unfinished(runs: Mapping[Path, RunRecord]) -> list[str]:
    """Seeds that other methods in the same column of a table have but this one lacks."""

    def column(spec: RunSpec) -> str:
        settings = spec.cell.canonical()
        return json.dumps({name: settings[name] for name in sorted(settings.keys() - {"method", "method_params"})})

    seeds: dict[str, dict[Spec, set[int]]] = defaultdict(lambda: defaultdict(set))
    for record in runs.values():
        seeds[column(record.spec)][record.spec.cell].add(record.spec.seed)
    lines = []
    for cells in seeds.values():
        for cell, done in cells.items():
            if left := sorted(set().union(*cells.values()) - done):
                lines.append(f"{cell.paper}: {_label(cell)}: unfinished, without the seeds {', '.join(map(str, left))}")
    return _shortened(sorted(lines), "cells are unfinished beside other methods")


def _codes(found: Records) -> list[str]:
    """How many versions of the code made the records, and the seeds of one cell."""
    codes = Counter(record.environment.get("code") for record in found.values())
    cells = _grouped(found, lambda record: record.spec.cell)
    mixed = []
    for cell, group in cells.items():
        versions = {found[path].environment.get("code") for path in group}
        if len(versions) > 1:
            mixed.append(f"{cell.paper}: {_label(cell)}: made by {len(versions)} versions of the code")
    counts = ", ".join(f"{code} {count}" for code, count in codes.most_common())
    many = "" if len(codes) == 1 else "s"
    lines = [f"{len(codes)} version{many} of the code made the records ({counts})"] if codes else []
    return lines + _shortened(sorted(mixed), f"of {len(cells)} cells mix versions of the code")


def _digests(found: Records) -> list[str]:
    without = sum('"digest": "' not in path.read_text(encoding="utf-8") for path in found)
    return [f"{without} of {len(found)} records have no digest of their content"] if without else []


def _failures(store: Store) -> list[str]:
    notes = sorted(store.folder.rglob("*.failed"))
    return _shortened([f"{path}: the last try of this run failed" for path in notes], "notes of failures")


def _label(cell: Spec) -> str:
    return str(cell).removesuffix(" seed 0")


def _shortened(lines: Iterable[str], what: str) -> list[str]:
    lines = list(lines)
    return lines if len(lines) <= NAMED else [*lines[:NAMED], f"and {len(lines) - NAMED} more: {len(lines)} {what}"]
