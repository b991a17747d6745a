import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mixlib import methods
from mixlib.evidence import judgements, overview, plots, published, statistics, tables
from mixlib.evidence.claims import Claim
from mixlib.evidence.verdicts import Verdict
from mixlib.papers import step_time
from mixlib.papers.amplify import figures as amplify_plots
from mixlib.papers.amplify import frames as judge
from mixlib.papers.amplify import protocol as amplify
from mixlib.papers.batchmixup import figures as batchmixup_plots
from mixlib.papers.batchmixup import protocol as batchmixup
from mixlib.papers.mixup_calibration import figures as mixup_calibration_plots
from mixlib.papers.mixup_calibration import frames as calibration
from mixlib.papers.mixup_calibration import protocol
from mixlib.papers.ssmix import figures as ssmix_plots
from mixlib.runs import paths
from tests.fabricate import by_method, records


@pytest.fixture(autouse=True)
def _look():
    plots.theme()
    yield
    plt.close("all")


@pytest.fixture
def made():
    return records(protocol.table2("mini"), lambda s: {})


def every_figure(made):
    groups = {method: calibration.bins(few) for method, few in calibration.of(made)["IMDb, 32 rows"].items()}
    data = calibration.frame(made)
    printed, amplify_printed = (published.table(f"{paper}_table2") for paper in ("mixup_calibration", "amplify"))
    five = calibration.frame(records(protocol.table5("mini"), lambda s: {}))
    mixed = five[five["method"] == "input_mixup"]
    curves = records(protocol.figure2("mini"), lambda s: {"losses": [0.7, 0.6, 0.8 + s.seed / 100]})
    return {
        "reliability": mixup_calibration_plots.reliability(groups, "IMDb"),
        "differences": plots.differences(tables.differences(amplify_printed, by_method(amplify=1.0, tmix=-1.0))),
        "scaled_differences": mixup_calibration_plots.scaled_differences(
            calibration.differences(printed, data, ["score", "loss"]), ["score", "loss"]
        ),
        "paddings": mixup_calibration_plots.paddings(
            mixed, published.table("mixup_calibration_table5"), tables.cell(five, "accuracy", method="none")
        ),
        "loss_curves": mixup_calibration_plots.loss_curves(calibration.of(curves)),
        "manifold": mixup_calibration_plots.manifold_schematic(),
        **batchmixup_figures(),
        **ssmix_figures(),
        **amplify_figures(),
        "forest": overview.forest(some_verdicts()),
    }


def some_verdicts():
    """One of each category, and one whose interval reaches beyond the picture."""
    rng = np.random.default_rng(0)
    centres = {"batchmixup-1": (3, 1.0, 2.0), "batchmixup-2": (-3, 1.0, None), "ssmix-1": (0, 0.5, 0.3),
               "ssmix-2": (0.5, 2.5, 9.0), "amplify-1": (0.5, 3.0, 0.8), "amplify-2": (9, 0.5, 9.0)}  # fmt: skip
    found = {
        id_: judgements.judge(statistics.Part(
            id_, {name: rng.normal(mean, sd, 6) for name in "abcd"}, margin=1.0,
            printed=None if size is None else statistics.Printed(size),
        ))
        for id_, (mean, sd, size) in centres.items()
    } | {"amplify-3": judgements.not_judgeable("amplify-3", "nothing is learned")}  # fmt: skip
    return {id_: Verdict(Claim(id=id_, rule="A rule."), judgement) for id_, judgement in found.items()}


def test_the_forest_plot_shows_every_claim_once_in_its_category():
    verdicts = some_verdicts()
    assert {v.judgement.category for v in verdicts.values()} == set(statistics.CATEGORIES)
    (axis,) = overview.forest(verdicts, {"ssmix": "SSMix"}).axes
    shown = [text.get_text() for text in axis.texts]
    assert shown == ["batchmixup", "SSMix", "amplify", "not judgeable here"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["1", "2", "1", "2", "1", "2", "3"]
    legend = [text.get_text() for text in axis.figure.legends[0].get_texts()]
    assert {"supported (2)", "contradicted (1)", "no effect (1)", "undecided (1)"} <= set(legend)
    arrows = [line for line in axis.lines if line.get_marker() == ">"]
    assert len(arrows) == 1


@pytest.mark.parametrize("bounds", [(-math.inf, 5.0), (25.0, math.inf), (15.0, 40.0)])
def test_the_forest_plot_shows_what_is_on_the_wrong_side_of_a_bound_on_the_left(bounds):
    values = np.random.default_rng(0).normal(12, 0.5, 6)
    judgement = judgements.judge(statistics.Part("a", {"b": values}, margin=5.0, kind=statistics.BOUNDS, bounds=bounds))
    assert judgement.category == statistics.CONTRADICTED
    (axis,) = overview.forest({"ssmix-1": Verdict(Claim(id="ssmix-1", rule="A rule."), judgement)}).axes
    (cross,) = [line for line in axis.lines if line.get_marker() == overview.LOOK[statistics.CONTRADICTED][1]]
    end = bounds[1] if values.mean() > bounds[1] else bounds[0]
    assert cross.get_xdata()[0] == pytest.approx(-abs(values.mean() - end) / 5)


def view(seed):
    rng = np.random.default_rng(seed)
    words, side = ["[CLS]", "it", "ran", "[SEP]", "it", "sat", "[SEP]"], [None, 0, 0, None, 1, 1, None]
    attention = rng.dirichlet(np.ones(len(words)), len(words))
    return {"words": words, "side": side, "attention": attention.tolist()}


def amplify_figures():
    fair = records(amplify.fairness("smoke", seeds=range(3)), lambda s: {})
    noisy = judge.conditions(records(amplify.noise("mini"), lambda s: {}))
    printed = published.table("amplify_table1")
    draws = tables.frame(records(amplify.table1("mini"), lambda s: {}), param="n")
    rng = np.random.default_rng(0)
    neurons = {"tokens": ["[CLS]", "it", "ran"], "row": 1, "head": 2, "query": rng.normal(size=4).tolist(),
               "keys": rng.normal(size=(3, 4)).tolist(), "attention": [0.2, 0.3, 0.5]}  # fmt: skip
    views = {"amplify": view(0), "embedmix": view(1)}
    seen = pd.DataFrame({"method": [m for m in views for _ in range(3)], "crossing": rng.random(6)})
    curves = amplify_plots.curves_of(fair, lambda r: r.spec.method)
    return {
        "block_schematic": amplify_plots.block_schematic(),
        "lam_distributions": amplify_plots.lam_distributions((0.1, 0.5), amplify.DRAWS, 0.1, 0.2),
        "by_setting": amplify_plots.by_setting(
            printed, draws, {("amplify", str(n)): str(n) for n in amplify.DRAWS}, "none", "draws"
        ),
        "loss_by_update": amplify_plots.loss_by_update({"a": curves}, {"amplify": "amplify", "tmix": "tmix"}),
        "attention_lines": amplify_plots.attention_lines(views, "it"),
        "attention_summary": amplify_plots.attention_summary(seen, {"crossing": "crossing"}),
        "neuron_view": amplify_plots.neuron_view({"amplify": neurons, "embedmix": neurons}),
        "word_graph": amplify_plots.word_graph(views, "it", links=4),
        "factor_leads": amplify_plots.factor_leads(judge.factor_effects(fair)),
        "by_noise": amplify_plots.by_noise(noisy),
    }


DRAWINGS = ("manifold", "block_schematic", "attention_lines", "word_graph")  # without axes


def ssmix_figures():
    rng = np.random.default_rng(0)
    picture = {name: rng.random((6, 2)).tolist() for name in ("spans", "embedmix", "tmix")}
    hidden = ("ssmix", "embedmix", "tmix")
    distances = pd.DataFrame([
        {"method": m, "ratio": r, "seed": s, "distance": rng.random()}
        for m in hidden for r in (0.1, 0.3) for s in range(3)
    ])  # fmt: skip
    times = pd.DataFrame([
        {"dataset": d, "method": m, "ratio": 1 + rng.random()} for d in ("a", "b") for m in hidden for _ in range(3)
    ])  # fmt: skip
    ways = pd.DataFrame([
        {"dataset": "a", "way": way, "seed": s, "epoch": epoch, "first_stage": first, "accuracy": rng.random()}
        for way, first in (("no mixup, then SSMix", 4), ("SSMix from the start", 0)) for s in range(3)
        for epoch in (2, 4, 6)
    ])  # fmt: skip
    shares = pd.DataFrame([
        {"dataset": "a", "lam0": ratio, "seed": s, "accuracy": rng.random(), "loss": rng.random()}
        for ratio in (0, 0.01, 0.1) for s in range(3)
    ])  # fmt: skip
    gains = pd.DataFrame([
        {"dataset": d, "method": m, "mean": 0.0, "low": -1.0, "high": 1.0, "printed": p}
        for d, p in (("a", 0.5), ("mean", np.nan)) for m in hidden
    ])  # fmt: skip
    effects = pd.DataFrame([
        {"dataset": "a", "method": m, "what": what, "mean": 0.0, "low": -1.0, "high": 1.0}
        for m in ("none_long", *hidden) for what in ("change", "lead", "lead with the leak")
    ])  # fmt: skip
    return {
        "off_the_segment": ssmix_plots.off_the_segment(picture, distances),
        "step_times": step_time.draw_ratios(times, {m: tables.LABELS[m] for m in hidden}),
        "stage_differences": ssmix_plots.stage_differences(gains),
        "learning_curves": ssmix_plots.learning_curves(ways),
        "by_ratio": ssmix_plots.by_ratio(shares),
        "leak": ssmix_plots.leak(effects),
    }


def batchmixup_figures():
    table = records(batchmixup.table1("mini"), lambda s: {})
    data = tables.frame(table, batchmixup.size_label)
    rng = np.random.default_rng(0)
    toy = {
        "pool": rng.normal(size=(20, 2)).tolist(), "pool_labels": [0, 1] * 10, "grid": rng.random((9, 9)).tolist(),
        "points": rng.normal(size=(4, 2)).tolist(), "labels": [0, 1, 0, 1], "accuracy": [0.8, 0.9],
    }  # fmt: skip
    draws = pd.DataFrame({"variant": ["a", "b"] * 6, "learning_rate": [0.01, 0.001] * 6, "accuracy": rng.random(12)})
    draws = pd.concat([draws, draws.assign(variant=draws["variant"][::-1].to_numpy())])
    curve = {"step": [0, 10], "loss": [1, 0], "accuracy": [0.5, 1], "cosine": [0, 1], "norm": [1, 2]}
    methods = ("mixup", "nonlinear_mixup", "batchmixup", "none")
    times = pd.DataFrame([
        {"method": m, "n": n, "batch": s, "ratio": n + rng.random()} for m in methods for n in (1, 5) for s in range(3)
    ])  # fmt: skip
    picture = {"vectors": rng.random((4, 2)).tolist(), "points": rng.random((2, 5, 2)).tolist()}
    measured = ("spread", "distance", "box_side", "rank_share")
    places = pd.DataFrame([
        {"label": label, "rows": n, **dict(zip(measured, rng.random(4), strict=True))}
        for label in "ab" for n in (5, 32) for _ in range(3)
    ])  # fmt: skip
    families = {"pairwise": "pairwise", "sample": "one weight a row, τ 0.1", "": "no mixup"}
    trained = pd.DataFrame([
        {"label": label, "policy": policy, "objective": objective, "seed": seed, "rows": 16, "accuracy": 50.0 + seed,
         "chance": 1.0}
        for policy, label in families.items() for objective in ("softmax", "cross_entropy") for seed in range(3)
    ])  # fmt: skip
    placed = pd.DataFrame([{"label": label, "rows": 16, "spread": 0.5} for label in families.values()])
    return {
        "by_fraction": batchmixup_plots.by_fraction(
            published.table("batchmixup_table1"),
            data,
            {d: d for d in ("banking77", "fewrel", "rte")},
            list(batchmixup.FRACTIONS),
        ),
        "toy_panels": batchmixup_plots.toy_panels(toy, toy),
        "toy_accuracies": batchmixup_plots.toy_accuracies(draws),
        "objectives": batchmixup_plots.objective_curves({"softmax": curve, "dot": curve}),
        "epoch_times": batchmixup_plots.epoch_times(times, published=13.3, n=5),
        "mixed_points": batchmixup_plots.mixed_points(picture, {0: "one", 1: "two"}),
        "policies": batchmixup_plots.policy_geometry(places),
        "trained": batchmixup_plots.trained_against_place(trained, placed),
    }


def test_every_figure_draws_with_labelled_axes_and_is_the_same_twice(made, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    monkeypatch.setitem(plt.rcParams, "figure.max_open_warning", 0)
    first = {name: plots.save(f, name, "mini").read_bytes() for name, f in every_figure(made).items()}
    for name, figure in every_figure(made).items():
        if name not in DRAWINGS:
            assert any(axis.get_xlabel() for axis in figure.axes), name
            assert any(axis.get_ylabel() or axis.get_yticklabels() for axis in figure.axes), name
        assert plots.save(figure, name, "mini").read_bytes() == first[name]


def test_reliability_pools_the_seeds(made):
    figure = mixup_calibration_plots.reliability({"none": calibration.bins(made[:3])})
    assert "together 11.5" in figure.axes[0].get_title()  # |12-14| + |13-15| + |14-16| + |15-17.5| + |16-19| of 100


def test_methods_are_told_apart_without_colour():
    ours = [k for k in plots.PALETTE if getattr(methods.REGISTRY.get(k), "__module__", "mixlib.").startswith("mixlib.")]
    assert len({plots.MARKERS[key] for key in ours}) == len(ours)
    assert len({str(plots.DASHES[key]) for key in ours}) == len(ours)


def test_loss_curves_say_at_which_update_a_loss_was():
    (run,) = records(amplify.figure3("mini", seeds=[0])[:1], lambda s: {"train_losses": [0.4, 0.2, 0.1]})
    run.timing["steps"] = 30  # means of ten updates each
    assert amplify_plots.curves_of([run], lambda r: "x")["update"].tolist() == [10, 20, 30]


def test_intervals_are_those_of_students_t():
    # mean 2, standard error 1 / sqrt(3), and 4.302653 is the 0.975 quantile of t with 2 degrees of freedom
    assert plots.interval([1, 2, 3]) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert plots.interval([5, 5, 5]) == plots.interval([5]) == (5, 5)


def test_how_far_intervals_reach_is_their_distance_from_the_means():
    mean, reach = plots.means_with_reach([pd.Series([1, 2, 3]), pd.Series([5, 5])])
    assert mean.tolist() == [2, 5]
    assert reach == pytest.approx(np.array([[4.302653 / 3**0.5, 0]] * 2))
    mean, reach = plots.means_with_reach([])
    assert (mean.shape, reach.shape) == ((0,), (2, 0))
