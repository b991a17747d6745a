"""The layers between encoder and class layer, for papers that have more there than the model's own head."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from mixlib.methods import sites

HEADS = ("own", "tanh", "entities", "mean", "untyped")


def check(head: str) -> str:
    """The head itself; ``ValueError`` with the known ones if there is none with that name."""
    if head == "published":
        raise ValueError("head 'published' is 'mean' for amplify and 'untyped' for any other method: name one of them")
    if head not in HEADS:
        raise ValueError(f"unknown head {head!r}; choose one of {', '.join(HEADS)}")
    return head


def of_method(head: str, method: str) -> str:
    """The head itself, or for ``"published"`` the one that the published code of AMPLIFY gives this method.

    For ``amplify`` that is ``"mean"`` (:class:`MeanClassifier`); for every method it is compared with, ``"untyped"``,
    the model's own head without token types.
    """
    if head == "published":
        return "mean" if method == "amplify" else "untyped"
    return check(head)


def tanh_layers(width: int) -> nn.Sequential:
    """v = tanh(W2 tanh(W1 pooled)): the two layers of BatchMixup's authors (their code; section 4 allows for them)."""
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())


def add_tanh_layers(model: sites.Classifier) -> None:
    """Put :func:`tanh_layers` before the model's class layer, in place, and take the dropout out of its head.

    Every method then finds v(x) at layer n + 1, where it found the pooled vector before.

    Raises:
        sites.UnsupportedArchitecture: the model has no linear class layer.
    """
    layer = sites.class_layer(model)
    (path,) = (name for name, module in model.named_modules() if module is layer)
    parent_path, _, name = path.rpartition(".")
    layers = OrderedDict(hidden=tanh_layers(layer.in_features), classes=layer)
    setattr(model.get_submodule(parent_path), name, nn.Sequential(layers))
    encoder = set(model.base_model.modules())
    for module in model.modules():
        if isinstance(module, nn.Dropout) and module not in encoder:
            module.p = 0.0


def _last_hidden(encoder: nn.Module, ids: Tensor, mask: Tensor, types: Tensor | None) -> Tensor:
    """Last hidden states (rows, tokens, hidden) of an encoder, with token types where rows have them."""
    more: dict[str, Any] = {} if types is None else {"token_type_ids": types}
    return encoder(input_ids=ids, attention_mask=mask, **more).last_hidden_state


def _answer(logits: Tensor, labels: Tensor | None) -> SequenceClassifierOutput:
    loss = None if labels is None else F.cross_entropy(logits, labels)
    return SequenceClassifierOutput(loss=loss, logits=logits)


class EntityClassifier(nn.Module):
    """A relation classifier on two entity spans (BatchMixup on FewRel, the author's code).

    ``pooled = tanh(W0 [head; tail; head * tail])`` with head and tail the sums of the last hidden states over each
    entity's word pieces, then :func:`tanh_layers` and the class layer. The encoder is that of ``model``.

    Args:
        model: a sequence classifier whose encoder and configuration are used; its own head is dropped.
    """

    def __init__(self, model: sites.Classifier) -> None:
        super().__init__()
        self.config = model.config
        self.base_model = model.base_model
        width = self.config.hidden_size
        self.pool = nn.Linear(3 * width, width)
        self.hidden = tanh_layers(width)
        self.classifier = nn.Linear(width, self.config.num_labels)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        entity_spans: Tensor,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Classify rows by their two entities.

        Args:
            input_ids, attention_mask, token_type_ids: (rows, tokens), padded on the right.
            entity_spans: (rows, 2, 2) first token and token after the last, of head and tail
                (:func:`mixlib.runs.encoding.encode` makes them).
            labels: (rows,) for the loss.
        """
        hidden = _last_hidden(self.base_model, input_ids, attention_mask, token_type_ids)
        position = torch.arange(hidden.shape[1], device=hidden.device)
        inside = (position >= entity_spans[..., :1]) & (position < entity_spans[..., 1:])  # (rows, 2, tokens)
        head, tail = (inside.to(hidden.dtype) @ hidden).unbind(1)
        pooled = torch.tanh(self.pool(torch.cat([head, tail, head * tail], -1)))
        return _answer(self.classifier(self.hidden(pooled)), labels)


class MeanClassifier(nn.Module):
    """The mean of the last hidden states over all positions, padding included, then dropout and a linear layer.

    This is the head in AMPLIFY's code. Its output depends on how far texts are padded, so pad them all to one length,
    as that code does.

    Args:
        model: a sequence classifier whose encoder and configuration are used, its dropout rate as well (0 if the
            configuration names none, as in Llama); its own head is dropped.
    """

    def __init__(self, model: sites.Classifier) -> None:
        super().__init__()
        self.config = model.config
        self.base_model = model.base_model
        names = ("classifier_dropout", "seq_classif_dropout", "hidden_dropout_prob", "resid_pdrop")
        rates = (getattr(self.config, name, None) for name in names)
        self.dropout = nn.Dropout(next((rate for rate in rates if rate is not None), 0.0))
        self.classifier = nn.Linear(self.config.hidden_size, self.config.num_labels)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Classify rows. ``labels`` (rows,) are for the loss; all other arguments are (rows, tokens)."""
        hidden = _last_hidden(self.base_model, input_ids, attention_mask, token_type_ids)
        return _answer(self.classifier(self.dropout(hidden.mean(1))), labels)
