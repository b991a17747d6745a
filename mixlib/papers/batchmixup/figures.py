"""Figures of the BatchMixup paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy.special import logit

from mixlib.evidence.plots import DASHES, MARKERS, PALETTE, interval, means_with_reach
from mixlib.evidence.tables import LABELS, NAMES, geometric_mean


def by_fraction(
    printed: pd.DataFrame, data: pd.DataFrame, columns: Mapping[str, str], fractions: Sequence[str]
) -> Figure:
    """Accuracy by the number of training examples: the paper's above, the measured one below, one column per data set.

    Args:
        printed: the paper's table.
        data: from :func:`mixlib.evidence.tables.frame`.
        columns: measured data set -> the paper's key for it.
        fractions: labels of the paper's shares, largest first.
    """
    figure, axes = plt.subplots(2, len(columns), figsize=(4.1 * len(columns), 6.4), squeeze=False,
                                layout="constrained")  # fmt: skip
    order = list(reversed(fractions))
    methods = [m for m in LABELS if m in set(data["method"])]
    shifts = np.linspace(-1, 1, len(methods))  # so that error bars stand side by side
    for column, (dataset, key) in enumerate(columns.items()):
        top, bottom = axes[:, column]
        for method, shift in zip(methods, shifts, strict=True):
            style = {"color": PALETTE[method], "linestyle": DASHES[method], "marker": MARKERS[method],
                     "markersize": 6, "capsize": 3, "linewidth": 1.5}  # fmt: skip
            said = printed[(printed["dataset"] == key) & (printed["method"] == method)].set_index("train_size")
            if not said.empty:
                values = said.loc[order]
                top.errorbar(np.arange(len(order)) + 0.1 * shift, values["value"], yerr=values["spread"], **style)
            here = data[(data["dataset"] == dataset) & (data["method"] == method)]
            mean, reach = means_with_reach(group for _, group in here.groupby("examples")["accuracy"])
            bottom.errorbar(np.unique(here["examples"]) * 1.05**shift, mean, yerr=reach, label=LABELS[method], **style)
        examples = sorted(data.loc[data["dataset"] == dataset, "examples"].unique())
        top.set(title=NAMES.get(key, key), xlabel="share of the paper's training examples")
        top.set_xticks(range(len(order)), order)
        bottom.set(xlabel="training examples here", xscale="log", xlim=(examples[0] / 1.5, examples[-1] * 1.5))
        bottom.set_xticks(examples, [f"{int(n):,}" for n in examples])
        bottom.minorticks_off()
    axes[0, 0].set_ylabel("published accuracy, %\n(± as printed)")
    axes[1, 0].set_ylabel("measured accuracy, %\n(95% interval over seeds)")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=4)
    return figure


def toy_panels(plain: Mapping[str, Any], mixed: Mapping[str, Any]) -> Figure:
    """Figure 1 of BatchMixup: the two clouds, and the first draw's boundary without mixup and with BatchMixup.

    Args:
        plain, mixed: values of the study ``toy`` for ``none`` and ``batchmixup``.
    """
    figure, axes = plt.subplots(1, 3, figsize=(12.6, 4.4), sharex=True, sharey=True, layout="constrained")
    pool, labels = np.array(plain["pool"]), np.array(plain["pool_labels"])
    looks = {0: {"marker": "o", "color": "#0173b2"}, 1: {"marker": "^", "color": "#de8f05"}}
    for label, look in looks.items():
        axes[0].scatter(*pool[labels == label].T, s=18, alpha=0.6, linewidths=0, label=f"class {label}", **look)
    axes[0].set_title("(a) points of two Gaussian classes")
    axes[0].legend(loc="upper left")
    for axis, values, title in ((axes[1], plain, "(b) no mixup"), (axes[2], mixed, "(c) BatchMixup")):
        grid = logit(np.clip(values["grid"], 1e-3, 1 - 1e-3))  # between points a logit is straighter than a probability
        side = np.linspace(-8, 8, len(grid))
        axis.contourf(side, side, grid.T, levels=[-np.inf, 0, np.inf], colors=["#cfe3f1", "#f8e3c4"])
        axis.contour(side, side, grid.T, levels=[0], colors="black", linewidths=1.5)
        for label, look in looks.items():
            axis.scatter(*pool[labels == label].T, s=9, alpha=0.25, linewidths=0, **look)
            chosen = np.array(values["points"])[np.array(values["labels"]) == label]
            axis.scatter(*chosen.T, s=80, edgecolors="black", linewidths=1.2, **look)
        axis.set_title(f"{title}, first draw: accuracy {100 * values['accuracy'][0]:.1f}%")
    for axis in axes:
        axis.set(xlim=(-8, 8), ylim=(-8, 8), aspect="equal", xlabel="$x_1$")
    axes[0].set_ylabel("$x_2$")
    return figure


def toy_accuracies(accuracies: pd.DataFrame) -> Figure:
    """Accuracy over many draws of five points per class: one dot per draw, the mean with its 95% interval.

    Args:
        accuracies: columns ``variant``, ``learning_rate``, ``accuracy`` (percent).
    """
    rates = list(dict.fromkeys(accuracies["learning_rate"]))
    figure, axes = plt.subplots(1, len(rates), figsize=(6.2 * len(rates), 4.6), sharex=True, sharey=True, squeeze=False,
                                layout="constrained")  # fmt: skip
    order = list(dict.fromkeys(accuracies["variant"]))
    for axis, rate in zip(axes[0], rates, strict=True):
        shown = accuracies[accuracies["learning_rate"] == rate]
        sns.stripplot(shown, x="accuracy", y="variant", order=order, color="0.6", size=2.5, alpha=0.5, jitter=False,
                      ax=axis)  # fmt: skip
        sns.pointplot(shown, x="accuracy", y="variant", order=order, linestyle="none", errorbar=interval,
                      capsize=0.3, color="black", marker="D", markersize=4, ax=axis)  # fmt: skip
        axis.axvline(shown.loc[shown["variant"] == order[0], "accuracy"].mean(), color="black", linestyle="--",
                     linewidth=1)  # fmt: skip
        axis.set(title=f"learning rate {rate:g}", xlabel="accuracy on 2000 points, %", ylabel="")
    return figure


def objective_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Loss, accuracy, similarity and size of the class vectors over training, for each reading of the objective.

    Args:
        curves: values of the study ``objectives`` by objective.
    """
    panels = {"loss": "loss", "accuracy": "accuracy on the batch, %", "cosine": "cosine of the two class vectors",
              "norm": "mean norm of a class vector"}  # fmt: skip
    names = {"dot": "loss as printed: negative dot product", "softmax": "softmax version"}
    figure, axes = plt.subplots(1, len(panels), figsize=(14, 3.3), layout="constrained")
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        for (objective, curve), style, color in zip(curves.items(), ("-", "--"), ("#0173b2", "#de8f05"), strict=True):
            values = np.array(curve[name]) * (100 if name == "accuracy" else 1)
            axis.plot(curve["step"], values, style, color=color, linewidth=2, label=names[objective])
        axis.set(title=title, xlabel="update")
    axes[1].set_ylim(-2, 105)
    axes[2].set_ylim(-1.05, 1.05)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def epoch_times(ratios: pd.DataFrame, published: float, n: int) -> Figure:
    """Epoch time over that of the plain model against the number of mixed points n: geometric means over batches.

    Args:
        ratios: columns ``method``, ``n``, ``batch``, ``ratio``.
        published: the paper's ratio for the pairwise methods at ``n``.
        n: the n that the paper's ratio is for.
    """
    figure, axis = plt.subplots(figsize=(6.6, 4.2), layout="constrained")
    mixed = ratios[ratios["method"] != "none"]
    shown = [m for m in LABELS if m in set(mixed["method"])]
    for place, method in enumerate(shown):
        chosen = mixed[mixed["method"] == method]
        steps = sorted(chosen["n"].unique())
        groups = [chosen.loc[chosen["n"] == step, "ratio"] for step in steps]
        mean, low, high = np.transpose([geometric_mean(g) for g in groups])
        beside = np.array(steps) + 0.3 * (place - (len(shown) - 1) / 2)  # else marks of equal times hide each other
        axis.errorbar(beside, mean, yerr=[mean - low, high - mean], capsize=3, color=PALETTE[method],
                      linestyle=DASHES[method], marker=MARKERS[method], label=LABELS[method])  # fmt: skip
    axis.plot(n, published, marker="_", markersize=18, markeredgewidth=3, color="black", linestyle="none",
              label="published, pairwise")  # fmt: skip
    axis.axhline(1, color="black", linewidth=1)
    axis.set(
        xlabel="mixed points n (for each pair, or a batch)", ylabel="epoch time / plain epoch time", ylim=(0, None)
    )
    axis.set_xticks(sorted(mixed["n"].unique()))
    axis.legend(loc="upper left")
    return figure


def mixed_points(picture: Mapping[str, Any], panels: Mapping[int, str]) -> Figure:
    """Originals of a batch and mixed points of some policies, on the originals' two principal axes.

    Args:
        picture: one batch size of the study ``geometry_of_policies``.
        panels: number of a policy in the study -> title, one panel each.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(3.3 * len(panels), 3.7), sharex=True, sharey=True,
                                layout="constrained")  # fmt: skip
    vectors = np.array(picture["vectors"])
    for axis, (index, title) in zip(axes, panels.items(), strict=True):
        axis.scatter(*np.array(picture["points"][index]).T, s=14, color="#de8f05", alpha=0.55, linewidths=0,
                     label="mixed points")  # fmt: skip
        axis.scatter(*vectors.T, s=34, marker="^", color="#0173b2", edgecolors="black", linewidths=0.6,
                     label="originals")  # fmt: skip
        axis.set(title=title, xlabel="first principal axis")
    axes[0].set_ylabel("second principal axis")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def policy_geometry(data: pd.DataFrame) -> Figure:
    """How far the points of each policy spread, one panel per quantity, mean over the seeds with its 95% interval.

    Args:
        data: columns ``label``, ``rows`` (batch size), ``spread``, ``distance``, ``rank_share``, ``box_side``.
    """
    panels = {
        "spread": "distance from the batch mean\n/ that of the originals",
        "box_side": "side of the bounding box\n/ that of the originals",
        "rank_share": "effective rank\n/ that of the originals",
        "distance": "distance to the nearest segment\n/ mean distance of two originals",
    }
    order = list(dict.fromkeys(data["label"]))
    figure, axes = plt.subplots(1, len(panels), figsize=(15, 0.4 * len(order) + 1.7), sharey=True,
                                layout="constrained")  # fmt: skip
    sizes = sorted(data["rows"].unique())
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        for k, size in enumerate(sizes):
            chosen = data[data["rows"] == size]
            for y, label in enumerate(order):
                values = chosen.loc[chosen["label"] == label, name]
                mean, reach = means_with_reach([values])
                axis.errorbar(
                    mean, y + 0.2 * (k - (len(sizes) - 1) / 2), xerr=reach, capsize=2, fmt="os^D"[k], markersize=5,
                    color=sns.color_palette("colorblind")[k], label=f"batch of {size}" if y == 0 else None,
                )  # fmt: skip
        if name != "distance":
            axis.axvline(1, color="black", linewidth=1, linestyle="--")
        axis.set_xlabel(title)
        if name == "rank_share":
            axis.set_xscale("log")
        else:
            axis.set_xlim(left=min(0, axis.get_xlim()[0]))
    axes[0].set_yticks(range(len(order)), order)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def trained_against_place(data: pd.DataFrame, placed: pd.DataFrame) -> Figure:
    """Accuracy after training on a policy's points against their distance from the batch mean: means over the seeds,
    that of the accuracy with its 95% interval; hollow where the loss is the cross-entropy against the mixed label.

    Args:
        data: from :func:`mixlib.papers.batchmixup.frames.trained_rows`.
        placed: from :func:`mixlib.papers.batchmixup.frames.policy_rows`, of batches of that size too.
    """
    families = {
        "pairwise": ("pairwise", "P"),
        "nonlinear": ("nonlinear", "X"),
        "elementwise": ("BatchMixup", "p"),
        "sample": ("BatchMixup,\none weight a row", "o"),
    }
    spread = placed[placed["rows"] == data["rows"].iloc[0]].groupby("label")["spread"].mean()
    figure, axis = plt.subplots(figsize=(8.2, 4.8), layout="constrained")
    for (policy, (name, mark)), color in zip(families.items(), sns.color_palette("colorblind"), strict=False):
        for objective, here in data[data["policy"] == policy].groupby("objective", sort=False):
            bounded = objective == "cross_entropy"
            labels = list(dict.fromkeys(here["label"]))
            places = [spread[label] + 0.015 * bounded for label in labels]  # else they hide each other
            mean, reach = means_with_reach([here.loc[here["label"] == label, "accuracy"] for label in labels])
            axis.errorbar(places, mean, yerr=reach, fmt=mark, color=color, capsize=3, markersize=8,
                          label=f"{name},\ncross-entropy" if bounded else name,
                          **({"markerfacecolor": "white"} if bounded else {}))  # fmt: skip
            for label, place, height in zip(labels, places, mean, strict=True):
                if "τ" in label and not bounded:
                    above, left = policy == "sample", policy == "sample" and place > 0.5  # beside the pairwise mark
                    axis.annotate(label.rpartition(", ")[2], (place, height), textcoords="offset points",
                                  xytext=(-9 if left else 9, 5 if above else -13), ha="right" if left else "left",
                                  fontsize="small", color=color)  # fmt: skip
    axis.axhline(data.loc[data["policy"] == "", "accuracy"].mean(), color="black", linestyle="--", label="no mixup")
    axis.axhline(data["chance"].mean(), color="black", linestyle=":", label="largest class")
    axis.set(xlabel="distance of the mixed points from the batch mean\n/ that of the originals",
             ylabel="accuracy after training, %", xlim=(0, 1), ylim=(-4, None))  # fmt: skip
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    return figure
