import pytest

from mixlib.runs import machine, paths

SOURCE = '''"""A module."""

import os
from here import mix  # pairs


class Method:
    """A method."""

    rate = 0.5  # of words

    def losses(self, text="# no comment"):
        """Its losses."""
        from here import draw

        return mix(text, "é # neither", self.rate), os  # é
'''
KEPT = """class Method:
    rate = 0.5
    def losses(self, text="# no comment"):
        return mix(text, "é # neither", self.rate), os"""


def test_imports_docstrings_and_comments_change_no_number():
    assert machine.statements(SOURCE) == KEPT
    moved = SOURCE.replace("from here import mix  # pairs", "from elsewhere import (\n    mix,\n)")
    assert machine.statements(moved.replace("A method.", "Another\n\n    text.")) == KEPT
    assert machine.statements(moved.replace("0.5", "0.6")) != KEPT


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout with one file that numbers depend on."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    file = tmp_path / "mixlib" / "trainer.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    return file


def version():
    machine.code_version.cache_clear()
    return machine.code_version()


@pytest.fixture(autouse=True)
def _afterwards():
    yield
    machine.code_version.cache_clear()


def test_the_code_version_changes_with_the_code_and_not_with_its_place(project):
    before = version()
    (project.parent / "methods").mkdir()
    moved = project.rename(project.parent / "methods" / "trainer.py")
    assert version() == before
    moved.write_text(SOURCE.replace("A module.", "The same module."))
    assert version() == before
    moved.write_text(SOURCE.replace("0.5", "0.6"))
    assert version() != before


def test_every_pattern_of_the_code_version_finds_a_file():
    folder = paths.ROOT / "mixlib"
    assert [pattern for pattern in machine.NUMBERS if not list(folder.glob(pattern))] == []
