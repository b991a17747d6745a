import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlib import metrics


def histogram_ece(probabilities, labels, bins=15):
    """Plain counting, bin by bin."""
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        inside = which == b
        if inside.any():
            total += inside.mean() * abs((predicted[inside] == labels[inside]).mean() - confidence[inside].mean())
    return total


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_ece_and_reliability_match_a_plain_histogram(seed, classes, rows):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), rows)
    labels = rng.integers(classes, size=rows)
    expected = histogram_ece(probabilities, labels)
    tensors = torch.tensor(probabilities), torch.tensor(labels)
    assert metrics.ece(*tensors) == pytest.approx(expected, abs=1e-6)
    bins = metrics.reliability(*tensors)
    assert sum(bins["rows"]) == rows
    gaps = np.abs(np.subtract(bins["correct"], bins["confidence"]))
    assert gaps.sum() / rows == pytest.approx(expected, abs=1e-5)


def test_confidence_of_exactly_one_falls_into_the_last_bin():
    probabilities = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.95, 0.05]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 0])
    assert metrics.ece(probabilities, labels) == pytest.approx(
        histogram_ece(probabilities.numpy(), labels.numpy()), abs=1e-6
    )
    assert metrics.reliability(probabilities, labels)["rows"][-1] == 3


def test_a_perfect_and_a_constant_model():
    labels = np.array([0, 1, 2, 1])
    perfect = metrics.evaluate(np.eye(3)[labels] * 50, labels)
    assert perfect["accuracy"] == 1
    assert perfect["mcc"] == pytest.approx(1)
    assert perfect["nll"] == pytest.approx(0, abs=1e-6)
    assert perfect["ece"] == pytest.approx(0, abs=1e-6)
    constant = metrics.evaluate(np.tile([9.0, 0.0, 0.0], (4, 1)), labels)
    assert constant["accuracy"] == 0.25
    assert constant["mcc"] == 0
