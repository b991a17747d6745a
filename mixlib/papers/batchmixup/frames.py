"""What is computed from the BatchMixup paper's runs for its notebooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mixlib.evidence.claims import batch_seconds, step_ratio
from mixlib.evidence.tables import LABELS, NAMES, NotMeasured, cell, compare, difference_said, mean_and_sd
from mixlib.papers.batchmixup import protocol
from mixlib.runs import corpora
from mixlib.runs.spec import RunRecord
from mixlib.runs.studies import StudyRecord


def accuracies(printed: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    """Table 1, published | measured: one row per data set and size, one column per method; standard deviations after ±.

    Args:
        printed: Table 1.
        data: from :func:`mixlib.evidence.tables.frame` with :func:`mixlib.papers.batchmixup.protocol.size_label`.
    """

    def cells(said: pd.Series | None, here: pd.DataFrame, method: str) -> str:
        values = cell(here, "accuracy", method=method)
        return f"{'–' if said is None else said['value_printed']} | {mean_and_sd(values)}"

    return _by_size(printed, data, cells)


def gains(data: pd.DataFrame, over: str = "none", printed: pd.DataFrame | None = None) -> pd.DataFrame:
    """Differences from one method with their 95% t intervals; with Table 1, published | measured. Rows and columns as
    in :func:`accuracies`."""

    def cells(said: pd.Series | None, here: pd.DataFrame, method: str) -> str:
        if method == over:
            return ""
        try:
            found = compare(cell(here, "accuracy", method=method), cell(here, "accuracy", method=over)).interval
        except NotMeasured:
            return "not run"
        if printed is None:
            return found
        plain = _said(printed, here, over)
        return f"{'–' if said is None or plain is None else difference_said(said, plain)} | {found}"

    return _by_size(printed, data, cells).drop(columns=LABELS[over])


def _by_size(
    printed: pd.DataFrame | None, data: pd.DataFrame, cells: Callable[[pd.Series | None, pd.DataFrame, str], str]
) -> pd.DataFrame:
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for (dataset, size), here in data.groupby(["dataset", "train_size"], sort=False):
        examples = int(here["examples"].iloc[0])
        row = rows.setdefault((NAMES.get(dataset, dataset), f"{examples:,} ({size})"), {})
        for method in [m for m in LABELS if m in set(here["method"])]:
            said = None if printed is None else _said(printed, here, method)
            row[LABELS[method]] = cells(said, here, method)
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("not run")
    table.index = pd.MultiIndex.from_tuples(rows, names=["data set", "training examples"])
    return table[[label for label in LABELS.values() if label in table]]


def _said(printed: pd.DataFrame, here: pd.DataFrame, method: str) -> pd.Series | None:
    """What the paper prints for one method in the place of these runs; ``None`` if nothing."""
    dataset, size = here[["dataset", "train_size"]].iloc[0]
    rows = printed[(printed["dataset"] == protocol.PRINTED.get(dataset, dataset)) & (printed["train_size"] == size)
                   & (printed["method"] == method)]  # fmt: skip
    return None if rows.empty else rows.iloc[0]


def updates(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Optimizer updates of a run: one row per data set and size, with its epochs and batches, one column per method."""
    return _by_method(records, lambda r: r.timing["steps"], "{:.0f}".format, ["epochs", "rows of a batch"])


def last_losses(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Mean training loss over the last tenth of a run, mean over the seeds: rows and columns as in :func:`updates`,
    and the loss of guessing every class with equal probability."""

    def last(record: RunRecord) -> float:
        losses = record.train_losses
        return float(np.mean(losses[-max(len(losses) // 10, 1) :]))

    return _by_method(records, last, "{:.2f}".format, ["guessing"])


def _by_method(
    records: Sequence[RunRecord], of: Callable[[RunRecord], float], said: Callable[[float], str], beside: list[str]
) -> pd.DataFrame:
    """Means over the seeds by data set and size; ``beside`` are columns of the runs' settings."""
    rows = pd.DataFrame(
        {"data set": NAMES.get(r.spec.dataset, r.spec.dataset), "training examples": f"{r.data['train_rows']:,}",
         "epochs": f"{r.spec.num_train_epochs:g}", "rows of a batch": f"{r.spec.batch_size}",
         "guessing": f"{np.log(corpora.get(r.spec.dataset).num_labels):.2f}", "method": LABELS[r.spec.method],
         "value": of(r)}
        for r in records
    )  # fmt: skip
    index = ["data set", "training examples", *beside]
    wide = rows.pivot_table(index=index, columns="method", values="value", sort=False)
    wide = wide.map(said, na_action="ignore").fillna("not run").rename_axis(columns=None)
    return wide.reset_index(beside)


def chance(printed: pd.DataFrame) -> pd.DataFrame:
    """The paper's chance row next to one over the number of classes and the largest class of the splits, in percent."""
    rows = {}
    for row in printed[printed["method"] == "majority"].to_dict("records"):
        ours = {theirs: name for name, theirs in protocol.PRINTED.items()}.get(row["dataset"], row["dataset"])
        corpus = corpora.get(ours)
        largest = {
            split: values["largest_class"] for split, values in corpora.committed_counts()[ours]["splits"].items()
        }
        rows[NAMES[ours]] = {
            "published": row["value_printed"],
            "one over the classes": f"{100 / corpus.num_labels:.2f}",
            "largest class, training": f"{100 * largest['train']:.2f}",
            "largest class, test": f"{100 * largest[corpus.test]:.2f}",
        }
    return pd.DataFrame(rows).T.rename_axis("data set")


def epoch_ratios(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """Times of the study ``epoch_time``, one row per batch: ``method``, ``n``, ``batch``, ``ratio`` of the time of all
    its updates to the plain step of that batch, ``seconds``, ``batches_per_epoch``."""
    rows = []
    for record in records:
        for method, by_n in record.values["seconds"].items():
            for n in by_n:
                label = f"{method} n={n}"
                timed = zip(step_ratio(record, label), batch_seconds(record, label), strict=True)
                rows += [{"method": method, "n": int(n), "batch": f"{record.spec.seed}/{i}", "ratio": ratio,
                          "seconds": seconds, "batches_per_epoch": record.values["batches_per_epoch"]}
                         for i, (ratio, seconds) in enumerate(timed)]  # fmt: skip
    order = [method for method in LABELS if method in {row["method"] for row in rows}]
    return pd.DataFrame(rows).sort_values(
        ["method", "n"], key=lambda c: c.map(order.index) if c.name == "method" else c, kind="stable"
    )


def policy_rows(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """Measurements of the study ``geometry_of_policies``: one row per ``rows`` (batch size), policy and ``seed``.

    In addition to what the study measures: ``label`` of the policy, ``rank_share`` of the originals' effective rank.
    """
    found = pd.DataFrame([row | {"seed": r.spec.seed} for r in records for row in r.values["rows"]])
    found = found.fillna({"temperature": 1.0})
    found["label"] = [_label(*policy) for policy in found[["policy", "alpha", "temperature"]].itertuples(index=False)]
    return found.assign(rank_share=found["effective_rank"] / found["batch_rank"])


def _label(policy: str, alpha: float, temperature: float = 1.0) -> str:
    names = {"elementwise": "BatchMixup", "sample": "one weight a row"}
    return f"{names.get(policy, policy)}, α {alpha:g}" + (f", τ {temperature:g}" if policy in names else "")


def trained_rows(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Runs that train on the points of a policy: one row per policy and ``seed``.

    Columns: ``label`` of the policy as in :func:`policy_rows`, or of no mixup; ``policy`` and ``objective``, empty
    where there is none; ``rows`` of a batch; ``learning_rate``, ``epochs``, ``updates``; ``accuracy`` in percent;
    ``at_chance``, no better than the largest class; ``chance``, the share of that class in percent.
    """
    known = [(protocol.trained_with(**policy), policy) for policy in protocol.POLICIES]
    rows = []
    for record in records:
        spec, params = record.spec, dict(record.spec.method_params)
        objective = params.get("objective", "")
        if objective:
            params["objective"] = protocol.CHOICES["objective"]
        policy = next((policy for made_by, policy in known if made_by == (spec.method, params)), {})
        rows.append({
            "label": _label(**policy) if policy else LABELS[spec.method], "policy": policy.get("policy", ""),
            "objective": objective,
            "seed": spec.seed, "rows": spec.batch_size, "learning_rate": spec.learning_rate,
            "epochs": spec.num_train_epochs, "updates": record.timing["steps"],
            "accuracy": 100 * record.last["accuracy"], "chance": 100 * record.data["larger_class"],
            "at_chance": record.at_chance,
        })  # fmt: skip
    return pd.DataFrame(rows)


def trained(data: pd.DataFrame, placed: pd.DataFrame) -> pd.DataFrame:
    """What training on each policy's points gives, in words: one row per policy.

    Args:
        data: from :func:`trained_rows`, all at one budget.
        placed: from :func:`policy_rows`.
    """
    plain = data[data["policy"] == ""].set_index("seed")["accuracy"]
    spread = placed[placed["rows"] == data["rows"].iloc[0]].groupby("label")["spread"].mean()
    rows = {}
    for label, here in data.groupby("label", sort=False):
        values = here.set_index("seed")["accuracy"]
        rows[label] = {
            "distance from the mean": f"{spread[label]:.2f}" if label in spread else "",
            "accuracy": mean_and_sd(values),
            "difference from no mixup": "" if label == LABELS["none"] else compare(values, plain).interval,
            "runs at chance": f"{here['at_chance'].sum()} of {len(here)}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("policy")


def by_objective(data: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by policy with either loss, and the difference with its 95% interval, in words.

    Args:
        data: from :func:`trained_rows`, all at one budget; policies with one of the losses alone are left out.
    """
    rows = {}
    for label, here in data.groupby("label", sort=False):
        both = {name: found.set_index("seed")["accuracy"] for name, found in here.groupby("objective")}
        if len(both) > 1:
            free, bounded = both[protocol.CHOICES["objective"]], both["cross_entropy"]
            rows[label] = {"softmax": mean_and_sd(free), "cross-entropy": mean_and_sd(bounded),
                           "difference": compare(bounded, free).interval}  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("policy")


def by_budget(data: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of no mixup and of the paper's policy by epochs, updates and learning rate, in words.

    Args:
        data: from :func:`trained_rows`.
    """
    shown = data[data["label"].isin([LABELS["none"], _label(**protocol.PAPERS_POLICY)])]
    means = {
        (f"{epochs:g}", f"{updates:,}", f"{rate:g}", label): mean_and_sd(here.set_index("seed")["accuracy"])
        for (epochs, updates, rate, label), here in shown.groupby(
            ["epochs", "updates", "learning_rate", "label"], sort=False
        )
    }
    wide = pd.Series(means).unstack(fill_value="not run", sort=False)
    return wide.rename_axis(index=["epochs", "updates", "learning rate"])
