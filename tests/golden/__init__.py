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

from mixlib import methods
from mixlib.methods import Draw, batchmixup, sites, spans
from mixlib.methods.base import swapped_halves
from mixlib.methods.mixing import mixed_cross_entropy
from mixlib.runs import heads, metrics

HERE = Path(__file__).parent
ATOL = 1e-6
plain_loss = methods.get("none").plain_loss

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


def _mixed(
    name: str, inputs: dict[str, Any], folder: Path, fill_id: int | None = None, layer: int = 5, **params: Any
) -> dict[str, Any]:
    model = tiny_bert(folder)
    batch = {key: torch.tensor(inputs[key]) for key in ("input_ids", "attention_mask", "labels")}
    method = methods.get(name, **({"padding": inputs["padding"]} if "padding" in inputs else {}), **params)
    if fill_id is not None:
        method.fill_id = fill_id
    draw = Draw(torch.tensor(inputs["perm"]), inputs["lam"], inputs.get("layer", inputs.get("block", layer)))
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


@runner("embedmix")
def _embedmix(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    return _mixed("embedmix", inputs, folder, layer=0)


@runner("sentencemix")
def _sentencemix(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    return _mixed("sentencemix", inputs, folder)


@runner("amplify")
def _amplify(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    return _mixed("amplify", inputs, folder)


@runner("amplify_block")
def _amplify_block(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    return _mixed("amplify", inputs, folder, blocks=[inputs["block"]])


@runner("tmix")
def _tmix(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    return _mixed("tmix", inputs, folder)


WORDPIECE = spans.SpecialTokens(ids=(0, 101, 102), separator=102, cls=101, unknown=100)


def _ssmix(lam0: float, **params: Any) -> methods.Method:
    method = methods.get("ssmix", lam0=lam0, **params)
    method.special = WORDPIECE
    return method


@runner("ssmix_single")
def _ssmix_single(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    a, b = ({"input_ids": torch.tensor(inputs[f"ids_{x}"])} for x in "ab")
    saliency = [[_tensor(inputs[f"saliency_{x}"])] * 2 for x in "ab"]
    mixed = _ssmix(inputs["mix_fraction"]).mix_texts(a, b, *saliency)
    return {"ids_mixed": mixed.input_ids.tolist(), "weight_a": mixed.weight.tolist()}


@runner("ssmix_pair")
def _ssmix_pair(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    a, b = ({"input_ids": torch.tensor(inputs[f"ids_{x}"]), "token_type_ids": torch.tensor(inputs[f"types_{x}"])}
            for x in "ab")  # fmt: skip
    saliency = [[_tensor(inputs[f"saliency_{x}"])] * 2 for x in "ab"]
    method = _ssmix(inputs["mix_fraction"])
    ab, ba = method.mix_texts(a, b, *saliency), method.mix_texts(b, a, *saliency[::-1])
    return {
        "ids_mixed_ab": ab.input_ids.tolist(), "weight_a": ab.weight.tolist(),
        "ids_mixed_ba": ba.input_ids.tolist(), "weight_b": ba.weight.tolist(),
    }  # fmt: skip


@runner("saliency")
def _saliency(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    batch = {key: torch.tensor(inputs[key]) for key in ("input_ids", "attention_mask", "labels")}
    return {"saliency": _scaled(_norms(tiny_bert(folder), batch)).tolist()}


def _norms(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with sites.watched_saliency(model) as watched:
        plain_loss(model, batch).backward()
    model.zero_grad()
    return watched.norms()


def _scaled(saliency: torch.Tensor) -> torch.Tensor:
    return saliency / saliency.amax(1, keepdim=True)


# Spans of the published SSMix code. It pads nothing and mixes one text at a time; lists become one-row tensors here.
def _row(values: list[Any], width: int, dtype: torch.dtype = torch.long) -> torch.Tensor:
    return torch.tensor([[*values, *[0] * (width - len(values))]], dtype=dtype)


def _cut(ids: list[int], limit: int) -> list[int]:
    return ids if len(ids) <= limit else [*ids[: limit - 1], WORDPIECE.separator]


def _left_unmixed(case: dict[str, Any]) -> bool:
    """Whether the published code leaves a text or a sentence of it unmixed because its donor is too short.

    Where the donor lacks only one or two tokens ("donor_edge"), it copies special tokens instead. That is a fault which
    no option of the method repeats: the span is shortened, as in the paper.
    """
    return case["differs_from_paper"] and case["kind"] != "donor_edge"


def _spans_method(case: dict[str, Any]) -> methods.Method:
    """The method with the rule for short partners that the case was recorded with, for single texts and pairs alike."""
    return _ssmix(case["window_percent"] / 100, short_partner="skip" if _left_unmixed(case) else "shorten")


@runner("ssmix_spans_single")
def _spans_single(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    x1 = _cut(case["x1"], case["max_len"])
    width = max(len(x1), len(case["x2"]))
    s1, s2 = (_row(s[:width], width, torch.float64) for s in (case["s1"][: len(x1)], case["s2"]))
    a, b = ({"input_ids": _row(x, width)} for x in (x1, case["x2"]))
    mixed = _spans_method(case).mix_texts(a, b, [s1] * 2, [s2] * 2)
    return {
        "mixed": mixed.input_ids[0, : len(x1)].tolist(),
        "weight1": mixed.weight.item(),
        "span_length": mixed.moves[0].length.item(),
    }


def _one_direction(case: dict[str, Any], own: str, other: str, cut_donor: bool) -> tuple[list[int], float]:
    """The pair of text ``own`` with spans of ``other``, each sentence cut as the published code cuts it."""
    limit, texts, given = case["max_len"] // 2, {}, {}
    for x in (own, other):
        end = case[f"{x}_types"].index(1)
        ids = case[x]
        sentences = {"first": ids[1 : end - 1], "second": ids[end:-1]}
        if x == own or cut_donor:
            sentences = {name: words[: limit - 2] for name, words in sentences.items()}
        first, second = sentences.values()
        texts[x] = [101, *first, 102, *second, 102], [0] * (len(first) + 2) + [1] * (len(second) + 1)
        s = {name: case[f"{x.replace('x', 's')}_{name}"][1 : 1 + len(words)] for name, words in sentences.items()}
        given[x] = [0.0, *s["first"], 0.0, *s["second"], 0.0]
    width = max(len(ids) for ids, _ in texts.values())
    a, b = ({"input_ids": _row(ids, width), "token_type_ids": _row(types, width)}
            for ids, types in (texts[own], texts[other]))  # fmt: skip
    saliency = [[_row(given[x], width, torch.float64)] * 2 for x in (own, other)]
    mixed = _spans_method(case).mix_texts(a, b, *saliency)
    return mixed.input_ids[0, : len(texts[own][0])].tolist(), mixed.weight.item()


@runner("ssmix_spans_pair")
def _spans_pair(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    mixed12, weight1 = _one_direction(case, "x1", "x2", cut_donor=False)
    mixed21, weight2 = _one_direction(case, "x2", "x1", cut_donor=True)
    return {"mixed12": mixed12, "weight1_12": weight1, "mixed21": mixed21, "weight2_21": weight2}


@runner("ssmix_spans_ablation")
def _spans_ablation(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The recorded random choice carried out. The published span without saliency may hold special tokens."""
    x1, x2 = (_cut(case[x], case["max_len"]) for x in ("x1", "x2"))
    width = max(len(x1), len(x2))
    ids, source = _row(x1, width), _row(x2, width)
    everything = case["kind"] == "span_without_saliency"
    a, b = (
        spans.words_of((x > 0).long() if everything else spans.sentence_of({"input_ids": x}, WORDPIECE), 1)
        for x in (ids, source)
    )
    content = spans.words_of(spans.sentence_of({"input_ids": ids}, WORDPIECE), 1).length
    k = spans.share_of(content, case["window_percent"] / 100).clamp_min(1)
    if everything:
        start = torch.tensor([[case["start"]]])
        k = k * (start + k <= b.length)
        chosen, place = spans.window(a, start, k, start)
    else:
        chosen = torch.zeros(1, width, dtype=torch.bool)
        chosen[0, [position - 1 for position in case["positions"]]] = True
        place = spans.places(a)
    unknown = case["kind"] == "unk_replacement"
    if unknown:
        source, b = torch.full_like(ids, WORDPIECE.unknown), a
    mixed = spans.copy_tokens(ids, a, chosen, source, b, place)
    weight = 1.0 if unknown else 1 - chosen.sum().item() / content.item()
    return {"mixed": mixed[0, : len(x1)].tolist(), "weight1": weight}


def _expected_spans(group: str, case: dict[str, Any]) -> dict[str, Any]:
    if group == "pair":
        return {name: case[name] for name in ("mixed12", "weight1_12", "mixed21", "weight2_21")}
    if group == "single" and _left_unmixed(case):
        return {"mixed": case["mixed"], "weight1": case["weight1"]}
    if group == "single" and case["differs_from_paper"]:  # special tokens were copied, where the span is to be shorter
        content = len(_cut(case["x1"], case["max_len"])) - 2
        return {"span_length": case["paper_span_length"], "weight1": 1 - case["paper_span_length"] / content}
    names = ("mixed", "weight1", "span_length") if group == "single" else ("mixed", "weight1")
    return {name: case[name] for name in names}


@cache
def tiny_bert_128(folder: Path) -> BertForSequenceClassification:
    """The classifier of the end-to-end cases, in float64 and eval mode."""
    config = BertConfig(
        vocab_size=128, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=128, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForSequenceClassification(config).double().eval()
    with np.load(folder / "reference" / "tiny_bert_128.npz") as weights:
        model.load_state_dict({name: torch.tensor(weights[name], dtype=torch.float64) for name in weights.files})
    return model


def _batch(fields: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: fields[name].long() for name in ("input_ids", "attention_mask", "token_type_ids", "labels")}


@reference("saliency", expect=("saliency", "saliency_l2"))
def _reference_saliency(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    norms = _norms(tiny_bert_128(HERE), _batch(fields))
    return {"saliency": _scaled(norms).tolist(), "saliency_l2": norms.tolist()}


STEP = ("loss", "mixed12_ids", "mixed21_ids", "weight12", "weight21", "grad_classifier_weight", "grad_norm",
        "grad_word_embeddings_norm")  # fmt: skip


@reference("ssmix_step", expect=STEP)
def _ssmix_step(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    model, batch = tiny_bert_128(HERE), _batch(fields)
    saliency = "split" if case["pair"] else "joint"
    method = _ssmix(case["window_percent"] / 100, saliency=saliency, short_partner="skip")
    seen, mix_texts = [], method.mix_texts
    method.mix_texts = lambda *args: seen.append(mix_texts(*args)) or seen[-1]
    total = 0.0
    for loss in method.losses(model, batch):
        loss.backward()
        total += loss.item()
    weights = dict(model.named_parameters())
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    result = {
        "loss": total, "grad_norm": norm.item(),
        "grad_word_embeddings_norm": weights["bert.embeddings.word_embeddings.weight"].grad.norm().item(),
        "grad_classifier_weight": weights["classifier.weight"].grad.tolist(),
    }  # fmt: skip
    model.zero_grad()
    (mixed,) = seen
    first, second = mixed.input_ids.chunk(2)
    weight1, weight2 = mixed.weight.chunk(2)
    # recorded without the columns that only hold padding
    ids = {
        name: x[:, : fields[name].shape[1]].tolist() for name, x in (("mixed12_ids", first), ("mixed21_ids", second))
    }
    return result | ids | {"weight12": weight1.tolist(), "weight21": weight2.tolist()}


def _halves(name: str, case: dict[str, Any], fields: dict[str, torch.Tensor], layer: int) -> dict[str, Any]:
    model, method = tiny_bert_128(HERE), methods.get(name, originals=True)
    pairs, perm = swapped_halves(_batch(fields))
    draw = Draw(perm, case["lam"], layer)
    method.draw = lambda *args: draw
    with torch.no_grad():
        total = sum(loss.item() for loss in method.losses(model, pairs))
        first, second = method.logits(model, pairs, draw).chunk(2)
    return {"loss": total, "logits12": first.tolist(), "logits21": second.tolist()}


@reference("embedmix_halves", expect=("loss", "logits12", "logits21"))
def _embedmix_halves(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    return _halves("embedmix", case, fields, 0)


@reference("tmix_halves", expect=("loss", "logits12", "logits21"))
def _tmix_halves(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    return _halves("tmix", case, fields, case["block"] + 1)  # blocks are counted from 0 there


PERMUTED = ("logits", "loss", "loss_as_coded")


def _permuted(name: str, case: dict[str, Any], fields: dict[str, torch.Tensor], layer: int) -> dict[str, Any]:
    model, batch, perm = tiny_bert_128(HERE), _batch(fields), fields["perm"].long()
    method, draw = methods.get(name), Draw(perm, case["lam"], layer)
    with torch.no_grad():
        logits = method.logits(model, batch, draw)
        loss = _loss(method, model, batch, draw)
        as_coded = _loss(method, model, batch, draw._replace(label_perm=fields["label_perm_as_coded"].long()))
    return {"logits": logits.tolist(), "loss": loss, "loss_as_coded": as_coded}


def _loss(method: methods.Method, model: torch.nn.Module, batch: dict[str, torch.Tensor], draw: Draw) -> float:
    """The one loss that the method yields when it draws ``draw``."""
    method.draw = lambda model, rows: draw
    (loss,) = method.losses(model, batch)
    return loss.item()


@reference("embedmix_perm", expect=PERMUTED)
def _embedmix_perm(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    return _permuted("embedmix", case, fields, 0)


@reference("tmix_perm", expect=PERMUTED)
def _tmix_perm(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    return _permuted("tmix", case, fields, case["block"] + 1)


@reference("sentencemix_perm", expect=PERMUTED)
def _sentencemix_perm(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    model = tiny_bert_128(HERE)
    return _permuted("sentencemix", case, fields, sites.num_blocks(model) + 1)


AMPLIFIED = ("logits_pooler", "loss_pooler", "logits_mean", "loss_mean", "mean_hidden", "last_hidden_cls")


def _amplified(case: dict[str, Any], fields: dict[str, torch.Tensor], **params: Any) -> dict[str, Any]:
    own, batch = tiny_bert_128(HERE), _batch(fields)
    mean = heads.MeanClassifier(own).double().eval()
    mean.classifier.load_state_dict(own.classifier.state_dict())
    method, draw = methods.get("amplify", **params), Draw(fields["perm"].long(), case["lam"])
    found = {}
    with torch.no_grad():
        for name, model in (("pooler", own), ("mean", mean)):
            found[f"logits_{name}"] = method.logits(model, batch, draw).tolist()
            found[f"loss_{name}"] = _loss(method, model, batch, draw)
        hidden = _last_hidden(method, own, batch, draw)
    return found | {"mean_hidden": hidden.mean(1).tolist(), "last_hidden_cls": hidden[:, 0].tolist()}


def _last_hidden(
    method: methods.Method, model: torch.nn.Module, batch: dict[str, torch.Tensor], draw: Draw
) -> torch.Tensor:
    with method.mixing(model, batch, draw) as inputs:
        return model.base_model(**inputs).last_hidden_state


@reference("amplify_all", expect=AMPLIFIED)
def _amplify_all(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    return _amplified(case, fields)


@reference("amplify_one", expect=AMPLIFIED)
def _amplify_one(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    return _amplified(case, fields, blocks=[case["block"] + 1])  # blocks are counted from 0 there


@reference("amplify_one_as_coded", expect=AMPLIFIED)
def _amplify_one_as_coded(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    if case["block"] == 1:  # also the published switch's value for "on": every block mixes
        return _amplified(case, fields)
    return _amplified(case, fields, blocks=[case["block"] + 1], and_later=True)


@reference("mixtext_tmix", expect=("mean_hidden",))
def _mixtext_tmix(case: dict[str, Any], fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    model, ids = tiny_bert_128(HERE), fields["input_ids"].long()
    everywhere = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}  # that code has no mask
    draw = Draw(fields["perm"].long(), case["lam"], case["block"] + 1)
    with torch.no_grad():
        hidden = _last_hidden(methods.get("tmix"), model, everywhere, draw)
    return {"mean_hidden": hidden.mean(1).tolist()}


def _tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@runner("batchmixup")
def _batchmixup(inputs: dict[str, Any], folder: Path) -> dict[str, Any]:
    x, weight, policy = (_tensor(inputs[name]) for name in ("x", "class_vectors", "policy"))
    labels = torch.tensor(inputs["labels"])
    shares = batchmixup.shares_of(policy)
    losses = {
        f"loss_{objective}": batchmixup.batchmixup_loss(x, weight, None, labels, policy, objective).item()
        for objective in ("softmax", "dot")
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
    classes = torch.nn.Linear(*reversed(fields["class_weight"].shape), dtype=hidden.dtype)
    classes.load_state_dict({"weight": fields["class_weight"], "bias": fields["class_bias"]})
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
                yield {
                    "id": f"reference/ssmix_spans/{case['name']}", "kind": f"ssmix_spans_{group}",
                    "inputs": case, "expect": _expected_spans(group, case),
                }  # fmt: skip
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
        one, other = np.asarray(got[name]), np.asarray(value)
        if one.shape != other.shape:
            return f"{name} has the shape {one.shape}, not {other.shape}"
        difference = np.abs(one - other).max()
        if not difference <= ATOL:
            return f"{name} is off by {difference:.2e} (at most {ATOL:.0e})"
    return None
