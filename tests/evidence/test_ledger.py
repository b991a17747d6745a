"""The ledger of claims."""

import re
from dataclasses import replace

import pytest

from mixlib.evidence import claims, ledger, plan, progress, statistics, verdicts
from mixlib.runs import paths
from tests.experiments import experiment
from tests.fabricate import record

CLAIMS = claims.claims()


def test_every_claim_has_a_chapter_that_is_there():
    assert set(ledger.chapters()) == set(CLAIMS)
    assert {id_ for name in plan.registered().chapters for id_ in ledger.of_chapter(name)} == set(CLAIMS)
    assert all((paths.NOTEBOOKS / f"{name}.ipynb").exists() for name in plan.registered().chapters)
    with pytest.raises(ValueError, match="no claims are shown in '99_none'"):
        ledger.of_chapter("99_none")


def test_each_of_these_chapters_shows_its_own_claims_and_no_other_chapter_shows_any():
    for path in paths.NOTEBOOKS.glob("*.ipynb"):
        shown = re.findall(r'ledger\.beside_chapter\(\\"(\w+)\\", committed\(', path.read_text(encoding="utf-8"))
        assert shown == ([path.stem] if path.stem in plan.registered().chapters else [])


def test_claims_are_shown_beside_committed_records_alone():
    page = ledger.beside_chapter("23_calibration_table3", committed=True).data
    assert re.findall(r'<dt><b class="claim">(mixup_calibration-\d+)</b>', page) == [
        f"mixup_calibration-{n}" for n in range(1, 8)
    ]
    first = page.partition("</dd>")[0]
    parts = CLAIMS["mixup_calibration-1"].parts
    assert re.findall(r"<li>(.+?): ", first) == [part.name for part in parts]
    assert "<details><summary>rule and records</summary>Rule: " in first
    assert "<li>not counted: RTE, BoolQ</li>" in page
    other = ledger.beside_chapter("23_calibration_table3", committed=False)
    assert other.data.startswith("Verdicts are made from the committed evidence alone")


def test_the_ledger_opens_without_a_script_and_names_chapter_rule_and_records():
    claim = CLAIMS["ssmix-1"]
    records = experiment(claim)
    found = {claim.id: verdicts.judge(claim, records)}
    page = ledger.groups(found)
    assert "<script" not in page
    assert page.count("<details") == page.count("</details>") == 3
    assert 'href="32_ssmix_table2_tableA1.ipynb"' in page
    assert '<strong class="verdict supported">supported</strong><ul><li>supported on these 4 sets: ' in page
    assert f"{len(found[claim.id].records)} records" in page
    table = ledger.counts(found)
    assert table.loc["SSMix", statistics.SUPPORTED] == table.loc["all", "claims"] == 1


def test_the_verdict_of_a_claim_with_one_part_is_said_once():
    claim = CLAIMS["ssmix-12"]
    found = {claim.id: verdicts.judge(claim, experiment(claim))}
    assert '<strong class="verdict supported">supported</strong> on this set: ' in ledger.groups(found)


def test_what_a_verdict_alone_would_hide_stands_beside_its_rule():
    claim = CLAIMS["ssmix-11"]
    assert f"<br>But: {claim.caveat}." in ledger.groups({claim.id: verdicts.judge(claim, experiment(claim))})


def test_verdicts_that_may_change_are_marked():
    claim = CLAIMS["ssmix-12"]
    found = {claim.id: verdicts.judge(claim, experiment(claim))}
    assert ledger.INTERIM not in ledger.groups(found)
    page = ledger.groups(found, [claim.id])
    assert '<strong class="verdict supported">supported</strong> (interim) on this set: ' in page
    assert ledger.WHY_INTERIM in page
    records = verdicts.Records()
    name = "11_batchmixup_table1"
    found = verdicts.verdicts(ids=ledger.of_chapter(name), records=records)
    items = ledger.beside_chapter(name, committed=True).data.split("<dt>")[1:]
    marked = [re.search(r'"claim">([\w-]+)<', item).group(1) for item in items if "</strong> (interim)" in item]
    assert marked == progress.interim(found, records)


def test_a_claim_whose_runs_are_not_finished_stands_in_a_group_of_its_own():
    claim = CLAIMS["ssmix-1"]
    records = experiment(claim)
    records.decided = replace(records.decided, seeds={**records.decided.seeds, "ssmix/qnli": []})
    found = {claim.id: verdicts.judge(claim, records)}
    page = ledger.groups(found)
    assert f"<b>{verdicts.WAITING}</b>: 1" in page
    assert f"<b>{statistics.NOT_JUDGEABLE}</b>" not in page
    assert ledger.counts(found).loc["all", verdicts.WAITING] == 1
    assert verdicts.as_json(found[claim.id], records)["verdict"] == verdicts.WAITING
    assert verdicts.WAITING in ledger.counts(found).columns


def test_margins_that_decide_are_counted():
    claim = CLAIMS["mixup_calibration-9"]
    records = experiment(claim, noise=1.1)
    choices = ledger.by_choice({claim.id: verdicts.judge(claim, records)}, records)
    table = ledger.counts_by_choice(choices)
    half, usual, twice = (table[which] for which in ("half the margins", "as decided", "twice the margins"))
    assert half[half > 0].to_dict() == {statistics.UNDECIDED: 1, "differ from the verdict": 1}
    assert usual[usual > 0].to_dict() == twice[twice > 0].to_dict() == {statistics.SUPPORTED: 1}


def test_seeds_of_a_gpu_that_the_rule_leaves_out_say_what_they_would():
    claim = CLAIMS["ssmix-2"]
    records = experiment(claim)
    found = {claim.id: verdicts.judge(claim, records)}
    assert ledger.moved(ledger.by_choice(found, records)).empty
    for cell in {term.cell for part in claim.parts for terms in part.units.values() for term in terms}:
        for spec in replace(plan.get(cell), precision="tf32").specs(range(100, 106)):
            good = spec.method in ("embedmix", "tmix")
            records.store.made[spec] = record(spec, accuracy=(0.6 if good else 0.5) + 0.001 * good * (spec.seed % 3))
    choices = ledger.by_choice(found, records)
    assert choices.loc[claim.id, "as decided"] == choices.loc[claim.id, "each seed's mean"] == statistics.SUPPORTED
    moved = ledger.moved(choices).loc[claim.id]
    assert moved[moved != ""].to_dict() == {
        "as decided": statistics.SUPPORTED, "six seeds of a GPU": statistics.CONTRADICTED
    }  # fmt: skip


def test_a_claim_that_would_compare_precisions_keeps_its_verdict():
    claim = CLAIMS["ssmix-5"]
    records = experiment(claim)
    cell = replace(plan.get("ssmix/trec_coarse"), precision="tf32")
    for spec in cell.specs(range(100, 106)):
        records.store.made[spec] = record(spec, accuracy=0.5)
    claim = replace(claim, parts=tuple(
        replace(part, units={name: (replace(terms[0], weight=2.0), *terms[1:]) for name, terms in part.units.items()})
        for part in claim.parts
    ))  # fmt: skip
    found = {claim.id: verdicts.judge(claim, records)}
    assert ledger.by_choice(found, records).loc[claim.id].nunique() == 1
