"""What a paper prints for a contrast, computed from its published tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from mixlib.evidence import published
from mixlib.evidence.statistics import Printed

Numbers = Sequence[tuple[float, Mapping[str, str]]]  # of one data set: the weight of a printed number, and where it is


def printed(tables: str | Sequence[str], sets: Sequence[Numbers], seeds: int, log: bool = False) -> Printed:
    """The mean over data sets of a contrast of printed numbers, with its standard error if spreads are printed.

    Args:
        tables: names of published tables, such as ``batchmixup_table1``.
        sets: for each data set, pairs ``(weight, where)``; ``where`` gives the columns that identify a number's row.
        seeds: how many the paper ran.
        log: contrast the logarithms (losses, times).

    The paper's runs are taken to be independent. A printed standard deviation or variance is turned into a standard
    error.

    Raises:
        ValueError: no row, or more than one, has these columns.
    """
    terms = [(weight / len(sets), *_number(tables, where, seeds, log)) for numbers in sets for weight, where in numbers]
    weights, values, errors = np.array(terms, dtype=float).T
    size, variances = float(weights @ values), (weights * errors) ** 2
    runs = seeds * len(sets)
    if np.isnan(variances).any() or not variances.any():
        return Printed(size, runs)
    df = variances.sum() ** 2 * (seeds - 1) / (variances**2).sum()
    return Printed(size, runs, math.sqrt(variances.sum()), float(df))


@lru_cache
def _rows(name: str) -> list[dict[str, Any]]:
    """A table as plain dictionaries: claims look up hundreds of single numbers, each far slower in a data frame."""
    return published.table(name).to_dict("records")


def _number(tables: str | Sequence[str], where: Mapping[str, str], seeds: int, log: bool) -> tuple[float, float]:
    names = [tables] if isinstance(tables, str) else tables
    rows = (row for name in names for row in _rows(name))
    found = [row for row in rows if all(row[column] == key for column, key in where.items())]
    if len(found) != 1:
        raise ValueError(f"expected exactly one printed number in {tables} with {dict(where)}, got {len(found)}")
    (row,) = found
    value, spread = row["value"], row["spread"]
    # nan where nothing is printed; the papers' variances are those of their own runs, divided by the number of runs
    of_runs = {"std": spread / math.sqrt(seeds), "variance": math.sqrt(spread / max(seeds - 1, 1))}
    error = of_runs.get(row["spread_kind"], spread)
    return (math.log(value), error / value) if log else (value, error)
