import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mixlib import methods
from mixlib.methods import Draw
from mixlib.methods.mixing import mix
from mixlib.methods.mixup_calibration import PADDINGS, pad_together
from mixlib.runs import models
from tests import golden

CASES = list(golden.cases(golden.HERE))
PERM = torch.tensor([1, 0, 3, 2, 5, 4])
plain_loss = methods.get("none").plain_loss

MIXED_ROWS = ("cls_mixup", "cls_mixup_late", "input_mixup", "manifold_mixup")


def prepared(name, model, tokenizer, **params):
    method = methods.get(name, **params)
    method.prepare(model, tokenizer, train_lengths=[12])
    return method


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_golden_case(case):
    assert golden.check(case, golden.HERE) is None


def test_every_golden_case_of_the_files_is_among_them():
    count = 0
    for path in golden.HERE.rglob("*.json"):
        found = json.loads(path.read_text())
        count += sum(map(len, found.values())) if isinstance(found, dict) else len(found)
    assert len({case["id"] for case in CASES}) == len(CASES) == count == 98


# Half of each sentence is to be replaced. That is 4 of the 8 tokens of the first sentence of x1, but the first of x2
# has 1, or 3 with its special tokens: fewer than 4, so the published code leaves that sentence as it is. The second
# sentence of x1 gives its least salient 2 of 4 tokens (23, 24) for the most salient 2 of x2 (42, 43): 2 of 12 tokens
# are replaced, where the paper's shorter span would make it 3. In the other direction nothing is too short: 31 becomes
# the most salient token of x1 (15), and 41, 42 become 21, 22: 3 of 5 tokens.
SHORT_SENTENCE_OF_A_PAIR = {
    "id": "pair_with_a_sentence_shorter_than_the_span",
    "kind": "ssmix_spans_pair",
    "inputs": {
        "kind": "pair", "differs_from_paper": True, "window_percent": 50, "max_len": 64,
        "x1": [101, 11, 12, 13, 14, 15, 16, 17, 18, 102, 21, 22, 23, 24, 102], "x1_types": [0] * 10 + [1] * 5,
        "x2": [101, 31, 102, 41, 42, 43, 44, 102], "x2_types": [0] * 3 + [1] * 5,
        "s1_first": [1, 0.5, 0.5, 0.5, 0.5, 0.75, 0.5, 0.5, 0.5, 1], "s1_second": [1, 0.25, 0.75, 0.125, 0.125, 1],
        "s2_first": [1, 0.5, 1], "s2_second": [1, 0.125, 0.75, 0.5, 0.5, 1],
    },
    "expect": {
        "mixed12": [101, 11, 12, 13, 14, 15, 16, 17, 18, 102, 21, 22, 42, 43, 102], "weight1_12": 1 - 2 / 12,
        "mixed21": [101, 15, 102, 21, 22, 43, 44, 102], "weight2_21": 1 - 3 / 5,
    },
}  # fmt: skip


def test_a_pair_with_a_sentence_shorter_than_the_span():
    assert golden.check(SHORT_SENTENCE_OF_A_PAIR, golden.HERE) is None
    by_the_paper = {**SHORT_SENTENCE_OF_A_PAIR["inputs"], "differs_from_paper": False}
    assert "mixed12 is off" in golden.check({**SHORT_SENTENCE_OF_A_PAIR, "inputs": by_the_paper}, golden.HERE)


@pytest.mark.parametrize("name", methods.names())
def test_a_mask_of_decimals_is_as_good_as_one_of_whole_numbers(tiny, batch, name):
    model, tokenizer = tiny
    found = []
    for mask in (batch["attention_mask"], batch["attention_mask"].float()):
        method = methods.get(name)
        method.prepare(model, tokenizer, train_lengths=[9])
        method.seed_step(0, 1)
        found.append([])
        for loss in method.losses(model, batch | {"attention_mask": mask}):
            loss.backward()
            found[-1].append(loss.item())
    assert found[1] == pytest.approx(found[0], abs=1e-6)


def test_a_wrong_golden_case_fails():
    case = next(c for c in CASES if c["kind"] == "cls_mixup")
    wrong = {**case, "inputs": {**case["inputs"], "lam": case["inputs"]["lam"] + 0.01}}
    assert "off by" in golden.check(wrong, golden.HERE)


def test_unknown_method_and_parameter_name_the_nearest():
    with pytest.raises(ValueError, match="did you mean cls_mixup"):
        methods.get("cls_mixupp")
    with pytest.raises(ValueError, match="has no parameter alfa; it has alpha"):
        methods.get("cls_mixup", alfa=1)
    with pytest.raises(ValueError, match="is a method already"):
        methods.get(methods.get("none"), alpha=1)


@pytest.mark.parametrize("name", ["cls_mixup", "input_mixup", "manifold_mixup", "cls_mixup_late"])
@pytest.mark.parametrize("alpha", [0, -0.5])
def test_alpha_must_be_positive(name, alpha):
    with pytest.raises(ValueError, match="alpha must be a positive number"):
        methods.get(name, alpha=alpha)


@pytest.mark.parametrize("name", MIXED_ROWS)
def test_lam_one_gives_plain_logits_bit_for_bit_where_rows_are_equally_long(name, tiny):
    model, tokenizer = tiny
    ids = torch.randint(10, 60, (6, 9), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": PERM % 3}
    method = prepared(name, model, tokenizer)
    for layer in range(4):
        assert torch.equal(method.logits(model, batch, Draw(PERM, 1.0, layer)), model(ids).logits)


NOT_MIXING = {"label_smoothing", "eda"}  # what they do needs no partner: test_baselines


@pytest.mark.parametrize("name", sorted(n for n in set(methods.names()) - NOT_MIXING if methods.get(n).min_rows == 1))
def test_a_batch_of_one_row_trains_unmixed(name, tiny, batch):
    model, tokenizer = tiny
    one = {key: value[:1] for key, value in batch.items()}
    method = prepared(name, model, tokenizer)
    (loss,) = method.losses(model, one)
    assert torch.equal(loss, plain_loss(model, one))


@pytest.mark.parametrize("padding", PADDINGS)
def test_an_unmixed_row_keeps_its_logits_under_every_pair_padding(padding, tiny, batch):
    model, tokenizer = tiny
    method = prepared("input_mixup", model, tokenizer, padding=padding)
    perm = torch.tensor([1, 0, 3, 2, 4, 5])  # rows 4 and 5 are alone
    logits = method.logits(model, batch, Draw(perm, 0.3, 0))
    plain = model(batch["input_ids"], batch["attention_mask"]).logits
    if padding.endswith("max"):
        assert not torch.allclose(logits[4:], plain[4:], atol=1e-4)  # filled up to the longest text
    else:
        assert torch.allclose(logits[4:], plain[4:], atol=1e-6)
    assert not torch.allclose(logits[:4], plain[:4], atol=1e-4)


@given(st.integers(0, 10_000), st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_columns_of_padding_never_change_anything(seed, extra):
    torch.manual_seed(0)
    model, tokenizer = models.load("tiny", num_labels=3, dropout=0.0)
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.arange(8) < torch.randint(2, 9, (4, 1), generator=generator)).long()
    ids = torch.randint(10, 60, (4, 8), generator=generator) * mask
    perm = torch.tensor([2, 3, 0, 1])
    for name in ("input_mixup", "manifold_mixup", "cls_mixup"):
        for padding in ("sep_pair", "no_pad"):
            method = prepared(name, model, tokenizer, **({} if name == "cls_mixup" else {"padding": padding}))
            layer = 3 if name == "cls_mixup" else 0 if name == "input_mixup" else 1
            narrow, wide = (
                method.logits(
                    model,
                    {"input_ids": F.pad(ids, (0, n)), "attention_mask": F.pad(mask, (0, n)), "labels": perm % 3},
                    Draw(perm, 0.35, layer),
                )
                for n in (0, extra)
            )
            assert torch.allclose(narrow, wide, atol=1e-5)


def test_pad_together_fills_to_the_longer_of_the_pair(batch):
    filled = pad_together(batch, PERM, fill_id=7)
    lengths = filled["attention_mask"].sum(1)
    assert lengths.tolist() == [9, 9, 9, 9, 7, 7]
    assert (filled["input_ids"][0, 4:] == 7).all()
    assert torch.equal(filled["input_ids"][1], batch["input_ids"][1])
    assert (filled["input_ids"][4, 7:] == 0).all()
    longest = pad_together(batch, PERM, fill_id=7, longest=12)
    assert longest["input_ids"].shape == (6, 12)
    assert (longest["attention_mask"] == 1).all()


def test_no_pad_mixes_only_where_both_rows_have_tokens(tiny, batch):
    model, tokenizer = tiny
    method = prepared("input_mixup", model, tokenizer, padding="no_pad")
    seen = {}
    handle = model.bert.encoder.register_forward_pre_hook(lambda m, args: seen.update(x=args[0]))
    method.logits(model, batch, Draw(PERM, 0.3, 0))
    handle.remove()
    embedded = model.bert.embeddings(batch["input_ids"])
    assert torch.allclose(seen["x"][1, :4], mix(embedded, PERM, 0.3)[1, :4])
    assert torch.equal(seen["x"][1, 4:], embedded[1, 4:])


def test_layers_are_drawn_from_the_eligible_set(tiny):
    model, tokenizer = tiny
    method = prepared("manifold_mixup", model, tokenizer, layers=(0, 2))
    assert {method.draw(model, 4).layer for _ in range(50)} == {0, 2}
    everywhere = prepared("manifold_mixup", model, tokenizer)
    assert {everywhere.draw(model, 4).layer for _ in range(100)} == {0, 1, 2, 3}
    with pytest.raises(ValueError, match=r"layers \[9\] do not exist: this model has 0"):
        prepared("manifold_mixup", model, tokenizer, layers=(0, 9))
    with pytest.raises(ValueError, match="at least one layer"):
        methods.get("manifold_mixup", layers=())


def test_paddings_need_their_tokens(tiny):
    model, tokenizer = tiny

    class Bare:
        sep_token, pad_token, padding_side = None, "[PAD]", "right"

        def get_vocab(self):
            return {"[PAD]": 0}

    with pytest.raises(ValueError, match="needs the token sep_token"):
        methods.get("input_mixup").prepare(model, Bare())
    with pytest.raises(ValueError, match=r"\[unused0\]"):
        methods.get("input_mixup", padding="unused_pair").prepare(model, Bare())
    methods.get("input_mixup", padding="no_pad").prepare(model, None)
    with pytest.raises(ValueError, match="give it the tokenizer"):
        methods.get("input_mixup").prepare(model, None)
    with pytest.raises(ValueError, match="lengths of the training texts"):
        methods.get("input_mixup", padding="sep_max").prepare(model, tokenizer)
    with pytest.raises(ValueError, match="unknown padding"):
        methods.get("input_mixup", padding="sep")
    tokenizer.padding_side = "left"
    with pytest.raises(ValueError, match="padded on the right"):
        methods.get("input_mixup").prepare(model, tokenizer)


def test_late_mixing_is_plain_before_its_start(tiny, batch):
    model, tokenizer = tiny
    method = prepared("cls_mixup_late", model, tokenizer, start=0.5)
    plain = plain_loss(model, batch)
    method.progress = 0.49
    assert torch.equal(next(method.losses(model, batch)), plain)
    method.progress = 0.5
    method.seed_step(0, 0)
    assert not torch.equal(next(method.losses(model, batch)), plain)
    with pytest.raises(ValueError, match="between 0 and 1"):
        methods.get("cls_mixup_late", start=1.5)


def test_draws_of_a_step_depend_on_seed_step_and_part_alone(tiny):
    model, _ = tiny
    first, second = methods.get("cls_mixup"), methods.get("cls_mixup")
    first.draw(model, 8)
    draws = []
    for method in (first, second):
        method.seed_step(1, 5, 2)
        draws.append(method.draw(model, 8))
    assert draws[0].lam == draws[1].lam
    assert torch.equal(draws[0].perm, draws[1].perm)
    lams = set()
    steps = [(1, 5, 2), (2, 5, 1), (1, 2, 5), (5, 1, 2), (1, 5, 1), (1, 5, 0), (1, 4, 2), (2, 5, 2)]  # also one apart
    for seed, step, part in steps:
        first.seed_step(seed, step, part)
        lams.add(first.draw(model, 8).lam)
    assert len(lams) == len(steps)


def test_token_types_reach_the_model(batch):
    torch.manual_seed(0)
    model, tokenizer = models.load("tiny", num_labels=3, dropout=0.0)
    model.eval()
    method = prepared("input_mixup", model, tokenizer)
    typed = {**batch, "token_type_ids": batch["attention_mask"].clone()}
    draw = Draw(PERM, 0.4, 0)
    assert not torch.allclose(method.logits(model, typed, draw), method.logits(model, batch, draw))


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("mixup", {"n": True}, "n must be a whole number of at least 1, got True"),
        ("cls_mixup", {"alpha": True}, "alpha must be a positive number .* got True"),
        ("ssmix", {"lam0": True}, "lam0 must be a share .* got True"),
        ("batchmixup", {"temperature": "1"}, "temperature must be positive, got '1'"),
        ("cls_mixup_late", {"start": "1"}, "start must be a share of the training between 0 and 1, got '1'"),
        ("manifold_mixup", {"layers": "0"}, "layers must be whole numbers"),
        ("manifold_mixup", {"layers": 1.5}, "layers must be whole numbers.* got 1.5"),
        ("amplify", {"blocks": 4.0}, "blocks must be whole numbers from 1 or strings such as '4/12', got 4.0"),
        ("mixup", {"n": np.float64(3)}, "n must be a whole number of at least 1"),
        ("manifold_mixup", {"layers": (True,)}, "layers must be whole numbers"),
        ("amplify", {"blocks": (True,)}, "blocks must be whole numbers from 1"),
        ("label_smoothing", {"epsilon": False}, "epsilon must be a share"),
        ("eda", {"alpha": False}, "alpha must be a share"),
        ("embedmix", {"originals": "False"}, "originals must be one of True, False, got 'False'"),
        ("amplify", {"and_later": 1, "blocks": 4}, "and_later must be one of True, False, got 1"),
    ],
)
def test_a_value_of_another_kind_is_told_so(name, params, message):
    with pytest.raises(ValueError, match=message):
        methods.get(name, **params)


@pytest.mark.parametrize(
    ("name", "params", "plain"),
    [
        ("cls_mixup", {"alpha": np.float32(0.5)}, {"alpha": 0.5}),
        ("mixup", {"n": np.int64(3)}, {"n": 3}),
        ("amplify", {"blocks": np.int64(4)}, {"blocks": (4,)}),
        ("tmix", {"blocks": [np.int32(1), "7/12"]}, {"blocks": (1, "7/12")}),
        ("manifold_mixup", {"layers": np.arange(2)}, {"layers": (0, 1)}),
        ("ssmix", {"lam0": np.float64(0.25)}, {"lam0": 0.25}),
        ("eda", {"alpha": np.float64(0.25), "n_aug": np.uint8(2)}, {"alpha": 0.25, "n_aug": 2}),
        ("label_smoothing", {"epsilon": np.float16(0.5)}, {"epsilon": 0.5}),
        ("batchmixup", {"temperature": np.float32(0.5), "n_per_row": np.int8(2)}, {"temperature": 0.5, "n_per_row": 2}),
        ("cls_mixup_late", {"start": np.float32(0.25)}, {"start": 0.25}),
        ("none_long", {"updates": np.int64(2)}, {"updates": 2}),
    ],
)
def test_numbers_of_numpy_become_pythons(name, params, plain):
    found = methods.get(name, **params).params
    assert {key: found[key] for key in params} == plain
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(methods.get(name, **plain).params))


def test_one_layer_may_stand_alone():
    assert methods.get("manifold_mixup", layers=3) == methods.get("manifold_mixup", layers=[3])


def test_a_key_of_the_library_cannot_be_taken():
    with pytest.raises(ValueError, match=r"key 'ssmix' of Mine is that of mixlib.methods.ssmix.SSMix: choose another"):
        type("Mine", (methods.Method,), {"key": "ssmix"})
    assert methods.REGISTRY["ssmix"].__module__ == "mixlib.methods.ssmix"
    for _ in range(2):  # a cell of a notebook may be run again
        first = type("Mine", (methods.Method,), {"key": "mine"})
    assert methods.REGISTRY.pop("mine") is first


def test_each_method_looks_like_no_other():
    looks = [cls.look for cls in methods.REGISTRY.values() if cls.__module__.startswith("mixlib.")]
    looks += [methods.Look(f"spare {i}", *spare) for i, spare in enumerate(methods.base.SPARE)]
    for part in ("label", "colour", "marker", "dashes"):
        assert len({getattr(look, part) for look in looks}) == len(looks), part


def test_a_method_of_ones_own_is_in_every_list_at_once():
    from mixlib.evidence.plots import DASHES, MARKERS, PALETTE
    from mixlib.evidence.tables import LABELS

    made = {}
    try:
        for key in ("mine", "yours"):
            made[key] = type(key, (methods.Plain,), {"key": key, "__doc__": "Does nothing.\n\nAt all."})
            made[key] = type(key, (methods.Plain,), {"key": key, "__doc__": "Does nothing.\n\nAt all."})  # a cell again
        assert list(LABELS)[-6:-4] == ["mine", "yours"]
        looks = [*made, *(key for key, cls in methods.REGISTRY.items() if cls.__module__.startswith("mixlib."))]
        assert (LABELS["mine"], LABELS["none"]) == ("mine", "no mixup")
        assert len({(PALETTE[key], MARKERS[key], DASHES[key]) for key in looks}) == len(looks)
        row = methods.table()[-1]
        assert row == {
            "name": "yours", "label": "yours", "paper": None, "params": {}, "passes": 1, "about": "Does nothing.",
        }  # fmt: skip
        with_look = type("Seen", (methods.Plain,), {"key": "mine", "look": methods.Look("Mine", "red", "o", "-")})
        assert (LABELS["mine"], with_look.look.colour) == ("Mine", PALETTE["mine"])
    finally:
        for key in made:
            methods.REGISTRY.pop(key, None)


def test_the_table_of_methods_has_their_defaults():
    rows = {row["name"]: row for row in methods.table()}
    assert list(rows) == [key for key in methods.REGISTRY if "@" not in key]
    assert rows["ssmix"]["passes"] == 2
    assert rows["amplify"]["params"] == methods.get("amplify").params
    assert rows["tmix"]["label"] == "TMix"
    assert all(row["about"] for row in rows.values())
