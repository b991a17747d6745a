"""Measurements without a row in a results table: an illustration, a geometry, a time. One module per paper.

A study is a registered function from its spec to a dictionary of numbers. Its record is kept with those of the runs, so
a figure is drawn from records alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from mixlib.arguments import unknown
from mixlib.runs import machine
from mixlib.runs.records import Record, Spec, number
from mixlib.runs.spec import RunSpec

STUDIES: dict[str, Callable[..., dict[str, Any]]] = {}
LOADERS: list[Callable[[], object]] = []  # each registers studies; given from above: nothing here knows any paper
TIMED = frozenset({"step_time", "epoch_time"})  # they measure seconds: an engine runs nothing alongside them


def study(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Register a function ``(spec) -> values`` under its name."""
    STUDIES[function.__name__] = function
    return function


def every() -> dict[str, Callable[..., dict[str, Any]]]:
    """All studies by name. They train, and the training code takes seconds to import: reading does not wait for it."""
    for load in LOADERS:
        load()
    return STUDIES


def register(load: Callable[[], object]) -> None:
    """Have ``load``, which registers studies, called when one is wanted. It must be a module-level function, because it
    is sent to Ray's workers."""
    if load not in LOADERS:
        LOADERS.append(load)


@dataclass(frozen=True, kw_only=True, eq=False)
class StudySpec(Spec):
    """One study. Attributes: ``study`` (a name in :func:`every`), ``params`` (of that study)."""

    study: str
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", json.loads(json.dumps(self.params)))

    @property
    def name(self) -> str:
        return self.study

    @property
    def run(self) -> RunSpec | None:
        """The run that it is about, with the study's seed."""
        about = self.params.get("run")
        return RunSpec.from_canonical({**about, "seed": self.seed}) if about else None

    @property
    def precision(self) -> str:
        """The precision of the run that it is about; ``fp32`` if it is about none."""
        return self.params.get("run", {}).get("precision", "fp32")

    def __str__(self) -> str:
        short = {name: value for name, value in self.params.items() if not isinstance(value, (list, dict))}
        return f"{self.study}{''.join(f' {name}={value}' for name, value in short.items())} seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class StudyRecord(Record):
    """What one study measured.

    Attributes:
        values: what the study's function returned.
        timing: ``total_seconds``.
        spec, environment, origin, started: see :class:`mixlib.runs.records.Record`.
    """

    spec_type: ClassVar[type[StudySpec]] = StudySpec

    values: dict[str, Any]
    timing: dict[str, float]

    def check(self) -> None:
        number(self.timing, "total_seconds", 0)
        if not isinstance(self.values, dict):
            raise TypeError(f"values is no dictionary but {self.values!r}")

    @property
    def summary(self) -> str:
        return f"{', '.join(self.values)} in {self.timing['total_seconds']:.1f} s"


def execute(spec: StudySpec) -> StudyRecord:
    """Do one study and return its record; nothing is written.

    Raises:
        ValueError: unknown study (with the nearest names), and what the study itself refuses.
    """
    import transformers  # reading records does not wait for it

    studies = every()
    if spec.study not in studies:
        raise unknown("study", spec.study, studies)
    started, clock = datetime.now(UTC), time.perf_counter()
    transformers.set_seed(spec.seed)
    values = studies[spec.study](spec)
    return StudyRecord(
        spec=spec,
        values=json.loads(json.dumps(values)),
        timing={"total_seconds": round(time.perf_counter() - clock, 3)},
        environment=machine.environment(spec.precision),
        origin=machine.machine_class(),
        started=started.isoformat(timespec="seconds"),
    )
