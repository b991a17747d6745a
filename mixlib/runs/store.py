"""Where results are kept: one JSON file per finished run or study, named by a hash of what it is.

So two notebooks that need the same run share it, and a sweep that was stopped resumes where it left off.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch as safetensors
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import nn
from tqdm import tqdm

from mixlib.runs import paths, records
from mixlib.runs.records import DamagedRecord, NewerRecord, Record, Spec, VoidRecord
from mixlib.runs.spec import RunRecord
from mixlib.runs.studies import StudyRecord

if TYPE_CHECKING:
    from mixlib.runs.predictions import Predictions

TEMPORARY_KEPT = 24 * 3600  # seconds after which a temporary file counts as left behind by a killed write
KINDS: tuple[type[Record], ...] = (RunRecord, StudyRecord)


def read(text: str) -> Record:
    """The record, whichever kind it is; :class:`DamagedRecord` if it is of none."""
    return records.read(text, KINDS)


def text_of(path: Path) -> str:
    """The text of a record file.

    Raises:
        FileNotFoundError: it is not there.
        DamagedRecord: it is there but cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, f"{error.strerror}: {path.parent}") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DamagedRecord(f"cannot be read ({type(error).__name__}: {reason})") from error


def digest(path: Path) -> str:
    """Digest of a file's content, in sixteen hexadecimal digits; a file that has not changed is not read again."""
    about = path.stat()
    return _digest(path, about.st_mtime_ns, about.st_size, about.st_ino)


@lru_cache(maxsize=1024)
def _digest(path: Path, *about: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()[:16]


NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


def disk_is_full(error: BaseException) -> bool:
    """Whether the error means that a disk is full, which the next runs would meet as well."""
    if isinstance(error, SafetensorError):  # its own class, even for an error of the system
        return "while serializing" in str(error)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def write_text(path: Path, text: str) -> Path:
    """:func:`write` of a text, in UTF-8."""
    return write(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def write(path: Path, fill: Callable[[str], object]) -> Path:
    """Write a file by atomic rename: others see all of it or nothing, and a failed write leaves nothing.

    Args:
        path: of the file; its folder is created.
        fill: writes the content into a file whose name it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less what the umask takes away
    mode = temporary.stat().st_mode
    try:
        fill(str(temporary))
        os.chmod(temporary, mode)  # safetensors puts a file of its own there
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def take(path: Path, remedy: str = "name another folder (MIXLIB_RESULTS, or results of compare)") -> FileLock | None:
    """Lock a file and write into it who holds it; ``None`` if another process has locked it.

    It is unlocked when this process ends, however that happens.

    Args:
        path: of the file; its folder is created.
        remedy: what to do where that is impossible.

    Raises:
        OSError: the folder cannot be written, or its file system has no such locks. The mere existence of a file is not
            used instead: a file left behind by a killed process would block everyone for ever.
    """
    lock = FileLock(path, mode=0o666, fallback_to_soft=False)  # others who share the folder may take it afterwards
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as error:
        if error.errno in NO_LOCKS:
            reason = f"{path} cannot be locked ({error.strerror}): its file system has no locks (flock)"
        else:
            reason = f"{path.parent} cannot be written ({error.strerror})"
        raise OSError(error.errno, f"{reason}; {remedy}") from error
    with suppress(OSError):  # the name is only informative
        path.write_text(f"process {os.getpid()} on {platform.node()}\n", encoding="utf-8")
    return lock


def release(lock: FileLock) -> None:
    """Give back what :func:`take` or :meth:`Store.claim` has taken."""
    Path(lock.lock_file).unlink(missing_ok=True)  # still held: a process waiting for this file looks for a new one
    lock.release()


def holder(path: Path) -> str:
    """Who has locked a file, in words."""
    try:
        said = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        said = ""
    return f"{said or 'another process'} (lock {path})"


def usable(store: Store, spec: Spec) -> Record | None:
    """The record of a run; ``None`` if it has none, or one that cannot be used, which is named on standard error."""
    try:
        return store.get(spec)
    except DamagedRecord as error:
        tqdm.write(f"left out: {error}", sys.stderr)
        return None


class Store:
    """A folder of records, one JSON file per finished run, by default the repository's ``data/results``.

    Several processes may use one folder at once, also from several machines that share it. Next to the records are
    ``.npz`` (a run's predictions) and, never committed, ``.failed`` (why a run has no record), ``.json.damaged`` (what
    a new record replaced), ``.safetensors`` (kept weights), ``.tmp`` (a write under way) and ``.locks`` (runs under
    way).

    Args:
        folder: for runs on real data; synthetic ones go to a folder of their own that is not committed.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder else paths.results()
        self.synthetic_folder = self.folder / "synthetic" if folder else paths.synthetic_results()
        self._said: dict[Path, tuple[tuple[int, ...], str | None]] = {}

    def path(self, spec: Spec) -> Path:
        """Where the record of this run is, or would be; ``ValueError`` if its settings name a file elsewhere."""
        plain = isinstance(spec.paper, str) and spec.paper not in ("", ".", "..")
        if not plain or {"/", "\\", "\0"} & set(f"{spec.paper}{spec.name}"):
            raise ValueError(
                f"a run's file is named after its paper and name, got {spec.paper!r} and {spec.name!r}; both must be "
                "names without a slash"
            )
        folder = self.synthetic_folder if spec.synthetic else self.folder
        return folder / spec.paper / f"{spec.name}-{spec.seed}-{spec.key}.json"

    def get(self, spec: Spec) -> Record | None:
        """The record of this run, ``None`` if it has not been made.

        Raises:
            DamagedRecord: the file is there but unusable; it is named.
            VoidRecord: it started from other weights than the record of its first stage names.
            NewerRecord: it has fields that this version does not know.
        """
        path, kind = self.path(spec), next(kind for kind in KINDS if kind.spec_type is type(spec))
        try:
            record = kind.from_json(text_of(path))
            if record.spec != spec:
                raise DamagedRecord(f"holds the run {record.spec}, not {spec}")
            if (first := _start(record)) and (reason := _other_weights(record, self._state_said(first))):
                raise VoidRecord(reason)
        except FileNotFoundError:
            return None
        except DamagedRecord as error:
            raise type(error)(f"{path}: {error}; {error.remedy}") from error
        return record

    def _state_said(self, first: Spec) -> str | None:
        """The digest of the weights that the record of a first stage names, read once as long as that does not
        change."""
        path = self.path(first)
        try:
            about = path.stat()
        except OSError:
            return None
        which = about.st_mtime_ns, about.st_size, about.st_ino
        if self._said.get(path, ((),))[0] != which:
            try:
                record = self.get(first)
            except DamagedRecord:
                record = None
            self._said[path] = which, record.data.get("state") if record else None
        return self._said[path][1]

    def put(self, record: Record) -> Path:
        """Write a record by atomic rename: other processes see all of it or nothing.

        A damaged or void file in its place is kept next to it, and the note of an earlier failure is removed.

        Raises:
            DamagedRecord: the record holds what cannot have been measured.
            NewerRecord: a later version of mixlib wrote the one in its place, which stays.
            OSError: it could not be written.
        """
        path, text = self.path(record.spec), record.to_json()
        type(record).from_json(text)
        try:
            self.get(record.spec)
        except DamagedRecord as error:
            if isinstance(error, NewerRecord):
                raise
            _set_aside(path)
        if (predictions := getattr(record, "predictions", None)) is not None:
            content = predictions.to_bytes()
            write(path.with_suffix(".npz"), lambda temporary: Path(temporary).write_bytes(content))
        write_text(path, text)
        self._failure_path(record.spec).unlink(missing_ok=True)
        return path

    def predictions(self, record: Record) -> Predictions:
        """What a run's model predicted for its development and test examples at the last update.

        Raises:
            FileNotFoundError: none were kept with this record.
            DamagedRecord: they cannot be read, or are not those that the record names.
        """
        from mixlib.runs.predictions import DamagedPredictions, Predictions  # compute metrics: seconds to import

        path = self.path(record.spec).with_suffix(".npz")
        again = f"delete {path.with_suffix('.json').name} to run it again"
        try:
            found = Predictions.from_bytes(path.read_bytes())
        except FileNotFoundError as error:
            raise FileNotFoundError(error.errno, f"there are no predictions {path}; {again}") from error
        except DamagedPredictions as error:
            raise DamagedRecord(f"{path}: {error}; {again}") from error
        if found.digest != (named := record.data.get("predictions")):
            raise DamagedRecord(f"{path}: its digest is {found.digest}, the record beside it names {named}; {again}")
        return found

    def keep(self, record: Record) -> bool:
        """Store the record of a run that was just done, unless one as good is already there; returns whether it did so.

        A first stage whose weights had to be recreated keeps its record if they came out the same. If not, the new
        record replaces it, and what started from the former weights is void (:meth:`voided`).
        """
        spec = record.spec
        same = not _keeps(spec) or self._state_said(spec) == record.data.get("state")
        if same and self._usable(spec):
            return False
        self.put(record)
        return True

    def voided(self, first: Spec) -> list[Spec]:
        """The runs whose records say that they started from other weights of this first stage than it has now."""
        said, found = self._state_said(first), []
        for path in sorted(self.path(first).parent.parent.rglob("*.json")):
            with suppress(DamagedRecord, FileNotFoundError):
                text = text_of(path)
                if '"first_stage"' in text:  # most start from none
                    record = read(text)
                    if _start(record) == first and _other_weights(record, said):
                        found.append(record.spec)
        return found

    def claim(self, spec: Spec) -> FileLock | None:
        """Take a run, so that no other sweep on this folder starts it; ``None`` if one has taken it.

        When this process ends, however that happens, the runs that it has not given back with :func:`release` are free.
        """
        return take(self._lock_path(spec))

    def _lock_path(self, spec: Spec) -> Path:
        return self.folder / ".locks" / f"{spec.key}.lock"

    def taken_by(self, spec: Spec) -> str:
        """Who has taken a run, in words."""
        return holder(self._lock_path(spec))

    def _failure_path(self, spec: Spec) -> Path:
        return self.path(spec).with_suffix(".failed")

    def put_failure(self, spec: Spec, reason: str) -> None:
        """Note why a run has no record, until it has one."""
        note = json.dumps({"run": str(spec), "reason": reason, "when": datetime.now(UTC).isoformat(timespec="seconds")})
        write_text(self._failure_path(spec), f"{note}\n")

    def failure(self, spec: Spec) -> str | None:
        """Why the last attempt at a run failed; ``None`` if it did not, or if there was none."""
        try:
            return str(json.loads(text_of(self._failure_path(spec)))["reason"])
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def state_path(self, spec: Spec) -> Path:
        """Where the weights of a run that others start from are kept, or would be. They are not committed."""
        return self.path(spec).with_suffix(".safetensors")

    def put_state(self, spec: Spec, model: nn.Module) -> str:
        """Keep the weights of a model by atomic rename; returns their digest. ``OSError`` if they cannot be written."""
        path = self.state_path(spec)
        try:
            return digest(write(path, lambda temporary: safetensors.save_model(model, temporary)))
        except SafetensorError as error:  # its class for errors of the system as well, such as a full disk
            raise OSError(errno.ENOSPC, f"weights cannot be written ({error})", str(path)) from error

    def put_state_bytes(self, spec: Spec, content: bytes | memoryview) -> None:
        """Keep weights that another process wrote, given as the content of their file."""
        write(self.state_path(spec), lambda temporary: Path(temporary).write_bytes(content))

    def state(self, spec: Spec) -> str | None:
        """The digest of the kept weights of a run, ``None`` if there are none."""
        try:
            return digest(self.state_path(spec))
        except OSError:
            return None

    def has_state(self, spec: Spec) -> bool:
        """Whether the weights of a run are there, and are those that its record names."""
        said = self._state_said(spec)
        return said is not None and self.state(spec) == said

    def load_state(self, spec: Spec, model: nn.Module) -> str:
        """Read the kept weights of a run into a model of the same shape; returns their digest.

        Raises:
            FileNotFoundError: none were kept here.
            DamagedRecord: the file is unusable, or holds other weights than the record of the run names; it is named,
                and has to be deleted before it can be recreated.
        """
        path, remedy = self.state_path(spec), f"delete it to run {spec} again"
        found, said = digest(path), self._state_said(spec)
        if said not in (None, found):
            raise DamagedRecord(f"{path}: its digest is {found}, but the record of its run says {said}; {remedy}")
        try:
            safetensors.load_model(model, path)
        except (SafetensorError, RuntimeError) as error:
            raise DamagedRecord(f"{path}: {error}; {remedy}") from error
        return found

    def missing(self, specs: Iterable[Spec]) -> list[Spec]:
        """The runs that have no usable record, each once."""
        return [spec for spec in dict.fromkeys(specs) if not self._usable(spec)]

    def progress(self, specs: Iterable[Spec]) -> str:
        """How many runs these are, and how many have no usable record: ``"13 runs, 2 still to do"``."""
        wanted = list(dict.fromkeys(specs))
        todo = len(self.missing(wanted))
        runs = f"{len(wanted)} run{'' if len(wanted) == 1 else 's'}"
        return f"{runs}, {f'{todo} still to do' if todo else 'all done' if wanted[1:] else 'done'}"

    def _usable(self, spec: Spec) -> bool:
        try:
            return self.get(spec) is not None
        except DamagedRecord:
            return False

    def files(self) -> list[Path]:
        """The record files of the folder, usable or not."""
        return sorted({*self.folder.rglob("*.json"), *self.synthetic_folder.rglob("*.json")})

    def scan(self) -> tuple[list[Record], dict[Path, str]]:
        """All usable records of the folder, and for each file left out the reason."""
        found, left_out = self.contents()
        return list(found.values()), left_out

    def contents(self) -> tuple[dict[Path, Record], dict[Path, str]]:
        """The usable records of the folder by their files, and for each file left out the reason."""
        found: dict[Path, Record] = {}
        left_out: dict[Path, str] = {}
        for path in self.files():
            try:
                record = read(text_of(path))
                if path.name != (right := self.path(record.spec).name):
                    raise DamagedRecord(f"its name does not fit its settings: it should be {right}")
                found[path] = record
            except FileNotFoundError:
                if path.is_symlink():  # otherwise it was deleted in the meantime
                    left_out[path] = "a symbolic link to a file that does not exist"
            except (ValueError, TypeError) as error:  # also settings that name no file
                left_out[path] = str(error)
        states = {record.spec: record.data.get("state") for record in found.values() if _keeps(record.spec)}
        for path, record in list(found.items()):
            if reason := _other_weights(record, states.get(_start(record))):
                left_out[path] = reason
                del found[path]
        return found, left_out

    def sweep_up(self) -> None:
        """Remove the temporary files of writes that were killed more than a day ago."""
        for path in [*self.folder.rglob(".*.tmp"), *self.synthetic_folder.rglob(".*.tmp")]:
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime > TEMPORARY_KEPT:
                    path.unlink()


def _keeps(spec: Spec) -> bool:
    return getattr(spec, "keep_state", False)


def _start(record: Record) -> Spec | None:
    return getattr(record.spec, "first_stage", None)


def _other_weights(record: Record, said: str | None) -> str | None:
    """What is wrong with a record if it started from other weights than these, which its first stage's record names."""
    if _start(record) is None or said in (None, began := record.data.get("first_stage")):
        return None
    return f"started from the weights {began} of its first stage, whose record now says {said}"


def _set_aside(path: Path) -> None:
    """Make room for a record in place of an unusable file, folder or link, which is kept."""
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.{number}.damaged")
    os.replace(path, aside)
