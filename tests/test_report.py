import nbformat
import papermill as pm
import pytest

from mixlib import paths, protocols, report
from mixlib.book import site
from mixlib.store import Store


def test_smoke_trains_from_an_empty_store_and_the_site_is_made_of_what_ran(tmp_path, monkeypatch):
    made = {}

    def build(output, executed, banner):  # Sphinx itself: tests/test_browser.py
        made.update(output=output, executed=executed, banner=banner)
        return output / "index.html"

    monkeypatch.setattr(site, "build", build)
    index = report.reproduce("smoke", ["calibration-table5"], seeds=[0, 1], output=tmp_path / "site")
    assert index == made["output"] / "index.html" == tmp_path / "site" / "index.html"
    assert made["banner"].startswith("Chapters 25: profile smoke, SYNTHETIC, not a result, trained just now")
    ((name, path),) = made["executed"].items()
    assert name == "25_calibration_table5"
    assert "SYNTHETIC DATA, not a result" in path.read_text()
    assert "SYNTHETIC DATA" not in (paths.NOTEBOOKS / path.name).read_text()
    records, left_out = Store(tmp_path / "site-records").scan()
    assert len(records) == 16
    assert left_out == {}
    assert all(record.spec.synthetic for record in records)


def test_unknown_parameters_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"has no parameter alpha; it has engine, model, profile, seeds|it has profile"
    ):
        report.execute("21_calibration_figure1", tmp_path / "x.ipynb", {"alpha": 1})


def test_a_failing_notebook_fails(tmp_path, monkeypatch):
    broken = nbformat.v4.new_notebook()
    broken.cells = [nbformat.v4.new_code_cell('profile = "mini"'), nbformat.v4.new_code_cell("1 / 0")]
    broken.cells[0].metadata["tags"] = ["parameters"]
    broken.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(broken, tmp_path / "99_broken.ipynb")
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    with pytest.raises(pm.PapermillExecutionError, match="division by zero"):
        report.execute("99_broken", tmp_path / "out" / "x.ipynb", {})


def test_choosing_notebooks(monkeypatch):
    assert report.choose(["calibration-table6"]) == ["20_calibration_tables1_6"]
    assert report.choose(["22", "calibration-table2"]) == ["22_calibration_table2"]
    assert report.choose() == report.available()
    monkeypatch.delitem(protocols.RECIPES, "amplify-table2")
    with pytest.raises(ValueError, match="amplify-table2 has no notebook yet"):
        report.choose(["amplify-table2"])
    with pytest.raises(ValueError, match="did you mean calibration-table"):
        report.choose(["calibration-table22"])
    with pytest.raises(ValueError, match="no artefact or notebook 'tables'"):
        report.choose(["tables"])


def test_unknown_profile_leaves_the_old_site_alone(tmp_path):
    site.clear(tmp_path / "site")
    (tmp_path / "site" / "index.html").write_text("old")
    with pytest.raises(ValueError, match="unknown profile 'smok'; did you mean smoke"):
        report.reproduce("smok", output=tmp_path / "site")
    assert (tmp_path / "site" / "index.html").exists()
    site.clear(tmp_path / "site")
    assert not (tmp_path / "site" / "index.html").exists()


def test_a_folder_that_is_no_site_is_never_deleted(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="not an earlier site"):
        report.reproduce("smoke", ["21"], output=tmp_path)
    assert (tmp_path / "thesis.tex").exists()
