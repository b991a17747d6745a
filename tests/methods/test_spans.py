"""Which tokens may move, and how spans are chosen: properties on random texts, exact cases on small ones."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlib.methods import spans
from mixlib.methods.spans import SpecialTokens, Words

SPECIAL = SpecialTokens(ids=(0, 1, 2), separator=2, cls=1, unknown=3)


def row(*ids):
    return torch.tensor([ids])


class Tokenizer:
    """The ids of a tokenizer's special tokens."""

    def __init__(self, **ids):
        for role in ("cls", "sep", "bos", "eos", "pad", "mask", "unk"):
            setattr(self, f"{role}_token_id", ids.get(role))
        self.all_special_ids = sorted({*ids.values()})


def test_the_unknown_word_is_a_word_unless_its_id_is_also_special():
    bert = spans.special_tokens(Tokenizer(pad=0, unk=100, cls=101, sep=102, mask=103))
    assert bert == SpecialTokens((0, 101, 102, 103), separator=102, cls=101, unknown=100)
    gpt2 = spans.special_tokens(Tokenizer(bos=50256, eos=50256, unk=50256, pad=50256))
    assert gpt2.ids == (50256,)
    assert gpt2.separator is None
    with pytest.raises(ValueError, match="give it the tokenizer"):
        spans.special_tokens(None)


@pytest.mark.parametrize(
    ("ids", "types", "expected"),
    [
        ((1, 7, 8, 2, 0), None, (0, 1, 1, 0, 0)),
        ((1, 7, 8, 2, 0), (0, 0, 0, 0, 0), (0, 1, 1, 0, 0)),
        ((1, 7, 2, 8, 9, 2, 0), (0, 0, 0, 1, 1, 1, 0), (0, 1, 0, 2, 2, 0, 0)),
        ((1, 7, 2, 8, 9, 2, 0), None, (0, 1, 0, 2, 2, 0, 0)),  # DistilBERT has no token types
        ((1, 7, 2, 2, 8, 9, 2), None, (0, 1, 0, 0, 2, 2, 0)),  # RoBERTa's double separator
        ((1, 7, 2, 2, 8, 9, 2), (0,) * 7, (0, 1, 0, 0, 2, 2, 0)),  # and types that say nothing
        ((0, 0, 7, 2, 8, 2, 1), None, (0, 0, 1, 0, 2, 0, 0)),  # padded on the left, class token last
        ((1, 2, 0, 0), None, (0, 0, 0, 0)),  # a text of special tokens only
        ((1, 2, 8, 2), (0, 0, 1, 1), (0, 0, 2, 0)),  # an empty first sentence
        ((1, 7, 3, 8, 2), None, (0, 1, 1, 1, 0)),  # the unknown word
    ],
)
def test_the_sentence_of_each_token(ids, types, expected):
    inputs = {"input_ids": row(*ids)} | ({"token_type_ids": row(*types)} if types else {})
    assert spans.sentence_of(inputs, SPECIAL).tolist() == [list(expected)]


def test_padding_with_the_end_token_is_no_word():
    gpt2 = SpecialTokens(ids=(9,), separator=None)
    inputs = {"input_ids": row(5, 6, 9, 9), "attention_mask": row(1, 1, 0, 0)}
    assert spans.sentence_of(inputs, gpt2).tolist() == [[1, 1, 0, 0]]


def words(*lengths, width=12):
    sentence = torch.zeros(len(lengths), width, dtype=torch.long)
    for i, n in enumerate(lengths):
        sentence[i, 1 : 1 + n] = 1
    return spans.words_of(sentence, 1)


@pytest.mark.parametrize(("lam0", "n", "k"), [(0.1, 9, 1), (0.1, 30, 3), (0.29, 100, 29), (0.7, 10, 7), (1, 5, 5)])
def test_the_share_is_rounded_down_exactly(lam0, n, k):
    assert max(spans.share_of(torch.tensor(n), lam0).item(), 1) == k


def test_span_length_is_the_papers():
    a, b = words(10, 10, 5, 0, 4), words(8, 2, 9, 7, 0)
    assert spans.span_length(a, b, 0.5).squeeze(1).tolist() == [5, 2, 2, 0, 0]
    assert spans.span_length(a, b, 0.01).squeeze(1).tolist() == [1, 1, 1, 0, 0]


def test_the_first_of_equal_windows_wins():
    saliency = torch.tensor([[9.0, 0.3, 0.1, 0.1, 0.3, 0.1, 0.1, 9, 9, 9, 9, 9]], dtype=torch.float64)
    k = torch.tensor([[2]])
    assert spans.extreme_window(words(6), k, saliency, most=False).item() == 1
    # 0.1 + 0.2 + ... in another order is another floating point number, but the same saliency
    tied = torch.tensor([[0, 0.1, 0.2, 0.3, 0.3, 0.2, 0.1, 0, 0, 0, 0, 0]], dtype=torch.float64)
    assert spans.extreme_window(words(6), torch.tensor([[3]]), tied * 0 + tied, most=False).item() == 0
    assert spans.extreme_window(words(6), torch.tensor([[2]]), tied, most=True).item() == 2


def test_a_row_without_saliency_takes_the_first_window():
    assert spans.extreme_window(words(4), torch.tensor([[2]]), torch.zeros(1, 12), most=True).item() == 0


def by_hand(saliency, n, k, most):
    scores = [sum(saliency[1 + p : 1 + p + k]) for p in range(n - k + 1)]
    return scores.index(max(scores) if most else min(scores))


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_window_search_equals_a_loop(seed, most):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 12, (5,), generator=generator).tolist()
    k = torch.tensor([[torch.randint(1, n + 1, (), generator=generator).item()] for n in lengths])
    saliency = torch.randint(0, 6, (5, 12), generator=generator).double() / 8  # many ties, exact sums
    found = spans.extreme_window(words(*lengths), k, saliency, most)
    expected = [by_hand(s.tolist(), n, int(m), most) for s, n, m in zip(saliency, lengths, k, strict=True)]
    assert found.squeeze(1).tolist() == expected


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_random_choices_stay_inside_and_have_their_size(seed):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 12, (6,), generator=generator).tolist()
    k = torch.tensor([[torch.randint(1, n + 1, (), generator=generator).item()] for n in lengths])
    w = words(*lengths)
    start = spans.random_window(w, k, torch.rand(6, 12, generator=generator))
    assert (start >= 0).all()
    assert (start + k <= w.length).all()
    chosen = spans.random_places(w, k, torch.rand(6, 12, generator=generator))
    assert torch.equal(chosen.sum(1, keepdim=True), k)
    assert not (chosen & (spans.places(w) >= w.length)).any()


def test_random_windows_and_places_are_equally_likely():
    generator = torch.Generator().manual_seed(0)
    w = Words(torch.arange(6).expand(6000, 6), torch.full((6000, 1), 5))
    k = torch.full((6000, 1), 2)
    starts = spans.random_window(w, k, torch.rand(6000, 6, generator=generator)).squeeze(1)
    assert (starts.bincount(minlength=4).float() / 6000 - 0.25).abs().max() < 0.03
    places = spans.random_places(w, k, torch.rand(6000, 6, generator=generator)).float().mean(0)
    assert (places[:5] - 0.4).abs().max() < 0.03
    below = spans.random_places(w, k, torch.rand(6000, 6, generator=generator), below=torch.tensor([[3]]))
    assert not below[:, 3:].any()


def test_words_of_a_sentence_with_special_tokens_inside_are_in_order():
    w = spans.words_of(torch.tensor([[0, 1, 0, 1, 2, 1, 0]]), 1)
    assert w.position[0, :3].tolist() == [1, 3, 5]
    ids = row(1, 11, 2, 12, 21, 13, 0)
    chosen, place = spans.window(w, torch.tensor([[1]]), torch.tensor([[2]]), torch.tensor([[0]]))
    assert spans.copy_tokens(ids, w, chosen, ids, w, place).tolist() == [[1, 11, 2, 11, 21, 12, 0]]
