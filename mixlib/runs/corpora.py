"""The data sets of the four papers: where their rows come from, and how they are checked.

A data set is read from ``$MIXLIB_DATA/NAME/SPLIT.parquet``, else from the repository (``data/banking77`` alone), else
from the Hugging Face hub; its synthetic twin is used only when asked for. Which rows a run is given is in
:mod:`mixlib.runs.draws`, what a model is given of them in :mod:`mixlib.runs.encoding`.

A user's own data set (:mod:`mixlib.comparing.own_data`) is known by a name that contains its number of classes and the
digest of its content, never by its path.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from mixlib.arguments import first_line, unknown
from mixlib.runs import paths, synthetic

if TYPE_CHECKING:
    from datasets import Dataset

IN_REPOSITORY = "repository"  # the source of rows read from the repository's data folder
ENTITY_COLUMNS = ("head", "tail", "head_start", "head_end", "tail_start", "tail_end")


class DataUnavailable(OSError):
    """A data set that was not found anywhere it was looked for."""


class DataDiffers(ValueError):
    """A data file whose checksum, columns, texts, labels or number of rows are not what they should be."""


@dataclass(frozen=True)
class Corpus:
    """One data set.

    Attributes:
        name: its key in :data:`CORPORA` and its folder in ``$MIXLIB_DATA``.
        task: ``sentence``, ``pair``, ``question type``, ``intent``, ``relation`` or ``yes/no``.
        num_labels: number of classes.
        dev: split that the development examples come from; ``train`` means training rows that were not drawn.
        test: split that the test examples come from.
        dev_share: if ``dev`` and ``test`` are the same split, the share of its rows used for development.
        hub: ``(split, repository, configuration, split on the hub)`` for each split; a configuration may be ``None``.
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
        raise unknown("data set", name, CORPORA)
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
    """The splits that :func:`mixlib.runs.draws.sample` reads, as :func:`load_split` takes them."""
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
            f"({config or 'default'}, {theirs}) on the hub ({first_line(error)}). To get it: run once while online, "
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
        raise DataDiffers(f"{path}: cannot be read as a parquet file ({first_line(error)})") from error
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
            f"{first_line(error)}); correct it, or delete it if the files need no check"
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


def counted(name: str, synthetic_twin: bool = False) -> dict[str, Any]:
    """Counts of a data set.

    Returns:
        ``task``, ``num_labels`` and ``splits``: for each available one of ``train``, ``validation`` and ``test`` its
        ``rows``, ``mean_words`` per row, ``largest_class`` (a fraction), content ``checksum`` and ``source``.

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
