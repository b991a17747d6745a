"""One picture of all methods: where in a classifier each of them mixes."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from mixlib.book.about import About, every
from mixlib.evidence.plots import MARKERS, PALETTE
from mixlib.evidence.tables import LABELS

BLOCKS = 12
SHOWN = {"tmix": (7, 9, 12)}  # blocks that a method draws from, of twelve; by default all of them


def columns(key: str, about: About) -> list[float]:
    """Where on the axis of :func:`where_it_mixes` a method has its marks; blocks are 1 to 12, attention is half a step
    before."""
    last = BLOCKS + 1
    at = {"words": [-1.4], "embeddings": [-0.3], "sentence": [float(last)], "label": [last + 1.0],
          "attention": [block - 0.5 for block in range(1, last)],
          "block": [float(block) for block in SHOWN.get(key, range(1, last))]}  # fmt: skip
    return [place for site in about.where for place in at[site]]


def where_it_mixes() -> Figure:
    """One row per method, a mark wherever it changes what a twelve-block classifier computes.

    Filled marks: in every batch. Hollow ones: in one of these places, drawn anew for each batch. Between the numbers of
    two blocks lies the attention of the second. Methods that change nothing, or do not say where, are left out.
    """
    shown = {key: about for key, about in every().items() if about.where}
    figure, axis = plt.subplots(figsize=(9, 0.34 * len(shown) + 1.5), layout="constrained")
    for left, width, name in ((-1.8, 0.8, "words"), (-0.7, 0.8, "embed-\ndings"), (0.2, 12.2, "blocks 1 to 12"),
                              (12.6, 0.8, "sentence\nvector"), (13.6, 0.8, "label")):  # fmt: skip
        axis.add_patch(FancyBboxPatch((left, -0.7), width, len(shown) + 0.3, boxstyle="round,pad=0,rounding_size=0.2",
                                      facecolor="0.95", edgecolor="0.8"))  # fmt: skip
        axis.text(left + width / 2, -0.95, name, ha="center", va="bottom", fontsize="small")
    for block in range(1, BLOCKS + 1):
        axis.text(block, len(shown) - 0.25, str(block), ha="center", va="top", fontsize="x-small", color="0.35")
    for row, (key, about) in enumerate(shown.items()):
        axis.axhline(row, color="0.85", linewidth=0.8, zorder=0.5)
        for place in columns(key, about):
            hollow = about.drawn and place < BLOCKS + 2
            axis.plot(place, row, marker=MARKERS[key], color=PALETTE[key], markersize=7, linestyle="none",
                      **({"markerfacecolor": "white"} if hollow else {}))  # fmt: skip
    axis.set(xlim=(-2.0, 14.7), ylim=(len(shown) + 0.2, -1.9))
    axis.set_yticks(range(len(shown)), [LABELS.get(key, key) for key in shown], fontsize="small")
    axis.set_xticks([])
    axis.grid(visible=False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return figure
