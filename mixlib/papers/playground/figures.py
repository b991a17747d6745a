"""The playground: what each method makes of a pair of texts, as tables, and with sliders where scripts run.

The sliders are plain JavaScript (``playground.js``) over numbers that are next to it in the output; it loads nothing
else. Where scripts do not run (an untrusted notebook, GitHub), a sentence takes their place.
"""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from mixlib import methods
from mixlib.evidence.tables import LABELS
from mixlib.methods.mixing import mean_partner_share
from mixlib.papers.playground.mixes import METHODS, PER_DIMENSION, PER_ROW, Mixed, Mixtures
from mixlib.papers.ssmix.figures import show_draws
from mixlib.runs.spec import RunRecord
from mixlib.runs.studies import StudyRecord

NOTES = {  # by method; of BatchMixup by place
    PER_DIMENSION: "Each dimension draws its own weight; their mean is near 0.5 and cannot be chosen.",
    PER_ROW: "With two rows and temperature 1 its weights lie between 0.27 and 0.73.",
    "amplify": "Every block mixes again, towards half and half; at λ = 0 an even number of them swaps the texts back.",
    "ssmix": "A share 1 − λ of the words of A, rounded down, is overwritten; never less than one word.",
}
RULES = {"embedmix": "folded", "tmix": "folded", "sentencemix": "folded", "amplify": "max_of_n"}  # others: one draw
INSTEAD = (
    "Sliders appear here where scripts can run: in JupyterLab once the notebook is trusted, and on the pages of this "
    "book. The tables and figures next to them show some of their positions."
)


def drawn() -> pd.DataFrame:
    """How each method draws λ in training, with its own paper's parameters, and what the second text weighs on average.

    SSMix draws nothing: it replaces the share ``lam0`` of the words.
    """
    rows = {}
    for name in METHODS:
        method = methods.get(name)
        if name == "ssmix":
            how, share = f"fixed: {method.lam0:g} of the words are B's", method.lam0
        elif name == "batchmixup":
            how, share = "softmax over the batch", None
        else:
            rule, count = RULES.get(name, "plain"), getattr(method, "n", 1)
            beta = f"Beta({method.alpha:g}, {method.alpha:g})"
            said = {"folded": f"max(b, 1 − b), b from {beta}", "max_of_n": f"largest of {count} from {beta}"}
            how = said.get(rule, beta)
            share = mean_partner_share(method.alpha, rule, count)
        rows[LABELS[name]] = {"λ in training": how, "mean weight of B": "1/rows" if share is None else f"{share:.2f}"}
    return pd.DataFrame.from_dict(rows, orient="index")


def mixtures(records: Iterable[StudyRecord]) -> dict[str, list[Mixtures]]:
    """By how the classifier was trained, what the study ``mixed_pairs`` found for each pair; of the first seed
    alone."""
    found: dict[str, list[Mixtures]] = {}
    records = list(records)
    for record in records:
        if record.spec.seed == records[0].spec.seed:
            pairs = found.setdefault(trained_how(record.spec.params["run"]["method"]), [])
            pairs += [Mixtures.from_dict(values) for values in record.values["pairs"]]
    return found


def trained_how(method: str) -> str:
    """``without mixup``, ``with Manifold MixUp``."""
    return "without mixup" if method == "none" else f"with {LABELS[method]}"


def pair_list(found: Sequence[Mixtures]) -> pd.DataFrame:
    """The texts of each pair, their classes, and the probability that the classifier gives each its own class."""
    rows = {}
    for number, pair in enumerate(found, start=1):
        for name, text, label, alone in zip("AB", pair.texts, pair.labels, pair.alone, strict=True):
            rows[f"pair {number}", name] = {
                "text": text if isinstance(text, str) else " / ".join(text),
                "class": pair.names[label],
                "probability": f"{alone[label]:.2f}",
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def shown(found: Mixtures, method: str) -> Mixed:
    """The place at which a table shows a method: the middle one of the layers that it draws; BatchMixup with a weight
    per row."""
    places = found.of(method)
    return places[-1] if method == "batchmixup" else places[(len(places) - 1) // 2]


def mixture_table(found: Mixtures, lams: Sequence[float]) -> pd.DataFrame:
    """One pair: by method, the weight of A's label and the probability that the classifier gives A's class.

    Args:
        found: of one pair and classifier.
        lams: columns, among those that were mixed at.
    """
    own = found.labels[0]
    rows = {}
    for method in METHODS:
        for one in found.of(method) if method == "batchmixup" else [shown(found, method)]:
            rows[LABELS[method], one.place] = {
                f"λ = {found.lams[i]:g}": f"{one.weights[i]:.2f} → {one.probabilities[i][own]:.2f}"
                for i in map(found.index, lams)
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def pairs_table(found: Sequence[Mixtures], lam: float) -> pd.DataFrame:
    """All pairs at one weight: by method, the probability that the classifier gives A's class.

    Args:
        found: of one classifier.
        lam: among those that were mixed at.
    """
    columns = {}
    for number, pair in enumerate(found, start=1):
        own, at = pair.labels[0], pair.index(lam)
        values = {"A alone": pair.alone[0][own], "B alone": pair.alone[1][own]}
        values |= {LABELS[method]: shown(pair, method).probabilities[at][own] for method in METHODS}
        columns[f"pair {number}: {pair.names[own]}"] = {row: f"{value:.2f}" for row, value in values.items()}
    return pd.DataFrame(columns)


def mixed_texts(found: Mixtures, lams: Sequence[float], title: str) -> HTML:
    """What SSMix makes of a pair at some weights, the words that came in underlined."""
    return show_draws([found.text(lam) for lam in lams], title, [f"λ = {lam:g}" for lam in lams])


def mixing_sliders(found: Mapping[str, Sequence[Mixtures]], start: float = 0.75) -> HTML:
    """A pair, a method, a place and λ to choose from, over what was computed before.

    Args:
        found: by how the classifier was trained, one entry per pair, the same pairs for each.
        start: the weight shown first, among those that were mixed at.
    """
    groups = list(found.values())
    pairs = [_pair(number, each) for number, each in enumerate(zip(*groups, strict=True), start=1)]
    first = groups[0][0]
    listed = [
        {
            "title": LABELS[name],
            "places": [one.place for one in first.of(name)],
            "notes": [NOTES.get(one.place, NOTES.get(name, "")) for one in first.of(name)],
        }
        for name in METHODS
    ]
    data = {"trained": list(found), "lams": first.lams, "start": first.index(start), "pairs": pairs, "methods": listed}
    return _widget("pairs", data)


def _pair(number: int, each: Sequence[Mixtures]) -> dict[str, Any]:
    """One pair as the script reads it."""
    one = each[0]
    texts = [text if isinstance(text, str) else " / ".join(text) for text in one.texts]
    return {
        "title": f"{number}: " + " + ".join(textwrap.shorten(text, 40, placeholder="…") for text in texts),
        "texts": texts,
        "labels": one.labels,
        "names": one.names,
        "models": [{"mixed": [[_curve(m) for m in found.of(name)] for name in METHODS]} for found in each],
    }


def _curve(one: Mixed) -> dict[str, Any]:
    """One method at one place as the script reads it."""
    texts = [
        {"tokens": [token.lstrip("Ġ▁") for token in text["tokens_mixed"]], "replaced": text["replaced"]}
        for text in one.texts
    ]
    return {"weights": one.weights, "p": one.probabilities} | ({"texts": texts} if texts else {})


def fitted_table(by_method: Mapping[str, Sequence[RunRecord]]) -> pd.DataFrame:
    """For the runs of each method: calibration error and loss as trained and at the temperatures fitted on development
    rows, each a mean over the runs."""
    rows = {}
    for method, of in by_method.items():
        values = {
            "ECE %, T = 1": [100 * r.last["ece"] for r in of],
            "loss x100, T = 1": [100 * r.last["nll"] for r in of],
            "fitted T": [r.scaled["temperature"] for r in of],
            "ECE %, fitted T": [100 * r.scaled["ece"] for r in of],
            "loss x100, fitted T": [100 * r.scaled["nll"] for r in of],
        }
        rows[f"trained {trained_how(method)}"] = {name: f"{np.mean(found):.1f}" for name, found in values.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def temperature_slider(
    found: Mapping[str, Mapping[float, Mapping[str, Any]]], fitted: Mapping[str, float], start: float = 1.0
) -> HTML:
    """Reliability diagrams, one per method, at a temperature to choose.

    Args:
        found: by method, what :func:`mixlib.papers.mixup_calibration.frames.at_temperatures` found.
        fitted: by method, the mean of the temperatures that were fitted on the runs' development rows.
        start: the temperature shown first.
    """
    temperatures = list(next(iter(found.values())))
    listed = [
        {
            "title": trained_how(name),
            "fitted": f"{fitted[name]:.2f}",
            **{score: [round(100 * bins[score], 2) for bins in at.values()] for score in ("ece", "nll")},
            **{key: [_means(bins, key) for bins in at.values()] for key in ("rows", "confidence", "accuracy")},
        }
        for name, at in found.items()
    ]
    data = {"temperatures": [round(t, 4) for t in temperatures], "start": temperatures.index(start), "methods": listed}
    return _widget("temperature", data)


def _means(bins: Mapping[str, Any], key: str) -> list[float]:
    rows = np.asarray(bins["rows"])
    if key == "rows":
        return [int(n) for n in rows]
    sums = np.asarray(bins["correct" if key == "accuracy" else key], dtype=float)
    return [round(float(value), 3) for value in np.divide(sums, rows, out=np.zeros_like(sums), where=rows > 0)]


def _widget(kind: str, data: Mapping[str, Any]) -> HTML:
    """A place for the script, its data, and the script. ``<`` is escaped, so that no text can end the data early."""
    numbers = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    here = files(__package__)
    style, script = (here.joinpath(f"playground.{ending}").read_text(encoding="utf-8") for ending in ("css", "js"))
    return HTML(
        f"<style>{style}</style>"
        f'<div class="mixlib-playground" data-mixlib-playground="{kind}" data-lm-suppress-shortcuts="true">'
        f"<div data-stage><p><em>{html.escape(INSTEAD)}</em></p></div>"
        f'<script type="application/json">{numbers}</script></div><script>{script}</script>'
    )
