import re

import pytest

from mixlib import methods, paths
from mixlib.evidence import ledger, verdicts

README = (paths.ROOT / "README.md").read_text()


def test_the_verdicts_in_the_readme_are_those_of_the_records(monkeypatch):
    monkeypatch.delenv("MIXLIB_RESULTS", raising=False)
    assert ledger.in_readme(README, verdicts.verdicts()) == README


def test_a_readme_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="README needs the lines"):
        ledger.in_readme("# Nothing", {})


def test_every_file_and_method_the_readme_names_exists():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (paths.ROOT / link).exists(), link
    for module in re.findall(r"mixlib/[a-z_]+(?:\.py|/)", README):
        assert (paths.ROOT / module).exists(), module
    for name in methods.names():
        assert f"`{name}`" in README


def test_the_commands_it_lists_are_the_commands_there_are():
    from mixlib.__main__ import main

    assert set(re.findall(r"^python -m mixlib ([a-z-]+) ", README, re.MULTILINE)) == set(main.commands) - {"reproduce"}
