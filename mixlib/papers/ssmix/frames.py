"""What the tables and figures of the SSMix paper's notebooks show, computed from records.

The primary score is test accuracy at the last update of the second stage, compared with a second stage without mixup
that makes as many updates: the paper's own score, the better of both stages, cannot fall below training without mixup
on the rows that it is chosen on, whatever a method does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mixlib.evidence import statistics
from mixlib.evidence.tables import (
    LABELS,
    NAMES,
    Comparison,
    cell,
    compare,
    holm,
    mean_and_sd,
    one_precision,
    variance_and_sd,
    with_rows,
)
from mixlib.papers.ssmix import protocol
from mixlib.runs.records import Record
from mixlib.runs.spec import RunRecord
from mixlib.runs.studies import StudyRecord

PLAIN = "none_long"  # a second stage without mixup
TITLES = LABELS | {"none": "no mixup, stage 1", PLAIN: "no mixup, stage 2"}
RULES = {  # which score of two stages counts
    "last": "stage 2 at its last update",
    "best": "better stage, chosen on development rows",
    "published": "better stage, chosen on the reported rows",
}


def name_of(column: str) -> str:
    """A column of the paper's table as readers call it: ``anli_r1 valid`` is ``ANLI R1 valid``."""
    dataset, _, split = column.partition(" ")
    return f"{NAMES.get(dataset, dataset)} {split}".rstrip()


def size_of(column: str, rows: int) -> str:
    """A column with its number of training rows, and the paper's if it differs."""
    return with_rows(name_of(column), rows, protocol.FULL.get(column.split()[0], {}).get("train_size"))


def by_split(printed: pd.DataFrame) -> pd.DataFrame:
    """A table of the paper with each round of ANLI as two data sets, its valid and its test column."""
    both = printed["dataset"].str.startswith("anli")
    return printed.assign(dataset=printed["dataset"].where(~both, printed["dataset"] + " " + printed["split"]))


def frame_of_stages(records: Iterable[RunRecord], score: str, leaking: bool = False) -> pd.DataFrame:
    """Runs in two stages, one row per run and column of the paper's tables: ``dataset`` (that column), ``method``,
    ``seed``, ``examples`` (training rows), ``accuracy`` on test rows in percent, and ``stage``, the number of the stage
    that it comes from. The method of a second stage without mixup is ``none_long``, that of a first stage ``none``.

    Args:
        records: of first and second stages.
        score: of :data:`RULES`: ``"last"``: the run alone, after its last update; ``"best"``: that of whichever stage
            did better on the development rows (the first if equal), at its selected evaluation; ``"published"``: the
            best value that any evaluation of either stage reached on the split the paper reports.
        leaking: use the second stages with the dropout leak instead of those without.

    Raises:
        ValueError: unknown score, or a second stage whose first stage is not among the records.
        MixedPrecision: runs on the same rows were made in different precisions.
    """
    if score not in RULES:
        raise ValueError(f"unknown score {score!r}; choose one of {', '.join(RULES)}")
    records = [record for record in records if record.spec.keep_state or record.spec.dropout_leak == leaking]
    one_precision(records)
    first = {record.spec.key: record for record in records if record.spec.keep_state}
    rows = []
    for record in records:
        spec = record.spec
        if spec.first_stage is None:
            stages, method = [record], spec.method
        else:
            if spec.first_stage.key not in first:
                raise ValueError(f"{spec}: the record of its first stage is not among those given")
            stages = [first[spec.first_stage.key], record]
            method = PLAIN if spec.method == "none" else spec.method
        for column, split in _columns(spec.dataset, score):
            accuracy, number = _score(stages, score, split)
            rows.append({
                "dataset": column, "method": method, "seed": spec.seed, "examples": record.data.get("train_rows"),
                "accuracy": 100 * accuracy, "stage": number,
            })  # fmt: skip
    return pd.DataFrame(rows)


def _columns(dataset: str, score: str) -> list[tuple[str, str]]:
    """The columns of the paper's table that a data set fills, and the split on which each is scored. The rule ``best``
    chooses on the development rows of ANLI, so it is not scored on them."""
    if dataset.startswith("anli"):
        return [(f"{dataset} valid", "dev")] * (score != "best") + [(f"{dataset} test", "test")]
    split = protocol.REPORTED.get(dataset, "test") if score == "published" else "test"
    return [(dataset.removesuffix("_mismatched"), split)]


def _score(stages: Sequence[RunRecord], score: str, split: str) -> tuple[float, int]:
    """The score, and the number of the stage in which it was reached (the first if equal)."""
    split = split if split in stages[-1].evaluations[0] else "test"  # where no rows were kept for development
    if score == "published":
        best = [max(e[split]["accuracy"] for e in record.evaluations) for record in stages]
        return max(best), best.index(max(best)) + 1
    if score == "last":
        return stages[-1].evaluations[-1][split]["accuracy"], len(stages)
    chosen_by = [r.evaluations[r.selected][r.selected_on]["accuracy"] for r in stages]
    number = chosen_by.index(max(chosen_by))
    return stages[number].test["accuracy"], number + 1


def gains(data: pd.DataFrame, method: str, over: str) -> dict[str, pd.Series]:
    """By column, one method's accuracy minus another's, seed by seed; columns that lack one of them are left out."""
    columns = [column for column, rows in data.groupby("dataset", sort=False) if {method, over} <= set(rows["method"])]
    found = {c: [cell(data, "accuracy", dataset=c, method=m) for m in (method, over)] for c in columns}
    return {column: (first - second).dropna() for column, (first, second) in found.items()}


def pooled(differences: Mapping[str, pd.Series]) -> str:
    """The mean over columns with its 95% interval over seeds, each column counting equally."""
    found = statistics.pooled(differences)
    if not np.isfinite(found.interval.low):
        return f"{found.mean:+.1f}"
    return f"{found.mean:+.1f} [{found.interval.low:.1f}, {found.interval.high:.1f}]"


def _methods(data: pd.DataFrame) -> list[str]:
    return [m for m in ("none", PLAIN, *LABELS) if m in set(data["method"])]


def _said(printed: pd.DataFrame, column: str, method: str) -> dict | None:
    rows = printed[(printed["dataset"] == column) & (printed["method"] == method)].to_dict("records")
    return rows[0] if rows else None


def _printed_gain(printed: pd.DataFrame, columns: Sequence[str], method: str, over: str) -> float:
    """The mean over columns of a printed difference; nan if one is not printed."""
    rows = [[_said(printed, column, m) for m in (method, over)] for column in columns]
    gains = [np.nan if None in (first, second) else first["value"] - second["value"] for first, second in rows]
    return float(np.mean(gains)) if gains else np.nan


def beside(printed: pd.DataFrame, records: Sequence[RunRecord]) -> pd.DataFrame:
    """The columns of a table that were measured, printed numbers next to measured ones, one row per method.

    Args:
        printed: Table 2 or B.1, from :func:`mixlib.evidence.published.table`.
        records: of both stages.

    Returns:
        Index: data set with its training rows, method; the last block is the mean over data sets. Columns: accuracy in
        percent ``printed`` and ``measured`` (mean and sample standard deviation of the last update); the difference
        from no mixup, ``printed Δ`` (from stage 1, the only one there is) and ``measured Δ`` (from a second stage
        without mixup, by seed, with its 95% interval); ``Δ, better stage``: the better of both stages, chosen on
        development rows, against stage 1, "= stage 1" where no seed chose stage 2.
    """
    printed = by_split(printed)
    last, best = (frame_of_stages(records, score) for score in ("last", "best"))
    columns, methods = list(dict.fromkeys(last["dataset"])), _methods(last)
    over = {PLAIN: {m: gains(last, m, PLAIN) for m in methods}, "none": {m: gains(best, m, "none") for m in methods}}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for column in columns:
        title = size_of(column, int(last.loc[last["dataset"] == column, "examples"].iloc[0]))
        for method in methods:
            values, said = cell(last, "accuracy", dataset=column, method=method), _said(printed, column, method)
            chose = best[(best["dataset"] == column) & (best["method"] == method)]["stage"]
            rule = "= stage 1" if (chose == 1).all() else compare(over["none"][method][column]).interval
            rows[title, TITLES[method]] = {
                "printed": "–" if said is None else said["value_printed"],
                "measured": mean_and_sd(values),
                "printed Δ": _signed(_printed_gain(printed, [column], method, "none"), method),
                "measured Δ": "" if method == PLAIN else compare(over[PLAIN][method][column]).interval,
                "Δ, better stage": "" if method == "none" else rule,
            }
    if len(columns) > 1:
        for method in methods:
            rows[f"mean of these {len(columns)}", TITLES[method]] = {
                "printed": "", "measured": "",
                "printed Δ": _signed(_printed_gain(printed, columns, method, "none"), method),
                "measured Δ": "" if method == PLAIN else pooled(over[PLAIN][method]),
                "Δ, better stage": "" if method == "none" else pooled(over["none"][method]),
            }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["data set", "method"])


def _signed(value: float, method: str = "") -> str:
    return "" if method == "none" or np.isnan(value) else f"{value:+.2f}"


def not_measured(printed: pd.DataFrame, records: Sequence[RunRecord], reasons: Mapping[str, str]) -> str:
    """One line on the printed columns that were not measured.

    Args:
        printed: from :func:`mixlib.evidence.published.table`.
        records: of the table.
        reasons: by data set as readers call it.
    """
    here = {record.spec.dataset.removesuffix("_mismatched") for record in records}
    missing = dict.fromkeys(name_of(name).split(" R")[0] for name in printed["dataset"] if name not in here)
    by_reason: dict[str, list[str]] = {}
    for name in missing:
        by_reason.setdefault(reasons.get(name, "not run"), []).append(name)
    parts = [f"{', '.join(names)} ({reason})" for reason, names in by_reason.items()]
    return f"Printed, but not measured here: {'; '.join(parts)}." if parts else "All printed columns are measured."


def differences(printed: pd.DataFrame, records: Sequence[RunRecord]) -> pd.DataFrame:
    """For the figure: difference of each method's second stage from one without mixup.

    Columns: ``dataset`` (as readers call it; the mean of all comes last), ``method``, ``mean``, ``low``, ``high``,
    ``printed`` (from stage 1).
    """
    printed, data = by_split(printed), frame_of_stages(records, "last")
    rows = []
    for method in [m for m in _methods(data) if m not in ("none", PLAIN)]:
        found = gains(data, method, PLAIN)
        groups = {column: {column: difference} for column, difference in found.items()}
        if len(found) > 1:
            groups[f"mean of these {len(found)}"] = found
        for title, group in groups.items():
            estimate = statistics.pooled(group)
            rows.append({
                "dataset": name_of(title), "method": method, "mean": estimate.mean, "low": estimate.interval.low,
                "high": estimate.interval.high, "printed": _printed_gain(printed, list(group), method, "none"),
            })  # fmt: skip
    return pd.DataFrame(rows)


def rules(records: Sequence[RunRecord]) -> pd.DataFrame:
    """What the scoring rule alone adds: points above stage 1 by three rules, mean over the data sets.

    ``last``: stage 2 at its last update; ``best``: the better of both stages on development rows; ``published``: the
    best number of any evaluation of either stage on the very rows that are reported, against the same of stage 1.
    """
    table: dict[str, dict[str, str]] = {}
    for score, title in RULES.items():
        data = frame_of_stages(records, score)
        table[title] = {TITLES[m]: pooled(gains(data, m, "none")) for m in _methods(data) if m != "none"}
    return pd.DataFrame(table).rename_axis("points above stage 1")


def contrasts(printed: pd.DataFrame, records: Sequence[RunRecord], pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """One method against another: columns won, tied and lost, and the mean difference.

    Args:
        printed: Table 2 or B.1, from :func:`mixlib.evidence.published.table`.
        records: of both stages.
        pairs: first and second method; ``none`` is measured as a second stage without mixup.

    Returns:
        One row per pair. Printed counts are of all columns; the mean differences are of those measured, with a 95%
        interval over seeds.
    """
    printed, data = by_split(printed), frame_of_stages(records, "last")
    rows = {}
    for first, second in pairs:
        said = [printed[printed["method"] == m].set_index("dataset")["value"] for m in (first, second)]
        found = gains(data, first, PLAIN if second == "none" else second)
        means = pd.Series({name: round(change.mean(), 2) for name, change in found.items()})
        rows[f"{LABELS[first]} over {LABELS[second]}"] = {
            f"printed: won / tied / lost, of {len(said[0])}": _counts((said[0] - said[1]).round(2)),
            f"measured: won / tied / lost, of {len(found)}": _counts(means),
            f"printed mean of these {len(found)}": _signed(_printed_gain(printed, list(found), first, second)),
            f"measured mean of these {len(found)}": pooled(found),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("points of accuracy")


def _counts(values: pd.Series) -> str:
    return f"{(values > 0).sum()} / {(values == 0).sum()} / {(values < 0).sum()}"


def variances(printed: pd.DataFrame, records: Sequence[RunRecord]) -> pd.DataFrame:
    """Table A.1 next to the measured variance over seeds, in squared points: the columns that were measured.

    Args:
        printed: Table A.1, from :func:`mixlib.evidence.published.table`; its values are the printed spreads.
        records: of both stages.

    Returns:
        Rows are data sets, columns methods; a cell is ``printed | measured variance (standard deviation)``, measured
        at the last update.
    """
    printed, data = by_split(printed), frame_of_stages(records, "last")
    table: dict[str, dict[str, str]] = {}
    for column in dict.fromkeys(data["dataset"]):
        for method in dict.fromkeys(printed["method"]):
            values = cell(data, "accuracy", dataset=column, method=method)
            said = _said(printed, column, method)
            table.setdefault(name_of(column), {})[LABELS[method]] = (
                f"{said['value_printed']} | {variance_and_sd(values)}"
            )
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("data set")


def losses(records: Sequence[RunRecord], over: str = PLAIN) -> pd.DataFrame:
    """Test loss x100 at the last update, and its change in % against a second stage with another method (by default
    without mixup), with the 95% interval of the ratio: rows are methods, columns data sets."""
    table: dict[str, dict[str, str]] = {}
    by_cell: dict[tuple[str, str], dict[int, float]] = {}
    for record in records:
        spec = record.spec
        method = PLAIN if spec.method == "none" and spec.first_stage is not None else spec.method
        by_cell.setdefault((spec.dataset, method), {})[spec.seed] = 100 * record.last["nll"]
    for (dataset, method), found in by_cell.items():
        values = pd.Series(found)
        shown = f"{values.mean():.1f}"
        if method != over:
            change = compare(np.log(values / pd.Series(by_cell[dataset, over])))
            middle, low, high = (100 * np.expm1(value) for value in (change.mean, change.low, change.high))
            shown += f", {middle:+.0f}% [{low:.0f}, {high:.0f}]"
        table.setdefault(TITLES[method], {})[name_of(dataset)] = shown
    order = [TITLES[m] for m in ("none", PLAIN, *LABELS) if TITLES[m] in table]
    order = list(dict.fromkeys(order))
    return pd.DataFrame.from_dict(table, orient="index").loc[order].rename_axis("test loss x100")


NOTHING = 0.0  # in place of a share: a second stage without mixup


def ratio_frame(records: Sequence[Record]) -> pd.DataFrame:
    """Second stages of SSMix by share, at their last update: ``dataset``, ``lam0``, ``seed``, ``accuracy`` in percent,
    ``loss`` x100. A share of 0 is a second stage without mixup."""
    return pd.DataFrame(
        {"dataset": r.spec.dataset, "lam0": r.spec.method_params.get("lam0", NOTHING), "seed": r.spec.seed,
         "accuracy": 100 * r.last["accuracy"], "loss": 100 * r.last["nll"]}
        for r in records
        if isinstance(r, RunRecord) and r.spec.first_stage is not None and r.spec.method in ("ssmix", "none")
    )  # fmt: skip


def ratio_table(data: pd.DataFrame) -> pd.DataFrame:
    """By data set and share: accuracy and loss (mean and standard deviation over seeds), and the difference in accuracy
    from the share that the paper calls best, by seed with its 95% interval.

    Args:
        data: from :func:`ratio_frame`.
    """
    paper, rows = protocol.METHODS["ssmix"]["lam0"], {}
    for dataset, found in data.groupby("dataset", sort=False):
        by = {lam0: part.set_index("seed") for lam0, part in found.groupby("lam0")}
        for lam0, part in by.items():
            name = "no mixup" if lam0 == NOTHING else f"{lam0:g}"
            change = "" if lam0 == paper else compare(part["accuracy"], by[paper]["accuracy"]).interval
            rows[name_of(dataset), name] = {
                "accuracy %": mean_and_sd(part["accuracy"]),
                f"difference from {paper:g}": change,
                "loss x100": mean_and_sd(part["loss"]),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["data set", "share"])


def _ways(records: Sequence[RunRecord]) -> list[tuple[RunRecord, RunRecord | None, str]]:
    """Every whole training with its first stage, if it has one, and what it is called."""
    first = {r.spec.key: r for r in records if r.spec.keep_state}
    found = []
    for record in records:
        if record.spec.keep_state:
            continue
        start = first[record.spec.first_stage.key] if record.spec.first_stage is not None else None
        name = LABELS[record.spec.method]
        found.append((record, start, f"{name} from the start" if start is None else f"no mixup, then {name}"))
    return found


def _curve(entry: Mapping, record: RunRecord) -> float:
    """Accuracy in percent on the rows of the curve; on those that choose the checkpoint if there is no curve."""
    return 100 * entry.get("curve", entry[record.selected_on])["accuracy"]


def curves(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Accuracy by epoch (claim 14): ``dataset``, ``way``, ``seed``, ``epoch`` (counted through both stages),
    ``first_stage`` (how many of them are stage 1, 0 without), ``accuracy`` on the rows of the curve."""
    rows = []
    for record, start, way in _ways(records):
        parts = [(0, record)] if start is None else [(0, start), (start.spec.num_train_epochs, record)]
        rows += [
            {"dataset": record.spec.dataset, "way": way, "seed": record.spec.seed, "epoch": before + e["epoch"],
             "first_stage": parts[-1][0], "accuracy": _curve(e, part)}
            for before, part in parts for e in part.evaluations
        ]  # fmt: skip
    return pd.DataFrame(rows)


def start_table(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Two stages and mixing from the start (claim 14): accuracy where the first stage ends, on the rows of the curve,
    and at the last update, on all test rows; below, SSMix in two stages minus SSMix from the start, by seed."""
    values: dict[str, dict[str, dict[int, float]]] = {}
    for record, start, way in _ways(records):
        middle = start or record
        epochs = next(s.num_train_epochs for s in (r.spec for r in records) if s.keep_state)
        entry = next(e for e in middle.evaluations if round(e["epoch"]) == epochs)
        whole = record.spec.num_train_epochs + (epochs if start else 0)
        for title, value in (
            (f"after {epochs} of {whole} epochs, {middle.spec.curve_size or 'some'} test rows", _curve(entry, middle)),
            (f"after all {whole}, test rows", 100 * record.last["accuracy"]),
        ):
            column = f"{name_of(record.spec.dataset)}, {title}"
            values.setdefault(column, {}).setdefault(way, {})[record.spec.seed] = value
    table: dict[str, dict[str, str]] = {}
    for column, by_way in values.items():
        found = {way: pd.Series(of) for way, of in by_way.items()}
        table[column] = {way: mean_and_sd(of) for way, of in found.items()}
        two, one = f"no mixup, then {LABELS['ssmix']}", f"{LABELS['ssmix']} from the start"
        if {two, one} <= found.keys():  # at smoke they are of unequal length
            table[column]["two stages − from the start, SSMix"] = compare(found[two], found[one]).interval
    return pd.DataFrame(table).rename_axis("accuracy %")


def leak_effects(records: Sequence[RunRecord]) -> pd.DataFrame:
    """What the dropout leak does to second-stage accuracy at the last update: one row per ``dataset``, ``method`` and
    ``what``, with ``mean``, ``low``, ``high``, ``interval`` (as text) and ``decided`` (Holm over all rows).

    ``change``: the method with the leak minus without; ``lead`` and ``lead with the leak``: SSMix minus the method,
    both without, and both with it.
    """
    data = {leak: frame_of_stages(records, "last", leaking=leak) for leak in (False, True)}
    found: dict[tuple[str, str, str], Comparison] = {}
    for dataset in dict.fromkeys(data[True]["dataset"]):
        values = {
            (leak, m): cell(data[leak], "accuracy", dataset=dataset, method=m)
            for leak in data
            for m in (PLAIN, *protocol.TABLE_2)
        }
        for method in (PLAIN, *protocol.TABLE_2):
            found[dataset, method, "change"] = compare(values[True, method], values[False, method])
            if method != "ssmix":
                found[dataset, method, "lead"] = compare(values[False, "ssmix"], values[False, method])
                found[dataset, method, "lead with the leak"] = compare(values[True, "ssmix"], values[True, method])
    return pd.DataFrame(
        {"dataset": dataset, "method": method, "what": what, "mean": c.mean, "low": c.low, "high": c.high,
         "decided": c.decided, "interval": c.interval}
        for (dataset, method, what), c in zip(found, holm(list(found.values())), strict=True)
    )  # fmt: skip


def distances(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """Mean distance from the segment by ``method``, ``ratio`` and ``seed``; ``weight`` is the mean weight of text b."""
    rows = pd.DataFrame([row | {"seed": r.spec.seed} for r in records for row in r.values["rows"]])
    rows["weight"] = 1 - rows["weight"]
    return rows.groupby(["method", "ratio", "seed"], sort=False, as_index=False)[["distance", "along", "weight"]].mean()
