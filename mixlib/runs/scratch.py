"""Temporary folders that say which process owns them, so that those of killed processes can be removed."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


def prefix(kind: str) -> str:
    """What the name of a temporary folder of this process begins with: for ``run`` or ``sweep``, machine, process."""
    return f"mixlib-{kind}-{platform.node()}-{os.getpid()}-"


def sweep_up() -> None:
    """Remove those whose process, on this machine, is no more."""
    if os.name == "nt":  # there a process cannot be asked whether it lives
        return
    for folder in Path(tempfile.gettempdir()).glob("mixlib-*-*-*-*"):
        owner, number, _ = folder.name.rsplit("-", 2)
        if owner not in {f"mixlib-{kind}-{platform.node()}" for kind in ("run", "sweep")}:
            continue  # of another machine, or container, that shares the folder
        with suppress(ValueError, OverflowError, PermissionError):  # of another program, or of another user's process
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
