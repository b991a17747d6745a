"""Generated pages of the site, on chosen verdicts and small notebooks; test_browser.py looks at the whole site."""

import re

import nbformat
import numpy as np
import pandas as pd
import pytest

from mixlib import methods
from mixlib.__main__ import main
from mixlib.book import captions, drawing, notebooks, pages, site
from mixlib.book.about import ABOUT, SITES, every
from mixlib.book.extension import commands, mathml, scrolling, to_pages
from mixlib.evidence import comparison, judgements, plan, published, statistics, verdicts
from mixlib.evidence.claims import claims
from mixlib.evidence.plots import MARKERS, PALETTE
from mixlib.evidence.tables import LABELS
from mixlib.evidence.verdicts import Records
from mixlib.papers import registry
from mixlib.papers.common import pool
from mixlib.runs import paths
from mixlib.runs.store import Store
from tests.fabricate import records


def test_every_method_has_a_page_and_what_is_said_of_it_is_about_a_method():
    assert set(ABOUT) <= set(methods.names()) == set(every())
    for about in ABOUT.values():
        assert set(about.where) <= set(SITES)
        for line in about.formula:
            assert mathml(line).startswith("<math")


def test_a_method_of_which_nothing_is_written_has_a_page():
    body = {"key": "mine", "__module__": "mixlib.methods.mine", "__doc__": "Does nothing.\n\nAt all."}
    try:
        type("Mine", (methods.Plain,), body)
        type("Yours", (methods.Plain,), {"key": "yours", "__doc__": "Of a notebook."})
        assert list(every())[: len(ABOUT)] == list(ABOUT)
        assert list(every())[-1] == "mine"
        book = pages.Book([], verdicts.Records())
        page = book.method("mine")
        assert page.startswith('# mine\n\nDoes nothing. In code: `MixupTrainer(..., method="mine")`.\n')
        assert "Changes:" not in page
        assert re.search(r"`mine` \|.*Does nothing.*\| not stated \|", book.methods_index())
        assert drawing.where_it_mixes().axes[0].get_yticklabels()[-1].get_text() == "BatchMixup"
    finally:
        for key in ("mine", "yours"):
            methods.REGISTRY.pop(key, None)


def test_an_equation_that_cannot_be_read_is_named():
    with pytest.raises(ValueError, match=r"cannot read the equation .*left"):
        mathml(r"\left(x")


def test_parameters_are_the_fields_with_the_words_of_the_nearest_docstring():
    found = pages.parameters(methods.base.REGISTRY["tmix"])
    assert list(found) == ["alpha", "originals", "label_perm", "blocks"]
    assert found["alpha"][0] == "0.2"
    assert "both papers: 0.2" in found["alpha"][1]  # of the parent, where its own class says "as in"
    for key in methods.names():
        assert all(words for _, words in pages.parameters(methods.base.REGISTRY[key]).values()), key


def test_a_claim_concerns_the_methods_it_compares():
    known = claims()
    assert pages.subjects(known["mixup_calibration-10"]) == ["cls_mixup"]
    assert {"ssmix", "embedmix", "tmix"} <= set(pages.subjects(known["ssmix-2"]))
    assert pages.subjects(known["ssmix-4"]) == []  # not judgeable here: no runs


def test_text_of_records_is_no_markdown():
    assert pages.plain("a|b *c* <d>\n [e]_f_ $g$") == r"a\|b \*c\* \<d\> \[e\]\_f\_ \$g\$"
    assert pages.plain_code("`a|b` and *c*") == r"`a\|b` and \*c\*"


@pytest.fixture
def book():
    """Runs of the pool: cls_mixup is 3 points better and at half of the loss, label_smoothing loses 5 points."""
    effect = {
        "cls_mixup": {"accuracy": 0.03, "nll": -0.3},
        "label_smoothing": {"accuracy": -0.05, "nll": -0.3, "ece": -0.1},
    }
    specs = [spec for cell in pool.POOL for spec in cell.specs(range(100, 104))]
    book = pages.Book([], Records())
    book.pool = comparison.labelled(records(specs, lambda spec: effect.get(spec.method, {})))
    return book


def test_which_method_for_what_follows_from_the_records(book, monkeypatch):
    monkeypatch.setattr(pages, "COLUMNS", {k: v for k, v in pages.COLUMNS.items() if not v[1]})  # nothing is scaled
    text = book.which()
    accuracy, loss, ece = text.splitlines()[:3]
    assert "[CLS MixUp](/methods/cls_mixup.md) (cost 1.0)" in accuracy
    assert "label smoothing" not in accuracy
    lost = r"At the cost of accuracy: \[label smoothing\]\(\S+\) \(cost 1\.0, accuracy −[45]\.\d\)"
    assert re.search(r"lower test loss: \[CLS MixUp\].*" + lost, loss)
    assert re.search(r"For better calibration: .*At the cost of accuracy: \[label smoothing\]", ece)
    row = next(line for line in text.splitlines() if line.startswith("| [CLS MixUp]"))
    assert re.search(r"\| 1\.0 \| \*\*\+[23]\.\d \[\+\d\.\d,\s\+\d\.\d\]\*\*", row)


def test_a_gain_that_is_too_small_to_matter_is_named_as_such(book, monkeypatch):
    monkeypatch.setattr(pages, "COLUMNS", {k: v for k, v in pages.COLUMNS.items() if not v[1]})  # nothing is scaled
    little = comparison.labelled(
        records([spec for cell in pool.POOL for spec in cell.specs(range(100, 106))],
                lambda spec: {"nll": -0.02} if spec.method == "tmix" else {}, noise=0.001)
    )  # fmt: skip
    book.pool = little
    loss = book.which().splitlines()[1]
    assert "no gain is large enough to matter. Better, but by too little to matter: [TMix]" in loss


def test_claims_that_held_up_are_a_list(book):
    book.gains = {}
    supported = [id_ for id_, verdict in book.verdicts.items() if verdict.category == statistics.SUPPORTED]
    (held,) = [line for line in book.findings() if line.startswith("**Held up**, in the papers' terms")]
    items = held.splitlines()[1:]
    assert [re.search(r"\(([\w-]+); [^)]+\)\.$", item).group(1) for item in items] == supported
    where = dict(zip(supported, items, strict=True))
    assert "(mixup_calibration-10; CoLA / QNLI, for RTE and BoolQ)" in where["mixup_calibration-10"]
    assert all(item.startswith("  * ") for item in items)


def test_a_list_is_folded_on_one_line_of_readme_and_other_lines_stay():
    assert pages.folded("**Held up**, of R&D:\n  * a < b.\n  * c.") == (
        "<details><summary><b>Held up: 2</b>, of R&amp;D</summary><ul><li>a &lt; b.</li><li>c.</li></ul></details>"
    )
    assert pages.folded("**Cost.** Nothing: none.") == "**Cost.** Nothing: none."


def test_cells_short_of_seeds_are_counted_and_dead_ones_are_listed():
    book = pages.Book([], verdicts.Records())
    first, *rows = book.cells().splitlines()
    said = [re.split(r" *\| *", row)[1:-1] for row in rows if row.startswith("| `")]
    read = [0 if row[4] == "none yet" else int(row[4].split()[0]) for row in said]
    short = sum(seeds < int(row[6]) for seeds, row in zip(read, said, strict=True))
    assert first == f"{short} of {len(said)} cells have fewer seeds than the rule asks for."
    dead = [name for name, alive in plan.decided().alive.items() if "accuracy" not in alive]
    assert dead == re.findall(r"^\| `([^`]+)`", book.dead(), re.MULTILINE) != []


def test_findings_follow_from_the_records(book):
    scores, keys = comparison.scores(book.pool), [key for key in pool.METHODS if key != "none"]
    book.gains = {title: comparison.in_percent(scores, keys, score) for title, (score, *_) in pages.COLUMNS.items()}
    book.verdicts = {}
    book.fairness = []
    claims, accuracy, loss, scaled, cost = book.findings()
    assert claims.startswith("**Claims.** Of 0:")
    assert "CLS MixUp beats plain fine-tuning by a point or more. The best is CLS MixUp (**+" in accuracy
    assert re.search(r"label smoothing, which mixes nothing, comes to −[45]\.\d", accuracy)
    assert loss.startswith(
        "**Loss and calibration.** 1 of 9 mixup methods lower the test loss, and 0 lower the calibration error."
    )
    assert re.search(r"CLS MixUp still lowers the loss, and \d raises? it; label smoothing saves ", scaled)
    assert cost.startswith("**Cost.** The median mixup method trains 1.0 times as long as the plain model, the slowest")
    assert cost.endswith("1.0 times.")


def test_what_the_head_of_amplifys_code_adds_follows_from_the_records(monkeypatch):
    """Its head is worth 10 points, and mixing costs one beside the same head without mixup."""
    right = {("amplify", "published"): 0.10, ("none", "mean"): 0.11}
    specs = registry.artefact_runs("amplify-fairness", "mini")
    book = pages.Book([], Records())
    book.fairness = records(specs, lambda spec: {"accuracy": right.get((spec.method, spec.head), 0.0)})
    (said,) = book.published_head()
    assert re.search(r"On TREC-fine with 128 training rows that alone adds \+(9|10)\.\d \[", said)
    assert "the paper prints 0.8 to 4.2" in said
    assert re.search(r"its lead over no mixup is −[01]\.\d \[", said)
    book.fairness = []
    assert book.published_head() == []


def test_nothing_is_said_of_runs_that_are_missing(tmp_path):
    book = pages.Book([], Records(Store(tmp_path), plan.Decided({}, {}, {})))
    assert "not decided yet" in book.which()
    assert len(book.findings()) == 1
    waiting = sum(verdict.waits for verdict in book.verdicts.values())
    never = len(claims()) - waiting
    assert waiting > never > 0
    assert book.counts() == f"**{never}** {statistics.NOT_JUDGEABLE}, **{waiting}** {verdicts.WAITING}"
    assert {pages.estimate(verdict) for verdict in book.verdicts.values()} == {""}
    assert book.made_of("22_calibration_table2") == ""
    assert book.costs == {}
    assert book.cost("ssmix") == "2 (counted)"
    assert book.cost("mixup") == "15 (counted)"


def test_pages_of_papers_and_methods_name_every_claim_and_its_verdict(tmp_path):
    book = pages.Book([], Records(Store(tmp_path), plan.Decided({}, {}, {})))
    written = site.written(book)
    for id_, verdict in book.verdicts.items():
        paper = written[f"papers/{verdict.claim.paper}.md"]
        assert f"(claim-{id_})=\n### {id_}\n" in paper
        assert f"[{id_}](#claim-{id_})" in written["claims.md"]
        for key in pages.subjects(verdict.claim):
            assert f"[{id_}](#claim-{id_})" in written[f"methods/{key}.md"]
    for key in published.papers():
        assert book.references[key]["url"] in written[f"papers/{key}.md"]


def test_marks_of_the_drawing_have_the_colours_and_markers_of_all_figures():
    figure = drawing.where_it_mixes()
    axis = figure.axes[0]
    rows = [label.get_text() for label in axis.get_yticklabels()]
    shown = [key for key, about in ABOUT.items() if about.where]
    assert rows == [LABELS[key] for key in shown]
    marks = [line for line in axis.lines if line.get_linestyle() == "None"]
    for row, key in enumerate(shown):
        here = [line for line in marks if line.get_ydata()[0] == row]
        assert {line.get_marker() for line in here} == {MARKERS[key]}
        assert {str(line.get_color()) for line in here} == {str(PALETTE[key])}
        assert sorted(line.get_xdata()[0] for line in here) == sorted(drawing.columns(key, ABOUT[key]))
    assert drawing.columns("amplify", ABOUT["amplify"]) == [k - 0.5 for k in range(1, 13)] + [14.0]
    assert drawing.columns("tmix", ABOUT["tmix"]) == [7.0, 9.0, 12.0, 14.0]


def notebook(*cells):
    made = nbformat.v4.new_notebook()
    made.cells = list(cells)
    return made


def picture():
    output = nbformat.v4.new_output("display_data", {"image/png": "aGk="})
    return nbformat.v4.new_code_cell("plot()", outputs=[output])


def test_a_chapter_knows_its_title_and_says_what_its_figures_show():
    made = notebook(
        nbformat.v4.new_markdown_cell("# Table 9: all\n\ntext"),
        picture(),
        nbformat.v4.new_markdown_cell("## Why?"),
        picture(),
    )
    chapter = pages.Chapter.of("90_x", made)
    assert chapter.title == "Table 9: all"
    assert [figure.title for figure in chapter.figures] == ["Table 9: all", "Table 9: all: Why?"]
    assert [figure.words for figure in chapter.figures] == ["Table 9: all", "Why?"]
    site.prepare(made, chapter, "", None)
    shown = [cell.metadata["mystnb"] for cell in made.cells if cell.cell_type == "code"]
    assert [cell["image"]["alt"] for cell in shown] == ["Table 9: all", "Why?"]
    assert [cell["figure"]["caption"] for cell in shown] == ["Figure 90.1", "Figure 90.2. Why?"]


def test_figures_of_one_cell_share_a_caption_and_go_on_being_counted():
    both = picture()
    both.outputs *= 2
    made = notebook(nbformat.v4.new_markdown_cell("# T\n## H"), both, picture())
    site.prepare(made, pages.Chapter.of("90_x", made), "", None)
    captions_ = [cell.metadata["mystnb"]["figure"]["caption"] for cell in made.cells if cell.cell_type == "code"]
    assert captions_ == ["Figures 90.1 and 90.2. H", "Figure 90.3. H"]


def test_every_committed_figure_has_words():
    found = {}
    for path in sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if any("image/png" in output.get("data", {}) for output in cell.get("outputs", ())):
                found[f"{path.stem}, {cell.id}"] = captions.of_code(cell.source)
    assert [place for place, said in found.items() if not said] == []
    assert len(found) > 30


def test_links_that_leave_the_book_lead_to_what_the_site_has():
    text = (
        "[a](../mixlib/methods/ssmix.py) [b](../data/README.md) [c](../CHANGELOG.md) [d](11_x.ipynb) [e](../index.md)"
    )
    assert (
        site.relink(text, None)
        == "[a](/api/mixlib.methods.ssmix.md) b [c](/changelog.md) [d](11_x.ipynb) [e](../index.md)"
    )
    assert "[b](https://github.com/me/it/blob/main/data/README.md)" in site.relink(text, "me/it")


def test_notebooks_can_be_opened_elsewhere_once_the_repository_has_a_place(monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "me/it")
    made = notebook(nbformat.v4.new_markdown_cell("# T"))
    site.prepare(made, pages.Chapter.of("90_x", made), "Run just now.", site.repository())
    text = made.cells[1].source
    assert text.startswith("Run just now.")
    assert "mybinder.org/v2/gh/me/it/HEAD?labpath=notebooks/90_x.ipynb" in text
    assert "colab.research.google.com/github/me/it/blob/main/notebooks/90_x.ipynb" in text


def test_every_table_scrolls_in_a_box_that_the_keyboard_reaches():
    box = '<div class="wide" tabindex="0" role="group" aria-label="table">'
    assert scrolling("<p><table><tr></tr></table></p>") == f"<p>{box}<table><tr></tr></table></div></p>"
    row = "<table><td>52.5 ± 0.6</td><td>−0.7 [-5.0, 3.6]</td><td>n = 2,000, of [a, b]</td></table>"
    kept = row.replace("52.5 ± 0.6", "52.5\u00a0±\u00a00.6").replace("-5.0, 3.6", "-5.0,\u00a03.6")
    assert scrolling(row) == f"{box}{kept}</div>"


def test_links_in_the_html_of_an_output_lead_to_pages():
    assert to_pages('<a href="10_x.ipynb#a"> <a href="_downloads/1/10_x.ipynb">') == (
        '<a href="10_x.html#a"> <a href="_downloads/1/10_x.ipynb">'
    )


def test_a_folder_that_is_no_site_is_never_deleted(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="not an earlier site"):
        site.build(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_without_its_extra_the_site_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "furo", None)
    with pytest.raises(ValueError, match=r"furo is not installed; the site needs the extra 'site'"):
        notebooks.reproduce("smoke", ["21"])


def test_the_banner_says_what_was_run_and_never_calls_synthetic_runs_a_result():
    assert "profile smoke, SYNTHETIC, not a result, trained just now" in site.banner("smoke", True)
    assert site.banner("mini", False, ["22_a", "31_b"]).startswith("Chapters 22, 31: profile mini, measured, from the")
    assert "3 of 3 records" in site.banner("mini", False, made_anew="3 of 3 records made anew on this machine")


def test_a_chapter_says_how_many_records_it_shows_and_what_they_took(tmp_path):
    specs = registry.artefact_runs("calibration-table5", "mini")[:3]
    store = Store(tmp_path)
    for record in records(specs, lambda spec: {}):
        store.put(record)
    book = pages.Book([], Records(store, plan.Decided({}, {}, {})))
    said = "Made from 3 records. Their runs took 6 s in total, counted one after another."
    assert book.made_of("25_calibration_table5") == said


def test_every_command_stands_on_the_page_of_commands():
    (name,) = re.findall(r"```{commands} (\S+)", (paths.NOTEBOOKS / "commands.md").read_text())
    found = commands(name)
    assert list(found) == sorted(main.commands)
    assert found["claims"].startswith("Usage: python -m mixlib claims [OPTIONS] [PAPER]")


def test_figures_of_numbers_read_as_people_write_them():
    part = statistics.Part("x", {"a": pd.Series(np.array([-1.0, -1.2, -0.9, -1.1]))}, 1.0)
    assert pages.numbers(judgements.judge(part)).startswith("−1.1 [−1.3, −0.8] points")
    equal = judgements.judge(
        statistics.Part("x", {"a": pd.Series([-0.31, -0.3, -0.29, -0.3])}, 1.0, statistics.NON_INFERIORITY)
    )
    assert pages.numbers(equal) == "−0.3 [−0.3, −0.3] points; margin 1 point"
    times = pd.Series(np.log([1.68, 1.7, 1.69, 1.69]))
    slower = statistics.Part("x", {"a": times}, 0.1, unit="log ratio", printed=statistics.Printed(np.log(2)))
    assert pages.numbers(judgements.judge(slower)) == "x1.69 [x1.68, x1.70]; printed x2.00"


def test_what_is_as_good_only_within_the_margin_says_so_among_what_held_up(book, monkeypatch):
    book.gains = {}
    lower = judgements.judge(
        statistics.Part("x", {"a": pd.Series([-0.31, -0.3, -0.29, -0.3])}, 1.0, statistics.NON_INFERIORITY)
    )
    claim = claims()["ssmix-1"]
    book.verdicts = {"ssmix-1": verdicts.Verdict(claim, lower, ({"SST-2": [100, 101, 102, 103]},))}
    for fine, said in ((-0.9, ""), (-1.4, "; on TREC-fine by 1.4 points")):
        gains = {"ssmix/trec_fine": fine}
        monkeypatch.setattr(
            book.records, "values",
            lambda term, _, gains=gains: pd.Series({100: gains.get(term.cell, -0.1) * (term.label == "ssmix")}),
        )  # fmt: skip
        (held,) = [line for line in book.findings() if line.startswith("**Held up**, in the papers' terms")]
        assert held.endswith(f"(ssmix-1; SST-2: worse by 0.3 points, which is within the margin of 1 point{said}).")


def test_a_decision_by_less_than_the_margin_says_so_and_one_that_may_be_wrong_too(book):
    known, q = claims(), statistics.ALPHA
    small = judgements.judge(statistics.Part("x", {"a": pd.Series([-0.31, -0.3, -0.29, -0.3])}, 1.0))
    weak = judgements.judge(statistics.Part("x", {"a": pd.Series([-1.0, -3.0, -2.0, -2.9, -0.1])}, 1.0))
    none = judgements.judge(statistics.Part("x", {"a": pd.Series([-1.0, 1.0, 0.5, -0.4])}, 1.0))
    others = [id_ for id_ in known if id_ not in ("ssmix-3", "ssmix-14")]
    book.gains, judged = {}, {"ssmix-3": small, "ssmix-14": weak} | dict.fromkeys(others, none)
    book.verdicts = {id_: verdicts.Verdict(known[id_], j, ({"SST-2": [100]},)) for id_, j in judged.items()}
    (against,) = [line for line in book.findings() if line.startswith("**Contradicted**")]
    assert "(ssmix-3; SST-2: by 0.3 points, which is within the margin of 1 point)." in against
    assert re.search(r"\(ssmix-14; SST-2; may be wrong, q = (0\.\d\d)\)\.", against)
    assert judgements.q_values(judged)["ssmix-14"] > q


def test_gains_that_do_not_survive_holms_correction_say_so():
    found = pd.DataFrame({"p_holm": [0.01, 0.2]}, index=["tmix", "ssmix"])
    assert pages._corrected(found, ["tmix"]) == ""
    assert pages._corrected(found, ["ssmix"]) == " (not after Holm's correction)"
    assert pages._corrected(found, ["tmix", "ssmix"]) == " (SSMix not after Holm's correction)"


def test_what_helps_more_here_than_there_and_helps_nowhere_says_so(book, monkeypatch):
    """What a claim compares are gains over no mixup in several cells; both of them may be losses."""
    book.gains = {}
    claim = claims()["ssmix-5"]
    more = judgements.judge(statistics.Part("x", {"a": pd.Series([1.0, 1.1, 0.9, 1.0])}, 1.0))
    book.verdicts = {"ssmix-5": verdicts.Verdict(claim, more, ({"TREC": [100, 101, 102, 103]},))}
    for fine, said in ((-0.5, ": the gains compared are losses, of 0.5 to 1.5 points"), (0.2, "")):
        gains = {"ssmix/trec_fine": fine, "ssmix/trec_coarse": -1.5}
        values = {(cell, "ssmix"): 70 + gain for cell, gain in gains.items()} | {(cell, "none"): 70 for cell in gains}
        monkeypatch.setattr(
            book.records, "values", lambda term, _, values=values: pd.Series(float(values[term.cell, term.label]))
        )
        (held,) = [line for line in book.findings() if line.startswith("**Held up**")]
        assert held.endswith(f"(ssmix-5; TREC{said}).")
