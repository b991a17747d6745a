"""The data sets of the four papers: where they come from, how splits are made, how examples are drawn and checked.

A data set is read from ``$MIXLIB_DATA/NAME/SPLIT.parquet``, else from the repository (``data/banking77`` alone), else
from the Hugging Face hub; its synthetic twin is used only when asked for. Examples are drawn by a hash of their content
and the seed, so every source of the same data gives the same draw.

A user's own data set (:mod:`mixlib.comparing.own_data`) is known by a name that contains its number of classes and the
digest of its content, never by its path; its examples are drawn class by class.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from hashlib import blake2b, sha256
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from mixlib.runs import paths, synthetic

if TYPE_CHECKING:
    from datasets import Dataset

IN_REPOSITORY = "repository"  # the source of rows read from the repository's data folder
NARROW = {"input_ids": np.int32, "attention_mask": np.int8, "token_type_ids": np.int8}  # as datasets stores them
ENTITY_COLUMNS = ("head", "tail", "head_start", "head_end", "tail_start", "tail_end")


class DataUnavailable(OSError):
    """A data set that was not found anywhere it was looked for."""


class DataDiffers(ValueError):
    """A data file whose checksum, columns, texts, labels or number of rows are not what they should be."""


@dataclass(frozen=True)
class Corpus:
    """One data set.

    Attributes:
        task: ``sentence``, ``pair``, ``question type``, ``intent``, ``relation`` or ``yes/no``.
        num_labels: number of classes.
        dev: split that the development examples come from; ``train`` means training rows that were not drawn.
        test: split that the test examples come from.
        dev_share: if ``dev`` and ``test`` are the same split, the share of its rows used for development.
        hub: for each split ``(repository, configuration, split)`` on the hub.
        columns: names of text, second text and label on the hub.
        merged: the name of the data set from which this one is made by merging several classes into one.
        by_name: whether rows from the hub get the numbers of their classes' names in alphabetical order, and lose the
            spaces around their texts.
        own: whether it is a user's own data: all examples are drawn class by class, from ``train`` alone if that is
            also ``test``.
    """

    name: str
    task: str
    num_labels: int
    dev: str = "train"
    test: str = "test"
    dev_share: float | None = None
    hub: tuple[tuple[str, str, str | None, str], ...] = ()
    columns: tuple[str, str | None, str] = ("text", None, "label")
    merged: str | None = None
    by_name: bool = False
    own: bool = False

    @property
    def is_pair(self) -> bool:
        """Whether a row has two texts."""
        return self.task in ("pair", "yes/no")

    @property
    def required(self) -> list[str]:
        """The columns every row has."""
        second = ["text_b"] if self.is_pair else []
        return ["text", *second, "label", *(ENTITY_COLUMNS if self.task == "relation" else ())]


def _hub(repo: str, config: str | None = None, **splits: str) -> tuple[tuple[str, str, str | None, str], ...]:
    return tuple((ours, repo, config, theirs) for ours, theirs in splits.items())


REVISIONS = {  # commits of repositories on the hub, or the branch with parquet files where main is a script
    "nyu-mll/glue": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    "SetFit/sst5": "e51bdcd8cd3a30da231967c1a249ba59361279a3",
    "facebook/anli": "8e4813d81f46d313dac7892e1c28076917cfcdf9",
    "stanfordnlp/imdb": "e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
    "fancyzhx/ag_news": "eb185aade064a813bc0b7f42de02595523103ca4",
    "google/boolq": "35b264d03638db9f4ce671b711558bf7ff0f80d5",
    "CogComp/trec": "refs/convert/parquet",
    "PolyAI/banking77": "refs/convert/parquet",
}
_GLUE = "nyu-mll/glue"
_TREC = "CogComp/trec"
_ANLI = ("premise", "hypothesis", "label")
_ANLI_TRAIN = "train_r1+train_r2+train_r3"  # the rounds' training sets together, each round evaluated by itself

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus("rte", "pair", 2, test="validation", hub=_hub(_GLUE, "rte", train="train", validation="validation"),
               columns=("sentence1", "sentence2", "label")),
        Corpus("mrpc", "pair", 2, dev="validation",
               hub=_hub(_GLUE, "mrpc", train="train", validation="validation", test="test"),
               columns=("sentence1", "sentence2", "label")),
        Corpus("cola", "sentence", 2, test="validation",
               hub=_hub(_GLUE, "cola", train="train", validation="validation"), columns=("sentence", None, "label")),
        Corpus("sst2", "sentence", 2, dev="validation",
               hub=_hub(_GLUE, "sst2", train="train", validation="validation") + _hub("SetFit/sst2", test="test"),
               columns=("sentence", None, "label")),
        Corpus("sst5", "sentence", 5, dev="validation",
               hub=_hub("SetFit/sst5", train="train", validation="validation", test="test")),
        Corpus("qqp", "pair", 2, test="validation", hub=_hub(_GLUE, "qqp", train="train", validation="validation"),
               columns=("question1", "question2", "label")),
        Corpus("qnli", "pair", 2, hub=_hub(_GLUE, "qnli", train="train", test="validation"),
               columns=("question", "sentence", "label")),
        Corpus("mnli", "pair", 3, hub=_hub(_GLUE, "mnli", train="train", test="validation_matched"),
               columns=("premise", "hypothesis", "label")),
        Corpus("mnli_mismatched", "pair", 3, dev="validation",
               hub=_hub(_GLUE, "mnli", train="train", validation="validation_matched", test="validation_mismatched"),
               columns=("premise", "hypothesis", "label")),
        Corpus("anli_r1", "pair", 3, dev="validation", columns=_ANLI,
               hub=_hub("facebook/anli", train=_ANLI_TRAIN, validation="dev_r1", test="test_r1")),
        Corpus("anli_r2", "pair", 3, dev="validation", columns=_ANLI,
               hub=_hub("facebook/anli", train=_ANLI_TRAIN, validation="dev_r2", test="test_r2")),
        Corpus("anli_r3", "pair", 3, dev="validation", columns=_ANLI,
               hub=_hub("facebook/anli", train=_ANLI_TRAIN, validation="dev_r3", test="test_r3")),
        Corpus("trec_coarse", "question type", 6, hub=_hub(_TREC, train="train", test="test"),
               columns=("text", None, "coarse_label")),
        Corpus("trec_fine", "question type", 50, hub=_hub(_TREC, train="train", test="test"),
               columns=("text", None, "fine_label")),
        Corpus("banking77", "intent", 77, hub=_hub("PolyAI/banking77", train="train", test="test"), by_name=True),
        Corpus("imdb", "sentence", 2, dev="test", dev_share=3200 / 25000,
               hub=_hub("stanfordnlp/imdb", train="train", test="test")),
        Corpus("ag_news", "sentence", 4, dev="validation+test", test="validation+test", dev_share=2400 / 7600,
               hub=_hub("fancyzhx/ag_news", train="train", test="test")),
        Corpus("yelp_polarity", "sentence", 2, hub=_hub("fancyzhx/yelp_polarity", train="train", test="test")),
        Corpus("boolq", "yes/no", 2, hub=_hub("google/boolq", train="train", test="validation"),
               columns=("question", "passage", "answer")),
        Corpus("fewrel", "relation", 42, dev="validation"),
        Corpus("fewrel80", "relation", 80, dev="validation"),
        Corpus("fewrel75_none", "relation", 76, dev="validation", merged="fewrel80"),
    )
}  # fmt: skip


# The paper makes five of the 80 FewRel relations "None" and does not say which. These are our choice: the first five of
# the 80 label numbers in the order of a hash, so that they are neither neighbours nor picked by hand.
NONE_RELATIONS = tuple(sorted(range(80), key=lambda label: sha256(f"None {label}".encode()).digest())[:5])


def merge_none(labels: pd.Series) -> pd.Series:
    """FewRel's 80 labels as 75 relations (0 to 74, in the old order) and None (75)."""
    kept = [label for label in range(80) if label not in NONE_RELATIONS]
    numbers = {label: i for i, label in enumerate(kept)} | dict.fromkeys(NONE_RELATIONS, len(kept))
    return labels.map(numbers)


_OWN = re.compile(r".+-(\d+)-classes(-of-pairs)?(-with-test)?@[0-9a-f]{16}", re.DOTALL)


def own_name(stem: str, num_labels: int, pairs: bool, test: bool, digest: str) -> str:
    """The name of a user's own data set, which says all that :func:`get` needs, without a file.

    Args:
        stem: for readers.
        num_labels: number of classes.
        pairs: whether a row has two texts.
        test: whether it has a split ``test``; if not, test examples are drawn from ``train``.
        digest: sixteen hexadecimal digits of its content.
    """
    return f"{stem}-{num_labels}-classes{'-of-pairs' if pairs else ''}{'-with-test' if test else ''}@{digest}"


def get(name: str) -> Corpus:
    """The data set of this name; ``ValueError`` with the nearest names if there is none."""
    if name not in CORPORA and (own := _OWN.fullmatch(str(name))):
        task, test = "pair" if own[2] else "sentence", "test" if own[3] else "train"
        return Corpus(name, task, int(own[1]), test=test, own=True)
    if name not in CORPORA:
        near = get_close_matches(str(name), CORPORA, n=3, cutoff=0)
        raise ValueError(f"unknown data set {name!r}; did you mean {', '.join(near)}?")
    return CORPORA[name]


def data_folder() -> Path | None:
    """The folder named by ``MIXLIB_DATA``, if it is set."""
    return paths.named("MIXLIB_DATA")


def at_hand(name: str) -> bool:
    """Whether a data set can be read without a network, and is real: from ``MIXLIB_DATA`` or the repository."""
    corpus = get(name)
    whole = corpus.merged or name

    def is_there(part: str) -> bool:
        return any(path.exists() for _, path in _files(whole, part, data_folder()))

    # of joined splits, whichever exist are read
    return all(any(is_there(part) for part in split.split("+")) for split in splits_of(name))


def _files(name: str, split: str, folder: Path | None) -> list[tuple[str, Path]]:
    """Where the file of a split is looked for: the name of each source, and the path."""
    places = {"MIXLIB_DATA": folder, IN_REPOSITORY: paths.DATA}
    return [(source, Path(place) / name / f"{split}.parquet") for source, place in places.items() if place]


@dataclass(frozen=True)
class Split:
    """The rows of a split, the digest of each row's content, and where they were read.

    ``groups`` are the classes that per-class draws use: the labels, before any classes were merged.
    """

    rows: pd.DataFrame
    digests: tuple[bytes, ...]
    source: str
    groups: tuple[int, ...]


SENT: dict[tuple[str, str, bool], Split] = {}  # from the driver of a sweep: workers need no file and no network
OWN: dict[tuple[str, str], Split] = {}  # users' own data that this process has read


def split_of(rows: pd.DataFrame, source: str) -> Split:
    """The split of these rows (columns ``text``, ``text_b`` for pairs, ``label``)."""
    return Split(rows, _digests(rows), source, tuple(rows["label"]))


def checksum(split: Split) -> str:
    """Checksum of the content of all rows, whatever their order."""
    return checksum_of(split.digests)


def checksum_of(digests: Iterable[bytes]) -> str:
    """Checksum of rows by the digests of their content, whatever their order."""
    return blake2b(b"".join(sorted(digests)), digest_size=16).hexdigest()


def splits_of(name: str) -> list[str]:
    """The splits that :func:`sample` reads, as :func:`load_split` takes them."""
    corpus = get(name)
    return list(dict.fromkeys(("train", corpus.dev, corpus.test)))


def load_split(name: str, split: str, synthetic_twin: bool = False) -> Split:
    """All rows of one split (``"validation+test"`` joins two).

    Args:
        name: data set.
        split: split, as in :attr:`Corpus.dev` and :attr:`Corpus.test`, or ``"train"``.
        synthetic_twin: read the offline twin instead of the data.

    Raises:
        DataUnavailable: it is not available anywhere; says where it was looked for and how to get it.
        DataDiffers: a file with another checksum, other columns or impossible labels.
    """
    if (name, split, synthetic_twin) in SENT:
        return SENT[name, split, synthetic_twin]
    if get(name).own:
        if (name, split) not in OWN:
            raise DataUnavailable(
                f"data set {name!r}, split {split!r}, is a file that was not read in this process: give it again, with "
                "python -m mixlib compare FILE or mixlib.compare(FILE)"
            )
        return OWN[name, split]
    folder = None if synthetic_twin else data_folder()
    return _load_split(name, split, synthetic_twin, str(folder) if folder else None)


@lru_cache(maxsize=32)
def _load_split(name: str, split: str, synthetic_twin: bool, folder: str | None) -> Split:
    corpus = get(name)
    if corpus.merged:
        whole = _load_split(corpus.merged, split, synthetic_twin, folder)
        rows = whole.rows.assign(label=merge_none(whole.rows["label"]))
        return Split(rows, _digests(rows), whole.source, whole.groups)
    parts = [_read(corpus, part, synthetic_twin, folder) for part in split.split("+")]
    # the hub keeps in one split what MIXLIB_DATA may keep in two: take whichever of the joined splits exist
    found = [part for part in parts if not isinstance(part, DataUnavailable)]
    if not found:
        raise parts[0]
    local = {source == "MIXLIB_DATA" for _, source in found}
    if len(local) > 1:  # the same rows could stand in both
        raise DataDiffers(
            f"{name}: MIXLIB_DATA ({folder}) has only a part of {split}; put {name}/SPLIT.parquet of each part there"
        )
    rows = pd.concat([rows for rows, _ in found], ignore_index=True)
    if not rows["label"].between(0, corpus.num_labels - 1).all():
        wrong = sorted(set(rows["label"]) - set(range(corpus.num_labels)))
        raise DataDiffers(
            f"{name}/{split}: labels {wrong[:5]} are outside 0 to {corpus.num_labels - 1} (-1 marks a split whose "
            "labels are not public)"
        )
    source = " + ".join(dict.fromkeys(source for _, source in found))
    return split_of(rows, source)


def _read(
    corpus: Corpus, split: str, synthetic_twin: bool, folder: str | None
) -> tuple[pd.DataFrame, str] | DataUnavailable:
    if synthetic_twin:
        return synthetic.twin(corpus.name, split, corpus.task, corpus.num_labels), "synthetic twin"
    for source, path in _files(corpus.name, split, folder and Path(folder)):
        if path.exists():
            return _from_file(corpus, path, path.parent.parent / "manifest.json"), source
    place = next(((r, c, s) for ours, r, c, s in corpus.hub if ours == split), None)
    looked = f"MIXLIB_DATA ({Path(folder) / corpus.name / f'{split}.parquet' if folder else 'not set'})"
    if place is None:
        return DataUnavailable(
            f"data set {corpus.name!r}, split {split!r}, is not available: looked for {looked}; it is not read from "
            f"the hub. To get it: put {corpus.name}/{split}.parquet with the columns {', '.join(corpus.required)} into "
            "the folder that MIXLIB_DATA names"
        )
    repo, config, theirs = place
    try:
        data = load_dataset(repo, config, split=theirs, revision=REVISIONS.get(repo))
    except Exception as error:  # offline, gone, gated: the hub's clients raise many kinds of error
        return DataUnavailable(
            f"data set {corpus.name!r}, split {split!r}, is not available: looked for {looked} and {repo} "
            f"({config or 'default'}, {theirs}) on the hub ({_first_line(error)}). To get it: run once while online, "
            f"set MIXLIB_DATA to a folder with {corpus.name}/{split}.parquet, or use profile 'smoke', which needs no "
            "data"
        )
    text, text_b, label = corpus.columns
    renamed = {text: "text", label: "label"} | ({text_b: "text_b"} if text_b else {})
    rows = data.to_pandas().rename(columns=renamed)
    if missing := [column for column in renamed.values() if column not in rows]:
        raise DataDiffers(f"{repo} on the hub: columns {missing} are missing; it has {data.column_names}")
    if corpus.by_name:
        names = data.features[label].names
        numbers = {names.index(name): number for number, name in enumerate(sorted(names))}
        rows = rows.assign(text=rows["text"].str.strip(), label=rows["label"].map(numbers))
    return _checked(rows[list(renamed.values())], f"{repo} on the hub, {theirs}"), f"{repo}@{_commit(data, repo)}"


def _from_file(corpus: Corpus, path: Path, manifest: Path) -> pd.DataFrame:
    """The rows of a parquet file whose checksum matches the manifest, if it has one."""
    _check_file(path, manifest)
    try:
        rows = pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise DataDiffers(f"{path}: cannot be read as a parquet file ({_first_line(error)})") from error
    if missing := [column for column in corpus.required if column not in rows]:
        raise DataDiffers(f"{path}: columns {missing} are missing; it has {list(rows.columns)}")
    return _checked(rows, str(path))


def load_dataset(*arguments: Any, **options: Any) -> Dataset:
    """As in ``datasets``, which is imported only when needed: it takes a second, and reading records or files does
    without."""
    from datasets import load_dataset

    return load_dataset(*arguments, **options)


def _commit(data: Dataset, repo: str) -> str:
    """The commit on the hub at which rows were read: datasets keeps them in a folder of that name."""
    names = [Path(file["filename"]).parent.name for file in data.cache_files]
    return next((name for name in names if re.fullmatch(r"[0-9a-f]{40}", name)), REVISIONS.get(repo, "main"))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _checked(rows: pd.DataFrame, where: str) -> pd.DataFrame:
    """The rows with labels as int64; yes/no labels become 1 and 0.

    Raises:
        DataDiffers: something is not a text, or a label is not a whole number; says where, in which column and in which
            row (from 0).
    """
    for column in ("text", "text_b"):
        if column in rows and (wrong := [i for i, text in enumerate(rows[column]) if not isinstance(text, str)]):
            raise DataDiffers(
                f"{where}: {column} of row {wrong[0]} is {rows[column].iloc[wrong[0]]!r}, which is not a text "
                f"({len(wrong)} such rows in all): fix those rows or leave them out"
            )
    labels = rows["label"]
    safe = labels.dtype.kind in "iub" and not labels.hasnans
    if not safe and (wrong := [i for i, label in enumerate(labels) if not _is_whole(label)]):
        raise DataDiffers(
            f"{where}: label of row {wrong[0]} is {labels.iloc[wrong[0]]!r}, which is not a whole number "
            f"({len(wrong)} such rows in all): number the classes from 0"
        )
    return rows.assign(label=labels.astype("int64"))


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) or (isinstance(value, (float, np.floating)) and value == value // 1)


@lru_cache(maxsize=256)
def _check_file(path: Path, manifest: Path) -> None:
    if not manifest.exists():
        return
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise TypeError(type(entries).__name__)
        expected = {f"{entry['name']}/{entry['split']}": str(entry["sha256"]).lower() for entry in entries}
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise DataDiffers(
            f"{manifest}: not a list of objects with name, split and sha256 ({type(error).__name__}: "
            f"{_first_line(error)}); correct it, or delete it if the files need no check"
        ) from error
    key = f"{path.parent.name}/{path.stem}"
    if key not in expected:
        tqdm.write(f"not verified: {path} is not named in {manifest}", sys.stderr)
        return
    got = sha256(path.read_bytes()).hexdigest()
    if expected[key] != got:
        raise DataDiffers(
            f"{path}: its sha256 is {got[:16]}..., but {manifest.name} next to it says {expected[key][:16]}...; fetch "
            f"the file again, or correct {manifest} if the data was changed on purpose"
        )


def _digests(rows: pd.DataFrame) -> tuple[bytes, ...]:
    second = rows["text_b"] if "text_b" in rows else [""] * len(rows)
    seen: dict[bytes, int] = {}
    digests = []
    for text, text_b, label in zip(rows["text"], second, rows["label"], strict=True):
        content = "\x1f".join((text, text_b, str(label))).encode()
        copy = seen[content] = seen.get(content, -1) + 1  # repeats of a row are told apart by their number
        digests.append(blake2b(content + f"\x1f{copy}".encode(), digest_size=16).digest())
    return tuple(digests)


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
        seed: of the draw; with the same seed, a larger draw contains the smaller one.
        train_size: training examples, ``None`` for all.
        train_per_class: draw this many training examples of each class instead.
        train_fraction: keep this share of each class, rounded, at least one example. What is left out does not become
            development data, so that every fraction of a seed is judged on the same rows.
        dev_size: development examples, 0 for none, ``None`` for all there are (if they come from the training rows, all
            that were not drawn; of a user's own data, where they are drawn before those to train on: none).
        test_size: test examples, ``None`` for all there are.
        synthetic_twin: draw from the offline twin.

    Raises:
        DataDiffers: fewer rows than asked for.
        ValueError: no ``test_size`` for a user's own data whose test examples come from the training rows, a size
            together with ``train_per_class`` or ``train_fraction``, or one of these out of range.
        DataUnavailable: see :func:`load_split`.
    """
    corpus = get(name)
    train, test = (load_split(name, split, synthetic_twin) for split in ("train", corpus.test))
    if corpus.own:
        return _sample_own(corpus, train, test, seed, train_size, dev_size, test_size)
    train_order = _order(train.digests, f"{seed}/train")
    test_order = _order(test.digests, f"{seed}/test")
    by_class = train_per_class is not None or train_fraction != 1.0
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
        dev = load_split(name, corpus.dev, synthetic_twin)
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
        checksums[role] = checksum_of(digests[role])
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
        checksums={role: checksum_of(of) for role, of in digests.items()},
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


def entity_tokens(
    row: dict[str, Any], offsets: Sequence[tuple[int, int]], specials: Sequence[int]
) -> list[list[int]] | None:
    """First token and token after the last of head and tail, ``None`` if truncation cut one of them off.

    Args:
        row: with ``text`` and the word spans ``head_start`` ... ``tail_end`` (of ``text.split(" ")``, end exclusive).
        offsets: characters of each token.
        specials: 1 for each special token.

    Raises:
        ValueError: a span that is empty or reaches beyond the text.
    """
    words = row["text"].split(" ")
    starts = [0, *accumulate(len(word) + 1 for word in words)]
    spans = []
    for entity in ("head", "tail"):
        first, end = int(row[f"{entity}_start"]), int(row[f"{entity}_end"])
        if not 0 <= first < end <= len(words):
            raise ValueError(
                f"the {entity} entity spans words {first} to {end} (end exclusive) of a text of {len(words)} words: "
                f"{row['text'][:60]!r}"
            )
        left, right = starts[first], starts[end] - 1
        inside = [t for t, (a, b) in enumerate(offsets) if not specials[t] and a < right and b > left and a < b]
        if not inside or offsets[inside[-1]][1] < right:
            return None
        spans.append([inside[0], inside[-1] + 1])
    return spans


def encode(
    rows: pd.DataFrame,
    tokenizer: Any,
    max_length: int,
    entities: bool = False,
    skip_cut: bool = False,
    known: dict[tuple[str, ...], dict[str, np.ndarray]] | None = None,
) -> Dataset:
    """Token ids of the texts, cut to ``max_length``, with ``labels``; padding is left to the collator.

    The column ``row`` says which row of ``rows`` each one is.

    Args:
        rows: of one split.
        tokenizer: of the model.
        max_length: in tokens, special ones included.
        entities: add ``entity_spans`` (2, 2): first token and token after the last, of head and tail.
        skip_cut: leave out rows whose entities were cut off by ``max_length``, instead of raising.
        known: texts that this tokenizer has already cut to this length, with the results; new ones are added. Not used
            with ``entities``.

    Raises:
        ValueError: a row with an empty text; with ``entities``: missing columns, a span outside its text, an entity
            that was cut off, a tokenizer without offsets or one that pads on the left.
    """
    texts = [rows["text"].tolist()] + ([rows["text_b"].tolist()] if "text_b" in rows else [])
    for column in texts:
        if empty := [i for i, text in enumerate(column) if not str(text).strip()]:
            raise ValueError(f"empty text in row {empty[0]} ({len(empty)} in all): leave such rows out")
    if entities:
        return _encode_entities(rows, tokenizer, max_length, skip_cut)
    known = {} if known is None else known
    keys = list(zip(*texts, strict=True))
    if new := [key for key in dict.fromkeys(keys) if key not in known]:
        columns = tokenizer(*map(list, zip(*new, strict=True)), truncation=True, max_length=max_length)
        for i, key in enumerate(new):
            known[key] = {name: np.asarray(values[i], NARROW[name]) for name, values in columns.items()}
    from datasets import Dataset

    names = known[keys[0]] if keys else ()
    columns = {name: [known[key][name] for key in keys] for name in names}
    return Dataset.from_dict({**columns, "labels": rows["label"].tolist(), "row": list(range(len(rows)))})


def _encode_entities(rows: pd.DataFrame, tokenizer: Any, max_length: int, skip_cut: bool) -> Dataset:
    if missing := [column for column in ENTITY_COLUMNS if column not in rows]:
        raise ValueError(f"entity spans need the columns {', '.join(missing)}; the data has {', '.join(rows.columns)}")
    if not tokenizer.is_fast or tokenizer.padding_side != "right":
        raise ValueError(
            "entity spans are found through a tokenizer's offsets and counted from the left: the tokenizer must be a "
            f"fast one that pads on the right, got {type(tokenizer).__name__} with "
            f"padding_side={tokenizer.padding_side!r}"
        )
    columns = tokenizer(
        rows["text"].tolist(), truncation=True, max_length=max_length, return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )  # fmt: skip
    offsets, specials = columns.pop("offset_mapping"), columns.pop("special_tokens_mask")
    spans = [entity_tokens(*row) for row in zip(rows.to_dict("records"), offsets, specials, strict=True)]
    if (cut := spans.count(None)) and not skip_cut:
        raise ValueError(
            f"max_length={max_length} cuts an entity off in {cut} of {len(rows)} rows, first in row "
            f"{spans.index(None)}; raise max_length or leave those rows out (skip_cut=True)"
        )
    from datasets import Dataset

    labels = rows["label"].tolist()
    data = Dataset.from_dict({**columns, "entity_spans": spans, "labels": labels, "row": list(range(len(labels)))})
    return data.select([i for i, span in enumerate(spans) if span is not None])


def longest_first(data: Dataset) -> Dataset:
    """The same rows sorted by length, so that evaluation batches hold little padding."""
    lengths = [-len(ids) for ids in data["input_ids"]]
    return data.select(sorted(range(len(data)), key=lengths.__getitem__))


def counted(name: str, synthetic_twin: bool = False) -> dict[str, Any]:
    """Counts of a data set: for each split its rows, mean words per row, share of the largest class, and content
    checksum.

    Raises:
        DataUnavailable: none of its splits is available.
    """
    corpus = get(name)
    splits: dict[str, Any] = {}
    for part in ("train", "validation", "test"):
        try:
            split = load_split(name, part, synthetic_twin)
        except DataUnavailable as error:
            missing = error
            continue
        texts = [column for column in ("text", "text_b") if column in split.rows]
        splits[part] = {
            "rows": len(split.rows),
            "mean_words": round(float(sum(split.rows[c].str.split().str.len().mean() for c in texts)), 1),
            "largest_class": round(float(split.rows["label"].value_counts(normalize=True).max()), 4),
            "checksum": checksum(split),
            "source": split.source,
        }
    if not splits:
        raise missing
    return {"task": corpus.task, "num_labels": corpus.num_labels, "splits": splits}


@lru_cache(maxsize=1)
def committed_counts() -> dict[str, Any]:
    """The counts of the data that the records were made with, by name (``data/corpora.json``)."""
    return json.loads(paths.of_checkout(paths.CORPORA_COUNTS).read_text(encoding="utf-8"))
