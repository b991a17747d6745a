"""The ledger of all claims for readers: counts, groups that open, and which verdicts depend on choices in the rule."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

import pandas as pd
from IPython.display import HTML, DisplayObject, Markdown

from mixlib.evidence import judgements, plan, progress, published, statistics
from mixlib.evidence.cells import first_seeds
from mixlib.evidence.verdicts import WAITING, Records, Verdict, judge
from mixlib.evidence.verdicts import verdicts as judged

ORDER = (*reversed(statistics.CATEGORIES), WAITING)  # of the groups: what was found first
DECIDED = "as decided"
INTERIM = "interim"
WHY_INTERIM = "Interim: some of its cells have fewer seeds than the rule asks for, so the verdict may change."


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
    """The claims that a notebook shows, with their verdicts.

    Args:
        notebook: its name, such as ``41_amplify_table1``.
        committed: whether it shows the committed records; verdicts are made from no others, so otherwise a sentence
            says so.
    """
    if not committed:
        return Markdown(
            "Verdicts are made from the committed evidence alone (profile `mini`, its own model and seeds)."
        )
    records = Records()
    found = judged(ids=of_chapter(notebook), records=records)
    listed = _list(found, progress.interim(found, records))
    return HTML(f"<p><strong>Claims that these numbers bear on</strong></p>{listed}")


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


def by_choice(verdicts: Mapping[str, Verdict], records: Records) -> pd.DataFrame:
    """The category of every claim by the rule, and by the rule with another choice in it.

    Args:
        verdicts: of all claims, made from these records.
        records: of the cells.

    Returns:
        Indexed by claim. Columns: ``as decided``; ``half the margins`` and ``twice the margins``; ``each seed's mean``:
        data sets of the same seed are not taken to be independent (:func:`mixlib.evidence.statistics.by_seed`); ``six
        seeds of a GPU``: in cells that are read in ``fp32`` but have six seeds in ``tf32``, those (a claim that would
        then compare precisions keeps its verdict).
    """
    gpu = Records(records.store, _on_a_gpu(records))
    ways: dict[str, Callable[[Verdict], Verdict]] = {
        DECIDED: lambda verdict: verdict,
        "half the margins": lambda verdict: judge(verdict.claim, records, 0.5),
        "twice the margins": lambda verdict: judge(verdict.claim, records, 2.0),
        "each seed's mean": lambda verdict: judge(verdict.claim, records, pool=statistics.by_seed),
        "six seeds of a GPU": lambda verdict: verdict if (again := judge(verdict.claim, gpu)).waits else again,
    }
    return pd.DataFrame({title: {id_: way(v).category for id_, v in verdicts.items()} for title, way in ways.items()})


def _on_a_gpu(records: Records) -> plan.Decided:
    decided, seeds = records.decided, dict(records.decided.seeds)
    precision = dict(decided.precision)
    for name, read in seeds.items():
        first = list(first_seeds(plan.FIRST_SEEDS))
        cell = plan.get(name)
        if (
            read
            and decided.read(cell).precision == "fp32"
            and not records.store.missing(replace(cell, precision="tf32").specs(first))
        ):
            seeds[name], precision[name] = first, "tf32"
    return replace(decided, seeds=seeds, precision=precision)


def counts_by_choice(choices: pd.DataFrame) -> pd.DataFrame:
    """How many claims get which verdict by each choice of :func:`by_choice`, and how many differ from the verdict."""
    table = choices.apply(lambda column: column.value_counts()).reindex(list(ORDER)).fillna(0).astype(int)
    table.loc["differ from the verdict"] = choices.ne(choices[DECIDED], axis=0).sum()
    return table


def moved(choices: pd.DataFrame) -> pd.DataFrame:
    """The claims whose verdict is not the same by every choice of :func:`by_choice`; empty cells are as decided."""
    others = choices.drop(columns=DECIDED)
    changed = others.where(others.ne(choices[DECIDED], axis=0), "")
    return choices[[DECIDED]].join(changed)[changed.ne("").any(axis=1)]


def groups(verdicts: Mapping[str, Verdict], interim: Collection[str] = ()) -> str:
    """All claims as HTML that opens without a script: by paper, then by verdict, each with its rule and records.

    Args:
        verdicts: of all claims, or of some.
        interim: those marked as such, see :func:`mixlib.evidence.progress.interim`.
    """
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
            heading = f"<summary><b>{category}</b>: {len(chosen)}</summary>"
            inner.append(f"<details>{heading}{_list(chosen, interim, q, linked=True)}</details>")
        heading = f"<summary><b>{html.escape(title)}</b>, {len(own)} claims</summary>"
        parts.append(f"<details>{heading}{''.join(inner)}</details>")
    return "".join(parts)


def named(ids: Iterable[str]) -> DisplayObject:
    """Claims by id alone, in a line."""
    return HTML(", ".join(f'<b class="claim">{id_}</b>' for id_ in ids))


def _list(
    verdicts: Mapping[str, Verdict],
    interim: Collection[str],
    q: Mapping[str, float] | None = None,
    linked: bool = False,
) -> str:
    """Claims as an HTML list: what is claimed, the verdict, what each part came to; folded, the rule and the records.

    Args:
        verdicts: of the claims, in order.
        interim: those whose cells lack seeds.
        q: by claim, for those where it is known: marks decisions that may be wrong.
        linked: to the chapter that shows a claim.
    """
    said, chapter = published.claims().set_index("id")["claim"], chapters()
    items = []
    for id_, verdict in verdicts.items():
        name = f'<a href="{chapter[id_]}.ipynb">{id_}</a>' if linked else f'<b class="claim">{id_}</b>'
        css = f"verdict {'-'.join(verdict.category.split())}"
        first, *others = lines = list(map(_html, verdict.lines))
        if others:
            found = f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"
        else:  # begins with the verdict, except while runs are waited for
            found = first.removeprefix(verdict.label) if first.startswith(verdict.label) else f": {first}"
        mark, note = (f" ({INTERIM})", [WHY_INTERIM]) if id_ in interim else ("", [])
        notes = "<br>".join(map(_html, [*note, *_notes(id_, verdict, q)]))
        items.append(
            f'<dt>{name}: {_html(said[id_])}</dt><dd><strong class="{css}">{verdict.label}</strong>{mark}{found}'
            f"<details><summary>rule and records</summary>{notes}</details></dd>"
        )
    return f'<dl class="claims">{"".join(items)}</dl>'


def _notes(id_: str, verdict: Verdict, q: Mapping[str, float] | None) -> list[str]:
    notes = [f"Rule: {verdict.claim.rule}"]
    if verdict.claim.caveat:
        notes.append(f"But: {verdict.claim.caveat}.")
    if verdict.records:
        count = f"{len(verdict.records)} records" if verdict.records[1:] else "1 record"
        notes.append(f"{count}; see `python -m mixlib claims --only {id_} --json`.")
    decided = verdict.category in (statistics.SUPPORTED, statistics.CONTRADICTED)
    if decided and q is not None and q.get(id_, 0.0) > statistics.ALPHA:
        notes.append(f"q = {q[id_]:.2f} over all claims: this may be one of the few wrong verdicts to expect.")
    return notes


def _html(text: str) -> str:
    return re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(text, quote=False))
