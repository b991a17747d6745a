import json
import re
from dataclasses import replace

import pytest
import torch
import transformers

from mixlib import methods
from mixlib.methods import Draw
from mixlib.papers.playground import figures, protocol
from mixlib.papers.playground import mixes as playground
from mixlib.papers.playground.mixes import METHODS, PER_DIMENSION, PER_ROW, Mixtures, mix, places
from mixlib.papers.playground.studies import trained
from mixlib.papers.ssmix import texts
from mixlib.runs import models, studies
from tests.fabricate import record, study

A, B = "the plot is dull and the acting is simply awful", "a warm and charming film"
LABELS, NAMES = (0, 2), ["bad", "so so", "good"]


@pytest.fixture
def found(tiny):
    return mix(*tiny, A, B, LABELS, NAMES)


def test_every_method_mixes_at_each_of_its_places(tiny, found):
    blocks = len(tiny[0].bert.encoder.layer)
    assert [one.method for one in found.mixed if one.method != "manifold_mixup"] == [
        "cls_mixup", "sentencemix", "batchmixup", "batchmixup", "input_mixup", "embedmix",
        *["tmix"] * len({max(1, round(k * blocks / 12)) for k in (7, 9, 12)}), "amplify", "ssmix",
    ]  # fmt: skip
    assert [one.place for one in found.of("manifold_mixup")] == [
        "embedding output", *(f"output of block {k} of {blocks}" for k in range(1, blocks + 1)), "sentence vector",
    ]  # fmt: skip
    for one in found.mixed:
        assert len(one.weights) == len(one.probabilities) == len(found.lams) == 21
        assert all(sum(p) == pytest.approx(1, abs=2e-3) for p in one.probabilities)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("batchmixup", "ssmix")])
def test_a_mix_is_that_of_the_method_itself(tiny, found, name):
    model, tokenizer = tiny
    method = methods.get(name)
    method.prepare(model, tokenizer)
    batch = texts.pair_batch(model, tokenizer, A, B, LABELS)
    for one, (layer, place) in zip(found.of(name), places(method, model), strict=True):
        assert one.place == place
        for lam in (0.0, 0.3, 1.0):
            with torch.no_grad():
                logits = method.logits(model, batch, Draw(torch.tensor([1, 0]), lam, layer or 0))
            assert one.probabilities[found.index(lam)] == pytest.approx(logits.softmax(-1)[0].tolist(), abs=6e-4)
            assert one.weights[found.index(lam)] == lam


@pytest.mark.parametrize("name", ["cls_mixup", "sentencemix"])
def test_sentence_vectors_end_at_the_texts_themselves(found, name):
    (one,) = found.of(name)
    assert one.probabilities[-1] == found.alone[0]
    assert one.probabilities[0] == found.alone[1]


def test_amplify_swaps_two_texts_back_in_an_even_number_of_blocks(tiny):
    """Of one length, so that both rows have one mask. Half way there is nothing to tell the rows apart."""
    found = mix(*tiny, "ab cd", "ef gh", LABELS, NAMES, [0.0, 0.5, 1.0])
    assert len(tiny[0].bert.encoder.layer) % 2 == 0
    (one,) = found.of("amplify")
    assert one.probabilities[0] == one.probabilities[2] == found.alone[0] != found.alone[1]
    turned = mix(*tiny, "ef gh", "ab cd", LABELS, NAMES, [0.5]).of("amplify")[0]
    assert turned.probabilities[0] == pytest.approx(one.probabilities[1], abs=1e-3)


def test_batchmixup_has_the_weights_that_its_softmax_allows(found):
    by_place = {one.place: one for one in found.of("batchmixup")}
    per_row = by_place[PER_ROW]
    e = 2.718281828
    assert min(per_row.weights) == pytest.approx(1 / (1 + e), abs=1e-3)
    assert max(per_row.weights) == pytest.approx(e / (1 + e), abs=1e-3)
    inside = [i for i, lam in enumerate(found.lams) if 0.3 <= lam <= 0.7]
    assert [per_row.weights[i] for i in inside] == pytest.approx([found.lams[i] for i in inside])
    (cls,) = found.of("cls_mixup")  # the same mix of the same vectors
    assert [per_row.probabilities[i] for i in inside] == [cls.probabilities[i] for i in inside]
    per_dimension = by_place[PER_DIMENSION]
    assert len(set(per_dimension.weights)) == len(set(map(tuple, per_dimension.probabilities))) == 1
    assert per_dimension.weights[0] == pytest.approx(0.5, abs=0.1)


def test_ssmix_moves_whole_words_and_says_what_they_weigh(tiny, found):
    pair = found.text(0.75)
    assert (len(pair.tokens_a), pair.tokens_a[0]) == (len(pair.tokens_mixed), "[CLS]")
    words = len(pair.tokens_a) - 2
    assert len(pair.replaced) == len(pair.taken) == words // 4
    assert pair.weight == pytest.approx(1 - len(pair.replaced) / words, abs=1e-3)
    assert [pair.tokens_mixed[i] for i in pair.replaced] == [pair.tokens_b[i] for i in pair.taken]
    assert len(found.text(1.0).replaced) == 1  # never less than one
    assert found.text(0.75) == replace(texts.mix_pair(*tiny, A, B, LABELS, names=("bad", "good"), lam0=0.25))
    model, tokenizer = tiny
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(pair.tokens_mixed)])
    with torch.no_grad():
        read = model(input_ids=ids).logits.softmax(-1)[0].tolist()
    assert found.of("ssmix")[0].probabilities[found.index(0.75)] == pytest.approx(read, abs=6e-4)


def test_pairs_of_two_sentences_are_mixed_too(tiny):
    found = mix(*tiny, (A, B), (B, A), (0, 1), NAMES, [0.5])
    assert found.texts == [[A, B], [B, A]]
    assert found.text(0.5).tokens_a.count("[SEP]") == 2
    (ssmix,) = found.of("ssmix")
    model, tokenizer = tiny
    types = texts.pair_batch(model, tokenizer, (A, B), (B, A), (0, 1))["token_type_ids"][:1]
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(found.text(0.5).tokens_mixed)])
    with torch.no_grad():
        read = model(input_ids=ids, token_type_ids=types[:, : ids.shape[1]]).logits.softmax(-1)[0].tolist()
    assert ssmix.probabilities[0] == pytest.approx(read, abs=6e-4)


def test_a_decoder_without_a_separator_is_mixed_too():
    _, tokenizer = models.load("tiny", 2)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=64, num_labels=2,
        bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    tokenizer.sep_token = tokenizer.cls_token = None
    model = transformers.GPT2ForSequenceClassification(config)
    found = mix(model, tokenizer, "a film", "the books are good", (0, 1), lams=[1, 0.5])
    assert {one.method for one in found.mixed} == set(METHODS)


def test_nothing_is_changed_by_looking(tiny):
    model, tokenizer = tiny
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    first, second = (mix(model, tokenizer, A, B, LABELS, NAMES, [0.5]) for _ in range(2))
    assert first == second
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not [p for p in model.parameters() if p.grad is not None]
    assert not [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]


def test_it_is_kept_in_a_record_and_read_back(found):
    assert Mixtures.from_dict(json.loads(json.dumps(found.as_dict()))).of("tmix") == found.of("tmix")
    assert Mixtures.from_dict(json.loads(json.dumps(found.as_dict()))).text(0.5).replaced == found.text(0.5).replaced


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lams": [0.5, 1.5]}, r"between 0 and 1, got \[0.5, 1.5\]"),
        ({"lams": []}, "between 0 and 1, got"),
        ({"names": ["bad", "good"]}, "all 3 classes"),
        ({"labels": (0, 3)}, "class numbers of both texts, 0 to 2"),
        ({"b": (B, A)}, "both texts one sentence"),
    ],
)
def test_errors_say_what_would_be_right(tiny, change, says):
    with pytest.raises(ValueError, match=says):
        mix(*tiny, **{"a": A, "b": B, "labels": LABELS, "names": NAMES} | change)


def test_a_weight_that_was_not_mixed_at(found):
    with pytest.raises(ValueError, match=r"nothing was mixed at the weight 0.33; there are 0.0, 0.05"):
        found.index(0.33)


def test_names_are_those_of_the_model_where_none_are_given(tiny):
    assert mix(*tiny, A, B, LABELS, lams=[0.5]).names == ["LABEL_0", "LABEL_1", "LABEL_2"]


@pytest.mark.parametrize("profile", ["smoke", "mini", "full"])
def test_the_pairs_fit_their_data_sets(profile):
    specs = protocol.mixed_pairs(profile)
    assert len(specs) == len(protocol.PAIRS) * len(protocol.TRAINED)
    for spec in specs:
        assert spec.synthetic == (profile == "smoke")
        assert spec.params["run"]["method"] in protocol.TRAINED
        for pair in spec.params["pairs"]:
            assert all(0 <= label < len(spec.params["names"]) for label in pair["labels"])
    assert {spec.dataset for spec in protocol.calibrated(profile)} == {"sst2"}


def test_the_study_trains_a_model_and_mixes_every_pair():
    spec = next(s for s in protocol.mixed_pairs("smoke") if s.params["run"]["dataset"] == "trec_coarse")
    record = studies.execute(spec)
    assert 0 <= record.values["accuracy"] <= 1
    pairs = figures.mixtures([record])["without mixup"]
    assert [pair.labels for pair in pairs] == [list(pair["labels"]) for pair in protocol.PAIRS["trec_coarse"]["pairs"]]
    model, tokenizer, accuracy = trained(spec)
    assert accuracy == record.values["accuracy"]
    again = mix(model, tokenizer, *pairs[0].texts, tuple(pairs[0].labels), pairs[0].names, pairs[0].lams, spec.seed)
    assert again.mixed == pairs[0].mixed


def records(found):
    spec = protocol.mixed_pairs("smoke")
    first = [one for one in spec if one.params["run"]["dataset"] == "sst2"]
    return [study(one, {"accuracy": 0.5, "pairs": [found.as_dict()] * 2}) for one in first]


def test_tables_say_label_and_model(found):
    table = figures.mixture_table(found, (1, 0.75))
    assert list(table.columns) == ["λ = 1", "λ = 0.75"]
    row = table.loc[("CLS MixUp", "sentence vector")]
    assert row["λ = 1"] == f"1.00 → {found.alone[0][0]:.2f}"
    assert len(table) == len(METHODS) + 1
    both = figures.pairs_table([found, found], 0.75)
    assert both.shape == (len(METHODS) + 2, 2)
    assert both.loc["CLS MixUp", "pair 1: bad"] == row["λ = 0.75"].split(" → ")[1]
    listed = figures.pair_list([found])
    assert listed.loc[("pair 1", "B"), "class"] == "good"


def test_how_lam_is_drawn_is_that_of_the_papers():
    drawn = figures.drawn()
    assert drawn.loc["AMPLIFY"].tolist() == ["largest of 5 from Beta(0.1, 0.1)", "0.04"]
    assert drawn.loc["TMix"].tolist() == ["max(b, 1 − b), b from Beta(0.2, 0.2)", "0.10"]
    assert drawn.loc["CLS MixUp"].tolist() == ["Beta(1, 1)", "0.50"]


def embedded(page):
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(data)


def test_sliders_carry_what_the_tables_show_and_ask_for_nothing_else(found):
    by_training = figures.mixtures(records(found))
    assert list(by_training) == ["without mixup", "with Manifold MixUp"]
    page = figures.mixing_sliders(by_training).data
    assert page == figures.mixing_sliders(by_training).data
    data = embedded(page)
    assert data["lams"][data["start"]] == 0.75
    titles = [method["title"] for method in data["methods"]]
    pair = data["pairs"][1]
    for one in found.mixed:
        method = titles.index(figures.LABELS[one.method])
        place = data["methods"][method]["places"].index(one.place)
        for model in pair["models"]:
            shown = model["mixed"][method][place]
            assert (shown["p"], shown["weights"]) == (one.probabilities, one.weights)
            assert bool(one.texts) == ("texts" in shown)
    assert set(re.findall(r"https?://[^\"']+", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"\bfetch\(|XMLHttpRequest|\bimport\b|<script[^>]*src|<link|innerHTML", page)


def test_no_text_can_end_the_data_early(tiny):
    text = "</script><script>alert(1)</script> <!-- & \" '"
    found = mix(*tiny, text, B, LABELS, NAMES, [0.75])
    data = embedded(figures.mixing_sliders({"x": [found]}).data)
    assert data["pairs"][0]["texts"][0] == text


def test_the_fitted_temperature_stands_beside_what_was_trained():
    made = record(protocol.calibrated("smoke")[0], ece=0.2, nll=0.5)
    made = replace(made, scaled={"temperature": 2.0, "nll": 0.4, "ece": 0.05})
    table = figures.fitted_table({"none": [made, made]})
    assert table.loc["trained without mixup"].tolist() == ["20.0", "50.0", "2.0", "5.0", "40.0"]


def test_the_temperature_slider_has_means_by_bin():
    bins = {"rows": [0, 4], "confidence": [0.0, 3.0], "correct": [0, 2], "ece": 0.25, "nll": 0.5}
    data = embedded(figures.temperature_slider({"none": {1.0: bins, 2.0: bins}}, {"none": 1.234}).data)
    (one,) = data["methods"]
    assert (data["temperatures"], data["start"]) == ([1.0, 2.0], 0)
    assert (one["title"], one["fitted"]) == ("without mixup", "1.23")
    assert (one["rows"], one["confidence"], one["accuracy"]) == ([[0, 4]] * 2, [[0.0, 0.75]] * 2, [[0.0, 0.5]] * 2)
    assert (one["ece"], one["nll"]) == ([25.0] * 2, [50.0] * 2)


def test_an_encoder_of_another_family_is_mixed_alike():
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    tokenizer = models.tiny_tokenizer()
    config = DistilBertConfig(vocab_size=len(tokenizer), dim=32, hidden_dim=64, n_layers=2, n_heads=2, num_labels=3)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    found = mix(DistilBertForSequenceClassification(config), tokenizer, A, B, LABELS, NAMES, [0.0, 0.5, 1.0])
    assert {one.method for one in found.mixed} == set(METHODS)
    assert found.of("cls_mixup")[0].probabilities[0] == found.alone[1]
    assert playground.layer_name(3, 2) == "sentence vector"
