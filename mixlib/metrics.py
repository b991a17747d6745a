"""How good and how well calibrated predictions are. Fractions and natural logarithms, never percent."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score, matthews_corrcoef
from torchmetrics.functional.classification import multiclass_calibration_error

ECE_BINS = 15  # mixup_calibration, appendix A


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


def reliability(probabilities: torch.Tensor, labels: torch.Tensor, bins: int = ECE_BINS) -> dict[str, list[float]]:
    """What a reliability diagram shows: rows, summed confidence and correct rows of each equal-width bin.

    Sums rather than means, so that diagrams of several seeds are pooled by adding.
    """
    confidence, predicted = probabilities.clamp(max=1 - 1e-7).max(1)
    index = (confidence * bins).long()
    correct = (predicted == labels).double()

    def summed(values: torch.Tensor) -> list[float]:
        return torch.zeros(bins, dtype=torch.float64).index_add(0, index, values).tolist()

    return {
        "rows": [int(n) for n in summed(torch.ones_like(correct))],
        "confidence": [round(total, 6) for total in summed(confidence.double())],
        "correct": [int(n) for n in summed(correct)],
    }


def evaluate(logits: Any, labels: Any) -> dict[str, Any]:
    """Accuracy, Matthews correlation, mean negative log-likelihood (nats), ECE and the reliability bins.

    Args:
        logits: (rows, num_labels), array or tensor.
        labels: (rows,).
    """
    logits = torch.as_tensor(np.asarray(logits)).double()
    labels = torch.as_tensor(np.asarray(labels)).long()
    probabilities = logits.softmax(1)
    predicted = logits.argmax(1)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "mcc": float(matthews_corrcoef(labels, predicted)),
        "nll": float(torch.nn.functional.cross_entropy(logits, labels)),
        "ece": ece(probabilities, labels),
        "reliability": reliability(probabilities, labels),
    }
