"""The tables of the MixUp-calibration paper: loss and calibration as trained and after temperature scaling.

Temperature scaling (Guo et al. 2017) divides the logits of a trained model by one number, fitted on development rows.
It changes no prediction, costs nothing, and lowers confidence as mixup does; so what mixup saves is shown next to what
it still saves once every model, the plain one included, has been scaled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mixlib.evidence import statistics, tables
from mixlib.evidence.tables import LABELS, Comparison
from mixlib.papers.mixup_calibration import protocol
from mixlib.runs.spec import RunRecord, RunSpec
from mixlib.runs.store import Store

FILLED = {"unused": "[unused0]", "sep": "[SEP]", "pad": "[PAD]"}
UNTIL = {"pair": "to the longer of the pair", "max": "to the longest text"}
RAW, SCALED = "as trained", "after temperature scaling"
SCORES = {"loss": "nll", "ece": "ece"}  # what a temperature changes: the paper's name and ours
PLAIN = "none"
CELL = ["dataset", "train_size", "method", "param"]


def place(dataset: str, size: str = "full", rows: float | None = None) -> str:
    """A data set with its number of training rows, for readers: ``IMDb, 400 rows (paper 25,000)``.

    Args:
        dataset: its key.
        size: the paper's row, ``full`` or a number.
        rows: how many were trained on; ``None`` if nothing was run.
    """
    name = tables.NAMES.get(dataset, dataset)
    if size != "full":
        paper = int(size)
    elif dataset in protocol.FULL:
        paper = protocol.FULL[dataset]["train_size"]
    else:
        return f"{tables.with_rows(name, rows)} (not in the paper)"
    if rows is None:
        return f"{name} (paper {paper:,})"
    return tables.with_rows(name, rows, paper)


def padding(param: str) -> str:
    """A row of Table 5 for readers: ``[SEP], to the longer of the pair``."""
    token, _, until = param.partition("_")
    return f"{FILLED[token]}, {UNTIL[until]}" if token in FILLED else "no padding"


def row_label(method: str, param: str) -> str:
    """What is shown at the left of a row: the method, or in a table of paddings the padding."""
    return padding(param) if param else LABELS[method]


def frame(records: Iterable[RunRecord]) -> pd.DataFrame:
    """One row per run, as :func:`mixlib.evidence.tables.frame` has it, and ``score`` (accuracy, for CoLA MCC),
    ``selected score`` (at the evaluation that was best on development rows, the paper's rule), ``scaled loss``,
    ``scaled ece`` and ``temperature`` (nan without development rows)."""
    records = list(records)
    last, selected = (tables.frame(records, protocol.size_label, at=at) for at in ("last", "selected"))
    own = [protocol.METRIC.get(dataset, "accuracy") for dataset in last["dataset"]]
    for name, data in (("score", last), ("selected score", selected)):
        last[name] = [data.loc[i, metric] for i, metric in enumerate(own)]
    for name, key in SCORES.items():
        last[f"scaled {name}"] = [100 * record.scaled.get(key, np.nan) for record in records]
    return last.assign(temperature=[record.scaled.get("temperature", np.nan) for record in records])


def _versions(data: pd.DataFrame, metric: str) -> dict[str, str]:
    """The columns of a metric by how it is scored; after scaling only if all runs have it."""
    found = {RAW: metric}
    if metric in SCORES and data[f"scaled {metric}"].notna().all():
        found[SCALED] = f"scaled {metric}"
    return found


def _own(metric: str, dataset: str) -> str:
    return protocol.METRIC.get(dataset, "accuracy") if metric == "score" else metric


def _published(printed: pd.DataFrame, cell: Sequence[str], metric: str) -> tuple[str, str, float]:
    """The printed value with its spread, the difference from the plain model in the paper's digits, and as a number."""
    rows = printed[printed["metric"] == _own(metric, cell[0])].set_index(CELL)
    plain = (cell[0], cell[1], PLAIN, "")
    if tuple(cell) not in rows.index:
        return "", "", np.nan
    row = rows.loc[tuple(cell)]
    text = tables.as_said(row)
    if plain not in rows.index or tuple(cell) == plain:
        return text, "", np.nan
    base = rows.loc[plain]
    return text, tables.difference_said(row, base), row["value"] - base["value"]


def _cells(printed: pd.DataFrame, data: pd.DataFrame) -> list[tuple[str, ...]]:
    """All cells, data set by data set: the plain model, the paper's rows, then what only we have."""
    there = [*printed[CELL].drop_duplicates().itertuples(index=False, name=None)]
    there += [c for c in data[CELL].drop_duplicates().itertuples(index=False, name=None) if c not in there]
    places = list(dict.fromkeys(c[:2] for c in there))
    return sorted(there, key=lambda c: (places.index(c[:2]), c[2] != PLAIN))


def _changes(data: pd.DataFrame, cells: Sequence[tuple[str, ...]], column: str) -> dict[tuple, Comparison]:
    """The paired difference from the plain model, by cell."""
    found = {}
    for cell in cells:
        plain = data[(data[CELL[:2]] == cell[:2]).all(axis=1) & (data["method"] == PLAIN)].set_index("seed")[column]
        own = data[(data[CELL] == cell).all(axis=1)].set_index("seed")[column]
        if cell[2] != PLAIN and len(own) and len(plain):
            found[cell] = tables.compare(own, plain, " ".join(cell))
    return found


def table(printed: pd.DataFrame, data: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric of a table: published, as trained, and after temperature scaling where that changes it.

    Args:
        printed: from :func:`mixlib.evidence.published.table`.
        data: from :func:`frame`.
        metric: ``score``, ``loss`` or ``ece``. Next to ``score`` is that of the epoch the paper would choose.

    Returns:
        Rows by data set and method. Measured columns have the mean and sample standard deviation, and the paired
        difference from no mixup with its 95% interval, ``*`` where Holm's correction over this table leaves p below
        0.05.
    """
    cells, versions = _cells(printed, data), _versions(data, metric)
    compared = {(v, c): d for v, column in versions.items() for c, d in _changes(data, cells, column).items()}
    corrected = dict(zip(compared, tables.holm(list(compared.values())), strict=True))
    sizes = data.groupby(CELL[:2])["examples"].first()
    rows, index = [], []
    for cell in cells:
        own = data[(data[CELL] == cell).all(axis=1)]
        text, change, _ = _published(printed, cell, metric)
        row = {("paper", "mean"): text, ("paper", "Δ"): change}
        for version, column in versions.items():
            found = corrected.get((version, cell))
            heading = "last update" if metric == "score" else version
            row[heading, "mean ± SD"] = tables.mean_and_sd(own[column]) if len(own) else ""
            row[heading, "Δ [95%]"] = found.interval + " *" * found.decided if found else ""
        if metric == "score":
            row["best development epoch", "mean ± SD"] = tables.mean_and_sd(own["selected score"]) if len(own) else ""
        rows.append(row)
        index.append((place(*cell[:2], sizes.get(cell[:2])), row_label(*cell[2:])))
    shown = pd.DataFrame(rows, pd.MultiIndex.from_tuples(index, names=["", ""]))
    shown.columns = pd.MultiIndex.from_tuples(shown.columns)
    return shown.loc[:, (shown != "").any()]


def differences(printed: pd.DataFrame, data: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The paired differences from no mixup as numbers, for plotting.

    Columns: ``place``, ``method``, ``metric``, ``scored`` (as trained or after scaling), ``mean``, ``low``, ``high``,
    ``published``.
    """
    sizes, rows = data.groupby(CELL[:2])["examples"].first(), []
    cells = _cells(printed, data)
    for metric in metrics:
        for version, column in _versions(data, metric).items():
            for cell, found in _changes(data, cells, column).items():
                rows.append({
                    "place": place(*cell[:2], sizes[cell[:2]]), "method": cell[2], "metric": metric, "scored": version,
                    "mean": found.mean, "low": found.low, "high": found.high,
                    "published": _published(printed, cell, metric)[2],
                })  # fmt: skip
    return pd.DataFrame(rows)


def _saved(data: pd.DataFrame, metric: str, column: str, methods: Sequence[str]) -> dict[tuple[str, str], pd.Series]:
    """By data set and size, the mean over methods of the difference from no mixup, by seed; for a loss, as a log
    ratio."""
    found = {}
    for key, rows in data.groupby(CELL[:2], sort=False):
        values = rows[rows["param"] == ""].pivot(index="seed", columns="method", values=column)
        values = np.log(values) if metric == "loss" else values
        if {PLAIN, *methods} <= set(values):
            found[key] = (values[list(methods)].mean(axis=1) - values[PLAIN]).dropna()
    return found


def _interval(mean: float, low: float, high: float, metric: str) -> str:
    if metric != "loss":
        return f"{mean:+.1f} [{low:.1f}, {high:.1f}]"
    return "{:+.1f}% [{:.1f}, {:.1f}]".format(*(100 * np.expm1(value) for value in (mean, low, high)))


def savings(data: pd.DataFrame) -> pd.DataFrame:
    """What mixup changes in loss (in %) and ECE (in points), as trained and after temperature scaling.

    For each data set and size, the mean over the three methods; below, over the paper's data sets, for each method and
    for the three together. Sizes of one data set share its test rows and count as their mean, as in the claims.

    Args:
        data: from :func:`frame`.
    """
    variants = protocol.VARIANTS[1:]
    groups = {"mean of the three": variants} | {LABELS[method]: (method,) for method in variants}
    sizes = data.groupby(CELL[:2])["examples"].first()
    found: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for metric in SCORES:
        title = "Loss" if metric == "loss" else tables.TITLES[metric]
        for version, column in _versions(data, metric).items():
            for name, methods in groups.items():
                saved = _saved(data, metric, column, methods)
                for key, values in saved.items() if len(methods) > 1 else ():
                    low, high = statistics.pooled({"": values}).interval
                    text = _interval(values.mean(), low, high, metric)
                    found.setdefault((place(*key, sizes[key]), name), {})[title, version] = text
                by_set: dict[str, list[pd.Series]] = {}
                for (dataset, _), values in saved.items():
                    by_set.setdefault(dataset, []).append(values)
                own = {d: pd.concat(v, axis=1).dropna().mean(axis=1) for d, v in by_set.items() if d in protocol.FULL}
                whole = statistics.pooled(own)
                over = f"mean over {', '.join(tables.NAMES[d] for d in own)}"
                text = _interval(whole.mean, *whole.interval, metric)
                found.setdefault((over, name), {})[title, version] = text
    rows = sorted(found, key=lambda row: row[0].startswith("mean over"))
    shown = pd.DataFrame([found[row] for row in rows], pd.MultiIndex.from_tuples(rows, names=["", ""]))
    shown.columns = pd.MultiIndex.from_tuples(shown.columns)
    return shown


def bins(records: Sequence[RunRecord], store: Store | None = None) -> dict[str, dict[str, np.ndarray | float]]:
    """The reliability bins of some runs, pooled, at the last update, as trained and after temperature scaling.

    ``rows``, ``confidence`` and ``correct`` are sums by bin, ``ece`` the mean of the runs' own (a fraction). Runs whose
    predictions were not kept have their bins only at the selected evaluation.

    Args:
        records: of one method in one cell.
        store: where the predictions are, by default the repository's.
    """
    store, found = store or Store(), {}
    if not all("predictions" in record.data for record in records):
        return {RAW: _summed([r.reliability for r in records], [r.test["ece"] for r in records])}
    kept = [store.predictions(record)["test"] for record in records]
    found[RAW] = _summed([split.metrics(1.0)["reliability"] for split in kept], [r.last["ece"] for r in records])
    if all(record.scaled for record in records):
        by_run = zip(kept, records, strict=True)
        scaled = [split.metrics(r.scaled["temperature"])["reliability"] for split, r in by_run]
        found[SCALED] = _summed(scaled, [r.scaled["ece"] for r in records])
    return found


def at_temperatures(
    records: Sequence[RunRecord], temperatures: Iterable[float], store: Store | None = None
) -> dict[float, dict[str, np.ndarray | float]]:
    """The reliability bins of some runs at their last update, as in :func:`bins`, at each of these temperatures; with
    ``ece`` and ``nll`` (nats), the means of the runs' own.

    Args:
        records: of one method in one cell, their predictions kept.
        temperatures: those that the logits of all runs are divided by.
        store: where the predictions are, by default the repository's.
    """
    store, found = store or Store(), {}
    kept = [store.predictions(record)["test"] for record in records]
    for temperature in temperatures:
        each = [split.metrics(temperature) for split in kept]
        pooled = _summed([one["reliability"] for one in each], [one["ece"] for one in each])
        found[temperature] = pooled | {"nll": float(np.mean([one["nll"] for one in each]))}
    return found


def _summed(each: Sequence[Mapping[str, Sequence[float]]], eces: Sequence[float]) -> dict[str, np.ndarray | float]:
    sums = {
        name: np.sum([one[name] for one in each], axis=0, dtype=float) for name in ("rows", "confidence", "correct")
    }
    return sums | {"ece": float(np.mean(eces))}


def curve(record: RunRecord) -> pd.DataFrame:
    """``step``, ``epoch`` and ``loss`` (nats) of a run's evaluations, on the rows of its curve if it has any."""
    return pd.DataFrame(
        {"step": e["step"], "epoch": e["epoch"], "loss": e.get("curve", e.get("test"))["nll"]}
        for e in record.evaluations
    )


def of(records: Iterable[RunRecord], methods: Sequence[str] | None = None) -> dict[str, dict[str, list[RunRecord]]]:
    """Runs by place, and within it by method."""
    found: dict[str, dict[str, list[RunRecord]]] = {}
    for record in records:
        if methods is None or record.spec.method in methods:
            name = place(record.spec.dataset, protocol.size_label(record.spec), record.data["train_rows"])
            found.setdefault(name, {}).setdefault(record.spec.method, []).append(record)
    return found


def overfitting(groups: Mapping[str, Mapping[str, Sequence[RunRecord]]]) -> pd.DataFrame:
    """The loss at the end, and how far it rose after its lowest, of no mixup and of another method; the lowest and the
    rise are those of the curve, which may be of fewer rows.

    Args:
        groups: from :func:`of`.
    """
    found = {}
    for where, methods in groups.items():
        for method, records in methods.items():
            curves = [curve(record) for record in records]
            final = pd.Series([100 * record.last["nll"] for record in records])
            rise = pd.Series([100 * (c["loss"].iloc[-1] / c["loss"].min() - 1) for c in curves])
            lowest = pd.Series([c["epoch"][c["loss"].idxmin()] for c in curves])
            train = pd.Series([100 * record.evaluations[-1]["train_loss"] for record in records])
            found[where, LABELS[method]] = {
                "final loss x100": tables.mean_and_sd(final),
                "rise above the lowest": f"{rise.mean():.0f}% ± {rise.std():.0f}",
                "lowest loss x100": f"{np.mean([100 * c['loss'].min() for c in curves]):.1f}",
                "lowest after epoch": f"{lowest.median():g}",
                "training loss x100 at the end": f"{train.mean():.1f}",
            }
    return pd.DataFrame(found).T


def settings(specs: Iterable[RunSpec]) -> pd.DataFrame:
    """How the runs of some tables are trained: one row per cell, the same for all its methods."""
    seeds: dict[RunSpec, set[int]] = {}
    for spec in specs:
        if spec.method == PLAIN:
            seeds.setdefault(spec.cell, set()).add(spec.seed)
    rows = {
        place(cell.dataset, protocol.size_label(cell), cell.train_size): {
            "development / test rows": f"{cell.dev_size:,} / {cell.test_size:,}",
            "epochs": f"{cell.num_train_epochs}",
            "scored every": f"{cell.eval_epochs}",
            "tokens": f"{cell.max_length}",
            "batch": f"{cell.batch_size}",
            "learning rate": f"{cell.learning_rate:g}",
            "seeds": f"{len(of)}",
        }
        for cell, of in seeds.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
