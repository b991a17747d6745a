"""Two texts and what a method of SSMix makes of them: the tokens, their saliency, what moves, and the label weight."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from mixlib import methods
from mixlib.data_checks import fault
from mixlib.methods import sites, spans
from mixlib.methods.ssmix import InputMixing, MixedTexts, SSMix, split_saliency

Text = str | tuple[str, str]


@dataclass(frozen=True)
class MixedPair:
    """Text ``a`` with tokens of text ``b`` put in.

    Attributes:
        method: by name.
        tokens_a, tokens_b, tokens_mixed: with special tokens, without padding.
        saliency_a, saliency_b: of each token, 1 for the largest of its text, 0 for special tokens.
        replaced: positions in ``a``; taken: positions in ``b``.
        labels: names of the labels of ``a`` and ``b``.
        weight: of the label of ``a``; that of ``b`` is the rest.
    """

    method: str
    tokens_a: list[str]
    tokens_b: list[str]
    tokens_mixed: list[str]
    saliency_a: list[float]
    saliency_b: list[float]
    replaced: list[int]
    taken: list[int]
    labels: tuple[str, str]
    weight: float

    def as_dict(self) -> dict[str, Any]:
        """For a record; ``MixedPair(**values)`` reads it back."""
        return asdict(self)


def mix_pair(
    model: nn.Module,
    tokenizer: Any,
    a: Text,
    b: Text,
    labels: tuple[int, int],
    method: str = "ssmix",
    names: tuple[str, str] | None = None,
    seed: int = 0,
    **params: Any,
) -> MixedPair:
    """Mix two texts as a training step would, with dropout off.

    Args:
        model: a trained classifier; the saliency of a token is the size of its loss gradient.
        tokenizer: of the model.
        a: text that is changed: one sentence, or two as a tuple.
        b: text that tokens are taken from, of the same kind.
        labels: class numbers of ``a`` and ``b``.
        method: ``ssmix``, ``ssmix_nosal``, ``ssmix_nosal_nospan`` or ``unk``.
        names: of the labels; by default those of the model's configuration.
        seed: of the random methods.
        **params: of the method, such as ``lam0=0.2``.

    Raises:
        ValueError: another method, labels that are not class numbers, or only one text with a second sentence.
    """
    chosen = methods.get(method, **params)
    if not isinstance(chosen, InputMixing):
        known = [name for name in methods.names() if issubclass(methods.REGISTRY[name], InputMixing)]
        raise ValueError(f"{method} mixes no texts; choose one of {', '.join(known)}")
    batch = pair_batch(model, tokenizer, a, b, labels)
    chosen.prepare(model, tokenizer)
    chosen.generator.manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        with torch.enable_grad(), sites.watched_saliency(model) as watched:
            torch.autograd.grad(methods.get("none").plain_loss(model, batch), watched.embedded)
        saliency = [watched.norms(batch["input_ids"].shape[1])] * 2
        if getattr(chosen, "saliency", "joint") == "split":
            with torch.enable_grad():
                saliency = split_saliency(model, batch, chosen.special)
    finally:
        model.train(was_training)
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    other = {name: tensor.flip(0) for name, tensor in inputs.items()}
    mixed = chosen.mix_texts(inputs, other, saliency, [s.flip(0) for s in saliency])
    seen = saliency[0] if saliency[0] is saliency[1] else saliency[0] + saliency[1]
    seen = seen * (spans.sentence_of(inputs, chosen.special) > 0)  # special tokens never move: their size says nothing
    seen = (seen / seen.amax(1, keepdim=True).clamp_min(torch.finfo(seen.dtype).tiny)).cpu()
    length = batch["attention_mask"].sum(1).tolist()
    tokens = [
        tokenizer.convert_ids_to_tokens(ids[:n].tolist()) for ids, n in zip(batch["input_ids"], length, strict=True)
    ]
    return MixedPair(
        method=method,
        tokens_a=tokens[0],
        tokens_b=tokens[1],
        tokens_mixed=tokenizer.convert_ids_to_tokens(mixed.input_ids[0, : length[0]].tolist()),
        saliency_a=[round(value, 3) for value in seen[0, : length[0]].tolist()],
        saliency_b=[round(value, 3) for value in seen[1, : length[1]].tolist()],
        labels=names or tuple(model.config.id2label[label] for label in labels),
        **_moved(method, mixed),
    )


def pair_batch(model: nn.Module, tokenizer: Any, a: Text, b: Text, labels: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Two texts as a batch of two rows, ``a`` first, on the model's device; arguments as in :func:`mix_pair`.

    Raises:
        ValueError: labels that are not class numbers, or only one text with a second sentence.
    """
    if isinstance(a, str) != isinstance(b, str):
        raise ValueError(f"give both texts one sentence (a string) or both two (a tuple), got {a!r} and {b!r}")
    classes = model.config.num_labels
    if len(labels) != 2 or any(fault(label, classes) for label in labels):
        raise ValueError(
            f"labels are the class numbers of both texts, 0 to {classes - 1}, got {labels!r}; what the classes are "
            "called goes into names"
        )
    texts = [(text,) if isinstance(text, str) else text for text in (a, b)]
    encoded = tokenizer(*map(list, zip(*texts, strict=True)), padding=True, truncation=True, return_tensors="pt")
    batch = {**encoded, "labels": torch.tensor(labels)}
    device = next(model.parameters()).device
    return {name: tensor.to(device) for name, tensor in batch.items()}


def redraw(pair: MixedPair, seed: int, **params: Any) -> MixedPair:
    """The same two texts mixed by the same method with another seed, as :func:`mix_pair` would with that seed; for
    methods that choose at random, which need no model.

    Args:
        pair: of ``ssmix_nosal``, ``ssmix_nosal_nospan`` or ``unk``.
        seed: of the draw.
        **params: of the method, such as ``lam0=0.2``.

    Raises:
        ValueError: the method looks at saliency.
    """
    chosen = methods.get(pair.method, **params)
    if isinstance(chosen, SSMix):
        raise ValueError(f"{pair.method} chooses by saliency, not at random, so there is no other draw: use mix_pair")
    texts = [pair.tokens_a, pair.tokens_b]
    unknown = "[UNK]"
    vocabulary = list(dict.fromkeys([*pair.tokens_a, *pair.tokens_b, unknown]))
    number = {token: i for i, token in enumerate(vocabulary)}
    special = {i for token, i in number.items() if token[:1] in "[<" and token[-1:] in "]>" and token != unknown}
    chosen.special = spans.SpecialTokens(tuple(special), number[texts[0][-1]], number[texts[0][0]], number[unknown])
    chosen.generator.manual_seed(seed)
    length = max(map(len, texts))
    rows = [[number[token] for token in text] + [0] * (length - len(text)) for text in texts]
    mask = [[1] * len(text) + [0] * (length - len(text)) for text in texts]
    inputs = {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}
    mixed = chosen.mix_texts(inputs, {name: tensor.flip(0) for name, tensor in inputs.items()})
    tokens = [vocabulary[i] for i in mixed.input_ids[0, : len(texts[0])].tolist()]
    return replace(pair, tokens_mixed=tokens, **_moved(pair.method, mixed))


def _moved(method: str, mixed: MixedTexts) -> dict[str, Any]:
    """The fields of a :class:`MixedPair` that say what moved in the first row."""
    taken = mixed.taken()[0] if method != "unk" else torch.zeros(1)
    return {
        "replaced": mixed.replaced()[0].nonzero().flatten().tolist(),
        "taken": taken.nonzero().flatten().tolist(),
        "weight": round(mixed.weight[0].item(), 4),
    }
