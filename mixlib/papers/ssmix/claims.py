"""The 15 claims of the SSMix paper as data.

Its table is made in two stages, so it is judged on two-stage cells. What the paper calls "without mixup" is a second
stage without mixup here, with as many updates: the paper reports the best of both stages, which cannot fall below its
first stage whatever the method does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixlib.evidence import plan, statistics
from mixlib.evidence.cells import FIRST
from mixlib.evidence.claims import FACTOR, MEASURES, Claim, Contrast, Measure, Term, against
from mixlib.evidence.printed import printed
from mixlib.papers.ssmix.protocol import RATIOS_DRAWN
from mixlib.runs.studies import StudyRecord

SEEDS = 5  # of the paper's runs
CELLS = {"SST-2": "ssmix/sst2", "TREC-coarse": "ssmix/trec_coarse", "TREC-fine": "ssmix/trec_fine",
         "QNLI": "ssmix/qnli"}  # fmt: skip
OTHER_SETS = {
    "QQP": "not available offline",
    "MNLI": "no recipe in two stages of this size at which the plain model learns three classes of pairs",
    "RTE": "no recipe of this size at which the plain model learns",
    "MRPC": "the plain model learns from all 3,668 pairs only, too many for two stages with every method",
    "ANLI": "not available offline",
}
TREC = ("TREC-coarse", "TREC-fine")
HIDDEN = {"EmbedMix": "embedmix", "TMix": "tmix"}
FAMILY = {"ssmix": 1 / 3, "ssmix_nosal": 1 / 3, "ssmix_nosal_nospan": 1 / 3}  # input level
SPAN = {"ssmix_nosal": 1.0, "ssmix_nosal_nospan": -1.0}
SALIENCY = {"ssmix": 1.0, "ssmix_nosal": -1.0}
WON = "supported if its 95% interval is above 0; no effect if its 90% interval is within 1 point"
ON_THE_LINE = 5.0  # % of the segment's length: nearer than that is on it
LITTLE, TWICE_LOW, TWICE_HIGH = math.log(1.2), math.log(1.6), math.log(2.4)
TWICE = statistics.Printed(math.log(2.0), runs=1)  # "about twice the training time", section 3.4


def _accuracy(
    name: str,
    weights: Mapping[str, float],
    on: Sequence[str] = tuple(CELLS),
    left_out: Sequence[str] = tuple(OTHER_SETS),
    table: str = "ssmix_table2",
    **rest: Any,
) -> Contrast:
    """A weighted sum of methods' accuracies on these data sets, with what the table prints for it."""
    cells = {name: CELLS[name] for name in on}
    said = [
        [(weight, {"dataset": plan.get(cell).dataset, "method": label}) for label, weight in weights.items()]
        for cell in cells.values()
    ]
    return Contrast(
        name=name,
        measure="accuracy",
        units={name: tuple(Term(w, cell, label) for label, w in weights.items()) for name, cell in cells.items()},
        printed=printed(table, said, SEEDS),
        not_here={name: OTHER_SETS[name] for name in left_out},
        **rest,
    )


def _over_hidden(**on: Any) -> tuple[Contrast, ...]:
    return tuple(_accuracy(f"SSMix over {name}", {"ssmix": 1.0, key: -1.0}, **on) for name, key in HIDDEN.items())


def _more_on_fine() -> Contrast:
    weights = {("TREC-fine", "ssmix"): 1.0, ("TREC-fine", "none"): -1.0, ("TREC-coarse", "ssmix"): -1.0,
               ("TREC-coarse", "none"): 1.0}  # fmt: skip
    said = [(w, {"dataset": plan.get(CELLS[name]).dataset, "method": label}) for (name, label), w in weights.items()]
    terms = tuple(Term(w, CELLS[name], label) for (name, label), w in weights.items())
    return Contrast(name="gain on TREC-fine over gain on TREC-coarse", measure="accuracy",
                    units={"TREC-fine against TREC-coarse": terms},
                    printed=printed("ssmix_table2", [said], SEEDS))  # fmt: skip


TIMES = {"TREC-coarse": "ssmix/step time"}  # questions of one sentence
TWO_WAYS = (Term(1.0, "ssmix/trec_coarse", FIRST), Term(-1.0, "ssmix/trec_coarse from the start", "ssmix"))
BOTH_WAYS = (Term(1.0, "ssmix/trec_coarse", "ssmix"), Term(-1.0, "ssmix/trec_coarse from the start", "ssmix"))


def _distance(name: str, method: str, bounds: tuple[float, float]) -> Contrast:
    """The distance of mixed texts from the segment, averaged over the weights at which it is measured."""
    cell = "ssmix/off the segment"
    terms = tuple(Term(1 / len(RATIOS_DRAWN), cell, f"{method} lam0={ratio:g}") for ratio in RATIOS_DRAWN)
    return Contrast(name=name, measure="off the segment", units={"SST-2": terms}, margin=ON_THE_LINE,
                    kind=statistics.BOUNDS, bounds=bounds)  # fmt: skip


def _off_the_segment(record: StudyRecord, label: str) -> float:
    method, ratio = label.split(" lam0=")
    rows = [row for row in record.values["rows"] if (row["method"], f"{row['ratio']:g}") == (method, ratio)]
    return float(100 * np.mean([row["distance"] for row in rows]))


MEASURES.update({
    "off the segment": Measure("distance from the segment, in % of its length", "% of the segment", None,
                               _off_the_segment),
})  # fmt: skip


ON_FOUR = "Mean over SST-2, TREC-coarse, TREC-fine and QNLI"
CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="ssmix-1",
        parts=(_accuracy("SSMix over none", {"ssmix": 1.0, "none": -1.0}, kind=statistics.NON_INFERIORITY),),
        rule=f"{ON_FOUR} of SSMix - no mixup in accuracy at the last update of equally long second stages; supported "
        "if its 95% interval is above -1 point, contradicted if it is below. This is the mean: single sets may lose "
        "more.",
    ),
    Claim(
        id="ssmix-2",
        parts=_over_hidden(),
        rule=f"{ON_FOUR} of SSMix - EmbedMix, and of SSMix - TMix, in accuracy at the last update of the second "
        f"stage; each: {WON}.",
    ),
    Claim(
        id="ssmix-3",
        parts=(_accuracy("input level over hidden level", FAMILY | dict.fromkeys(HIDDEN.values(), -1 / 2)),),
        rule=f"{ON_FOUR} of (SSMix and its two ablations) - (EmbedMix and TMix), each family the mean of its methods, "
        f"in accuracy at the last update of the second stage; {WON}.",
    ),
    Claim(
        id="ssmix-4",
        rule="SSMix - the hidden-level methods, on large against small training sets.",
        not_here="no training set of 10,000 rows and more can be used at this size, so there is no large set to "
        "compare",
    ),
    Claim(
        id="ssmix-5",
        parts=(_more_on_fine(),),
        rule="(SSMix - no mixup on TREC-fine) - (SSMix - no mixup on TREC-coarse) in accuracy at the last update of "
        f"the second stage, where a smaller loss is a larger gain; {WON}.",
    ),
    Claim(
        id="ssmix-6",
        parts=_over_hidden(on=TREC, left_out=("MNLI", "ANLI")),
        rule="Mean over TREC-coarse and TREC-fine of SSMix - EmbedMix, and of SSMix - TMix, in accuracy at the last "
        f"update of the second stage (QNLI has two classes and is left out); each: {WON}.",
    ),
    Claim(
        id="ssmix-7",
        parts=_over_hidden(on=("QNLI",), left_out=("QQP", "MNLI", "RTE", "MRPC", "ANLI")),
        rule="SSMix - EmbedMix, and SSMix - TMix, on pairs of sentences (QNLI) in accuracy at the last update of the "
        f"second stage; each: {WON}.",
    ),
    Claim(
        id="ssmix-8",
        parts=(_accuracy("adding the span", SPAN), _accuracy("adding saliency", SALIENCY)),
        rule=f"{ON_FOUR} of what the span adds to random tokens, and of what saliency adds to a random span, in "
        f"accuracy at the last update of the second stage; each: {WON}.",
    ),
    Claim(
        id="ssmix-9",
        parts=(_accuracy("saliency over span", {"ssmix": 1.0, "ssmix_nosal": -2.0, "ssmix_nosal_nospan": 1.0}),),
        rule=f"{ON_FOUR} of (what saliency adds) - (what the span adds) in accuracy at the last update of the second "
        f"stage; {WON}.",
    ),
    Claim(
        id="ssmix-10",
        parts=(_accuracy("input level over UNK", FAMILY | {"unk": -1.0}, table="ssmix_tableB1"),),
        rule=f"{ON_FOUR} of (mean of SSMix and its two ablations) - (random UNK tokens) in accuracy at the last "
        f"update of the second stage; {WON}.",
    ),
    Claim(
        id="ssmix-11",
        parts=(
            *(
                Contrast(name=f"SSMix with a saliency pass against {name}", measure="seconds", margin=FACTOR,
                         units=against("ssmix_split", key, TIMES), kind=statistics.BOUNDS,
                         bounds=(TWICE_LOW, TWICE_HIGH), printed=TWICE)
                for name, key in HIDDEN.items()
            ),
            Contrast(name="SSMix with a saliency pass against without", measure="seconds", margin=FACTOR,
                     units=against("ssmix_split", "ssmix", TIMES)),
        ),
        rule="Time of a step of SSMix with a pass of its own for saliency (as in the published code, but in one pass "
        "over twice the rows, half of them empty on single texts, and without gradients of the weights) over that "
        "of EmbedMix and of TMix on the same batch; supported if both 95% intervals lie between 1.6 and 2.4, and "
        "if the step is faster where saliency comes with the pass over the originals, as it does in this library.",
        caveat="judged with a saliency pass of its own; this library needs none",
    ),
    Claim(
        id="ssmix-12",
        parts=(
            Contrast(name="TMix over EmbedMix", measure="seconds", units=against("tmix", "embedmix", TIMES),
                     margin=FACTOR, kind=statistics.BOUNDS, bounds=(0.0, LITTLE)),
        ),
        rule="Time of a step of TMix over that of EmbedMix on the same batch; supported if its 95% interval lies "
        "between 1 and 1.2, contradicted if it lies outside.",
    ),
    Claim(
        id="ssmix-13",
        parts=(
            *(
                Contrast(name=f"0.1 over {other}", measure="accuracy",
                         units=against("ssmix", f"ssmix lam0={other}",
                                       {name: CELLS[name] for name in ("SST-2", "TREC-coarse")}),
                         not_here={"RTE": OTHER_SETS["RTE"], "TREC-fine": "not run with other ratios, for its cost"})
                for other in ("0.01", "0.5")
            ),
            Contrast(name="0.01 does nothing", measure="accuracy", kind=statistics.EQUIVALENCE,
                     units=against("ssmix lam0=0.01", "none",
                                   {name: CELLS[name] for name in ("SST-2", "TREC-coarse")})),
        ),
        rule="Mean over SST-2 and TREC-coarse of SSMix with a ratio of 0.1 - SSMix with 0.01, and with 0.5, in "
        f"accuracy at the last update of the second stage; each: {WON}. And 0.01 - no mixup has a 95% interval within "
        "1 point. Never less than one token is replaced, so that 0.01 and 0.1 are the same for texts of fewer than 20 "
        "tokens.",
    ),
    Claim(
        id="ssmix-14",
        parts=(
            Contrast(name="after 5 of 8 epochs", measure="accuracy after 5 epochs", units={"TREC-coarse": TWO_WAYS}),
            Contrast(name="after all 8", measure="accuracy", kind=statistics.NON_INFERIORITY,
                     units={"TREC-coarse": BOTH_WAYS}),
        ),
        rule="Training in two stages (5 epochs without mixup, 3 with) - SSMix for 8 epochs, in accuracy: ahead after "
        "5 epochs (95% interval above 0, on 256 test rows; the first stage's learning rate has come down to 0 by "
        "then), and at least as good at the end (95% interval above -1 point).",
    ),
    Claim(
        id="ssmix-15",
        parts=(
            _distance("SSMix off the segment", "ssmix", (ON_THE_LINE, math.inf)),
            *(_distance(f"{name} on the segment", key, (-math.inf, ON_THE_LINE)) for name, key in HIDDEN.items()),
        ),
        rule="Mean distance of sentence vectors of mixed SST-2 texts from the segment between the originals', in % of "
        "its length, over weights of 0.1, 0.3 and 0.5; supported if the 95% interval of SSMix is above 5% and those "
        "of EmbedMix and TMix, at the same weights, are below; contradicted if one of them is wholly on the other "
        "side.",
    ),
)  # fmt: skip
