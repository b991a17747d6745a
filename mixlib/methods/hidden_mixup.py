"""EmbedMix and TMix: mixing hidden states of two texts, as the SSMix and AMPLIFY papers compare themselves with.

x~ = lam x_i + (1 - lam) x_j at some layer and y~ alike, with lam = max(lam0, 1 - lam0) and lam0 ~ Beta(alpha, alpha),
one draw a batch (SSMix section 3.2, AMPLIFY equation 9). TMix is from MixText (Chen et al. 2020), EmbedMix after
wordMixup (Guo et al. 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mixlib import sites
from mixlib.methods.base import Batch, Draw, inputs_of, plain_loss, swapped_halves
from mixlib.methods.mixup_calibration import MixedRows
from mixlib.mixing import mix, mixed_cross_entropy, random_others, sample_lam

TWELFTHS = (7, 9, 12)  # blocks of twelve that both papers draw TMix's from


@dataclass(kw_only=True)
class HiddenMixup(MixedRows):
    """Mix hidden states of the rows of a batch.

    Args:
        alpha: of Beta(alpha, alpha), positive (both papers: 0.2).
        originals: ``True`` is the SSMix paper's frame: the mean of four losses, of the two halves of the batch and of
            each mixed with the other, an odd row trained on as it is. ``False`` is the AMPLIFY paper's: the mixed rows
            alone, each with a random other row.
    """

    paper: ClassVar[str] = "ssmix"
    alpha: float = 0.2
    originals: bool = False

    @property
    def passes(self) -> int:
        return 2 if self.originals else 1

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        sites.family(sites.unwrap(model))  # raise now rather than in the first step

    def draw(self, model: nn.Module, rows: int) -> Draw:
        lam = sample_lam(self.alpha, self.generator, "folded")
        return Draw(random_others(rows, self.generator), lam, self.layer(model))

    def layer(self, model: nn.Module) -> int:
        """The layer to mix at in this step."""
        return 0

    @contextmanager
    def mixing(self, model: nn.Module, batch: Batch, draw: Draw) -> Iterator[Batch]:
        with sites.changed(model, draw.layer, lambda x: mix(x, draw.perm, draw.lam)):
            yield inputs_of(batch)

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        if not self.originals or len(batch["labels"]) < 2:
            yield from super().losses(model, batch)
            return
        yield plain_loss(model, batch) / 2
        pairs, perm = swapped_halves(batch)
        draw = self.draw(sites.unwrap(model), len(perm))._replace(perm=perm)
        with self.mixing(model, pairs, draw) as inputs:
            yield mixed_cross_entropy(model(**inputs).logits, pairs["labels"], perm, draw.lam) / 2


@dataclass(kw_only=True)
class EmbedMix(HiddenMixup):
    """Mix the embedding layer's outputs; attention covers the tokens of either text.

    Args:
        alpha, originals: as in :class:`HiddenMixup`.
    """

    key: ClassVar[str] = "embedmix"

    @contextmanager
    def mixing(self, model: nn.Module, batch: Batch, draw: Draw) -> Iterator[Batch]:
        with super().mixing(model, batch, draw) as inputs:
            mask = inputs["attention_mask"]
            yield inputs | {"attention_mask": mask | mask[draw.perm]}


@dataclass(kw_only=True)
class TMix(HiddenMixup):
    """Mix the outputs of a block drawn anew for each batch; attention covers each row's own tokens.

    Args:
        alpha, originals: as in :class:`HiddenMixup`.
        blocks: to draw from, 1 to n; ``None``: blocks 7, 9 and 12 of twelve, scaled to the model's number of blocks.
    """

    key: ClassVar[str] = "tmix"
    blocks: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blocks is not None:
            self.blocks = tuple(self.blocks)
            if not self.blocks:
                raise ValueError("blocks must name at least one block, got none")

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        n = sites.num_blocks(sites.unwrap(model))
        if wrong := [block for block in self.blocks or () if not 1 <= block <= n]:
            raise ValueError(f"blocks {wrong} do not exist: this model has 1 to {n}")

    def layer(self, model: nn.Module) -> int:
        n = sites.num_blocks(model)
        blocks = self.blocks or tuple(dict.fromkeys(max(1, round(block * n / 12)) for block in TWELFTHS))
        return blocks[int(torch.randint(len(blocks), (), generator=self.generator))]
