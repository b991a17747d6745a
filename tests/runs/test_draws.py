from dataclasses import replace
from hashlib import sha256
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlib.comparing import own_data
from mixlib.runs import corpora, draws, paths
from mixlib.runs.store import read
from tests.comparing.rows import FRAME
from tests.runs.test_corpora import frame, small_rte, write


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    return small_rte(tmp_path)


def test_draws_are_paired_nested_and_disjoint():
    small = draws.sample("rte", 3, train_size=16, dev_size=8, test_size=10, synthetic_twin=True)
    again = draws.sample("rte", 3, train_size=16, dev_size=8, test_size=10, synthetic_twin=True)
    large = draws.sample("rte", 3, train_size=64, dev_size=8, test_size=10, synthetic_twin=True)
    other = draws.sample("rte", 4, train_size=16, dev_size=8, test_size=10, synthetic_twin=True)
    assert small.checksums == again.checksums
    assert set(small.train["text"]) < set(large.train["text"])
    assert small.checksums["train"] != other.checksums["train"]
    assert not set(large.train["text"]) & set(large.dev["text"])


def test_digests_are_those_of_the_rows_in_their_order_and_of_all_they_were_drawn_from():
    for name in ("rte", "sst2", "imdb"):
        drawn, corpus = (
            draws.sample(name, 3, train_size=16, dev_size=8, test_size=10, synthetic_twin=True),
            corpora.get(name),
        )
        for role, split in (("train", "train"), ("dev", corpus.dev), ("test", corpus.test)):
            rows = getattr(drawn, role)
            assert drawn.digests[role] == list(corpora.split_of(rows, "").digests)
            assert drawn.checksums[role] == corpora.checksum_of(drawn.digests[role][::-1])  # whatever their order
            if role != "train":
                assert drawn.drawn_from[role] == corpora.load_split(name, split, synthetic_twin=True).digests


def test_every_split_is_drawn_anew_for_each_seed():
    for name in ("rte", "sst2", "imdb"):  # dev comes from the training rows, from its own split, from that of test
        one, other = (
            draws.sample(name, seed, train_size=16, dev_size=8, test_size=10, synthetic_twin=True) for seed in (3, 4)
        )
        for role in ("train", "dev", "test"):
            assert one.checksums[role] != other.checksums[role], (name, role)


def test_dev_and_test_cut_from_one_split_do_not_overlap_and_the_cut_is_the_same_for_all_seeds():
    samples = [draws.sample("imdb", seed, train_size=4, synthetic_twin=True) for seed in (0, 1)]
    for one in samples:
        assert not set(one.dev["text"]) & set(one.test["text"])
        assert len(one.dev) + len(one.test) == 320
    assert set(samples[0].dev["text"]) == set(samples[1].dev["text"])


def test_the_draw_depends_on_content_not_on_the_order_of_the_file(folder):
    corpora._load_split.cache_clear()
    first = draws.sample("rte", 0, train_size=10, dev_size=5, test_size=8)
    write(folder, "train", frame(60, "train").sample(frac=1, random_state=1))
    corpora._load_split.cache_clear()
    second = draws.sample("rte", 0, train_size=10, dev_size=5, test_size=8)
    assert first.train.equals(second.train)
    assert first.checksums == second.checksums
    whole = draws.sample("rte", 0, train_size=60, dev_size=0, test_size=8).checksums
    write(folder, "train", frame(60, "train").replace("train 7", "changed"))
    corpora._load_split.cache_clear()
    changed = draws.sample("rte", 0, train_size=60, dev_size=0, test_size=8).checksums
    assert changed["train"] != whole["train"]
    assert changed["test"] == whole["test"]


def test_repeated_rows_are_drawn_as_often_as_they_stand_there(folder):
    write(folder, "train", pd.concat([frame(5, "train")] * 3))
    corpora._load_split.cache_clear()
    assert len(draws.sample("rte", 0, train_size=15, dev_size=0).train) == 15


def test_too_few_rows_say_how_many_there_are(folder):
    corpora._load_split.cache_clear()
    with pytest.raises(corpora.DataDiffers, match="61 train examples were asked for, but MIXLIB_DATA has 60"):
        draws.sample("rte", 0, train_size=61)


def test_too_few_rows_left_after_training_are_said_to_be_that(folder):
    corpora._load_split.cache_clear()
    with pytest.raises(corpora.DataDiffers, match="11 dev examples were asked for, but 10 are left after training"):
        draws.sample("rte", 0, train_size=50, dev_size=11)
    assert len(draws.sample("rte", 0, train_size=50).dev) == 10


def test_examples_drawn_from_the_repository_are_those_of_the_committed_records(no_data):
    corpora._load_split.cache_clear()
    (path, *_) = sorted((paths.DATA / "results" / "common").glob("banking77-none-100-*.json"))
    record = read(path.read_text())
    sizes = {name: getattr(record.spec, name) for name in ("train_size", "dev_size", "test_size", "train_per_class")}
    drawn = draws.sample("banking77", record.spec.seed, **sizes)
    assert drawn.checksums == {role: record.data[role] for role in ("train", "dev", "test")}


def test_every_place_that_rows_come_from_is_named(monkeypatch):
    """SST-2 of the hub: training and test rows come from two repositories."""
    load = corpora.load_split
    monkeypatch.setattr(corpora, "load_split", lambda name, split, _: replace(load(name, split, True), source=split))
    assert draws.sample("sst2", 0, train_size=8, dev_size=4, test_size=8).source == "train + validation + test"
    monkeypatch.setattr(corpora, "load_split", lambda *given: replace(load(given[0], given[1], True), source="one"))
    assert draws.sample("sst2", 0, train_size=8, dev_size=4, test_size=8).source == "one"


def by_class(seed=3, **changes):
    defaults = {"train_per_class": 8, "dev_size": 16, "test_size": 20, "synthetic_twin": True}
    return draws.sample("fewrel75_none", seed, **(defaults | changes))


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


TWIN = {"train_size": 16, "dev_size": 8, "test_size": 10, "synthetic_twin": True}
BY_CLASS = {"train_per_class": 6, "train_fraction": 0.5, "dev_size": 16, "test_size": 20, "synthetic_twin": True}


def in_order(name, **asked):
    """Digests of the rows that seed 3 draws, in their order."""
    digests = draws.sample(name, 3, **asked).digests
    return [sha256(b"".join(digests[role])).hexdigest()[:8] for role in ("train", "dev", "test")]


@pytest.mark.parametrize(
    ("name", "asked", "drawn"),
    [
        ("rte", TWIN, ["ba7f2ef0", "c1f6b933", "a9722799"]),  # dev from the training rows
        ("sst2", TWIN, ["6ac0ec2a", "5845d706", "031b96a1"]),  # of its own
        (
            "imdb",
            TWIN | {"dev_size": None, "test_size": None},
            ["ff3dafb4", "e73a2f8f", "f6de9453"],
        ),  # cut from test, all of it
        ("trec_coarse", BY_CLASS, ["fd6553fd", "8c3a5eba", "ad9febdb"]),
    ],
)
def test_a_seed_draws_the_rows_it_always_drew_in_their_order(name, asked, drawn):
    """Otherwise the settings in a record would no longer give its numbers."""
    assert in_order(name, **asked) == drawn


def test_a_seed_draws_the_rows_it_always_drew_of_a_users_own_files():
    one, two = own_data.read(FRAME), own_data.read(FRAME, test=FRAME.head(40).assign(text=[f"{i}" for i in range(40)]))
    assert in_order(one.name, train_size=24, dev_size=9, test_size=12) == ["109bde52", "3fc13532", "60b308bb"]
    assert in_order(two.name, train_size=24, dev_size=9, test_size=12) == ["68b74379", "6a1611e4", "cdaf0ebe"]


def test_a_seed_changes_the_labels_it_always_changed():
    rows = pd.DataFrame({"label": [i % 6 for i in range(20)]})
    noisy = draws.with_label_noise(rows, 0.25, 6, seed=1)["label"]
    changed = {i: label for i, label in enumerate(noisy) if label != rows["label"][i]}
    assert changed == {3: 1, 8: 0, 10: 1, 12: 2, 14: 4}


def test_shares_of_unequal_classes():
    whole = corpora.load_split("rte", "train", synthetic_twin=True)
    half = draws.sample("rte", 0, dev_size=0, test_size=4, synthetic_twin=True, train_fraction=0.5)
    for label in (0, 1):
        count = (whole.rows["label"] == label).sum()
        assert (half.train["label"] == label).sum() == round(count / 2)


def test_rows_outside_a_share_do_not_become_development_rows():
    whole, quarter = (
        draws.sample("banking77", 0, dev_size=30, test_size=4, synthetic_twin=True, train_per_class=4, train_fraction=f)
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


def test_label_noise_changes_a_share_of_the_labels_and_a_larger_one_contains_a_smaller():
    rows = draws.sample("trec_coarse", 0, train_size=100, synthetic_twin=True).train
    none, few, many = (draws.with_label_noise(rows, share, 6, seed=1)["label"] for share in (0, 0.1, 0.2))
    assert none.equals(rows["label"])
    wrong = few != rows["label"]
    assert wrong.sum() == 10
    assert (draws.with_label_noise(rows, 0.169, 6, seed=1)["label"] != rows["label"]).sum() == 17
    assert (many != rows["label"]).sum() == 20
    assert many[wrong].equals(few[wrong])
    assert set(many) <= set(range(6))
    assert not draws.with_label_noise(rows, 0.1, 6, seed=2)["label"].equals(few)
    assert draws.with_label_noise(rows, 0.1, 6, seed=1)["label"].equals(few)
    for share in (-0.1, 1):
        with pytest.raises(ValueError, match=r"share of the training rows in \[0, 1\)"):
            draws.with_label_noise(rows, share, 6, seed=1)


@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=8), share=st.floats(0.01, 1))
def test_every_class_is_trained_on_and_rows_are_shared_out_in_proportion(counts, share):
    rows = dict(enumerate(counts))
    size = max(len(counts), round(share * sum(counts)))
    plain, least = draws.shares_of(rows, size), draws.shares_of(rows, size, least=1)
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
    shares, total = draws.shares_of(counts, size, keep), sum(counts.values())
    room = sum(max(0, n - keep) for n in counts.values())
    assert sum(shares.values()) == min(size, room)
    for label, n in counts.items():
        assert 0 <= shares[label] <= max(0, n - keep)
    if all(n * size / total + 1 <= n - keep for n in counts.values()):
        assert all(abs(shares[label] - n * size / total) < 1 for label, n in counts.items())
