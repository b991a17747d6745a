"""What README and the first page say was found, on chosen verdicts and runs."""

import re

import pandas as pd

from mixlib.book import findings, markdown
from mixlib.book.findings import Findings
from mixlib.evidence import comparison, judgements, plan, statistics, verdicts
from mixlib.evidence.claims import claims
from mixlib.evidence.verdicts import Records
from mixlib.papers import registry
from mixlib.papers.common import pool
from tests.fabricate import records


def test_text_of_records_is_no_markdown():
    assert markdown.plain("a|b *c* <d>\n [e]_f_ $g$") == r"a\|b \*c\* \<d\> \[e\]\_f\_ \$g\$"
    assert markdown.plain_code("`a|b` and *c*") == r"`a\|b` and \*c\*"


def test_claims_that_held_up_are_a_list(found):
    found.gains = {}
    supported = [id_ for id_, verdict in found.verdicts.items() if verdict.category == statistics.SUPPORTED]
    (held,) = [line for line in found.sentences() if line.startswith("**Supported**, in the papers' terms")]
    items = held.splitlines()[1:]
    assert [re.search(r"\(([\w-]+); [^)]+\)\.$", item).group(1) for item in items] == supported
    where = dict(zip(supported, items, strict=True))
    assert "(mixup_calibration-10; CoLA / QNLI, for RTE and BoolQ)" in where["mixup_calibration-10"]
    assert all(item.startswith("  * ") for item in items)


def test_what_may_still_change_and_what_a_verdict_hides_is_said_beside_the_claim(found):
    claim = claims()["ssmix-11"]
    sure = judgements.judge(statistics.Part("x", {"a": pd.Series([2.0, 2.1, 1.9, 2.0])}, 1.0))
    found.verdicts = {claim.id: verdicts.Verdict(claim, sure, ({"SST-2": [100]},))}
    assert found._on(claim.id) == f"SST-2; {claim.caveat}"
    found.interim = [claim.id]
    assert found._on(claim.id) == f"SST-2; {claim.caveat}; interim"
    (said,) = found._may_change()
    assert said.startswith("**Interim.** 1 of the 1 decided verdicts (1 supported) rest on cells with fewer seeds")


def test_a_list_is_folded_on_one_line_of_readme_and_other_lines_stay():
    assert markdown.folded("**Supported**, of R&D:\n  * a < b.\n  * c.") == (
        "<details><summary><b>Supported: 2</b>, of R&amp;D</summary><ul><li>a &lt; b.</li><li>c.</li></ul></details>"
    )
    assert markdown.folded("**Cost.** Nothing: none.") == "**Cost.** Nothing: none."


def test_cells_short_of_seeds_are_counted_and_dead_ones_are_listed():
    found = Findings(Records())
    first, *rows = found.cells().splitlines()
    said = [re.split(r" *\| *", row)[1:-1] for row in rows if row.startswith("| `")]
    read = [0 if row[4] == "none yet" else int(row[4].split()[0]) for row in said]
    short = sum(seeds < int(row[6]) for seeds, row in zip(read, said, strict=True))
    assert first == f"{short} of {len(said)} cells have fewer seeds than the rule asks for."
    dead = [name for name, alive in plan.decided().alive.items() if "accuracy" not in alive]
    assert dead == re.findall(r"^\| `([^`]+)`", found.dead(), re.MULTILINE) != []


def test_findings_follow_from_the_records(found):
    scores, keys = comparison.scores(found.pool), [key for key in pool.METHODS if key != "none"]
    found.gains = {title: comparison.in_percent(scores, keys, score) for title, (score, *_) in findings.COLUMNS.items()}
    found.verdicts = {}
    found.heads = []
    found.slower = pd.DataFrame({"estimate": 1.0, "low": -1.0, "high": 3.0}, index=keys)
    found.slower.loc["tmix"], found.slower.loc["label_smoothing"] = [2.5, 0.5, 4.5], [9.0, 8.0, 10.0]
    claims, accuracy, loss, scaled, cost = found.sentences()
    assert claims.startswith("**Claims.** Of 0:")
    assert "CLS MixUp beats plain fine-tuning by a point or more. The highest is CLS MixUp (**+" in accuracy
    assert re.search(r"label smoothing, which mixes nothing, comes to −[45]\.\d", accuracy)
    assert loss.startswith(
        "**Loss and calibration.** 1 of 9 mixup methods lower the test loss, and 0 lower the calibration error."
    )
    assert loss.replace("\xa0", " ").endswith(
        " At half the learning rate (SST-2 and TREC-coarse, 3 seeds), the largest saving is 2.5% [0.5, 4.5] (TMix)."
    )
    found.slower = pd.DataFrame()  # while runs are missing
    assert "learning rate" not in found.sentences()[2]
    assert re.search(r"CLS MixUp still lowers the loss, and .+ raises? it.*; label smoothing saves ", scaled)
    assert cost.startswith("**Cost.** The median mixup method trains 1.0 times as long as the plain model, the slowest")
    assert cost.endswith("1.0 times. Many of these runs ran side by side, so the ratios are rough.")


def test_what_the_head_of_amplifys_code_adds_follows_from_the_records(monkeypatch):
    """Its head is worth 10 points, and mixing costs one beside the same head without mixup."""
    right = {("amplify", "mean"): 0.10, ("none", "mean"): 0.11}
    specs = registry.artefact_runs("amplify-heads", "mini")
    found = Findings(Records())
    found.heads = records(specs, lambda spec: {"accuracy": right.get((spec.method, spec.head), 0.0)})
    (said,) = found._published_head()
    assert re.search(r"On TREC-fine with 1,000 training rows that alone changes .* lead by \+(9|10)\.\d \[", said)
    assert "the leads that the paper prints are 0.8 to 4.2" in said
    assert re.search(r"lead over it is −[01]\.\d \[", said)
    found.heads = []
    assert found._published_head() == []


def test_what_is_as_good_only_within_the_margin_says_so_among_what_held_up(found, monkeypatch):
    found.gains = {}
    lower = judgements.judge(
        statistics.Part("x", {"a": pd.Series([-0.31, -0.3, -0.29, -0.3])}, 1.0, statistics.NON_INFERIORITY)
    )
    claim = claims()["ssmix-1"]
    found.verdicts = {"ssmix-1": verdicts.Verdict(claim, lower, ({"SST-2": [100, 101, 102, 103]},))}
    for fine, said in ((-0.9, ""), (-1.4, "; on TREC-fine by 1.4 points")):
        gains = {"ssmix/trec_fine": fine}
        monkeypatch.setattr(
            found.records, "values",
            lambda term, _, gains=gains: pd.Series({100: gains.get(term.cell, -0.1) * (term.label == "ssmix")}),
        )  # fmt: skip
        (held,) = [line for line in found.sentences() if line.startswith("**Supported**, in the papers' terms")]
        assert held.endswith(f"(ssmix-1; SST-2: worse by 0.3 points, which is within the margin of 1 point{said}).")


def test_a_decision_by_less_than_the_margin_says_so_and_one_that_may_be_wrong_too(found):
    known, q = claims(), statistics.ALPHA
    small = judgements.judge(statistics.Part("x", {"a": pd.Series([-0.31, -0.3, -0.29, -0.3])}, 1.0))
    weak = judgements.judge(statistics.Part("x", {"a": pd.Series([-1.0, -3.0, -2.0, -2.9, -0.1])}, 1.0))
    none = judgements.judge(statistics.Part("x", {"a": pd.Series([-1.0, 1.0, 0.5, -0.4])}, 1.0))
    others = [id_ for id_ in known if id_ not in ("ssmix-3", "ssmix-14")]
    found.gains, judged = {}, {"ssmix-3": small, "ssmix-14": weak} | dict.fromkeys(others, none)
    found.verdicts = {id_: verdicts.Verdict(known[id_], j, ({"SST-2": [100]},)) for id_, j in judged.items()}
    (against,) = [line for line in found.sentences() if line.startswith("**Contradicted**")]
    assert "(ssmix-3; SST-2: by 0.3 points, which is within the margin of 1 point)." in against
    assert re.search(r"\(ssmix-14; SST-2; may be wrong, q = (0\.\d\d)\)\.", against)
    assert judgements.q_values(judged)["ssmix-14"] > q


def test_of_several_parts_the_one_with_the_hidden_difference_is_named(found, monkeypatch):
    def judged(values, kind=statistics.SUPERIORITY):
        return judgements.judge(statistics.Part("x", {"a": pd.Series(values)}, 1.0, kind))

    found.gains = {}
    tiny, large = judged([0.29, 0.3, 0.31, 0.3]), judged([5.0, 0.6, 3.0, 3.4])
    fine, worse = (judged(v, statistics.NON_INFERIORITY) for v in ([0.2, 0.3, 0.4, 0.3], [-0.49, -0.5, -0.51, -0.5]))
    monkeypatch.setattr(found.records, "values", lambda *_: pd.Series({100: 0.0}))
    for id_, parts, said in (
        ("mixup_calibration-10", [large, tiny], "by 0.3 points, which is within the margin of 1 point"),
        ("mixup_calibration-3", [fine, worse, fine], "worse by 0.5 points, which is within the margin of 1 point"),
    ):
        together = judgements.conjunction(id_, parts)
        assert together.category == statistics.SUPPORTED
        found.verdicts = {id_: verdicts.Verdict(claims()[id_], together, ({"SST-2": [100]},))}
        assert found._on(id_) == f"SST-2: {said}"


def test_gains_that_do_not_survive_holms_correction_say_so():
    found = pd.DataFrame({"p_holm": [0.01, 0.2]}, index=["tmix", "ssmix"])
    assert findings._corrected(found, ["tmix"]) == ""
    assert findings._corrected(found, ["ssmix"]) == " (not after Holm's correction)"
    assert findings._corrected(found, ["tmix", "ssmix"]) == " (SSMix not after Holm's correction)"


def test_what_helps_more_here_than_there_and_helps_nowhere_says_so(found, monkeypatch):
    """What a claim compares are gains over no mixup in several cells; both of them may be losses."""
    found.gains = {}
    claim = claims()["ssmix-5"]
    more = judgements.judge(statistics.Part("x", {"a": pd.Series([1.0, 1.1, 0.9, 1.0])}, 1.0))
    found.verdicts = {"ssmix-5": verdicts.Verdict(claim, more, ({"TREC": [100, 101, 102, 103]},))}
    for fine, said in ((-0.5, ": the gains compared are losses, of 0.5 to 1.5 points"), (0.2, "")):
        gains = {"ssmix/trec_fine": fine, "ssmix/trec_coarse": -1.5}
        values = {(cell, "ssmix"): 70 + gain for cell, gain in gains.items()} | {(cell, "none"): 70 for cell in gains}
        monkeypatch.setattr(
            found.records, "values", lambda term, _, values=values: pd.Series(float(values[term.cell, term.label]))
        )
        (held,) = [line for line in found.sentences() if line.startswith("**Supported**")]
        assert held.endswith(f"(ssmix-5; TREC{said}).")
