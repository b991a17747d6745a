"""The 13 claims of the BatchMixup paper. Each test follows the column ``testable_as`` of ``claims.csv``.

Accuracies are in percent, differences paired by seed and turned so that positive is as claimed. FewRel is the paper's
"75 + None"; RTE and BANKING77 as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mixlib import corpora
from mixlib.claims import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Verdict, directions, judge
from mixlib.protocols import batchmixup as protocol
from mixlib.runs import RunRecord
from mixlib.store import Record, Store
from mixlib.studies import StudyRecord
from mixlib.tables import LABELS, Comparison, cell, compare, frame, holm

TASKS = ("rte", "fewrel75_none", "banking77")
CELLS = tuple((task, size) for task in TASKS for size in protocol.FRACTIONS)
RIVALS = ("none", "mixup", "nonlinear_mixup")
LIFT = 20.0  # points, claim 5
SAME_EPOCH, LONGER_EPOCH = 1.2, 8.0  # ratios, claims 8 and 9


class _Records:
    """The records of one profile, with short words for what the claims compare."""

    def __init__(self, records: Sequence[Record]) -> None:
        runs = [record for record in records if isinstance(record, RunRecord)]
        self.data = frame(runs, protocol.size_label) if runs else pd.DataFrame()
        self.studies = [record for record in records if isinstance(record, StudyRecord)]

    def accuracy(self, dataset: str, size: str, method: str) -> pd.Series:
        return cell(self.data, "accuracy", dataset=dataset, train_size=size, method=method)

    def gain(self, dataset: str, size: str, method: str, over: str) -> Comparison:
        label = f"{dataset} {size}, {LABELS[method]} against {LABELS[over]}"
        return compare(self.accuracy(dataset, size, method), self.accuracy(dataset, size, over), label)


def epoch_ratios(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """Epoch times of the study ``epoch_time``: ``method``, ``n``, ``seed``, ``ratio`` to the plain model's, ``seconds``
    a batch, ``batches_per_epoch``. Times are medians over the timed batches."""
    rows = []
    for record in records:
        plain = np.median(record.values["seconds"]["none"]["1"])
        for method, by_n in record.values["seconds"].items():
            for n, taken in by_n.items():
                ratio = float(np.median(taken) / plain)
                rows.append({"method": method, "n": int(n), "seed": record.spec.seed, "ratio": ratio,
                             "seconds": float(np.median(taken)),
                             "batches_per_epoch": record.values["batches_per_epoch"]})  # fmt: skip
    order = [method for method in LABELS if method in {row["method"] for row in rows}]
    return pd.DataFrame(rows).sort_values(
        ["method", "n"], key=lambda c: c.map(order.index) if c.name == "method" else c
    )


def policy_rows(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """Measurements of the study ``geometry_of_policies``: one row a ``rows`` (batch size), policy and ``seed``.

    Beside what the study measures: ``label`` of the policy, ``rank_share`` of the originals' effective rank.
    """
    found = pd.DataFrame([row | {"seed": r.spec.seed} for r in records for row in r.values["rows"]])
    found = found.fillna({"temperature": 1.0})
    names = {"elementwise": "BatchMixup", "sample": "one weight a row"}
    found["label"] = [
        f"{names.get(p, p)}, α {a:g}" + (f", τ {t:g}" if p in names else "")
        for p, a, t in found[["policy", "alpha", "temperature"]].itertuples(index=False)
    ]
    return found.assign(rank_share=found["effective_rank"] / found["batch_rank"])


def claim_1(found: _Records) -> Verdict:
    cells = [c for c in CELLS if c != ("rte", "1%")]
    comparisons = holm([found.gain(*c, "batchmixup", rival) for c in cells for rival in RIVALS])
    best = sum(
        max((*RIVALS, "batchmixup"), key=lambda m, c=c: found.accuracy(*c, m).mean()) == "batchmixup" for c in cells
    )
    verdict = directions(comparisons)
    if verdict.verdict == SUPPORTED and best < len(cells):
        verdict = Verdict(INCONCLUSIVE, verdict.evidence)
    return Verdict(verdict.verdict, f"the highest mean in {best} of {len(cells)} cells; {verdict.evidence}")


def claim_2(found: _Records) -> Verdict:
    return directions(holm([found.gain(task, "full", "batchmixup", "none") for task in TASKS]))


def claim_3(found: _Records) -> Verdict:
    comparisons = []
    for task in TASKS:
        gains = pd.DataFrame(
            {size: found.accuracy(task, size, "batchmixup") - found.accuracy(task, size, "none")
             for size in protocol.FRACTIONS}
        ).dropna()  # fmt: skip
        rows = found.data[found.data["dataset"] == task].groupby("train_size")["examples"].mean()
        log_size = np.log2(rows[list(gains)].to_numpy(dtype=float))
        slopes = pd.Series({seed: np.polyfit(log_size, row, 1)[0] for seed, row in gains.iterrows()})
        comparisons.append(compare(-slopes, slopes * 0, f"{task}, points of gain for each halving of the data"))
    return directions(holm(comparisons))


def claim_4(found: _Records) -> Verdict:
    majority = 100 * corpora.cards()["rte"]["splits"]["validation"]["largest_class"]
    comparisons, within = [], 0
    for method in (*RIVALS, "batchmixup"):
        values = found.accuracy("rte", "1%", method)
        comparisons.append(compare(values, values * 0 + majority, f"{LABELS[method]} minus the majority rate"))
        within += abs(comparisons[-1].mean) <= values.std(ddof=1)
    comparisons = holm(comparisons)
    above = [c for c in comparisons if c.decided and c.mean > 0]
    verdict = CONTRADICTED if above else SUPPORTED if within == len(comparisons) else INCONCLUSIVE
    shown = "; ".join(f"{c.label} {c.interval}" for c in comparisons)
    return Verdict(verdict, f"{within} of 4 within the spread over seeds of the majority rate {majority:.1f}; {shown}")


def claim_5(found: _Records) -> Verdict:
    few = ("fewrel75_none", "1%")
    over_none = holm(
        [found.gain(*few, method, "none") for method in RIVALS[1:]] + [found.gain(*few, "batchmixup", "none")]
    )
    # BatchMixup makes one update a batch, like the plain model; the other two are held against as many updates
    equal = [over_none[2], *holm([found.gain(*few, method, "none_long") for method in RIVALS[1:]])]
    if all(c.decided and c.mean >= LIFT for c in equal):
        verdict = SUPPORTED
    elif any(c.high < LIFT for c in equal):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    shown = "; ".join(f"{c.label} {c.interval}" for c in (*over_none, *equal[1:]))
    return Verdict(verdict, f"a lift of {LIFT:.0f} points at equal updates is claimed; {shown}")


def claim_6(found: _Records) -> Verdict:
    comparisons = []
    for c in CELLS:
        best = max(RIVALS[1:], key=lambda method, c=c: found.accuracy(*c, method).mean())
        comparisons.append(found.gain(*c, "batchmixup", best))
    return directions(holm(comparisons))


def claim_7(found: _Records) -> Verdict:
    return directions(holm([found.gain(*c, "nonlinear_mixup", "mixup") for c in CELLS]))


def _ratio(found: _Records, method: str, over: str) -> Comparison:
    """The ratio of two epoch times at the paper's n (the largest timed one), as a difference to zero."""
    data = epoch_ratios(found.studies)
    n = data["n"].max()
    data = data[data["n"] == n].set_index(["method", "seed"])["ratio"]
    first = data[method]
    second = first * 0 + 1 if over == "none" else data[over]
    return compare(first / second, first * 0, f"{LABELS[method]} over {LABELS[over]} at n = {n}")


def _as_ratio(c: Comparison) -> str:
    return f"{c.label}: {c.mean:.2f} [{c.low:.2f}, {c.high:.2f}]"


def claim_8(found: _Records) -> Verdict:
    c = _ratio(found, "batchmixup", "none")
    verdict = SUPPORTED if c.high < SAME_EPOCH else CONTRADICTED if c.low > SAME_EPOCH else INCONCLUSIVE
    return Verdict(verdict, f"epoch time, {_as_ratio(c)}; claimed below {SAME_EPOCH}")


def claim_9(found: _Records) -> Verdict:
    ratios = [_ratio(found, method, "batchmixup") for method in ("mixup", "nonlinear_mixup")]
    if all(c.low > LONGER_EPOCH for c in ratios):
        verdict = SUPPORTED
    elif any(c.high < LONGER_EPOCH for c in ratios):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    return Verdict(verdict, "; ".join(map(_as_ratio, ratios)) + f"; claimed above {LONGER_EPOCH:.0f}, printed about 13")


def claim_10(found: _Records) -> Verdict:
    data, slopes = epoch_ratios(found.studies), {}
    for method in ("mixup", "batchmixup"):
        by_seed = data[data["method"] == method].groupby("seed")
        slope = pd.Series({seed: np.polyfit(rows["n"], rows["ratio"], 1)[0] for seed, rows in by_seed})
        slopes[method] = compare(slope, slope * 0, f"{LABELS[method]}, plain epochs more for each n")
    pairwise, batch = slopes["mixup"], slopes["batchmixup"]
    close = pairwise.low >= 0.8 and pairwise.high <= 1.2 and batch.low >= -0.05 and batch.high <= 0.05
    far = pairwise.high < 0.8 or pairwise.low > 1.2 or batch.low > 0.05
    verdict = SUPPORTED if close else CONTRADICTED if far else INCONCLUSIVE
    return Verdict(verdict, "; ".join(_as_ratio(c) for c in slopes.values()))


def claim_11(found: _Records) -> Verdict:
    data = policy_rows(found.studies)
    comparisons, shown = [], []
    for rows in sorted(data["rows"].unique()):
        at = data[data["rows"] == rows]
        pair = at[at["policy"] == "pairwise"].set_index("seed")
        whole = at[(at["policy"] == "elementwise") & (at["alpha"] == 1.0) & (at["temperature"] == 1.0)].set_index(
            "seed"
        )
        comparisons.append(compare(whole["box_side"], pair["box_side"], f"batch of {rows}, side of the bounding box"))
        shown.append(
            f"batch of {rows}: spread {whole['spread'].mean():.2f} against {pair['spread'].mean():.2f} of pairwise, "
            f"distance to the nearest segment {whole['distance'].mean():.2f} against {pair['distance'].mean():.2f}"
        )
    comparisons = holm(comparisons)
    smaller = all(c.decided and c.mean < 0 for c in comparisons)
    larger = all(c.decided and c.mean > 0 for c in comparisons)
    verdict = CONTRADICTED if smaller else SUPPORTED if larger else INCONCLUSIVE
    sides = "; ".join(f"{c.label}: {c.mean:+.2f} [{c.low:.2f}, {c.high:.2f}]" for c in comparisons)
    return Verdict(verdict, f"BatchMixup minus pairwise: {sides}. {'; '.join(shown)}")


def claim_12(found: _Records) -> Verdict:
    comparisons = []
    for rate in protocol.TOY_RATES:
        accuracy = {
            record.spec.params["method"]: 100 * pd.Series(record.values["accuracy"])
            for record in found.studies
            if record.spec.study == "toy"
            and record.spec.params["learning_rate"] == rate
            and record.spec.params["method_params"] == {}
        }
        label = f"learning rate {rate:g}, BatchMixup against no mixup over {len(accuracy['none'])} draws"
        comparisons.append(compare(accuracy["batchmixup"], accuracy["none"], label))
    return directions(holm(comparisons))


def claim_13(found: _Records) -> Verdict:
    cells = (("banking77", "full"), ("rte", "50%"))
    lost = [compare(found.accuracy(*c, "none"), found.accuracy(*c, "mixup"), f"{c[0]} {c[1]}, points lost by mixup")
            for c in cells]  # fmt: skip
    return directions(holm(lost))


TABLE, FIGURE, TIME, PLACE = protocol.table1, protocol.figure1, protocol.epoch_time, protocol.geometry
NEEDS = {
    claim_1: (TABLE,), claim_2: (TABLE,), claim_3: (TABLE,), claim_4: (TABLE,), claim_5: (TABLE,), claim_6: (TABLE,),
    claim_7: (TABLE,), claim_8: (TIME,), claim_9: (TIME,), claim_10: (TIME,), claim_11: (PLACE,), claim_12: (FIGURE,),
    claim_13: (TABLE,),
}  # fmt: skip


def verdicts(profile: str, store: Store | None = None, **overrides: object) -> dict[str, Verdict]:
    """The verdict on each claim whose runs are all there, and ``not run at this scale`` on the others."""
    return judge(protocol.PAPER, NEEDS, _Records, profile, store, **overrides)
