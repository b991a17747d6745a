"""Classifier and tokenizer by name: a folder, ``tiny``, all-MiniLM-L6-v2 from its package, or the hub."""

from __future__ import annotations

import json
import math
import os
import string
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.tokenization_auto import get_tokenizer_config, tokenizer_class_from_name
from transformers.utils import cached_file
from transformers.utils import logging as hf_logging

from mixlib.arguments import first_line
from mixlib.methods import sites
from mixlib.runs import checkpoints, heads, paths, synthetic
from mixlib.runs.checkpoints import MINILM, TINY, ModelUnavailable, base_name, find

NAMED = 3  # this many of what is wrong are named, the rest only counted


class ModelRefused(ModelUnavailable):
    """A model that was found but cannot be used: it brings its own code, is incomplete, damaged or being changed, or
    its parts do not fit together."""


def tiny_config(num_labels: int, vocab_size: int) -> transformers.BertConfig:
    """A BERT of 2 blocks and 32 dimensions that trains in seconds on a CPU."""
    return transformers.BertConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        initializer_range=0.1,  # with the usual 0.02 it barely moves in the few steps it is meant for
        num_labels=num_labels,
    )


def tiny_tokenizer() -> transformers.BertTokenizer:
    """A WordPiece tokenizer that needs no file: the words of the synthetic twins, with any other word spelt out."""
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = list(string.ascii_lowercase + string.digits + string.punctuation)
    words = [word for word in synthetic.vocabulary() if len(word) > 1]
    vocab = special + letters + [f"##{c}" for c in letters] + words
    return transformers.BertTokenizer(
        vocab={token: i for i, token in enumerate(dict.fromkeys(vocab))}, model_max_length=256
    )


def load(name: str, num_labels: int, dropout: float | None = None, head: str = "own") -> tuple[torch.nn.Module, Any]:
    """A sequence classifier with a fresh head (see :func:`classifier`), and a tokenizer of its own."""
    return classifier(name, num_labels, dropout, head), deepcopy(pretrained(base_name(name)).tokenizer)


def check(name: str, max_length: int = 0) -> None:
    """Before the first run, refuse a model that no run could load, or texts longer than it reads.

    Raises what :func:`classifier` raises, and :class:`ModelRefused` if it reads fewer than ``max_length`` tokens.
    """
    with torch.random.fork_rng(devices=[]):
        model = classifier(name, num_labels=2)
    if (longest := _longest(model, pretrained(base_name(name)))) < max_length:
        raise ModelRefused(f"model {name!r} reads at most {longest} tokens, got max_length={max_length}")


def _longest(model: torch.nn.Module, found: Pretrained) -> float:
    """How many tokens a model reads, as far as it or its tokenizer says."""
    relative = getattr(found.config, "relative_attention", False)
    positions = None if relative else getattr(found.config, "max_position_embeddings", None)
    embeddings = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)  # RoBERTa counts positions from the one after padding's
    unused = 0 if padding is None else padding + 1
    return min(found.tokenizer.model_max_length, positions - unused if positions else math.inf)


def classifier(name: str, num_labels: int, dropout: float | None = None, head: str = "own") -> torch.nn.Module:
    """A sequence classifier with a fresh class layer. Seed torch before the call: that layer is random.

    Args:
        name: ``"tiny"``, ``"all-MiniLM-L6-v2"``, a folder, or a name on the hub. Only safetensors weights are read, and
            no code that comes with a model is run. ``"NAME[::k]"`` keeps every k-th block, starting with the first
            (DistilBERT began as BERT's ``[::2]``).
        num_labels: number of classes.
        dropout: dropout of the encoder and the head; ``None`` keeps the model's own.
        head: ``"own"``: the model's; ``"tanh"``: two tanh layers without dropout before its class layer;
            ``"entities"``: a relation classifier on two entity spans; ``"mean"``: the mean over all positions instead
            of the model's head (all: :mod:`mixlib.runs.heads`); ``"untyped"``: the model's, meant for rows without
            ``token_type_ids``.

    Raises:
        ValueError: unknown head, or no such blocks to keep.
        ModelUnavailable: the model was not found (the message says where it was looked for and how to get it), or it is
            refused (see :func:`pretrained`).
    """
    heads.check(head)
    found = pretrained(base_name(name))
    config = deepcopy(found.config)
    config.num_labels, config.problem_type = num_labels, None  # whatever the checkpoint was trained for
    config.return_dict, config.output_hidden_states, config.output_attentions = True, False, False
    set_dropout(config, dropout)
    with _ONE_AT_A_TIME, quiet():  # the new head is intended, so no report of missing weights is needed
        if found.weights is None:
            model = transformers.AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
        else:
            model = transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)].from_pretrained(
                None, config=config, state_dict={name: tensor.clone() for name, tensor in found.weights.items()},
                dtype=torch.float32, ignore_mismatched_sizes=True,
            )  # fmt: skip
    if (every := checkpoints.slice_of(name)) is not None:
        keep_blocks(model, every)
    if head == "tanh":
        heads.add_tanh_layers(model)
    elif head == "entities":
        model = heads.EntityClassifier(model)
    elif head == "mean":
        model = heads.MeanClassifier(model)
    return model


@dataclass(frozen=True)
class Pretrained:
    """A model as it was published, in memory: every run of a process copies it instead of reading it again.

    Attributes:
        config: of the checkpoint; copied before it is changed.
        weights: its tensors by name, without those it lacks; ``None`` for a model that begins at random.
        tokenizer: shared by all runs, which do not change it.
        encoded: what the tokenizer made of texts, for each ``max_length`` (see :func:`mixlib.runs.encoding.encode`):
            runs with other seeds and methods meet the same texts.
        digest: see :func:`weights_digest`.
    """

    config: Any
    weights: dict[str, torch.Tensor] | None
    tokenizer: Any
    encoded: dict[int, dict] = field(default_factory=dict)
    digest: str = ""


SENT: dict[str, Pretrained] = {}  # by base name, from the driver of a sweep: workers need no file and no network
_ONE_AT_A_TIME = threading.RLock()  # transformers patches torch while it builds a model


def pretrained(name: str) -> Pretrained:
    """The model of this name, without slices; read once per process.

    Raises:
        ModelUnavailable: the model was not found; says where it was looked for and how to get it.
        ModelRefused: it is there, but brings its own code, has no safetensors weights or some that do not fit its
            configuration or are not finite, or its tokenizer is missing or belongs to another model. A checkpoint may
            lack the head and with it the pooler (one for masked language modelling has none): both are new then.
    """
    if name in SENT:
        return SENT[name]
    with _ONE_AT_A_TIME:
        return _pretrained(name, *version(name))


def version(name: str) -> tuple[str, checkpoints.Stamps]:
    """Where a model is, and the stamps of its files: while these stay the same, so does what was read."""
    place = name if name == TINY else find(name)
    return place, checkpoints.stamps(place) if os.path.isdir(place) and name != TINY else ()


def weights_digest(name: str) -> str:
    """Digest, in sixteen hexadecimal digits, of what numbers depend on: a model's weights, configuration and tokenizer.

    See :func:`mixlib.runs.checkpoints.digest`; for ``tiny``, which begins at random, it is that of its configuration
    and vocabulary. Slices have the digest of the whole model.

    Raises what :func:`pretrained` raises if the model is not a folder here.
    """
    name = base_name(name)
    place, files = version(name) if name not in SENT else (name, ())
    return checkpoints.digest(place) if files else pretrained(name).digest


@lru_cache(maxsize=4)
def _pretrained(name: str, place: str, files: checkpoints.Stamps) -> Pretrained:
    if name == TINY:
        tokenizer = tiny_tokenizer()
        config = tiny_config(2, len(tokenizer))
        parts = {
            "config.json": checkpoints.settings(config.to_diff_dict()),
            "vocab": json.dumps(tokenizer.get_vocab(), sort_keys=True),
        }
        return Pretrained(config, None, tokenizer, digest=checkpoints.of_parts(parts))
    try:
        if reason := _own_code(place):
            raise _refused(name, place, reason)
        # what the checkpoint lacks is filled in at random, and dropped again: no run may depend on which read it first
        with quiet(), torch.random.fork_rng(devices=[]):
            config = transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
            tokenizer = transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=False)
            tokenizer.padding_side = "right"  # decoders may come with the other; methods count on this one
            if tokenizer.pad_token is None and tokenizer.eos_token is not None:  # GPT-2, Llama: no text contains it
                tokenizer.pad_token = tokenizer.eos_token
            model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                place, use_safetensors=True, dtype=torch.float32, trust_remote_code=False,
                ignore_mismatched_sizes=True, output_loading_info=True,
            )  # fmt: skip
    except ModelUnavailable:
        raise
    except Exception as error:  # a damaged folder can raise anything in transformers and the libraries below it
        reason = first_line(error)
        if os.path.isdir(place):
            raise _refused(name, place, _what_is_missing(Path(place)) or f"it cannot be read ({reason})") from error
        if not isinstance(error, OSError):
            raise _refused(name, place, f"it cannot be read ({reason})") from error
        shelf = paths.named("MIXLIB_MODELS") or "not set"
        fetch = "pip install '.[offline]' in mixlib's checkout"
        hint = fetch if name == MINILM else f"download it into $MIXLIB_MODELS/{name}"
        near = get_close_matches(name, [TINY, MINILM], n=1)
        meant = f"; did you mean {near[0]!r}? Looked" if near and near[0] != name else ": looked"
        raise ModelUnavailable(
            f"model {name!r} is not available{meant} for the folder {name!r}, MIXLIB_MODELS ({shelf}), and "
            f"the hub as {place!r} ({reason}). To get it: {hint}, or name one that is here: {TINY}, {MINILM} "
            "(extra offline)"
        ) from error
    # weights of another shape than the configuration says are as new as those the checkpoint lacks, and so is a class
    # layer that was trained for other classes, even if there were as many
    new = set(info["missing_keys"]) | {key for key, *_ in info["mismatched_keys"]} | _class_layer(model)
    weights = {key: tensor for key, tensor in model.state_dict().items() if key not in new}
    if reason := _misfit(model, info, weights) or _unreadable(tokenizer, model):
        raise _refused(name, place, reason)
    if os.path.isdir(place) and checkpoints.stamps(place) != files:
        raise _refused(name, place, "its files were changed while they were read")
    folder = place if os.path.isdir(place) else Path(cached_file(place, "config.json", local_files_only=True)).parent
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    return Pretrained(config, weights, tokenizer, digest=checkpoints.digest(folder))


def _class_layer(model: torch.nn.Module) -> set[str]:
    """The names of the class layer's weights; none if it cannot be told which that is."""
    try:
        layer = sites.class_layer(model)
    except sites.UnsupportedArchitecture:
        return set()
    (path,) = (name for name, module in model.named_modules() if module is layer)
    return {f"{path}.{name}" for name, _ in layer.named_parameters()}


def _refused(name: str, place: str, reason: str) -> ModelRefused:
    return ModelRefused(f"model {name!r} {f'in {place} ' if place != name else ''}cannot be used: {reason}")


def _own_code(place: str) -> str | None:
    """The part of a model that only code of its own could read; ``None`` if transformers has classes for all of it:
    those are then used, and the weights have to fit them."""
    config, _ = transformers.PreTrainedConfig.get_config_dict(place)
    tokenizer = get_tokenizer_config(place)
    known = {
        "config.json": config.get("model_type") in transformers.CONFIG_MAPPING,
        "tokenizer_config.json": tokenizer_class_from_name(tokenizer.get("tokenizer_class") or "") is not None,
    }
    for values, file in ((config, "config.json"), (tokenizer, "tokenizer_config.json")):
        if values.get("auto_map") and not known[file]:
            return (
                f"it brings its own code (auto_map in {file}), which mixlib does not run; choose a model that "
                "transformers knows"
            )
    return None


def _what_is_missing(folder: Path) -> str | None:
    """Which files a folder lacks to be a model, and how to get them."""
    if not (folder / "config.json").is_file():
        return "it has no config.json; save_pretrained of the model and of its tokenizer write everything needed"
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.ckpt") for path in folder.glob(pattern))
        instead = f" but {_few(pickles)}, and pickles are not read, because they can run code" if pickles else ""
        return f"it has no safetensors weights{instead}; save_pretrained of transformers writes model.safetensors"
    return None


def _misfit(model: torch.nn.Module, info: dict[str, Any], weights: dict[str, torch.Tensor]) -> str | None:
    """How the weights of a checkpoint differ from those of the encoder that its configuration describes."""
    inside = f"{model.base_model_prefix}."
    parts = {name.partition(".")[0] for name in model.base_model.state_dict()}
    missing = [key for key in info["missing_keys"]
               if key.startswith(inside) and not key.startswith(f"{inside}pooler.")]  # fmt: skip
    # a checkpoint of the encoder alone has names without the prefix; an unused pooler or language model head is usual
    unused = [key for key in info["unexpected_keys"] if key.removeprefix(inside).partition(".")[0] in parts]
    shapes = [f"{key} {list(got)} instead of {list(want)}"
              for key, got, want in info["mismatched_keys"] if key.startswith(inside)]  # fmt: skip
    faults = [
        f"{len(names)} {what} ({_few(names)})"
        for names, what in (
            (missing, "tensors of the encoder are missing"),
            (unused, "have no place in it"),
            (shapes, "have another shape"),
        )
        if names
    ]
    if faults:
        return (
            f"its weights do not fit the {type(model).__name__} of its config.json: {'; '.join(faults)}. Weights and "
            "config.json have to come from the same save_pretrained"
        )
    broken = [key for key, tensor in weights.items() if not torch.isfinite(tensor).all()]
    return f"{len(broken)} of its tensors hold NaN or infinite values ({_few(broken)})" if broken else None


PROBE = "the film is bad, and 2 of 3 books are good"


def _unreadable(tokenizer: Any, model: torch.nn.Module) -> str | None:
    """Why a model cannot read what its tokenizer writes."""
    rows = model.get_input_embeddings().weight.shape[0]
    right = "Save the tokenizer into the model's folder with its own save_pretrained"
    ids = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    if not set(ids) - {tokenizer.unk_token_id}:
        return f"its tokenizer ({len(tokenizer)} tokens) knows no word of {PROBE!r}: are its files missing? {right}"
    if tokenizer.pad_token is None:
        return "its tokenizer has neither a padding token nor one for the end of a text: set pad_token and save it"
    if (highest := max(tokenizer.get_vocab().values())) >= rows:
        return f"its tokenizer has ids up to {highest}, but its embedding has {rows} rows, 0 to {rows - 1}. {right}"
    if len(tokenizer) < rows / 2:
        return f"its tokenizer has {len(tokenizer)} tokens, but its embedding has {rows} rows. {right}"
    return None


def _few(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


@contextmanager
def quiet() -> Iterator[None]:
    """Inside this context transformers shows only errors, neither warnings nor progress bars; afterwards its settings
    are as before."""
    before, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(before)
        if bars:
            hf_logging.enable_progress_bar()


def keep_blocks(model: torch.nn.Module, every: int) -> None:
    """Keep every ``every``-th block of a classifier, starting with the first, in place.

    Raises:
        ValueError: ``every`` is below two, or above the model's number of blocks.
        sites.UnsupportedArchitecture: the model's blocks are not a list of their own.
    """
    kind, n = sites.family(model), sites.num_blocks(model)
    if not 2 <= every <= n:
        raise ValueError(f"this model has {n} blocks: [::2] to [::{n}] keep some of them, got [::{every}]")
    if kind.shared_blocks:
        raise sites.UnsupportedArchitecture(f"{type(model).__name__} shares one block, none of it can be left out")
    parent, _, name = kind.blocks.rpartition(".")
    kept = sites.blocks(model)[::every]
    setattr(model.base_model.get_submodule(parent), name, torch.nn.ModuleList(kept))
    model.config.num_hidden_layers = len(kept)
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[::every]
    for i, block in enumerate(kept):  # decoders keep a cache by these numbers
        for module in block.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = i


def set_dropout(config: Any, dropout: float | None) -> None:
    """Set every dropout rate that this configuration has, whatever its family calls it."""
    if dropout is None:
        return
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")
    known = (
        *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "classifier_dropout_prob"),
        *("dropout", "attention_dropout", "seq_classif_dropout", "pooler_dropout", "cls_dropout"),
        *("embd_pdrop", "attn_pdrop", "resid_pdrop", "mlp_dropout", "embedding_dropout"),
    )
    for name in known:
        if hasattr(config, name):
            setattr(config, name, dropout)
