from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mixlib.evidence import published, statistics
from mixlib.papers.mixup_calibration import frames as calibration
from mixlib.papers.mixup_calibration import protocol
from mixlib.papers.mixup_calibration.frames import RAW, SCALED
from mixlib.runs.predictions import Predictions
from mixlib.runs.store import Store
from tests.fabricate import record, records

PRINTED = published.table("mixup_calibration_table2")
NONE, CLS = "no mixup", "CLS MixUp"


def scaled(made, of=lambda spec: {}):
    """The records with what is left after temperature scaling: a loss of 50 and an ECE of 2, or what ``of`` says."""
    after = {"temperature": 2.0, "nll": 0.5, "ece": 0.02}
    return [replace(r, scaled=after | of(r.spec)) for r in made]


def data_of(effect, of=lambda spec: {}, table=protocol.table2, noise=0.004):
    return calibration.frame(scaled(records(table("mini"), effect, noise), of))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("imdb", "full", 400), "IMDb, 400 rows (paper 25,000)"),
        (("imdb", "full", 25000), "IMDb, 25,000 rows"),
        (("ag_news", "32", 32), "AG News, 32 rows"),
        (("ag_news", "32", 48), "AG News, 48 rows (paper 32)"),
        (("rte", "full", None), "RTE (paper 2,490)"),
        (("qnli", "full", 2000), "QNLI, 2,000 rows (not in the paper)"),
    ],
)
def test_places_have_readers_names(arguments, name):
    assert calibration.place(*arguments) == name


def test_every_padding_has_a_name_of_its_own():
    names = [calibration.padding(param) for param in protocol.PADDINGS]
    assert len(set(names)) == 7
    assert calibration.padding("sep_pair") == "[SEP], to the longer of the pair"
    assert calibration.padding("no_pad") == "no padding"


def test_a_lead_that_a_temperature_takes_away_is_seen_in_both_columns():
    """CLS MixUp saves 20 of 60 (nats x100) as trained; after scaling all have the same loss."""
    data = data_of(lambda s: {"nll": -0.2} if s.method == "cls_mixup" else {}, noise=1e-6)
    row = calibration.table(PRINTED, data, "loss").loc[("IMDb, 400 rows (paper 25,000)", CLS)]
    assert row[RAW, "mean ± SD"] == "40.0 ± 0.0"
    assert row[RAW, "Δ [95%]"] == "-20.0 [-20.0, -20.0] *"
    assert row[SCALED, "mean ± SD"] == "50.0 ± 0.0"
    assert row[SCALED, "Δ [95%]"] == "+0.0 [0.0, 0.0]"
    assert (row["paper", "mean"], row["paper", "Δ"]) == ("29 ± 1", "-32")  # the paper's digits


def test_the_table_of_scores_has_the_papers_rule_beside_and_no_scaling():
    made = records(protocol.table4("mini"), lambda s: {"mcc": 0.1} if s.method == "cls_mixup" else {}, noise=1e-6)
    later = [
        replace(r, evaluations=[*r.evaluations, {**r.evaluations[0], "test": {**r.evaluations[0]["test"], "mcc": 0.2}}])
        for r in made
    ]
    printed = published.table("mixup_calibration_table4")
    table = calibration.table(printed, calibration.frame(scaled(later)), "score")
    assert set(table.columns.get_level_values(0)) == {"paper", "last update", "best development epoch"}
    cola = table.loc[("CoLA, 2,000 rows (paper 8,551)", CLS)]
    assert cola["last update", "mean ± SD"] == "20.0 ± 0.0"  # MCC; the first of two evaluations is selected
    assert cola["best development epoch", "mean ± SD"] == "60.0 ± 0.0"
    assert table.loc[("RTE (paper 2,490)", CLS)].tolist()[:2] == ["63.8 ± 1.0", "+0.0"]
    assert set(table.loc[("RTE (paper 2,490)", CLS)].tolist()[2:]) == {""}
    assert table.loc[("QNLI, 2,000 rows (not in the paper)", NONE)]["paper", "mean"] == ""
    assert table.loc[("CoLA, 2,000 rows (paper 8,551)", "CLS MixUp, last half")]["last update", "Δ [95%]"]


def test_columns_in_which_nothing_stands_are_left_out():
    unscaled = calibration.frame(records(protocol.table5("mini"), lambda s: {}))
    table = calibration.table(published.table("mixup_calibration_table5"), unscaled, "ece")
    assert list(table.columns) == [(RAW, "mean ± SD"), (RAW, "Δ [95%]")]  # neither printed nor scaled
    assert len(table) == 8
    accuracy = calibration.table(published.table("mixup_calibration_table5"), unscaled, "score")
    assert ("paper", "Δ") not in accuracy  # the paper has no plain model there
    assert accuracy.loc[("SST-2, 64 rows", "[SEP], to the longer of the pair")]["paper", "mean"] == "82.00 ± 1.4"


def test_differences_for_plots_are_those_of_the_table():
    data = data_of(lambda s: {"nll": -0.2} if s.method == "cls_mixup" else {})
    gaps = calibration.differences(PRINTED, data, ["loss"]).set_index(["place", "method", "scored"])
    row = gaps.loc["IMDb, 32 rows", "cls_mixup", RAW]
    shown = calibration.table(PRINTED, data, "loss").loc[("IMDb, 32 rows", CLS)][RAW, "Δ [95%]"]
    assert shown.removesuffix(" *") == f"{row['mean']:+.1f} [{row['low']:.1f}, {row['high']:.1f}]"
    assert row["published"] == -94
    assert len(gaps) == 2 * 3 * 2  # sizes, methods, as trained and scaled


def test_savings_are_ratios_of_losses_and_points_of_ece():
    """All three methods halve the loss and save 10 points of ECE; scaled, theirs is 1.1 times the plain model's."""
    half = {"nll": -0.3, "ece": -0.1}
    data = data_of(
        lambda s: {} if s.method == "none" else half,
        lambda s: {} if s.method == "none" else {"nll": 0.55},
        protocol.tables2_3_4,
        noise=1e-6,
    )
    shown = calibration.savings(data)
    row = shown.loc[("mean over IMDb, AG News, CoLA", "mean of the three")]
    assert row["Loss", RAW] == "-50.0% [-50.0, -50.0]"
    assert row["Loss", SCALED] == "+10.0% [10.0, 10.0]"
    assert row["ECE %", RAW] == "-10.0 [-10.0, -10.0]"
    assert row["ECE %", SCALED] == "+0.0 [0.0, 0.0]"
    assert ("QNLI, 2,000 rows (not in the paper)", "mean of the three") in shown.index


def test_sizes_of_one_data_set_count_once_in_the_mean_over_data_sets():
    """IMDb at both sizes -4 points, AG News at both sizes and CoLA none: the mean over three sets is -4 / 3."""
    data = data_of(
        lambda s: {"ece": -0.04} if s.dataset == "imdb" and s.method != "none" else {}, table=protocol.tables2_3_4
    )
    shown = calibration.savings(data).loc[("mean over IMDb, AG News, CoLA", "mean of the three")]["ECE %", RAW]
    assert float(shown.split()[0]) == pytest.approx(-4 / 3, abs=0.15)
    saved = calibration._saved(data, "ece", "ece", protocol.VARIANTS[1:])
    by_set = {
        name: pd.concat([v for k, v in saved.items() if k[0] == name], axis=1).dropna().mean(axis=1)
        for name in ("imdb", "ag_news", "cola")
    }
    assert shown.startswith(f"{statistics.pooled(by_set).mean:+.1f}")


def test_bins_are_those_of_the_kept_predictions_at_the_last_update(tmp_path):
    """Four rows, each at the log odds of 0.9: three right. At temperature 2 the confidence is sigmoid(log(9) / 2)."""
    spec = protocol.table2("mini")[0]
    logits, labels = np.array([[np.log(9.0), 0.0]] * 4), np.array([0, 0, 0, 1])
    kept = Predictions.from_logits({"test": (logits, labels, [bytes([i]) for i in range(4)])})
    made = record(spec)
    made = replace(
        made, data=made.data | {"predictions": kept.digest}, scaled={"temperature": 2.0, "nll": 0.5, "ece": 0.0}
    )
    path = Store(tmp_path).path(spec).with_suffix(".npz")
    path.parent.mkdir(parents=True)
    path.write_bytes(kept.to_bytes())
    found = calibration.bins([made, made], Store(tmp_path))
    assert found[RAW]["rows"].sum() == 8
    assert found[RAW]["rows"][13] == 8  # 0.9 of 15 bins
    assert found[RAW]["correct"][13] == 6
    assert found[RAW]["confidence"][13] == pytest.approx(8 * 0.9, abs=1e-2)  # kept in half precision
    assert found[RAW]["ece"] == pytest.approx(0.1)  # of the record
    assert found[SCALED]["rows"][11] == 8  # 0.75
    assert found[SCALED]["confidence"][11] == pytest.approx(8 * 0.75, abs=1e-2)
    at = calibration.at_temperatures([made, made], [1.0, 2.0], Store(tmp_path))
    for temperature, version in ((1.0, RAW), (2.0, SCALED)):
        for name in ("rows", "confidence", "correct"):
            assert at[temperature][name].tolist() == found[version][name].tolist()
    assert [at[t]["ece"] for t in at] == pytest.approx([0.15, 0.0], abs=2e-3)
    assert at[2.0]["nll"] == pytest.approx((3 * np.log(4 / 3) + np.log(4)) / 4, abs=1e-3)


def test_runs_without_predictions_have_their_bins_as_trained_alone():
    (found,) = [calibration.bins(records(protocol.table2("mini")[:2], lambda s: {}))]
    assert set(found) == {RAW}
    assert found[RAW]["rows"].sum() == 200


def test_overfitting_looks_at_the_rows_of_the_curve():
    spec = next(s for s in protocol.figure2("mini") if s.method == "none")
    made = record(spec, nll=0.9, losses=[0.7, 0.6, 0.9])
    curve = [{**e, "curve": {"nll": loss}} for e, loss in zip(made.evaluations, (0.5, 0.4, 0.6), strict=True)]
    groups = {"CoLA": {"none": [replace(made, evaluations=curve)] * 2}}
    row = calibration.overfitting(groups).loc[("CoLA", NONE)]
    assert row["final loss x100"] == "90.0 ± 0.0"  # of all test rows
    assert row["rise above the lowest"] == "50% ± 0"
    assert (row["lowest loss x100"], row["lowest after epoch"]) == ("40.0", "2")


def test_settings_are_one_row_a_cell():
    table = calibration.settings(protocol.table2("mini", seeds=[0, 1]))
    assert list(table.index) == ["IMDb, 400 rows (paper 25,000)", "IMDb, 32 rows"]
    assert set(table["seeds"]) == {"2"}
    assert table["learning rate"].tolist() == ["0.0001", "0.0002"]
