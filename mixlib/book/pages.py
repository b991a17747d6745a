"""Generated pages: the gallery, methods, papers and claims, made from records, classes and recipes.

Every function returns Markdown as MyST reads it, and reads neither a clock nor a network.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from mixlib import methods
from mixlib.book.about import ABOUT, SITE_WORDS, every
from mixlib.book.chapters import Chapter
from mixlib.book.findings import COLUMNS, Findings, noted
from mixlib.book.markdown import MINUS, bullets, from_rst, plain, plain_code, roomy, table
from mixlib.evidence import judgements, ledger, plan, published, statistics, verdicts
from mixlib.evidence.cells import FIRST, Cell
from mixlib.evidence.claims import Claim
from mixlib.evidence.tables import LABELS
from mixlib.evidence.verdicts import Records
from mixlib.methods.base import Method
from mixlib.papers.common import pool
from mixlib.papers.registry import RECIPES, artefact_runs, artefacts
from mixlib.runs import costs, paths


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
            own = cell.methods.get(term.label) or cell.varied.get(term.label, {}).get("method")
            key = own or term.label.partition(" ")[0]
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
    def found(self) -> Findings:
        """What the verdicts and the runs of all methods say."""
        return Findings(self.records)

    @cached_property
    def references(self) -> dict[str, dict[str, Any]]:
        """By paper, its entry in CITATION.cff."""
        import yaml  # of the extra

        cited = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text(encoding="utf-8"))["references"]
        found = {}
        for key, paper in published.papers().items():
            own = [reference for reference in cited if paper.title.startswith(reference["title"])]
            if not own:
                raise ValueError(f"CITATION.cff has no reference for {key}: no title that {paper.title!r} starts with")
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
        if len(found) == 1:
            return f"Made from one record, which took {taken}."
        return f"Made from {len(found):,} records. Their runs took {taken} in total, counted one after another."

    def summary(self, name: str) -> str:
        """What a chapter found, at its top: its first sentences, and the verdicts on the claims it shows."""
        chapter = next(chapter for chapter in self.chapters if chapter.name == name)
        text = f"{{.lead}}\n**In short.** {' '.join(chapter.in_short)}\n\n" if chapter.in_short else ""
        if name in plan.registered().chapters:
            shown = [(id_, self.found.verdicts[id_]) for id_ in ledger.of_chapter(name)]
            text += (
                "Claims: " + ", ".join(f"[{i}](#claim-{i})\u00a0{verdict_of(v.category)}" for i, v in shown) + ".\n\n"
            )
        return text

    def chapter(self, name: str) -> str:
        """A link to a chapter, from the top of the book."""
        return next(
            (f"[{c.number}: {plain(c.title)}](/{name}.ipynb)" for c in self.chapters if c.name == name), f"`{name}`"
        )

    def chapters_of(self, paper: str | None) -> list[Chapter]:
        """The chapters of a paper, ``NN_PREFIX_WHAT``; of ``None``: those across papers, without the first."""
        owner = {
            chapter.name: next(
                (key for key, p in published.papers().items() if chapter.name[3:].startswith(f"{p.prefix}_")), None
            )
            for chapter in self.chapters
        }
        return [chapter for chapter in self.chapters if owner[chapter.name] == paper and chapter.number != "00"]

    def contents(self) -> str:
        """What is listed next to every page: chapters across papers, and papers, below which their own unfold."""
        groups = {
            "Across the papers": [_entry(chapter) for chapter in self.chapters_of(None)],
            "The papers": [f"papers/{key}" for key in published.papers()],
        }
        return "\n".join(_toctree(found, title) for title, found in groups.items() if found)

    def linked(self, line: str) -> str:
        """A line of what was found, as HTML or Markdown, with links to the claims and chapters that it names."""
        paper = {id_: verdict.claim.paper for id_, verdict in self.found.verdicts.items()}
        page = {chapter.number: f"{chapter.name}.html" for chapter in self.chapters}

        def claim(found: re.Match) -> str:
            id_ = found[0]
            if id_ not in paper:
                return id_
            return f'<a href="papers/{paper[id_]}.html#claim-{id_.replace("_", "-")}">{id_}</a>'

        def chapter(found: re.Match) -> str:
            number = found[1]
            return f'<a href="{page[number]}">chapter {number}</a>' if number in page else found[0]

        return re.sub(r"\b[Nn]otebook (\d\d)\b", chapter, re.sub(r"\b[a-z_]+-\d+\b", claim, line))

    # --- fragments of the landing page --------------------------------------------------------------------------------

    def forest(self) -> str:
        claims = len(self.found.verdicts)
        alt = f"Forest plot of the {claims} claims: estimate, interval, printed size and verdict of each"
        return (
            f"Of the {claims} claims: {self.found.counts()}. The [ledger](/claims.md) lists them all.\n\n"
            f"```{{figure}} /fragments/forest.svg\n:alt: {alt}\n```\n"
        )

    def where(self) -> str:
        named = [LABELS[key] for key, about in every().items() if "attention" in about.where or "words" in about.where]
        alt = f"Where each method mixes in a model of twelve blocks; {', '.join(named)} change words or attention"
        return f"```{{figure}} /fragments/where.svg\n:alt: {alt}\n```\n"

    def which(self) -> str:
        """Which method for what, at what cost: every method of the pool."""
        keys, names = [key for key in pool.METHODS if key != "none"], pool.labels()
        lines = self.found.answers({key: f"[{names[key]}](/methods/{key}.md)" for key in keys})
        header = ["method", "cost", *COLUMNS]
        said = self.found
        rows = [
            [f"[{names[key]}](/methods/{key}.md)", said.cost(key), *(said.gain(key, c) for c in COLUMNS)]
            for key in keys
        ]
        note = (
            f"What each method gains over plain fine-tuning on {len(pool.POOL)} data sets, one recipe each: points of "
            "accuracy, percent of the test loss, points of ECE. Positive is better; brackets hold 95% intervals; bold "
            "means the interval lies above zero. *Scaled*: every model, the plain one included, with a temperature "
            "fitted on development rows. Cost is training time relative to a plain run. For more, see "
            f"{self.chapter('51_common_protocol')}."
        )
        return bullets(lines) + "\n" + noted(table(header, rows)) + "\n" + note + "\n"

    # --- pages --------------------------------------------------------------------------------------------------------

    def gallery(self) -> str:
        """Every figure as a card that leads to its chapter, paper by paper, from the recipes of the artefacts."""
        made = {c.name: [a.artefact for a in artefacts() if a.id in RECIPES and RECIPES[a.id].notebook == c.name]
                for c in self.chapters}  # fmt: skip
        text = "# Gallery\n\nEvery figure in the book. Each one links to its chapter.\n"
        for paper in [None, *published.papers()]:
            shown = [chapter for chapter in self.chapters_of(paper) if chapter.figures]
            if not shown:
                continue
            text += f"\n## {ledger.papers()[paper] if paper else 'All papers'}\n\n"
            text += "::::{grid} 1 2 2 3\n:gutter: 2\n"
            for chapter in shown:
                for number, figure in enumerate(chapter.figures):
                    text += (
                        f":::{{grid-item-card}} {chapter.number}.{number + 1} {figure.title}\n"
                        f":link: /{chapter.name}\n:link-type: doc\n"
                        f":img-top: /fragments/{chapter.name}-{number}.png\n:img-alt: {figure.words}\n"
                        f"{', '.join(made[chapter.name])}\n:::\n"
                    )
            text += "::::\n"
        return text

    def methods_index(self) -> str:
        rows = [
            [f"[{LABELS[key]}]({key}.md)", f"`{key}`", roomy(about.idea),
             ", ".join(SITE_WORDS[site] for site in about.where) or ("nothing" if key in ABOUT else "not stated"),
             self.found.cost(key) + (_with_parameters(key) if key in pool.METHODS else "")]
            for key, about in every().items()
        ]  # fmt: skip
        toc = "\n".join(every())
        return (
            "# Methods\n\nEach method has a page with its equation, parameters, cost and claims. *Cost* is training "
            "time relative to plain fine-tuning, measured where all methods were run with the same recipes, otherwise "
            f"counted in passes over the rows. Which one to use: {self.chapter('51_common_protocol')}.\n\n"
            f"{self.where()}\n"
            "A filled mark is a place changed in every batch (CLS MixUp, last half: of the last half); of the hollow "
            "ones, one is drawn for each batch. A mark between two blocks is the attention of the second.\n\n"
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
        of = f"{about.of}; a baseline of {of}" if about.of else of
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
            text += (
                f"Gains with one recipe per data set{_with_parameters(key)} ({self.chapter('51_common_protocol')}): "
                "points of accuracy and ECE, percent of the loss; positive is better.\n\n"
            )
            text += noted(table(list(COLUMNS), [[self.found.gain(key, column) for column in COLUMNS]]))
        if about.paper:
            text += f"\n## {'Compared with the paper' if cls.paper else 'Remarks'}\n\n{bullets(about.paper)}"
        if about.code:
            links = ", ".join(f"[{_repository(url)}]({url})" for url in about.sources)
            text += "\n## Compared with the published code\n\n"
            text += f"{f'Code: {links}.' if links else ''}\n\n{bullets(about.code)}"
        about_it = [id_ for id_, verdict in self.found.verdicts.items() if key in subjects(verdict.claim)]
        if about_it:
            text += f"\n## Claims about this method\n\n{self._claim_table(about_it)}"
        return text

    def _cost_words(self, key: str) -> str:
        method = methods.get(key)
        passes, updates = method.passes, method.updates_per_batch
        counted = f"A step takes {passes} pass{'es' if passes > 1 else ''} over its rows"
        counted += f", and each batch gets {updates} updates. " if updates > 1 else ". "
        if key in self.found.costs and key != "none":
            counted += (
                f"Measured{_with_parameters(key)}: **{self.found.costs[key]:.2f}** times the training time of plain "
                "fine-tuning (the mean over data sets of the ratio of medians; many of these runs ran side by side)."
            )
        return counted

    def _claim_table(self, ids: Iterable[str]) -> str:
        rows = []
        for id_ in ids:
            verdict = self.found.verdicts[id_]
            rows.append([f"[{id_}](#claim-{id_})", roomy(self.found.claims[id_]), self._verdict(id_),
                         estimate(verdict)])  # fmt: skip
        return table(["claim", "says", "verdict", "estimate"], rows)

    def _verdict(self, id_: str) -> str:
        verdict = self.found.verdicts[id_]
        return verdict_of(verdict.category, verdict.label) + f" ({ledger.INTERIM})" * (id_ in self.found.interim)

    def ledger(self) -> str:
        """All claims with their verdicts."""
        text = (
            f"# Claims\n\nWhat the papers claim, and what we found: {self.found.counts()}. "
            "[Statistics](/statistics.md) explains how claims are judged. A positive estimate is in the claimed "
            "direction; brackets hold 95% intervals; for a claim about a bound, the estimate is the value compared "
            "with the bound, which follows it. [Chapter 50](/50_claims.ipynb) has the same claims in one picture. "
            "Verdicts apply to the scale measured here (all-MiniLM-L6-v2, few examples), not to that of the papers.\n"
        )
        for paper, title in ledger.papers().items():
            text += f"\n## {title}\n\n"
            text += self._claim_table(id_ for id_, v in self.found.verdicts.items() if v.claim.paper == paper)
        return text

    def paper(self, key: str, inconsistencies: Mapping[str, str]) -> str:
        """The page of a paper."""
        cited = self.references[key]
        who = ", ".join(f"{a['given-names']} {a['family-names']}" for a in cited["authors"])
        where = f"{cited.get('collection-title', 'preprint')}, {cited['year']}"
        link = f"[{plain(cited['title'])}]({cited['url']})" if "url" in cited else plain(cited["title"])
        text = f"# {ledger.papers()[key]}: the paper\n\n{link}. {who}. {where}.\n\n## Chapters\n\n"
        of_paper = [a for a in artefacts() if a.paper == key]
        rows = []
        for a in of_paper:
            chapter = self.chapter(RECIPES[a.id].notebook) if a.id in RECIPES else "not built"
            rows.append([plain(a.artefact), roomy(a.shows), chapter])
        text += table(["in the paper", "shows", "chapter"], rows)
        own = {k: about for k, about in every().items() if methods.base.REGISTRY[k].paper == key}
        for title, keys in {
            "Methods": [k for k in own if not own[k].of],
            "Baselines": [k for k in own if own[k].of],
        }.items():
            if keys:
                text += f"\n## {title}\n\n" + bullets(f"[{LABELS[k]}](/methods/{k}.md): {own[k].idea}" for k in keys)
        text += "\n## Claims\n"
        for id_, verdict in self.found.verdicts.items():
            if verdict.claim.paper == key:
                text += self._claim(id_, verdict)
        settings = published.hyperparameters(key)
        text += "\n## Settings as the paper states them\n\n" + table(
            ["data set", "setting", "value", "note"],
            [[plain(r[name]) for name in ("dataset", "name", "value", "note")] for r in settings.to_dict("records")],
        )
        errata = inconsistencies.get(key, "None found.")
        text += f"\n## Errata: where the paper contradicts itself, its data or its code\n\n{tags()}\n\n{errata}\n"
        return f"{text}\n{_toctree(map(_entry, self.chapters_of(key)))}"

    def _claim(self, id_: str, verdict: verdicts.Verdict) -> str:
        judgement = verdict.judgement
        text = f"\n(claim-{id_})=\n### {id_}\n\n{plain(self.found.claims[id_])}\n\n"
        text += f"{self._verdict(id_)} {estimate(verdict)}\n\n"
        caveat = [f"But: {plain(verdict.claim.caveat)}."] if verdict.claim.caveat else []
        text += bullets([
            f"Rule: {plain(verdict.claim.rule)}", f"Found: {plain(judgement.words)}", *caveat,
            f"Shown in: {self.chapter(ledger.chapters()[id_])}",
        ])  # fmt: skip
        sets = {name: seeds for part in verdict.cells for name, seeds in part.items()}
        if sets:
            count = {name: f" ({len(seeds)} seeds)" if seeds[1:] else "" for name, seeds in sets.items()}
            text += bullets(["On " + ", ".join(f"{plain(name)}{many}" for name, many in count.items())])
        left_out = {f"{name}: {why}" for part in verdict.dead for name, why in part.items()} if sets else ()
        if left_out:
            text += bullets(["Not counted: " + "; ".join(plain(line) for line in sorted(left_out))])
        return text

    def papers_index(self) -> str:
        rows = []
        for key, paper in published.papers().items():
            own = {id_: v for id_, v in self.found.verdicts.items() if v.claim.paper == key}
            counts = ledger.counts(own).loc["all"]
            said = [f"{count} {name}" for name, count in counts.items() if count and name != "claims"]
            shown = _ranges(int(chapter.number) for chapter in self.chapters_of(key))
            claims = roomy(f"{counts['claims']}: {', '.join(said)}")
            rows.append([f"[{paper.name}]({key}.md)", roomy(paper.title), shown, claims])
        return f"---\norphan: true\n---\n\n# Papers\n\n{table(['paper', 'title', 'chapters', 'claims'], rows)}"


def _entry(chapter: Chapter) -> str:
    """A chapter in a table of contents: its number, and its title without the name of the paper."""
    names = [name for paper in published.papers().values() for name in (paper.name, paper.prefix)]
    title = re.sub(rf"^({'|'.join(map(re.escape, names))})[,:] ", "", chapter.title, flags=re.IGNORECASE)
    return f"{chapter.number} · {title[0].upper()}{title[1:]} </{chapter.name}>"


def _ranges(numbers: Iterable[int]) -> str:
    """``40 to 47, 52``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if run[1:] else f"{run[0]}" for run in runs)


def _toctree(entries: Iterable[str], caption: str | None = None) -> str:
    options = ":hidden:\n" + (f":caption: {caption}\n" if caption else "")
    return f"```{{toctree}}\n{options}\n{chr(10).join(entries)}\n```\n"


def _with_parameters(key: str) -> str:
    """The parameters of a method in the runs of all methods, where they are not its defaults."""
    other = {
        name: value
        for name, value in pool.METHODS[key][1].items()
        if value != getattr(methods.get(pool.METHODS[key][0]), name)
    }
    return f", with {', '.join(f'`{name}={value}`' for name, value in other.items())}" if other else ""


def numbers(judgement: judgements.Judgement) -> str:
    """Estimate, interval and unit (factors have none), the margin of a claim of equality, and the printed size; empty
    if there is none."""
    if not math.isfinite(judgement.estimate):
        return ""
    unit = judgement.unit

    def said(value: float) -> str:
        return judgements.amount(value, unit, sign=True).replace("-", MINUS)

    text = judgement.numbers.replace("-", MINUS)
    if judgement.kind in (statistics.NON_INFERIORITY, statistics.EQUIVALENCE):
        text += f"; margin {judgements.amount(judgement.margin, unit)}"
    if judgement.bounds is not None:
        low, high = judgement.bounds
        ends = [f"above {said(low)}"] * math.isfinite(low) + [f"below {said(high)}"] * math.isfinite(high)
        text += f"; claimed {' and '.join(ends)}"
    return text if judgement.printed is None else f"{text}; printed {said(judgement.printed)}"


def estimate(verdict: verdicts.Verdict) -> str:
    """:func:`numbers` of a claim; empty while its runs are not finished."""
    return "" if verdict.waits else numbers(verdict.judgement)


def _repository(url: str) -> str:
    owner, name, *rest = url.removeprefix("https://github.com/").split("/")
    return f"{owner}/{name}" + (f" at {rest[-1]}" if rest else "")


def tags() -> str:
    """What the tags of the points in ``data/published/inconsistencies.md`` mean: its own sentence."""
    text = (paths.PUBLISHED / "inconsistencies.md").read_text(encoding="utf-8")
    return next(line for line in text.splitlines() if line.startswith("Each point says what it rests on"))


def inconsistencies() -> dict[str, str]:
    """``data/published/inconsistencies.md`` section by section, by heading: papers by key."""
    text = (paths.PUBLISHED / "inconsistencies.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
