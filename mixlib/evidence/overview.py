"""The evidence in pictures: all claims, and all methods under one protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mixlib.evidence import statistics
from mixlib.evidence.comparison import CATEGORIES
from mixlib.evidence.judgements import Judgement
from mixlib.evidence.plots import MARKERS, PALETTE
from mixlib.evidence.verdicts import Verdict

SHOWN = 6.0  # margins on either side; what lies beyond is drawn at the edge as an arrow
_COLOURS = sns.color_palette("colorblind")
UNSHOWN = "neither better nor worse"
NOT_DECIDED = {CATEGORIES[name] for name in (statistics.UNDECIDED, statistics.NO_EFFECT)}
LOOK = {  # colour and marker of each category, so that they also differ in grey
    statistics.SUPPORTED: (_COLOURS[2], "o"),
    statistics.CONTRADICTED: (_COLOURS[3], "X"),
    statistics.NO_EFFECT: (_COLOURS[0], "s"),
    statistics.SMALLER: (_COLOURS[4], "v"),
    statistics.UNDECIDED: (_COLOURS[1], "D"),
    statistics.NOT_JUDGEABLE: ("0.4", "_"),
}


def forest(verdicts: Mapping[str, Verdict], titles: Mapping[str, str] | None = None) -> Figure:
    """Every claim as a row: its estimate in margins, the 95% interval, what the paper prints, and the verdict.

    Claims differ in unit, so each is shown in multiples of its own margin, the smallest difference that matters;
    positive is as claimed, so for a claim about a bound it is the distance from the (nearer) bound. A claim with
    several parts shows the part that decides it.

    Args:
        verdicts: by claim, in the order of the rows; see :func:`mixlib.evidence.verdicts.verdicts`.
        titles: by paper, the heading above its claims; by default its key.
    """
    rows: list[tuple[str, Verdict | None]] = []
    for id_, verdict in verdicts.items():
        paper = verdict.claim.paper
        if not rows or rows[-1][1] is None or rows[-1][1].claim.paper != paper:
            rows.append(((titles or {}).get(paper, paper), None))
        rows.append((id_.rpartition("-")[2], verdict))
    figure, axis = plt.subplots(figsize=(8, 0.23 * len(rows) + 1.8), layout="constrained")
    axis.axvspan(-1, 1, color="0.9", zorder=0)
    axis.axvline(0, color="black", linewidth=1)
    for y, (label, verdict) in enumerate(rows):
        if verdict is None:
            axis.text(-SHOWN * 1.02, y, label, ha="right", va="center", fontweight="bold", fontsize="small")
        else:
            _row(axis, y, verdict)
    named = [(y, label) for y, (label, verdict) in enumerate(rows) if verdict is not None]
    axis.set_yticks([y for y, _ in named], [label for _, label in named], fontsize="small")
    axis.set(xlim=(-SHOWN, SHOWN), ylim=(len(rows) - 0.5, -0.5))
    axis.set_xlabel("difference in multiples of the smallest one that matters; right of 0: as claimed")
    axis.grid(axis="y", visible=False)
    counts = {name: sum(v.category == name for v in verdicts.values()) for name in LOOK}
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="none", label=f"{name} ({counts[name]})")
        for name, (colour, marker) in LOOK.items()
        if counts[name] and name != statistics.NOT_JUDGEABLE
    ]
    handles += [
        Line2D([], [], color="black", marker="|", markersize=10, markeredgewidth=2, linestyle="none", label="printed"),
        Patch(color="0.9", label="too small to matter"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")
    return figure


def _row(axis: plt.Axes, y: int, verdict: Verdict) -> None:
    judgement = verdict.judgement
    colour, marker = LOOK[judgement.category]
    if verdict.waits or not np.isfinite(judgement.estimate):
        axis.text(-SHOWN * 0.98, y, verdict.category, color="0.4", fontsize="x-small", va="center")
        return
    low, high = sorted(_as_claimed(judgement, end) for end in (judgement.low, judgement.high))
    middle = _as_claimed(judgement, judgement.estimate)
    if np.isfinite(low):
        axis.plot(np.clip([low, high], -SHOWN, SHOWN), [y, y], color=colour, linewidth=1.6)
    for end, beyond, arrow in ((-SHOWN, low < -SHOWN, "<"), (SHOWN, high > SHOWN, ">")):
        if beyond:
            axis.plot(end, y, marker=arrow, color=colour, clip_on=False, markersize=5)
    hollow = {"markerfacecolor": "white"} if judgement.small else {}
    if abs(middle) <= SHOWN:
        axis.plot(middle, y, marker=marker, color=colour, markersize=6, **hollow)
    if judgement.printed is not None:
        printed = np.clip(_as_claimed(judgement, judgement.printed), -SHOWN, SHOWN)
        axis.plot(printed, y, marker="|", markersize=10, markeredgewidth=2, color="black")


def _as_claimed(judgement: Judgement, value: float) -> float:
    """How far a value lies on the side of the claim, in margins."""
    if judgement.bounds is None:
        return value / judgement.margin
    low, high = judgement.bounds
    nearer_low = judgement.estimate - low <= high - judgement.estimate
    return (value - low if nearer_low else high - value) / judgement.margin


def _difference(axis: Axes, row: pd.Series, y: float, width: float, colour: Any, hollow: bool) -> None:
    """One difference with its interval; beyond the panel, which is ``width`` wide on each side, an arrow."""

    def arrow(side: float, **how: Any) -> None:
        axis.plot(side * width, y, marker="<" if side < 0 else ">", color=colour, clip_on=False, **how)

    if abs(row["estimate"]) > width:
        side = np.sign(row["estimate"])
        arrow(side)
        axis.annotate(
            f"{row['estimate']:+.0f}", (side * width, y), (-side * 8, 0), fontsize="x-small",
            textcoords="offset points", va="center", ha="left" if side < 0 else "right",
        )  # fmt: skip
        return
    axis.plot(np.clip([row["low"], row["high"]], -width, width), [y, y], color=colour, linewidth=1.5)
    for side in (-1, 1):  # an interval that goes on beyond the panel
        if side * row["low" if side < 0 else "high"] > width:
            arrow(side, markersize=5)
    axis.plot(row["estimate"], y, marker="o", markersize=5, color=colour, markerfacecolor="white" if hollow else colour)


def against_plain(panels: Mapping[str, Mapping[str, pd.DataFrame]], labels: Mapping[str, str]) -> Figure:
    """Every method's pooled difference from the plain model with its 95% interval, one panel per score.

    Args:
        panels: by the panel's title the tables to draw, by name, each from
            :func:`mixlib.evidence.comparison.against_plain` in percent or points and with its margin in
            ``table.attrs["margin"]``; the first has filled marks, the second hollow ones a little lower.
        labels: methods for readers, in the order of the rows.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.1 * len(panels) + 2.2, 0.36 * len(labels) + 1.6), sharey=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    places = {method: y for y, method in enumerate(labels)}
    looks = {"better": _COLOURS[0], "worse": _COLOURS[3], UNSHOWN: "0.35"}
    for axis, (title, tables) in zip(axes[0], panels.items(), strict=True):
        margin = next(iter(tables.values())).attrs["margin"]
        width = 4 * margin
        axis.axvspan(-margin, margin, color="0.9", zorder=0)
        axis.axvline(0, color="black", linewidth=1)
        for number, table in enumerate(tables.values()):
            for method, row in table.iterrows():
                if method in places:
                    y = places[method] + 0.3 * number - 0.15 * (len(tables) - 1)
                    colour = "better" if row["estimate"] >= 0 else "worse"
                    colour = UNSHOWN if row["category"] in NOT_DECIDED else colour
                    _difference(axis, row, y, width, looks[colour], hollow=number > 0)
        axis.set(xlim=(-width, width), xlabel=title)
        axis.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(list(places.values()), list(labels.values()))
    axes[0, 0].set_ylim(len(labels) - 0.5, -0.5)
    names = list(dict.fromkeys(name for tables in panels.values() for name in tables))
    handles = [
        Line2D([], [], color="0.35", marker="o", markerfacecolor="0.35" if i == 0 else "white", label=name)
        for i, name in enumerate(names)
    ] + [Patch(color="0.9", label="too small to matter")]
    handles += [Line2D([], [], color=colour, linewidth=3, label=word) for word, colour in looks.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize="small")
    return figure


def gain_against_cost(cost: pd.Series, gains: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """What a method gains against what it costs, one panel per score; the line joins the methods that no other
    dominates.

    Args:
        cost: training time in plain runs, by method.
        gains: by the panel's title a table from :func:`mixlib.evidence.comparison.against_plain`.
        labels: methods for readers.
    """
    figure, axes = plt.subplots(1, len(gains), figsize=(5.2 * len(gains), 4.2), layout="constrained", squeeze=False)
    for axis, (title, table) in zip(axes[0], gains.items(), strict=True):
        points = [(1.0, 0.0, "none")] + [(cost[m], row["estimate"], m) for m, row in table.iterrows() if m in labels]
        front, best = [], -np.inf
        for x, y, _ in sorted(points, key=lambda point: (point[0], -point[1])):
            if y > best:
                front.append((x, y))
                best = y
        axis.step(*zip(*front, strict=True), where="post", color="0.6", linewidth=1.2, zorder=1)
        for x, y, method in points:
            colour = PALETTE[method]
            axis.plot(x, y, marker=MARKERS[method], color=colour, markersize=7, markeredgewidth=1.5, zorder=3)
        look = {"textcoords": "offset points", "va": "center", "fontsize": "x-small", "zorder": 2,
                "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.8}}  # fmt: skip
        axis.annotate("no\nmixup", (1, 0), (-8, 0), ha="right", **look)  # on the left, where there is room
        for (x, y, method), (dx, dy) in zip(points[1:], _apart(points[1:]), strict=True):
            axis.annotate(labels[method], (x, y), (6 + dx, dy), **look)
        axis.axhline(0, color="black", linewidth=1, zorder=1)
        axis.set(xlabel="training time, in plain runs", ylabel=title)
        low, high = axis.get_xlim()
        axis.set_xlim(low - 0.15 * (high - low), high + 0.5 * (high - low))
    return figure


def _apart(points: Sequence[tuple[float, float, str]]) -> list[tuple[float, float]]:
    """Offsets of labels, in points of type, so that those of neighbours do not overlap."""
    ys = np.array([y for _, y, _ in points])
    xs = np.array([x for x, _, _ in points])
    scale = (np.ptp(ys) or 1.0) / 250  # a point of type, about
    shown: list[tuple[float, float]] = []
    offsets = [(0.0, 0.0)] * len(points)
    for i in np.argsort(ys):
        y = ys[i]
        while any(abs(xs[i] - x) < 0.3 * (np.ptp(xs) or 1.0) and abs(y - other) < 11 * scale for x, other in shown):
            y += scale
        shown.append((xs[i], y))
        offsets[i] = (0.0, float((y - ys[i]) / scale))
    return offsets
