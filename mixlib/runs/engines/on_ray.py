"""Several runs at once in Ray workers, on this machine or on a cluster."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import joblib
import numpy as np
import psutil
from safetensors import SafetensorError
from tqdm import tqdm

from mixlib.arguments import first_line
from mixlib.runs import machine, scratch, studies
from mixlib.runs.engines.base import Engine, Outcome, failed, too_long
from mixlib.runs.records import Spec
from mixlib.runs.store import Store

QUIET = {"log_to_driver": False, "logging_level": "error"}
STARTS = 3  # attempts to start Ray on this machine
STATES_SENT = 4  # first stages whose weights are held for the runs that start from them


@dataclass(eq=False)
class _Place:
    """A worker as the driver sees it: starting (``pending`` without ``spec``), idle (neither) or busy (both)."""

    worker: Any
    pending: Any
    spec: Spec | None = None
    deadline: float = float("inf")


@contextmanager
def _loopback() -> Iterator[None]:
    """Ray started inside this context listens on this machine's loopback interface alone, as it does by default on
    macOS and Windows; on Linux it would listen to the whole network."""
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _end(processes: Iterable[psutil.Process]) -> None:
    """End what a failed start of Ray leaves running."""
    for process in processes:
        with suppress(psutil.Error):
            if "ray" in " ".join(process.cmdline()):
                process.kill()


def _start() -> None:
    """Start Ray on this machine alone. If the machine is busy, Ray's own processes may not be up in the time it allows
    them."""
    import ray

    for turn in range(1, STARTS + 1):
        before = set(psutil.Process().children(recursive=True))
        try:
            # the CPUs that this process may use: in a batch system, fewer than the machine has
            with _loopback():
                ray.init("local", include_dashboard=False, num_cpus=joblib.cpu_count(), **QUIET)
            return
        except Exception as error:  # Ray has no exception class for it
            reason = first_line(error)
            _end(set(psutil.Process().children(recursive=True)) - before)
            if "AF_UNIX path length" in str(error):
                raise OSError(
                    f"Ray did not start on this machine ({reason}): the path of its temporary folder is too long for "
                    "sockets; set RAY_TMPDIR to a shorter one, such as /tmp"
                ) from error
            if turn == STARTS:
                raise TimeoutError(
                    f"Ray did not start on this machine in {STARTS} tries ({reason}): it may be too busy. Try again "
                    "when it is not, or use the engine local"
                ) from error
            tqdm.write(f"Ray did not start, trying again ({reason})", sys.stderr)


def _join(address: str) -> None:
    """Join an existing cluster."""
    import ray

    try:
        if ":" in address:  # Ray itself would try for many minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address, **QUIET)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no Ray cluster at {address!r} ({first_line(error)}): start one with `ray start --head`, "
            "or leave the address out (and RAY_ADDRESS unset) to use this machine alone. If the cluster asks for a "
            "token, set RAY_AUTH_MODE=token and copy the head's ~/.ray/auth_token to this machine"
        ) from error


def _exit(*_: Any) -> None:
    """What SIGTERM does while Ray is up: it ends batch jobs, and Ray's own handler would abort."""
    sys.exit(128 + signal.SIGTERM)


def _leave() -> None:
    """Leave the Ray that was started or joined for an engine, and let SIGTERM do what it did before."""
    import ray

    if ray.is_initialized():
        ray.shutdown()
    Ray.joined = None
    if Ray.before is not None and threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGTERM) is _exit:
            signal.signal(signal.SIGTERM, Ray.before)
        Ray.before = None


@dataclass(kw_only=True)
class Ray(Engine):
    """Several runs at once in workers of Ray (extra ``ray``), on this machine or on a cluster.

    Data and weights are sent once to each worker, and records come back to the driver, which alone writes them: no
    shared disk is needed, only the same checkout of mixlib on every node. Ray on this machine is started for this
    process and ends with it; on CPUs its workers stay for the next sweep of the process.

    Attributes:
        address: of a cluster to join, ``"auto"`` for the one that this machine belongs to; by default what
            ``RAY_ADDRESS`` says, else Ray on this machine alone.
        cpus_per_run: CPUs that a run takes, and its PyTorch threads.
        gpus_per_run: GPUs that a run takes. 0.25 puts four runs on one, each held to a quarter of its memory. By
            default 1 if there are GPUs, else 0.
        workers: the most runs at once; by default as many as fit. For a cluster that grows with demand: as many as it
            should grow to.
        retries: how many times a run is started again after its worker died.
        time_limit: a run that takes longer is stopped, with its worker.

    Raises:
        ValueError: an option of the wrong kind or size, or the package ``ray`` is not installed; on entering, an
            ``address`` though the caller has initialized Ray already, or runs for which this machine is too small.
        ConnectionError: no cluster at the address (on entering).
        TimeoutError, OSError: Ray does not start on this machine (on entering).
    """

    name: ClassVar[str] = "ray"
    joined: ClassVar[str | None] = None  # the address that this process joined for an engine; "local": its own Ray
    before: ClassVar[Any] = None  # what handled SIGTERM until then
    keeper: ClassVar[Ray | None] = None  # the engine whose workers wait for another sweep
    least: ClassVar[dict[str, tuple[type, float]]] = {
        **Engine.least, "gpus_per_run": (float, 0), "workers": (int, 1), "retries": (int, 0),
    }  # fmt: skip
    texts: ClassVar[frozenset[str]] = frozenset({"address"})

    address: str | None = None
    cpus_per_run: int = 1
    gpus_per_run: float | None = None
    workers: int | None = None
    retries: int = 2

    _places: list[_Place] = field(default_factory=list, init=False, repr=False)
    _deaths: Counter[Spec | None] = field(default_factory=Counter, init=False, repr=False)
    _sent: dict[Any, tuple[Any, Any]] = field(default_factory=dict, init=False, repr=False)
    _states: dict[tuple[Path, int, int], Any] = field(default_factory=dict, init=False, repr=False)
    _gpus: float = field(default=0.0, init=False, repr=False)
    _scratch: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise ValueError(
                "the engine ray needs the package ray: pip install '.[ray]' in mixlib's checkout"
            ) from error

    def __enter__(self) -> Ray:
        import ray

        self._connect()
        if Ray.keeper not in (None, self):
            Ray.keeper.release()  # they hold the CPUs that ours need
        Ray.keeper = None
        self._gpus = self.gpus_per_run
        if self._gpus is None:
            self._gpus = float(ray.cluster_resources().get("GPU", 0) > 0)
        if not self._fitting():
            offered = ray.cluster_resources()
            short = (
                f"a run asks for {self.cpus_per_run} CPUs and {self._gpus:g} GPUs on one node, but there are "
                f"{offered.get('CPU', 0):g} CPUs and {offered.get('GPU', 0):g} GPUs in all"
            )
            if self._private:
                raise ValueError(f"{short}: change cpus_per_run or gpus_per_run")
            tqdm.write(f"{short} at present; waiting for more", sys.stderr)
        if not self._scratch:
            scratch.sweep_up()
            self._scratch = tempfile.mkdtemp(prefix=scratch.prefix("sweep"))
            atexit.register(self.close)
        self._deaths.clear()
        return self

    @property
    def _private(self) -> bool:
        """Whether the Ray of this process was started for an engine, and ends with the process."""
        return Ray.joined == "local"

    def _connect(self) -> None:
        """Start Ray or join a cluster, unless that was done; another one that was started or joined here is left."""
        import ray

        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        if ray.is_initialized():
            if Ray.joined is None and self.address is not None:
                raise ValueError(
                    f"address={self.address} cannot be joined: Ray is already initialized in this process. Leave the "
                    "address out to use that Ray, or call ray.shutdown() first"
                )
            if Ray.joined in (None, address):
                return
        if Ray.keeper is not None:
            Ray.keeper.release()
        self.release()
        _leave()
        before = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
        _start() if address == "local" else _join(address)
        Ray.joined = address
        if threading.current_thread() is threading.main_thread():
            Ray.before = before
            signal.signal(signal.SIGTERM, _exit)

    def __exit__(self, *exception: Any) -> None:
        if self._private and not self._gpus and exception[0] is None:
            for place in [place for place in self._places if place.spec is not None]:
                self._dismiss(place)
            Ray.keeper = self
        else:
            self.close()

    def close(self) -> None:
        self.release()
        if self._private:
            _leave()

    def release(self) -> None:
        """Let go of the workers, and of what was sent to them."""
        for place in list(self._places):
            self._dismiss(place)
        self._sent.clear()
        self._states.clear()
        if Ray.keeper is self:
            Ray.keeper = None
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None
            atexit.unregister(self.close)

    def expect(self, count: int) -> None:
        import ray

        from mixlib.runs.engines.worker import Worker

        wanted = min(count, self.workers or max(1, self._fitting()))
        for _ in range(wanted - len(self._places)):
            kind = ray.remote(num_cpus=self.cpus_per_run, num_gpus=self._gpus)(Worker)
            worker = kind.remote(machine.code_version(), self.cpus_per_run, self._gpus, self._scratch, studies.LOADERS)
            self._places.append(_Place(worker, worker.process.remote()))

    def _fitting(self) -> int:
        """How many runs the present nodes could do at once."""
        import ray

        def fit(resources: dict[str, float]) -> int:
            by_gpu = resources.get("GPU", 0) / self._gpus + 1e-6 if self._gpus else float("inf")
            return int(min(resources.get("CPU", 0) / self.cpus_per_run, by_gpu))

        return sum(fit(node["Resources"]) for node in ray.nodes() if node["Alive"])

    @property
    def places(self) -> int:
        return len(self._places)

    def room(self) -> int:
        return sum(place.pending is None for place in self._places)

    def start(self, spec: Spec, store: Store) -> None:
        from mixlib.runs.engines.worker import inputs

        sent = {wanted: self._send(wanted, origin) for wanted, origin in inputs(spec).items()}
        first = getattr(spec, "first_stage", None)
        start = None if first is None else (store.get(first), self._send_weights(first, store))
        place = next(place for place in self._places if place.pending is None)
        place.spec, place.pending = spec, place.worker.run.remote(spec, sent, start)
        if self.time_limit is not None:
            place.deadline = time.monotonic() + self.time_limit

    def wait(self, seconds: float) -> list[Outcome]:
        import ray

        waiting = {place.pending: place for place in self._places if place.pending is not None}
        if not waiting:
            return []
        seconds = min(seconds, *(max(0.0, place.deadline - time.monotonic()) for place in waiting.values()))
        ended, _ = ray.wait(list(waiting), num_returns=1, timeout=seconds)
        outcomes = [self._ended(waiting[reference]) for reference in ended]
        for place in [place for place in self._places if place.deadline <= time.monotonic()]:
            outcomes.append(Outcome(place.spec, failure=too_long(self.time_limit)))
            self._dismiss(place)
        return [outcome for outcome in outcomes if outcome]

    def _ended(self, place: _Place) -> Outcome | None:
        """What came of a worker's start (nothing, if it is up) or run."""
        import ray

        spec = place.spec
        try:
            result = ray.get(place.pending)
        except ray.exceptions.RayTaskError as error:  # outside the run itself, such as a full disk on its node
            result = failed(spec, error.cause)
        except ray.exceptions.RayError as error:  # its worker died; Ray has several names for that
            self._dismiss(place)
            self._deaths[spec] += 1
            if spec is None and (getattr(error, "actor_init_failed", False) or self._deaths[spec] > self.retries):
                raise RuntimeError(f"workers cannot start: {str(error).strip().splitlines()[-1]}") from error
            if self._deaths[spec] <= self.retries:
                return Outcome(spec) if spec else None
            times = "once" if self._deaths[spec] == 1 else f"{self._deaths[spec]} times"
            return Outcome(spec, failure=f"its worker died {times} (killed, out of memory, or its machine is gone)")
        place.spec, place.pending, place.deadline = None, None, float("inf")
        if spec is None:
            self._deaths[None] = 0  # workers can start
        return result if spec else None

    def _dismiss(self, place: _Place) -> None:
        import ray

        self._places.remove(place)
        if ray.is_initialized():
            ray.kill(place.worker)

    def _send(self, wanted: Any, origin: Any) -> tuple[Any, Any]:
        """The origin of an input and where workers can fetch it; ``None`` if it is not available here."""
        import ray

        from mixlib.runs.corpora import DataDiffers
        from mixlib.runs.engines.worker import load
        from mixlib.runs.models import ModelRefused

        if wanted not in self._sent or self._sent[wanted][0] != origin:
            try:
                self._sent[wanted] = origin, ray.put(load(wanted))
            except ModelRefused:
                raise  # a worker would find nothing better
            except (OSError, DataDiffers, SafetensorError):
                # the worker says what is wrong with it, as the outcome of the run
                self._sent[wanted] = origin, None
        return self._sent[wanted]

    def _send_weights(self, first: Spec, store: Store) -> Any:
        import ray

        path = store.state_path(first)
        which = path, path.stat().st_mtime_ns, path.stat().st_ino  # another store has others, and they may be recreated
        if which not in self._states:
            while len(self._states) >= STATES_SENT:
                del self._states[next(iter(self._states))]
            self._states[which] = ray.put(np.fromfile(path, np.uint8))
        return self._states[which]
