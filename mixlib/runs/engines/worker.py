"""What a worker of the engine ``ray`` does: it holds data and weights in memory and does one run after another."""

from __future__ import annotations

import gc
import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

from mixlib.runs import corpora, machine, models, studies
from mixlib.runs.engines.base import Outcome, attempt, load_training
from mixlib.runs.records import Record, Spec
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store

Input = tuple[Any, ...]  # ("split", data set, split, synthetic) or ("model", name)


def inputs(spec: Spec) -> dict[Input, Any]:
    """The inputs of a run that a worker has to be sent, each with its origin; if that changes, the input is sent again.

    A study of a run reads what that run reads.
    """
    if not isinstance(spec, RunSpec):
        return inputs(spec.run) if spec.run else {}
    splits = {
        ("split", spec.dataset, split, spec.synthetic): corpora.data_folder()
        for split in corpora.splits_of(spec.dataset)
    }
    name = models.base_name(spec.model)
    return {**splits, ("model", name): models.version(name)}


def load(wanted: Input) -> Any:
    """What is sent for an input; ``OSError`` if it is not available here, ``DataDiffers`` if its file is damaged."""
    kind, *what = wanted
    return corpora.load_split(*what) if kind == "split" else models.pretrained(*what)


class Worker:
    """Lives in a process of its own, on any node. It needs neither the driver's files nor a network.

    Args:
        code: :func:`mixlib.runs.machine.code_version` of the driver.
        threads: of PyTorch.
        gpu_share: share of a GPU's memory that this process may take, if below 1.
        scratch: folder for temporary files; the driver removes it if they share a disk.
        loaders: :data:`mixlib.runs.studies.LOADERS` of the driver.

    Raises:
        RuntimeError: this node has another version of mixlib.
    """

    def __init__(
        self, code: str, threads: int, gpu_share: float, scratch: str, loaders: Iterable[Callable[[], object]] = ()
    ) -> None:
        if machine.code_version() != code:
            raise RuntimeError(
                f"{platform.node()} has mixlib {machine.code_version()}, the driver has {code}: the records of a sweep "
                "have to come from the same code; install the same checkout on every node"
            )
        for load in loaders:
            studies.register(load)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        torch.set_num_threads(threads)
        if 0 < gpu_share < 1 and torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(gpu_share)  # to Ray a share is only a number
        Path(scratch).mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = scratch
        self._store = Store(tempfile.mkdtemp(prefix="weights-"))
        self._has: dict[Input, Any] = {}
        load_training()
        gc.collect()
        gc.freeze()  # as the engine local does

    def process(self) -> tuple[str, int]:
        """Machine name and process id; returns when the worker is up."""
        return platform.node(), os.getpid()

    def run(
        self,
        spec: Spec,
        sent: Mapping[Input, tuple[Any, ray.ObjectRef | None]],
        start: tuple[Record, ray.ObjectRef] | None,
    ) -> Outcome:
        """Do one run.

        Args:
            spec: the run.
            sent: for each input, where it comes from and where to fetch it, which is done once; ``None`` for an input
                that has to be found on this node.
            start: if it starts from another run, that run's record, which names the weights, and the content of their
                file.
        """
        for wanted, (origin, reference) in sent.items():
            if wanted not in self._has or self._has[wanted] != origin:
                self._receive(wanted, reference)
                self._has[wanted] = origin
        return self._attempt(spec, start and (start[0], ray.get(start[1])))

    def _attempt(self, spec: Spec, start: tuple[Record, np.ndarray] | None) -> Outcome:
        kept = self._store.state_path(spec)
        received: list[Path] = []
        try:
            if start is not None:
                record, weights = start
                received = [self._store.path(record.spec), self._store.state_path(record.spec)]
                self._store.put_state_bytes(record.spec, weights)
                self._store.put(record)
            outcome = attempt(spec, self._store)
            return replace(outcome, weights=np.fromfile(kept, np.uint8)) if kept.exists() else outcome
        finally:
            for path in [kept, *received]:
                path.unlink(missing_ok=True)

    @staticmethod
    def _receive(wanted: Input, reference: ray.ObjectRef | None) -> None:
        held, key = (corpora.SENT, wanted[1:]) if wanted[0] == "split" else (models.SENT, wanted[1])
        held.pop(key, None)
        if reference is not None:
            held[key] = ray.get(reference)
