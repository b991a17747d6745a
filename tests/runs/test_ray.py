"""The engine ``ray``, with real workers of a real Ray. It takes seconds to start either of them, so tests that can
share them follow one another."""

import ipaddress
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from threading import Thread

import psutil
import pytest
import ray
import torch

from mixlib.papers.registry import artefact_runs
from mixlib.runs import engines, models, synthetic
from mixlib.runs.engines import run_all
from mixlib.runs.spec import RunFailed
from mixlib.runs.store import Store
from mixlib.runs.training import execute

ENGINE = "ray workers=2 time_limit=60"
SWEEP = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background has it switched off
from dataclasses import replace
from mixlib.runs.engines import run_all
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store
base = RunSpec.from_canonical({spec!r})
run_all([replace(base, seed=s) for s in range(300)], "ray workers=1", Store({folder!r}), progress=False)
"""


OF_KILLED_DRIVERS: list[psutil.Process] = []  # processes that Ray needs a minute to end: other tests run meanwhile


@pytest.fixture(scope="session", autouse=True)  # not of the module: tests of others may come between
def _one_ray():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MIXLIB_DATA", raising=False)  # workers have what the driver sends them, and nothing else
        with engines.get(ENGINE):
            pass  # Ray is up now, with the environment as it was before any test
    yield
    engines.get(ENGINE).close()
    _, alive = psutil.wait_procs(OF_KILLED_DRIVERS, timeout=90)
    assert alive == []


def busy_workers(but=frozenset()):
    """The worker processes of the sweeps of this process that are doing a run, by number; without these others, which
    may be those of an earlier sweep that are on their way out."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may end meanwhile
            if " ".join(process.cmdline()).startswith("ray::Worker.run"):
                found.add(process.pid)
    return found - but


def when(condition, then):
    """Call ``then`` from another thread as soon as the condition holds."""

    def watch():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if found := condition():
                then(found)
                return
            time.sleep(0.05)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    return thread


def driver_in(folder, spec):
    """A sweep on Ray in a process of its own."""
    folder.mkdir()
    code = SWEEP.format(spec=spec.canonical(), folder=str(folder))
    with (folder / "stderr").open("w") as said:
        return subprocess.Popen([sys.executable, "-c", code], stdout=said, stderr=said, start_new_session=True)


def stop(driver, sig, folder):
    """Send a signal to a driver after three runs; all processes that it had started."""
    deadline = time.monotonic() + 180
    while len(list(folder.rglob("*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    started = psutil.Process(driver.pid).children(recursive=True)
    assert len(started) > 2, (folder / "stderr").read_text()
    driver.send_signal(sig)
    assert driver.wait(timeout=60) != 0
    return started


def test_drivers_that_are_stopped_leave_every_finished_record_and_no_process(tmp_path, spec):
    """After SIGKILL the processes of Ray stay for a minute: that they end is seen when all tests have."""
    drivers = {sig: driver_in(tmp_path / sig.name, spec) for sig in (signal.SIGKILL, signal.SIGINT)}
    OF_KILLED_DRIVERS.extend(stop(drivers[signal.SIGKILL], signal.SIGKILL, tmp_path / "SIGKILL"))
    _, alive = psutil.wait_procs(stop(drivers[signal.SIGINT], signal.SIGINT, tmp_path / "SIGINT"), timeout=90)
    assert alive == []
    for sig in drivers:
        store = Store(tmp_path / sig.name)
        records, left_out = store.scan()
        assert 3 <= len(records) < 300
        assert left_out == {}
        kept = {path: path.read_bytes() for path in store.folder.rglob("*.json")}
        seeds = range(len(records) + 2)
        assert len(run_all([replace(spec, seed=s) for s in seeds], store=store, progress=False)) == len(seeds)
        assert all(path.read_bytes() == content for path, content in kept.items())


def test_it_gives_the_numbers_of_the_local_engine_bit_for_bit(tmp_path, spec):
    first = replace(spec, keep_state=True)
    specs = [
        replace(spec, dataset="mrpc", method="ssmix"),
        replace(spec, method="batchmixup", head="tanh"),
        replace(spec, dataset="fewrel", method="none", head="entities", train_size=84, dev_size=42, test_size=42),
        replace(spec, method="embedmix", seed=4, label_noise=0.25, curve_size=8),
        replace(spec, method="amplify", first_stage=first),
        artefact_runs("ssmix-figure2", "smoke")[0],
    ]
    local, ray = Store(tmp_path / "local"), Store(tmp_path / "ray")
    here = run_all(specs, "local cpus_per_run=1", local, progress=False)
    there = run_all(specs, ENGINE, ray, progress=False)
    assert [record.spec for record in there] == specs
    for one, other in zip(here[:-1], there[:-1], strict=True):
        assert other.evaluations == one.evaluations
        assert other.train_losses == one.train_losses
        assert other.reliability == one.reliability
        assert other.data == one.data
        assert other.environment["threads"] == 1
    assert ray.predictions(there[3]).to_bytes() == local.predictions(here[3]).to_bytes()
    assert there[-1].values == here[-1].values
    assert ray.state_path(first).read_bytes() == local.state_path(first).read_bytes()
    assert not list((tmp_path / "ray" / ".locks").iterdir())


def test_a_second_stage_starts_from_the_weights_of_the_store(tmp_path, spec):
    """Others than training would give: the worker cannot have made them again. And of this store at this time: workers
    outlive a sweep, and what was sent to them for the one before may be of another store, or made anew since."""
    first = replace(spec, keep_state=True)
    seconds = [replace(spec, first_stage=first, seed=seed) for seed in (3, 4)]
    made, digests = execute(first, Store(tmp_path / "elsewhere")), set()
    for folder, second in [("one", seconds[0]), ("other", seconds[0]), ("other", seconds[1])]:
        store = Store(tmp_path / folder)
        torch.manual_seed(len(digests))
        model, _ = models.load("tiny", 6)
        digest = store.put_state(first, model)
        store.put(replace(made, data=made.data | {"state": digest}))
        (record,) = run_all([second], ENGINE, store, progress=False)
        assert record.data["first_stage"] == digest
        digests.add(digest)
    assert len(digests) == 3


def test_data_and_model_are_the_drivers(tmp_path, spec, monkeypatch, tiny):
    """The workers were started before these folders existed, and know nothing of them."""
    for split in ("train", "validation", "test"):
        path = tmp_path / "data" / "mrpc" / f"{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        synthetic.twin("mrpc", split, "pair", 2).to_parquet(path)
    for part in tiny:
        part.save_pretrained(tmp_path / "models" / "mine")
    monkeypatch.setenv("MIXLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MIXLIB_MODELS", str(tmp_path / "models"))
    real = replace(spec, dataset="mrpc", model="mine", synthetic=False)
    here, there = (run_all([real], e, Store(tmp_path / e[:3]), progress=False)[0] for e in ("local", ENGINE))
    assert there.evaluations == here.evaluations
    assert there.data["source"] == "MIXLIB_DATA"


def test_a_model_folder_is_sent_to_the_workers(tmp_path, spec, tiny):
    """They know only its name and digest, and its files may be gone by the time that they are needed. One that is
    refused is refused for its own reason."""
    for part in tiny:
        part.save_pretrained(tmp_path / "my model")
    whole, half = (replace(spec, model=f"{tmp_path}/my model{blocks}", max_steps=1) for blocks in ("", "[::2]"))
    for one in (whole, half):
        here, there = (run_all([one], e, Store(tmp_path / e[:3]), progress=False)[0] for e in ("local", ENGINE))
        assert there.evaluations == here.evaluations
        assert there.spec == here.spec == one
    shutil.copytree(tmp_path / "my model", tmp_path / "damaged")
    (tmp_path / "damaged" / "tokenizer.json").unlink()
    with pytest.raises(models.ModelRefused, match=r"in .*damaged cannot be used: its tokenizer"):
        run_all([replace(whole, model=tmp_path / "damaged")], ENGINE, Store(tmp_path / "no"), progress=False)


def test_what_nobody_has_is_reported_as_by_the_local_engine(tmp_path, spec, no_data):
    nobody_has = replace(spec, dataset="mrpc", synthetic=False)
    with pytest.raises(RunFailed, match=r"1 of 2 runs failed[^$]*data set 'mrpc', split 'train', is not available"):
        run_all([nobody_has, spec], ENGINE, Store(tmp_path), progress=False)
    assert not Store(tmp_path).missing([spec])


def test_ray_on_this_machine_listens_on_the_loopback_interface_alone(tmp_path, spec):
    run_all([spec], ENGINE, Store(tmp_path), progress=False)
    listening = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.Error):
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    ip = ipaddress.ip_address(connection.laddr.ip)
                    listening[process.name(), connection.laddr.port] = getattr(ip, "ipv4_mapped", None) or ip
    assert any(name.startswith("raylet") for name, _ in listening)
    assert {where for where, ip in listening.items() if not ip.is_loopback} == set()


def test_a_killed_worker_costs_only_its_run_which_is_begun_again(tmp_path, spec):
    store = Store(tmp_path)
    specs = [replace(spec, seed=s, num_train_epochs=6) for s in range(12)]
    killed, earlier = [], busy_workers()

    def kill(pids):
        killed.append(min(pids))
        os.kill(min(pids), signal.SIGKILL)

    thread = when(lambda: len(list(tmp_path.rglob("*.json"))) >= 2 and busy_workers(earlier), kill)
    records = run_all(specs, ENGINE, store, progress=False)
    thread.join()
    assert killed
    assert not psutil.pid_exists(killed[0]) or psutil.Process(killed[0]).status() == psutil.STATUS_ZOMBIE
    assert [record.spec for record in records] == specs
    assert len(list(tmp_path.rglob("*.json"))) == 12
    assert store.scan()[1] == {}
    alone = run_all(specs[:3], "local cpus_per_run=1", Store(tmp_path / "again"), progress=False)
    assert [r.evaluations for r in records[:3]] == [r.evaluations for r in alone]


@pytest.mark.parametrize("name", ["OutOfMemoryError", "ObjectLostError"])
def test_a_worker_that_ray_ends_for_another_reason_costs_only_its_run(tmp_path, spec, monkeypatch, name):
    """Ray's memory monitor, for one, has an error of its own."""
    get, met = ray.get, []

    def once(reference):
        met.append(reference)
        if len(met) == 3:  # the first two are the workers' starts
            error = getattr(ray.exceptions, name)
            raise error("no room") if name == "OutOfMemoryError" else error(reference.hex(), None, "")
        return get(reference)

    monkeypatch.setattr(ray, "get", once)
    specs = [replace(spec, seed=s) for s in range(4)]
    assert [r.spec for r in run_all(specs, ENGINE, Store(tmp_path), progress=False)] == specs
    assert len(met) > 3


def test_a_run_that_hangs_or_fails_or_loses_its_worker_is_reported_and_the_rest_goes_on(tmp_path, spec, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr(engines.get(ENGINE), "time_limit", 12)
    endless = replace(spec, num_train_epochs=1_000_000)
    poisoned = replace(spec, learning_rate=1e30)
    good = [replace(spec, seed=s) for s in (10, 11)]
    with pytest.raises(RunFailed, match="2 of 4 runs failed") as error:
        run_all([endless, poisoned, *good], ENGINE, store, progress=False)
    assert "longer than the time limit of 12 s" in str(error.value)
    assert "became" in str(error.value)
    assert not store.missing(good)
    assert "time limit" in store.failure(endless)


def test_a_run_whose_worker_dies_again_and_again_is_given_up(tmp_path, spec, monkeypatch):
    monkeypatch.setattr(engines.get(ENGINE), "retries", 0)
    endless, earlier = replace(spec, num_train_epochs=1_000_000), busy_workers()
    when(lambda: busy_workers(earlier), lambda pids: [os.kill(pid, signal.SIGKILL) for pid in pids])
    with pytest.raises(RunFailed, match="its worker died once"):
        run_all([endless], ENGINE, Store(tmp_path), progress=False)


def test_what_this_machine_cannot_give_is_said_before_anything_runs(tmp_path, spec):
    with pytest.raises(ValueError, match="a run asks for 5000 CPUs and 0 GPUs on one node, but there are"):
        run_all([spec], "ray cpus_per_run=5000", Store(tmp_path), progress=False)
    assert not list(tmp_path.rglob("*.json"))


def test_a_node_with_other_code_is_refused(tmp_path, spec, monkeypatch):
    from mixlib.runs import machine

    monkeypatch.setattr(machine, "code_version", lambda: "0.0.1+other")
    with pytest.raises(RuntimeError, match=r"workers cannot start: .*the same checkout on every node"):
        run_all([spec], "ray workers=1", Store(tmp_path), progress=False)


def test_a_busy_machine_on_which_ray_does_not_start_at_once(monkeypatch, capsys):
    from mixlib.runs.engines import on_ray

    fails = [Exception("The current node timed out during startup.\nThis could happen"), RuntimeError("no port"), None]
    tries = iter(fails)

    def start(*arguments, **options):
        if error := next(tries):
            raise error

    monkeypatch.setattr("ray.init", start)
    on_ray._start()
    assert capsys.readouterr().err.count("trying again") == 2
    tries = iter(fails[:2] * 2)
    with pytest.raises(TimeoutError, match=r"in 3 tries \(The current node .* startup.\): it may be too busy"):
        on_ray._start()


def test_a_folder_too_long_for_sockets_is_no_busy_machine(monkeypatch):
    from mixlib.runs.engines import on_ray

    def start(*arguments, **options):
        raise OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /scratch/...")

    monkeypatch.setattr("ray.init", start)
    with pytest.raises(OSError, match=r"set RAY_TMPDIR to a shorter one"):
        on_ray._start()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "host:port"])
def test_no_cluster_where_one_was_named(tmp_path, spec, address):
    engines.get(ENGINE).close()
    with pytest.raises(ConnectionError, match="ray start --head"):
        run_all([spec], f"ray address={address}", Store(tmp_path), progress=False)


def test_scratch_folders_go_also_those_of_killed_drivers(tmp_path, spec, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen(["true"])
    ended.wait()
    sweep_of = f"mixlib-sweep-{platform.node()}"
    for owner in (ended.pid, os.getppid()):
        (tmp_path / f"{sweep_of}-{owner}-x").mkdir()
    engine = engines.Ray(workers=1)
    with engine:
        mine = f"{sweep_of}-{os.getpid()}-"
        names = {path.name for path in tmp_path.iterdir()}
        assert f"{sweep_of}-{ended.pid}-x" not in names
        assert f"{sweep_of}-{os.getppid()}-x" in names  # its driver lives
        assert any(name.startswith(mine) for name in names)
    engine.close()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(mine)]
