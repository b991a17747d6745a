"""Verdicts on the SSMix paper's 15 claims.

Methods are compared by the second stage alone, against a second stage without mixup that makes as many updates: the
paper's own score, the best of both stages, cannot fall below training without mixup, whatever the method does.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mixlib.claims import CONTRADICTED, INCONCLUSIVE, NOT_RUN, SUPPORTED, Verdict, directions, judge
from mixlib.protocols import ssmix as protocol
from mixlib.runs import RunRecord
from mixlib.store import Record, Store
from mixlib.studies import StudyRecord
from mixlib.tables import LABELS, Comparison, cell, compare, holm, two_stages

HIDDEN, INPUT = ("embedmix", "tmix"), ("ssmix", "ssmix_nosal", "ssmix_nosal_nospan")
LARGE, SMALL = ("sst2", "qqp", "mnli", "qnli"), ("rte", "mrpc")
LARGE_ROWS = 10_000  # training examples that make a set a large one
MANY_CLASSES = ("trec_coarse", "trec_fine", "mnli", "anli_r1", "anli_r2", "anli_r3")
TWICE = (1.6, 2.4)  # claim 11
SLIGHTLY = 1.2  # claim 12
ON_THE_LINE = 0.05  # of the segment's length, claim 15
REACHED = 0.99  # of the best development accuracy, claim 14


class _Records:
    """The records of one profile, with short words for what the claims compare."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.runs = [record for record in records if isinstance(record, RunRecord)]
        self.studies = [record for record in records if isinstance(record, StudyRecord)]
        self.second = two_stages(self.runs, "second", protocol.REPORTED) if self.runs else pd.DataFrame()
        self.best = two_stages(self.runs, "best", protocol.REPORTED) if self.runs else pd.DataFrame()
        self.columns = list(dict.fromkeys(self.second["dataset"])) if self.runs else []

    def of(self, *datasets: str) -> list[str]:
        """The columns of these data sets that were run; a round of ANLI has two."""
        return [column for column in self.columns if column.split()[0] in datasets]

    def accuracy(self, column: str, method: str) -> pd.Series:
        return cell(self.second, "accuracy", dataset=column, method=method)

    def mean(self, column: str, methods: Sequence[str]) -> pd.Series:
        return pd.DataFrame({method: self.accuracy(column, method) for method in methods}).mean(axis=1)

    def gain(self, column: str, method: str, over: str) -> Comparison:
        label = f"{column}, {LABELS[method]} against {LABELS[over]}"
        return compare(self.accuracy(column, method), self.accuracy(column, over), label)


def claim_1(found: _Records) -> Verdict:
    verdict = directions(holm([found.gain(column, "ssmix", "none_long") for column in found.columns]))
    own = holm([
        compare(*(cell(found.best, "accuracy", dataset=column, method=m) for m in ("ssmix", "none")), column)
        for column in found.columns
    ])  # fmt: skip
    below = sum(c.mean < 0 for c in own)
    ends = max(own, key=lambda c: c.mean)
    return Verdict(
        verdict.verdict,
        f"stage 2 against stage 2 without mixup: {verdict.evidence}. By the paper's rule (best of both stages against "
        f"stage 1) on rows that chose nothing: below in {below} of {len(own)}, largest {ends.label} {ends.interval}",
    )


def claim_2(found: _Records) -> Verdict:
    return directions(holm([found.gain(column, "ssmix", m) for column in found.columns for m in HIDDEN]))


def claim_3(found: _Records) -> Verdict:
    comparisons = [
        compare(found.mean(column, INPUT), found.mean(column, HIDDEN), f"{column}, input against hidden level")
        for column in found.columns
    ]
    return directions(holm(comparisons))


def claim_4(found: _Records) -> Verdict:
    rows = found.second.groupby("dataset")["examples"].max()
    leads = []
    for column in found.of(*LARGE, *SMALL):
        best = max(HIDDEN, key=lambda m, c=column: found.accuracy(c, m).mean())
        leads.append((column, compare(found.accuracy(column, "ssmix"), found.accuracy(column, best), column)))
    shown = "; ".join(f"{c.label} ({int(rows[column])} examples) {c.interval}" for column, c in leads)
    large = [c for column, c in leads if column in LARGE and rows[column] >= LARGE_ROWS]
    small = [c for column, c in leads if column in SMALL]
    text = f"SSMix minus the better of EmbedMix and TMix: {shown}"
    if not large or not small:
        return Verdict(NOT_RUN, f"no training set has {LARGE_ROWS} examples here. {text}")
    lead = sum(c.mean for c in large) / len(large) - sum(c.mean for c in small) / len(small)
    decided = all(c.low > max(s.high for s in small) for c in large)
    verdict = SUPPORTED if decided else CONTRADICTED if lead < 0 else INCONCLUSIVE
    return Verdict(verdict, f"large minus small sets {lead:+.1f}. {text}")


def _contrast(found: _Records, method: str) -> Comparison:
    gains = [found.accuracy(column, method) - found.accuracy(column, "none_long")
             for column in ("trec_fine", "trec_coarse")]  # fmt: skip
    return compare(gains[0].dropna(), gains[1].dropna(), f"{LABELS[method]}, gain on TREC-fine minus TREC-coarse")


def claim_5(found: _Records) -> Verdict:
    own, *others = (_contrast(found, method) for method in ("ssmix", *HIDDEN))
    verdict = directions([own])
    shown = "; ".join(f"{c.label} {c.interval}" for c in others)
    return Verdict(verdict.verdict, f"{verdict.evidence}. The others: {shown}")


def claim_6(found: _Records) -> Verdict:
    return directions(holm([found.gain(column, "ssmix", m) for column in found.of(*MANY_CLASSES) for m in HIDDEN]))


def claim_7(found: _Records) -> Verdict:
    return directions(holm([found.gain(column, "ssmix", m) for column in found.of(*protocol.PAIRS) for m in HIDDEN]))


STEPS = (("ssmix_nosal", "ssmix_nosal_nospan"), ("ssmix", "ssmix_nosal"))  # span, then saliency


def claim_8(found: _Records) -> Verdict:
    return directions(holm([found.gain(column, *step) for column in found.columns for step in STEPS]))


def claim_9(found: _Records) -> Verdict:
    means = []
    for method, without in reversed(STEPS):
        by_column = pd.DataFrame({c: found.accuracy(c, method) - found.accuracy(c, without) for c in found.columns})
        means.append(by_column.dropna().mean(axis=1))
    c = compare(*means, f"saliency step minus span step, mean over {len(found.columns)} columns")
    verdict = directions([c])
    return Verdict(verdict.verdict, f"saliency {means[0].mean():+.2f}, span {means[1].mean():+.2f}; {verdict.evidence}")


def claim_10(found: _Records) -> Verdict:
    return directions(holm([found.gain(column, m, "unk") for column in found.columns for m in INPUT]))


def step_ratios(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """Step times of the study ``step_time``: ``dataset``, ``method``, ``batch``, ``ratio`` to the plain step of that
    batch, ``seconds``, ``tokens`` a row; ``padded`` is a plain step padded as the published code pads."""
    rows = []
    for record in records:
        taken = record.values["seconds"]
        for method, seconds in taken.items():
            rows += [
                {"dataset": record.spec.params["run"]["dataset"], "method": method, "batch": f"{record.spec.seed}/{i}",
                 "ratio": s / plain, "seconds": s, "tokens": record.values["tokens"]}
                for i, (s, plain) in enumerate(zip(seconds, taken["none"], strict=True))
            ]  # fmt: skip
    return pd.DataFrame(rows)


def _ratio(data: pd.DataFrame, dataset: str, method: str, over: str) -> Comparison:
    """The ratio of two methods' times, batch by batch, as a difference to zero."""
    times = {m: data[(data["dataset"] == dataset) & (data["method"] == m)].set_index("batch")["seconds"]
             for m in (method, over)}  # fmt: skip
    ratio = times[method] / times[over]
    return compare(ratio, ratio * 0, f"{dataset}, {method} over {over}")


def _as_ratio(c: Comparison) -> str:
    return f"{c.label}: {c.mean:.2f} [{c.low:.2f}, {c.high:.2f}]"


def claim_11(found: _Records) -> Verdict:
    data = step_ratios(found.studies)
    sets = list(dict.fromkeys(data["dataset"]))
    ours = [_ratio(data, dataset, "ssmix", over) for dataset in sets for over in HIDDEN]
    if all(TWICE[0] <= c.low and c.high <= TWICE[1] for c in ours):
        verdict = SUPPORTED
    elif all(c.high < TWICE[0] or c.low > TWICE[1] for c in ours):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    apart = [_ratio(data, dataset, "ssmix_split", "embedmix") for dataset in sets]
    return Verdict(
        verdict,
        f"{'; '.join(map(_as_ratio, ours))}; claimed {TWICE[0]} to {TWICE[1]}. With a pass spent on saliency "
        f"(split): {'; '.join(map(_as_ratio, apart))}",
    )


def claim_12(found: _Records) -> Verdict:
    data = step_ratios(found.studies)
    ratios = [_ratio(data, dataset, "tmix", "embedmix") for dataset in dict.fromkeys(data["dataset"])]
    if all(c.low > 1 and c.high < SLIGHTLY for c in ratios):
        verdict = SUPPORTED
    elif all(c.high < 1 or c.low > SLIGHTLY for c in ratios):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    return Verdict(verdict, "; ".join(map(_as_ratio, ratios)) + f"; claimed between 1 and {SLIGHTLY}")


def ratio_frame(records: Sequence[Record]) -> pd.DataFrame:
    """SSMix's second-stage accuracy by share: ``dataset``, ``lam0``, ``seed``, ``accuracy`` (test), ``dev``."""
    return pd.DataFrame(
        {"dataset": r.spec.dataset, "lam0": r.spec.method_params["lam0"], "seed": r.spec.seed,
         "accuracy": 100 * r.test["accuracy"], "dev": 100 * r.evaluations[r.selected][r.selected_on]["accuracy"]}
        for r in records if isinstance(r, RunRecord) and r.spec.method == "ssmix"
    )  # fmt: skip


def claim_13(found: _Records) -> Verdict:
    data = ratio_frame(found.runs)
    comparisons = []
    for dataset, rows in data.groupby("dataset", sort=False):
        by_ratio = {ratio: part.set_index("seed")["accuracy"] for ratio, part in rows.groupby("lam0")}
        best = by_ratio.pop(0.1)
        comparisons += [compare(best, other, f"{dataset}, lam0 0.1 against {ratio:g}")
                        for ratio, other in by_ratio.items()]  # fmt: skip
    return directions(holm(comparisons))


def curves(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Development accuracy over updates (claim 14): ``dataset``, ``way``, ``seed``, ``step``, ``accuracy``.

    ``two stages``: plain training and then SSMix, updates counted through both; ``from the start``: SSMix alone.
    """
    first = {r.spec.key: r for r in records if r.spec.keep_state}
    rows = []
    for record in records:
        if record.spec.method != "ssmix":
            continue
        parts, before = [(0, record)], 0
        if record.spec.first_stage is not None:
            start = first[record.spec.first_stage.key]
            before = int(start.timing["steps"])
            parts = [(0, start), (before, record)]
        way = "two stages" if before else "from the start"
        for offset, part in parts:
            rows += [
                {"dataset": record.spec.dataset, "way": way, "seed": record.spec.seed, "step": offset + e["step"],
                 "accuracy": 100 * e[part.selected_on]["accuracy"]}
                for e in part.evaluations
            ]  # fmt: skip
    return pd.DataFrame(rows)


def claim_14(found: _Records) -> Verdict:
    comparisons, shown = [], []
    for dataset, rows in curves(found.runs).groupby("dataset", sort=False):
        needed: dict[str, dict[int, float]] = {}
        for seed, runs in rows.groupby("seed"):
            target = REACHED * runs["accuracy"].max()  # of either way, so that both run to the same mark
            for way, curve in runs.groupby("way"):
                reached = curve.loc[curve["accuracy"] >= target, "step"]
                needed.setdefault(way, {})[seed] = reached.min() if len(reached) else curve["step"].max()
        two, start = (pd.Series(needed[way], dtype=float) for way in ("two stages", "from the start"))
        comparisons.append(compare(start, two, f"{dataset}, updates saved"))
        shown.append(f"{dataset}: {two.mean():.0f} updates in two stages, {start.mean():.0f} from the start")
    verdict = directions(holm(comparisons))
    return Verdict(verdict.verdict, f"{'; '.join(shown)}; {verdict.evidence}")


def leak_effects(records: Sequence[RunRecord]) -> pd.DataFrame:
    """What the dropout leak does to second-stage accuracy: one row a ``dataset``, ``method`` and ``what``, with
    ``mean``, ``low``, ``high`` and ``decided`` (Holm over all rows).

    ``change``: the method with the leak minus without; ``lead`` and ``lead with the leak``: SSMix minus the method,
    both without, and both with it.
    """
    by_leak = {leak: [r for r in records if r.spec.keep_state or r.spec.dropout_leak == leak] for leak in (False, True)}
    data = {leak: two_stages(chosen, "second", leaking=leak) for leak, chosen in by_leak.items()}
    found: dict[tuple[str, str, str], Comparison] = {}
    for dataset in dict.fromkeys(data[True]["dataset"]):
        values = {
            (leak, m): cell(data[leak], "accuracy", dataset=dataset, method=m)
            for leak in data
            for m in ("none_long", *protocol.TABLE_2)
        }
        for method in ("none_long", *protocol.TABLE_2):
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


def claim_15(found: _Records) -> Verdict:
    data = distances(found.studies)
    further, off, shown = [], [], []
    for ratio, rows in data.groupby("ratio"):
        by = {method: part.set_index("seed")["distance"] for method, part in rows.groupby("method")}
        further += [compare(by["ssmix"], by[m], f"lam0 {ratio:g}, SSMix beyond {LABELS[m]}") for m in HIDDEN]
        off += [compare(by[m], by[m] * 0, f"{LABELS[m]} at lam0 {ratio:g}") for m in HIDDEN]
        shown.append(f"lam0 {ratio:g}: " + ", ".join(f"{LABELS[m]} {by[m].mean():.2f}" for m in ("ssmix", *HIDDEN)))
    all_further = all(c.decided and c.mean > 0 for c in holm(further))
    if all_further and all(c.high < ON_THE_LINE for c in off):
        verdict = SUPPORTED
    elif any(c.low > ON_THE_LINE for c in off) or any(c.decided and c.mean < 0 for c in holm(further)):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    beyond = sum(c.decided and c.mean > 0 for c in holm(further))
    strays = sum(c.low > ON_THE_LINE for c in off)
    return Verdict(
        verdict,
        f"mean distance of sentence vectors from the segment, in its lengths: {'; '.join(shown)}; SSMix lies further "
        f"off in {beyond} of {len(further)}, hidden mixing is itself off the line (beyond {ON_THE_LINE}) in {strays} "
        f"of {len(off)}",
    )


TABLE, WITH_UNK = protocol.table2, protocol.tableB1
NEEDS = {
    claim_1: (TABLE,), claim_2: (TABLE,), claim_3: (TABLE,), claim_4: (TABLE,), claim_5: (TABLE,), claim_6: (TABLE,),
    claim_7: (TABLE,), claim_8: (TABLE,), claim_9: (TABLE,), claim_10: (WITH_UNK,), claim_11: (protocol.step_time,),
    claim_12: (protocol.step_time,), claim_13: (protocol.ratios,), claim_14: (protocol.from_the_start,),
    claim_15: (protocol.figure2,),
}  # fmt: skip


def verdicts(profile: str, store: Store | None = None, **overrides: object) -> dict[str, Verdict]:
    """The verdict on each claim whose runs are all there, and ``not run at this scale`` on the others."""
    return judge(protocol.PAPER, NEEDS, _Records, profile, store, **overrides)
