"""Verdicts on the AMPLIFY paper's 15 claims, and what the differences in its published comparison explain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from mixlib import corpora, published
from mixlib.claims import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Verdict, by_count, directions, judge
from mixlib.figures.ssmix_frames import step_ratios
from mixlib.mixing import lam_cdf, mean_partner_share
from mixlib.protocols import amplify as protocol
from mixlib.runs import RunRecord
from mixlib.store import Record, Store
from mixlib.studies import StudyRecord
from mixlib.tables import LABELS, Comparison, cell, compare, frame, holm, holm_adjusted, with_mean

RIVALS = ("none", *protocol.BASELINES)
BLOCKS = tuple(f"amplify_block{block}" for block in protocol.BLOCKS)
LITTLE = 1.1  # claim 10: times a plain step
SEEDS_FOR_VARIANCE = 10
WINDOW = 6  # updates over which the training loss's spread is taken (claim 8)


def conditions(records: Sequence[RunRecord]) -> pd.DataFrame:
    """:func:`mixlib.tables.frame` with what runs of this paper differ in beside the method.

    Columns beside it: ``n`` (draws), ``model``, ``labels`` (``same``, ``independent``), ``head``, ``schedule``,
    ``noise`` (share of wrong training labels), ``grouped`` (batches of similar length), ``train_loss`` (mean over all
    updates), ``unsteadiness`` (mean over the standard deviations of windows of ``WINDOW`` logged losses).
    """
    data = frame(records, method_of=protocol.method_of)
    more = []
    for record in records:
        spec, losses = record.spec, pd.Series(record.train_losses, dtype=float)
        more.append({
            "n": spec.method_params.get("n"), "model": spec.model,
            "labels": spec.method_params.get("label_perm", "same"), "head": spec.head, "schedule": spec.schedule,
            "noise": spec.label_noise, "grouped": spec.group_by_length, "train_loss": losses.mean(),
            "unsteadiness": losses.rolling(min(WINDOW, len(losses))).std().mean(),
        })  # fmt: skip
    return pd.concat([data, pd.DataFrame(more, index=data.index)], axis=1)


class _Records:
    """The records of one profile, with short words for what the claims compare."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.runs = [record for record in records if isinstance(record, RunRecord)]
        self.studies = [record for record in records if isinstance(record, StudyRecord)]
        self.data = conditions(self.runs) if self.runs else pd.DataFrame()
        self.columns = list(dict.fromkeys(self.data["dataset"])) if self.runs else []

    def gain(self, dataset: str, over: str, method: str = "amplify", **where: object) -> Comparison:
        values = (cell(self.data, "accuracy", dataset=dataset, method=m, **where) for m in (method, over))
        return compare(*values, f"{dataset}, {LABELS[method]} against {LABELS[over]}")


def claim_1(found: _Records) -> Verdict:
    verdict = directions(holm([found.gain(column, rival) for column in found.columns for rival in RIVALS]))
    means = found.data.groupby(["dataset", "method"])["accuracy"].mean().unstack()
    best = int((means["amplify"] >= means.max(axis=1)).sum())
    most = 2 * best > len(found.columns)
    kind = INCONCLUSIVE if verdict.verdict == SUPPORTED and not most else verdict.verdict
    return Verdict(kind, f"the highest mean in {best} of {len(found.columns)} columns; {verdict.evidence}")


def claim_2(found: _Records) -> Verdict:
    named = [found.gain("mrpc", rival) for rival in RIVALS if "mrpc" in found.columns]
    named += [found.gain("trec_fine", "none")]
    others = "; ".join(found.gain("trec_fine", "none", method).interval for method in protocol.BASELINES)
    verdict = directions(holm(named))
    return Verdict(verdict.verdict, f"{verdict.evidence}. On TREC-fine the baselines gain {others}")


def variance_tests(data: pd.DataFrame) -> pd.DataFrame:
    """AMPLIFY's variance over seeds against each other method's, by data set.

    Columns: ``dataset``, ``method``, ``seeds``, ``amplify`` and ``other`` (variances in squared points), ``p`` of
    Levene's test about the median (Brown and Forsythe), ``decided`` after Holm's correction over all rows.
    """
    rows = []
    for dataset in dict.fromkeys(data["dataset"]):
        own = cell(data, "accuracy", dataset=dataset, method="amplify")
        for rival in RIVALS:
            other = cell(data, "accuracy", dataset=dataset, method=rival)
            p = float(stats.levene(own, other, center="median").pvalue)
            rows.append({"dataset": dataset, "method": rival, "seeds": len(own), "amplify": own.var(ddof=1),
                         "other": other.var(ddof=1), "p": p})  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(decided=holm_adjusted(table["p"])[0])


def claim_3(found: _Records) -> Verdict:
    seeds = found.data.groupby("dataset")["seed"].nunique()
    enough = [column for column in found.columns if seeds[column] >= SEEDS_FOR_VARIANCE] or found.columns
    tests = variance_tests(found.data[found.data["dataset"].isin(enough)])
    lower = tests["amplify"] < tests["other"]
    favour, against = int((tests["decided"] & lower).sum()), int((tests["decided"] & ~lower).sum())
    verdict = by_count(favour, against, len(tests))
    shown = "; ".join(
        f"{dataset}, {seeds[dataset]} seeds: {rows['amplify'].iloc[0]:.1f} against "
        + ", ".join(f"{v:.1f} ({LABELS[m]})" for m, v in zip(rows["method"], rows["other"], strict=True))
        for dataset, rows in tests.groupby("dataset", sort=False)
    )
    return Verdict(
        verdict,
        f"variance below the other method's in {int(lower.sum())} of {len(tests)}, {favour} decided as claimed, "
        f"{against} against (Levene, Holm); {shown}",
    )


def claim_4(found: _Records) -> Verdict:
    data = with_mean(found.data[found.data["method"] == "amplify"].assign(param=lambda d: d["n"].map("{:g}".format)))
    paper = protocol.METHODS["amplify"]["n"]
    by_n = {n: cell(data, "accuracy", dataset="mean", param=str(n)) for n in protocol.DRAWS}
    comparisons = [
        compare(by_n[paper], by_n[n], f"mean of {len(found.columns)} sets, n = {paper} against {n}")
        for n in protocol.DRAWS
        if n != paper
    ]
    verdict = directions(holm(comparisons))
    alpha = protocol.METHODS["amplify"]["alpha"]
    means = ", ".join(f"{n}: {by_n[n].mean():.1f}" for n in protocol.DRAWS)
    shares = ", ".join(f"{n}: {1 - lam_cdf(0.99, alpha, 'max_of_n', n):.2f}" for n in protocol.DRAWS)
    return Verdict(
        verdict.verdict, f"means by n {means}; {verdict.evidence}. Share of batches with lam above 0.99: {shares}"
    )


def gains_by_size(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Gain over the plain model by number of training examples: ``dataset``, ``examples``, ``method``, ``seed``,
    ``gain``."""
    data = conditions(records)
    plain = data[data["method"] == "none"].set_index(["dataset", "examples", "seed"])["accuracy"]
    mixed = data[data["method"] != "none"].set_index(["dataset", "examples", "seed"])
    return mixed.assign(gain=mixed["accuracy"] - plain.reindex(mixed.index)).reset_index()[
        ["dataset", "examples", "method", "seed", "gain"]
    ]


def claim_5(found: _Records) -> Verdict:
    gains = gains_by_size(found.runs)
    by_seed = gains.groupby(["examples", "seed"])["gain"].mean().unstack()  # mean of the four methods
    slopes = pd.Series({seed: np.polyfit(np.log2(by_seed.index), by_seed[seed], 1)[0] for seed in by_seed})
    verdict = directions([compare(-slopes, slopes * 0, "points of gain lost for each doubling of the data")])
    shown = "; ".join(f"{size:g} examples {compare(row, row * 0).interval}" for size, row in by_seed.iterrows())
    return Verdict(
        verdict.verdict,
        f"{found.columns[0]}, mean gain of the four methods: {shown}; {verdict.evidence}. No set of the printed Yelp's "
        "size was run" if by_seed.index.max() < 1e5 else f"{shown}; {verdict.evidence}",
    )  # fmt: skip


def claim_6(found: _Records) -> Verdict:
    (column,) = found.columns
    losses = {}
    for grouped in (True, False):
        values = (cell(found.data, "accuracy", method=m, grouped=grouped) for m in ("none", "amplify"))
        name = "in batches of similar length" if grouped else "in batches of any length, with more padding"
        losses[grouped] = compare(*values, f"{column} {name}, none minus AMPLIFY")
    verdict = directions(holm(list(losses.values())))
    change = compare(
        *(
            cell(found.data, "accuracy", method="none", grouped=g)
            - cell(found.data, "accuracy", method="amplify", grouped=g)
            for g in (False, True)
        )
    )
    return Verdict(
        verdict.verdict,
        f"{verdict.evidence}. More padding changes AMPLIFY's loss by {change.interval}",
    )


def small_and_whole(records: Sequence[RunRecord]) -> pd.DataFrame:
    """AMPLIFY's gain for the small and the whole model of Table 3: ``dataset``, ``model``, ``seed``, ``gain``."""
    data = conditions(records)
    plain = data[data["method"] == "none"].set_index(["dataset", "model", "seed"])["accuracy"]
    mixed = data[data["method"] == "amplify"].set_index(["dataset", "model", "seed"])["accuracy"]
    return (mixed - plain).rename("gain").reset_index()


def claim_7(found: _Records) -> Verdict:
    gains = small_and_whole(found.runs)
    small, whole = (record.spec.model for record in (found.runs[0], found.runs[-1]))
    comparisons = []
    for dataset, rows in gains.groupby("dataset", sort=False):
        by = {model: part.set_index("seed")["gain"] for model, part in rows.groupby("model")}
        comparisons.append(compare(by[small], by[small] * 0, f"{dataset}, gain of the small model"))
        comparisons.append(compare(by[whole], by[small], f"{dataset}, gain of the whole minus the small model"))
    verdict = directions(holm(comparisons))
    return Verdict(verdict.verdict, f"{small} beside {whole}: {verdict.evidence}")


def claim_8(found: _Records) -> Verdict:
    comparisons, shown = [], []
    for column in found.columns:
        for metric, name in (("train_loss", "training loss"), ("unsteadiness", "its moving deviation")):
            own = cell(found.data, metric, dataset=column, method="amplify")
            for rival in protocol.BASELINES:
                other = cell(found.data, metric, dataset=column, method=rival)
                comparisons.append(compare(100 * other, 100 * own, f"{column}, 100 x {name}, {LABELS[rival]}"))
        tests = ", ".join(f"{LABELS[m]} {cell(found.data, 'loss', dataset=column, method=m).mean():.0f}"
                          for m in protocol.TABLE_2)  # fmt: skip
        shown.append(f"{column}: {tests}")
    verdict = directions(holm(comparisons))
    weights = ", ".join(f"{LABELS[m]} {partner_share(m):.3f}" for m in protocol.TABLE_2[1:])
    return Verdict(
        verdict.verdict,
        f"{verdict.evidence}. Mean weight of the second row: {weights}. Test loss x100, of unmixed texts: "
        f"{'; '.join(shown)}",
    )


def partner_share(method: str) -> float:
    """The mean weight of the second row with the paper's settings of a method (0 for the plain model)."""
    params = protocol.METHODS[method]
    if method == "none":
        return 0.0
    if method == "amplify":
        return mean_partner_share(params["alpha"], "max_of_n", params["n"])
    return mean_partner_share(params["alpha"], "folded")


def claim_9(found: _Records) -> Verdict:
    data = step_ratios(found.studies)
    seconds = {m: data[data["method"] == m].set_index("batch")["seconds"] for m in protocol.TABLE_2}
    comparisons = []
    for rival in protocol.BASELINES:
        iterations = protocol.STATED["iterations"] * (seconds[rival] - seconds["amplify"])
        comparisons.append(compare(iterations, iterations * 0, f"seconds saved over {LABELS[rival]}"))
    verdict = directions(holm(comparisons))
    medians = data.groupby("method")["ratio"].median()  # to the plain step of the same batch, as they are shown
    shown = "; ".join(
        f"{LABELS[m]} {100 * medians[m] / medians['amplify'] - 100:+.1f}%" for m in seconds if m != "amplify"
    )
    return Verdict(
        verdict.verdict,
        f"in {protocol.STATED['iterations']} updates: {verdict.evidence}. Median time of a step beside AMPLIFY's: "
        f"{shown}",
    )


def claim_10(found: _Records) -> Verdict:
    data = step_ratios(found.studies)
    ratio = data[data["method"] == "amplify"].set_index("batch")["ratio"]
    cost = compare(ratio, ratio * 0)
    counts = {name: {r.values["parameters"][name] for r in found.studies} for name in ("none", "amplify")}
    equal = counts["none"] == counts["amplify"]
    if equal and cost.high < LITTLE:
        verdict = SUPPORTED
    elif not equal or cost.low > LITTLE:
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    many = f"{'as' if equal else 'not as'} many trainable parameters ({', '.join(map(str, sorted(counts['amplify'])))})"
    return Verdict(
        verdict,
        f"{many}; a step takes {cost.mean:.2f} [{cost.low:.2f}, {cost.high:.2f}] of a plain one, median "
        f"{ratio.median():.2f}",
    )


def _blocks(found: _Records) -> dict[str, dict[str, pd.Series]]:
    return {c: {b: cell(found.data, "accuracy", dataset=c, method=b) for b in BLOCKS} for c in found.columns}


def claim_11(found: _Records) -> Verdict:
    by_column = _blocks(found)
    pairs = {
        (column, first, second): compare(blocks[first], blocks[second])
        for column, blocks in by_column.items()
        for i, first in enumerate(BLOCKS)
        for second in BLOCKS[i + 1 :]
    }
    decided = {}  # column -> blocks that are decided to be below another one
    for (column, first, second), c in zip(pairs, holm(list(pairs.values())), strict=True):
        if c.decided:
            decided.setdefault(column, set()).add(second if c.mean > 0 else first)
    best = {column: max(blocks, key=lambda b, s=blocks: s[b].mean()) for column, blocks in by_column.items()}
    ideal = {column: set(BLOCKS) - below for column, below in decided.items()}  # what may be best there
    shared = set(BLOCKS).intersection(*ideal.values()) if ideal else set(BLOCKS)
    if not shared:
        verdict = SUPPORTED
    elif len(ideal) == len(by_column) and all(len(blocks) == 1 for blocks in ideal.values()):
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    shown = "; ".join(
        f"{column}: {LABELS[best[column]]}, " + " / ".join(f"{s.mean():.1f}" for s in blocks.values())
        for column, blocks in by_column.items()
    )
    apart = sum(c.decided for c in holm(list(pairs.values())))
    return Verdict(verdict, f"best block, and means of 4 / 8 / 12: {shown}; {apart} of {len(pairs)} pairs decided")


def claim_12(found: _Records) -> Verdict:
    data = with_mean(found.data.assign(param=""))
    means = {m: cell(data, "accuracy", dataset="mean", method=m) for m in ("amplify", *BLOCKS)}
    every = f"mean of {len(found.columns)} sets, all blocks against "
    comparisons = [compare(means["amplify"], means[b], every + LABELS[b].split(", ")[1]) for b in BLOCKS]
    return directions(holm(comparisons))


def attention_frame(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """What the study ``attention`` measured, lists as their means: one row a ``method`` and ``seed``."""
    rows = []
    for record in records:
        values = {name: value for name, value in record.values.items() if name not in ("views", "accuracy")}
        resolved = values.pop("resolved")
        means = {name: float(np.mean(value)) for name, value in values.items()}
        rows.append({"method": record.spec.params["run"]["method"], "seed": record.spec.seed, **means,
                     "it_animal": resolved["animal"], "it_too_tired": resolved["too"] + resolved["tired"]})  # fmt: skip
    return pd.DataFrame(rows)


def _attention(found: _Records, more: dict[str, str], less: dict[str, str]) -> Verdict:
    """Claimed that AMPLIFY has more of some quantities than EmbedMix, and less of others."""
    data = attention_frame(found.studies)
    comparisons = []
    for sign, quantities in ((1, more), (-1, less)):
        for quantity, name in quantities.items():
            own, other = (100 * sign * cell(data, quantity, method=m) for m in ("amplify", "embedmix"))
            comparisons.append(compare(own, other, name))
    verdict = directions(holm(comparisons))
    means = data.groupby("method")[[*more, *less]].mean() * 100
    shown = "; ".join(
        f"{name} " + " / ".join(f"{means.loc[m, quantity]:.1f}" for m in ("amplify", "embedmix", "none"))
        for quantity, name in (more | less).items()
    )
    return Verdict(
        verdict.verdict, f"in percent, AMPLIFY / EmbedMix / no mixup: {shown}. In points: {verdict.evidence}"
    )


def claim_13(found: _Records) -> Verdict:
    crossing = {"crossing": "crossing, the paper's pair", "crossing_made": "crossing, made pairs",
                "crossing_test": "crossing, test pairs"}  # fmt: skip
    linked = {"linked": "own verb, the paper's pair", "linked_made": "own verb, made pairs"}
    return _attention(found, linked, crossing)


def claim_14(found: _Records) -> Verdict:
    more = {"it_animal": "it to animal", "resolved_film": "it to film", "resolved_made": "right noun, other sentences"}
    return _attention(found, more, {"it_too_tired": "it to too and tired"})


def claim_15(found: _Records) -> Verdict:
    comparisons, shown = [], []
    for column in found.columns:
        drops = {
            (method, share): cell(found.data, "accuracy", dataset=column, method=method, noise=0.0)
            - cell(found.data, "accuracy", dataset=column, method=method, noise=share)
            for method in protocol.TABLE_2
            for share in protocol.NOISE
        }
        for share in protocol.NOISE:
            comparisons += [
                compare(drops[rival, share], drops["amplify", share], f"{column}, {share:.0%} wrong, {LABELS[rival]}")
                for rival in protocol.BASELINES
            ]
            lost = ", ".join(f"{LABELS[m]} {drops[m, share].mean():.1f}" for m in protocol.TABLE_2)
            shown.append(f"{column} with {share:.0%} wrong labels: {lost}")
    verdict = directions(holm(comparisons))
    return Verdict(
        verdict.verdict, f"points lost, {'; '.join(shown)}; the others' loss minus AMPLIFY's: {verdict.evidence}"
    )


FACTORS = ("as stated", "labels", "head", "schedule", "all three")


def factor_effects(records: Sequence[RunRecord], metric: str = "accuracy") -> pd.DataFrame:
    """AMPLIFY's lead over each other method under the conditions of the paper, and with what its code does otherwise.

    Args:
        records: of :func:`mixlib.protocols.amplify.fairness`.
        metric: ``accuracy``, ``loss``, ``ece`` or ``train_loss``.

    Returns:
        One row a ``dataset``, ``rival`` and ``factor`` (:data:`FACTORS`): the ``lead`` of AMPLIFY with ``lead_low`` and
        ``lead_high``, the ``change`` of that lead by the factor with ``low``, ``high``, ``interval`` and ``decided``
        (Holm over all different changes), the ``printed`` lead in accuracy, and ``share``, change / printed in percent.
    """
    data = conditions(records)
    printed = published.table("amplify_table2").set_index(["dataset", "method"])["value"]
    rows, changes = [], []
    for dataset in dict.fromkeys(data["dataset"]):
        untyped = "published" if corpora.get(dataset).is_pair else "own"
        for rival in RIVALS:
            leads = {}
            for factor in FACTORS:
                labels = "independent" if factor in ("labels", "all three") and rival != "none" else "same"
                heads = ("published", untyped) if factor in ("head", "all three") else ("own", "own")
                schedule = "published" if factor in ("schedule", "all three") else "stated"
                own, other = (
                    cell(data, metric, dataset=dataset, method=m, labels=given, head=head, schedule=schedule)
                    for m, given, head in (("amplify", "same", heads[0]), (rival, labels, heads[1]))
                )
                leads[factor] = own - other
                lead = compare(own, other)
                change = compare(leads[factor], leads["as stated"], f"{dataset}, {LABELS[rival]}, {factor}")
                said = printed[dataset, "amplify"] - printed[dataset, rival]
                rows.append({"dataset": dataset, "rival": rival, "factor": factor, "lead": lead.mean,
                             "lead_low": lead.low, "lead_high": lead.high, "lead_interval": lead.interval,
                             "change": change.mean, "low": change.low, "high": change.high,
                             "interval": change.interval, "printed": round(said, 2),
                             "share": 100 * change.mean / said})  # fmt: skip
                changes.append(change)
    table = pd.DataFrame(rows)
    # one comparison may stand against several methods: a head that changes for AMPLIFY alone changes all leads alike
    distinct = {(c.mean, c.low, c.high): c for c in changes if c.high > c.low}
    decided = dict(zip(distinct, (c.decided for c in holm(list(distinct.values()))), strict=True))
    return table.assign(decided=[decided.get((c.mean, c.low, c.high), False) for c in changes])


NEEDS = {
    claim_1: (protocol.table2,), claim_2: (protocol.table2,), claim_3: (protocol.table2,), claim_4: (protocol.table1,),
    claim_5: (protocol.by_size,), claim_6: (protocol.padding,), claim_7: (protocol.table3,),
    claim_8: (protocol.figure3,), claim_9: (protocol.step_time,), claim_10: (protocol.step_time,),
    claim_11: (protocol.table4,), claim_12: (protocol.table4,), claim_13: (protocol.attention,),
    claim_14: (protocol.attention,), claim_15: (protocol.noise,),
}  # fmt: skip


def verdicts(profile: str, store: Store | None = None, **overrides: object) -> dict[str, Verdict]:
    """The verdict on each claim whose runs are all there, and ``not run at this scale`` on the others."""
    return judge(protocol.PAPER, NEEDS, _Records, profile, store, **overrides)
