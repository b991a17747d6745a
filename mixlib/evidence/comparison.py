"""All methods under one protocol: what each changes relative to the plain model, raw and after temperature scaling.

Every difference is taken seed by seed within a data set, signed so that positive is better, and pooled over the data
sets as in :mod:`mixlib.evidence.statistics`. Losses are compared as ratios, everything else in points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mixlib.evidence import judgements, statistics
from mixlib.evidence.claims import FACTOR, POINT, ece_margin
from mixlib.evidence.statistics import Part
from mixlib.runs.metrics import ECE_BINS
from mixlib.runs.predictions import ROWS_IN_COMMON, Predictions, ensemble, in_common
from mixlib.runs.spec import RunRecord

PLAIN = "none"


@dataclass(frozen=True)
class Score:
    """A number that methods are compared by.

    Attributes:
        title: for readers, with its unit.
        key: its name in a record.
        unit: of differences: ``points`` (of a number in percent) or ``log ratio``.
        sign: 1 if more is better, -1 if less is.
        margin: the smallest difference that matters, in that unit; ``None``: that of calibration errors, the smaller of
            2 points and a quarter of the plain model's error.
    """

    title: str
    key: str
    unit: str
    sign: int
    margin: float | None


SCORES = {
    "accuracy": Score("accuracy %", "accuracy", "points", 1, POINT),
    "nll": Score("NLL x100", "nll", statistics.LOG_RATIO, -1, FACTOR),
    "ece": Score("ECE %", "ece", "points", -1, None),
    "brier": Score("Brier x100", "brier", "points", -1, POINT),
}
CATEGORIES = {  # what the categories of a claim are called where nothing is claimed
    statistics.SUPPORTED: "better",
    statistics.CONTRADICTED: "worse",
    statistics.NO_EFFECT: "no difference that matters",
    statistics.UNDECIDED: "undecided",
}


def scores(records: Mapping[tuple[str, str], Sequence[RunRecord]]) -> pd.DataFrame:
    """Test scores at the last update, one row per run and score.

    Args:
        records: by data set and method; each run with its own seed.

    Returns:
        Columns ``data_set``, ``method``, ``seed``, ``score`` (of :data:`SCORES`), ``scaled`` (after temperature scaling
        on development rows; accuracy is the same) and ``value``: accuracy and calibration error in percent, Brier score
        and loss x100.
    """
    rows = []
    for (data_set, method), found in records.items():
        for record in found:
            for name, score in SCORES.items():
                values = {False: record.last.get(score.key), True: (record.last | record.scaled).get(score.key)}
                if not record.scaled:
                    values.pop(True)
                for scaled, value in values.items():
                    if value is not None:
                        rows.append((data_set, method, record.spec.seed, name, scaled, 100 * value))
    return pd.DataFrame(rows, columns=["data_set", "method", "seed", "score", "scaled", "value"])


def differences(table: pd.DataFrame, score: str, method: str, scaled: bool = False) -> dict:
    """By data set, the differences of ``method`` from the plain model, by seed, positive if ``method`` is better.

    Args:
        table: from :func:`scores`.
        score: of :data:`SCORES`.
        method: a label in the table; data sets that lack it or the plain model are left out.
        scaled: after temperature scaling.
    """
    chosen = table[(table["score"] == score) & (table["scaled"] == scaled)]
    values = chosen.pivot(index=["data_set", "seed"], columns="method", values="value")
    if not {method, PLAIN} <= set(values):
        return {}
    pair = values[[method, PLAIN]].dropna()
    if SCORES[score].unit == statistics.LOG_RATIO:
        pair = np.log(pair)
    change = SCORES[score].sign * (pair[method] - pair[PLAIN])
    order = list(dict.fromkeys(chosen["data_set"]))
    return {name: change[name] for name in order if name in change.index.get_level_values(0)}


def labelled(records: Iterable[RunRecord]) -> dict[tuple[str, str], list[RunRecord]]:
    """Runs of one paper's cells by data set and method, as :func:`scores` takes them.

    Raises:
        ValueError: a method was run twice on a data set with one seed, as with other parameters or another recipe.
    """
    found: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        found.setdefault((record.spec.dataset, record.spec.method), []).append(record)
    for (data_set, method), runs in found.items():
        if len({record.spec.seed for record in runs}) < len(runs):
            raise ValueError(f"{method} has several runs on {data_set} with one seed: compare one variant at a time")
    return found


def by_data_set(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds of a raw score as text: rows are methods, columns data sets."""
    chosen = table[(table["score"] == score) & ~table["scaled"]]
    groups = chosen.groupby(["method", "data_set"], sort=False)["value"].agg(["mean", "std"])
    text = groups.apply(lambda row: f"{row['mean']:.1f} ± {row['std']:.1f}", axis=1)
    return text.unstack("data_set")[list(dict.fromkeys(chosen["data_set"]))]


def temperatures(records: Mapping[tuple[str, str], Sequence[RunRecord]]) -> pd.DataFrame:
    """What the temperature fitted to the plain models does, as text: means over seeds, one row per data set.

    Columns: ``temperature`` (below 1 where the model is not confident enough), then NLL x100 and ECE in percent, raw
    and scaled.
    """
    rows = {}
    for (data_set, key), found in records.items():
        if key == PLAIN and all(record.scaled for record in found):
            rows[data_set] = {"temperature": f"{np.mean([record.scaled['temperature'] for record in found]):.2f}"} | {
                SCORES[name].title: " → ".join(
                    f"{100 * np.mean([values[name] for values in each]):.1f}"
                    for each in ([record.last for record in found], [record.scaled for record in found])
                )
                for name in ("nll", "ece")
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def collapsed(records: Mapping[tuple[str, str], Sequence[RunRecord]]) -> pd.DataFrame:
    """How many runs ended no better than the largest class of their test rows: rows are methods, columns data sets.

    Only methods and data sets with such runs; ``"1 of 6"``.
    """
    rows: dict[str, dict[str, str]] = {}
    for (data_set, method), found in records.items():
        count = sum(record.at_chance for record in found)
        if count:
            rows.setdefault(method, {})[data_set] = f"{count} of {len(found)}"
    return pd.DataFrame.from_dict(rows, orient="index").fillna("")


def training_time(records: Mapping[tuple[str, str], Sequence[RunRecord]]) -> pd.Series:
    """Training time of each method relative to plain runs: the mean over data sets of the ratio of median times.

    It is measured on the very runs that are compared, many of which ran side by side, so it says what they cost, not
    how fast a step can be (:mod:`mixlib.runs.bench`).
    """
    medians = pd.Series({key: np.median([r.timing["train_seconds"] for r in found]) for key, found in records.items()})
    wide = medians.unstack()
    return wide.div(wide[PLAIN], axis=0).mean().rename("training time")


def margin(table: pd.DataFrame, score: str) -> float:
    """The smallest difference that matters. That of calibration errors is the same for raw and scaled ones."""
    known = SCORES[score].margin
    if known is not None:
        return known
    plain = table[(table["score"] == score) & (table["method"] == PLAIN) & ~table["scaled"]]
    return ece_margin(plain.groupby("data_set")["value"].mean().mean())


AGAINST_PLAIN = [
    "estimate", "low", "high", "category", "small", "words", "p", "differs", "sets", "sets_worse", "p_holm",
]  # fmt: skip


def against_plain(table: pd.DataFrame, methods: Sequence[str], score: str, scaled: bool = False) -> pd.DataFrame:
    """Every method's pooled difference from the plain model.

    Args:
        table: from :func:`scores`, of the data sets that count.
        methods: rows of the result, in order; those without runs are left out.
        score: of :data:`SCORES`.
        scaled: both after temperature scaling.

    Returns:
        Index ``method``; ``estimate``, ``low``, ``high`` (95%), positive is better, in the score's unit; ``category``;
        ``small``: better or worse by less than the margin; ``words``; ``p`` and ``p_holm`` (over these methods);
        ``differs``: whether the data sets differ; ``sets``: how many there are; ``sets_worse``: on how many the
        method's mean is worse.
    """
    rows = {}
    for method in methods:
        found = {} if method == PLAIN else differences(table, score, method, scaled)
        if not found:
            continue
        part = Part(f"{method} - {PLAIN}", found, margin=margin(table, score), unit=SCORES[score].unit)
        judged = judgements.judge(part)
        rows[method] = {
            "estimate": judged.estimate, "low": judged.low, "high": judged.high,
            "category": CATEGORIES[judged.category], "small": judged.small, "words": said(judged), "p": judged.p,
            "differs": judged.differs_between_sets, "sets": len(judged.sets),
            "sets_worse": sum(change.mean() < 0 for change in found.values()),
        }  # fmt: skip
    if not rows:
        return pd.DataFrame(columns=AGAINST_PLAIN).rename_axis("method")
    result = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    result["p_holm"] = statistics.corrected(result["p"].fillna(1.0))[1]
    return result


def in_percent(table: pd.DataFrame, methods: Sequence[str], score: str, scaled: bool = False) -> pd.DataFrame:
    """:func:`against_plain` for a picture: losses in percent of the plain model's, and ``attrs["margin"]`` likewise."""
    found, matters = against_plain(table, methods, score, scaled), margin(table, score)
    if SCORES[score].unit == statistics.LOG_RATIO:  # less is better: a factor of e^-x of the plain model's loss
        for name in ("estimate", "low", "high"):
            found[name] = -100 * np.expm1(-found[name].astype(float))
        matters = -100 * math.expm1(-matters)
    found.attrs["margin"] = matters
    return found


PANELS = {
    "accuracy": "accuracy: points gained", "nll": "NLL: % saved", "ece": "ECE: points saved",
    "brier": "Brier x100: points saved",
}  # fmt: skip
RAW, SCALED = "as trained", "after temperature scaling"


def panels(table: pd.DataFrame, methods: Sequence[str]) -> dict[str, dict[str, pd.DataFrame]]:
    """Every score raw and after temperature scaling, as :func:`mixlib.evidence.overview.against_plain` draws them."""
    return {
        title: {RAW: in_percent(table, methods, score)}
        | ({SCALED: in_percent(table, methods, score, True)} if score != "accuracy" else {})
        for score, title in PANELS.items()
    }


def in_words(table: pd.DataFrame, methods: Sequence[str], scaled: bool = False) -> pd.DataFrame:
    """What is found about each method and score, in words; ``*`` if it holds after Holm's correction over methods."""
    columns = {}
    for score, title in PANELS.items():
        found = against_plain(table, methods, score, scaled)
        star = (found["p_holm"] < statistics.ALPHA).map({True: " *", False: ""})
        columns[title.partition(":")[0]] = found["words"] + star
    return pd.DataFrame(columns)


def by_rate(tables: Mapping[str, pd.DataFrame], methods: Sequence[str], score: str = "accuracy") -> pd.DataFrame:
    """The pooled gain over the plain model at several learning rates, as text with its 95% interval.

    Args:
        tables: by the column's title a table from :func:`scores`, of the same data sets.
        methods: rows.
        score: a key of :data:`PANELS`, which gives the unit.
    """
    columns = {}
    for title, table in tables.items():
        found = in_percent(table, methods, score)
        ends = zip(found["estimate"], found["low"], found["high"], strict=True)
        columns[title] = pd.Series([f"{mean:+.1f} [{low:.1f}, {high:.1f}]" for mean, low, high in ends], found.index)
    return pd.DataFrame(columns)


def said(judged: judgements.Judgement) -> str:
    """The finding in a few words, from the side of the method."""
    if not judged.decidable:  # the words say why not
        return judged.words
    if judged.category == statistics.NO_EFFECT:
        end = judged.words.partition(";")[0]
        return end.replace("no effect larger than", "no difference larger than")
    name = CATEGORIES[judged.category]
    small = " by less than the margin" if judged.small else ""
    apart = ", data sets differ" if judged.differs_between_sets else ""
    numbers = judgements.with_interval((judged.estimate, judged.low, judged.high), judged.unit)
    return f"{name}{small}{apart}: {numbers}"


@dataclass(frozen=True)
class Ensembles:
    """What averaging the probabilities of all seeds of a model gives, next to one of them.

    Attributes:
        values: by data set, for each score the mean of one seed and that of the ensemble, as text; and the rows.
        gains: by score the pooled gain with its 95% interval over test rows, as text.
        estimates: the same as numbers: ``estimate``, ``low``, ``high``, positive is better, in the score's unit.
    """

    values: pd.DataFrame
    gains: pd.DataFrame
    estimates: pd.DataFrame


def ensembles(members: Mapping[str, Sequence[Predictions]], scaled: bool = False, resamples: int = 1000) -> Ensembles:
    """What averaging the probabilities of all seeds of a model gains over one of them (Lakshminarayanan et al. 2017).

    Scored on the test rows that all seeds have. There is one ensemble per data set, so the interval is over these rows.

    Args:
        members: by data set, the kept predictions of each seed; data sets whose seeds share fewer than
            :data:`ROWS_IN_COMMON` test rows are left out.
        scaled: divide the logits of each seed by its own temperature first, alone and in the ensemble. The ensemble
            gets no temperature of its own: what is a development row of one seed, another was trained on.
        resamples: of the test rows, the same every time.

    If no data set has enough of them, the tables say so.
    """
    generator = np.random.default_rng(0)
    table: dict[str, dict[str, str]] = {}
    gains: dict[str, list[np.ndarray]] = {name: [] for name in SCORES}
    for data_set, found in members.items():
        try:
            common = in_common(found)
        except ValueError:  # draws of a large test set share nothing
            continue
        labels = common[0].labels
        if len(labels) < ROWS_IN_COMMON:
            continue
        temperatures = [member.temperature if scaled else 1.0 for member in found]
        log_probs = [each.scaled(temperature) for each, temperature in zip(common, temperatures, strict=True)]
        log_probs.append(ensemble(log_probs))
        rows = [_row_scores(each, labels) for each in log_probs]
        weights = generator.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size=resamples)
        weights = np.vstack([np.ones(len(labels)), weights]) / len(labels)  # the first are the rows themselves
        table[data_set] = {"test rows": str(len(labels))}
        for name in SCORES:
            values = 100 * np.array([_weighted(name, each, weights) for each in rows])  # (models, 1 + resamples)
            one, together = values[:-1].mean(0), values[-1]
            table[data_set][SCORES[name].title] = f"{one[0]:.1f} → {together[0]:.1f}"
            change = np.log(together / one) if SCORES[name].unit == statistics.LOG_RATIO else together - one
            gains[name].append(SCORES[name].sign * change)
    if not table:  # as at profile smoke
        nothing = pd.DataFrame({"": [f"no data set has {ROWS_IN_COMMON} test rows that all seeds were scored on"]})
        return Ensembles(nothing, nothing, pd.DataFrame(columns=["estimate", "low", "high"]))
    pooled = {name: np.mean(values, axis=0) for name, values in gains.items()}
    estimates = pd.DataFrame.from_dict(
        {name: [v[0], *np.quantile(v[1:], [0.025, 0.975])] for name, v in pooled.items()},
        orient="index", columns=["estimate", "low", "high"],
    )  # fmt: skip
    text = {
        PANELS[name].partition(":")[0]: judgements.with_interval(row, SCORES[name].unit)
        for name, row in estimates.iterrows()
    }  # fmt: skip
    shown = pd.DataFrame([text], index=["every seed scaled" if scaled else "as trained"])
    return Ensembles(pd.DataFrame.from_dict(table, orient="index"), shown, estimates)


def _row_scores(log_probs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """For each row: whether it is right, its loss, its Brier score, and what it adds to its confidence bin."""
    right, confidence = (log_probs.argmax(1) == labels).astype(float), np.exp(log_probs.max(1))
    own = log_probs[np.arange(len(labels)), labels]
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    return {
        "accuracy": right, "nll": -own, "brier": np.exp(2 * log_probs).sum(1) - 2 * np.exp(own) + 1,
        "ece": np.eye(ECE_BINS)[bins] * (right - confidence)[:, None],
    }  # fmt: skip


def _weighted(name: str, rows: Mapping[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
    """A score of the rows under each set of weights: (sets of weights,)."""
    found = weights @ rows[name]
    return np.abs(found).sum(1) if name == "ece" else found


def ranks(table: pd.DataFrame, methods: Sequence[str], score: str, resamples: int = 2000) -> pd.DataFrame:
    """The mean rank of each method over the data sets, 1 the best, with a 95% bootstrap interval over seeds.

    Seeds are drawn once per data set for all methods together, because methods share rows and starting weights, and
    n - 1 out of n, as in :func:`mixlib.evidence.statistics.two_way_bootstrap`.

    Args:
        table: from :func:`scores`.
        methods: those that are ranked.
        score: of :data:`SCORES`, raw.
        resamples: of the seeds, the same every time.
    """
    chosen = table[(table["score"] == score) & ~table["scaled"] & table["method"].isin(methods)]
    generator = np.random.default_rng(0)
    order = [m for m in methods if m in set(chosen["method"])]
    measured, drawn = np.zeros(len(order)), np.zeros((resamples, len(order)))
    sets = list(dict.fromkeys(chosen["data_set"]))
    for name in sets:
        wide = chosen[chosen["data_set"] == name].pivot(index="seed", columns="method", values="value")[order].dropna()
        better = -SCORES[score].sign * wide.to_numpy()
        n = len(wide)
        weights = generator.multinomial(max(n - 1, 1), np.full(n, 1 / n), size=resamples) / max(n - 1, 1)
        measured += rankdata(better.mean(0)) / len(sets)  # ties shared
        drawn += rankdata(weights @ better, axis=1) / len(sets)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    result = pd.DataFrame({"rank": measured, "low": low, "high": high}, index=pd.Index(order, name="method"))
    return result.sort_values("rank", kind="stable")


def rank_table(table: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """:func:`ranks` by every score as text, methods in the order of accuracy."""
    found = {score.title: ranks(table, list(labels), name) for name, score in SCORES.items()}
    text = {
        title: rank.apply(lambda r: f"{r['rank']:.1f} [{r['low']:.1f}, {r['high']:.1f}]", axis=1)
        for title, rank in found.items()
    }
    order = next(iter(found.values())).index
    return pd.DataFrame(text).loc[order].rename(index=labels)


def plain_levels(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The plain model's accuracy and loss at several settings by data set, means over seeds as text; see
    :func:`by_rate`."""
    rows = {}
    for title, table in tables.items():
        plain = table[(table["method"] == PLAIN) & ~table["scaled"]]
        means = plain.groupby(["data_set", "score"], sort=False)["value"].mean()
        seeds = plain.groupby("data_set")["seed"].nunique()
        rows[title] = {}
        for data_set, n in seeds.items():
            scores = {SCORES[s].title: f"{means[data_set, s]:.1f}" for s in ("accuracy", "nll")}
            rows[title] |= {(data_set, name): value for name, value in (scores | {"seeds": str(n)}).items()}
    return pd.DataFrame.from_dict(rows, orient="index")
