"""What a run is done on: the machine, the libraries and the code."""

from __future__ import annotations

import ast
import io
import os
import platform
import subprocess
import sys
import tokenize
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mixlib import __version__
from mixlib.runs import paths

PRECISIONS = ("fp32", "bf16", "tf32")  # tf32: float32 with the matrix products of NVIDIA's tensor cores
LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "tokenizers", "torchmetrics", "scikit-learn", "numpy")


def bf16_is_fast() -> bool:
    """Whether bfloat16 pays off on this machine: a CUDA GPU, or a CPU with instructions for it.

    PyTorch emulates bfloat16 on other CPUs, which is many times slower than float32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def default_precision(profile: str) -> str:
    """The precision of a profile's runs: ``MIXLIB_PRECISION``, else bf16 at ``full`` on GPUs, else fp32.

    On a CPU bf16 is never chosen automatically, so that records from a laptop and from a server with bfloat16
    instructions can share a table.

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


# The source that a run's numbers depend on, relative to the package's folder
NUMBERS = (
    "methods/*.py", "trainer.py", "runs/corpora.py", "runs/draws.py", "runs/encoding.py", "runs/synthetic.py",
    "runs/models.py", "runs/heads.py", "runs/metrics.py", "runs/predictions.py", "runs/trimming.py", "runs/training.py",
)  # fmt: skip


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the source that a run's numbers depend on: tells whether two records were made by the same code.

    It changes when numbers may differ, not when a file is moved or documented: file names, imports, docstrings,
    comments, blank lines and how a method looks in figures do not count. Studies (of times, geometry or attention) have
    code of their own, which it does not cover.
    """
    folder = paths.ROOT / "mixlib"
    files = {path for pattern in NUMBERS for path in folder.glob(pattern)}
    digests = sorted(sha256(statements(path.read_text(encoding="utf-8")).encode()).hexdigest() for path in files)
    return f"{__version__}+{sha256(''.join(digests).encode()).hexdigest()[:10]}"


def statements(source: str) -> str:
    """The source of a module without the parts that change no number: see :func:`code_version`."""
    lines, left_out = source.splitlines(keepends=True), []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)) or (
            isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "look"
        ):
            left_out.append(node)
        elif isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            left_out += node.body[:1] if ast.get_docstring(node, clean=False) is not None else []
    spans = [(node.lineno, node.col_offset, node.end_lineno, node.end_col_offset) for node in left_out]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            (row, start), (_, end) = token.start, token.end
            before, after = (len(lines[row - 1][:column].encode()) for column in (start, end))
            spans.append((row, before, row, after))  # in bytes, as ast counts
    content = [line.encode() for line in lines]
    for row, start, last, end in sorted(spans, reverse=True):
        content[row - 1 : last] = [content[row - 1][:start] + content[last - 1][end:], *[b"\n"] * (last - row)]
    kept = (line.decode().rstrip() for line in content)
    return "\n".join(line for line in kept if line)


@lru_cache(maxsize=1)
def cpu_model() -> str:
    """The name that the CPU reports, if the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@lru_cache(maxsize=1)
def git_state() -> dict[str, Any]:
    """``commit`` of this checkout; ``dirty``: whether a tracked file differs from it. Empty if git cannot say."""

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
    """The most bytes that this process has used: of GPU memory if there is a GPU, since the peak was last reset
    (each run does that), else of main memory since the process began, whatever it did before; ``None`` if the system
    does not tell (Windows)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    with suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux KiB
    return None


def environment(precision: str) -> dict[str, Any]:
    """What a record says about the machine and the libraries it was made with."""
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
