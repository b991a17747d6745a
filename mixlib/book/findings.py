"""What was found, in words and tables, from the verdicts and the runs of all methods: for README and the first page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from mixlib import methods
from mixlib.book.markdown import interval, percent, plain, signed, table
from mixlib.evidence import comparison, judgements, ledger, plan, progress, published, statistics, tables, verdicts
from mixlib.evidence.claims import MEASURES, Contrast, Term, in_short
from mixlib.evidence.tables import LABELS
from mixlib.evidence.verdicts import Records
from mixlib.papers.amplify.frames import FACTORS_AGAIN, conditions, factor_effects
from mixlib.papers.common import pool
from mixlib.papers.registry import artefact_runs
from mixlib.runs.spec import RunRecord
from mixlib.runs.store import usable

MARK = "†"
IN_THE_MEAN = f"{MARK} In the mean only: on most of the data sets it is worse than plain fine-tuning."
UNTRAINED = 20  # points of accuracy lost, by a method that does not train
QUOTED = (
    ", in the papers' terms and numbers; we judged only what each claim's rule covers, on the data sets in brackets:"
)
COLUMNS = {  # what a method is asked for: a score, whether after temperature scaling, and the words
    "accuracy": ("accuracy", False, "a higher accuracy"),
    "loss": ("nll", False, "a lower test loss"),
    "loss, scaled": ("nll", True, "a lower test loss, all models with a fitted temperature"),
    "ECE": ("ece", False, "better calibration"),
    "ECE, scaled": ("ece", True, "better calibration, all models with a fitted temperature"),
}


@dataclass
class Findings:
    """What was found, read once.

    Attributes:
        records: from which verdicts, effects and costs come.
    """

    records: Records

    @cached_property
    def verdicts(self) -> dict[str, verdicts.Verdict]:
        return verdicts.verdicts(records=self.records)

    @cached_property
    def claims(self) -> dict[str, str]:
        return published.claims().set_index("id")["claim"].to_dict()

    @cached_property
    def pool(self) -> dict[tuple[str, str], list[RunRecord]]:
        """The runs of all methods, one recipe per data set, as chapter 51 shows them; empty while one is missing."""
        found = [usable(self.records.store, spec) for spec in pool.methods_on_all("mini")]
        return comparison.labelled(found) if found and None not in found else {}

    @cached_property
    def costs(self) -> dict[str, float]:
        """Training time in plain runs, by method of the pool."""
        return comparison.training_time(self.pool).to_dict() if self.pool else {}

    @cached_property
    def gains(self) -> dict[str, pd.DataFrame]:
        """By column of :data:`COLUMNS`, what each method of the pool gains over the plain model."""
        if not self.pool:
            return {}
        scores, keys = comparison.scores(self.pool), [key for key in pool.METHODS if key != "none"]
        return {
            title: comparison.in_percent(scores, keys, score, scaled) for title, (score, scaled, _) in COLUMNS.items()
        }

    @cached_property
    def slower(self) -> pd.DataFrame:
        """What each method saves of the loss at half the learning rate, on the data sets where it was tried; empty
        while a run is missing."""
        found = [usable(self.records.store, spec) for spec in pool.sensitivity("mini")]
        if not self.pool or not found or None in found:
            return pd.DataFrame()
        half = pool.by_rate(found, [])["0.5 times"]
        return comparison.in_percent(
            comparison.scores(comparison.labelled(half)), list(self.gains["loss"].index), "nll"
        )

    @cached_property
    def heads(self) -> list[RunRecord]:
        """The runs that take apart AMPLIFY's published comparison (chapter 52); empty while one is missing."""
        found = [usable(self.records.store, spec) for spec in artefact_runs("amplify-heads", "mini")]
        return found if None not in found else []

    def counts(self) -> str:
        """How many claims got which verdict."""
        found = Counter(v.category for v in self.verdicts.values())
        return ", ".join(f"**{found[name]}** {name}" for name in ledger.ORDER if found[name])

    def cost(self, key: str) -> str:
        """What training costs relative to plain fine-tuning: measured where the pool has it, else counted."""
        if key == "none":
            return "1"
        if key in self.costs:
            return f"{self.costs[key]:.1f}"
        method = methods.get(key)
        return f"{method.passes * method.updates_per_batch} (counted)"

    def gain(self, key: str, column: str, show: Callable[[float, float, float], str] = interval) -> str:
        """What a method of the pool gains over the plain model, with its interval; bold where that is above zero, and
        marked where it is so only in the mean (:data:`IN_THE_MEAN`)."""
        if not self.gains:
            return "not decided yet"
        row = self.gains[column].loc[key]
        text = show(row["estimate"], row["low"], row["high"])
        if row["category"] != "better":
            return text
        return f"**{text}** {MARK}" if only_in_the_mean(row) else f"**{text}**"

    def answers(self, names: Mapping[str, str]) -> list[str]:
        """Which methods to use, in a line for each of :data:`COLUMNS`, best first and with what they cost.

        Args:
            names: what to call the methods, by key: plain words or links.
        """
        if not self.gains:
            return [f"For {words}: not decided yet; some runs are missing." for _, _, words in COLUMNS.values()]
        accuracy, lines = self.gains["accuracy"], []
        for title, (_, _, words) in COLUMNS.items():
            found = self.gains[title]
            better = found[(found["category"] == "better") & (accuracy["estimate"] > -UNTRAINED)]
            better = better.sort_values("estimate", ascending=False).index
            at_a_loss = [key for key in better if accuracy.loc[key, "category"] == "worse"]
            little = [key for key in better if key not in at_a_loss and found.loc[key, "small"]]
            good = self._named((key for key in better if key not in at_a_loss + little), names, title)
            none = (
                "no gain is large enough to matter" if little else "no method is clearly better than plain fine-tuning"
            )
            line = f"For {words}: {good or none}."
            line += f" Better, but by too little to matter: {self._named(little, names, title)}." if little else ""
            line += f" At the cost of accuracy: {self._named(at_a_loss, names, title, lost=True)}." if at_a_loss else ""
            lines.append(line)
        return lines

    def _named(self, keys: Iterable[str], names: Mapping[str, str], column: str, lost: bool = False) -> str:
        """Names with costs, and on how many data sets those that gain in the mean only are worse; ``lost``: and with
        what they lose in accuracy."""
        found = []
        for key in keys:
            row, said = self.gains[column].loc[key], [f"cost {self.cost(key)}"]
            if lost:
                said.append(f"accuracy {signed(self.gains['accuracy'].loc[key, 'estimate'])}")
            if only_in_the_mean(row):
                said.append(f"worse on {row['sets_worse']} of {row['sets']} data sets")
            found.append(f"{names[key]} ({', '.join(said)})")
        return "; ".join(found)

    def sentences(self) -> list[str]:
        """What was found, a sentence or two each, from the verdicts and the pool; plain words without links."""
        lines = [
            f"**Claims.** Of {len(self.verdicts)}: {self.counts()}. With so many, one of each kind may well be "
            "wrong, and where one is, so may be a second."
        ]
        for category in (statistics.SUPPORTED, statistics.CONTRADICTED):
            found = [id_ for id_, verdict in self.verdicts.items() if verdict.category == category]
            said = "".join(f"\n  * {plain(self.claims[id_]).rstrip('.')} ({id_}; {self._on(id_)})." for id_ in found)
            how = QUOTED if len(lines) == 1 else ", quoted and judged in the same way:"
            lines += [f"**{category.capitalize()}**{how}{said}"] if said else []
        lines += self._published_head()
        if not self.gains:
            return lines
        mixing = [key for key in pool.METHODS if methods.base.REGISTRY[key].paper]
        accuracy, loss, ece = (self.gains[title] for title in ("accuracy", "loss", "ECE"))
        ranked = accuracy.loc[mixing].sort_values("estimate", ascending=False)
        clear = [key for key in ranked.index if _better(accuracy, key) and ranked.loc[key, "estimate"] >= 1]
        first, last = ranked.index[0], ranked.index[-1]
        lines.append(
            f"**Accuracy.** On {len(pool.POOL)} data sets, each with one recipe for all methods, "
            f"{_names(clear) or 'no mixup method'} beat{'' if clear[1:] else 's'} plain fine-tuning by a point or "
            f"more. The highest is {LABELS[first]} ({self.gain(first, 'accuracy')}), the lowest {LABELS[last]} "
            f"({self.gain(last, 'accuracy')}); label smoothing, which mixes nothing, comes to "
            f"{self.gain('label_smoothing', 'accuracy')}."
        )
        lower, sharper = ([key for key in mixing if _better(found, key)] for found in (loss, ece))
        untrained = [key for key in sharper if accuracy.loc[key, "estimate"] < -UNTRAINED]
        only = f" ({_names(untrained)} only because {'they do' if untrained[1:] else 'it does'} not learn)"
        best = loss.loc[mixing, "estimate"].idxmax()
        lines.append(
            f"**Loss and calibration.** {len(lower)} of {len(mixing)} mixup methods lower the test loss, and "
            f"{len(sharper)} lower the calibration error{only if untrained else ''}. Label smoothing saves "
            f"{self.gain('label_smoothing', 'loss', percent)} of the loss; the best mixup method ({LABELS[best]}) "
            f"saves {self.gain(best, 'loss', percent)}.{self._slower(mixing)}"
        )
        scaled = self.gains["loss, scaled"]
        still = [key for key in mixing if _better(scaled, key)]
        worse = [key for key in mixing if scaled.loc[key, "category"] == "worse"]
        lines.append(
            "**After temperature scaling** of every model (one number, fitted on development rows), "
            f"{_names(still) or 'no mixup method'} still {'lower' if still[1:] else 'lowers'} the loss"
            f"{_corrected(scaled, still)}, and {_names(worse) or 'none'} {'raise' if worse[1:] else 'raises'} it"
            f"{_corrected(scaled, worse)}; label smoothing saves "
            f"{self.gain('label_smoothing', 'loss, scaled', percent)}."
        )
        costs = pd.Series({key: self.costs[key] for key in mixing})
        slowest = costs.idxmax()
        name, params = pool.METHODS[slowest]
        why = ", because it also trains on the unmixed texts" if methods.get(name, **params).passes > 1 else ""
        lines.append(
            f"**Cost.** The median mixup method trains {costs.median():.1f} times as long as the plain model, the "
            f"slowest ({LABELS[slowest]}) {costs.max():.1f} times{why}. Many of these runs ran side by side, so the "
            "ratios are rough."
        )
        return lines + self._may_change()

    @cached_property
    def interim(self) -> list[str]:
        """The decided claims whose cells lack seeds, see :func:`mixlib.evidence.progress.interim`."""
        return progress.interim(self.verdicts, self.records)

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """The seeds of each cell, see :func:`mixlib.evidence.progress.table`."""
        return progress.table(self.records)

    def _may_change(self) -> list[str]:
        if not self.interim:
            return []
        found = Counter(self.verdicts[id_].category for id_ in self.interim)
        decided = sum(verdict.category in statistics.DECIDED for verdict in self.verdicts.values())
        counted = ", ".join(f"{found[name]} {name}" for name in ledger.ORDER if found[name])
        return [
            f"**Interim.** {len(self.interim)} of the {decided} decided verdicts ({counted}) rest on cells with fewer "
            "seeds than the rule asks for, and may still change. Those supported or contradicted are marked in the "
            "lists above; notebook 50 names all."
        ]

    def _slower(self, mixing: Sequence[str]) -> str:
        if self.slower.empty:
            return ""
        best = self.slower.loc[mixing, "estimate"].idxmax()
        most = percent(*self.slower.loc[best, ["estimate", "low", "high"]])
        tried = " and ".join(dict.fromkeys(tables.NAMES[cell.dataset] for cell in pool.SENSITIVITY))
        return (
            f" At half the learning rate ({tried}, {plan.SENSITIVITY_SEEDS} seeds), the largest saving is {most} "
            f"({LABELS[best]})."
        )

    def _published_head(self) -> list[str]:
        """In words, what the head in AMPLIFY's published code does to its lead on TREC-fine, a set of single texts."""
        if not self.heads:
            return []
        effects, runs = factor_effects(self.heads, factors=FACTORS_AGAIN), conditions(self.heads)
        head = effects[effects["factor"] == "head"].iloc[0]  # AMPLIFY's alone: its leads over all change equally
        own, plain = (
            tables.cell(runs, "accuracy", method=m, labels="same", head="mean", stage="only")
            for m in ("amplify", "none")
        )
        equal, spec = tables.compare(own, plain), self.heads[0].spec
        table = published.table("amplify_table2")
        values = table[table["dataset"] == spec.dataset].set_index("method")["value"]
        printed = values["amplify"] - values.drop("amplify")
        return [
            "**AMPLIFY's published code** uses the mean of all positions as the sentence vector for AMPLIFY, but the "
            f"first position for the methods it is compared with. On {tables.NAMES[spec.dataset]} with "
            f"{spec.train_size:,} training rows that alone changes AMPLIFY's lead by "
            f"{interval(head['change'], head['low'], head['high'])} points; the leads that the paper prints are "
            f"{printed.min():.1f} to {printed.max():.1f}. If plain fine-tuning uses the mean as well, "
            f"AMPLIFY's lead over it is {interval(equal.mean, equal.low, equal.high)}. (No claim is judged on this "
            "experiment. MiniLM was trained to use that mean; expect less for BERT. See notebook 52.)"
        ]

    def _on(self, id_: str) -> str:
        """The data sets on which a claim was judged, and what "at least as good" or "helps more" hides."""
        sets = dict.fromkeys(name for live in self.verdicts[id_].cells for name in live)
        return " / ".join(in_short(sets)) + self._but(id_)  # names of sets have commas

    def _but(self, id_: str) -> str:
        """What a decision by the letter hides: a difference below the margin, "at least as good" although it is against
        the claim, "helps more" although it helps nowhere, the claim's own caveat, that seeds are missing, and that it
        may be one of the few wrong ones."""
        small = [part for part, _ in self._judged(id_) if part.small]
        said = f": by {_amounts(small[0])}" if small and self.verdicts[id_].judgement.small else self._hidden(id_)
        said += f"; {caveat}" if (caveat := self.verdicts[id_].claim.caveat) else ""
        said += f"; {ledger.INTERIM}" if id_ in self.interim else ""
        q = self._q.get(id_, 0.0)
        return f"{said}; may be wrong, q = {q:.2f}" if q > statistics.ALPHA else said

    @cached_property
    def _q(self) -> dict[str, float]:
        return judgements.q_values({id_: verdict.judgement for id_, verdict in self.verdicts.items()}).to_dict()

    def _judged(self, id_: str) -> list[tuple[judgements.Judgement, Contrast]]:
        """The parts of a claim, each with what it compares."""
        found = self.verdicts[id_]
        return list(zip(found.judgement.parts or (found.judgement,), found.claim.parts, strict=False))

    def _hidden(self, id_: str) -> str:
        """Of a claim that held up."""
        found = self.verdicts[id_].judgement
        if found.category != statistics.SUPPORTED:
            return ""
        worse = [(p, c) for p, c in self._judged(id_) if p.kind == statistics.NON_INFERIORITY and p.high < 0]
        if worse:
            part, contrast = min(worse, key=lambda one: one[0].estimate)
            return f": worse by {_amounts(part)}{self._worst(part, contrast)}"
        gains = sorted(self._gains_compared(id_))
        if gains and gains[-1] < 0:
            return f": the gains compared are losses, of {-gains[-1]:.1f} to {judgements.amount(-gains[0], found.unit)}"
        return ""

    def _worst(self, part: judgements.Judgement, contrast: Contrast) -> str:
        """The data set on which a claim about a mean fares worst, if that is beyond the margin."""
        live, *_ = verdicts.differences(contrast, self.records)
        means = {name: values.mean() for name, values in live.items()}
        worst = min(means, key=means.get)
        beyond = means[worst] < -part.margin
        return f"; on {worst} by {judgements.amount(abs(means[worst]), part.unit)}" if beyond else ""

    def _gains_compared(self, id_: str) -> list[float]:
        """If a claim compares what a method gains in accuracy over the plain model in several cells: the gain in
        each."""
        gains = []
        for contrast in self.verdicts[id_].claim.parts:
            for terms in contrast.units.values() if contrast.measure == "accuracy" else ():
                labels: dict[str, list[str]] = {}
                for term in terms:
                    labels.setdefault(term.cell, []).append(term.label)
                if len(labels) > 1 and all(of[1:] == ["none"] for of in labels.values()):
                    for cell, of in labels.items():
                        both = [Term(1.0, cell, label) for label in of]
                        mean, plain = (self.records.values(t, MEASURES["accuracy"]).mean() for t in both)
                        gains.append(mean - plain)
        return gains

    def margins(self) -> str:
        """How many verdicts depend on the margins."""
        choices = ledger.by_choice(self.verdicts, self.records)
        moved = ledger.counts_by_choice(choices).loc["differ from the verdict"]
        return (
            f"Of the {len(self.verdicts)} verdicts, {moved['half the margins']} would change with half the margins, "
            f"and {moved['twice the margins']} with twice the margins.\n"
        )

    def cells(self) -> str:
        """Which cells claims are judged on, how many seeds of each are read, and how many the rule asks for."""
        found = self.seeds
        found = found.drop(index=[cell.name for cell in plan.registered().sensitivity])
        short = found[found["seeds"] < found["wanted"]]
        rows = [
            [f"`{name}`" + (f": {said}" if (said := plan.get(name).says) else ""),
             tables.NAMES.get(row["dataset"], "invented points"), plan.rows_of(name), str(row["methods"]),
             f"{row['seeds']} in {row['precision']}" if row["seeds"] else "none yet",
             "" if math.isnan(row["error"]) else f"{row['error']:.2f}", str(row["wanted"])]
            for name, row in found.iterrows()
        ]  # fmt: skip
        header = ["cell", "data set", "trained on", "methods", "seeds read", "largest standard error, points", "wanted"]
        return f"{len(short)} of {len(found)} cells have fewer seeds than the rule asks for.\n\n{table(header, rows)}"

    def dead(self) -> str:
        """Cells that failed the screening, with the numbers on which that was decided."""
        decided = self.records.decided
        rows = [
            [f"`{name}`", tables.NAMES[plan.get(name).dataset], plan.rows_of(name), f"{100 * numbers['accuracy']:.1f}",
             f"{100 * numbers['larger_class']:.1f}", f"{100 * numbers['mcc']:.1f}",
             "accuracy" if decided.alive[name] else "accuracy, loss and calibration"]
            for name, numbers in decided.screened.items() if "accuracy" not in decided.alive[name]
        ]  # fmt: skip
        header = [
            "cell",
            "data set",
            "trained on",
            "plain model, %",
            "largest class, %",
            "MCC x100",
            "not judged there",
        ]
        return table(header, rows)


def _amounts(part: judgements.Judgement) -> str:
    size, margin = (judgements.amount(abs(value), part.unit) for value in (part.estimate, part.margin))
    return f"{size}, which is within the margin of {margin}"


def noted(gains: str) -> str:
    """A table of gains, and below it what its mark means."""
    return f"{gains}\n{IN_THE_MEAN}\n" if MARK in gains else gains


def only_in_the_mean(gain: pd.Series) -> bool:
    """Whether a method that is better in the mean is worse on most of the data sets."""
    return 2 * gain["sets_worse"] > gain["sets"]


def _better(gains: pd.DataFrame, key: str) -> bool:
    return gains.loc[key, "category"] == "better"


def _names(keys: Iterable[str]) -> str:
    """``A, B and C``."""
    *others, last = [LABELS[key] for key in keys] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def _corrected(found: pd.DataFrame, keys: Sequence[str]) -> str:
    """Which of these gains do not hold after Holm's correction over all methods of the pool."""
    lost = [key for key in keys if not found.loc[key, "p_holm"] < statistics.ALPHA]
    return f" ({'' if len(lost) == len(keys) else _names(lost) + ' '}not after Holm's correction)" if lost else ""
