"""What every method makes of one pair of texts at a given weight, and what a classifier says about the mix.

All mixing is done by :mod:`mixlib.methods`, with dropout off and a given weight in place of the one that training
draws. It is for illustration, and for a pair of your own: :func:`mix` takes any sequence classifier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlib import methods
from mixlib.methods import Draw, sites
from mixlib.methods.base import inputs_of
from mixlib.methods.batchmixup import BatchMixup, class_vectors, mixed_points, shares_of
from mixlib.methods.hidden_mixup import TMIX_BLOCKS, TMix
from mixlib.methods.mixup_calibration import ManifoldMixup
from mixlib.methods.ssmix import SSMix
from mixlib.papers.ssmix.texts import MixedPair, Text, mix_pair, pair_batch

METHODS = (
    "cls_mixup", "sentencemix", "batchmixup", "input_mixup", "embedmix", "manifold_mixup", "tmix", "amplify", "ssmix",
)  # fmt: skip
LAMS = tuple(round(i / 20, 2) for i in range(21))
SMALLEST_SHARE = 0.001  # of a text: SSMix does not take 0, and at this share moves one token
DIGITS = 3
TEXT, ATTENTION = "words of the text", "attention output of every block"
PER_ROW, PER_DIMENSION = "sentence vector, one weight per row", "sentence vector, a weight per dimension"


@dataclass(frozen=True)
class Mixed:
    """One method at one place, at each of the weights asked for.

    Attributes:
        method: by name.
        place: what is mixed, for readers.
        weights: of the first text's label, which is not the one asked for if the method cannot have that.
        probabilities: that the classifier gives each class, a list per weight.
        texts: the mixed texts, for the method that mixes texts.
    """

    method: str
    place: str
    weights: list[float]
    probabilities: list[list[float]]
    texts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Mixtures:
    """What all methods make of one pair.

    Attributes:
        texts: the two, each a sentence or a list of two.
        labels: their class numbers.
        names: of all classes.
        lams: the weights asked for.
        alone: probabilities of the classes for each text unmixed.
        pair: the unmixed pair as :class:`mixlib.papers.ssmix.texts.MixedPair` has it (tokens, saliency); the ``texts``
            of a method are what differs from it.
        mixed: one per method and place.
    """

    texts: list[Any]
    labels: list[int]
    names: list[str]
    lams: list[float]
    alone: list[list[float]]
    pair: dict[str, Any]
    mixed: list[Mixed]

    def as_dict(self) -> dict[str, Any]:
        """For a record; :meth:`from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Mixtures:
        """What :meth:`as_dict` wrote."""
        return cls(**{**values, "mixed": [Mixed(**one) for one in values["mixed"]]})

    def index(self, lam: float) -> int:
        """The position of a weight in ``lams``; ``ValueError`` with those there are if it is not among them."""
        if lam not in self.lams:
            raise ValueError(f"nothing was mixed at the weight {lam!r}; there are {', '.join(map(str, self.lams))}")
        return self.lams.index(lam)

    def of(self, method: str) -> list[Mixed]:
        """The entries of one method, one per place."""
        return [one for one in self.mixed if one.method == method]

    def text(self, lam: float) -> MixedPair:
        """The text that SSMix makes at this weight."""
        (one,) = self.of(SSMix.key)
        return replace(MixedPair(**self.pair), **one.texts[self.index(lam)])


class Place(NamedTuple):
    """A layer as :mod:`mixlib.methods.sites` counts them, or ``None``; and what it is called."""

    layer: int | None
    name: str


def layer_name(layer: int, blocks: int) -> str:
    """``embedding output``, ``output of block 3``, ``sentence vector``."""
    if layer == 0:
        return "embedding output"
    return "sentence vector" if layer == blocks + 1 else f"output of block {layer} of {blocks}"


def places(method: methods.Method, model: nn.Module) -> list[Place]:
    """Where a method mixes; all places of one that draws a layer for each batch."""
    if isinstance(method, SSMix):
        return [Place(None, TEXT)]
    if isinstance(method, BatchMixup):
        return [Place(None, PER_DIMENSION if method.policy == "elementwise" else PER_ROW)]
    if isinstance(method, methods.amplify.Amplify):
        return [Place(None, ATTENTION)]
    blocks = sites.num_blocks(model)
    if isinstance(method, ManifoldMixup):
        layers = method.layers or range(blocks + 2)
    elif isinstance(method, TMix):
        layers = sites.chosen_blocks(model, method.blocks or TMIX_BLOCKS)
    else:
        layers = [method.draw(model, 2).layer]
    return [Place(layer, layer_name(layer, blocks)) for layer in layers]


def mix(
    model: nn.Module,
    tokenizer: Any,
    a: Text,
    b: Text,
    labels: tuple[int, int],
    names: Sequence[str] | None = None,
    lams: Sequence[float] = LAMS,
    seed: int = 0,
) -> Mixtures:
    """Mix text ``b`` into text ``a`` by every method of :data:`METHODS` and let the classifier read the mix.

    Args:
        model: a trained classifier.
        tokenizer: of the model.
        a, b: one sentence each, or two as a tuple.
        labels: class numbers of ``a`` and ``b``.
        names: of all classes; by default those of the model's configuration.
        lams: weights of ``a`` and its label, 1 (nothing of ``b``) to 0. SSMix replaces a share ``1 - lam`` of the
            words, never fewer than one of them; for BatchMixup see :func:`_batchmixup`.
        seed: of BatchMixup's draw.

    Raises:
        ValueError: weights outside [0, 1], too few names, and what :func:`mixlib.papers.ssmix.texts.pair_batch` raises.
        sites.UnsupportedArchitecture: a model that one of the methods cannot mix in.
    """
    lams = [float(lam) for lam in lams]
    if not lams or not all(0 <= lam <= 1 for lam in lams):
        raise ValueError(f"lams are weights of the first text between 0 and 1, got {lams}")
    batch = pair_batch(model, tokenizer, a, b, labels)
    classes = model.config.num_labels
    names = [model.config.id2label[c] for c in range(classes)] if names is None else list(names)
    if len(names) != classes:
        raise ValueError(f"names are those of all {classes} classes of the model, in their order; got {names}")
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            alone = _probabilities(model(**inputs_of(batch)).logits)
            mixed = [one for name in METHODS[:-1] for one in _hidden(model, tokenizer, batch, name, lams, seed)]
        named = (names[labels[0]], names[labels[1]])
        pairs = [
            mix_pair(model, tokenizer, a, b, labels, SSMix.key, named, lam0=max(round(1 - lam, 6), SMALLEST_SHARE))
            for lam in lams
        ]
        ssmix = _ssmix(model, tokenizer, batch, pairs)
    finally:
        model.train(was_training)
    texts = [text if isinstance(text, str) else list(text) for text in (a, b)]
    return Mixtures(texts, list(labels), names, lams, alone, pairs[0].as_dict(), [*mixed, ssmix])


def _probabilities(logits: Tensor) -> list[list[float]]:
    return [[round(p, DIGITS) for p in row] for row in logits.double().softmax(-1).tolist()]


def _hidden(
    model: nn.Module, tokenizer: Any, batch: dict[str, Tensor], name: str, lams: Sequence[float], seed: int
) -> Iterator[Mixed]:
    """A method that mixes hidden states, at each of its places."""
    if name == BatchMixup.key:
        yield from (_batchmixup(model, batch, policy, lams, seed) for policy in ("elementwise", "sample"))
        return
    method = methods.get(name)
    if isinstance(method, ManifoldMixup) and tokenizer.sep_token_id is None:  # GPT-2, Llama: nothing else to pad with
        method = replace(method, padding="pad_pair")
    method.prepare(model, tokenizer)
    many = {key: tensor.repeat(len(lams), *[1] * (tensor.dim() - 1)) for key, tensor in batch.items()}
    rows = torch.arange(2 * len(lams), device=batch["labels"].device)
    weights = torch.tensor(lams, device=rows.device).repeat_interleave(2)
    for layer, place in places(method, model):
        tensor = (-1, 1) if layer == sites.num_blocks(model) + 1 else (-1, 1, 1)
        draw = Draw(rows ^ 1, weights.view(tensor), layer or 0)  # rows 2k and 2k + 1 are the two texts
        yield Mixed(name, place, list(lams), _probabilities(method.logits(model, many, draw))[::2])


def _batchmixup(model: nn.Module, batch: dict[str, Tensor], policy: str, lams: Sequence[float], seed: int) -> Mixed:
    """BatchMixup on a batch of these two rows.

    Its weights are a softmax over the rows of numbers in [0, 1]. With one number per row, two rows can have weights of
    0.27 to 0.73, and weights asked for beyond that are clipped to it. With a number per dimension, as in the paper,
    each dimension draws its own; their mean is near a half, and no weight can be asked for: one drawn point is shown at
    all of them.
    """
    method = methods.get(BatchMixup.key, policy=policy)
    method.prepare(model)
    method.generator.manual_seed(seed)
    vectors = sites.sentence_vectors(model, inputs_of(batch)).float()
    if policy == "elementwise":
        drawn = method.draw(1, 2, vectors.shape[1], method.generator_on(vectors.device)).expand(len(lams), -1, -1)
    else:
        wanted = torch.tensor(lams, dtype=vectors.dtype, device=vectors.device)
        lead = (method.temperature * torch.logit(wanted)).clamp(-1, 1)
        drawn = torch.stack([(1 + lead) / 2, (1 - lead) / 2], 1).unsqueeze(2)
    shares = shares_of(drawn, method.temperature)
    logits = F.linear(mixed_points(vectors, shares), *class_vectors(sites.class_layer(sites.unwrap(model)), vectors))
    weights = [round(w, DIGITS) for w in shares[:, 0].mean(1).tolist()]
    (place,) = places(method, model)
    return Mixed(method.key, place.name, weights, _probabilities(logits))


def _ssmix(model: nn.Module, tokenizer: Any, batch: dict[str, Tensor], pairs: Sequence[MixedPair]) -> Mixed:
    """SSMix at each of its texts."""
    length = len(pairs[0].tokens_a)
    own = {name: tensor[:1, :length] for name, tensor in inputs_of(batch).items()}
    found, texts = [], []
    for pair in pairs:
        ids = own["input_ids"].new_tensor([tokenizer.convert_tokens_to_ids(pair.tokens_mixed)])
        with torch.no_grad():
            found += _probabilities(model(**own | {"input_ids": ids}).logits)
        differs = ("tokens_mixed", "replaced", "taken", "weight")
        texts.append({name: getattr(pair, name) for name in differs})
    return Mixed(SSMix.key, TEXT, [round(pair.weight, DIGITS) for pair in pairs], found, texts)
