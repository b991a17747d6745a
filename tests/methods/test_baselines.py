"""Label smoothing and EDA, beside what test_methods and test_trainer ask of every method."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.trainer_pt_utils import LabelSmoother

from mixlib import methods
from mixlib.methods import eda, spans
from mixlib.methods.base import inputs_of
from mixlib.methods.mixing import Criterion
from mixlib.runs import models
from tests.methods.test_spans import SPECIAL

plain_loss = methods.get("none").plain_loss

SEP, PIECES = 2, range(50, 80)  # ids of SPECIAL's vocabulary: words from 5 on, of which these go on with a word


def prepared(step=0, padding_side="right", **params):
    method = methods.get("eda", **params)
    method.special, method.padding_side = SPECIAL, padding_side
    method.continues = torch.zeros(81, dtype=torch.bool)
    method.continues[list(PIECES)] = True
    method.seed_step(0, step)
    return method


def texts(rows=40, width=24, pair=True, side="right", seed=0):
    """[CLS] words [SEP] (words [SEP]) with one to three pieces a word, each id once in a row, padded on one side."""
    generator = torch.Generator().manual_seed(seed)
    batch = {
        name: torch.zeros(rows, width, dtype=torch.long) for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    for i in range(rows):
        heads, pieces = (5 + torch.randperm(45, generator=generator)).tolist(), list(PIECES)
        row, kinds = [1], [0]
        for kind in range(1 + pair):
            for _ in range(int(torch.randint(1, 5, (), generator=generator))):
                more = int(torch.randint(0, 3, (), generator=generator)) if len(row) < width - 8 else 0
                word = [heads.pop(), *(pieces.pop() for _ in range(more))]
                row, kinds = row + word, kinds + [kind] * len(word)
            row, kinds = [*row, SEP], [*kinds, kind]
        row, kinds = row[:width], kinds[:width]
        at = 0 if side == "right" else width - len(row)
        batch["input_ids"][i, at : at + len(row)] = torch.tensor(row)
        batch["token_type_ids"][i, at : at + len(row)] = torch.tensor(kinds)
        batch["attention_mask"][i, at : at + len(row)] = 1
    return batch


def words(inputs, i):
    """The words of each sentence of row i, each a tuple of its pieces, and what else stands there."""
    found, kept = ([], []), inputs["attention_mask"][i].bool()
    ids, of = inputs["input_ids"][i][kept].tolist(), spans.sentence_of(inputs, SPECIAL)[i][kept].tolist()
    for token, number in zip(ids, of, strict=True):
        if number and token in PIECES:
            found[number - 1][-1] += (token,)
        elif number:
            found[number - 1].append((token,))
    return found, [token for token, number in zip(ids, of, strict=True) if not number]


@pytest.mark.parametrize("epsilon", [0.1, 0.3])
def test_label_smoothing_is_that_of_transformers_and_of_the_formula(epsilon, tiny, batch):
    model, _ = tiny
    (loss,) = methods.get("label_smoothing", epsilon=epsilon).losses(model, batch)
    output = model(**inputs_of(batch))
    assert loss.item() == pytest.approx(LabelSmoother(epsilon)(output, batch["labels"]).item(), rel=1e-6)
    log_probs = output.logits.log_softmax(1)
    own = -log_probs[torch.arange(6), batch["labels"]]
    assert loss.item() == pytest.approx(((1 - epsilon) * own - epsilon * log_probs.mean(1)).mean().item(), rel=1e-6)


@pytest.mark.parametrize(("name", "smoothing"), [("label_smoothing", 0.1 + 0.2 - 0.02), ("eda", 0.2)])
def test_class_weights_and_smoothing_of_the_training_apply(name, smoothing, tiny, batch):
    model, tokenizer = tiny
    method = methods.get(name)
    method.prepare(model, tokenizer)
    weights = torch.tensor([1.0, 2.0, 5.0])
    method.criterion = Criterion(0.2, weights)
    method.seed_step(0, 0)
    changed = method.augment(inputs_of(batch)) if name == "eda" else inputs_of(batch)
    method.seed_step(0, 0)
    (loss,) = method.losses(model, batch)
    expected = F.cross_entropy(model(**changed).logits, batch["labels"], weight=weights, label_smoothing=smoothing)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_without_smoothing_or_change_the_loss_is_the_plain_one_bit_for_bit(tiny, batch):
    model, tokenizer = tiny
    for name, params in (("label_smoothing", {"epsilon": 0}), ("eda", {"alpha": 0})):
        method = methods.get(name, **params)
        method.prepare(model, tokenizer)
        (loss,) = method.losses(model, batch)
        assert torch.equal(loss, plain_loss(model, batch))


@pytest.mark.parametrize("name", ["label_smoothing", "eda"])
def test_a_row_alone_is_trained_on_as_in_a_batch(name, tiny, batch):
    model, tokenizer = tiny
    one = {key: value[1:2] for key, value in batch.items()}
    method = methods.get(name, **({"alpha": 0.5, "n_aug": 50} if name == "eda" else {}))
    method.prepare(model, tokenizer)
    method.seed_step(0, 0)
    (loss,) = method.losses(model, one)
    assert torch.isfinite(loss)
    assert not torch.equal(loss, plain_loss(model, one))


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("label_smoothing", {"epsilon": 1}, "epsilon must be a share of the label at least 0 and below 1, got 1"),
        ("label_smoothing", {"epsilon": -0.1}, "below 1, got -0.1"),
        ("eda", {"alpha": 0.6}, "from 0 to 0.5, got 0.6"),
        ("eda", {"alpha": "0.1"}, "from 0 to 0.5, got '0.1'"),
        ("eda", {"n_aug": 0}, "n_aug must be a whole number of at least 1"),
        ("eda", {"p": 0.1}, "has no parameter p; it has alpha, n_aug"),
    ],
)
def test_parameters_out_of_range_say_what_would_be_right(name, params, says):
    with pytest.raises(ValueError, match=says):
        methods.get(name, **params)


def test_eda_asks_for_what_it_needs(tiny, batch):
    model, tokenizer = tiny
    with pytest.raises(ValueError, match="give it the tokenizer"):
        methods.get("eda").prepare(model)
    method = methods.get("eda")
    method.prepare(model, tokenizer)
    with pytest.raises(ValueError, match="use another head than entities"):
        method.augment({**inputs_of(batch), "entity_spans": torch.zeros(6, 2, 2)})
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="BertTokenizer has no padding token: set pad_token"):
        method.prepare(model, tokenizer)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("pair", [False, True], ids=["single", "pair"])
@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_a_text_loses_or_swaps_whole_words_within_a_sentence(side, pair, alpha):
    inputs = texts(pair=pair, side=side)
    before = {name: x.clone() for name, x in inputs.items()}
    seen = set()
    for step in range(4):
        changed = prepared(step, side, alpha=alpha, n_aug=2).augment(inputs)
        for i in range(40):
            (old, fixed), (new, still) = words(inputs, i), words(changed, i)
            assert still == fixed
            for a, b in zip(old, new, strict=True):
                assert set(b) <= set(a)
                assert bool(b) == bool(a)
                if len(b) < len(a):
                    assert b == [word for word in a if word in b]  # the others keep their order
                    seen.add("deleted")
                elif b != a:
                    pairs = max(int(alpha * len(a) + 1e-9), 1)
                    assert sum(x != y for x, y in zip(a, b, strict=True)) == 2 * pairs
                    assert all(b[a.index(y)] == x for x, y in zip(a, b, strict=True))
                    seen.add("swapped")
            length = int(changed["attention_mask"][i].sum())
            mask = torch.arange(24) < length if side == "right" else torch.arange(24) >= 24 - length
            assert torch.equal(changed["attention_mask"][i].bool(), mask)
            assert not changed["input_ids"][i][~mask].any()
            assert not changed["token_type_ids"][i][~mask].any()
            own = spans.sentence_of(changed, SPECIAL)[i]
            assert torch.equal(changed["token_type_ids"][i][own > 0], own[own > 0] - 1)
    assert seen == {"deleted", "swapped"}
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)


@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([0.1, 0.29, 0.5]))
@settings(max_examples=40, deadline=None)
def test_swaps_exchange_so_many_pairs_and_deletion_leaves_a_word(seed, length, share):
    generator = torch.Generator().manual_seed(seed)
    sentence = torch.tensor([[0] + [1] * length + [0] + [2] * 3 + [0]])
    found = eda.units(torch.zeros_like(sentence), sentence, torch.zeros(2, dtype=torch.bool))
    assert torch.equal(found.sentence, sentence)
    scores = torch.rand(sentence.shape, generator=generator)
    target = eda.swapped(found, share, scores)
    place = torch.arange(sentence.shape[1])[None]
    assert torch.equal(target.gather(1, target), place)  # there and back
    assert torch.equal(sentence.gather(1, target), sentence)
    moved = (target != place) & (sentence == 1)
    assert moved.sum() == 2 * min(max(int(share * length + 1e-9), 1), length // 2)
    gone = eda.deleted(found, 1.0, scores)
    assert ((sentence == 1) & ~gone).sum() == 1
    assert ((sentence == 2) & ~gone).sum() == 1
    assert not gone[sentence == 0].any()


def test_rows_are_changed_as_often_as_copies_are_among_the_texts_and_words_as_often_as_alpha_says():
    width, rows = 22, 4000
    ids = torch.arange(5, 5 + width).repeat(rows, 1)
    ids[:, 0], ids[:, -1] = 1, SEP
    changed = prepared(alpha=0.2, n_aug=3).augment({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    same = (changed["input_ids"] == ids).all(1)
    shorter = width - changed["attention_mask"].sum(1)
    untouched = 0.8**20  # by deletion
    assert same.float().mean().item() == pytest.approx(1 / 4 + 3 / 8 * untouched, abs=0.02)
    assert (shorter > 0).float().mean().item() == pytest.approx(3 / 8, abs=0.02)
    assert shorter.float().mean().item() == pytest.approx(3 / 8 * 0.2 * 20, abs=0.08)
    swaps = (changed["input_ids"] != ids).sum(1)[(shorter == 0) & ~same]
    assert (swaps == 8).all()
    assert changed["input_ids"][(shorter == 0) & ~same, 1:-1].float().std(0).min() > 1  # everywhere in the text


def test_the_draws_are_those_of_the_step():
    inputs = texts()
    first, again, other = (prepared(step).augment(inputs)["input_ids"] for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_texts_without_words_or_mask_pass():
    ids = torch.tensor([[1, 2, 0, 0], [1, 7, 2, 0]])
    changed = prepared(alpha=0.5, n_aug=50).augment({"input_ids": ids, "attention_mask": (ids > 0).long()})
    assert torch.equal(changed["input_ids"], ids)
    whole = torch.tensor([[1, 7, 8, 9, 10, 2]] * 40)
    changed = prepared(alpha=0.5).augment({"input_ids": whole})
    shorter = changed["input_ids"] == 0
    assert shorter.any()
    assert torch.equal(changed["attention_mask"], (~shorter).long())


def test_which_tokens_go_on_with_a_word_is_read_from_their_spelling():
    class Vocabulary:
        def __init__(self, *tokens):
            self.tokens = tokens

        def get_vocab(self):
            return {token: i for i, token in enumerate(self.tokens)}

    for tokens, expected in (
        (("[CLS]", "film", "##s", "##ed", "Ġ"), [0, 0, 1, 1, 0]),
        (("<s>", "Ġfilm", "s", "##", "Ġa", "Ġb"), [1, 0, 1, 1, 0, 0]),  # special tokens are no words anyway
        (("<s>", "▁film", "s", "▁a"), [1, 0, 1, 0]),
        (("a", "b"), [0, 0]),
    ):
        found = eda.continuing(Vocabulary(*tokens))
        assert found[:-1].int().tolist() == expected
    ids = torch.tensor([[1, 3, 2, 2, 9999, 0]])
    sentence = torch.tensor([[1, 1, 1, 2, 2, 0]])
    continues = eda.continuing(Vocabulary("[PAD]", "film", "##s", "##ed"))
    assert eda.units(ids, sentence, continues).of_token.tolist() == [
        [0, 0, 0, 1, 2, 3]
    ]  # a sentence begins with a word


def test_words_of_a_real_tokenizer_stay_whole():
    _, tokenizer = models.load("tiny", num_labels=2)
    method = methods.get("eda", alpha=0.5, n_aug=99)
    method.prepare(None, tokenizer)
    text = "bale bika zzz biri domi xyz"
    inputs = dict(tokenizer([text] * 30, return_tensors="pt"))
    assert inputs["input_ids"].shape[1] > 8  # some words have several pieces
    for row in method.augment(inputs)["input_ids"]:
        assert set(tokenizer.decode(row, skip_special_tokens=True).split()) <= set(text.split())


def test_changing_texts_needs_no_number_from_the_device():
    from tests.methods.test_ssmix import NoCopies

    method, inputs = prepared(), texts()
    with NoCopies():
        method.augment(inputs)


def test_the_loss_is_that_of_the_changed_texts_and_the_labels_stay(tiny, batch):
    model, tokenizer = tiny
    method = methods.get("eda", alpha=0.5)
    method.prepare(model, tokenizer)
    method.seed_step(0, 0)
    changed = method.augment(inputs_of(batch))
    method.seed_step(0, 0)
    (loss,) = method.losses(model, batch)
    assert torch.equal(loss, F.cross_entropy(model(**changed).logits, batch["labels"], reduction="none").mean())
