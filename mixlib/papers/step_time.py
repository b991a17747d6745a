"""What a training step costs with each method: the study, its table and its figure. SSMix and AMPLIFY both claim it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy import stats

from mixlib import methods
from mixlib.evidence.claims import batch_seconds, step_ratio
from mixlib.runs import bench, training
from mixlib.runs.studies import StudyRecord, StudySpec, study

PLAIN_TURNS = 2  # on each batch, in addition


@study
def step_time(spec: StudySpec) -> dict[str, Any]:
    """Seconds a training step takes with each method on the same batches (claims ssmix-11, -12, amplify-9, -10).

    Params: ``run`` (canonical spec of a plain run whose batches they are), ``batches`` (to time), ``methods`` (list of
    ``{"label", "method", "params"}``), ``padded`` (tokens that one more plain step is padded to, as the published code
    pads). Methods take turns in random order on the same batch, so that other load affects all equally. Values:
    ``seconds`` by label, a list with one entry per batch (for the plain step, the mean of its turns); ``tokens`` per
    row; trainable ``parameters`` of the model with each method (older records have none).
    """
    p = spec.params
    fitted = training.fit(replace(spec.run, max_steps=1))
    model, tokenizer, collate = fitted.trainer.model, fitted.tokenizer, fitted.trainer.data_collator
    timed = {"none": methods.get("none")} | {m["label"]: methods.get(m["method"], **m["params"]) for m in p["methods"]}
    parameters = {}
    for label, method in timed.items():
        method.prepare(model, tokenizer, [p["padded"]])
        parameters[label] = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    wide = partial(tokenizer.pad, padding="max_length", max_length=p["padded"], return_tensors="pt")
    contestants = {label: (method, collate) for label, method in timed.items()} | {"padded": (timed["none"], wide)}
    seconds: dict[str, list[float]] = {}
    tokens = []
    for batch, took in bench.interleaved(
        fitted, contestants, "none", PLAIN_TURNS, p["batches"], spec.seed, spec.precision
    ):
        tokens.append(float(batch["attention_mask"].sum(1).float().mean()))
        for label, times in took.items():
            seconds.setdefault(label, []).append(round(sum(times) / len(times), 5))
    return {"seconds": seconds, "tokens": round(sum(tokens) / len(tokens), 1), "parameters": parameters}


def ratios(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """Times of the study ``step_time``, one row per batch: ``dataset``, ``method``, ``batch``, ``ratio`` to the plain
    step of that batch, ``seconds``, ``tokens`` per row; ``padded`` is a plain step padded to a fixed length."""
    rows = []
    for record in records:
        for method in record.values["seconds"]:
            timed = zip(step_ratio(record, method), batch_seconds(record, method), strict=True)
            rows += [
                {"dataset": record.spec.params["run"]["dataset"], "method": method, "batch": f"{record.spec.seed}/{i}",
                 "ratio": ratio, "seconds": seconds, "tokens": record.values["tokens"]}
                for i, (ratio, seconds) in enumerate(timed)
            ]  # fmt: skip
    return pd.DataFrame(rows)


def draw_ratios(data: pd.DataFrame, order: Mapping[str, str], line: float | None = 2) -> Figure:
    """Time of a step over that of a plain step of the same batch: a panel per data set, a dot per batch, a diamond at
    their geometric mean.

    Args:
        data: columns ``dataset``, ``method``, ``ratio``.
        order: method -> label, from top to bottom.
        line: a ratio at which a dotted line is drawn, by default that of the frame of four losses; ``None`` for none.
    """
    sets = list(dict.fromkeys(data["dataset"]))
    figure, axes = plt.subplots(1, len(sets), figsize=(6.2 * len(sets), 0.42 * len(order) + 1.6), sharey=True,
                                squeeze=False, layout="constrained")  # fmt: skip
    names = data.assign(label=data["method"].map(order))
    for axis, dataset in zip(axes[0], sets, strict=True):
        shown = names[(names["dataset"] == dataset) & names["label"].notna()]
        sns.stripplot(shown, x="ratio", y="label", order=list(order.values()), color="0.55", size=4, alpha=0.7,
                      jitter=False, ax=axis)  # fmt: skip
        sns.pointplot(shown, x="ratio", y="label", order=list(order.values()), linestyle="none", estimator=stats.gmean,
                      errorbar=None, color="black", marker="D", markersize=6, markeredgecolor="white", zorder=3,
                      ax=axis)  # fmt: skip
        axis.axvline(1, color="black", linewidth=1)
        if line is not None:
            axis.axvline(line, color="black", linewidth=1, linestyle=":")
        axis.set(title=dataset, xlabel="time of a step / plain step on the same texts", ylabel="", xlim=(0, None))
    return figure
