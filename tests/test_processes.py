"""Several processes, each with a part of every batch."""

import json
import os
import subprocess
import sys

import torch

from mixlib.runs import paths
from tests.two_processes import train

MIXING = ("amplify", "ssmix", "batchmixup", "manifold_mixup")  # hooks, two backward passes, class vectors, a layer


def test_processes_end_with_the_same_weights_and_plain_training_is_that_of_one(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "tests.two_processes", str(tmp_path), *MIXING, "none"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=paths.ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert {values["steps"] for values in first.values()} == {8}
    alone, steps = train(tmp_path / "alone", "none", 4)
    assert steps == 8
    assert torch.allclose(torch.load(tmp_path / "0.pt"), alone, atol=1e-5)
