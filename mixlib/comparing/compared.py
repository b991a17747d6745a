"""The result of comparing methods on a user's own data: numbers, one sentence, tables, a picture and a page."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixlib.comparing.own_data import OwnData
from mixlib.evidence import statistics, tables
from mixlib.evidence.claims import POINT
from mixlib.runs import costs
from mixlib.runs.spec import RunRecord
from mixlib.runs.store import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mixlib.comparing.plan import Plan

METRICS = ("accuracy", "nll", "ece", "brier")
TITLES = {"accuracy": "accuracy %", "nll": "NLL", "ece": "ECE %", "brier": "Brier"}
PERCENT = ("accuracy", "ece")
BY_ROW = ("accuracy", "nll", "brier")  # metrics that are means over rows
MOST_GROUPS = 2000  # groups of test rows from which an interval over rows is computed


@dataclass(frozen=True)
class Number:
    """One metric of one method; fractions and nats.

    Attributes:
        mean: over seeds.
        sd: over seeds; nan for a single seed, as are the ends of intervals.
        difference: from no mixup, paired by seed.
        low: lower end of its 95% t interval.
        high: upper end.
        low90: lower end of its 90% interval; anything beyond is excluded at 5% (two one-sided tests).
        high90: upper end.
        decided: whether the difference is significant (5%) after Holm's correction over the methods, with four seeds
            or more; if the test rows are the same for all seeds, over these rows as well.
        over_rows: 95% interval over seeds and test rows together, if all seeds share the test rows; not for ECE, which
            is not a mean over rows.
        over_rows90: the 90% interval.
    """

    mean: float
    sd: float
    difference: float
    low: float
    high: float
    low90: float
    high90: float
    decided: bool
    over_rows: statistics.Interval | None = None
    over_rows90: statistics.Interval | None = None

    @property
    def bound(self) -> float:
        """The difference is no larger than this, in either direction, by the 90% intervals."""
        return max(map(abs, [self.low90, self.high90, *(self.over_rows90 or ())]))


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of a comparison.

    Attributes:
        plan: what was compared.
        records: those of its runs, in the order of ``plan.specs``.
        cost: the estimate made before the runs, see :meth:`mixlib.comparing.plan.Plan.cost`.
    """

    plan: Plan
    records: list[RunRecord]
    cost: dict[str, Any]

    @property
    def data(self) -> OwnData:
        """The data that was compared on."""
        return self.plan.data

    @property
    def labels(self) -> list[str]:
        """The methods as readers call them, no mixup first."""
        return [choice.label for choice in self.plan.choices]

    def of(self, label: str) -> list[RunRecord]:
        """The records of a method, in the order of the seeds."""
        return self.records[self.labels.index(label) :: len(self.labels)]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per run, with ``method``, ``seed``, ``mcc``, ``temperature``, each metric, and as ``NAME_scaled``."""
        rows = []
        for label in self.labels:
            for record in self.of(label):
                raw, scaled = record.last, {"accuracy": record.last["accuracy"], **record.scaled}
                rows.append({"method": label, "seed": record.spec.seed, "mcc": raw["mcc"],
                             "temperature": scaled["temperature"], **{m: raw[m] for m in METRICS},
                             **{f"{m}_scaled": scaled[m] for m in METRICS}})  # fmt: skip
        return pd.DataFrame(rows)

    @cached_property
    def numbers(self) -> dict[tuple[str, str, bool], Number]:
        """By method, metric and whether after temperature scaling."""
        found = {}
        for scaled in (False, True):
            for metric in METRICS:
                column = f"{metric}_scaled" if scaled else metric
                values = {of: part.set_index("seed")[column] for of, part in self.scores.groupby("method", sort=False)}
                found |= {(of, metric, scaled): n for of, n in self._of_metric(values, metric, scaled).items()}
        return found

    def _of_metric(self, values: dict[str, pd.Series], metric: str, scaled: bool) -> dict[str, Number]:
        plain, others, nan = values[self.labels[0]], self.labels[1:], math.nan
        spread = {of: float(v.std(ddof=1)) for of, v in values.items()}
        found = {self.labels[0]: Number(float(plain.mean()), spread[self.labels[0]], *[0.0] * 5, False)}
        if len(plain) < 2:
            for of in others:
                change = float((values[of] - plain).mean())
                found[of] = Number(float(values[of].mean()), nan, change, *[nan] * 4, False)
            return found
        judged = tables.holm([tables.compare(values[of], plain, of, scale=1) for of in others])
        for of, judgement in zip(others, judged, strict=True):
            ends = statistics.pooled({self.data.title: values[of] - plain}).interval90
            rows, rows90 = self._over_rows(of, metric, scaled)
            found[of] = Number(
                float(values[of].mean()), spread[of], judgement.mean, judgement.low, judgement.high, *ends,
                judgement.decided and (rows is None or not rows.low <= 0 <= rows.high), rows, rows90,
            )  # fmt: skip
        return found

    @cached_property
    def _by_row(self) -> dict[tuple[str, str, bool], np.ndarray]:
        """By method, metric and whether after scaling: the score of each test row, (seeds, rows), if all seeds share
        the test rows. Many rows are averaged in groups, random ones because rows are in the order of their digests."""
        store, found = self.plan.store, {}
        for label in self.labels:
            for record in self.of(label):
                said = store.predictions(record)["test"]
                for scaled, temperature in ((False, 1.0), (True, record.scaled["temperature"])):
                    for metric in BY_ROW:
                        values = said.per_row(metric, temperature)
                        size = max(1, len(values) // MOST_GROUPS)
                        grouped = values[: len(values) // size * size].reshape(-1, size).mean(1)
                        found.setdefault((label, metric, scaled), []).append(grouped)
        return {of: np.array(rows) for of, rows in found.items()}

    def _over_rows(self, label: str, metric: str, scaled: bool) -> Sequence[statistics.Interval | None]:
        """The 95% and the 90% interval over seeds and test rows; neither if each seed has test rows of its own."""
        if not self.data.has_test or metric not in BY_ROW:
            return None, None
        apart = self._by_row[label, metric, scaled] - self._by_row[self.labels[0], metric, scaled]
        return statistics.two_way_bootstraps({self.data.title: apart}, (0.95, 0.90))

    @cached_property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        plain, seeds = self.labels[0], len(self.plan.seeds)
        if seeds < statistics.MIN_SEEDS:
            return (f"{seeds} seed{'s are' if seeds > 1 else ' is'} too few to tell methods apart; at least "
                    f"{statistics.MIN_SEEDS} are needed.")  # fmt: skip
        learned = self.scores[self.scores["method"] == plain]["mcc"]
        if statistics.pooled({plain: learned}).interval.low <= 0:
            right, always = 100 * self.numbers[plain, "accuracy", False].mean, 100 * self._larger_class
            return (f"Nothing can be compared: the model without mixup has not learned to tell the classes apart "
                    f"(accuracy {right:.1f}%, always answering the largest class {always:.1f}%).")  # fmt: skip
        said = f"{self._said_of_accuracy()}; {self._said_of_nll()}."
        return said[0].upper() + said[1:]

    @property
    def _larger_class(self) -> float:
        return mean(record.data["larger_class"] for record in self.of(self.labels[0]))

    def _said_of_accuracy(self) -> str:
        found = {of: self.numbers[of, "accuracy", False] for of in self.labels[1:]}
        decided = [f"{of} {'raises' if n.difference > 0 else 'lowers'} accuracy by {100 * abs(n.difference):.1f} points"
                   for of, n in found.items() if n.decided]  # fmt: skip
        open_ = {of: n for of, n in found.items() if not n.decided}
        by = self.scores.pivot(index="seed", columns="method", values="accuracy")
        alike = [of for of, n in open_.items()
                 if statistics.no_spread(by[of] - by[self.labels[0]], scale=1) and not n.over_rows90]  # fmt: skip
        decided += [f"{of} changes accuracy by the same {100 * open_[of].difference:.1f} points with every seed, which "
                    "decides nothing" for of in alike]  # fmt: skip
        rest = [n.bound for of, n in open_.items() if of not in alike]
        if not rest:
            return ", ".join(decided)
        bound = math.ceil(1000 * max(rest) - 1e-9) / 10
        other = "other " if decided else ""
        if bound <= POINT:  # methods shown to differ by less are said not to differ
            text = f"no {other}method differs from no mixup in accuracy by more than {bound:.1f} points"
        else:
            text = (f"no {other}method is shown to differ from no mixup in accuracy (90% intervals reach up to "
                    f"{bound:.1f} points)")  # fmt: skip
        return ", ".join([*decided, text])

    def _said_of_nll(self) -> str:
        def change(label: str, scaled: bool) -> str:
            found, plain = (self.numbers[of, "nll", scaled].mean for of in (label, self.labels[0]))
            percent = 100 * (found / plain - 1) if plain else math.inf
            return f"{'lowers' if found < plain else 'raises'} NLL by {abs(percent):.0f}%"

        said = []
        for label in self.labels[1:]:
            raw, scaled = (self.numbers[label, "nll", s].decided for s in (False, True))
            after = f"{change(label, True)} after temperature scaling"
            if raw:
                same = change(label, True).split()[0] == change(label, False).split()[0]
                after = f"by {after.split(' by ')[1]}" if same else after
                said.append(f"{label} {change(label, False)} ({after if scaled else 'not after temperature scaling'})")
            elif scaled:
                said.append(f"{label} {after}")
        return ", ".join(said) or "none is shown to change NLL"

    @cached_property
    def times(self) -> dict[str, float]:
        """Training time of each method in multiples of no mixup's (medians over seeds, without evaluation)."""
        medians = {of: median(record.timing["train_seconds"] for record in self.of(of)) for of in self.labels}
        return {of: seconds / medians[self.labels[0]] for of, seconds in medians.items()}

    def table(self, scaled: bool = False) -> pd.DataFrame:
        """Mean of each metric and, in brackets, its difference from no mixup with the 95% interval; * means decided.
        Before scaling also accuracy, which scaling does not change, and the training time."""
        metrics = [m for m in METRICS if not (scaled and m == "accuracy")]
        columns = {TITLES[m]: {of: self._cell(of, m, scaled) for of in self.labels} for m in metrics}
        times = {} if scaled else {"time": {of: f"{self.times[of]:.1f}" for of in self.labels}}
        return pd.DataFrame(columns | times).rename_axis("method")

    def _cell(self, label: str, metric: str, scaled: bool) -> str:
        number, digits = self.numbers[label, metric, scaled], 1 if metric in PERCENT else 3
        unit = 100 if metric in PERCENT else 1
        if label == self.labels[0]:
            spread = "" if math.isnan(number.sd) else f" ± {unit * number.sd:.{digits}f}"
            return f"{unit * number.mean:.{digits}f}{spread}"
        ends = "" if math.isnan(number.low) else f" [{unit * number.low:.{digits}f}, {unit * number.high:.{digits}f}]"
        star = "*" if number.decided else ""
        return f"{unit * number.mean:.{digits}f} ({unit * number.difference:+.{digits}f}{ends}){star}"

    @property
    def notes(self) -> list[str]:
        """How to read the table, one sentence each."""
        seeds = len(self.plan.seeds)
        rows = (
            "The test rows are the same for all seeds; a difference counts as decided only where an interval over "
            "seeds and test rows together excludes 0 as well (not for ECE)"
            if self.data.has_test
            else "Each seed tests on its own draw of rows, and draws overlap: the intervals apply to these rows, not "
            "to others"
        )
        return [
            f"No mixup: mean ± standard deviation over {seeds} seed{'' if seeds == 1 else 's'}. Other methods: mean, "
            "and in brackets the difference from no mixup, paired by seed, with its 95% t interval; * means decided "
            "after Holm's correction over the methods",
            rows,
            "Always answering the largest class of the test rows is right in "
            f"{100 * self._larger_class:.1f}%. NLL in nats; Brier from 0 to 2. Lower is better, except for accuracy",
            "Time is training time in multiples of no mixup's, as it was while these runs were made (medians over "
            "seeds); runs that shared the machine make it rough",
            "Temperature scaling fits one number on rows that were not trained on; it does not change accuracy",
            "There is one model and one recipe, chosen on other data with the plain model: a method may need another "
            "recipe to be at its best",
        ]

    def as_json(self) -> dict[str, Any]:
        """The comparison for programs.

        Returns:
            ``sentence``, ``cost``, ``recipe``, ``data`` and ``methods``; for each method ``method`` (as it was named),
            ``label``, ``params``, ``seeds``, ``time`` (of training, in multiples of no mixup's), and by metric
            ``mean``, ``difference``, ``low``, ``high``, ``decided``, also ``over_rows`` if all seeds share the test
            rows, and ``scaled``, the same after temperature scaling.
            Values are fractions and nats; what a single seed cannot give is ``None``.
        """

        def number(value: float) -> float | None:
            return None if math.isnan(value) else round(value, 6)

        def numbers(found: Number) -> dict[str, Any]:
            values = {name: number(getattr(found, name)) for name in ("mean", "difference", "low", "high")}
            rows = {"over_rows": [number(end) for end in found.over_rows]} if found.over_rows else {}
            return values | {"decided": bool(found.decided)} | rows

        listed = [
            {"method": choice.name, "label": choice.label, "params": choice.params, "seeds": list(self.plan.seeds),
             "time": round(self.times[choice.label], 3)}
            | {m: numbers(self.numbers[choice.label, m, False])
               | {"scaled": numbers(self.numbers[choice.label, m, True])} for m in METRICS}
            for choice in self.plan.choices
        ]  # fmt: skip
        made = self.plan.recipe
        return {
            "sentence": self.sentence,
            "cost": self.cost | self._took(),
            "recipe": {"model": made.model, "learning_rate": made.learning_rate, "batch_size": made.batch_size,
                       "num_train_epochs": made.num_train_epochs, "max_length": made.max_length,
                       "precision": self.records[0].precision},
            "data": {"title": self.data.title, "name": self.data.name, "labels": list(self.data.labels),
                     "remarks": list(self.data.remarks), **self.plan.recipe.sizes},
            "methods": listed,
        }  # fmt: skip

    def _took(self) -> dict[str, Any]:
        return {"took_seconds": round(sum(record.timing["total_seconds"] for record in self.records), 1),
                "machine": ", ".join(sorted({record.origin for record in self.records}))}  # fmt: skip

    def figure(self) -> Figure:
        """The differences from no mixup with their intervals, raw and after temperature scaling."""
        from mixlib.comparing import figures

        return figures.differences(self.labels[1:], self.numbers)

    def page(self, path: str | Path | None = None) -> Path:
        """Write the comparison as one self-contained HTML file, by default ``NAME.html`` next to the records, with a
        test file ``NAME-DIGITS.html``."""
        name, _, digest = self.data.name.rpartition("@")
        name += f"-{digest[:6]}" * self.data.has_test  # with another test file, the file's name is the same
        path = Path(path).expanduser() if path else self.plan.folder / f"{name}.html"
        content = self._page()
        return write_text(path, content)

    def _page(self) -> str:
        from matplotlib import pyplot as plt

        figure, drawn = self.figure(), io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
        picture = drawn.getvalue()[drawn.getvalue().index("<svg") :]
        took = self._took()
        hours = costs.as_text(took["took_seconds"])

        def listed(lines: Iterable[str]) -> str:
            return "".join(f"<li>{html.escape(line.removesuffix('.'))}.</li>" for line in lines)

        return _PAGE.format(
            title=html.escape(self.data.title),
            sentence=html.escape(self.sentence),
            raw=self.table().to_html(escape=True, border=0),
            scaled=self.table(scaled=True).to_html(escape=True, border=0),
            picture=picture,
            notes=listed(self.notes),
            made=listed([*self.plan.describe(), f"{len(self.records)} runs took {hours} on {took['machine']}"]),
        )

    def _repr_html_(self) -> str:
        shown = [tables.show(self.table(), self.sentence, "compared").data,
                 tables.show(self.table(scaled=True), "After temperature scaling", "compared_scaled").data]  # fmt: skip
        return "".join(shown) + "".join(f"<p>{html.escape(note)}.</p>" for note in self.notes)

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.labels)} methods on {self.data.title}, {len(self.plan.seeds)} seeds>"

    def __str__(self) -> str:
        parts = [self.table().to_string(), "After temperature scaling:", self.table(scaled=True).to_string()]
        return "\n\n".join([*parts, "\n".join(f"{note}." for note in self.notes)])


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Methods compared on {title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8886; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem 1.5rem; max-width: 80rem; }}
.sentence {{ font-size: 1.25rem; font-weight: 600; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
td, th {{ border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left; white-space: nowrap; }}
figure {{ margin: 1rem 0; background: white; }}
svg {{ max-width: 100%; height: auto; }}
</style></head><body>
<h1>Methods compared on {title}</h1>
<p class="sentence">{sentence}</p>
<div class="wide">{raw}</div>
<h2>After temperature scaling</h2>
<div class="wide">{scaled}</div>
<figure>{picture}</figure>
<h2>How to read it</h2>
<ul>{notes}</ul>
<h2>How it was made</h2>
<ul>{made}</ul>
</body></html>
"""
