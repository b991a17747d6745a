"""CLS, Input and Manifold MixUp for Transformers.

"MixUp Training Leads to Reduced Overfitting and Improved Calibration for the Transformer Architecture" (2021).
All three mix each row of a batch with another one, x~ = lam x_i + (1 - lam) x_j and y~ = lam y_i + (1 - lam) y_j
with lam ~ Beta(alpha, alpha) (equation 1), and train only on the mixed rows. They differ in what x is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlib.arguments import as_number, check_number
from mixlib.methods import sites
from mixlib.methods.base import Batch, Draw, Look, Method, attention_mask, inputs_of, logits_of, moved
from mixlib.methods.mixing import check_alpha, mix, random_others, random_pairs, sample_lam

PADDINGS = ("no_pad", "unused_pair", "sep_pair", "pad_pair", "unused_max", "sep_max", "pad_max")


@dataclass(kw_only=True)
class MixedRows(Method):
    """Train only on mixed rows: one forward pass with mixing inside, one two-term loss (equation 1)."""

    paper: ClassVar[str] = "mixup_calibration"
    needs_partner: ClassVar[bool] = True
    alpha: float = 1.0

    def __post_init__(self) -> None:
        self.alpha = check_alpha(self.alpha)

    @abstractmethod
    def draw(self, model: nn.Module, rows: int) -> Draw:
        """The random choices of one step on ``rows`` rows."""

    @contextmanager
    def mixing(self, model: nn.Module, batch: Batch, draw: Draw) -> Iterator[Batch]:
        """A context that yields inputs; inside it, ``model`` called with these inputs mixes as ``draw`` says."""
        with sites.changed(model, draw.layer, lambda x: mix(x, draw.perm, draw.lam)):
            yield inputs_of(batch)

    def logits(self, model: nn.Module, batch: Batch, draw: Draw) -> Tensor:
        """Logits (rows, num_labels) of the rows mixed by ``draw``."""
        with self.mixing(model, batch, draw) as inputs:
            return logits_of(model, inputs)

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        labels = batch["labels"]
        if len(labels) < 2:  # nobody to mix with
            yield self.plain_loss(model, batch)
            return
        draw = self.draw(sites.unwrap(model), len(labels))
        draw = draw._replace(perm=moved(draw.perm, labels.device))
        partners = draw.perm if draw.label_perm is None else moved(draw.label_perm, labels.device)
        with self.mixing(model, batch, draw) as inputs:
            # yielded inside: under gradient checkpointing the backward pass runs parts of the model, and hooks, again
            yield self.cross_entropy(logits_of(model, inputs), labels, partners, draw.lam)


@dataclass(kw_only=True)
class ClsMixup(MixedRows):
    """CLS MixUp: mix the pooled sentence vectors, then classify (section 3.5.1, equation 3).

    Args:
        alpha: shape of Beta(alpha, alpha), positive (Table 6: 1.0, CoLA 0.75).
    """

    key: ClassVar[str] = "cls_mixup"
    look: ClassVar[Look] = Look("CLS MixUp", "#de8f05", "s", "--")

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        model = sites.unwrap(model)
        sites.family(model), sites.class_layer(model)  # raise now rather than in the first step

    def draw(self, model: nn.Module, rows: int) -> Draw:
        lam = sample_lam(self.alpha, self.generator)
        return Draw(random_others(rows, self.generator), lam, sites.num_blocks(model) + 1)


@dataclass(kw_only=True)
class ClsMixupLate(ClsMixup):
    """CLS MixUp in the last part of training only, plain training before (the control of section 4).

    Args:
        alpha: as in CLS MixUp.
        start: share of training after which mixing begins, 0 to 1.
    """

    key: ClassVar[str] = "cls_mixup_late"
    look: ClassVar[Look] = Look("CLS MixUp, last half", "#c9a400", "D", ":")
    start: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        says = "a share of the training between 0 and 1"
        self.start = check_number("start", self.start, says, lambda number: 0 <= number <= 1)

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        if self.progress < self.start:
            yield self.plain_loss(model, batch)
        else:
            yield from super().losses(model, batch)


@dataclass(kw_only=True)
class ManifoldMixup(MixedRows):
    """Manifold MixUp: mix the hidden states of a layer drawn anew for each batch (section 3.5.3).

    Partners are swapped pairs, so both rows of a pair are padded to one common length and one forward pass is exact.
    Layer 0 alone is Input MixUp; layer n + 1 alone mixes the sentence vectors of the padded rows.

    Args:
        alpha: shape of Beta(alpha, alpha), positive.
        layers: layers to draw from, 0 (embedding output) to n + 1 (sentence vector); ``None``: all of them
            (the paper does not state its set).
        padding: what fills the shorter row of a pair, and how far (Table 5). ``sep``, ``unused``, ``pad``: fill with
            the tokenizer's separator, ``[unused0]`` or padding token, which attention sees; ``_pair``: up to the longer
            row of the pair; ``_max``: fill every row up to the longest training text. ``no_pad``: do not fill;
            positions beyond the shorter row keep the longer row's vector, and attention sees each row's own tokens.

    Raises:
        ValueError: ``alpha``, ``layers`` or ``padding`` out of range; in ``prepare``, layers that the model does not
            have, no tokenizer, one that pads on the left or lacks the token to fill with, no text lengths for ``_max``.
    """

    key: ClassVar[str] = "manifold_mixup"
    look: ClassVar[Look] = Look("Manifold MixUp", "#cc78bc", "v", (0, (5, 1, 1, 1, 1, 1)))
    layers: tuple[int, ...] | None = None
    padding: str = "sep_pair"
    fill_id: int | None = field(default=None, init=False, repr=False, compare=False)
    longest: int | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding not in PADDINGS:
            raise ValueError(f"unknown padding {self.padding!r}; choose one of {', '.join(PADDINGS)}")
        if self.layers is not None:
            given: Any = self.layers
            layers = [as_number(layer) for layer in (given if isinstance(given, Iterable) else [given])]
            if not layers:
                raise ValueError("layers must name at least one layer, got none")
            self.layers = tuple(layer for layer in layers if isinstance(layer, int))
            if len(self.layers) < len(layers):
                raise ValueError(f"layers must be whole numbers, 0 (embedding output) to n + 1, got {given!r}")

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        model = sites.unwrap(model)
        last = sites.num_blocks(model) + 1
        if wrong := [layer for layer in self.layers or () if not 0 <= layer <= last]:
            raise ValueError(f"layers {wrong} do not exist: this model has 0 (embedding output) to {last}")
        sites.class_layer(model)
        if getattr(tokenizer, "padding_side", "right") != "right":
            raise ValueError(f"{self.key} needs texts padded on the right; set tokenizer.padding_side = 'right'")
        kind, _, reach = self.padding.partition("_")
        if kind == "no":
            return
        if tokenizer is None:
            raise ValueError(f"padding={self.padding!r} writes tokens: give it the tokenizer (processing_class)")
        token = {"sep": tokenizer.sep_token, "pad": tokenizer.pad_token, "unused": "[unused0]"}[kind]
        ids, instead = tokenizer.get_vocab(), "'pad_pair' or "
        if token not in ids:
            raise ValueError(
                f"padding={self.padding!r} needs the token {token or kind + '_token'}, which the tokenizer "
                f"{type(tokenizer).__name__} does not have; padding={'' if kind == 'pad' else instead}'no_pad' may do"
            )
        self.fill_id = ids[token]
        if reach == "max":
            if not train_lengths:
                raise ValueError(
                    f"padding={self.padding!r} needs the lengths of the training texts, which a stream does not tell; "
                    f"padding={kind + '_pair'!r} does not"
                )
            self.longest = max(train_lengths)

    @property
    def needs_lengths(self) -> bool:
        return self.padding.endswith("_max")

    @property
    def writes(self) -> tuple[int, ...]:
        return () if self.fill_id is None else (self.fill_id,)

    def draw(self, model: nn.Module, rows: int) -> Draw:
        lam = sample_lam(self.alpha, self.generator)
        perm = random_pairs(rows, self.generator)
        layers = range(sites.num_blocks(model) + 2) if self.layers is None else self.layers
        return Draw(perm, lam, layers[int(torch.randint(len(layers), (), generator=self.generator))])

    @contextmanager
    def mixing(self, model: nn.Module, batch: Batch, draw: Draw) -> Iterator[Batch]:
        inputs = inputs_of(batch)
        if self.padding == "no_pad":
            real = attention_mask(inputs).bool()
            both = (real & real[draw.perm]).unsqueeze(-1)
        else:
            assert self.fill_id is not None  # prepare has looked it up
            inputs = pad_together(inputs, draw.perm, self.fill_id, self.longest)
            both = None

        def mixed(x: Tensor) -> Tensor:
            whole = mix(x, draw.perm, draw.lam)
            if both is None or x.dim() == 2:
                return whole
            text = sites.of_text(model, x.shape[1], both.shape[1])
            return torch.where(F.pad(both, (0, 0, text.start, x.shape[1] - text.stop), value=True), whole, x)

        with sites.changed(model, draw.layer, mixed):
            yield inputs


@dataclass(kw_only=True)
class InputMixup(ManifoldMixup):
    """Input MixUp: mix the token embeddings position by position (section 3.5.2, equation 4).

    Args:
        alpha: shape of Beta(alpha, alpha), positive.
        padding: as in Manifold MixUp; ``sep_pair`` is the paper's choice.
    """

    key: ClassVar[str] = "input_mixup"
    look: ClassVar[Look] = Look("Input MixUp", "#d55e00", "^", "-.")
    layers: tuple[int, ...] | None = field(default=(0,), init=False)


def pad_together(inputs: Batch, perm: Tensor, fill_id: int, longest: int | None = None) -> Batch:
    """Fill each row with ``fill_id`` up to the length of its partner if that is longer, and attend to the filling.

    Args:
        inputs: right-padded ``input_ids``, ``attention_mask`` (by default all ones) and others of shape (rows, tokens).
        perm: (rows,) swapped pairs.
        longest: if given, fill every row up to this many tokens instead.

    Returns:
        New tensors. Without ``longest``, rows at least as long as their partner are unchanged; with it, every shorter
        row is filled, and all tensors of shape (rows, tokens) are padded to at least ``longest`` tokens.
    """
    ids, mask = inputs["input_ids"], attention_mask(inputs)
    inputs = inputs | {"attention_mask": mask}
    if longest is not None and longest > ids.shape[1]:
        more = (0, longest - ids.shape[1])
        inputs = {name: F.pad(x, more) if x.shape == ids.shape else x for name, x in inputs.items()}
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
    length = mask.sum(1, keepdim=True)
    until = torch.maximum(length, length[perm]) if longest is None else longest
    position = torch.arange(ids.shape[1], device=ids.device)
    fill = (position >= length) & (position < until)
    return {**inputs, "input_ids": ids.masked_fill(fill, fill_id), "attention_mask": mask.masked_fill(fill, 1)}
