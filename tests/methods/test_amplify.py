from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, FNetConfig, TrainingArguments

from mixlib import methods
from mixlib.methods import Draw, sites
from mixlib.methods.base import inputs_of
from mixlib.methods.mixing import mix, mixed_cross_entropy
from mixlib.trainer import MixupTrainer
from tests.methods.test_sites import CONFIGS, NO_CHECKPOINTING, PERM

HIDDEN = ("embedmix", "tmix", "sentencemix")
plain_loss = methods.get("none").plain_loss


@pytest.fixture(params=CONFIGS)
def classifier(request):
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(CONFIGS[request.param]).double()


@pytest.fixture
def bert():
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(CONFIGS["bert"]).double()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 6 + [0], [1] * 4 + [0] * 3])
    ids = torch.randint(5, 80, (4, 7), generator=generator) * mask
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 1, 2, 1])}


def test_a_step_trains_every_architecture_on_mixed_rows(classifier, batch):
    method = methods.get("amplify")
    method.prepare(classifier)
    method.draw = lambda model, rows: Draw(PERM, 0.4)
    plain = plain_loss(classifier.eval(), batch)
    (loss,) = list(method.losses(classifier, batch))
    assert loss.requires_grad
    assert not torch.isclose(loss, plain)
    logits = method.logits(classifier, batch, Draw(PERM, 0.4))
    assert torch.isclose(loss, mixed_cross_entropy(logits, batch["labels"], PERM, 0.4))
    method.draw = lambda model, rows: Draw(PERM, 1.0)
    assert torch.isclose(next(method.losses(classifier, batch)), plain)
    assert torch.equal(plain_loss(classifier, batch), plain)  # nothing is left behind, evaluation never mixes


def test_rows_keep_their_own_attention_mask(bert, batch):
    """What stands in the padding of the partner's row does not reach a row through attention."""
    bert.eval()
    draw = Draw(torch.tensor([1, 0, 3, 2]), 0.5)
    method = methods.get("amplify", blocks=[3])
    other = dict(batch, input_ids=batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 7))
    assert torch.allclose(method.logits(bert, batch, draw), method.logits(bert, other, draw))


def test_one_draw_for_all_blocks(bert, batch):
    seen = []
    method = methods.get("amplify")
    method.seed_step(0, 0)
    draw = method.draw(bert, 4)
    hooks = [
        module.register_forward_hook(lambda m, args, out: seen.append(out[0].clone()))
        for module in sites.attentions(bert)
    ]
    bert.eval()
    with method.mixing(bert, batch, draw) as inputs, torch.inference_mode():
        after = [m.register_forward_hook(lambda m, args, out: seen.append(out[0])) for m in sites.attentions(bert)]
        bert(**inputs)
    for hook in hooks + after:
        hook.remove()
    assert len(seen) == 6
    for before, mixed in zip(seen[::2], seen[1::2], strict=True):
        assert torch.allclose(mixed, mix(before, draw.perm, draw.lam))


def test_the_largest_of_n_draws_is_the_rows_own_weight(bert):
    def lams(n):
        method = methods.get("amplify", n=n)
        found = []
        for step in range(400):
            method.seed_step(0, step)
            found.append(method.draw(bert, 4).lam)
        return torch.tensor(found)

    one, five, twenty = lams(1), lams(5), lams(20)
    assert abs(one.mean() - 0.5) < 0.06
    assert abs((1 - five).mean() - 0.038) < 0.02
    assert (twenty > 0.99).float().mean() > 0.98


def test_blocks_and_later_ones(bert, batch):
    draw = Draw(PERM, 0.6)
    bert.eval()

    def logits(**params):
        method = methods.get("amplify", **params)
        method.prepare(bert)
        return method.logits(bert, batch, draw)

    assert torch.equal(logits(blocks=[1, 2, 3]), logits())
    assert torch.equal(logits(blocks=[1], and_later=True), logits())
    assert torch.equal(logits(blocks=[2], and_later=True), logits(blocks=[2, 3]))
    assert torch.equal(logits(blocks=[3], and_later=True), logits(blocks=["12/12"]))
    assert not torch.allclose(logits(blocks=[2]), logits(blocks=[2, 3]))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": 0}, "alpha must be a positive number"),
        ({"alpha": -0.1}, "alpha must be a positive number"),
        ({"n": 0}, "n must be a whole number of at least 1, got 0"),
        ({"n": 2.5}, "n must be a whole number"),
        ({"blocks": []}, "at least one block"),
        ({"blocks": ["fourth"]}, "such as '4/12', got 'fourth'"),
        ({"and_later": True}, "needs the block to begin at"),
        ({"layers": [1]}, "method 'amplify' has no parameter layers; it has alpha, n, blocks, and_later"),
    ],
)
def test_bad_parameters_are_refused_when_the_method_is_made(params, message):
    with pytest.raises(ValueError, match=message):
        methods.get("amplify", **params)


def test_what_does_not_fit_the_model_is_refused_before_training(bert):
    with pytest.raises(ValueError, match=r"blocks \[4\] do not exist: this model has 1 to 3"):
        methods.get("amplify", blocks=[4]).prepare(bert)
    fourier = FNetConfig(vocab_size=80, num_labels=3, hidden_size=16, num_hidden_layers=2, intermediate_size=24)
    with pytest.raises(sites.UnsupportedArchitecture, match="no attention sublayers"):
        methods.get("amplify").prepare(AutoModelForSequenceClassification.from_config(fourier))
    with pytest.raises(ValueError, match=r"torch\.compile"):
        methods.get("amplify").prepare(torch.compile(bert))
    with pytest.raises(ValueError, match="set torch_compile=False"):
        MixupTrainer(
            model=bert, method="amplify",
            args=TrainingArguments(output_dir="unused", torch_compile=True, use_cpu=True, report_to=[]),
        )  # fmt: skip


@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in NO_CHECKPOINTING])
def test_gradient_checkpointing_gives_the_same_gradients(batch, name):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(CONFIGS[name]).double()
        if checkpointing:
            model.activation_checkpointing_enable()
        for dropout in [m for m in model.train().modules() if isinstance(m, torch.nn.Dropout)]:
            dropout.p = 0.0
        method = methods.get("amplify")
        method.draw = lambda model, rows: Draw(PERM, 0.3)
        for loss in method.losses(model, batch):
            loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.base_model.parameters() if p.grad is not None]))
    assert torch.allclose(*gradients)
    assert gradients[0].abs().max() > 0


def test_no_parameter_is_added(bert):
    before = sum(p.numel() for p in bert.parameters())
    methods.get("amplify").prepare(bert)
    assert sum(p.numel() for p in bert.parameters()) == before


@pytest.mark.parametrize("key", HIDDEN)
def test_unrelated_labels_leave_the_inputs_as_they_are(bert, key):
    """Of the same step: the same partner, weight and layer; only the labels come from a second draw."""
    draws = []
    for label_perm in ("same", "independent"):
        method = methods.get(key, label_perm=label_perm)
        method.seed_step(3, 5)
        draws.append(method.draw(bert, 16))
    same, independent = draws
    assert torch.equal(same.perm, independent.perm)
    assert (same.lam, same.layer) == (independent.lam, independent.layer)
    assert same.label_perm is None
    assert not torch.equal(independent.label_perm, independent.perm)
    assert sorted(independent.label_perm.tolist()) == list(range(16))


@pytest.mark.parametrize("key", HIDDEN)
def test_loss_with_unrelated_labels(bert, batch, key):
    method = methods.get(key, label_perm="independent")
    labels_of = torch.tensor([2, 3, 0, 1])
    layer = {"embedmix": 0, "tmix": 2, "sentencemix": 4}[key]
    method.draw = lambda model, rows: Draw(PERM, 0.7, layer, labels_of)
    bert.eval()
    (loss,) = method.losses(bert, batch)
    logits = method.logits(bert, batch, Draw(PERM, 0.7, layer))
    own, other = (cross_entropy(logits, batch["labels"][p]) for p in (torch.arange(4), labels_of))
    assert torch.isclose(loss, 0.7 * own + 0.3 * other)


def test_unrelated_labels_belong_to_the_frame_of_mixed_rows():
    with pytest.raises(ValueError, match="set originals=False"):
        methods.get("embedmix", originals=True, label_perm="independent")
    with pytest.raises(ValueError, match="label_perm must be one of same, independent, got 'other'"):
        methods.get("sentencemix", label_perm="other")


def test_sentencemix_is_the_mix_of_two_passes(bert, batch):
    """The published code mixes the logits of two passes: the same, the class layer being linear."""
    bert.eval()
    draw = Draw(PERM, 0.7, sites.num_blocks(bert) + 1)
    logits = methods.get("sentencemix").logits(bert, batch, draw)
    assert torch.allclose(logits, mix(bert(**inputs_of(batch)).logits, PERM, 0.7))
    method = methods.get("sentencemix")
    assert method.draw(bert, 8).layer == draw.layer
    assert all(method.draw(bert, 8).lam >= 0.5 for _ in range(20))
    assert torch.equal(logits, methods.get("cls_mixup").logits(bert, batch, draw))


def test_methods_compare_equal_by_their_parameters():
    assert methods.get("amplify", blocks=[2]) == replace(methods.get("amplify"), blocks=(2,))
