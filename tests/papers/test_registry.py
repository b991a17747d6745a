import pytest

from mixlib.book import notebooks
from mixlib.evidence import published
from mixlib.papers import registry
from mixlib.papers.amplify import protocol as amplify
from mixlib.papers.batchmixup import protocol as batchmixup
from mixlib.papers.mixup_calibration import protocol as calibration
from mixlib.papers.ssmix import protocol as ssmix


def test_unknown_names_give_the_nearest():
    with pytest.raises(ValueError, match="unknown profile 'minni'; choose one of smoke, mini, full"):
        registry.artefact_runs("calibration-table2", "minni")
    with pytest.raises(ValueError, match="did you mean calibration-table"):
        registry.artefact_runs("calibration-tabel2", "mini")
    with pytest.raises(ValueError, match="choose one of smoke, mini, full"):
        calibration.table2("huge")


def test_overrides(monkeypatch):
    specs = registry.artefact_runs("calibration-table2", "full", model="tiny", seeds=[7], max_steps=2)
    assert {(s.model, s.seed, s.max_steps) for s in specs} == {("tiny", 7, 2)}
    monkeypatch.delitem(registry.RECIPES, "amplify-table2")  # an artefact without a notebook has no runs
    assert registry.artefact_runs("amplify-table2", "mini") == []


def test_every_artefact_of_the_papers_has_a_notebook():
    assert {a.id for a in registry.artefacts()} == set(registry.RECIPES)
    assert {recipe.notebook for recipe in registry.RECIPES.values()} <= set(notebooks.available())


def test_artefacts_of_our_own_stand_after_their_papers():
    ids = [a.id for a in registry.artefacts()]
    assert [a for a in ids if a.startswith("batchmixup")] == [
        "batchmixup-table1", "batchmixup-figure1", "batchmixup-epoch-time", "batchmixup-geometry",
        "batchmixup-policies",
    ]  # fmt: skip
    assert len(set(ids)) == len(ids)
    assert len(ids) - len(published.artefacts()) == sum(len(paper.measured) for paper in registry.PAPERS)
    assert {a.id for a in published.artefacts()} <= set(ids)


@pytest.mark.parametrize(
    ("given", "seeds"),
    [("0-2,7", [0, 1, 2, 7]), (" 3 , 1 ", [3, 1]), (4, [4]), ([2, 0, 2], [2, 0]), (range(2), [0, 1])],
)
def test_seeds_as_papermill_and_notebooks_give_them(given, seeds):
    for part in (calibration.table5, ssmix.figure2, batchmixup.figure1, amplify.attention):
        assert list(dict.fromkeys(spec.seed for spec in part("smoke", seeds=given))) == seeds
    assert {spec.seed for spec in registry.artefact_runs("common/sst2", "smoke", seeds=given)} == set(seeds)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "seeds is empty"),
        ("", "not a list of numbers such as 0,1,2 or 0-9"),
        ("2-1", "did you mean 1-2"),
        ("0-1000000", "more than 10,000 numbers"),
        (["0"], r"seeds are whole numbers from 0 on, .* got \['0'\]"),
        ([1.5], "seeds are whole numbers"),
        ([True], "seeds are whole numbers"),
        (-1, "seeds are whole numbers"),
        (2.0, "seeds are whole numbers"),
        ([2**32], "seeds are whole numbers from 0 on, at most 4,294,967,295, such as"),
        ("0,4294967296", "seeds are whole numbers from 0 on, at most 4,294,967,295, such as"),
    ],
)
def test_seeds_that_are_none_are_refused_before_anything_runs(given, message):
    with pytest.raises(ValueError, match=message):
        calibration.table5("smoke", seeds=given)
