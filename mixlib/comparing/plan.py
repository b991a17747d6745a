"""What a comparison runs, and what it will cost.

Every method is trained with every seed by one recipe. A seed determines the training, development and (without a test
file) test rows, drawn class by class, the new head, the order of the batches and the mixing; it is the same for all
methods. Differences from no mixup are taken seed by seed. The recipe was fixed on other data by the plain model alone:

- AdamW in batches of 16 with a linear schedule, warmup over a tenth of the updates, weight decay 0.01, gradients
  clipped at 1, the model's own dropout, texts cut at 128 tokens;
- a learning rate of 1e-4 for all-MiniLM-L6-v2 and 3e-5 for other models, twice that with more than five classes;
- enough epochs for about 300 updates, at least 3 and at most 10; the last update counts, and nothing is selected;
- a fifth of the rows (at most 5,000) for testing if there is no test file, and 15% (at most 2,000) for fitting one
  temperature, never trained on.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

import torch

from mixlib import methods
from mixlib.arguments import check_count, check_number
from mixlib.comparing import own_data, sources
from mixlib.comparing.choices import PLAIN, Choice, MethodLike, choose, is_one
from mixlib.comparing.own_data import OwnData
from mixlib.comparing.sources import Source
from mixlib.evidence.cells import RECIPE
from mixlib.evidence.statistics import MIN_SEEDS
from mixlib.runs import checkpoints, corpora, costs
from mixlib.runs.checkpoints import MINILM, TINY, base_name
from mixlib.runs.machine import default_precision, machine_class
from mixlib.runs.profiles import Seeds, seeds_or
from mixlib.runs.spec import RunRecord, RunSpec
from mixlib.runs.store import Store

PAPER = "own"  # the folder of the records
# A method of each paper that trains with the usual recipe, TMix, which did no harm in notebook 51, and label smoothing
DEFAULT = ("none", "label_smoothing", "cls_mixup", "tmix", "amplify", "ssmix")
SEEDS = 5
SHARED = {name: RECIPE[name] for name in
          ("batch_size", "lr_scheduler_type", "warmup_ratio", "weight_decay", "max_grad_norm", "dropout")}  # fmt: skip
RATES = {MINILM: RECIPE["learning_rate"], f"sentence-transformers/{MINILM}": RECIPE["learning_rate"], TINY: 5e-3}
RATE = 3e-5  # of other models
MANY_CLASSES = 5  # with more, the learning rate is twice as high
UPDATES, EPOCHS = 300, (3, 10)
MAX_LENGTH = 128
LEARNED_FROM = 300  # records of this repository from which a first estimate is made


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How every method is trained; see the docstring of this module.

    Attributes:
        learning_rate, num_train_epochs, batch_size, max_length, model: as in :class:`mixlib.runs.spec.RunSpec`.
        sizes: ``train_size``, ``dev_size`` and ``test_size``, see :meth:`mixlib.comparing.own_data.OwnData.sizes`.
    """

    learning_rate: float
    num_train_epochs: int
    batch_size: int
    max_length: int
    sizes: dict[str, int | None]
    model: str

    def spec(self, data: OwnData, choice: Choice, seed: int) -> RunSpec:
        """One run with this recipe."""
        own = {"learning_rate": self.learning_rate, "num_train_epochs": self.num_train_epochs,
               "batch_size": self.batch_size, "max_length": self.max_length}  # fmt: skip
        return RunSpec(
            paper=PAPER, dataset=data.name, model=self.model, method=choice.key, method_params=choice.params, seed=seed,
            precision=default_precision("mini"), metric_for_best_model=None, eval_epochs=self.num_train_epochs,
            **SHARED | self.sizes | own,
        )  # fmt: skip


def recipe(
    data: OwnData,
    model: str = MINILM,
    learning_rate: float | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    max_length: int | None = None,
    train_size: int | None = None,
) -> Recipe:
    """The recipe for a data set, the same for every method; arguments that are given replace the usual values.

    Raises:
        ValueError: values that make no sense.
    """
    if learning_rate is not None:
        learning_rate = check_number("learning_rate", learning_rate, "above 0", lambda number: 0 < number < math.inf)
    epochs, batch_size, max_length, train_size = (
        None if value is None else check_count(name, value, fewest)
        for name, value, fewest in (
            ("epochs", epochs, 1), ("batch_size", batch_size, 2), ("max_length", max_length, 4),
            ("train_size", train_size, 1),
        )
    )  # fmt: skip
    batch_size = batch_size or SHARED["batch_size"]
    sizes = data.sizes(train_size, batch_size=batch_size)
    usual = RATES.get(base_name(model), RATE) * (2 if len(data.labels) > MANY_CLASSES else 1)
    low, high = EPOCHS
    needed = round(UPDATES * batch_size / sizes["train_size"])
    return Recipe(
        learning_rate=learning_rate or usual,
        num_train_epochs=epochs or min(max(needed, low), high),
        batch_size=batch_size,
        max_length=max_length or MAX_LENGTH,
        sizes=sizes,
        model=model,
    )


def plan(
    data: Source,
    text: str = "text",
    label: str = "label",
    *,
    text_b: str | None = None,
    test: Source | None = None,
    methods: MethodLike | Iterable[MethodLike] = DEFAULT,
    seeds: Seeds = SEEDS,
    model: str | os.PathLike[str] = MINILM,
    results: str | Path | None = None,
    **recipe_of: Any,
) -> Plan:
    """What :func:`mixlib.comparing.compare.compare` would do with the same arguments; nothing is run or written.

    Raises:
        ValueError, OSError: data, methods, seeds or recipe that are not available or make no sense.
    """
    chosen = list(dict.fromkeys([PLAIN, *map(choose, [methods] if is_one(methods) else methods)]))
    labels = [choice.label for choice in chosen]
    if twice := [name for name in labels if labels.count(name) > 1]:
        raise ValueError(f"two of the methods are called {twice[0]!r}: give them other names or parameters")
    wanted = list(range(seeds)) if isinstance(seeds, Integral) else seeds_or(seeds, ())
    if not wanted:
        raise ValueError("no seeds: give a number of seeds, such as 5, or a list")
    if len(chosen) < 2:
        raise ValueError("nothing to compare: name a method other than 'none'")
    found = own_data.read(data, text, label, text_b, test)
    checkpoints.settled(model)  # refuses what is no name and no folder
    made = recipe(found, os.fspath(model), **recipe_of)
    folder = Path(results).expanduser() if results else found.folder / sources.RESULTS
    return Plan(found, tuple(chosen), tuple(wanted), made, folder)


@dataclass(frozen=True)
class Plan:
    """A comparison that can be run.

    Attributes:
        data: the data to compare on.
        choices: the methods, no mixup first.
        seeds: the seeds of each method.
        recipe: the recipe of all methods.
        folder: where records and page go.
    """

    data: OwnData
    choices: tuple[Choice, ...]
    seeds: tuple[int, ...]
    recipe: Recipe
    folder: Path

    @cached_property
    def specs(self) -> list[RunSpec]:
        """All its runs, seed by seed, so that a part of them is already a comparison."""
        return [self.recipe.spec(self.data, choice, seed) for seed in self.seeds for choice in self.choices]

    def of(self, choice: Choice) -> list[RunSpec]:
        """The runs of one method."""
        return [self.recipe.spec(self.data, choice, seed) for seed in self.seeds]

    @property
    def store(self) -> Store:
        """Where its records are."""
        return Store(self.folder / "records")

    def cost(self) -> dict[str, Any]:
        """What it takes: ``runs``, how many are ``done``, the ``seconds`` that the others will take one after another,
        and what this is ``estimated_by``."""
        store = self.store
        missing = store.missing(self.specs)
        seconds, by = _seconds(missing, store) if missing else (0.0, "nothing is left to run")
        return {"runs": len(self.specs), "done": len(self.specs) - len(missing), "seconds": round(seconds, 1),
                "estimated_by": by}  # fmt: skip

    @property
    def _tested(self) -> str:
        return f" ({corpora.OWN[self.data.name, 'test'].source})" if self.data.has_test else ""

    def describe(self) -> list[str]:
        """The data, the methods and the recipe, one line each."""
        data, made = self.data, self.recipe
        test = made.sizes["test_size"] or int(data.counts["test"].sum())
        updates = math.ceil(made.sizes["train_size"] / made.batch_size) * made.num_train_epochs
        long = _too_long(data, made.max_length)
        seeds = f"{len(self.seeds)} seed{'' if len(self.seeds) == 1 else 's'}"
        several = [
            f"{choice.name} {n} ({n * updates:,} in all)"
            for choice in self.choices
            if (n := methods.get(choice.key, **choice.params).updates_per_batch) > 1
        ]
        more = f"Updates per batch: {', '.join(several)}; the others 1. none_long:updates=N is no mixup with N."
        few = f"Too few seeds to tell methods apart: {MIN_SEEDS} or more do (--seeds 0-4; in Python seeds=5)."
        return [
            f"{data.title}: {'. '.join(data.remarks)}.",
            f"Each seed trains on {made.sizes['train_size']} rows, fits a temperature on {made.sizes['dev_size']} and "
            f"tests on {test}{self._tested}; splits are stratified by class.",
            f"{len(self.choices)} methods ({', '.join(choice.label for choice in self.choices)}), {seeds}; "
            f"{made.model}, {made.num_train_epochs} epochs ({updates} updates of {made.batch_size} rows), "
            f"learning rate {made.learning_rate:g}, texts cut at {made.max_length} tokens{long}.",
            *([more] if several else []),
            *([few] if len(self.seeds) < MIN_SEEDS else []),
        ]


def cost_as_text(cost: dict[str, Any]) -> str:
    """The cost in one line."""
    if cost["done"] == cost["runs"]:
        return f"{cost['runs']} runs, all of them done."
    done = f", {cost['done']} of them done; the rest takes" if cost["done"] else ":"
    seconds = costs.as_text(cost["seconds"])
    return f"{cost['runs']} runs{done} about {seconds} one after the other (estimated {cost['estimated_by']})."


def _too_long(data: OwnData, max_length: int) -> str:
    rows = corpora.OWN[data.name, "train"].rows
    words = sum(rows[column].str.split().str.len() for column in ("text", "text_b") if column in rows)
    longer = int((words * costs.TOKENS_A_WORD > max_length).sum())
    return f" (about {longer} of the texts are longer)" if longer else ""


def _seconds(specs: Sequence[RunSpec], store: Store) -> tuple[float, str]:
    """How long runs take one after another, and what this was estimated by."""
    here, gpu = machine_class(), torch.cuda.is_available()
    for read, whose in ((lambda: store.scan()[0], "runs of this comparison"), (_some_of_ours, "records of a")):
        fit = [record for record in read() if isinstance(record, RunRecord) and record.spec.model == specs[0].model]
        of_here = [record for record in fit if record.origin == here]
        if not of_here and not gpu:
            of_here = [record for record in fit if record.origin.endswith(" CPU")]
        if of_here:
            known = costs.Costs(of_here, here)
            name = whose if whose.endswith("comparison") else f"{whose} {known.machine}"
            return known.estimate(specs).seconds, f"by {name}"
    if gpu:
        seconds = costs.Costs([], here).estimate(specs).gpu_seconds
        return seconds, f"by counting operations on a data-centre GPU{_counted_as(specs[0].model)}"
    seconds = sum(costs.cpu_seconds(spec, torch.get_num_threads()) for spec in specs)
    return seconds, f"by counting operations, {costs.CORE_FLOPS / 1e9:.0f} GFLOP/s a core{_counted_as(specs[0].model)}"


def _counted_as(model: str) -> str:
    known = costs.encoder_parameters(base_name(model))
    return "" if known else f"; {model} is not here, so it is counted as {costs.USUAL_MODEL}"


def _some_of_ours() -> list[Any]:
    """Some records of this repository, if it is here: of all kinds, read in a second."""
    from mixlib.runs import paths, store

    try:
        folder, found = Store().folder, []
    except paths.NoCheckout:
        return []
    files = sorted(folder.rglob("*.json"))
    for path in files[:: max(1, len(files) // LEARNED_FROM)]:
        try:
            found.append(store.read(store.text_of(path)))
        except (ValueError, OSError):
            continue
    return found
