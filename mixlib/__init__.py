"""Mixup for text classification: the methods of four papers, and what it takes to reproduce them.

``mixlib.compare`` compares methods on data of your own, ``mixlib.MixupTrainer`` trains with one of them, and
``mixlib.methods`` has them by name. Each is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixlib import methods as methods
    from mixlib.comparing.compare import compare as compare
    from mixlib.trainer import MixupTrainer as MixupTrainer

__all__ = ["MixupTrainer", "compare", "methods"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "compare":
        return import_module("mixlib.comparing.compare").compare
    if name == "MixupTrainer":
        return import_module("mixlib.trainer").MixupTrainer
    if name == "methods":
        return import_module("mixlib.methods")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
