"""The 15 claims of the AMPLIFY paper as data.

Its tables need no protocol of their own: they are judged on the pool, on the data sets that the paper has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mixlib.evidence import plan, published, statistics
from mixlib.evidence.claims import BEST, FACTOR, MEASURES, Claim, Contrast, Measure, Term, against
from mixlib.evidence.printed import printed
from mixlib.evidence.statistics import Printed
from mixlib.evidence.tables import LABELS
from mixlib.papers.amplify import protocol
from mixlib.runs.studies import StudyRecord

SEEDS = 3  # of the paper's runs
POOL = {"SST-2": "common/sst2", "SST-5": "common/sst5", "TREC-coarse": "common/trec_coarse",
        "TREC-fine": "common/trec_fine"}  # fmt: skip
PAIRS = {"MRPC": "amplify/mrpc"}  # with none, EmbedMix and AMPLIFY
DRAWS = {"TREC-coarse": "amplify/trec_coarse draws"}
BLOCKS = {"TREC-coarse": "amplify/trec_coarse draws", "SST-5": "amplify/sst5 blocks"}
FULL_SIZE = {
    "IMDb": "its reviews are too long for five methods on a CPU",
    "Yelp": "needs 560,000 reviews",
}
NOT_ON_PAIRS = "run with no mixup, EmbedMix and AMPLIFY only: a run takes 12 minutes"
ONE_SET = "not run with other numbers of draws, for their cost"
NO_BLOCKS = FULL_SIZE | dict.fromkeys(("MRPC", "SST-2", "TREC-fine"), "not run in single blocks, for their cost")
MIXUP = {"EmbedMix": "embedmix", "SentenceMix": "sentencemix", "TMix": "tmix"}
RIVALS = {"no mixup": "none"} | MIXUP
WON = "supported if its 95% interval is above 0; no effect if its 90% interval is within 1 point"
FROM_MEDIAN = 0.70  # E|x - median of six| in SDs, by simulation
DEVIATION = 0.5  # points; half the margin of accuracy, as the printed standard deviations are 0.04 to 1.4 points
ATTENTION = 3.0  # points of attention


def _cells(rival: str) -> dict[str, str]:
    return POOL | (PAIRS if rival in plan.get(PAIRS["MRPC"]).labels else {})


def _left_out(rival: str) -> dict[str, str]:
    if rival in plan.get(PAIRS["MRPC"]).labels:
        return FULL_SIZE
    return FULL_SIZE | {f"MRPC, AMPLIFY against {LABELS[rival]}": NOT_ON_PAIRS}


def _where(cell: str, label: str) -> dict[str, str]:
    """Where the published tables have the number of a method, or of AMPLIFY in a single block."""
    return {"dataset": plan.get(cell).dataset, "method": label.replace(" block ", "_block")}


def _accuracy(
    name: str, units: Mapping[str, tuple[Term, ...]], tables: str | Sequence[str] = "amplify_table2", **rest: Any
) -> Contrast:
    """A contrast of accuracies, with what the tables print for it on the same data sets."""
    said = [[(term.weight, _where(term.cell, term.label)) for term in terms] for terms in units.values()]
    return Contrast(name=name, measure="accuracy", units=units, printed=printed(tables, said, SEEDS), **rest)


def _deviation(name: str, weights: Mapping[str, float]) -> Contrast:
    """How far apart seeds lie. The paper prints variances; a normal value lies on average :data:`FROM_MEDIAN` of its
    standard deviation from the median of six."""
    table = published.table("amplify_table2").set_index(["dataset", "method"])["spread"]
    # its variances are divided by the number of runs
    size = sum(
        weight * FROM_MEDIAN * math.sqrt(table[plan.get(cell).dataset, label] * SEEDS / (SEEDS - 1)) / len(POOL)
        for cell in POOL.values()
        for label, weight in weights.items()
    )
    return Contrast(
        name=name,
        measure="deviation",
        margin=DEVIATION,
        units={name: tuple(Term(w, cell, label) for label, w in weights.items()) for name, cell in POOL.items()},
        printed=Printed(size, runs=SEEDS * len(POOL)),
        not_here=FULL_SIZE | {"MRPC": NOT_ON_PAIRS},
    )


def _draws(rival: int) -> Contrast:
    paper, label = protocol.METHODS["amplify"]["n"], f"amplify n={rival}"
    found = [(1.0, {"dataset": "trec_coarse", "method": "amplify", "param": str(paper)}),
             (-1.0, {"dataset": "trec_coarse", "method": "amplify", "param": str(rival)})]  # fmt: skip
    # Table 1 states no number of runs, and its TREC numbers are multiples of 0.2: single runs on 500 questions
    return Contrast(name=f"5 draws over {rival}", measure="accuracy", units=against("amplify", label, DRAWS),
                    printed=printed("amplify_table1", [found], 1),
                    not_here=FULL_SIZE | dict.fromkeys(("MRPC", "SST-2", "SST-5", "TREC-fine"), ONE_SET))  # fmt: skip


def _best_block(name: str, best: int) -> Contrast:
    """The block that the paper finds best on a data set, over the mean of the other two."""
    cell = BLOCKS[name]
    terms = tuple(Term(1.0 if block == best else -0.5, cell, f"amplify block {block}") for block in protocol.BLOCKS)
    return _accuracy(f"block {best} best on {name}", {name: terms}, "amplify_table4", not_here=NO_BLOCKS)


def _padding() -> tuple[Contrast, Contrast]:
    loses = against("none", "amplify", {"SST-2": "common/sst2"})
    little = against("none", "amplify", {"SST-2": "amplify/sst2 by length"}, -1.0)
    because = {"SST-2": loses["SST-2"] + little["SST-2"]}
    return (
        _accuracy("no mixup over AMPLIFY", loses),
        Contrast(name="accuracy lost with much padding minus that lost with little", measure="accuracy", units=because),
    )


def _noise() -> Contrast:
    """Accuracy that wrong labels cost the other mixup methods, minus what they cost AMPLIFY."""
    share = {"amplify": -1.0} | dict.fromkeys(MIXUP.values(), 1 / len(MIXUP))
    terms = tuple(
        Term(sign * weight, cell, label)
        for sign, cell in ((1.0, "common/trec_coarse"), (-1.0, "amplify/trec_coarse 20% noise"))
        for label, weight in share.items()
    )
    return Contrast(
        name="accuracy lost by other mixup over AMPLIFY's loss",
        measure="accuracy",
        units={"TREC-coarse": terms},
        not_here={
            "MRPC": "a run takes 12 minutes: not run with noise",
            "TREC-fine": "not run with noise, for its cost",
        },
    )


def _attention(name: str, measure: str, sign: float = 1.0) -> Contrast:
    return Contrast(name=name, measure=measure, margin=ATTENTION,
                    units=against("amplify", "embedmix", {"QNLI": "amplify/attention"}, sign))  # fmt: skip


def _share(name: str) -> Callable[[StudyRecord, str], float]:
    """The mean over sentences of a share of attention; ``name/key`` for one of several words."""
    first, _, key = name.partition("/")

    def read(record: StudyRecord, label: str) -> float:
        found = record.values[first]
        return float(100 * np.mean(found[key] if key else found))

    return read


MEASURES.update({
    "crossing": Measure("share of attention that goes to the other sentence, paper's pair", "points", None,
                        _share("crossing")),
    "crossing made": Measure("share of attention that goes to the other sentence, pairs of the paper's form",
                             "points", None, _share("crossing_made")),
    "crossing test": Measure("share of attention that goes to the other sentence, pairs of the test split",
                             "points", None, _share("crossing_test")),
    "linked": Measure("share of a subject's attention to verbs that its own gets, paper's pair", "points", None,
                      _share("linked")),
    "linked made": Measure("share of a subject's attention to verbs that its own gets, pairs of the paper's form",
                           "points", None, _share("linked_made")),
    "animal": Measure("attention of \"it\" to \"animal\"", "points", None, _share("resolved/animal")),
    "too": Measure("attention of \"it\" to \"too\"", "points", None, _share("resolved/too")),
    "tired": Measure("attention of \"it\" to \"tired\"", "points", None, _share("resolved/tired")),
    "film": Measure("attention of \"it\" to \"film\"", "points", None, _share("resolved_film")),
    "resolved made": Measure("share of the attention of \"it\" to two nouns that the right one gets", "points", None,
                             _share("resolved_made")),
})  # fmt: skip


CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="amplify-1",
        parts=tuple(
            _accuracy(f"AMPLIFY over {name}", against("amplify", key, _cells(key)), not_here=_left_out(key))
            for name, key in RIVALS.items()
        ),
        together=BEST,
        rule="Mean over the paper's data sets (SST-2, SST-5, both TREC; MRPC for no mixup and EmbedMix) of AMPLIFY - "
        f"each of the four other methods in accuracy at the last update; each: {WON}.",
    ),
    Claim(
        id="amplify-2",
        parts=(
            *(
                _accuracy(f"AMPLIFY over {name} on MRPC", against("amplify", RIVALS[name], PAIRS),
                          not_here={} if name == "no mixup" else {
                              f"MRPC, AMPLIFY against {other}": NOT_ON_PAIRS for other in ("SentenceMix", "TMix")})
                for name in ("no mixup", "EmbedMix")
            ),
            _accuracy("AMPLIFY over no mixup on TREC-fine",
                      against("amplify", "none", {"TREC-fine": POOL["TREC-fine"]})),
        ),
        rule="AMPLIFY - no mixup and AMPLIFY - EmbedMix on MRPC, and AMPLIFY - no mixup on TREC-fine, in accuracy at "
        f"the last update; each: {WON}. SentenceMix and TMix are not run on MRPC.",
    ),
    Claim(
        id="amplify-3",
        parts=(
            _deviation("no mixup's deviation over AMPLIFY's", {"none": 1.0, "amplify": -1.0}),
            _deviation("other mixup's deviation over AMPLIFY's",
                       dict.fromkeys(MIXUP.values(), 1 / len(MIXUP)) | {"amplify": -1.0}),
        ),
        rule="Mean over SST-2, SST-5 and both TREC of how far a seed's accuracy lies from the median seed's, without "
        "mixup - with AMPLIFY, and with other mixup (mean of three methods) - with AMPLIFY; each: supported if its "
        "95% interval is above 0, no effect if its 90% interval is within half a point.",
    ),
    Claim(
        id="amplify-4",
        parts=tuple(_draws(n) for n in protocol.DRAWS if n != protocol.METHODS["amplify"]["n"]),
        together=BEST,
        rule="AMPLIFY with the largest of 5 draws - with that of 1, 3, 7, 9 and 20 on TREC-coarse in accuracy at the "
        f"last update; each: {WON}. That one draw mixes heavily and twenty hardly at all is arithmetic, not measured.",
    ),
    Claim(
        id="amplify-5",
        rule="Gain of the four mixup methods over no mixup, on small against very large training sets.",
        not_here="needs the 560,000 reviews of Yelp: no very large set can be trained on at this size",
    ),
    Claim(
        id="amplify-6",
        parts=_padding(),
        rule="No mixup - AMPLIFY on SST-2 in accuracy at the last update: above 0 (95% interval), and less so in "
        "batches of texts of similar length, which need little padding (95% interval of the difference above 0); no "
        "effect if both 90% intervals are within 1 point.",
    ),
    Claim(
        id="amplify-7",
        rule="Gain of AMPLIFY for a distilled model: above 0, and below that for the whole model.",
        not_here="DistilBERT is not available offline (half of our model's blocks are shown in its place, without a "
        "verdict)",
    ),
    Claim(
        id="amplify-8",
        parts=tuple(
            Contrast(name=f"{name}'s {what} over AMPLIFY's", measure=measure, margin=FACTOR,
                     units=against(key, "amplify", _cells(key)), not_here=_left_out(key))
            for measure, what in (("training loss", "training loss"), ("unsteadiness", "unsteadiness"))
            for name, key in MIXUP.items()
        ),
        rule="Mean over SST-2, SST-5, both TREC (and MRPC for EmbedMix) of the ratio of EmbedMix's, SentenceMix's "
        "and TMix's mean training loss to AMPLIFY's, and of the same for its mean standard deviation over 5 "
        "recorded losses (5 updates; 10 on TREC-fine and MRPC, where each is a mean of two); each: supported if "
        "its 95% interval is above 1, no effect if its 90% interval is within a factor of 1.1. Less mixing alone "
        "lowers a training loss: the second row's mean weight is 0.04 with AMPLIFY, 0.10 with the others.",
    ),
    Claim(
        id="amplify-9",
        parts=tuple(
            Contrast(name=f"{name}'s time over AMPLIFY's", measure="seconds", margin=FACTOR,
                     units=against(key, "amplify", {"MRPC": "amplify/step time"}))
            for name, key in MIXUP.items()
        ),
        rule="Time of a step of EmbedMix, SentenceMix and TMix over AMPLIFY's on the same batch of MRPC (geometric "
        "mean); each: supported if its 95% interval is above 1, no effect if its 90% interval is within a factor of "
        "1.1. The paper's 24, 32 and 472 s are of unknown totals, so there is no printed ratio.",
    ),
    Claim(
        id="amplify-10",
        parts=(
            Contrast(name="AMPLIFY costs little", measure="seconds", margin=FACTOR, kind=statistics.NON_INFERIORITY,
                     units=against("none", "amplify", {"MRPC": "amplify/step time"})),
        ),
        rule="Time of a plain step over AMPLIFY's on the same 100 batches of MRPC, geometric mean; supported if its "
        "95% interval is above 1/1.1 (less than a tenth longer), contradicted if it is below. That no parameters are "
        "added is exact: they are counted in the record.",
    ),
    Claim(
        id="amplify-11",
        parts=(_best_block("SST-5", 4), _best_block("TREC-coarse", 12)),
        rule="Two data sets with different best blocks in print (numbers are of twelve; the model here has six, so "
        "that 4, 8 and 12 are its 2nd, 4th and 6th): AMPLIFY in block 4 alone - the mean of blocks 8 and 12 alone on "
        "SST-5, and block 12 - the mean of blocks 4 and 8 on TREC-coarse, in accuracy at the last update; each: "
        f"{WON}.",
    ),
    Claim(
        id="amplify-12",
        parts=tuple(
            _accuracy(f"all blocks over block {block}", against("amplify", f"amplify block {block}", BLOCKS),
                      ("amplify_table2", "amplify_table4"),
                      not_here=NO_BLOCKS)
            for block in protocol.BLOCKS
        ),
        together=BEST,
        rule="Mean over TREC-coarse and SST-5 of AMPLIFY in all blocks - in block 4, 8 and 12 alone (of twelve: 2nd, "
        f"4th and 6th of the model here), in accuracy at the last update; each: {WON}.",
    ),
    Claim(
        id="amplify-13",
        parts=(
            _attention("the paper's pair: less crosses", "crossing", -1.0),
            _attention("pairs of its form: less crosses", "crossing made", -1.0),
            _attention("pairs of QNLI: less crosses", "crossing test", -1.0),
            _attention("the paper's pair: own verb", "linked"),
            _attention("pairs of its form: own verb", "linked made"),
        ),
        rule="EmbedMix - AMPLIFY in the share of attention that goes to the other sentence (the paper's pair, 120 "
        "pairs of its form, the 120 longest of 1,000 pairs of QNLI), and AMPLIFY - EmbedMix in the share of a "
        "subject's attention to two verbs that its own verb gets, in block 4 of twelve (2nd of six here) after "
        "training on QNLI; each: supported if its 95% interval is above 0, no effect if its 90% interval is "
        "within 3 points of attention.",
    ),
    Claim(
        id="amplify-14",
        parts=(
            _attention("it to animal", "animal"),
            _attention("it to film", "film"),
            _attention("it less to too", "too", -1.0),
            _attention("it less to tired", "tired", -1.0),
            _attention("it to the right noun, 20 sentences", "resolved made"),
        ),
        rule="AMPLIFY - EmbedMix in the attention of \"it\" to \"animal\" and \"film\" and to the right one of two "
        "nouns in 20 sentences of that form, EmbedMix - AMPLIFY in that to \"too\" and \"tired\", in block 4 of "
        "twelve (2nd of six here; \"film\": the first) after training on QNLI; each: supported if its 95% interval is "
        "above 0, no effect if its 90% interval is within 3 points of attention.",
    ),
    Claim(
        id="amplify-15",
        parts=(_noise(),),
        rule="(Accuracy lost by EmbedMix, SentenceMix and TMix, their mean) - (lost by AMPLIFY) at the last update "
        f"when a fifth of TREC-coarse's training labels are wrong; {WON}.",
    ),
)  # fmt: skip
