"""All claims in one picture."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mixlib.evidence import statistics
from mixlib.evidence.verdicts import Verdict

SHOWN = 6.0  # margins on either side; what lies beyond is drawn at the edge as an arrow
_COLOURS = sns.color_palette("colorblind")
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
    positive is as claimed. A claim of several parts shows the part that decides it.

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
            _row(axis, y, verdict.judgement)
    named = [(y, label) for y, (label, verdict) in enumerate(rows) if verdict is not None]
    axis.set_yticks([y for y, _ in named], [label for _, label in named], fontsize="small")
    axis.set(xlim=(-SHOWN, SHOWN), ylim=(len(rows) - 0.5, -0.5))
    axis.set_xlabel("difference in multiples of the smallest one that matters; right of 0: as claimed")
    axis.grid(axis="y", visible=False)
    counts = {name: sum(v.judgement.category == name for v in verdicts.values()) for name in LOOK}
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


def _row(axis: plt.Axes, y: int, judgement: statistics.Judgement) -> None:
    colour, marker = LOOK[judgement.category]
    if not np.isfinite(judgement.estimate):
        axis.text(-SHOWN * 0.98, y, judgement.category, color="0.4", fontsize="x-small", va="center")
        return
    low, middle, high = (value / judgement.margin for value in (judgement.low, judgement.estimate, judgement.high))
    if np.isfinite(low):
        axis.plot(np.clip([low, high], -SHOWN, SHOWN), [y, y], color=colour, linewidth=1.6)
    for end, beyond, arrow in ((-SHOWN, low < -SHOWN, "<"), (SHOWN, high > SHOWN, ">")):
        if beyond:
            axis.plot(end, y, marker=arrow, color=colour, clip_on=False, markersize=5)
    hollow = {"markerfacecolor": "white"} if judgement.small else {}
    if abs(middle) <= SHOWN:
        axis.plot(middle, y, marker=marker, color=colour, markersize=6, **hollow)
    if judgement.printed is not None:
        printed = np.clip(judgement.printed / judgement.margin, -SHOWN, SHOWN)
        axis.plot(printed, y, marker="|", markersize=10, markeredgewidth=2, color="black")
