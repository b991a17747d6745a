"""What is kept of a run's predictions: as good as the logits for all that is computed from them, and small."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlib.runs import corpora, metrics
from mixlib.runs.predictions import DamagedPredictions, Predictions, ensemble, in_common

CLOSE = {"nll": 1e-3, "brier": 1e-3, "ece": 2e-3, "ece_mass": 2e-3, "mcc": 1e-12, "accuracy": 0}


def digests(numbers):
    """Stand-ins for the digests of rows, in no order."""
    return [(2654435761 * (n + 1) % 2**32).to_bytes(16, "big") for n in numbers]


def said(seed, rows, classes, signal=2.0, noise=1.5):
    """Logits and labels like those of a trained model."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=rows)
    logits = rng.normal(size=(rows, classes)) * 1.2
    logits[np.arange(rows), labels] += rng.normal(signal, noise, size=rows)
    return logits.astype(np.float32), labels


def kept(seed=0, rows=200, classes=2, numbers=None, dev=80, **changes):
    numbers = range(rows) if numbers is None else numbers
    splits = {"test": (*said(seed, rows, classes, **changes), digests(numbers))}
    if dev:
        splits["dev"] = (*said(seed + 1000, dev, classes, **changes), digests(range(5000, 5000 + dev)))
    return Predictions.from_logits(splits, {"test": digests(range(max(numbers) + 1))})


def again(predictions):
    return Predictions.from_bytes(predictions.to_bytes())


@pytest.mark.parametrize(("classes", "signal"), [(2, 2), (3, 0.5), (6, 4), (10, 3), (11, 3), (50, 5), (77, 4)])
def test_metrics_are_those_of_the_logits(classes, signal):
    logits, labels = said(3, 500, classes, signal)
    order = np.argsort(digests(range(500)))
    found = Predictions.from_bytes(kept(3, 500, classes, signal=signal).to_bytes())
    assert np.array_equal(found["test"].labels, labels[order])
    assert np.array_equal(found["test"].log_probs.argmax(1), logits[order].argmax(1))
    exact, here = metrics.evaluate(logits, labels), found.metrics()
    for name, close in CLOSE.items():
        assert here[name] == pytest.approx(exact[name], abs=close), name
    assert np.allclose(np.exp(found["test"].log_probs).sum(1), 1)


@pytest.mark.parametrize(("classes", "signal"), [(2, 1), (6, 3), (77, 4)])
def test_temperature_is_fitted_on_dev_and_applied_to_test(classes, signal):
    found = kept(5, 500, classes, dev=300, signal=signal, noise=3.0)
    (test, labels), (dev, dev_labels) = (said(s, n, classes, signal, 3.0) for s, n in ((5, 500), (1005, 300)))
    temperature = metrics.fit_temperature(dev, dev_labels)
    exact = metrics.evaluate(metrics.scaled(test, temperature), labels)
    here = found.scaled_metrics()
    assert list(here) == ["temperature", "nll", "ece", "ece_mass", "brier"]
    assert here["temperature"] == pytest.approx(temperature, rel=0.02)
    for name in ("nll", "brier"):
        assert here[name] == pytest.approx(exact[name], abs=2e-3), name
    assert here["nll"] < found.metrics()["nll"]
    with pytest.raises(ValueError, match="no predictions of 'dev' rows were kept; there are test"):
        kept(dev=0).scaled_metrics()


@given(st.integers(0, 10_000), st.integers(2, 14), st.integers(1, 30), st.sampled_from([0.01, 1.0, 30.0, 1e6]))
@settings(max_examples=60, deadline=None)
def test_any_logits_keep_every_prediction_and_come_back_the_same(seed, classes, rows, size):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)).round(1) * size  # with ties
    logits[rng.random(rows) < 0.2] = 0
    labels = rng.integers(classes, size=rows)
    first = Predictions.from_logits({"test": (logits, labels, digests(range(rows)))})
    order = np.argsort(digests(range(rows)))
    assert np.array_equal(first["test"].log_probs.argmax(1), logits[order].argmax(1))
    assert first.metrics()["accuracy"] == pytest.approx((logits.argmax(1) == labels).mean())
    second = again(first)
    assert second.digest == first.digest
    assert np.array_equal(second["test"].log_probs, first["test"].log_probs)
    assert second.to_bytes() == first.to_bytes()
    shuffled = rng.permutation(rows)
    given_otherwise = Predictions.from_logits(
        {"test": (logits[shuffled] + 5, labels[shuffled], digests(shuffled.tolist()))}
    )
    assert np.allclose(given_otherwise["test"].log_probs, first["test"].log_probs, rtol=2e-3, atol=1e-6)
    assert np.array_equal(given_otherwise["test"].labels, first["test"].labels)


def test_logits_that_differ_by_almost_nothing_still_have_one_winner():
    for classes in (2, 12):
        logits = np.zeros((1, classes))
        logits[0, -1] = 1e-9
        found = Predictions.from_logits({"test": (logits, [0], digests([0]))})
        assert found["test"].log_probs.argmax() == classes - 1
        assert found.metrics()["accuracy"] == 0


def test_ten_classes_are_all_kept_and_of_eleven_nine_and_how_the_others_spread():
    ten, eleven = (np.arange(n)[None] * -1.0 for n in (10, 11))
    found = Predictions.from_logits({"test": (ten, [9], digests([0]))})["test"]
    assert np.allclose(found.log_probs, torch.tensor(ten).log_softmax(1), atol=1e-3)
    exact = torch.tensor(eleven).softmax(1).numpy()[0]
    for label, alone in ((3, [8]), (8, [8]), (9, [9]), (10, [10])):  # the ninth, or the label's
        found = Predictions.from_logits({"test": (eleven, [label], digests([0]))})["test"]
        assert set(found.classes[0]) == {*range(8), *alone}
        here = np.exp(found.log_probs[0])
        assert np.allclose(here[[*range(8), *alone]], exact[[*range(8), *alone]], rtol=2e-3)
        others = [c for c in range(8, 11) if c not in alone]
        assert here[others].sum() == pytest.approx(exact[others].sum(), rel=5e-3)
        assert np.allclose(here[others], exact[others], rtol=1e-2)  # of one row the average is the row itself


@pytest.mark.parametrize(("classes", "dev", "at_most"), [(2, 0, 7000), (2, 500, 8000), (77, 500, 60_000)])
def test_files_are_small(classes, dev, at_most):
    drawn = np.random.default_rng(0).choice(25_000, 2000, replace=False)
    numbers = [24_999, *(drawn[drawn != 24_999][:1999]).tolist()]
    found = kept(0, 2000, classes, numbers, dev, signal=5 if classes > 2 else 2)
    assert len(found.to_bytes()) <= at_most


def test_the_rows_are_named_by_their_place_among_all_and_the_checksum_is_that_of_the_card():
    split = corpora.load_split("trec_coarse", "test", synthetic_twin=True)
    rows = [7, 2, 30]
    logits, labels = said(0, 3, 6)
    part = (logits, labels, [split.digests[i] for i in rows])
    found = Predictions.from_logits({"test": part}, {"test": split.digests})["test"]
    assert found.among == corpora.counted("trec_coarse", synthetic_twin=True)["splits"]["test"]["checksum"]
    assert found.total == len(split.digests)
    in_order = sorted(split.digests)
    assert sorted(split.digests[i] for i in rows) == [in_order[i] for i in found.rows]
    alone = Predictions.from_logits({"test": part})["test"]
    assert alone.rows.tolist() == [0, 1, 2]
    assert alone.total == 3


@pytest.mark.parametrize("metric", ["accuracy", "nll", "brier"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_means_of_rows_are_the_metrics(metric, temperature):
    found = kept(2, 150, 12)
    rows = found.per_row(metric, temperature=temperature)
    assert rows.shape == (150,)
    assert rows.mean() == pytest.approx(found.metrics(temperature=temperature)[metric])
    confidence = found.per_row("confidence", "dev")
    assert np.allclose(confidence, np.exp(found["dev"].log_probs).max(1))
    with pytest.raises(ValueError, match="unknown metric 'ece' of a row; choose one of accuracy, nll"):
        found.per_row("ece")


def test_an_ensemble_is_the_mean_of_the_probabilities_of_the_rows_in_common():
    labels = np.array([0, 1, 1])
    one = np.log([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    two = np.log([[0.5, 0.5], [0.1, 0.9], [0.2, 0.8]])
    whole = digests(range(4))
    first = Predictions.from_logits({"test": (one, labels, whole[:3])}, {"test": whole})
    # the other run has rows 3, 1 and 2, in this order
    drawn = [whole[3], whole[1], whole[2]]
    second = Predictions.from_logits({"test": (two[[0, 1, 2]], [1, 1, 1], drawn)}, {"test": whole})
    left, right = in_common([first, second])
    by_digest = sorted([1, 2], key=lambda i: whole[i])
    assert left.labels.tolist() == right.labels.tolist() == [1, 1]
    assert np.array_equal(left.rows, right.rows)
    mean = np.exp(ensemble([left.log_probs, right.log_probs]))
    assert np.allclose(mean, [{1: [0.35, 0.65], 2: [0.25, 0.75]}[i] for i in by_digest], atol=1e-3)
    assert left.per_row("accuracy").tolist() == [{1: 0, 2: 1}[i] for i in by_digest]


def test_an_ensemble_of_seeds_has_a_lower_loss_than_its_members():
    labels = said(0, 400, 4)[1]
    runs = []
    for seed in range(3):
        logits = np.random.default_rng(seed).normal(size=(400, 4)) * 1.5
        logits[np.arange(400), labels] += 1.5
        runs.append(Predictions.from_logits({"test": (logits, labels, digests(range(400)))}))
    members = in_common(runs)
    together = metrics.evaluate(ensemble([member.log_probs for member in members]), members[0].labels)
    assert together["nll"] < min(run.metrics()["nll"] for run in runs)
    assert np.allclose(ensemble([members[0].log_probs]), members[0].log_probs)


def test_rows_of_other_data_are_not_compared():
    with pytest.raises(ValueError, match="drawn from different ones"):
        in_common([kept(rows=20), kept(rows=21)])
    apart = [kept(rows=5, numbers=n) for n in ([0, 1, 2, 3, 9], [4, 5, 6, 7, 9])]
    assert len(in_common(apart)[0].rows) == 1
    whole = digests(range(10))
    halves = [Predictions.from_logits({"test": (*said(0, 5, 2), whole[a : a + 5])}, {"test": whole}) for a in (0, 5)]
    with pytest.raises(ValueError, match="the 2 runs have no test row in common"):
        in_common(halves)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x, y, d: (x[:2], y, d), "a label and a content digest of each row; got logits of shape \\(2, 3\\)"),
        (lambda x, y, d: (np.where(x == x[1, 1], np.nan, x), y, d), "logits of row 1 are not finite"),
        (lambda x, y, d: (x, [0, 3, 1], d), "row 1 has the label 3, but there are 3 classes"),
        (lambda x, y, d: (x, y, [d[0], d[0], d[1]]), "content digest of its own"),
        (lambda x, y, d: (x[:0], y[:0], []), "0 rows"),
    ],
)
def test_what_cannot_be_kept_is_refused(change, says):
    logits, labels = said(0, 3, 3)
    with pytest.raises(ValueError, match=says):
        Predictions.from_logits({"test": change(logits, labels, digests(range(3)))})


def test_splits_have_the_same_classes_and_rows_come_from_those_they_were_drawn_from():
    three, four = ((*said(0, 3, n), digests(range(3))) for n in (3, 4))
    with pytest.raises(ValueError, match="the same classes"):
        Predictions.from_logits({"dev": three, "test": four})
    with pytest.raises(ValueError, match="one of those it was drawn from"):
        Predictions.from_logits({"test": three}, {"test": digests(range(2))})


def test_damage_is_noticed_wherever_it_is():
    found = kept(rows=12, dev=5)
    content, noticed = found.to_bytes(), 0
    for where in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[where] ^= 0xFF
        for cut in (bytes(damaged), content[:where]):
            try:
                read = Predictions.from_bytes(cut)
            except DamagedPredictions:
                noticed += 1
            else:
                assert read.digest == found.digest  # a date in the archive's own notes
    assert noticed > len(content) / 3
    for other in (b"", b"{}", content[100:], np.arange(3).tobytes()):
        with pytest.raises(DamagedPredictions, match="not kept predictions"):
            Predictions.from_bytes(other)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("place", lambda a: a[:-1], "17 rows are announced, .*16"),
        ("place", lambda a: np.append(a, a[:1]), "17 rows are announced, .*18"),
        ("place", lambda a: a + 5, "labels that are no kept class"),
        ("classes", lambda a: a * 0, "different numbers below 2"),
        ("classes", lambda a: a + 1, "different numbers below 2"),
        ("below", lambda a: -a - 1, "a class likelier than the likeliest"),
        ("below", lambda a: a * np.float16("nan"), "a class likelier than the likeliest"),
        ("gaps", lambda a: a * 0, "numbers of the rows must rise"),
        ("gaps", lambda a: a * 9, "stay below"),
        ("about", lambda a: np.frombuffer(a.tobytes().replace(b'"format": 1', b'"format": 2'), np.uint8), "reads 1"),
    ],
)
def test_content_that_makes_no_sense_is_refused(name, change, says, monkeypatch):
    found = kept(rows=12, dev=5)
    content = found._content()
    monkeypatch.setattr(Predictions, "_content", lambda self: content | {name: change(content[name])})
    written = found.to_bytes()
    with pytest.raises(DamagedPredictions, match=says):
        Predictions.from_bytes(written)
