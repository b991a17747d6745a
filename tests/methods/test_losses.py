"""What the loss of every method does with label smoothing, class weights, number formats and batches without masks."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, LlamaConfig
from transformers.trainer_pt_utils import LabelSmoother

from mixlib import methods
from mixlib.methods.batchmixup import batchmixup_loss, nonlinear_loss, shares_of
from mixlib.methods.mixing import Criterion, mix, mixed_cross_entropy, random_others

PLAIN = Criterion()
seeds = st.integers(0, 2**31 - 1)
rows, lams = st.integers(2, 9), st.floats(0, 1)
# short, and mixing from the first step on
PARAMS = {
    "batchmixup": {"n": 12}, "mixup": {"n": 2}, "nonlinear_mixup": {"n": 2}, "cls_mixup_late": {"start": 0.0},
}  # fmt: skip
MORE = [("embedmix", {"originals": True}), ("batchmixup", {"n": 12, "policy": "sample", "objective": "dot"})]
METHODS = [*((name, PARAMS.get(name, {})) for name in methods.names()), *MORE]
IDS = methods.names() + [f"{name}-more" for name, _ in MORE]
every_method = pytest.mark.parametrize(("name", "params"), METHODS, ids=IDS)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def case(seed, n):
    logits = torch.randn(n, 4, generator=seeded(seed), dtype=torch.float64)
    return logits, torch.randint(0, 4, (n,), generator=seeded(seed)), random_others(n, seeded(seed))


@given(seeds, rows, lams, st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_smoothed_labels_are_mixed_labels(seed, n, lam, smoothing):
    logits, labels, perm = case(seed, n)
    smooth = (1 - smoothing) * F.one_hot(labels, 4).double() + smoothing / 4
    for weight in (lam, torch.full((n,), lam, dtype=torch.float64)):
        loss = mixed_cross_entropy(logits, labels, perm, weight, smoothing=smoothing)
        assert torch.allclose(loss, F.cross_entropy(logits, mix(smooth, perm, lam)))


@given(seeds, rows, lams, st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_class_weights_weigh_each_label_of_a_row(seed, n, lam, smoothing):
    logits, labels, perm = case(seed, n)
    w = torch.tensor([0.5, 1.0, 2.0, 7.0], dtype=torch.float64)
    plain = mixed_cross_entropy(logits, labels, smoothing=smoothing, class_weights=w)
    assert torch.allclose(plain, F.cross_entropy(logits, labels, w, label_smoothing=smoothing))
    for own in (lam, torch.rand(n, generator=seeded(seed), dtype=torch.float64)):  # one weight, and one a row
        above = below = 0.0
        for share, y in ((own, labels), (1 - own, labels[perm])):
            losses = F.cross_entropy(logits, y, w, reduction="none", label_smoothing=smoothing)
            above, below = above + (share * losses).sum(), below + (share * w[y]).sum()
        mixed = mixed_cross_entropy(logits, labels, perm, own, smoothing=smoothing, class_weights=w)
        assert torch.allclose(mixed, above / below)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_smoothing_is_that_of_transformers_to_the_last_digit(dtype):
    labels = torch.arange(7) % 4
    own, theirs = (torch.randn(7, 4, generator=seeded(3)).to(dtype).requires_grad_() for _ in range(2))
    loss = mixed_cross_entropy(own, labels, smoothing=0.3)
    expected = LabelSmoother(epsilon=0.3)({"logits": theirs}, labels)
    loss.backward()
    expected.backward()
    if dtype == torch.float64:  # theirs adds up in float32
        assert loss.dtype == dtype
        assert torch.allclose(loss, expected.double())
    else:
        assert torch.equal(loss, expected)
        assert torch.equal(own.grad, theirs.grad)


def losses(name, params, model, tokenizer, batch, criterion=PLAIN):
    """The losses of one step, by a method made anew, so that its draws are the same each time."""
    method = methods.get(name, **params)
    method.prepare(model, tokenizer, train_lengths=[9])
    method.criterion = criterion
    method.seed_step(0, 0)
    found = []
    for loss in method.losses(model, batch):
        model.zero_grad()
        loss.backward()
        found.append(loss.detach())
    return torch.stack(found[:1] if name == "ssmix" else found)  # other gradients choose other spans


@every_method
def test_smoothing_is_in_the_loss_of_every_method(name, params, tiny, batch):
    model, tokenizer = tiny
    sharp, soft, flat = (
        losses(name, params, model, tokenizer, batch, Criterion(smoothing=e)) for e in (0.0, 0.25, 1.0)
    )
    assert torch.allclose(soft, 0.75 * sharp + 0.25 * flat, atol=1e-5)
    assert not torch.allclose(sharp, flat, atol=1e-4)
    relabelled = batch | {"labels": batch["labels"].roll(1)}
    # smoothed away altogether, labels say nothing
    assert torch.allclose(losses(name, params, model, tokenizer, relabelled, Criterion(smoothing=1.0)), flat, atol=1e-5)


@every_method
def test_class_weights_are_in_the_loss_of_every_method_that_weighs(name, params, tiny, batch):
    model, tokenizer = tiny
    if not methods.get(name).weighs_classes:
        assert name in ("batchmixup", "nonlinear_mixup")
        return
    plain = losses(name, params, model, tokenizer, batch)
    even, uneven = (
        losses(name, params, model, tokenizer, batch, Criterion(class_weights=torch.tensor(w)))
        for w in ([3.0, 3.0, 3.0], [1.0, 2.0, 5.0])
    )
    assert torch.allclose(even, plain)
    assert not torch.allclose(uneven, plain, atol=1e-4)


def test_smoothing_of_class_vectors_is_that_of_labels_where_one_weight_a_row_mixes_them():
    torch.manual_seed(0)
    layer, vectors, labels = torch.nn.Linear(6, 3).double(), torch.randn(5, 6).double(), torch.tensor([0, 2, 1, 2, 0])
    policy = torch.rand(20, 5, 1, dtype=torch.float64)
    smooth = 0.7 * F.one_hot(labels, 3).double() + 0.1
    shares = shares_of(policy).squeeze(2)
    loss = batchmixup_loss(vectors, layer.weight, layer.bias, labels, policy, smoothing=0.3)
    assert torch.allclose(loss, F.cross_entropy(layer(shares @ vectors), shares @ smooth))
    lam = torch.full((6,), 0.3, dtype=torch.float64)
    x, y = (0.3 * t[:, None] + 0.7 * t[None] for t in (vectors, smooth))
    loss = nonlinear_loss(vectors, layer, labels, lam, smoothing=0.3)
    assert torch.allclose(loss, F.cross_entropy(layer(x.view(25, 6)), y.view(25, 3)))


def llama(tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), num_labels=3, pad_token_id=0, hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=24,
    )  # fmt: skip
    return AutoModelForSequenceClassification.from_config(config)


def check_number_format(dtype, name, params, model, tokenizer, batch):
    """Losses and gradients are of this format, and the losses nearly those in double precision."""
    found = []
    for kind in (torch.float64, dtype):
        found.append(losses(name, params, model.to(kind), tokenizer, batch))
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() and gradient.dtype == kind for gradient in gradients)
    exact, rounded = found
    assert exact.dtype == torch.float64
    assert torch.allclose(rounded.double(), exact, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@every_method
def test_models_of_other_number_formats_train(dtype, name, params, tiny, batch):
    check_number_format(dtype, name, params, *tiny, batch)


# one that changes the input vectors, layers, attention sublayers, class vectors, the text
@pytest.mark.parametrize("name", ["input_mixup", "tmix", "amplify", "batchmixup", "ssmix"])
def test_decoders_of_another_number_format_train(name, tiny, batch):
    _, tokenizer = tiny
    check_number_format(torch.bfloat16, name, PARAMS.get(name, {}), llama(tokenizer), tokenizer, batch)


@every_method
def test_a_batch_without_an_attention_mask_is_seen_whole(name, params, tiny, batch):
    model, tokenizer = tiny
    whole = batch | {"attention_mask": torch.ones_like(batch["input_ids"])}
    bare = {key: tensor for key, tensor in batch.items() if key != "attention_mask"}
    assert torch.equal(*(losses(name, params, model, tokenizer, x) for x in (whole, bare)))


@pytest.mark.parametrize("padding", ["no_pad", "sep_max"])
def test_paddings_of_a_batch_without_an_attention_mask(padding, tiny, batch):
    model, tokenizer = tiny
    whole = batch | {"attention_mask": torch.ones_like(batch["input_ids"])}
    bare = {key: tensor for key, tensor in batch.items() if key != "attention_mask"}
    found = (losses("input_mixup", {"padding": padding}, model, tokenizer, x) for x in (whole, bare))
    assert torch.equal(*found)
