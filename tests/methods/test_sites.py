import pytest
import torch
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    DebertaConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    EuroBertConfig,
    FNetConfig,
    GPT2Config,
    LlamaConfig,
    LongformerConfig,
    MegatronBertConfig,
    ModernBertConfig,
    ModernBertDecoderConfig,
    MPNetConfig,
    OpenAIGPTConfig,
    RobertaConfig,
)  # fmt: skip
from transformers.modeling_outputs import SequenceClassifierOutput

from mixlib import methods
from mixlib.methods import sites
from mixlib.methods.mixing import mix

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
    "megatron-bert": MegatronBertConfig(**ENCODER),
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
NO_CHECKPOINTING = ("albert", "mpnet")  # transformers refuses it
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


def test_class_vectors_are_refused_where_the_logits_of_all_positions_are_averaged():
    """EuroBERT: no vector enters its class layer alone."""
    small = {"vocab_size": 100, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
             "num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0}  # fmt: skip
    one, late = (EuroBertConfig(**small, classifier_pooling=how, num_labels=3) for how in ("bos", "late"))
    sites.check_class_vectors(AutoModelForSequenceClassification.from_config(one))
    model = AutoModelForSequenceClassification.from_config(late)
    with pytest.raises(sites.UnsupportedArchitecture, match="averages the logits of all positions"):
        sites.check_class_vectors(model)


def test_sentence_vectors_need_the_class_layer_called_once(inputs):
    model = AutoModelForSequenceClassification.from_config(CONFIGS["bert"])
    twice = model.forward
    model.forward = lambda **kwargs: (twice(**kwargs), twice(**kwargs))
    with pytest.raises(ValueError, match=r"called 2 times .* instead of nn.DataParallel use one process per GPU"):
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


DECODER = ModernBertDecoderConfig(
    **COMMON, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24, cls_token_id=1,
    sep_token_id=2, bos_token_id=1, eos_token_id=2,
)  # fmt: skip


@pytest.mark.parametrize("config", [CONFIGS["gpt2"], DECODER], ids=["gpt2", "modernbert-decoder"])
def test_decoder_reads_each_rows_own_last_token(config, inputs):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).double().eval()
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] * 5 + [0] * 2, [1] * 6 + [0]])
    padded = {"input_ids": inputs["input_ids"] * mask, "attention_mask": mask}
    with torch.inference_mode():
        plain = model(**padded).logits
    assert torch.allclose(mixed(model, padded, 4, 0.0), plain[PERM])


def test_sentence_vectors_are_refused_where_it_is_not_known_which_position_is_read(inputs):
    model = AutoModelForSequenceClassification.from_config(DECODER)
    model.config.model_type = "another decoder"
    with pytest.raises(sites.UnsupportedArchitecture, match="scores every position, and which of them it reads"):
        mixed(model, inputs, 4, 0.3)
    assert mixed(model, inputs, 3, 0.3).shape == (4, 3)


def test_positions_that_a_model_adds_are_behind_the_text(inputs):
    """Longformer fills up its windows: seven tokens become eight positions."""
    torch.manual_seed(0)
    config = LongformerConfig(**ENCODER, attention_window=8)
    model = AutoModelForSequenceClassification.from_config(config).double().eval()
    with sites.watched_saliency(model) as watched:
        torch.autograd.grad(model(**inputs).logits.square().sum(), watched.embedded)
    assert watched.norms().shape == (4, 8)
    assert torch.equal(watched.norms(7), watched.norms()[:, :7])
    assert (watched.norms(7) > 0).all()
    assert not watched.norms()[:, 7].any()
    with torch.inference_mode():
        plain = model(**inputs).logits
    method = methods.get("input_mixup", padding="no_pad")
    assert torch.allclose(method.logits(model, inputs, methods.Draw(PERM, 0.0)), plain[PERM])


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


@pytest.mark.parametrize("name", NO_CHECKPOINTING)
def test_some_models_are_never_run_again_by_gradient_checkpointing(name):
    """ALBERT's shared blocks are counted by call, which a second run would upset."""
    model = AutoModelForSequenceClassification.from_config(CONFIGS[name])
    with pytest.raises(ValueError, match="does not support activation checkpointing"):
        model.activation_checkpointing_enable()


class Own(torch.nn.Module):
    """A user's own classifier: an encoder, and a linear layer on its first position."""

    def __init__(self, base):
        super().__init__()
        self.encoder, self.config = AutoModel.from_config(CONFIGS["bert"]), CONFIGS["bert"]
        self.head = torch.nn.Linear(16, 3)
        if base:
            self.base_model = self.encoder

    def forward(self, **inputs):
        return SequenceClassifierOutput(logits=self.head(self.encoder(**inputs).last_hidden_state[:, 0]))


def test_a_class_of_the_users_own_needs_only_to_say_which_part_is_the_encoder(inputs):
    without = Own(base=False).double().eval()
    assert sites.class_layer(without) is without.head
    with pytest.raises(
        sites.UnsupportedArchitecture, match=r"In a class of yours, let self\.base_model be the encoder"
    ):
        sites.family(without)
    model = Own(base=True).double().eval()
    with torch.inference_mode():
        plain = model(**inputs).logits
    for layer in range(5):
        assert torch.allclose(mixed(model, inputs, layer, 0.0), plain[PERM])


def test_blocks_may_return_lists(inputs):
    config = OpenAIGPTConfig(**COMMON, n_embd=16, n_layer=3, n_head=2, n_positions=40)
    model = AutoModelForSequenceClassification.from_config(config).double().eval()
    with torch.inference_mode():
        plain = model(**inputs).logits
        for layer in range(5):
            assert torch.allclose(mixed(model, inputs, layer, 0.0), plain[PERM])
        with sites.attention_changed(model, lambda output: 0 * output):
            assert not torch.allclose(model(**inputs).logits, plain)


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


COMPILED = {
    "wrapped": torch.compile,
    "in place": lambda model: model.compile(backend="eager") or model,
    "encoder": lambda model: model.bert.compile(backend="eager") or model,
    "block": lambda model: model.bert.encoder.layer[1].compile(backend="eager") or model,
    "behind a wrapper": lambda model: torch.nn.DataParallel(model.compile(backend="eager") or model),
}


@pytest.mark.parametrize("how", COMPILED)
def test_compiled_model_is_refused(how, inputs):
    model = COMPILED[how](AutoModelForSequenceClassification.from_config(CONFIGS["bert"]))
    for context in (
        lambda: sites.changed(model, 0, lambda x: x),
        lambda: sites.attention_changed(model, lambda x: x),
        lambda: sites.watched_saliency(model),
    ):
        with pytest.raises(ValueError, match=r"compiled with torch\.compile or \.compile\(\)"), context():
            pass
    with pytest.raises(ValueError, match="compile no module, not even single layers"):
        sites.sentence_vectors(model, inputs)


@pytest.mark.parametrize("layer", range(5))
def test_the_convolution_of_large_deberta_models_is_mixed_too(layer, inputs):
    """It reads the embeddings, so that the output of block 1 is what comes out of it and not of the block alone."""
    torch.manual_seed(0)
    config = DebertaV2Config(**ENCODER, conv_kernel_size=3)
    model = AutoModelForSequenceClassification.from_config(config).double().eval()
    assert model.deberta.encoder.conv is not None
    with torch.inference_mode():
        plain = model(**inputs).logits
    assert torch.allclose(mixed(model, inputs, layer, 0.0), plain[PERM], atol=1e-12)
    assert torch.equal(mixed(model, inputs, layer, 1.0), plain)
    half = mixed(model, inputs, layer, 0.5)
    assert torch.allclose(half, half[PERM])
    assert not torch.allclose(half, plain)
    assert sites.blocks(model)[0] is model.deberta.encoder.layer[0]


def test_saliency_needs_the_embeddings_called_once(inputs):
    model = AutoModelForSequenceClassification.from_config(CONFIGS["bert"])
    with sites.watched_saliency(model) as watched:
        for _ in range(2):  # as replicas of nn.DataParallel do
            model(**inputs).logits.sum().backward()
    with pytest.raises(ValueError, match=r"called 2 times .* instead of nn.DataParallel use one process per GPU"):
        watched.norms()


BEFORE_THE_RESIDUAL = (
    "modernbert",
    "gpt2",
    "llama",
    "megatron-bert",
)  # these normalize first: the output is taken before the residual


def attended(model, inputs, lam, perm=PERM, chosen=None):
    with torch.inference_mode(), sites.attention_changed(model, lambda h: mix(h, perm, lam), chosen):
        return model(**inputs).logits


@pytest.mark.parametrize("chosen", [None, [1], [2], [3], ["12/12"]])
def test_attention_outputs_of_every_architecture(classifier, inputs, chosen):
    with torch.inference_mode():
        plain = classifier(**inputs).logits
    assert torch.allclose(attended(classifier, inputs, 1.0, chosen=chosen), plain, atol=1e-12)
    assert torch.allclose(attended(classifier, inputs, 0.3, torch.arange(4), chosen), plain)
    half = attended(classifier, inputs, 0.5, chosen=chosen)
    assert not torch.allclose(half, plain)
    with torch.inference_mode():
        assert torch.equal(classifier(**inputs).logits, plain)  # the hooks are gone


@pytest.mark.parametrize("block", [1, 2, 3])
def test_all_weight_on_the_partner_in_one_block(request, classifier, inputs, block):
    """After residual and norm the partner's output is all of the partner; before the residual it is a part of it."""
    with torch.inference_mode():
        plain = classifier(**inputs).logits
    swapped = attended(classifier, inputs, 0.0, chosen=[block])
    before = any(name in request.node.name for name in BEFORE_THE_RESIDUAL)
    assert torch.allclose(swapped, plain[PERM]) != before


@pytest.mark.parametrize("name", BEFORE_THE_RESIDUAL)
def test_output_is_taken_before_the_residual_where_the_norm_comes_first(name, inputs):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(CONFIGS[name]).double().eval()
    block, seen = sites.blocks(model)[1], {}
    with torch.inference_mode():
        handles = [
            block.register_forward_pre_hook(lambda m, args, kw: seen.update(x=args[0]), with_kwargs=True),
            sites.attentions(model)[1].register_forward_hook(lambda m, args, out: seen.update(attention=out)),
        ]
        norms = {
            "modernbert": "mlp_norm", "gpt2": "ln_2", "llama": "post_attention_layernorm", "megatron-bert": "ln"
        }  # fmt: skip
        norm = norms[name]
        handles.append(getattr(block, norm).register_forward_pre_hook(lambda m, args: seen.update(joined=args[0])))
        with sites.attention_changed(model, lambda h: mix(h, PERM, 0.3), [2]):
            model(**inputs)
        for handle in handles:
            handle.remove()
    attention = seen["attention"][0] if isinstance(seen["attention"], tuple) else seen["attention"]
    assert torch.allclose(seen["joined"], seen["x"] + mix(attention, PERM, 0.3))


def test_a_layer_norm_of_the_models_own_is_seen(inputs):
    """DeBERTa's is no torch.nn.LayerNorm; the output is taken after it."""
    model = AutoModelForSequenceClassification.from_config(DebertaConfig(**ENCODER)).eval()
    assert sites.attentions(model) == [block.attention for block in sites.blocks(model)]
    with torch.inference_mode():
        assert torch.allclose(attended(model, inputs, 0.0, chosen=[2]), model(**inputs).logits[PERM], atol=1e-6)


def test_the_shared_block_of_albert_is_changed_at_its_turn_and_again_in_the_next_pass(inputs):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(CONFIGS["albert"]).double().eval()
    by_block = [attended(model, inputs, 0.4, chosen=[block]) for block in (1, 2, 3)]
    for i, first in enumerate(by_block):
        assert not any(torch.allclose(first, other, atol=1e-9) for other in by_block[i + 1 :])
    calls = []
    with torch.inference_mode(), sites.attention_changed(model, lambda h: calls.append(1) or h):
        model(**inputs)
        assert len(calls) == 3  # one module, three blocks
        model(**inputs)
        assert len(calls) == 6


def test_attention_hooks_are_removed_when_the_forward_pass_raises(classifier, inputs):
    def fail(h):
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), sites.attention_changed(classifier, fail):
        classifier(**inputs)
    assert not any(module._forward_hooks for module in classifier.modules())


def test_model_without_attention_sublayers_says_what_its_blocks_have():
    config = FNetConfig(**COMMON, hidden_size=16, num_hidden_layers=2, intermediate_size=24)
    model = AutoModelForSequenceClassification.from_config(config)
    message = r"no attention sublayers.*FNetLayer has fourier.*embedmix"
    with pytest.raises(sites.UnsupportedArchitecture, match=message):
        sites.attentions(model)


def test_blocks_by_number_and_by_share_of_the_depth():
    model = AutoModelForSequenceClassification.from_config(CONFIGS["bert"])  # three blocks
    assert sites.chosen_blocks(model, None) == (1, 2, 3)
    assert sites.chosen_blocks(model, [3, 1]) == (3, 1)
    assert sites.chosen_blocks(model, ["1/12", "4/12", "8/12", "12/12"]) == (1, 2, 3)  # 1/12 is at least block 1
    assert sites.check_blocks("4/12") == ("4/12",)
    for wrong in (0, 4, -1):
        with pytest.raises(ValueError, match=rf"blocks \[{wrong}\] do not exist: this model has 1 to 3"):
            sites.chosen_blocks(model, [wrong])
    for wrong in ("13/12", "four", "0/12", "1/0", 1.5):
        with pytest.raises(ValueError, match="whole numbers from 1 or strings such as '4/12'"):
            sites.check_blocks([wrong])
    with pytest.raises(ValueError, match="at least one block"):
        sites.check_blocks([])
