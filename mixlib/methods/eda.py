"""Random deletion and random swap of whole words in token ids: whole batches, no loops over rows.

Two of the four operations of EDA (Wei and Zou 2019, "EDA: Easy Data Augmentation Techniques for Boosting Performance on
Text Classification Tasks"). A text is a row of *units*: its words, each with all its word pieces, and its special
tokens and padding, which never move. Pure functions of tensors of shape (rows, tokens).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mixlib.methods import spans

PIECE, BEGINNINGS = "##", ("Ġ", "▁")  # mark the continuation (WordPiece) or beginning (BPE, SentencePiece) of a word


def continuing(tokenizer: Any) -> Tensor:
    """Whether each token id continues the word before it, as far as the tokens' spelling tells; (ids,) bool.

    In a vocabulary that marks neither the beginning nor the continuation of a word, each token is a word.
    """
    vocabulary = tokenizer.get_vocab()
    marked = {mark: [i for token, i in vocabulary.items() if token.startswith(mark)] for mark in (PIECE, *BEGINNINGS)}
    mark = max(marked, key=lambda mark: len(marked[mark]))
    found = torch.zeros(max(vocabulary.values()) + 2, dtype=torch.bool)  # the last one for ids beyond the vocabulary
    found[marked[mark]] = True
    return ~found if mark in BEGINNINGS and marked[mark] else found


class Units(NamedTuple):
    """Words, and all other tokens one by one, in row order.

    ``of_token`` (rows, tokens): number of the unit that each token belongs to. ``sentence`` (rows, units): 1 or 2 for
    the words of that sentence, 0 for other units and beyond the last one; there is room for as many units as tokens.
    """

    of_token: Tensor
    sentence: Tensor


def units(ids: Tensor, sentence: Tensor, continues: Tensor) -> Units:
    """Find the words.

    Args:
        ids: (rows, tokens).
        sentence: (rows, tokens), from :func:`mixlib.methods.spans.sentence_of`.
        continues: from :func:`continuing`, on the device of ``ids``.
    """
    goes_on = continues[ids.clamp_max(len(continues) - 1)] & (sentence > 0)
    goes_on[:, 1:] &= sentence[:, 1:] == sentence[:, :-1]
    goes_on[:, 0] = False
    number = (~goes_on).cumsum(1) - 1
    return Units(number, torch.zeros_like(number).scatter(1, number, sentence))


def deleted(found: Units, share: float, scores: Tensor) -> Tensor:
    """The words to delete: each with probability ``share``, but never all words of a sentence; a mask (rows, units).

    Args:
        found: units of the texts.
        share: 0 to 1.
        scores: (rows, units) random numbers in [0, 1).
    """
    gone = torch.zeros_like(scores, dtype=torch.bool)
    for number in spans.SENTENCES:
        inside = found.sentence == number
        largest = scores.masked_fill(~inside, -1).amax(1, keepdim=True)  # stays, whatever the others do
        gone |= inside & (scores < share) & (scores < largest)
    return gone


def swapped(found: Units, share: float, scores: Tensor) -> Tensor:
    """Where each unit goes when ``max(floor(share * words), 1)`` pairs of words in a sentence are swapped.

    The pairs are disjoint; in a sentence of one word nothing is swapped.

    Args:
        found, share, scores: as in :func:`deleted`.

    Returns:
        (rows, units) places.
    """
    place = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape)
    target = place.clone()
    for number in spans.SENTENCES:
        words = spans.words_of(found.sentence, number)
        pairs = torch.minimum(spans.share_of(words.length, share).clamp_min(1), words.length // 2)
        drawn = scores.gather(1, words.position).masked_fill(place >= words.length, 2).argsort(1)  # in random order
        position = words.position.gather(1, drawn)
        partner = (place ^ 1).clamp_max(place.shape[1] - 1)
        moved = torch.where(place < 2 * pairs, position.gather(1, partner), target.gather(1, position))
        target = target.scatter(1, position, moved)
    return target


def rearranged(
    inputs: dict[str, Tensor], gone: Tensor, target: Tensor, padding_id: int, padding_side: str
) -> dict[str, Tensor]:
    """The texts without the deleted tokens, and with the others in a new order.

    Args:
        inputs: ``input_ids``, ``attention_mask`` and other tensors of that shape (rows, tokens); tensors of other
            shapes are left alone.
        gone: (rows, tokens) mask of deleted tokens; padding always counts as deleted.
        target: (rows, tokens) number to sort the tokens by; equal ones keep their order.
        padding_id: fills the places that become free; they are not attended to and have token type 0.
        padding_side: ``"right"`` or ``"left"``, the side of those places.
    """
    ids = inputs["input_ids"]
    gone = gone | (inputs["attention_mask"] == 0)
    end = ids.shape[1] if padding_side == "right" else -1
    order = target.masked_fill(gone, end).argsort(dim=1, stable=True)
    free = gone.gather(1, order)
    filled = {"input_ids": padding_id}
    return {
        name: x.gather(1, order).masked_fill(free, filled.get(name, 0)) if x.shape == ids.shape else x
        for name, x in inputs.items()
    }
