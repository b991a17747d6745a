"""The papers' printed numbers, claims and settings as data frames, read from ``data/published``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from mixlib.runs import paths

DATASETS = {"agnews": "ag_news"}  # the papers' keys where ours differ


@lru_cache
def _file(name: str) -> pd.DataFrame:
    path = paths.of_checkout(paths.PUBLISHED) / f"{name}.csv"
    if not path.exists():
        have = ", ".join(sorted(p.stem for p in paths.PUBLISHED.glob("*.csv")))
        raise FileNotFoundError(f"no published numbers called {name!r} in {path.parent}; there are {have}")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "dataset" in frame:
        frame["dataset"] = frame["dataset"].replace(DATASETS)
    return frame


def _read(name: str) -> pd.DataFrame:
    return _file(name).copy()


def table(name: str) -> pd.DataFrame:
    """A result table, e.g. ``"mixup_calibration_table2"``: one row per printed number.

    ``value`` and ``spread`` are numbers (``value_printed`` and ``spread_printed`` keep the digits), other columns are
    text; every table has a column ``param``, which is empty if a method has none.
    """
    return _numbers(name).copy()


@lru_cache
def _numbers(name: str) -> pd.DataFrame:
    frame = _read(name)
    for column in ("value", "spread"):
        frame[f"{column}_printed"] = frame[column]
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    return frame if "param" in frame else frame.assign(param="")


@dataclass(frozen=True)
class Paper:
    """A paper: its ``key``, its ``name`` for readers, the prefix of its artefacts' ids, and its ``title`` with the
    year, as in CITATION.cff."""

    key: str
    name: str
    prefix: str
    title: str


@lru_cache
def papers() -> dict[str, Paper]:
    """The papers by key, in the book's order."""
    return {row["paper"]: Paper(*row.values()) for row in _file("papers").to_dict("records")}


def claims(paper: str | None = None) -> pd.DataFrame:
    """The papers' claims (of one paper): ``id``, ``paper``, ``claim``, ``evidence``, ``testable_as``, ``priority``."""
    frame = _read("claims")
    return frame if paper is None else frame[frame["paper"] == paper].reset_index(drop=True)


def hyperparameters(paper: str) -> pd.DataFrame:
    """What a paper says about its settings: ``dataset``, ``name``, ``value`` (or ``not stated``), ``note``."""
    frame = _read("hyperparameters")
    return frame[frame["paper"] == paper].drop(columns="paper").reset_index(drop=True)


def dataset_sizes(paper: str) -> pd.DataFrame:
    """The data set sizes a paper prints."""
    frame = _read("datasets")
    return frame[frame["paper"] == paper].drop(columns="paper").reset_index(drop=True)


@dataclass(frozen=True)
class Artefact:
    """A table, figure or algorithm of a paper, or what we measure in addition.

    Attributes:
        id: such as ``ssmix-tableA1``; commands and recipes use it.
        paper: its key.
        artefact: its name in the paper, such as ``Table A.1``.
        kind: such as ``result table``, ``plot`` or ``measurement``.
        shows: what it shows, in a few words.
    """

    id: str
    paper: str
    artefact: str
    kind: str
    shows: str


def artefacts() -> list[Artefact]:
    """Every table, figure and algorithm of the papers, in the papers' order."""
    found = []
    for row in _read("artefacts").to_dict("records"):
        word, number = row["artefact"].split()
        prefix = papers()[row["paper"]].prefix
        # "Table A.1" is ssmix-tableA1
        id_ = f"{prefix}-{word.lower()}{number.replace('.', '')}"
        found.append(Artefact(id_, row["paper"], row["artefact"], row["kind"], row["shows"]))
    return found
