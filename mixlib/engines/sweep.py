"""Run what is missing: in which order, shared with whom, and what is said of it."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from mixlib import costs, studies
from mixlib.engines.base import Engine, why
from mixlib.runs import RunFailed, RunSpec
from mixlib.store import DamagedRecord, Record, Spec, Store
from mixlib.studies import StudySpec

PATIENCE = 0.5  # seconds between two looks at what other sweeps have under way


class Progress(tqdm):
    """A bar of runs done, failed and running, and the time left by what runs like the missing ones took."""

    def __init__(self, specs: Iterable[Spec], **options: Any) -> None:
        self.left = {spec: costs.relative(spec) for spec in specs}
        self.running = self.failed = 0
        self._taken = self._weighed = 0.0  # seconds and weight of the runs that ended here
        layout = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{left}, {running} running, {failed} failed]"
        super().__init__(total=len(self.left), desc="runs", bar_format=layout, mininterval=0.5, **options)

    def ended(self, spec: Spec, seconds: float = 0.0, failed: bool = False) -> None:
        """Count a run; ``seconds`` if it was done here."""
        weight = self.left.pop(spec)
        if seconds:
            self._taken, self._weighed = self._taken + seconds, self._weighed + weight
        self.failed += failed
        self.update()

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar shows."""
        left = "?"
        if self._weighed:
            seconds = sum(self.left.values()) * self._taken / self._weighed / max(1, self.running)
            left = self.format_interval(seconds)
        return super().format_dict | {"left": left, "running": self.running, "failed": self.failed}


def sweep(specs: Sequence[Spec], engine: Engine, store: Store, bar: Progress) -> dict[Spec, str]:
    """Run these, each record written as it is made; returns the reason of each that failed.

    Other sweeps on the same store share the work: what one of them has under way is left to it, and looked at again.
    Studies that measure seconds come last, each by itself.
    """
    todo = deque(sorted(specs, key=_timed))
    failed: dict[Spec, str] = {}
    running: dict[Spec, tuple[FileLock, float]] = {}

    def fail(spec: Spec, reason: str, seconds: float = 0.0) -> None:
        failed[spec] = reason
        bar.ended(spec, seconds, failed=True)
        with suppress(OSError):  # a note is not worth stopping for
            store.put_failure(spec, reason)

    def begin(spec: Spec) -> bool:
        """Start it, or find that it has ended; ``False`` if its turn has not come."""
        first = getattr(spec, "first_stage", None)
        if first in failed:
            fail(spec, f"the run that it starts from failed: {failed[first]}")
            return True
        beside_timed = running and (_timed(spec) or any(map(_timed, running)))
        if beside_timed or (first and not store.state_path(first).exists()):
            return False
        lock = store.claim(spec)
        if lock is None:
            return False
        if _done(spec, store):  # by another sweep, meanwhile
            store.release(lock)
            bar.ended(spec)
            return True
        try:
            engine.start(spec, store)
        except (ValueError, OSError) as error:
            store.release(lock)
            fail(spec, why(error))
            return True
        running[spec] = lock, time.monotonic()
        return True

    try:
        while todo or running:
            engine.expect(len(todo) + len(running))
            for _ in range(len(todo)):
                if not engine.room():
                    break
                spec = todo.popleft()
                if not begin(spec):
                    todo.append(spec)
            bar.running = len(running)
            if not running and engine.room():  # all that is left is under way elsewhere
                time.sleep(PATIENCE)
            outcomes = engine.wait(PATIENCE)
            if not outcomes:
                bar.refresh()  # or its clock stands still in a long run
            for outcome in outcomes:
                spec, (lock, since) = outcome.spec, running.pop(outcome.spec)
                try:
                    if outcome.failure:
                        fail(spec, outcome.failure, time.monotonic() - since)
                    elif outcome.record is None:
                        todo.appendleft(spec)
                    else:
                        try:
                            _keep(outcome, store)
                        except OSError as error:  # a full disk: further runs would be lost as well
                            raise _cannot_write(error, spec, store) from error
                        bar.ended(spec, time.monotonic() - since)
                finally:
                    store.release(lock)
    finally:
        for lock, _ in running.values():
            store.release(lock)
    return failed


def _timed(spec: Spec) -> bool:
    return isinstance(spec, StudySpec) and spec.study in studies.TIMED


def _done(spec: Spec, store: Store) -> bool:
    """Whether there is nothing to run: a record, and the weights if they are to be kept for others."""
    kept = not getattr(spec, "keep_state", False) or store.state_path(spec).exists()
    return kept and not store.missing([spec])


def _keep(outcome: Any, store: Store) -> None:
    if outcome.weights is not None:
        store.put_state_bytes(outcome.spec, outcome.weights)
    if store.missing([outcome.spec]):  # a record stays as it is where only the weights had to be made again
        store.put(outcome.record)


def _cannot_write(error: OSError, spec: Spec, store: Store) -> OSError:
    what = f"{error.strerror or error}: the record of {spec} could not be written to {store.folder}"
    return OSError(f"{what}. The sweep was stopped; the records before it are kept. Mend that and start again")


def missing(specs: Iterable[Spec], store: Store) -> list[Spec]:
    """Those of the runs that have to be run, and before them the first stages whose weights are not there."""
    wanted = store.missing(specs)
    firsts = [spec.first_stage for spec in wanted if isinstance(spec, RunSpec) and spec.first_stage]
    return list(dict.fromkeys([first for first in firsts if not store.state_path(first).exists()] + wanted))


def shard(specs: Iterable[Spec], index: int, count: int) -> list[Spec]:
    """One of ``count`` parts of a grid, the same part whatever has been run; runs that start from the same first stage
    stay together.

    Raises:
        ValueError: no such part.
    """
    if not 0 <= index < count:
        raise ValueError(f"there is no shard {index} of {count}: they are numbered 0/{count} to {count - 1}/{count}")
    groups: dict[Spec, list[Spec]] = {}
    for spec in dict.fromkeys(specs):
        groups.setdefault(getattr(spec, "first_stage", None) or spec, []).append(spec)
    return [spec for group in list(groups.values())[index::count] for spec in group]


def run_all(
    specs: Iterable[Spec], engine: str | Engine = "local", store: Store | None = None, progress: bool = True
) -> list[Record]:
    """The records of these runs; those that have none are run first.

    A record that cannot be read is named, and run again; its file is kept beside the new one.

    Args:
        specs: runs, in the order the records are returned in.
        engine: ``"local"``, ``"ray"``, one of them with options (``"ray gpus_per_run=0.25"``), or an
            :class:`~mixlib.engines.base.Engine`.
        store: where records are kept, by default the repository's.
        progress: show a progress bar while something runs.

    Raises:
        ValueError: unknown engine, or an option that it does not have.
        RunFailed: some runs failed; the others are done and their records kept.
        OSError: a record could not be written; those before it are kept, and the sweep was stopped.
    """
    from mixlib import engines

    engine = engines.get(engine)
    specs, store = list(specs), store or Store()
    todo = missing(specs, store)
    failed: dict[Spec, str] = {}
    if todo:
        for spec in todo:
            try:
                store.get(spec)
            except DamagedRecord as error:
                tqdm.write(f"damaged: {error}, and keeps it beside as .damaged", sys.stderr)
        # a switch that is not given leaves it to TQDM_DISABLE; the plain bar's last line stays readable in a notebook
        with engine, Progress(todo, **({} if progress else {"disable": True})) as bar:
            failed = sweep(todo, engine, store, bar)
    if failed:
        reasons: dict[str, list[Spec]] = {}
        for spec, reason in failed.items():
            reasons.setdefault(reason, []).append(spec)
        lines = [f"  {runs[0]}{f' and {len(runs) - 1} more' if runs[1:] else ''}: {r}" for r, runs in reasons.items()]
        raise RunFailed("\n".join([f"{len(failed)} of {len(todo)} runs failed, the others are done:", *lines]))
    return [store.get(spec) for spec in specs]
