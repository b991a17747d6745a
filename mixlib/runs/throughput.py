"""How fast a sweep is: what a run costs in addition to its training, several runs at once against one after another,
and a run against the same run by transformers' own ``Trainer``."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback

from mixlib.runs import corpora, draws, encoding, engines, metrics, models, training
from mixlib.runs.engines import Engine
from mixlib.runs.engines.sweep import Progress, sweep
from mixlib.runs.garbage import quick_garbage_collection
from mixlib.runs.machine import default_precision, machine_class
from mixlib.runs.records import Spec
from mixlib.runs.spec import RunFailed, RunSpec
from mixlib.runs.store import Store

ONE_BY_ONE = "local cpus_per_run=1"
TOKENS = (12, 16, 32, 64)
ROWS = {"train_size": 48, "dev_size": 60, "curve_size": 32, "test_size": 120}  # 400, 500, 256 and 1,000 in the evidence


def measure(specs: Iterable[Spec], engine: str = ONE_BY_ONE, runs: int = 100) -> dict[str, Any]:
    """Time a grid of runs, one after another on one thread, and by another engine.

    Both do the same grid from an empty store. Twice as many runs as there are workers are done first and not counted,
    because a worker's first run loads data and model.

    Args:
        specs: what the grid is taken from, evenly; studies and second stages are left out.
        engine: what is compared with the engine ``local`` on one thread.
        runs: number of runs in the grid.

    Returns:
        ``machine``, ``runs``, and ``engines``, one entry each: ``engine`` (its description), ``workers``,
        ``start_seconds`` (starting up and doing the uncounted runs), ``seconds`` (the whole grid), ``train_seconds``
        (training and evaluation of a run, mean over the grid), ``beside_seconds`` (what else a run costs: its share of
        the grid's time minus ``train_seconds``), and ``ratio`` (how many times as fast as one run after another).

    Raises:
        ValueError: unknown engine, or ``runs`` is not between 1 and the number of runs that can be timed.
        RunFailed: a run of the grid failed.
    """
    found = []
    grid = _grid(specs, runs)
    timed = {description: engines.get(description) for description in (ONE_BY_ONE, engine)}
    for description, executor in timed.items():
        with TemporaryDirectory(prefix="mixlib-bench-") as folder:
            found.append(_time_sweep(executor, description, grid, Store(folder)))
    for row in found:
        row["ratio"] = round(found[0]["seconds"] / row["seconds"], 3)
    return {"machine": machine_class(), "runs": len(grid), "engines": found}


def _grid(specs: Iterable[Spec], runs: int) -> list[RunSpec]:
    found = list(dict.fromkeys(spec for spec in specs if isinstance(spec, RunSpec) and spec.first_stage is None))
    if not 1 <= runs <= len(found):
        raise ValueError(f"there are {len(found)} runs that can be timed; ask for 1 to {len(found)} of them")
    return [found[i * len(found) // runs] for i in range(runs)]


def _time_sweep(engine: Engine, description: str, grid: list[RunSpec], store: Store) -> dict[str, Any]:
    def done(specs: list[RunSpec]) -> float:
        start = time.perf_counter()
        with Progress(specs) as bar:
            failed = sweep(specs, engine, store, bar)
        if failed:
            raise RunFailed(f"a run of the grid failed: {next(iter(failed.values()))}")
        return time.perf_counter() - start

    start = time.perf_counter()
    with engine:
        # seeds that no table uses, so that these are not runs of the grid; twice as many as workers, so each gets one
        engine.expect(len(grid))
        workers = engine.places
        done([replace(grid[i % len(grid)], seed=10**6 + i) for i in range(2 * workers)])
        start_seconds = time.perf_counter() - start
        seconds = done(grid)
    engine.close()
    timings = [store.get(spec).timing for spec in grid]
    trained = mean(timing["train_seconds"] + timing["eval_seconds"] for timing in timings)
    return {
        "engine": description,
        "workers": workers,
        "start_seconds": round(start_seconds, 2),
        "seconds": round(seconds, 2),
        "train_seconds": round(trained, 4),
        "beside_seconds": round(workers * seconds / len(grid) - trained, 4),
    }


def beside_trainer(
    recipe: dict[str, Any], tokens: Sequence[int] = TOKENS, rounds: int = 3, smoke: bool | None = None
) -> list[dict[str, Any]]:
    """Time a run of the plain model as a sweep does it, and the same run by transformers' own ``Trainer``.

    It is a run of a recipe with an eighth of the usual rows, on one thread: IMDb reviews, which fill any length. The
    Trainer gets the same rows, collator, optimizer and seed; as usual it reads model and tokenizer, encodes the texts,
    and scores all development and test examples at each epoch. They take turns, the one to go first changes from round
    to round, and a first run of each, of one update, is not counted. On a CPU the seconds are those of this process
    alone, so that other programs on the machine hardly matter.

    Args:
        recipe: fields of ``RunSpec``, such as those of the evidence.
        tokens: the lengths that texts are cut to.
        rounds: runs of each.
        smoke: the tiny model on synthetic texts, by default only where MiniLM or IMDb is not available.

    Returns:
        for each length ``tokens``, ``model``, ``precision``, ``rounds``, the median ``seconds`` of our runs and
        ``trainer_seconds`` of the others, ``ratio``, the median over the rounds of ours divided by the other's, and
        ``loss_difference``, the largest difference between their training losses.
    """
    check_lengths(tokens, rounds)
    if smoke is None:
        smoke = not _real_data()
    own = {"model": models.TINY, "synthetic": True, "dev_size": 40} if smoke else {"model": models.MINILM}
    own["precision"] = default_precision("mini")
    run = RunSpec(paper="common", dataset="imdb", method="none", seed=10**6, num_train_epochs=6, **recipe | ROWS | own)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_beside_trainer(replace(run, max_length=n), rounds) for n in tokens]
    finally:
        torch.set_num_threads(threads)


def check_lengths(tokens: Sequence[int], rounds: int) -> None:
    """Raise ``ValueError`` unless there is something to time."""
    if rounds < 1 or not tokens or min(tokens) < 4:
        raise ValueError(f"at least one round and lengths of at least 4 tokens are needed, got {rounds} and {tokens}")


def _real_data() -> bool:
    try:
        models.pretrained(models.MINILM)
        return all(len(corpora.load_split("imdb", split).rows) for split in ("train", "test"))
    except (models.ModelUnavailable, corpora.DataUnavailable):
        return False


def _beside_trainer(spec: RunSpec, rounds: int) -> dict[str, Any]:
    seconds: dict[Any, list[float]] = {_by_sweep: [], _by_trainer: []}
    losses = {}
    for way in seconds:
        way(spec.trial(1))
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    for i in range(rounds):
        for way in list(seconds)[:: (-1) ** i]:
            start = clock()
            losses[way] = way(spec)
            seconds[way].append(clock() - start)
    ours, theirs = seconds.values()
    return {
        "tokens": spec.max_length,
        "model": spec.model,
        "precision": spec.precision,
        "rounds": rounds,
        "seconds": round(median(ours), 3),
        "trainer_seconds": round(median(theirs), 3),
        "ratio": round(median(a / b for a, b in zip(ours, theirs, strict=True)), 3),
        "loss_difference": max(abs(a - b) for a, b in zip(losses[_by_sweep], losses[_by_trainer], strict=True)),
    }


def _by_sweep(spec: RunSpec) -> list[float]:
    with TemporaryDirectory(prefix="mixlib-bench-") as folder, quick_garbage_collection():
        return training.execute(spec, Store(folder)).train_losses


class _SameNoise(Trainer):
    """Leaves the stream that dropout draws from as it was before an evaluation, as our runs do."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        with torch.random.fork_rng(devices=[]):
            return super().evaluate(*args, **kwargs)


def _by_trainer(spec: RunSpec) -> list[float]:
    """The training losses of the run, done as usual, without this library."""
    corpus = corpora.get(spec.dataset)
    data = draws.sample(
        spec.dataset, spec.seed, spec.train_size, spec.dev_size, spec.test_size, synthetic_twin=spec.synthetic
    )
    set_seed(spec.seed)
    training.set_tf32(spec.precision)
    with models.quiet(), TemporaryDirectory(prefix="mixlib-bench-") as folder:
        if spec.model == models.TINY:  # it has no file
            model, tokenizer = models.load(spec.model, corpus.num_labels)
        else:
            place = models.find(spec.model)
            tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
            model = AutoModelForSequenceClassification.from_pretrained(
                place, num_labels=corpus.num_labels, use_safetensors=True, trust_remote_code=False
            )
        train, dev, test = (
            encoding.encode(rows, tokenizer, spec.max_length).remove_columns("row")
            for rows in (data.train, data.dev, data.test)
        )
        updates = spec.max_steps or spec.num_train_epochs * math.ceil(len(train) / spec.batch_size)
        trainer = _SameNoise(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                seed=spec.seed,
                num_train_epochs=spec.num_train_epochs,
                max_steps=spec.max_steps or -1,
                per_device_train_batch_size=spec.batch_size,
                per_device_eval_batch_size=training.EVAL_ROWS["cuda" if torch.cuda.is_available() else "cpu"],
                learning_rate=spec.learning_rate,
                lr_scheduler_type=spec.lr_scheduler_type,
                warmup_steps=math.ceil(spec.warmup_ratio * updates),
                weight_decay=spec.weight_decay,
                max_grad_norm=spec.max_grad_norm,
                bf16=spec.precision == "bf16",
                optim="adamw_torch_fused",
                eval_strategy="epoch",
                save_strategy="no",
                logging_steps=1,
                dataloader_pin_memory=torch.cuda.is_available(),
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=train,
            eval_dataset={"dev": dev, "test": test},
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda found: metrics.evaluate(found.predictions, found.label_ids),
        )
        trainer.pop_callback(PrinterCallback)
        trainer.train()
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]
