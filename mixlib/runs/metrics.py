"""How good and how well calibrated predictions are. Fractions and natural logarithms, never percent."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import accuracy_score, matthews_corrcoef
from torch.nn.functional import cross_entropy, one_hot
from torchmetrics.functional.classification import multiclass_calibration_error

ECE_BINS = 15  # mixup_calibration, appendix A
TEMPERATURES = (0.05, 20.0)  # limits of the fit: few rows, all of them right, would ask for 0


def ece(probabilities: torch.Tensor, labels: torch.Tensor, bins: int = ECE_BINS) -> float:
    """Expected calibration error with equal-width bins (Guo et al. 2017; mixup_calibration appendix A).

    Args:
        probabilities: (rows, num_labels).
        labels: (rows,).
        bins: number of bins of the confidence range [0, 1].
    """
    # torchmetrics puts a confidence of exactly 1 into a bin of its own: stay below it
    below_one = probabilities.clamp(max=1 - 1e-7)
    return float(multiclass_calibration_error(below_one, labels, probabilities.shape[1], n_bins=bins, norm="l1"))


def ece_mass(probabilities: torch.Tensor, labels: torch.Tensor, bins: int = ECE_BINS) -> float:
    """Expected calibration error with bins of equally many rows (Nixon et al. 2019) instead of equal widths.

    The edges are quantiles of the confidence, as in scikit-learn's ``calibration_curve(strategy="quantile")``: rows
    with the same confidence share a bin, so the order of rows does not matter; with fewer rows than bins, each row has
    its own.

    Args:
        probabilities: (rows, num_labels).
        labels: (rows,).
        bins: number of bins.
    """
    confidence, predicted = probabilities.double().max(1)
    inner = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=confidence.device)[1:-1]
    index = torch.bucketize(confidence, confidence.quantile(inner))
    gaps = (predicted == labels).double() - confidence
    return float(gaps.new_zeros(bins).index_add(0, index, gaps).abs().sum() / len(labels))


def brier(probabilities: torch.Tensor, labels: torch.Tensor) -> float:
    """Brier score of all classes: squared distance of the probabilities from the one-hot label, mean over rows.

    Runs from 0 to 2 (Brier 1950); it is scikit-learn's ``brier_score_loss(..., scale_by_half=False)``.

    Args:
        probabilities: (rows, num_labels).
        labels: (rows,).
    """
    return float((probabilities - one_hot(labels, probabilities.shape[1])).square().sum(1).mean())


def scaled(logits: Any, temperature: float) -> torch.Tensor:
    """Log-probabilities (rows, num_labels) of the softmax of ``logits / temperature`` (Guo et al. 2017)."""
    return (_doubles(logits) / temperature).log_softmax(1)


def fit_temperature(logits: Any, labels: Any) -> float:
    """The temperature within :data:`TEMPERATURES` at which these rows have the lowest mean negative log-likelihood.

    Fitted on development rows and applied to test rows. The loss has one valley in log T (it is convex in 1 / T), so a
    bounded one-dimensional search finds it.

    Args:
        logits: (rows, num_labels), or log-probabilities: a constant added to a row changes nothing.
        labels: (rows,).

    Returns:
        The number to divide logits by; 1 if none found is better.

    Raises:
        ValueError: no rows.
    """
    logits, labels = _doubles(logits), torch.as_tensor(np.asarray(labels)).long()
    if not len(labels):
        raise ValueError("a temperature is fitted on labelled rows, got none: give development rows")

    def nll(log_temperature: float) -> float:
        return float(cross_entropy(logits / np.exp(log_temperature), labels))

    found = minimize_scalar(nll, bounds=tuple(np.log(TEMPERATURES)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x)) if found.fun < nll(0.0) else 1.0


def _doubles(values: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values)).double()


def reliability(probabilities: torch.Tensor, labels: torch.Tensor, bins: int = ECE_BINS) -> dict[str, list[float]]:
    """What a reliability diagram shows: rows, summed confidence and correct rows of each equal-width bin.

    Sums rather than means, so that diagrams of several seeds can be pooled by adding. The bins are those of
    :func:`ece`, whose edges are single-precision numbers.

    Args:
        probabilities: (rows, num_labels).
        labels: (rows,).
        bins: number of bins of the confidence range [0, 1].

    Returns:
        ``rows``, ``confidence`` and ``correct``, one number per bin each.
    """
    confidence, predicted = probabilities.clamp(max=1 - 1e-7).max(1)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float32, device=confidence.device)
    index = torch.bucketize(confidence.float(), edges, right=True) - 1
    correct = (predicted == labels).double()

    def summed(values: torch.Tensor) -> list[float]:
        return torch.zeros(bins, dtype=torch.float64).index_add(0, index, values).tolist()

    return {
        "rows": [int(n) for n in summed(torch.ones_like(correct))],
        "confidence": [round(total, 6) for total in summed(confidence.double())],
        "correct": [int(n) for n in summed(correct)],
    }


def evaluate(logits: Any, labels: Any) -> dict[str, Any]:
    """All metrics of some predictions.

    Args:
        logits: (rows, num_labels), array or tensor.
        labels: (rows,).

    Returns:
        ``accuracy``, ``mcc`` (Matthews correlation, -1 to 1), ``nll`` (mean negative log-likelihood, nats), ``ece``,
        ``ece_mass`` (ECE of equal-mass bins), ``brier`` (0 to 2) and ``reliability`` (see :func:`reliability`);
        accuracy and both ECEs are fractions.
    """
    logits = _doubles(logits)
    labels = torch.as_tensor(np.asarray(labels)).long()
    probabilities = logits.softmax(1)
    predicted = logits.argmax(1)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "mcc": float(matthews_corrcoef(labels, predicted)),
        "nll": float(cross_entropy(logits, labels)),
        "ece": ece(probabilities, labels),
        "ece_mass": ece_mass(probabilities, labels),
        "brier": brier(probabilities, labels),
        "reliability": reliability(probabilities, labels),
    }
