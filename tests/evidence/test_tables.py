from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mixlib.evidence import published, tables
from mixlib.evidence.tables import Comparison, beside, cell, compare, frame, holm
from mixlib.papers.amplify import protocol as amplify
from mixlib.papers.mixup_calibration import protocol
from tests.fabricate import by_method, records


@pytest.fixture
def data():
    made = records(protocol.table2("mini"), lambda s: {"accuracy": 0.05} if s.method == "cls_mixup" else {})
    return frame(made, protocol.size_label)


def series(values):
    return pd.Series(values, index=range(len(values)), dtype=float)


def test_compare_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    first, second = series(rng.normal(1, 1, 8)), series(rng.normal(0, 1, 8))
    result = compare(first, second)
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval(0.95)
    assert (result.p, result.low, result.high) == pytest.approx((expected.pvalue, low, high))
    assert result.mean == pytest.approx((first - second).mean())


def test_compare_pairs_by_seed_not_by_position():
    first, second = series([1, 2, 3, 4]), series([1, 2, 3, 4])
    shuffled = second.sample(frac=1, random_state=1)
    result = compare(first, shuffled)
    assert (result.low, result.mean, result.high, result.p, result.decided) == (0, 0, 0, 1, False)
    assert compare(first, second[[1, 2]]).seeds == 2
    with pytest.raises(ValueError, match="at least 2 common seeds, got 1"):
        compare(first, second[[1]])


def test_one_series_is_compared_with_zero():
    values = series(np.random.default_rng(0).normal(1, 1, 8))
    assert compare(values) == compare(values, 0 * values)


def test_interval_covers_the_truth_at_six_seeds():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        result = compare(series(rng.normal(0.5, 1, 6)), series(np.zeros(6)))
        hits += result.low <= 0.5 <= result.high
    assert 0.93 < hits / 1000 < 0.97


def test_holm_corrects_over_all_comparisons():
    raw = [Comparison(1, 0, 2, p, 6, p < 0.05) for p in (0.01, 0.02, 0.04)]
    corrected = holm(raw)
    assert [c.p for c in corrected] == pytest.approx([0.03, 0.04, 0.04])
    assert [c.decided for c in holm([Comparison(1, 0, 2, 0.03, 6, True)] * 3)] == [False] * 3
    assert holm([]) == []


def test_frame_has_the_papers_units(data):
    made = records(protocol.table2("mini")[:1], lambda s: {}, noise=0)
    row = frame(made, protocol.size_label).iloc[0]
    assert (row["accuracy"], row["loss"], row["ece"]) == pytest.approx((80, 60, 20))
    assert set(data["train_size"]) == {"full", "32"}


def test_beside_has_every_printed_row_and_column():
    printed = published.table("amplify_table2")
    data = by_method(range(6), amplify=5.0, embedmix=0.0, tmix=0.0, sentencemix=0.0)
    table = beside(printed[printed["dataset"].isin(["sst2", "mrpc"])], data, {"sst2": "SST-2, 400 rows"})
    assert len(table) == 2 * 5
    assert list(table.columns) == [("Accuracy %", c) for c in ("published", "measured", "published Δ", "measured Δ")]
    row = table.loc[("MRPC", "AMPLIFY")]["Accuracy %"]
    assert row["published"] == "83.03 ± 0.110"  # digits as printed
    assert row["published Δ"] == "+1.83"
    assert row["measured Δ"].startswith("+6.2 [")
    assert row["measured Δ"].endswith("*")
    assert table.loc[("SST-2, 400 rows", "no mixup")]["Accuracy %"].tolist()[2:] == ["", ""]
    fewer = data.drop(index=data.index[data["method"] == "tmix"][0])  # one seed fewer in one row
    assert beside(printed[printed["dataset"] == "sst2"], fewer)["", "seeds"].tolist() == ["6", "6", "6", "5", "6"]


def test_the_spread_is_the_standard_deviation_of_a_sample():
    data = pd.DataFrame({"dataset": "sst2", "method": "none", "param": "", "seed": range(3),
                         "accuracy": [80.0, 82.0, 84.0]})  # fmt: skip
    table = beside(published.table("amplify_table2").query("dataset == 'sst2'"), data)
    measured = table["Accuracy %", "measured"]
    assert measured[measured != "not run"].tolist() == ["82.0 ± 2.0"]


def test_beside_says_what_has_not_been_run():
    table = beside(published.table("amplify_table2").query("dataset == 'sst2'"), by_method(amplify=1.0))
    row = table.loc[("SST-2", "TMix")]
    assert row["Accuracy %", "measured"] == "not run"
    assert row["", "seeds"] == "0"


def test_beside_adds_the_plain_model_and_controls_that_a_paper_lacks():
    printed = published.table("amplify_table4").query("dataset == 'mrpc'")
    data = by_method(amplify_block4=1.0, amplify=1.0, none_long=1.0)
    table = beside(printed, data, extra=["amplify"])
    assert list(table.loc["MRPC"].index) == [
        "no mixup", "AMPLIFY, block 4 of 12", "AMPLIFY, block 8 of 12", "AMPLIFY, block 12 of 12",
        "mean of the three rows", "AMPLIFY",
    ]  # fmt: skip
    assert table.loc[("MRPC", "AMPLIFY")]["Accuracy %", "published"] == "–"


def test_a_table_with_several_sizes_needs_one_of_its_own(data):
    printed = published.table("mixup_calibration_table2")
    with pytest.raises(ValueError, match="duplicate keys"):
        beside(printed, data)
    with pytest.raises(ValueError, match="duplicate keys"):
        tables.differences(printed.query("train_size == '32'"), data)


def test_differences_have_the_published_one_beside(data):
    few = data[data["train_size"] == "32"]
    gaps = tables.differences(published.table("mixup_calibration_table2").query("train_size == '32'"), few)
    row = gaps[gaps["method"] == "cls_mixup"].iloc[0]
    assert row["published"] == pytest.approx(1.4)
    assert row["low"] < row["mean"] < row["high"]


def test_missing_cell_is_a_key_error(data):
    with pytest.raises(KeyError, match="no runs with"):
        cell(data, "accuracy", method="ssmix")


def test_show_gives_the_same_html_twice():
    table = pd.DataFrame({"a": ["1"]})
    assert tables.show(table, "caption").data == tables.show(table, "caption").data


def test_synthetic_tables_say_so():
    made = records(protocol.table2("smoke"), lambda s: {})
    assert tables.scale("smoke", made).startswith("SYNTHETIC DATA, not a result")
    specs = protocol.table2("mini")
    fewer = [spec for spec in specs if spec.train_size == 32 or spec.seed < 106]
    real = tables.scale("mini", records(fewer, lambda s: {}))
    assert "SYNTHETIC" not in real
    assert "6 or 12 seeds" in real


def test_no_spread_is_printed_where_the_paper_has_none():
    printed = published.table("amplify_table1").query("dataset == 'mrpc'")
    specs = [s for s in amplify.table1("full") if s.dataset == "mrpc"]
    table = tables.beside(printed, tables.frame(records(specs, lambda s: {}), param="n"))
    assert list(table["Accuracy %", "published"]) == ["–", "82.25", "82.43", "83.19", "83.71", "83.13", "82.55"]


def test_published_differences_have_the_digits_that_are_printed():
    printed = published.table("amplify_table2").query("dataset == 'sst2'")
    table = beside(printed, by_method(amplify=1.0))
    assert table.loc[("SST-2", "AMPLIFY")]["Accuracy %", "published Δ"] == "-0.04"


def test_numbers_as_all_tables_write_them():
    values = series([80, 82, 84])
    assert (tables.mean_and_sd(values), tables.variance_and_sd(values)) == ("82.0 ± 2.0", "4.00 (2.0)")
    assert tables.with_rows("IMDb", 400.0, 25_000) == "IMDb, 400 rows (paper 25,000)"
    assert tables.with_rows("MRPC", 3668, 3668) == tables.with_rows("MRPC", 3668) == "MRPC, 3,668 rows"


def test_a_published_table_is_shown_as_it_is_printed():
    wide = tables.as_printed(published.table("amplify_table2"))
    assert wide.shape == (5, 7)
    assert wide.loc["AMPLIFY", "MRPC"] == "83.03 ± 0.110"
    long = tables.as_printed(published.table("batchmixup_table1"), ["dataset", "train_size"], "method")
    assert long.loc[("RTE", "1%"), "BatchMixup"] == "51.46 ± 1.43"
    assert long.loc[("RTE", "any"), "BatchMixup"] == "–"


def test_the_last_update_counts_unless_the_selected_evaluation_is_asked_for():
    (made,) = records(protocol.table5("smoke", seeds=[0])[:1], lambda s: {"accuracy": 0.0})
    first = {**made.evaluations[-1], "test": {**made.last, "accuracy": 0.9}}
    made = replace(
        made, evaluations=[first, {**made.evaluations[-1], "test": {**made.last, "accuracy": 0.7}}], selected=0
    )
    assert tables.frame([made])["accuracy"].item() == pytest.approx(70)
    assert tables.frame([made], at="selected")["accuracy"].item() == pytest.approx(90)
    with pytest.raises(ValueError, match="unknown evaluation 'best'"):
        tables.frame([made], at="best")


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_equal_differences_and_few_seeds_decide_nothing(seeds):
    first = pd.Series([50.0 + 10 * i for i in range(seeds)])
    same = tables.compare(first, first - 0.5)
    assert (same.mean, same.p, same.decided) == (0.5, 1.0, False)
    rounded = pd.Series([100 * (round((k + 1) / 24, 6) - round(k / 24, 6)) for k in range(11, 11 + seeds)])
    assert not tables.compare(rounded).decided  # one row of 24 with each seed, in records of six digits
    assert tables.compare(rounded / 100, scale=1).p == 1.0
    clear = tables.compare(first + pd.Series([20.0 + 0.01 * i for i in range(seeds)]), first)
    (corrected,) = tables.holm([clear])
    assert corrected.decided == clear.decided == (seeds >= 4)


def test_text_in_a_table_is_never_read_as_html():
    evil = "<img src=x onerror=alert(1)> & co"
    table = pd.DataFrame({evil: [evil, 0.5]}, index=pd.Index([evil, "plain"], name=evil))
    shown = tables.show(table, evil).data
    assert "<img" not in shown
    assert shown.count("&lt;img src=x onerror=alert(1)&gt; &amp; co") == 5
    assert "0.500000" in shown  # numbers are shown as before
    assert table.iloc[0, 0] == evil


def test_a_table_names_data_sets_for_readers_and_shows_a_dash_for_a_missing_number():
    table = pd.DataFrame({"trec_coarse": [1.5, np.nan]}, index=pd.Index(["sst2", "other"], name="data_set"))
    shown = tables.show(table, "caption").data
    assert all(word in shown for word in ("TREC-coarse", "SST-2", "data set", "other", "–"))
    assert not any(word in shown for word in ("trec_coarse", "sst2", "data_set", ">nan"))
