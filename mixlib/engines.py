"""Where runs execute. ``local``: one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tqdm import tqdm

from mixlib import runs, studies
from mixlib.runs import RunFailed
from mixlib.store import Record, Spec, Store
from mixlib.studies import StudySpec

ENGINES: dict[str, Callable[[Sequence[Spec], Store, bool], dict[Spec, str]]] = {}


def engine(function: Callable) -> Callable:
    """Register an engine under its function's name."""
    ENGINES[function.__name__] = function
    return function


def execute(spec: Spec, store: Store) -> Record:
    """Do one run or study and return its record. Weights that other runs start from are taken from the store and kept
    there; nothing else is written."""
    return studies.execute(spec) if isinstance(spec, StudySpec) else runs.execute(spec, store)


@engine
def local(specs: Sequence[Spec], store: Store, progress: bool) -> dict[Spec, str]:
    """Run in this process; returns the reason for each run that failed. Each record is written as it is made."""
    failed: dict[Spec, str] = {}
    # a switch that is not given leaves it to TQDM_DISABLE; the plain bar's last line stays readable in a notebook
    bar = tqdm(specs, desc="runs", unit="run", **({} if progress else {"disable": True}))
    for spec in bar:
        bar.set_postfix_str(str(spec))
        if store.get(spec) is not None:  # another sweep on this store may have made it meanwhile
            continue
        try:
            record = execute(spec, store)
        except Exception as error:  # one poisoned run must not stop a sweep of hundreds: it is reported at its end
            failed[spec] = str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"
            continue
        store.put(record)
    return failed


def check(name: str) -> None:
    """Raise ``ValueError`` unless there is an engine of this name."""
    if name not in ENGINES:
        raise ValueError(f"unknown engine {name!r}; choose one of {', '.join(ENGINES)}")


def run_all(
    specs: Iterable[Spec], engine: str = "local", store: Store | None = None, progress: bool = True
) -> list[Record]:
    """The records of these runs; those that have none are run first.

    Args:
        specs: runs, in the order the records are returned in.
        engine: a name in :data:`ENGINES`.
        store: where records are kept, by default the repository's.
        progress: show a progress bar while something runs.

    Raises:
        ValueError: unknown engine.
        DamagedRecord: a record of these runs is unusable (before anything is run).
        RunFailed: some runs failed; the others are done and their records kept.
    """
    check(engine)
    specs, store = list(specs), store or Store()
    missing = [spec for spec in dict.fromkeys(specs) if store.get(spec) is None]
    failed = ENGINES[engine](missing, store, progress) if missing else {}
    if failed:
        reasons: dict[str, list[Spec]] = {}
        for spec, reason in failed.items():
            reasons.setdefault(reason, []).append(spec)
        lines = [f"  {runs[0]}{f' and {len(runs) - 1} more' if runs[1:] else ''}: {r}" for r, runs in reasons.items()]
        raise RunFailed("\n".join([f"{len(failed)} of {len(specs)} runs failed, the others are done:", *lines]))
    return [store.get(spec) for spec in specs]
