import json
import re

import pytest
import torch

from mixlib.papers.ssmix import figures
from mixlib.papers.ssmix.texts import MixedPair, mix_pair, redraw
from mixlib.runs import models

A, B = "the plot is dull and the acting awful", "a warm and charming film with a wonderful cast"


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    model, tokenizer = models.load("tiny", num_labels=2)
    return model.train(), tokenizer


def test_a_pair_is_what_a_step_would_make_of_it(classifier):
    model, tokenizer = classifier
    pair = mix_pair(model, tokenizer, A, B, (0, 1), lam0=0.2, names=("negative", "positive"))
    assert len(pair.tokens_mixed) == len(pair.tokens_a) == len(pair.saliency_a)
    words = len(pair.tokens_a) - 2
    assert 1 - pair.weight == pytest.approx(len(pair.replaced) / words, abs=1e-4)
    assert len(pair.taken) == len(pair.replaced) == int(0.2 * words)
    for i, j in zip(pair.replaced, pair.taken, strict=True):
        assert pair.tokens_mixed[i] == pair.tokens_b[j]
    assert max(pair.saliency_a) == 1
    assert pair.saliency_a[0] == pair.saliency_a[-1] == 0  # special tokens never move
    least = sum(pair.saliency_a[i] for i in pair.replaced)
    k = len(pair.replaced)
    assert all(least <= sum(pair.saliency_a[p : p + k]) + 1e-2 for p in range(1, words - k + 2))
    assert model.training  # left as it was
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("labels", [("neg", "pos"), (0, 5), (0, -1), (0, 1, 1)])
def test_labels_that_are_no_class_numbers_are_refused(classifier, labels):
    with pytest.raises(ValueError, match=r"labels are the class numbers of both texts, 0 to 1, got .*goes into names"):
        mix_pair(*classifier, A, B, labels)


def test_a_pair_survives_a_record(classifier):
    pair = mix_pair(*classifier, A, B, (0, 1))
    again = MixedPair(**json.loads(json.dumps(pair.as_dict())))
    assert figures.show_pair(again).data == figures.show_pair(pair).data


PAIR_A, PAIR_B = ("fun for children", "fun for adults"), ("a dull plot", "a bad film it is")


@pytest.mark.parametrize("method", ["ssmix_nosal", "ssmix_nosal_nospan", "unk"])
@pytest.mark.parametrize("texts", [(A, B), (B, A), (PAIR_A, PAIR_B)], ids=["texts", "swapped", "pairs"])
def test_another_draw_needs_no_model_and_is_what_a_step_would_draw(classifier, method, texts):
    params = {"method": method, "lam0": 0.3, "names": ("no", "yes")}
    pair = mix_pair(*classifier, *texts, (0, 1), **params)
    drawn = [redraw(pair, seed, lam0=0.3) for seed in range(5)]
    assert drawn == [mix_pair(*classifier, *texts, (0, 1), seed=seed, **params) for seed in range(5)]
    assert len({tuple(found.replaced) for found in drawn}) > 1


@pytest.mark.parametrize("how", [{}, {"saliency": "split"}], ids=["joint", "split"])
def test_two_sentences_are_mixed_each_on_its_own(classifier, how):
    pair = mix_pair(*classifier, ("fun for children", "fun for adults"), ("a dull plot", "a bad film"), (0, 1), **how)
    first = pair.tokens_a.index("[SEP]")
    assert sum(i < first for i in pair.replaced) == sum(i > first for i in pair.replaced) == len(pair.replaced) / 2


@pytest.mark.parametrize("method", ["ssmix", "ssmix_nosal", "ssmix_nosal_nospan", "unk"])
def test_the_view_marks_what_moves_without_colour(classifier, method):
    view = figures.show_mix(*classifier, A, B, (0, 1), method, names=("negative", "positive"), lam0=0.2).data
    moved = int(0.2 * (len(classifier[1](A)["input_ids"]) - 2))
    assert view.count("<s>") == view.count("<ins>") == moved  # elements, which stay where styles are taken away
    assert view.count("<mark>") == (0 if method == "unk" else moved)
    assert "t ##h ##e p ##l ##o ##t" in re.sub(r"<sub>\d+</sub>|<[^>]*>", "", view)  # and words do not run together
    assert ("1.00 negative" in view) is (method == "unk")
    assert "currentColor" in view  # frames follow the page, light or dark
    assert "<style" not in view  # which JupyterLab and GitHub take out of outputs


def test_text_is_escaped(classifier):
    view = figures.show_mix(*classifier, "a < b & c > d", "x", (0, 1), names=("<no>", "yes")).data
    assert "<no>" not in view
    assert "&lt;no&gt;" in view


def test_words_are_escaped():
    """Tokenizers with whole words as tokens hand them over as they stand in the text."""
    pair = MixedPair(
        method="ssmix", labels=("no", "yes"), weight=0.5, tokens_a=["<b>it", "R&D"], saliency_a=[1.0, 0.5],
        tokens_b=["<script>", "x"], saliency_b=[1.0, 0.5], tokens_mixed=["<script>", "R&D"], replaced=[0], taken=[0],
    )  # fmt: skip
    view = figures.show_pair(pair).data
    assert "<b>" not in view
    assert "<script>" not in view
    assert view.count("&lt;b&gt;it") == 1
    assert view.count("&lt;script&gt;") == view.count("R&amp;D") == 2


def test_bad_input_says_what_would_be_right(classifier):
    with pytest.raises(ValueError, match="ssmix chooses by saliency"):
        redraw(mix_pair(*classifier, A, B, (0, 1)), 1)
    with pytest.raises(ValueError, match="embedmix mixes no texts; choose one of ssmix, ssmix_nosal"):
        mix_pair(*classifier, A, B, (0, 1), "embedmix")
    with pytest.raises(ValueError, match="both texts one sentence"):
        mix_pair(*classifier, A, (B, B), (0, 1))
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        mix_pair(*classifier, A, B, (0, 1), lam0=2)
