"""The check of a folder of records: the committed one has no fault, and each kind of fault is found."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from mixlib.__main__ import main
from mixlib.runs import check, paths
from mixlib.runs.spec import RunRecord, RunSpec
from mixlib.runs.store import Store, release
from tests import fabricate

SPEC = RunSpec(
    paper="amplify", dataset="rte", method="none", seed=0, model="tiny", train_size=64, dev_size=0, test_size=100
)
FIRST = replace(SPEC, paper="ssmix", keep_state=True)
SECOND = replace(SPEC, paper="ssmix", method="ssmix", first_stage=FIRST)


def made(spec: RunSpec, numbers: dict | None = None, **data: str) -> RunRecord:
    """A record whose parts fit each other: 100 test rows, 70 of them right."""
    record = fabricate.record(spec, **(numbers or {"losses": [0.5, 0.5], "accuracy": 0.7, "ece": 0.115}))
    seeded = {split: f"{split} rows of seed {spec.seed}" for split in ("train", "dev", "test")}
    data = {"source": "MIXLIB_DATA", "model": "m0", **seeded, **({"state": "w0"} if spec.keep_state else {}), **data}
    return replace(record, data=data, environment={"precision": "fp32", "code": "0.1.0+a"})


@pytest.fixture
def store(tmp_path):
    """Two methods with three seeds each, and a first and a second stage."""
    store = Store(tmp_path)
    for method in ("none", "tmix"):
        for seed in (0, 1, 2):
            store.put(made(replace(SPEC, method=method, seed=seed)))
    store.put(made(FIRST))
    store.put(made(SECOND, first_stage="w0"))
    return store


def faults(store: Store) -> dict[str, str]:
    return {path.name: fault for path, fault in check.check(store.folder).faults}


def test_the_committed_records_hold_together():
    found = check.check(paths.ROOT / "data" / "results")
    assert found.faults == []
    assert found.records > 2000


def test_a_sound_folder_has_no_fault_and_nothing_to_say(store):
    assert check.check(store.folder) == check.Findings(8, [], ["1 version of the code made the records (0.1.0+a 8)"])


def test_a_record_made_in_another_precision_than_its_settings_say_is_left_out(store):
    path = store.put(made(SPEC))
    values = json.loads(path.read_text())
    values["environment"]["precision"] = "bf16"
    del values["digest"]
    path.write_text(json.dumps(values))
    assert "was made in bf16, but its settings say fp32" in faults(store)[path.name]
    assert SPEC in store.missing([SPEC])


def test_each_kind_of_fault_is_found(store):
    spec = replace(SPEC, method="tmix", seed=1)
    record = made(spec)
    numbers = {"losses": [0.5, 0.5], "accuracy": 0.7, "ece": 0.115}
    bins = {"rows": [90], "confidence": [63.0 + 90 * 0.115], "correct": [63]}
    undrawn = {name: value for name, value in record.data.items() if name != "dev"}
    wrong = [
        (made(spec, test="others"), "drew other test rows than runs of the same data set, sizes and seed: others"),
        (made(spec, train="others"), "drew other train rows"),
        (made(spec, model="m1"), "other pretrained weights than runs of the same model: m1, where 7 of 8 have m0"),
        (replace(record, data=undrawn), "names no checksum of its dev rows"),
        (replace(record, timing=record.timing | {"steps": 9}), "its last evaluation is at step 2, but it took 9"),
        (made(spec, numbers | {"accuracy": 0.71}), "its accuracy is 0.71, but that of its reliability bins is 0.70"),
        (made(spec, numbers | {"ece": 0.1}), "its ece is 0.1, but that of its reliability bins is 0.115000"),
        (replace(record, reliability=bins), "its reliability bins hold 90 rows, but 100 test rows were drawn"),
    ]
    for broken, fault in wrong:
        store.put(broken)
        assert [name for name, found in faults(store).items() if fault in found] == [store.path(spec).name], fault
        assert len(faults(store)) == 1
        store.put(record)
    assert faults(store) == {}


def test_faults_of_files_are_found(store):
    (store.folder / "amplify" / "notes.txt").write_text("x")
    (store.folder / ".mixlib-site").touch()  # hidden files are none: `reproduce` leaves one, and so do systems
    path = store.path(SPEC)
    (store.folder / "elsewhere").mkdir()
    (store.folder / "elsewhere" / path.name).write_bytes(path.read_bytes())
    moved = store.path(replace(SPEC, seed=1))
    moved = moved.rename(store.folder / "elsewhere" / moved.name)
    renamed = store.path(replace(SPEC, method="tmix"))
    renamed = renamed.rename(renamed.with_name("rte-tmix-7-0123456789abcdef.json"))
    alone = store.path(replace(SPEC, seed=9)).with_suffix(".npz")
    alone.touch()
    edited = store.path(replace(SPEC, method="tmix", seed=1))
    edited.write_text(edited.read_text().replace('"nll": 0.5', '"nll": 0.4'))
    found = {path.relative_to(store.folder): fault for path, fault in check.check(store.folder).faults}
    expected = {
        "amplify/notes.txt": "is neither a record",
        f"elsewhere/{path.name}": f"holds the same run as {path}",
        f"elsewhere/{moved.name}": "is not where its run is looked for",
        f"amplify/{renamed.name}": "its name does not fit its settings",
        f"amplify/{edited.name}": "it was changed",
        f"amplify/{alone.name}": "has no record beside it",
    }
    assert {str(path) for path in found} == set(expected)
    for name, fault in expected.items():
        assert fault in next(text for path, text in found.items() if str(path) == name)


def test_the_synthetic_folder_may_be_checked_by_itself(tmp_path):
    store = Store(tmp_path)
    path = store.put(made(replace(SPEC, synthetic=True)))
    assert path.is_relative_to(tmp_path / "synthetic")
    for folder in (tmp_path, tmp_path / "synthetic"):
        found = check.check(folder)
        assert (found.records, found.faults) == (1, [])


def test_what_a_store_keeps_beside_records_is_no_fault(store):
    for suffix in (".safetensors", ".failed", ".json.damaged"):
        store.path(SPEC).with_suffix(suffix).write_text("x")
    release(store.claim(SPEC))
    lock = store.claim(SPEC)
    found = check.check(store.folder)
    release(lock)
    assert found.faults == []
    assert any("the last try of this run failed" in note for note in found.notes)


def test_second_stages_fit_their_first(store):
    store.put(made(replace(FIRST, seed=1), state="w1"))
    lost = replace(SECOND, seed=2, first_stage=replace(FIRST, seed=2))
    nameless = replace(SECOND, seed=1, first_stage=replace(FIRST, seed=1))
    names = store.put(made(lost, first_stage="w2")).name, store.put(made(nameless)).name
    store.path(SECOND).unlink()
    store.put(made(SECOND, first_stage="w0"))
    found = faults(store)
    assert "record of its first stage" in found[names[0]]
    assert found[names[1]] == "started from the weights None of its first stage, whose record now says w1"
    store.put(made(FIRST, state="w9"))
    assert faults(store)[store.path(SECOND).name].endswith("w0 of its first stage, whose record now says w9")


def test_stages_that_do_not_name_their_weights_are_found(store):
    first, second = made(FIRST), made(SECOND, first_stage="w0")
    del first.data["state"], second.data["first_stage"]
    store.put(first)
    keeps = {store.path(FIRST).name: "keeps weights for others, but does not name them"}
    assert faults(store) == keeps
    store.put(second)
    assert faults(store) == keeps | {store.path(SECOND).name: "does not name the weights it started from"}


def test_what_is_no_fault_is_said(store):
    store.put(replace(made(replace(SPEC, seed=3)), environment={"precision": "fp32", "code": "0.1.0+b"}))
    path = store.path(SPEC)
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "digest"}))
    found = check.check(store.folder)
    assert found.faults == []
    assert found.notes == [
        "amplify: rte (64) tmix: unfinished, without the seeds 3",
        "2 versions of the code made the records (0.1.0+a 8, 0.1.0+b 1)",
        "amplify: rte (64) none: made by 2 versions of the code",
        "1 of 9 records have no digest of their content",
    ]


def test_the_command(store):
    sound = CliRunner().invoke(main, ["check-records", str(store.folder)])
    assert sound.exit_code == 0
    assert sound.stdout.splitlines()[-1] == "8 records, no faults"
    path = store.folder / "amplify" / "x.json"
    path.write_text("{")
    broken = CliRunner().invoke(main, ["check-records", str(store.folder)])
    assert broken.exit_code == 1
    assert len(broken.stdout.splitlines()) == 1
    assert broken.stdout.startswith(f"{path}: ")
    assert "8 records, 1 faults" in broken.stderr
    absent = CliRunner().invoke(main, ["check-records", str(store.folder / "nothing")])
    assert absent.exit_code == 1
    assert "there is no folder" in absent.output
