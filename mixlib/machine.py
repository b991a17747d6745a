"""What a run is done on: the machine, the libraries and the code."""

from __future__ import annotations

import os
import platform
import resource
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import mixlib

LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "tokenizers", "torchmetrics", "scikit-learn", "numpy")


def bf16_is_fast() -> bool:
    """Whether bfloat16 pays on this machine: a CUDA GPU, or a CPU with instructions for it.

    PyTorch emulates bfloat16 on other CPUs, which is many times slower than float32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def machine_class() -> str:
    """A name for the kind of machine: GPU, or number of CPU cores."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()}-core {platform.machine()} CPU"


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the source that a run's numbers depend on: tells whether two records were made by the same code."""
    folder = Path(mixlib.__file__).parent
    names = ("mixing", "sites", "trainer", "corpora", "synthetic", "models", "metrics", "training", "heads", "spans")
    digest = sha256()
    for path in sorted([*(folder / f"{name}.py" for name in names), *(folder / "methods").glob("*.py")]):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return f"{mixlib.__version__}+{digest.hexdigest()[:10]}"


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def environment(precision: str) -> dict[str, Any]:
    """What a record says of the machine and the libraries it was made with."""
    gpu = torch.cuda.is_available()
    peak = torch.cuda.max_memory_allocated() if gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "python": platform.python_version(),
        **_versions(),
        "code": code_version(),
        "device": torch.cuda.get_device_name() if gpu else platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "peak_memory_mib": round(peak / 2**20),
    }
