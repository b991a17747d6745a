"""What every engine offers a sweep, and how one run is done, wherever it executes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from mixlib.runs import studies
from mixlib.runs.records import Record, Spec
from mixlib.runs.spec import RunFailed
from mixlib.runs.store import Store, disk_is_full
from mixlib.runs.studies import StudySpec


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a run ended: with a record, with the reason why it failed, or with neither, in which case it has to be
    started again.

    Attributes:
        disk_full: whether it failed because a disk is full, as further runs would.
        weights: content of the weights file that the run is to keep, if it was not done in the store's process.
    """

    spec: Spec
    record: Record | None = None
    failure: str | None = None
    disk_full: bool = False
    weights: np.ndarray | None = None


def load_training() -> ModuleType:
    """Import the code that does runs: this takes seconds, and reading records does not need it."""
    from mixlib.runs import training

    return training


def execute(spec: Spec, store: Store) -> Record:
    """Do one run or study and return its record. Weights that other runs start from are taken from the store and kept
    there; nothing else is written."""
    return studies.execute(spec) if isinstance(spec, StudySpec) else load_training().execute(spec, store)


def attempt(spec: Spec, store: Store) -> Outcome:
    """Do one run; a failure is an outcome, because one bad run must not stop a sweep of hundreds."""
    try:
        return Outcome(spec, execute(spec, store))
    except Exception as error:
        return failed(spec, error)


def failed(spec: Spec, error: BaseException) -> Outcome:
    """The outcome of a run that ended in this error."""
    return Outcome(spec, failure=why(error), disk_full=disk_is_full(error))


def why(error: BaseException) -> str:
    """The reason for a failure, in one line."""
    return str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"


def too_long(limit: float) -> str:
    """The reason given for a run that was stopped."""
    return f"ran longer than the time limit of {limit:g} s and was stopped"


@dataclass(kw_only=True)
class Engine(ABC):
    """Where runs execute. A sweep enters it, starts runs while there is room, and waits for them.

    Attributes:
        cpus_per_run: PyTorch threads per run.
        time_limit: seconds after which a run is stopped and counts as failed; no limit by default.

    Raises:
        ValueError: an option of the wrong kind or size.
    """

    name: ClassVar[str]
    least: ClassVar[dict[str, tuple[type, float]]] = {"cpus_per_run": (int, 1), "time_limit": (float, 0.01)}
    most: ClassVar[dict[str, float]] = {"cpus_per_run": 10_000, "time_limit": 1e8}
    texts: ClassVar[frozenset[str]] = frozenset()  # options whose value is text, whatever it looks like

    cpus_per_run: int | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        defaults = {item.name: item.default for item in fields(self)}
        for option, (kind, least) in self.least.items():
            value, most = getattr(self, option), self.most.get(option, 1e8)
            is_number = isinstance(value, (int, kind)) and not isinstance(value, bool)
            if (value is not None or defaults[option] is not None) and not (is_number and least <= value <= most):
                number = "a whole number" if kind is int else "a number"
                end = f"at most {most:g}" if is_number and value > most else f"at least {least:g}"
                raise ValueError(f"{option} must be {number} of {end}, got {value!r}")

    @classmethod
    def options(cls) -> list[str]:
        """The names of its options."""
        return [item.name for item in fields(cls) if item.init]

    @abstractmethod
    def __enter__(self) -> Engine: ...

    @abstractmethod
    def __exit__(self, *exception: Any) -> None:
        """Stop the runs under way. What the next sweep can use may be kept until :meth:`close`."""

    def close(self) -> None:  # noqa: B027 (not every engine keeps something)
        """Release what is kept for this process's next sweep."""

    def expect(self, count: int) -> None:  # noqa: B027 (not every engine prepares)
        """Learn how many runs have yet to end, before any is started and after each one."""

    @property
    @abstractmethod
    def places(self) -> int:
        """How many runs can be under way at once."""

    @abstractmethod
    def room(self) -> int:
        """How many runs can be started now."""

    @abstractmethod
    def start(self, spec: Spec, store: Store) -> None:
        """Begin a run."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Outcome]:
        """The runs that ended, after about this many seconds at most if the engine can keep to it."""
