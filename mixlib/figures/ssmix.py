"""Figures of the SSMix paper, and a view of two texts being mixed."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML
from matplotlib.figure import Figure
from torch import nn

from mixlib.figures.common import DASHES, MARKERS, METHODS, PALETTE, t_interval
from mixlib.tables import LABELS, TITLES
from mixlib.texts import MixedPair, Text, mix_pair

CELL = "display: inline-block; text-align: center; margin: 2px 1px; padding: 1px 4px; border-radius: 3px; "
ORANGE, BLUE = "222, 143, 5", "1, 115, 178"  # with an alpha they read on white and on black


def show_mix(
    model: nn.Module,
    tokenizer: Any,
    a: Text,
    b: Text,
    labels: tuple[int, int],
    method: str = "ssmix",
    **params: Any,
) -> HTML:
    """Two texts of your own, the saliency of their words, what moves where, and the weight of each label.

    Args:
        model, tokenizer: a trained classifier.
        a: text that is changed, a sentence or a tuple of two; b: text that words are taken from, alike.
        labels: class numbers of ``a`` and ``b``.
        method: ``ssmix``, ``ssmix_nosal``, ``ssmix_nosal_nospan`` or ``unk``.
        **params: of :func:`mixlib.texts.mix_pair` (``names`` of the labels, ``seed``) and of the method (``lam0``).

    Raises:
        ValueError: see :func:`mixlib.texts.mix_pair`.
    """
    return show_pair(mix_pair(model, tokenizer, a, b, labels, method, **params))


def show_pair(pair: MixedPair, title: str = "") -> HTML:
    """The view of :func:`show_mix` for texts that were mixed already.

    The darker a word of A and B, and the larger the number under it (of 100), the greater its saliency. Words that are
    overwritten are struck through in a dashed frame, words that are copied have a double one, and in the mixed text
    they are bold: nothing hangs on colour alone.
    """
    no_numbers = [None] * len(pair.tokens_mixed)
    rows = [
        ("A", pair.labels[0], pair.tokens_a, pair.saliency_a, pair.replaced, "out"),
        ("B", pair.labels[1], pair.tokens_b, pair.saliency_b, pair.taken, "taken"),
        ("mixed", _label(pair), pair.tokens_mixed, no_numbers, pair.replaced, "in"),
    ]
    lines = "".join(
        f"<tr><td style='text-align: right; vertical-align: top; white-space: nowrap; padding-right: 10px'>"
        f"<strong>{name}</strong><br><small>{html.escape(label)}</small></td>"
        f"<td style='text-align: left; vertical-align: top'>{_words(tokens, saliency, set(marked), kind)}</td></tr>"
        for name, label, tokens, saliency, marked, kind in rows
    )
    heading = html.escape(title or f"{LABELS.get(pair.method, pair.method)}: words of B put into A")
    return HTML(
        f"<div style='line-height: 1.35'><strong>{heading}</strong>"
        f"<table style='border-collapse: collapse; background: transparent'>{lines}</table></div>"
    )


def _label(pair: MixedPair) -> str:
    own, other = pair.labels
    if pair.weight == 1:
        return f"1.00 {own}"
    return f"{pair.weight:.2f} {own} + {1 - pair.weight:.2f} {other}"


def _words(tokens: Sequence[str], saliency: Sequence[float | None], marked: set[int], kind: str) -> str:
    looks = {
        "out": "border: 1px dashed currentColor; text-decoration: line-through; ",
        "taken": "border: 3px double currentColor; ",
        "in": f"border: 2px solid currentColor; font-weight: bold; background: rgba({BLUE}, 0.25); ",
    }
    cells = []
    for i, (token, size) in enumerate(zip(tokens, saliency, strict=True)):
        special = token[:1] in "[<" and token[-1:] in "]>"
        style = CELL + (looks[kind] if i in marked else "border: 1px solid transparent; ")
        number = ""
        if special:
            style += "opacity: 0.6; "
        elif size is not None:
            style += f"background: rgba({ORANGE}, {0.75 * size:.2f}); "
            number = f"<br><small style='font-weight: normal'>{100 * size:.0f}</small>"
        word = html.escape(token.lstrip("Ġ▁"))
        cells.append(f"<span style='{style}'>{word}{number}</span>")
    return "".join(cells)


def off_the_segment(picture: Mapping[str, Sequence[Sequence[float]]], data: pd.DataFrame) -> Figure:
    """Figure 2, measured: one pair of texts on a plane, and the mean distance from the segment over many pairs.

    Args:
        picture: one of the study ``off_the_segment``.
        data: columns ``method``, ``ratio``, ``seed``, ``distance``.
    """
    figure, (plane, bars) = plt.subplots(1, 2, figsize=(12.4, 4.6), width_ratios=(1.25, 1), layout="constrained")
    plane.scatter(*np.array(picture["spans"]).T, s=26, marker="d", color=PALETTE["ssmix"], alpha=0.6, linewidths=0,
                  label="texts with random spans of B")  # fmt: skip
    for method in ("embedmix", "tmix"):
        plane.plot(*np.array(picture[method]).T, color=PALETTE[method], linestyle="-" if method == "embedmix" else "--",
                   marker=MARKERS[method], markersize=4, label=f"{LABELS[method]}, A weighs 1 to 0")  # fmt: skip
    plane.plot([0, 1], [0, 0], color="black", linewidth=1.5, linestyle=":", label="segment")
    plane.plot([0, 1], [0, 0], "o", color="black", markersize=9)
    for x, name in ((0, "A"), (1, "B")):
        plane.annotate(name, (x, 0), xytext=(0, -18), textcoords="offset points", ha="center", fontsize=13)
    plane.set(
        xlabel="along the segment from A to B, in its lengths", ylabel="main direction away from it, in its lengths",
        title="sentence vectors of one pair", aspect="equal",
    )  # fmt: skip
    plane.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)
    ratios = sorted(data["ratio"].unique())
    for k, method in enumerate(("ssmix", "embedmix", "tmix")):
        groups = [data.loc[(data["method"] == method) & (data["ratio"] == r), "distance"] for r in ratios]
        mean = np.array([g.mean() for g in groups])
        reach = np.transpose([t_interval(g) for g in groups])
        bars.errorbar(np.arange(len(ratios)) + 0.12 * (k - 1), mean, yerr=[mean - reach[0], reach[1] - mean], capsize=3,
                      color=PALETTE[method], linestyle=DASHES[method], marker=MARKERS[method],
                      label=LABELS[method])  # fmt: skip
    bars.set(
        xlabel=r"share $\lambda_0$ of SSMix; the others at its weights", ylim=(0, None),
        ylabel="distance from the segment, in its lengths", title="mean over pairs, 95% interval over seeds",
    )  # fmt: skip
    bars.set_xticks(range(len(ratios)), [f"{r:g}" for r in ratios])
    bars.legend(loc="upper left")
    return figure


def step_times(data: pd.DataFrame, order: Mapping[str, str], claimed: float | None = 2) -> Figure:
    """Time of a step over that of a plain step of the same batch: a dot a batch, a panel a data set.

    Args:
        data: columns ``dataset``, ``method``, ``ratio``.
        order: method -> label, from top to bottom.
        claimed: a ratio that the paper claims, drawn as a dotted line; ``None`` where it claims none.
    """
    sets = list(dict.fromkeys(data["dataset"]))
    figure, axes = plt.subplots(1, len(sets), figsize=(6.2 * len(sets), 0.42 * len(order) + 1.6), sharey=True,
                                squeeze=False, layout="constrained")  # fmt: skip
    names = data.assign(label=data["method"].map(order))
    for axis, dataset in zip(axes[0], sets, strict=True):
        shown = names[(names["dataset"] == dataset) & names["label"].notna()]
        sns.stripplot(shown, x="ratio", y="label", order=list(order.values()), color="0.55", size=4, alpha=0.7,
                      jitter=False, ax=axis)  # fmt: skip
        sns.pointplot(shown, x="ratio", y="label", order=list(order.values()), linestyle="none", estimator="median",
                      errorbar=None, color="black", marker="D", markersize=5, ax=axis)  # fmt: skip
        axis.axvline(1, color="black", linewidth=1)
        if claimed is not None:
            axis.axvline(claimed, color="black", linewidth=1, linestyle=":")
        axis.set(title=dataset, xlabel="time of a step / plain step on the same 32 texts", ylabel="", xlim=(0, None))
    return figure


def learning_curves(data: pd.DataFrame) -> Figure:
    """Development accuracy over updates, mixing from the start or after plain training: mean with its 95% interval.

    Args:
        data: columns ``dataset``, ``way``, ``seed``, ``step``, ``accuracy``.
    """
    sets = list(dict.fromkeys(data["dataset"]))
    figure, axes = plt.subplots(1, len(sets), figsize=(6.6 * len(sets), 4), squeeze=False, layout="constrained")
    looks = {"two stages": ("-", "o", "#0173b2"), "from the start": ("--", "s", "#b03a00")}
    for axis, dataset in zip(axes[0], sets, strict=True):
        for way, (style, marker, color) in looks.items():
            rows = data[(data["dataset"] == dataset) & (data["way"] == way)]
            steps = sorted(rows["step"].unique())
            groups = [rows.loc[rows["step"] == step, "accuracy"] for step in steps]
            low, high = np.transpose([t_interval(g) for g in groups])
            axis.plot(steps, [g.mean() for g in groups], style, marker=marker, markersize=5, color=color,
                      label=f"SSMix {way}" if way == "from the start" else "no mixup, then SSMix")  # fmt: skip
            axis.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
        axis.set(title=dataset, xlabel="optimizer update")
    axes[0, 0].set_ylabel("development accuracy, %")
    axes[0, 0].legend(loc="lower right")
    return figure


def by_ratio(data: pd.DataFrame, paper: float = 0.1) -> Figure:
    """SSMix's accuracy by the share of tokens that is replaced, a panel a data set: dots are seeds.

    Args:
        data: columns ``dataset``, ``lam0``, ``seed``, ``accuracy``.
        paper: the share the paper calls best.
    """
    sets = list(dict.fromkeys(data["dataset"]))
    figure, axes = plt.subplots(1, len(sets), figsize=(4.1 * len(sets), 3.6), squeeze=False, layout="constrained")
    for axis, dataset in zip(axes[0], sets, strict=True):
        rows = data[data["dataset"] == dataset]
        ratios = sorted(rows["lam0"].unique())
        groups = [rows.loc[rows["lam0"] == ratio, "accuracy"] for ratio in ratios]
        for _, run in rows.groupby("seed"):
            values = run.set_index("lam0").loc[ratios, "accuracy"]
            axis.plot(range(len(ratios)), values, color="0.7", marker="o", markersize=3, linewidth=0.8)
        mean = np.array([g.mean() for g in groups])
        reach = np.transpose([t_interval(g) for g in groups])
        axis.errorbar(range(len(ratios)), mean, yerr=[mean - reach[0], reach[1] - mean], capsize=4, marker="h",
                      color=PALETTE["ssmix"], linewidth=2)  # fmt: skip
        axis.axvline(ratios.index(paper), color="black", linestyle=":", linewidth=1)
        axis.set_xticks(range(len(ratios)), [f"{r:g}" for r in ratios])
        axis.set(title=dataset, xlabel=r"share $\lambda_0$ (dotted: the paper's)")
    axes[0, 0].set_ylabel("test accuracy after stage 2, %\n(grey: one seed; mean, 95% interval)")
    return figure


def leak(data: pd.DataFrame) -> Figure:
    """What the dropout leak does: each method's change by it, and SSMix's lead over each method without and with it.

    Args:
        data: from :func:`mixlib.claims.ssmix.leak_effects`.
    """
    sets = list(dict.fromkeys(data["dataset"]))
    methods = [m for m in METHODS if m in set(data["method"])]
    figure, axes = plt.subplots(len(sets), 2, figsize=(11.5, 0.52 * len(methods) * len(sets) + 1.6), sharey=True,
                                squeeze=False, layout="constrained")  # fmt: skip
    looks = {
        "change": ("o", "black", 0.0),
        "lead": ("D", "#0173b2", -0.13),
        "lead with the leak": ("s", "#b03a00", 0.13),
    }
    for row, dataset in zip(axes, sets, strict=True):
        for axis, shown in zip(row, (["change"], ["lead", "lead with the leak"]), strict=True):
            for what in shown:
                marker, color, shift = looks[what]
                rows = data[(data["dataset"] == dataset) & (data["what"] == what)].set_index("method")
                here = [(y, rows.loc[m]) for y, m in enumerate(methods) if m in rows.index]
                axis.errorbar([r["mean"] for _, r in here], [y + shift for y, _ in here],
                              xerr=[[r["mean"] - r["low"] for _, r in here], [r["high"] - r["mean"] for _, r in here]],
                              fmt=marker, color=color, capsize=3, label={"lead": "without the leak",
                              "lead with the leak": "with the leak"}.get(what))  # fmt: skip
            axis.axvline(0, color="black", linewidth=1)
        row[0].set(
            title=f"{dataset}: with the leak minus without", xlabel=f"{TITLES['accuracy']}, change of the method"
        )
        row[1].set(
            title=f"{dataset}: SSMix's lead over each method", xlabel=f"{TITLES['accuracy']}, SSMix minus the method"
        )
        row[0].set_yticks(range(len(methods)), [LABELS[m] for m in methods])
    axes[0, 0].invert_yaxis()
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=2, title="SSMix's lead")
    return figure
