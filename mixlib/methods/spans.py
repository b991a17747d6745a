"""Which tokens of a text may move, and how spans are chosen and moved: whole batches at once, no loops over rows.

Pure functions of tensors of shape (rows, tokens). Special tokens and padding never move. The tokens of one sentence
are handled *in order*: its n tokens are at places 0 to n - 1, whatever lies between them in the row.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor

SENTENCES = (1, 2)
STEPS = 2**30  # saliency is rounded to this fraction of the row's largest, so that sums are exact on any device


class SpecialTokens(NamedTuple):
    """Token ids that are not words of a text.

    ``ids``: all of them; ``separator``: the token between two sentences, ``None`` if there is none; ``cls``: the token
    before a text; ``unknown``: the token for a word that the vocabulary lacks (it may move like a word).
    """

    ids: tuple[int, ...]
    separator: int | None
    cls: int | None = None
    unknown: int | None = None


def special_tokens(tokenizer: Any) -> SpecialTokens:
    """The special tokens of a Hugging Face tokenizer.

    Raises:
        ValueError: no tokenizer.
    """
    if tokenizer is None:
        raise ValueError(
            "this method moves tokens, but not special ones, and has to know which those are: give it the tokenizer "
            "(processing_class)"
        )
    roles = ("cls", "sep", "bos", "eos", "pad", "mask")
    named = {getattr(tokenizer, f"{role}_token_id", None) for role in roles}
    unknown = getattr(tokenizer, "unk_token_id", None)
    # an unknown word is a word; only where one id plays several roles (GPT-2) is it special after all
    ids = (set(tokenizer.all_special_ids) - {unknown}) | named
    return SpecialTokens(
        tuple(sorted(i for i in ids if i is not None)), tokenizer.sep_token_id, tokenizer.cls_token_id, unknown
    )


def sentence_of(inputs: dict[str, Tensor], special: SpecialTokens) -> Tensor:
    """The sentence each token belongs to: 1, 2, or 0 for special tokens and padding; (rows, tokens).

    The second sentence has token type 1; in rows without such types it is what follows the first separator (including
    RoBERTa's double one). A tokenizer with neither joins two sentences into one text.

    Args:
        inputs: ``input_ids`` and, if the model takes them, ``attention_mask`` and ``token_type_ids``.
        special: those of the tokenizer.
    """
    ids = inputs["input_ids"]
    word = torch.ones_like(ids, dtype=torch.bool)
    for token in special.ids:  # few; comparing with numbers moves nothing to the device
        word &= ids != token
    if (mask := inputs.get("attention_mask")) is not None:
        word &= mask.bool()
    second = torch.zeros_like(word)
    if special.separator is not None:
        second = ((ids == special.separator) & word.cumsum(1).bool()).cumsum(1).bool()
    if (types := inputs.get("token_type_ids")) is not None:
        second = torch.where((types > 0).any(1, keepdim=True), types > 0, second)
    return word * (1 + second.long())


class Words(NamedTuple):
    """The tokens of one sentence of each row, in order.

    ``position`` (rows, tokens): where in the row the token at each place is; the places after the sentence's hold the
    positions of all other tokens.
    ``length`` (rows, 1): number of tokens in the sentence.
    """

    position: Tensor
    length: Tensor

    def __getitem__(self, rows: Any) -> Words:  # type: ignore[override]
        return Words(self.position[rows], self.length[rows])


def words_of(sentence: Tensor, number: int) -> Words:
    """The tokens of sentence ``number`` (1 or 2) of each row."""
    inside = sentence == number
    return Words((~inside).byte().argsort(dim=1, stable=True), inside.sum(1, keepdim=True))


def share_of(length: Tensor, lam0: float) -> Tensor:
    """``floor(lam0 * length)``, exactly: 0.29 of 100 tokens is 29, which floating-point numbers would turn into 28."""
    share = Fraction(str(lam0)).limit_denominator(10**6)
    return length * share.numerator // share.denominator


def span_length(a: Words, b: Words, lam0: float) -> Tensor:
    """k = max(min(floor(lam0 |a|), |b|), 1) tokens (SSMix section 2), 0 if a sentence has none; (rows, 1)."""
    k = torch.minimum(share_of(a.length, lam0), b.length).clamp_min(1)
    return k * (a.length > 0) * (b.length > 0)


def places(words: Words) -> Tensor:
    """0, 1, 2, ... as (1, tokens)."""
    return torch.arange(words.position.shape[1], device=words.position.device).unsqueeze(0)


def extreme_window(words: Words, k: Tensor, saliency: Tensor, most: bool) -> Tensor:
    """First place of the window of ``k`` tokens with the lowest or highest mean saliency; the first wins a tie.

    Args:
        words: the sentence to search.
        k: (rows, 1) window lengths, at most the lengths of the sentences.
        saliency: (rows, tokens), not negative, at the tokens' own positions in the row.
        most: search for the highest mean instead of the lowest.

    Returns:
        (rows, 1) places, 0 where k is 0.
    """
    place = places(words)
    values = saliency.gather(1, words.position).masked_fill(place >= words.length, 0)
    largest = values.amax(1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny)
    # whole numbers have exact prefix sums: equal windows are equal, on every device
    before = torch.nn.functional.pad((values / largest * STEPS).round().long().cumsum(1), (1, 0))
    last = (place + k).clamp_max(words.position.shape[1])
    total = before.gather(1, last) - before[:, :-1]
    return _first_best(words, k, total if most else -total, tie=k)


def random_window(words: Words, k: Tensor, scores: Tensor) -> Tensor:
    """First place of a window of ``k`` tokens, all equally likely for random ``scores`` (rows, tokens); (rows, 1)."""
    return _first_best(words, k, (scores * STEPS).long(), tie=0)


def _first_best(words: Words, k: Tensor, score: Tensor, tie: Tensor | int) -> Tensor:
    score = score.masked_fill(places(words) + k > words.length, torch.iinfo(score.dtype).min // 2)
    # each token was rounded by at most half a step, so windows of k tokens within k steps are one value
    return (score >= score.amax(1, keepdim=True) - tie).byte().argmax(1, keepdim=True)


def random_places(words: Words, k: Tensor, scores: Tensor, below: Tensor | None = None) -> Tensor:
    """``k`` different places of the sentence, all sets equally likely for random ``scores``; a mask (rows, tokens).

    Args:
        words: the sentence.
        k: (rows, 1) how many.
        scores: (rows, tokens) in [0, 1).
        below: (rows, 1) use only places below this one; by default the whole sentence.
    """
    end = words.length if below is None else torch.minimum(words.length, below)
    rank = scores.masked_fill(places(words) >= end, 2.0).argsort(1).argsort(1)
    return rank < k


def window(words: Words, start: Tensor, k: Tensor, start_source: Tensor) -> tuple[Tensor, Tensor]:
    """The places of a window of ``k`` tokens from ``start`` on, and for each place the one it is copied from.

    Args:
        words: the text that is overwritten.
        start, k: (rows, 1) where the window begins in that text, and its length.
        start_source: (rows, 1) where it begins in the text that is copied from.

    Returns:
        A mask (rows, tokens) and places (rows, tokens).
    """
    place = places(words)
    source = (place - start + start_source).clamp(0, place.shape[1] - 1)
    return (place >= start) & (place < start + k), source


def copy_tokens(ids: Tensor, a: Words, chosen: Tensor, source: Tensor, b: Words, from_place: Tensor) -> Tensor:
    """``ids`` with the ``chosen`` places of sentence ``a`` overwritten by tokens of sentence ``b``.

    Args:
        ids: (rows, tokens), not changed in place.
        a, b: words of ``ids`` and of ``source``.
        chosen: (rows, tokens) mask of places.
        source: (rows, tokens) ids to take from.
        from_place: (rows, tokens) the place in ``b`` from which each place takes its token.
    """
    taken = source.gather(1, b.position.gather(1, from_place))
    return ids.scatter(1, a.position, torch.where(chosen, taken, ids.gather(1, a.position)))
