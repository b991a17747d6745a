"""What a store refuses, and what it does with a file that it cannot use: names it, and lets everything else go on."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mixlib.evidence import plan
from mixlib.evidence.claims import Claim, Contrast, against
from mixlib.evidence.verdicts import Records, judge
from mixlib.runs.engines import run_all
from mixlib.runs.engines.base import Outcome
from mixlib.runs.engines.local import Local
from mixlib.runs.records import DamagedRecord, NewerRecord, content_digest
from mixlib.runs.spec import RunFailed, RunRecord, RunSpec
from mixlib.runs.store import Store, read, usable
from mixlib.runs.studies import StudySpec
from tests import fabricate

SPEC = RunSpec(paper="mixup_calibration", dataset="rte", method="none", seed=0, model="tiny", synthetic=True)


def values_of(record) -> dict:
    return json.loads(record.to_json())


def text_of(values: dict) -> str:
    """As a file of before there were digests, so that only what is said in it is looked at."""
    return json.dumps({name: value for name, value in values.items() if name != "digest"})


def changed(*place, to):
    """A record's values with one of them changed, or taken away (``...``)."""
    values = values_of(fabricate.record(SPEC, losses=[0.5, 0.4, 0.6]))
    inner = values
    for name in place[:-1]:
        inner = inner[name]
    if to is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = to
    return values


TEST = ("evaluations", 0, "test")
WRONG = [
    ((*TEST, "accuracy"), 17, "accuracy is 17"),
    ((*TEST, "accuracy"), -0.01, "accuracy is -0.01"),
    ((*TEST, "accuracy"), "0.9", "accuracy is no number but '0.9'"),
    ((*TEST, "accuracy"), True, "accuracy is no number"),
    ((*TEST, "mcc"), -1.2, "mcc is -1.2"),
    ((*TEST, "ece"), 1.5, "ece is 1.5"),
    ((*TEST, "nll"), -0.1, "nll is -0.1"),
    ((*TEST, "nll"), None, "nll is no number"),
    ((*TEST, "nll"), ..., "KeyError: 'nll'"),
    (("evaluations", 2, "test"), ..., "KeyError: 'test'"),
    (("evaluations", 1, "step"), 1, "step is 1"),
    (("evaluations", 1, "train_loss"), "low", "train_loss is no number"),
    (("evaluations",), [], "IndexError"),
    (("selected",), -1, "selected is -1, but the best evaluation is 0"),
    (("selected",), 3, "selected is 3"),
    (("selected",), 1, "selected is 1"),
    (("selected_on",), "dev", "selected_on is 'dev', but by its settings and metrics it is 'test'"),
    (("timing",), {}, "KeyError: 'train_seconds'"),
    (("timing", "total_seconds"), -1, "total_seconds is -1"),
    (("reliability", "rows", 14), 3, "confidence|14 is"),
    (("reliability", "correct"), [1], "different lengths"),
    (("train_losses", 1), "0.3", "no number"),
    (("data", "state"), 7, "state of the data is no text"),
    (("spec", "method_params"), {"alhpa": 1}, "no parameter alhpa|have the key"),
]


@pytest.mark.parametrize(
    ("place", "value", "message"), WRONG, ids=lambda v: ".".join(map(str, v)) if isinstance(v, tuple) else None
)
def test_what_cannot_have_been_measured_is_refused(tmp_path, place, value, message):
    text, store = text_of(changed(*place, to=value)), Store(tmp_path)
    with pytest.raises(DamagedRecord, match=message):
        RunRecord.from_json(text)
    path = store.path(SPEC)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert store.missing([SPEC]) == [SPEC]
    assert list(store.scan()[1]) == [path]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused_wherever_they_stand(number):
    record = fabricate.study(StudySpec(paper="ssmix", study="step_time", seed=0), {"seconds": [[1.25, None]]})
    for made, value in ((record, "1.25"), (fabricate.record(SPEC, nll=0.625), "0.625")):
        text = text_of(values_of(made))
        assert read(text) == made  # null stands for what there is not
        with pytest.raises(DamagedRecord, match="JSON compliant" if number == "1e999" else f"{number} is no number"):
            read(text.replace(value, number))


def test_a_record_says_the_digest_of_its_content_in_any_order_and_layout():
    values = values_of(fabricate.record(SPEC))
    said = values.pop("digest")
    assert said == content_digest(dict(reversed(values.items())))
    again = json.dumps({"digest": said, **values}, indent=7)
    assert read(again) == fabricate.record(SPEC)
    values["evaluations"][0]["test"]["accuracy"] = 0.81
    with pytest.raises(DamagedRecord, match=f"but it says {said}: it was changed"):
        read(json.dumps({"digest": said, **values}))
    assert read(json.dumps(values)).test["accuracy"] == 0.81  # those of before have none


def test_nothing_is_written_that_could_not_be_read(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(DamagedRecord, match="accuracy is 17"):
        store.put(fabricate.record(SPEC, accuracy=17))
    assert not list(tmp_path.rglob("*.json"))


def unreadable(name: str, path: Path) -> None:
    """Put something in the place of a record that cannot be used."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = fabricate.record(SPEC).to_json()
    if name == "bytes":
        path.write_bytes(b"\xff" + whole.encode())
    elif name == "folder":
        (path / "inside").mkdir(parents=True)
    elif name == "loop":
        path.symlink_to(path.name)
    elif name == "nowhere":
        path.symlink_to("nowhere")
    elif name == "brackets":
        path.write_text("[" * 100_000)
    elif name == "deep":
        path.write_text(whole.replace('"fabricated"', "[" * 500 + "]" * 500))
    elif name == "list":
        path.write_text('{"key": 1, "spec": ["dataset", "method", "model", "paper", "seed"]}')


def test_progress_counts_each_run_once(tmp_path):
    store, other = Store(tmp_path), replace(SPEC, seed=1)
    assert store.progress([SPEC, other, SPEC]) == "2 runs, 2 still to do"
    store.put(fabricate.record(other))
    assert store.progress([SPEC, other]) == "2 runs, 1 still to do"
    assert store.progress([SPEC]) == "1 run, 1 still to do"
    assert store.progress([other]) == "1 run, done"
    store.put(fabricate.record(SPEC))
    assert store.progress([SPEC, other]) == "2 runs, all done"


@pytest.mark.parametrize("name", ["bytes", "folder", "loop", "nowhere", "brackets", "deep", "list"])
def test_a_file_that_cannot_be_used_is_named_and_made_again(tmp_path, name, monkeypatch, capsys):
    store, other = Store(tmp_path), replace(SPEC, seed=1)
    path = store.path(SPEC)
    unreadable(name, path)
    store.put(fabricate.record(other))
    assert store.missing([SPEC, other]) == [SPEC]
    records, left_out = store.scan()
    assert [record.spec for record in records] == [other]
    assert list(left_out) == [path]
    assert usable(store, SPEC) is None
    assert (f"left out: {path}: " in capsys.readouterr().err) == (name != "nowhere")
    monkeypatch.setattr(Local, "wait", lambda self, s: [Outcome(self._next[0], fabricate.record(self._next[0]))])
    assert len(run_all([SPEC, other], store=store, progress=False)) == 2
    if name != "nowhere":  # a link to nothing is as good as no file
        assert f"damaged: {path}" in capsys.readouterr().err
        assert os.path.lexists(path.with_name(f"{path.name}.damaged"))
    assert path.is_file()
    assert not path.is_symlink()
    assert store.scan()[1] == {}


def test_no_permission_is_a_reason_like_others(tmp_path, monkeypatch):
    store = Store(tmp_path)
    path = store.put(fabricate.record(SPEC))

    def refused(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_text", refused)
    assert store.missing([SPEC]) == [SPEC]
    assert "Permission denied" in store.scan()[1][path]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (replace(SPEC, method="gone_method"), "unknown method 'gone_method'"),
        (replace(SPEC, dataset="gone_set"), "unknown data set 'gone_set'"),
        (replace(SPEC, method="amplify", method_params={"gone": 1}), "method 'amplify' has no parameter gone"),
        (replace(SPEC, paper="../outside"), "names without a slash"),
        (replace(SPEC, paper=7), "names without a slash"),
    ],
)
def test_records_of_what_is_not_known_here_are_left_out(tmp_path, spec, reason):
    store = Store(tmp_path)
    path = store.put(fabricate.record(SPEC)).with_name(f"{spec.dataset}-{spec.method}-0-{spec.key}.json")
    path.write_text(replace(fabricate.record(SPEC), spec=spec).to_json())
    records, left_out = store.scan()
    assert [record.spec for record in records] == [SPEC]
    assert list(left_out) == [path]
    assert reason in left_out[path]


def test_a_run_cannot_name_a_file_outside_the_store(tmp_path):
    store = Store(tmp_path / "store")
    for spec in (replace(SPEC, paper="../up"), replace(SPEC, dataset="../up"), replace(SPEC, paper="..")):
        with pytest.raises(ValueError, match="names without a slash"):
            store.put_failure(spec, "no reason")
    assert not list(tmp_path.iterdir())


def newer(record, **more) -> str:
    values = values_of(record) | more
    del values["digest"]
    return json.dumps({**values, "digest": content_digest(values)})


def test_a_record_of_a_later_version_is_never_written_over(tmp_path, capsys, monkeypatch):
    store, other = Store(tmp_path), replace(SPEC, seed=1)
    path = store.put(fabricate.record(SPEC))
    path.write_text(newer(fabricate.record(SPEC), energy_joules=12.5))
    content = path.read_bytes()
    with pytest.raises(NewerRecord, match=r"has fields \(energy_joules\) that this version .* it stays as it is"):
        store.get(SPEC)
    with pytest.raises(NewerRecord):
        store.put(fabricate.record(SPEC))
    assert store.missing([SPEC]) == [SPEC]
    assert "energy_joules" in store.scan()[1][path]
    monkeypatch.setattr(Local, "start", lambda *args: pytest.fail("trained for a record that cannot be kept"))
    with pytest.raises(RunFailed, match=r"1 of 1 runs failed.*\n.*energy_joules"):
        run_all([SPEC], store=store, progress=False)
    assert f"newer: {path}" in capsys.readouterr().err
    assert path.read_bytes() == content
    store.put(fabricate.record(other))
    assert store.get(other) is not None
    # settings that only a later version has
    late = tmp_path / "later.json"
    values = values_of(fabricate.record(SPEC))
    values["spec"]["optimizer"] = "lion"
    late.write_text(text_of(values))
    assert "optimizer" in store.scan()[1][late]
    # a file that lacks something as well is damaged, and can be made again
    path.write_text('{"key": "x", "energy_joules": 1}')
    with pytest.raises(DamagedRecord, match="running it again replaces it"):
        store.get(SPEC)
    store.put(fabricate.record(SPEC))
    assert store.missing([SPEC]) == []


def test_verdicts_go_on_without_a_record_that_cannot_be_used(tmp_path, capsys):
    store, cell = Store(tmp_path), plan.get("common/sst2")
    for spec in cell.specs([100, 101], ["none", "tmix"]):
        path = store.put(fabricate.record(spec))
    path.write_bytes(b"\xff")
    records = Records(store, plan.Decided({"common/sst2": [100, 101]}, {"common/sst2": ["accuracy", "loss"]}, {}))
    contrast = Contrast(
        name="TMix over no mixup", measure="accuracy", units=against("tmix", "none", {"SST-2": "common/sst2"})
    )
    verdict = judge(Claim(id="ssmix-1", parts=(contrast,), rule="TMix wins"), records)
    assert "1 of 2 runs of tmix are missing" in verdict.judgement.words


@pytest.mark.parametrize("content", [b"[]", b"null", b"\xff", b"{}", b"[" * 100_000])
def test_a_note_of_a_failure_that_says_nothing_is_none(tmp_path, content):
    store = Store(tmp_path)
    store.put_failure(SPEC, "the loss became nan")
    assert store.failure(SPEC) == "the loss became nan"
    store.path(SPEC).with_suffix(".failed").write_bytes(content)
    assert store.failure(SPEC) is None


def test_what_was_set_aside_is_not_lost_to_the_next(tmp_path):
    store = Store(tmp_path)
    path = store.path(SPEC)
    for content in ("one", "two"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        store.put(fabricate.record(SPEC))
    assert {p.read_text() for p in tmp_path.rglob("*.damaged")} == {"one", "two"}


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_permissions_that_the_umask_leaves(tmp_path, mask, mode, tiny):
    before = os.umask(mask)
    try:
        store = Store(tmp_path)
        files = [store.put(fabricate.record(SPEC))]
        store.put_state(SPEC, tiny[0])
        store.put_state_bytes(replace(SPEC, seed=1), b"weights")
    finally:
        os.umask(before)
    files += list(tmp_path.rglob("*.safetensors"))
    assert [oct(path.stat().st_mode & 0o777) for path in files] == [oct(mode)] * 3


def test_temporary_files_of_killed_writes_are_no_records_and_go_after_a_day(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put(fabricate.record(SPEC))
    old, new = (tmp_path / "mixup_calibration" / f".{name}.tmp" for name in ("old", "new"))
    old.parent.mkdir()
    for path, age in ((old, 25), (new, 23)):
        path.write_text("{")
        os.utime(path, 2 * (time.time() - age * 3600,))
    assert len(store.scan()[0]) == 1
    assert store.scan()[1] == {}
    monkeypatch.setattr(Local, "wait", lambda self, s: [Outcome(self._next[0], fabricate.record(self._next[0]))])
    run_all([replace(SPEC, seed=1)], store=store, progress=False)
    assert not old.exists()
    assert new.exists()
