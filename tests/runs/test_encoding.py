import pandas as pd
import pytest

from mixlib.runs import encoding, models
from tests.runs.test_corpora import frame


def test_encode_cuts_and_refuses_empty_text():
    tokenizer = models.tiny_tokenizer()
    rows = frame(3, "some words here")
    data = encoding.encode(rows, tokenizer, max_length=6)
    assert max(len(ids) for ids in data["input_ids"]) == 6
    assert data["labels"] == [0, 1, 0]
    with pytest.raises(ValueError, match=r"empty text in row 1 \(1 in all\)"):
        encoding.encode(rows.assign(text=["a", "  ", "b"]), tokenizer, 8)


def test_longest_first_sorts_without_losing_rows():
    data = encoding.encode(
        pd.DataFrame({"text": ["a", "a b c", "a b"], "label": [0, 1, 2]}), models.tiny_tokenizer(), 9
    )
    ordered = encoding.longest_first(data)
    assert ordered["labels"] == [1, 2, 0]


@pytest.fixture
def relations():
    return pd.DataFrame([
        {"text": "zabi was born in koro koro .", "label": 0, "head": "zabi", "tail": "koro koro", "head_start": 0,
         "head_end": 1, "tail_start": 4, "tail_end": 6},
        {"text": "in Tolu , Mana met him", "label": 1, "head": "Mana", "tail": "Tolu", "head_start": 3, "head_end": 4,
         "tail_start": 1, "tail_end": 2},
    ])  # fmt: skip


def test_entities_are_found_as_word_pieces(relations):
    _, tokenizer = models.load("tiny", 2)
    data = encoding.encode(relations, tokenizer, 64, entities=True)
    for row, spans, ids in zip(relations.to_dict("records"), data["entity_spans"], data["input_ids"], strict=True):
        for entity, (first, end) in zip(("head", "tail"), spans, strict=True):
            pieces = tokenizer.convert_ids_to_tokens(ids[first:end])
            assert "".join(p.removeprefix("##") for p in pieces) == row[entity].lower().replace(" ", "")


def test_an_entity_cut_off_is_an_error_or_a_counted_skip(relations):
    _, tokenizer = models.load("tiny", 2)
    length = max(spans[1][1] for spans in encoding.encode(relations, tokenizer, 64, entities=True)["entity_spans"])
    with pytest.raises(ValueError, match=f"max_length={length} cuts an entity off in 1 of 2 rows, first in row 0"):
        encoding.encode(relations, tokenizer, length, entities=True)  # its last piece makes room for [SEP]
    assert len(encoding.encode(relations, tokenizer, length, entities=True, skip_cut=True)) == 1
    assert len(encoding.encode(relations, tokenizer, length + 1, entities=True)) == 2


def test_bad_entities_are_named(relations):
    _, tokenizer = models.load("tiny", 2)
    with pytest.raises(ValueError, match="entity spans need the columns tail_end; the data has text, label"):
        encoding.encode(relations.drop(columns="tail_end"), tokenizer, 64, entities=True)
    for start, end in ((4, 8), (-1, 2), (3, 3)):
        wrong = relations.assign(tail_start=start, tail_end=end)
        with pytest.raises(
            ValueError, match=rf"tail entity spans words {start} to {end} \(end exclusive\) of a text of"
        ):
            encoding.encode(wrong, tokenizer, 64, entities=True)
    tokenizer.padding_side = "left"
    with pytest.raises(ValueError, match="padding_side='left'"):
        encoding.encode(relations, tokenizer, 64, entities=True)


def test_rows_with_entities_cut_off_are_counted_in_the_record():
    from mixlib.runs.spec import RunSpec
    from mixlib.runs.training import execute

    spec = RunSpec(paper="batchmixup", dataset="fewrel80", method="none", seed=0, model="tiny", head="entities",
                   train_size=32, dev_size=8, test_size=32, synthetic=True, max_length=16)  # fmt: skip
    record = execute(spec)
    assert record.data["train_skipped"] == 32 - record.data["train_rows"] > 0
    assert record.data["test_skipped"] == 32 - sum(record.reliability["rows"]) > 0
