"""The road of profile ``full``: the real clients of the hub, against a stand-in of it here (:mod:`tests.hub`)."""

import json
import os
import re
import subprocess
import sys

import pytest
import torch
import transformers
from datasets import ClassLabel, Dataset, Features, Value

from mixlib.runs import corpora, models, paths
from tests.hub import commit_of, serving

# what the documentation of each repository says: configuration, files, columns
PAIRS = ("entailment", "not_entailment")
SAID = {
    "nyu-mll/glue": {
        "rte": ({"sentence1": str, "sentence2": str, "label": PAIRS, "idx": int}, {"train": 2490, "validation": 277}),
        "sst2": ({"sentence": str, "label": ("negative", "positive"), "idx": int}, {"train": 20, "validation": 20}),
        "mrpc": ({"sentence1": str, "sentence2": str, "label": ("no", "yes"), "idx": int}, {"train": 20, "test": 20}),
        "qqp": ({"first": str, "question2": str, "label": ("no", "yes")}, {"train": 20, "validation": 20}),
    },
    "google/boolq": {"default": ({"question": str, "answer": bool, "passage": str}, {"train": 20, "validation": 20})},
    "facebook/anli": {
        "plain_text": (
            {"uid": str, "premise": str, "hypothesis": str, "label": ("entailment", "neutral", "contradiction"),
             "reason": str},
            {f"{split}_r{i}": 10 for split in ("train", "dev", "test") for i in (1, 2, 3)},
        )
    },
}  # fmt: skip
COARSE, FINE = tuple(f"c{i}" for i in range(6)), tuple(f"f{i}" for i in range(50))

DRIVER = """
import json, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.02))  # the clients' tries again, all of them, without their waits
from dataclasses import replace
from mixlib.runs import corpora
from mixlib.runs import models
from mixlib.papers.mixup_calibration import protocol as mixup_calibration
from mixlib.runs.training import execute

def rows(name, split):
    found = corpora.load_split(name, split)
    return [len(found.rows), found.rows.iloc[1].to_dict(), found.source]

def run():
    spec = next(s for s in mixup_calibration.table4("full", seeds=[0]) if s.dataset == "rte" and s.method == "none")
    record = execute(replace(spec, precision="fp32", max_length=32).trial(2))
    return [record.spec.model, record.test["accuracy"], record.data["source"], record.data["model"]]

STEPS = {"run": run, "model": models.weights_digest, "rows": rows}

def attempt(step):
    try:
        return {"result": STEPS[step[0]](*step[1:])}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}

print(json.dumps([attempt(step) for step in json.loads(sys.argv[1])]))
"""


def parquet(path, columns, rows):
    """Rows as the hub keeps them, with the names of the classes in the file."""

    def value(kind, i):
        text = f"good film number {i}" if i % 2 else f"bad book number {i}"
        return i % len(kind) if isinstance(kind, tuple) else {str: text, int: i, bool: i % 2 == 0}[kind]

    features = {name: ClassLabel(names=list(kind)) if isinstance(kind, tuple) else
                Value({str: "string", int: "int32", bool: "bool"}[kind]) for name, kind in columns.items()}  # fmt: skip
    data = {name: [value(kind, i) for i in range(rows)] for name, kind in columns.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(data, features=Features(features)).to_parquet(path)


def bert(folder):
    """A BERT as it is published, a masked language model, with weights in safetensors and its tokenizer."""
    torch.manual_seed(0)
    tokenizer = models.tiny_tokenizer()
    config = models.tiny_config(2, len(tokenizer))
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The repositories of the stand-in."""
    root = tmp_path_factory.mktemp("hub")
    for repo, configs in SAID.items():
        folder, lines = root / "datasets" / repo / corpora.REVISIONS[repo], ["---", "configs:"]
        for config, (columns, splits) in configs.items():
            lines += [f"- config_name: {config}", "  data_files:"]
            for split, rows in splits.items():
                lines += [f"  - split: {split}", f"    path: {config}/{split}-*"]
                parquet(folder / config / f"{split}-00000-of-00001.parquet", columns, rows)
        (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    branch = root / "datasets" / "CogComp" / "trec" / "refs+convert+parquet" / "default"
    trec = {"text": str, "coarse_label": COARSE, "fine_label": FINE}
    parquet(branch / "train" / "0000.parquet", trec, 60)
    parquet(branch / "test" / "0000.parquet", trec, 12)
    script = root / "datasets" / "CogComp" / "trec" / "main"
    script.mkdir()
    (script / "trec.py").write_text("raise SystemExit('a script, which current libraries do not run')\n")
    sst2 = root / "datasets" / "SetFit" / "sst2" / "main"
    sst2.mkdir(parents=True)
    lines = [json.dumps({"text": f"text {i}", "label": i % 2, "label_text": "x"}) for i in range(9)]
    for name in ("train", "dev", "test"):
        (sst2 / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    bert(root / "models" / "google-bert" / "bert-base-uncased" / "main")
    bert(root / "models" / "broken" / "tiny" / "main")
    for path in (root / "models" / "broken" / "tiny" / "main" / "model.safetensors",
                 root / "datasets" / "nyu-mll" / "glue" / corpora.REVISIONS["nyu-mll/glue"] / "mrpc"
                 / "train-00000-of-00001.parquet"):  # fmt: skip
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return root


ONLINE = {
    "rte": ["rows", "rte", "train"],
    "trec": ["rows", "trec_coarse", "train"],
    "fine": ["rows", "trec_fine", "test"],
    "boolq": ["rows", "boolq", "train"],
    "anli": ["rows", "anli_r1", "train"],
    "sst2": ["rows", "sst2", "train"],
    "test": ["rows", "sst2", "test"],
    "run": ["run"],
    "no such data": ["rows", "yelp_polarity", "train"],
    "no such model": ["model", "nobody/nothing"],
    "gated": ["model", "meta/gated"],
    "cut model": ["model", "broken/tiny"],
    "cut data": ["rows", "mrpc", "train"],
    "columns": ["rows", "qqp", "train"],
}
OFFLINE = {
    "rte": ["rows", "rte", "train"],
    "trec": ["rows", "trec_coarse", "train"],
    "run": ["run"],
    "data": ["rows", "imdb", "train"],
    "model": ["model", "google-bert/other"],
}


def drive(steps, address, home):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "MIXLIB_"))}
    environment |= {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1",
                    "PYTHONPATH": str(paths.ROOT), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # fmt: skip
    command = [sys.executable, "-c", DRIVER, json.dumps(list(steps.values()))]
    out = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home, timeout=900)
    assert out.returncode == 0, out.stderr
    return dict(zip(steps, json.loads(out.stdout.splitlines()[-1]), strict=True))


@pytest.fixture(scope="module")
def answers(root, tmp_path_factory):
    """What came of each step with the hub there, and then without it, from the same cache."""
    home = tmp_path_factory.mktemp("home")
    with serving(root, {"bert-base-uncased": "google-bert/bert-base-uncased"}, {"meta/gated"},
                 {"model.safetensors"}) as hub:  # fmt: skip
        online, asked, address = drive(ONLINE, hub.address, home), list(hub.asked), hub.address
    return {"online": online, "offline": drive(OFFLINE, address, home), "asked": asked}


def test_data_sets_come_at_their_revision_with_their_columns(answers):
    online = answers["online"]
    glue = corpora.REVISIONS["nyu-mll/glue"]
    count, row, source = online["rte"]["result"]
    assert (count, row) == (2490, {"text": "good film number 1", "text_b": "good film number 1", "label": 1})
    assert source == f"nyu-mll/glue@{glue}"
    count, row, source = online["trec"]["result"]
    assert (count, row["label"]) == (60, 1)
    assert source == f"CogComp/trec@{commit_of('refs/convert/parquet')}"
    assert online["fine"]["result"][0] == 12
    assert online["boolq"]["result"][1] == {"text": "good film number 1", "text_b": "good film number 1", "label": 0}
    assert online["anli"]["result"][0] == 30  # of three rounds
    assert online["sst2"]["result"][0] == 20
    assert online["test"]["result"][:2] == [9, {"text": "text 1", "label": 1}]


def test_a_run_of_the_full_protocol_goes_through_with_data_model_and_tokenizer_from_the_hub(answers):
    model, accuracy, source, digest = answers["online"]["run"]["result"]
    assert model == "bert-base-uncased"  # a former name: the hub sends on to the present one
    assert 0 <= accuracy <= 1
    assert source == f"nyu-mll/glue@{corpora.REVISIONS['nyu-mll/glue']}"
    assert len(digest) == 16
    weights = r"/google-bert/bert-base-uncased/resolve/(main|[0-9a-f]{40})/model\.safetensors"
    asked = [method for method, path in answers["asked"] if re.fullmatch(weights, path)]
    assert asked.count("GET") == 2  # the connection broke off in the middle of the file once, and it was asked for anew


@pytest.mark.parametrize(
    ("step", "parts"),
    [
        ("no such data", ["DataUnavailable", "fancyzhx/yelp_polarity", "on the hub", "To get it"]),
        ("no such model", ["ModelUnavailable", "'nobody/nothing' is not available", "To get it"]),
        ("gated", ["ModelUnavailable", "'meta/gated'", "gated"]),
        ("cut model", ["ModelRefused", "'broken/tiny'", "cannot be read"]),
        ("cut data", ["DataUnavailable", "'mrpc'", "nyu-mll/glue"]),
        ("columns", ["DataDiffers", "nyu-mll/glue on the hub: columns ['text'] are missing", "'first'"]),
    ],
)
def test_what_the_hub_does_not_give_is_one_message(answers, step, parts):
    message = answers["online"][step]["error"]
    assert all(part in message for part in parts), message
    assert "\n" not in message


def test_a_second_start_needs_no_network(answers):
    for step in ("rte", "trec", "run"):
        assert answers["offline"][step].get("result") == answers["online"][step]["result"], answers["offline"][step]


def test_no_connection_is_one_message(answers):
    assert "DataUnavailable: data set 'imdb'" in answers["offline"]["data"]["error"]
    assert "ModelUnavailable: model 'google-bert/other' is not available" in answers["offline"]["model"]["error"]
