"""Models of PEFT: LoRA and its kin, and virtual tokens before the text. A fresh LoRA adapter changes nothing, so every
loss must be that of the model without it."""

import peft
import pytest
import torch
from transformers import AutoModelForSequenceClassification, Trainer

from mixlib import methods
from mixlib.methods import sites
from mixlib.methods.mixing import mix
from mixlib.runs import models
from mixlib.trainer import MixupTrainer
from tests.methods.test_sites import CONFIGS, PERM
from tests.test_trainer import SHORT, arguments, make, rows

VIRTUAL = {
    "prompt": lambda: peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3),
    "prefix": lambda: peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3),
    "p-tuning": lambda: peft.PromptEncoderConfig(task_type="SEQ_CLS", num_virtual_tokens=3, encoder_hidden_size=8),
}
IN_PLACE = {
    "lora": lambda: peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules="all-linear"),
    "ia3": lambda: peft.IA3Config(task_type="SEQ_CLS"),
}


def adapted(name, config):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(CONFIGS[name])
    return peft.get_peft_model(model, config).double().eval()


def losses(model, tokenizer, batch, method):
    method.prepare(model, tokenizer, train_lengths=[9])
    method.seed_step(0, 1)
    found = []
    for loss in method.losses(model, batch):
        loss.backward()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("name", methods.names())
def test_a_fresh_lora_model_has_the_losses_of_the_model_itself(tiny, batch, name):
    model, tokenizer = tiny
    expected = losses(model, tokenizer, batch, methods.get(name, **SHORT.get(name, {})))
    model.zero_grad()
    lora = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", r=2)).eval()
    assert losses(lora, tokenizer, batch, methods.get(name, **SHORT.get(name, {}))) == pytest.approx(expected, abs=1e-6)
    trained = {parameter for parameter, tensor in lora.named_parameters() if tensor.grad is not None}
    assert any("lora_B" in parameter for parameter in trained)
    assert any("modules_to_save" in parameter for parameter in trained)
    assert not any("original_module" in parameter or "base_layer" in parameter for parameter in trained)


@pytest.mark.parametrize("kind", [*IN_PLACE, *VIRTUAL])
@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "llama"])
def test_every_layer_of_an_adapted_model_is_mixed(name, kind):
    model = adapted(name, (IN_PLACE | VIRTUAL)[kind]())
    ids = torch.randint(5, 80, (4, 7), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode():
        plain = model(**inputs).logits
        for layer in range(5):
            with sites.changed(model, layer, lambda x: mix(x, PERM, 0.0)):
                assert torch.allclose(model(**inputs).logits, plain[PERM], atol=1e-9)
    assert not torch.allclose(plain, plain[PERM], atol=1e-7)
    vectors = sites.sentence_vectors(model, inputs)
    assert torch.allclose(sites.class_layer(sites.unwrap(model))(vectors), plain)


def test_logits_are_mixed_where_peft_goes_past_the_hooks_of_the_classifier(monkeypatch):
    model = adapted("gpt2", IN_PLACE["lora"]())
    inner = model.base_model.model
    monkeypatch.setattr(model.base_model, "forward", lambda *args, **kwargs: inner.forward(*args, **kwargs))
    ids = torch.randint(5, 80, (4, 7), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = model(input_ids=ids).logits
        with sites.changed(model, 4, lambda x: mix(x, PERM, 0.0)):
            assert torch.equal(model(input_ids=ids).logits, plain[PERM])


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "prompt") for name in methods.names()]
    + [(name, kind) for name in ("manifold_mixup", "amplify", "ssmix") for kind in ("prefix", "p-tuning")],
)
def test_every_method_trains_virtual_tokens(batch, name, kind):
    torch.manual_seed(0)
    model, tokenizer = models.load("tiny", num_labels=3, dropout=0.0)
    model = peft.get_peft_model(model, VIRTUAL[kind]())
    found = losses(model, tokenizer, batch, methods.get(name, **SHORT.get(name, {})))
    assert found
    assert all(torch.tensor(found).isfinite())
    assert all(tensor.grad is not None for tensor in model.prompt_encoder.parameters() if tensor.requires_grad)


def test_label_smoothing_evaluates_virtual_tokens(tmp_path):
    """The library's smoother looks for a model inside the model, which virtual tokens do not have."""
    model, tokenizer = make()
    found = []
    for adapter in (None, VIRTUAL["prompt"]()):
        trainer = MixupTrainer(
            model=peft.get_peft_model(model, adapter) if adapter else model, eval_dataset=rows(tokenizer),
            args=arguments(tmp_path, label_smoothing_factor=0.1), method="none", processing_class=tokenizer,
        )  # fmt: skip
        found.append(trainer.evaluate()["eval_loss"])
    plain = Trainer(model=make()[0], args=trainer.args, eval_dataset=rows(tokenizer), processing_class=tokenizer)
    assert found[0] == pytest.approx(plain.evaluate()["eval_loss"], abs=1e-6)
    assert found[1] > 0


def test_saliency_is_that_of_the_text_behind_virtual_tokens(batch):
    """By hand: the embedding layer on the virtual tokens and the text, and the gradient at what it gives."""
    torch.manual_seed(0)
    classifier, tokenizer = models.load("tiny", num_labels=3, dropout=0.0)
    model = peft.get_peft_model(classifier, VIRTUAL["prompt"]()).double().eval()
    ssmix = methods.get("ssmix")
    ssmix.prepare(model, tokenizer)
    with sites.watched_saliency(model) as watched:
        ssmix.plain_loss(model, batch).backward()
    found, _ = ssmix.token_saliency(model, batch, watched)

    words = classifier.get_input_embeddings()(batch["input_ids"])
    together = torch.cat([model.get_prompt(len(words)), words], 1)
    embedded = classifier.bert.embeddings(inputs_embeds=together).detach().requires_grad_()
    mask = torch.cat([torch.ones(len(words), 3), batch["attention_mask"]], 1)
    handle = classifier.bert.embeddings.register_forward_hook(lambda *args: embedded)
    logits = classifier(inputs_embeds=together, attention_mask=mask).logits
    handle.remove()
    torch.nn.functional.cross_entropy(logits, batch["labels"]).backward()
    assert torch.allclose(found, embedded.grad.norm(dim=-1)[:, 3:])
    assert found.shape == batch["input_ids"].shape


@pytest.mark.parametrize("padding", ["no_pad", "sep_pair"])
def test_virtual_tokens_are_mixed_whatever_the_padding(batch, padding):
    torch.manual_seed(0)
    model, tokenizer = models.load("tiny", num_labels=3, dropout=0.0)
    plain = losses(model, tokenizer, batch, methods.get("manifold_mixup", layers=(0, 1), padding=padding))
    prompted = peft.get_peft_model(model, VIRTUAL["prompt"]())
    found = losses(prompted, tokenizer, batch, methods.get("manifold_mixup", layers=(0, 1), padding=padding))
    assert found != pytest.approx(plain, abs=1e-6)  # the virtual tokens are there


def test_another_adapter_and_none_at_all_have_class_layers_of_their_own():
    model = adapted("roberta", IN_PLACE["lora"]())
    model.add_adapter("second", IN_PLACE["lora"]())
    inner = sites.unwrap(model)
    wrapper = inner.classifier
    assert sites.class_layer(inner) is wrapper.modules_to_save["default"].out_proj
    model.set_adapter("second")
    assert sites.class_layer(inner) is wrapper.modules_to_save["second"].out_proj
    with model.disable_adapter():
        assert sites.class_layer(inner) is wrapper.original_module.out_proj


def test_class_vectors_with_an_adapter_of_their_own_are_refused(tiny, batch):
    model, tokenizer = tiny
    expected = losses(model, tokenizer, batch, methods.get("cls_mixup"))
    lora = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["query", "classifier"])).eval()
    for name in ("batchmixup", "mixup", "nonlinear_mixup"):
        with pytest.raises(sites.UnsupportedArchitecture, match=r"modules_to_save=\['classifier'\]"):
            methods.get(name).prepare(lora, tokenizer)
    # what enters the class layer can be mixed all the same
    assert losses(lora, tokenizer, batch, methods.get("cls_mixup")) == pytest.approx(expected, abs=1e-6)
