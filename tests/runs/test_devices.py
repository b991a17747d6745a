"""One step of every method on a device that is not the CPU: torch's ``meta``, which computes shapes and no values.

What would stop or slow a step on a GPU fails here: a tensor left on the CPU, a value read back (``item``, ``tolist``,
``bool``), and a copy to the device that the host would wait for.
"""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import masking_utils

from mixlib import methods
from mixlib.methods import Method
from mixlib.methods.mixing import sample_beta

META = torch.device("meta")
VARIANTS = [
    *((name, {}) for name in methods.names()),
    *((name, {"originals": True}) for name in ("embedmix", "tmix", "sentencemix")),
    *((name, {"n": 2, "updates": "one"}) for name in ("mixup", "nonlinear_mixup")),
    ("embedmix", {"label_perm": "independent"}),
    ("batchmixup", {"policy": "sample"}),
    ("nonlinear_mixup", {"objective": "dot"}),
    ("cls_mixup_late", {"start": 0.0}),
    ("input_mixup", {"padding": "no_pad"}),
    ("input_mixup", {"padding": "pad_max"}),
    ("ssmix", {"saliency": "split", "short_partner": "skip"}),
]


class OnOneDevice(TorchDispatchMode):
    """Every operation keeps to one device; what is copied to it is copied without waiting."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        copies = operation is torch.ops.aten._to_copy.default and kwargs.get("device", args[0].device) != args[0].device
        if copies:
            assert kwargs.get("non_blocking"), "a blocking copy to the device"
        # numbers on the CPU may meet tensors of a device, but as an index even they are copied and waited for
        counted = [x for x in tensors if x.dim() or "index" in operation.__name__]
        assert len({x.device for x in counted}) <= 1, f"{operation} is given tensors of several devices"
        return operation(*args, **kwargs)


class MetaGenerator(torch.Generator):
    device = META


@pytest.fixture
def on_meta(monkeypatch):
    """Stands in for what torch does not do on ``meta``, and for transformers' own reads of masks."""
    for name in ("_ignore_bidirectional_mask_sdpa", "_ignore_causal_mask_sdpa"):
        monkeypatch.setattr(masking_utils, name, lambda *args, **kwargs: False)
    monkeypatch.setattr(
        Method, "generator_on", lambda self, device: MetaGenerator() if device == META else self.generator
    )
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())


@pytest.mark.parametrize(
    ("name", "params"), VARIANTS, ids=lambda x: x if isinstance(x, str) else "-".join(x) or "default"
)
def test_a_step_stays_on_its_device(name, params, tiny, batch, on_meta):
    model, tokenizer = tiny
    method = methods.get(name, **params)
    method.prepare(model, tokenizer, train_lengths=[12])
    method.seed_step(0, 1)
    if name in ("batchmixup", "nonlinear_mixup"):
        sample_beta((1,), method.alpha, MetaGenerator())  # the first step of a training copies the table of quantiles
    model, batch = model.to(META).train(), {key: tensor.to(META) for key, tensor in batch.items()}
    losses = []
    with OnOneDevice():
        for loss in method.losses(model, batch):
            assert loss.device == META
            loss.backward()
            losses.append(loss)
    assert len(losses) == (2 if method.passes > 1 else 1)
    assert model.classifier.weight.grad is not None


def careless(model, batch, how):
    """A loss that reads a value back, mixes devices, or copies something without need."""
    logits = model(batch["input_ids"]).logits
    return {
        "reads": lambda: logits.sum() * logits.max().item(),
        "asks": lambda: logits.sum() if logits.max() > 0 else logits.mean(),
        "indexes": lambda: logits[torch.arange(6)].sum(),
        "meets": lambda: (logits + torch.ones(6, 3)).sum(),
        "copies": lambda: (logits * torch.ones(6, 3).to(META)).sum(),
    }[how]()


@pytest.mark.parametrize("how", ["reads", "asks", "indexes", "meets", "copies"])
def test_a_careless_step_is_found(how, tiny, batch, on_meta):
    model, batch = tiny[0].to(META), {key: tensor.to(META) for key, tensor in batch.items()}
    with OnOneDevice(), pytest.raises((AssertionError, RuntimeError), match=r"item|several devices|blocking copy"):
        careless(model, batch, how)
