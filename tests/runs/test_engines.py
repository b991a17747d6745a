import errno
import gc
import io
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Timer

import pytest

from mixlib.runs import engines
from mixlib.runs.corpora import DataDiffers
from mixlib.runs.engines import Local, base, run_all, shard
from mixlib.runs.engines.sweep import Progress
from mixlib.runs.spec import RunFailed
from mixlib.runs.store import Store, release
from mixlib.runs.studies import StudySpec
from mixlib.runs.training import execute

SWEEP = """
import signal, sys, torch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background has it switched off
torch.set_num_threads(1)
sys.path.insert(0, {root!r})
from dataclasses import replace
from mixlib.runs.engines import run_all
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store
base = RunSpec.from_canonical({spec!r})
run_all([replace(base, seed=s) for s in range(40)], store=Store({folder!r}), progress=False)
"""
COUNTING = """
from mixlib.runs.engines import base as engine
done, execute = [], engine.execute
def counted(spec, store):
    done.append(spec)
    return execute(spec, store)
engine.execute = counted
"""
# room for three records, then for less than one: what a full disk does to a write
FULL_DISK = """
import resource
from mixlib.runs.engines import sweep
put = Store.put
def filling(self, record):
    path = put(self, record)
    if len(list(path.parent.glob("*.json"))) == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
    return path
Store.put = filling
run_all("""


def test_records_come_back_in_order_and_are_run_once(tmp_path, spec, monkeypatch):
    store = Store(tmp_path)
    specs = [replace(spec, seed=s) for s in (2, 1, 2)]
    records = run_all(specs, store=store, progress=False)
    assert [r.spec.seed for r in records] == [2, 1, 2]
    monkeypatch.setattr(Local, "start", lambda *a: pytest.fail("nothing is missing"))
    assert run_all(specs, store=store, progress=False) == records


def test_unknown_engine_is_refused(spec):
    with pytest.raises(ValueError, match="unknown engine 'spark'; choose one of local, ray"):
        run_all([spec], engine="spark")


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """A data folder whose MRPC cannot be read."""
    (tmp_path / "data" / "mrpc").mkdir(parents=True)
    (tmp_path / "data" / "mrpc" / "train.parquet").write_text("no parquet")
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_run_is_begun_again_as_often_as_asked_after_its_worker_died(spec, monkeypatch, retries):
    """What the engine ray makes of a worker's death; there is no Ray and no worker here."""
    import ray

    from mixlib.runs.engines.on_ray import _Place

    def died(reference):
        raise ray.exceptions.ActorDiedError

    monkeypatch.setattr(ray, "get", died)
    monkeypatch.setattr(ray, "kill", lambda worker: None)
    engine = engines.Ray(retries=retries)

    def lose_a_worker(with_spec):
        engine._places.append(place := _Place(worker=None, pending=None, spec=with_spec))
        return engine._ended(place)

    for _ in range(retries):
        outcome = lose_a_worker(spec)
        assert (outcome.spec, outcome.record, outcome.failure) == (spec, None, None)  # has to be begun again
        assert lose_a_worker(None) is None
    assert "its worker died" in lose_a_worker(spec).failure
    with pytest.raises(RuntimeError, match="workers cannot start"):
        lose_a_worker(None)
    assert engine.places == 0


def test_another_ray_than_the_one_that_is_up_is_joined_or_refused(monkeypatch):
    """Which Ray an engine uses; there is none here."""
    import ray

    from mixlib.runs.engines import on_ray

    up, done = [], []
    monkeypatch.setattr(ray, "is_initialized", lambda: bool(up))
    monkeypatch.setattr(ray, "shutdown", lambda: done.append(f"left {up.pop()}"))

    def join(address="local"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as Ray puts one of its own there
        up.append(address)
        done.append(address)

    for name in ("_start", "_join"):
        monkeypatch.setattr(on_ray, name, join)
    for name in ("joined", "before", "keeper"):
        monkeypatch.setattr(engines.Ray, name, None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    private, cluster, auto = engines.Ray(), engines.Ray(address="head:6379"), engines.Ray(address="auto")
    for engine in (private, private, cluster, cluster, auto, private):
        engine._connect()
        assert signal.getsignal(signal.SIGTERM) is on_ray._exit
        engine.close() if engine is cluster else None  # a cluster stays joined
    assert done == ["local", "left local", "head:6379", "left head:6379", "auto", "left auto", "local"]
    private.close()
    assert (up, engines.Ray.joined, signal.getsignal(signal.SIGTERM)) == ([], None, before)
    up.append("the caller's own")
    private._connect()
    with pytest.raises(ValueError, match=r"address=auto cannot be joined: Ray is already initialized"):
        auto._connect()
    assert up == ["the caller's own"]


def test_data_that_are_damaged_are_left_to_the_worker_to_name(damaged):
    assert engines.Ray()._send(("split", "mrpc", "train", False), None) == (None, None)


def test_a_damaged_data_set_stops_no_run_on_another(tmp_path, spec, damaged):
    hurt = replace(spec, dataset="mrpc", synthetic=False)
    with pytest.raises(RunFailed, match=r"1 of 2 runs failed[^$]*train.parquet: cannot be read as a parquet file"):
        run_all([hurt, spec], store=Store(tmp_path), progress=False)
    assert not Store(tmp_path).missing([spec])
    with pytest.raises(DataDiffers, match="cannot be read as a parquet file"):
        run_all([hurt], store=Store(tmp_path), progress=False)


def test_a_poisoned_run_is_reported_and_the_rest_goes_on(tmp_path, spec):
    store = Store(tmp_path)
    poisoned = replace(spec, learning_rate=1e30)
    with pytest.raises(RunFailed, match=r"1 of 2 runs failed[\s\S]*seed 3: .*became (nan|NaN)"):
        run_all([poisoned, spec], store=store, progress=False)
    assert store.get(spec) is not None
    assert store.get(poisoned) is None


def test_runs_on_data_that_is_there_are_done_whatever_the_others_lack(tmp_path, spec, no_data):
    nobody_has = replace(spec, dataset="mrpc", synthetic=False)
    with pytest.raises(RunFailed, match=r"1 of 2 runs failed[^$]*data set 'mrpc', split 'train', is not available"):
        run_all([nobody_has, spec], store=Store(tmp_path), progress=False)
    assert not Store(tmp_path).missing([spec])


def test_a_record_cut_in_half_is_named_and_made_again(tmp_path, spec, capsys):
    store = Store(tmp_path)
    (record,) = run_all([spec], store=store, progress=False)
    path = store.path(spec)
    half = path.read_text()[: path.stat().st_size // 2]
    path.write_text(half)
    other = replace(spec, seed=77)
    again, _ = run_all([spec, other], store=store, progress=False)
    assert again.evaluations == record.evaluations
    assert path.name in capsys.readouterr().err
    assert path.with_name(f"{path.name}.damaged").read_text() == half
    assert len(store.scan()[0]) == 2


def test_a_failure_is_noted_until_the_run_has_a_record(tmp_path, spec, monkeypatch):
    store = Store(tmp_path)
    poisoned = replace(spec, learning_rate=1e30)
    assert store.failure(poisoned) is None
    with pytest.raises(RunFailed):
        run_all([poisoned], store=store, progress=False)
    assert "became" in store.failure(poisoned)
    monkeypatch.setattr(base, "execute", lambda spec, store: replace(healthy, spec=spec))
    healthy = execute(spec)
    run_all([poisoned], store=store, progress=False)
    assert store.failure(poisoned) is None
    assert not list(tmp_path.rglob("*.failed"))


def test_a_run_that_takes_too_long_is_stopped_and_the_rest_goes_on(tmp_path, spec):
    endless = replace(spec, num_train_epochs=1_000_000)
    with pytest.raises(RunFailed, match=r"1 of 2 runs failed[\s\S]*longer than the time limit of 8 s"):
        run_all([endless, spec], "local time_limit=8", Store(tmp_path), progress=False)
    assert Store(tmp_path).get(spec) is not None


def test_a_first_stage_is_run_before_those_that_start_from_it_and_its_failure_is_theirs(tmp_path, spec):
    store = Store(tmp_path)
    first = replace(spec, keep_state=True)
    second = replace(spec, method="none", first_stage=first)
    poisoned = replace(first, learning_rate=1e30)
    lost = replace(second, first_stage=poisoned)
    with pytest.raises(RunFailed, match=r"2 of 4 runs failed") as error:
        run_all([lost, second], store=store, progress=False)
    assert "the run that it starts from failed: " in str(error.value)
    assert store.get(first) is not None
    assert store.get(second) is not None
    record = store.path(first).read_bytes()
    store.state_path(first).unlink()
    store.path(second).unlink()
    run_all([second], store=store, progress=False)
    assert store.path(first).read_bytes() == record  # the weights were made again, the record stays as it was


class Several(Local):
    """Could do three runs at once, and ends them in the order they were begun; keeps each with the number under way."""

    def __init__(self, end=base.attempt):
        super().__init__()
        self.end, self.under_way, self.started = end, [], []

    def room(self):
        return 3 - len(self.under_way)

    def start(self, spec, store):
        self.under_way.append((spec, store))
        self.started.append((spec, len(self.under_way)))

    def wait(self, seconds):
        return [self.end(*self.under_way.pop(0))] if self.under_way else []


def test_a_second_stage_waits_for_its_first_where_both_could_run_at_once(tmp_path, spec):
    second = replace(spec, method="none", first_stage=replace(spec, keep_state=True))
    engine, store = Several(), Store(tmp_path)
    run_all([second, replace(spec, method="manifold_mixup")], engine, store, progress=False)
    methods = [(run.method, beside) for run, beside in engine.started]
    assert methods == [("cls_mixup", 1), ("manifold_mixup", 2), ("none", 2)]  # with three, the first had not ended


def test_two_sweeps_on_one_store_share_the_work(tmp_path, spec):
    """Each prints how many runs it did itself: together every run once."""
    code = COUNTING + SWEEP.format(root=os.getcwd(), spec=spec.canonical(), folder=str(tmp_path)) + "print(len(done))"
    sweeps = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    own = [int(sweep.communicate(timeout=180)[0]) for sweep in sweeps]
    assert all(sweep.returncode == 0 for sweep in sweeps)
    records, left_out = Store(tmp_path).scan()
    assert len(records) == 40
    assert left_out == {}
    assert sum(own) == 40
    assert min(own) > 0
    assert not list((tmp_path / ".locks").iterdir())


def test_what_another_sweep_has_under_way_is_waited_for(tmp_path, spec):
    store, other = Store(tmp_path), Store(tmp_path)
    record = execute(spec)
    lock = other.claim(spec)
    assert store.claim(spec) is None

    def finish():
        other.put(record)
        release(lock)

    Timer(1.5, finish).start()
    assert run_all([spec], store=store, progress=False) == [record]


def test_a_disk_that_takes_no_more_stops_the_sweep_and_leaves_nothing_half_written(tmp_path, spec):
    folder = tmp_path / "store"
    code = SWEEP.format(root=os.getcwd(), spec=spec.canonical(), folder=str(folder)).replace("run_all(", FULL_DISK)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert "could not be written" in ended.stderr
    assert "OSError" in ended.stderr
    store = Store(folder)
    records, left_out = store.scan()
    assert len(records) == 3
    assert left_out == {}
    assert not [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"]
    kept = {path: path.read_bytes() for path in folder.rglob("*.json")}
    assert len(run_all([replace(spec, seed=s) for s in range(5)], store=store, progress=False)) == 5
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_interrupting_leaves_every_finished_record_and_nothing_else(tmp_path, spec):
    code = SWEEP.format(root=os.getcwd(), spec=spec.canonical(), folder=str(tmp_path)).replace(
        "range(40)", "range(400)"
    )
    sweep = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.rglob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(6):  # Python drops an interrupt that falls into a destructor
        sweep.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            assert sweep.wait(timeout=10) != 0
            break
    assert sweep.poll() is not None
    records, left_out = Store(tmp_path).scan()
    assert 2 <= len(records) < 400
    assert left_out == {}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".json"]


def test_studies_of_time_come_last_and_have_the_machine_for_themselves(tmp_path, spec):
    timed = StudySpec(paper="ssmix", study="step_time", seed=0, synthetic=True)
    engine = Several(lambda spec, store: base.Outcome(spec, failure="not run"))
    with pytest.raises(RunFailed):
        run_all([timed, *(replace(spec, seed=s) for s in range(5))], engine, Store(tmp_path), progress=False)
    assert [count for _, count in engine.started] == [1, 2, 3, 3, 3, 1]
    assert engine.started[-1][0] == timed


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_the_whole_grid_cut_without_its_two_stages(count, spec):
    firsts = [replace(spec, seed=s, keep_state=True) for s in range(4)]
    grid = [*firsts, *(replace(spec, seed=s) for s in range(10, 19))]
    grid += [replace(spec, method=m, seed=f.seed, first_stage=f) for m in ("none", "manifold_mixup") for f in firsts]
    parts = [shard(grid, i, count) for i in range(count)]
    assert sorted((s for part in parts for s in part), key=str) == sorted(grid, key=str)
    assert max(map(len, parts)) - min(map(len, parts)) <= 4
    for part in parts:
        assert {s.first_stage for s in part if s.first_stage} <= set(part)
    with pytest.raises(ValueError, match=f"numbered 0/{count}"):
        shard(grid, count, count)


def test_an_engine_is_described_by_its_name_and_options():
    assert engines.get("local") is engines.get("local")
    assert engines.get("ray gpus_per_run=.5").gpus_per_run == 0.5
    ray = engines.get("ray gpus_per_run=0.25 time_limit=60 address=auto")
    assert (ray.gpus_per_run, ray.time_limit, ray.address, ray.retries) == (0.25, 60, "auto", 2)
    assert engines.describe("ray", workers=2, retries=None) == "ray workers=2"


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("spark", "unknown engine 'spark'; choose one of local, ray"),
        ("", "unknown engine ''"),
        ("ray gpu_per_run=1", "did you mean gpus_per_run=...?"),
        ("ray workers", "has no option 'workers'"),
        ("local workers=2", "it has cpus_per_run, time_limit"),
        ("ray cpus_per_run=0", "cpus_per_run must be a whole number of at least 1, got 0"),
        ("ray cpus_per_run=null", "cpus_per_run must be a whole number of at least 1, got None"),
        ("ray retries=null", "retries must be a whole number of at least 0, got None"),
        ("ray workers=1.5", "workers must be a whole number of at least 1, got 1.5"),
        ("ray time_limit=soon", "time_limit must be a number of at least 0.01, got 'soon'"),
    ],
)
def test_wrong_descriptions_are_refused_with_what_would_be_right(description, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        engines.get(description)


HOLDING = """
import sys, time
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store
lock = Store({folder!r}).claim(RunSpec.from_canonical({spec!r}))
print("taken", flush=True)
time.sleep(600)
"""


def test_who_is_waited_for_is_said_after_some_seconds(tmp_path, spec, monkeypatch, capsys):
    """The other one is stopped, not ended: it holds its lock and does nothing."""
    from mixlib.runs.engines import sweep

    monkeypatch.setattr(sweep, "SILENCE", 0.5)
    code = HOLDING.format(folder=str(tmp_path), spec=spec.canonical())
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "taken\n"
        other.send_signal(signal.SIGSTOP)
        say = sweep._say_what_is_waited_for
        monkeypatch.setattr(sweep, "_say_what_is_waited_for", lambda *about: (say(*about), other.kill()))
        run_all([spec, replace(spec, seed=9)], store=Store(tmp_path), progress=False)
    said = capsys.readouterr().err
    lock = tmp_path / ".locks" / f"{spec.key}.lock"
    assert said.count("waiting for") == 1
    assert f"waiting for {spec}: taken by process {other.pid} on {platform.node()} (lock {lock})" in said


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_refused_by_name(tmp_path, spec, monkeypatch, number):
    """A soft lock, a file that merely exists, would stop every sweep for ever once its owner is killed."""
    import fcntl

    def none(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(OSError, match=rf"{spec.key}\.lock cannot be locked .*MIXLIB_RESULTS"):
        run_all([spec], store=Store(tmp_path), progress=False)
    assert not list(tmp_path.rglob("*.json"))


def test_a_folder_that_cannot_be_written_is_not_called_one_without_locks(tmp_path, spec, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/\.locks cannot be written \(.*\); name another folder") as caught:
        run_all([spec], store=Store(tmp_path / "file"), progress=False)
    assert "flock" not in str(caught.value)
    assert "damaged" not in capsys.readouterr().err


def test_folders_of_killed_runs_are_swept_up_those_of_living_ones_and_of_others_stay(tmp_path, spec, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    here = platform.node()
    gone = [f"mixlib-run-{here}-{ended.pid}-abc", f"mixlib-sweep-{here}-{ended.pid}-abc"]
    stay = [f"mixlib-run-{here}-{os.getppid()}-abc", f"mixlib-run-{here}x-{ended.pid}-abc", "mixlib-run-a-b-c",
            f"mixlib-run-{here}-{10**20}-abc"]  # fmt: skip
    for name in [*gone, *stay]:
        (tmp_path / name / "checkpoint-1").mkdir(parents=True)
    run_all([spec], store=Store(tmp_path / "records"), progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {*stay, "records"}


def test_a_run_writes_into_a_folder_that_names_its_process(spec, monkeypatch):
    import transformers

    seen, train = [], transformers.Trainer.train
    monkeypatch.setattr(
        transformers.Trainer, "train", lambda self: seen.append(Path(self.args.output_dir).name) or train(self)
    )
    execute(spec)
    assert seen[0].startswith(f"mixlib-run-{platform.node()}-{os.getpid()}-")


def test_ctrl_c_says_how_far_it_came(tmp_path, spec, monkeypatch, capsys):
    calls = []

    def interrupted(run, store):
        calls.append(run)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return execute(run, store)

    monkeypatch.setattr(base, "execute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_all([replace(spec, seed=s) for s in range(3)], store=Store(tmp_path), progress=False)
    assert "stopped after 1 of 3 runs; the same command resumes there" in capsys.readouterr().err


def test_the_bar_says_what_is_running_failed_and_left(spec):
    specs = [replace(spec, seed=s) for s in range(4)]
    bar = Progress(specs, file=io.StringIO(), disable=False)
    assert bar.format_dict["left"] == "?"
    bar.running = 2
    bar.ended(specs[0], 10.0)
    bar.ended(specs[1], 10.0, failed=True)
    assert bar.format_dict["left"] == "00:10"  # two more of 10 s, two at once
    assert "2/4" in str(bar)
    assert "2 running, 1 failed" in str(bar)


def test_sigkill_in_mid_sweep_loses_only_the_run_in_flight(tmp_path, spec):
    code = SWEEP.format(root=os.getcwd(), spec=spec.canonical(), folder=str(tmp_path))
    sweep = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.rglob("*.json"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sweep.poll() is None, "the sweep ended before it could be killed"
    finally:
        sweep.send_signal(signal.SIGKILL)
        sweep.wait()
    store = Store(tmp_path)
    records, left_out = store.scan()
    assert 2 <= len(records) < 40
    assert left_out == {}
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}

    seeds = range(len(records) + 2)
    again = run_all([replace(spec, seed=s) for s in seeds], store=store, progress=False)
    assert len(again) == len(seeds)
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert again[0].evaluations == execute(replace(spec, seed=0)).evaluations


def test_collections_in_a_sweep_skip_what_was_there_and_leave_what_the_caller_froze():
    gc.unfreeze()
    with engines.get("local"):
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    gc.freeze()  # as the tests have it
    with engines.get("local"):
        pass
    assert gc.get_freeze_count() > 0
