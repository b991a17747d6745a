"""A trained model's predictions for each row: small enough to keep with every record, enough for later computations.

Log-probabilities are kept in half precision, rows in the order of their content digests. They give the accuracy, loss,
Brier score and calibration error of the run, temperature scaling, ensembles of seeds, and row-by-row comparisons.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from hashlib import sha256
from typing import Any

import numpy as np
from scipy.special import logsumexp

from mixlib.runs import corpora, metrics

FORMAT = 1
ALL_UP_TO = 10  # classes: all are kept, each with its own log-probability
ROWS_IN_COMMON = 200  # that several runs need to be compared row by row
LIKELIEST = 8  # with more classes these are kept, and the label's; the rest as one number and its average spread
HALF = np.finfo(np.float16)
PER_ROW = ("accuracy", "nll", "brier", "confidence")
SCALED = ("nll", "ece", "ece_mass", "brier")


class DamagedPredictions(ValueError):
    """Bytes that are not, or no longer, kept predictions."""


@dataclass(frozen=True, eq=False)
class SplitPredictions:
    """What the model predicted for the rows of one split.

    Attributes:
        num_labels: number of classes.
        classes: (rows, kept) class numbers. With up to ten classes all of them, likeliest first; with more the eight
            likeliest and then the label's if it is not one of these, else the ninth.
        below: (rows, kept - 1) float16, how far the log-probability of ``classes[:, 1:]`` lies below the likeliest's.
            With more than ten classes, one more column: how far the mean probability of the classes not kept lies
            below.
        place: (rows,) the position of the label in ``classes``: 0 if the model is right.
        rows: (rows,) ascending numbers that identify the rows: their positions among all rows they were drawn from, in
            the order of content digests.
        tail: (num_labels - kept,) float16, with more than ten classes: how far the classes not kept, likeliest first,
            lie below their mean probability, on average over the rows. Their sum alone would not tell what a
            temperature does to them.
        total: number of rows they were drawn from.
        among: checksum of those rows, as in :func:`mixlib.runs.corpora.counted`.
    """

    num_labels: int
    classes: np.ndarray
    below: np.ndarray
    place: np.ndarray
    rows: np.ndarray
    tail: np.ndarray
    total: int
    among: str

    def __post_init__(self) -> None:
        rows, kept = self.classes.shape
        shared = self.num_labels > ALL_UP_TO
        wanted = {
            "below": (rows, kept - 1 + shared), "place": (rows,), "rows": (rows,), "tail": (self.num_labels - kept,)
        }  # fmt: skip
        if kept != (LIKELIEST + 1 if shared else self.num_labels) or not rows:
            raise ValueError(f"{rows} rows with {kept} of {self.num_labels} classes are not what is kept")
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has the shape {getattr(self, name).shape}, not {shape}")
        ordered = np.sort(self.classes, 1)
        if ordered[:, -1].max() >= self.num_labels or (ordered[:, 1:] == ordered[:, :-1]).any():
            raise ValueError(f"the classes of a row must be different numbers below {self.num_labels}")
        if not np.isfinite(self.tail).all():
            raise ValueError("the tail has numbers that are not finite")
        if self.place.max() >= kept or not (np.isfinite(self.below) & (self.below >= 0)).all():
            raise ValueError("labels that are no kept class, or a class likelier than the likeliest")
        if (np.diff(self.rows) <= 0).any() or self.rows[-1] >= self.total:
            raise ValueError(f"the numbers of the rows must rise and stay below {self.total}")

    @classmethod
    def from_logits(
        cls, logits: Any, labels: Any, digests: Sequence[bytes], drawn_from: Sequence[bytes] | None = None
    ) -> SplitPredictions:
        """See :meth:`Predictions.from_logits`."""
        logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
        if logits.ndim != 2 or logits.shape[1] < 2 or not len(logits) == len(labels) == len(digests):
            raise ValueError(
                "predictions need logits (rows, num_labels), and a label and a content digest of each row; got logits "
                f"of shape {logits.shape}, {len(labels)} labels and {len(digests)} digests"
            )
        num_labels = logits.shape[1]
        if not np.isfinite(logits).all():
            raise ValueError(f"the logits of row {np.isfinite(logits).all(1).argmin()} are not finite")
        if len(wrong := np.flatnonzero((labels < 0) | (labels >= num_labels))):
            raise ValueError(f"row {wrong[0]} has the label {labels[wrong[0]]}, but there are {num_labels} classes")
        whole = sorted(digests if drawn_from is None else drawn_from)
        number = {digest: i for i, digest in enumerate(whole)}
        if len(number) < len(whole) or len(set(digests)) < len(digests) or not set(digests) <= set(number):
            raise ValueError("each row needs a content digest of its own, one of those it was drawn from")
        rows = np.array([number[digest] for digest in digests])
        order = rows.argsort()
        logits, labels = logits[order], labels[order]

        exact = logits.max(1, keepdims=True) - logits
        below, tail = _half(exact), np.zeros(0, np.float16)
        classes = below.argsort(1, kind="stable")  # of what is kept, so that reading it back sorts it the same way
        kept = classes
        if num_labels > ALL_UP_TO:
            classes = classes[:, : LIKELIEST + 1]
            missing = ~(classes == labels[:, None]).any(1)
            classes[missing, -1] = labels[missing]
            others = exact.copy()
            np.put_along_axis(others, classes, np.inf, 1)
            others = np.sort(others, 1)[:, : num_labels - LIKELIEST - 1]
            mean = _log_mean(others)
            tail = (others - mean).mean(0).clip(-HALF.max, HALF.max).astype(np.float16)
            below = np.hstack([below, _half(mean)])
            kept = np.pad(classes, ((0, 0), (0, 1)), constant_values=num_labels)
        return cls(
            num_labels=num_labels,
            classes=classes.astype(_numbers(num_labels)),
            below=np.take_along_axis(below, kept[:, 1:], 1),
            place=(classes == labels[:, None]).argmax(1).astype(np.uint8),
            rows=rows[order],
            tail=tail,
            total=len(whole),
            among=corpora.checksum_of(whole),
        )

    @cached_property
    def labels(self) -> np.ndarray:
        """The label of each row, (rows,)."""
        return np.take_along_axis(self.classes, self.place[:, None].astype(np.int64), 1)[:, 0].astype(np.int64)

    @cached_property
    def log_probs(self) -> np.ndarray:
        """Log-probabilities (rows, num_labels); classes that were not kept share their part as ``tail`` says."""
        classes, rows = self.classes.astype(np.int64), len(self.classes)
        below = np.zeros((rows, self.num_labels))
        np.put_along_axis(below, classes[:, 1:], self.below[:, : classes.shape[1] - 1], 1)
        if len(self.tail):
            others = np.ones(below.shape, bool)
            np.put_along_axis(others, classes, False, 1)
            tail = self.tail.astype(np.float64)
            spread = self.below[:, -1:] + tail - _log_mean(tail)
            below[others] = spread.clip(HALF.smallest_subnormal).ravel()  # never likelier than the likeliest
        return metrics.scaled(-below, 1.0).numpy()

    def scaled(self, temperature: float) -> np.ndarray:
        """Log-probabilities (rows, num_labels) at a temperature."""
        return metrics.scaled(self.log_probs, temperature).numpy()

    def metrics(self, temperature: float = 1.0) -> dict[str, Any]:
        """Metrics of all rows together, as in :func:`mixlib.runs.metrics.evaluate`."""
        return metrics.evaluate(self.scaled(temperature), self.labels)

    def per_row(self, metric: str, temperature: float = 1.0) -> np.ndarray:
        """``accuracy`` (1 where right), ``nll``, ``brier``, or ``confidence`` of each row, (rows,).

        Raises:
            ValueError: unknown metric.
        """
        if metric not in PER_ROW:
            raise ValueError(f"unknown metric {metric!r} of a row; choose one of {', '.join(PER_ROW)}")
        log_probs = self.scaled(temperature)
        if metric == "accuracy":
            return (log_probs.argmax(1) == self.labels).astype(np.float64)
        if metric == "confidence":
            return np.exp(log_probs.max(1))
        own = np.take_along_axis(log_probs, self.labels[:, None], 1)[:, 0]
        return -own if metric == "nll" else np.exp(2 * log_probs).sum(1) - 2 * np.exp(own) + 1

    def take(self, chosen: np.ndarray) -> SplitPredictions:
        """Some of the rows, by a mask or by ascending positions."""
        arrays = {name: getattr(self, name)[chosen] for name in ("classes", "below", "place", "rows")}
        return SplitPredictions(
            num_labels=self.num_labels, tail=self.tail, total=self.total, among=self.among, **arrays
        )


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model predicted for the rows of its splits (``dev``, ``test``) at the last update."""

    splits: dict[str, SplitPredictions]

    def __post_init__(self) -> None:
        if len(classes := {split.num_labels for split in self.splits.values()}) != 1:
            raise ValueError(
                f"predictions are of one or more splits with the same classes, got {sorted(classes)} classes"
            )

    @classmethod
    def from_logits(
        cls,
        splits: Mapping[str, tuple[Any, Any, Sequence[bytes]]],
        drawn_from: Mapping[str, Sequence[bytes]] | None = None,
    ) -> Predictions:
        """Keep what a model predicted.

        Args:
            splits: for each split the logits (rows, num_labels), the labels (rows,), and the content digest of each row
                (:attr:`mixlib.runs.corpora.Split.digests`), all in one order.
            drawn_from: for each split, the digests of all rows that its own were drawn from, so that rows are
                recognised in another draw. Without it, two draws can be compared only if they are the same rows.

        Raises:
            ValueError: wrong shapes, logits that are not finite, labels that are not classes, digests that are not
                unique.
        """
        whole = drawn_from or {}
        return cls({name: SplitPredictions.from_logits(*split, whole.get(name)) for name, split in splits.items()})

    def metrics(self, split: str = "test", temperature: float = 1.0) -> dict[str, Any]:
        """Metrics of all rows of a split together, as in :func:`mixlib.runs.metrics.evaluate`."""
        return self[split].metrics(temperature)

    def per_row(self, metric: str, split: str = "test", temperature: float = 1.0) -> np.ndarray:
        """See :meth:`SplitPredictions.per_row`."""
        return self[split].per_row(metric, temperature)

    @cached_property
    def temperature(self) -> float:
        """The temperature fitted on the development rows (:func:`mixlib.runs.metrics.fit_temperature`)."""
        return metrics.fit_temperature(self["dev"].log_probs, self["dev"].labels)

    def scaled_metrics(self) -> dict[str, float]:
        """``temperature``, and ``nll``, ``ece``, ``ece_mass`` and ``brier`` of the test rows at that temperature;
        accuracy is the same."""
        scaled = self.metrics("test", self.temperature)
        return {"temperature": self.temperature, **{name: scaled[name] for name in SCALED}}

    def __getitem__(self, split: str) -> SplitPredictions:
        if split not in self.splits:
            raise ValueError(f"no predictions of {split!r} rows were kept; there are {', '.join(self.splits)}")
        return self.splits[split]

    def _content(self) -> dict[str, np.ndarray]:
        splits = self.splits.values()
        gaps = np.concatenate([np.diff(split.rows, prepend=-1) for split in splits])  # small numbers compress well
        about = {
            "format": FORMAT,
            "num_labels": next(iter(splits)).num_labels,
            "splits": [
                {
                    "name": name,
                    "rows": len(split.rows),
                    "total": split.total,
                    "among": split.among,
                    "tail": split.tail.tolist(),
                }
                for name, split in self.splits.items()
            ],
        }
        return {
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "classes": np.concatenate([split.classes for split in splits]),
            "below": np.concatenate([split.below for split in splits]).astype("<f2"),
            "place": np.concatenate([split.place for split in splits]),
            "gaps": gaps.astype(np.min_scalar_type(gaps.max())),
        }

    def to_bytes(self) -> bytes:
        """As the content of a compressed ``.npz`` file, the same for the same predictions."""
        file = io.BytesIO()
        np.savez_compressed(file, **self._content())
        return file.getvalue()

    @cached_property
    def digest(self) -> str:
        """Digest of what is kept, in sixteen hexadecimal digits, however it was compressed."""
        return sha256(b"".join(part.tobytes() for part in self._content().values())).hexdigest()[:16]

    @classmethod
    def from_bytes(cls, content: bytes) -> Predictions:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            DamagedPredictions: it is cut short, changed, or something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                parts = {name: file[name] for name in ("about", "classes", "below", "place", "gaps")}
            about = json.loads(parts.pop("about").tobytes())
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']!r}; this version reads {FORMAT}")
            ends = np.cumsum([split["rows"] for split in about["splits"]])
            if any(len(part) != ends[-1] for part in parts.values()):
                raise ValueError(f"{ends[-1]} rows are announced, {[len(part) for part in parts.values()]} are there")
            splits = {}
            for split, end in zip(about["splits"], ends, strict=True):
                own = {name: part[end - split["rows"] : end] for name, part in parts.items()}
                splits[split["name"]] = SplitPredictions(
                    num_labels=about["num_labels"],
                    rows=np.cumsum(own.pop("gaps"), dtype=np.int64) - 1,
                    tail=np.array(split["tail"], np.float16),
                    total=split["total"],
                    among=split["among"],
                    **own,
                )
            return cls(splits)
        except Exception as error:  # zip, zlib, json and numpy raise many kinds of error
            raise DamagedPredictions(f"not kept predictions ({type(error).__name__}: {error})") from error


def in_common(predictions: Sequence[Predictions]) -> list[SplitPredictions]:
    """For each run, the test rows that all of them have, in the same order: for row-by-row comparisons.

    Raises:
        ValueError: rows of different data, or none in common.
    """
    found = [each["test"] for each in predictions]
    if len({(each.among, each.num_labels) for each in found}) != 1:
        raise ValueError(
            f"the test rows were drawn from different ones ({', '.join(sorted({each.among for each in found}))}), "
            "so no row can be recognised: compare runs on the same data, and give drawn_from where draws differ"
        )
    rows = reduce(np.intersect1d, [each.rows for each in found])
    if not len(rows):
        raise ValueError(f"the {len(found)} runs have no test row in common")
    return [each.take(np.isin(each.rows, rows)) for each in found]


def ensemble(log_probs: Sequence[np.ndarray]) -> np.ndarray:
    """The logarithm of the mean of the probabilities of several runs (Lakshminarayanan et al. 2017).

    Args:
        log_probs: of each run, (rows, num_labels), on the same rows (:func:`in_common`).
    """
    return np.log(np.mean(np.exp(log_probs), axis=0))


def _half(values: np.ndarray) -> np.ndarray:
    """As float16, between 0 and its largest number, and above 0 if the value is, so that no ties arise."""
    half = values.clip(0, float(HALF.max)).astype(np.float16)
    return np.where((values > 0) & (half == 0), HALF.smallest_subnormal, half)


def _log_mean(below: np.ndarray) -> np.ndarray:
    """How far the mean probability lies below the same 0, (..., 1)."""
    return np.log(below.shape[-1]) - logsumexp(-below, axis=-1, keepdims=True)


def _numbers(num_labels: int) -> type:
    return np.uint8 if num_labels <= 256 else np.uint16
