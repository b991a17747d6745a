"""What mixup is compared with, apart from the plain model: softer labels and changed texts, without any mixing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mixlib.arguments import check_count, check_number
from mixlib.methods import eda, spans
from mixlib.methods.base import Batch, Look, Method, inputs_of, logits_of
from mixlib.methods.mixing import mixed_cross_entropy
from mixlib.methods.spans import SpecialTokens


@dataclass(kw_only=True)
class LabelSmoothing(Method):
    """Cross-entropy against labels that give up a share epsilon to all classes equally (Szegedy et al. 2016).

    (1 - epsilon) CE(logits, y) + epsilon mean_c CE(logits, c): torch's ``label_smoothing``, and transformers'
    ``label_smoothing_factor``.

    Of C classes, the wrong ones together get epsilon (C - 1) / C; with mixing, the lighter of two different labels gets
    min(lam, 1 - lam). An epsilon that makes the two equal on average makes smoothing as strong as mixing.

    Args:
        epsilon: at least 0 (plain training) and below 1.
    """

    key: ClassVar[str] = "label_smoothing"
    look: ClassVar[Look] = Look("label smoothing", "#949494", "h", (0, (1, 4)))
    uses_hooks: ClassVar[bool] = False
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        says = "a share of the label at least 0 and below 1"
        self.epsilon = check_number("epsilon", self.epsilon, says, lambda number: 0 <= number < 1)

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        logits = logits_of(model, inputs_of(batch))
        epsilon, more = self.epsilon, self.criterion.smoothing  # what the trainer smooths is smoothed again
        criterion = self.criterion._replace(smoothing=epsilon + more - epsilon * more)
        yield mixed_cross_entropy(logits, batch["labels"], **criterion._asdict())


@dataclass(kw_only=True)
class EDA(Method):
    """Random deletion and random swap of words, labels kept (Wei and Zou 2019), at the cost of plain training.

    In that paper each text gets ``n_aug`` changed copies, and an epoch gets longer accordingly. Here the number of
    updates and of rows in each stays that of plain training: a row of a batch is itself with probability
    1 / (1 + n_aug), else a changed copy, drawn anew each time. A copy is changed by one of two operations, each with
    probability 1/2: each word is deleted with probability alpha, or max(floor(alpha * words), 1) pairs of words are
    swapped. The other two operations, replacement by synonyms and insertion of synonyms, need a thesaurus and are left
    out.

    In a pair, each sentence is changed on its own and keeps at least one word. Word pieces stay with their word, and
    special tokens in their place. The pairs of words that are swapped are disjoint, so one random order of the words
    of a sentence defines all swaps: its first two words change places, then the next two, and so on.

    Args:
        alpha: the probability that a word is deleted, and the number of swapped pairs as a share of the words; 0 (plain
            training) to 0.5 (the authors' code: 0.1).
        n_aug: changed copies that each text would be given, at least 1 (the authors' code: 9).

    Raises:
        ValueError: ``alpha`` or ``n_aug`` out of range; a tokenizer that is missing or has no padding token
            (``prepare``); rows with entity spans, which would no longer fit (``losses``).
    """

    key: ClassVar[str] = "eda"
    look: ClassVar[Look] = Look("EDA", "#ca9161", (5, 1, 180), (0, (7, 1, 3, 1)))
    uses_hooks: ClassVar[bool] = False
    alpha: float = 0.1
    n_aug: int = 9
    special: SpecialTokens = field(init=False, repr=False, compare=False)  # this and the next known once prepared
    continues: Tensor = field(init=False, repr=False, compare=False)
    padding_id: int = field(default=0, init=False, repr=False, compare=False)
    padding_side: str = field(default="right", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.n_aug = check_count("n_aug", self.n_aug)
        says = "a share of the words from 0 to 0.5"
        self.alpha = check_number("alpha", self.alpha, says, lambda number: 0 <= number <= 0.5)

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        self.special = spans.special_tokens(tokenizer)
        if tokenizer.pad_token_id is None:
            raise ValueError(f"eda shortens texts, but {type(tokenizer).__name__} has no padding token: set pad_token")
        self.padding_id, self.padding_side = tokenizer.pad_token_id, tokenizer.padding_side
        self.continues = eda.continuing(tokenizer)

    def augment(self, inputs: Batch) -> Batch:
        """New inputs of the same shape in which each row is itself, with words deleted, or with words swapped."""
        if "entity_spans" in inputs:
            raise ValueError(
                "eda moves words, and entity_spans would point at other ones: use another head than entities"
            )
        ids = inputs["input_ids"]
        inputs = {"attention_mask": torch.ones_like(ids), **inputs}
        self.continues = self.continues.to(ids.device, non_blocking=True)  # moves in the first step alone
        found = eda.units(ids, spans.sentence_of(inputs, self.special), self.continues)
        generator = self.generator_on(ids.device)
        scores = torch.rand(ids.shape, generator=generator, device=ids.device)
        choice = torch.rand((len(ids), 1), generator=generator, device=ids.device) * (1 + self.n_aug)
        deletes, swaps = choice < self.n_aug / 2, (choice >= self.n_aug / 2) & (choice < self.n_aug)
        gone = eda.deleted(found, self.alpha, scores) & deletes
        target = torch.where(
            swaps, eda.swapped(found, self.alpha, scores), torch.arange(ids.shape[1], device=ids.device)
        )
        gone, target = (of_unit.gather(1, found.of_token) for of_unit in (gone, target))
        return eda.rearranged(inputs, gone, target, self.padding_id, self.padding_side)

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        changed = self.augment(inputs_of(batch)) if self.alpha else inputs_of(batch)
        yield self.plain_loss(model, {**changed, "labels": batch["labels"]})
