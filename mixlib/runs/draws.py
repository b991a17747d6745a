"""Which rows a run is given: drawn by a hash of their content and the seed, so every source of the same data gives the
same draw.

A user's own data set is drawn class by class, others only if asked to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pandas as pd

from mixlib.runs import corpora
from mixlib.runs.corpora import Corpus, DataDiffers, Split


def _order(digests: tuple[bytes, ...], salt: str) -> list[int]:
    key = salt.encode()
    return sorted(range(len(digests)), key=lambda i: blake2b(digests[i], key=key, digest_size=16).digest())


@dataclass(frozen=True)
class Sample:
    """The examples of one run. ``dev`` is empty if selection uses the test split.

    Attributes:
        digests: of each example's content, by split and in its order.
        drawn_from: the digests of all rows that ``dev`` and ``test`` were drawn from.
        checksums: of each split's examples, whatever their order.
        source: where they were read.
    """

    train: pd.DataFrame
    dev: pd.DataFrame
    test: pd.DataFrame
    digests: dict[str, list[bytes]]
    drawn_from: dict[str, tuple[bytes, ...]]
    checksums: dict[str, str]
    source: str


def sample(
    name: str,
    seed: int,
    train_size: int | None = None,
    dev_size: int | None = None,
    test_size: int | None = None,
    synthetic_twin: bool = False,
    train_per_class: int | None = None,
    train_fraction: float = 1.0,
) -> Sample:
    """Draw the examples of one run by content.

    Args:
        name: data set.
        seed: of the draw; with the same seed, a larger draw contains the smaller one, except in a user's own data,
            where each class's share is rounded anew.
        train_size: training examples, ``None`` for all.
        train_per_class: draw this many training examples of each class instead; not for a user's own data.
        train_fraction: keep this share of each class, rounded, at least one example. What is left out does not become
            development data, so that every fraction of a seed is judged on the same rows. Not for a user's own data.
        dev_size: development examples, 0 for none. ``None``: all there are or, if they come from the training rows, all
            that were not drawn for training; for a user's own data, none.
        test_size: test examples, ``None`` for all there are.
        synthetic_twin: draw from the offline twin.

    Raises:
        DataDiffers: fewer rows than asked for.
        ValueError: no ``test_size`` for a user's own data whose test examples come from the training rows,
            ``train_per_class`` or ``train_fraction`` for such data or together with a size, or one of these out of
            range.
        DataUnavailable: see :func:`mixlib.runs.corpora.load_split`.
    """
    corpus = corpora.get(name)
    train, test = (corpora.load_split(name, split, synthetic_twin) for split in ("train", corpus.test))
    by_class = train_per_class is not None or train_fraction != 1.0
    if corpus.own:
        if by_class:
            raise ValueError(
                f"{name}: a user's own data are drawn in proportion to their classes, so train_per_class and "
                "train_fraction do not apply: give train_size"
            )
        return _sample_own(corpus, train, test, seed, train_size, dev_size, test_size)
    train_order = _order(train.digests, f"{seed}/train")
    test_order = _order(test.digests, f"{seed}/test")
    if by_class:
        if train_size is not None:
            raise ValueError("give train_size, or train_per_class and train_fraction, not both")
        chosen, pool = _draw_by_class(name, train, train_order, train_per_class, train_fraction)
        train_order, train_rest = chosen, [i for i in train_order if i not in pool]
    else:
        train_rest = train_order[len(train_order) if train_size is None else train_size :]
    dev, dev_order = train, train_rest
    if corpus.dev == corpus.test:
        cut = round(len(test.digests) * (corpus.dev_share or 0))
        for_dev = set(_order(test.digests, "dev or test")[:cut])  # the same cut for every seed
        dev, dev_order = test, [i for i in test_order if i in for_dev]
        test_order = [i for i in test_order if i not in for_dev]
    elif corpus.dev != "train":
        dev = corpora.load_split(name, corpus.dev, synthetic_twin)
        dev_order = _order(dev.digests, f"{seed}/dev")

    drawn, digests, checksums = {}, {}, {}
    wanted = {"train": (train, train_order, train_size), "dev": (dev, dev_order, dev_size)}
    for role, (split, order, size) in (wanted | {"test": (test, test_order, test_size)}).items():
        if size is not None and size > len(order):
            left = role == "dev" and corpus.dev == "train"
            there = f"{len(order)} are left after training" if left else f"{split.source} has {len(order)}"
            raise DataDiffers(
                f"{name}: {size} {role} examples were asked for, but {there}; set the {role} size lower, or use a "
                "source with the whole data set"
            )
        chosen = order if size is None else order[:size]
        drawn[role] = split.rows.iloc[chosen].reset_index(drop=True)
        digests[role] = [split.digests[i] for i in chosen]
        checksums[role] = corpora.checksum_of(digests[role])
    drawn_from = {"dev": dev.digests, "test": test.digests}
    source = _sources(train, dev, test)
    return Sample(**drawn, digests=digests, drawn_from=drawn_from, checksums=checksums, source=source)


def _sources(*splits: Split) -> str:
    """Where the splits come from, each place once."""
    return " + ".join(dict.fromkeys(split.source for split in splits))


def _sample_own(
    corpus: Corpus, train: Split, test: Split, seed: int, train_size: int | None, dev_size: int | None,
    test_size: int | None,
) -> Sample:  # fmt: skip
    """Examples of a user's own data: each part has the class proportions of the whole, and every class stays in train.

    Raises:
        DataDiffers: fewer rows than asked for.
        ValueError: no ``test_size``, though test examples come from the training rows.
    """
    rest, chosen = _order(train.digests, f"{seed}/train"), {}
    if corpus.test == "train":
        if test_size is None:
            raise ValueError(f"{corpus.name}: its test examples come from the training rows: say how many, got None")
        chosen["test"], rest = _by_class(corpus.name, "test", train, rest, test_size)
    elif test_size is not None and test_size > len(test.digests):
        raise DataDiffers(
            f"{corpus.name}: {test_size} test examples were asked for, but {test.source} has {len(test.digests)}; set "
            "the test size lower, or leave it out for all"
        )
    else:
        chosen["test"] = _order(test.digests, f"{seed}/test")[:test_size]
    chosen["dev"], rest = _by_class(corpus.name, "dev", train, rest, dev_size or 0)
    chosen["train"] = rest
    if train_size is not None:
        chosen["train"], _ = _by_class(corpus.name, "train", train, rest, train_size, keep=0, least=1)
    splits = {"train": train, "dev": train, "test": test}
    digests = {role: [splits[role].digests[i] for i in rows] for role, rows in chosen.items()}
    return Sample(
        **{role: splits[role].rows.iloc[rows].reset_index(drop=True) for role, rows in chosen.items()},
        digests=digests,
        drawn_from={"dev": train.digests, "test": test.digests},
        checksums={role: corpora.checksum_of(of) for role, of in digests.items()},
        source=_sources(train, test),
    )  # fmt: skip


def _by_class(
    name: str, role: str, split: Split, order: list[int], size: int, keep: int = 1, least: int = 0
) -> tuple[list[int], list[int]]:
    """The first rows of each class, ``size`` in all, and the rest, both in the order given."""
    shares = shares_of(Counter(split.groups[i] for i in order), size, keep, least)
    if sum(shares.values()) < size:
        raise DataDiffers(
            f"{name}: {size} {role} examples were asked for, but {split.source} has {sum(shares.values())} if one of "
            f"each class is kept for training; set the {role} size lower"
        )
    taken: list[int] = []
    for i in order:
        if shares[split.groups[i]]:
            shares[split.groups[i]] -= 1
            taken.append(i)
    inside = set(taken)
    return taken, [i for i in order if i not in inside]


def shares_of(counts: Mapping[int, int], size: int, keep: int = 0, least: int = 0) -> dict[int, int]:
    """How many rows of each class make up ``size``, in proportion to how many there are (largest remainders).

    Args:
        counts: rows of each class.
        size: rows wanted; fewer are taken if there are not as many.
        keep: rows of each class that stay behind.
        least: rows that each class gets before the rest is shared out, if ``size`` is enough for that.
    """
    total, room = sum(counts.values()), {label: max(0, counts[label] - keep) for label in sorted(counts)}
    exact = {label: counts[label] * size / total for label in room}
    least = least if size >= least * len(room) else 0
    shares = {label: min(room[label], max(least, int(exact[label]))) for label in room}
    while sum(shares.values()) > size:
        shares[max((c for c in room if shares[c] > least), key=lambda c: shares[c] - exact[c])] -= 1
    while (short := size - sum(shares.values())) > 0:
        open_ = sorted((label for label in room if shares[label] < room[label]), key=lambda c: shares[c] - exact[c])
        if not open_:
            break
        for label in open_[:short]:
            shares[label] += 1
    return shares


def with_label_noise(rows: pd.DataFrame, share: float, num_labels: int, seed: int) -> pd.DataFrame:
    """A copy of the rows in which a share of the labels, rounded, is replaced by another label drawn at random.

    With the same seed, the rows changed at a smaller share are among those changed at a larger one, with the same new
    labels.

    Raises:
        ValueError: the share is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"label_noise must be a share of the training rows in [0, 1), got {share}")
    generator = np.random.default_rng([seed, len(rows)])
    order = generator.permutation(len(rows))[: round(share * len(rows))]
    shift = generator.integers(1, num_labels, len(rows))
    labels = rows["label"].to_numpy(copy=True)
    labels[order] = (labels[order] + shift[order]) % num_labels
    return rows.assign(label=labels)


def _draw_by_class(
    name: str, train: Split, order: list[int], per_class: int | None, fraction: float
) -> tuple[list[int], set[int]]:
    """Rows drawn of each class, in the order given, and the pool that the fraction was taken from."""
    if not 0 < fraction <= 1:
        raise ValueError(f"train_fraction must be above 0 and at most 1, got {fraction}")
    if per_class is not None and per_class < 1:
        raise ValueError(f"train_per_class must be at least 1, got {per_class}")
    classes: dict[int, list[int]] = {}
    for i in order:
        classes.setdefault(train.groups[i], []).append(i)
    fewest = min(classes, key=lambda label: len(classes[label]))
    if per_class is not None and per_class > len(classes[fewest]):
        raise DataDiffers(
            f"{name}: {per_class} training examples of each class were asked for, but class {fewest} has "
            f"{len(classes[fewest])} in {train.source}; set train_per_class lower, or use a source with the whole data "
            "set"
        )
    pools = {label: rows[:per_class] for label, rows in classes.items()}
    kept = {i for rows in pools.values() for i in rows[: max(1, round(fraction * len(rows)))]}
    return [i for i in order if i in kept], {i for rows in pools.values() for i in rows}
