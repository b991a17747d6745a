"""Figures of the MixUp-calibration paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixlib.evidence import tables
from mixlib.evidence.plots import DASHES, MARKERS, PALETTE, interval
from mixlib.evidence.tables import LABELS
from mixlib.papers.mixup_calibration.frames import RAW, SCALED, curve, padding
from mixlib.runs.spec import RunRecord

UNITS = tables.UNITS | {"score": "accuracy (CoLA: MCC), points"}


def scaled_differences(data: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Paired difference from no mixup with its 95% interval: filled as trained, hollow after temperature scaling.

    Args:
        data: from :func:`mixlib.papers.mixup_calibration.frames.differences`.
        metrics: one panel each, keys of :data:`UNITS`.
    """
    lines: list[tuple[str, str]] = []  # one line per place and method, an empty one between places
    middles: dict[str, float] = {}
    for place, rows in data.groupby("place", sort=False):
        methods = list(dict.fromkeys(rows["method"]))
        middles[place] = len(lines) + (len(methods) - 1) / 2
        lines += [(place, method) for method in methods] + [("", "")]
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(max(7.5, 3.6 * len(metrics) + 1.2), 0.4 * len(lines) + 1.5), sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for axis, metric in zip(axes[0], metrics, strict=True):
        for y, (place, method) in enumerate(lines):
            found = data[(data["place"] == place) & (data["method"] == method) & (data["metric"] == metric)]
            for version, row in found.set_index("scored").iterrows():
                scaled = version != RAW
                axis.errorbar(
                    row["mean"], y + 0.17 * (1 if scaled else -1 if len(found) > 1 else 0),
                    xerr=[[row["mean"] - row["low"]], [row["high"] - row["mean"]]], capsize=2.5, linewidth=1.4,
                    marker=MARKERS[method], markersize=6, markerfacecolor="white" if scaled else None,
                    color=PALETTE[method],
                )  # fmt: skip
                if not scaled:
                    axis.plot(row["published"], y, marker="|", markersize=13, markeredgewidth=2, color="black")
        axis.axvline(0, color="black", linewidth=1)
        axis.set_xlabel(f"{_title(metric, data)}:\ndifference from no mixup")
    axes[0, 0].set_yticks(list(middles.values()), [_wrapped(name) for name in middles])
    axes[0, 0].invert_yaxis()
    shown = [m for m in LABELS if m in set(data["method"])]
    handles = [Line2D([], [], color=PALETTE[m], marker=MARKERS[m], linestyle="none", label=LABELS[m]) for m in shown]
    if SCALED in set(data["scored"]):
        handles += [Line2D([], [], color="0.3", marker="o", linestyle="none", markerfacecolor=fill, label=version)
                    for version, fill in ((RAW, "0.3"), (SCALED, "white"))]  # fmt: skip
    if data["published"].notna().any():
        handles.append(Line2D([], [], color="black", marker="|", markersize=12, markeredgewidth=2, linestyle="none",
                              label="published"))  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _title(metric: str, data: pd.DataFrame) -> str:
    plain_score = metric == "score" and not data["place"].str.startswith("CoLA").any()
    return UNITS["accuracy" if plain_score else metric]


def _wrapped(place: str) -> str:
    return place.replace(" (", "\n(")


def reliability(groups: Mapping[str, Mapping[str, Mapping[str, Any]]], title: str = "") -> Figure:
    """Reliability diagrams, one column per method: accuracy in each bin of confidence, of all seeds together.

    Bars below the diagonal are overconfident. A bar's gap to the diagonal, weighted by its rows, is the ECE; the
    strip below shows where the rows are. A second pair of rows shows the same models after temperature scaling.

    Args:
        groups: by method, what :func:`mixlib.papers.mixup_calibration.frames.bins` found.
        title: of the whole figure.
    """
    versions = list(next(iter(groups.values())))
    figure, axes = plt.subplots(
        2 * len(versions), len(groups), figsize=(2.4 * len(groups) + 0.8, 3.3 * len(versions) + 0.6), sharex=True,
        sharey="row", height_ratios=(4, 1) * len(versions), squeeze=False, layout="constrained",
    )  # fmt: skip
    for column, (method, by_version) in enumerate(groups.items()):
        for number, version in enumerate(versions):
            top, bottom = axes[2 * number : 2 * number + 2, column]
            together = _bars(top, bottom, by_version[version], PALETTE.get(method, "C0"))
            name = f"{LABELS.get(method, method)}\n" if number == 0 else ""
            top.set_title(f"{name}ECE {100 * by_version[version]['ece']:.1f}, together {together:.1f}")
        bottom.set_xlabel("confidence")
    for number, version in enumerate(versions):
        name = version.replace("after temperature", "after temperature\n")
        axes[2 * number, 0].set_ylabel(f"{name}:\naccuracy", fontsize="medium")
        axes[2 * number + 1, 0].set_ylabel("rows,\n%", fontsize="small")
    if title:
        figure.suptitle(title)
    return figure


def _bars(top: plt.Axes, bottom: plt.Axes, found: Mapping[str, Any], color: Any) -> float:
    """One diagram and its strip; returns the ECE of all its rows together, in percent."""
    rows, confidence, correct = (np.asarray(found[name]) for name in ("rows", "confidence", "correct"))
    edges = np.linspace(0, 1, len(rows) + 1)
    middle, width, filled = (edges[:-1] + edges[1:]) / 2, 1 / len(rows), rows > 0
    accuracy = np.divide(correct, rows, out=np.zeros_like(rows), where=filled)
    mean_confidence = np.divide(confidence, rows, out=middle.copy(), where=filled)
    top.bar(middle, accuracy, width=width, color=color, edgecolor="black", linewidth=0.6)
    gap = mean_confidence - accuracy
    on_bar = gap < 0  # the gap lies on the bar, which may be black
    for chosen, line in ((filled & ~on_bar, "0.25"), (filled & on_bar, "white" if color == "black" else "0.25")):
        top.bar(middle[chosen], gap[chosen], bottom=accuracy[chosen], width=width, color="none", edgecolor=line,
                linewidth=0.6, hatch="////")  # fmt: skip
    top.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1)
    top.set(xlim=(0, 1), ylim=(0, 1))
    bottom.bar(middle, 100 * rows / rows.sum(), width=width, color="0.55", edgecolor="black", linewidth=0.6)
    return float(100 * np.abs(correct - confidence).sum() / rows.sum())


def paddings(measured: pd.DataFrame, printed: pd.DataFrame, baseline: pd.Series) -> Figure:
    """Accuracy of Input MixUp by padding: one dot per seed, the mean with its 95% interval, and the printed value.

    Args:
        measured: columns ``param``, ``accuracy`` (percent).
        printed: Table 5 of the paper.
        baseline: accuracies of the plain model.
    """
    order = list(printed["param"])
    figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
    sns.stripplot(measured, x="accuracy", y="param", order=order, color="0.6", size=5, alpha=0.6, jitter=False, ax=axis)
    sns.pointplot(
        measured, x="accuracy", y="param", order=order, linestyle="none", errorbar=interval, capsize=0.3,
        color=PALETTE["input_mixup"], marker="D", markersize=5, label="measured mean, 95% interval", ax=axis,
    )  # fmt: skip
    axis.plot(printed["value"], range(len(order)), linestyle="none", marker="|", markersize=14, markeredgewidth=2,
              color="black", label="published")  # fmt: skip
    axis.axvline(baseline.mean(), color=PALETTE["none"], linestyle="--", label="no mixup, measured mean")
    axis.set_yticks(range(len(order)), [padding(param) for param in order])
    axis.set(xlabel="accuracy, % (SST-2, 64 training examples)", ylabel="the shorter text is filled with")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    axis.get_legend().remove()
    return figure


def loss_curves(groups: Mapping[str, Mapping[str, Sequence[RunRecord]]]) -> Figure:
    """Test loss over training steps, one panel per data set: mean over the seeds with its 95% t interval.

    Args:
        groups: data set -> method -> records; see :func:`mixlib.papers.mixup_calibration.frames.of`.
    """
    figure, axes = plt.subplots(1, len(groups), figsize=(4.3 * len(groups), 3.6), squeeze=False, layout="constrained")
    for axis, (dataset, methods) in zip(axes[0], groups.items(), strict=True):
        for method, records in methods.items():
            curves = pd.concat([curve(record) for record in records])
            color, style = PALETTE[method], DASHES[method]
            by_step = [(step, rows["loss"]) for step, rows in curves.groupby("step")]
            steps, mean = [step for step, _ in by_step], [values.mean() for _, values in by_step]
            low, high = np.transpose([interval(values) for _, values in by_step])
            axis.plot(steps, mean, color=color, linestyle=style, marker=MARKERS[method], label=LABELS[method])
            axis.fill_between(steps, low, high, color=color, alpha=0.18, linewidth=0)
        axis.set(title=_wrapped(dataset), xlabel="training step", ylim=(0, None))
    axes[0, 0].set_ylabel("test loss, nats")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def manifold_schematic(lam: float = 0.7, blocks: int = 6, layer: int = 3) -> Figure:
    """Manifold MixUp drawn: hidden states of two texts mixed after one block, their one-hot labels likewise.

    Args:
        lam: weight of the first text.
        blocks: number of encoder blocks n.
        layer: where the mix happens, 0 to n + 1.
    """
    figure, axis = plt.subplots(figsize=(9, 4.6), layout="constrained")
    first, second, both = sns.color_palette("colorblind", 3)
    names = ["embed\n0", *(f"block\n{k}" for k in range(1, blocks + 1)), f"pooled\n{blocks + 1}"]

    def box(x: float, y: float, text: str, color: object, hatch: str = "") -> None:
        axis.add_patch(plt.Rectangle((x - 0.38, y - 0.3), 0.76, 0.6, facecolor=(*color, 0.25), edgecolor="black",
                                     hatch=hatch))  # fmt: skip
        axis.text(x, y, text, ha="center", va="center", fontsize=9,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85})  # fmt: skip

    def arrow(start: tuple[float, float], end: tuple[float, float], text: str = "", above: float = 0.0) -> None:
        axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 1.3})
        if text:
            middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + above)
            axis.text(*middle, text, ha="center", va="center", fontsize=10)

    for x in range(layer + 1):
        box(x, 2, names[x], first)
        box(x, 0, names[x], second, hatch="..")
        if x:
            arrow((x - 0.62, 2), (x - 0.38, 2))
            arrow((x - 0.62, 0), (x - 0.38, 0))
    at = layer + 0.95
    arrow((layer + 0.38, 2), (at - 0.16, 1.12), r"  $\lambda$", 0.22)
    arrow((layer + 0.38, 0), (at - 0.16, 0.88), r"      $1-\lambda$", -0.26)
    axis.add_patch(plt.Circle((at, 1), 0.2, facecolor="white", edgecolor="black"))
    axis.text(at, 1, "+", ha="center", va="center", fontsize=14)
    last = at
    for step, x in enumerate(range(layer + 1, blocks + 2)):
        center = at + 0.85 + step
        arrow((last + (0.2 if step == 0 else 0.38), 1), (center - 0.38, 1))
        box(center, 1, names[x], both, hatch="//")
        last = center
    arrow((last + 0.38, 1), (last + 0.8, 1))
    axis.text(last + 0.85, 1, "logits", va="center", fontsize=10)
    axis.text(-0.4, 2.5, "text i, label $y_i$", fontsize=10)
    axis.text(-0.4, -0.62, "text j, label $y_j$", fontsize=10)

    def label_bar(y: float, values: Sequence[float], text: str) -> None:
        for k, value in enumerate(values):
            left = last - 0.6 + 0.55 * k
            axis.add_patch(plt.Rectangle((left, y), 0.4, 0.6 * value, facecolor="0.6", edgecolor="black"))
            axis.plot([left, left + 0.4], [y, y], color="black", linewidth=1)
        axis.text(last - 0.75, y + 0.1, text, ha="right", va="bottom", fontsize=10)

    label_bar(2.1, (1, 0), "$y_i$")
    label_bar(-0.55, (0, 1), "$y_j$")
    label_bar(-1.55, (lam, 1 - lam), rf"$\lambda y_i+(1-\lambda)y_j$,  $\lambda={lam}$")
    axis.set(xlim=(-0.6, last + 1.6), ylim=(-1.75, 2.9))
    axis.set_aspect("equal")
    axis.axis("off")
    return figure
