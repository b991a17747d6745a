"""What is computed from the AMPLIFY paper's runs for its notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mixlib.evidence import published
from mixlib.evidence.claims import WINDOW
from mixlib.evidence.tables import (
    LABELS,
    NAMES,
    NotMeasured,
    cell,
    compare,
    difference_said,
    frame,
    holm,
    mean_and_sd,
    variance_and_sd,
    with_rows,
)
from mixlib.methods.mixing import mean_partner_share
from mixlib.papers.amplify import protocol
from mixlib.runs import corpora
from mixlib.runs.heads import of_method
from mixlib.runs.spec import RunRecord
from mixlib.runs.studies import StudyRecord

RIVALS = ("none", *protocol.BASELINES)


def variances(printed: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    """Printed variances next to the measured ones over seeds, in squared points.

    Args:
        printed: of Table 2, with the printed spread as ``value_printed``.
        data: from :func:`conditions`.

    Returns:
        Rows are data sets, columns methods; a cell is ``printed | measured variance (standard deviation)``.
    """
    table: dict[str, dict[str, str]] = {}
    for column, method, said in printed[["dataset", "method", "value_printed"]].itertuples(index=False):
        values = data[(data["dataset"] == column) & (data["method"] == method)]["accuracy"]
        here = variance_and_sd(values) if len(values) > 1 else "not run"
        table.setdefault(column, {})[LABELS[method]] = f"{said} | {here}"
    return pd.DataFrame(table).T.rename_axis("data set")


def conditions(records: Sequence[RunRecord]) -> pd.DataFrame:
    """:func:`mixlib.evidence.tables.frame` with the settings that runs of this paper differ in besides the method.

    Additional columns: ``n`` (draws), ``model``, ``labels`` (``same``, ``independent``), ``head`` (``own``, ``mean``,
    ``untyped``), ``stage`` (``only``, or ``first`` or ``second`` of two), ``schedule``, ``noise`` (share of wrong
    training labels), ``grouped`` (batches of similar length), ``train_loss`` (mean over all updates), ``unsteadiness``
    (mean over the standard deviations of windows of :data:`~mixlib.evidence.claims.WINDOW` recorded losses).
    """
    data = frame(records, method_of=protocol.method_of)
    more = []
    for record in records:
        spec, losses = record.spec, pd.Series(record.train_losses, dtype=float)
        more.append({
            "n": spec.method_params.get("n"), "model": spec.model,
            "labels": spec.method_params.get("label_perm", "same"), "head": of_method(spec.head, spec.method),
            "stage": "second" if spec.first_stage else "first" if spec.keep_state else "only",
            "schedule": spec.schedule, "noise": spec.label_noise, "grouped": spec.group_by_length,
            "train_loss": losses.mean(), "unsteadiness": losses.rolling(min(WINDOW, len(losses))).std().mean(),
        })  # fmt: skip
    return pd.concat([data, pd.DataFrame(more, index=data.index)], axis=1)


def measured(records: Sequence[RunRecord], **how: str) -> pd.DataFrame:
    """:func:`mixlib.evidence.tables.frame` with the rows and columns of the paper's tables; ``how``: its ``param`` and
    ``at``."""
    ours = {theirs: name for name, theirs in protocol.FULL_DATA.items()}
    return frame(records, method_of=protocol.method_of, **how).replace({"dataset": ours})


def sizes(data: pd.DataFrame, beside_paper: bool = True) -> dict[str, str]:
    """What readers call each data set, with its number of training rows: ``SST-2, 400 rows (paper 67,349)``.

    Args:
        data: from :func:`mixlib.evidence.tables.frame`, one size per data set.
        beside_paper: say the paper's number too, where it is another.
    """
    found = data.dropna(subset=["examples"]).groupby("dataset", sort=False)["examples"].first()
    paper = {dataset: size["train_size"] for dataset, size in protocol.FULL.items()} if beside_paper else {}
    return {
        dataset: with_rows(NAMES.get(dataset, dataset), rows, paper.get(dataset)) for dataset, rows in found.items()
    }


def changes(data: pd.DataFrame, names: Mapping[str, str], metric: str = "accuracy") -> pd.DataFrame:
    """What each method changes: mean and standard deviation of the plain model, then paired differences from it.

    Args:
        data: from :func:`mixlib.evidence.tables.frame`, one size per data set.
        names: of the data sets, from :func:`sizes`.
        metric: a column of ``data``.

    Returns:
        One row per data set, one column per method; intervals are separate 95% t intervals.
    """
    rows: dict[str, dict[str, str]] = {}
    for dataset in dict.fromkeys(data["dataset"]):
        here = data[data["dataset"] == dataset]
        plain = cell(here, metric, method="none")
        row = rows.setdefault(names[dataset], {})
        row[LABELS["none"]] = mean_and_sd(plain)
        for method in [m for m in LABELS if m in set(here["method"]) and m != "none"]:
            row[LABELS[method]] = compare(cell(here, metric, method=method), plain).interval
    shown = pd.DataFrame.from_dict(rows, orient="index").fillna("not run")
    return shown[[label for label in LABELS.values() if label in shown]]


def by_draws(printed: pd.DataFrame, data: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Table 1, published next to measured: accuracy by the number of draws, and how far the paper's number is ahead.

    Args:
        printed: Table 1.
        data: from :func:`measured` with ``param="n"``.
        names: of the data sets.
    """
    paper, said = str(protocol.METHODS["amplify"]["n"]), printed.set_index(["dataset", "param"])
    rows = {}
    for dataset in dict.fromkeys(data["dataset"]):
        plain = cell(data, "accuracy", dataset=dataset, method="none")
        five = cell(data, "accuracy", dataset=dataset, method="amplify", param=paper)
        for n in ("", *map(str, protocol.DRAWS)):
            values = cell(data, "accuracy", dataset=dataset, param=n)
            known = (dataset, n) in said.index
            rows[names[dataset], f"n = {n}" if n else LABELS["none"]] = {
                "published": said.loc[(dataset, n), "value_printed"] if known else "–",
                "measured": mean_and_sd(values),
                "measured, minus no mixup": compare(values, plain).interval if n else "",
                f"published, n = {paper} minus this": (
                    difference_said(said.loc[(dataset, paper)], said.loc[(dataset, n)]) if known and n != paper else ""
                ),
                f"measured, n = {paper} minus this": compare(five, values).interval if n != paper else "",
            }  # fmt: skip
    return pd.DataFrame(rows).T.rename_axis(["data set", "draws"])


def lost_to_noise(records: Sequence[RunRecord]) -> pd.DataFrame:
    """What wrong training labels cost: accuracy without and with them, the loss, and how much more than AMPLIFY's."""
    data, rows = conditions(records), {}
    for (dataset, share), noisy in data[data["noise"] > 0].groupby(["dataset", "noise"], sort=False):
        right = data[(data["dataset"] == dataset) & (data["noise"] == 0)]
        lost = {
            m: (cell(right, "accuracy", method=m) - cell(noisy, "accuracy", method=m)).dropna()
            for m in protocol.TABLE_2
        }
        for method, values in lost.items():
            means = [part.loc[part["method"] == method, "accuracy"].mean() for part in (right, noisy)]
            rows[NAMES.get(dataset, dataset), f"{100 * share:g}%", LABELS[method]] = {
                "all labels right": f"{means[0]:.1f}", "labels wrong": f"{means[1]:.1f}",
                "lost": compare(values).interval,
                "lost, minus AMPLIFY's": "" if method == "amplify" else compare(values, lost["amplify"]).interval,
            }  # fmt: skip
    return pd.DataFrame(rows).T.rename_axis(["data set", "wrong labels", "method"])


def training_losses(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Figure 3 in numbers: mean training loss and its unsteadiness, next to the loss on test rows, which nothing mixes.

    One row per data set and method: means over seeds, in nats; training loss and unsteadiness also as ratios to
    AMPLIFY's, geometric means over seeds with their 95% intervals.
    """
    data, rows = conditions(records), {}
    for (dataset, method), group in data.groupby(["dataset", "method"], sort=False):
        row = rows.setdefault((NAMES.get(dataset, dataset), LABELS[method]), {})
        for column, name in (("train_loss", "training loss"), ("unsteadiness", "its unsteadiness")):
            row[name] = f"{group[column].mean():.3f}"
            if method != "amplify":
                own = cell(data, column, dataset=dataset, method="amplify")
                ratio = compare(np.log(group.set_index("seed")[column]), np.log(own))
                ends = np.exp([ratio.mean, ratio.low, ratio.high])
                row[f"{name} / AMPLIFY's"] = "{:.2f} [{:.2f}, {:.2f}]".format(*ends)
        row["test loss"] = f"{group['loss'].mean() / 100:.3f}"
    return pd.DataFrame(rows).T.fillna("").rename_axis(["data set", "method"])


def small_and_whole(records: Sequence[RunRecord]) -> pd.DataFrame:
    """AMPLIFY's gain for the small and the whole model of Table 3: ``dataset``, ``model``, ``seed``, ``gain``."""
    data = conditions(records)
    plain = data[data["method"] == "none"].set_index(["dataset", "model", "seed"])["accuracy"]
    mixed = data[data["method"] == "amplify"].set_index(["dataset", "model", "seed"])["accuracy"]
    return (mixed - plain).rename("gain").reset_index()


def partner_share(method: str) -> float:
    """The mean weight of the second row with the paper's settings of a method (0 for the plain model)."""
    params = protocol.METHODS[method]
    if method == "none":
        return 0.0
    if method == "amplify":
        return mean_partner_share(params["alpha"], "max_of_n", params["n"])
    return mean_partner_share(params["alpha"], "folded")


def attention_frame(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """What the study ``attention`` measured, lists as their means: one row per ``method`` and ``seed``."""
    rows = []
    for record in records:
        values = {name: value for name, value in record.values.items() if name not in ("views", "accuracy")}
        resolved = values.pop("resolved")
        means = {name: float(np.mean(value)) for name, value in values.items()}
        rows.append({"method": record.spec.params["run"]["method"], "seed": record.spec.seed, **means,
                     "it_animal": resolved["animal"], "it_too_tired": resolved["too"] + resolved["tired"]})  # fmt: skip
    return pd.DataFrame(rows)


def attention_by_method(data: pd.DataFrame, quantities: Mapping[str, str]) -> pd.DataFrame:
    """Quantities of :func:`attention_frame` in percent: means over seeds by method, and AMPLIFY's minus EmbedMix's.

    Args:
        data: from :func:`attention_frame`.
        quantities: column -> what readers call it.
    """
    rows = {}
    for column, name in quantities.items():
        by = {m: 100 * cell(data, column, method=m) for m in ("amplify", "embedmix", "none")}
        row = {LABELS[m]: f"{values.mean():.1f}" for m, values in by.items()}
        row["AMPLIFY minus EmbedMix"] = compare(by["amplify"], by["embedmix"]).interval
        rows[name.replace("\n", " ")] = row
    return pd.DataFrame(rows).T


# What AMPLIFY's published code does differently, one thing at a time and together
FACTORS: dict[str, tuple[str, ...]] = {
    "as stated": (), "labels": ("labels",), "head": ("head",), "schedule": ("schedule",),
    "all three": ("labels", "head", "schedule"),
}  # fmt: skip
# In the cells of the evidence: its head, and a pooler that was trained first
FACTORS_AGAIN: dict[str, tuple[str, ...]] = {
    "as stated": (), "head": ("head",), "trained pooler": ("pooler",),
}  # fmt: skip


def factor_effects(
    records: Sequence[RunRecord], metric: str = "accuracy", factors: Mapping[str, Sequence[str]] = FACTORS
) -> pd.DataFrame:
    """AMPLIFY's lead over each other method under the paper's conditions, and with what its code does differently.

    Args:
        records: of :func:`mixlib.papers.amplify.protocol.fairness`, or of :func:`mixlib.papers.amplify.protocol.heads`
            with :data:`FACTORS_AGAIN`.
        metric: ``accuracy``, ``loss``, ``ece`` or ``train_loss``.
        factors: what each is called, and what it switches: ``labels``, ``head``, ``schedule``, ``pooler``. Those that
            were not run for a data set are left out.

    Returns:
        One row per ``dataset``, ``rival`` and ``factor``: the ``lead`` of AMPLIFY with ``lead_low``, ``lead_high`` and
        ``lead_interval`` (as text), the ``change`` of that lead due to the factor with ``low``, ``high``, ``interval``
        (as text) and ``decided`` (Holm over all distinct changes), the ``printed`` lead in accuracy, and ``share``: the
        change in percent of the printed lead.
    """
    data = conditions(records)
    printed = published.table("amplify_table2").set_index(["dataset", "method"])["value"]
    rows, changes = [], []
    for dataset in dict.fromkeys(data["dataset"]):
        untyped = "untyped" if corpora.get(dataset).is_pair else "own"
        for rival in RIVALS:
            leads = {}
            for factor, switched in factors.items():
                labels = "independent" if "labels" in switched and rival != "none" else "same"
                heads = ("mean", untyped) if "head" in switched else ("own", "own")
                schedule = "published" if "schedule" in switched else "stated"
                stage = "second" if "pooler" in switched else "only"
                try:
                    own, other = (
                        cell(data, metric, dataset=dataset, method=m, labels=given, head=head, schedule=schedule,
                             stage=stage)
                        for m, given, head in (("amplify", "same", heads[0]), (rival, labels, heads[1]))
                    )  # fmt: skip
                except NotMeasured:
                    continue
                leads[factor] = own - other
                lead = compare(own, other)
                usual = leads.get("as stated", leads[factor] * np.nan)
                change = compare(leads[factor], usual, f"{dataset}, {LABELS[rival]}, {factor}")
                said = printed[dataset, "amplify"] - printed[dataset, rival]
                rows.append({"dataset": dataset, "rival": rival, "factor": factor, "lead": lead.mean,
                             "lead_low": lead.low, "lead_high": lead.high, "lead_interval": lead.interval,
                             "change": change.mean, "low": change.low, "high": change.high,
                             "interval": "" if np.isnan(change.mean) else change.interval, "printed": round(said, 2),
                             "share": 100 * change.mean / said})  # fmt: skip
                changes.append(change)
    table = pd.DataFrame(rows)
    # one comparison may count for several rivals: a head that changes for AMPLIFY alone changes all leads equally
    keys = [tuple(round(value, 9) for value in (c.mean, c.low, c.high)) for c in changes]  # equal but for rounding
    distinct = {key: c for key, c in zip(keys, changes, strict=True) if c.high > c.low}
    decided = dict(zip(distinct, (c.decided for c in holm(list(distinct.values()))), strict=True))
    return table.assign(decided=[decided.get(key, False) for key in keys])


def effects_by_rival(effects: pd.DataFrame) -> pd.DataFrame:
    """:func:`factor_effects` for readers: one row per rival, with AMPLIFY's leads over it and what each factor adds."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for row in effects.to_dict("records"):
        found = rows.setdefault((NAMES.get(row["dataset"], row["dataset"]), LABELS[row["rival"]]), {})
        found["printed lead"] = f"{row['printed']:+.2f}"
        if row["factor"] == "as stated":
            found["lead as stated"] = row["lead_interval"]
            continue
        none = row["factor"] == "labels" and row["rival"] == "none"
        star = " *" if row["decided"] else ""
        found[f"change by {row['factor']}"] = "has none" if none else f"{row['interval']}{star}"
        if row["factor"] not in ("labels", "schedule"):
            found[f"lead with {row['factor']}"] = row["lead_interval"]
    return pd.DataFrame(rows).T.rename_axis(["data set", "AMPLIFY against"])


_CONDITIONS = {
    "labels": {"independent": "unrelated labels"}, "head": {"mean": "mean head", "untyped": "no token types"},
    "schedule": {"published": "published schedule"},
}  # fmt: skip


def every_condition(cells: pd.DataFrame) -> pd.DataFrame:
    """Scores of each method under each condition of the published comparison, means over seeds; see `conditions`."""
    said = [cells[column].map(names).fillna("") for column, names in _CONDITIONS.items()]
    condition = [", ".join(filter(None, parts)) or "as stated" for parts in zip(*said, strict=True)]
    rows = {}
    grouped = cells.assign(condition=condition).groupby(["dataset", "method", "condition"], sort=False)
    for (dataset, method, name), group in grouped:
        rows[NAMES.get(dataset, dataset), LABELS[method], name] = {
            "accuracy %": mean_and_sd(group["accuracy"]),
            "test loss x100": f"{group['loss'].mean():.1f}", "ECE %": f"{group['ece'].mean():.1f}",
            "mean training loss, nats": f"{group['train_loss'].mean():.3f}", "seeds": len(group),
        }  # fmt: skip
    table = pd.DataFrame(rows).T.rename_axis(["data set", "method", "condition"])
    return table.sort_index(level=[0, 1], sort_remaining=False)


_HEADS = {
    "own head": {"head": "own", "stage": "only"}, "mean head": {"head": "mean", "stage": "only"},
    "own head, its pooler trained first": {"head": "own", "stage": "second"},
}  # fmt: skip


def by_head(cells: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of AMPLIFY and of the plain model with the same head: the model's own, the mean of all positions, and
    the own one once its pooler has been trained; what the mean adds to either; and AMPLIFY minus no mixup.

    Args:
        cells: from :func:`conditions`; heads that were not run are left out.
    """
    rows = {}
    for dataset, group in cells[cells["schedule"] == "stated"].groupby("dataset", sort=False):
        column, found = NAMES.get(dataset, dataset), {}
        for name, where in _HEADS.items():
            try:
                found[name] = [cell(group, "accuracy", method=m, **where) for m in ("none", "amplify")]
            except NotMeasured:
                continue
            plain, mixed = found[name]
            rows[column, name] = [mean_and_sd(plain), mean_and_sd(mixed), compare(mixed, plain).interval]
        (plain, mixed), (mean_plain, mean_mixed) = found["own head"], found["mean head"]
        added = mean_plain - plain, mean_mixed - mixed
        rows[column, "mean head minus own head"] = [
            *(compare(each).interval for each in added), compare(added[1], added[0]).interval
        ]  # fmt: skip
    columns = [LABELS["none"], LABELS["amplify"], "AMPLIFY minus no mixup"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).pipe(
        lambda table: table.set_index(pd.MultiIndex.from_tuples(table.index, names=["data set", "head of both"]))
    )


def of_labels(records: Sequence[RunRecord]) -> pd.DataFrame:
    """What unrelated labels do to a baseline's losses and calibration."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    metrics = {"train_loss": ("mean training loss, nats", 3), "loss": ("test loss x100", 1), "ece": ("ECE, points", 1)}
    for metric, (name, digits) in metrics.items():
        for row in factor_effects(records, metric).to_dict("records"):
            if row["factor"] == "labels" and row["rival"] != "none":
                change, low, high = (f"{-row[end]:.{digits}f}" for end in ("change", "high", "low"))
                sign = "" if change.startswith("-") else "+"
                interval = f"{sign}{change} [{low}, {high}]" + (" *" if row["decided"] else "")
                rows.setdefault((NAMES.get(row["dataset"], row["dataset"]), LABELS[row["rival"]]), {})[name] = interval
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["data set", "method"])
