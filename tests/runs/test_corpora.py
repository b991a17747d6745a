import json
import re
from hashlib import sha256

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from mixlib.runs import corpora, draws, paths


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    return small_rte(tmp_path)


def small_rte(folder):
    """A data folder with a small RTE in it."""
    (folder / "rte").mkdir()
    for split, n in (("train", 60), ("validation", 20)):
        write(folder, split, frame(n, split))
    return folder


def frame(n, name):
    return pd.DataFrame(
        {"text": [f"{name} {i}" for i in range(n)], "text_b": [f"b {i}" for i in range(n)],
         "label": [i % 2 for i in range(n)], "label_name": ["x"] * n}
    )  # fmt: skip


def write(folder, split, rows):
    rows.to_parquet(folder / "rte" / f"{split}.parquet", index=False)


@pytest.mark.parametrize("name", corpora.CORPORA)
def test_every_data_set_has_a_twin_with_its_columns_and_classes(name):
    corpus = corpora.get(name)
    sample = draws.sample(name, 0, train_size=40, dev_size=10, test_size=20, synthetic_twin=True)
    for rows, size in ((sample.train, 40), (sample.dev, 10), (sample.test, 20)):
        assert len(rows) == size
        assert set(corpus.required) <= set(rows.columns)
        assert rows["label"].between(0, corpus.num_labels - 1).all()
    assert sample.source == "synthetic twin"
    if corpus.task == "relation":
        for row in sample.train.to_dict("records"):
            words = row["text"].split(" ")
            assert " ".join(words[row["head_start"] : row["head_end"]]) == row["head"]
            assert " ".join(words[row["tail_start"] : row["tail_end"]]) == row["tail"]


def test_all_data_sets_of_the_papers_are_there():
    from mixlib.evidence import published

    names = {n for paper in published.papers() for n in published.dataset_sizes(paper)["dataset"]}
    ours = {"anli": "anli_r1", "yelp5": "yelp_polarity"}
    missing = {ours.get(n, n) for n in names} - set(corpora.CORPORA) - {"toy_gaussian_2d"}
    assert not missing


def test_a_joined_split_is_not_read_half_from_the_folder_and_half_from_the_hub(folder, monkeypatch):
    (folder / "ag_news").mkdir()
    frame(8, "a").drop(columns="text_b").to_parquet(folder / "ag_news" / "validation.parquet")
    hub = Dataset.from_dict({"text": ["x"], "label": [0]})
    monkeypatch.setattr(corpora, "load_dataset", lambda *a, **k: hub)
    with pytest.raises(corpora.DataDiffers, match=r"MIXLIB_DATA \(.*\) has only a part of"):
        corpora.load_split("ag_news", "validation+test")


def test_hub_columns_are_renamed_and_missing_ones_named(no_data, monkeypatch):
    rows = Dataset.from_dict({"passage": ["p"], "question": ["q"], "answer": [True]})
    monkeypatch.setattr(corpora, "load_dataset", lambda *a, **k: rows)
    corpora._load_split.cache_clear()
    assert corpora.load_split("boolq", "train").rows.to_dict("records") == [{"text": "q", "text_b": "p", "label": 1}]
    with pytest.raises(corpora.DataDiffers, match=r"nyu-mll/glue on the hub: columns .*are missing"):
        corpora.load_split("mrpc", "train")
    corpora._load_split.cache_clear()


def test_one_of_two_joined_splits_is_at_hand(folder):
    assert not corpora.at_hand("ag_news")
    (folder / "ag_news").mkdir()
    for split in ("train", "test"):
        frame(8, split).drop(columns="text_b").to_parquet(folder / "ag_news" / f"{split}.parquet")
    assert corpora.at_hand("ag_news")
    assert len(corpora.load_split("ag_news", "validation+test").rows) == 8
    assert not corpora.at_hand("imdb")


def test_unknown_name_gives_the_nearest():
    with pytest.raises(ValueError, match="unknown data set 'rtee'; did you mean rte"):
        draws.sample("rtee", 0)


def test_missing_data_say_where_they_were_looked_for_and_how_to_get_them(folder, monkeypatch):
    with pytest.raises(corpora.DataUnavailable, match=r"mrpc/train\.parquet.*nyu-mll/glue.*To get it"):
        corpora.load_split("mrpc", "train")
    with pytest.raises(corpora.DataUnavailable, match="not read from the hub"):
        corpora.load_split("fewrel", "train")
    monkeypatch.delenv("MIXLIB_DATA")
    with pytest.raises(corpora.DataUnavailable, match="MIXLIB_DATA \\(not set\\)"):
        corpora.load_split("fewrel", "train")


def test_banking77_is_read_from_the_repository_before_the_hub(no_data, monkeypatch):
    """It is what the committed records were made from: the digests of rows are those that were counted."""
    monkeypatch.setattr(corpora, "load_dataset", lambda *a, **k: pytest.fail("the hub was asked"))
    corpora._load_split.cache_clear()
    known, found = corpora.committed_counts()["banking77"]["splits"], corpora.counted("banking77")["splits"]
    assert {part: split["source"] for part, split in found.items()} == {"train": "repository", "test": "repository"}
    assert [split["rows"] for split in found.values()] == [10003, 3080]
    for part, split in found.items():
        assert split | {"source": ""} == known[part] | {"source": ""}
    corpora._load_split.cache_clear()


def test_banking77_from_the_hub_is_that_of_the_repository(no_data, monkeypatch):
    """The hub counts the one name with a capital among the small letters, and some of its texts end in white space."""
    here = corpora.load_split("banking77", "test")
    rows = pd.read_parquet(paths.DATA / "banking77" / "test.parquet")
    names = sorted(rows["label_name"].unique(), key=str.casefold)
    assert names.index("Refund_not_showing_up") == 51
    hub = Dataset.from_dict(
        {"text": [f"{text}\n" for text in rows["text"]], "label": [names.index(name) for name in rows["label_name"]]},
        features=Features({"text": Value("string"), "label": ClassLabel(names=names)}),
    )
    monkeypatch.setattr(corpora, "load_dataset", lambda *a, **k: hub)
    monkeypatch.setattr(corpora, "_files", lambda *a: [])
    corpora._load_split.cache_clear()
    found = corpora.load_split("banking77", "test")
    corpora._load_split.cache_clear()
    assert found.source.startswith("PolyAI/banking77@")
    assert found.digests == here.digests


def test_banking77_of_ones_own_comes_before_that_of_the_repository(folder):
    (folder / "banking77").mkdir()
    frame(8, "mine").drop(columns="text_b").to_parquet(folder / "banking77" / "train.parquet")
    corpora._load_split.cache_clear()
    assert corpora.load_split("banking77", "train").source == "MIXLIB_DATA"
    assert corpora.load_split("banking77", "test").source == "repository"
    assert corpora.load_split("banking77", "train").rows["text"][0] == "mine 0"


def test_another_checksum_is_refused(folder):
    manifest = [{"name": "rte", "split": "train", "sha256": "0" * 64}]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    corpora._load_split.cache_clear()
    corpora._check_file.cache_clear()
    with pytest.raises(corpora.DataDiffers, match=r"its sha256 is .* but manifest\.json next to it says 0000"):
        corpora.load_split("rte", "train")


def test_other_columns_and_labels_are_refused(folder):
    write(folder, "train", frame(10, "train").drop(columns="text_b"))
    write(folder, "validation", frame(10, "v").assign(label=-1))
    corpora._load_split.cache_clear()
    with pytest.raises(corpora.DataDiffers, match=r"columns \['text_b'\] are missing; it has \['text', 'label'"):
        corpora.load_split("rte", "train")
    with pytest.raises(corpora.DataDiffers, match=r"labels \[-1\] are outside 0 to 1"):
        corpora.load_split("rte", "validation")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("label", ["pos", "neg", "pos"], r"label of row 0 is 'pos', which is not a whole number \(3 such rows"),
        ("label", [0.0, None, 1.0], r"label of row 1 is .*nan.*, which is not a whole number \(1 such rows"),
        ("label", [0, 1, 0.5], r"label of row 2 is .*0\.5.*number the classes from 0"),
        ("label", pd.array([0, None, 1], "Int64"), r"label of row 1 is .*, which is not a whole number"),
        ("text", ["a", None, "b"], r"text of row 1 is .*, which is not a text \(1 such rows in all\)"),
        ("text_b", [1, 2, 3], r"text_b of row 0 is .*1.*, which is not a text \(3 such rows in all\)"),
    ],
)
def test_what_is_no_text_or_label_is_named_with_file_column_and_row(folder, column, values, message):
    write(folder, "train", frame(3, "train").assign(**{column: values}))
    corpora._load_split.cache_clear()
    with pytest.raises(corpora.DataDiffers, match=rf"rte/train\.parquet: {message}"):
        corpora.load_split("rte", "train")


@pytest.mark.parametrize("dtype", ["bool", "int8", "float64", "Int64", "uint16"])
def test_labels_of_any_kind_of_number_give_the_same_draw(folder, dtype):
    whole = frame(60, "train")
    drawn = []
    for kind in ("int64", dtype):
        write(folder, "train", whole.assign(label=whole["label"].astype(kind)))
        corpora._load_split.cache_clear()
        drawn.append(draws.sample("rte", 0, train_size=10, dev_size=5, test_size=8))
    assert drawn[0].checksums == drawn[1].checksums
    assert drawn[1].train["label"].dtype == "int64"


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"a": 1}', '[{"name": "rte"}]', "null"])
def test_a_broken_manifest_is_named(folder, text):
    (folder / "manifest.json").write_text(text)
    corpora._load_split.cache_clear()
    corpora._check_file.cache_clear()
    with pytest.raises(corpora.DataDiffers, match=r"manifest\.json: not a list of objects with name, split and sha256"):
        corpora.load_split("rte", "train")


def test_a_file_that_a_manifest_does_not_name_is_said_to_be_unverified(folder, capsys):
    content = (folder / "rte" / "train.parquet").read_bytes()
    manifest = [{"name": "rte", "split": "train", "sha256": sha256(content).hexdigest().upper()}]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    corpora._load_split.cache_clear()
    corpora._check_file.cache_clear()
    corpora.load_split("rte", "train")
    assert capsys.readouterr().err == ""
    corpora.load_split("rte", "validation")
    assert re.search(r"not verified: .*validation\.parquet is not named in .*manifest\.json", capsys.readouterr().err)


def test_a_file_that_is_no_parquet_is_named(folder):
    (folder / "rte" / "train.parquet").write_bytes((folder / "rte" / "train.parquet").read_bytes()[:100])
    corpora._load_split.cache_clear()
    with pytest.raises(corpora.DataDiffers, match=r"rte/train\.parquet: cannot be read as a parquet file"):
        corpora.load_split("rte", "train")


def test_75_relations_and_none():
    old = corpora.load_split("fewrel80", "train", synthetic_twin=True)
    new = corpora.load_split("fewrel75_none", "train", synthetic_twin=True)
    assert corpora.get("fewrel75_none").num_labels == new.rows["label"].nunique() == 76
    none = old.rows["label"].isin(corpora.NONE_RELATIONS)
    assert ((new.rows["label"] == 75) == none).all()
    pairs = set(zip(old.rows["label"][~none], new.rows["label"][~none], strict=True))
    assert len(pairs) == 75
    assert sorted(pairs) == sorted(pairs, key=lambda pair: pair[1])
    assert new.groups == old.groups  # per-class draws still go by the 80 relations
    assert len(set(corpora.NONE_RELATIONS)) == 5
