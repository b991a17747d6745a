"""Shared by all tests: no hub, one thread, and a record store of their own unless a test asks for the committed one."""

import gc
import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.pop("MIXLIB_PRECISION", None)  # runs are in fp32 unless a test says otherwise, whatever is set here

import pytest
import torch

import mixlib.papers.registry  # noqa: F401 (cells, claims and studies are there in every test)
from mixlib.runs import models, paths
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store

WAITING = ("test_ray", "test_engines", "test_hub", "test_readme", "test_types")  # their processes take minutes


@pytest.hookimpl(trylast=True)  # after tests are deselected: stretches are counted over those that run
def pytest_collection_modifyitems(items):
    """Tests that wait begin first, on different workers.

    pytest-xdist gives each worker an equal stretch of the list; whoever is done takes from the end of another's.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    others = [item for item in items if item.path.stem not in WAITING]
    ordered = []
    for worker in range(workers):
        share = (len(items) - len(ordered)) // (workers - worker)
        mine = WAITING[worker::workers]
        first = sorted((item for item in items if item.path.stem in mine), key=lambda item: mine.index(item.path.stem))
        fill = max(share - len(first), 0)
        ordered += first + others[:fill]
        del others[:fill]
    items[:] = ordered + others


def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # trainers collect garbage at each start: not among all imports, hundreds of times


@pytest.fixture(scope="module", autouse=True)
def _one_thread_in_fixtures():
    torch.set_num_threads(1)  # the last bits of a run depend on it


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _usual_precision():
    """A command with ``--precision`` sets it for its process, which here goes on to other tests and their fixtures."""
    yield
    os.environ.pop("MIXLIB_PRECISION", None)


@pytest.fixture
def store_folder(tmp_path, monkeypatch):
    """An empty record store that library and subprocesses use."""
    folder = tmp_path / "results"
    monkeypatch.setenv("MIXLIB_RESULTS", str(folder))
    return folder


@pytest.fixture(scope="session")
def committed():
    """The usable records of the repository, read once."""
    return Store(paths.ROOT / "data" / "results").scan()[0]


@pytest.fixture
def no_data(monkeypatch):
    """A machine without MIXLIB_DATA."""
    monkeypatch.delenv("MIXLIB_DATA", raising=False)


@pytest.fixture
def tiny():
    """A tiny classifier of three classes in eval mode, and its tokenizer."""
    torch.manual_seed(0)
    model, tokenizer = models.load("tiny", num_labels=3, dropout=0.0)
    return model.eval(), tokenizer


@pytest.fixture
def batch():
    """Six right-padded rows of different lengths for the tiny model."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([4, 9, 6, 9, 3, 7])
    ids = torch.randint(10, 60, (6, 9), generator=generator)
    mask = (torch.arange(9) < lengths[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask, "labels": torch.tensor([0, 1, 2, 0, 1, 2])}


@pytest.fixture
def spec():
    """A run of about a second on a synthetic twin."""
    return RunSpec(
        paper="mixup_calibration", dataset="trec_coarse", method="cls_mixup", seed=3, model="tiny", train_size=32,
        dev_size=16, test_size=32, synthetic=True, learning_rate=5e-3, num_train_epochs=2, max_length=32,
    )  # fmt: skip
