"""Methods on your own data: ``mixlib.compare("mine.csv", text="text", label="label")``.

Runs are records in their own store, ``mixlib-results/records`` next to the file, so a comparison that was stopped
resumes where it left off, and one with another method or more seeds runs only what is new.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from tqdm import tqdm

from mixlib.comparing.choices import PLAIN, MethodLike
from mixlib.comparing.compared import Comparison
from mixlib.comparing.plan import DEFAULT, SEEDS, Plan, cost_as_text, plan
from mixlib.comparing.sources import Source
from mixlib.methods import get
from mixlib.runs import engines, models
from mixlib.runs.checkpoints import MINILM
from mixlib.runs.engines import Engine, run_all
from mixlib.runs.profiles import Seeds
from mixlib.runs.spec import RunFailed


def compare(
    data: Source,
    text: str = "text",
    label: str = "label",
    *,
    text_b: str | None = None,
    test: Source | None = None,
    methods: Iterable[MethodLike] = DEFAULT,
    seeds: Seeds = SEEDS,
    model: str | os.PathLike[str] = MINILM,
    engine: str | Engine = "local",
    results: str | Path | None = None,
    learning_rate: float | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    max_length: int | None = None,
    train_size: int | None = None,
    read_only: bool = False,
    progress: bool = True,
) -> Comparison:
    """Compare methods on your own data with one recipe (see :mod:`mixlib.comparing.plan`). Runs that already have a
    record are not repeated.

    Args:
        data, text, label, text_b, test: the data and its columns, see :func:`mixlib.comparing.own_data.read`.
        methods: one or several, see :func:`mixlib.comparing.choices.choose`; ``"none"`` is always included.
        seeds: how many, as a number (5: seeds 0 to 4), or which ones, as a list or text such as ``"0,2-4"``. The text
            ``"5"``, like ``--seeds 5``, is seed 5 alone.
        model: see :func:`mixlib.runs.models.classifier`.
        engine: where runs are done, see :func:`mixlib.runs.engines.get`. A method of your own needs ``local``.
        results: folder for records and page, by default ``mixlib-results`` next to the data.
        learning_rate, epochs, batch_size, max_length, train_size: replace those of the recipe, for every method.
        read_only: run nothing.
        progress: on standard error, describe the data and the expected cost, and show a progress bar.

    Returns:
        A :class:`Comparison`.

    Raises:
        ValueError, OSError: data, methods or model are not available or cannot be used; nothing is written.
        mixlib.runs.spec.RunFailed: some runs failed; the others are done and kept.
        mixlib.runs.engines.sweep.NothingToRead: with ``read_only``, a run has no record.
    """
    planned = plan(
        data, text, label, text_b=text_b, test=test, methods=methods, seeds=seeds, model=model, results=results,
        learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, max_length=max_length, train_size=train_size,
    )  # fmt: skip
    return run(planned, engine, read_only, progress)


def run(plan: Plan, engine: str | Engine = "local", read_only: bool = False, progress: bool = True) -> Comparison:
    """Do the runs that have no record, and compare; see :func:`compare`."""
    name = (engine := engines.get(engine)).name
    if name != "local" and (own_ones := [choice.label for choice in plan.choices if "@" in choice.key]):
        raise ValueError(f"{', '.join(own_ones)}: a method of your own is run by the engine local, not by {name}")
    cost = {"runs": len(plan.specs), "done": len(plan.specs), "seconds": 0.0,
            "estimated_by": "nothing is left to run"} if read_only else plan.cost()  # fmt: skip
    if cost["done"] < cost["runs"]:
        for line in [*plan.describe(), cost_as_text(cost)] if progress else []:
            tqdm.write(line, sys.stderr)
        _check_methods(plan)
    try:
        found = run_all(plan.specs, engine, plan.store, progress=progress, read_only=read_only)
    except RunFailed as error:
        whole = [choice.name for choice in plan.choices if not plan.store.missing(plan.of(choice))]
        names = ",".join(name for name in whole if name != PLAIN.name)
        if PLAIN.name not in whole or not names:
            raise
        raise RunFailed(f"{error}\nThe others can be compared at once: --methods {names}") from error
    return Comparison(plan, found, cost)


def _check_methods(plan: Plan) -> None:
    """Refuse methods that cannot mix in this model or with its tokenizer, before anything is run."""
    with torch.random.fork_rng(devices=[]):
        model, tokenizer = models.load(plan.recipe.model, len(plan.data.labels))
    refused = []
    for choice in plan.choices:
        try:
            get(choice.key, **choice.params).prepare(model, tokenizer, [plan.recipe.max_length])
        except ValueError as error:
            refused.append(f"{choice.name}: {error}")
    if refused:
        raise ValueError(f"{plan.recipe.model} cannot be trained with\n  " + "\n  ".join(refused))
