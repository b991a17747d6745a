"""What a run is done on: the machine, the libraries and the code."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import mixlib
from mixlib import paths

PRECISIONS = ("fp32", "bf16", "tf32")  # tf32: float32 with the matrix products of NVIDIA's tensor cores
LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "tokenizers", "torchmetrics", "scikit-learn", "numpy")


def bf16_is_fast() -> bool:
    """Whether bfloat16 pays on this machine: a CUDA GPU, or a CPU with instructions for it.

    PyTorch emulates bfloat16 on other CPUs, which is many times slower than float32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def default_precision(profile: str) -> str:
    """The precision that runs of a profile are made in: ``MIXLIB_PRECISION``, else bf16 at ``full`` on GPUs, else fp32.

    Records made on a laptop and on a server with bfloat16 instructions stand in one table, so a machine never chooses.

    Raises:
        ValueError: ``MIXLIB_PRECISION`` names no precision.
    """
    asked = os.environ.get("MIXLIB_PRECISION")
    if asked and asked not in PRECISIONS:
        raise ValueError(f"MIXLIB_PRECISION is {asked!r}; choose one of {', '.join(PRECISIONS)}")
    on_gpu = profile == "full" and torch.cuda.is_available() and bf16_is_fast()
    return asked or ("bf16" if on_gpu else "fp32")


def machine_class() -> str:
    """A name for the kind of machine: GPU, or number of CPU cores."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()}-core {platform.machine()} CPU"


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the source that a run's numbers depend on: tells whether two records were made by the same code."""
    folder = Path(mixlib.__file__).parent
    names = ("mixing", "sites", "trainer", "corpora", "synthetic", "models", "metrics", "training", "heads", "spans",
             "trimming", "eda")  # fmt: skip
    digest = sha256()
    for path in sorted([*(folder / f"{name}.py" for name in names), *(folder / "methods").glob("*.py")]):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return f"{mixlib.__version__}+{digest.hexdigest()[:10]}"


@lru_cache(maxsize=1)
def cpu_model() -> str:
    """The name that the CPU gives itself, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@lru_cache(maxsize=1)
def git_state() -> dict[str, Any]:
    """``commit`` of this checkout; ``dirty``: whether a tracked file differs from it. Empty where git cannot say."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(paths.ROOT), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != paths.ROOT:
            return {}  # installed somewhere inside another project's checkout
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {}


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def peak_memory() -> int | None:
    """The most bytes that this process took: of the GPU where there is one, else of memory; ``None`` where the system
    does not tell (Windows)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    with suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux KiB
    return None


def environment(precision: str) -> dict[str, Any]:
    """What a record says of the machine and the libraries it was made with."""
    peak = peak_memory()
    return {
        "python": platform.python_version(),
        **_versions(),
        "code": code_version(),
        **git_state(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "cpu": cpu_model(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "peak_memory_mib": None if peak is None else round(peak / 2**20),
    }
