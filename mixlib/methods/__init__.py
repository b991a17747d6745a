"""The methods by name. ``get("cls_mixup", alpha=0.5)`` makes one.

Each file holds the methods of one paper; ``hidden_mixup`` holds those that several papers compare themselves with, and
``baselines`` those that mix nothing. Any further file in this folder is found automatically.
"""

from importlib import import_module
from pkgutil import iter_modules

# tables and figures show the methods in this order
# isort: off
from mixlib.methods import mixup_calibration as mixup_calibration
from mixlib.methods import batchmixup as batchmixup
from mixlib.methods import hidden_mixup as hidden_mixup
from mixlib.methods import ssmix as ssmix
from mixlib.methods import amplify as amplify
from mixlib.methods import baselines as baselines

# isort: on
from mixlib.methods.base import REGISTRY, Draw, Look, Method, Plain, get, names, table

for found in sorted(module.name for module in iter_modules(__path__)):  # and those of further files by name
    import_module(f"{__name__}.{found}")

__all__ = ["REGISTRY", "Draw", "Look", "Method", "Plain", "get", "names", "table"]
