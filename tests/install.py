"""``make test-install``: mixlib fits beside what other projects have. It asks the package index, so it is no unit test.

pip resolves each case by a dry run: it reads descriptions of packages, and installs nothing. Then the oldest
transformers and accelerate that mixlib allows are installed, in a folder that goes afterwards, and train every method.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from pathlib import Path

from mixlib.runs import paths

BESIDE = (
    ("torch==2.8.0", "pandas==2.2.3"),
    ("torch==2.6.0", "transformers==5.10.4", "numpy<2", "pandas<2.2"),
)
NOT_CORE = ("jupyterlab", "papermill", "seaborn", "datasets", "ray", "statsmodels")
TRAIN = """
import tempfile
import accelerate, transformers
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments
from mixlib import MixupTrainer, methods
from mixlib.runs import models

small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
tokenizer = models.tiny_tokenizer()
rows = [{**tokenizer(f"a{i} b c"), "labels": i % 2} for i in range(8)]
for name in methods.names():
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **small))
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(folder, max_steps=4, per_device_train_batch_size=4, use_cpu=True, report_to=[],
                                 save_strategy="no", logging_strategy="no", disable_tqdm=True)
        trainer = MixupTrainer(model=model, args=args, method=name, train_dataset=rows, eval_dataset=rows,
                               processing_class=tokenizer)
        trainer.train()
        trainer.evaluate()
print(f"{len(methods.names())} methods train with transformers {transformers.__version__} and accelerate "
      f"{accelerate.__version__}")
"""


def environment(**changes: str) -> dict[str, str]:
    """That of this process, without pins."""
    return {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"} | changes


def resolved(*others: str) -> dict[str, str]:
    """Name and version of everything that pip would install for MixupTrainer beside these."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report",
                   str(report), str(paths.ROOT), *others]  # fmt: skip
        out = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment())
        if out.returncode:
            sys.exit(f"mixlib does not fit beside {', '.join(others)}:\n{out.stderr}")
        found = json.loads(report.read_text())["install"]
    return {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in found}


def oldest(*names: str) -> list[str]:
    """The oldest versions that mixlib allows of these packages, as pip understands them."""
    allowed = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in allowed)
    return [f"{name}=={bounds[name]}.*" for name in names]


def trained_with(*others: str) -> str:
    """Train every method where these are installed over the packages of this environment; what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        own = Path(sysconfig.get_path("purelib", vars={"base": folder}))
        (own / "beneath.pth").write_text(sysconfig.get_path("purelib"))
        for command in (["-m", "pip", "install", "--quiet", *others], ["-c", TRAIN]):
            out = subprocess.run(
                [python, *command], capture_output=True, text=True, cwd=folder,
                env=environment(PYTHONPATH=str(paths.ROOT), HF_HUB_OFFLINE="1"),
            )  # fmt: skip
            if out.returncode:
                sys.exit(f"not with {', '.join(others)}:\n{out.stderr}")
    return out.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    for others in BESIDE:
        versions = resolved(*others)
        brought = [name for name in NOT_CORE if name in versions]
        if brought:
            sys.exit(f"MixupTrainer alone brings {', '.join(brought)}")
        shown = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers", "numpy", "pandas"))
        print(f"fits beside {', '.join(others)}: {len(versions)} packages, {shown}", flush=True)
    print(trained_with(*oldest("transformers", "accelerate")))
