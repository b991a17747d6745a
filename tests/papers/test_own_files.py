"""Reading a user's own data: what is read alike, what is refused with its place, and how rows are drawn."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlib.comparing import own_data, sources
from mixlib.runs import corpora, paths
from mixlib.runs.corpora import DataDiffers

SIZES = {"ham": 36, "spam": 18, "other": 6}
ROWS = [(f'text {i} of {name}, "quoted"\nin two lines', name) for name, n in SIZES.items() for i in range(n)]
FRAME = pd.DataFrame(ROWS, columns=["text", "label"])


def write(path, rows=FRAME):
    if path.suffix in (".csv", ".tsv"):
        rows.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    elif path.suffix == ".parquet":
        rows.to_parquet(path)
    else:
        rows.to_json(path, orient="records", lines=path.suffix != ".json")
    return path


@pytest.fixture(params=sources.SUFFIXES)
def file(request, tmp_path):
    return write(tmp_path / f"mine{request.param}")


def test_all_formats_and_orders_of_the_same_rows_are_the_same_data_set(file, tmp_path):
    found = own_data.read(file)
    assert found.labels == ("ham", "other", "spam")
    assert found.counts["train"].to_dict() == SIZES
    assert found.name.startswith("mine-3-classes@")
    (tmp_path / "again").mkdir()
    shuffled = write(tmp_path / "again" / "mine.csv", FRAME.sample(frac=1, random_state=1))
    assert own_data.read(shuffled).name == found.name
    assert own_data.read(FRAME).name.rpartition("@")[2] == found.name.rpartition("@")[2]
    assert own_data.read(write(tmp_path / "mine.parquet", FRAME.iloc[1:])).name != found.name


def test_semicolons_a_byte_order_mark_other_columns_and_blank_lines(tmp_path):
    path = tmp_path / "mine.csv"
    lines = ["what;about;id", *(f"a text, {i};{i % 2};{i}" for i in range(30))]
    path.write_text("\ufeff" + "\n\n".join(lines) + "\n", encoding="utf-8")
    found = own_data.read(path, text="what", label="about")
    assert found.labels == ("0", "1")
    assert sorted(found.split(0)["train"]["text"])[0].startswith("a text, ")


@pytest.mark.parametrize(
    ("first", "row"),
    [("text ; label", "a text {};{}"), ("\nlabel;text", "{};a text {}"), ("sep=;\ntext;label", "a text {};{}"),
     ("sep=,\r\ntext,label,,", "a text {},{},,")],
)  # fmt: skip
def test_headers_as_spreadsheets_write_them(tmp_path, first, row):
    path = tmp_path / "mine.csv"
    path.write_text("\n".join([first, *(row.format(i % 2, i % 2) for i in range(30))]))
    assert len(own_data.read(path).labels) >= 2


def test_a_column_that_nobody_asked_for_may_occur_twice():
    twice = pd.concat(
        [FRAME, FRAME[["text"]].set_axis(["more"], axis=1), FRAME.set_axis(["more", "id"], axis=1)], axis=1
    )
    assert own_data.read(twice).rows == 60
    with pytest.raises(DataDiffers, match="the data frame: the column 'text' occurs twice"):
        own_data.read(pd.concat([FRAME, FRAME], axis=1))
    with pytest.raises(DataDiffers, match="the test data frame, row 1, column 'text': no text"):
        own_data.read(FRAME, test=FRAME.assign(text=None))


def test_numbers_as_labels_are_in_the_order_of_their_size():
    rows = pd.DataFrame({"text": [f"text {i}" for i in range(33)], "label": [2.0, 10.0, -1.0] * 11})
    assert own_data.read(rows).labels == ("-1", "2", "10")
    assert own_data.read(rows.assign(label=[True, False, True] * 11)).labels == ("False", "True")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({5: "no label here"}, r"row 4 (line 5), column 'text': the row has 1 field, but the header has 2"),
        ({5: "a, b, c"}, r"mine.csv, row 4 (line 5), column 'label': the row has 3 fields"),
        ({5: ",ham"}, r"mine.csv, row 4 (line 5), column 'text': no text"),
        ({5: "  ,ham", 9: ",spam"}, r"row 4 (line 5), column 'text': no text (2 such rows in all)"),
        ({5: "a text,"}, r"mine.csv, row 4 (line 5), column 'label': no label"),
        ({5: '"a text,ham'}, r"mine.csv, row 4 (from line 5 on): unexpected end of data; is a double quote left open"),
        ({1: "text,text"}, r"mine.csv, line 1: the column 'text' occurs twice"),
        ({1: "text,lable"}, r"mine.csv has no column 'label'; did you mean 'lable'? its columns are 'text', 'lable'"),
        ({5: "a\0b,ham"}, r"mine.csv, line 5: a zero byte"),
    ],
)  # fmt: skip
def test_a_bad_row_of_a_csv_file_is_named(tmp_path, lines, message):
    rows = ["text,label", *(f"text {i},{'ham' if i % 3 else 'spam'}" for i in range(30))]
    for number, line in lines.items():
        rows[number - 1] = line
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(DataDiffers) as error:
        own_data.read(path)
    assert message in str(error.value)
    assert list(tmp_path.iterdir()) == [path]


def test_the_line_of_a_row_counts_those_inside_quotes(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text('text,label\n"one\ntwo\nthree",ham\n,spam\n' + "a,ham\n" * 30)
    with pytest.raises(DataDiffers, match=r"row 2 \(line 5\), column 'text': no text"):
        own_data.read(path)


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


def test_what_is_no_json_no_utf_8_no_parquet_no_file_or_empty(tmp_path):
    path = write(tmp_path / "mine.jsonl")
    path.write_text(path.read_text().replace("}\n", "\n", 1))
    with pytest.raises(DataDiffers, match=r"mine.jsonl, row 1 \(line 1\): not JSON"):
        own_data.read(path)
    path = tmp_path / "mine.csv"
    path.write_bytes(b"text,label\na,ham\ncaf\xe9,spam\n")
    with pytest.raises(DataDiffers, match=r"mine.csv, line 3, byte 4 of it: not UTF-8"):
        own_data.read(path)
    path.write_text("")
    with pytest.raises(DataDiffers, match=r"mine.csv is empty"):
        own_data.read(path)
    (tmp_path / "mine.parquet").write_text("PAR1")
    with pytest.raises(DataDiffers, match=r"mine.parquet cannot be read as parquet"):
        own_data.read(tmp_path / "mine.parquet")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*; did you mean mine.csv\?"):
        own_data.read(tmp_path / "mime.csv")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*quotes.csv$"):  # nothing that is like it
        own_data.read(tmp_path / "quotes.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no file in .*empty can be read: supported files end in"):
        own_data.read(tmp_path / "empty")
    (tmp_path / "mine.xlsx").write_text("x")
    with pytest.raises(DataDiffers, match=r"mine.xlsx cannot be read: supported files end in \.csv"):
        own_data.read(tmp_path / "mine.xlsx")


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
    assert found.is_pair
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


def test_the_files_of_a_folder_are_read_as_strictly_as_others(tmp_path):
    rows = FRAME.assign(label=FRAME["label"].replace({"ham": "NA", "spam": "01"}))
    for name in ("train", "test"):
        write(tmp_path / f"{name}.csv", rows)
    assert own_data.read(tmp_path).labels == ("01", "NA", "other")
    (tmp_path / "test.csv").write_text("text,label\n" + "a,NA\n" * 20 + "b\n")
    with pytest.raises(DataDiffers, match=r"test.csv, row 21 \(line 22\), column 'text': the row has 1 field"):
        own_data.read(tmp_path)


def test_several_files_of_a_split_are_read_one_after_the_other(tmp_path):
    write(tmp_path / "a.csv", FRAME[:25])
    write(tmp_path / "b.jsonl", FRAME[25:])
    assert own_data.read(tmp_path).name.rpartition("@")[2] == own_data.read(FRAME).name.rpartition("@")[2]
    for number in (1, 2):
        write(tmp_path / f"test-{number}.csv", FRAME[30 * number - 30 : 30 * number])
    assert own_data.read(tmp_path).counts["test"].tolist() == own_data.read(FRAME).counts["train"].tolist()
    write(tmp_path / "test-2.csv", FRAME.assign(text=[" "] + ["fine"] * 59))
    with pytest.raises(DataDiffers, match=r"test-2.csv, row 1 \(line 2\), column 'text': no text"):
        own_data.read(tmp_path)
    (tmp_path / "b.jsonl").write_text('{"texts": "one", "label": "ham"}\n')
    with pytest.raises(DataDiffers, match=r"b.jsonl has no column 'text'; did you mean 'texts'\?"):
        own_data.read(tmp_path)
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")  # a data set card: as datasets reads it
    (tmp_path / "test-2.csv").write_text('text,label\n"a,NA\n')
    with pytest.raises(DataDiffers, match="cannot be read by datasets"):
        own_data.read(tmp_path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_files_of_the_same_name_are_told_apart_by_their_folders(tmp_path, suffix):
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / f"train.{suffix}", FRAME)
    write(tmp_path / "south" / f"train.{suffix}", FRAME.assign(label=[None, *FRAME["label"][1:]]))
    with pytest.raises(DataDiffers, match=rf"^south/train.{suffix}, row 1\b.*column .label.: no label"):
        own_data.read(tmp_path)


def test_hidden_files_and_results_in_a_folder_are_not_data(tmp_path):
    write(tmp_path / "train.csv")
    alone = own_data.read(tmp_path).name
    for name in (".ipynb_checkpoints/train-checkpoint.csv", "._train.csv", f"{sources.RESULTS}/records/own/mine.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name)
    assert own_data.read(tmp_path).name == alone
    (tmp_path / "train.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file in .* can be read"):
        own_data.read(tmp_path)


def test_the_folder_one_is_in_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine" / "train.csv")
    monkeypatch.chdir(tmp_path / "mine")
    found = own_data.read(".")
    assert (found.title, found.name) == ("mine", own_data.read(tmp_path / "mine").name)
    assert corpora.get(found.name).own


def test_a_link_keeps_its_own_name(tmp_path):
    """As in the hub's cache, whose files are links to others that are named by a digest."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "mine.csv").symlink_to(write(tmp_path / "blobs" / "0123.csv").rename(tmp_path / "blobs" / "0123"))
    found = own_data.read(tmp_path / "mine.csv")
    assert (found.title, found.folder) == ("mine.csv", tmp_path / "blobs")
    assert found.name.startswith("mine-")


def test_rows_that_a_data_set_leaves_unlabelled_are_no_class(monkeypatch):
    """-1 of a ClassLabel, as in SNLI."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    texts = [f"text {i}" for i in range(40)]
    whole, hidden, torn = (
        Dataset.from_dict({"text": texts, "label": labels}, features=features)
        for labels in ([0, 1] * 20, [-1] * 40, [0, 1] * 19 + [1, -1])
    )
    monkeypatch.setattr(sources, "load_dataset", lambda *_: DatasetDict({"train": whole, "test": hidden}))
    assert not own_data.read("someone/something").has_test
    monkeypatch.setattr(sources, "load_dataset", lambda *_: DatasetDict({"train": torn}))
    with pytest.raises(DataDiffers, match="row 40, column 'label': no label"):
        own_data.read("someone/something")


def test_one_json_object_is_not_rows(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"data": FRAME.to_dict("records")}, indent=1))
    with pytest.raises(
        DataDiffers, match=r"mine\.json: expected an array of objects, or one object a line; got a single"
    ):
        own_data.read(file)


@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=8), share=st.floats(0.01, 1))
def test_every_class_is_trained_on_and_rows_are_shared_out_in_proportion(counts, share):
    rows = dict(enumerate(counts))
    size = max(len(counts), round(share * sum(counts)))
    plain, least = corpora.shares_of(rows, size), corpora.shares_of(rows, size, least=1)
    assert sum(least.values()) == sum(plain.values()) == size
    assert all(1 <= least[label] <= rows[label] for label in rows)
    if all(plain.values()):
        assert least == plain


def test_a_small_class_is_in_a_small_training_set():
    labels = ["a"] * 100 + ["b"] * 100 + ["c"] * 6
    data = own_data.read(pd.DataFrame({"text": [f"text {i}" for i in range(206)], "label": labels}))
    assert sorted(data.split(0, data.sizes(train_size=16))["train"]["label"].unique()) == [0, 1, 2]


def test_a_last_row_that_cannot_be_left_out_is_explained():
    data = own_data.read(pd.DataFrame({"text": [f"t {i}" for i in range(200)], "label": [i % 17 for i in range(200)]}))
    with pytest.raises(ValueError, match=r"leave one row with nothing to mix with, .* choose another batch_size"):
        data.sizes(train_size=17)
    assert data.sizes(train_size=17, batch_size=9)["train_size"] == 17
    assert data.sizes(train_size=33)["train_size"] == 32


def test_a_folder_is_read_as_the_hub_is(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder / "train.csv")
    write(folder / "test.csv", FRAME.assign(text=[f"new {i}" for i in range(60)]))
    found = own_data.read(folder)
    assert found.has_test
    assert found.labels == ("ham", "other", "spam")
    with pytest.raises(corpora.DataUnavailable, match="neither a file here nor a data set that the Hugging Face hub"):
        own_data.read("nobody/nothing")


def test_what_a_reader_has_to_know_is_said():
    doubled = pd.concat([FRAME, FRAME.head(3), FRAME.head(2).assign(label="spam")], ignore_index=True)
    said = " ".join(own_data.read(doubled).remarks)
    assert "65 rows, 3 classes: 'ham' 39, 'spam' 20, 'other' 6" in said
    assert "Imbalanced: the largest class has 6.5 times the rows of the smallest" in said
    assert "always answering 'ham' is right in 60.0% of the rows" in said
    assert "5 rows repeat the text of another row" in said
    assert "2 texts occur with different labels" in said
    assert "Balanced" in " ".join(own_data.read(FRAME.assign(label=["a", "b"] * 30)).remarks)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 9), st.integers(1, 60), min_size=1, max_size=8),
    st.integers(0, 300),
    st.integers(0, 1),
)
def test_shares_are_in_proportion_and_leave_what_is_to_stay(counts, size, keep):
    shares, total = corpora.shares_of(counts, size, keep), sum(counts.values())
    room = sum(max(0, n - keep) for n in counts.values())
    assert sum(shares.values()) == min(size, room)
    for label, n in counts.items():
        assert 0 <= shares[label] <= max(0, n - keep)
    if all(n * size / total + 1 <= n - keep for n in counts.values()):
        assert all(abs(shares[label] - n * size / total) < 1 for label, n in counts.items())


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


def test_sizes_of_ones_own_data_are_kept_or_refused():
    found = own_data.read(FRAME)
    with pytest.raises(ValueError, match="its test examples come from the training rows: say how many, got None"):
        corpora.sample(found.name, 0)
    assert [len(part) for part in found.split(0, {"test_size": 10}).values()] == [50, 0, 10]
    tested = own_data.read(FRAME, test=FRAME.head(20).assign(text=[f"new {i}" for i in range(20)]))
    assert len(corpora.sample(tested.name, 0).test) == 20
    with pytest.raises(DataDiffers, match=r"50 test examples were asked for, but .* has 20; set the test size"):
        corpora.sample(tested.name, 0, test_size=50)


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
