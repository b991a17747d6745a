"""EmbedMix, TMix and SentenceMix: mixing hidden states of two texts, the baselines of the SSMix and AMPLIFY papers.

x~ = lam x_i + (1 - lam) x_j at some layer, likewise y~, with lam = max(lam0, 1 - lam0) and lam0 ~ Beta(alpha, alpha),
one draw per batch (SSMix section 3.2, AMPLIFY equation 9). TMix comes from MixText (Chen et al. 2020); EmbedMix and
SentenceMix follow wordMixup and senMixup (Guo et al. 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mixlib.arguments import check_choice
from mixlib.methods import sites
from mixlib.methods.base import Batch, Draw, Look, attention_mask, logits_of, swapped_halves
from mixlib.methods.mixing import random_others, sample_lam
from mixlib.methods.mixup_calibration import MixedRows

TMIX_BLOCKS = ("7/12", "9/12", "12/12")  # blocks that both papers draw from
LABEL_PERMS = ("same", "independent")


@dataclass(kw_only=True)
class HiddenMixup(MixedRows):
    """Mix hidden states of the rows of a batch.

    Args:
        alpha: shape of Beta(alpha, alpha), positive (SSMix and AMPLIFY papers: 0.2).
        originals: ``True`` is the SSMix paper's frame: the mean of four losses, those of the two halves of the batch
            and of each half mixed with the other; an odd row is trained on as it is. ``False`` is the AMPLIFY paper's
            frame: the mixed rows alone, each mixed with a random other row.
        label_perm: whose label is mixed in. ``"same"``: that of the row mixed in. ``"independent"``: that of a row from
            a second, unrelated draw, so that labels do not belong to inputs; this is a fault of the AMPLIFY paper's
            code in EmbedMix, TMix and SentenceMix, for comparison only.
    """

    paper: ClassVar[str] = "ssmix"
    alpha: float = 0.2
    originals: bool = False
    label_perm: str = "same"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("label_perm", self.label_perm, LABEL_PERMS)
        check_choice("originals", self.originals, (True, False))
        if self.originals and self.label_perm != "same":
            raise ValueError("label_perm='independent' belongs to the AMPLIFY paper's frame: set originals=False")

    @property
    def passes(self) -> int:
        return 2 if self.originals else 1

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        sites.family(sites.unwrap(model))  # raise now rather than in the first step

    def draw(self, model: nn.Module, rows: int) -> Draw:
        lam = sample_lam(self.alpha, self.generator, "folded")
        draw = Draw(random_others(rows, self.generator), lam, self.layer(model))
        if self.label_perm == "independent":  # drawn last: inputs are mixed as they are with "same"
            draw = draw._replace(label_perm=random_others(rows, self.generator))
        return draw

    def layer(self, model: nn.Module) -> int:
        """The layer to mix at in this step."""
        return 0

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        if not self.originals or len(batch["labels"]) < 2:
            yield from super().losses(model, batch)
            return
        yield self.plain_loss(model, batch) / 2
        pairs, perm = swapped_halves(batch)
        draw = self.draw(sites.unwrap(model), len(perm))._replace(perm=perm)
        with self.mixing(model, pairs, draw) as inputs:
            yield self.cross_entropy(logits_of(model, inputs), pairs["labels"], perm, draw.lam) / 2


@dataclass(kw_only=True)
class EmbedMix(HiddenMixup):
    """Mix the embedding layer's outputs; attention covers the tokens of either text.

    Args:
        alpha, originals, label_perm: as in :class:`HiddenMixup`.
    """

    key: ClassVar[str] = "embedmix"
    look: ClassVar[Look] = Look("EmbedMix", "#0173b2", "<", (0, (3, 1)))

    @contextmanager
    def mixing(self, model: nn.Module, batch: Batch, draw: Draw) -> Iterator[Batch]:
        with super().mixing(model, batch, draw) as inputs:
            mask = attention_mask(inputs)
            yield inputs | {"attention_mask": torch.maximum(mask, mask[draw.perm])}


@dataclass(kw_only=True)
class TMix(HiddenMixup):
    """Mix the outputs of a block drawn anew for each batch; attention covers each row's own tokens.

    Args:
        alpha, originals, label_perm: as in :class:`HiddenMixup`.
        blocks: blocks to draw from, see :func:`mixlib.methods.sites.chosen_blocks`; ``None``: 7, 9 and 12 of twelve,
            which in a model of six blocks, such as MiniLM, are 4 and 6.
    """

    key: ClassVar[str] = "tmix"
    look: ClassVar[Look] = Look("TMix", "#56b4e9", ">", (0, (1, 1)))
    blocks: tuple[int | str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.blocks = sites.check_blocks(self.blocks)

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        sites.chosen_blocks(sites.unwrap(model), self.blocks or TMIX_BLOCKS)

    def layer(self, model: nn.Module) -> int:
        blocks = sites.chosen_blocks(model, self.blocks or TMIX_BLOCKS)
        return blocks[int(torch.randint(len(blocks), (), generator=self.generator))]


@dataclass(kw_only=True)
class SentenceMix(HiddenMixup):
    """Mix the sentence vectors before the class layer (AMPLIFY section 4.2).

    The paper's code instead mixes the logits of two forward passes; with a linear class layer that is the same except
    for dropout, and takes twice the time.

    Args:
        alpha, originals, label_perm: as in :class:`HiddenMixup`.
    """

    key: ClassVar[str] = "sentencemix"
    look: ClassVar[Look] = Look("SentenceMix", "#029e73", (4, 1, 45), (0, (5, 2)))
    paper: ClassVar[str] = "amplify"

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        super().prepare(model, tokenizer, train_lengths)
        sites.class_layer(sites.unwrap(model))

    def layer(self, model: nn.Module) -> int:
        return sites.num_blocks(model) + 1
