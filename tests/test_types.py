import subprocess
import sys

from mixlib.runs import paths


def test_types_are_right():
    """mypy as a test, so that it does not keep the others waiting; what it reads is said in pyproject.toml."""
    checked = subprocess.run([sys.executable, "-m", "mypy"], cwd=paths.ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
