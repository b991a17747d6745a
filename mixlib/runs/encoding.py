"""What a model is given of a row: its text as token ids, and the tokens of its entities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixlib.runs.corpora import ENTITY_COLUMNS

if TYPE_CHECKING:
    from datasets import Dataset

NARROW = {"input_ids": np.int32, "attention_mask": np.int8, "token_type_ids": np.int8}  # as datasets stores them


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
