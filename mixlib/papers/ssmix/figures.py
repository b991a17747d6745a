"""Figures of the SSMix paper, and a view of two texts being mixed."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import nn

from mixlib.evidence.plots import DASHES, MARKERS, PALETTE, means_with_reach
from mixlib.evidence.tables import LABELS, UNITS
from mixlib.papers.ssmix.frames import TITLES
from mixlib.papers.ssmix.protocol import METHODS
from mixlib.papers.ssmix.texts import MixedPair, Text, mix_pair

CELL = "display: inline-block; text-align: center; margin: 2px 1px; padding: 1px 4px; border-radius: 3px; "
ORANGE, BLUE = "222, 143, 5", "1, 115, 178"  # text reads on them up to an alpha of 0.45, on white and on black


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
        a: text that is changed, a sentence or a tuple of two; b: text that words are taken from, in the same form.
        labels: class numbers of ``a`` and ``b``.
        method: ``ssmix``, ``ssmix_nosal``, ``ssmix_nosal_nospan`` or ``unk``.
        **params: of :func:`mixlib.papers.ssmix.texts.mix_pair` (``names`` of the labels, ``seed``) and of the method
            (``lam0``).

    Raises:
        ValueError: see :func:`mixlib.papers.ssmix.texts.mix_pair`.
    """
    return show_pair(mix_pair(model, tokenizer, a, b, labels, method, **params))


def show_pair(pair: MixedPair, title: str = "") -> HTML:
    """The view of :func:`show_mix` for texts that have already been mixed.

    The larger the number below a word of A and B (of 100), the greater its saliency. Words that are overwritten are
    struck through, words that are copied are marked, and in the mixed text they are underlined. HTML elements say so,
    not styles, which an untrusted notebook and GitHub take away; frames and shades come on top.
    """
    no_numbers = [None] * len(pair.tokens_mixed)
    rows = [
        ("A", pair.labels[0], pair.tokens_a, pair.saliency_a, pair.replaced, "s"),
        ("B", pair.labels[1], pair.tokens_b, pair.saliency_b, pair.taken, "mark"),
        ("mixed", _label(pair), pair.tokens_mixed, no_numbers, pair.replaced, "ins"),
    ]
    return _texts(title or f"{LABELS.get(pair.method, pair.method)}: words of B put into A", rows)


def show_draws(pairs: Sequence[MixedPair], title: str, names: Sequence[str] | None = None) -> HTML:
    """The mixed texts of several draws, one below the other, words that came in underlined.

    Args:
        pairs: of the same two texts.
        title: above them.
        names: of the draws; by default they are numbered.
    """
    names = [f"draw {i}" for i in range(1, len(pairs) + 1)] if names is None else names
    rows = [
        (name, _label(pair), pair.tokens_mixed, [None] * len(pair.tokens_mixed), pair.replaced, "ins")
        for name, pair in zip(names, pairs, strict=True)
    ]
    return _texts(title, rows)


def _texts(title: str, rows: Iterable[tuple]) -> HTML:
    """Rows of name, label, tokens, saliency, marked positions, and the element that marks them."""
    lines = "".join(
        f"<tr><td style='text-align: right; vertical-align: top; white-space: nowrap; padding-right: 10px'>"
        f"<strong>{name}</strong> <br><small>{html.escape(label)}</small></td>"
        f"<td style='text-align: left; vertical-align: top'>{_words(tokens, saliency, set(marked), element)}</td></tr>"
        for name, label, tokens, saliency, marked, element in rows
    )
    return HTML(
        f"<div style='line-height: 1.35'><strong>{html.escape(title)}</strong>"
        f"<table style='border-collapse: collapse; background: transparent'>{lines}</table></div>"
    )


def _label(pair: MixedPair) -> str:
    own, other = pair.labels
    if pair.weight == 1:
        return f"1.00 {own}"
    return f"{pair.weight:.2f} {own} + {1 - pair.weight:.2f} {other}"


def _words(tokens: Sequence[str], saliency: Sequence[float | None], marked: set[int], element: str) -> str:
    frames = {
        "s": "border: 1px dashed currentColor; ",
        "mark": "border: 3px double currentColor; ",
        "ins": f"border: 2px solid currentColor; background: rgba({BLUE}, 0.25); ",
    }
    cells = []
    for i, (token, size) in enumerate(zip(tokens, saliency, strict=True)):
        special = token[:1] in "[<" and token[-1:] in "]>"
        style = CELL + (frames[element] if i in marked else "border: 1px solid transparent; ")
        number = ""
        if special:
            style += "opacity: 0.6; "
        elif size is not None:
            style += f"background: rgba({ORANGE}, {0.45 * size:.2f}); "
            number = f"<sub>{100 * size:.0f}</sub>"
        word = html.escape(token.lstrip("Ġ▁"))
        word = f"<{element}>{word}</{element}>" if i in marked else word
        cells.append(f"<span style='{style}'>{word}{number}</span>")
    return " ".join(cells)


def off_the_segment(picture: Mapping[str, Sequence[Sequence[float]]], data: pd.DataFrame) -> Figure:
    """Figure 2, measured: one pair of texts on a plane, and the mean distance from the segment over many pairs.

    Args:
        picture: one of the study ``off_the_segment``.
        data: columns ``method``, ``ratio``, ``seed``, ``distance``.
    """
    figure, (plane, bars) = plt.subplots(1, 2, figsize=(12.4, 4.6), width_ratios=(1.25, 1), layout="constrained")
    plane.scatter(*np.array(picture["spans"]).T, s=26, marker="d", color=PALETTE["unk"], alpha=0.6, linewidths=0,
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
        mean, reach = means_with_reach(groups)
        bars.errorbar(np.arange(len(ratios)) + 0.12 * (k - 1), mean, yerr=reach, capsize=3,
                      color=PALETTE[method], linestyle=DASHES[method], marker=MARKERS[method],
                      label=LABELS[method])  # fmt: skip
    bars.set(
        xlabel=r"share $\lambda_0$ of SSMix; the others at its weights", ylim=(0, None),
        ylabel="distance from the segment, in its lengths", title="mean over pairs, 95% interval over seeds",
    )  # fmt: skip
    bars.set_xticks(range(len(ratios)), [f"{r:g}" for r in ratios])
    bars.legend(loc="upper left")
    return figure


def stage_differences(data: pd.DataFrame) -> Figure:
    """Each method's second stage minus one without mixup: one panel per data set, the mean of all last.

    Args:
        data: from :func:`mixlib.papers.ssmix.frames.differences`.
    """
    sets, methods = (list(dict.fromkeys(data[column])) for column in ("dataset", "method"))
    figure, axes = plt.subplots(1, len(sets), figsize=(2.1 * len(sets) + 2, 0.36 * len(methods) + 1.7), sharey=True,
                                sharex=True, squeeze=False, layout="constrained")  # fmt: skip
    for axis, dataset in zip(axes[0], sets, strict=True):
        for y, method in enumerate(methods):
            row = data[(data["dataset"] == dataset) & (data["method"] == method)].iloc[0]
            axis.errorbar(
                row["mean"], y, xerr=[[row["mean"] - row["low"]], [row["high"] - row["mean"]]], capsize=3,
                marker=MARKERS[method], markersize=6, linestyle="none", color=PALETTE[method],
                label="measured, with its 95% interval" if y == 0 else None,
            )  # fmt: skip
            axis.plot(row["printed"], y, marker="|", markersize=13, markeredgewidth=2, color="black",
                      linestyle="none", label=None if y else "printed (over stage 1)")  # fmt: skip
        axis.axvline(0, color="black", linewidth=1)
        axis.set_title(dataset)
    axes[0, 0].set_yticks(range(len(methods)), [LABELS[m] for m in methods])
    axes[0, 0].set_ylim(len(methods) - 0.5, -0.5)
    axes[0, len(sets) // 2].set_xlabel("accuracy: points above a second stage without mixup")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def learning_curves(data: pd.DataFrame) -> Figure:
    """Accuracy by epoch, mixing from the start or after plain training: mean with its 95% interval over seeds.

    The right panel of each data set begins where the first stage ends.

    Args:
        data: from :func:`mixlib.papers.ssmix.frames.curves`.
    """
    sets = list(dict.fromkeys(data["dataset"]))
    figure, axes = plt.subplots(len(sets), 2, figsize=(10.4, 3.7 * len(sets) + 0.7), squeeze=False,
                                layout="constrained")  # fmt: skip
    looks = {
        "no mixup, then SSMix": ("-", "o", PALETTE["ssmix"], -0.06), "SSMix from the start": ("--", "s", "#de8f05", 0),
        "no mixup, then no mixup": ("-", "^", "black", 0.06), "no mixup from the start": (":", "D", "0.45", 0.12),
    }  # fmt: skip
    for row, dataset in zip(axes, sets, strict=True):
        found = data[data["dataset"] == dataset]
        for axis, rows in zip(row, (found, found[found["epoch"] >= found["first_stage"].max()]), strict=True):
            for way, (style, marker, color, shift) in looks.items():
                of_way = rows[rows["way"] == way]
                if of_way.empty:
                    continue
                epochs = sorted(of_way["epoch"].unique())
                mean, reach = means_with_reach(of_way.loc[of_way["epoch"] == e, "accuracy"] for e in epochs)
                axis.errorbar(np.array(epochs) + shift, mean, yerr=reach, capsize=3,
                              linestyle=style, marker=marker, markersize=5, color=color, label=way)  # fmt: skip
            axis.set_xlabel("epoch")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        row[0].set(title=f"{dataset}, all epochs", ylabel="accuracy on some of the test rows, %")
        row[1].set(title=f"{dataset}, from the end of stage 1 on")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def by_ratio(data: pd.DataFrame) -> Figure:
    """SSMix's accuracy and loss by the share of tokens that is replaced, one column per data set; grey lines are seeds.

    Args:
        data: from :func:`mixlib.papers.ssmix.frames.ratio_frame`.
    """
    sets = list(dict.fromkeys(data["dataset"]))
    shown = {"accuracy": "test accuracy, %", "loss": "test loss x100"}
    figure, axes = plt.subplots(2, len(sets), figsize=(4.4 * len(sets), 5.6), sharex="col", squeeze=False,
                                layout="constrained")  # fmt: skip
    for column, dataset in zip(axes.T, sets, strict=True):
        rows = data[data["dataset"] == dataset]
        ratios = sorted(rows["lam0"].unique())
        for axis, metric in zip(column, shown, strict=True):
            for _, run in rows.groupby("seed"):
                values = run.set_index("lam0").loc[ratios, metric]
                axis.plot(range(len(ratios)), values, color="0.7", marker="o", markersize=3, linewidth=0.8)
            mean, reach = means_with_reach(rows.loc[rows["lam0"] == ratio, metric] for ratio in ratios)
            axis.errorbar(range(len(ratios)), mean, yerr=reach, capsize=4, marker="h", color=PALETTE["ssmix"],
                          linewidth=2)  # fmt: skip
            axis.axvline(ratios.index(METHODS["ssmix"]["lam0"]), color="black", linestyle=":", linewidth=1)
        column[0].set_title(dataset)
        column[1].set_xlabel(r"share $\lambda_0$ (dotted: the paper's)")
        column[1].set_xticks(range(len(ratios)), [f"{r:g}" if r else "no mixup" for r in ratios])
    for axis, name in zip(axes[:, 0], shown.values(), strict=True):
        axis.set_ylabel(name)
    return figure


def leak(data: pd.DataFrame) -> Figure:
    """What the dropout leak does: how it changes each method, and SSMix's lead over each method without and with it.

    Args:
        data: from :func:`mixlib.papers.ssmix.frames.leak_effects`.
    """
    sets = list(dict.fromkeys(data["dataset"]))
    methods = [m for m in LABELS if m in set(data["method"])]
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
        row[0].set(title=f"{dataset}: with the leak minus without", xlabel=f"{UNITS['accuracy']}: change of the method")
        row[1].set(
            title=f"{dataset}: SSMix's lead over each method", xlabel=f"{UNITS['accuracy']}: SSMix minus the method"
        )
        row[0].set_yticks(range(len(methods)), [TITLES[m] for m in methods])
    axes[0, 0].invert_yaxis()
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=2, title="SSMix's lead")
    return figure
