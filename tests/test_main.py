import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
from click.testing import CliRunner

from mixlib.__main__ import Words, main
from mixlib.book import notebooks
from mixlib.evidence import gate
from mixlib.papers import registry
from mixlib.runs import corpora, engines, machine, paths
from mixlib.runs.store import Store


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def test_list_json_is_the_only_thing_on_standard_output():
    """In a process of its own, nothing comes before it: see the reader that stops reading."""
    rows = json.loads(run("list", "--json").stdout)
    assert [row["id"] for row in rows] == [a.id for a in registry.artefacts()]
    for row in rows:
        assert set(row) == {"id", "paper", "artefact", "notebook", "runs", "done"}
        assert set(row["runs"]) == set(row["done"]) == {"smoke", "mini", "full"}
    by_id = {row["id"]: row for row in rows}
    assert by_id["calibration-table2"]["notebook"] == "22_calibration_table2"
    assert by_id["calibration-table2"]["runs"] == {"smoke": 8, "mini": 2 * 4 * 12, "full": 40}  # sizes, methods, seeds
    assert by_id["amplify-fairness"]["runs"]["mini"] == 334
    assert all(row["notebook"] for row in rows)


def test_who_reads_records_does_not_wait_for_what_trains():
    code = """
import sys
import mixlib.evidence.error_rates
print(*sorted({"torch", "transformers", "datasets"} & set(sys.modules)))
from mixlib.papers.mixup_calibration import frames as calibration
from mixlib.papers import registry
from mixlib.evidence import published
from mixlib.evidence import tables
from mixlib.evidence import verdicts
from mixlib.runs.engines import run_all
from mixlib.runs.store import Store
slow = {"mixlib.runs.training", "mixlib.trainer", "mixlib.runs.bench"}
slow |= {"torchmetrics", "ray", "transformers", "datasets"}
print(*sorted(slow & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "\n\n"


def test_notebooks_are_updated_from_what_is_committed_alone(store_folder, monkeypatch):
    assert "unset MIXLIB_RESULTS" in run("update-notebooks", "--only", "22").output
    monkeypatch.setenv("MIXLIB_PRECISION", "bf16")
    assert "unset MIXLIB_PRECISION (bf16)" in run("update-notebooks", "--only", "22").output


def test_seeds_are_not_raised_if_a_notebook_fails(tmp_path, monkeypatch):
    decisions, asked = tmp_path / "evidence.json", []
    decisions.write_text("as it was")

    def raised(chapters):
        asked.append(chapters)
        decisions.write_text("raised")
        return {"common/sst2": [100, 101]}

    def fails(names):
        assert decisions.read_text() == "raised"
        raise RuntimeError("the kernel died")

    monkeypatch.setattr(paths, "EVIDENCE", decisions)
    monkeypatch.setattr(gate, "raise_seeds", raised)
    monkeypatch.setattr(notebooks, "update", fails)
    assert run("update-notebooks", "--raise-seeds").exit_code
    assert decisions.read_text() == "as it was"
    (chapters,) = asked
    assert len(chapters()) == len(registry.RECIPES)


def test_run_resumes_and_prints_what_came_out(store_folder):
    arguments = ("run", "calibration-table5", "--profile", "smoke", "--seeds", "0", "--limit", "2")
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert "8 runs, 8 to do" in first.output
    assert first.output.count("accuracy") == 2
    assert len(Store(store_folder).scan()[0]) == 2
    assert "8 runs, 6 to do" in run(*arguments).output


def test_a_trial_is_kept_apart_from_real_records(store_folder):
    arguments = ("run", "calibration-table5", "--profile", "smoke", "--max-steps", "1", "--limit", "1")
    folder = store_folder.with_name(f"{store_folder.name}-trials")
    assert f"16 runs, 16 to do; trials, kept in {folder}" in run(*arguments).output
    assert not Store(store_folder).files()
    (record,), _ = Store(folder).scan()
    assert record.timing["steps"] == 1


def test_status_says_what_the_rest_would_cost(store_folder):
    result = run("status")
    assert result.exit_code == 0, result.output
    assert re.search(r"full +calibration-table2 +0 +0 +40 +about [0-9.]+ GPU-hours by counting", result.output)
    assert "TFLOP/s" in result.output


def test_status_counts_done_failed_and_missing(store_folder):
    arguments = ("status", "calibration-table5", "--profile", "smoke", "--json")
    (before,) = json.loads(run(*arguments).stdout)
    assert (before["done"], before["failed"], before["missing"]) == (0, 0, 16)
    assert run("run", "calibration-table5", "--profile", "smoke", "--limit", "3").exit_code == 0
    store, specs = Store(store_folder), registry.artefact_runs("calibration-table5", "smoke")
    store.put_failure(store.missing(specs)[0], "the loss became nan at step 3")
    (after,) = json.loads(run(*arguments).stdout)
    assert (after["done"], after["failed"], after["missing"]) == (3, 1, 13)
    assert after["seconds"] > 0
    assert after["gpu_hours"] == 0
    assert after["seconds_of"] == machine.machine_class()


def test_a_sweep_with_a_failed_run_exits_with_1_and_does_the_rest(store_folder, monkeypatch):
    specs = registry.artefact_runs("calibration-table5", "smoke")[:3]
    grid = [specs[0], replace(specs[1], learning_rate=1e30), specs[2]]
    monkeypatch.setattr(registry, "artefact_runs", lambda *a, **k: grid)
    result = run("run", "calibration-table5", "--profile", "smoke")
    assert result.exit_code == 1
    assert "1 of 3 runs failed, the others are done" in result.output
    assert len(Store(store_folder).missing(grid)) == 1


def test_shards_of_a_grid_are_disjoint_and_together_the_whole(store_folder):
    for part, count in (("0/2", 8), ("1/2", 8)):
        output = run("run", "calibration-table5", "--profile", "smoke", "--shard", part, "--limit", "1").output
        assert f"{count} runs, {count} to do" in output
    assert len(list(store_folder.rglob("*.json"))) == 2


def test_a_damaged_record_is_named(store_folder):
    path = store_folder / "mixup_calibration" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert str(path) in run("status").output
    assert run("doctor").exit_code == 1


def test_cells_say_what_is_complete_and_what_is_not_read_yet(monkeypatch):
    row = {"precision": "fp32", "error": float("nan"), "claim": ""}
    counts = {"read": (12, 12, 12), "there": (6, 12, 12), "short": (6, 12, 7)}
    table = {name: row | dict(zip(("seeds", "wanted", "complete"), n, strict=True)) for name, n in counts.items()}
    monkeypatch.setattr("mixlib.evidence.progress.table", lambda _: pd.DataFrame.from_dict(table, orient="index"))
    said = [line.partition("fp32")[2].strip() for line in run("cells").output.splitlines()]
    assert said == ["complete", "complete, not read yet", "wants 12, has 7"]


def test_doctor_and_claims(store_folder, no_data):
    result = run("doctor")
    assert result.exit_code == 0, result.output
    assert "MIXLIB_DATA is not set" in result.output
    result = run("claims", "mixup_calibration")
    found = re.findall(r"^mixup_calibration-\d+: (.*) \(0 records\)$", result.output, re.MULTILINE)
    assert Counter(found) == {"runs not finished": 13, "not judgeable here": 2}
    assert "common/sst2" in run("cells").output
    assert json.loads(run("cells", "--json").output)[0]["cell"] == "common/sst2"
    rows = json.loads(run("claims", "--only", "ssmix-1,ssmix-2", "--json").output)
    assert [row["id"] for row in rows] == ["ssmix-1", "ssmix-2"]
    assert {"verdict", "estimate", "low", "high", "printed", "margin", "unit", "parts", "cells", "dead_cells", "rule",
            "seeds_needed", "records", "paper", "claim"} <= set(rows[0])  # fmt: skip
    assert "did you mean ssmix-1" in run("claims", "--only", "ssmix-1x").output


def test_doctor_looks_for_data_in_the_folder_alone(store_folder, monkeypatch, tmp_path):
    """What it lacks is on the hub, but nothing is downloaded to say so."""
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    monkeypatch.setattr(corpora, "load_dataset", lambda *_, **__: pytest.fail("asked the hub"))
    result = run("doctor")
    assert re.search(r"imdb +not complete there", result.output)
    assert re.search(r"banking77 +train \d+", result.output)


def test_names_in_brackets_are_one_word():
    words = Words().convert("tmix:blocks=[7,9],ssmix , cls_mixup", None, None)
    assert words == ["tmix:blocks=[7,9]", "ssmix", "cls_mixup"]


def test_an_artefact_without_runs_is_said_to_have_none(store_folder):
    result = run("run", "ssmix-table1", "pool", "--profile", "full")
    assert result.exit_code == 0
    assert "ssmix-table1 has no runs at profile full\npool has no runs at profile full\n" in result.output


def test_doctor_says_that_a_folder_of_data_is_not_there(store_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path / "none"))
    result = run("doctor")
    assert f"MIXLIB_DATA is {tmp_path / 'none'}, which is not a folder" in result.output
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "calibration-tabel2"), "did you mean calibration-table"),
        (("run", "calibration-table2", "--profile", "minii"), "choose one of smoke, mini, full"),
        (("run", "calibration-table2", "--engine", "spark"), "unknown engine 'spark'"),
        (("run", "calibration-table2", "--seeds", "a"), "not a list of numbers"),
        (("run", "calibration-table2", "--seeds", "5-1"), "the range 5-1 ends before it begins; did you mean 1-5?"),
        (("run", "calibration-table2", "--seeds", ""), "not a list of numbers"),
        (("run", "calibration-table2", "--seeds", "0-99999999"), "more than 10,000 numbers"),
        (("run", "calibration-table2", "--seeds", "5000000000"), "seeds are whole numbers from 0 on"),
        (("run", "calibration-table2", "--shard", "4/4"), "not a shard; four shards are 0/4"),
        (("run", "calibration-table2", "--shard", "²/4"), "not a shard; four shards are 0/4"),
        (("run", "calibration-table2", "--model", ""), "is empty"),
        (("run", "calibration-table2", "--model", "./none"), "there is no folder"),
        (
            ("run", "calibration-table2", "--profile", "smoke", "--model", "tinny"),
            "is not available; did you mean 'tiny'? Looked",
        ),
        (("run", "calibration-table2", "--profile", "smoke", "--model", "tiny[::9]"), "this model has 2 blocks"),
        (
            ("run", "calibration-table2", "--datasets", "imbd"),
            "the dataset 'imbd'; did you mean imdb",
        ),
        (("run", "calibration-table2", "--methods", "ssmix"), "none of the runs has the method 'ssmix'"),
        (("run", "calibration-table2", "--methods", ","), "is empty"),
        (("run", "calibration-table2", "--time-limit", "1e300"), "time_limit must be a number of at most 1e+08"),
        (("run", "calibration-table2", "--time-limit", "nan"), "time_limit must be a number of at least 0.01"),
        (
            ("run", "calibration-table2", "--cpus-per-run", "100000"),
            "must be a whole number of at most 1024",
        ),
        (("run", "calibration-table2", "--max-steps", "1" * 30), "not in the range"),
        (("reproduce", "--only", ""), "is empty"),
        (("reproduce", "--only", ","), "is empty"),
        (("reproduce", "--only", "qqqq"), "no artefact or notebook 'qqqq'; `python -m mixlib list` names them"),
        (("reproduce", "--output", ""), "is empty"),
        (("claims", "--only", ""), "is empty"),
        (("update-notebooks", "--only", " "), "is empty"),
        (("update-notebooks", "--raise-seeds", "--only", "22"), "leave out --only"),
        (("bench", "--methods", ""), "is empty"),
        (("bench", "--model", "tiny"), "--model is only for --sweep"),
        (("bench", "--engine", "ray"), "--engine is only for --sweep"),
        (("bench", "--sweep", "--methods", "none"), "--methods is not for --sweep"),
        (("bench", "--methods", "foo"), "unknown method 'foo'; did you mean none_long, none, manifold_mixup?"),
        (("run", "calibration-table2", "--workers", "2"), "it has cpus_per_run, time_limit"),
        (("run", "calibration-table2", "--engine", "ray", "--workers", "0"), "workers must be a whole number"),
        (("reproduce", "--only", "nothing"), "did you mean"),
        (("claims", "bert"), "unknown paper 'bert'"),
        (("claims", "ssmix", "--only", "amplify-1"), "amplify-1 is a claim of amplify, not of ssmix"),
        (("run", "all", "calibration-tabel2"), "did you mean calibration-table"),
        (("run", "pool", "--model", "tiny"), "for pool only seeds can be chosen; its model is fixed"),
        (("run", ""), "unknown artefact ''; `python -m mixlib list` names them"),
        (("bench", "--sweep", "--tokens", "2"), "lengths of at least 4 tokens are needed"),
        (("bench", "--sweep", "--engine", "spark"), "unknown engine 'spark'"),
        (("bench", "--lengths", "imdb"), "trec, mrpc"),
    ],
)
def test_errors_are_one_message(arguments, message, store_folder, no_data):
    result = run(*arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output
    assert not store_folder.exists()


def test_a_model_that_cannot_be_had_is_said_before_an_earlier_site_is_cleared_away(tmp_path):
    kept = tmp_path / "site-records" / ".mixlib-site"
    kept.parent.mkdir()
    kept.touch()
    arguments = ("reproduce", "--profile", "smoke", "--only", "25", "--output", str(tmp_path / "site"))
    result = run(*arguments, "--model", "tinny")
    assert result.exit_code == 1
    assert "Error: model 'tinny' is not available; did you mean 'tiny'?" in result.output
    assert list(tmp_path.rglob("*")) == [kept.parent, kept]


@pytest.mark.parametrize("asked", ["-h", "--help", *(f"{name} --help" for name in main.commands)])
def test_every_command_explains_itself(asked):
    result = run(*asked.split())
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    assert "Error" not in result.output


@pytest.mark.parametrize("address", ["6379", "true", "null"])
def test_an_address_is_text_whatever_it_looks_like(address):
    assert engines.get(engines.describe("ray", address=address)).address == address


def test_only_some_data_sets_and_methods_are_run(store_folder, monkeypatch):
    wanted = []
    monkeypatch.setattr(engines, "run_all", lambda specs, *rest: wanted.extend(specs) or [])
    result = run("run", "ssmix-table2", "ssmix-step-time", "--profile", "smoke", "--datasets", "sst2, qnli",
                 "--methods", "ssmix,tmix")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert {spec.dataset for spec in wanted} == {"sst2", "qnli"}
    assert {spec.method for spec in wanted} == {"ssmix", "tmix"}
    assert all(spec.first_stage for spec in wanted)
    wanted.clear()
    assert run("run", "ssmix-step-time", "--profile", "smoke", "--datasets", "trec_coarse").exit_code == 0
    assert {spec.params["run"]["dataset"] for spec in wanted} == {"trec_coarse"}


def test_a_method_that_the_common_protocol_has_not_is_run_by_it_where_both_are_named(store_folder, monkeypatch):
    wanted = []
    monkeypatch.setattr(engines, "run_all", lambda specs, *rest: wanted.extend(specs) or [])
    assert run("run", "common-protocol", "--profile", "smoke", "--methods", "none,unk").exit_code == 0
    assert {(spec.method, spec.dataset) for spec in wanted} == {
        (method, name) for method in ("none", "unk") for name in ("sst2", "trec_coarse")
    }
    assert {spec.paper for spec in wanted} == {"common"}
    wanted.clear()
    assert run("run", "all", "--profile", "smoke", "--methods", "unk").exit_code == 0
    assert {spec.paper for spec in wanted} == {"ssmix"}
    found = run("run", "common-protocol", "--profile", "smoke", "--methods", "unc")
    assert "none of the runs has the method 'unc'" in found.output


def test_a_reader_that_stops_reading_is_no_error(store_folder):
    command = f"{sys.executable} -m mixlib list --json | head -n 1"
    out = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert out.stdout == "[\n"
    assert out.stderr == ""


def test_counts_keep_what_is_not_to_be_had(tmp_path, monkeypatch):
    (tmp_path / "rte").mkdir()
    rows = pd.DataFrame({"text": ["a b", "c"], "text_b": ["d", "e"], "label": [0, 1]})
    rows.to_parquet(tmp_path / "rte" / "train.parquet")
    before = corpora.committed_counts()
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path))
    monkeypatch.setattr(paths, "CORPORA_COUNTS", tmp_path / "corpora.json")
    assert run("count-data").exit_code == 0
    after = json.loads((tmp_path / "corpora.json").read_text())
    assert after["rte"]["splits"]["train"]["mean_words"] == 2.5
    assert {name: counts for name, counts in after.items() if name != "rte"} == {
        name: counts for name, counts in before.items() if name != "rte"
    }


def test_runs_that_cannot_have_their_data_are_refused_once_before_the_first(store_folder, no_data):
    result = run("run", "calibration-table2", "--model", "tiny")
    assert result.exit_code == 1
    assert "Error: data set 'imdb'" in result.output
    assert "MIXLIB_DATA (not set)" in result.output
    assert result.output.count("is not available") == 1
    assert not store_folder.exists()
