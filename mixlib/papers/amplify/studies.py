"""What trained models attend to, for the figures of the AMPLIFY paper that show attention."""

from __future__ import annotations

import random
import re
from typing import Any

import torch
from torch import Tensor, nn

from mixlib.methods import sites, spans
from mixlib.runs import training
from mixlib.runs.studies import StudySpec, study

BATCH = 20  # texts per forward pass

# Figures 4 to 7: the paper's sentences. Its pairs in Figures 6 and 7 are one sentence twice.
HOPPED = ("the rabbit quickly hopped", "the turtle slowly crawled")
TIRED = "The animal didn't cross the street because it was too tired"
FILM = (
    "A coming-of-age film that avoids the cartoonish clichés and sneering humor of the genre as it provides a fresh "
    "view of an old type"
)

# Our further pairs of Figure 5's form: subject, adverb and verb of each sentence are drawn
SUBJECTS = ("rabbit", "turtle", "dog", "cat", "horse", "bird", "fox", "bear", "child", "farmer", "teacher", "soldier")
ADVERBS = ("quickly", "slowly", "quietly", "happily", "suddenly", "gently", "eagerly", "carefully")
VERBS = ("hopped", "crawled", "jumped", "slept", "walked", "danced", "waited", "shouted", "smiled", "laughed")

# Our further sentences of Figure 6's form: what "it" stands for, and the other noun
REFERENCES = (
    ("The animal didn't cross the street because it was too wide", "street", "animal"),
    ("The dog didn't chase the ball because it was too tired", "dog", "ball"),
    ("The dog didn't catch the ball because it was too fast", "ball", "dog"),
    ("The horse didn't jump the fence because it was too weak", "horse", "fence"),
    ("The horse didn't jump the fence because it was too high", "fence", "horse"),
    ("The cat didn't eat the fish because it was too full", "cat", "fish"),
    ("The cat didn't eat the fish because it was too hot", "fish", "cat"),
    ("The bird didn't leave the nest because it was too young", "bird", "nest"),
    ("The bird didn't build the nest because it was too large", "nest", "bird"),
    ("The truck didn't pass the bridge because it was too heavy", "truck", "bridge"),
    ("The truck didn't pass the bridge because it was too narrow", "bridge", "truck"),
    ("The child didn't read the book because it was too long", "book", "child"),
    ("The robot didn't climb the hill because it was too slow", "robot", "hill"),
    ("The robot didn't climb the hill because it was too steep", "hill", "robot"),
    ("The ship didn't reach the island because it was too damaged", "ship", "island"),
    ("The ship didn't reach the island because it was too far", "island", "ship"),
    ("The bear didn't enter the cave because it was too big", "bear", "cave"),
    ("The bear didn't enter the cave because it was too dark", "cave", "bear"),
    ("The plane didn't land on the field because it was too wet", "field", "plane"),
    ("The key didn't open the door because it was too small", "key", "door"),
)


@study
def attention(spec: StudySpec) -> dict[str, Any]:
    """What the words of given sentences, and of many others, attend to after training with a method (claims 13 and 14).

    Params: ``run`` (canonical spec of a run, trained first), ``blocks`` (such as ``"4/12"``: of Figures 4 to 6, and of
    Figure 7), ``pairs`` (how many sentence pairs are made up, and how many of the test split are looked at), ``keep``
    (keep what figures draw). Attention is averaged over heads; if a word has several pieces, it is summed over those
    attended to and averaged over those that attend. Values, of the first block unless stated otherwise:

    - ``crossing``, ``crossing_made``, ``crossing_test``: the share of attention between words that goes to the other
      sentence, for the paper's pair, and as lists for made-up pairs and test pairs;
    - ``linked``, ``linked_made``: the share of a subject's attention to the two verbs that its own verb gets;
    - ``resolved``: attention of "it" to "animal", "too" and "tired" (both copies), ``resolved_film`` that of "it" to
      "film" in the second block;
    - ``resolved_made``: the share of the attention of "it" to two nouns that goes to the one it stands for, a list;
    - ``accuracy`` of the model; with ``keep`` also ``views``.
    """
    p = spec.params
    fitted = training.fit(spec.run)
    reader = Reader(fitted.trainer.model, fitted.tokenizer)
    block, first = (sites.chosen_blocks(reader.model, [name])[0] for name in p["blocks"])
    test = fitted.evaluated["test"]
    hopped, *made = reader.read([HOPPED, *_made_pairs(p["pairs"])], block)
    tired, *others = reader.read([(TIRED, TIRED), *((text, text) for text, _, _ in REFERENCES)], block)
    (film,) = reader.read([(FILM, FILM)], first)
    values: dict[str, Any] = {
        "accuracy": fitted.last("accuracy"),
        "crossing": hopped.crossing(),
        "crossing_made": [text.crossing() for text in made],
        "crossing_test": [text.crossing() for text in reader.read_rows(test, block, p["pairs"])],
        "linked": _linked(hopped),
        "linked_made": [_linked(text) for text in made],
        "resolved": {word: tired.weight("it", word) for word in ("animal", "too", "tired")},
        "resolved_film": film.weight("it", "film"),
        "resolved_made": [
            _share(text.weight("it", right), text.weight("it", wrong))
            for text, (_, right, wrong) in zip(others, REFERENCES, strict=True)
        ],
    }
    values = {name: _rounded(value) for name, value in values.items()}
    if p["keep"]:
        values["views"] = {
            "pair": hopped.as_dict(), "doubled": tired.as_dict(), "film": film.as_dict(),
            "neurons": reader.neurons((TIRED, TIRED), block, "it"),
        }  # fmt: skip
    return values


def _made_pairs(count: int) -> list[tuple[str, str]]:
    """Pairs of sentences "the SUBJECT ADVERB VERB" whose six words differ, the same in every study."""
    draw = random.Random(0)
    words = [[draw.sample(kind, 2) for kind in (SUBJECTS, ADVERBS, VERBS)] for _ in range(count)]
    return [tuple("the " + " ".join(kind[i] for kind in pair) for i in (0, 1)) for pair in words]


def _linked(text: ReadText) -> float:
    """The share of a subject's attention to the two verbs that its own verb gets, the mean of both sentences."""
    (a, b), (verb_a, verb_b) = ([sentence[i] for sentence in text.sentences()] for i in (1, 3))
    own = [_share(text.between(a, verb_a), text.between(a, verb_b)), _share(text.between(b, verb_b),
                                                                           text.between(b, verb_a))]  # fmt: skip
    return sum(own) / 2


def _share(one: float, other: float) -> float:
    return one / (one + other)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(x) for name, x in value.items()}
    return [_rounded(x) for x in value] if isinstance(value, list) else round(value, 5)


class ReadText:
    """One text and the attention between its words.

    Attributes:
        words: in order, special tokens included, each with its position.
        side: of each word: 0 or 1 for the two sentences, ``None`` for special tokens.
        attention: (words, words), from row to column, mean over heads.
    """

    def __init__(self, words: list[str], side: list[int | None], attention: Tensor) -> None:
        self.words, self.side, self.attention = words, side, attention

    def sentences(self) -> list[list[int]]:
        """The positions of the words of each sentence."""
        return [[i for i, side in enumerate(self.side) if side == k] for k in (0, 1)]

    def between(self, query: int, key: int) -> float:
        return float(self.attention[query, key])

    def crossing(self) -> float:
        """The share of attention between words that goes to the other sentence."""
        a, b = self.sentences()
        inside = self.attention[a][:, a].sum() + self.attention[b][:, b].sum()
        across = self.attention[a][:, b].sum() + self.attention[b][:, a].sum()
        return float(across / (inside + across))

    def weight(self, query: str, key: str) -> float:
        """Attention of the first ``query`` to all ``key``."""
        return float(self.attention[self.words.index(query), [i for i, w in enumerate(self.words) if w == key]].sum())

    def as_dict(self) -> dict[str, Any]:
        rounded = [[round(float(x), 4) for x in row] for row in self.attention]
        return {"words": self.words, "side": self.side, "attention": rounded}


class Reader:
    """A trained classifier that shows what its words attend to.

    Args:
        model: a Hugging Face classifier; it is switched to eager attention, which returns weights, and to eval mode.
        tokenizer: of the model, a fast one.
    """

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:
        self.model, self.tokenizer = sites.unwrap(model).eval(), tokenizer
        self.model.set_attn_implementation("eager")
        self.device = next(model.parameters()).device

    def _weights(self, inputs: dict[str, Tensor], block: int) -> Tensor:
        """Attention (rows, heads, tokens, tokens) of a block."""
        with torch.inference_mode():
            found = self.model(**inputs, output_attentions=True).attentions
        if not found:
            raise ValueError(f"{type(self.model).__name__} returns no attention weights")
        return found[block - 1].float().cpu()

    def read(self, pairs: list[tuple[str, str]], block: int) -> list[ReadText]:
        """Pairs of sentences with the attention between their words in a block."""
        found = []
        for start in range(0, len(pairs), BATCH):
            chosen = pairs[start : start + BATCH]
            encoded = self.tokenizer([a for a, _ in chosen], [b for _, b in chosen], padding=True, return_tensors="pt")
            weights = self._weights(encoded.to(self.device), block).mean(1)
            for row, pair in enumerate(chosen):
                length = int(encoded["attention_mask"][row].sum())
                sides, numbers = encoded.sequence_ids(row)[:length], encoded.word_ids(row)[:length]
                groups, words, side = [], [], []
                for i in range(length):
                    if sides[i] is not None and i and (sides[i - 1], numbers[i - 1]) == (sides[i], numbers[i]):
                        groups[-1].append(i)
                        continue
                    groups.append([i])
                    side.append(sides[i])
                    if sides[i] is None:
                        words.append(self.tokenizer.convert_ids_to_tokens(int(encoded["input_ids"][row, i])))
                    else:
                        span = encoded.word_to_chars(row, numbers[i], sides[i])
                        words.append(pair[sides[i]][span.start : span.end])
                found.append(ReadText(words, side, by_group(weights[row], groups)))
        return found

    def read_rows(self, rows: Any, block: int, count: int) -> list[ReadText]:
        """The first rows of an encoded split of sentence pairs, which are its longest, token by token."""
        found, special = [], spans.special_tokens(self.tokenizer)
        for row in rows.select(range(min(count, len(rows)))):
            inputs = {name: torch.tensor([row[name]]) for name in self.tokenizer.model_input_names if name in row}
            weights = self._weights({name: x.to(self.device) for name, x in inputs.items()}, block)[0].mean(0)
            side = [number - 1 if number else None for number in spans.sentence_of(inputs, special)[0].tolist()]
            found.append(ReadText(self.tokenizer.convert_ids_to_tokens(row["input_ids"]), side, weights))
        return found

    def neurons(self, pair: tuple[str, str], block: int, query: str) -> dict[str, Any]:
        """What the neuron view of a word shows: query, keys, products and attention in one head of a block.

        The head is the one in which the word attends most to words rather than special tokens.
        """
        attention = sites.attentions(self.model)[block - 1]
        caught: dict[str, Tensor] = {}
        handles = [
            module.register_forward_hook(lambda module, args, output, name=name: caught.update({name: output}))
            for name, module in attention.named_modules() if name.endswith(("query", "key"))
        ]  # fmt: skip
        encoded = self.tokenizer(*pair, return_tensors="pt")
        try:
            weights = self._weights(encoded.to(self.device), block)[0]
        finally:
            for handle in handles:
                handle.remove()
        if len(caught) != 2:
            raise ValueError(f"{type(attention).__name__} has no query and key layers of these names to look at")
        tokens = encoded.tokens()
        heads = weights.shape[0]
        row = encoded.char_to_token(0, re.search(rf"\b{query}\b", pair[0]).start(), sequence_index=0)
        ordinary = torch.tensor([side is not None for side in encoded.sequence_ids()])
        head = int(weights[:, row, ordinary].sum(-1).argmax())
        by_kind = {name.rpartition(".")[2]: x[0].float().cpu() for name, x in caught.items()}
        q, k = (by_kind[kind].unflatten(-1, (heads, -1))[:, head] for kind in ("query", "key"))  # (tokens, width)
        rounded = {"query": q[row], "keys": k, "attention": weights[head, row]}
        return {"tokens": tokens, "row": row, "head": head + 1} | {
            name: [[round(float(x), 3) for x in line] for line in value] if value.dim() == 2
            else [round(float(x), 4) for x in value] for name, value in rounded.items()
        }  # fmt: skip


def by_group(attention: Tensor, groups: list[list[int]]) -> Tensor:
    """Attention between groups of tokens: summed over those attended to, averaged over those that attend."""
    member = torch.zeros(len(groups), attention.shape[0])
    for number, group in enumerate(groups):
        member[number, group] = 1.0
    return (member / member.sum(1, keepdim=True)) @ attention @ member.T
