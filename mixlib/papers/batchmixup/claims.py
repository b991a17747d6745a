"""The claims of the BatchMixup paper as data. Its sizes become rows per class of BANKING77 and FewRel here."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mixlib.evidence.claims import BEST, MEASURES, POINT, Claim, Contrast, Measure, Term, against
from mixlib.evidence.printed import Numbers, printed
from mixlib.evidence.statistics import BOUNDS, NON_INFERIORITY, Printed
from mixlib.papers.batchmixup.protocol import EVIDENCE_N, EVIDENCE_ROWS, FRACTIONS, TOY_RATES, policy_label
from mixlib.runs.studies import StudyRecord

SEEDS = 3  # the paper's
A_CLASS = (1, 5, 10, 30)
BANKING77 = {f"BANKING77, {n} a class": f"batchmixup/banking77-{n}" for n in A_CLASS}
SETS = BANKING77 | {"FewRel, 20 a class": "batchmixup/fewrel"}
FEWREL_1 = {"FewRel, 7 a class": "batchmixup/fewrel-7"}
ALL_BANKING77 = {"BANKING77, all rows": "batchmixup/banking77-all"}
NO_RTE = {"RTE": "no recipe of this size at which the plain model learns"}
TIME, SHAPE = "batchmixup/epoch time", "batchmixup/geometry"
PLAIN = "BatchMixup against no mixup"
WORDS = {"none": PLAIN, "mixup": "BatchMixup against pairwise mixup",
         "nonlinear_mixup": "BatchMixup against nonlinear mixup"}  # fmt: skip
# The nearest of the paper's sizes: 1% of BANKING77 is 1 row per class, 25% are 32. At 5 and 10 it prints nothing
STAND_FOR = (("banking77", "1%"), ("banking77", "25%"))


def _row(dataset: str, size: str, method: str) -> dict[str, str]:
    return {"dataset": dataset, "train_size": size, "method": method, "metric": "accuracy"}


def _gain(dataset: str, size: str, method: str, over: str) -> Numbers:
    return [(1.0, _row(dataset, size, method)), (-1.0, _row(dataset, size, over))]


def _printed(method: str, over: str, *where: tuple[str, str]) -> Printed:
    return printed("batchmixup_table1", [_gain(*place, method, over) for place in where], SEEDS)


def _over(rival: str, method: str = "batchmixup") -> Contrast:
    name = WORDS[rival] if method == "batchmixup" else "nonlinear against pairwise mixup"
    return Contrast(
        name=name, measure="accuracy", units=against(method, rival, SETS),
        printed=_printed(method, rival, *STAND_FOR), not_here=NO_RTE,
    )  # fmt: skip


def _slope(x: list[float]) -> list[float]:
    """The weights of the least-squares slope of values at ``x``."""
    centred = np.array(x) - np.mean(x)
    return (centred / (centred**2).sum()).tolist()


# Claim 3: points of gain for each halving of the rows. From 30 per class to 1 there are five halvings, so a margin of 1
# point over the whole range is a fifth of that for each
_PER_HALVING = _slope([-math.log2(n) for n in A_CLASS])
_PRINTED_PER_HALVING = _slope([-math.log2(share) for share in FRACTIONS.values()])
HALVING = POINT / math.log2(A_CLASS[-1] / A_CLASS[0])
TREND = Contrast(
    name="points of gain for each halving of the rows", measure="accuracy", margin=HALVING,
    units={"BANKING77": tuple(
        Term(sign * weight, cell, label)
        for weight, cell in zip(_PER_HALVING, BANKING77.values(), strict=True)
        for sign, label in ((1.0, "batchmixup"), (-1.0, "none"))
    )},
    printed=printed("batchmixup_table1", [[
        (weight * sign, where) for weight, size in zip(_PRINTED_PER_HALVING, FRACTIONS, strict=True)
        for sign, where in _gain("banking77", size, "batchmixup", "none")
    ]], SEEDS),
    not_here=NO_RTE | {"FewRel": "it takes too long at several sizes"},
)  # fmt: skip

# Claim 4: the largest spread the paper prints there is 1.4 points over seeds; twice that cannot be told from chance
CHANCE = 3.0


def _at_chance(method: str, words: str) -> Contrast:
    majority = {"dataset": "rte", "train_size": "any", "method": "majority"}
    return Contrast(
        name=words, measure="above chance", margin=CHANCE, kind=NON_INFERIORITY,
        units={"RTE, 12 a class": (Term(-1.0, "batchmixup/rte-12", method),)},
        printed=Printed(
            printed("batchmixup_table1", [[(1.0, majority), (-1.0, _row("rte", "1%", method))]], SEEDS).size, SEEDS
        ),
    )  # fmt: skip


LIFT = (20.0, math.inf)  # points, claim 5; at equal updates: pairwise mixup makes several per batch


def _lift(method: str, over: str, words: str) -> Contrast:
    return Contrast(
        name=words, measure="accuracy", units=against(method, over, FEWREL_1), kind=BOUNDS, bounds=LIFT,
        printed=_printed(method, "none", ("fewrel", "1%")),
    )  # fmt: skip


# Claims 8 to 10: the paper's 15 draws, on its batches of five RTE texts
DRAWS = EVIDENCE_N[-1]
SAME_EPOCH, LONGER_EPOCH = math.log(1.2), math.log(8)  # factors that `testable_as` draws
EPOCH = {"RTE": TIME}
MINUTES = {"plain": 1.5, "mixup": 20.0}  # section 5, per epoch on a V100; "about" the same for BatchMixup


def _longer(method: str, words: str) -> Contrast:
    return Contrast(
        name=words, measure="seconds", margin=SAME_EPOCH, kind=BOUNDS, bounds=(LONGER_EPOCH, math.inf),
        units=against(f"{method} n={DRAWS}", f"batchmixup n={DRAWS}", EPOCH),
        printed=Printed(math.log(MINUTES["mixup"] / MINUTES["plain"]), 1),
    )  # fmt: skip


def _for_each_point(method: str, words: str, bounds: tuple[float, float]) -> Contrast:
    weights = _slope([float(n) for n in EVIDENCE_N])
    return Contrast(
        name=words, measure="plain steps", margin=(bounds[1] - bounds[0]) / 2, kind=BOUNDS, bounds=bounds,
        units={"RTE": tuple(Term(w, TIME, f"{method} n={n}") for w, n in zip(weights, EVIDENCE_N, strict=True))},
    )  # fmt: skip


# Claim 11: a twentieth of what the batch spans is the smallest difference that a picture would show
SPAN = 5.0


def _beyond_pairs(measure: str, words: str) -> Contrast:
    whole, pair = (
        {rows: policy_label(rows, policy=policy, alpha=alpha) for rows in EVIDENCE_ROWS}
        for policy, alpha in (("elementwise", 1.0), ("pairwise", 0.4))
    )
    return Contrast(
        name=words, measure=measure, margin=SPAN,
        units={f"BANKING77, batches of {rows}": (Term(1.0, SHAPE, whole[rows]), Term(-1.0, SHAPE, pair[rows]))
               for rows in EVIDENCE_ROWS},
    )  # fmt: skip


# Claim 12: a plane that does not separate two equal classes is nearer to chance than to perfection
HALF_WAY = 75.0
_CLOUDS = {f"two Gaussian clouds, learning rate {rate:g}": f"rate={rate:g}" for rate in TOY_RATES}


def _geometry(name: str) -> Callable[[StudyRecord, str], float]:
    keys = ("policy", "alpha", "rows", "temperature")

    def read(record: StudyRecord, label: str) -> float:
        labels = [policy_label(**{key: row[key] for key in keys if key in row}) for row in record.values["rows"]]
        return float(100 * record.values["rows"][labels.index(label)][name])

    return read


MEASURES.update({
    "toy accuracy": Measure("mean accuracy over draws of points", "points", None,
                            lambda record, label: float(100 * np.mean(record.values["accuracy"]))),
    "box side": Measure("side of the points' bounding box, in % of the batch's", "% of the batch's box", None,
                        _geometry("box_side")),
    "distance": Measure("distance from the nearest segment, in % of the mean distance of two rows",
                        "% of the distance of two rows", None, _geometry("distance")),
})  # fmt: skip


PRINTED_FOR = "The printed size is that of BANKING77 at 1% and 25%: nothing is printed for FewRel with 20 rows a class."
ON_BOTH = "Mean over BANKING77 (the mean of four sizes) and FewRel with 20 rows a class"
CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="batchmixup-1", parts=tuple(map(_over, WORDS)), together=BEST,
        rule=f"{ON_BOTH} of BatchMixup minus each of no mixup, pairwise and nonlinear mixup (three draws and updates "
        "a batch, BatchMixup and no mixup one), accuracy at the last update; supported if all three 95% intervals are "
        f"above 0. {PRINTED_FOR}",
    ),
    Claim(
        id="batchmixup-2",
        parts=(
            Contrast(
                name=PLAIN, measure="accuracy", units=against("batchmixup", "none", ALL_BANKING77),
                printed=_printed("batchmixup", "none", ("banking77", "full")),
                not_here=NO_RTE | {"FewRel": "it takes too long with all rows"},
            ),
        ),
        rule="BatchMixup minus no mixup in accuracy at the last update, all rows of BANKING77; supported if its 95% "
        "interval is above 0, no effect if its 90% interval is within 1 point.",
    ),
    Claim(
        id="batchmixup-3", parts=(TREND,),
        rule="Least-squares slope of BatchMixup's gain in accuracy over no mixup, for each halving of BANKING77's "
        "rows from 30 to 1 a class, where a loss that shrinks is a growing gain; supported if its 95% interval is "
        f"above 0, no effect within {HALVING:.1f} a halving (1 point over the whole range).",
    ),
    Claim(
        id="batchmixup-4",
        parts=(
            _at_chance("none", "no mixup at chance"),
            _at_chance("mixup", "pairwise mixup at chance"),
            _at_chance("nonlinear_mixup", "nonlinear mixup at chance"),
            _at_chance("batchmixup", "BatchMixup at chance"),
        ),
        rule="The largest class's share of the test rows minus accuracy on RTE after training on 12 rows a class; "
        "supported if for each of the four methods the 95% interval stays above -3 points: not clearly better than "
        "chance by more than that.",
    ),
    Claim(
        id="batchmixup-5",
        parts=(
            _lift("mixup", "none_long 3", "pairwise mixup, against no mixup with as many updates"),
            _lift("nonlinear_mixup", "none_long 3", "nonlinear mixup, against no mixup with as many updates"),
            _lift("batchmixup", "none", PLAIN),
        ),
        rule="Accuracy on FewRel with 7 rows a class (1%) at the last update, each mixup minus no mixup with as many "
        "updates; supported if all three 95% intervals are above 20 points, contradicted if one is below. The printed "
        "lifts are over a plain model with fewer updates that has collapsed; here it has not.",
    ),
    Claim(
        id="batchmixup-6", parts=tuple(map(_over, ("mixup", "nonlinear_mixup"))), together=BEST,
        rule=f"{ON_BOTH} of BatchMixup minus pairwise and minus nonlinear mixup (three draws and updates a batch, "
        f"BatchMixup one), accuracy at the last update; supported if both 95% intervals are above 0. {PRINTED_FOR}",
    ),
    Claim(
        id="batchmixup-7", parts=(_over("mixup", "nonlinear_mixup"),),
        rule=f"{ON_BOTH} of nonlinear minus pairwise mixup, accuracy at the last update; supported if its 95% "
        f"interval is above 0, no effect if its 90% interval is within 1 point. {PRINTED_FOR}",
    ),
    Claim(
        id="batchmixup-8",
        parts=(
            Contrast(
                name="a step of BatchMixup against a plain one", measure="seconds", margin=SAME_EPOCH,
                kind=NON_INFERIORITY, units=against(f"batchmixup n={DRAWS}", "none", EPOCH, sign=-1.0),
                printed=Printed(0.0, 1),
            ),
        ),
        rule="Time of a plain step over that of BatchMixup (15 points) on the same 100 batches of RTE, geometric "
        "mean; supported if its 95% interval stays above 1/1.2: less than a fifth longer.",
    ),
    Claim(
        id="batchmixup-9",
        parts=(_longer("mixup", "pairwise mixup against BatchMixup"),
               _longer("nonlinear_mixup", "nonlinear mixup against BatchMixup")),
        rule="Time of pairwise and of nonlinear mixup over BatchMixup's, 15 draws each, on the same 100 batches of "
        "RTE; supported if both 95% intervals are above a factor of 8 (printed: about 13).",
    ),
    Claim(
        id="batchmixup-10",
        parts=(_for_each_point("mixup", "pairwise mixup, for each draw", (80.0, 120.0)),
               _for_each_point("batchmixup", "BatchMixup, for each point", (-5.0, 5.0))),
        rule="Slope of the time of a step over n = 1, 5, 15, in % of a plain step, on the same 100 batches of RTE; "
        "supported if pairwise mixup's 95% interval is within 80 and 120, BatchMixup's within -5 and 5.",
    ),
    Claim(
        id="batchmixup-11",
        parts=(_beyond_pairs("distance", "BatchMixup's points lie off the segments"),
               _beyond_pairs("box side", "BatchMixup's points span more than pairwise ones")),
        rule="Among sentence vectors of BANKING77, batches of 5, 16 and 32, BatchMixup minus pairwise mixup: distance "
        "of the points to the nearest segment (% of the mean distance of two rows), and side of their bounding box (% "
        "of that of the rows); supported if both 95% intervals are above 0.",
    ),
    Claim(
        id="batchmixup-12",
        parts=(
            Contrast(
                name=PLAIN, measure="toy accuracy",
                units={name: (Term(1.0, "batchmixup/toy", f"batchmixup {rate}"),
                              Term(-1.0, "batchmixup/toy", f"none {rate}")) for name, rate in _CLOUDS.items()},
            ),
            Contrast(
                name="without mixup the classes are not separated", measure="toy accuracy", kind=BOUNDS,
                bounds=(-math.inf, HALF_WAY),
                units={name: (Term(1.0, "batchmixup/toy", f"none {rate}"),) for name, rate in _CLOUDS.items()},
            ),
        ),
        rule="Accuracy on two Gaussian clouds after five points of each, mean over 50 draws a seed and two learning "
        "rates; supported if the 95% interval of BatchMixup minus no mixup is above 0 and that of no mixup below 75%, "
        "halfway between chance and perfect.",
    ),
    Claim(
        id="batchmixup-13",
        rule="Pairwise mixup below no mixup on all rows of BANKING77 and on half of RTE.",
        not_here="RTE: no recipe of this size at which the plain model learns; all rows of BANKING77: three updates a "
        "batch take half an hour a run",
    ),
)  # fmt: skip
