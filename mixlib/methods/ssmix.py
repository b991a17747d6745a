"""SSMix, which mixes spans of the input texts themselves, its ablations, and random replacement by the unknown token.

"SSMix: Saliency-Based Span Mixup for Text Classification" (Findings of ACL 2021). A step cuts the batch into halves A
and B and takes the mean of four losses: A, B, A with spans of B inserted, B with spans of A inserted (section 3.4). The
saliency of a token is the size of the loss gradient at its embedding. The backward pass of the first two losses yields
it as a by-product, so it needs no pass of its own (except with ``saliency="split"``, as in the authors' code).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mixlib.arguments import check_choice, check_number
from mixlib.methods import sites, spans
from mixlib.methods.base import Batch, Look, Method, inputs_of, logits_of, swapped_halves
from mixlib.methods.mixing import mixed_cross_entropy
from mixlib.methods.spans import SpecialTokens, Words

SALIENCIES = ("joint", "split")
SHORT_PARTNERS = ("shorten", "skip")


class Move(NamedTuple):
    """What one sentence of each row takes from its partner's sentence.

    ``a`` and ``b``: the tokens of the two sentences. ``chosen`` (rows, tokens): mask of the places of ``a`` that are
    overwritten. ``source`` (rows, tokens): the place in ``b`` that each is copied from. ``length`` (rows, 1): how many.
    """

    a: Words
    b: Words
    chosen: Tensor
    source: Tensor
    length: Tensor


class MixedTexts(NamedTuple):
    """Mixed texts: ``input_ids`` (rows, tokens), ``weight`` (rows,) of the own label, and one move per sentence."""

    input_ids: Tensor
    weight: Tensor
    moves: tuple[Move, ...]

    def replaced(self) -> Tensor:
        """Positions in the texts that were overwritten, (rows, tokens)."""
        count: Any = sum(torch.zeros_like(m.chosen).scatter(1, m.a.position, m.chosen) for m in self.moves)
        return count.bool()

    def taken(self) -> Tensor:
        """Positions in the partners' texts that were copied, (rows, tokens)."""
        count = torch.zeros_like(self.input_ids)
        for m in self.moves:
            count = count.scatter_add(1, m.b.position.gather(1, m.source), m.chosen.long())
        return count.bool()


@dataclass(kw_only=True)
class InputMixing(Method):
    """Train on the texts of a batch and on the same texts with some tokens overwritten by those of others.

    Args:
        lam0: share of the tokens of a text that is replaced, above 0 and at most 1 (section 3.4: 0.1).
    """

    paper: ClassVar[str] = "ssmix"
    uses_hooks: ClassVar[bool] = False
    needs_partner: ClassVar[bool] = True
    lam0: float = 0.1
    special: SpecialTokens = field(init=False, repr=False, compare=False)  # known once prepared

    def __post_init__(self) -> None:
        says = "a share of the text above 0 and at most 1 (the paper: 0.1)"
        self.lam0 = check_number("lam0", self.lam0, says, lambda number: 0 < number <= 1)

    @property
    def passes(self) -> int:
        return 2

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        self.special = spans.special_tokens(tokenizer)

    @abstractmethod
    def choose(self, a: Words, b: Words, saliency_a: Tensor | None, saliency_b: Tensor | None) -> Move:
        """Which tokens of sentence ``a`` are overwritten by which of sentence ``b``, for each row."""

    def mix_texts(
        self, a: Batch, b: Batch, saliency_a: Sequence[Tensor] | None = None, saliency_b: Sequence[Tensor] | None = None
    ) -> MixedTexts:
        """Overwrite tokens of texts ``a`` with tokens of texts ``b``, sentence by sentence (section 2).

        Args:
            a, b: ``input_ids`` (rows, tokens), and ``attention_mask``, ``token_type_ids`` if the model takes them.
            saliency_a, saliency_b: (rows, tokens) for each of the two sentences, not negative; only ssmix needs them.
        """
        own, other = (spans.sentence_of(inputs, self.special) for inputs in (a, b))
        ids, moves = a["input_ids"], []
        for i, number in enumerate(spans.SENTENCES):
            given = [s[i] if s is not None else None for s in (saliency_a, saliency_b)]
            move = self.choose(spans.words_of(own, number), spans.words_of(other, number), *given)
            ids = self.write(ids, b["input_ids"], move)
            moves.append(move)
        tokens: Any = sum(move.a.length for move in moves)
        share = sum(move.length for move in moves) / tokens.clamp_min(1)
        return MixedTexts(ids, self.weight(share.squeeze(1)), tuple(moves))

    def write(self, ids: Tensor, source: Tensor, move: Move) -> Tensor:
        """``ids`` after the move."""
        return spans.copy_tokens(ids, move.a, move.chosen, source, move.b, move.source)

    def weight(self, share: Tensor) -> Tensor:
        """Weight of the row's own label when this ``share`` of the text is the partner's, (rows,)."""
        return 1 - share

    def watch(self, model: nn.Module) -> AbstractContextManager[Any]:
        """A context around the loss on the originals; what it yields is passed to :meth:`token_saliency`."""
        return nullcontext()

    def token_saliency(self, model: nn.Module, batch: Batch, watched: Any) -> Sequence[Tensor] | None:
        """Saliency of the tokens of each of the two sentences, (rows, tokens) each."""
        return None

    def uniform(self, like: Tensor) -> Tensor:
        """Random numbers in [0, 1), with the shape and device of ``like``."""
        return torch.rand(like.shape, generator=self.generator_on(like.device), device=like.device)

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        if len(batch["labels"]) < 2:  # nobody to mix with
            yield self.plain_loss(model, batch)
            return
        with self.watch(model) as watched:
            yield self.plain_loss(model, batch) / 2
        found = self.token_saliency(model, batch, watched)
        pairs, perm = swapped_halves(batch)
        inputs, labels = inputs_of(pairs), pairs["labels"]
        saliency = None if found is None else [s[: len(labels)] for s in found]
        partners = {name: tensor[perm] for name, tensor in inputs.items()}
        mixed = self.mix_texts(inputs, partners, saliency, saliency and [s[perm] for s in saliency])
        logits = logits_of(model, inputs | {"input_ids": mixed.input_ids})
        yield self.cross_entropy(logits, labels, perm, mixed.weight) / 2


@dataclass(kw_only=True)
class SSMix(InputMixing):
    """SSMix: the least salient span of a text is overwritten by the most salient span of its partner (section 2).

    The span length is k = max(min(floor(lam0 |a|), |b|), 1) tokens, not counting special ones; the label is
    (1 - k / |a|) y_a + (k / |a|) y_b. In a pair, each sentence is mixed on its own, and their k and lengths are added.
    A sentence without tokens, and its partner, stay as they are.

    Args:
        lam0: as in :class:`InputMixing`.
        saliency: ``"joint"``: from the loss of the whole text; ``"split"``: for each sentence of a pair, from that
            sentence alone with the pair's label, as in the authors' code, at the price of one more pass over twice
            the rows.
        short_partner: what to do if the partner has fewer tokens than floor(lam0 |a|): ``"shorten"`` the span to that
            number (the paper's rule), or ``"skip"`` mixing (as the authors' code, unless a token or two are missing).
    """

    key: ClassVar[str] = "ssmix"
    look: ClassVar[Look] = Look("SSMix", "#b03a00", "d", (0, (10, 1)))
    uses_hooks: ClassVar[bool] = True
    keeps_dropout: ClassVar[bool] = True
    saliency: str = "joint"
    short_partner: str = "shorten"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("saliency", self.saliency, SALIENCIES)
        check_choice("short_partner", self.short_partner, SHORT_PARTNERS)

    @property
    def passes(self) -> int:
        return 2 if self.saliency == "joint" else 3

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        super().prepare(model, tokenizer, train_lengths)
        sites.family(sites.unwrap(model))  # raise now rather than in the first step
        if self.saliency == "split" and None in (self.special.cls, self.special.separator):
            raise ValueError(
                f"saliency='split' writes each sentence as a text of its own, but {type(tokenizer).__name__} has no "
                "token before or after a text; use saliency='joint'"
            )

    def watch(self, model: nn.Module) -> AbstractContextManager[sites.Saliency]:
        return sites.watched_saliency(model)

    def token_saliency(self, model: nn.Module, batch: Batch, watched: sites.Saliency) -> Sequence[Tensor]:
        if self.saliency == "joint":
            return [watched.norms(batch["input_ids"].shape[1])] * 2
        return split_saliency(model, batch, self.special, self.cross_entropy)

    def choose(self, a: Words, b: Words, saliency_a: Tensor | None, saliency_b: Tensor | None) -> Move:
        if saliency_a is None or saliency_b is None:
            raise ValueError("ssmix chooses spans by saliency: give that of both texts")
        k = spans.span_length(a, b, self.lam0)
        if self.short_partner == "skip":
            k = k * (b.length >= spans.share_of(a.length, self.lam0))
        least = spans.extreme_window(a, k, saliency_a, most=False)
        most = spans.extreme_window(b, k, saliency_b, most=True)
        return Move(a, b, *spans.window(a, least, k, most), k)


def split_saliency(
    model: nn.Module, batch: Batch, special: SpecialTokens, loss: Callable[..., Tensor] = mixed_cross_entropy
) -> list[Tensor]:
    """Saliency of the tokens in each of two sentences when the model reads that sentence alone, (rows, tokens) each.

    This is how the published code does it: each sentence becomes its own text, with its own token type throughout, and
    gets the label of the pair. No gradient is left at the model's parameters.

    Raises:
        ValueError: the model is under reentrant activation checkpointing.
    """
    refuse_reentrant_checkpointing(model)
    assert special.cls is not None  # prepare has refused tokenizers without these two
    assert special.separator is not None
    inputs, labels = inputs_of(batch), batch["labels"]
    sentence = spans.sentence_of(inputs, special)
    words = [spans.words_of(sentence, number) for number in spans.SENTENCES]
    alone: dict[str, list[Tensor]] = {}
    for kind, w in enumerate(words):
        place = spans.places(w)
        ids = inputs["input_ids"].gather(1, w.position.roll(1, 1))  # the token at place j moves to position j + 1
        ids = torch.where(place == 0, special.cls, torch.where(place == w.length + 1, special.separator, ids))
        text = {"input_ids": ids, "attention_mask": (place < w.length + 2).to(ids.dtype)}
        if "token_type_ids" in inputs:
            text["token_type_ids"] = torch.full_like(ids, kind)
        for name, tensor in text.items():
            alone.setdefault(name, []).append(tensor)
    with sites.watched_saliency(model) as watched:
        logits = logits_of(model, {name: torch.cat(tensors) for name, tensors in alone.items()})
        torch.autograd.grad(loss(logits, labels.repeat(2)), watched.embedded)
    at_place = watched.norms(words[0].position.shape[1]).roll(-1, 1).chunk(2)
    return [torch.zeros_like(s).scatter(1, w.position, s) for s, w in zip(at_place, words, strict=True)]


def refuse_reentrant_checkpointing(model: nn.Module) -> None:
    """Raise ``ValueError`` if the model recomputes in a way that ``torch.autograd.grad`` cannot handle."""
    for module in model.modules():
        options = getattr(getattr(module, "_gradient_checkpointing_func", None), "keywords", {})
        if getattr(module, "gradient_checkpointing", False) and options.get("use_reentrant"):
            raise ValueError(
                "saliency='split' takes gradients at the embeddings alone, which reentrant activation checkpointing "
                "does not allow: set activation_checkpointing_kwargs={'use_reentrant': False}, or use saliency='joint'"
            )


@dataclass(kw_only=True)
class RandomSpans(InputMixing):
    """SSMix without saliency: each of the two spans at its own random place, all equally likely (section 3.3).

    Args:
        lam0: as in :class:`InputMixing`.
    """

    key: ClassVar[str] = "ssmix_nosal"
    look: ClassVar[Look] = Look("SSMix − saliency", "#e8825a", "H", (0, (3, 3)))

    def choose(self, a: Words, b: Words, saliency_a: Tensor | None = None, saliency_b: Tensor | None = None) -> Move:
        k = spans.span_length(a, b, self.lam0)
        start_a, start_b = (spans.random_window(w, k, self.uniform(w.position)) for w in (a, b))
        return Move(a, b, *spans.window(a, start_a, k, start_b), k)


@dataclass(kw_only=True)
class RandomTokens(InputMixing):
    """SSMix without saliency and span: k tokens at random places, taken from the same places of the partner (3.3, B.1).

    Args:
        lam0: as in :class:`InputMixing`.
    """

    key: ClassVar[str] = "ssmix_nosal_nospan"
    look: ClassVar[Look] = Look("SSMix − saliency − span", "#7a5230", "x", (0, (7, 1, 1, 1)))

    def choose(self, a: Words, b: Words, saliency_a: Tensor | None = None, saliency_b: Tensor | None = None) -> Move:
        k = spans.span_length(a, b, self.lam0)
        chosen = spans.random_places(a, k, self.uniform(a.position), below=b.length)
        return Move(a, b, chosen, spans.places(a).expand_as(chosen), k)


@dataclass(kw_only=True)
class UnknownTokens(InputMixing):
    """Random tokens become the unknown token and the label is kept: what mixing has to beat (appendix B.2).

    As in SSMix, a step takes the mean of the loss of the texts as they are and that of the changed ones, in which every
    sentence that has tokens loses max(floor(lam0 |a|), 1) of them, whatever the length of its partner. The last row of
    an odd batch is not changed, and a batch of one row is trained on as it is.

    Args:
        lam0: as in :class:`InputMixing`.
    """

    key: ClassVar[str] = "unk"
    look: ClassVar[Look] = Look("UNK", "#a0a0a0", "+", (0, (2, 4)))

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        super().prepare(model, tokenizer, train_lengths)
        if self.special.unknown is None:
            raise ValueError(f"unk writes the unknown token, and {type(tokenizer).__name__} has none")

    def choose(self, a: Words, b: Words, saliency_a: Tensor | None = None, saliency_b: Tensor | None = None) -> Move:
        k = spans.span_length(a, a, self.lam0)
        chosen = spans.random_places(a, k, self.uniform(a.position))
        return Move(a, a, chosen, spans.places(a).expand_as(chosen), k)

    def write(self, ids: Tensor, source: Tensor, move: Move) -> Tensor:
        assert self.special.unknown is not None  # prepare has seen to it
        unknown = torch.full_like(ids, self.special.unknown)
        return spans.copy_tokens(ids, move.a, move.chosen, unknown, move.a, move.source)

    def weight(self, share: Tensor) -> Tensor:
        return torch.ones_like(share)
