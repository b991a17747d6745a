"""AMPLIFY: mixing the outputs of the attention sublayers.

"AMPLIFY: Attention-based Mixup for Performance Improvement and Label Smoothing in Transformer" (2023). The methods it
is compared with are in :mod:`mixlib.methods.hidden_mixup`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from mixlib.arguments import check_choice, check_count
from mixlib.methods import sites
from mixlib.methods.base import Batch, Draw, Look, inputs_of
from mixlib.methods.mixing import mix, random_others, sample_lam
from mixlib.methods.mixup_calibration import MixedRows


@dataclass(kw_only=True)
class Amplify(MixedRows):
    """In every block, the attention sublayer's output h becomes lam h + (1 - lam) h[perm] (Algorithm 1).

    All blocks of a step share one permutation and one lam, the largest of n draws of Beta(alpha, alpha) (equations 5
    and 6); each row keeps its own attention mask. The loss is lam CE(y) + (1 - lam) CE(y[perm]) (equation 8). The
    output is taken after residual and LayerNorm or, in a model that normalizes first, before it joins the residual.

    Args:
        alpha: shape of Beta(alpha, alpha), positive (section 3: 0.1).
        n: number of draws, of which lam is the largest, at least 1 (Table 1: 5).
        blocks: blocks to mix in, see :func:`mixlib.methods.sites.chosen_blocks`; ``None``: all (Table 4: one of 4, 8
            and 12).
        and_later: mix in the first of ``blocks`` and in all later blocks, as the published code of Table 4 does.

    Raises:
        ValueError: ``alpha``, ``n`` or ``blocks`` out of range.
        sites.UnsupportedArchitecture: a model without attention sublayers or with unknown structure (``prepare``).
    """

    key: ClassVar[str] = "amplify"
    look: ClassVar[Look] = Look("AMPLIFY", "#5e3c99", (8, 1, 0), (0, (12, 1, 1, 1)))
    paper: ClassVar[str] = "amplify"
    alpha: float = 0.1
    n: int = 5
    blocks: tuple[int | str, ...] | None = None
    and_later: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.n = check_count("n", self.n)
        self.blocks = sites.check_blocks(self.blocks)
        check_choice("and_later", self.and_later, (True, False))
        if self.and_later and self.blocks is None:
            raise ValueError("and_later=True needs the block to begin at: give blocks")

    def mixed_in(self, model: nn.Module) -> tuple[int, ...]:
        """The numbers of the blocks it mixes in."""
        chosen = sites.chosen_blocks(model, self.blocks)
        return tuple(range(min(chosen), sites.num_blocks(model) + 1)) if self.and_later else chosen

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        model = sites.unwrap(model)
        self.mixed_in(model), sites.attentions(model)  # raise now rather than in the first step

    def draw(self, model: nn.Module, rows: int) -> Draw:
        lam = sample_lam(self.alpha, self.generator, "max_of_n", self.n)
        return Draw(random_others(rows, self.generator), lam)

    @contextmanager
    def mixing(self, model: nn.Module, batch: Batch, draw: Draw) -> Iterator[Batch]:
        blocks = self.mixed_in(sites.unwrap(model))
        with sites.attention_changed(model, lambda h: mix(h, draw.perm, draw.lam), blocks):
            yield inputs_of(batch)
