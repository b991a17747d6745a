import json

import pandas as pd
import pytest
from datasets import Dataset

from mixlib import corpora, models


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with a small RTE."""
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    (tmp_path / "rte").mkdir()
    for split, n in (("train", 60), ("validation", 20)):
        write(tmp_path, split, frame(n, split))
    return tmp_path


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
    sample = corpora.sample(name, 0, train_size=40, dev_size=10, test_size=20, synthetic_twin=True)
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
    from mixlib import published

    names = {n for paper in published.PAPERS for n in published.dataset_sizes(paper)["dataset"]}
    ours = {"anli": "anli_r1", "yelp5": "yelp_polarity"}
    missing = {ours.get(n, n) for n in names} - set(corpora.CORPORA) - {"toy_gaussian_2d"}
    assert not missing


def test_draws_are_paired_nested_and_disjoint():
    small = corpora.sample("rte", 3, train_size=16, dev_size=8, test_size=10, synthetic_twin=True)
    again = corpora.sample("rte", 3, train_size=16, dev_size=8, test_size=10, synthetic_twin=True)
    large = corpora.sample("rte", 3, train_size=64, dev_size=8, test_size=10, synthetic_twin=True)
    other = corpora.sample("rte", 4, train_size=16, dev_size=8, test_size=10, synthetic_twin=True)
    assert small.checksums == again.checksums
    assert set(small.train["text"]) < set(large.train["text"])
    assert small.checksums["train"] != other.checksums["train"]
    assert not set(large.train["text"]) & set(large.dev["text"])


def test_dev_and_test_cut_from_one_split_do_not_overlap_and_the_cut_is_the_same_for_all_seeds():
    samples = [corpora.sample("imdb", seed, train_size=4, synthetic_twin=True) for seed in (0, 1)]
    for one in samples:
        assert not set(one.dev["text"]) & set(one.test["text"])
        assert len(one.dev) + len(one.test) == 320
    assert set(samples[0].dev["text"]) == set(samples[1].dev["text"])


def test_the_draw_depends_on_content_not_on_the_order_of_the_file(folder):
    corpora._load_split.cache_clear()
    first = corpora.sample("rte", 0, train_size=10, dev_size=5, test_size=8)
    write(folder, "train", frame(60, "train").sample(frac=1, random_state=1))
    corpora._load_split.cache_clear()
    second = corpora.sample("rte", 0, train_size=10, dev_size=5, test_size=8)
    assert first.train.equals(second.train)
    assert first.checksums == second.checksums
    whole = corpora.sample("rte", 0, train_size=60, dev_size=0, test_size=8).checksums
    write(folder, "train", frame(60, "train").replace("train 7", "changed"))
    corpora._load_split.cache_clear()
    changed = corpora.sample("rte", 0, train_size=60, dev_size=0, test_size=8).checksums
    assert changed["train"] != whole["train"]
    assert changed["test"] == whole["test"]


def test_a_joined_split_is_not_read_half_from_the_folder_and_half_from_the_hub(folder, monkeypatch):
    (folder / "ag_news").mkdir()
    frame(8, "a").drop(columns="text_b").to_parquet(folder / "ag_news" / "validation.parquet")
    hub = Dataset.from_dict({"text": ["x"], "label": [0]})
    monkeypatch.setattr(corpora, "load_dataset", lambda *a, **k: hub)
    with pytest.raises(corpora.DataDiffers, match="only a part is in MIXLIB_DATA"):
        corpora.load_split("ag_news", "validation+test")


def test_hub_columns_are_renamed_and_missing_ones_named(no_data, monkeypatch):
    rows = Dataset.from_dict({"passage": ["p"], "question": ["q"], "answer": [True]})
    monkeypatch.setattr(corpora, "load_dataset", lambda *a, **k: rows)
    corpora._load_split.cache_clear()
    assert corpora.load_split("boolq", "train").rows.to_dict("records") == [{"text": "q", "text_b": "p", "label": 1}]
    with pytest.raises(corpora.DataDiffers, match=r"nyu-mll/glue on the hub: columns .*are missing"):
        corpora.load_split("mrpc", "train")
    corpora._load_split.cache_clear()


def test_repeated_rows_are_drawn_as_often_as_they_stand_there(folder):
    write(folder, "train", pd.concat([frame(5, "train")] * 3))
    corpora._load_split.cache_clear()
    assert len(corpora.sample("rte", 0, train_size=15, dev_size=0).train) == 15


def test_too_few_rows_say_how_many_there_are(folder):
    corpora._load_split.cache_clear()
    with pytest.raises(corpora.DataDiffers, match="61 train examples were asked for, but MIXLIB_DATA has 60"):
        corpora.sample("rte", 0, train_size=61)


def test_unknown_name_gives_the_nearest():
    with pytest.raises(ValueError, match="unknown data set 'rtee'; did you mean rte"):
        corpora.sample("rtee", 0)


def test_missing_data_say_where_they_were_looked_for_and_how_to_get_them(folder, monkeypatch):
    with pytest.raises(corpora.DataUnavailable, match=r"mrpc/train\.parquet.*nyu-mll/glue.*To get it"):
        corpora.load_split("mrpc", "train")
    with pytest.raises(corpora.DataUnavailable, match="not read from the hub"):
        corpora.load_split("fewrel", "train")
    monkeypatch.delenv("MIXLIB_DATA")
    with pytest.raises(corpora.DataUnavailable, match="MIXLIB_DATA \\(not set\\)"):
        corpora.load_split("fewrel", "train")


def test_another_checksum_is_refused(folder):
    manifest = [{"name": "rte", "split": "train", "sha256": "0" * 64}]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    corpora._load_split.cache_clear()
    corpora._check_file.cache_clear()
    with pytest.raises(corpora.DataDiffers, match=r"its sha256 is .* but manifest\.json beside it says 0000"):
        corpora.load_split("rte", "train")


def test_other_columns_and_labels_are_refused(folder):
    write(folder, "train", frame(10, "train").drop(columns="text_b"))
    write(folder, "validation", frame(10, "v").assign(label=-1))
    corpora._load_split.cache_clear()
    with pytest.raises(corpora.DataDiffers, match=r"columns \['text_b'\] are missing; it has \['text', 'label'"):
        corpora.load_split("rte", "train")
    with pytest.raises(corpora.DataDiffers, match=r"labels \[-1\] are outside 0 to 1"):
        corpora.load_split("rte", "validation")


def test_encode_cuts_and_refuses_empty_text():
    tokenizer = models.tiny_tokenizer()
    rows = frame(3, "some words here")
    data = corpora.encode(rows, tokenizer, max_length=6)
    assert max(len(ids) for ids in data["input_ids"]) == 6
    assert data["labels"] == [0, 1, 0]
    with pytest.raises(ValueError, match=r"empty text in row 1 \(1 in all\)"):
        corpora.encode(rows.assign(text=["a", "  ", "b"]), tokenizer, 8)


def test_longest_first_sorts_without_losing_rows():
    data = corpora.encode(pd.DataFrame({"text": ["a", "a b c", "a b"], "label": [0, 1, 2]}), models.tiny_tokenizer(), 9)
    ordered = corpora.longest_first(data)
    assert ordered["labels"] == [1, 2, 0]
