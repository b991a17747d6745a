"""What a training step of each method costs compared with a plain step on the same rows, measured in one process."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from mixlib import methods
from mixlib.arguments import unknown
from mixlib.methods import Method
from mixlib.runs.machine import default_precision
from mixlib.runs.training import Fitted, check_precision, set_tf32

# token counts, special tokens included, of 32 training texts drawn at random with the MiniLM tokenizer
LENGTHS: dict[str, tuple[int, ...]] = {
    "trec": (16, 13, 25, 7, 18, 19, 14, 13, 8, 10, 12, 11, 11, 15, 9, 10, 15, 15, 19, 14, 16, 13, 10, 10, 25, 15, 15,
             10, 14, 12, 16, 14),
    "mrpc": (64, 72, 49, 54, 29, 63, 55, 68, 39, 57, 38, 53, 52, 64, 59, 41, 41, 38, 42, 64, 54, 50, 51, 58, 70, 41, 48,
             59, 47, 29, 46, 57),
}  # fmt: skip
PADDED = 128
# in addition to every method with its defaults: the SSMix paper's frame, and its code's way of finding saliency
VARIANTS = (
    ("embedmix", "originals", {"originals": True}),
    ("tmix", "originals", {"originals": True}),
    ("ssmix", "split", {"saliency": "split"}),
)
MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
PAIRS = ("mrpc",)  # two sentences per text
UNK, CLS, SEP, FIRST_WORD, VOCABULARY = 100, 101, 102, 1000, 30522


class _Tokens:
    """Just enough of a tokenizer for methods that look ids up; random ids need no text."""

    sep_token, pad_token, padding_side = "[SEP]", "[PAD]", "right"
    pad_token_id, unk_token_id, cls_token_id, sep_token_id, all_special_ids = 0, UNK, CLS, SEP, [0, UNK, CLS, SEP]

    @staticmethod
    def get_vocab() -> dict[str, int]:
        return {"[PAD]": 0, "[unused0]": 1, "[SEP]": SEP}


def rows(lengths: tuple[int, ...], width: int, device: torch.device, pair: bool = False) -> dict[str, torch.Tensor]:
    """A batch of random ids with these lengths, padded to ``width``; a pair's first sentence is half as long."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(FIRST_WORD, VOCABULARY, (len(lengths), width), generator=generator)
    length, place = torch.tensor(lengths).unsqueeze(1), torch.arange(width)
    mask = (place < length).long()
    ids[:, 0] = CLS
    ids[place == length - 1] = SEP
    types = torch.zeros_like(ids)
    if pair:
        ids[place == length // 2] = SEP
        types = ((place > length // 2) & (place < length)).long()
    labels = torch.randint(0, 6, (len(lengths),), generator=generator)
    batch = {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": types, "labels": labels}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def step(
    model: nn.Module, optimizer: torch.optim.Optimizer, method: Method, batch: dict[str, torch.Tensor], precision: str
) -> float:
    """Seconds of one training step: losses, backward passes and the optimizer's update.

    ``precision`` is ``fp32``, ``bf16``, or ``tf32``, which has to be set before (:func:`run` does).
    """
    device = batch["input_ids"].device
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    losses = iter(method.losses(model, batch))
    while True:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = next(losses, None)
        if loss is None:
            break
        loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


Collate = Callable[[list[dict[str, Any]]], Any]


def interleaved(
    fitted: Fitted, contestants: Mapping[Hashable, tuple[Method, Collate]], plain: Hashable, plain_turns: int,
    batches: int, seed: int, precision: str,
) -> Iterator[tuple[dict[str, torch.Tensor], dict[Any, list[float]]]]:  # fmt: skip
    """Time the methods on the same batches of a data set, in turns of random order, so that other load on the machine
    affects all equally.

    Args:
        fitted: model and data; training goes on with it.
        contestants: by name, a method, and how its rows become a batch.
        plain: the name of the plain step, by which the others will be divided.
        plain_turns: how many times it is timed in addition, on each batch.
        batches: that are timed; one more, plain steps alone, warms up.
        seed: of the order of rows and turns, and of the methods' draws.
        precision: as in :func:`step`.

    Yields:
        For each batch, the inputs of the plain step, and by name the seconds of each turn, for all its updates.
    """
    trainer, model = fitted.trainer, fitted.trainer.model.train()
    size = trainer.args.per_device_train_batch_size
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    order = torch.randperm(len(fitted.train), generator=torch.Generator().manual_seed(seed)).tolist()
    shuffle = random.Random(seed)
    for number in range(batches + 1):
        rows = [fitted.train[order[(number * size + k) % len(order)]] for k in range(size)]
        inputs = {name: trainer._prepare_inputs(dict(collate(rows))) for name, (_, collate) in contestants.items()}
        turns = [*contestants, *[plain] * plain_turns]
        if not number:
            turns = [name for name in contestants if contestants[name][0].key == "none"]
        shuffle.shuffle(turns)
        took: dict[Any, list[float]] = {}
        for name in turns:
            method = contestants[name][0]
            method.seed_step(seed, number)
            updates = range(method.updates_per_batch)
            taken = sum(step(model, optimizer, method, inputs[name], precision) for _ in updates)
            took.setdefault(name, []).append(taken)
        if number:
            yield inputs[plain], took


def run(
    lengths: str = "trec", budget: float = 30.0, at_least: int = 3, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """Time methods, interleaved in random order, round after round.

    Args:
        lengths: ``"trec"`` or ``"mrpc"``, the data set whose text lengths the 32 rows have.
        budget: seconds after which no further round is started.
        at_least: rounds to run in any case.
        only: methods to time next to the plain step, by default all.

    Returns:
        ``device``, ``threads``, ``precision`` (that of profile ``full`` on this machine), ``lengths``, ``rounds`` and
        ``methods``: for each the median ``seconds`` of an update, its ``updates_per_batch``, and ``ratio``, the median
        over the rounds of its time divided by the plain step's of the same round.

    Raises:
        ValueError: unknown lengths or method.
        RunFailed: this machine cannot compute in that precision.
    """
    if lengths not in LENGTHS:
        raise ValueError(f"unknown lengths {lengths!r}; choose one of {', '.join(LENGTHS)}")
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = BertForSequenceClassification(BertConfig(**MINILM, num_labels=6)).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    pair, precision = lengths in PAIRS, default_precision("full")
    check_precision(precision, "bench")
    set_tf32(precision)
    dynamic = rows(LENGTHS[lengths], max(LENGTHS[lengths]), device, pair)
    contestants = {name: (methods.get(name), dynamic) for name in methods.names()}
    contestants |= {f"{name} {params}": (methods.get(name, **values), dynamic) for name, params, values in VARIANTS}
    contestants["none_padded128"] = (methods.get("none"), rows(LENGTHS[lengths], PADDED, device, pair))
    if only is not None:
        for name in only:
            if name not in contestants:
                raise unknown("method", name, contestants)
        contestants = {name: found for name, found in contestants.items() if name in {"none", *only}}
    for method, batch in contestants.values():
        method.prepare(model, _Tokens(), batch["attention_mask"].sum(1).tolist())
        method.progress = 1.0  # methods that start mixing late are timed while they mix
        method.seed_step(0, 0)

    for method, batch in contestants.values():  # warm up allocator and threads
        step(model, optimizer, method, batch, precision)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    order, shuffle, end = list(contestants), random.Random(0), time.perf_counter() + budget
    while len(times["none"]) < at_least or time.perf_counter() < end:
        shuffle.shuffle(order)
        for name in order:
            times[name].append(step(model, optimizer, *contestants[name], precision))
    plain = times["none"]
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": precision,
        "lengths": lengths,
        "rounds": len(plain),
        "methods": [
            {
                "method": name,
                "updates_per_batch": contestants[name][0].updates_per_batch,
                "seconds": round(median(seconds), 5),
                "ratio": round(median(s / p for s, p in zip(seconds, plain, strict=True)), 4),
            }
            for name, seconds in times.items()
        ],
    }
