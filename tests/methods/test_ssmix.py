"""SSMix and its relatives, beside the golden cases of test_methods."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForSequenceClassification, TrainingArguments

from mixlib import methods
from mixlib.methods import sites, spans
from mixlib.methods.ssmix import split_saliency
from mixlib.runs import models
from mixlib.trainer import MixupTrainer
from tests.methods.test_sites import CONFIGS
from tests.methods.test_spans import SPECIAL

INPUT_METHODS = ("ssmix", "ssmix_nosal", "ssmix_nosal_nospan", "unk")
HIDDEN_METHODS = ("embedmix", "tmix")
plain_loss = methods.get("none").plain_loss


def texts(rows=6, width=14, pair=False, seed=0):
    """Right-padded rows of the ids of SPECIAL: [CLS] words [SEP] (words [SEP])."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(rows, width, dtype=torch.long)
    types = torch.zeros_like(ids)
    for i in range(rows):
        n, m = torch.randint(1, width - 3 if not pair else 5, (2,), generator=generator).tolist()
        sentences = [n, m] if pair else [n]
        at = 1
        for kind, length in enumerate(sentences):
            ids[i, at : at + length] = torch.randint(5, 80, (length,), generator=generator)
            ids[i, at + length] = 2
            types[i, at : at + length + 1] = kind
            at += length + 1
        ids[i, 0] = 1
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": torch.arange(rows) % 3}
    return batch | ({"token_type_ids": types} if pair else {})


def prepared(name, **params):
    method = methods.get(name, **params)
    method.special = SPECIAL
    method.seed_step(0, 0)
    return method


def run(method, model, batch):
    """The losses of a step, each back-propagated as it is yielded, and the gradients left at the end."""
    model.zero_grad()
    found = []
    for loss in method.losses(model, batch):
        loss.backward()
        found.append(loss.item())
    return found, [p.grad.clone() for p in model.parameters() if p.grad is not None]


def bert(**changes):
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(CONFIGS["bert"]).double().eval()


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("pair", [False, True], ids=["single", "pair"])
def test_saliency_is_the_gradient_at_the_embeddings_in_every_family(family, pair):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(CONFIGS[family]).double().eval()
    batch = texts(pair=pair)
    batch.pop("token_type_ids", None)
    with sites.watched_saliency(model) as watched:
        loss = plain_loss(model, batch)
        loss.backward()
    # by central differences: the loss along the gradient's own direction at one token
    row, token, size = 1, 1, 1e-4
    seen = watched.norms()
    assert seen.shape == batch["input_ids"].shape
    direction = torch.autograd.grad(plain_loss_from(model, batch, found := []), found[0])[0][row, token]
    assert torch.allclose(direction.norm(), seen[row, token])
    losses = []
    for sign in (1, -1):
        step = sign * size * direction / direction.norm()
        with sites.changed(model, 0, lambda x, step=step: bumped(x, row, token, step)), torch.no_grad():
            losses.append(plain_loss(model, batch).item())
    assert (losses[0] - losses[1]) / (2 * size) == pytest.approx(seen[row, token].item(), rel=1e-3)
    assert not any(module._forward_hooks for module in model.modules())


def bumped(x, row, token, step):
    x = x.clone()
    x[row, token] += step
    return x


def plain_loss_from(model, batch, found):
    handle = sites.embeddings(model).register_forward_hook(lambda m, i, o: found.append(o))
    try:
        return plain_loss(model, batch)
    finally:
        handle.remove()


def test_a_step_is_the_mean_of_four_losses():
    model, batch = bert(), texts(pair=True)
    method = prepared("ssmix", lam0=0.5)
    (plain, mixed), gradients = run(method, model, batch)
    a, b = ({k: v[rows] for k, v in batch.items()} for rows in (slice(0, 3), slice(3, 6)))
    with sites.watched_saliency(model) as watched:
        plain_loss(model, batch).backward()
    s = watched.norms()
    terms = [plain_loss(model, a), plain_loss(model, b)]
    for own, other, s_own, s_other in ((a, b, s[:3], s[3:]), (b, a, s[3:], s[:3])):
        new = method.mix_texts(own, other, [s_own] * 2, [s_other] * 2)
        logits = model(**{k: v for k, v in own.items() if k != "labels"} | {"input_ids": new.input_ids}).logits
        ce = [F.cross_entropy(logits, x["labels"], reduction="none") for x in (own, other)]
        terms.append((new.weight * ce[0] + (1 - new.weight) * ce[1]).mean())
    loss = torch.stack(terms).mean()
    assert plain + mixed == pytest.approx(loss.item())
    model.zero_grad()
    loss.backward()
    for left, right in zip(gradients, (p.grad for p in model.parameters() if p.grad is not None), strict=True):
        assert torch.allclose(left, right)


def test_figure_5_of_the_paper():
    # five and six tokens with lam0 0.2: one is replaced in each, the label weight is 2/11
    a = {"input_ids": torch.tensor([[1, 11, 12, 13, 14, 15, 2, 21, 22, 23, 24, 25, 26, 2]])}
    b = {"input_ids": torch.tensor([[1, 31, 32, 33, 34, 35, 2, 41, 42, 43, 44, 45, 46, 2]])}
    s = torch.ones(1, 14)
    s_a, s_b = s.clone(), s.clone()
    s_a[0, 1], s_a[0, 9] = 0, 0  # "Fun" and the third token of the second sentence say least
    s_b[0, 1], s_b[0, 7] = 2, 2
    mixed = prepared("ssmix", lam0=0.2).mix_texts(a, b, [s_a] * 2, [s_b] * 2)
    assert mixed.input_ids.tolist() == [[1, 31, 12, 13, 14, 15, 2, 21, 22, 41, 24, 25, 26, 2]]
    assert 1 - mixed.weight.item() == pytest.approx(2 / 11)
    assert mixed.replaced().nonzero().tolist() == [[0, 1], [0, 9]]
    assert mixed.taken().nonzero().tolist() == [[0, 1], [0, 7]]


@pytest.mark.parametrize("name", INPUT_METHODS)
@pytest.mark.parametrize("pair", [False, True], ids=["single", "pair"])
@pytest.mark.parametrize("lam0", [0.1, 0.5, 1.0])
def test_special_tokens_never_move_and_the_label_counts_what_did(name, pair, lam0):
    method = prepared(name, lam0=lam0)
    a, b = texts(40, pair=pair, seed=1), texts(40, pair=pair, seed=2)
    s = torch.rand(40, 14, generator=torch.Generator().manual_seed(0))
    mixed = method.mix_texts(a, b, [s] * 2, [s.flip(0)] * 2)
    own = spans.sentence_of(a, SPECIAL)
    assert torch.equal(mixed.input_ids[own == 0], a["input_ids"][own == 0])
    replaced = mixed.replaced()
    assert torch.equal(mixed.input_ids[~replaced], a["input_ids"][~replaced])
    if name != "unk":  # takes nothing from its partner
        assert torch.equal(replaced.sum(1), mixed.taken().sum(1))
    for number in (1, 2) if pair else (1,):
        k, n = (replaced & (own == number)).sum(1), (own == number).sum(1)
        n_b = (spans.sentence_of(b, SPECIAL) == number).sum(1)
        paper = torch.minimum((n * lam0 + 1e-9).long(), n if name == "unk" else n_b).clamp_min(1)
        assert torch.equal(k, paper)
    if name == "unk":
        assert (mixed.weight == 1).all()
        assert (mixed.input_ids[replaced] == SPECIAL.unknown).all()
    else:
        assert torch.allclose(1 - mixed.weight, replaced.sum(1) / (own > 0).sum(1))
        words = [set(row.tolist()) for row in b["input_ids"]]
        rows, columns = replaced.nonzero(as_tuple=True)
        assert all(int(mixed.input_ids[i, j]) in words[i] for i, j in zip(rows, columns, strict=True))


def test_tokens_without_span_keep_their_place():
    a, b = texts(30, seed=1), texts(30, seed=2)
    mixed = prepared("ssmix_nosal_nospan", lam0=0.5).mix_texts(a, b)
    assert torch.equal(mixed.replaced(), mixed.taken())


def test_spans_without_saliency_are_drawn_independently():
    a, b = texts(60, seed=1), texts(60, seed=2)
    mixed = prepared("ssmix_nosal", lam0=0.2).mix_texts(a, b)
    starts = [m.float().argmax(1) for m in (mixed.replaced(), mixed.taken())]
    assert not torch.equal(*starts)
    move = mixed.moves[0]
    replaced = mixed.replaced()
    assert torch.equal(replaced.float().cumsum(1).eq(move.length).float().argmax(1) - starts[0] + 1,
                       move.length.squeeze(1))  # fmt: skip


@pytest.mark.parametrize("name", INPUT_METHODS)
def test_texts_of_special_tokens_only_stay_as_they_are(name):
    batch = texts(4)
    batch["input_ids"][1] = torch.tensor([1, 2] + [0] * 12)
    batch["attention_mask"] = (batch["input_ids"] > 0).long()
    method, other = prepared(name, lam0=0.5), {k: v.roll(1, 0) for k, v in batch.items()}
    s = torch.rand(4, 14)
    mixed = method.mix_texts(batch, other, [s] * 2, [s.roll(1, 0)] * 2)
    assert torch.equal(mixed.input_ids[1], batch["input_ids"][1])
    assert mixed.weight[1] == 1
    if name != "unk":  # its partner has nothing to take from it
        assert torch.equal(mixed.input_ids[2], batch["input_ids"][2])
        assert mixed.weight[2] == 1
    losses, _ = run(method, bert(), batch)
    assert torch.isfinite(torch.tensor(losses)).all()


def test_a_partner_too_short_shortens_the_span_or_with_skip_stops_it():
    a = {"input_ids": torch.tensor([[1, 11, 12, 13, 14, 15, 16, 2]])}
    b = {"input_ids": torch.tensor([[1, 31, 32, 2, 0, 0, 0, 0]])}
    s = torch.tensor([[0.0, 5, 5, 1, 1, 5, 5, 0]])
    shorter = prepared("ssmix", lam0=0.5).mix_texts(a, b, [s] * 2, [s] * 2)
    assert shorter.input_ids.tolist() == [[1, 11, 12, 31, 32, 15, 16, 2]]
    assert shorter.weight.item() == pytest.approx(4 / 6)
    skipped = prepared("ssmix", lam0=0.5, short_partner="skip").mix_texts(a, b, [s] * 2, [s] * 2)
    assert torch.equal(skipped.input_ids, a["input_ids"])
    assert skipped.weight.item() == 1


@pytest.mark.parametrize("name", [*INPUT_METHODS, *HIDDEN_METHODS])
def test_an_odd_row_is_trained_on_unmixed(name):
    params = {"originals": True} if name in HIDDEN_METHODS else {}
    model, batch = bert(), texts(5)
    method = prepared(name, **params)
    (plain, mixed), _ = run(method, model, batch)
    assert plain == pytest.approx(plain_loss(model, batch).item() / 2)
    method.seed_step(0, 0)
    even, _ = run(method, model, {k: v[:4] for k, v in batch.items()})
    # of ssmix, the odd row's loss changes the scale of the saliency, not its order
    assert mixed == pytest.approx(even[1], rel=1e-12)


def test_saliency_needs_the_backward_pass_and_gradients():
    model, batch = bert(), texts()
    steps = prepared("ssmix").losses(model, batch)
    next(steps)
    with pytest.raises(RuntimeError, match="back-propagate each loss as it is yielded"):
        next(steps)
    with torch.no_grad(), pytest.raises(ValueError, match=r"outside torch\.no_grad"):
        next(prepared("ssmix").losses(model, batch))
    assert not any(module._forward_hooks for module in model.modules())


def test_a_frozen_embedding_layer_gives_the_same_spans():
    batch, found = texts(), []
    for frozen in (False, True):
        model, method = bert(), prepared("ssmix", lam0=0.3)
        for p in model.bert.embeddings.parameters():
            p.requires_grad_(not frozen)
        mix_texts = method.mix_texts
        method.mix_texts = lambda *args, mix_texts=mix_texts: found.append(mix_texts(*args)) or found[-1]
        run(method, model, batch)
        assert (model.bert.embeddings.word_embeddings.weight.grad is None) is frozen
    assert torch.equal(found[0].input_ids, found[1].input_ids)


def test_gradient_checkpointing_changes_nothing():
    batch = texts(pair=True)
    plain = run(prepared("ssmix"), bert(), batch)
    model = bert()
    model.train()  # dropout is 0
    model.gradient_checkpointing_enable()
    again = run(prepared("ssmix"), model, batch)
    assert plain[0] == pytest.approx(again[0])
    assert all(torch.allclose(a, b) for a, b in zip(plain[1], again[1], strict=True))


def test_split_saliency_reads_each_sentence_alone():
    model, batch = bert(), texts(pair=True)
    found = split_saliency(model, batch, SPECIAL)
    assert all(p.grad is None for p in model.parameters())
    own = spans.sentence_of(batch, SPECIAL)
    ids, label = batch["input_ids"][2], batch["labels"][2:3]
    for kind, s in enumerate(found):
        alone = torch.cat([torch.tensor([1]), ids[own[2] == kind + 1], torch.tensor([2])])[None]
        text = {"input_ids": alone, "attention_mask": torch.ones_like(alone), "labels": label,
                "token_type_ids": torch.full_like(alone, kind)}  # fmt: skip
        with sites.watched_saliency(model) as watched:
            plain_loss(model, text).backward()
        expected = watched.norms()[0, 1:-1] / 12  # there the loss is a mean over both sentences of six rows
        assert torch.allclose(s[2][own[2] == kind + 1], expected)
    # of single sentences it is the saliency of the text
    single = texts()
    with sites.watched_saliency(model) as watched:
        plain_loss(model, single).backward()
    own = spans.sentence_of(single, SPECIAL)
    whole, alone = watched.norms(), split_saliency(model, single, SPECIAL)[0]
    assert torch.allclose(alone[own == 1] * 2, whole[own == 1])


class NoCopies(TorchDispatchMode):
    """Raises where a number leaves the device or a loop over rows would need its size."""

    FORBIDDEN = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten._to_copy")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).rsplit(".", 1)[0]
        copies = name == "aten._to_copy" and (kwargs or {}).get("device") is not None
        assert name not in self.FORBIDDEN[:3], name
        assert not copies, name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", INPUT_METHODS)
def test_mixing_needs_no_number_from_the_device(name):
    method, batch = prepared(name), texts(pair=True)
    s = torch.rand(6, 14)
    perm = torch.arange(6).roll(3)
    other = {k: v[perm] for k, v in batch.items()}
    with NoCopies():
        method.mix_texts(batch, other, [s] * 2, [s[perm]] * 2)


@pytest.mark.parametrize("name", HIDDEN_METHODS)
def test_hidden_mixing_of_equally_long_rows_with_lam_one_changes_nothing(name):
    model = bert()
    ids = torch.randint(5, 80, (4, 7), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.arange(4) % 3}
    draw = methods.Draw(torch.tensor([1, 0, 3, 2]), 1.0, 0 if name == "embedmix" else 2)
    assert torch.equal(prepared_hidden(name).logits(model, batch, draw), model(ids).logits)


def prepared_hidden(name, **params):
    method = methods.get(name, **params)
    method.seed_step(0, 0)
    return method


def test_lam_of_hidden_methods_is_folded_and_partners_are_others():
    model, method = bert(), prepared_hidden("embedmix")
    draws = [method.draw(model, 6) for _ in range(200)]
    assert all(draw.lam >= 0.5 for draw in draws)
    assert all((draw.perm != torch.arange(6)).all() for draw in draws)
    assert sum(draw.lam > 0.9 for draw in draws) > 80  # alpha 0.2 crowds at the ends


@pytest.mark.parametrize(("blocks", "expected"), [(12, {7, 9, 12}), (6, {4, 6}), (2, {1, 2}), (24, {14, 18, 24})])
def test_tmix_draws_the_papers_blocks_scaled_to_the_model(blocks, expected, monkeypatch):
    monkeypatch.setattr(sites, "num_blocks", lambda model: blocks)
    method = prepared_hidden("tmix")
    assert {method.layer(None) for _ in range(60)} == expected
    with pytest.raises(ValueError, match=rf"blocks \[{blocks + 1}\] do not exist: this model has 1 to {blocks}"):
        methods.get("tmix", blocks=(1, blocks + 1)).prepare(bert())
    with pytest.raises(ValueError, match="at least one block"):
        methods.get("tmix", blocks=())


def test_bad_parameters_and_tokenizers_say_what_would_be_right(tiny):
    for name in INPUT_METHODS:
        for lam0 in (0, -0.1, 1.01, float("nan"), "0.1", None):
            with pytest.raises(ValueError, match="above 0 and at most 1"):
                methods.get(name, lam0=lam0)
        with pytest.raises(ValueError, match=r"give it the tokenizer \(processing_class\)"):
            methods.get(name).prepare(tiny[0])
    with pytest.raises(ValueError, match="saliency must be one of joint, split, got 'both'"):
        methods.get("ssmix", saliency="both")
    with pytest.raises(ValueError, match="short_partner must be one of"):
        methods.get("ssmix", short_partner="cut")
    bare = type("Bare", (), {"all_special_ids": [0], "pad_token_id": 0, "sep_token_id": None, "cls_token_id": None})()
    with pytest.raises(ValueError, match="no token before or after a text; use saliency='joint'"):
        methods.get("ssmix", saliency="split").prepare(tiny[0], bare)
    with pytest.raises(ValueError, match="unk writes the unknown token"):
        methods.get("unk").prepare(tiny[0], bare)
    with pytest.raises(ValueError, match="chooses spans by saliency"):
        prepared("ssmix").mix_texts(texts(), texts())


def test_ssmix_trains_a_pair_classifier_with_the_librarys_trainer(tmp_path):
    torch.manual_seed(0)
    model, tokenizer = models.load("tiny", num_labels=2)
    rows = tokenizer(["a good film", "the plot is thin", "fun"] * 5, ["it is good", "thin", "for adults"] * 5)
    data = [{k: v[i] for k, v in rows.items()} | {"labels": i % 2} for i in range(15)]
    args = TrainingArguments(tmp_path, per_device_train_batch_size=4, num_train_epochs=1, report_to=[], use_cpu=True,
                             disable_tqdm=True, save_strategy="no", logging_steps=1)  # fmt: skip
    trainer = MixupTrainer(model, args, method="ssmix", train_dataset=data, processing_class=tokenizer)
    trainer.train()
    assert trainer.state.global_step == 4
    assert sum(log.get("loss", 0) > 0 for log in trainer.state.log_history) == 4
