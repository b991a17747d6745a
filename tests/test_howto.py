"""The pages on adding a method and a paper are followed word for word, in a copy of the library."""

import os
import re
import shutil
import subprocess
import sys
from types import ModuleType

import matplotlib.pyplot as plt
import pytest
import torch

from mixlib import methods
from mixlib.methods import spans
from mixlib.runs import models, paths

HOW_TO = paths.NOTEBOOKS / "howto"
METHOD, PAPER = ((HOW_TO / f"add_a_{name}.md").read_text() for name in ("method", "paper"))
FILE = re.compile(r"^`([^`\n]+)`(?: \((\w+)(?:[^`]|`[^`\n]+`)*?\))?:\n\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = {name: (kind, how, text) for page in (METHOD, PAPER) for name, how, kind, text in FILE.findall(page)}
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
NEEDED = ("data/published", "data/evidence.json", "data/corpora.json", "data/banking77", "CITATION.cff", "README.md")


def blocks(page):
    """The Python of a page that is no file."""
    files = [text for kind, how, text in FILES.values()]
    return [text for text in PYTHON.findall(page) if text not in files]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A copy of the library with the files of both pages in it."""
    root = tmp_path_factory.mktemp("library")
    shutil.copytree(paths.ROOT / "mixlib", root / "mixlib", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "notebooks").mkdir()
    (root / "data").mkdir()
    for name in NEEDED:
        copy = shutil.copytree if (paths.ROOT / name).is_dir() else shutil.copy
        copy(paths.ROOT / name, root / name)
    for name, (kind, how, text) in FILES.items():
        path = root / name
        if kind == "diff":
            whole = path.read_text()
            added = [line[1:] for line in text.splitlines() if line.startswith("+")]
            (removed,) = [line[1:] for line in text.splitlines() if line.startswith("-")]
            assert whole.count(removed) == 1
            path.write_text(whole.replace(removed, "\n".join(added)))
        elif how == "append":
            head, lines = text.split("\n", 1)
            assert head in path.read_text().splitlines(), name
            path.write_text(path.read_text().rstrip("\n") + "\n" + lines)
        else:
            assert not path.exists(), name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return root


BEGIN = """
from click.testing import CliRunner
from mixlib.__main__ import main
def command(line):
    result = CliRunner().invoke(main, line.split())
    assert result.exit_code == 0, result.output
    print(result.output)
"""


def python(library, code):
    """What a program says with this library."""
    environment = {**os.environ, "PYTHONPATH": str(library), "MIXLIB_RESULTS": str(library / "records"),
                   "MPLBACKEND": "agg"}  # fmt: skip
    where = f"import mixlib\nassert mixlib.__file__.startswith({str(library)!r}), mixlib.__file__\n"
    out = subprocess.run([sys.executable, "-c", where + BEGIN + code], cwd=library, env=environment,
                         capture_output=True, text=True)  # fmt: skip
    assert out.returncode == 0, out.stderr
    return out.stdout


def test_files_were_found():
    assert len(FILES) == 11
    assert (len(blocks(METHOD)), len(blocks(PAPER))) == (2, 5)


def test_a_method_is_one_file(library):
    said = python(
        library,
        """
from mixlib import methods
from mixlib.book.about import every
from mixlib.evidence import plots, tables
from mixlib.runs import models
from mixlib.trainer import MixupTrainer
from transformers import TrainingArguments
assert "random_cut" in methods.names()
assert {m["name"]: m["params"] for m in methods.table()}["random_cut"] == {"lam0": 0.3}
looks = [cls.look for cls in methods.REGISTRY.values()]
for part in ("label", "colour", "marker", "dashes"):
    assert len({getattr(look, part) for look in looks}) == len(looks), part
print(tables.LABELS["random_cut"], plots.PALETTE["random_cut"], "random_cut" in every())
model, tokenizer = models.load("tiny", num_labels=2)
rows = [{**tokenizer("good " * (1 + i)), "labels": i % 2} for i in range(5)]
args = TrainingArguments("out", per_device_train_batch_size=2, num_train_epochs=1, use_cpu=True, report_to=[])
trainer = MixupTrainer(model, args, train_dataset=rows, processing_class=tokenizer, method="random_cut")
print(trainer.train().global_step, "updates")
command("run common-protocol --profile smoke --seeds 0 --datasets sst2 --methods none,random_cut")
""",
    )
    assert said.startswith("random cut #8c564b True\n")
    assert "3 updates" in said
    assert "random_cut lam0=0.3" in said


@pytest.fixture
def live(monkeypatch, store_folder):
    """What a notebook sees; methods it defines are gone afterwards."""
    module = ModuleType("how_to")
    monkeypatch.setitem(sys.modules, "how_to", module)
    before = dict(methods.REGISTRY)
    for key in ("random_cut", "half_way"):  # of someone who has followed the page
        methods.REGISTRY.pop(key, None)
    yield vars(module)
    methods.REGISTRY.clear()
    methods.REGISTRY.update(before)
    plt.close("all")


def test_a_class_in_a_notebook_is_in_tables_and_figures(live):
    exec(blocks(METHOD)[0], live)
    exec(blocks(METHOD)[1], live)
    assert set(live["scores"]["method"]) == {"none", "ssmix", "half_way"}
    assert "half_way" in live["tables"].LABELS


def of_page(live, name):
    """The method of the page and a batch for it."""
    exec(FILES["mixlib/methods/random_cut.py"][2] if name == "random_cut" else blocks(METHOD)[0], live)
    model, tokenizer = models.load("tiny", num_labels=2, dropout=0.0)
    texts = ["a good film of the old kind", "a bad one", "fine and long, longer than that, and good"]
    batch = dict(tokenizer(texts, padding=True, return_tensors="pt"))
    batch["labels"] = torch.tensor([1, 0, 1])
    method = methods.get(name)
    method.prepare(model, tokenizer)
    method.seed_step(0, 0)
    return method, model, batch


@pytest.mark.parametrize("name", ["random_cut", "half_way"])
def test_the_methods_of_the_page_mix(live, name):
    method, model, batch = of_page(live, name)
    (loss,) = method.losses(model, batch)
    assert torch.isfinite(loss)
    assert loss.item() != pytest.approx(method.plain_loss(model, batch).item())
    one = {key: tensor[:1] for key, tensor in batch.items()}
    (loss,) = method.losses(model, one)
    assert loss.item() == pytest.approx(method.plain_loss(model, one).item())


def test_random_cut_takes_a_span_of_the_partner_and_says_how_much(live):
    method, _, batch = of_page(live, "random_cut")
    method.lam0, perm, ids = 0.5, torch.tensor([2, 0, 1]), batch["input_ids"]
    mixed, share = method.cut(batch, perm)
    inside = spans.sentence_of(batch, method.special) > 0
    for row, partner in enumerate(perm.tolist()):
        words = inside[row].nonzero().flatten().tolist()
        changed = [i for i in words if mixed[row, i] != ids[row, i]]
        assert 0 < len(changed) <= round(share[row].item() * len(words))
        assert set(mixed[row, changed].tolist()) <= set(ids[partner].tolist())
        others = [i for i in range(ids.shape[1]) if i not in words]
        assert torch.equal(mixed[row, others], ids[row, others])


def test_a_paper_is_in_every_list_and_its_chapter_runs(library):
    said = python(
        library,
        """
from mixlib.book import pages
from mixlib.evidence import ledger
from mixlib.evidence.verdicts import Records
command("list")
command("status random_cut-table1 --profile smoke")
command("claims random_cut")
chapters = [pages.Chapter("60_random_cut_table1", "Random cut, Table 1", ()), pages.Chapter("51_common", "x", ())]
book = pages.Book(chapters, Records())
print(book.contents())
print(book.paper("random_cut", {}))
print(ledger.counts(book.found.verdicts).loc["Random cut", "claims"], "claims")
profile, model, seeds, engine = "smoke", None, None, "local"
"""
        + "".join(blocks(PAPER))
        + "print(sorted({record.spec.method for record in records}))",
    )
    assert re.search(r"random_cut-table1 +60_random_cut_table1 +smoke 0/4  mini 0/12  full 0/10", said)
    assert "smoke    random_cut-table1" in said
    assert "random_cut-1: runs not finished" in said
    assert "papers/amplify\npapers/random_cut\n```" in said
    assert ":hidden:\n\n60 · Table 1 </60_random_cut_table1>\n```" in said
    assert ":caption: Across the papers\n\n51 · X </51_common>\n" in said
    assert (
        "# Random cut: the paper\n\n[Random Cut: Text Mixup by Chance](https://example.org/random-cut). Ada Nobody."
        in said
    )
    assert "[60: Random cut, Table 1](/60_random_cut_table1.ipynb)" in said
    assert "None found." in said
    assert "\n1 claims\n" in said
    assert said.endswith("['none', 'random_cut']\n")
