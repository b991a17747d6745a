import json
import math
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.utils import logging as hf_logging

from mixlib.methods import sites
from mixlib.runs import checkpoints, models
from mixlib.runs.engines import run_all
from mixlib.runs.profiles import study_of
from mixlib.runs.spec import RunRecord, RunSpec
from mixlib.runs.store import Store
from mixlib.runs.training import execute


def test_tiny_needs_no_file_and_reads_any_text():
    model, tokenizer = models.load("tiny", num_labels=4)
    ids = tokenizer("babad unseen, 7?", return_tensors="pt")
    assert tokenizer.unk_token_id not in ids["input_ids"]
    assert model(**ids).logits.shape == (1, 4)
    assert "[unused0]" in tokenizer.get_vocab()


def test_the_head_depends_on_the_seed_alone():
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        heads.append(models.load("tiny", 2)[0].classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_minilm_comes_from_its_package_without_a_hub(monkeypatch):
    monkeypatch.delenv("MIXLIB_MODELS", raising=False)
    model, tokenizer = models.load(models.MINILM, num_labels=3, dropout=0.2)
    assert model.config.num_hidden_layers == 6
    assert model.config.hidden_dropout_prob == 0.2
    assert model.dtype == torch.float32
    assert tokenizer.sep_token == "[SEP]"


def test_a_folder_and_the_shelf_are_looked_at_first(tmp_path, monkeypatch):
    model, tokenizer = models.load("tiny", 2)
    model.save_pretrained(tmp_path / "mine")
    tokenizer.save_pretrained(tmp_path / "mine")
    assert models.load(str(tmp_path / "mine"), 2)[0].config.hidden_size == 32
    monkeypatch.setenv("MIXLIB_MODELS", str(tmp_path))
    assert models.load("mine", 5)[0].config.num_labels == 5


def test_a_model_that_is_nowhere_says_where_it_was_looked_for():
    with pytest.raises(
        models.ModelUnavailable, match=r"'bert-nowhere' is not available: .*MIXLIB_MODELS.*hub.*To get it"
    ):
        models.load("bert-nowhere", 2)


def test_dropout_out_of_range():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1.5"):
        models.load("tiny", 2, dropout=1.5)


def test_every_second_block_of_a_model():
    torch.manual_seed(0)
    whole, _ = models.load(models.MINILM, num_labels=2)
    torch.manual_seed(0)
    half, tokenizer = models.load(f"{models.MINILM}[::2]", num_labels=2)
    assert half.config.num_hidden_layers == len(half.bert.encoder.layer) == 3
    for ours, theirs in zip(half.bert.encoder.layer, whole.bert.encoder.layer[::2], strict=True):
        assert torch.equal(ours.output.dense.weight, theirs.output.dense.weight)
    assert half(**tokenizer("a text", return_tensors="pt")).logits.shape == (1, 2)
    assert torch.equal(half.classifier.weight, whole.classifier.weight)  # the same head for the same seed
    for every in (1, 7):
        with pytest.raises(ValueError, match=rf"6 blocks: \[::2\] to \[::6\] keep some of them, got \[::{every}\]"):
            models.load(f"{models.MINILM}[::{every}]", num_labels=2)
    assert models.load("tiny[::2]", 2)[0].config.num_hidden_layers == 1


DECODER = {"vocab_size": 60, "num_labels": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DECODER |= {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
GROUPED = DECODER | {"num_key_value_heads": 2, "head_dim": 8}
SLIDING = ["full_attention", "sliding_attention"]


@pytest.mark.parametrize(
    "config",
    [
        transformers.GPT2Config(vocab_size=60, n_embd=16, n_layer=4, n_head=2, num_labels=2, pad_token_id=0,
                                bos_token_id=1, eos_token_id=2),
        transformers.LlamaConfig(**GROUPED),
        transformers.MistralConfig(**GROUPED),
        transformers.Qwen3Config(**GROUPED, use_sliding_window=True, sliding_window=4, layer_types=SLIDING * 2),
        transformers.ModernBertConfig(**DECODER, cls_token_id=1, sep_token_id=2, layer_types=SLIDING * 2),
    ],
    ids=lambda config: config.model_type,
)  # fmt: skip
def test_blocks_that_are_numbered_or_of_several_kinds_can_be_left_out(config):
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(deepcopy(config)).eval()
    models.keep_blocks(model, 2)
    ids = torch.tensor([[5, 6, 7], [8, 9, 0]])
    with torch.inference_mode():
        assert model(input_ids=ids, attention_mask=(ids > 0).long()).logits.isfinite().all()
    numbers = [{m.layer_idx for m in block.modules() if hasattr(m, "layer_idx")} for block in sites.blocks(model)]
    assert numbers in ([{0}, {1}], [set(), set()])  # ModernBERT's have none
    assert getattr(model.config, "layer_types", None) in (None, ["full_attention"] * 2)


def test_quiet_leaves_progress_bars_as_they_were(monkeypatch):
    monkeypatch.setattr(hf_logging, "_tqdm_active", False)
    with models.quiet():
        pass
    assert not hf_logging.is_progress_bar_enabled()
    monkeypatch.setattr(hf_logging, "_tqdm_active", True)
    with models.quiet():
        assert not hf_logging.is_progress_bar_enabled()
    assert hf_logging.is_progress_bar_enabled()


def test_every_classifier_has_weights_and_a_tokenizer_of_its_own():
    first, tokenizer = models.load(models.MINILM, num_labels=2)
    before = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1)
    tokenizer.padding_side = "left"
    second, again = models.load(models.MINILM, num_labels=2)
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in second.state_dict().items() if "classifier" not in name
    )
    assert again.padding_side == "right"


def test_whoever_reads_a_checkpoint_first_draws_the_same_head():
    heads = []
    for _ in range(2):
        torch.manual_seed(4)
        heads.append((models.classifier(models.MINILM, 5).classifier.weight, torch.rand(3)))
        torch.manual_seed(4)
        heads.append((models.classifier(models.MINILM, 5).classifier.weight, torch.rand(3)))
        models._pretrained.cache_clear()
    assert all(torch.equal(a, b) for head in heads[1:] for a, b in zip(head, heads[0], strict=True))


def test_weights_that_changed_on_disk_are_read_again(tmp_path):
    model, tokenizer = models.load("tiny", 2)
    for value in (1.0, 2.0):
        torch.nn.init.constant_(model.bert.pooler.dense.bias, value)
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        assert set(models.load(str(tmp_path), 2)[0].bert.pooler.dense.bias.tolist()) == {value}


def test_a_class_layer_trained_for_other_classes_is_not_kept_even_if_there_are_as_many(folder):
    """What it was trained for, and how its outputs are given, does not matter either."""
    change_settings(folder, problem_type="multi_label_classification", return_dict=False, output_hidden_states=True)
    drawn = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model, tokenizer = models.load(str(folder), 2)
        drawn.append(model.classifier.weight)
        output = model(**tokenizer(["a"], return_tensors="pt"), labels=torch.tensor([1]))
        assert list(output) == ["loss", "logits"]
    assert not torch.equal(*drawn)
    assert not torch.equal(drawn[0], load_file(folder / "model.safetensors")["classifier.weight"])


def test_texts_are_padded_on_the_right_whatever_the_tokenizer_usually_does(folder):
    change_settings(folder, file="tokenizer_config.json", padding_side="left")
    assert models.load(str(folder), 2)[1].padding_side == "right"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A tiny classifier as save_pretrained writes it."""
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    for part in models.load("tiny", 2):
        part.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of it to damage."""
    return Path(shutil.copytree(saved, tmp_path / "mine"))


def change_weights(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


def change_settings(folder, file="config.json", **values):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def with_block(weights, number):
    extra = {k.replace("layer.1.", f"layer.{number}."): v.clone() for k, v in weights.items() if "layer.1." in k}
    return weights | extra


def poisoned(weights, value):
    weights["bert.encoder.layer.1.output.dense.weight"][3, 4] = value
    return weights


def of_distilbert(weights):
    config = transformers.DistilBertConfig(vocab_size=582, dim=32, n_layers=2, n_heads=2, hidden_dim=64)
    return transformers.DistilBertForSequenceClassification(config).state_dict()


MISFITS = {
    "one foreign tensor": (lambda w: {"foo": torch.ones(2)}, r"37 tensors of the encoder are missing \(bert\.emb"),
    "a wrong prefix": (lambda w: {f"x{k}": v for k, v in w.items()}, "37 tensors of the encoder are missing"),
    "another architecture": (of_distilbert, "37 tensors of the encoder are missing"),
    "half of the blocks": (
        lambda w: {k: v for k, v in w.items() if "layer.1." not in k},
        r"16 tensors of the encoder are missing \(bert\.encoder\.layer\.1\.attention\.output\.Layer.* and 13 m",
    ),
    "a block too many": (lambda w: with_block(w, 2), r"16 have no place in it \(bert\.encoder\.layer\.2\."),
    "a block too many, without prefix": (
        lambda w: {k.removeprefix("bert."): v for k, v in with_block(w, 7).items()},
        r"16 have no place in it \(encoder\.layer\.7\.",
    ),
    "NaN": (lambda w: poisoned(w, math.nan), r"1 of its tensors hold NaN .*\(bert\.encoder\.layer\.1\.output\.dense"),
    "infinity": (lambda w: poisoned(w, -math.inf), "1 of its tensors hold NaN or infinite values"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_weights_that_do_not_fit_the_encoder_are_refused(folder, case):
    change, said = MISFITS[case]
    change_weights(folder, change)
    with pytest.raises(models.ModelUnavailable, match=f"model '.*mine' cannot be used: .*{said}"):
        models.load(str(folder), 2)


def test_weights_of_another_size_are_refused(folder):
    change_settings(folder, hidden_size=64)
    with pytest.raises(
        models.ModelUnavailable, match=r"have another shape \(bert.*LayerNorm.bias \[32\] instead of \[6"
    ):
        models.load(str(folder), 2)


def test_what_pretraining_leaves_beside_the_encoder_does_no_harm(folder):
    """A head of a language model, and a classifier for other classes than the configuration says."""
    change_weights(folder, lambda w: w | {"cls.predictions.bias": torch.ones(582), "lm_head.weight": torch.ones(3)})
    change_settings(folder, id2label={str(i): str(i) for i in range(7)}, label2id={str(i): i for i in range(7)})
    want = load_file(folder / "model.safetensors")
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        model = models.classifier(str(folder), 7)
        drawn.append(model.classifier.weight)
    assert drawn[0].shape == (7, 32)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    for name, tensor in model.bert.state_dict().items():
        assert torch.equal(tensor, want[f"bert.{name}"])


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta-v2", "albert", "modernbert", "gpt2"])
@pytest.mark.parametrize("kind", ["AutoModel", "AutoModelForMaskedLM"])
def test_checkpoints_without_a_classifier_load(folder, family, kind):
    """The encoder alone, with or without a pooler, and with the head of masked language modelling."""
    names = {"distilbert": ("dim", "n_layers", "n_heads", "hidden_dim"), "gpt2": ("n_embd", "n_layer", "n_head")}
    usual = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    sizes = dict(zip(names.get(family, usual), (32, 2, 2, 64), strict=False))
    config = transformers.AutoConfig.for_model(family, vocab_size=582, **sizes, pad_token_id=0)
    if family == "gpt2" and kind == "AutoModelForMaskedLM":
        kind = "AutoModelForCausalLM"
    published = getattr(transformers, kind).from_config(config)
    published.save_pretrained(folder)
    torch.manual_seed(1)
    model, _ = models.load(str(folder), 3)
    want = {name: tensor for name, tensor in published.base_model.state_dict().items() if "pooler" not in name}
    got = model.base_model.state_dict()
    assert want
    assert all(torch.equal(got[name], tensor) for name, tensor in want.items())


def test_a_pooler_that_the_checkpoint_lacks_is_new_with_each_seed(folder):
    change_weights(folder, lambda w: {k: v for k, v in w.items() if "pooler" not in k})
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(models.classifier(str(folder), 2).bert.pooler.dense.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def empty(folder):
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncate, r"it cannot be read \(Error while deserializing header"),
        (empty, "it has no config.json; save_pretrained"),
        (lambda f: (f / "model.safetensors").unlink(), "it has no safetensors weights; save_pretrained"),
        (lambda f: (f / "config.json").write_text("{"), r"it cannot be read \(.*not a valid JSON"),
        (lambda f: change_settings(f, model_type="vit"), r"it cannot be read \(.*ViTConfig"),
        (lambda f: change_settings(f, model_type="nonsense"), r"it cannot be read \(.*nonsense"),
    ],
)
def test_folders_that_are_no_classifier_are_refused(folder, damage, said):
    damage(folder)
    with pytest.raises(models.ModelUnavailable, match=f"model '.*mine' cannot be used: {said}"):
        models.load(str(folder), 2)


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_pickled_weights_are_refused_without_unpickling_them(folder, tmp_path):
    mark = tmp_path / "unpickled"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(
        models.ModelUnavailable, match=r"no safetensors weights but pytorch_model.bin, and pickles are n"
    ):
        models.load(str(folder), 2)
    weights = models.load("tiny", 2)[0].state_dict()
    torch.save(weights, folder / "pytorch_model.bin")  # not even harmless ones
    with pytest.raises(models.ModelUnavailable, match="no safetensors weights but pytorch_model"):
        models.load(str(folder), 2)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()  # it would have


def test_a_folder_without_a_tokenizer_is_refused(folder):
    for path in folder.glob("token*"):
        path.unlink()
    with pytest.raises(models.ModelUnavailable, match=r"tokenizer \(5 tokens\) knows no word of 'the film.*missing\?"):
        models.load(str(folder), 2)


def test_a_tokenizer_of_another_model_is_refused(folder):
    transformers.AutoTokenizer.from_pretrained(models.find(models.MINILM)).save_pretrained(folder)
    with pytest.raises(models.ModelUnavailable, match="ids up to 30521, but its embedding has 582 rows, 0 to 581"):
        models.load(str(folder), 2)


def test_a_tokenizer_far_smaller_than_the_embedding_is_refused(folder):
    rows = torch.zeros(1200, 32)
    change_weights(folder, lambda w: w | {"bert.embeddings.word_embeddings.weight": rows})
    change_settings(folder, vocab_size=1200)
    with pytest.raises(models.ModelUnavailable, match="its tokenizer has 582 tokens, but its embedding has 1200 rows"):
        models.load(str(folder), 2)
    change_weights(folder, lambda w: w | {"bert.embeddings.word_embeddings.weight": rows[:640]})
    change_settings(folder, vocab_size=640)
    models.load(str(folder), 2)  # rows that fill up to a multiple of 64 are usual


def test_positions_that_a_model_leaves_unused_are_not_counted(folder):
    """RoBERTa numbers positions from the one after the padding's."""
    _, tokenizer = models.load("tiny", 2)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=34,
    )  # fmt: skip
    transformers.RobertaForSequenceClassification(config).save_pretrained(folder)
    models.check(str(folder), max_length=32)
    with pytest.raises(models.ModelRefused, match="reads at most 32 tokens, got max_length=33"):
        models.check(str(folder), max_length=33)


def test_a_decoder_without_a_padding_token_pads_with_the_end_of_a_text(folder):
    torch.manual_seed(0)
    _, tokenizer = models.load("tiny", 2)
    config = transformers.GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=32)
    transformers.GPT2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    tokenizer.save_pretrained(folder)
    model, tokenizer = models.load(str(folder), 3)
    assert (tokenizer.pad_token, model.config.pad_token_id) == ("[SEP]", tokenizer.eos_token_id)
    batch = tokenizer(["a", "a much longer text"], padding=True, return_tensors="pt")
    assert model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.shape == (2, 3)

    models.check(str(folder), max_length=32)
    with pytest.raises(models.ModelRefused, match="reads at most 32 tokens, got max_length=33"):
        models.check(str(folder), max_length=33)
    tokenizer.pad_token = tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(models.ModelRefused, match="neither a padding token nor one for the end of a text"):
        models.load(str(folder), 3)


EVIL = "from pathlib import Path\nPath({!r}).touch()\nclass Evil: pass\n"


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_a_model_brings_is_never_run(folder, tmp_path, monkeypatch, file):
    mark = tmp_path / "ran"
    (folder / "evil.py").write_text(EVIL.format(str(mark)))
    if file == "config.json":
        classes = {"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"}
        change_settings(folder, file, model_type="evil", auto_map=classes)
    else:
        change_settings(folder, file, tokenizer_class="Evil", auto_map={"AutoTokenizer": ["evil.Evil", None]})
    asked = []
    monkeypatch.setattr("builtins.input", lambda *prompt: asked.append(prompt) or "y")
    with pytest.raises(models.ModelUnavailable, match=rf"brings its own code \(auto_map in {file}\), which mixlib doe"):
        models.load(str(folder), 2)
    assert not mark.exists()
    assert asked == []


def test_what_transformers_knows_loads_with_its_own_classes(folder, tmp_path, monkeypatch):
    mark = tmp_path / "ran"
    (folder / "evil.py").write_text(EVIL.format(str(mark)))
    change_settings(folder, auto_map={"AutoModelForSequenceClassification": "evil.Evil", "AutoConfig": "evil.Evil"})
    change_settings(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "evil.Evil"]})
    monkeypatch.setattr("builtins.input", lambda *prompt: "y")
    model, tokenizer = models.load(str(folder), 2)
    assert type(model) is transformers.BertForSequenceClassification
    assert type(tokenizer) is transformers.BertTokenizer
    assert not mark.exists()


def test_every_reading_call_says_that_no_code_is_trusted(folder, monkeypatch):
    said = []
    for name in ("AutoConfig", "AutoTokenizer", "AutoModelForSequenceClassification"):
        real = getattr(transformers, name).from_pretrained

        def watched(*args, real=real, **options):
            said.append(options.get("trust_remote_code"))
            return real(*args, **options)

        monkeypatch.setattr(getattr(transformers, name), "from_pretrained", watched)
    models.load(str(folder), 2)
    assert len(said) >= 3
    assert set(said) == {False}


def test_the_digest_is_of_the_content(folder, tmp_path):
    digest = models.weights_digest(str(folder))
    assert re.fullmatch("[0-9a-f]{16}", digest)
    copy = Path(shutil.copytree(folder, tmp_path / "other" / "name"))
    os.utime(copy / "model.safetensors", (1, 1))
    (copy / "README.md").write_text("a card")
    (copy / "training_args.bin").write_bytes(b"x")
    change_settings(copy, transformers_version="4.1", _name_or_path="/somewhere/else")  # and in one line
    assert models.weights_digest(str(copy)) == models.weights_digest(f"{copy}/[::2]") == digest
    seen = {digest}
    change_weights(copy, lambda w: poisoned(w, 0.123))
    seen.add(models.weights_digest(str(copy)))
    change_settings(copy, layer_norm_eps=1e-5)
    seen.add(models.weights_digest(str(copy)))
    change_settings(copy, "tokenizer_config.json", do_lower_case=False)
    seen.add(models.weights_digest(str(copy)))
    assert len(seen) == 4


def test_other_content_is_noticed_though_size_and_time_stay(folder):
    path = folder / "model.safetensors"
    before, status = models.weights_digest(str(folder)), path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    time.sleep(0.02)  # file systems count time in steps
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert models.weights_digest(str(folder)) != before


def test_a_digest_reads_the_files_once(folder, monkeypatch):
    first = models.weights_digest(str(folder))
    monkeypatch.setattr(checkpoints, "_content", None)
    assert models.weights_digest(str(folder)) == first


def test_every_model_has_a_digest(folder, monkeypatch):
    monkeypatch.setenv("MIXLIB_MODELS", str(folder.parent))
    assert models.weights_digest("mine") == models.weights_digest(str(folder)) == models.pretrained("mine").digest
    assert models.weights_digest("tiny") == models.weights_digest("tiny[::2]") == models.pretrained("tiny").digest
    monkeypatch.delenv("MIXLIB_MODELS")
    found = models.pretrained(models.MINILM)
    assert models.weights_digest(models.MINILM) == found.digest == models.weights_digest(models.find(models.MINILM))
    monkeypatch.setitem(models.SENT, "sent", replace(found, digest="0123456789abcdef"))
    assert models.weights_digest("sent[::2]") == "0123456789abcdef"


def test_a_model_of_the_hub_has_the_digest_of_what_was_downloaded(folder, tmp_path, monkeypatch):
    cache = tmp_path / "hub" / "models--someone--mine"
    shutil.copytree(folder, cache / "snapshots" / "abc")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert models.weights_digest("someone/mine") == models.weights_digest(str(folder))


def test_a_folder_is_held_by_its_name_and_content(folder, tmp_path, spec):
    held = replace(spec, model=str(folder))
    copy = shutil.copytree(folder, tmp_path / "other" / "mine")
    assert held.model == f"mine@{models.weights_digest(str(folder))}"
    assert str(tmp_path) not in json.dumps(held.canonical())
    assert replace(spec, model=copy).key == held.key  # a path object as well
    assert replace(spec, model=f"{copy}/") == held
    half = replace(spec, model=f"{folder}[::2]")
    assert half.model == f"{held.model}[::2]"
    change_weights(folder, lambda w: poisoned(w, 0.5))
    assert replace(spec, model=str(folder)).key != held.key
    read = RunSpec.from_canonical(json.loads(json.dumps(held.canonical())))
    assert (read, read.key, hash(read)) == (held, held.key, hash(held))
    assert pickle.loads(pickle.dumps(held)) == held


def test_names_are_held_as_they_are(spec, tmp_path, monkeypatch):
    """Also where a folder comes to be called so: what is in a record does not change its meaning."""
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "all-MiniLM-L6-v2", "tiny[::2]", "all-MiniLM-L6-v2[::2]"):
        (tmp_path / name.partition("[")[0]).mkdir(exist_ok=True)
        assert replace(spec, model=name).model == name
    assert models.find(models.MINILM) != models.MINILM
    assert replace(spec, model="./tiny").model.startswith("tiny@")
    names = ("bert-base-uncased", "someone/model", "someone/model[::2]")
    held = [replace(spec, model=name) for name in names]
    for name, earlier in zip(names, held, strict=True):
        read = RunSpec.from_canonical(earlier.canonical())
        (tmp_path / name.partition("[")[0]).mkdir(parents=True, exist_ok=True)
        again = RunSpec.from_canonical(read.canonical())
        assert read.model == again.model == replace(read, seed=9).model == name
        assert models.find(models.base_name(read.model)) == models.base_name(name)


def test_the_committed_records_keep_their_keys(committed, monkeypatch, tmp_path):
    """Also where their models are named anew, as plain text. (A record with another key than its settings have is not
    usable, see test_check.)"""
    monkeypatch.chdir(tmp_path)
    specs = [record.spec if isinstance(record, RunRecord) else record.spec.run for record in committed]
    names = set()
    for spec in filter(None, specs):
        names.add(spec.model)
        assert replace(spec, model=str(spec.model)).key == spec.key
    assert {models.MINILM, f"{models.MINILM}[::2]"} <= names


@pytest.mark.parametrize("model", ["", "  ", 7, None])
def test_what_is_no_name_is_refused(spec, model):
    with pytest.raises(ValueError, match="model must be a name or a folder, such as 'tiny'"):
        replace(spec, model=model)


@pytest.mark.parametrize("model", ["/nowhere/mine", "./mine", "../mine[::2]", "~/no such folder"])
def test_a_path_without_a_folder_is_refused_before_anything_runs(spec, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(models.ModelUnavailable, match="is not available: there is no folder /"):
        replace(spec, model=model)


def test_runs_on_a_folder_are_found_again_by_its_path_its_copy_and_its_record(folder, tmp_path, spec, monkeypatch):
    store = Store(tmp_path / "store")
    first = replace(spec, model=str(folder), keep_state=True, max_steps=1)
    second = replace(first, first_stage=first, keep_state=False)
    made = run_all([first, second], store=store, progress=False)
    copy = shutil.copytree(folder, tmp_path / "other" / "mine")
    monkeypatch.chdir(copy.parent)
    again = replace(spec, model="mine", keep_state=True, max_steps=1)  # relative, and there
    both = [again, replace(again, first_stage=again, keep_state=False)]
    assert store.missing(both) == []
    assert [store.get(one) for one in both] == made
    assert run_all([record.spec for record in made], store=store, progress=False) == made
    assert store.scan()[1] == {}
    assert str(tmp_path) not in "".join(path.read_text() for path in store.synthetic_folder.rglob("*.json"))


def test_a_run_of_a_folder_whose_content_changed_is_refused(folder, tmp_path, spec, monkeypatch):
    held = replace(spec, model=str(folder), max_steps=1)
    change_weights(folder, lambda w: poisoned(w, 0.5))
    with pytest.raises(
        models.ModelUnavailable, match=rf"'{held.model}' is no longer available: .*mine now holds [0-9a-f]"
    ):
        execute(held)
    monkeypatch.setattr(checkpoints, "FOLDERS", {})
    monkeypatch.chdir(tmp_path / "mine")
    with pytest.raises(models.ModelUnavailable, match="is a folder 'mine' that was not named in this process: give"):
        execute(held)


def test_a_record_from_another_process_finds_its_folder_by_content(folder, spec, monkeypatch):
    held = replace(spec, model=str(folder), max_steps=1)
    monkeypatch.setattr(checkpoints, "FOLDERS", {})
    monkeypatch.setenv("MIXLIB_MODELS", str(folder.parent))
    assert execute(held).spec == held
    monkeypatch.delenv("MIXLIB_MODELS")
    monkeypatch.chdir(folder.parent)
    assert models.find(held.model) == str(folder)


def test_a_study_of_a_run_on_a_folder_can_be_done(folder, tmp_path, spec):
    run = replace(spec, model=f"{folder}/", dataset="mrpc", max_steps=1)
    study = study_of(run, "step_time", methods={"none": {}}, steps=1, warmup=0)
    assert study.params["run"]["model"] == run.model
    inside = RunSpec.from_canonical({**study.params["run"], "seed": 3})
    assert models.classifier(inside.model, 2).config.hidden_size == 32
    assert (
        study_of(RunSpec.from_canonical(run.canonical()), "step_time", methods={"none": {}}, steps=1, warmup=0) == study
    )


@pytest.mark.parametrize("name", ["with some spaces", "модель-模型", "a@b", "dots.and-dashes", "quote'd"])
def test_folders_of_any_name(saved, tmp_path, spec, name):
    folder = shutil.copytree(saved, tmp_path / name)
    held = replace(spec, model=f"{folder}{os.sep}", max_steps=1)
    assert held.model == f"{name}@{models.weights_digest(str(folder))}"
    record = execute(held)
    assert type(record).from_json(record.to_json()) == record


def test_threads_that_read_the_same_model_get_the_same_weights(folder):
    models._pretrained.cache_clear()
    together = Barrier(4)
    with ThreadPoolExecutor(4, initializer=together.wait) as pool:
        loaded = list(pool.map(lambda _: models.load(str(folder), 2)[0].state_dict(), range(8)))
    kept = [name for name in loaded[0] if not name.startswith("classifier.")]
    assert all(torch.equal(loaded[0][name], other[name]) for other in loaded for name in kept)
    assert models._pretrained.cache_info().misses == 1


def test_the_tiny_models_digest_is_the_same_in_every_process():
    code = "from mixlib.runs import models; print(models.weights_digest('tiny'))"
    other = os.environ | {"PYTHONHASHSEED": "1"}  # ours is drawn at random
    found = subprocess.run([sys.executable, "-c", code], env=other, capture_output=True, text=True, check=True).stdout
    assert found == models.weights_digest("tiny") + "\n"
