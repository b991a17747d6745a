import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from mixlib import engines
from mixlib.engines import run_all
from mixlib.runs import RunFailed, execute
from mixlib.store import DamagedRecord, Store

SWEEP = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {root!r})
from dataclasses import replace
from mixlib.engines import run_all
from mixlib.runs import RunSpec
from mixlib.store import Store
base = RunSpec.from_canonical({spec!r})
run_all([replace(base, seed=s) for s in range(40)], store=Store({folder!r}), progress=False)
"""


def test_records_come_back_in_order_and_are_run_once(tmp_path, spec, monkeypatch):
    store = Store(tmp_path)
    specs = [replace(spec, seed=s) for s in (2, 1, 2)]
    records = run_all(specs, store=store, progress=False)
    assert [r.spec.seed for r in records] == [2, 1, 2]
    monkeypatch.setitem(engines.ENGINES, "local", lambda *a: pytest.fail("nothing is missing"))
    assert run_all(specs, store=store, progress=False) == records


def test_unknown_engine_is_refused(spec):
    with pytest.raises(ValueError, match="unknown engine 'spark'; choose one of local"):
        run_all([spec], engine="spark")


def test_a_poisoned_run_is_reported_and_the_rest_goes_on(tmp_path, spec):
    store = Store(tmp_path)
    poisoned = replace(spec, learning_rate=1e30)
    with pytest.raises(RunFailed, match=r"1 of 2 runs failed[\s\S]*seed 3: .*became (nan|NaN)"):
        run_all([poisoned, spec], store=store, progress=False)
    assert store.get(spec) is not None
    assert store.get(poisoned) is None


def test_a_damaged_record_stops_the_sweep_before_anything_runs(tmp_path, spec):
    store = Store(tmp_path)
    path = store.path(spec)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    other = replace(spec, seed=77)
    with pytest.raises(DamagedRecord, match=path.name):
        run_all([other, spec], store=store, progress=False)
    assert store.get(other) is None


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
