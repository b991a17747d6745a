"""Kernels that are forked are kernels like any other."""

import os
import signal
import subprocess
import sys
import time

import pytest
from jupyter_client.manager import start_new_kernel
from jupyter_client.provisioning import KernelProvisionerFactory

from mixlib.book.kernels import ForkedProvisioner, Kernel


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """What a forked kernel prints when it runs some code, and its manager."""
    monkeypatch.setattr(KernelProvisionerFactory.instance(), "default_provisioner_name", "mixlib-fork")
    monkeypatch.setenv("ONLY_OF_THIS_TEST", "seen")
    manager, client = start_new_kernel(cwd=str(tmp_path))
    printed = []

    def run(code):
        printed.clear()
        client.execute_interactive(code, timeout=60, output_hook=lambda m: printed.append(m["content"].get("text", "")))
        return "".join(printed).strip()

    yield run, manager
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    assert not manager.is_alive()


def test_starts_with_imports_done_in_its_folder_environment_and_backend(kernel, tmp_path):
    run, manager = kernel
    assert isinstance(manager.provisioner, ForkedProvisioner)
    assert isinstance(manager.provisioner.process, Kernel)
    assert run("import sys; print('mixlib.evidence.verdicts' in sys.modules)") == "True"
    assert run("import os; print(os.getcwd(), os.environ['ONLY_OF_THIS_TEST'])") == f"{tmp_path} seen"
    backend = run("import matplotlib.pyplot as plt; plt.figure(); print(plt.get_backend())")
    assert "inline" in backend
    assert run("print(os.getpgid(0) == os.getpid(), __name__)") == "True __main__"


def test_can_be_interrupted_and_its_end_is_noticed(kernel):
    run, manager = kernel
    assert run("import os, signal; print(1)") == "1"
    run("try:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt:\n    pass")
    manager.interrupt_kernel()
    assert run("print(2)") == "2"
    os.kill(manager.provisioner.pid, signal.SIGKILL)
    manager.provisioner.process.join(20)
    assert not manager.is_alive()


def test_ends_with_the_process_that_started_it(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("""
import time
from jupyter_client.manager import start_new_kernel
if __name__ == "__main__":
    manager, client = start_new_kernel()
    print(manager.provisioner.pid, flush=True)
    time.sleep(300)
""")
    environment = os.environ | {"JUPYTER_DEFAULT_PROVISIONER_NAME": "mixlib-fork"}
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, env=environment) as process:
        pid = int(process.stdout.readline())
        os.kill(pid, 0)  # it is there
        process.kill()
    for _ in range(300):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the kernel outlived its parent by 30 seconds")
