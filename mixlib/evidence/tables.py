"""Measured numbers next to published ones, with honest statistics; hence ``beside``, a paper's table with both.

Units are the papers': accuracy, Matthews correlation and ECE in percent, loss as 100 times the mean negative
log-likelihood in nats. Every comparison is paired: the same seed means the same training examples, test examples,
new head and batch order, so differences are taken seed by seed.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML
from scipy import stats

from mixlib import methods
from mixlib.evidence import statistics
from mixlib.evidence.statistics import ALPHA, CONFIDENCE, MIN_SEEDS, no_spread
from mixlib.runs.records import Record
from mixlib.runs.spec import RunRecord, RunSpec

METRICS = {"accuracy": "accuracy", "mcc": "mcc", "loss": "nll", "ece": "ece"}  # the papers' names: ours
TITLES = {"accuracy": "Accuracy %", "mcc": "MCC x100", "loss": "Loss x100", "ece": "ECE %"}
EVALUATIONS = ("last", "selected")


class OfMethods(Mapping[str, Any]):
    """One aspect of the look of all methods by key, in their order: read from the classes at each use, so that a method
    written in a notebook is included. ``rows`` are table rows that are a method with other parameters."""

    def __init__(self, part: str, rows: dict[str, Any]) -> None:
        self.part, self.rows = part, rows

    def _all(self) -> dict[str, Any]:
        named = {key: cls.look for key, cls in methods.REGISTRY.items() if "@" not in key}  # others: mixlib.comparing
        return {key: getattr(look, self.part) for key, look in named.items()} | self.rows

    def __getitem__(self, key: str) -> Any:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __or__(self, rows: dict[str, Any]) -> OfMethods:
        """With other or additional rows."""
        return OfMethods(self.part, self.rows | rows)


LABELS = OfMethods("label", {
    "amplify_block4": "AMPLIFY, block 4 of 12",
    "amplify_block8": "AMPLIFY, block 8 of 12",
    "amplify_block12": "AMPLIFY, block 12 of 12",
    "amplify_block_mean": "mean of the three rows",
})  # fmt: skip

NAMES = {  # of data sets, for readers
    "sst2": "SST-2", "sst5": "SST-5", "trec_coarse": "TREC-coarse", "trec_fine": "TREC-fine", "ag_news": "AG News",
    "agnews": "AG News", "imdb": "IMDb", "yelp5": "Yelp", "yelp_polarity": "Yelp", "cola": "CoLA", "boolq": "BoolQ",
    "mrpc": "MRPC", "qqp": "QQP", "mnli": "MNLI", "qnli": "QNLI", "rte": "RTE", "banking77": "BANKING77",
    "fewrel": "FewRel", "fewrel75_none": "FewRel, 75 + None", "anli_r1": "ANLI R1", "anli_r2": "ANLI R2",
    "anli_r3": "ANLI R3", "mean": "mean",
}  # fmt: skip


class MixedPrecision(ValueError):
    """Runs in fp32 and in bf16, although seeds are to be paired."""


def one_precision(records: Iterable[Record]) -> None:
    """Raise :class:`MixedPrecision` unless all records on the same rows were made in the same precision: only these are
    compared with each other."""
    rows: dict[Any, dict[str, list[Record]]] = {}
    for record in records:
        of = [
            getattr(record.spec, name, None) for name in ("dataset", "train_size", "train_per_class", "train_fraction")
        ]
        rows.setdefault(tuple(of), {}).setdefault(record.precision, []).append(record)
    for found in rows.values():
        if len(found) > 1:
            named = [
                f"{p}: {of[0].spec}{f' and {len(of) - 1} more' if of[1:] else ''}" for p, of in sorted(found.items())
            ]
            raise MixedPrecision(
                f"runs in different precisions cannot be compared ({'; '.join(named)}); make all of them in one, with "
                "--precision or MIXLIB_PRECISION"
            )


def _made_on(records: Iterable[Record]) -> str:
    """The machines that made these records, and in which precision."""
    return " and ".join(sorted({f"{record.origin} in {record.precision}" for record in records}))


def frame(
    records: Iterable[RunRecord],
    size_label: Callable[[RunSpec], str] = lambda s: "full",
    method_of: Callable[[RunSpec], str] = lambda s: s.method,
    param: str = "padding",
    at: str = "last",
) -> pd.DataFrame:
    """One row per run: ``dataset``, ``train_size`` (the paper's row), ``method``, ``param``, ``seed``, the metrics of
    the test split, and ``key`` of the record.

    Args:
        records: of one profile.
        size_label: the paper's row that a run belongs to.
        method_of: the paper's method that a run belongs to, a key of :data:`LABELS`.
        param: the method's parameter that distinguishes rows in the paper's table.
        at: ``"last"``, the evaluation after the last update: every method has had the same training; or ``"selected"``,
            the one that is best on the development rows, which is most papers' rule.

    Raises:
        MixedPrecision: some in fp32, some in bf16.
    """
    if at not in EVALUATIONS:
        raise ValueError(f"unknown evaluation {at!r}; choose one of {', '.join(EVALUATIONS)}")
    records = list(records)
    one_precision(records)
    rows = []
    for record in records:
        spec, scores = record.spec, record.last if at == "last" else record.test
        row = {
            "dataset": spec.dataset,
            "train_size": size_label(spec),
            "method": method_of(spec),
            "param": str(spec.method_params.get(param, "")),
            "seed": spec.seed,
            "examples": record.data.get("train_rows", spec.train_size),
            "key": spec.key,
        }
        rows.append(row | {ours: 100 * scores[theirs] for ours, theirs in METRICS.items()})
    return pd.DataFrame(rows)


SCORES = ("best", "last", "published")


def frame_of_stages(
    records: Iterable[RunRecord],
    score: str = "best",
    reported: Mapping[str, str] | None = None,
    leaking: bool = False,
) -> pd.DataFrame:
    """As :func:`frame`, with accuracy only, for runs in two stages; the method of a second stage without mixup is
    ``none_long``, that of a first stage ``none``. ``stage`` is the number of the stage that the score comes from.

    Args:
        records: of first and second stages.
        score: ``"last"``: the run alone, test accuracy after its last update; ``"best"``: that of whichever stage did
            better on the development rows (the first if equal), at its selected evaluation; ``"published"``: the best
            value that any evaluation of either stage reached on the split the paper reports.
        reported: that split by data set, ``"dev"`` or ``"test"`` (the default).
        leaking: use the second stages with the dropout leak instead of those without.

    Raises:
        ValueError: unknown score, or a second stage whose first stage is not among the records.
        MixedPrecision: some in fp32, some in bf16.
    """
    if score not in SCORES:
        raise ValueError(f"unknown score {score!r}; choose one of {', '.join(SCORES)}")
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
            method = "none_long" if spec.method == "none" else spec.method
        for column, split in _columns(spec.dataset, (reported or {}).get(spec.dataset, "test")):
            accuracy, number = _score(stages, score, split)
            rows.append({
                "dataset": column, "train_size": "full", "method": method, "param": "", "seed": spec.seed,
                "examples": record.data.get("train_rows"), "key": spec.key,
                "accuracy": 100 * accuracy, "stage": number,
            })  # fmt: skip
    return pd.DataFrame(rows)


def _columns(dataset: str, split: str) -> list[tuple[str, str]]:
    """The columns of the paper's table that a data set fills, and the split each reports."""
    if dataset.startswith("anli"):
        return [(f"{dataset} valid", "dev"), (f"{dataset} test", "test")]
    return [(dataset.removesuffix("_mismatched"), split)]


def _score(stages: Sequence[RunRecord], score: str, split: str) -> tuple[float, int]:
    """The score, and the number of the stage in which it was reached (the first if equal)."""
    if score == "published":
        split = split if split in stages[-1].evaluations[0] else "test"
        best = [max(e[split]["accuracy"] for e in record.evaluations) for record in stages]
        return max(best), best.index(max(best)) + 1
    if score == "last":
        return stages[-1].last["accuracy"], len(stages)
    chosen_by = [r.evaluations[r.selected][r.selected_on]["accuracy"] for r in stages]
    number = chosen_by.index(max(chosen_by))
    return stages[number].test["accuracy"], number + 1


def by_split(printed: pd.DataFrame) -> pd.DataFrame:
    """A table of the SSMix paper, data set by data set: each round of ANLI is two, its valid and its test column."""
    both = printed["dataset"].str.startswith("anli")
    return by_dataset(
        printed.assign(dataset=printed["dataset"].where(~both, printed["dataset"] + " " + printed["split"]))
    )


def by_dataset(printed: pd.DataFrame) -> pd.DataFrame:
    """A printed table data set by data set, if the paper has them in columns."""
    order = list(dict.fromkeys(printed["dataset"]))
    return printed.sort_values("dataset", key=lambda column: column.map(order.index), kind="stable", ignore_index=True)


@dataclass(frozen=True)
class Comparison:
    """A paired difference ``first - second`` with its t interval and two-sided p value.

    ``p`` and ``decided`` are after Holm's correction once :func:`holm` has been applied; a comparison is decided when
    the corrected p is below 0.05. With fewer than :data:`MIN_SEEDS` seeds, or with the same difference for every seed
    (runs that ended identically, or a coincidence of coarse scores), nothing is decided and p is 1.
    """

    label: str
    mean: float
    low: float
    high: float
    p: float
    seeds: int
    decided: bool

    @property
    def interval(self) -> str:
        """``+1.2 [-0.3, 2.7]``."""
        return f"{self.mean:+.1f} [{self.low:.1f}, {self.high:.1f}]"


class NotMeasured(KeyError):
    """A cell that has not been run."""


class TooFewSeeds(ValueError):
    """There is no spread with fewer than two seeds."""


def compare(first: pd.Series, second: pd.Series, label: str = "") -> Comparison:
    """Paired t test of two series indexed by seed, on the seeds they share.

    Raises:
        TooFewSeeds: fewer than two common seeds.
    """
    seeds = first.index.intersection(second.index)
    if len(seeds) < 2:
        raise TooFewSeeds(f"{label or 'comparison'}: needs at least 2 common seeds, got {len(seeds)}")
    difference = (first[seeds] - second[seeds]).to_numpy()
    if no_spread(difference):  # the t statistic is undefined
        value = float(difference[0])
        return Comparison(label, value, value, value, 1.0, len(seeds), False)
    result = stats.ttest_1samp(difference, 0.0)
    low, high = result.confidence_interval(CONFIDENCE)
    p = float(result.pvalue) if len(seeds) >= MIN_SEEDS else 1.0
    return Comparison(label, float(difference.mean()), float(low), float(high), p, len(seeds), p < ALPHA)


def geometric_mean(ratios: pd.Series) -> tuple[float, float, float]:
    """The geometric mean of ratios, and its t interval."""
    logs = np.log(ratios)
    found = compare(logs, 0 * logs)
    return float(np.exp(found.mean)), float(np.exp(found.low)), float(np.exp(found.high))


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with Holm-corrected p values, decided over all of them together."""
    if not comparisons:
        return []
    reject, corrected = statistics.corrected([c.p for c in comparisons])
    return [
        Comparison(c.label, c.mean, c.low, c.high, float(p), c.seeds, bool(r))
        for c, p, r in zip(comparisons, corrected, reject, strict=True)
    ]


def cell(data: pd.DataFrame, metric: str, **where: object) -> pd.Series:
    """The values of one cell, indexed by seed. ``NotMeasured`` if it has not been run."""
    rows = data
    for column, value in where.items():
        rows = rows[rows[column] == value]
    if rows.empty:
        raise NotMeasured(f"no runs with {where}")
    return rows.set_index("seed")[metric].sort_index()


def beside(
    printed: pd.DataFrame,
    data: pd.DataFrame,
    metrics: Sequence[str],
    baseline: str = "none",
    extra: Sequence[str] = (),
    absent: Mapping[str, str] | None = None,
    published_baseline: str | None = None,
) -> pd.DataFrame:
    """The paper's table with measured columns next to the printed ones.

    Args:
        printed: from :func:`mixlib.evidence.published.table`.
        data: from :func:`frame`.
        metrics: of the table, in its order; ``"score"`` means each data set's own (accuracy or MCC).
        baseline: the method that every other is compared with, by seed.
        extra: methods that the paper's table does not have, shown below its rows. A baseline that it does not have is
            shown above them.
        absent: data set -> why nothing was measured there, shown instead of "not run".
        published_baseline: the method from which printed differences are taken, if it is a different one.

    Returns:
        One row per cell of the paper (index: data set, training examples, method, parameter), and for each metric the
        columns ``published``, ``measured`` (mean and sample standard deviation), ``published difference`` and
        ``measured difference`` (paired, with a 95% t interval; ``*`` if Holm's correction over all comparisons of the
        table leaves p below 0.05; "= stage 1" if the score comes from the first of two stages with every seed, as the
        baseline's does), and ``seeds``.
    """
    keys = ["dataset", "train_size", "method", "param"]
    score = {
        row["dataset"]: row["metric"] for row in printed.to_dict("records") if row["metric"] in ("accuracy", "mcc")
    }
    cells = list(printed[keys].drop_duplicates().itertuples(index=False, name=None))
    present = set(data[keys].itertuples(index=False, name=None))
    for dataset, size in dict.fromkeys((c[0], c[1]) for c in cells):
        places = [i for i, c in enumerate(cells) if c[:2] == (dataset, size)]
        added = sorted(c for c in present if c[:2] == (dataset, size) and c[2] in extra and c not in cells)
        cells[places[-1] + 1 : places[-1] + 1] = added
        plain = (dataset, size, baseline, "")
        if plain in present and plain not in cells:
            cells.insert(places[0], plain)

    measured = _measured(data, cells, metrics, score, baseline)
    rows = {}
    for c in cells:
        row: dict[tuple[str, str], str] = {}
        for metric in metrics:
            name = score[c[0]] if metric == "score" else metric
            title = "Score" if metric == "score" else TITLES[metric]
            paper = _printed(printed, keys, c, name)
            base = _printed(printed, keys, (c[0], c[1], published_baseline or baseline, ""), name)
            row[title, "published"] = "–"
            if paper is not None:
                spread = f" ± {paper['spread_printed']}" if paper["spread_printed"] else ""
                row[title, "published"] = paper["value_printed"] + spread
            missing = (absent or {}).get(c[0].split()[0], "not run")
            row[title, "measured"], change = measured.get((c, metric), (missing, ""))
            both = paper is not None and base is not None and c[2] != (published_baseline or baseline)
            row[title, "published Δ"] = _difference(paper, base) if both else ""
            row[title, "measured Δ"] = change
        row["", "seeds"] = str((data[keys] == c).all(axis=1).sum())
        rows[c] = row
    table = pd.DataFrame(rows).T
    sizes = data.groupby(["dataset", "train_size"])["examples"].first()
    table.index = pd.MultiIndex.from_tuples(
        [(d, _size(s, sizes.get((d, s))), LABELS.get(m, m) + (f", {p}" if p else "")) for d, s, m, p in cells],
        names=["data set", "training examples", "method"],
    )
    return table


def _difference(paper: pd.Series, base: pd.Series) -> str:
    """A difference of printed values, with as many digits as they are printed with."""
    digits = max(len(value["value_printed"].partition(".")[2]) for value in (paper, base))
    return f"{paper['value'] - base['value']:+.{digits}f}"


def as_printed(printed: pd.DataFrame, rows: str | list[str] = "method", columns: str = "dataset") -> pd.DataFrame:
    """A published table as it is printed, ``value ± spread``, in the paper's order.

    Args:
        printed: from :func:`mixlib.evidence.published.table`, of one metric.
        rows, columns: of ``printed`` that become the rows and the columns.
    """
    spread = printed["spread_printed"].map(lambda value: f" ± {value}" if value else "")
    said = printed.assign(said=printed["value_printed"] + spread, method=printed["method"].replace(LABELS),
                          dataset=printed["dataset"].replace(NAMES))  # fmt: skip
    wide = said.pivot_table(index=rows, columns=columns, values="said", aggfunc="first", sort=False)
    return wide.rename_axis(columns=None).fillna("–")


def sizes(data: pd.DataFrame, paper: Mapping[str, int] | None = None) -> dict[str, str]:
    """What readers call each data set, with its number of training rows: ``IMDb, n = 400 (paper 25,000)``.

    Args:
        data: from :func:`frame`, one size per data set.
        paper: the paper's number of rows, by data set.
    """
    found = data.dropna(subset=["examples"]).groupby("dataset", sort=False)["examples"].first()
    said = {name: f" (paper {rows:,})" for name, rows in (paper or {}).items() if rows != found.get(name)}
    return {name: f"{NAMES.get(name, name)}, n = {int(rows):,}{said.get(name, '')}" for name, rows in found.items()}


def for_readers(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """A narrower version of a table from :func:`beside` with one size per data set: one level for data set and size,
    and no number of seeds if it is the same in every row.

    Args:
        table: from :func:`beside`.
        names: from :func:`sizes`; a data set that it lacks keeps its name in :data:`NAMES`.
    """
    rows = [(names.get(d, NAMES.get(d, d)), method) for d, _, method in table.index]
    shown = table.set_axis(pd.MultiIndex.from_tuples(rows, names=["data set", "method"]))
    seeds = ("", "seeds")
    return shown.drop(columns=[seeds]) if shown[seeds].nunique() == 1 else shown


def changes(
    data: pd.DataFrame,
    metric: str = "accuracy",
    names: Mapping[str, str] | None = None,
    baseline: str = "none",
    over: str = "dataset",
) -> pd.DataFrame:
    """What each method changes: the baseline's mean and standard deviation, then paired differences from it.

    Args:
        data: from :func:`frame`.
        metric: of it.
        names: of the rows, by default :data:`NAMES`.
        baseline: the method that the others are compared with.
        over: the column whose values are the rows.

    Returns:
        One row per data set (or value of ``over``), one column per method; intervals are separate 95% t intervals.
    """
    rows: dict[str, dict[str, str]] = {}
    for value in dict.fromkeys(data[over]):
        here = data[data[over] == value]
        plain = cell(here, metric, method=baseline)
        row = rows.setdefault((names or NAMES).get(value, value), {})
        row[LABELS[baseline]] = f"{plain.mean():.1f} ± {plain.std(ddof=1):.1f}"
        for method in [m for m in LABELS if m in set(here["method"]) and m != baseline]:
            row[LABELS[method]] = compare(cell(here, metric, method=method), plain).interval
    shown = pd.DataFrame.from_dict(rows, orient="index").fillna("not run")
    return shown[[label for label in LABELS.values() if label in shown]]


def _measured(
    data: pd.DataFrame, cells: Sequence[tuple], metrics: Sequence[str], score: Mapping[str, str], baseline: str
) -> dict[tuple[tuple, str], tuple[str, str]]:
    """For each cell and metric that was measured: its mean and spread, and its difference from the baseline."""
    keys = ["dataset", "train_size", "method", "param"]
    present = set(data[keys].itertuples(index=False, name=None))
    first = {c for c, stages in data.groupby(keys)["stage"] if (stages == 1).all()} if "stage" in data else set()
    comparisons, values = {}, {}
    for c in (c for c in cells if c in present):
        for metric in metrics:
            name = score[c[0]] if metric == "score" else metric
            values[c, metric] = cell(data, name, **dict(zip(keys, c, strict=True)))
            if c[2] != baseline and (c[0], c[1], baseline, "") in present:
                reference = cell(data, name, dataset=c[0], train_size=c[1], method=baseline, param="")
                comparisons[c, metric] = compare(values[c, metric], reference)
    corrected = dict(zip(comparisons, holm(list(comparisons.values())), strict=True))
    changes = {key: result.interval + (" *" if result.decided else "") for key, result in corrected.items()}
    if baseline == "none":  # which is stage 1: the same models
        changes |= {key: "= stage 1" for key in changes if key[0] in first}
    return {key: (f"{v.mean():.1f} ± {v.std(ddof=1):.1f}", changes.get(key, "")) for key, v in values.items()}


def _size(label: str, examples: object) -> str:
    if pd.isna(examples) or str(examples) == label:
        return label
    return f"full (here {int(examples)})" if label == "full" else f"{label} (here {int(examples)})"


def _printed(printed: pd.DataFrame, keys: Sequence[str], values: tuple, metric: str) -> pd.Series | None:
    rows = printed[printed["metric"] == metric]
    for key, value in zip(keys, values, strict=True):
        rows = rows[rows[key] == value]
    return None if rows.empty else rows.iloc[0]


def differences(
    printed: pd.DataFrame, data: pd.DataFrame, metrics: Sequence[str], baseline: str = "none"
) -> pd.DataFrame:
    """The paired differences from ``baseline`` as numbers, for plotting: one row per cell and metric.

    Columns: ``dataset``, ``train_size``, ``method``, ``param``, ``metric``, ``mean``, ``low``, ``high``, ``published``.
    """
    keys = ["dataset", "train_size", "method", "param"]
    rows = []
    for c in data[keys].drop_duplicates().itertuples(index=False, name=None):
        for metric in metrics:
            if c[2] == baseline:
                continue
            reference = cell(data, metric, dataset=c[0], train_size=c[1], method=baseline, param="")
            result = compare(cell(data, metric, **dict(zip(keys, c, strict=True))), reference)
            paper = _printed(printed, keys, c, metric)
            base = _printed(printed, keys, (c[0], c[1], baseline, ""), metric)
            known = paper is not None and base is not None
            published = paper["value"] - base["value"] if known else float("nan")
            rows.append(dict(zip(keys, c, strict=True)) | {"metric": metric, "mean": result.mean, "low": result.low,
                        "high": result.high, "published": published})  # fmt: skip
    return pd.DataFrame(rows)


def show(table: pd.DataFrame, caption: str, uuid: str = "table") -> HTML:
    """A table for a notebook, the same HTML every time, in the page's own colours (light or dark). Its text is shown as
    it is, never interpreted as HTML. Data sets get their names for readers, and a missing number is a dash.

    Args:
        table: what to show.
        caption: one line above it: units, profile, what ± means.
        uuid: tells several tables of one notebook apart.
    """
    table = table.map(_as_text).rename(index=_for_readers, columns=_for_readers)
    table = table.rename_axis(index=_for_readers, columns=_for_readers)
    left = [{"selector": "td, th", "props": "text-align: left; vertical-align: top"}]
    styler = table.style.set_table_styles(left).set_uuid(uuid)
    return HTML(f"<p><strong>{html.escape(caption)}</strong></p>{styler.to_html()}")


def _for_readers(label: Any) -> Any:
    names = NAMES | {"dataset": "data set", "data_set": "data set"}
    return _as_text(names.get(label, label) if isinstance(label, str) else label)


def _as_text(value: Any) -> Any:
    if isinstance(value, float) and np.isnan(value):
        return "–"
    return html.escape(value, quote=False) if isinstance(value, str) else value


def source(profile: str, records: Sequence[RunRecord]) -> str:
    """One line on where numbers come from: profile, model, seeds, test rows, machine, precision.

    On synthetic data it begins with a warning that they are not results.
    """
    warning, origin = _origin(records)
    return f"{warning}Profile {profile}: {origin}"


def _origin(records: Sequence[RunRecord]) -> tuple[str, str]:
    """A warning if the data are synthetic, and model, seeds, test rows, machine and precision in words."""
    one_precision(records)
    specs = [record.spec for record in records]
    warning = "SYNTHETIC DATA, not a result. " if any(s.synthetic for s in specs) else ""
    seeds = _seeds_of_cells(specs)
    tests = sorted({sum(record.reliability["rows"]) for record in records})
    several, rows = (" to ".join(f"{n:,}" for n in dict.fromkeys((found[0], found[-1]))) for found in (seeds, tests))
    models = ", ".join(sorted({s.model for s in specs}))
    return warning, f"{models}, {several} seeds, {rows} test rows, made on {_made_on(records)}"


def _seeds_of_cells(specs: Iterable[RunSpec]) -> list[int]:
    """The numbers of seeds that the cells of these runs have, in ascending order."""
    seeds: dict[RunSpec, set[int]] = {}
    for spec in specs:
        seeds.setdefault(spec.cell, set()).add(spec.seed)
    return sorted({len(found) for found in seeds.values()})


def scale(profile: str, records: Sequence[RunRecord], published_spread: str = "standard error over 5 runs") -> str:
    """One line on where the measured numbers of a table come from: model, sizes, seeds, machine.

    Args:
        profile: the one that the records belong to.
        records: of the table.
        published_spread: what the paper's ± is.
    """
    warning, origin = _origin(records)
    return (
        f"{warning}Measured at profile {profile}: {origin}. ± is the sample standard deviation over seeds "
        f"(published: {published_spread}). Δ: difference to no mixup; measured Δ is paired by seed, with its "
        "95% t interval; * is decided after Holm's correction over the table."
    )
