import errno
import fcntl
import json
import os
import subprocess
import sys

import nbformat
import pytest
from click.testing import CliRunner

from mixlib.__main__ import main
from mixlib.book import notebooks as report
from mixlib.book import site, verify
from mixlib.papers import registry
from mixlib.runs import models, paths
from mixlib.runs.store import Store


def test_smoke_trains_from_an_empty_store_and_the_site_is_made_of_what_ran(tmp_path, monkeypatch):
    made = {}

    def build(output, executed, banner):  # Sphinx itself: tests/book/test_browser.py
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
    with pytest.raises(ValueError, match="has no parameter alpha; it has profile, model, seeds, engine"):
        report.execute_all({"21_calibration_figure1": tmp_path / "x.ipynb"}, {"alpha": 1})


def test_a_failing_notebook_fails(tmp_path, monkeypatch):
    broken = nbformat.v4.new_notebook()
    broken.cells = [nbformat.v4.new_code_cell('profile = "mini"'), nbformat.v4.new_code_cell("1 / 0")]
    broken.cells[0].metadata["tags"] = ["parameters"]
    broken.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(broken, tmp_path / "99_broken.ipynb")
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    output = tmp_path / "out" / "x.ipynb"
    said = f"99_broken: cell 2 failed with ZeroDivisionError: division by zero; the notebook up to there is in {output}"
    assert report.execute_all({"99_broken": output}, {}) == {"99_broken": said}
    assert "division by zero" in output.read_text()


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """Notebooks that say what they see, one of which fails with fewer than two seeds."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(paths, "NOTEBOOKS", folder)
    monkeypatch.setattr(report, "RECIPES", {"a": registry.Recipe("01_a"), "b": registry.Recipe("02_b")})
    monkeypatch.setattr(registry, "artefact_runs", lambda *arguments, **overrides: [])
    parameters = "profile: str = 'mini'\nmodel: str = None\nseeds: list = None\nengine: str = 'local'"
    sees = """
import json, os
from mixlib.runs import checkpoints
from mixlib.runs import corpora
from mixlib.runs import paths
seen = {"results": paths.results(), "data": corpora.data_folder(), "model": model and checkpoints.find(model)}
print(json.dumps({name: str(path) for name, path in seen.items()}))
"""
    for name, code in (("01_a", sees), ("02_b", "assert len(seeds) > 1, 'too few seeds'")):
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_markdown_cell(f"# {name}"), nbformat.v4.new_code_cell(parameters),
                          nbformat.v4.new_code_cell(code)]  # fmt: skip
        notebook.cells[1].metadata["tags"] = ["parameters"]
        notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(notebook, folder / f"{name}.ipynb")

    def build(output, executed, banner):  # Sphinx itself: tests/book/test_browser.py
        site.clear(output)
        page = f'<aside class="announcement-content">{banner}</aside><pre>{site.PENDING}</pre>'
        (output / "index.html").write_text(page)
        return output / "index.html"

    monkeypatch.setattr(site, "build", build)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_relative_folders_mean_the_same_in_notebooks(notebooks, monkeypatch):
    (notebooks / "data").mkdir()
    model, tokenizer = models.load("tiny", 2)
    model.save_pretrained(notebooks / "mine")
    tokenizer.save_pretrained(notebooks / "mine")
    monkeypatch.setenv("MIXLIB_DATA", "data")
    monkeypatch.setenv("MIXLIB_RESULTS", "records")
    index = report.reproduce("mini", ["01"], model="mine", output=report.Path("out"))
    assert index == notebooks / "out" / "index.html"
    (cell,) = nbformat.read(notebooks / "out-notebooks" / "01_a.ipynb", as_version=4).cells[-1:]
    assert json.loads(cell.outputs[0].text) == {
        "results": str(notebooks / "records"), "data": str(notebooks / "data"), "model": str(notebooks / "mine")
    }  # fmt: skip
    assert {path.name for path in (notebooks / "notebooks").iterdir()} == {"01_a.ipynb", "02_b.ipynb"}
    report.reproduce("smoke", ["01"], output=report.Path("fresh"))
    (cell,) = nbformat.read(notebooks / "fresh-notebooks" / "01_a.ipynb", as_version=4).cells[-1:]
    assert json.loads(cell.outputs[0].text)["results"] == str(notebooks / "fresh-records")


def test_a_failing_notebook_is_one_message_and_the_others_are_in_the_site(notebooks):
    result = CliRunner().invoke(main, ["reproduce", "--seeds", "0", "--output", "out", "--resume"])
    assert result.exit_code == 1
    assert "1 of 2 notebooks failed; the site is in" in result.output
    assert "02_b: cell 3 failed with AssertionError: too few seeds" in result.output
    assert "Traceback" not in result.output
    assert (notebooks / "out" / "index.html").exists()
    assert (notebooks / "out-notebooks" / "01_a.ipynb").exists()
    assert "too few seeds" in (notebooks / "out-notebooks" / "02_b.ipynb").read_text()
    assert CliRunner().invoke(main, ["reproduce", "--seeds", "0,1", "--output", "out", "--resume"]).exit_code == 0


def result(*verdicts):
    rows = [verify.Row("banking77-none-100-0", "none", None, "banking77", {"nll": 1.0}, {"nll": 1.0}, None, v)
            for v in verdicts]  # fmt: skip
    return verify.Result(7, rows)


def test_as_committed_a_few_records_are_made_anew_and_the_site_says_so(notebooks, monkeypatch, capsys):
    monkeypatch.setattr(report, "RECIPES", {"a": registry.Recipe("01_a")})
    (notebooks / "notebooks" / "02_b.ipynb").unlink()
    monkeypatch.setattr(verify, "verify", lambda: result(verify.EQUAL, verify.EQUAL))
    index = report.reproduce("mini", output=report.Path("out"))
    assert "2 of 2 records made anew on this machine" in index.read_text()
    assert index.read_text().count(site.PENDING) == 1  # the code that names it, not the banner
    assert json.loads((index.parent / "verify.json").read_text())["sentence"] in index.read_text()
    assert "equal to the bit" in capsys.readouterr().err
    monkeypatch.setattr(verify, "verify", lambda: result(verify.EQUAL, verify.OUTSIDE))
    with pytest.raises(report.NotMadeAnew, match="1 of 2 records made anew on this machine; the table is above"):
        report.reproduce("mini", output=report.Path("out"))
    assert json.loads((index.parent / "verify.json").read_text())["ok"] is False
    monkeypatch.setattr(verify, "verify", lambda: verify.draw([], 3, 0)[0])
    with pytest.raises(IndexError):
        report.reproduce("mini", output=report.Path("out"))
    assert "no record was made anew" in index.read_text()
    assert index.read_text().count(site.PENDING) == 1  # the code that names it, not the banner
    for options in ({"only": ["01"]}, {"seeds": [0]}, {"fresh": True}):  # parts, and what was trained just now
        said = report.reproduce("mini", **options, output=report.Path("other")).read_text().partition("</aside>")[0]
        assert "made anew" not in said


def test_as_committed_a_missing_record_is_an_error_and_nothing_is_trained(notebooks, monkeypatch, store_folder, spec):
    monkeypatch.setattr(report, "RECIPES", {"a": registry.Recipe("01_a", lambda profile, **overrides: [spec])})
    monkeypatch.setattr(registry, "artefact_runs", lambda *arguments, **overrides: [spec])
    with pytest.raises(report.engines.sweep.NothingToRead, match="1 of 1 runs have no record"):
        report.reproduce("mini", ["01"], output=report.Path("out"))
    assert not store_folder.exists()
    assert not (notebooks / "out").exists()


def test_notebooks_are_run_several_at_once(notebooks, monkeypatch):
    """Each waits for the other to have begun."""
    monkeypatch.setattr(report.joblib, "cpu_count", lambda: 2)
    for own, other in (("01_a", "02_b"), ("02_b", "01_a")):
        path = notebooks / "notebooks" / f"{own}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[-1].source = f"""
import pathlib, time
pathlib.Path("{own}.begun").touch()
deadline = time.monotonic() + 120
while not pathlib.Path("{other}.begun").exists():
    assert time.monotonic() < deadline, "alone"
    time.sleep(0.05)
"""
        nbformat.write(notebook, path)
    outputs = {name: notebooks / f"{name}.ipynb" for name in ("01_a", "02_b")}
    assert report.execute_all(outputs, {}) == {}
    assert all(path.exists() for path in outputs.values())


def test_a_kernel_that_dies_costs_its_own_notebook_alone_and_the_working_folder_stays(notebooks):
    for name, last in (("01_a", "import os; os._exit(9)"), ("02_b", "import time; time.sleep(3)")):
        path = notebooks / "notebooks" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[-1].source = last
        nbformat.write(notebook, path)
    here = os.getcwd()
    outputs = {name: notebooks / f"{name}.ipynb" for name in ("01_a", "02_b")}
    failed = report.execute_all(outputs, {})
    assert list(failed) == ["01_a"]
    assert failed["01_a"].startswith("01_a: Kernel died; if memory ran out, ")
    assert outputs["02_b"].exists()
    assert os.getcwd() == here


def test_a_site_is_built_by_one_process_at_a_time_and_only_where_files_can_be_locked(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    with site.alone(folder):
        result = CliRunner().invoke(main, ["site", "--output", str(folder)])
    assert result.exit_code == 1
    assert f"another process is writing {folder}, process {os.getpid()} on " in result.output
    assert not folder.exists()

    def none(*arguments):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(OSError, match=r"\.lock cannot be locked .*; choose another --output"), site.alone(folder):
        pass


def test_two_reproduce_do_not_write_one_site(notebooks):
    folder = notebooks / "out"
    report.reproduce("smoke", ["01"], output=folder)
    kept = (folder / "index.html").read_text()
    code = f"""
import sys, time
from pathlib import Path
from mixlib.book import site
with site.alone(Path({str(folder)!r})):
    print("in", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(ValueError, match=rf"another process is writing {folder}, process {other.pid} on "):
            report.reproduce("smoke", ["01"], output=folder)
        other.kill()
    assert (folder / "index.html").read_text() == kept
    report.reproduce("smoke", ["01"], output=folder)


def test_a_stopped_clearing_leaves_a_folder_that_is_known_as_a_site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    site.clear(folder)
    for name in ("a.html", "b.html", "c.html"):
        (folder / name).write_text("old")
    unlink = site.Path.unlink

    def interrupted(path, **options):
        unlink(path, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(site.Path, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            site.clear(folder)
    assert len(list(folder.glob("*.html"))) == 2
    site.clear(folder)
    assert not list(folder.glob("*.html"))


def test_the_old_site_stays_until_its_runs_are_done(notebooks, monkeypatch):
    folder = notebooks / "out"
    report.reproduce("smoke", ["01"], output=folder)
    monkeypatch.setattr(report.engines, "run_all", lambda *a, **k: (_ for _ in ()).throw(OSError("no data")))
    with pytest.raises(OSError, match="no data"):
        report.reproduce("smoke", ["01"], output=folder)
    assert (folder / "index.html").exists()
    with pytest.raises(OSError, match="no data"):
        report.reproduce("smoke", ["01"], output=notebooks / "new")
    assert not (notebooks / "new").exists()


def test_committed_figures_are_written_by_update_notebooks_alone(tmp_path, monkeypatch):
    from mixlib.evidence import plots
    from mixlib.papers.mixup_calibration import figures

    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    drawn = figures.manifold_schematic()
    for profile in ("smoke", "mini"):
        assert plots.save(drawn, "x/y", profile) == tmp_path / "build" / "figures" / profile / "x" / "y.svg"
    assert not (tmp_path / "figures").exists()
    monkeypatch.setenv(paths.UPDATING, "1")
    assert plots.save(drawn, "x/y", "mini") == tmp_path / "figures" / "x" / "y.svg"
    assert plots.save(drawn, "x/y", "smoke").is_relative_to(tmp_path / "build")


def test_choosing_notebooks(monkeypatch):
    assert report.choose(["calibration-table6"]) == ["20_calibration_tables1_6"]
    assert report.choose(["22", "calibration-table2"]) == ["22_calibration_table2"]
    assert report.choose() == report.available()
    monkeypatch.delitem(registry.RECIPES, "amplify-table2")
    with pytest.raises(ValueError, match="amplify-table2 has no notebook yet"):
        report.choose(["amplify-table2"])
    with pytest.raises(ValueError, match="did you mean calibration-table"):
        report.choose(["calibration-table22"])
    with pytest.raises(ValueError, match="is a cell or a part of the evidence; name an artefact"):
        report.choose(["batchmixup/banking77-1"])
    with pytest.raises(ValueError, match="no artefact or notebook 'tables'"):
        report.choose(["tables"])


def test_unknown_profile_leaves_the_old_site_alone(tmp_path):
    site.clear(tmp_path / "site")
    (tmp_path / "site" / "index.html").write_text("old")
    with pytest.raises(ValueError, match="unknown profile 'smok'; choose one of smoke, mini, full"):
        report.reproduce("smok", output=tmp_path / "site")
    assert (tmp_path / "site" / "index.html").exists()
    site.clear(tmp_path / "site")
    assert not (tmp_path / "site" / "index.html").exists()


def test_reproduce_never_deletes_a_folder_that_is_no_site(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="not an earlier site"):
        report.reproduce("smoke", ["21"], output=tmp_path)
    assert (tmp_path / "thesis.tex").exists()
