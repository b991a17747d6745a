"""Methods compared on a user's own data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure

PANELS = {"accuracy": ("accuracy", "points", 100, ">"), "nll": ("NLL", "nats", 1, "<"),
          "ece": ("ECE", "points", 100, "<"), "brier": ("Brier score", "", 1, "<")}  # fmt: skip
APART = 0.16  # between raw and scaled, in rows


def differences(methods: Sequence[str], numbers: Mapping[tuple[str, str, bool], Any]) -> Figure:
    """The difference of each method from no mixup with its 95% interval over seeds, one panel per metric; as trained,
    and after temperature scaling.

    Args:
        methods: the methods to show, as readers call them.
        numbers: ``numbers`` of a :class:`mixlib.comparing.compared.Comparison`.
    """
    colours = sns.color_palette("colorblind")
    looks = {
        False: ("as trained", colours[0], "o", colours[0]),
        True: ("after temperature scaling", colours[1], "s", "white"),
    }
    figure, axes = plt.subplots(
        1, len(PANELS), figsize=(13, 0.5 * len(methods) + 1.7), sharey=True, layout="constrained"
    )  # fmt: skip
    for axis, (metric, (title, name, unit, good)) in zip(axes, PANELS.items(), strict=True):
        for scaled, (label, colour, marker, face) in looks.items():
            if scaled and metric == "accuracy":  # scaling leaves it as it is
                continue
            for y, method in enumerate(methods):
                found = numbers[method, metric, scaled]
                low, middle, high = (unit * value for value in (found.low, found.difference, found.high))
                place = y + (APART if scaled else -APART if metric != "accuracy" else 0)
                axis.plot([low, high], [place, place], color=colour, linewidth=1.6)
                axis.plot(middle, place, marker=marker, color=colour, markerfacecolor=face, linestyle="none",
                          label=label if y == 0 else None)  # fmt: skip
        axis.axvline(0, color="black", linewidth=1)
        better = "right is better" if good == ">" else "left is better"
        axis.set_xlabel(f"method − no mixup{f', {name}' if name else ''}")
        axis.set_title(f"{title} ({better})", fontsize="medium")
        axis.locator_params(axis="x", nbins=4)  # more numbers would touch
    axes[0].set_yticks(range(len(methods)), methods)
    axes[0].set_ylim(len(methods) - 0.5, -0.5)
    handles, names = axes[1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure
