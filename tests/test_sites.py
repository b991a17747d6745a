import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
)  # fmt: skip

from mixlib import sites
from mixlib.mixing import mix

COMMON = {"vocab_size": 80, "num_labels": 3, "pad_token_id": 0}
ENCODER = COMMON | {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 40, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
CONFIGS = {
    "bert": BertConfig(**ENCODER),
    "roberta": RobertaConfig(**ENCODER),
    "electra": ElectraConfig(**ENCODER, embedding_size=8),
    "deberta-v2": DebertaV2Config(**ENCODER),
    "mpnet": MPNetConfig(**ENCODER),
    "albert": AlbertConfig(**ENCODER, embedding_size=8),
    "distilbert": DistilBertConfig(**COMMON, dim=16, n_layers=3, n_heads=2, hidden_dim=24, max_position_embeddings=40),
    "modernbert": ModernBertConfig(
        **COMMON, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24, cls_token_id=1,
        sep_token_id=2, bos_token_id=1, eos_token_id=2,
    ),
    "gpt2": GPT2Config(**COMMON, n_embd=16, n_layer=3, n_head=2, n_positions=40, bos_token_id=1, eos_token_id=2),
    "llama": LlamaConfig(
        **COMMON, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24, bos_token_id=1,
        eos_token_id=2,
    ),
}  # fmt: skip
PERM = torch.tensor([1, 0, 3, 2])


@pytest.fixture(params=CONFIGS)
def classifier(request):
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(CONFIGS[request.param]).double().eval()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    return {"input_ids": torch.randint(5, 80, (4, 7), generator=generator), "attention_mask": torch.ones(4, 7).long()}


def mixed(model, inputs, layer, lam, perm=PERM):
    with torch.inference_mode(), sites.changed(model, layer, lambda x: mix(x, perm, lam)):
        return model(**inputs).logits


def test_sentence_vectors_are_what_the_class_layer_reads(classifier, inputs):
    ids, mask = inputs["input_ids"].clone(), inputs["attention_mask"].clone()
    ids[1, 4:], mask[1, 4:] = 0, 0  # a shorter row: decoders read another position there
    batch = {"input_ids": ids, "attention_mask": mask}
    vectors = sites.sentence_vectors(classifier, batch)
    assert torch.allclose(sites.class_layer(classifier)(vectors), classifier(**batch).logits)
    assert vectors.requires_grad
    assert not any(module._forward_pre_hooks for module in classifier.modules())


def test_sentence_vectors_need_the_class_layer_called_once(inputs):
    model = AutoModelForSequenceClassification.from_config(CONFIGS["bert"])
    twice = model.forward
    model.forward = lambda **kwargs: (twice(**kwargs), twice(**kwargs))
    with pytest.raises(ValueError, match=r"called 2 times .* instead of nn.DataParallel use one process a GPU"):
        sites.sentence_vectors(model, inputs)


@pytest.mark.parametrize("layer", range(5))
def test_every_layer_of_every_architecture(classifier, inputs, layer):
    with torch.inference_mode():
        plain = classifier(**inputs).logits
    assert sites.num_blocks(classifier) == 3
    assert torch.equal(mixed(classifier, inputs, layer, 1.0), plain)
    assert torch.allclose(mixed(classifier, inputs, layer, 0.3, torch.arange(4)), plain)
    # all weight on the partner, rows of equal length: the partner's logits
    assert torch.allclose(mixed(classifier, inputs, layer, 0.0), plain[PERM])
    half = mixed(classifier, inputs, layer, 0.5)
    assert not torch.allclose(half, plain)  # the mix really happens ...
    assert torch.allclose(half, half[PERM])  # ... between the two rows of a pair
    with torch.inference_mode():
        assert torch.equal(classifier(**inputs).logits, plain)  # and the hooks are gone


def test_layers_differ_from_each_other(classifier, inputs):
    results = [mixed(classifier, inputs, layer, 0.4) for layer in range(5)]
    for i, first in enumerate(results):
        for second in results[i + 1 :]:
            assert not torch.allclose(first, second, atol=1e-9)


def test_sentence_vector_mix_is_linear_in_the_logits(classifier, inputs):
    with torch.inference_mode():
        plain = classifier(**inputs).logits
    assert torch.allclose(mixed(classifier, inputs, 4, 0.3), mix(plain, PERM, 0.3))


def test_decoder_reads_each_rows_own_last_token(inputs):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(CONFIGS["gpt2"]).double().eval()
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] * 5 + [0] * 2, [1] * 6 + [0]])
    padded = {"input_ids": inputs["input_ids"] * mask, "attention_mask": mask}
    with torch.inference_mode():
        plain = model(**padded).logits
    assert torch.allclose(mixed(model, padded, 4, 0.0), plain[PERM])


@pytest.mark.parametrize("layer", range(5))
def test_hooks_are_removed_when_the_forward_pass_raises(classifier, inputs, layer):
    def fail(x):
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), sites.changed(classifier, layer, fail):
        classifier(**inputs)
    for module in classifier.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_shared_blocks_are_counted_anew_in_each_forward_pass(inputs):
    model = AutoModelForSequenceClassification.from_config(CONFIGS["albert"]).double().eval()
    with torch.inference_mode(), sites.changed(model, 2, lambda x: mix(x, PERM, 0.5)):
        assert torch.equal(model(**inputs).logits, model(**inputs).logits)


def test_gradient_checkpointing_gives_the_same_gradients(inputs):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(CONFIGS["bert"]).double().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        with sites.changed(model, 2, lambda x: mix(x, PERM, 0.3)):
            model(**inputs).logits.pow(2).sum().backward()
        gradients.append(model.bert.encoder.layer[0].output.dense.weight.grad)
    assert torch.allclose(*gradients)


def test_shared_blocks_are_never_run_again_by_gradient_checkpointing():
    """They are counted by call, which a second run would upset; transformers itself refuses to checkpoint ALBERT."""
    model = AutoModelForSequenceClassification.from_config(CONFIGS["albert"])
    with pytest.raises(ValueError, match="does not support activation checkpointing"):
        model.activation_checkpointing_enable()


def test_unknown_architecture_names_itself_and_what_was_looked_for():
    config = BartConfig(
        vocab_size=50, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8,
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(
        sites.UnsupportedArchitecture, match=r"BartForSequenceClassification.*looked for.*encoder\.layer"
    ):
        sites.family(model)


def test_model_without_class_layer_is_refused():
    from transformers import BertModel

    model = BertModel(CONFIGS["bert"])
    with pytest.raises(sites.UnsupportedArchitecture, match="num_labels = 3"):
        sites.class_layer(model)


@pytest.mark.parametrize("layer", [-1, 5])
def test_layer_out_of_range(layer):
    model = AutoModelForSequenceClassification.from_config(CONFIGS["bert"])
    with pytest.raises(ValueError, match="0 \\(embedding output\\) to 4"), sites.changed(model, layer, lambda x: x):
        pass


def test_compiled_model_is_refused():
    model = torch.compile(AutoModelForSequenceClassification.from_config(CONFIGS["bert"]))
    with pytest.raises(ValueError, match=r"torch\.compile"), sites.changed(model, 0, lambda x: x):
        pass
