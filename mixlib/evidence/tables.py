"""Measured numbers next to published ones, compared seed by seed; :func:`beside` makes a paper's table of both.

Units are the papers': accuracy, Matthews correlation and ECE in percent, loss as 100 times the mean negative
log-likelihood in nats. Every comparison is paired: the same seed means the same training examples, test examples,
new head and batch order, so differences are taken seed by seed.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
UNITS = {"accuracy": "accuracy, points", "mcc": "MCC, points", "loss": "loss x100", "ece": "ECE, points"}  # differences
EVALUATIONS = ("last", "selected")


ROWS = {  # of AMPLIFY's Table 4, which are a method with other parameters, or a mean of such rows
    "amplify_block4": methods.Look("AMPLIFY, block 4 of 12", "#de8f05", "2", (0, (4, 2))),
    "amplify_block8": methods.Look("AMPLIFY, block 8 of 12", "#c9a400", "3", (0, (6, 3))),
    "amplify_block12": methods.Look("AMPLIFY, block 12 of 12", "#606060", "_", (0, (9, 3))),
    "amplify_block_mean": methods.Look("mean of the three rows", "#949494", "1", (0, (1, 6))),
}


class OfMethods(Mapping[str, Any]):
    """One aspect of the look of all methods by key, in their order, and then of :data:`ROWS`: read from the classes at
    each use, so that a method written in a notebook is included. ``others`` are other or additional values."""

    def __init__(self, part: str, others: Mapping[str, Any] | None = None) -> None:
        self.part, self.others = part, dict(others or {})

    def _all(self) -> dict[str, Any]:
        named = {key: cls.look for key, cls in methods.REGISTRY.items() if "@" not in key}  # others: mixlib.comparing
        return {key: getattr(look, self.part) for key, look in (named | ROWS).items()} | self.others

    def __getitem__(self, key: str) -> Any:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __or__(self, others: Mapping[str, Any]) -> OfMethods:
        """With other or additional values."""
        return OfMethods(self.part, self.others | others)


LABELS = OfMethods("label")

ORDINALS = {"2": "second", "3": "third"}
NAMES = {  # of data sets, for readers
    "sst2": "SST-2", "sst5": "SST-5", "trec_coarse": "TREC-coarse", "trec_fine": "TREC-fine", "ag_news": "AG News",
    "imdb": "IMDb", "yelp5": "Yelp", "yelp_polarity": "Yelp", "cola": "CoLA", "boolq": "BoolQ",
    "mrpc": "MRPC", "qqp": "QQP", "mnli": "MNLI", "qnli": "QNLI", "rte": "RTE", "banking77": "BANKING77",
    "fewrel": "FewRel", "fewrel75_none": "FewRel, 75 + None",
    "fewrel80": "FewRel, 80", "mnli_mismatched": "MNLI, mismatched",
    "anli_r1": "ANLI R1", "anli_r2": "ANLI R2", "anli_r3": "ANLI R3", "mean": "mean",
}  # fmt: skip


class MixedPrecision(ValueError):
    """Runs in different precisions (fp32, bf16, tf32), although they are to be compared seed by seed."""


def rows_of(spec: Any) -> tuple[Any, ...]:
    """What a run is trained on: equal for runs that are compared with each other."""
    return tuple(getattr(spec, name, None) for name in ("dataset", "train_size", "train_per_class", "train_fraction"))


def one_precision(records: Iterable[Record]) -> None:
    """Raise :class:`MixedPrecision` unless all records on the same rows were made in the same precision: only these are
    compared with each other."""
    rows: dict[Any, dict[str, list[Record]]] = {}
    for record in records:
        rows.setdefault(rows_of(record.spec), {}).setdefault(record.precision, []).append(record)
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
        MixedPrecision: runs on the same rows were made in different precisions.
        ValueError: unknown ``at``.
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


@dataclass(frozen=True)
class Comparison:
    """A paired difference ``first - second`` with its t interval and two-sided p value.

    ``p`` and ``decided`` are after Holm's correction once :func:`holm` has been applied; a comparison is decided when
    the corrected p is below 0.05. With fewer than :data:`MIN_SEEDS` seeds, or with the same difference for every seed
    (runs that ended identically, or a coincidence of coarse scores), nothing is decided and p is 1.
    """

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


def compare(first: pd.Series, second: pd.Series | None = None, label: str = "", scale: float = 100.0) -> Comparison:
    """Paired t test of two series indexed by seed, on the seeds they share; of one, against zero.

    Args:
        first, second: by seed.
        label: for the error.
        scale: what the fractions of records were multiplied by, see :func:`mixlib.evidence.statistics.no_spread`.

    Raises:
        TooFewSeeds: fewer than two common seeds.
    """
    second = 0 * first if second is None else second
    seeds = first.index.intersection(second.index)
    if len(seeds) < 2:
        raise TooFewSeeds(f"{label or 'comparison'}: needs at least 2 common seeds, got {len(seeds)}")
    difference = (first[seeds] - second[seeds]).to_numpy()
    if no_spread(difference, scale):  # the t statistic is undefined
        value = float(difference[0])
        return Comparison(value, value, value, 1.0, len(seeds), False)
    result = stats.ttest_1samp(difference, 0.0)
    low, high = result.confidence_interval(CONFIDENCE)
    p = float(result.pvalue) if len(seeds) >= MIN_SEEDS else 1.0
    return Comparison(float(difference.mean()), float(low), float(high), p, len(seeds), p < ALPHA)


def geometric_mean(ratios: pd.Series) -> tuple[float, float, float]:
    """The geometric mean of ratios, and its t interval."""
    found = compare(np.log(ratios))
    return float(np.exp(found.mean)), float(np.exp(found.low)), float(np.exp(found.high))


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with Holm-corrected p values, decided over all of them together."""
    if not comparisons:
        return []
    reject, corrected = statistics.corrected([c.p for c in comparisons])
    return [replace(c, p=float(p), decided=bool(r)) for c, p, r in zip(comparisons, corrected, reject, strict=True)]


def cell(data: pd.DataFrame, metric: str, **where: object) -> pd.Series:
    """The values of one cell, indexed by seed.

    Raises:
        NotMeasured: it has not been run.
        ValueError: several runs of a seed, so that it is more than one cell.
    """
    rows = data
    for column, value in where.items():
        rows = rows[rows[column] == value]
    if rows.empty:
        raise NotMeasured(f"no runs with {where}")
    return rows.set_index("seed", verify_integrity=True)[metric].sort_index()


CELL = ["dataset", "method", "param"]  # what tells the cells of a table apart that has one size per data set


def _cells(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    return list(rows[CELL].drop_duplicates().itertuples(index=False, name=None))


def _accuracies(printed: pd.DataFrame) -> dict[Any, dict[str, Any]]:
    """The printed accuracies by cell. ``ValueError`` if a cell has several, as in a table with several sizes."""
    rows = printed[printed["metric"] == "accuracy"]
    return rows.set_index(CELL, verify_integrity=True).to_dict("index")


def beside(
    printed: pd.DataFrame, data: pd.DataFrame, names: Mapping[str, str] | None = None, extra: Sequence[str] = ()
) -> pd.DataFrame:
    """A paper's table of accuracies with measured columns next to the printed ones.

    Args:
        printed: from :func:`mixlib.evidence.published.table`, one size per data set.
        data: from :func:`frame`, one size per data set.
        names: what readers call a data set; one that it lacks, and by default all, as in :data:`NAMES`.
        extra: methods that the paper's table does not have, shown below its rows. The plain model, where the paper does
            not have it, is shown above them.

    Returns:
        One row per cell of the paper (index: data set, method with its parameter) with the columns ``published``,
        ``measured`` (mean and sample standard deviation), ``published Δ`` from no mixup and ``measured Δ`` (paired,
        with a 95% t interval; ``*`` if Holm's correction over all comparisons of the table leaves p below 0.05), and
        ``seeds``, unless all rows have as many.

    Raises:
        ValueError: a data set with several sizes.
    """
    said, present = _accuracies(printed), set(_cells(data))
    cells: list[tuple[str, str, str]] = []
    for dataset in dict.fromkeys(printed["dataset"]):
        of_paper = _cells(printed[printed["dataset"] == dataset])
        ours = sorted(c for c in present - set(of_paper) if c[0] == dataset)
        cells += [c for c in ours if c[1:] == ("none", "")] + of_paper + [c for c in ours if c[1] in extra]
    values = {c: cell(data, "accuracy", **dict(zip(CELL, c, strict=True))) for c in cells if c in present}
    pairs = {c: (c[0], "none", "") for c in cells if c[1] != "none"}
    compared = {c: compare(values[c], values[plain]) for c, plain in pairs.items() if {c, plain} <= values.keys()}
    changes = dict(zip(compared, holm(list(compared.values())), strict=True))
    title, names = TITLES["accuracy"], NAMES | dict(names or {})
    rows, index = [], []
    for c in cells:
        paper, plain = said.get(c), said.get(pairs.get(c))
        rows.append({
            (title, "published"): "–" if paper is None else as_said(paper),
            (title, "measured"): mean_and_sd(values[c]) if c in values else "not run",
            (title, "published Δ"): "" if paper is None or plain is None else difference_said(paper, plain),
            (title, "measured Δ"): changes[c].interval + " *" * changes[c].decided if c in changes else "",
            ("", "seeds"): str(len(values.get(c, ()))),
        })  # fmt: skip
        index.append((names.get(c[0], c[0]), LABELS.get(c[1], c[1]) + (f", {c[2]}" if c[2] else "")))
    table = pd.DataFrame(rows, pd.MultiIndex.from_tuples(index, names=["data set", "method"]))
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return table.drop(columns=[("", "seeds")]) if table["", "seeds"].nunique() == 1 else table


def mean_and_sd(values: pd.Series) -> str:
    """The mean of some runs and their sample standard deviation: ``81.0 ± 1.4``."""
    return f"{values.mean():.1f} ± {values.std():.1f}"


def variance_and_sd(values: pd.Series) -> str:
    """The sample variance of some runs and their standard deviation: ``2.00 (1.4)``."""
    return f"{values.var():.2f} ({values.std():.1f})"


def as_said(paper: Mapping[str, Any] | pd.Series) -> str:
    """A printed value, ``value ± spread`` if there is one. ``paper``: a row of a published table."""
    return paper["value_printed"] + (f" ± {paper['spread_printed']}" if paper["spread_printed"] else "")


def difference_said(paper: Mapping[str, Any] | pd.Series, base: Mapping[str, Any] | pd.Series) -> str:
    """A difference of printed values, two rows of a published table, with as many digits as they are printed with."""
    digits = max(len(value["value_printed"].partition(".")[2]) for value in (paper, base))
    return f"{paper['value'] - base['value']:+.{digits}f}"


def with_rows(name: str, rows: float, paper: float | None = None) -> str:
    """A data set with its number of training rows, and the paper's if it is another: ``IMDb, 400 rows (paper 25,000)``.

    Args:
        name: what readers call the data set.
        rows: those trained on here.
        paper: those of the paper; ``None`` leaves them out.
    """
    return f"{name}, {rows:,.0f} rows" + ("" if paper in (None, rows) else f" (paper {paper:,.0f})")


def as_printed(printed: pd.DataFrame, rows: str | list[str] = "method", columns: str = "dataset") -> pd.DataFrame:
    """A published table as it is printed, ``value ± spread``, in the paper's order.

    Args:
        printed: from :func:`mixlib.evidence.published.table`, of one metric.
        rows, columns: of ``printed`` that become the rows and the columns.
    """
    said = printed.assign(said=printed.apply(as_said, axis=1), method=printed["method"].replace(LABELS),
                          dataset=printed["dataset"].replace(NAMES))  # fmt: skip
    wide = said.pivot_table(index=rows, columns=columns, values="said", aggfunc="first", sort=False)
    return wide.rename_axis(columns=None).fillna("–")


def differences(printed: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    """The paired differences in accuracy from no mixup as numbers, for plotting: one row per measured cell.

    Columns: ``dataset``, ``method``, ``param``; in points ``mean``, ``low`` and ``high`` (95%), and ``published``, nan
    where the paper does not have both.

    Args:
        printed: from :func:`mixlib.evidence.published.table`, one size per data set.
        data: from :func:`frame`, one size per data set.

    Raises:
        NotMeasured: a data set without the plain model.
        ValueError: a data set with several sizes.
    """
    said, rows = _accuracies(printed), []
    for c in [c for c in _cells(data) if c[1] != "none"]:
        own, plain = dict(zip(CELL, c, strict=True)), (c[0], "none", "")
        result = compare(cell(data, "accuracy", **own), cell(data, "accuracy", **dict(zip(CELL, plain, strict=True))))
        known = c in said and plain in said
        published = said[c]["value"] - said[plain]["value"] if known else float("nan")
        rows.append(own | {"mean": result.mean, "low": result.low, "high": result.high, "published": published})
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
    return _as_text(names.get(label, model_name(label)) if isinstance(label, str) else label)


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
    several = " or ".join(map(str, seeds))
    rows = " to ".join(f"{n:,}" for n in dict.fromkeys((tests[0], tests[-1])))
    models = ", ".join(model_name(model) for model in sorted({s.model for s in specs}))
    return (
        warning,
        f"{models}, {several} seed{'' if several == '1' else 's'}, {rows} test rows, made on {_made_on(records)}",
    )


def model_name(model: str) -> str:
    """A model for readers: ``all-MiniLM-L6-v2, every second block`` for ``all-MiniLM-L6-v2[::2]``."""
    whole, every, step = model.partition("[::")
    number = step.rstrip("]")
    return f"{whole}, every {ORDINALS.get(number, f'{number}th')} block" if every else model


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
        f"(published: {published_spread}). Δ: difference from no mixup; measured Δ is paired by seed, with its "
        "95% t interval; * means decided after Holm's correction over the table."
    )
