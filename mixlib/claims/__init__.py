"""Verdicts on the papers' claims, computed from records. One module a paper.

A verdict is one of ``supported``, ``contradicted``, ``inconclusive`` or ``not run at this scale``, and speaks of the
profile it was measured at, never of the paper's scale. Synthetic data has no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mixlib import published
from mixlib.store import Record, Spec, Store, usable
from mixlib.tables import Comparison, MixedPrecision, NotMeasured, TooFewSeeds, one_precision

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
NOT_RUN = "not run at this scale"
NO_VERDICT = "none: synthetic data"


@dataclass(frozen=True)
class Verdict:
    """A verdict, the numbers behind it, and the keys of the records they come from."""

    verdict: str
    evidence: str
    records: tuple[str, ...] = ()


def by_count(favour: int, against: int, of: int) -> str:
    """The verdict when so many of the comparisons are decided as claimed, and so many against; see `directions`."""
    if against > favour:
        return CONTRADICTED
    return SUPPORTED if against == 0 and 2 * favour >= of else INCONCLUSIVE


def directions(comparisons: Sequence[Comparison]) -> Verdict:
    """The rule for "A is better than B" over several comparisons, each signed so that positive is as claimed.

    A comparison is decided where its Holm-corrected p is below 0.05. Supported: at least half are decided as claimed
    and none against. Contradicted: more are decided against than as claimed. Inconclusive: anything else.
    """
    if not comparisons:
        raise NotMeasured("none of the data sets that the claim is about were run")
    favour = sum(c.decided and c.mean > 0 for c in comparisons)
    against = sum(c.decided and c.mean < 0 for c in comparisons)
    same_sign = sum(c.mean > 0 for c in comparisons)
    verdict = by_count(favour, against, len(comparisons))
    best = max(comparisons, key=lambda c: c.mean)
    worst = min(comparisons, key=lambda c: c.mean)
    text = (
        f"{same_sign} of {len(comparisons)} differences have the claimed sign, {favour} decided as claimed, {against} "
        f"against"
    )
    ends = f"largest {best.label} {best.interval}"
    if len(comparisons) > 1:
        ends += f", smallest {worst.label} {worst.interval}"
    return Verdict(verdict, f"{text}; as claimed is +: {ends}")


def judge(
    paper: str,
    needs: Mapping[Callable[[Any], Verdict], Sequence[Callable[..., list[Spec]]]],
    view: Callable[[Sequence[Record]], Any],
    profile: str,
    store: Store | None = None,
    **overrides: object,
) -> dict[str, Verdict]:
    """The verdict on each claim of a paper whose records are all there; nothing is run.

    A claim about something that these runs leave out, a data set or a spread over seeds, is not judged. For runs on
    synthetic data the evidence is computed all the same, which shows that everything works, but no verdict is given.

    Args:
        paper: key of the paper; its claims are numbered from 1 in the order of ``needs``.
        needs: the test of each claim, and the functions of the protocol whose runs it looks at.
        view: makes what a test is called with out of the records.
        profile: whose runs count.
        store: where records are, by default the repository's.
        overrides: of the protocol, such as ``model``.
    """
    store = store or Store()
    specs = {part: part(profile, **overrides) for parts in needs.values() for part in parts}
    kept = {spec: usable(store, spec) for part in specs.values() for spec in part}
    found, views = {}, {}
    for number, (test, parts) in enumerate(needs.items(), start=1):
        wanted = list(dict.fromkeys(spec for part in parts for spec in specs[part]))
        missing = sum(kept[spec] is None for spec in wanted)
        if missing:
            verdict = Verdict(NOT_RUN, f"{missing} of its {len(wanted)} runs are missing")
        else:
            try:
                one_precision(kept[spec] for spec in wanted)
                if parts not in views:
                    views[parts] = view([kept[spec] for spec in wanted])
                verdict = test(views[parts])
            except (NotMeasured, TooFewSeeds, MixedPrecision) as error:  # e.g. a data set that the profile leaves out
                verdict = Verdict(NOT_RUN, error.args[0])
            word = NO_VERDICT if any(spec.synthetic for spec in wanted) else verdict.verdict
            verdict = Verdict(word, verdict.evidence, tuple(spec.key for spec in wanted))
        found[f"{paper}-{number}"] = verdict
    return found


def table(paper: str, profile: str, ids: Sequence[str] | None = None, **overrides: object) -> pd.DataFrame:
    """The claims of a paper with their verdicts at a profile, from the records there are; nothing is run.

    Args:
        paper: key of the paper.
        profile: whose runs count.
        ids: only these claims.
        overrides: of the protocol, such as ``model``.

    Returns:
        Index ``id``; columns ``claim``, ``verdict``, ``scale``, ``evidence``, ``records`` (how many).
    """
    from mixlib.claims import mixup_calibration

    judges = {mixup_calibration.protocol.PAPER: mixup_calibration.verdicts}
    listed = published.claims(paper)
    verdicts = judges[paper](profile, **overrides) if paper in judges else {}
    rows = []
    for claim in listed.to_dict("records"):
        if ids is not None and claim["id"] not in ids:
            continue
        verdict = verdicts.get(claim["id"], Verdict(NOT_RUN, "its runs are not there"))
        rows.append({"id": claim["id"], "claim": claim["claim"], "verdict": verdict.verdict, "scale": profile,
                     "evidence": verdict.evidence, "records": len(verdict.records)})  # fmt: skip
    return pd.DataFrame(rows).set_index("id")
