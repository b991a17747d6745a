"""BatchMixup and the pairwise methods it is compared with."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mixlib import methods
from mixlib.methods import batchmixup, sites
from mixlib.methods.batchmixup import all_pairs_loss, batchmixup_loss, mixed_points, nonlinear_loss, shares_of

NAMES = ("mixup", "nonlinear_mixup", "batchmixup")


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.Linear(6, 3).double()


@pytest.fixture
def vectors():
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


LABELS = torch.tensor([0, 2, 1, 2, 0])


def policy(points, rows, width, seed=0):
    return torch.rand(points, rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_weight_a_row_is_soft_label_cross_entropy(layer, vectors):
    shares = shares_of(policy(20, 5, 1))
    loss = batchmixup_loss(vectors, layer.weight, layer.bias, LABELS, policy(20, 5, 1))
    soft = shares.squeeze(2) @ F.one_hot(LABELS, 3).double()
    assert torch.allclose(loss, F.cross_entropy(layer(shares.squeeze(2) @ vectors), soft))


def test_cross_entropy_takes_the_mean_weight_of_a_row_over_the_dimensions(layer, vectors):
    shares = shares_of(policy(20, 5, 6))
    loss = batchmixup_loss(vectors, layer.weight, layer.bias, LABELS, policy(20, 5, 6), "cross_entropy")
    soft = shares.mean(2) @ F.one_hot(LABELS, 3).double()
    assert torch.allclose(loss, F.cross_entropy(layer(mixed_points(vectors, shares)), soft))

    lam = torch.rand(6, dtype=torch.float64)
    pairs = (lam * vectors[:, None] + (1 - lam) * vectors).view(25, 6)
    one_hot = F.one_hot(LABELS, 3).double()
    soft = (lam.mean() * one_hot[:, None] + (1 - lam.mean()) * one_hot).view(25, 3)
    loss = nonlinear_loss(vectors, layer, LABELS, lam, "cross_entropy")
    assert torch.allclose(loss, F.cross_entropy(layer(pairs), soft))


def test_only_cross_entropy_has_a_lower_bound_with_a_weight_for_each_dimension():
    # two classes, told apart in each dimension by one sign: a point that takes dimensions from both rows fits its own
    # mixed class vector better than either class
    layer = nn.Linear(4, 2, bias=False).double()
    signs = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1]], dtype=torch.float64)
    labels, lam = torch.tensor([0, 1]), torch.tensor([1.0, 1, 0, 0], dtype=torch.float64)
    spread = 100 * torch.stack([lam, 1 - lam])[None]  # a policy that takes each dimension from one row
    for scale, falls_to in ((10, -5), (100, -50)):
        layer.weight.data = scale * signs
        lowest = {name: nonlinear_loss(signs, layer, labels, lam, name).item() for name in ("softmax", "cross_entropy")}
        assert lowest["softmax"] < falls_to
        assert lowest["cross_entropy"] > 0
        lowest = {
            name: batchmixup_loss(signs, layer.weight, None, labels, spread, name).item()
            for name in ("softmax", "cross_entropy")
        }
        assert lowest["softmax"] < falls_to
        assert lowest["cross_entropy"] > 0


def test_the_same_weight_in_every_dimension_is_one_weight_a_row(layer, vectors):
    one = policy(20, 5, 1)
    for objective in batchmixup.OBJECTIVES:
        losses = [
            batchmixup_loss(vectors, layer.weight, layer.bias, LABELS, p, objective)
            for p in (one, one.expand(20, 5, 6))
        ]
        assert torch.allclose(*losses)


def test_shares_sum_to_one_and_keep_to_the_bounds_of_claim_11():
    shares = shares_of(policy(500, 32, 4))
    assert torch.allclose(shares.sum(1), torch.ones(500, 4, dtype=torch.float64))
    e = torch.e
    assert shares.min() >= 1 / (1 + 31 * e)
    assert shares.max() <= e / (e + 31)
    assert shares_of(policy(500, 32, 4), temperature=0.03).max() > 0.5  # what a temperature is for


def test_mixed_points_of_equal_rows_are_those_rows(layer):
    same = torch.ones(5, 6, dtype=torch.float64) * torch.arange(6)
    assert torch.allclose(mixed_points(same, shares_of(policy(9, 5, 6))), same[:1].expand(9, 6))


def gradients(method, vectors, layer, labels):
    x = vectors.clone().requires_grad_()
    layer.zero_grad()
    method.seed_step(0, 0)
    method.loss(x, layer, labels).backward()
    bias = [] if layer.bias is None else [layer.bias.grad.clone()]
    return [x.grad, layer.weight.grad.clone(), *bias]


@pytest.mark.parametrize("kind", batchmixup.POLICIES)
@pytest.mark.parametrize("objective", batchmixup.OBJECTIVES)
@pytest.mark.parametrize("bias", [True, False])
def test_chunks_have_the_gradient_of_the_whole(kind, objective, bias):
    torch.manual_seed(0)
    layer, vectors = nn.Linear(10, 4, bias=bias), torch.randn(7, 10)
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    found = []
    for chunk in (10**9, 10 * 7 * 12, 1):
        method = methods.get("batchmixup", n=50, policy=kind, objective=objective)
        method.chunk = chunk
        found.append(gradients(method, vectors, layer, labels))
    for other in found[1:]:
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found[0], other, strict=True))
    assert found[0][0].abs().max() > 1e-4


def test_the_summed_gradient_is_that_of_one_product(layer, vectors):
    whole = policy(23, 5, 6)
    x = vectors.clone().requires_grad_()

    def part(start, vectors, weight, bias):
        piece = whole[start : start + 4]
        return batchmixup_loss(vectors, weight, bias, LABELS, piece) * (len(piece) / 23)

    loss = batchmixup.summed(part, range(0, 23, 4), x, layer.weight, layer.bias)
    reference = batchmixup_loss(x, layer.weight, layer.bias, LABELS, whole)
    assert torch.allclose(loss, reference)
    got = torch.autograd.grad(3 * loss, [x, layer.weight, layer.bias])
    wanted = torch.autograd.grad(3 * reference, [x, layer.weight, layer.bias])
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(got, wanted, strict=True))


def test_never_holds_more_than_a_chunk(monkeypatch):
    method = methods.get("batchmixup", n=200)
    method.chunk, seen = 4000, []
    draw = method.draw
    monkeypatch.setattr(method, "draw", lambda *a: seen.append(draw(*a)) or seen[-1])
    method.loss(torch.randn(8, 16), nn.Linear(16, 3), torch.arange(8) % 3)
    assert max(p.numel() for p in seen) <= 4000
    assert sum(len(p) for p in seen) == 200


def test_all_pairs_with_lam_one_is_plain(layer, vectors):
    assert torch.allclose(all_pairs_loss(vectors, layer, LABELS, 1.0), F.cross_entropy(layer(vectors), LABELS))
    mixed = all_pairs_loss(vectors, layer, LABELS, 0.3)
    by_hand = [
        0.3 * F.cross_entropy(layer(0.3 * a + 0.7 * b), y) + 0.7 * F.cross_entropy(layer(0.3 * a + 0.7 * b), z)
        for a, y in zip(vectors, LABELS, strict=True)
        for b, z in zip(vectors, LABELS, strict=True)
    ]
    assert torch.allclose(mixed, torch.stack(by_hand).mean())


def test_nonlinear_with_one_lam_everywhere_is_linear(layer, vectors):
    lam = torch.full((6,), 0.3, dtype=torch.float64)
    assert torch.allclose(nonlinear_loss(vectors, layer, LABELS, lam), all_pairs_loss(vectors, layer, LABELS, 0.3))
    other = torch.linspace(0, 1, 6, dtype=torch.float64)
    i, j = 1, 3
    x, y = (other * t[0] + (1 - other) * t[1] for t in ((vectors[i], vectors[j]), layer.weight[LABELS[[i, j]]]))
    bias = other.mean() * layer.bias[LABELS[i]] + (1 - other.mean()) * layer.bias[LABELS[j]]
    one = layer(x).logsumexp(0) - x @ y - bias
    pairs = nonlinear_loss(vectors[[i, j]], layer, LABELS[[i, j]], other)
    assert not torch.allclose(one, pairs)  # the mean over four pairs, of which it is one
    back = layer(x2 := (1 - other) * vectors[i] + other * vectors[j]).logsumexp(0)
    y2 = (1 - other) * layer.weight[LABELS[i]] + other * layer.weight[LABELS[j]]
    bias2 = (1 - other.mean()) * layer.bias[LABELS[i]] + other.mean() * layer.bias[LABELS[j]]
    same = [F.cross_entropy(layer(vectors[k]), LABELS[k]) for k in (i, j)]
    assert torch.allclose(pairs, (one + back - x2 @ y2 - bias2 + sum(same)) / 4)


@pytest.mark.parametrize("name", ["mixup", "nonlinear_mixup"])
def test_one_update_is_the_mean_of_the_draws(name, tiny, batch):
    model, _ = tiny
    one = methods.get(name, n=4, updates="one")
    each = methods.get(name, n=4)
    assert (one.updates_per_batch, each.updates_per_batch) == (1, 4)
    one.seed_step(0, 0)
    (mean,) = one.losses(model, batch)
    each.seed_step(0, 0)
    four = [next(each.losses(model, batch)) for _ in range(4)]
    assert torch.allclose(mean, torch.stack(four).mean())
    assert len({round(loss.item(), 6) for loss in four}) == 4


def test_the_dot_objective_pulls_all_class_vectors_the_same_way():
    torch.manual_seed(0)
    vectors, layer = torch.randn(60, 8), nn.Linear(8, 3, bias=False)
    vectors += 3  # a mean to be pulled to
    method = methods.get("batchmixup", objective="dot", n=100)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    labels, losses = torch.arange(60) % 3, []
    for step in range(200):
        method.seed_step(0, step)
        loss = method.loss(vectors, layer, labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < -100  # no lower bound
    weight = F.normalize(layer.weight, dim=1)
    assert (weight @ weight.T).min() > 0.99


@pytest.mark.parametrize("name", ["batchmixup", "nonlinear_mixup"])
def test_the_dot_objective_leaves_no_parameter_of_the_class_layer_without_a_gradient(name):
    """DistributedDataParallel waits for all of them."""
    layer = nn.Linear(4, 2)
    methods.get(name, objective="dot", n=8).loss(torch.randn(5, 4), layer, LABELS % 2).backward()
    assert layer.weight.grad.abs().sum() > 0
    assert layer.bias.grad.tolist() == [0, 0]


def test_number_of_points_as_a_number_or_a_multiple_of_the_rows(monkeypatch):
    counts = []
    monkeypatch.setattr(batchmixup, "batchmixup_loss", lambda v, w, b, y, p, *a: counts.append(len(p)) or (v.sum() * 0))
    for params in ({"n": 40}, {"n_per_row": 6}):
        methods.get("batchmixup", **params).loss(torch.randn(5, 4), nn.Linear(4, 2), LABELS % 2)
    assert counts == [40, 30]


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_one_row_is_refused(name, tiny, batch):
    one = {key: value[:1] for key, value in batch.items()}
    with pytest.raises(ValueError, match=f"{name} mixes the rows of a batch and needs at least 2 of them, got 1"):
        next(methods.get(name).losses(tiny[0], one))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("mixup", {"n": 0}, "n must be a whole number of at least 1, got 0"),
        ("nonlinear_mixup", {"n": -1}, "n must be a whole number"),
        ("batchmixup", {"n": 0}, "n must be a whole number"),
        ("batchmixup", {"n_per_row": 0}, "n_per_row must be a whole number"),
        ("batchmixup", {"n": 2.5}, "got 2.5"),
        ("batchmixup", {"alpha": 0}, "alpha must be a positive number"),
        ("mixup", {"alpha": -1}, "alpha must be a positive number"),
        ("batchmixup", {"policy": "rows"}, "policy must be one of elementwise, sample, got 'rows'"),
        ("nonlinear_mixup", {"objective": "cos"}, "objective must be one of softmax, cross_entropy, dot"),
        ("mixup", {"updates": "all"}, "updates must be one of each, one"),
        ("batchmixup", {"temperature": 0.0}, "temperature must be positive"),
        ("none_long", {"updates": 0}, "updates must be a whole number"),
    ],
)
def test_values_out_of_range(name, params, message):
    with pytest.raises(ValueError, match=message):
        methods.get(name, **params)


@pytest.mark.parametrize("name", NAMES)
def test_sentence_vectors_and_class_layer_are_what_is_trained(name, tiny, batch):
    model, _ = tiny
    method = methods.get(name)
    method.prepare(model)
    for loss in method.losses(model, batch):
        loss.backward()
    assert sites.class_layer(model).weight.grad.abs().sum() > 0
    assert model.bert.embeddings.word_embeddings.weight.grad.abs().sum() > 0
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_draws_do_not_touch_global_randomness(tiny, batch):
    method = methods.get("batchmixup", n=8)
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        method.seed_step(0, 0)
        state = torch.get_rng_state()
        losses.append(next(method.losses(tiny[0], batch)))
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*losses)
