"""The plots, one function each. Every function returns the matplotlib figure; :func:`save` writes it as a stable SVG.

Colours come with a second sign (marker, line style, hatch), so that figures read in grey; the background is white and
opaque, so that they read on dark pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from mixlib import paths
from mixlib.metrics import ECE_BINS
from mixlib.runs import RunRecord
from mixlib.tables import CONFIDENCE, LABELS, TITLES

METHODS = tuple(LABELS)
PALETTE = dict(zip(METHODS, sns.color_palette("colorblind", len(METHODS)), strict=True))
# methods of different papers stand in different figures and may share the colours that read best on white
PALETTE |= {"none_long": "#56b4e9", "mixup": "#de8f05", "nonlinear_mixup": "#029e73", "batchmixup": "#b03a00"}
MARKERS = dict(zip(METHODS, "osD^vXP*p", strict=True))
DASHES = dict(zip(METHODS, (
    "-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (8, 2)), (0, (4, 1, 1, 1)), (0, (6, 2, 2, 2)),
), strict=True))  # fmt: skip


def theme() -> None:
    """The look of all figures; call once in a notebook."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette="colorblind",
        rc={
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "svg.hashsalt": "mixlib",
            "svg.fonttype": "none",
            "axes.titlesize": "medium",
            "legend.frameon": True,
        },
    )


def save(figure: Figure, name: str, profile: str) -> Path:
    """Write ``figures/NAME.svg``; other profiles than ``mini`` go below ``build/figures`` and are not committed."""
    folder = paths.FIGURES if profile == "mini" else paths.BUILD / "figures" / profile
    path = folder / f"{name}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    return path


def reliability(groups: Mapping[str, Sequence[RunRecord]], title: str = "") -> Figure:
    """Reliability diagrams, one panel a method: accuracy in each bin of confidence, pooled over the seeds.

    Bars below the diagonal are overconfident. A bar's gap to the diagonal, weighted by its rows, is the ECE; the
    strip below shows where the rows are.

    Args:
        groups: records of one cell of a table by method name.
        title: of the whole figure.
    """
    figure, axes = plt.subplots(
        2, len(groups), figsize=(2.9 * len(groups) + 0.6, 4.2), sharex=True, sharey="row", height_ratios=(4, 1),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    edges = np.linspace(0, 1, ECE_BINS + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    for column, (method, records) in enumerate(groups.items()):
        rows, confidence, correct = (
            np.sum([record.reliability[name] for record in records], axis=0, dtype=float)
            for name in ("rows", "confidence", "correct")
        )
        filled = rows > 0
        accuracy = np.divide(correct, rows, out=np.zeros_like(rows), where=filled)
        mean_confidence = np.divide(confidence, rows, out=middle.copy(), where=filled)
        top, bottom = axes[:, column]
        top.bar(middle, accuracy, width=1 / ECE_BINS, color=PALETTE.get(method, "C0"), edgecolor="black", linewidth=0.6)
        gap = mean_confidence - accuracy
        top.bar(middle[filled], gap[filled], bottom=accuracy[filled], width=1 / ECE_BINS, color="none",
                edgecolor="0.25", linewidth=0.6, hatch="////")  # fmt: skip
        top.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1)
        pooled = 100 * np.abs(correct - confidence).sum() / rows.sum()
        mean = np.mean([100 * record.test["ece"] for record in records])
        top.set_title(f"{LABELS.get(method, method)}\nECE {mean:.1f}, pooled {pooled:.1f}")
        top.set(xlim=(0, 1), ylim=(0, 1))
        bottom.bar(middle, 100 * rows / rows.sum(), width=1 / ECE_BINS, color="0.55", edgecolor="black", linewidth=0.6)
        bottom.set_xlabel("confidence")
    axes[0, 0].set_ylabel("accuracy (bar), gap to\nconfidence (hatched)")
    axes[1, 0].set_ylabel("rows, %")
    if title:
        figure.suptitle(title)
    return figure


def differences(data: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Paired difference to no mixup of every cell with its 95% interval, and the paper's beside it.

    Args:
        data: from :func:`mixlib.tables.differences`.
        metrics: one panel each.
    """
    data = data.assign(cell=data["dataset"] + ", " + data["train_size"])
    methods = [m for m in METHODS if m in set(data["method"])]
    lines: list[tuple[str, str]] = []  # one line a cell and method, an empty one between cells
    middles: dict[str, float] = {}
    for name in dict.fromkeys(data["cell"]):
        present = [m for m in methods if m in set(data[data["cell"] == name]["method"])]
        middles[name] = len(lines) + (len(present) - 1) / 2
        lines += [(name, m) for m in present] + [("", "")]
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(4.2 * len(metrics), 0.32 * len(lines) + 1.5), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis, metric in zip(axes[0], metrics, strict=True):
        labelled: set[str] = set()
        for y, (name, method) in enumerate(lines):
            chosen = data[(data["cell"] == name) & (data["method"] == method) & (data["metric"] == metric)]
            if chosen.empty:
                continue
            row = chosen.iloc[0]
            axis.errorbar(
                row["mean"], y, xerr=[[row["mean"] - row["low"]], [row["high"] - row["mean"]]], capsize=3,
                fmt=MARKERS[method], color=PALETTE[method], label=None if method in labelled else LABELS[method],
            )  # fmt: skip
            axis.plot(row["published"], y, marker="|", markersize=13, markeredgewidth=2, color="black",
                      linestyle="none", label=None if labelled else "published")  # fmt: skip
            labelled.add(method)
        axis.axvline(0, color="black", linewidth=1)
        axis.set_xlabel(f"{TITLES[metric]}: difference to no mixup")
    axes[0, 0].set_yticks(list(middles.values()), list(middles))
    axes[0, 0].invert_yaxis()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def paddings(measured: pd.DataFrame, printed: pd.DataFrame, baseline: pd.Series) -> Figure:
    """Accuracy of Input MixUp by padding: a dot a seed, the mean with its 95% interval, and the printed value.

    Args:
        measured: columns ``param``, ``accuracy`` (percent).
        printed: Table 5 of the paper.
        baseline: accuracies of the plain model.
    """
    order = list(printed["param"])
    figure, axis = plt.subplots(figsize=(7.5, 4), layout="constrained")
    sns.stripplot(measured, x="accuracy", y="param", order=order, color="0.6", size=5, alpha=0.6, jitter=False, ax=axis)
    sns.pointplot(
        measured, x="accuracy", y="param", order=order, linestyle="none", errorbar=_t_interval, capsize=0.3,
        color=PALETTE["input_mixup"], marker="D", markersize=5, label="measured mean, 95% interval", ax=axis,
    )  # fmt: skip
    axis.plot(printed["value"], range(len(order)), linestyle="none", marker="|", markersize=14, markeredgewidth=2,
              color="black", label="published")  # fmt: skip
    axis.axvline(baseline.mean(), color=PALETTE["none"], linestyle="--", label="no mixup, measured mean")
    axis.set(xlabel="accuracy, % (SST-2, 64 training examples)", ylabel="padding")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)
    return figure


def _t_interval(values: Iterable[float]) -> tuple[float, float]:
    from scipy import stats

    values = np.asarray(list(values))
    if np.ptp(values) == 0:  # no spread, no interval
        return float(values[0]), float(values[0])
    return stats.t.interval(CONFIDENCE, len(values) - 1, loc=values.mean(), scale=stats.sem(values))


def loss_curves(groups: Mapping[str, Mapping[str, Sequence[RunRecord]]]) -> Figure:
    """Test loss over training steps, one panel a data set: mean over the seeds with its 95% t interval.

    Args:
        groups: data set -> method -> records.
    """
    figure, axes = plt.subplots(1, len(groups), figsize=(4.3 * len(groups), 3.4), squeeze=False, layout="constrained")
    for axis, (dataset, methods) in zip(axes[0], groups.items(), strict=True):
        for method, records in methods.items():
            curve = pd.DataFrame(
                {"step": e["step"], "loss": e["test"]["nll"]} for record in records for e in record.evaluations
            )
            color, style = PALETTE[method], DASHES[method]
            steps = sorted(curve["step"].unique())
            by_step = [curve.loc[curve["step"] == step, "loss"] for step in steps]
            mean = [values.mean() for values in by_step]
            low, high = np.transpose([_t_interval(values) for values in by_step])
            axis.plot(steps, mean, color=color, linestyle=style, marker=MARKERS[method], label=LABELS[method])
            axis.fill_between(steps, low, high, color=color, alpha=0.18, linewidth=0)
        axis.set(title=dataset, xlabel="training step")
    axes[0, 0].set_ylabel("test loss, nats")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def manifold_schematic(lam: float = 0.7, blocks: int = 6, layer: int = 3) -> Figure:
    """Manifold MixUp drawn: hidden states of two texts mixed after one block, their one-hot labels alike.

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


def by_fraction(
    printed: pd.DataFrame, data: pd.DataFrame, columns: Mapping[str, str], fractions: Sequence[str]
) -> Figure:
    """Accuracy against the share of the training data: the paper's above, the measured one below, a column a data set.

    Args:
        printed: the paper's table.
        data: from :func:`mixlib.tables.frame`.
        columns: measured data set -> the paper's key of it.
        fractions: labels of the shares, largest first.
    """
    figure, axes = plt.subplots(2, len(columns), figsize=(4.1 * len(columns), 6.4), squeeze=False, sharex=True,
                                layout="constrained")  # fmt: skip
    order = list(reversed(fractions))
    for column, (dataset, key) in enumerate(columns.items()):
        top, bottom = axes[:, column]
        for method in [m for m in METHODS if m in set(data["method"])]:
            style = {"color": PALETTE[method], "linestyle": DASHES[method], "marker": MARKERS[method], "markersize": 6}
            said = printed[(printed["dataset"] == key) & (printed["method"] == method)].set_index("train_size")
            if not said.empty:
                values = said.loc[order]
                top.errorbar(order, values["value"], yerr=values["spread"], capsize=3, linewidth=1.5, **style)
            here = data[(data["dataset"] == dataset) & (data["method"] == method)]
            groups = [here.loc[here["train_size"] == size, "accuracy"] for size in order]
            mean = np.array([g.mean() for g in groups])
            reach = np.transpose([_t_interval(g) for g in groups])
            bottom.errorbar(
                order, mean, yerr=[mean - reach[0], reach[1] - mean], capsize=3, linewidth=1.5, label=LABELS[method],
                **style,
            )  # fmt: skip
        top.set_title(key if key == dataset else f"{key} (measured: {dataset})")
        bottom.set_xlabel("share of the training examples")
    axes[0, 0].set_ylabel("published accuracy, %\n(± as printed)")
    axes[1, 0].set_ylabel("measured accuracy, %\n(95% interval over seeds)")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
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
        grid = np.array(values["grid"])
        side = np.linspace(-8, 8, len(grid))
        axis.contourf(side, side, grid.T, levels=[0, 0.5, 1], colors=["#cfe3f1", "#f8e3c4"])
        axis.contour(side, side, grid.T, levels=[0.5], colors="black", linewidths=1.5)
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
    """Accuracy over many draws of five points a class: one dot a draw, the mean with its 95% interval.

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
        sns.pointplot(shown, x="accuracy", y="variant", order=order, linestyle="none", errorbar=_t_interval,
                      capsize=0.3, color="black", marker="D", markersize=4, ax=axis)  # fmt: skip
        axis.axvline(shown.loc[shown["variant"] == order[0], "accuracy"].mean(), color="black", linestyle="--",
                     linewidth=1)  # fmt: skip
        axis.set(title=f"learning rate {rate:g}", xlabel="accuracy on 2000 points, %", ylabel="")
    return figure


def objective_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Loss, accuracy, likeness and size of the class vectors over training, for each reading of the objective.

    Args:
        curves: values of the study ``objectives`` by objective.
    """
    panels = {"loss": "loss", "accuracy": "accuracy on the batch", "cosine": "cosine of the two class vectors",
              "norm": "mean norm of a class vector"}  # fmt: skip
    figure, axes = plt.subplots(1, len(panels), figsize=(14, 3.3), layout="constrained")
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        for (objective, curve), style, color in zip(curves.items(), ("-", "--"), ("#0173b2", "#de8f05"), strict=True):
            axis.plot(curve["step"], curve[name], style, color=color, linewidth=2, label=f"objective {objective!r}")
        axis.set(title=title, xlabel="update")
    axes[1].set_ylim(-0.02, 1.05)
    axes[2].set_ylim(-1.05, 1.05)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def epoch_times(ratios: pd.DataFrame, published: float, n: int) -> Figure:
    """Epoch time over that of the plain model against the number of mixed points n.

    Args:
        ratios: columns ``method``, ``n``, ``seed``, ``ratio``.
        published: the paper's ratio for the pairwise methods at ``n``.
        n: that the paper's ratio is for.
    """
    figure, axis = plt.subplots(figsize=(6.6, 4.2), layout="constrained")
    mixed = ratios[ratios["method"] != "none"]
    for method in [m for m in METHODS if m in set(mixed["method"])]:
        chosen = mixed[mixed["method"] == method]
        steps = sorted(chosen["n"].unique())
        groups = [chosen.loc[chosen["n"] == step, "ratio"] for step in steps]
        mean = np.array([g.mean() for g in groups])
        reach = np.transpose([_t_interval(g) for g in groups])
        axis.errorbar(steps, mean, yerr=[mean - reach[0], reach[1] - mean], capsize=3, color=PALETTE[method],
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
    """How far the points of each policy spread, one panel a quantity, mean over the seeds with its 95% interval.

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
                low, high = _t_interval(values)
                axis.errorbar(
                    values.mean(), y + 0.2 * (k - (len(sizes) - 1) / 2),
                    xerr=[[values.mean() - low], [high - values.mean()]], capsize=2, fmt="os^D"[k], markersize=5,
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
