"""A user's own data: which values are refused with their place, how rows are drawn, and what is said of them."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from mixlib.comparing import own_data
from mixlib.runs import corpora, draws, paths
from mixlib.runs.corpora import DataDiffers
from tests.comparing.rows import FRAME, write


def test_numbers_as_labels_are_in_the_order_of_their_size():
    rows = pd.DataFrame({"text": [f"text {i}" for i in range(33)], "label": [2.0, 10.0, -1.0] * 11})
    assert own_data.read(rows).labels == ("-1", "2", "10")
    assert own_data.read(rows.assign(label=[True, False, True] * 11)).labels == ("False", "True")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": None}, "mine.jsonl, row 3 (line 3), column 'text': no text"),
        ({"text": 5}, "mine.jsonl, row 3 (line 3), column 'text': expected a text, got 5 (int)"),
        ({"text": "\ud800"}, "mine.jsonl, row 3 (line 3), column 'text': half a character"),
        ({"label": 0.5}, "row 3 (line 3), column 'label': a label must be a text or a whole number, got 0.5 (float)"),
        ({"label": ["a"]}, "row 3 (line 3), column 'label': a label must be a text or a whole number, got ['a']"),
    ],
)  # fmt: skip
def test_a_bad_value_of_json_lines_is_named(tmp_path, values, message):
    rows = FRAME.to_dict("records")
    rows[2] |= values
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataDiffers) as error:
        own_data.read(path)
    assert message in str(error.value)


def test_labels_that_are_none(tmp_path):
    with pytest.raises(DataDiffers, match="column 'label': every label is 'ham'; two classes are needed"):
        own_data.read(FRAME.assign(label="ham"))
    with pytest.raises(DataDiffers, match=r"60 different labels in 60 rows, .* is this the label column?"):
        own_data.read(FRAME.assign(label=range(60)))
    with pytest.raises(DataDiffers, match="has 10 rows; at least 20 are needed"):
        own_data.read(FRAME.head(10))
    with pytest.raises(ValueError, match="must be different columns"):
        own_data.read(FRAME, text="label")


def test_a_test_file_pairs_and_labels_that_only_it_has(tmp_path):
    train = write(tmp_path / "train.csv", FRAME.assign(other=[f"second {i}" for i in range(60)]))
    tests = FRAME.iloc[:40].assign(other="second", text=[f"new {i}" for i in range(40)])
    found = own_data.read(train, text_b="other", test=write(tmp_path / "test.tsv", tests))
    assert found.has_test
    assert corpora.get(found.name).num_labels == 3
    assert corpora.get(found.name).is_pair
    split = found.split(0)
    assert len(split["test"]) == 40
    assert len(split["train"]) + len(split["dev"]) == 60
    assert set(split["test"].columns) == {"text", "text_b", "label"}
    assert any("1 class has no test row ('other')" in said for said in found.remarks)
    tests.loc[3, "label"] = "hamm"
    with pytest.raises(
        DataDiffers, match=r"test.tsv, row 4 .*column 'label': the label 'hamm' .* did you mean 'ham'\?"
    ):
        own_data.read(train, text_b="other", test=write(tmp_path / "test.tsv", tests))


def test_a_small_class_is_in_a_small_training_set():
    labels = ["a"] * 100 + ["b"] * 100 + ["c"] * 6
    data = own_data.read(pd.DataFrame({"text": [f"text {i}" for i in range(206)], "label": labels}))
    assert sorted(data.split(0, data.sizes(train_size=16))["train"]["label"].unique()) == [0, 1, 2]


def test_a_last_row_that_cannot_be_left_out_is_explained():
    data = own_data.read(pd.DataFrame({"text": [f"t {i}" for i in range(200)], "label": [i % 17 for i in range(200)]}))
    with pytest.raises(ValueError, match=r"leave one row with nothing to mix with, .* choose another batch_size"):
        data.sizes(train_size=17)
    assert data.sizes(train_size=17, batch_size=9)["train_size"] == 17
    assert data.sizes(train_size=33) == data.sizes(train_size=32)  # the row left out joins no other part


def test_what_a_reader_has_to_know_is_said():
    doubled = pd.concat([FRAME, FRAME.head(3), FRAME.head(2).assign(label="spam")], ignore_index=True)
    said = " ".join(own_data.read(doubled).remarks)
    assert "65 rows, 3 classes: 'ham' 39, 'spam' 20, 'other' 6" in said
    assert "Imbalanced: the largest class has 6.5 times the rows of the smallest" in said
    assert "always answering 'ham' is right in 60.0% of the rows" in said
    assert "5 rows repeat the text of another row" in said
    assert "2 texts occur with different labels" in said
    assert "Balanced" in " ".join(own_data.read(FRAME.assign(label=["a", "b"] * 30)).remarks)


def test_parts_are_stratified_disjoint_and_whole_and_drawn_anew_for_each_seed():
    found = own_data.read(FRAME)
    sizes = found.sizes()
    assert sizes == {"train_size": 39, "dev_size": 9, "test_size": 12}
    parts = {seed: found.split(seed) for seed in range(3)}
    for split in parts.values():
        texts = [set(split[part]["text"]) for part in ("train", "dev", "test")]
        assert sum(map(len, texts)) == len(set().union(*texts)) == 60
        assert Counter(split["test"]["label"]) == {0: 7, 2: 4, 1: 1}
        assert set(split["train"]["label"]) == {0, 1, 2}
    assert set(parts[0]["test"]["text"]) != set(parts[1]["test"]["text"])
    again = own_data.read(FRAME.sample(frac=1, random_state=3)).split(0)
    assert again["train"].equals(parts[0]["train"])


def test_parts_have_bounds_and_a_test_row_of_each_class():
    found = own_data.read(FRAME)
    large = replace(found, counts=1000 * found.counts)
    assert large.sizes() == {"train_size": 53_000, "dev_size": 2000, "test_size": 5000}
    many = own_data.read(pd.DataFrame({"text": [f"text {i}" for i in range(80)], "label": [i % 20 for i in range(80)]}))
    assert many.sizes()["test_size"] == 20  # a fifth would be 16


def test_sizes_of_ones_own_data_are_kept_or_refused():
    found = own_data.read(FRAME)
    with pytest.raises(ValueError, match="its test examples come from the training rows: say how many, got None"):
        draws.sample(found.name, 0)
    assert [len(part) for part in found.split(0, {"test_size": 10}).values()] == [50, 0, 10]
    tested = own_data.read(FRAME, test=FRAME[::3].assign(text=[f"new {i}" for i in range(20)]))
    assert len(draws.sample(tested.name, 0).test) == 20
    with pytest.raises(DataDiffers, match=r"50 test examples were asked for, but .* has 20; set the test size"):
        draws.sample(tested.name, 0, test_size=50)
    for by_class in ({"train_per_class": 5}, {"train_fraction": 0.5}):
        with pytest.raises(ValueError, match=r"in proportion to their classes.*: give train_size"):
            draws.sample(tested.name, 0, **by_class)


def test_whole_numbers_written_as_decimals_are_the_same_classes_in_every_format(tmp_path):
    rows = FRAME.assign(label=FRAME["label"].map({"ham": 2.0, "spam": 10.0, "other": 1.0}))
    names = {own_data.read(write(tmp_path / f"mine.{suffix}", rows)).name for suffix in ("csv", "parquet", "jsonl")}
    assert len(names) == 1
    whole = write(tmp_path / "whole.csv", rows.astype({"label": int}))
    assert own_data.read(tmp_path / "mine.csv", test=whole).labels == ("1", "2", "10")
    mixed = rows.assign(label=["1.0", "1.5", "2.0"] * 20)  # not whole numbers: as they are written
    found = own_data.read(mixed)
    assert found.labels == ("1.0", "1.5", "2.0")
    assert "the labels are amounts; each one counts as a class" in " ".join(found.remarks)


def test_of_labels_written_as_decimals_the_one_that_is_wrong_is_named():
    rows = pd.DataFrame({"text": [f"text {i}" for i in range(60)], "label": ["1.0", "2.0"] * 30})
    test = rows.assign(label=["1.0"] * 42 + ["spam"] + ["2.0"] * 17)
    with pytest.raises(DataDiffers, match="the test data frame, row 43, column 'label': the label 'spam'"):
        own_data.read(rows, test=test)
    three = rows.assign(label=["1.0", "2.0", "x"] * 20)
    assert own_data.read(three, test=rows).labels == ("1.0", "2.0", "x")
    assert own_data.read(rows, test=rows.assign(label=[1, 2] * 30)).labels == ("1", "2")


def test_a_fault_in_a_test_set_in_memory_is_put_there():
    rows = {"text": [f"text {i}" for i in range(60)], "label": [0, 1] * 30}
    with pytest.raises(DataDiffers, match="the test data set, split train, row 60"):
        own_data.read(Dataset.from_dict(rows), test=Dataset.from_dict(rows | {"text": [*rows["text"][:-1], ""]}))


def test_test_rows_of_one_class_are_refused():
    with pytest.raises(
        DataDiffers, match="the test data frame, column 'label': every label is 'ham'; test rows of one"
    ):
        own_data.read(FRAME, test=FRAME[FRAME["label"] == "ham"])


def test_every_class_stays_in_training_however_rare():
    labels = ["a"] * 60 + ["b"] + ["c"] * 2
    rows = pd.DataFrame({"text": [f"text {i}" for i in range(63)], "label": labels})
    found = own_data.read(rows)
    for seed in range(5):
        assert set(found.split(seed)["train"]["label"]) == {0, 1, 2}
    assert "2 classes have fewer than 5 rows ('c', 'b')" in " ".join(found.remarks)


def test_77_classes_and_no_batch_of_one_row():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"text": [f"text {i}" for i in range(800)], "label": [f"intent {i % 77}" for i in range(800)]})
    found = own_data.read(rows.iloc[rng.permutation(800)])
    assert len(found.labels) == 77
    sizes = found.sizes()
    assert sum(sizes.values()) == 800
    assert set(found.split(0)["train"]["label"]) == set(range(77))
    assert set(found.split(0)["test"]["label"]) == set(range(77))
    for n in range(60, 100):
        few = own_data.read(rows.head(n).assign(label=["a", "b"] * (n // 2) + ["a"] * (n % 2)))
        assert few.sizes()["train_size"] % 16 != 1
        assert sum(few.sizes().values()) == n
    assert found.sizes(train_size=200)["train_size"] == 200
    with pytest.raises(ValueError, match="76 training rows were asked for; the possible range is 77"):
        found.sizes(train_size=76)


def test_a_data_set_of_another_process_is_known_but_not_to_be_had():
    name = "mine-3-classes-of-pairs-with-test@0123456789abcdef"
    assert corpora.get(name) == corpora.Corpus(name, "pair", 3, test="test", own=True)
    with pytest.raises(corpora.DataUnavailable, match="python -m mixlib compare FILE"):
        corpora.load_split(name, "train")
    with pytest.raises(ValueError, match="unknown data set"):
        corpora.get("mine-3-classes")


def test_the_file_of_this_repository_is_an_excerpt_of_banking77():
    rows = pd.read_csv(paths.MESSAGES)
    whole = pd.concat([pd.read_parquet(paths.DATA / "banking77" / f"{split}.parquet") for split in ("train", "test")])
    intents = whole[whole["label_name"].isin(rows["label"])]
    assert rows["text"].tolist() == intents["text"].tolist()
    assert rows["label"].tolist() == intents["label_name"].tolist()
    assert own_data.read(paths.MESSAGES).counts["train"].to_dict()["card_arrival"] == 193
