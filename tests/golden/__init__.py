"""Exact numerical cases for the public functions. ``python -m tests.golden [FOLDER]`` runs a folder of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from mixlib import methods, metrics
from mixlib.methods import Draw, batchmixup
from mixlib.mixing import mixed_cross_entropy

HERE = Path(__file__).parent
ATOL = 1e-6

RUNNERS: dict[str, Callable[[dict[str, Any], Path], dict[str, Any]]] = {}
REFERENCES: dict[str, tuple[Callable[[dict[str, Any], dict[str, torch.Tensor]], dict[str, Any]], tuple[str, ...]]] = {}


def runner(*kinds: str) -> Callable:
    """Register a function that turns the inputs of cases of these kinds into their results."""

    def register(function: Callable) -> Callable:
        RUNNERS.update(dict.fromkeys(kinds, function))
        return function

    return register


def reference(kind: str, expect: tuple[str, ...]) -> Callable:
    """Register a function for end-to-end cases of the authors' code, and the fields it is compared with."""

    def register(function: Callable) -> Callable:
        REFERENCES[f"reference_{kind}"] = (function, expect)
        return function

    return register


@cache
def tiny_bert(folder: Path) -> BertForSequenceClassification:
    """The classifier of the cases, in float64 and eval mode."""
    config = BertConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForSequenceClassification(config).double().eval()
    weights_file = folder / "tiny_bert.npz"
    with np.load(weights_file if weights_file.exists() else HERE / "tiny_bert.npz") as weights:
        model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    return model


def _mixed(name: str, inputs: dict[str, Any], folder: Path, fill_id: int | None = None) -> dict[str, Any]:
    model = tiny_bert(folder)
    batch = {key: torch.tensor(inputs[key]) for key in ("input_ids", "attention_mask", "labels")}
    method = methods.get(name, **({"padding": inputs["padding"]} if "padding" in inputs else {}))
    if fill_id is not None:
        method.fill_id = fill_id
    draw = Draw(torch.tensor(inputs["perm"]), inputs["lam"], inputs.get("layer", 5))
    with torch.inference_mode():
        logits = method.logits(model, batch, draw)
        loss = mixed_cross_entropy(logits, batch["labels"], draw.perm, draw.lam)
    return {"logits": logits.tolist(), "loss": loss.item()}


@runner("cls_mixup")
def _cls_mixup(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    return _mixed("cls_mixup", inputs, folder)


@runner("input_mixup")
def _input_mixup(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    return _mixed("input_mixup", inputs, folder, inputs["sep"])


@runner("manifold_mixup")
def _manifold_mixup(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    return _mixed("manifold_mixup", inputs, folder, inputs["sep"])


@runner("ece")
def _ece(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    logits, labels = torch.tensor(inputs["logits"], dtype=torch.float64), torch.tensor(inputs["labels"])
    measured = metrics.evaluate(logits, labels)
    return {name: measured[name] for name in ("accuracy", "nll")} | {
        "ece": metrics.ece(logits.softmax(1), labels, inputs["bins"])
    }


def _tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@runner("batchmixup")
def _batchmixup(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    x, weight, policy = (_tensor(inputs[name]) for name in ("x", "class_vectors", "policy"))
    labels = torch.tensor(inputs["labels"])
    shares = batchmixup.shares_of(policy)
    losses = {
        f"loss_{objective}": batchmixup.batchmixup_loss(x, weight, None, labels, policy, objective).item()
        for objective in batchmixup.OBJECTIVES
    }
    mixed_x, mixed_y = batchmixup.mixed_points(x, shares), batchmixup.mixed_points(weight[labels], shares)
    return {"mixed_x": mixed_x.tolist(), "mixed_y": mixed_y.tolist(), **losses}


@runner("batchmixup_sample")
def _batchmixup_sample(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    return _batchmixup({**inputs, "policy": _tensor(inputs["policy"]).unsqueeze(2).tolist()}, folder)


def _fields(case: dict[str, Any], folder: Path) -> dict[str, torch.Tensor]:
    with np.load(folder / "reference" / "end_to_end.npz") as arrays:
        return {name: torch.tensor(arrays[f"{case['name']}/{name}"]) for name in case["fields"]}


@reference("batchmixup_code", expect=("mix_matrix", "loss", "grad_hidden"))
def _batchmixup_code(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    hidden = fields["hidden"].requires_grad_()
    policy = fields["raw_uniform"].unsqueeze(2)
    loss = batchmixup.batchmixup_loss(hidden, fields["class_weight"], fields["class_bias"], fields["labels"], policy)
    shares = batchmixup.shares_of(policy)
    return {"mix_matrix": shares.squeeze(2).tolist(), "loss": loss.item(), **_gradient(loss, hidden)}


@reference("allpairs_mixup_code", expect=("loss", "grad_hidden"))
def _allpairs_mixup_code(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    hidden = fields["hidden"].requires_grad_()

    def classes(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, fields["class_weight"], fields["class_bias"])

    loss = batchmixup.all_pairs_loss(hidden, classes, fields["labels"], case["lam"])
    return {"loss": loss.item(), **_gradient(loss, hidden)}


def _gradient(loss: torch.Tensor, hidden: torch.Tensor) -> dict[str, Any]:
    return {"grad_hidden": torch.autograd.grad(loss, hidden)[0].tolist()}


def cases(folder: Path) -> Iterator[dict[str, Any]]:
    """The cases of a folder, those of its ``reference`` folder included, each with ``id`` and ``kind``."""
    yield from json.loads((folder / "cases.json").read_text())
    reference = folder / "reference"
    if (reference / "ssmix_spans.json").exists():
        for group, found in json.loads((reference / "ssmix_spans.json").read_text()).items():
            for case in found:
                yield {**case, "id": f"reference/ssmix_spans/{case['name']}", "kind": f"ssmix_spans_{group}"}
    if (reference / "end_to_end.json").exists():
        for case in json.loads((reference / "end_to_end.json").read_text()):
            yield {**case, "id": f"reference/end_to_end/{case['name']}", "kind": f"reference_{case['kind']}"}


def check(case: dict[str, Any], folder: Path) -> str | None:
    """``None`` if the case passes, else what is wrong with it."""
    if case["kind"] not in RUNNERS and case["kind"] not in REFERENCES:
        return f"kind {case['kind']!r} is not built yet"
    try:
        if case["kind"] in REFERENCES:
            function, expect = REFERENCES[case["kind"]]
            fields = _fields(case, folder)
            expected = {name: fields[name].numpy() for name in expect}
            got = function(case, fields)
        else:
            expected, got = case["expect"], RUNNERS[case["kind"]](case["inputs"], folder)
    except Exception as error:  # a case that raises is a failed case, the others still run
        return f"{type(error).__name__}: {error}"
    for name, value in expected.items():
        difference = np.abs(np.asarray(got[name]) - np.asarray(value)).max()
        if not difference <= ATOL:
            return f"{name} is off by {difference:.2e} (at most {ATOL:.0e})"
    return None
