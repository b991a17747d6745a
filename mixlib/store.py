"""Where results are kept: one JSON file a finished run or study, named by a hash of what it is.

So two notebooks that need the same run share it, and a sweep that was stopped goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, ClassVar, Self

import safetensors.torch as safetensors
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import nn

from mixlib import paths


class DamagedRecord(ValueError):
    """A record file that cannot be read, or that is not the record of the run it stands for."""


@dataclass(frozen=True, kw_only=True)
class Spec(ABC):
    """Everything a result depends on, except the machine. Equal specs are the same run.

    Attributes:
        paper: whose protocol this is.
        seed: of every random choice.
        synthetic: on invented data, never a result.
    """

    paper: str
    seed: int
    synthetic: bool = False

    def canonical(self) -> dict[str, Any]:
        """The fields that differ from their defaults, with sorted names: what the key is made of.

        Leaving defaults out keeps the keys of existing records when a field is added.
        """
        kept = {}
        for item in sorted(fields(self), key=lambda f: f.name):
            default = item.default if item.default_factory is MISSING else item.default_factory()
            if default is MISSING or getattr(self, item.name) != default:
                kept[item.name] = getattr(self, item.name)
        return json.loads(json.dumps(kept, default=lambda spec: spec.canonical()))  # a run may start from another one

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name this run."""
        return sha256(json.dumps(self.canonical(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def cell(self) -> Self:
        """This spec without its seed: runs of one cell of a table share it."""
        return replace(self, seed=0)

    @property
    @abstractmethod
    def name(self) -> str:
        """What the file name says beside seed and key."""

    @classmethod
    def from_canonical(cls, values: dict[str, Any]) -> Self:
        """The spec that :meth:`canonical` wrote."""
        return cls(**values)

    @property
    def record_type(self) -> type[Record]:
        """The kind of record that holds its result."""
        return next(kind for kind in RECORD_TYPES if kind.spec_type is type(self))

    def __hash__(self) -> int:  # dataclass makes its own for each subclass, which has to name this one again
        return hash(self.key)


RECORD_TYPES: list[type[Record]] = []


@dataclass(frozen=True, kw_only=True)
class Record(ABC):
    """What one finished run or study measured.

    Attributes:
        spec: what was run.
        environment: versions, device, threads, precision, peak memory in MiB.
        origin: class of machine it was made on.
        started: UTC time.
    """

    spec_type: ClassVar[type[Spec]]

    spec: Any
    environment: dict[str, Any]
    origin: str
    started: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        RECORD_TYPES.append(cls)

    @property
    def precision(self) -> str:
        """What it was made in, ``fp32`` or ``bf16``."""
        return self.environment.get("precision", self.spec.precision)

    @property
    @abstractmethod
    def summary(self) -> str:
        """The result in a few words, for the command line."""

    @abstractmethod
    def check(self) -> None:
        """Read what every record of this type has, so that a file without it is found out at once."""

    def to_json(self) -> str:
        """The record as text, with its key."""
        values = {"key": self.spec.key, **{f.name: getattr(self, f.name) for f in fields(self)}}
        values["spec"] = self.spec.canonical()
        return json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a record; :class:`DamagedRecord` if it is cut short, edited in its settings, or of another kind."""
        try:
            values = json.loads(text)
            key = values.pop("key")
            record = cls(**{**values, "spec": cls.spec_type.from_canonical(values["spec"])})
            record.check()
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise DamagedRecord(f"not a run record ({type(error).__name__}: {error})") from error
        if key != record.spec.key:
            raise DamagedRecord(f"its settings have the key {record.spec.key}, but it says {key}")
        return record


def read(text: str) -> Record:
    """A record of whichever kind it is; :class:`DamagedRecord` if of none."""
    import mixlib.studies  # noqa: F401 (every kind of record has to be known, whatever the caller imported)

    reasons = []
    for kind in RECORD_TYPES:
        try:
            return kind.from_json(text)
        except DamagedRecord as error:
            reasons.append(str(error))
    raise DamagedRecord(reasons[0])


def digest(path: Path) -> str:
    """Sixteen hexadecimal digits of the content of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()[:16]


def _write(path: Path, write: Callable[[str], object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    number, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    os.close(number)
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


class Store:
    """A folder of records, one JSON file a finished run, by default the repository's ``data/results``.

    Several processes may use one folder at once, also from several machines that share it. Beside the records stand
    ``.failed`` (why a run has no record), ``.json.damaged`` (what a new record took the place of), ``.safetensors``
    (kept weights) and ``.locks`` (runs under way); none of them is committed.

    Args:
        folder: for runs on real data; synthetic ones go to a folder of their own that is not committed.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder else paths.results()
        self.synthetic_folder = self.folder / "synthetic" if folder else paths.synthetic_results()

    def path(self, spec: Spec) -> Path:
        """Where the record of this run is, or would be."""
        folder = self.synthetic_folder if spec.synthetic else self.folder
        return folder / spec.paper / f"{spec.name}-{spec.seed}-{spec.key}.json"

    def get(self, spec: Spec) -> Record | None:
        """The record of this run, ``None`` if it has not been made.

        Raises:
            DamagedRecord: the file is there but unusable; it is named.
        """
        path = self.path(spec)
        try:
            text = path.read_text()
        except FileNotFoundError:
            return None
        try:
            record = spec.record_type.from_json(text)
        except DamagedRecord as error:
            raise DamagedRecord(f"{path}: {error}; running it again replaces it") from error
        if record.spec != spec:
            raise DamagedRecord(f"{path}: holds the run {record.spec}, not {spec}; running it again replaces it")
        return record

    def put(self, record: Record) -> Path:
        """Write a record by atomic rename: other processes see all of it or nothing.

        A damaged file in its place is kept beside it, and the note of an earlier failure is removed.
        """
        path = self.path(record.spec)
        written = path.with_name(f"{path.name}.damaged") if path.exists() and not self._usable(record.spec) else None
        if written:
            shutil.copy2(path, written)
        _write(path, lambda temporary: Path(temporary).write_text(record.to_json()))
        self._failure_path(record.spec).unlink(missing_ok=True)
        return path

    def claim(self, spec: Spec) -> FileLock | None:
        """Take a run, so that no other sweep on this folder starts it; ``None`` if one has taken it.

        The end of this process, however it comes, lets go of what it had not given back with :meth:`release`.
        """
        folder = self.folder / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{spec.key}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        return lock

    @staticmethod
    def release(lock: FileLock) -> None:
        """Give back a run that was taken."""
        Path(lock.lock_file).unlink(missing_ok=True)  # still held: whoever waits for this file looks for a new one
        lock.release()

    def _failure_path(self, spec: Spec) -> Path:
        return self.path(spec).with_suffix(".failed")

    def put_failure(self, spec: Spec, reason: str) -> None:
        """Note why a run has no record, until it has one."""
        note = json.dumps({"run": str(spec), "reason": reason, "when": datetime.now(UTC).isoformat(timespec="seconds")})
        _write(self._failure_path(spec), lambda temporary: Path(temporary).write_text(f"{note}\n"))

    def failure(self, spec: Spec) -> str | None:
        """Why the last try of a run failed; ``None`` if it did not, or was not tried."""
        try:
            return json.loads(self._failure_path(spec).read_text())["reason"]
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def state_path(self, spec: Spec) -> Path:
        """Where the weights of a run are kept that others start from, or would be. They are not committed."""
        return self.path(spec).with_suffix(".safetensors")

    def put_state(self, spec: Spec, model: nn.Module) -> str:
        """Keep the weights of a model by atomic rename; returns their digest."""
        return digest(_write(self.state_path(spec), lambda temporary: safetensors.save_model(model, temporary)))

    def put_state_bytes(self, spec: Spec, content: bytes | memoryview) -> None:
        """Keep weights that another process wrote, given as the content of its file."""
        _write(self.state_path(spec), lambda temporary: Path(temporary).write_bytes(content))

    def load_state(self, spec: Spec, model: nn.Module) -> str:
        """Read the kept weights of a run into a model of the same shape; returns their digest.

        Raises:
            FileNotFoundError: none were kept here.
            DamagedRecord: the file is unusable; it is named, and has to be deleted to make it again.
        """
        path = self.state_path(spec)
        try:
            safetensors.load_model(model, path)
        except (SafetensorError, RuntimeError) as error:
            raise DamagedRecord(f"{path}: {error}; delete it to run {spec} again") from error
        return digest(path)

    def missing(self, specs: Iterable[Spec]) -> list[Spec]:
        """Those of the runs that have no usable record, each once."""
        return [spec for spec in dict.fromkeys(specs) if not self._usable(spec)]

    def _usable(self, spec: Spec) -> bool:
        try:
            return self.get(spec) is not None
        except DamagedRecord:
            return False

    def scan(self) -> tuple[list[Record], dict[Path, str]]:
        """All usable records of the folder, and for each file left out the reason."""
        records, left_out = [], {}
        for path in sorted({*self.folder.rglob("*.json"), *self.synthetic_folder.rglob("*.json")}):
            try:
                record = read(path.read_text())
                if path.name != self.path(record.spec).name:
                    raise DamagedRecord(f"its name does not fit its settings ({self.path(record.spec).name})")
                records.append(record)
            except (DamagedRecord, UnicodeDecodeError) as error:
                left_out[path] = str(error)
        return records, left_out
