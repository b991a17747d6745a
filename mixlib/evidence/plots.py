"""The look of all figures, and what several papers' figures share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy.stats import sem

from mixlib.evidence import statistics
from mixlib.evidence.statistics import CONFIDENCE
from mixlib.evidence.tables import LABELS, UNITS, OfMethods
from mixlib.runs import paths
from mixlib.runs.store import write

PALETTE, MARKERS, DASHES = OfMethods("colour"), OfMethods("marker"), OfMethods("dashes")


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
    """Write ``build/figures/PROFILE/NAME.svg``; when ``update-notebooks`` executes the committed notebooks, write the
    committed ``figures/NAME.svg``."""
    committed = os.environ.get(paths.UPDATING) and profile == "mini"
    folder = paths.of_checkout(paths.FIGURES) if committed else paths.of_checkout(paths.BUILD) / "figures" / profile
    return write(
        folder / f"{name}.svg",
        lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}, bbox_inches="tight"),
    )


def differences(data: pd.DataFrame) -> Figure:
    """Paired difference in accuracy from no mixup on every data set with its 95% interval, next to the paper's.

    Args:
        data: from :func:`mixlib.evidence.tables.differences`, data sets as readers call them.
    """
    methods = [m for m in LABELS if m in set(data["method"])]
    lines: list[tuple[str, str]] = []  # one line per data set and method, an empty one between data sets
    middles: dict[str, float] = {}
    for name in dict.fromkeys(data["dataset"]):
        present = [m for m in methods if m in set(data[data["dataset"] == name]["method"])]
        middles[name] = len(lines) + (len(present) - 1) / 2
        lines += [(name, m) for m in present] + [("", "")]
    figure, axis = plt.subplots(figsize=(7.5, 0.24 * len(lines) + 1.5), layout="constrained")
    labelled: set[str] = set()
    for y, (name, method) in enumerate(lines):
        chosen = data[(data["dataset"] == name) & (data["method"] == method)]
        if chosen.empty:
            continue
        row = chosen.iloc[0]
        axis.errorbar(
            row["mean"], y, xerr=[[row["mean"] - row["low"]], [row["high"] - row["mean"]]], capsize=3,
            marker=MARKERS[method], linestyle="none", color=PALETTE[method],
            label=None if method in labelled else LABELS[method],
        )  # fmt: skip
        axis.plot(row["published"], y, marker="|", markersize=13, markeredgewidth=2, color="black",
                  linestyle="none", label=None if labelled else "published")  # fmt: skip
        labelled.add(method)
    axis.axvline(0, color="black", linewidth=1)
    axis.set_xlabel(f"{UNITS['accuracy']}: difference from no mixup")
    axis.set_yticks(list(middles.values()), list(middles))
    axis.set_ylim(len(lines) - 1.3, -0.7)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Both ends of the 95% t interval of a mean; of equal values, or a single one, that value twice."""
    values = np.asarray(list(values), dtype=float)
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    low, high = statistics.t_interval(values.mean(), sem(values), np.array(len(values) - 1), CONFIDENCE)
    return float(low), float(high)


def means_with_reach(groups: Iterable[pd.Series]) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each group, (groups,), and how far its 95% interval reaches below and above it, (2, groups), for
    matplotlib's ``yerr`` or ``xerr``."""
    each = list(groups)
    mean = np.array([values.mean() for values in each])
    low, high = np.reshape([interval(values) for values in each], (-1, 2)).T
    return mean, np.array([mean - low, high - mean])
