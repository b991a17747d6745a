from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DataCollatorWithPadding,
    DistilBertConfig,
    ModernBertConfig,
    RobertaConfig,
    TrainingArguments,
)

from mixlib import methods
from mixlib.runs import heads, metrics, models, training
from mixlib.runs.store import Store
from mixlib.runs.trimming import TrimmedEmbedding, occurring, trimmed
from mixlib.trainer import MixupTrainer

COMMON = {"vocab_size": 2000, "num_labels": 3, "pad_token_id": 0}
ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
CONFIGS = {
    "bert": BertConfig(**COMMON, **ENCODER, initializer_range=0.1),
    "roberta": RobertaConfig(**COMMON, **ENCODER, initializer_range=0.1, max_position_embeddings=64),
    "distilbert": DistilBertConfig(**COMMON, dim=32, n_layers=2, n_heads=2, hidden_dim=64, initializer_range=0.1),
    "modernbert": ModernBertConfig(**COMMON, **ENCODER, initializer_range=0.1, cls_token_id=3, sep_token_id=4,
                                   bos_token_id=3, eos_token_id=4),
}  # fmt: skip
CASES = [("bert", name) for name in methods.names()]
CASES += [(family, name) for family in list(CONFIGS)[1:] for name in ("input_mixup", "unk", "tmix")]


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(0)
    ids = [[3, *generator.integers(80, 200, generator.integers(3, 12)).tolist(), 4] for _ in range(24)]
    labels = generator.integers(0, 3, 24).tolist()
    masks = [[1] * len(row) for row in ids]
    return Dataset.from_dict({"input_ids": ids, "attention_mask": masks, "labels": labels})


@contextmanager
def untrimmed(model, ids):
    yield False


def six_updates(config, method, rows, folder, trim):
    """Log, evaluation and model after six updates, and the ids that were kept."""
    tokenizer = models.tiny_tokenizer()
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    trainer = MixupTrainer(
        model=model,
        method=method,
        args=TrainingArguments(
            output_dir=str(folder), max_steps=6, per_device_train_batch_size=8, learning_rate=1e-3,
            weight_decay=0.1, max_grad_norm=0.01, logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True,
            logging_nan_inf_filter=False, use_cpu=True,
        ),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda prediction: metrics.evaluate(prediction.predictions, prediction.label_ids),
    )  # fmt: skip
    ids = occurring(tokenizer, [rows], trainer.method)
    before = model.base_model.get_input_embeddings().weight.detach().clone()
    with trim(model, ids):
        trainer.train()
        found = {
            name: value for name, value in trainer.evaluate().items() if "second" not in name and "time" not in name
        }
    log = [(entry["loss"], entry["grad_norm"]) for entry in trainer.state.log_history if "loss" in entry]
    return log, found, model, ids, before


@pytest.mark.parametrize(("family", "method"), CASES)
def test_losses_norms_metrics_and_weights_are_the_same_to_the_bit(family, method, rows, tmp_path):
    log, found, few, ids, before = six_updates(CONFIGS[family], method, rows, tmp_path, trimmed)
    expected_log, expected, whole, *_ = six_updates(CONFIGS[family], method, rows, tmp_path, untrimmed)
    assert len(log) == 6
    assert log == expected_log
    assert all(norm > 0.01 for _, norm in log)  # clipped each time
    assert found == expected
    got, wanted = few.state_dict(), whole.state_dict()
    assert list(got) == list(wanted)
    (name,) = (name for name, weight in got.items() if len(weight) == 2000)
    rest = torch.ones(2000, dtype=torch.bool).scatter(0, ids, False)
    assert len(ids) < 200
    assert torch.equal(got[name][ids], wanted[name][ids])
    assert torch.equal(got[name][rest], before[rest])
    assert not torch.equal(got[name][ids], before[ids])
    for other in got.keys() - {name}:
        assert torch.equal(got[other], wanted[other]), other


def same_record(spec, monkeypatch, tmp_path, **kwargs):
    records, kept = [], []
    for trim in (trimmed, untrimmed):
        monkeypatch.setattr(training.trimming, "trimmed", trim)
        store = Store(tmp_path / trim.__name__)
        records.append(training.execute(spec, store))
        kept.append(store)
    few, whole = records
    assert few.evaluations == whole.evaluations
    assert few.train_losses == whole.train_losses
    assert few.reliability == whole.reliability
    assert (few.selected, few.timing["steps"]) == (whole.selected, whole.timing["steps"])
    drawn = ("source", "train", "dev", "test", "train_rows")
    assert [few.data.get(name) for name in drawn] == [whole.data.get(name) for name in drawn]
    return few, whole, *kept


@pytest.mark.parametrize("changes", [
    {"method": "manifold_mixup", "method_params": {"padding": "unused_max"}},
    {"method": "unk", "model": "tiny[::2]"},
    {"method": "amplify", "head": "published"},
    {"method": "batchmixup", "head": "tanh"},
    {"method": "none", "curve_size": 8},
    {"method": "none", "metric_for_best_model": None},
])  # fmt: skip
def test_the_record_is_the_same(changes, spec, monkeypatch, tmp_path):
    same_record(replace(spec, **changes), monkeypatch, tmp_path)


def test_kept_weights_have_the_usual_shape_and_start_a_second_stage(spec, monkeypatch, tmp_path):
    first = replace(spec, keep_state=True)
    *_, few, whole = same_record(first, monkeypatch, tmp_path)
    sizes = [store.state_path(first).stat().st_size for store in (few, whole)]
    assert sizes[0] == sizes[1]
    model, tokenizer = models.load("tiny", 6)
    few.load_state(first, model)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)


def test_a_run_of_six_updates_of_minilm(spec, monkeypatch, tmp_path):
    short = replace(spec, model=models.MINILM, method="input_mixup", train_size=24, batch_size=8, dev_size=0,
                    test_size=16, learning_rate=1e-3)  # fmt: skip
    few, *_ = same_record(short, monkeypatch, tmp_path)
    assert few.timing["steps"] == 6


def test_a_run_of_relations_with_an_entity_head(spec, monkeypatch, tmp_path):
    relations = replace(spec, dataset="fewrel", head="entities", method="batchmixup", train_size=16, test_size=16,
                        num_train_epochs=1)  # fmt: skip
    same_record(relations, monkeypatch, tmp_path)


def test_training_is_trimmed_and_the_model_is_whole_afterwards(spec, monkeypatch):
    seen = []

    @contextmanager
    def watched(model, ids):
        with trimmed(model, ids) as done:
            seen.append((done, type(model.get_input_embeddings()), len(model.get_input_embeddings().weight)))
            yield done

    monkeypatch.setattr(training.trimming, "trimmed", watched)
    fitted = training.fit(spec)
    ((done, kind, kept),) = seen
    assert done
    assert kind is TrimmedEmbedding
    assert kept < len(fitted.tokenizer)
    embedding = fitted.trainer.model.get_input_embeddings()
    assert type(embedding) is nn.Embedding
    assert embedding.num_embeddings == len(embedding.weight) == len(fitted.tokenizer)


@pytest.fixture
def bert():
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(CONFIGS["bert"])


def test_what_a_run_can_meet(rows):
    tokenizer = models.tiny_tokenizer()
    method = methods.get("input_mixup", padding="unused_pair")
    assert tokenizer.get_vocab()["[unused0]"] not in occurring(tokenizer, [rows], method)
    method.fill_id = tokenizer.get_vocab()["[unused0]"]
    ids = occurring(tokenizer, [rows.select([0, 1]), rows.select([5])], method)
    met = {*rows[0]["input_ids"], *rows[1]["input_ids"], *rows[5]["input_ids"]}
    assert ids.tolist() == sorted({*met, *tokenizer.all_special_ids, method.fill_id})


@pytest.mark.parametrize("wrong", [7, 1999, 2000, -1, -1991])
def test_a_token_that_was_left_out_raises(wrong, bert):
    with trimmed(bert, torch.tensor([0, 5, 9])), pytest.raises(IndexError):
        bert(torch.tensor([[5, wrong, 9]]))


def test_the_error_names_the_tokens_and_what_to_do(bert):
    with (
        trimmed(bert, torch.tensor([0, 5, 9])),
        pytest.raises(IndexError, match=r"token ids \[7, 8\] occur in no text of this run.*'writes'"),
    ):
        bert(torch.tensor([[5, 8, 9], [5, 7, 8]]))


def test_padding_gets_no_gradient_where_it_got_none(bert):
    with trimmed(bert, torch.tensor([5, 9])) as done:  # that of the padding is added
        few = bert.get_input_embeddings()
        few(torch.tensor([[5, 0, 9, 0]])).sum().backward()
    assert done
    assert few.weight.grad.sum(1).tolist() == [0, 32, 32]
    bare = nn.Embedding(20, 4)
    few = TrimmedEmbedding(bare, torch.tensor([0, 5]))
    few(torch.tensor([0, 5])).sum().backward()
    assert few.weight.grad.sum(1).tolist() == [4, 4]


def test_a_frozen_embedding_stays_frozen(bert):
    bert.get_input_embeddings().requires_grad_(False)
    with trimmed(bert, torch.tensor([0, 5])):
        assert not bert.get_input_embeddings().weight.requires_grad


def test_a_run_that_fails_leaves_the_whole_embedding(bert):
    whole = bert.get_input_embeddings()

    def fail():
        with trimmed(bert, torch.tensor([0, 5])):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert bert.get_input_embeddings() is whole


@pytest.mark.parametrize("head", [heads.EntityClassifier, heads.MeanClassifier])
def test_other_heads_have_the_encoder_trimmed(head, bert):
    model = head(bert)
    with trimmed(model, torch.arange(9)):
        assert len(model.base_model.get_input_embeddings().weight) == 9
    assert len(model.base_model.get_input_embeddings().weight) == 2000


def test_weights_saved_and_loaded_while_trimmed_are_those_of_the_whole_model(bert):
    before = {name: value.clone() for name, value in bert.state_dict().items()}
    with trimmed(bert, torch.tensor([0, 5, 9])):
        assert all(torch.equal(value, before[name]) for name, value in bert.state_dict().items())
        with torch.no_grad():
            bert.get_input_embeddings().weight[1] = 7
        saved = bert.state_dict()["bert.embeddings.word_embeddings.weight"]
        assert saved[[4, 5, 6]].sum(1).eq(7 * 32).tolist() == [False, True, False]
        other = {name: value + 1 for name, value in before.items()}
        bert.load_state_dict(other)
    assert all(torch.equal(value, other[name]) for name, value in bert.state_dict().items())


class Scaled(nn.Embedding):
    pass


def test_what_is_not_plain_is_left_alone(bert):
    def untouched(model, ids=None):
        before = model.base_model.get_input_embeddings()
        with trimmed(model, torch.arange(9) if ids is None else ids) as done:
            return not done and model.base_model.get_input_embeddings() is before

    assert not untouched(bert)
    assert untouched(bert, torch.arange(2000))
    for other in (Scaled(2000, 32), *(nn.Embedding(2000, 32, **option) for option in
                  ({"max_norm": 1.0}, {"sparse": True}, {"scale_grad_by_freq": True}))):  # fmt: skip
        bert.set_input_embeddings(other)
        assert untouched(bert)
    bert.set_input_embeddings(nn.Embedding(2000, 32))
    bert.out = nn.Linear(32, 2000, bias=False)
    bert.out.weight = bert.get_input_embeddings().weight
    assert untouched(bert)
