import json
import re
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlib.runs import corpora, models, paths
from mixlib.runs.store import read


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
    from mixlib.evidence import published

    names = {n for paper in published.papers() for n in published.dataset_sizes(paper)["dataset"]}
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


def test_every_split_is_drawn_anew_for_each_seed():
    for name in ("rte", "sst2", "imdb"):  # dev comes from the training rows, from its own split, from that of test
        one, other = (
            corpora.sample(name, seed, train_size=16, dev_size=8, test_size=10, synthetic_twin=True) for seed in (3, 4)
        )
        for role in ("train", "dev", "test"):
            assert one.checksums[role] != other.checksums[role], (name, role)


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


def test_repeated_rows_are_drawn_as_often_as_they_stand_there(folder):
    write(folder, "train", pd.concat([frame(5, "train")] * 3))
    corpora._load_split.cache_clear()
    assert len(corpora.sample("rte", 0, train_size=15, dev_size=0).train) == 15


def test_too_few_rows_say_how_many_there_are(folder):
    corpora._load_split.cache_clear()
    with pytest.raises(corpora.DataDiffers, match="61 train examples were asked for, but MIXLIB_DATA has 60"):
        corpora.sample("rte", 0, train_size=61)


def test_too_few_rows_left_after_training_are_said_to_be_that(folder):
    corpora._load_split.cache_clear()
    with pytest.raises(corpora.DataDiffers, match="11 dev examples were asked for, but 10 are left after training"):
        corpora.sample("rte", 0, train_size=50, dev_size=11)
    assert len(corpora.sample("rte", 0, train_size=50).dev) == 10


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
        corpora.sample("rtee", 0)


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


def test_examples_drawn_from_the_repository_are_those_of_the_committed_records(no_data):
    corpora._load_split.cache_clear()
    (path, *_) = sorted((paths.DATA / "results" / "common").glob("banking77-none-100-*.json"))
    record = read(path.read_text())
    sizes = {name: getattr(record.spec, name) for name in ("train_size", "dev_size", "test_size", "train_per_class")}
    drawn = corpora.sample("banking77", record.spec.seed, **sizes)
    assert drawn.checksums == {role: record.data[role] for role in ("train", "dev", "test")}


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
    draws = []
    for kind in ("int64", dtype):
        write(folder, "train", whole.assign(label=whole["label"].astype(kind)))
        corpora._load_split.cache_clear()
        draws.append(corpora.sample("rte", 0, train_size=10, dev_size=5, test_size=8))
    assert draws[0].checksums == draws[1].checksums
    assert draws[1].train["label"].dtype == "int64"


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


def test_every_place_that_rows_come_from_is_named(monkeypatch):
    """SST-2 of the hub: training and test rows come from two repositories."""
    load = corpora.load_split
    monkeypatch.setattr(corpora, "load_split", lambda name, split, _: replace(load(name, split, True), source=split))
    assert corpora.sample("sst2", 0, train_size=8, dev_size=4, test_size=8).source == "train + validation + test"
    monkeypatch.setattr(corpora, "load_split", lambda *given: replace(load(given[0], given[1], True), source="one"))
    assert corpora.sample("sst2", 0, train_size=8, dev_size=4, test_size=8).source == "one"


def by_class(seed=3, **changes):
    defaults = {"train_per_class": 8, "dev_size": 16, "test_size": 20, "synthetic_twin": True}
    return corpora.sample("fewrel75_none", seed, **(defaults | changes))


def test_shares_of_each_class_are_nested_exact_and_judged_on_the_same_rows():
    share = {1.0: 8, 0.75: 6, 0.7: 6, 0.5: 4, 0.4: 3, 0.3: 2, 0.25: 2, 0.01: 1}  # of 8, rounded to the nearest
    drawn = {f: by_class(train_fraction=f) for f in share}
    for fraction, count in share.items():
        counts = drawn[fraction].train["label_name"].value_counts()
        assert len(counts) == 80
        assert set(counts) == {count}
    texts = [set(sample.train["text"]) for sample in drawn.values()]
    assert all(small <= large for large, small in pairwise(texts))
    assert len({sample.checksums["test"] for sample in drawn.values()}) == 1
    assert len({sample.checksums["dev"] for sample in drawn.values()}) == 1
    assert by_class().checksums == drawn[1.0].checksums
    assert by_class(seed=4, train_fraction=0.5).checksums["train"] != drawn[0.5].checksums["train"]


def test_shares_of_unequal_classes():
    whole = corpora.load_split("rte", "train", synthetic_twin=True)
    half = corpora.sample("rte", 0, dev_size=0, test_size=4, synthetic_twin=True, train_fraction=0.5)
    for label in (0, 1):
        count = (whole.rows["label"] == label).sum()
        assert (half.train["label"] == label).sum() == round(count / 2)


def test_rows_outside_a_share_do_not_become_development_rows():
    whole, quarter = (
        corpora.sample(
            "banking77", 0, dev_size=30, test_size=4, synthetic_twin=True, train_per_class=4, train_fraction=f
        )
        for f in (1.0, 0.25)
    )
    assert not set(whole.train["text"]) & set(quarter.dev["text"])
    assert whole.checksums["dev"] == quarter.checksums["dev"]


def test_shares_that_cannot_be_drawn():
    with pytest.raises(corpora.DataDiffers, match="9999 training examples of each class were asked for, but class"):
        by_class(train_per_class=9999)
    with pytest.raises(ValueError, match="train_fraction must be above 0 and at most 1, got 0"):
        by_class(train_fraction=0)
    with pytest.raises(ValueError, match="train_per_class must be at least 1"):
        by_class(train_per_class=0)
    with pytest.raises(ValueError, match="not both"):
        by_class(train_size=10)


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
    data = corpora.encode(relations, tokenizer, 64, entities=True)
    for row, spans, ids in zip(relations.to_dict("records"), data["entity_spans"], data["input_ids"], strict=True):
        for entity, (first, end) in zip(("head", "tail"), spans, strict=True):
            pieces = tokenizer.convert_ids_to_tokens(ids[first:end])
            assert "".join(p.removeprefix("##") for p in pieces) == row[entity].lower().replace(" ", "")


def test_an_entity_cut_off_is_an_error_or_a_counted_skip(relations):
    _, tokenizer = models.load("tiny", 2)
    length = max(spans[1][1] for spans in corpora.encode(relations, tokenizer, 64, entities=True)["entity_spans"])
    with pytest.raises(ValueError, match=f"max_length={length} cuts an entity off in 1 of 2 rows, first in row 0"):
        corpora.encode(relations, tokenizer, length, entities=True)  # its last piece makes room for [SEP]
    assert len(corpora.encode(relations, tokenizer, length, entities=True, skip_cut=True)) == 1
    assert len(corpora.encode(relations, tokenizer, length + 1, entities=True)) == 2


def test_bad_entities_are_named(relations):
    _, tokenizer = models.load("tiny", 2)
    with pytest.raises(ValueError, match="entity spans need the columns tail_end; the data has text, label"):
        corpora.encode(relations.drop(columns="tail_end"), tokenizer, 64, entities=True)
    for start, end in ((4, 8), (-1, 2), (3, 3)):
        wrong = relations.assign(tail_start=start, tail_end=end)
        with pytest.raises(
            ValueError, match=rf"tail entity spans words {start} to {end} \(end exclusive\) of a text of"
        ):
            corpora.encode(wrong, tokenizer, 64, entities=True)
    tokenizer.padding_side = "left"
    with pytest.raises(ValueError, match="padding_side='left'"):
        corpora.encode(relations, tokenizer, 64, entities=True)


def test_rows_with_entities_cut_off_are_counted_in_the_record():
    from mixlib.runs.spec import RunSpec
    from mixlib.runs.training import execute

    spec = RunSpec(paper="batchmixup", dataset="fewrel80", method="none", seed=0, model="tiny", head="entities",
                   train_size=32, dev_size=8, test_size=32, synthetic=True, max_length=16)  # fmt: skip
    record = execute(spec)
    assert record.data["train_skipped"] == 32 - record.data["train_rows"] > 0
    assert record.data["test_skipped"] == 32 - sum(record.reliability["rows"]) > 0


def test_label_noise_changes_a_share_of_the_labels_and_a_larger_one_contains_a_smaller():
    rows = corpora.sample("trec_coarse", 0, train_size=100, synthetic_twin=True).train
    none, few, many = (corpora.with_label_noise(rows, share, 6, seed=1)["label"] for share in (0, 0.1, 0.2))
    assert none.equals(rows["label"])
    wrong = few != rows["label"]
    assert wrong.sum() == 10
    assert (many != rows["label"]).sum() == 20
    assert many[wrong].equals(few[wrong])
    assert set(many) <= set(range(6))
    assert not corpora.with_label_noise(rows, 0.1, 6, seed=2)["label"].equals(few)
    assert corpora.with_label_noise(rows, 0.1, 6, seed=1)["label"].equals(few)
    for share in (-0.1, 1):
        with pytest.raises(ValueError, match=r"share of the training rows in \[0, 1\)"):
            corpora.with_label_noise(rows, share, 6, seed=1)


@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=8), share=st.floats(0.01, 1))
def test_every_class_is_trained_on_and_rows_are_shared_out_in_proportion(counts, share):
    rows = dict(enumerate(counts))
    size = max(len(counts), round(share * sum(counts)))
    plain, least = corpora.shares_of(rows, size), corpora.shares_of(rows, size, least=1)
    assert sum(least.values()) == sum(plain.values()) == size
    assert all(1 <= least[label] <= rows[label] for label in rows)
    if all(plain.values()):
        assert least == plain


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
