import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from mixlib.runs import metrics


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


def test_reliability_has_the_bins_of_ece_at_their_edges_too():
    """In single precision the edge 6 / 15 lies above 0.4."""
    probabilities = torch.tensor([[0.4, 0.3, 0.3], [0.35, 0.34, 0.31]], dtype=torch.float64)
    labels = torch.tensor([0, 1])
    bins = metrics.reliability(probabilities, labels)
    assert bins["rows"][5:7] == [2, 0]
    gaps = np.abs(np.subtract(bins["correct"], bins["confidence"]))
    assert gaps.sum() / 2 == pytest.approx(metrics.ece(probabilities, labels), abs=1e-6)
    edges = torch.linspace(0, 1, 16, dtype=torch.float64)
    binary = torch.stack([edges, 1 - edges], 1)
    assert sum(metrics.reliability(binary, torch.zeros(16).long())["rows"]) == 16


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


def random_rows(seed, classes, rows, ties=False):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)) * 2
    return (logits.round() if ties else logits), rng.integers(classes, size=rows)


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 80), st.booleans())
@settings(max_examples=60, deadline=None)
def test_equal_mass_ece_matches_plain_counting_in_any_order_of_rows(seed, classes, rows, ties):
    logits, labels = random_rows(seed, classes, rows, ties)
    probabilities = torch.tensor(logits).softmax(1)
    confidence, predicted = probabilities.max(1)
    confidence, correct = confidence.numpy(), (predicted.numpy() == labels)
    edges = np.quantile(confidence, np.arange(1, 15) / 15)
    total = 0.0
    for b in range(15):
        low, high = edges[b - 1] if b else -1, edges[b] if b < 14 else 2
        inside = [i for i, c in enumerate(confidence) if low < c <= high]
        total += abs(sum(correct[i] - confidence[i] for i in inside)) / rows
    assert metrics.ece_mass(probabilities, torch.tensor(labels)) == pytest.approx(total, abs=1e-9)
    order = np.random.default_rng(seed).permutation(rows)
    shuffled = metrics.ece_mass(probabilities[order], torch.tensor(labels[order]))
    assert shuffled == pytest.approx(total, abs=1e-9)


def test_equal_mass_bins_are_those_of_scikit_learn_and_hold_equally_many_rows():
    logits, labels = random_rows(0, 2, 150)
    probabilities = torch.tensor(logits).softmax(1)
    confidence, predicted = probabilities.max(1)
    correct, mean = calibration_curve((predicted.numpy() == labels), confidence.numpy(), n_bins=15, strategy="quantile")
    assert len(mean) == 15
    # ten rows in each
    assert metrics.ece_mass(probabilities, torch.tensor(labels)) == pytest.approx(np.abs(correct - mean).mean())


def test_equal_mass_ece_of_few_rows_and_of_one_confidence():
    sure = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)  # a bin each: gaps of 0.1 and of 0.8
    assert metrics.ece_mass(sure, torch.tensor([0, 0])) == pytest.approx((0.1 + 0.8) / 2)
    same = torch.tensor([[0.75, 0.25]] * 40, dtype=torch.float64)  # one bin: 30 of 40 are right, as it says
    assert metrics.ece_mass(same, torch.tensor([0, 0, 0, 1] * 10)) == pytest.approx(0)


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_brier_is_that_of_scikit_learn(seed, classes, rows):
    logits, labels = random_rows(seed, classes, rows)
    probabilities = torch.tensor(logits).softmax(1)
    expected = brier_score_loss(labels, probabilities.numpy(), labels=range(classes), scale_by_half=False)
    assert metrics.brier(probabilities, torch.tensor(labels)) == pytest.approx(expected)


def test_brier_runs_from_zero_to_two():
    probabilities = torch.tensor([[1.0, 0.0, 0.0]])
    assert metrics.brier(probabilities, torch.tensor([0])) == 0
    assert metrics.brier(probabilities, torch.tensor([2])) == 2
    assert metrics.evaluate(np.zeros((4, 2)), [0, 1, 1, 1])["brier"] == pytest.approx(0.5)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 1.5
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)  # drawn from their softmax
    assert metrics.fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_a_fitted_temperature_never_raises_the_loss_and_no_other_is_better(seed, classes, rows):
    logits, labels = random_rows(seed, classes, rows)

    def nll(temperature):
        return float(torch.nn.functional.nll_loss(metrics.scaled(logits, temperature), torch.tensor(labels)))

    found = metrics.fit_temperature(logits, labels)
    low, high = metrics.TEMPERATURES
    assert low <= found <= high
    assert nll(found) <= nll(1.0)
    assert nll(found) <= min(nll(t) for t in np.geomspace(low, high, 50)) + 1e-6
    shifted = logits + np.random.default_rng(seed).normal(size=(rows, 1)) * 10
    for same in (shifted, metrics.scaled(logits, 1.0)):
        again = metrics.fit_temperature(same, labels)
        assert nll(again) == pytest.approx(nll(found), abs=1e-9)
        if nll(found) > 1e-9:  # below, where all rows are right by far, the loss is flat
            assert again == pytest.approx(found, rel=1e-3)


def test_temperatures_at_their_ends():
    logits = np.array([[2.0, 0.0], [0.0, 1.0]])
    assert metrics.fit_temperature(logits, [0, 1]) == pytest.approx(metrics.TEMPERATURES[0], rel=1e-3)  # all right
    assert metrics.fit_temperature(logits, [1, 0]) == pytest.approx(metrics.TEMPERATURES[1], rel=1e-3)  # all wrong
    assert metrics.fit_temperature(np.zeros((3, 2)), [0, 1, 0]) == 1  # all the same: it stays as it is
    with pytest.raises(ValueError, match="give development rows"):
        metrics.fit_temperature(np.zeros((0, 2)), [])


def test_scaling_keeps_predictions_and_gives_probabilities():
    logits, _ = random_rows(1, 4, 30)
    found = metrics.scaled(logits, 3.0)
    assert torch.allclose(found.exp().sum(1), torch.ones(30, dtype=torch.float64))
    assert torch.equal(found.argmax(1), torch.tensor(logits).argmax(1))
    assert torch.allclose(found, torch.tensor(logits / 3).log_softmax(1))


@pytest.mark.filterwarnings("ignore:A single label:UserWarning")
def test_rows_of_one_class_and_a_single_row_are_evaluated():
    for labels in ([1, 1, 1], [0]):
        logits = np.tile([0.0, 9.0], (len(labels), 1))
        found = metrics.evaluate(logits, labels)
        assert found["mcc"] == 0
        assert all(np.isfinite(found[name]) for name in ("nll", "ece", "ece_mass", "brier"))
        metrics.fit_temperature(logits, labels)
