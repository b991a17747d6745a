"""The 15 claims of the MixUp-calibration paper. Each test follows the column ``testable_as`` of ``claims.csv``.

Differences are in the papers' units, paired by seed, and turned so that positive is as claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from mixlib.claims import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Verdict, directions, judge
from mixlib.protocols import mixup_calibration as protocol
from mixlib.runs import RunRecord
from mixlib.store import Store
from mixlib.tables import LABELS, Comparison, cell, compare, frame, holm

MIXED = ("cls_mixup", "input_mixup", "manifold_mixup")
CONTENT = ("imdb", "ag_news")
CELLS = (("imdb", "full"), ("imdb", "32"), ("ag_news", "full"), ("ag_news", "32"))
# the 17 cells of Tables 2 to 4 that have a mixup method
MIXUP_CELLS = (
    *((dataset, size, method) for dataset, size in CELLS for method in MIXED),
    *(("cola", "full", method) for method in MIXED),
    ("rte", "full", "cls_mixup"),
    ("boolq", "full", "cls_mixup"),
)
HARDER = ("cola", "rte", "boolq")
TOKEN_LEVEL = ("input_mixup", "manifold_mixup")
PAIR = ("unused_pair", "sep_pair", "pad_pair")
LONGEST = ("unused_max", "sep_max", "pad_max")


class _Runs:
    """The tidy frame of one profile, with short words for what the claims compare."""

    def __init__(self, records: Sequence[RunRecord]) -> None:
        self.data = frame(records, protocol.size_label)
        self.records = {record.spec.key: record for record in records}

    def get(self, dataset: str, size: str, method: str, metric: str, param: str = "") -> pd.Series:
        if metric == "score":
            metric = protocol.METRIC.get(dataset, "accuracy")
        return cell(self.data, metric, dataset=dataset, train_size=size, method=method, param=param)

    def gain(self, dataset: str, size: str, method: str, metric: str, over: str = "none", sign: int = 1) -> Comparison:
        """``sign`` times (method - over)."""
        first = sign * self.get(dataset, size, method, metric)
        label = f"{dataset} {size}, {LABELS[method]} against {LABELS[over]}, {metric}"
        return compare(first, sign * self.get(dataset, size, over, metric), label)

    def lower(self, dataset: str, size: str, method: str, metric: str, over: str = "none") -> Comparison:
        return self.gain(dataset, size, method, metric, over, sign=-1)

    def padding(self, first: str, second: str) -> Comparison:
        get = partial(self.get, "sst2", "64", "input_mixup", "accuracy")
        return compare(get(param=first), get(param=second), f"{first} against {second}")


def standard_error(values: pd.Series) -> float:
    """Standard error of the mean over seeds."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def _best(verdict: Verdict, has_best_mean: bool) -> Verdict:
    """A claim to be the best is not supported by beating one rival: the mean has to be the best as well."""
    if verdict.verdict == SUPPORTED and not has_best_mean:
        return Verdict(INCONCLUSIVE, f"its mean is not the best; {verdict.evidence}")
    return verdict


def claim_1(runs: _Runs) -> Verdict:
    return directions(holm([runs.gain(d, s, m, "accuracy") for d, s in CELLS for m in MIXED]))


def claim_2(runs: _Runs) -> Verdict:
    comparisons = holm([runs.lower(*c, metric) for c in MIXUP_CELLS for metric in ("loss", "ece")])
    cuts = {}
    for metric in ("loss", "ece"):
        for dataset, size, method in MIXUP_CELLS:
            base, mixed = (runs.get(dataset, size, m, metric).mean() for m in ("none", method))
            cuts[metric, f"{dataset} {size} {LABELS[method]}"] = 100 * (mixed - base) / base
    deepest = {metric: min((v, k[1]) for k, v in cuts.items() if k[0] == metric) for metric in ("loss", "ece")}
    half = {metric: sum(v <= -50 for k, v in cuts.items() if k[0] == metric) for metric in ("loss", "ece")}
    verdict = directions(comparisons)
    halved = ", ".join(f"{m}: {half[m]} of {len(MIXUP_CELLS)}" for m in half)
    deep = ", ".join(f"{m} {v:+.0f}% ({where})" for m, (v, where) in deepest.items())
    reached = verdict.verdict if any(half.values()) or verdict.verdict != SUPPORTED else INCONCLUSIVE
    return Verdict(reached, f"{verdict.evidence}; halved in cells of {halved}; deepest cuts {deep}")


def claim_3(runs: _Runs) -> Verdict:
    comparisons = holm([runs.gain(*c, "score") for c in MIXUP_CELLS])
    kept = 0
    for (dataset, size, _), c in zip(MIXUP_CELLS, comparisons, strict=True):
        kept += c.mean >= -standard_error(runs.get(dataset, size, "none", "score"))
    lost = [c for c in comparisons if c.decided and c.mean < 0]
    verdict = CONTRADICTED if lost else SUPPORTED if kept == len(comparisons) else INCONCLUSIVE
    worst = min(comparisons, key=lambda c: c.mean)
    return Verdict(
        verdict,
        f"{kept} of {len(comparisons)} cells are at most one standard error below no mixup, {len(lost)} decided below; "
        f"lowest {worst.label} {worst.interval}",
    )


def claim_4(runs: _Runs) -> Verdict:
    others = ("none", "cls_mixup", "input_mixup")
    places = (*CELLS, ("cola", "full"))
    lowest = 0
    for dataset, size in places:
        means = {m: runs.get(dataset, size, m, "ece").mean() for m in (*others, "manifold_mixup")}
        lowest += min(means, key=means.get) == "manifold_mixup"
    comparisons = holm([runs.lower(d, s, "manifold_mixup", "ece", over=m) for d, s in places for m in others])
    verdict = _best(directions(comparisons), 2 * lowest > len(places))
    return Verdict(
        verdict.verdict, f"its mean ECE is the lowest in {lowest} of {len(places)} cells; {verdict.evidence}"
    )


def claim_5(runs: _Runs) -> Verdict:
    comparisons = holm(
        [
            compare(
                runs.get(d, "full", "none", "ece"),
                runs.get(d, "32", "manifold_mixup", "ece"),
                f"{d}, ECE of no mixup on all minus Manifold MixUp on 32",
            )
            for d in CONTENT
        ]
    )
    worse = [c for c in comparisons if c.decided and c.mean < 0]
    verdict = CONTRADICTED if worse else SUPPORTED if all(c.mean >= 0 for c in comparisons) else INCONCLUSIVE
    return Verdict(verdict, "; ".join(f"{c.label} {c.interval}" for c in comparisons))


def claim_6(runs: _Runs) -> Verdict:
    comparisons = []
    for dataset in CONTENT:
        for method in MIXED:
            for metric, sign in (("accuracy", 1), ("loss", -1), ("ece", -1)):
                gains = [
                    sign * (runs.get(dataset, s, method, metric) - runs.get(dataset, s, "none", metric)).dropna()
                    for s in ("32", "full")
                ]
                comparisons.append(compare(*gains, f"{dataset} {LABELS[method]} {metric}, gain at 32 minus at full"))
    return directions(holm(comparisons))


def claim_7(runs: _Runs) -> Verdict:
    return directions(
        holm(
            [
                runs.gain(d, s, m, "accuracy", over=o)
                for d, s in CELLS
                for m in TOKEN_LEVEL
                for o in ("cls_mixup", "none")
            ]
        )
    )


def claim_8(runs: _Runs) -> Verdict:
    base = runs.get("cola", "full", "none", "mcc")
    above_chance = compare(base, base * 0, "MCC of no mixup")
    verdict = directions(holm([runs.gain("cola", "full", m, "mcc", sign=-1) for m in TOKEN_LEVEL]))
    if not (above_chance.decided and above_chance.mean > 0):
        return Verdict(
            INCONCLUSIVE,
            f"the plain model itself is not above chance at this size (MCC {above_chance.interval}), so the cell says "
            f"nothing about syntax; {verdict.evidence}",
        )
    return verdict


def claim_9(runs: _Runs) -> Verdict:
    comparisons = holm([runs.gain(d, "full", "cls_mixup", "score") for d in HARDER])
    errors = [standard_error(runs.get(d, "full", "none", "score")) for d in HARDER]
    within = sum(abs(c.mean) <= e for c, e in zip(comparisons, errors, strict=True))
    moved = any(c.decided for c in comparisons)
    verdict = CONTRADICTED if moved else SUPPORTED if within == len(comparisons) else INCONCLUSIVE
    shown = "; ".join(
        f"{c.label} {c.interval}, standard error {e:.1f}" for c, e in zip(comparisons, errors, strict=True)
    )
    return Verdict(verdict, f"{within} of 3 within one standard error of no mixup; {shown}")


def claim_10(runs: _Runs) -> Verdict:
    return directions(holm([runs.lower(d, "full", "cls_mixup", metric) for d in HARDER for metric in ("loss", "ece")]))


def claim_11(runs: _Runs) -> Verdict:
    comparisons = []
    for dataset in HARDER:
        for name, measure in (("final loss", _final), ("final minus minimum loss", _rise)):
            values = {
                method: pd.Series(
                    {seed: measure(runs.records[key]) for seed, key in runs.get(dataset, "full", method, "key").items()}
                )
                for method in ("none", "cls_mixup")
            }
            comparisons.append(compare(values["none"], values["cls_mixup"], f"{dataset}, {name} saved by CLS MixUp"))
    return directions(holm(comparisons))


def _final(record: RunRecord) -> float:
    return 100 * record.evaluations[-1]["test"]["nll"]


def _rise(record: RunRecord) -> float:
    return _final(record) - 100 * min(e["test"]["nll"] for e in record.evaluations)


def claim_12(runs: _Runs) -> Verdict:
    return directions(holm([runs.padding(p, o) for p in PAIR for o in ("no_pad", *LONGEST)]))


def claim_13(runs: _Runs) -> Verdict:
    comparisons = [runs.padding("sep_pair", o) for o in ("pad_pair", "unused_pair")]
    return _best(directions(holm(comparisons)), all(c.mean > 0 for c in comparisons))


def claim_14(runs: _Runs) -> Verdict:
    return directions(holm([runs.padding("no_pad", o) for o in LONGEST]))


def claim_15(runs: _Runs) -> Verdict:
    whole = [runs.gain(d, "full", "cls_mixup", "score") for d in ("cola", "rte")]
    late = [
        runs.gain(d, "full", "cls_mixup_late", "score", over=o) for d in ("cola", "rte") for o in ("none", "cls_mixup")
    ]
    decided = holm([*whole, *late])
    gain_whole = any(c.decided and c.mean > 0 for c in decided[:2])
    gain_late = sum(c.decided and c.mean > 0 for c in decided[2:])
    loss_late = any(c.decided and c.mean < 0 for c in decided[2:])
    verdict = CONTRADICTED if gain_whole or loss_late else SUPPORTED if 2 * gain_late >= 4 else INCONCLUSIVE
    return Verdict(verdict, "; ".join(f"{c.label} {c.interval}" for c in decided))


T2, T3, T4, T5 = protocol.table2, protocol.table3, protocol.table4, protocol.table5
NEEDS = {
    claim_1: (T2, T3), claim_2: (T2, T3, T4), claim_3: (T2, T3, T4), claim_4: (T2, T3, T4), claim_5: (T2, T3),
    claim_6: (T2, T3), claim_7: (T2, T3), claim_8: (T4,), claim_9: (T4,), claim_10: (T4,), claim_11: (T4,),
    claim_12: (T5,), claim_13: (T5,), claim_14: (T5,), claim_15: (T4,),
}  # fmt: skip


def verdicts(profile: str, store: Store | None = None, **overrides: object) -> dict[str, Verdict]:
    """The verdict on each claim whose runs are all there, and ``not run at this scale`` on the others."""
    return judge(protocol.PAPER, NEEDS, _Runs, profile, store, **overrides)
