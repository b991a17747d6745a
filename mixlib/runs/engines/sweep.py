"""Run what is missing: in what order, how sweeps share the work, and what is said along the way."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from mixlib.runs import costs, scratch, studies
from mixlib.runs.checkpoints import base_name
from mixlib.runs.engines.base import Engine, Outcome, why
from mixlib.runs.engines.named import get
from mixlib.runs.records import DamagedRecord, NewerRecord, Record, Spec
from mixlib.runs.spec import RunFailed, RunSpec
from mixlib.runs.store import Store, release
from mixlib.runs.studies import StudySpec

PATIENCE = 0.5  # seconds between two looks at what other sweeps have under way
SILENCE = 5.0  # seconds of waiting for them before saying so
STOPPED = ". The sweep was stopped; the records before it are kept. Fix this and start again"


class Progress(tqdm):
    """A bar of runs done, failed and running, and the time left, estimated from the runs that ended here."""

    def __init__(self, specs: Iterable[Spec], **options: Any) -> None:
        self.left = {spec: costs.relative(spec) for spec in specs}
        self.running = self.failed = 0
        self._taken = self._weighed = 0.0  # seconds and weight of the runs that ended here
        layout = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{left}, {running} running, {failed} failed]"
        super().__init__(total=len(self.left), desc="runs", bar_format=layout, mininterval=0.5, **options)

    def add(self, spec: Spec) -> None:
        """Count one more run to be done."""
        self.left[spec] = costs.relative(spec)
        self.total += 1

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
    """Run these, writing each record as it is made; returns, for each run that failed, the reason.

    Other sweeps on the same store share the work: what one of them has under way is left to it and checked again later.
    Runs start in their order, as soon as they can. Studies that measure seconds come last, each by itself. If a first
    stage is retrained and its weights differ, the runs in the store that started from the earlier weights are done
    again.
    """
    return _Sweep(specs, engine, store, bar).run()


class _Sweep:
    """What a sweep has left to do, what it has under way, and what failed."""

    def __init__(self, specs: Sequence[Spec], engine: Engine, store: Store, bar: Progress) -> None:
        self.engine, self.store, self.bar = engine, store, bar
        self.todo = OrderedDict.fromkeys(sorted(specs, key=_timed))
        self.running: dict[Spec, tuple[FileLock, float]] = {}  # since when
        self.failed: dict[Spec, str] = {}
        self.elsewhere: list[Spec] = []  # found to be under way in another sweep at the last look
        self.waited_for: set[str] = set()
        self.idle_since: float | None = None

    def run(self) -> dict[Spec, str]:
        """Do all of it; returns what failed, and why."""
        try:
            while self.todo or self.running:
                self.engine.expect(len(self.todo) + len(self.running))
                self.begin_what_can()
                self.wait_if_idle()
                outcomes = self.engine.wait(PATIENCE)
                if not outcomes:
                    self.bar.refresh()  # otherwise its clock stands still during a long run
                for outcome in outcomes:
                    lock, since = self.running.pop(outcome.spec)
                    try:
                        self.settle(outcome, time.monotonic() - since)
                    finally:
                        release(lock)
        finally:
            for lock, _ in self.running.values():
                release(lock)
        return self.failed

    def begin_what_can(self) -> None:
        """Start runs in their order while there is room."""
        self.elsewhere.clear()
        for spec in list(self.todo):
            if not self.engine.room():
                break
            if self.begin(spec):
                del self.todo[spec]
        self.bar.running = len(self.running)

    def begin(self, spec: Spec) -> bool:
        """Start it, or find that it has ended; ``False`` if its turn has not come."""
        first = getattr(spec, "first_stage", None)
        if first in self.failed:
            self.fail(spec, f"the run that it starts from failed: {self.failed[first]}")
            return True
        beside_timed = self.running and (_timed(spec) or any(map(_timed, self.running)))
        if beside_timed or (first and (first in self.todo or first in self.running)):
            return False
        if first and not self.store.has_state(first):  # they went missing, or others took their place
            self.add(first)
            return False
        lock = self.store.claim(spec)
        if lock is None:
            self.elsewhere.append(spec)
            return False
        try:
            if _done(spec, self.store):  # by another sweep, in the meantime
                release(lock)
                self.bar.ended(spec)
                return True
            self.engine.start(spec, self.store)
        except (ValueError, OSError) as error:
            release(lock)
            self.fail(spec, why(error))
            return True
        self.running[spec] = lock, time.monotonic()
        return True

    def wait_if_idle(self) -> None:
        """If all that is left is under way in other sweeps, give them time, and say so after a while."""
        if self.running or not self.engine.room():
            self.idle_since = None
            return
        self.idle_since = self.idle_since or time.monotonic()
        if self.elsewhere and time.monotonic() - self.idle_since > SILENCE:
            _say_what_is_waited_for(self.elsewhere, self.store, self.waited_for)
        time.sleep(PATIENCE)

    def settle(self, outcome: Outcome, seconds: float) -> None:
        """Keep the record of a run that ended, or note why it has none; one that was interrupted is next again."""
        spec = outcome.spec
        if outcome.disk_full:
            raise OSError(f"{outcome.failure}: a disk was full while {spec} was running{STOPPED}")
        if outcome.failure:
            self.fail(spec, outcome.failure, seconds)
            return
        if outcome.record is None:
            self.todo[spec] = None
            self.todo.move_to_end(spec, last=False)
            return
        try:
            void = _keep(outcome, self.store)
        except ValueError as error:  # what cannot have been measured, or cannot be written as JSON
            self.fail(spec, why(error), seconds)
            return
        except OSError as error:  # a full disk: further runs would be lost as well
            raise _cannot_write(error.strerror or str(error), spec, self.store) from error
        self.bar.ended(spec, seconds)
        for other in void:
            if other not in self.todo and other not in self.failed:
                tqdm.write(f"void: {other}: it started from other weights of {spec}; running it again", sys.stderr)
                self.add(other)

    def fail(self, spec: Spec, reason: str, seconds: float = 0.0) -> None:
        """Note that a run failed."""
        self.failed[spec] = reason
        self.bar.ended(spec, seconds, failed=True)
        with suppress(OSError):  # a note is not worth stopping for
            self.store.put_failure(spec, reason)

    def add(self, spec: Spec) -> None:
        """One more run to be done."""
        self.todo[spec] = None
        self.bar.add(spec)


def _say_what_is_waited_for(elsewhere: list[Spec], store: Store, said: set[str]) -> None:
    """Name a run that another sweep has under way, and its holder; each holder once."""
    spec, more = elsewhere[0], len(elsewhere) - 1
    if (who := store.taken_by(spec)) not in said:
        said.add(who)
        others = f" and {more} more" if more else ""
        tqdm.write(
            f"waiting for {spec}{others}: taken by {who}. If that hangs, end it; if it is gone, delete the lock file",
            sys.stderr,
        )


def _timed(spec: Spec) -> bool:
    return isinstance(spec, StudySpec) and spec.study in studies.TIMED


def _done(spec: Spec, store: Store) -> bool:
    """Whether there is nothing to run: there is a record, and also the weights it names if they are to be kept for
    others.

    Raises:
        NewerRecord: there is a record of a later version of mixlib, which nothing replaces.
    """
    try:
        record = store.get(spec)
    except NewerRecord:
        raise
    except DamagedRecord:
        return False
    return record is not None and (not getattr(spec, "keep_state", False) or store.has_state(spec))


def _keep(outcome: Outcome, store: Store) -> list[Spec]:
    """Write the outcome of a run; returns the runs whose records started from other weights of it."""
    spec = outcome.spec
    if outcome.weights is not None:
        store.put_state_bytes(spec, outcome.weights)
    put = store.keep(outcome.record)
    if not getattr(spec, "keep_state", False):
        return []
    if not store.has_state(spec):
        raise DamagedRecord(f"{store.state_path(spec)}: the weights of the run were not kept as its record names them")
    return store.voided(spec) if put else []


def _cannot_write(reason: str, spec: Spec, store: Store) -> OSError:
    return OSError(f"{reason}: the record of {spec} could not be written to {store.folder}{STOPPED}")


def _units(specs: Iterable[Spec]) -> list[list[Spec]]:
    """Each first stage followed by all that starts from it, and each other run by itself."""
    units: dict[Spec, list[Spec]] = {}
    for spec in dict.fromkeys(specs):
        units.setdefault(_stages(spec)[0], []).append(spec)
    return [sorted(unit, key=lambda spec: len(_stages(spec))) for unit in units.values()]


def _stages(spec: Spec) -> list[Spec]:
    """A run and the earlier ones that it starts from, the first one first."""
    first = getattr(spec, "first_stage", None)
    return [*(_stages(first) if first else ()), spec]


def missing(specs: Iterable[Spec], store: Store) -> list[Spec]:
    """The runs that have to be done, each after its first stage if that stage's weights are missing or are not those
    that its record names."""
    wanted = dict.fromkeys(store.missing(specs))
    for spec in list(wanted):
        wanted |= dict.fromkeys(first for first in _stages(spec)[:-1] if not store.has_state(first))
    return [spec for unit in _units(wanted) for spec in unit]


def limited(specs: Iterable[Spec], count: int | None) -> list[Spec]:
    """The first ``count`` runs, and more if a first stage would otherwise be separated from what starts from it."""
    kept: list[Spec] = []
    for unit in _units(specs):
        if count is not None and len(kept) >= count:
            break
        kept += unit
    return kept


def shard(specs: Iterable[Spec], index: int, count: int) -> list[Spec]:
    """One of ``count`` parts of a grid, the same part no matter what has been run; runs that start from the same first
    stage stay together.

    Raises:
        ValueError: no such part.
    """
    if not 0 <= index < count:
        raise ValueError(f"there is no shard {index} of {count}: they are numbered 0/{count} to {count - 1}/{count}")
    return [spec for unit in _units(specs)[index::count] for spec in unit]


class NothingToRead(RuntimeError):
    """Runs that may only be read but have no usable record."""


def run_all(
    specs: Iterable[Spec],
    engine: str | Engine = "local",
    store: Store | None = None,
    progress: bool = True,
    read_only: bool = False,
) -> list[Record]:
    """The records of these runs; those that have none are run first.

    A record that cannot be used is named, and its run is done again; its file is kept next to the new one. A record
    made by a later version of mixlib stays, and its run counts as failed.

    Args:
        specs: the runs, in the order in which records are returned.
        engine: ``"local"``, ``"ray"``, one of them with options (``"ray gpus_per_run=0.25"``), or an
            :class:`~mixlib.runs.engines.base.Engine`.
        store: where records are kept, by default the repository's.
        progress: show a progress bar while something runs.
        read_only: run nothing.

    Raises:
        ValueError: unknown engine, or an option that it does not have.
        NothingToRead: with ``read_only``, a run has no usable record.
        ModelUnavailable: the only model of these runs is not available; nothing was run.
        DataUnavailable, DataDiffers: the data of none of these runs can be read (the first reason); nothing was run.
        RunFailed: some runs failed; the others are done and their records kept.
        OSError: a record could not be written; those before it are kept, and the sweep was stopped.
    """
    engine = get(engine)
    specs, store = list(specs), store or Store()
    if read_only:
        return _read(specs, store)
    todo = missing(specs, store)
    _check_inputs(todo)
    while todo:
        store.sweep_up()
        scratch.sweep_up()
        for spec in todo:
            _name_what_is_wrong(spec, store)
        # without a switch, TQDM_DISABLE decides; the plain bar's last line stays readable in a notebook
        with engine, Progress(todo, **({} if progress else {"disable": True})) as bar:
            try:
                failed = sweep(todo, engine, store, bar)
            except KeyboardInterrupt:
                ended = bar.total - len(bar.left)
                tqdm.write(f"stopped after {ended} of {bar.total} runs; the same command resumes there", sys.stderr)
                raise
        if failed:
            reasons: dict[str, list[Spec]] = {}
            for spec, reason in failed.items():
                reasons.setdefault(reason, []).append(spec)
            others = ", the others are done" if len(failed) < bar.total else ""
            lines = [f"{len(failed)} of {bar.total} runs failed{others}:"]
            for reason, runs in reasons.items():
                lines.append(f"  {runs[0]}{f' and {len(runs) - 1} more' if runs[1:] else ''}: {reason}")
            raise RunFailed("\n".join(lines))
        todo = missing(specs, store)  # some again if another sweep retrained the first stage that they start from
    return [store.get(spec) for spec in specs]


def _read(specs: Sequence[Spec], store: Store) -> list[Record]:
    """The records of these runs, each read once; ``NothingToRead`` if one is missing."""
    found: dict[Spec, Record | None] = {}
    for spec in dict.fromkeys(specs):
        try:
            found[spec] = store.get(spec)
        except DamagedRecord:
            found[spec] = None
    if absent := [spec for spec, record in found.items() if record is None]:
        for spec in absent:
            _name_what_is_wrong(spec, store)
        raise NothingToRead(
            f"{len(absent)} of {len(specs)} runs have no record in {store.folder}, {absent[0]} "
            f"({absent[0].precision}) among them. With the committed settings a notebook trains nothing: make them "
            "with `python -m mixlib run ID --profile mini` (IDs: `python -m mixlib list`), or set seeds or model "
            "yourself; with mixlib.compare, leave out read_only"
        )
    return [found[spec] for spec in specs]


def _check_inputs(todo: Iterable[Spec]) -> None:
    """Refuse a model that all runs share and none could load, and data sets if none of them can be read. With several
    models or data sets, each run finds out for itself, and the others are done."""
    runs = [run for spec in todo if (run := spec if isinstance(spec, RunSpec) else spec.run)]
    if not runs:
        return
    from mixlib.runs import corpora, models  # seconds to import, and reading does without

    names = {run.model for run in runs}
    if len({base_name(name) for name in names}) == 1:
        for name in names:
            models.check(name, max(run.max_length for run in runs if run.model == name))
    unreadable = None
    for name, synthetic in dict.fromkeys((run.dataset, run.synthetic) for run in runs):
        try:
            for split in corpora.splits_of(name):
                corpora.load_split(name, split, synthetic)
        except (corpora.DataUnavailable, corpora.DataDiffers) as error:
            unreadable = unreadable or error
        else:
            return
    if unreadable:
        raise unreadable


def _name_what_is_wrong(spec: Spec, store: Store) -> None:
    """Name, on standard error, the unusable file that causes a run to be done again."""
    try:
        record = store.get(spec)
    except DamagedRecord as error:
        beside = "" if isinstance(error, NewerRecord) else "; the old file is kept next to the new one as .damaged"
        tqdm.write(f"{error.kind}: {error}{beside}", sys.stderr)
    else:
        if record is not None and store.state(spec) is not None:  # it is done again for its weights
            wrong = f"{store.state_path(spec)}: not the weights that the record of {spec} names"
            tqdm.write(f"damaged: {wrong}; running it again replaces them", sys.stderr)
