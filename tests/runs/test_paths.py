"""What a user names is as seen from where the program was started, wherever kernels run."""

import os
import subprocess
import sys

import pytest

from mixlib.runs import checkpoints, corpora, machine, models, paths
from mixlib.runs.store import Store


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_relative_folders_of_the_environment_are_those_of_the_working_directory(elsewhere, monkeypatch):
    for variable in paths.FOLDERS:
        monkeypatch.setenv(variable, "mine/there")
    assert paths.results() == corpora.data_folder() == elsewhere / "mine" / "there"
    assert paths.synthetic_results() == elsewhere / "mine" / "there" / "synthetic"
    assert Store().folder.is_absolute()
    (elsewhere / "mine" / "there" / "small").mkdir(parents=True)
    assert checkpoints.find("small") == str(elsewhere / "mine" / "there" / "small")
    monkeypatch.chdir("/")
    assert paths.results() == type(elsewhere)("/mine/there")


def test_the_home_folder_and_an_empty_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MIXLIB_DATA", "~/data")
    assert corpora.data_folder() == tmp_path / "data"
    monkeypatch.setenv("MIXLIB_DATA", "")
    monkeypatch.setenv("MIXLIB_RESULTS", "")
    assert corpora.data_folder() is None
    assert paths.results() == paths.ROOT / "data" / "results"


@pytest.mark.parametrize("variable", paths.FOLDERS)
def test_a_variable_that_names_a_file_is_refused(monkeypatch, tmp_path, variable):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv(variable, str(file))
    with pytest.raises(NotADirectoryError, match=f"{variable} names {file}, which is a file, not a folder"):
        paths.named(variable)


def test_a_model_folder_keeps_its_slice_and_other_names_stay(elsewhere):
    (elsewhere / "mine").mkdir()
    assert checkpoints.absolute("mine[::2]") == f"{elsewhere}/mine[::2]"
    assert checkpoints.absolute("bert-base-uncased") == "bert-base-uncased"
    with pytest.raises(models.ModelUnavailable, match="there is no folder"):
        checkpoints.absolute("./none")


def test_without_a_checkout_it_is_said_what_needs_one(tmp_path):
    """As pip installs it: the package alone."""
    site = tmp_path / "site"
    site.mkdir()
    os.symlink(paths.ROOT / "mixlib", site / "mixlib")
    code = f"""
import pathlib, sys
sys.path.insert(0, {str(site)!r})
import mixlib.runs.paths as paths
root = pathlib.Path({str(site)!r})
for name in ("ROOT", "NOTEBOOKS", "FIGURES", "PUBLISHED", "CORPORA_COUNTS", "EVIDENCE", "BUILD"):
    setattr(paths, name, root / getattr(paths, name).relative_to(paths.ROOT) if name != "ROOT" else paths.ROOT)
paths.ROOT = root
from click.testing import CliRunner
from mixlib.__main__ import main
for command in (["reproduce"], ["update-notebooks"], ["list"], ["status"], ["claims"], ["gate"], ["check-records"],
                ["site"], ["run", "calibration-table5", "--profile", "smoke"]):
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1, (command, result.output)
    assert "this needs a checkout of mixlib's repository" in result.output, (command, result.output)
    assert "Traceback" not in result.output
assert CliRunner().invoke(main, ["doctor"]).exit_code == 0
assert [p.name for p in root.iterdir()] == ["mixlib"], list(root.iterdir())
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MIXLIB_")} | {"PYTHONPATH": str(site)}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert out.returncode == 0, out.stderr


def test_the_package_says_what_it_needs_where_only_the_trainers_needs_are_installed(tmp_path):
    (tmp_path / "click").mkdir()
    (tmp_path / "click" / "__init__.py").write_text("raise ModuleNotFoundError('No module named click', name='click')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(paths.ROOT)])}
    out = subprocess.run([sys.executable, "-m", "mixlib", "list"], capture_output=True, text=True, env=environment)
    assert out.returncode == 1
    assert out.stderr.strip() == (
        "Error: the command line needs more than MixupTrainer does: pip install '.[reproduce]' in mixlib's checkout"
    )


@pytest.mark.parametrize(("system", "unit"), [("linux", 1024), ("darwin", 1)])
def test_memory_is_counted_as_the_system_counts_it(monkeypatch, system, unit):
    import resource

    monkeypatch.setattr(sys, "platform", system)
    kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert machine.peak_memory() >= unit * kept
    assert machine.peak_memory() < 2 * unit * kept
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert machine.peak_memory() is None
    assert machine.environment("fp32")["peak_memory_mib"] is None


def test_what_trains_imports_nothing_beyond_its_dependencies():
    """``import mixlib`` and everything a user of the trainer imports, with all other packages hidden."""
    code = """
import sys
for name in ("datasets", "pandas", "click", "seaborn", "matplotlib", "statsmodels", "sklearn", "torchmetrics", "joblib",
             "papermill", "nbformat", "nbconvert", "latex2mathml", "ray", "IPython"):
    sys.modules[name] = None  # as if it were not installed
import mixlib
import mixlib.methods
import mixlib.trainer
from mixlib.methods import get
from mixlib.methods import names
for name in names():
    get(name)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
