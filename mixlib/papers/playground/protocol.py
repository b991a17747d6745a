"""The playground of notebook 54: pairs of texts of our own, and the models that read their mixes.

The models are trained for a minute, with the pool's recipe except for :data:`SHORT`. The reliability diagram shows the
pool's own runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mixlib.evidence.cells import FIRST_SEED, STUDIED, table_runs
from mixlib.papers.common import pool
from mixlib.papers.playground.mixes import LAMS
from mixlib.papers.ssmix.protocol import REVIEWS
from mixlib.runs.profiles import Seeds, check_profile, seeds_or, study_of
from mixlib.runs.records import Spec
from mixlib.runs.spec import RunSpec
from mixlib.runs.studies import StudySpec

TRAINED = ("none", "manifold_mixup")  # how the models that read the mixes are trained
SMOKE_LAMS = LAMS[::5]
SHORT: dict[str, Any] = {"train_size": 400, "num_train_epochs": 2, "learning_rate": 2e-4, "test_size": 200}
TEMPERATURES = tuple(round(2 ** (k / 8), 3) for k in range(-8, 25))  # 0.5 to 8
FULL_MODEL = "bert-base-uncased"
PAIRS: dict[str, dict[str, Any]] = {
    "sst2": {
        "names": ("negative", "positive"),
        "pairs": (
            {"texts": REVIEWS, "labels": (0, 1)},
            {"texts": ("every scene is a small surprise, funny and tender",
                       "a clumsy script wastes two very good actors and our time"), "labels": (1, 0)},
            {"texts": ("the jokes are stale and the ending is even worse",
                       "a slow and lifeless story that goes nowhere"), "labels": (0, 0)},
        ),
    },
    "trec_coarse": {
        "names": ("abbreviation", "description", "entity", "human", "location", "number"),
        "pairs": (
            {"texts": ("Who wrote the first cookbook with pictures ?", "Where is the oldest library in Europe ?"),
             "labels": (3, 4)},
            {"texts": ("How many bones does a cat have ?", "What does the word jazz mean ?"), "labels": (5, 1)},
        ),
    },
}  # fmt: skip


def mixed_pairs(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[StudySpec]:
    """What every method makes of the pairs, read by models trained without and with mixup: one study each.

    At ``full`` everything is as at ``mini`` but with BERT, because no paper has such a figure.
    """
    model = model or (FULL_MODEL if check_profile(profile) == "full" else None)
    at, lams = ("smoke", SMOKE_LAMS) if profile == "smoke" else ("mini", LAMS)
    specs = []
    for dataset, params in PAIRS.items():
        cell = pool.on(dataset)
        cell = replace(cell, model=model or cell.model, recipe=cell.recipe | SHORT)
        for seed in seeds_or(seeds, [FIRST_SEED]):
            for method in TRAINED:
                run = replace(cell.spec(method, seed, at), **STUDIED)
                specs.append(study_of(run, "mixed_pairs", lams=lams, **params))
    return specs


def calibrated(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[RunSpec]:
    """The runs of the reliability diagram: without and with mixup on SST-2, those of notebook 51 at ``mini``."""
    model = model or (FULL_MODEL if check_profile(profile) == "full" else None)
    at = "smoke" if profile == "smoke" else "mini"
    return table_runs([pool.on("sst2")], at, TRAINED, model=model, seeds=seeds)


def runs(profile: str, **overrides: Any) -> list[Spec]:
    """All that the notebook shows."""
    return [*mixed_pairs(profile, **overrides), *calibrated(profile, **overrides)]
