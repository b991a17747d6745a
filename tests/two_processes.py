"""Training in one of several processes, for test_processes: ``torchrun ... -m tests.two_processes OUT METHOD ...``."""

import hashlib
import json
import sys
from pathlib import Path

import torch

from mixlib.trainer import MixupTrainer
from tests.test_trainer import arguments, make, rows


def train(folder, method, rows_of_a_batch):
    """Weights (a flat tensor) after two epochs over 16 rows, without dropout."""
    model, tokenizer = make(dropout=0.0)
    args = arguments(folder, use_cpu=True, per_device_train_batch_size=rows_of_a_batch, optim="sgd", learning_rate=0.1)
    trainer = MixupTrainer(
        model=model, args=args, method=method, train_dataset=rows(tokenizer), processing_class=tokenizer
    )
    trainer.train()
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()]), trainer.state.global_step


if __name__ == "__main__":
    out, *names = sys.argv[1:]
    found = {}
    for name in names:
        weights, steps = train(Path(out) / name, name, 2)
        found[name] = {"steps": steps, "digest": hashlib.sha256(weights.numpy().tobytes()).hexdigest()}
    rank = torch.distributed.get_rank()
    torch.save(weights, Path(out) / f"{rank}.pt")  # of the last method
    (Path(out) / f"{rank}.json").write_text(json.dumps(found))
