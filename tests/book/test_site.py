"""Generated pages of the site, on chosen verdicts and small notebooks; test_browser.py looks at the whole site."""

import math
import re

import nbformat
import numpy as np
import pandas as pd
import pytest

from mixlib import methods
from mixlib.__main__ import main
from mixlib.book import captions, chapters, drawing, findings, notebooks, pages, reference, site
from mixlib.book.about import ABOUT, SITE_WORDS, every
from mixlib.book.extension import commands, enlarging, mathml, scrolling, to_pages
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
        assert set(about.where) <= set(SITE_WORDS)
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
    assert "SSMix and AMPLIFY papers: 0.2" in found["alpha"][1]  # of the parent, where its own class says "as in"
    for key in methods.names():
        assert all(words for _, words in pages.parameters(methods.base.REGISTRY[key]).values()), key


def test_a_claim_concerns_the_methods_it_compares():
    known = claims()
    assert pages.subjects(known["mixup_calibration-10"]) == ["cls_mixup"]
    assert {"ssmix", "embedmix", "tmix"} <= set(pages.subjects(known["ssmix-2"]))
    assert pages.subjects(known["batchmixup-11"]) == ["batchmixup", "mixup"]
    assert [id_ for id_, claim in known.items() if claim.parts and not pages.subjects(claim)] == []
    assert pages.subjects(known["ssmix-4"]) == []  # not judgeable here: no runs


@pytest.fixture
def book(found):
    book = pages.Book([], found.records)
    book.found = found
    return book


def nothing_is_scaled(monkeypatch):
    raw = {title: column for title, column in findings.COLUMNS.items() if not column[1]}
    for module in (findings, pages):
        monkeypatch.setattr(module, "COLUMNS", raw)


def test_which_method_for_what_follows_from_the_records(book, monkeypatch):
    nothing_is_scaled(monkeypatch)
    text = book.which()
    accuracy, loss, ece = text.splitlines()[:3]
    assert "[CLS MixUp](/methods/cls_mixup.md) (cost 1.0)" in accuracy
    assert "label smoothing" not in accuracy
    lost = r"At the cost of accuracy: \[label smoothing\]\(\S+\) \(cost 1\.0, accuracy −[45]\.\d\)"
    assert re.search(r"lower test loss: \[CLS MixUp\].*" + lost, loss)
    assert re.search(r"For better calibration: .*At the cost of accuracy: \[label smoothing\]", ece)
    row = next(line for line in text.splitlines() if line.startswith("| [CLS MixUp]"))
    assert re.search(r"\| 1\.0 \| \*\*\+[23]\.\d \[\d\.\d,\s\d\.\d\]\*\*", row)


def test_a_gain_that_is_too_small_to_matter_is_named_as_such(book, monkeypatch):
    nothing_is_scaled(monkeypatch)
    little = comparison.labelled(
        records([spec for cell in pool.POOL for spec in cell.specs(range(100, 106))],
                lambda spec: {"nll": -0.02} if spec.method == "tmix" else {}, noise=0.001)
    )  # fmt: skip
    book.found.pool = little
    loss = book.which().splitlines()[1]
    assert "no gain is large enough to matter. Better, but by too little to matter: [TMix]" in loss


def test_a_gain_in_the_mean_that_most_data_sets_do_not_share_is_marked(book, monkeypatch):
    nothing_is_scaled(monkeypatch)
    gain = {"banking77": 0.2, "trec_fine": 0.2}
    book.found.pool = comparison.labelled(
        records([spec for cell in pool.POOL for spec in cell.specs(range(100, 104))],
                lambda spec: {"accuracy": gain.get(spec.dataset, -0.01)} if spec.method == "tmix" else {}, noise=0.001)
    )  # fmt: skip
    assert re.search(
        r"higher accuracy: \[TMix\]\(\S+\) \(cost 1\.0, worse on 5 of 7 data sets\)", book.which().splitlines()[0]
    )
    assert re.fullmatch(r"\*\*\+5\.\d \[\S+\s\S+\]\*\* †", book.found.gain("tmix", "accuracy"))
    assert findings.IN_THE_MEAN in book.which()
    assert findings.IN_THE_MEAN in book.method("tmix")
    assert findings.IN_THE_MEAN not in book.method("eda")


def test_a_method_that_does_not_train_is_not_recommended_for_its_calibration(book, monkeypatch):
    nothing_is_scaled(monkeypatch)
    effect = {"batchmixup": {"accuracy": -0.4, "ece": -0.2}, "tmix": {"ece": -0.2}}
    book.found.pool = comparison.labelled(
        records([spec for cell in pool.POOL for spec in cell.specs(range(100, 104))],
                lambda spec: effect.get(spec.method, {}), noise=0.001)
    )  # fmt: skip
    ece = book.which().splitlines()[2]
    assert "[TMix]" in ece
    assert "[BatchMixup]" not in ece


def test_nothing_is_said_of_runs_that_are_missing(tmp_path):
    book = pages.Book([], Records(Store(tmp_path), plan.Decided({}, {}, {})))
    assert "not decided yet" in book.which()
    assert len(book.found.sentences()) == 1
    waiting = sum(verdict.waits for verdict in book.found.verdicts.values())
    never = len(claims()) - waiting
    assert waiting > never > 0
    assert book.found.counts() == f"**{never}** {statistics.NOT_JUDGEABLE}, **{waiting}** {verdicts.WAITING}"
    assert {pages.estimate(verdict) for verdict in book.found.verdicts.values()} == {""}
    assert book.made_of("22_calibration_table2") == ""
    assert book.found.costs == {}
    assert book.found.cost("ssmix") == "2 (counted)"
    assert book.found.cost("mixup") == "15 (counted)"


def test_pages_of_papers_and_methods_name_every_claim_and_its_verdict(tmp_path):
    book = pages.Book([], Records(Store(tmp_path), plan.Decided({}, {}, {})))
    written = site.written(book)
    for id_, verdict in book.found.verdicts.items():
        paper = written[f"papers/{verdict.claim.paper}.md"]
        assert f"(claim-{id_})=\n### {id_}\n" in paper
        assert f"[{id_}](#claim-{id_})" in written["claims.md"]
        for key in pages.subjects(verdict.claim):
            assert f"[{id_}](#claim-{id_})" in written[f"methods/{key}.md"]
    for key in published.papers():
        assert book.references[key]["url"] in written[f"papers/{key}.md"]
        assert "Each point says what it rests on: **[text]** the paper alone" in written[f"papers/{key}.md"]


def test_pages_of_papers_unfold_to_their_chapters_and_tell_methods_from_baselines(tmp_path):
    titles = {"00_start_here": "Start here", "22_calibration_table2": "Calibration, Table 2: IMDb",
              "23_calibration_table3": "b", "26_calibration_figure2": "c", "51_common_protocol": "All: a"}  # fmt: skip
    made = [chapters.Chapter(name, title, ()) for name, title in titles.items()]
    book = pages.Book(made, Records(Store(tmp_path), plan.Decided({}, {}, {})))
    assert "22 · Table 2: IMDb </22_calibration_table2>\n" in book.paper("mixup_calibration", {})
    assert ":caption: Across the papers\n\n51 · All: a </51_common_protocol>\n```" in book.contents()
    assert "papers/mixup_calibration" in book.contents()
    ssmix = book.paper("ssmix", {})
    own, compared = ssmix.partition("## Methods")[2].partition("## Baselines")[::2]
    assert "[SSMix](" in own
    assert "[TMix](" in compared.partition("## Claims")[0]
    assert "Paper: Chen et al. (2020); a baseline of [SSMix](/papers/ssmix.md)" in book.method("tmix")
    assert re.search(
        r"\| \[MixUp calibration\]\(mixup_calibration.md\) \| .+ \| 22 to 23, 26 \| .*15: ", book.papers_index()
    )


def test_claims_on_the_site_say_what_their_verdict_hides_and_that_it_may_change(book):
    claim = claims()["ssmix-11"]
    sure = judgements.judge(statistics.Part("x", {"a": pd.Series([2.0, 2.1, 1.9, 2.0])}, 1.0))
    book.found.verdicts = {claim.id: verdicts.Verdict(claim, sure)}
    assert f"* But: {claim.caveat}.\n" in book._claim(claim.id, book.found.verdicts[claim.id])
    assert book._verdict(claim.id) == "[supported]{.verdict .supported}"
    book.found.interim = [claim.id]
    assert book._verdict(claim.id) == "[supported]{.verdict .supported} (interim)"


def test_a_bound_stands_behind_the_value_that_is_compared_with_it():
    part = statistics.Part("p", {"a": [76.0, 77, 78, 79]}, 1.0, statistics.BOUNDS, bounds=(-math.inf, 75.0))
    assert pages.numbers(judgements.judge(part)).endswith("points; claimed below +75.0")


def test_what_was_found_leads_to_claims_and_chapters(tmp_path):
    book = pages.Book([chapters.Chapter("50_claims", "All", ())], Records(Store(tmp_path), plan.Decided({}, {}, {})))
    linked = book.linked("mixup_calibration-2 and other-2, see notebook 50, not notebook 99")
    assert linked == (
        '<a href="papers/mixup_calibration.html#claim-mixup-calibration-2">mixup_calibration-2</a> and other-2, see '
        '<a href="50_claims.html">chapter 50</a>, not notebook 99'
    )


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
    chapter = chapters.Chapter.of("90_x", made)
    assert chapter.title == "Table 9: all"
    assert [figure.title for figure in chapter.figures] == ["Table 9: all", "Table 9: all: Why?"]
    assert [figure.words for figure in chapter.figures] == ["Table 9: all", "Why?"]
    site.prepare(made, chapter, "", None)
    shown = [cell.metadata["mystnb"] for cell in made.cells if cell.cell_type == "code"]
    assert [cell["image"]["alt"] for cell in shown] == ["Table 9: all", "Table 9: all: Why?"]
    captions_ = [cell["figure"]["caption"] for cell in shown]
    assert captions_ == ["**Figure 90.1.** Table 9: all", "**Figure 90.2.** Why?"]


def test_the_words_below_a_figure_become_its_caption():
    below = nbformat.v4.new_markdown_cell("**Figure.** Left: *a*.\nRight: b.\n\nMore.")
    made = notebook(nbformat.v4.new_markdown_cell("# T of `x` and *it*"), picture(), below)
    site.prepare(made, chapters.Chapter.of("90_x", made), "", None)
    (shown,) = [cell.metadata["mystnb"] for cell in made.cells if cell.cell_type == "code"]
    assert shown == {
        "image": {"alt": "T of x and it"}, "figure": {"caption": "**Figure 90.1.** Left: *a*. Right: b."}
    }  # fmt: skip
    assert below.source == "More."


def test_a_chapter_begins_with_its_number_what_it_found_and_the_verdicts_of_its_claims(tmp_path):
    said = (
        "## What we see (profile mini)\n\n**SSMix.** Text.\n\n**What it cannot say.** Text.\n\n"
        "**It is twice as slow.** More.\n\nNot **this one.**"
    )
    made = notebook(nbformat.v4.new_markdown_cell("# SSMix: times"), nbformat.v4.new_markdown_cell(said))
    chapter = chapters.Chapter.of("35_ssmix_step_time", made)
    assert chapter.in_short == ("It is twice as slow.",)
    book = pages.Book([chapter], Records(Store(tmp_path), plan.Decided({}, {}, {})))
    summary = book.summary(chapter.name)
    assert summary.startswith(
        "{.lead}\n**In short.** It is twice as slow.\n\nClaims: [ssmix-11](#claim-ssmix-11)\u00a0["
    )
    site.prepare(made, chapter, summary, None)
    assert made.cells[0].source == "# 35 · SSMix: times"
    assert made.cells[1].source.startswith(summary)


def test_code_that_says_nothing_about_results_is_folded():
    code = {"profile: str = 1": True, "import a": True, "x = run_all(specs)": True, "tables.show(a)": True,
            "from a import MixupTrainer\nMixupTrainer(b).train()": False, "found": False}  # fmt: skip
    made = notebook(nbformat.v4.new_markdown_cell("# T"), *map(nbformat.v4.new_code_cell, code))
    site.prepare(made, chapters.Chapter.of("90_x", made), "", None)
    cells = {
        cell.source: "hide-input" in cell.metadata.get("tags", ()) for cell in made.cells if cell.cell_type == "code"
    }
    assert cells == code


def test_cards_of_the_gallery_carry_the_numbers_of_the_figures(tmp_path):
    two = picture()
    two.outputs *= 2
    made = notebook(nbformat.v4.new_markdown_cell("# SSMix: times"), nbformat.v4.new_markdown_cell("## Steps"), two)
    chapter = chapters.Chapter.of("35_ssmix_step_time", made)
    gallery = pages.Book([chapter], Records(Store(tmp_path), plan.Decided({}, {}, {}))).gallery()
    assert "} 35.1 SSMix: times: Steps\n" in gallery
    assert "} 35.2 SSMix: times: Steps\n" in gallery


def test_figures_of_one_cell_share_a_caption_and_go_on_being_counted():
    both = picture()
    both.outputs *= 2
    made = notebook(nbformat.v4.new_markdown_cell("# T\n## H"), both, picture())
    site.prepare(made, chapters.Chapter.of("90_x", made), "", None)
    captions_ = [cell.metadata["mystnb"]["figure"]["caption"] for cell in made.cells if cell.cell_type == "code"]
    assert captions_ == ["**Figures 90.1 and 90.2.** H", "**Figure 90.3.** H"]


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
    site.prepare(made, chapters.Chapter.of("90_x", made), "Run just now.", site.repository())
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
    place = "papers/mixup_calibration.html#claim-mixup-calibration-4"
    assert to_pages('<b class="claim">mixup_calibration-4</b>') == (
        f'<a class="claim" href="{place}">mixup_calibration-4</a>'
    )


def test_a_figure_leads_to_its_picture():
    picture = '<img alt="a" src="_images/1.png" />'
    figure = f'<figure class="align-default">\n{picture}<figcaption>'
    assert enlarging(picture) == picture
    assert enlarging(figure) == figure.replace(picture, f'<a href="_images/1.png">{picture}</a>')


def test_build_never_deletes_a_folder_that_is_no_site(tmp_path):
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


def test_the_api_lists_every_module_once_those_that_users_import_first():
    index = reference.index()
    listed = re.findall(r"^\* \[([\w.]+)\]\(\1\.md\): \S", index, re.MULTILINE)
    assert sorted(listed) == sorted(reference.modules())
    assert listed[: len(reference.for_users())] == reference.for_users()
    assert {"mixlib.trainer", "mixlib.methods.ssmix", "mixlib.methods.baselines"} <= set(reference.for_users())
    assert "mixlib.methods.spans" not in reference.for_users()  # it defines no method
