"""How fast a sweep is: what a run costs beside its training, and several at once beside one after the other."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

from mixlib import engines, protocols
from mixlib.engines import Engine
from mixlib.engines.sweep import Progress, sweep
from mixlib.machine import machine_class
from mixlib.runs import RunFailed, RunSpec
from mixlib.store import Store

ONE_BY_ONE = "local cpus_per_run=1"


def measure(
    engine: str = ONE_BY_ONE, runs: int = 100, profile: str = "smoke", model: str | None = None
) -> dict[str, Any]:
    """Time a grid of runs, one after the other with one thread, and by another engine.

    Both do the same grid from an empty store, after as many runs as there are workers, which are not counted: a
    worker's first run loads data and model.

    Args:
        engine: what is compared with the engine ``local`` of one thread.
        runs: of the grid, taken evenly from all artefacts of the profile; studies and second stages are left out.
        profile: whose runs.
        model: in place of the profile's.

    Returns:
        ``machine``, ``profile``, ``runs``, and ``engines``: for each its ``engine``, ``workers``, ``start_seconds``
        until its workers had done their first run, ``seconds`` of the grid, ``beside_seconds``, what a run of it took
        beside training and evaluation, ``train_seconds``, the mean of both, and ``ratio``, how many times as fast as
        one after the other.
    """
    found = []
    grid = _grid(profile, runs, model)
    for description in dict.fromkeys((ONE_BY_ONE, engine)):
        with TemporaryDirectory(prefix="mixlib-bench-") as folder:
            found.append(_time_sweep(engines.get(description), description, grid, Store(folder)))
    for row in found:
        row["ratio"] = round(found[0]["seconds"] / row["seconds"], 3)
    return {"machine": machine_class(), "profile": profile, "runs": len(grid), "engines": found}


def _grid(profile: str, runs: int, model: str | None) -> list[RunSpec]:
    specs = dict.fromkeys(
        spec
        for artefact in protocols.artefacts()
        for spec in protocols.artefact_runs(artefact.id, profile, model=model)
        if isinstance(spec, RunSpec) and spec.first_stage is None
    )
    if not 1 <= runs <= len(specs):
        raise ValueError(
            f"profile {profile} has {len(specs)} runs that can be timed; ask for 1 to {len(specs)} of them"
        )
    return [list(specs)[i * len(specs) // runs] for i in range(runs)]


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
        # seeds of no table, so that none of the grid is done by it; as many as workers, and again, for each to have one
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
