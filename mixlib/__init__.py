"""Mixup for text classification: the methods of four papers, and what it takes to reproduce them.

``mixlib.compare`` compares methods on data of your own, ``mixlib.MixupTrainer`` trains with one of them. Both
are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixlib.comparing.compare import compare as compare
    from mixlib.trainer import MixupTrainer as MixupTrainer

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "compare":
        return import_module("mixlib.comparing.compare").compare
    if name == "MixupTrainer":
        return import_module("mixlib.trainer").MixupTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
