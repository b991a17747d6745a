"""``make test-install``: mixlib fits beside what other projects have. It asks the package index, so it is no unit test.

pip resolves each case by a dry run: it reads descriptions of packages, and installs nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mixlib.runs import paths

BESIDE = (
    ("torch==2.8.0", "pandas==2.2.3"),
    ("torch==2.6.0", "transformers==5.10.4", "numpy<2", "pandas<2.2"),
)
NOT_CORE = ("jupyterlab", "papermill", "seaborn", "datasets", "ray", "statsmodels")


def resolved(*others: str) -> dict[str, str]:
    """Name and version of everything that pip would install for MixupTrainer beside these."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report",
                   str(report), str(paths.ROOT), *others]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
        out = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
        if out.returncode:
            sys.exit(f"mixlib does not fit beside {', '.join(others)}:\n{out.stderr}")
        found = json.loads(report.read_text())["install"]
    return {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in found}


if __name__ == "__main__":
    for others in BESIDE:
        versions = resolved(*others)
        brought = [name for name in NOT_CORE if name in versions]
        if brought:
            sys.exit(f"MixupTrainer alone brings {', '.join(brought)}")
        shown = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers", "numpy", "pandas"))
        print(f"fits beside {', '.join(others)}: {len(versions)} packages, {shown}", flush=True)
