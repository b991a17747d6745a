"""A first stage and what starts from it are one unit: at the end of a sweep all fit the same weights."""

import errno
import resource
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from mixlib.runs import engines, models
from mixlib.runs.engines import base, run_all
from mixlib.runs.records import DamagedRecord, VoidRecord
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store
from mixlib.runs.training import execute

FIRST = RunSpec(
    paper="ssmix", dataset="sst2", method="none", seed=1, model="tiny", train_size=16, dev_size=8, test_size=8,
    batch_size=16, synthetic=True, learning_rate=5e-3, warmup_ratio=0.0, num_train_epochs=1, max_length=16,
    keep_state=True,
)  # fmt: skip
SECONDS = [replace(FIRST, method=method, keep_state=False, first_stage=FIRST) for method in ("ssmix", "none")]


def other_weights(seed: int = 5) -> torch.nn.Module:
    torch.manual_seed(seed)
    return models.load("tiny", 2)[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("made")
    run_all([FIRST, *SECONDS], store=Store(folder), progress=False)
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def store(tmp_path, made):
    """All three done, in a store of this test's own."""
    for name, content in made.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Store(tmp_path)


@pytest.fixture
def as_elsewhere(monkeypatch):
    """Training comes out with other numbers than before, as on another machine."""
    execute_here = base.execute

    def elsewhere(spec, store):
        if spec != FIRST:
            return execute_here(spec, store)
        record = execute_here(replace(spec, learning_rate=1e-3), store)
        store.state_path(record.spec).rename(store.state_path(spec))
        return replace(record, spec=spec)

    monkeypatch.setattr(base, "execute", elsewhere)


def states(store: Store) -> set[str]:
    """The digests that the unit's records and its weights name."""
    named = {store.get(spec).data["first_stage"] for spec in SECONDS}
    return named | {store.get(FIRST).data["state"], store.state(FIRST)}


def test_second_stages_stay_valid_without_the_weights(store):
    store.state_path(FIRST).unlink()
    assert engines.missing([FIRST, *SECONDS], store) == []
    assert len(store.scan()[0]) == 3


@pytest.mark.usefixtures("as_elsewhere")
def test_where_the_weights_come_out_otherwise_the_whole_unit_is_made_again(store, capsys):
    before = states(store).pop()
    store.state_path(FIRST).unlink()
    store.path(SECONDS[0]).unlink()
    assert engines.missing(SECONDS, store) == [FIRST, SECONDS[0]]
    run_all([SECONDS[0]], store=store, progress=False)  # the other one was not asked for
    assert len(after := states(store)) == 1
    assert after != {before}
    assert f"void: {SECONDS[1]}: it started from other weights of {FIRST}" in capsys.readouterr().err
    assert before in next(store.folder.rglob("*.damaged")).read_text()
    assert store.scan()[1] == {}


def test_where_they_come_out_the_same_every_record_stays(store, made):
    store.state_path(FIRST).unlink()
    store.path(SECONDS[0]).unlink()
    run_all(SECONDS, store=store, progress=False)
    assert len(states(store)) == 1
    for spec in (FIRST, SECONDS[1]):
        assert store.path(spec).read_bytes() == made[store.path(spec).relative_to(store.folder)]


def test_other_weights_under_its_name_are_never_used(store, made, capsys):
    store.put_state(FIRST, other_weights())
    store.path(SECONDS[0]).unlink()
    with pytest.raises(DamagedRecord, match=r"safetensors: its digest is .*, but the record of its run says"):
        execute(SECONDS[0], store)
    run_all(SECONDS, store=store, progress=False)
    assert "not the weights that the record of" in capsys.readouterr().err
    assert len(states(store)) == 1
    assert store.path(SECONDS[1]).read_bytes() == made[store.path(SECONDS[1]).relative_to(store.folder)]


@pytest.mark.usefixtures("as_elsewhere")
def test_a_first_stage_that_lost_its_record_makes_those_void_that_started_from_other_weights(store):
    store.path(FIRST).unlink()
    assert engines.missing([FIRST, *SECONDS], store) == [FIRST]
    run_all([FIRST, *SECONDS], store=store, progress=False)
    assert len(states(store)) == 1


def test_void_records_are_missing_named_and_left_out(store, capsys):
    record = store.get(FIRST)
    store.put(replace(record, data=record.data | {"state": store.put_state(FIRST, other_weights())}))
    with pytest.raises(VoidRecord, match=r"started from the weights .* of its first stage, whose record now says"):
        store.get(SECONDS[0])
    assert store.missing([FIRST, *SECONDS]) == SECONDS
    records, left_out = store.scan()
    assert [record.spec for record in records] == [FIRST]
    assert set(left_out) == {store.path(spec) for spec in SECONDS}
    run_all(SECONDS, store=store, progress=False)
    assert len(states(store)) == 1
    assert capsys.readouterr().err.count("void: ") == 2


def test_a_worker_gets_the_weights_with_the_record_that_names_them(store, tmp_path):
    pytest.importorskip("ray")
    from mixlib.runs.engines.worker import Worker

    worker = object.__new__(Worker)
    worker._store, worker._has = Store(tmp_path / "worker"), {}
    weights = store.state_path(FIRST).read_bytes()
    outcomes = []
    for state in (store.state(FIRST), "0123456789abcdef"):
        record = replace(store.get(FIRST), data=store.get(FIRST).data | {"state": state})
        outcomes.append(worker._attempt(SECONDS[0], (record, weights)))
        assert not [path for path in (tmp_path / "worker").rglob("*") if path.is_file()]
    assert outcomes[0].record.data["first_stage"] == store.state(FIRST)
    assert outcomes[1].record is None
    assert "but the record of its run says 0123456789abcdef" in outcomes[1].failure


def test_units_stay_together_in_order_shard_and_limit(tmp_path):
    firsts = [replace(FIRST, seed=s) for s in range(3)]
    seconds = [replace(s, seed=f.seed, first_stage=f) for s in SECONDS for f in firsts]
    alone = replace(FIRST, keep_state=False, seed=9)
    units = [[first, *[s for s in seconds if s.first_stage == first]] for first in firsts]
    together = [spec for unit in units for spec in unit]
    grid = [*seconds, alone, *firsts]
    assert engines.missing(grid, Store(tmp_path)) == [*together, alone]
    assert engines.missing(seconds, Store(tmp_path)) == together
    assert engines.limited(grid, 1) == engines.limited(grid, 3) == units[0]
    assert engines.limited(grid, 4) == units[0] + units[1]
    assert engines.limited(grid, None) == [*together, alone]
    assert engines.shard(grid, 0, 2) == units[0] + units[2]


def test_a_sweep_does_what_starts_from_a_first_stage_before_the_next_first_stage(tmp_path, monkeypatch):
    firsts = [replace(FIRST, seed=s) for s in range(2)]
    seconds = [replace(s, seed=f.seed, first_stage=f) for s in SECONDS for f in firsts]
    order, execute_here = [], base.execute
    monkeypatch.setattr(base, "execute", lambda spec, store: order.append(spec.seed) or execute_here(spec, store))
    run_all(seconds, store=Store(tmp_path), progress=False)
    assert order == [0, 0, 0, 1, 1, 1]


def test_a_sweep_ends_where_the_weights_are_not_what_the_record_says(tmp_path, monkeypatch):
    def lying(spec, store):
        record = execute(spec, store)
        return replace(record, data=record.data | {"state": "0123456789abcdef"}) if spec == FIRST else record

    monkeypatch.setattr(base, "execute", lying)
    with pytest.raises(base.RunFailed, match="3 of 3 runs failed"):
        run_all(SECONDS, store=Store(tmp_path), progress=False)


def test_a_disk_too_full_for_weights_stops_the_sweep(tmp_path, monkeypatch):
    save = safetensors.torch.save_model

    def into_a_full_disk(model, path):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        try:
            save(model, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(safetensors.torch, "save_model", into_a_full_disk)
    with pytest.raises(OSError, match=r"File too large.*a disk was full while .* was running\. The sweep was stopped"):
        run_all([replace(FIRST, seed=s) for s in range(3)], store=Store(tmp_path), progress=False)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []  # and no run counts as failed


def test_what_a_full_disk_is_called():
    def outcome(error):
        return base.failed(FIRST, error).disk_full

    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        assert outcome(OSError(number, "of the system"))
    assert outcome(SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert not outcome(SafetensorError("Error while deserializing header: invalid header"))
    assert not outcome(FileNotFoundError(2, "No such file"))
    assert not outcome(ValueError("no"))
