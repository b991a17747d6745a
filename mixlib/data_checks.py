"""Checks that the rows of a user's data set have tokens, and labels that are class numbers of the head.

If not, one error says where and what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

COLUMNS = ("label", "labels", "label_ids")  # what transformers' collators make ``labels`` from
IGNORED = -100  # a label that an evaluation leaves out of its loss
FAULTS = ("text", "several", "missing", "decimal", "negative", "beyond")  # the first of these is reported


def fault(label: Any, num_labels: int) -> str | None:
    """Which of :data:`FAULTS` a label has; ``None`` if it is a class number of the head, 0 to ``num_labels - 1``."""
    if hasattr(label, "tolist"):  # of torch or numpy
        label = label.tolist()
    try:
        if label is None or label != label:  # NaN
            return "missing"
    except TypeError:  # pandas' NA is neither equal nor unequal
        return "missing"
    if isinstance(label, (str, bytes)):
        return "text"
    if isinstance(label, Integral):
        return "negative" if label < 0 else None if label < num_labels else "beyond"
    return "decimal" if isinstance(label, Real) else "several"


def class_weights(weights: Any, num_labels: int) -> torch.Tensor:
    """One positive number per class, (num_labels,), float32; ``ValueError`` for anything else."""
    try:
        found = torch.as_tensor(weights, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):  # text, or numbers by name
        found = torch.empty(0)
    if found.shape != (num_labels,) or not bool(((found > 0) & found.isfinite()).all()):
        raise ValueError(
            f"class_weights must be a list of num_labels={num_labels} positive numbers, one per class in the order of "
            f"the class numbers, got {weights.tolist() if hasattr(weights, 'tolist') else weights!r}"
        )
    return found


def check_rows(dataset: Any, tokens: str | None, collator: Any) -> None:
    """Raise ``ValueError`` for training data that cannot be used yet, and say how to convert it.

    Args:
        dataset: to be trained on.
        tokens: the column that the model reads.
        collator: makes batches from the rows; a user's own one may make tokens from other columns.
    """
    problem = None
    if isinstance(dataset, Mapping):
        names = " and ".join(map(str, dataset)) or "nothing"
        problem = f"holds several splits, {names}: take one, train_dataset=data[{next(iter(dataset), 'train')!r}]"
    elif isinstance(dataset, str | Path):
        problem = f"is {str(dataset)!r}: read it, e.g. datasets.load_dataset('csv', data_files=..., split='train')"
    elif hasattr(dataset, "iloc"):
        problem = "is a DataFrame: convert it, datasets.Dataset.from_pandas(frame)"
    elif hasattr(dataset, "__len__") and not len(dataset):
        problem = "has no rows"
    else:
        columns = columns_read(dataset, collator)
        if columns and tokens and tokens not in columns:
            problem = f"has no column {tokens!r}, only {', '.join(columns)}. "
            if "inputs_embeds" in columns:
                problem += "Methods read tokens: give them as well"
            else:
                text = next((name for name in columns if _holds_text(dataset, name)), columns[0])
                problem += f"Tokenize the texts: data = data.map(lambda row: tokenizer(row[{text!r}], truncation=True))"
    if problem:
        raise ValueError(f"the training data {problem}")


def _holds_text(dataset: Any, column: str) -> bool:
    return column not in COLUMNS and getattr(dataset.features[column], "dtype", "") in ("string", "large_string")


def check(dataset: Any, num_labels: int, collator: Any = None, names: Sequence[str] | None = None) -> None:
    """Refuse labels that are not classes of the head, as far as they can be read without making rows of the data set.

    A column in memory is read through Arrow. For a stream, only its declared types are checked. Plain torch data sets,
    and those with their own transform or collator, are left to :class:`Checked`.

    Args:
        dataset: to be trained on.
        num_labels: classes of the head.
        collator: makes batches from the rows.
        names: ``TrainingArguments.label_names``, for the error.

    Raises:
        ValueError: there is no label column, or a label is text, missing, not whole or outside the head. The message
            names column, row and remedy.
    """
    columns = columns_read(dataset, collator)
    if columns is None:
        return
    if not hasattr(dataset, "__len__"):
        for column in _columns_of_labels(columns, dataset.features, names):
            if getattr(dataset.features[column], "dtype", "") in ("string", "large_string"):
                raise ValueError(f"the training data's column {column!r} holds text{_remedy('text', column, dataset)}")
        return
    for column in _columns_of_labels(columns, dataset.features, names):
        _check_column(dataset, column, num_labels)


def columns_read(dataset: Any, collator: Any = None) -> list[str] | None:
    """The columns of a 🤗 Datasets data set from which batches are made as they are; ``None`` if this cannot be told
    without making a row: a plain torch data set, a transform, a stream without declared types, a user's own collator.
    """
    hub = sys.modules.get("datasets")  # if it was not imported, there can be no data set of it
    module = getattr(collator, "__module__", None) or type(collator).__module__
    if hub is None or (collator is not None and not module.startswith("transformers.")):
        return None
    if isinstance(dataset, hub.IterableDataset):
        return list(dataset.features) if dataset.features else None
    if isinstance(dataset, hub.Dataset) and dataset.format["type"] != "custom":
        return list(dataset.column_names if dataset.format["output_all_columns"] else dataset.format["columns"])
    return None


def _columns_of_labels(columns: Iterable[str], features: Mapping[str, Any], names: Sequence[str] | None) -> list[str]:
    if found := [column for column in COLUMNS if column in columns]:
        return found
    likely = [*(names or ()), *(column for column in columns if hasattr(features[column], "names"))]
    raise ValueError(no_labels(columns, next((column for column in likely if column in columns), None)))


def no_labels(columns: Iterable[str], likely: str | None = None) -> str:
    """What to say about rows without labels; ``likely`` is the column that may hold them."""
    found = ", ".join(columns)
    others = f"only {found}" if found else "and no other column either"
    return (
        f"the training data has no column 'label' or 'labels', {others}. Rename the one that holds the "
        f"classes: data = data.rename_column({likely or 'NAME'!r}, 'label')"
    )


def _check_column(dataset: Any, column: str, num_labels: int) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    labels = dataset.select_columns(column).with_format("arrow")[:].column(column)
    if not labels.null_count and pa.types.is_integer(labels.type):
        extremes = pc.min_max(labels).as_py()
        if not len(labels) or (extremes["min"] >= 0 and extremes["max"] < num_labels):
            return
    labels = labels.to_pylist()
    found = [(FAULTS.index(kind), row) for row, label in enumerate(labels) if (kind := fault(label, num_labels))]
    if found:
        which, row = min(found)
        raise ValueError(message(FAULTS[which], column, row, labels[row], num_labels, dataset, labels))


def message(
    kind: str,
    column: str,
    row: int | str,
    label: Any,
    num_labels: int,
    dataset: Any,
    labels: Sequence[Any] = (),
    name: str = "training",
) -> str:
    """What to say about a label with the fault ``kind``.

    Args:
        kind: one of :data:`FAULTS`.
        column, row: where it is.
        label: the label itself.
        num_labels: classes of the head.
        dataset: the data set; the remedy depends on its kind.
        labels: all labels of the column, if they are known.
        name: ``training`` or ``evaluation``.
    """
    if hasattr(label, "tolist"):
        label = label.tolist()
    known: list[Any] = [one for one in (*labels, label) if isinstance(one, Integral)]
    return (
        f"the {name} data has {label!r} in column {column!r}, row {row}, but a label is a class number from 0 to "
        f"{num_labels - 1}, because the head has num_labels={num_labels}"
        f"{_remedy(kind, column, dataset, max(known, default=0), label)}"
        f"{' or more' if kind == 'beyond' and not labels else ''}"
        f"{f', or data.remove_columns({column!r}) to predict' if name == 'evaluation' and kind == 'negative' else ''}"
    )


def _remedy(kind: str, column: str, dataset: Any, highest: int = 0, label: Any = None) -> str:
    hub = sys.modules.get("datasets")
    in_memory = hub is not None and isinstance(dataset, hub.Dataset)
    kept = {"missing": "is not None" if label is None else f"== row[{column!r}]", "negative": ">= 0"}  # NaN: not itself
    if in_memory or (hub is not None and isinstance(dataset, hub.IterableDataset)):
        filtered = f"data = data.filter(lambda row: row[{column!r}] {kept.get(kind)})"
        encoded = f"data = data.map(lambda row: {{{column!r}: names.index(row[{column!r}])}})"
        cast = f"data = data.cast_column({column!r}, datasets.Value('int64'))"
    else:
        filtered = f"leave out the rows whose label is {'missing' if kind == 'missing' else 'below 0'}"
        encoded = "let the data set give names.index(label), with names the list of class names"
        cast = "let the data set give int(label)"
    if in_memory:
        encoded = f"data = data.class_encode_column({column!r})"
    if kind == "text":
        names = f"data.features[{column!r}].names" if in_memory else "names"
        return f". Number the classes: {encoded}, and load the model with num_labels=len({names})"
    if kind == "missing":
        return f". Leave out rows without a label: {filtered}"
    if kind == "negative":
        meaning = {IGNORED: "rows to be ignored", -1: "rows whose label is withheld"}.get(label)
        own = f"; or, if {label} is one of your classes, number them: {encoded}" if label == -1 else ""
        return f"{f'; {label} stands for {meaning}' if meaning else ''}. Leave them out: {filtered}{own}"
    if kind == "beyond":
        number = f"Renumber the classes, {encoded}, or load" if in_memory else "Load"
        return f". {number} the model with num_labels={highest + 1}"
    if kind == "decimal" and float(label).is_integer():
        return f". Convert them to whole numbers: {cast}"
    return ". Labels that are amounts, or several per row, cannot be mixed here: each row needs exactly one class"


class Checked:
    """A collator whose batches have ``labels`` (rows,), int64 class numbers; otherwise it says which row is at fault.

    It sees the rows during training, so it also checks what transforms and streams make of the labels.

    Args:
        collate: makes a batch from a list of rows.
        dataset: where the rows come from, for the error.
        num_labels: classes of the head.
        training: whether every row needs a label that is not ignored.
    """

    def __init__(self, collate: Callable[[list], Any], dataset: Any, num_labels: int, training: bool = True) -> None:
        self.collate, self.dataset, self.num_labels, self.training = collate, dataset, num_labels, training
        self.seen = 0

    def __call__(self, rows: list) -> Any:
        """The batch of these rows."""
        try:
            batch = self.collate(rows)
        except Exception as error:
            if found := self._fault_among(rows):
                raise ValueError(found) from error
            raise
        if isinstance(batch, Mapping):
            self._check(batch, rows)
        self.seen += len(rows)
        return batch

    def _check(self, batch: Any, rows: list) -> None:
        labels = batch.get("labels")
        if labels is None:
            if self.training:
                raise ValueError(self._fault_among(rows) or no_labels(batch))
            return
        if not isinstance(labels, torch.Tensor):
            return
        if labels.is_floating_point() or labels.dim() != 1:
            kind = "several" if labels.dim() != 1 else "missing" if labels.isnan().any() else "decimal"
            raise ValueError(self._fault_among(rows) or self._message(kind, "labels", "0 of a batch", labels[0]))
        wrong = (labels < 0) | (labels >= self.num_labels)
        if not self.training:
            wrong &= labels != IGNORED
        if wrong.any():
            number = int(wrong.nonzero()[0])
            kind = "negative" if labels[number] < 0 else "beyond"
            found = self._fault_among(rows[number : number + 1], number, kind)
            raise ValueError(found or self._message(kind, "labels", f"{number} of a batch", labels[number]))
        batch["labels"] = labels.long()

    def _faults(self, row: Any) -> dict[str, str]:
        """Column and fault of a row's labels as they were before a batch was made of it."""
        columns = [column for column in COLUMNS if column in row] if isinstance(row, Mapping) else []
        return {column: kind for column in columns if (kind := fault(row[column], self.num_labels))}

    def _fault_among(self, rows: list, first: int = 0, kind: str | None = None) -> str | None:
        """What to say about these rows, numbered from ``first`` in their batch; only about ``kind``, if given."""
        found = [
            (FAULTS.index(fault), number, column)
            for number, row in enumerate(rows)
            for column, fault in self._faults(row).items()
            if kind in (None, fault)
        ]
        if not found:
            return None
        which, number, column = min(found)
        return self._message(FAULTS[which], column, self._place(first + number, FAULTS[which]), rows[number][column])

    def _message(self, kind: str, column: str, row: int | str, label: Any) -> str:
        name = "training" if self.training else "evaluation"
        return message(kind, column, row, label, self.num_labels, self.dataset, name=name)

    def _place(self, number: int, kind: str) -> int | str:
        """The row of the data set with this fault, found by searching; in a stream, its number as it came."""
        if not is_stream(self.dataset):
            rows = range(len(self.dataset))
            return next((row for row in rows if kind in self._faults(self.dataset[row]).values()), "unknown")
        return self.seen + number if get_worker_info() is None else f"{number} of a batch"


def is_stream(dataset: Any) -> bool:
    """Whether the rows of a data set only come one after the other; torch's own may know how many there are."""
    indexable = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    return not indexable or isinstance(dataset, IterableDataset)


def token_lengths(dataset: Any) -> list[int] | None:
    """Number of tokens in each row of a tokenized data set, through Arrow or row by row; ``None`` for a stream."""
    hub = sys.modules.get("datasets")
    if hub is not None and isinstance(dataset, hub.Dataset) and dataset.format["type"] != "custom":
        if "input_ids" not in dataset.column_names:
            return None
        import pyarrow.compute as pc

        tables = dataset.select_columns("input_ids").with_format("arrow").iter(10_000)
        return [n for table in tables for n in pc.list_value_length(table.column("input_ids")).to_pylist()]
    if is_stream(dataset):
        return None
    return [len(dataset[row]["input_ids"]) for row in range(len(dataset))]
