import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    RobertaConfig,
)

from mixlib import methods
from mixlib.methods import sites
from mixlib.runs import draws, encoding, heads, models
from mixlib.trainer import MixupTrainer
from tests.test_trainer import arguments

SMALL = {"vocab_size": 60, "num_labels": 3, "pad_token_id": 0}
CONFIGS = {
    "bert": BertConfig(**SMALL, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32),
    "roberta": RobertaConfig(**SMALL, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32),
    "distilbert": DistilBertConfig(**SMALL, dim=16, n_layers=2, n_heads=2, hidden_dim=32),
    "modernbert": ModernBertConfig(**SMALL, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                   intermediate_size=32, reference_compile=False, bos_token_id=1, eos_token_id=2,
                                   cls_token_id=1, sep_token_id=2),
    "gpt2": GPT2Config(**SMALL, n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2),
    "llama": LlamaConfig(**SMALL, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                         bos_token_id=1, eos_token_id=2),
}  # fmt: skip


def inputs():
    ids = torch.randint(3, 60, (4, 7), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(7) < torch.tensor([7, 4, 2, 6])[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.parametrize("name", CONFIGS)
def test_tanh_layers_stand_between_pooled_vector_and_classes(name):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(CONFIGS[name])
    before = sites.sentence_vectors(model.eval(), inputs())
    heads.add_tanh_layers(model)
    (layers,) = (m for m in model.modules() if isinstance(m, nn.Sequential) and hasattr(m, "hidden"))
    after = sites.sentence_vectors(model, inputs())
    first, second = layers.hidden[0], layers.hidden[2]
    assert torch.allclose(after, torch.tanh(second(torch.tanh(first(before)))), atol=1e-6)
    assert torch.allclose(sites.class_layer(model)(after), model(**inputs()).logits, atol=1e-6)
    encoder = set(model.base_model.modules())
    assert all(m.p == 0 for m in model.modules() if isinstance(m, nn.Dropout) and m not in encoder)


def test_a_head_without_a_linear_class_layer_is_refused():
    model = AutoModelForSequenceClassification.from_config(CONFIGS["bert"])
    model.classifier = nn.Identity()
    with pytest.raises(ValueError, match="no linear layer with num_labels = 3"):
        heads.add_tanh_layers(model)
    for name in ("mixup", "nonlinear_mixup", "batchmixup"):
        with pytest.raises(ValueError, match="no linear layer with num_labels = 3"):
            methods.get(name).prepare(model)


def test_unknown_head():
    with pytest.raises(ValueError, match="unknown head 'mlp'; choose one of own, tanh, entities"):
        models.load("tiny", 3, head="mlp")


def test_entities_are_sums_over_their_word_pieces():
    torch.manual_seed(0)
    model, _ = models.load("tiny", 5, dropout=0.0, head="entities")
    model.eval()
    batch = inputs()
    spans = torch.tensor([[[1, 3], [4, 5]], [[1, 2], [2, 3]], [[0, 1], [1, 2]], [[3, 6], [1, 2]]])
    hidden = model.base_model(**batch).last_hidden_state
    vectors = []
    for row, ((a, b), (c, d)) in enumerate(spans.tolist()):
        head, tail = hidden[row, a:b].sum(0), hidden[row, c:d].sum(0)
        pooled = torch.tanh(model.pool(torch.cat([head, tail, head * tail])))
        vectors.append(torch.tanh(model.hidden[2](torch.tanh(model.hidden[0](pooled)))))
    found = sites.sentence_vectors(model, {**batch, "entity_spans": spans})
    assert torch.allclose(found, torch.stack(vectors), atol=1e-6)
    labels = torch.tensor([0, 1, 2, 3])
    output = model(**batch, entity_spans=spans, labels=labels)
    assert torch.allclose(output.loss, nn.functional.cross_entropy(model.classifier(found), labels))


@pytest.mark.parametrize("method", ["none", "batchmixup", "mixup"])
def test_relation_classifier_trains_and_evaluates_with_the_trainer(tmp_path, method):
    torch.manual_seed(0)
    model, tokenizer = models.load("tiny", 80, head="entities")
    rows = draws.sample("fewrel80", 0, 16, 4, 8, synthetic_twin=True)
    train, test = (encoding.encode(r, tokenizer, 64, entities=True) for r in (rows.train, rows.test))
    params = {"n": 2} if method == "mixup" else {}
    trainer = MixupTrainer(
        model=model, args=arguments(tmp_path, num_train_epochs=1), method=method, method_params=params,
        train_dataset=train, eval_dataset=test, processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    assert trainer.state.global_step == (8 if method == "mixup" else 4)
    assert trainer.evaluate()["eval_loss"] > 0


@pytest.mark.parametrize("name", CONFIGS)
def test_mean_over_all_positions_padding_included(name):
    torch.manual_seed(0)
    model = heads.MeanClassifier(AutoModelForSequenceClassification.from_config(CONFIGS[name])).eval()
    found = model(**inputs(), labels=torch.tensor([0, 1, 2, 0]))
    hidden = model.base_model(**inputs()).last_hidden_state
    assert hidden.shape[:2] == (4, 7)
    assert torch.allclose(found.logits, model.classifier(hidden.mean(1)), atol=1e-6)
    assert torch.isclose(found.loss, torch.nn.functional.cross_entropy(found.logits, torch.tensor([0, 1, 2, 0])))
    assert torch.allclose(sites.sentence_vectors(model, inputs()), hidden.mean(1), atol=1e-6)
    for method in ("amplify", "embedmix", "tmix", "sentencemix"):
        methods.get(method).prepare(model)


def test_the_published_head_is_another_one_for_each_method():
    assert heads.of_method("published", "amplify") == "mean"
    for method in ("none", "embedmix", "sentencemix", "tmix"):
        assert heads.of_method("published", method) == "untyped"
    assert heads.of_method("own", "amplify") == "own"
    with pytest.raises(ValueError, match="unknown head 'pooled'"):
        heads.of_method("pooled", "amplify")
    with pytest.raises(ValueError, match="'mean' for amplify and 'untyped' for any other"):
        models.load("tiny", 2, head="published")
