import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mixlib import protocols
from mixlib.__main__ import main
from mixlib.store import Store


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def test_list_json_is_the_only_thing_on_standard_output():
    command = [sys.executable, "-m", "mixlib", "list", "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(out.stdout)
    assert [row["id"] for row in rows] == [a.id for a in protocols.artefacts()]
    for row in rows:
        assert set(row) == {"id", "paper", "artefact", "notebook", "runs", "done"}
        assert set(row["runs"]) == set(row["done"]) == {"smoke", "mini", "full"}
    by_id = {row["id"]: row for row in rows}
    assert by_id["calibration-table2"]["notebook"] == "22_calibration_table2"
    assert by_id["calibration-table2"]["runs"] == {"smoke": 16, "mini": 64, "full": 40}
    assert by_id["amplify-fairness"]["runs"]["mini"] == 334
    assert all(row["notebook"] for row in rows)


def test_run_resumes_and_prints_what_came_out(store_folder):
    arguments = ("run", "calibration-table5", "--profile", "smoke", "--seeds", "0", "--limit", "2")
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert "8 runs, 8 to do" in first.output
    assert first.output.count("accuracy") == 2
    assert len(Store(store_folder).scan()[0]) == 2
    assert "8 runs, 6 to do" in run(*arguments).output


def test_status_says_what_the_rest_would_cost(store_folder):
    result = run("status")
    assert result.exit_code == 0, result.output
    assert "0 of   40 done, rest about" in result.output
    assert "counted for one GPU" in result.output
    assert "TFLOP/s" in result.output


def test_a_damaged_record_is_named(store_folder):
    path = store_folder / "mixup_calibration" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert str(path) in run("status").output
    assert run("doctor").exit_code == 1


def test_doctor_and_claims(store_folder, no_data):
    result = run("doctor")
    assert result.exit_code == 0, result.output
    assert "MIXLIB_DATA is not set" in result.output
    result = run("claims", "mixup_calibration")
    assert result.output.count("not run at this scale") == 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "calibration-tabel2"), "did you mean calibration-table"),
        (("run", "calibration-table2", "--profile", "minii"), "did you mean mini"),
        (("run", "calibration-table2", "--engine", "spark"), "unknown engine 'spark'"),
        (("run", "calibration-table2", "--seeds", "a"), "no list of numbers"),
        (("reproduce", "--only", "nothing"), "did you mean"),
        (("claims", "bert"), "unknown paper 'bert'"),
        (("bench", "--lengths", "imdb"), "trec, mrpc"),
        (("cards",), "MIXLIB_DATA"),
    ],
)
def test_errors_are_one_message(arguments, message, store_folder, no_data):
    result = run(*arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output
    assert not store_folder.exists()


def test_a_run_that_cannot_have_its_data_says_so(store_folder, no_data):
    result = run("run", "calibration-table2", "--limit", "1")
    assert result.exit_code == 1
    assert "data set 'imdb'" in result.output
    assert "MIXLIB_DATA (not set)" in result.output
    assert not list(store_folder.rglob("*.json"))
