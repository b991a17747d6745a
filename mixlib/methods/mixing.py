"""The mathematics all methods share: which rows are mixed, how strongly, and what loss follows.

Pure functions of tensors. Random ones take a :class:`torch.Generator` and never touch global state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.integrate import quad
from scipy.special import betainc, betaincinv
from torch import Tensor

from mixlib.arguments import check_number

LAM_RULES = ("plain", "folded", "max_of_n")
QUANTILES = 2**16


def check_alpha(alpha: float) -> float:
    """``alpha`` as Python's number; ``ValueError`` unless it is a finite one above 0."""
    says = "a positive number (Beta(alpha, alpha) is drawn from)"
    return check_number("alpha", alpha, says, lambda number: 0 < number < float("inf"))


def sample_lam(alpha: float, generator: torch.Generator, rule: str = "plain", n: int = 5) -> float:
    """Draw the weight ``lam`` of a row itself; its partner gets ``1 - lam``.

    Args:
        alpha: shape of Beta(alpha, alpha); below 1 the draws crowd near 0 and 1, above 1 near one half.
        generator: source of randomness (CPU).
        rule: ``"plain"``: one draw; ``"folded"``: max(lam, 1 - lam) (SSMix section 3.2, AMPLIFY equation 9);
            ``"max_of_n"``: the largest of ``n`` draws (AMPLIFY section 3).
        n: number of draws for ``"max_of_n"``.

    Returns:
        A float in [0, 1], drawn by inverting the distribution function, so one uniform number makes one draw.

    Raises:
        ValueError: an ``alpha`` that is not positive, an unknown ``rule``, or ``n`` below 1.
    """
    check_alpha(alpha)
    if rule not in LAM_RULES:
        raise ValueError(f"unknown rule {rule!r} for lam; choose one of {', '.join(LAM_RULES)}")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    draws = n if rule == "max_of_n" else 1
    uniform = torch.rand(draws, generator=generator, dtype=torch.float64)
    lam = float(betaincinv(alpha, alpha, uniform.numpy()).max())
    return max(lam, 1 - lam) if rule == "folded" else lam


def lam_cdf(x: float | np.ndarray, alpha: float, rule: str = "plain", n: int = 5) -> float | np.ndarray:
    """P(lam <= x) for 0 <= x <= 1, under the rules of :func:`sample_lam`."""
    below = betainc(alpha, alpha, x)
    if rule == "folded":
        return np.where(np.asarray(x) < 0.5, 0.0, below - betainc(alpha, alpha, 1 - np.asarray(x)))
    return below**n if rule == "max_of_n" else below


def mean_partner_share(alpha: float, rule: str = "plain", n: int = 5) -> float:
    """The expected weight 1 - lam of the partner: the integral of lam's distribution function over [0, 1].

    With AMPLIFY's settings it is 0.038, with its baselines' (folded, alpha 0.2) 0.101.
    """
    return float(quad(lam_cdf, 0, 1, args=(alpha, rule, n), points=[0.5], limit=200)[0])


def mean_label_entropy(alpha: float, rule: str = "plain", n: int = 5) -> float:
    """The expected entropy, in nats, of the soft label (lam, 1 - lam) over two classes.

    No classifier's mean cross-entropy on such labels is lower. Computed by integrating by parts over lam's distribution
    function.
    """

    def slope(x: float) -> float:
        return np.log(x / (1 - x)) * lam_cdf(x, alpha, rule, n)

    return float(quad(slope, 0, 1, points=[0.5], limit=400)[0])


@lru_cache(maxsize=8)
def _quantiles(alpha: float, device: torch.device) -> Tensor:
    """The table of quantiles, kept on the device that uses it: copying it in every step would make the host wait."""
    middles = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return torch.from_numpy(betaincinv(alpha, alpha, middles)).float().to(device)


def sample_beta(shape: Sequence[int], alpha: float, generator: torch.Generator) -> Tensor:
    """Many draws of Beta(alpha, alpha) at once, float32, on the generator's device.

    Sixteen random bits choose one of 65536 equally likely quantiles. That is fine enough for any use here and, unlike
    inverting the distribution function draw by draw, costs next to nothing for millions of draws.

    Args:
        shape: of the result.
        alpha: shape of Beta(alpha, alpha), positive (else ``ValueError``); 1 is uniform.
        generator: source of randomness, on the device where the draws are wanted.
    """
    check_alpha(alpha)
    count = prod(shape)
    words = torch.empty(-(-count // 4), dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)  # 64 bits at a time: four draws
    index = words.view(torch.int16)[:count].int() + QUANTILES // 2
    return _quantiles(float(alpha), generator.device).index_select(0, index).view(*shape)


def random_others(rows: int, generator: torch.Generator) -> Tensor:
    """A permutation ``perm`` (rows,) without fixed points: row i is mixed with a *different* row ``perm[i]``.

    The rows are arranged in one random ring, so every other row is an equally likely partner. A single row is its own
    partner.
    """
    ring = torch.randperm(rows, generator=generator)
    perm = torch.empty_like(ring)
    perm[ring] = ring.roll(1)
    return perm


def random_pairs(rows: int, generator: torch.Generator) -> Tensor:
    """A random perfect matching as a permutation (rows,) that is its own inverse; an odd row is its own partner.

    Both rows of a pair can then be padded to one length, so a single forward pass is enough.
    """
    order = torch.randperm(rows, generator=generator)
    half = rows // 2
    first, second = order[:half], order[half : 2 * half]
    perm = torch.arange(rows)
    perm[first], perm[second] = second, first
    return perm


def mix(x: Tensor, perm: Tensor, lam: float | Tensor) -> Tensor:
    """``lam * x + (1 - lam) * x[perm]`` along the first axis; ``lam`` a number or a tensor that broadcasts to ``x``."""
    return lam * x + (1 - lam) * x[perm]


class Criterion(NamedTuple):
    """How training smooths labels and weights classes; see :func:`mixed_cross_entropy`."""

    smoothing: float = 0.0
    class_weights: Tensor | None = None


def mixed_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    perm: Tensor | None = None,
    lam: float | Tensor = 1.0,
    *,
    smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Mean over the rows of ``lam * CE(logits, labels) + (1 - lam) * CE(logits, labels[perm])``, a scalar.

    This equals cross-entropy against the soft label ``lam * onehot(y) + (1 - lam) * onehot(y[perm])``; without ``perm``
    nothing is mixed.

    A smoothing e turns each label into ``(1 - e) * onehot(y) + e / num_labels`` before mixing. Class weights w make the
    mean a weighted one, ``sum_i (lam w[y_i] CE(y_i) + (1 - lam) w[z_i] CE(z_i)) / sum_i (lam w[y_i] + (1 - lam)
    w[z_i])`` with z = y[perm]; smoothing then spreads the share e over the classes c as ``w[c] / num_labels``.
    Unmixed, both match ``torch.nn.functional.cross_entropy(weight=, label_smoothing=)``.

    Args:
        logits: (rows, num_labels).
        labels: (rows,) class numbers.
        perm: (rows,) partner of each row.
        lam: weight of the row's own label: a number, or one weight per row (rows,).
        smoothing: e, 0 (none) to 1.
        class_weights: (num_labels,) positive numbers.
    """

    def mixed(of: Callable[[Tensor], Tensor]) -> Tensor:
        return of(labels) if perm is None else lam * of(labels) + (1 - lam) * of(labels[perm])

    if not smoothing and class_weights is None:
        return mixed(lambda y: F.cross_entropy(logits, y, reduction="none")).mean()
    surprise = -F.log_softmax(logits, -1)  # from here on as transformers' LabelSmoother computes it, to the last digit
    own = lambda y: surprise.gather(-1, y.unsqueeze(-1)).squeeze(-1)  # noqa: E731
    digits = torch.promote_types(surprise.dtype, torch.float32)
    total: int | Tensor = len(labels)
    if class_weights is None:
        losses, spread = mixed(own), surprise.sum(-1, dtype=digits)
    else:
        w = class_weights.to(surprise.device, digits)
        losses, spread, total = mixed(lambda y: w[y] * own(y)), (surprise * w).sum(-1), mixed(lambda y: w[y]).sum()
    return (1 - smoothing) * (losses.sum() / total) + smoothing * (spread.sum() / (total * surprise.shape[-1]))
