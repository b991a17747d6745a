"""The claims of the MixUp-calibration paper as data. "All data" are 400 rows of IMDb and AG News here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mixlib.evidence.claims import BEST, FACTOR, POINT, Claim, Contrast, Term, against
from mixlib.evidence.printed import Numbers, printed
from mixlib.evidence.statistics import EQUIVALENCE, NON_INFERIORITY, Printed

SEEDS = 5  # the paper's; for Table 5 it does not say
TABLES = tuple(f"mixup_calibration_table{n}" for n in (2, 3, 4))
METHODS = {"cls_mixup": "CLS MixUp", "input_mixup": "Input MixUp", "manifold_mixup": "Manifold MixUp"}
TOKEN_LEVEL = ("input_mixup", "manifold_mixup")
MEAN = dict.fromkeys(METHODS, 1 / len(METHODS))  # of the three methods

CONTENT = {"IMDb": "mixup_calibration/imdb", "AG News": "mixup_calibration/ag_news"}
FEW = {"IMDb": "mixup_calibration/imdb-32", "AG News": "mixup_calibration/ag_news-32"}
FOUR = CONTENT | {f"{name} with 32": cell for name, cell in FEW.items()}
BY_SIZE = tuple((name, f"{name} with 32") for name in CONTENT)
COLA = {"CoLA": "mixup_calibration/cola"}
SST2 = {"SST-2 with 64": "mixup_calibration/sst2-64"}
# where the paper prints the counterpart of a data set here
WHERE: dict[str, dict[str, str]] = {
    "IMDb": {"dataset": "imdb", "train_size": "full"},
    "IMDb with 32": {"dataset": "imdb", "train_size": "32"},
    "AG News": {"dataset": "ag_news", "train_size": "full"},
    "AG News with 32": {"dataset": "ag_news", "train_size": "32"},
    "CoLA": {"dataset": "cola", "train_size": "full"},
    "RTE": {"dataset": "rte", "train_size": "full"},
    "BoolQ": {"dataset": "boolq", "train_size": "full"},
}
_NOT_LEARNT = "no recipe of this size at which the plain model learns"
NO_PAIRS = {"RTE": _NOT_LEARNT, "BoolQ": _NOT_LEARNT}
# Question and sentence: the one set of pairs that is learned here. The paper does not use it
PAIRS = {"QNLI, for RTE and BoolQ": "common/qnli"}
HARDER = COLA | PAIRS
PRINTED = (tuple(COLA), tuple(NO_PAIRS))  # what stands for what in them
MEASURED = {"accuracy": ("accuracy", 1.0), "loss": ("loss", -1.0), "ece": ("ece", -1.0), "mcc": ("mcc", 1.0)}
MARGIN: dict[str, float | None] = {"accuracy": POINT, "mcc": POINT, "loss": FACTOR, "ece": None}


def _gain(weights: Mapping[str, float], over: str, cell: str, sign: float = 1.0) -> tuple[Term, ...]:
    """The weighted mean of methods minus another one."""
    return (*(Term(sign * w, cell, label) for label, w in weights.items()), Term(-sign, cell, over))


def _printed(measure: str, groups: Iterable[Sequence[str]], weights: Mapping[str, float], over: str) -> Printed:
    """The same of the printed numbers, turned so that better is positive; a group of names counts as its mean."""
    metric, sign = MEASURED[measure]
    sets: list[Numbers] = [
        [(sign * weight / len(group), WHERE[name] | {"method": method, "metric": metric})
         for name in group for method, weight in ({over: -1.0} | dict(weights)).items()]
        for group in groups
    ]  # fmt: skip
    return printed(TABLES, sets, SEEDS, log=measure == "loss")


def _better(
    name: str,
    measure: str,
    weights: Mapping[str, float],
    cells: Mapping[str, str],
    over: str = "none",
    beside: Iterable[Sequence[str]] | None = None,
    **rest: Any,
) -> Contrast:
    """The methods are better than another one: more accurate, or with less loss or calibration error.

    ``beside``: the paper's data sets whose printed numbers are shown next to it, those that stand for one data set
    together; by default all that have a cell.
    """
    by_data_set: dict[str, list[str]] = {}
    for unit in [unit for unit in cells if unit in WHERE]:
        by_data_set.setdefault(WHERE[unit]["dataset"], []).append(unit)
    beside = list(by_data_set.values()) if beside is None else list(beside)
    units = {unit: _gain(weights, over, cell, MEASURED[measure][1]) for unit, cell in cells.items()}
    return Contrast(name=name, measure=measure, margin=MARGIN[measure], units=units,
                    printed=_printed(measure, beside, weights, over), **rest)  # fmt: skip


def _scarce(name: str, measure: str) -> Contrast:
    """The gain with 32 rows minus the gain with all, mean over the three methods."""
    _, sign = MEASURED[measure]
    units = {unit: (*_gain(MEAN, "none", FEW[unit], sign), *_gain(MEAN, "none", cell, -sign))
             for unit, cell in CONTENT.items()}  # fmt: skip
    metric, sets = MEASURED[measure][0], []
    for unit in CONTENT:
        sets.append([
            (s * weight, WHERE[place] | {"method": method, "metric": metric})
            for place, s in ((f"{unit} with 32", sign), (unit, -sign))
            for method, weight in ({"none": -1.0} | MEAN).items()
        ])  # fmt: skip
    return Contrast(name=name, measure=measure, margin=MARGIN[measure], units=units,
                    printed=printed(TABLES, sets, SEEDS))  # fmt: skip


def _paddings(name: str, better: Iterable[str], worse: Iterable[str]) -> Contrast:
    """Input MixUp with some paddings against others, means over each side."""
    weights = {padding: sign / len(side) for side, sign in ((list(better), 1.0), (list(worse), -1.0))
               for padding in side}  # fmt: skip
    units = {unit: tuple(Term(weight, cell, f"input_mixup {padding}") for padding, weight in weights.items())
             for unit, cell in SST2.items()}  # fmt: skip
    numbers = [(weight, {"param": padding}) for padding, weight in weights.items()]
    return Contrast(name=name, measure="accuracy", units=units,
                    printed=printed("mixup_calibration_table5", [numbers], SEEDS))  # fmt: skip


TOKENS = {"unused": "[unused0]", "sep": "SEP", "pad": "PAD"}
PAIR, LONGEST = ([f"{token}_{length}" for token in TOKENS] for length in ("pair", "max"))
ON_FOUR = "IMDb and AG News (each the mean of 400 and 32 rows)"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="mixup_calibration-1",
        parts=(*(_better(f"{words} more accurate", "accuracy", {m: 1.0}, FOUR) for m, words in METHODS.items()),
               _scarce("the gain is larger with 32", "accuracy")),
        rule=f"Mean over {ON_FOUR}, of each of the three methods minus no mixup in accuracy at the last update, and "
        "the three's mean gain with 32 rows minus that with 400; supported if all four 95% intervals are above 0.",
    ),
    Claim(
        id="mixup_calibration-2",
        parts=(_better("less loss", "loss", MEAN, FOUR | COLA, not_here=NO_PAIRS),
               _better("less calibration error", "ece", MEAN, FOUR | COLA, not_here=NO_PAIRS)),
        rule=f"Mean over {ON_FOUR}, and CoLA, at the last update: the loss of no mixup over the geometric mean of the "
        "three methods', and the ECE of no mixup minus their mean; supported if both 95% intervals are above no "
        "difference. \"Up to half\" is not judged: the sizes are beside the printed ones.",
    ),
    Claim(
        id="mixup_calibration-3",
        parts=tuple(
            _better(f"{words} not less accurate", "accuracy", {m: 1.0}, FOUR | COLA, kind=NON_INFERIORITY,
                    not_here=NO_PAIRS, beside=BY_SIZE)
            for m, words in METHODS.items()
        ),
        rule=f"Mean over {ON_FOUR} of each of the three methods minus no mixup in accuracy at the last update; "
        "supported if all three 95% intervals stay above minus 1 point. CoLA would count if it were learned.",
    ),
    Claim(
        id="mixup_calibration-4",
        parts=tuple(
            _better(f"Manifold MixUp against {words}", "ece", {"manifold_mixup": 1.0}, FOUR | COLA, over=rival)
            for rival, words in {"none": "no mixup", **METHODS}.items() if rival != "manifold_mixup"
        ),
        together=BEST,
        rule=f"Mean over {ON_FOUR}, and CoLA, of the ECE at the last update of no mixup, CLS and Input MixUp, each "
        "minus that of Manifold MixUp; supported if all three 95% intervals are above 0.",
    ),
    Claim(
        id="mixup_calibration-5",
        parts=(
            Contrast(
                name="Manifold MixUp on 32 rows against no mixup on all", measure="ece", margin=None,
                kind=NON_INFERIORITY,
                units={name: (Term(1.0, CONTENT[name], "none"), Term(-1.0, FEW[name], "manifold_mixup"))
                       for name in CONTENT},
                printed=printed(TABLES, [
                    [(1.0, WHERE[name] | {"method": "none", "metric": "ece"}),
                     (-1.0, WHERE[f"{name} with 32"] | {"method": "manifold_mixup", "metric": "ece"})]
                    for name in CONTENT
                ], SEEDS),
            ),
        ),
        rule="Mean over IMDb and AG News of the ECE at the last update of no mixup on 400 rows minus that of Manifold "
        "MixUp on 32; supported if its 95% interval stays above minus the margin, the smaller of 2 points and a "
        "quarter of no mixup's.",
    ),
    Claim(
        id="mixup_calibration-6",
        parts=(_scarce("more accuracy gained with 32", "accuracy"),
               _scarce("more calibration error saved with 32", "ece")),
        rule="Mean over IMDb and AG News of the three methods' mean gain over no mixup with 32 rows minus that with "
        "400, in accuracy and in ECE at the last update; supported if both 95% intervals are above 0.",
    ),
    Claim(
        id="mixup_calibration-7",
        parts=tuple(_better(f"{METHODS[m]} against CLS MixUp", "accuracy", {m: 1.0}, FOUR, over="cls_mixup")
                    for m in TOKEN_LEVEL),
        rule=f"Mean over {ON_FOUR}, of Input and of Manifold MixUp minus CLS MixUp in accuracy at the last update; "
        "supported if both 95% intervals are above 0, no effect if the 90% intervals are within 1 point.",
    ),
    Claim(
        id="mixup_calibration-8",
        parts=tuple(
            Contrast(
                name=f"{METHODS[m]} below no mixup", measure="mcc", units=against("none", m, COLA),
                printed=printed(TABLES, [[(sign, WHERE["CoLA"] | {"method": method, "metric": "mcc"})
                                          for method, sign in (("none", 1.0), (m, -1.0))]], SEEDS),
            )
            for m in TOKEN_LEVEL
        ),
        rule="No mixup minus Input and minus Manifold MixUp in Matthews correlation (x100) on CoLA at the last "
        "update; supported if both 95% intervals are above 0.",
    ),
    Claim(
        id="mixup_calibration-9",
        parts=(
            _better("CLS MixUp against no mixup", "accuracy", {"cls_mixup": 1.0}, HARDER, kind=EQUIVALENCE,
                    not_here=NO_PAIRS, beside=[tuple(NO_PAIRS)]),
        ),
        rule="CLS MixUp minus no mixup in accuracy at the last update on QNLI, which stands for RTE and BoolQ (CoLA "
        "would count if it were learned); supported if its 95% interval is within 1 point on both sides.",
    ),
    Claim(
        id="mixup_calibration-10",
        parts=(_better("less loss", "loss", {"cls_mixup": 1.0}, HARDER, not_here=NO_PAIRS, beside=PRINTED),
               _better("less calibration error", "ece", {"cls_mixup": 1.0}, HARDER, not_here=NO_PAIRS,
                       beside=PRINTED)),
        rule="Mean over CoLA and QNLI (for RTE and BoolQ), at the last update: the loss of no mixup over that of CLS "
        "MixUp, and the ECE of no mixup minus that of CLS MixUp; supported if both 95% intervals are above no "
        "difference.",
    ),
    Claim(
        id="mixup_calibration-11",
        parts=tuple(
            Contrast(
                name=words, measure=measure, margin=FACTOR, not_here=NO_PAIRS,
                units=against("cls_mixup", "none", HARDER, sign=-1.0),
            )
            for words, measure in (("less loss at the end", "loss"), ("less rise after the lowest loss", "rise"))
        ),
        rule="Mean over CoLA and QNLI (for RTE and BoolQ) of no mixup over CLS MixUp, in test loss at the last update "
        "and in the last over the lowest loss of the curve; supported if both 95% intervals are above a ratio of 1.",
        caveat="judged by the last loss and by its rise; at its best the plain model's loss is about as low",
    ),
    Claim(
        id="mixup_calibration-12",
        parts=(_paddings("pairwise padding against none", PAIR, ["no_pad"]),
               _paddings("pairwise padding against the longest", PAIR, LONGEST)),
        rule="Accuracy of Input MixUp on SST-2 with 64 rows at the last update, mean over three padding tokens: "
        "pairwise minus no padding, and minus padding to the longest; supported if both 95% intervals are above 0.",
    ),
    Claim(
        id="mixup_calibration-13",
        parts=tuple(_paddings(f"SEP against {TOKENS[token]}", ["sep_pair"], [f"{token}_pair"])
                    for token in ("pad", "unused")),
        together=BEST,
        rule="Accuracy of Input MixUp on SST-2 with 64 rows at the last update, pairwise padding with SEP minus each "
        "of PAD and an unused token; supported if both 95% intervals are above 0.",
    ),
    Claim(
        id="mixup_calibration-14",
        parts=tuple(_paddings(f"no padding against the longest, {TOKENS[padding.removesuffix('_max')]}", ["no_pad"],
                              [padding]) for padding in LONGEST),
        rule="Accuracy of Input MixUp on SST-2 with 64 rows at the last update, no padding minus padding to the "
        "longest with each of three tokens; supported if all three 95% intervals are above 0.",
    ),
    Claim(
        id="mixup_calibration-15",
        parts=(
            Contrast(
                name="no gain by CLS MixUp in all epochs", measure="mcc", kind=NON_INFERIORITY,
                units=against("none", "cls_mixup", COLA), not_here={"RTE": _NOT_LEARNT},
                printed=printed(TABLES, [[(sign, WHERE["CoLA"] | {"method": method, "metric": "mcc"})
                                          for method, sign in (("none", 1.0), ("cls_mixup", -1.0))]], SEEDS),
            ),
            Contrast(
                name="CLS MixUp in the last half of the epochs against all", measure="mcc",
                units=against("cls_mixup_late", "cls_mixup", COLA), not_here={"RTE": _NOT_LEARNT},
            ),
        ),
        rule="Matthews correlation (x100) on CoLA at the last update: no mixup minus CLS MixUp in all epochs, 95% "
        "interval above minus 1 point, and CLS MixUp in the last half minus that in all, 95% interval above 0.",
    ),
)  # fmt: skip
