"""Records as one table, for use elsewhere, and what differs between two sets of records."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from mixlib.runs.records import Record
from mixlib.runs.spec import RANGES, RunRecord
from mixlib.runs.store import Store, write

SUFFIXES = (".parquet", ".csv")
SIZES = ("train_size", "train_per_class", "train_fraction", "dev_size", "test_size")
METRICS = [f"{at}test_{name}" for at in ("", "last_") for name in RANGES]


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per run, in the order of the records; studies are left out.

    Returns:
        Columns ``key``, ``paper``, ``dataset``, the sizes of its draw, ``model``, ``method``, ``params`` (JSON),
        ``seed``, ``precision``, ``test_accuracy`` and so on at the selected evaluation and ``last_test_accuracy`` and
        so on at the last one (fractions and nats), ``steps``, ``train_seconds``, ``total_seconds``, ``code``,
        ``origin``, ``started``, and ``settings``: all settings that differ from their defaults (JSON).
    """
    rows = []
    for record in records:
        if not isinstance(record, RunRecord):
            continue
        spec, last = record.spec, record.evaluations[-1]["test"]
        rows.append({
            "key": spec.key, "paper": spec.paper, "dataset": spec.dataset,
            **{name: getattr(spec, name) for name in SIZES},
            "model": spec.model, "method": spec.method, "params": json.dumps(spec.method_params, sort_keys=True),
            "seed": spec.seed, "precision": record.environment.get("precision"),
            **{f"test_{name}": float(record.test.get(name, "nan")) for name in RANGES},  # older records lack some
            **{f"last_test_{name}": float(last.get(name, "nan")) for name in RANGES},
            "steps": record.timing["steps"], "train_seconds": record.timing["train_seconds"],
            "total_seconds": record.timing["total_seconds"], "code": record.environment.get("code"),
            "origin": record.origin, "started": record.started,
            "settings": json.dumps(spec.canonical(), sort_keys=True),
        })  # fmt: skip
    whole = dict.fromkeys([name for name in SIZES if name != "train_fraction"], "Int64")  # with gaps: None is all rows
    columns = ["key", "settings", *SIZES, *METRICS]
    return pd.DataFrame(rows, columns=None if rows else columns).astype(whole)


def export(path: Path, store: Store | None = None, synthetic: bool = False) -> tuple[int, dict[Path, str]]:
    """Write the runs of a store as a table: ``.parquet`` or ``.csv``.

    Args:
        path: of the table; an existing file is replaced.
        store: by default the repository's.
        synthetic: whether to include runs on synthetic twins.

    Returns:
        How many runs it holds, and the files left out, each with the reason.

    Raises:
        ValueError: another suffix, or a run with two records.
        OSError: it cannot be written there.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"{path}: a table is written as {' or '.join(SUFFIXES)}, not as {path.suffix or 'no suffix'!r}"
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    store = store or Store()
    records, left_out = store.scan()
    table = _each_once(frame(r for r in records if synthetic or not r.spec.synthetic), store.folder)

    def fill(temporary: str) -> None:
        table.to_csv(temporary, index=False) if path.suffix == ".csv" else table.to_parquet(temporary, index=False)

    write(path, fill)
    return len(table), left_out


def load(path: Path) -> pd.DataFrame:
    """The table of :func:`frame`, from a folder of records (unusable files are named on standard error) or from a file
    that :func:`export` wrote.

    Raises:
        FileNotFoundError: there is nothing there, or a folder without records.
        ValueError: it is not such a table, or a run is in it twice.
    """
    if path.is_dir():
        records, left_out = Store(path).scan()
        for file, reason in left_out.items():
            tqdm.write(f"left out: {file}: {reason}", sys.stderr)
        if not records:
            raise FileNotFoundError(f"this folder holds no records: {path}")
        return _each_once(frame(records), path)
    if not path.exists():
        raise FileNotFoundError(f"there is no folder of records and no exported table at {path}")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} is neither a folder of records nor a table ({' or '.join(SUFFIXES)})")
    try:
        table = pd.read_csv(path, dtype={"key": str}) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:  # also what pandas and pyarrow raise for files of another kind
        raise ValueError(f"{path} cannot be read: {error}") from error
    if lacking := [name for name in ("key", "settings", *METRICS) if name not in table]:
        raise ValueError(f"{path} is no table of records: it has no column {', '.join(lacking)}")
    return _each_once(table, path)


def _each_once(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table itself; ``ValueError`` if it holds a run twice, as a folder with a copy of its records in it does."""
    if (twice := table["key"][table["key"].duplicated()]).any():
        raise ValueError(
            f"{path} holds the run {twice.iloc[0]} twice{f', and {len(twice) - 1} more' if twice[1:].any() else ''}: "
            "leave one record of each; `python -m mixlib check-records` names the files"
        )
    return table


@dataclass(frozen=True)
class Difference:
    """What differs between two sets of records.

    Attributes:
        only_in_a, only_in_b: runs that only one has.
        equal: runs whose metrics are identical to the bit.
        moved: the others.
        cells: one row per cell with moved runs: ``cell``, ``runs`` (that both have), ``moved``, for each metric the
            mean difference over the runs that both have (second minus first), and the ``largest`` difference of any
            metric.
    """

    only_in_a: int
    only_in_b: int
    equal: int
    moved: int
    cells: pd.DataFrame


def difference(a: pd.DataFrame, b: pd.DataFrame) -> Difference:
    """Compare the metrics of the runs that two tables share; runs are the same if their keys are."""
    a, b = (table.set_index("key") for table in (a, b))
    both = a.index.intersection(b.index)
    change = (b.loc[both, METRICS] - a.loc[both, METRICS]).astype(float)
    change = change.mask(a.loc[both, METRICS].isna() & b.loc[both, METRICS].isna(), 0.0)  # damaged tables may have gaps
    moved = (change != 0).any(axis=1)  # a gap on one side counts as well
    cells = []
    for cell, group in change.groupby(a.loc[both, "settings"].map(_cell), sort=True):
        if moved[group.index].any():
            cells.append({"cell": cell, "runs": len(group), "moved": int(moved[group.index].sum()),
                          **group.mean().to_dict(), "largest": group.abs().max(axis=None)})  # fmt: skip
    counts = len(a.index.difference(both)), len(b.index.difference(both)), int((~moved).sum()), int(moved.sum())
    return Difference(*counts, pd.DataFrame(cells, columns=["cell", "runs", "moved", *METRICS, "largest"]))


def _cell(settings: str) -> str:
    """The settings of a cell, in one readable line."""
    values = json.loads(settings)
    seedless = {name: value for name, value in values.items() if name not in ("seed", "paper", "dataset", "method")}
    if "first_stage" in seedless:
        seedless["first_stage"] = {name: value for name, value in seedless["first_stage"].items() if name != "seed"}
    return f"{values['paper']}: {values['dataset']} {values['method']} {json.dumps(seedless, sort_keys=True)}"
