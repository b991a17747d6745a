"""One run after another in this process."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from mixlib.runs.engines.base import Engine, Outcome, attempt, load_training, too_long
from mixlib.runs.garbage import quick_garbage_collection
from mixlib.runs.records import Spec
from mixlib.runs.store import Store


@dataclass(kw_only=True)
class Local(Engine):
    """One run after another in this process.

    Attributes:
        cpus_per_run: PyTorch threads; by default as many as PyTorch already uses.
        time_limit: takes effect between two Python instructions: a run that hangs inside a library is stopped only by
            the engine ``ray``.
    """

    name: ClassVar[str] = "local"
    most: ClassVar[dict[str, float]] = {**Engine.most, "cpus_per_run": 1024}  # PyTorch crashes with very many threads

    _next: tuple[Spec, Store] | None = field(default=None, init=False, repr=False)
    _around: ExitStack = field(default_factory=ExitStack, init=False, repr=False)

    def __enter__(self) -> Local:
        self._around.callback(torch.set_num_threads, torch.get_num_threads())
        if self.cpus_per_run:
            torch.set_num_threads(self.cpus_per_run)
        load_training()
        gc.collect()
        self._around.enter_context(quick_garbage_collection())
        return self

    def __exit__(self, *exception: Any) -> None:
        self._next = None
        self._around.close()

    @property
    def places(self) -> int:
        return 1

    def room(self) -> int:
        return int(self._next is None)

    def start(self, spec: Spec, store: Store) -> None:
        self._next = spec, store

    def wait(self, seconds: float) -> list[Outcome]:
        if self._next is None:
            return []
        run, self._next = self._next, None
        try:
            with _alarm(self.time_limit):
                return [attempt(*run)]
        except _TimeIsUp:
            return [Outcome(run[0], failure=too_long(self.time_limit))]


class _TimeIsUp(BaseException):
    """Not an ``Exception``: libraries catch those and turn them into something else."""


@contextmanager
def _alarm(limit: float | None) -> Iterator[None]:
    if limit is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        raise ValueError("time_limit of the engine local needs a Unix system and the main thread; try the engine ray")

    def stop(*_: Any) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
