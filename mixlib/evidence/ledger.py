"""The ledger of all claims for readers: counts, groups that open, and what depends on the margins."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

import pandas as pd
from IPython.display import DisplayObject, Markdown

from mixlib.evidence import judgements, plan, published, statistics, tables
from mixlib.evidence.verdicts import WAITING, Records, Verdict, judge, table

ORDER = (  # of the groups: what was found first
    statistics.SUPPORTED, statistics.CONTRADICTED, statistics.NO_EFFECT, statistics.SMALLER, statistics.UNDECIDED,
    statistics.NOT_JUDGEABLE, WAITING,
)  # fmt: skip


def papers() -> dict[str, str]:
    """The papers' names for readers, by key."""
    return {key: paper.name for key, paper in published.papers().items()}


def chapters() -> dict[str, str]:
    """The notebook of each claim; if two show it, the first."""
    found: dict[str, str] = {}
    for notebook in plan.registered().chapters:
        for id_ in of_chapter(notebook):
            found.setdefault(id_, notebook)
    return found


def of_chapter(notebook: str) -> list[str]:
    """The claims that a notebook shows, by id. ``ValueError`` for one that shows none."""
    known = plan.registered().chapters
    if notebook not in known:
        raise ValueError(f"no claims are shown in {notebook!r}; there are {', '.join(known)}")
    paper, numbers = known[notebook]
    return [f"{paper}-{number}" for number in numbers]


def beside_chapter(notebook: str, committed: bool) -> DisplayObject:
    """The claims that a notebook shows, with their verdicts, as its last table.

    Args:
        notebook: its name, such as ``41_amplify_table1``.
        committed: whether it shows the committed records; verdicts are made from no others, so a sentence that says so
            takes the place of the table.
    """
    if not committed:
        return Markdown(
            "Verdicts are made from the committed evidence alone (profile `mini`, its own model and seeds)."
        )
    return tables.show(table(of_chapter(notebook)), "Claims that these numbers bear on", "claims")


def counts(verdicts: Mapping[str, Verdict]) -> pd.DataFrame:
    """How many claims of each paper got which verdict; the last row is all."""
    names = papers()
    found = pd.crosstab(
        pd.Series({id_: names[v.claim.paper] for id_, v in verdicts.items()}, name="paper"),
        pd.Series({id_: v.category for id_, v in verdicts.items()}, name="verdict"),
    )
    table = found.reindex(index=list(names.values()), columns=list(ORDER), fill_value=0)
    table.loc["all"] = table.sum()
    return table.assign(claims=table.sum(axis=1))


def by_margin(verdicts: Mapping[str, Verdict], records: Records) -> pd.DataFrame:
    """The verdicts of all claims, made from these records, with half and twice the margins, and how many move."""
    columns: dict[str, dict[str, int]] = {}
    usual = {id_: v.category for id_, v in verdicts.items()}
    for title, factor in (("half the margins", 0.5), ("the margins", 1.0), ("twice the margins", 2.0)):
        found = usual if factor == 1 else {id_: judge(v.claim, records, factor).category for id_, v in verdicts.items()}
        columns[title] = {name: sum(category == name for category in found.values()) for name in ORDER}
        columns[title]["differ from the verdict"] = sum(found[id_] != usual[id_] for id_ in found)
    return pd.DataFrame(columns)


def groups(verdicts: Mapping[str, Verdict]) -> str:
    """All claims as HTML that opens without a script: by paper, then by verdict, each with its rule and records.

    Args:
        verdicts: of all claims, or of some.
    """
    said = published.claims().set_index("id")
    q = judgements.q_values({id_: v.judgement for id_, v in verdicts.items()})
    parts = []
    for paper, title in papers().items():
        own = {id_: v for id_, v in verdicts.items() if v.claim.paper == paper}
        if not own:
            continue
        inner = []
        for category in ORDER:
            chosen = {id_: v for id_, v in own.items() if v.category == category}
            if not chosen:
                continue
            rows = "".join(_row(id_, v, said.loc[id_, "claim"], q.get(id_)) for id_, v in chosen.items())
            inner.append(
                f"<details><summary><b>{category}</b>: {len(chosen)}</summary>"
                f"<table><tr><th>claim</th><th>what was found</th></tr>{rows}</table></details>"
            )
        heading = f"<summary><b>{html.escape(title)}</b>, {len(own)} claims</summary>"
        parts.append(f"<details>{heading}{''.join(inner)}</details>")
    return "".join(parts)


def _row(id_: str, verdict: Verdict, claim: str, q: float | None) -> str:
    chapter = chapters()[id_]
    notes = [f"Rule: {verdict.claim.rule}"]
    if verdict.records:
        count = f"{len(verdict.records)} records" if verdict.records[1:] else "1 record"
        notes.append(f"{count}; see `python -m mixlib claims --only {id_} --json`.")
    decided = verdict.category in (statistics.SUPPORTED, statistics.CONTRADICTED)
    if q is not None and decided and q > statistics.ALPHA:
        notes.append(f"q = {q:.2f} over all claims: this may be one of the few wrong verdicts to expect.")
    text = "<br>".join(re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(note)) for note in notes)
    found = f"{html.escape(verdict.words)}<details><summary>rule and records</summary>{text}</details>"
    return f'<tr><td><a href="{chapter}.ipynb">{id_}</a>: {html.escape(claim)}</td><td>{found}</td></tr>'
