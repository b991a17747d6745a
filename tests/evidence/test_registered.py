"""What stands below knows no paper: papers register their cells, claims and studies."""

import subprocess
import sys

import pytest

from mixlib.evidence import plan
from mixlib.runs import studies


def test_without_papers_the_error_says_what_to_import(monkeypatch):
    monkeypatch.setattr(plan, "_REGISTERED", {})
    with pytest.raises(RuntimeError, match=r"import mixlib\.papers\.registry, which registers them"):
        plan.get("common/sst2")


def test_cells_that_are_registered_take_the_place_of_others(monkeypatch):
    before = plan.registered()
    few = plan.Registered(
        pool=before.pool[:1], papers=(), sensitivity=(), studies=before.studies[:1], last=(), claims={}
    )
    try:
        plan.register(few)
        assert list(plan.cells()) == [before.pool[0].name, before.studies[0].name]
        assert {spec.dataset for spec in plan.runs("pool")} == {before.pool[0].dataset}
    finally:
        plan.register(before)


def test_every_study_is_there_as_soon_as_the_papers_are():
    code = "import mixlib.papers.registry; from mixlib.runs import studies; print(len(studies.every()))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == len(studies.every()) > 5


def test_a_loader_is_registered_once():
    before = list(studies.LOADERS)
    for load in before:
        studies.register(load)
    assert before == studies.LOADERS
