"""Which methods are compared: by name, with parameters, or a user's own."""

from __future__ import annotations

import inspect
import json
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch

from mixlib import methods
from mixlib.evidence import tables
from mixlib.methods import Method
from mixlib.papers.common.pool import METHODS
from mixlib.runs.engines.named import value_of

CONSTANTS = (bool, int, float, str, tuple, list, dict, set, frozenset, np.ndarray, np.generic, torch.Tensor)
MethodLike = str | Method | type[Method] | tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Choice:
    """One of the methods compared.

    Attributes:
        key: as specs have it.
        params: likewise.
        name: as it is written to be compared, such as ``tmix:alpha=0.4``.
        label: what readers call it.
    """

    key: str
    params: dict[str, Any] = field(hash=False)
    name: str
    label: str


PLAIN = Choice("none", {}, "none", tables.LABELS["none"])


def choose(method: MethodLike) -> Choice:
    """The method that is meant.

    Args:
        method: a name, which has the papers' own parameters; a name with other parameters, as
            ``("tmix", {"alpha": 0.4})`` or ``"tmix:alpha=0.4"``; or your own :class:`~mixlib.methods.Method`, as a
            class or an object.

    Raises:
        ValueError: unknown names, or parameters that a record cannot hold.
    """
    if isinstance(method, type) and issubclass(method, Method):
        method = method()
    if isinstance(method, Method):
        return _of_object(method)
    name, given = method if isinstance(method, tuple) else (str(method), {})
    name, *options = name.split(":")
    if "=" in name:
        raise ValueError(f"{name!r} is a parameter, not a method; write several as in amplify:n=20:alpha=0.3")
    for option in options:
        key, _, value = option.partition("=")
        if not value:
            raise ValueError(f"{option!r} of {method!r} is not a parameter; write parameters as in tmix:alpha=0.4")
        given = given | {key: value_of(value)}
    usual = METHODS[name][1] if name in METHODS else {}
    return _of_ours(methods.get(name, **(usual | given)))  # refuses what is unknown


def is_one(methods: Any) -> bool:
    """Whether this is a single method rather than several."""
    pair = isinstance(methods, tuple) and len(methods) == 2 and isinstance(methods[1], dict)
    return pair or isinstance(methods, (str, type, Method))


def _choice(key: str, params: dict[str, Any], name: str, label: str, changed: dict[str, Any]) -> Choice:
    said = [f"{parameter}={json.dumps(value) if isinstance(value, (tuple, list)) else value}"
            for parameter, value in changed.items()]  # fmt: skip
    return Choice(key, params, ":".join([name, *said]), " ".join([label, *said]))


def _defaults(method: Method) -> dict[str, Any]:
    return {item.name: item.default for item in fields(method) if item.init}


def _of_ours(method: Method) -> Choice:
    """One of mixlib's methods, which is the same run however it was named: with the parameters that the pool sets, and
    others that are not the defaults. All parameters of one that is not in the pool."""
    usual = METHODS[method.key][1] if method.key in METHODS else method.params
    before = _defaults(method) | (usual if method.key in METHODS else {})
    params = {key: value for key, value in method.params.items() if key in usual or value != before[key]}
    changed = {key: f"{value:g}" if isinstance(value, float) else value
               for key, value in params.items() if value != before[key]}  # fmt: skip
    choice = _choice(method.key, params, method.key, tables.LABELS.get(method.key, method.key), changed)
    if method.key == "none_long":  # "as many updates" as what, nobody could tell here
        choice = replace(choice, label=f"no mixup, {method.updates_per_batch} updates per batch")
    return choice


def _of_object(method: Method) -> Choice:
    kind = type(method)
    params = method.params
    written = any("__init__" in vars(base) and "__dataclass_fields__" not in vars(base) for base in kind.__mro__[:-1])
    if written and (kept := [name for name in vars(method) if not name.startswith("_") and name not in params]):
        raise ValueError(
            f"{kind.__name__} keeps {', '.join(kept)} outside its parameters, so its runs would not have them: make "
            "it a dataclass with these as fields"
        )
    try:
        json.dumps(params, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{kind.__name__} has parameters that a record cannot hold ({error}): its fields must be numbers, texts, "
            "true or false, or lists of these"
        ) from error
    if kind.__module__.startswith("mixlib."):
        return _of_ours(method)
    changed = {name: value for name, value in params.items() if _defaults(method).get(name) != value}
    key = f"{kind.__name__}@{code_digest(kind)}"
    methods.REGISTRY[key] = kind
    look = vars(kind).get("look")  # not that of a parent
    return _choice(key, params, kind.__name__, kind.__name__ if look is None else look.label, changed)


def code_digest(kind: type) -> str:
    """Sixteen hexadecimal digits that identify what a class does: the code of its methods, of those it inherits from
    outside mixlib, of the functions in its module that they call, and the constants of its module that they read; not
    comments, and not other modules or classes. Variables of an enclosing function count as constants do, arrays and
    tensors by their content. Stable within one version of Python."""
    parts: list[str] = []
    seen: set[int] = set()

    def of_code(code: CodeType) -> None:
        parts.append(f"{code.co_code.hex()} {code.co_names} {code.co_varnames}")
        for value in code.co_consts:
            of_code(value) if isinstance(value, CodeType) else parts.append(_said(value))

    def names_in(code: CodeType) -> set[str]:
        inner = (names_in(value) for value in code.co_consts if isinstance(value, CodeType))
        return set(code.co_names).union(*inner)

    def of_value(name: str, value: Any) -> None:
        value = inspect.unwrap(value) if callable(value) else value
        for inner in (getattr(value, "__func__", None), *(getattr(value, of, None) for of in ("fget", "fset"))):
            if isinstance(inner, FunctionType):
                of_value(name, inner)
        if isinstance(value, FunctionType):
            if id(value) in seen:
                return
            seen.add(id(value))
            parts.append(f"{name} {_said(value.__defaults__)} {_said(value.__kwdefaults__)}")
            of_code(value.__code__)
            for enclosed, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
                with suppress(ValueError):  # not filled yet
                    of_value(enclosed, cell.cell_contents)
            for called in sorted(names_in(value.__code__)):
                other = value.__globals__.get(called)
                if not isinstance(other, FunctionType) or other.__module__ == value.__module__:
                    of_value(called, other)
        elif isinstance(value, CONSTANTS) and not name.startswith("__"):
            parts.append(f"{name}={_said(value)}")

    for base in kind.__mro__:
        if base.__module__.partition(".")[0] not in ("mixlib", "builtins", "abc"):
            parts.append(base.__qualname__)
            for name in sorted(vars(base)):
                of_value(name, vars(base)[name])
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def _said(value: Any) -> str:
    """A value as text that is the same in every process; objects only by their type."""
    if isinstance(value, (frozenset, set)):
        return f"{{{', '.join(sorted(map(_said, value)))}}}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_said, value))})"
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        if isinstance(value, torch.Tensor):
            value = (value.float() if value.is_floating_point() else value).detach().cpu()  # numpy has no bfloat16
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}:{sha256(array.tobytes()).hexdigest()}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_said(key)}: {_said(of)}' for key, of in value.items())}}}"
    simple = value is None or isinstance(value, (bool, int, float, complex, str, bytes))
    return repr(value) if simple else type(value).__qualname__
