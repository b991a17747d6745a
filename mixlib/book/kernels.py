"""Kernels that start in a moment: forked from a process that has already imported what notebooks import.

Importing torch, pandas and the rest takes a kernel several seconds, about as long as most notebooks then run. A fork
has all of it at once; apart from that it is a kernel like any other. This is a kernel provisioner, Jupyter's interface
for starting kernels in another way. Jupyter uses it if ``JUPYTER_DEFAULT_PROVISIONER_NAME`` is ``mixlib-fork``, its
entry point in ``pyproject.toml``, as ``reproduce`` and ``make test`` set it. Not for Windows, which cannot fork.
"""

from __future__ import annotations

import os
import threading
from multiprocessing import get_context, parent_process
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

PRELOADED = ("ipykernel.kernelapp", "mixlib.book.notebooks", "mixlib.evidence.plots", "mixlib.evidence.verdicts")
LAUNCHER = "ipykernel_launcher"
CONTEXT = get_context("forkserver")


class Kernel(CONTEXT.Process):
    """A kernel's process, with what Jupyter expects of a :class:`subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: list[str], cwd: str | None, env: dict[str, str]) -> None:
        super().__init__()
        self.arguments, self.cwd, self.env = arguments, cwd, env

    def run(self) -> None:
        import matplotlib
        from ipykernel.kernelapp import IPKernelApp

        os.setsid()  # so that Ctrl-C in a terminal reaches only the process that waits for the kernel
        os.environ.clear()
        os.environ.update(self.env)
        if self.cwd:
            os.chdir(self.cwd)
        # ipykernel says so in the environment, which matplotlib reads when it is imported: too late here
        matplotlib.rcParams["backend"] = self.env.get("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        threading.Thread(target=_end_with_parent, daemon=True).start()
        parent = f"--IPKernelApp.parent_handle={os.getppid()}"  # without, it would print how to connect to it
        IPKernelApp.launch_instance(argv=[*self.arguments, parent])

    def poll(self) -> int | None:
        return self.exitcode

    def wait(self) -> int | None:
        self.join()
        return self.exitcode

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)


def _end_with_parent() -> None:
    """End this process when the one that asked for it has; what it was forked from waits for its forks."""
    parent_process().join()
    os._exit(1)


class ForkedProvisioner(LocalProvisioner):
    """Starts Python kernels by a fork, others as usual."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start one: ``python -m ipykernel_launcher`` with its arguments, or another kernel's command."""
        if LAUNCHER not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        CONTEXT.set_forkserver_preload(list(PRELOADED))  # read when the first kernel starts
        self.process = Kernel(cmd[cmd.index(LAUNCHER) + 1 :], kwargs.get("cwd"), kwargs["env"])
        self.process.start()
        self.pid = self.process.pid  # and no process group: a fork is at first in that of its parent
        return self.connection_info
