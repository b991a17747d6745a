"""What a run or a study is, and what is recorded about it: the base classes of all specs and records.

Their kinds are in :mod:`mixlib.runs.spec` and :mod:`mixlib.runs.studies`; records are kept by :mod:`mixlib.runs.store`.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar, Self


class DamagedRecord(ValueError):
    """A record file that cannot be read, or that is not the record of the run it is named after."""

    kind, remedy = "damaged", "running it again replaces it"


class VoidRecord(DamagedRecord):
    """A record of a run that started from weights of its first stage that have since been replaced."""

    kind = "void"


class NewerRecord(DamagedRecord):
    """A record with fields that only a later version of mixlib knows. Nothing here replaces it."""

    kind, remedy = "newer", "it stays as it is: read it with that version, or move it away to run this again"


@dataclass(frozen=True, kw_only=True, eq=False)
class Spec(ABC):
    """Everything a result depends on, except the machine. Specs are equal if their keys are: then they are one run.

    Attributes:
        paper: whose protocol this is.
        seed: of every random choice.
        synthetic: on synthetic data, never a result.
    """

    paper: str
    seed: int
    synthetic: bool = False

    def canonical(self) -> dict[str, Any]:
        """The fields that differ from their defaults, sorted by name: the key is made from them.

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
        """Sixteen hexadecimal digits that identify this run."""
        return sha256(json.dumps(self.canonical(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def cell(self) -> Self:
        """This spec without its seed: runs of one cell of a table share it."""
        return replace(self, seed=0)

    @property
    @abstractmethod
    def name(self) -> str:
        """The part of the file name before seed and key."""

    @classmethod
    def from_canonical(cls, values: dict[str, Any]) -> Self:
        """The spec that :meth:`canonical` wrote."""
        return cls(**values)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, kw_only=True)
class Record(ABC):
    """What one finished run or study measured.

    Attributes:
        spec: what was run.
        environment: versions of Python and the libraries, ``code`` (:func:`mixlib.runs.machine.code_version`), git
            commit, device, CPU, threads, precision, and peak memory in MiB (without a GPU, that of the whole process so
            far, earlier runs included).
        origin: class of machine it was made on.
        started: UTC time.
    """

    spec_type: ClassVar[type[Spec]]

    spec: Any
    environment: dict[str, Any]
    origin: str
    started: str

    @property
    def precision(self) -> str:
        """The precision it was made in, such as ``fp32`` or ``bf16``."""
        return self.environment.get("precision", self.spec.precision)

    @property
    @abstractmethod
    def summary(self) -> str:
        """The result in a few words, for the command line."""

    @abstractmethod
    def check(self) -> None:
        """Raise ``ValueError``, ``TypeError`` or ``KeyError`` if what was measured is impossible: missing, of the wrong
        type, out of range, or of an unknown method or data set."""

    def to_json(self) -> str:
        """The record as text, with its key and the digest of everything else."""
        values = {"key": self.spec.key, **{name: getattr(self, name) for name in _written(type(self))}}
        values["spec"] = self.spec.canonical()
        values["digest"] = content_digest(values)
        return json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a record.

        Raises:
            DamagedRecord: it is cut short, edited, of another kind, or holds what cannot have been measured.
            NewerRecord: it has fields that this version does not know.
        """
        return cls._from_values(_parse(text))

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> Self:
        try:
            content = {name: values[name] for name in (_required(cls) | set(values)) & _written(cls)}
            key, settings = values["key"], dict(content["spec"])
            unknown = set(values) - {"key", *content} | set(settings) - {f.name for f in fields(cls.spec_type)}
            if unknown:
                names = ", ".join(sorted(unknown))
                raise NewerRecord(
                    f"has fields ({names}) that this version of mixlib does not know: a newer one wrote it"
                )
            record = cls(**{**content, "spec": cls.spec_type.from_canonical(settings)})
            if key != record.spec.key:
                raise DamagedRecord(f"its settings have the key {record.spec.key}, but it says {key}")
            if record.precision != record.spec.precision:
                raise DamagedRecord(f"was made in {record.precision}, but its settings say {record.spec.precision}")
            record.check()
        except DamagedRecord:
            raise
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise DamagedRecord(f"not a run record ({type(error).__name__}: {error})") from error
        return record


BESIDE = {"beside": True}  # metadata of a field that is kept in a file of its own


def _written(kind: type) -> set[str]:
    return {f.name for f in fields(kind) if not f.metadata.get("beside")}


def _required(kind: type) -> set[str]:
    return {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}


def content_digest(values: dict[str, Any]) -> str:
    """Digest of the values of a record, in sixteen hexadecimal digits, whatever their order and layout in the file."""
    return sha256(json.dumps(values, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


def _parse(text: str) -> dict[str, Any]:
    """The values of a record file without its digest, which has to fit if there is one (older records have none)."""
    try:
        values = json.loads(text, parse_constant=_no_number)
        if not isinstance(values, dict):
            raise ValueError("no JSON object")
        said = values.pop("digest", None)
        found = content_digest(values)  # refuses 1e999 as well, which is read as infinity
        if said not in (None, found):
            raise DamagedRecord(f"its content has the digest {found}, but it says {said}: it was changed")
    except DamagedRecord:
        raise
    except (ValueError, RecursionError) as error:
        raise DamagedRecord(f"not a run record ({type(error).__name__}: {error})") from error
    return values


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def number(values: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """The value of this name, if it is a number in this range; else ``ValueError`` or ``TypeError``."""
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is no number but {value!r}")
    if not low <= value <= high or not math.isfinite(value):
        raise ValueError(f"{name} is {value}, which is not in [{low:g}, {high:g}]")
    return value


def read(text: str, kinds: Iterable[type[Record]]) -> Record:
    """The record, whichever of these kinds it is; :class:`DamagedRecord` if it is none of them."""
    values = _parse(text)
    settings = values.get("spec")
    for kind in kinds:
        if isinstance(settings, dict) and _required(kind.spec_type) <= set(settings):
            return kind._from_values(values)
    raise DamagedRecord("not a run record (its settings fit neither a run nor a study)")
