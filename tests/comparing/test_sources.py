"""Where a user's own data are read from: what is read alike, and what is refused with its place."""

import json

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from mixlib.comparing import own_data, sources
from mixlib.runs import corpora
from mixlib.runs.corpora import DataDiffers
from tests.comparing.rows import FRAME, SIZES, write


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
    assert own_data.read(path).labels == ("0", "1")


def test_a_column_that_nobody_asked_for_may_occur_twice():
    twice = pd.concat(
        [FRAME, FRAME[["text"]].set_axis(["more"], axis=1), FRAME.set_axis(["more", "id"], axis=1)], axis=1
    )
    assert own_data.read(twice).rows == 60
    with pytest.raises(DataDiffers, match="the data frame: the column 'text' occurs twice"):
        own_data.read(pd.concat([FRAME, FRAME], axis=1))
    with pytest.raises(DataDiffers, match="the test data frame, row 1, column 'text': no text"):
        own_data.read(FRAME, test=FRAME.assign(text=None))


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


def test_a_test_file_without_labels_gives_way_to_the_validation_file_and_is_named(tmp_path):
    write(tmp_path / "train.csv")
    write(tmp_path / "test.csv", FRAME[["text"]])
    found = own_data.read(tmp_path)
    assert not found.has_test
    assert found.remarks[0] == "test.csv has no column 'label', so its rows are not used"
    write(tmp_path / "validation.csv", FRAME[::2])
    found = own_data.read(tmp_path)
    assert found.counts["test"].sum() == 30
    assert found.remarks[0].startswith("test.csv has no column")
    write(tmp_path / "test.csv", FRAME[::3])
    assert own_data.read(tmp_path).counts["test"].sum() == 20
    assert own_data.read(FRAME, test=tmp_path).counts["test"].sum() == 20  # not the rows for training


def test_test_rows_whose_labels_are_hidden_give_way_to_the_validation_rows(tmp_path):
    write(tmp_path / "train.csv")
    write(tmp_path / "test.csv", FRAME.assign(label=-1))
    write(tmp_path / "validation.csv", FRAME[::2])
    found = own_data.read(tmp_path)
    assert found.counts["test"].sum() == 30
    assert found.remarks[0] == "the labels of test.csv are all -1, not public, so its rows are not used"
    write(tmp_path / "test.csv", FRAME[:0])
    with pytest.raises(DataDiffers, match=r"test\.csv has 0 rows; at least 20 are needed"):
        own_data.read(tmp_path)


def test_a_file_that_may_be_for_testing_is_not_trained_on(tmp_path):
    write(tmp_path / "mytrain.csv")
    write(tmp_path / "latest.csv")
    with pytest.raises(DataDiffers, match=r"is latest\.csv for testing\? .* rename it \(my-test\.csv\)"):
        own_data.read(tmp_path)
    (tmp_path / "mytrain.csv").rename(tmp_path / "oldest.csv")  # nothing says that one is for training
    assert own_data.read(tmp_path).rows == 120


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


def test_several_labels_a_row_are_refused(monkeypatch):
    rows = Dataset.from_dict({"text": [f"text {i}" for i in range(40)], "label": [[0, 1]] * 40})
    monkeypatch.setattr(sources, "load_dataset", lambda *_: DatasetDict({"train": rows, "test": rows}))
    with pytest.raises(
        DataDiffers, match=r"row 1, column 'label': a label must be a text or a whole number, got \[0, 1\]"
    ):
        own_data.read("someone/something")


def test_data_sets_in_memory_are_read_as_those_on_the_hub(tmp_path):
    data = Dataset.from_pandas(FRAME)
    assert own_data.read(data).name.rpartition("@")[2] == own_data.read(FRAME).name.rpartition("@")[2]
    both = own_data.read(DatasetDict(train=data, test=data))
    assert (both.has_test, both.counts["test"].to_dict()) == (True, SIZES)
    with pytest.raises(DataDiffers, match="the data set, split train has no column 'txt'; did you mean 'text'"):
        own_data.read(data, text="txt")
    with pytest.raises(DataDiffers, match=r"data must be a file, .* or a 🤗 Dataset, got list"):
        own_data.read([("a text", 1)])


def test_a_column_that_is_not_there_is_followed_by_how_to_say_which_is_meant():
    with pytest.raises(DataDiffers, match=r"'review', 'sentiment'; say which holds .* \(--text and --label; in Python"):
        own_data.read(FRAME.rename(columns={"text": "review", "label": "sentiment"}))


def test_one_json_object_is_not_rows(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"data": FRAME.to_dict("records")}, indent=1))
    with pytest.raises(
        DataDiffers, match=r"mine\.json: expected an array of objects, or one object per line; got a single"
    ):
        own_data.read(file)
    FRAME.to_json(file)  # one object on one line, of columns
    with pytest.raises(DataDiffers, match=r"got a single object \(in pandas: to_json\(..., orient='records'"):
        own_data.read(file)


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
