"""Word embeddings without the rows that a run never looks up.

A short run meets only a few of a model's 30,000 tokens, but clipping and AdamW go through all rows at each update. The
other rows get no gradient, so leaving them out changes none of the run's numbers, only its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor, nn

from mixlib.methods import Method


class TrimmedEmbedding(nn.Embedding):
    """Some rows of an embedding, looked up by their ids in the whole one.

    Its state, when read or written, is that of the whole embedding, which keeps the other rows.

    Args:
        whole: the embedding.
        ids: rows to keep, each once and in ascending order, ``whole.padding_idx`` among them.
    """

    places: Tensor

    def __init__(self, whole: nn.Embedding, ids: Tensor) -> None:
        pad = None if whole.padding_idx is None else int(torch.searchsorted(ids, whole.padding_idx))
        super().__init__(len(ids), whole.embedding_dim, pad, _weight=whole.weight.detach()[ids])
        self.weight.requires_grad_(whole.weight.requires_grad)
        self._whole = (whole,)  # not a submodule: the optimizer must not find it
        places = torch.full((whole.num_embeddings,), len(ids), device=ids.device)  # no such row: looking it up raises
        self.register_buffer("places", places.scatter(0, ids, torch.arange(len(ids), device=ids.device)), False)

    @torch.no_grad()
    def restored(self) -> nn.Embedding:
        """The whole embedding with the rows of this one as they are now, on its device."""
        (whole,) = self._whole
        whole.to(self.weight.device).weight[self.places < self.num_embeddings] = self.weight
        return whole

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        self.restored()._save_to_state_dict(destination, prefix, keep_vars)

    @torch.no_grad()
    def _load_from_state_dict(self, *args):
        self.restored()._load_from_state_dict(*args)
        self.weight.copy_(self._whole[0].weight[self.places < self.num_embeddings])

    def forward(self, input: Tensor) -> Tensor:
        """Embed ids of any shape; ``IndexError`` for one that was left out (on a GPU a device-side assertion)."""
        places = self.places.index_select(0, input.flatten()).view_as(input)  # negative ids raise here
        try:
            return F.embedding(places, self.weight, self.padding_idx)
        except IndexError as error:
            missing = input[places == self.num_embeddings].unique().tolist()
            raise IndexError(
                f"token ids {missing[:5]} occur in no text of this run, so their embeddings were left out; a method "
                "that writes tokens other than special ones has to name them in its attribute 'writes'"
            ) from error


def occurring(tokenizer: Any, datasets: Iterable[Dataset], method: Method) -> Tensor:
    """The token ids that a run can meet, ascending: those of its rows, all special ones, and those the method writes.

    Args:
        tokenizer: of the run.
        datasets: its encoded rows (:func:`mixlib.runs.encoding.encode`), training and evaluation.
        method: after :meth:`~mixlib.methods.Method.prepare`.
    """
    columns = [rows.with_format("arrow")[:]["input_ids"].combine_chunks().flatten() for rows in datasets]
    found = [np.unique(column.to_numpy()) for column in columns]
    return torch.from_numpy(
        np.unique(np.concatenate([tokenizer.all_special_ids, method.writes, *found])).astype(np.int64)
    )


@contextmanager
def trimmed(model: nn.Module, ids: Tensor) -> Iterator[bool]:
    """Inside this context the model's word embedding has the rows ``ids`` alone; ids in the data stay as they are.

    Create the optimizer inside. Afterwards the model has its own embedding module again, with the rows trained inside
    and the others as they were before. (A run with the whole embedding would have shrunk those by weight decay, and
    nothing else.) Weights saved or loaded inside have the usual shape, too; only the parameter itself is smaller.

    Losses and weights are the same to the bit on a CPU, gradient clipping included, if the width of the embedding is a
    multiple of 16, as in all usual models. Otherwise, and on a GPU, the sum of squares of the gradients is computed in
    another order, so that a clipped run may differ in the last digits; without clipping it does not.

    Args:
        model: a Hugging Face sequence classifier, or one of :mod:`mixlib.runs.heads`.
        ids: see :func:`occurring`.

    Yields:
        Whether there was something to trim. A word embedding of another class than ``torch.nn.Embedding``, one with
        ``max_norm``, ``scale_grad_by_freq`` or ``sparse``, and one whose weights have another use in the model are left
        alone.
    """
    whole = model.base_model.get_input_embeddings()
    if whole is not None and type(whole) is nn.Embedding and whole.padding_idx is not None:
        ids = torch.cat([ids, torch.tensor([whole.padding_idx])]).unique()
    if not _can_trim(model, whole) or len(ids) >= whole.num_embeddings:
        yield False
        return
    (path,) = (name for name, module in model.named_modules() if module is whole)
    few = TrimmedEmbedding(whole, ids.to(whole.weight.device))
    model.set_submodule(path, few)
    try:
        yield True
    finally:
        model.set_submodule(path, few.restored())


def _can_trim(model: nn.Module, whole: nn.Module) -> bool:
    if type(whole) is not nn.Embedding or whole.max_norm is not None or whole.scale_grad_by_freq or whole.sparse:
        return False
    uses = [name for name, weight in model.named_parameters(remove_duplicate=False) if weight is whole.weight]
    return len(uses) == 1
