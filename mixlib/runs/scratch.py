"""Temporary folders whose names say which process owns them, so that those of killed processes can be removed."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


def prefix(kind: str) -> str:
    """How this process's temporary folders are named: the kind (``run`` or ``sweep``), the machine, the process id."""
    return f"mixlib-{kind}-{platform.node()}-{os.getpid()}-"


def sweep_up() -> None:
    """Remove those whose process, on this machine, has ended."""
    if os.name == "nt":  # where there is no way to ask whether a process is alive
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
