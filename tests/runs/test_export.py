"""Records as a table, and what differs between two sets of records."""

import json
import re
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from click.testing import CliRunner

from mixlib.__main__ import main
from mixlib.runs import export
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store
from mixlib.runs.studies import StudySpec
from tests import fabricate

SPEC = RunSpec(
    paper="amplify", dataset="rte", method="tmix", method_params={"alpha": 0.2}, seed=0, model="tiny", train_size=64
)
SEEDS = 12
TWIN = replace(SPEC, synthetic=True)


@pytest.fixture
def store(store_folder):
    store = Store()
    for seed in range(SEEDS):
        losses = [0.5 + seed / 3, 0.7]
        store.put(fabricate.record(replace(SPEC, seed=seed), accuracy=0.7 + seed / 37, losses=losses))
    store.put(fabricate.record(TWIN))
    store.put(fabricate.study(StudySpec(paper="ssmix", study="step_time", seed=0), {"seconds": 1.0}))
    return store


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_row_a_run_with_the_numbers_of_its_record(store, tmp_path, suffix):
    path = tmp_path / f"results{suffix}"
    assert run("export", path).output == f"{SEEDS} runs in {path}\n"
    table = export.load(path)
    assert sorted(table["seed"]) == list(range(SEEDS))
    for row in table.to_dict("records"):
        seed = row["seed"]
        record = store.get(replace(SPEC, seed=seed))
        assert {name: row[f"test_{name}"] for name in record.test} == record.test  # to the bit
        assert row["last_test_nll"] == 0.7
        assert (row["key"], row["seed"], row["train_size"]) == (record.spec.key, seed, 64)
        assert pd.isna(row["test_size"])
        assert json.loads(row["params"]) == {"alpha": 0.2}
        assert RunSpec.from_canonical(json.loads(row["settings"])) == record.spec
        assert row["total_seconds"] == 2.0
    assert run("export", path, "--synthetic").output == f"{SEEDS + 1} runs in {path}\n"
    assert not list(tmp_path.glob(".*"))


def test_keys_made_of_figures_alone_stay_as_they_are(store, tmp_path):
    path, keys = tmp_path / "results.csv", ["0234567890123456", "1234567890123456", "12345678e0123456"]
    export.export(path)
    export.load(path).head(len(keys)).assign(key=keys).to_csv(path, index=False)
    assert list(export.load(path)["key"]) == keys


def test_an_empty_store_is_an_empty_table(store_folder, tmp_path):
    assert run("export", tmp_path / "none.parquet").exit_code == 0
    assert export.load(tmp_path / "none.parquet").empty


@pytest.mark.usefixtures("store")
def test_places_that_are_wrong_are_one_message(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "junk.parquet").write_text("junk")
    export.export(tmp_path / "right.csv")
    doubled = (tmp_path / "right.csv").read_text().splitlines()
    (tmp_path / "twice.csv").write_text("\n".join([*doubled, doubled[-1]]))
    right = tmp_path / "right.csv"
    for arguments, message in [
        (("export", "results.xlsx"), "written as .parquet or .csv, not as '.xlsx'"),
        (("export", tmp_path / "folder.csv"), "is a folder"),
        (("export", tmp_path / "file" / "results.csv"), "file"),
        (("diff-records", right, tmp_path / "nothing"), "there is no folder of records"),
        (("diff-records", right, tmp_path / "file"), "neither a folder of records nor a table"),
        (("diff-records", right, tmp_path / "other.csv"), "it has no column key, settings"),
        (("diff-records", right, tmp_path / "junk.parquet"), "cannot be read"),
        (("diff-records", right, tmp_path / "twice.csv"), "twice"),
        (("diff-records", right, tmp_path / "empty"), f"holds no records: {tmp_path / 'empty'}"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 1, arguments
        assert isinstance(result.exception, SystemExit)
        assert message in result.output
    assert (tmp_path / "right.csv").read_text().splitlines() == doubled


def test_a_folder_with_a_copy_of_its_records_is_refused(store, tmp_path):
    """Their runs would count twice."""
    shutil.copytree(store.folder / "amplify", store.folder / "backup")
    for arguments in (("export", tmp_path / "twice.csv"), ("diff-records", store.folder, store.folder)):
        result = run(*arguments)
        assert result.exit_code == 1
        assert re.search(r"holds the run \w{16} twice, and \d+ more", result.output)
    assert not (tmp_path / "twice.csv").exists()


def test_a_failed_write_leaves_the_table_that_was_there(store, tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    path.write_text("as it was")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="No space left"):
        export.export(path, store)
    assert path.read_text() == "as it was"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["results.csv"]


def test_what_moved_is_said_by_cell(store, tmp_path):
    other = Store(tmp_path / "other")
    for seed, accuracy in ((1, 0.7 + 1 / 37), (0, 0.72), (20, 0.9)):
        losses = [0.5 + seed / 3, 0.7]
        other.put(fabricate.record(replace(SPEC, seed=seed), accuracy=accuracy, losses=losses))
    found = export.difference(export.load(store.folder), export.load(other.folder))
    assert (found.only_in_a, found.only_in_b) == (SEEDS - 1, 1)  # the twin and seeds from 2 on; seed 20
    assert (found.equal, found.moved) == (1, 1)
    (cell,) = found.cells.to_dict("records")
    assert cell["runs"] == 2
    assert cell["test_accuracy"] == pytest.approx(0.01)  # one of two moved, by 0.02
    assert cell["last_test_accuracy"] == pytest.approx(0.01)
    assert cell["test_nll"] == 0
    assert cell["largest"] == pytest.approx(0.02)
    result = run("diff-records", store.folder, other.folder)
    assert result.exit_code == 1
    assert 'amplify: rte tmix {"method_params": {"alpha": 0.2}' in result.output
    assert "1 of 2 runs moved, by 0.020000 at most" in result.output
    assert "test_accuracy +0.010000" in result.output
    assert "1 runs equal to the bit, 1 moved in 1 cells" in result.output


def test_a_metric_that_one_table_lacks_has_moved(store):
    whole = export.load(store.folder)
    gap = whole.copy()
    gap.loc[gap.index[0], "test_ece"] = float("nan")
    for pair in ((whole, gap), (gap, whole)):
        found = export.difference(*pair)
        assert found.moved == 1
        assert found.cells["largest"].tolist() == [0.0]  # of what both have


def test_the_same_records_in_any_form_do_not_differ(store, tmp_path):
    export.export(tmp_path / "a.csv", store, synthetic=True)
    export.export(tmp_path / "b.parquet", store, synthetic=True)
    for other in (tmp_path / "b.parquet", store.folder):
        result = run("diff-records", tmp_path / "a.csv", other)
        assert result.exit_code == 0, result.output
        assert f"{SEEDS + 1} runs equal to the bit, 0 moved" in result.output
