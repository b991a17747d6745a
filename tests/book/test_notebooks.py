"""What every committed notebook must be. Their outputs are compared by ``pytest --nbval`` (``make test``)."""

import json
import os
import re

import nbformat
import pytest
from nbformat import v4

from mixlib.book import notebooks
from mixlib.runs import paths

NOTEBOOKS = notebooks.available()


@pytest.fixture(params=NOTEBOOKS, scope="module")  # each is read once
def notebook(request):
    return nbformat.read(paths.NOTEBOOKS / f"{request.param}.ipynb", as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert {"00_start_here", "11_batchmixup_table1", "22_calibration_table2"} <= set(NOTEBOOKS)


def test_was_run_from_top_to_bottom(notebook):
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))


def test_has_no_error_output(notebook):
    assert not [o for cell in code(notebook) for o in cell.outputs if o.output_type == "error"]


def test_has_one_parameters_cell_with_the_common_parameters(notebook):
    tagged = [cell for cell in code(notebook) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    namespace = {}
    exec(tagged[0].source, namespace)
    assert namespace["profile"] == "mini"
    assert (namespace["model"], namespace["seeds"], namespace["engine"]) == (None, None, "local")


def test_defines_no_functions_and_names_no_path(notebook):
    for cell in code(notebook):
        assert not re.search(r"^\s*(def|class) ", cell.source, re.MULTILINE), cell.source
    text = re.sub(r'"image/png": "[^"]*"', "", json.dumps(notebook))  # an encoded picture may spell anything
    assert not re.search(r"/(home|root|work|Users|tmp)/", text)


def test_is_small_and_carries_no_time_stamps(notebook):
    assert len(json.dumps(notebook)) < 1_500_000
    assert "papermill" not in notebook.metadata
    assert not [cell for cell in notebook.cells if "execution" in cell.metadata or "papermill" in cell.metadata]


def test_shows_results_not_synthetic_ones(notebook):
    assert "SYNTHETIC DATA" not in json.dumps(notebook)


def test_an_update_keeps_ids_outputs_and_parameters_and_leaves_time_stamps_out(tmp_path, monkeypatch):
    """A run of papermill, replaced by one that writes what papermill writes."""
    parameters = v4.new_code_cell("profile = 'mini'", id="first", metadata={"tags": ["parameters"]})
    committed = v4.new_notebook(cells=[parameters, v4.new_code_cell("1 + 1", id="second")])
    path = tmp_path / "notebooks" / "90_two_cells.ipynb"
    path.parent.mkdir()
    nbformat.write(committed, path)
    shown = v4.new_output("execute_result", {"text/plain": "2"}, execution_count=2)
    asked = []

    def execute(name, output, parameters):
        how = {"TQDM_DISABLE": "1", paths.UPDATING: "1", **notebooks.FORKED}
        asked.append((name, parameters, set(how.items()) <= set(os.environ.items())))
        done = nbformat.read(path, as_version=4)
        done.metadata.papermill = {"duration": 1.5, "start_time": "2026-01-01T00:00:00"}
        for count, cell in enumerate(done.cells, 1):
            cell.execution_count = count
            cell.metadata.papermill = {"duration": 0.5, "status": "completed"}
            cell.metadata.execution = {"iopub.execute_input": "2026-01-01T00:00:00"}
        done.cells[1].outputs = [shown]
        output.parent.mkdir(parents=True)
        nbformat.write(done, output)

    monkeypatch.setattr(paths, "NOTEBOOKS", path.parent)
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setattr(notebooks, "_execute", execute)
    assert notebooks.update(["90"]) == [path]
    assert asked == [("90_two_cells", {}, True)]
    written = nbformat.read(path, as_version=4)
    first, second = written.cells
    assert first == {**parameters, "execution_count": 1}
    assert second == {**committed.cells[1], "execution_count": 2, "outputs": [shown]}
    assert written.metadata == committed.metadata


def test_says_what_we_see(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "What we see" in text
    assert "To be written" not in text
