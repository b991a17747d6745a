"""The pool: all methods under one recipe per data set, on the same rows.

Every table that needs no protocol of its own reads its runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from mixlib import methods
from mixlib.evidence import plan, tables
from mixlib.evidence.cells import RECIPE, Cell, cell, table_runs
from mixlib.runs.profiles import check_profile
from mixlib.runs.spec import RunRecord, RunSpec

PAPER = "common"
# Each paper's own parameters; SSMix and the plain model with twice the updates cost two plain steps, all others one
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("none", {}),
    "none_long": ("none_long", {"updates": 2}),
    "label_smoothing": ("label_smoothing", {}),
    "eda": ("eda", {}),
    "cls_mixup": ("cls_mixup", {"alpha": 1.0}),
    "input_mixup": ("input_mixup", {"alpha": 1.0}),
    "manifold_mixup": ("manifold_mixup", {"alpha": 1.0}),
    "embedmix": ("embedmix", {"alpha": 0.2}),
    "tmix": ("tmix", {"alpha": 0.2}),
    "sentencemix": ("sentencemix", {"alpha": 0.2}),
    "amplify": ("amplify", {"alpha": 0.1, "n": 5}),
    "ssmix": ("ssmix", {"lam0": 0.1}),
    "batchmixup": (
        "batchmixup",
        {"alpha": 1.0, "n_per_row": 75, "policy": "elementwise", "objective": "softmax"},
    ),
}


def labels() -> dict[str, str]:
    """The pool's methods by key, as tables and figures name them."""
    return {key: tables.LABELS[key] for key in METHODS} | {"none_long": "no mixup, twice the updates"}


POOL: tuple[Cell, ...] = (
    cell("common/sst2", "sst2", METHODS, train_size=400, num_train_epochs=6, test_size=1821),
    cell("common/ag_news", "ag_news", METHODS, train_size=400, num_train_epochs=6, test_size=1000),
    cell("common/trec_coarse", "trec_coarse", METHODS, train_size=500, num_train_epochs=6, test_size=500,
         learning_rate=2e-4),
    cell("common/trec_fine", "trec_fine", METHODS, train_size=1000, num_train_epochs=8, test_size=500,
         learning_rate=2e-4),
    cell("common/banking77", "banking77", METHODS, train_per_class=10, num_train_epochs=8, test_size=1500,
         learning_rate=2e-4),
    cell("common/sst5", "sst5", METHODS, train_size=1000, num_train_epochs=4, test_size=2000),
    cell("common/qnli", "qnli", METHODS, train_size=2000, num_train_epochs=3, test_size=1000, max_length=96,
         eval_epochs=1),
)  # fmt: skip


def on(dataset: str) -> Cell:
    """The pool's cell of a data set."""
    (found,) = (cell for cell in POOL if cell.dataset == dataset)
    return found


def cell_as_in(dataset: str, name: str, methods: Mapping[str, tuple[str, Mapping[str, Any]]], **changes: Any) -> Cell:
    """A cell of another paper with the pool's recipe for a data set: with ``paper=PAPER``, it shares the pool's runs.

    Args:
        dataset: one of the pool's.
        name, methods: of the cell.
        **changes: other fields of the cell, and of ``RunSpec`` in place of the recipe's; see
            :func:`mixlib.evidence.cells.cell`.
    """
    return cell(name, dataset, methods, **{**on(dataset).recipe, **changes})


SMOKE_CELLS = (POOL[0], POOL[2])  # enough for a trial
RATES = (0.5, 2.0)  # times the learning rate: how much depends on it
SENSITIVITY = tuple(
    replace(found.with_rate(factor), seeds=plan.SENSITIVITY_SEEDS) for found in (POOL[0], POOL[2]) for factor in RATES
)


def methods_on_all(profile: str, more: Iterable[str] = (), **overrides: Any) -> list[RunSpec]:
    """Every method on every data set of the pool (notebook 51); at ``full`` nothing, because that is for the papers'
    own protocols.

    Args:
        profile: ``smoke``, ``mini`` or ``full``.
        more: names of methods in addition to :data:`METHODS`, with their default parameters. No verdict reads their
            runs.
        **overrides: of :func:`mixlib.evidence.cells.table_runs`.
    """
    chosen = {"smoke": SMOKE_CELLS, "mini": POOL, "full": ()}[check_profile(profile)]
    return table_runs(_with(more, chosen), profile, **overrides)


def sensitivity(profile: str, more: Iterable[str] = (), **overrides: Any) -> list[RunSpec]:
    """Every method at half and twice the learning rate on two data sets; at ``smoke`` nothing.

    Args:
        profile, more, **overrides: as of :func:`methods_on_all`.
    """
    return table_runs(_with(more, SENSITIVITY if check_profile(profile) == "mini" else ()), profile, **overrides)


def _with(more: Iterable[str], cells: Iterable[Cell]) -> list[Cell]:
    added = {name: (name, methods.get(name).params) for name in more if name not in METHODS}
    return [replace(found, methods={**found.methods, **added}) for found in cells]


def by_rate(at_other_rates: Iterable[RunRecord], usual: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Runs by their learning rate; in the middle those at the usual rate, on the same data sets and seeds."""
    others = list(at_other_rates)
    base = {found.dataset: found.recipe["learning_rate"] for found in POOL}
    groups = {
        f"{factor:g} times": [r for r in others if r.spec.learning_rate == factor * base[r.spec.dataset]]
        for factor in RATES
    }
    seen = {(r.spec.dataset, r.spec.seed) for r in others}
    middle = [r for r in usual if (r.spec.dataset, r.spec.seed) in seen]
    (low, first), (high, second) = groups.items()
    return {low: first, "as in the recipe": middle, high: second} if others else {}


def recipes() -> pd.DataFrame:
    """The recipe of each data set: what differs between them."""
    rows = {}
    for found in POOL:
        fields = RECIPE | dict(found.recipe)
        per_class = fields.get("train_per_class")
        rows[found.dataset] = {
            "training rows": f"{per_class} a class" if per_class else str(fields["train_size"]),
            "epochs": fields["num_train_epochs"], "tokens": fields["max_length"],
            "learning rate": f"{fields['learning_rate']:g}", "test rows": fields["test_size"],
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")
