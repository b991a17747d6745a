"""BatchMixup and the two pairwise methods it is compared with.

"BatchMixup: Improving Training by Interpolating Hidden States of the Entire Mini-batch" (Findings of ACL 2021). All
three mix the sentence vectors v(x) that enter the class layer, and two of them mix the class vectors w_y, the rows of
that layer, in the same way. Training uses only mixed points.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlib.arguments import check_choice, check_count, check_number
from mixlib.methods import sites
from mixlib.methods.base import Batch, Look, Method, inputs_of
from mixlib.methods.mixing import check_alpha, mixed_cross_entropy, sample_beta, sample_lam

OBJECTIVES = ("softmax", "cross_entropy", "dot")
POLICIES = ("elementwise", "sample")
UPDATES = ("each", "one")
CHUNK = {"cpu": 2**18, "cuda": 2**25}  # entries of the policy held at once: what fits the cache; 128 MiB


@dataclass(kw_only=True)
class MixedVectors(Method):
    """Train on points mixed from a batch's sentence vectors: one forward pass, plus a few small products for mixing."""

    paper: ClassVar[str] = "batchmixup"
    min_rows: ClassVar[int] = 2
    alpha: float = 1.0

    def __post_init__(self) -> None:
        self.alpha = check_alpha(self.alpha)

    def prepare(self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None) -> None:
        sites.check_class_vectors(sites.unwrap(model))  # raise now rather than in the first step

    @abstractmethod
    def loss(self, vectors: Tensor, classes: nn.Linear, labels: Tensor) -> Tensor:
        """The loss of one draw, a scalar.

        Args:
            vectors: (rows, hidden) float32, or float64 if the model is; the class layer is converted to match.
            classes: the class layer; row c of its weight is the class vector w_c.
            labels: (rows,).
        """

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        labels = batch["labels"]
        if len(labels) < 2:
            raise ValueError(
                f"{self.key} mixes the rows of a batch and needs at least 2 of them, got {len(labels)}: "
                "set dataloader_drop_last=True if it is the last batch of a stream"
            )
        vectors = sites.sentence_vectors(model, inputs_of(batch))
        vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
        with torch.autocast(vectors.device.type, enabled=False):  # shares near 1 / rows need more digits than bf16 has
            loss = self.loss(vectors, sites.class_layer(sites.unwrap(model)), labels)
        yield loss


@dataclass(kw_only=True)
class Pairwise(MixedVectors):
    """Mix every row with every row, with n draws per batch (section 3).

    Args:
        alpha: shape of Beta(alpha, alpha), positive (not stated; 0.4 in the author's code, which has mixup alone).
        n: draws per batch (15 in the paper's timing and in that code).
        updates: ``"each"``: every draw is an optimizer update of its own, for which the batch is encoded again, so an
            epoch takes n times as long; ``"one"``: the mean of the n losses is one update, as a control.
    """

    alpha: float = 0.4
    n: int = 15
    updates: str = "each"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.n = check_count("n", self.n)
        check_choice("updates", self.updates, UPDATES)

    @property
    def updates_per_batch(self) -> int:
        return self.n if self.updates == "each" else 1

    @abstractmethod
    def one_draw(self, vectors: Tensor, classes: nn.Linear, labels: Tensor) -> Tensor:
        """The loss of all ordered pairs under one draw."""

    def loss(self, vectors: Tensor, classes: nn.Linear, labels: Tensor) -> Tensor:
        draws = 1 if self.updates == "each" else self.n
        return torch.stack([self.one_draw(vectors, classes, labels) for _ in range(draws)]).mean()


@dataclass(kw_only=True)
class Mixup(Pairwise):
    """Mixup of hidden states: x_ij = beta x_i + (1 - beta) x_j, and y_ij likewise (equations 1 and 2)."""

    key: ClassVar[str] = "mixup"
    look: ClassVar[Look] = Look("mixup (all pairs)", "#e69f56", "P", (0, (8, 2)))

    def one_draw(self, vectors: Tensor, classes: nn.Linear, labels: Tensor) -> Tensor:
        return all_pairs_loss(vectors, classes, labels, sample_lam(self.alpha, self.generator), self.cross_entropy)


def class_vectors(classes: nn.Linear, like: Tensor) -> tuple[Tensor, Tensor | None]:
    """The class layer's weight (num_labels, hidden) and bias (num_labels,) or ``None``, in the dtype of ``like``."""
    bias = None if classes.bias is None else classes.bias.to(like.dtype)
    return classes.weight.to(like.dtype), bias


def targets(of_classes: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """The class vector (or bias) of each row's label, with a share ``smoothing`` of the mean over all classes.

    Args:
        of_classes: class vectors (num_labels, hidden) or their biases (num_labels,).
        labels: (rows,).
        smoothing: 0 (none) to 1.
    """
    own = of_classes[labels]
    return (1 - smoothing) * own + smoothing * of_classes.mean(0) if smoothing else own


def all_pairs_loss(
    vectors: Tensor, classes: nn.Linear, labels: Tensor, lam: float, loss: Callable[..., Tensor] = mixed_cross_entropy
) -> Tensor:
    """Mean mixed cross-entropy of all rows * rows ordered pairs, a scalar.

    Args:
        vectors, classes, labels: as in :meth:`MixedVectors.loss`.
        lam: weight of the first row of a pair, 0 to 1.
        loss: called as :func:`mixlib.methods.mixing.mixed_cross_entropy`.
    """
    rows = len(labels)
    first = torch.arange(rows, device=labels.device).repeat_interleave(rows)
    second = torch.arange(rows, device=labels.device).repeat(rows)
    mixed = lam * vectors[first] + (1 - lam) * vectors[second]
    # rows of the pairs (i, j) and (j, i) are each other's partners
    return loss(F.linear(mixed, *class_vectors(classes, mixed)), labels[first], second * rows + first, lam)


@dataclass(kw_only=True)
class NonlinearMixup(Pairwise):
    """Nonlinear mixup (Guo 2020) on sentence vectors: one Beta draw per dimension, class vectors mixed likewise.

    Args:
        alpha, n, updates: as in mixup.
        objective: ``"softmax"``, ``"cross_entropy"`` or ``"dot"``, explained at BatchMixup.
    """

    key: ClassVar[str] = "nonlinear_mixup"
    look: ClassVar[Look] = Look("nonlinear mixup", "#17807e", "*", (0, (4, 1, 1, 1)))
    weighs_classes: ClassVar[bool] = False  # class vectors are mixed dimension by dimension: no one weight a class
    objective: str = "softmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("objective", self.objective, OBJECTIVES)

    def one_draw(self, vectors: Tensor, classes: nn.Linear, labels: Tensor) -> Tensor:
        lam = sample_beta((vectors.shape[1],), self.alpha, self.generator_on(vectors.device)).to(vectors.dtype)
        return nonlinear_loss(vectors, classes, labels, lam, self.objective, self.criterion.smoothing)


def nonlinear_loss(
    vectors: Tensor, classes: nn.Linear, labels: Tensor, lam: Tensor, objective: str = "softmax", smoothing: float = 0.0
) -> Tensor:
    """Mean loss of all ordered pairs, a scalar. ``lam`` (hidden,) is the weight of a pair's first row in each dimension
    of its row of ``vectors`` (rows, hidden) and of its class vector; the rest is as in :func:`batchmixup_loss`."""
    rows, width = vectors.shape
    class_weight, class_bias = class_vectors(classes, vectors)
    y = targets(class_weight, labels, smoothing)
    mixed_x = (lam * vectors[:, None] + (1 - lam) * vectors[None]).view(rows * rows, width)
    own = lam.mean()
    of_labels = own if objective == "cross_entropy" else lam
    mixed_y = (of_labels * y[:, None] + (1 - of_labels) * y[None]).view(rows * rows, width)
    bias = None if class_bias is None else targets(class_bias, labels, smoothing)
    mixed_bias = None if bias is None else (own * bias[:, None] + (1 - own) * bias[None]).flatten()
    return point_loss(mixed_x, mixed_y, mixed_bias, class_weight, class_bias, objective)


@dataclass(kw_only=True)
class BatchMixup(MixedVectors):
    """BatchMixup: every mixed point is a weighted sum of the whole batch; one product makes n points (section 4).

    Args:
        alpha: shape of the policy's Beta(alpha, alpha) entries, positive (not stated; author's code: 1, uniform).
        n: mixed points per batch (not stated; the author's code has 400 for batches of 5, 2400 for batches of 32).
        n_per_row: mixed points per row of the batch, instead of ``n``.
        policy: ``"elementwise"``: one weight per row and dimension (equation 3); ``"sample"``: one per row (author's
            code).
        objective: ``"dot"``: -x'.y' as printed, which has no lower bound and does not train a classifier;
            ``"softmax"``: -x'.y' + logsumexp_c(x'.w_c); with one weight per row, the cross-entropy against the mixed
            label; with one per dimension it has no lower bound either, as x'.y' can exceed every x'.w_c;
            ``"cross_entropy"``: against the mixed label, each row counted with its mean weight over the dimensions.
        temperature: divides the policy before the softmax. At 1 (the paper) weights stay within a factor e of each
            other and points crowd around the batch mean; small values spread them out.
    """

    key: ClassVar[str] = "batchmixup"
    look: ClassVar[Look] = Look("BatchMixup", "#8c2d62", "p", (0, (6, 2, 2, 2)))
    weighs_classes: ClassVar[bool] = False  # class vectors are mixed dimension by dimension: no one weight a class
    n: int = 400
    n_per_row: int | None = None
    policy: str = "elementwise"
    objective: str = "softmax"
    temperature: float = 1.0
    chunk: int | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.n = check_count("n", self.n)
        if self.n_per_row is not None:
            self.n_per_row = check_count("n_per_row", self.n_per_row)
        check_choice("policy", self.policy, POLICIES)
        check_choice("objective", self.objective, OBJECTIVES)
        self.temperature = check_number("temperature", self.temperature, "positive", lambda number: number > 0)

    def draw(self, points: int, rows: int, width: int, generator: torch.Generator) -> Tensor:
        """A policy M: (points, rows, hidden), or (points, rows, 1) with one weight per row."""
        return sample_beta((points, rows, width if self.policy == "elementwise" else 1), self.alpha, generator)

    def loss(self, vectors: Tensor, classes: nn.Linear, labels: Tensor) -> Tensor:
        rows, width = vectors.shape
        points = self.n if self.n_per_row is None else self.n_per_row * rows
        generator = self.generator_on(vectors.device)
        chunk = self.chunk or CHUNK.get(vectors.device.type, CHUNK["cuda"])
        # four draws come from one random number: multiples of four give the same points at every chunk size
        at_once = max(4, chunk // (rows * width) // 4 * 4)

        def part(start: int, vectors: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            count = min(at_once, points - start)
            policy = self.draw(count, rows, width, generator).to(vectors.dtype)
            options = (self.objective, self.temperature, self.criterion.smoothing)
            loss = batchmixup_loss(vectors, weight, bias, labels, policy, *options)
            return loss * (count / points)

        weight, bias = class_vectors(classes, vectors)
        return summed(part, range(0, points, at_once), vectors, weight, *([] if bias is None else [bias]))


def shares_of(policy: Tensor, temperature: float = 1.0) -> Tensor:
    """The share of each row in each mixed point: softmax of the policy over the rows, shape unchanged.

    Args:
        policy: (points, rows, hidden), or (points, rows, 1) with one weight per row.
        temperature: divides the policy.
    """
    return torch.softmax(policy / temperature, 1)


def mixed_points(vectors: Tensor, shares: Tensor) -> Tensor:
    """The mixed points (points, hidden) of these vectors (rows, hidden): equations 3 and 4."""
    return shares.squeeze(2) @ vectors if shares.shape[2] == 1 else (shares * vectors).sum(1)


def batchmixup_loss(
    vectors: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    policy: Tensor,
    objective: str = "softmax",
    temperature: float = 1.0,
    smoothing: float = 0.0,
) -> Tensor:
    """Mean loss over the mixed points of a policy, a scalar.

    Args:
        vectors: (rows, hidden).
        weight, bias: (num_labels, hidden) class vectors and (num_labels,) or ``None``. The paper has no bias; that of a
            model's class layer is mixed using each row's mean weight over the dimensions.
        labels: (rows,).
        policy, temperature: as in :func:`shares_of`.
        objective: as in :class:`BatchMixup`.
        smoothing: as in :func:`targets`; with one weight per row and ``"softmax"`` this is label smoothing.
    """
    shares = shares_of(policy, temperature)
    of_labels = shares.mean(2, keepdim=True) if objective == "cross_entropy" else shares
    mixed_x, mixed_y = mixed_points(vectors, shares), mixed_points(targets(weight, labels, smoothing), of_labels)
    mixed_bias = None if bias is None else shares.mean(2) @ targets(bias, labels, smoothing)
    return point_loss(mixed_x, mixed_y, mixed_bias, weight, bias, objective)


def point_loss(
    mixed_x: Tensor, mixed_y: Tensor, mixed_bias: Tensor | None, weight: Tensor, bias: Tensor | None, objective: str
) -> Tensor:
    """Mean over the points of -x'.y' (``"dot"``, as printed) or -x'.y' + logsumexp_c(x'.w_c) (other objectives).

    ``mixed_x`` and ``mixed_y`` are (points, hidden), ``mixed_bias`` is (points,) or ``None``; ``weight`` and ``bias``
    are those of the class layer. With ``"dot"`` the biases do not count.
    """
    match = (mixed_x * mixed_y).sum(1)
    if objective == "dot":  # the bias takes part with gradient 0: DistributedDataParallel waits for every parameter's
        return -match.mean() + (0 if bias is None else 0 * bias.sum())
    if mixed_bias is not None:
        match = match + mixed_bias
    return (F.linear(mixed_x, weight, bias).logsumexp(1) - match).mean()


def summed(part: Callable[..., Tensor], pieces: Sequence[int], *tensors: Tensor) -> Tensor:
    """The sum of ``part(piece, *tensors)``, holding only one piece's intermediate results in memory at a time."""
    return _Summed.apply(part, pieces, *tensors)


class _Summed(torch.autograd.Function):
    """Each piece's gradient is taken immediately, in the forward pass; only the (small) sums are kept."""

    @staticmethod
    def forward(ctx: Any, part: Callable[..., Tensor], pieces: Sequence[int], *tensors: Tensor) -> Tensor:
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        total = torch.zeros((), dtype=tensors[0].dtype, device=tensors[0].device)
        gradients = [torch.zeros_like(leaf) for leaf in leaves]
        for piece in pieces:
            with torch.enable_grad():
                loss = part(piece, *leaves)
                found = torch.autograd.grad(loss, leaves, allow_unused=True)
            total += loss.detach()
            for gradient, more in zip(gradients, found, strict=True):
                if more is not None:
                    gradient += more
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(upstream * gradient for gradient in ctx.saved_tensors)
