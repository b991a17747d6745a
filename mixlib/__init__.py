"""Mixup for text classification: the methods of four papers, and what it takes to reproduce them.

``mixlib.MixupTrainer`` trains with one of ``mixlib.methods``. ``mixlib.compare`` compares them on your own data, and
needs the extra ``reproduce``. All three are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixlib import methods as methods
    from mixlib.comparing.compare import compare as compare
    from mixlib.trainer import MixupTrainer as MixupTrainer

__all__ = ["MixupTrainer", "methods"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "compare":
        try:
            return import_module("mixlib.comparing.compare").compare
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] == "mixlib":
                raise
            raise ModuleNotFoundError(
                f"{error}; mixlib.compare needs more: pip install '.[reproduce]' in mixlib's checkout", name=error.name
            ) from error
    if name == "methods":
        return import_module("mixlib.methods")
    if name == "MixupTrainer":
        return import_module("mixlib.trainer").MixupTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "compare"})
