"""Figures of the AMPLIFY paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator
from scipy import stats

from mixlib.evidence.plots import DASHES, MARKERS, PALETTE, interval, means_with_reach
from mixlib.evidence.tables import LABELS, NAMES, UNITS
from mixlib.methods.mixing import lam_cdf

BLUE, ORANGE, INSIDE, ACROSS = "#0173b2", "#de8f05", "#0173b2", "#b03a00"
SIGNED = LinearSegmentedColormap.from_list("signed", [ORANGE, "white", BLUE])  # the neuron view's: blue is positive
SMOOTHED = 4  # updates averaged in a loss curve, or a twentieth of all if that is more
ACROSS_AT_MOST = 3  # panels


def block_schematic() -> Figure:
    """Figure 1: one encoder block, the attention sublayer's output mixed with its own copy in another row order."""
    figure, axis = plt.subplots(figsize=(11.5, 3.9), layout="constrained")
    boxes = {
        "input": (0.0, "input of\nthe block\n$x_1 \\ldots x_b$", "white"),
        "attention": (2.3, "multi-head\nattention,\nresidual, norm", "#cfe3f1"),
        "mixed": (7.3, "$\\lambda\\,h_i + (1-\\lambda)\\,h_{\\pi(i)}$", "#f8e3c4"),
        "feed": (10.5, "feed-forward,\nresidual, norm", "#cfe3f1"),
        "next": (12.8, "next block\nsame $\\lambda$, same $\\pi$", "white"),
    }
    widths = {"mixed": 2.6}
    for name, (left, text, colour) in boxes.items():
        width = widths.get(name, 1.8)
        axis.add_patch(FancyBboxPatch((left, 0), width, 1.5, boxstyle="round,pad=0.05", facecolor=colour,
                                      edgecolor="black"))  # fmt: skip
        axis.text(left + width / 2, 0.75, text, ha="center", va="center", fontsize=11)
    axis.add_patch(FancyBboxPatch((4.6, 2.4), 2.2, 1.0, boxstyle="round,pad=0.05", facecolor="#f8e3c4",
                                  edgecolor="black"))  # fmt: skip
    axis.text(5.7, 2.9, "copy in the order\nof $\\pi$: $h_{\\pi(1)} \\ldots h_{\\pi(b)}$", ha="center", va="center")
    arrow = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0}
    along = [
        ((left, 0.75), (right, 0.75)) for left, right in ((1.87, 2.22), (4.17, 7.22), (9.98, 10.42), (12.37, 12.72))
    ]
    for start, end in [*along, ((4.45, 0.85), (5.0, 2.32)), ((6.6, 2.32), (7.7, 1.58))]:
        axis.annotate("", end, start, arrowprops=arrow)
    axis.text(5.7, 0.45, "$h_1 \\ldots h_b$", ha="center")
    axis.text(11.4, 2.9, "labels: $\\lambda\\,$CE$(y_i) + (1-\\lambda)\\,$CE$(y_{\\pi(i)})$", ha="center", va="center")
    axis.set(xlim=(-0.2, 14.9), ylim=(-0.3, 3.7))
    axis.axis("off")
    return figure


def lam_distributions(alphas: Sequence[float], draws: Sequence[int], alpha: float, folded: float) -> Figure:
    """Figure 2, the density of Beta(alpha, alpha), and how much of the second row the rules let in.

    Args:
        alphas: of the densities.
        draws: of the rule ``max_of_n``.
        alpha: of that rule.
        folded: alpha of the baselines' rule.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.4, 4.4), layout="constrained")
    x = np.linspace(0.002, 0.998, 499)
    for i, value in enumerate(alphas):
        left.plot(x, stats.beta.pdf(x, value, value), color=sns.color_palette("colorblind")[i],
                  linestyle=["-", "--", ":", "-."][i % 4], linewidth=2, label=rf"$\alpha = {value:g}$")  # fmt: skip
    left.set(xlabel=r"$\lambda$", ylabel=r"density of Beta($\alpha$, $\alpha$)", ylim=(0, 4), xlim=(0, 1))
    left.legend(loc="upper center")
    share = np.logspace(-6, 0, 400)  # of the second row
    shades = sns.color_palette("flare", len(draws))
    for shade, n in zip(shades, draws, strict=True):
        right.plot(share, lam_cdf(1 - share, alpha, "max_of_n", n), color=shade, linewidth=2)
        right.annotate(f"n = {n}", (2e-6, lam_cdf(1 - 2e-6, alpha, "max_of_n", n)), fontsize=10, va="bottom")
    right.plot(share, lam_cdf(1 - share, folded, "folded"), color="black", linestyle="--", linewidth=2,
               label=rf"folded, $\alpha = {folded:g}$ (the baselines)")  # fmt: skip
    right.plot([], [], color=shades[2], linewidth=2, label=rf"largest of n, $\alpha = {alpha:g}$ (AMPLIFY)")
    right.set(xscale="log", xlim=(1e-6, 1), ylim=(0, 1.02), xlabel=r"weight $w$ of the second row, $1 - \lambda$",
              ylabel=r"share of batches with a weight of at least $w$")  # fmt: skip
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def by_setting(
    printed: pd.DataFrame, data: pd.DataFrame, settings: Mapping[tuple[str, str], str], plain: str | None, name: str
) -> Figure:
    """Accuracy by the setting of a method: the paper's above, the measured one below, one column per data set.

    Args:
        printed: the paper's table.
        data: from :func:`mixlib.evidence.tables.frame`; its data sets are the columns.
        settings: (method, parameter) -> label on the axis, in order.
        plain: the method whose mean is drawn as a line.
        name: of the axis.
    """
    columns = list(dict.fromkeys(data["dataset"]))
    figure, axes = plt.subplots(2, len(columns), figsize=(max(6.2, 4.1 * len(columns)), 6), squeeze=False, sharex=True,
                                layout="constrained")  # fmt: skip
    places = range(len(settings))
    for (top, bottom), column in zip(axes.T, columns, strict=True):
        said = printed[printed["dataset"] == column].set_index(["method", "param"])["value"]
        top.plot(places, [said.get(key, np.nan) for key in settings], "k_", markersize=18, markeredgewidth=2.5)
        here = data[data["dataset"] == column]
        groups = [here.loc[(here["method"] == m) & (here["param"] == p), "accuracy"] for m, p in settings]
        for _, run in here.groupby("seed"):
            values = run.set_index(["method", "param"])["accuracy"]
            bottom.plot(places, [values.get(key, np.nan) for key in settings], "o-", color="0.75", markersize=3,
                        linewidth=0.8)  # fmt: skip
        mean, reach = means_with_reach(groups)
        bottom.errorbar(places, mean, yerr=reach, fmt="D", capsize=4, markersize=6,
                        color=PALETTE["amplify"])  # fmt: skip
        if plain is not None:
            bottom.axhline(here.loc[here["method"] == plain, "accuracy"].mean(), color="black", linestyle="--",
                           linewidth=1)  # fmt: skip
            if (plain, "") in said.index:
                top.axhline(said[plain, ""], color="black", linestyle="--", linewidth=1)
        top.set_title(NAMES.get(column, column))
        bottom.set_xticks(places, settings.values())
        bottom.set_xlabel(name)
    axes[0, 0].set_ylabel("published accuracy, %")
    axes[1, 0].set_ylabel("measured accuracy, %")
    dashed = f", dashed: {LABELS[plain]}" if plain else ""
    figure.supxlabel(f"measured: mean with its 95% interval, grey: one seed{dashed}", fontsize="medium")
    return figure


def loss_by_update(data: Mapping[str, pd.DataFrame], looks: Mapping[str, str], from_zero: bool = True) -> Figure:
    """Training loss over updates, geometric mean over seeds of a running mean, with its 95% interval; one panel each.

    The interval is of the logarithm, as a cross-entropy is never below zero.

    Args:
        data: title of a panel -> columns ``label``, ``seed``, ``update``, ``loss``.
        looks: label -> method whose colour and line style it has.
        from_zero: begin the axis of losses at zero, not where the curves end.
    """
    columns = min(len(data), ACROSS_AT_MOST)
    rows = -(-len(data) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(max(6.2, 4.6 * columns), 3.6 * rows + 0.6), squeeze=False,
                                layout="constrained")  # fmt: skip
    for axis in axes.flat[len(data) :]:
        axis.remove()
    for axis, (title, curves) in zip(axes.flat, data.items(), strict=False):
        for label in [label for label in looks if label in set(curves["label"])]:
            runs = curves[curves["label"] == label].pivot_table(index="update", columns="seed", values="loss")
            runs = np.log(runs.rolling(min(max(SMOOTHED, len(runs) // 20), len(runs))).mean().dropna())
            low, high = np.exp(np.transpose([interval(row) for row in runs.to_numpy()]))
            method = looks[label]
            axis.plot(runs.index, np.exp(runs.mean(axis=1)), color=PALETTE[method], linestyle=DASHES[method],
                      linewidth=2, label=label)  # fmt: skip
            axis.fill_between(runs.index, low, high, color=PALETTE[method], alpha=0.1, linewidth=0)
        axis.set(title=NAMES.get(title, title), xlabel="optimizer update", ylim=(0 if from_zero else None, None))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supylabel("training cross-entropy, nats", fontsize="medium")
    drawn = [axis.get_legend_handles_labels() for axis in axes.flat[: len(data)]]
    handles = {label: handle for found in drawn for handle, label in zip(*found, strict=True)}
    shown = [label for label in looks if label in handles]
    figure.legend([handles[label] for label in shown], shown, loc="outside lower center", ncols=min(5, len(shown)),
                  handlelength=5)  # fmt: skip
    return figure


def attention_lines(views: Mapping[str, Mapping[str, Any]], query: str | None = None) -> Figure:
    """Figures 4 and 5: lines from each word to the words it attends to, as strong as the attention; one panel per
    method.

    Args:
        views: method -> words, their side and the attention between them, from the study ``attention``.
        query: draw only the lines of this word.
    """
    any_view = next(iter(views.values()))
    rows = len(any_view["words"])
    figure, axes = plt.subplots(1, len(views), figsize=(3.7 * len(views), 0.33 * rows + 1.3), squeeze=False,
                                layout="constrained")  # fmt: skip
    strongest = max(_between_words(view).max() for view in views.values())
    for axis, (method, view) in zip(axes[0], views.items(), strict=True):
        words, side = view["words"], view["side"]
        for i, line in enumerate(view["attention"]):
            if query is not None and words[i] != query:
                continue
            for j, weight in enumerate(line):
                other = side[i] is not None and side[j] is not None and side[i] != side[j]
                special = side[i] is None or side[j] is None
                part = min(1.0, weight / strongest)  # special tokens may get more than any word does
                colour = "0.6" if special else ACROSS if other else INSIDE
                axis.plot([0, 1], [i, j], color=colour, linewidth=0.4 + 3.6 * part,
                          alpha=part * (0.35 if special else 1.0), linestyle="--" if other and not special else "-",
                          zorder=1 if special else 2)  # fmt: skip
        for i, word in enumerate(words):
            heavy = "bold" if query is not None and word == query else "normal"
            axis.text(-0.05, i, word, ha="right", va="center", fontsize=10, fontweight=heavy)
            axis.text(1.05, i, word, ha="left", va="center", fontsize=10)
        axis.set(title=LABELS[method], xlim=(-0.75, 1.75), ylim=(rows - 0.5, -0.7))
        axis.axis("off")
    for colour, style, name in ((INSIDE, "-", "within a sentence"), (ACROSS, "--", "across the separator"),
                                ("0.6", "-", "from or to a special token")):  # fmt: skip
        axes[0, 0].plot([], [], color=colour, linestyle=style, linewidth=2.5, label=name)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def neuron_view(views: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Figure 6: query of a word, keys of all words, their products and the resulting attention; one row per method.

    Blue is positive, orange negative; the stronger the colour, the larger the value.

    Args:
        views: method -> the neuron view of the study ``attention``.
    """
    tokens = next(iter(views.values()))["tokens"]
    figure, axes = plt.subplots(len(views), 4, figsize=(14.5, 0.2 * len(tokens) * len(views) + 1.4), squeeze=False,
                                width_ratios=[5, 5, 5, 2.2], layout="constrained")  # fmt: skip
    for row, (method, view) in zip(axes, views.items(), strict=True):
        keys, query = np.array(view["keys"]), np.array(view["query"])
        shown = {"query q": np.where(np.arange(len(tokens))[:, None] == view["row"], query, np.nan), "key k": keys,
                 "product q × k": keys * query}  # fmt: skip
        for axis, (title, values) in zip(row, shown.items(), strict=False):
            limit = np.nanmax(np.abs(values))
            axis.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
            axis.set_title(f"{LABELS[method]}, head {view['head']}: {title}" if axis is row[0] else title)
            axis.set_xlabel("dimension of the head")
            axis.grid(False)
            axis.set_yticks([])
            axis.set_xticks([0, len(query) - 1], ["1", str(len(query))])
        row[0].set_yticks(range(len(tokens)), tokens, fontsize=8)
        row[3].barh(range(len(tokens)), view["attention"], color=BLUE)
        row[3].set(title="attention (softmax)", xlabel="weight", ylim=(len(tokens) - 0.5, -0.5))
        row[3].set_yticks(range(len(tokens)), tokens, fontsize=8)
        row[3].yaxis.tick_right()
    return figure


def word_graph(views: Mapping[str, Mapping[str, Any]], query: str, links: int = 60) -> Figure:
    """Figure 7: the words as a graph, nodes coloured by the attention the query gives them, strongest links drawn.

    Args:
        views: method -> words, their side and the attention between them.
        query: the word whose attention colours the nodes, its first occurrence.
        links: number of links drawn, the strongest between words that are not neighbours.
    """
    figure, axes = _panels(len(views), columns=2, size=(4.7, 4.7))
    top = max(_from(view, query).max() for view in views.values())
    for axis, (method, view) in zip(axes, views.items(), strict=True):
        keep = [i for i, side in enumerate(view["side"]) if side is not None]
        attention = np.array(view["attention"])[np.ix_(keep, keep)]
        words = [view["words"][i] for i in keep]
        angle = np.pi / 2 - 2 * np.pi * np.arange(len(words)) / len(words)
        x, y = np.cos(angle), np.sin(angle)
        apart = np.abs(np.subtract.outer(np.arange(len(words)), np.arange(len(words)))) > 1
        strength = np.where(apart, attention, 0.0)
        order = np.argsort(-strength, axis=None, kind="stable")[:links]
        for i, j in zip(*np.unravel_index(order, strength.shape), strict=True):
            part = strength[i, j] / strength.max()
            axis.plot([x[i], x[j]], [y[i], y[j]], color="0.35", linewidth=2.2 * part, alpha=0.15 + 0.6 * part, zorder=1)
        weight = _from(view, query)[keep]
        dots = axis.scatter(x, y, c=weight, s=70, cmap="Blues", vmin=0, vmax=top, edgecolors="black", zorder=2)
        first = words.index(query)
        axis.scatter(x[first], y[first], s=190, facecolors="none", edgecolors=ORANGE, linewidths=2.5, zorder=3)
        for word, a, right, up in zip(words, angle, x, y, strict=True):
            turn = np.degrees(a) if right >= 0 else np.degrees(a) + 180
            out = 1.16 if (right, up) == (x[first], y[first]) else 1.08  # clear of the ring
            axis.text(out * right, out * up, word, rotation=turn, rotation_mode="anchor", fontsize=8, va="center",
                      ha="left" if right >= 0 else "right")  # fmt: skip
        axis.set(title=LABELS[method], xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal")
        axis.axis("off")
    figure.colorbar(
        dots, ax=axes, location="bottom", shrink=0.5, aspect=40, label=f"attention of the first “{query}” (ringed)"
    )
    return figure


def _panels(count: int, columns: int, size: tuple[float, float], **kwargs: Any) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels of a size in inches, in rows of so many columns."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * size[0], rows * size[1]), squeeze=False,
                                layout="constrained", **kwargs)  # fmt: skip
    for spare in axes.flat[count:]:
        spare.remove()
    return figure, list(axes.flat[:count])


def _between_words(view: Mapping[str, Any]) -> np.ndarray:
    """The attention between words; from or to special tokens it counts as zero."""
    word = np.array([side is not None for side in view["side"]])
    return np.where(np.outer(word, word), np.array(view["attention"]), 0.0)


def _from(view: Mapping[str, Any], query: str) -> np.ndarray:
    """The first query's attention to every word; to special tokens it counts as zero."""
    return _between_words(view)[view["words"].index(query)]


def attention_summary(data: pd.DataFrame, quantities: Mapping[str, str]) -> Figure:
    """Attention quantities by training method: one dot per seed, the mean with its 95% interval; one panel per
    quantity.

    Args:
        data: from :func:`mixlib.papers.amplify.frames.attention_frame`.
        quantities: column -> title, with what is claimed.
    """
    figure, axes = _panels(len(quantities), 3 if len(quantities) > 4 else 4, (3.5, 3.0), sharey=True)
    methods = [m for m in LABELS if m in set(data["method"])]
    for axis, (quantity, title) in zip(axes, quantities.items(), strict=True):
        for y, method in enumerate(methods):
            values = 100 * data.loc[data["method"] == method, quantity]
            axis.plot(values, [y] * len(values), "o", color="0.7", markersize=4)
            mean, reach = means_with_reach([values])
            axis.errorbar(mean, y, xerr=reach, capsize=4,
                          color=PALETTE[method], marker=MARKERS[method], linestyle="none", markersize=8)  # fmt: skip
        axis.set(title=title, xlabel="% of the attention", ylim=(len(methods) - 0.5, -0.5))
    axes[0].set_yticks(range(len(methods)), [LABELS[m] for m in methods])
    return figure


def factor_leads(effects: pd.DataFrame) -> Figure:
    """AMPLIFY's lead over each other method, with the methods as the paper states them and as its code has them.

    Args:
        effects: from :func:`mixlib.papers.amplify.frames.factor_effects`.
    """
    sets = list(dict.fromkeys(effects["dataset"]))
    rivals, factors = (list(dict.fromkeys(effects[column])) for column in ("rival", "factor"))
    height = 0.3 * len(rivals) * (len(factors) + 1) + 1.6
    figure, axes = plt.subplots(1, len(sets), figsize=(6 * len(sets), height), sharey=True, squeeze=False,
                                layout="constrained")  # fmt: skip
    colours = dict(zip(factors, ("black", "#b03a00", "#0173b2", "#029e73", "#8a5a00"), strict=False))
    marks = dict(zip(factors, "oX^sD", strict=False))
    for axis, dataset in zip(axes[0], sets, strict=True):
        for k, rival in enumerate(rivals):
            for place, factor in enumerate(factors):
                if (rival, factor) == ("none", "labels"):  # nothing is mixed, so no label either
                    continue
                found = effects[(effects["dataset"] == dataset) & (effects["rival"] == rival)
                                & (effects["factor"] == factor)]  # fmt: skip
                if found.empty:
                    continue
                row = found.iloc[0]
                y = k * (len(factors) + 1) + place
                axis.errorbar(row["lead"], y, xerr=[[row["lead"] - row["lead_low"]], [row["lead_high"] - row["lead"]]],
                              fmt=marks[factor], color=colours[factor], capsize=3,
                              label=factor if k == 1 else None)  # fmt: skip
            ends = (k * (len(factors) + 1) - 0.4, k * (len(factors) + 1) + len(factors) - 0.6)
            axis.plot([row["printed"]] * 2, ends, color="black", linestyle=":", linewidth=2,
                      label="printed lead" if k == 1 else None)  # fmt: skip
        axis.axvline(0, color="black", linewidth=1)
        axis.set(title=NAMES.get(dataset, dataset), xlabel=f"{UNITS['accuracy']}: AMPLIFY minus the other method")
    middles = [k * (len(factors) + 1) + (len(factors) - 1) / 2 for k in range(len(rivals))]
    axes[0, 0].set_yticks(middles, [LABELS[rival] for rival in rivals])
    axes[0, 0].invert_yaxis()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), title="done as in the published code")
    return figure


def by_noise(data: pd.DataFrame) -> Figure:
    """Accuracy by the share of wrong training labels, mean with its 95% interval; one panel per data set.

    Args:
        data: from :func:`mixlib.papers.amplify.frames.conditions`.
    """
    sets = list(dict.fromkeys(data["dataset"]))
    figure, axes = plt.subplots(1, len(sets), figsize=(6.4 * len(sets) + 2, 4), squeeze=False, layout="constrained")
    methods = [m for m in LABELS if m in set(data["method"])]
    for axis, dataset in zip(axes[0], sets, strict=True):
        for k, method in enumerate(methods):
            rows = data[(data["dataset"] == dataset) & (data["method"] == method)]
            shares = sorted(rows["noise"].unique())
            groups = [rows.loc[rows["noise"] == share, "accuracy"] for share in shares]
            mean, reach = means_with_reach(groups)
            shifted = 100 * np.array(shares) + 0.35 * (k - (len(methods) - 1) / 2)
            axis.errorbar(shifted, mean, yerr=reach, capsize=3, marker=MARKERS[method],
                          markersize=8, color=PALETTE[method], linestyle=DASHES[method],
                          label=LABELS[method])  # fmt: skip
        axis.set(title=NAMES.get(dataset, dataset), xlabel="training labels that are wrong, %",
                 xticks=[100 * s for s in shares])  # fmt: skip
    axes[0, 0].set_ylabel("test accuracy, %")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", handlelength=5)
    return figure


def curves_of(records: Sequence[Any], label_of: Any) -> pd.DataFrame:
    """Training losses as rows: ``label``, ``seed``, ``update``, ``loss``, for :func:`loss_by_update`.

    Args:
        records: runs with ``train_losses``.
        label_of: record -> label.
    """
    return pd.DataFrame(
        {"label": label_of(record), "seed": record.spec.seed, "loss": loss,
         "update": round((i + 1) * record.timing["steps"] / len(record.train_losses))}
        for record in records
        for i, loss in enumerate(record.train_losses)
    )  # fmt: skip
