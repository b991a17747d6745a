"""Generated pages: the gallery, methods, papers, claims and API, made from records, classes and recipes.

Every function returns Markdown as MyST reads it, and reads neither a clock nor a network.
"""

from __future__ import annotations

import ast
import html
import inspect
import math
import pkgutil
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import nbformat
import pandas as pd

from mixlib import methods
from mixlib.book import captions
from mixlib.book.about import ABOUT, SITE_WORDS, every
from mixlib.evidence import comparison, judgements, ledger, plan, progress, published, statistics, tables, verdicts
from mixlib.evidence.cells import FIRST, Cell
from mixlib.evidence.claims import MEASURES, Claim, Term
from mixlib.evidence.tables import LABELS
from mixlib.evidence.verdicts import Records
from mixlib.methods.base import Method
from mixlib.papers.amplify.frames import conditions, factor_effects
from mixlib.papers.common import pool
from mixlib.papers.registry import RECIPES, artefact_runs, artefacts
from mixlib.runs import costs, paths
from mixlib.runs.spec import RunRecord
from mixlib.runs.store import usable

MINUS = "−"
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


@dataclass(frozen=True)
class Figure:
    """A picture in a chapter: its PNG (base64), the chapter's title, the heading above it, and words for readers who
    cannot see it."""

    image: str
    chapter: str
    heading: str
    words: str

    @property
    def title(self) -> str:
        """What it shows, also without the chapter around it."""
        return f"{self.chapter}{' ' if self.chapter.endswith('?') else ': '}{self.heading}".rstrip(": ")


@dataclass(frozen=True)
class Chapter:
    """A notebook as a reader meets it: name without suffix, title, and its figures."""

    name: str
    title: str
    figures: tuple[Figure, ...]

    @classmethod
    def of(cls, name: str, notebook: nbformat.NotebookNode) -> Chapter:
        """The chapter of an executed notebook; the nearest heading above a figure is its title."""
        title, heading, found = name, "", []
        for cell in notebook.cells:
            headings = re.findall(r"^(#+) +(.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else ()
            for level, words in headings:
                title, heading = (words, "") if level == "#" else (title, words)
            for output in cell.get("outputs", ()):
                if "image/png" in output.get("data", {}):
                    said = captions.of_code(cell.source) or heading or title
                    found.append(Figure(output["data"]["image/png"], title, heading, said))
        return cls(name, title, tuple(found))


# --- Markdown ---------------------------------------------------------------------------------------------------------


def plain(text: object) -> str:
    """Text that Markdown leaves as it is, on one line."""
    return re.sub(r"([\\*_`|<>\[\]$])", r"\\\1", " ".join(str(text).split()))


def roomy(text: object) -> str:
    """:func:`plain` text in a cell of a table, which keeps some width on a narrow screen."""
    return f"[{plain(text)}]{{.roomy}}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines) + "\n"


def bullets(lines: Iterable[str]) -> str:
    return "".join(f"* {line}\n" for line in lines)


def folded(line: str) -> str:
    """A sentence with a list below it, as HTML on one line: the sentence and the number of items, which open the list.
    Lines without a list stay as they are."""
    said, *items = line.split("\n  * ")
    if not items:
        return line
    summary = re.sub(r"\*\*(.+?)\*\*", rf"<b>\1: {len(items)}</b>", html.escape(said, quote=False)).rstrip(":")
    inner = "".join(f"<li>{html.escape(item, quote=False)}</li>" for item in items)
    return f"<details><summary>{summary}</summary><ul>{inner}</ul></details>"


def signed(value: float, digits: int = 1) -> str:
    """``+1.2`` or ``−0.4``."""
    return f"{value:+.{digits}f}".replace("-", MINUS)


def interval(estimate: float, low: float, high: float) -> str:
    """``+1.2 [−0.4, +2.8]``, its bounds on one line."""
    return f"{signed(estimate)} [{signed(low)},\u00a0{signed(high)}]"


def verdict_of(category: str, label: str | None = None) -> str:
    """A verdict with its colour, as CSS knows it."""
    return f"[{label or category}]{{.verdict .{'-'.join(category.split())}}}"


# --- What pages are made of -------------------------------------------------------------------------------------------


def subjects(claim: Claim) -> list[str]:
    """The keys of the methods whose runs a claim compares, in its order; without plain fine-tuning."""
    found: dict[str, None] = {}
    for term in (term for part in claim.parts for terms in part.units.values() for term in terms):
        cell = plan.get(term.cell)
        if isinstance(cell, Cell):
            key = "none" if term.label == FIRST else cell.methods[term.label][0]
        else:
            key = cell.varied.get(term.label, {}).get("method") or term.label.partition(" ")[0]
        if key in methods.base.REGISTRY:
            found[key] = None
    return [key for key in found if key not in ("none", "none_long")]


def parameters(cls: type[Method]) -> dict[str, tuple[str, str]]:
    """The default and the meaning of each parameter of a method, from the fields and docstrings of its classes."""
    said: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        doc = inspect.cleandoc(base.__dict__.get("__doc__") or "") if issubclass(base, Method) else ""
        block = re.search(r"(?ms)^Args:\n(.*?)(?=^\S|\Z)", doc)
        for names, words in re.findall(r"(?ms)^    ([\w, ]+): (.*?)(?=^    \w|\Z)", block[1] if block else ""):
            for name in names.split(", "):
                if name not in said or not words.startswith("as in"):
                    said[name] = " ".join(words.split())
    return {f.name: (repr(f.default), said.get(f.name, "")) for f in fields(cls) if f.init}


def from_rst(text: str) -> str:
    """A docstring's inline marks as Markdown: double backticks and roles become code."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return re.sub(r"``([^`]+)``", r"`\1`", text)


@dataclass
class Book:
    """All that the generated pages say, read once.

    Attributes:
        chapters: in reading order.
        records: from which verdicts, effects and costs come.
        repository: ``owner/name`` on GitHub, for links that open a notebook elsewhere; ``None``: none are made.
    """

    chapters: Sequence[Chapter]
    records: Records
    repository: str | None = None

    @cached_property
    def verdicts(self) -> dict[str, verdicts.Verdict]:
        return verdicts.verdicts(records=self.records)

    @cached_property
    def claims(self) -> dict[str, str]:
        return published.claims().set_index("id")["claim"].to_dict()

    @cached_property
    def pool(self) -> dict[tuple[str, str], list[RunRecord]]:
        """The runs of all methods under one recipe, as chapter 51 shows them; empty while one is missing."""
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
    def references(self) -> dict[str, dict[str, Any]]:
        """By paper, its entry in CITATION.cff."""
        import yaml  # of the extra

        cited = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text(encoding="utf-8"))["references"]
        found = {}
        for key, paper in published.papers().items():
            own = [reference for reference in cited if paper.title.startswith(reference["title"])]
            if not own:
                raise ValueError(f"CITATION.cff has no reference whose title {paper.title!r} of {key} begins with")
            found[key] = own[0]
        return found

    def made_of(self, name: str) -> str:
        """How many committed records a chapter shows, and how long making them took; empty if it has none."""
        ids = [id_ for id_, recipe in RECIPES.items() if recipe.notebook == name]
        specs = dict.fromkeys(spec for id_ in ids for spec in artefact_runs(id_, "mini"))
        found = [record for record in map(self.records.get, specs) if record is not None]
        if not found:
            return ""
        seconds = sum(record.timing["total_seconds"] for record in found)
        taken = costs.as_text(seconds)
        return f"Made from {len(found):,} records. Their runs took {taken} in total, counted one after another."

    def chapter(self, name: str) -> str:
        """A link to a chapter, from the top of the book."""
        return next((f"[{plain(c.title)}](/{name}.ipynb)" for c in self.chapters if c.name == name), f"`{name}`")

    def contents(self) -> str:
        """The chapters listed next to every page: those of each paper, ``NN_PREFIX_WHAT``, then those across papers."""
        groups: dict[str, list[str]] = {paper.name: [] for paper in published.papers().values()}
        groups["Across the papers"] = []
        for chapter in self.chapters:
            number, _, what = chapter.name.partition("_")
            owners = [p.name for p in published.papers().values() if what.startswith(f"{p.prefix}_")]
            if number != "00":  # it begins the book
                groups[(owners or ["Across the papers"])[0]].append(chapter.name)
        return "\n".join(
            f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{chr(10).join(found)}\n```\n"
            for title, found in groups.items()
            if found
        )

    # --- fragments of the landing page --------------------------------------------------------------------------------

    @cached_property
    def fairness(self) -> list[RunRecord]:
        """The runs that take apart AMPLIFY's published comparison (chapter 52); empty while one is missing."""
        found = [usable(self.records.store, spec) for spec in artefact_runs("amplify-fairness", "mini")]
        return found if None not in found else []

    def published_head(self, dataset: str = "trec_fine") -> list[str]:
        """In words, what the head in AMPLIFY's published code does to its lead on a data set of single texts."""
        if not self.fairness:
            return []
        effects, runs = factor_effects(self.fairness).query("dataset == @dataset"), conditions(self.fairness)
        head = effects[effects["factor"] == "head"].iloc[0]  # AMPLIFY's alone: its leads over all change equally
        own, plain = (
            tables.cell(runs, "accuracy", dataset=dataset, method=m, labels="same", head=h, schedule="stated")
            for m, h in (("amplify", "published"), ("none", "mean"))
        )
        equal, printed = tables.compare(own, plain), effects["printed"]
        rows = next(record.spec.train_size for record in self.fairness if record.spec.dataset == dataset)
        return [
            "**AMPLIFY's published code** classifies by the mean of all positions with AMPLIFY, but by the first "
            f"position with the methods it is compared with. On {tables.NAMES[dataset]} with {rows} training rows that "
            f"alone adds {interval(head['change'], head['low'], head['high'])} points to its lead, while the paper "
            f"prints {printed.min():.1f} to {printed.max():.1f}; if all use the mean, its lead over no mixup is "
            f"{interval(equal.mean, equal.low, equal.high)}. (This experiment is older than the rules, so no claim is "
            "judged on it. MiniLM was trained to use that mean; expect less for BERT. See notebook 52.)"
        ]

    def counts(self) -> str:
        """How many claims got which verdict."""
        found = Counter(v.category for v in self.verdicts.values())
        return ", ".join(f"**{found[name]}** {name}" for name in ledger.ORDER if found[name])

    def forest(self) -> str:
        alt = f"Forest plot of the {len(self.verdicts)} claims: estimate, interval, printed size and verdict of each"
        return (
            f"Of the {len(self.verdicts)} claims: {self.counts()}. The [ledger](/claims.md) lists them all.\n\n"
            f"```{{image}} /fragments/forest.svg\n:alt: {alt}\n```\n"
        )

    def where(self) -> str:
        named = [LABELS[key] for key, about in every().items() if "attention" in about.where or "words" in about.where]
        alt = f"Where each method mixes in a model of twelve blocks; {', '.join(named)} change words or attention"
        return f"```{{image}} /fragments/where.svg\n:alt: {alt}\n```\n"

    def cost(self, key: str) -> str:
        """What training costs relative to plain fine-tuning: measured where the pool has it, else counted."""
        if key == "none":
            return "1"
        if key in self.costs:
            return f"{self.costs[key]:.1f}"
        method = methods.get(key)
        return f"{method.passes * method.updates_per_batch} (counted)"

    def _gain(self, key: str, column: str) -> str:
        if not self.gains:
            return "not decided yet"
        row = self.gains[column].loc[key]
        text = interval(row["estimate"], row["low"], row["high"])
        return f"**{text}**" if row["category"] == "better" else text

    def _named(self, keys: Iterable[str], lost: bool = False) -> str:
        """Links with costs; ``lost``: and with what they lose in accuracy."""
        accuracy = {
            key: f", accuracy {signed(self.gains['accuracy'].loc[key, 'estimate'])}" if lost else "" for key in keys
        }
        names = pool.labels()
        return ", ".join(f"[{names[k]}](/methods/{k}.md) (cost {self.cost(k)}{text})" for k, text in accuracy.items())

    def findings(self) -> list[str]:
        """What was found, a sentence or two each, from the verdicts and the pool; plain words without links."""
        lines = [
            f"**Claims.** Of {len(self.verdicts)}: {self.counts()}. With so many, expect one or two wrong ones of "
            "each kind."
        ]
        for category, title in ((statistics.SUPPORTED, "Held up"), (statistics.CONTRADICTED, "Contradicted")):
            found = [id_ for id_, verdict in self.verdicts.items() if verdict.category == category]
            said = "".join(f"\n  * {plain(self.claims[id_]).rstrip('.')} ({id_}; {self._on(id_)})." for id_ in found)
            how = QUOTED if len(lines) == 1 else ", likewise:"
            lines += [f"**{title}**{how}{said}"] if said else []
        lines += self.published_head()
        if not self.gains:
            return lines
        mixing = [key for key in pool.METHODS if methods.base.REGISTRY[key].paper]
        accuracy, loss, ece = (self.gains[title] for title in ("accuracy", "loss", "ECE"))
        ranked = accuracy.loc[mixing].sort_values("estimate", ascending=False)
        clear = [key for key in ranked.index if _better(accuracy, key) and ranked.loc[key, "estimate"] >= 1]
        first, last = ranked.index[0], ranked.index[-1]
        lines.append(
            f"**Accuracy.** Under one recipe on {len(pool.POOL)} data sets {_names(clear) or 'no mixup method'} beats "
            f"plain fine-tuning by a point or more. The best is {LABELS[first]} ({self._gain(first, 'accuracy')}), the "
            f"worst {LABELS[last]} ({self._gain(last, 'accuracy')}); label smoothing, which mixes nothing, comes to "
            f"{self._gain('label_smoothing', 'accuracy')}."
        )
        lower, sharper = ([key for key in mixing if _better(found, key)] for found in (loss, ece))
        untrained = [key for key in sharper if accuracy.loc[key, "estimate"] < -UNTRAINED]
        only = f" ({_names(untrained)} only because {'they do' if untrained[1:] else 'it does'} not learn)"
        best = loss.loc[mixing, "estimate"].idxmax()
        lines.append(
            f"**Loss and calibration.** {len(lower)} of {len(mixing)} mixup methods lower the test loss, and "
            f"{len(sharper)} lower the calibration error{only if untrained else ''}. Label smoothing saves "
            f"{self._gain('label_smoothing', 'loss')} percent of the loss; the best mixup method ({LABELS[best]}) "
            f"saves {self._gain(best, 'loss')}."
        )
        scaled = self.gains["loss, scaled"]
        still = [key for key in mixing if _better(scaled, key)]
        worse = [key for key in mixing if scaled.loc[key, "category"] == "worse"]
        lines.append(
            "**After temperature scaling** of every model (one number, fitted on development rows), "
            f"{_names(still) or 'no mixup method'} still {'lower' if still[1:] else 'lowers'} the loss"
            f"{_corrected(scaled, still)}, and {len(worse)} {'raises' if len(worse) == 1 else 'raise'} it; label "
            f"smoothing saves {self._gain('label_smoothing', 'loss, scaled')} percent."
        )
        costs = pd.Series({key: self.costs[key] for key in mixing})
        lines.append(
            f"**Cost.** The median mixup method trains {costs.median():.1f} times as long as the plain model, the "
            f"slowest ({LABELS[costs.idxmax()]}) {costs.max():.1f} times."
        )
        return lines

    def _on(self, id_: str) -> str:
        """The data sets on which a claim was judged, and what "at least as good" or "helps more" hides."""
        sets = list(dict.fromkeys(name for live in self.verdicts[id_].cells for name in live))
        return " / ".join(sets) + self._but(id_)  # names of sets have commas

    def _but(self, id_: str) -> str:
        """What a decision by the letter hides: a difference below the margin, "at least as good" although it is against
        the claim, "helps more" although it helps nowhere, and that it may be one of the few wrong ones."""
        found = self.verdicts[id_].judgement
        said = f": by {self._amounts(id_)}" if found.small else self._hidden(id_)
        q = self._q.get(id_, 0.0)
        return f"{said}; may be wrong, q = {q:.2f}" if q > statistics.ALPHA else said

    @cached_property
    def _q(self) -> dict[str, float]:
        return judgements.q_values({id_: verdict.judgement for id_, verdict in self.verdicts.items()}).to_dict()

    def _amounts(self, id_: str) -> str:
        found = self.verdicts[id_].judgement
        size, margin = (judgements.amount(abs(value), found.unit) for value in (found.estimate, found.margin))
        return f"{size}, which is within the margin of {margin}"

    def _hidden(self, id_: str) -> str:
        """Of a claim that held up."""
        found = self.verdicts[id_].judgement
        if found.category != statistics.SUPPORTED:
            return ""
        if found.kind == statistics.NON_INFERIORITY and found.high < 0:
            return f": worse by {self._amounts(id_)}{self._worst(id_)}"
        gains = sorted(self._gains_compared(id_))
        if gains and gains[-1] < 0:
            return f": the gains compared are losses, of {-gains[-1]:.1f} to {judgements.amount(-gains[0], found.unit)}"
        return ""

    def _worst(self, id_: str) -> str:
        """The data set on which a claim about a mean fares worst, if that is beyond the margin."""
        found = self.verdicts[id_].judgement
        live, *_ = verdicts.differences(self.verdicts[id_].claim.parts[0], self.records)
        means = {name: values.mean() for name, values in live.items()}
        worst = min(means, key=means.get)
        beyond = means[worst] < -found.margin
        return f"; on {worst} by {judgements.amount(abs(means[worst]), found.unit)}" if beyond else ""

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

    def readme(self) -> dict[str, str]:
        """The generated parts of README, by name; lists of claims are folded, because it is one screen."""
        keys = [key for key in pool.METHODS if key != "none"]
        header = ["method", "time (plain = 1)", *COLUMNS]
        rows = [
            [f"{pool.labels()[key]} (`{key}`)", self.cost(key), *(self._gain(key, c) for c in COLUMNS)] for key in keys
        ]
        return {
            "verdicts": ledger.as_markdown(self.verdicts),
            "findings": bullets(map(folded, self.findings()[1:])),
            "methods": table(header, rows),
        }  # fmt: skip

    def which(self) -> str:
        """Which method for what, at what cost: every method of the pool under one recipe."""
        keys, lines = [key for key in pool.METHODS if key != "none"], []
        for title, (_, _, words) in COLUMNS.items():
            if not self.gains:
                lines.append(f"For {words}: not decided yet; some runs are missing.")
                continue
            found, accuracy = self.gains[title], self.gains["accuracy"]
            better = found[found["category"] == "better"].sort_values("estimate", ascending=False).index
            at_a_loss = [key for key in better if accuracy.loc[key, "category"] == "worse"]
            little = [k for k in better if k not in at_a_loss and found.loc[k, "high"] < found.attrs["margin"]]
            good = self._named(key for key in better if key not in at_a_loss + little)
            none = (
                "no gain is large enough to matter" if little else "no method is clearly better than plain fine-tuning"
            )
            line = f"For {words}: {good or none}."
            line += f" Better, but by too little to matter: {self._named(little)}." if little else ""
            lines.append(
                line + (f" At the cost of accuracy: {self._named(at_a_loss, lost=True)}." if at_a_loss else "")
            )
        header = ["method", "cost", *COLUMNS]
        rows = [
            [f"[{pool.labels()[key]}](/methods/{key}.md)", self.cost(key), *(self._gain(key, c) for c in COLUMNS)]
            for key in keys
        ]
        note = (
            f"What each method gains over plain fine-tuning on {len(pool.POOL)} data sets under one recipe: points of "
            "accuracy, percent of the test loss, points of ECE. Positive is better; brackets hold 95% intervals; bold "
            "means the interval lies above zero. *Scaled*: every model, the plain one included, with a temperature "
            "fitted on development rows. Cost is training time relative to a plain run. For more, see "
            f"{self.chapter('51_common_protocol')}."
        )
        return bullets(lines) + "\n" + table(header, rows) + "\n" + note + "\n"

    def margins(self) -> str:
        """How many verdicts depend on the margins."""
        moved = ledger.by_margin(self.verdicts, self.records).loc["differ from the verdict"]
        return (
            f"Of the {len(self.verdicts)} verdicts, {moved['half the margins']} would change with half the margins, "
            f"and {moved['twice the margins']} with twice the margins.\n"
        )

    def cells(self) -> str:
        """Which cells claims are judged on, how many seeds of each are read, and how many the rule asks for."""
        found = progress.table(self.records)
        found = found[[name not in {cell.name for cell in pool.SENSITIVITY} for name in found.index]]
        short = found[found["seeds"] < found["wanted"]]
        rows = [
            [f"`{name}`", tables.NAMES[row["dataset"]], plan.rows_of(name), str(row["methods"]),
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

    # --- pages --------------------------------------------------------------------------------------------------------

    def gallery(self) -> str:
        """Every figure as a card that leads to its chapter, paper by paper, from the recipes of the artefacts."""
        paper_of = {RECIPES[a.id].notebook: a.paper for a in artefacts() if a.id in RECIPES}
        made = {c.name: [a.artefact for a in artefacts() if a.id in RECIPES and RECIPES[a.id].notebook == c.name]
                for c in self.chapters}  # fmt: skip
        text = "# Gallery\n\nEvery figure in the book. Each one links to its chapter.\n"
        for paper in [*published.papers(), None]:
            shown = [c for c in self.chapters if paper_of.get(c.name) == paper and c.figures]
            if not shown:
                continue
            text += f"\n## {ledger.papers()[paper] if paper else 'All papers'}\n\n"
            text += "::::{grid} 1 2 2 3\n:gutter: 2\n"
            for chapter in shown:
                for number, figure in enumerate(chapter.figures):
                    text += (
                        f":::{{grid-item-card}} {plain(figure.title)}\n:link: /{chapter.name}\n:link-type: doc\n"
                        f":img-top: /fragments/{chapter.name}-{number}.png\n:img-alt: {figure.words}\n"
                        f"{', '.join(made[chapter.name])}\n:::\n"
                    )
            text += "::::\n"
        return text

    def methods_index(self) -> str:
        rows = [
            [f"[{LABELS[key]}]({key}.md)", f"`{key}`", roomy(about.idea),
             ", ".join(SITE_WORDS[site] for site in about.where) or ("nothing" if key in ABOUT else "not stated"),
             self.cost(key)]
            for key, about in every().items()
        ]  # fmt: skip
        toc = "\n".join(every())
        return (
            f"# Methods\n\n{self.where()}\nA filled mark is a place changed in every batch; of the hollow ones, one is "
            f"drawn for each batch. A mark between two blocks is the attention of the second.\n\n"
            f"{table(['method', 'name in code', 'idea', 'changes', 'cost'], rows)}\n"
            f"```{{toctree}}\n:hidden:\n\n{toc}\n```\n"
        )

    def method(self, key: str) -> str:
        """The page of a method."""
        cls, about = methods.base.REGISTRY[key], every()[key]
        text = f'# {LABELS[key]}\n\n{about.idea} In code: `MixupTrainer(..., method="{key}")`.\n\n'
        text += "".join(f"$$\n{line}\n$$\n\n" for line in about.formula)
        where = ", ".join(SITE_WORDS[site] for site in about.where if site != "label")
        soft = {"label_smoothing": "smoothed"}.get(key, "mixed" if "label" in about.where else "kept")
        place = f"{where or 'nothing'}{' (at one of these places, drawn anew for each batch)' if about.drawn else ''}"
        nobody = "none, a control" if key in ABOUT else "none"
        of = f"[{ledger.papers()[cls.paper]}](/papers/{cls.paper}.md)" if cls.paper else nobody
        said = [f"Changes: {place}", f"Labels: {soft}"] if key in ABOUT else []
        text += bullets([
            *said, f"Paper: {of}", f"Class: [`{cls.__module__}.{cls.__name__}`](/api/{cls.__module__}.md)",
        ]) + "\n"  # fmt: skip
        text += "## Parameters\n\n"
        rows = [
            [f"`{name}`", f"`{default}`", plain_code(from_rst(words))]
            for name, (default, words) in parameters(cls).items()
        ]
        text += table(["name", "default", "meaning"], rows) if rows else "None.\n"
        text += f"\n## What it costs\n\n{self._cost_words(key)}\n"
        if key in pool.METHODS and key != "none":
            text += "\n## Compared with plain fine-tuning\n\n"
            text += f"Gains under one recipe ({self.chapter('51_common_protocol')}):\n\n"
            text += table(list(COLUMNS), [[self._gain(key, column) for column in COLUMNS]])
        if about.paper:
            text += f"\n## Compared with the paper\n\n{bullets(about.paper)}"
        if about.code:
            links = ", ".join(f"[{_repository(url)}]({url})" for url in about.sources)
            text += "\n## Compared with the published code\n\n"
            text += f"{f'Code: {links}.' if links else ''}\n\n{bullets(about.code)}"
        about_it = [id_ for id_, verdict in self.verdicts.items() if key in subjects(verdict.claim)]
        if about_it:
            text += f"\n## Claims about this method\n\n{self._claim_table(about_it)}"
        return text

    def _cost_words(self, key: str) -> str:
        method = methods.get(key)
        passes, updates = method.passes, method.updates_per_batch
        counted = f"A step takes {passes} pass{'es' if passes > 1 else ''} over its rows"
        counted += f", and each batch gets {updates} updates. " if updates > 1 else ". "
        if key in self.costs and key != "none":
            counted += (
                f"Measured: **{self.costs[key]:.2f}** times the training time of plain fine-tuning (the mean over data "
                "sets of the ratio of medians; many of these runs ran side by side)."
            )
        return counted

    def _claim_table(self, ids: Iterable[str]) -> str:
        rows = []
        for id_ in ids:
            verdict = self.verdicts[id_]
            rows.append([f"[{id_}](#claim-{id_})", roomy(self.claims[id_]),
                         verdict_of(verdict.category, verdict.label), estimate(verdict)])  # fmt: skip
        return table(["claim", "says", "verdict", "estimate"], rows)

    def ledger(self) -> str:
        """All claims with their verdicts."""
        text = (
            f"# Claims\n\nWhat the papers claim, and what we found: {self.counts()}. [Statistics](/statistics.md) "
            "explains how claims are judged. A positive estimate is in the claimed direction; brackets hold 95% "
            "intervals; for a claim about a bound, the estimate is the value compared with the bound. Verdicts apply "
            "to the scale measured here (all-MiniLM-L6-v2, few examples), not to that of the papers.\n"
        )
        for paper, title in ledger.papers().items():
            text += f"\n## {title}\n\n"
            text += self._claim_table(id_ for id_, v in self.verdicts.items() if v.claim.paper == paper)
        return text

    def paper(self, key: str, inconsistencies: Mapping[str, str]) -> str:
        """The page of a paper."""
        cited = self.references[key]
        who = ", ".join(f"{a['given-names']} {a['family-names']}" for a in cited["authors"])
        where = f"{cited.get('collection-title', 'preprint')}, {cited['year']}"
        link = f"[{plain(cited['title'])}]({cited['url']})" if "url" in cited else plain(cited["title"])
        text = f"# {ledger.papers()[key]}\n\n{link}. {who}. {where}.\n\n## Chapters\n\n"
        of_paper = [a for a in artefacts() if a.paper == key]
        rows = []
        for a in of_paper:
            chapter = self.chapter(RECIPES[a.id].notebook) if a.id in RECIPES else "not built"
            rows.append([plain(a.artefact), roomy(a.shows), chapter])
        text += table(["in the paper", "shows", "chapter"], rows)
        own = {k: about for k, about in every().items() if methods.base.REGISTRY[k].paper == key}
        text += "\n## Methods\n\n" + bullets(f"[{LABELS[k]}](/methods/{k}.md): {own[k].idea}" for k in own)
        text += "\n## Claims\n"
        for id_, verdict in self.verdicts.items():
            if verdict.claim.paper == key:
                text += self._claim(id_, verdict)
        settings = published.hyperparameters(key)
        text += "\n## Settings as the paper states them\n\n" + table(
            ["data set", "setting", "value", "note"],
            [[plain(r[name]) for name in ("dataset", "name", "value", "note")] for r in settings.to_dict("records")],
        )
        errata = inconsistencies.get(key, "None found.")
        text += f"\n## Errata: where the paper contradicts itself, its data or its code\n\n{errata}\n"
        return text

    def _claim(self, id_: str, verdict: verdicts.Verdict) -> str:
        judgement = verdict.judgement
        text = f"\n(claim-{id_})=\n### {id_}\n\n{plain(self.claims[id_])}\n\n"
        text += f"{verdict_of(verdict.category, verdict.label)} {estimate(verdict)}\n\n"
        text += bullets([
            f"Rule: {plain(verdict.claim.rule)}", f"Found: {plain(judgement.words)}",
            f"Shown in: {self.chapter(ledger.chapters()[id_])}",
        ])  # fmt: skip
        sets = {name: seeds for part in verdict.cells for name, seeds in part.items()}
        if sets:
            text += bullets(["On " + ", ".join(f"{plain(name)} ({len(seeds)} seeds)" for name, seeds in sets.items())])
        left_out = {f"{name}: {why}" for part in verdict.dead for name, why in part.items()} if sets else ()
        if left_out:
            text += bullets(["Not counted: " + "; ".join(plain(line) for line in sorted(left_out))])
        return text

    def papers_index(self) -> str:
        lines = [f"[{paper.title}]({key}.md)" for key, paper in published.papers().items()]
        toc = "\n".join(published.papers())
        return f"# Papers\n\n{bullets(lines)}\n```{{toctree}}\n:hidden:\n\n{toc}\n```\n"


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


def plain_code(text: str) -> str:
    """As :func:`plain`, with code in backticks left as it is."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part.replace("|", r"\|") if part.startswith("`") else plain_ends(part) for part in parts)


def plain_ends(text: str) -> str:
    """As :func:`plain`, with the blanks at both ends kept."""
    return re.sub(r"([\\*_`|<>\[\]$])", r"\\\1", re.sub(r"\s+", " ", text))


def numbers(judgement: judgements.Judgement) -> str:
    """Estimate, interval and unit (factors have none), the margin of a claim of equality, and the printed size; empty
    if there is none."""
    if not math.isfinite(judgement.estimate):
        return ""
    unit = judgement.unit

    def said(value: float) -> str:
        return judgements.amount(value, unit, sign=True).replace("-", MINUS)

    text = said(judgement.estimate)
    if math.isfinite(judgement.low):
        text += f" [{said(judgement.low)}, {said(judgement.high)}]"
    text += "" if unit == statistics.LOG_RATIO else f" {unit}"
    if judgement.kind in (statistics.NON_INFERIORITY, statistics.EQUIVALENCE):
        text += f"; margin {judgements.amount(judgement.margin, unit)}"
    return text if judgement.printed is None else f"{text}; printed {said(judgement.printed)}"


def estimate(verdict: verdicts.Verdict) -> str:
    """:func:`numbers` of a claim; empty while its runs are not finished."""
    return "" if verdict.waits else numbers(verdict.judgement)


def _repository(url: str) -> str:
    owner, name, *rest = url.removeprefix("https://github.com/").split("/")
    return f"{owner}/{name}" + (f" at {rest[-1]}" if rest else "")


def inconsistencies() -> dict[str, str]:
    """``data/published/inconsistencies.md`` section by section, by heading: papers by key."""
    text = (paths.PUBLISHED / "inconsistencies.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


@lru_cache(maxsize=1)
def modules() -> list[str]:
    """Every module of the library, parents before children, without the command line."""
    found = (module.name for module in pkgutil.walk_packages([str(paths.ROOT / "mixlib")], "mixlib."))
    return ["mixlib", *sorted(name for name in found if not name.endswith("__main__"))]


def api_index() -> str:
    """Every module with the first line of its docstring. No table of contents: it would appear on every page."""
    return "# API\n\nEvery module with its docstrings.\n\n" + bullets(
        f"[{module}]({module}.md): {plain_code(from_rst(_first_line(module)))}" for module in modules()
    )


def _first_line(module: str) -> str:
    path = paths.ROOT.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]


def api(module: str) -> str:
    return (
        f"---\norphan: true\n---\n\n# {module}\n\n[All modules](index.md)\n\n"
        f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n   :show-inheritance:\n```\n"
    )
