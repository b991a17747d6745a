import pytest
import torch

from mixlib import models


def test_tiny_needs_no_file_and_reads_any_text():
    model, tokenizer = models.load("tiny", num_labels=4)
    ids = tokenizer("babad unseen, 7?", return_tensors="pt")
    assert tokenizer.unk_token_id not in ids["input_ids"]
    assert model(**ids).logits.shape == (1, 4)
    assert "[unused0]" in tokenizer.get_vocab()


def test_the_head_depends_on_the_seed_alone():
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        heads.append(models.load("tiny", 2)[0].classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_minilm_comes_from_its_package_without_a_hub(monkeypatch):
    monkeypatch.delenv("MIXLIB_MODELS", raising=False)
    model, tokenizer = models.load(models.MINILM, num_labels=3, dropout=0.2)
    assert model.config.num_hidden_layers == 6
    assert model.config.hidden_dropout_prob == 0.2
    assert model.dtype == torch.float32
    assert tokenizer.sep_token == "[SEP]"


def test_a_folder_and_the_shelf_are_looked_at_first(tmp_path, monkeypatch):
    model, tokenizer = models.load("tiny", 2)
    model.save_pretrained(tmp_path / "mine")
    tokenizer.save_pretrained(tmp_path / "mine")
    assert models.load(str(tmp_path / "mine"), 2)[0].config.hidden_size == 32
    monkeypatch.setenv("MIXLIB_MODELS", str(tmp_path))
    assert models.load("mine", 5)[0].config.num_labels == 5


def test_a_model_that_is_nowhere_says_where_it_was_looked_for():
    with pytest.raises(
        models.ModelUnavailable, match=r"'bert-nowhere' is not to be had: .*MIXLIB_MODELS.*hub.*To get it"
    ):
        models.load("bert-nowhere", 2)


def test_dropout_out_of_range():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1.5"):
        models.load("tiny", 2, dropout=1.5)


def test_every_second_block_of_a_model():
    torch.manual_seed(0)
    whole, _ = models.load(models.MINILM, num_labels=2)
    torch.manual_seed(0)
    half, tokenizer = models.load(f"{models.MINILM}[::2]", num_labels=2)
    assert half.config.num_hidden_layers == len(half.bert.encoder.layer) == 3
    for ours, theirs in zip(half.bert.encoder.layer, whole.bert.encoder.layer[::2], strict=True):
        assert torch.equal(ours.output.dense.weight, theirs.output.dense.weight)
    assert half(**tokenizer("a text", return_tensors="pt")).logits.shape == (1, 2)
    assert torch.equal(half.classifier.weight, whole.classifier.weight)  # the same head for the same seed
    for every in (1, 7):
        with pytest.raises(ValueError, match=rf"6 blocks: \[::2\] to \[::6\] keep some of them, got \[::{every}\]"):
            models.load(f"{models.MINILM}[::{every}]", num_labels=2)
    assert models.load("tiny[::2]", 2)[0].config.num_hidden_layers == 1


def test_every_classifier_has_weights_and_a_tokenizer_of_its_own():
    first, tokenizer = models.load(models.MINILM, num_labels=2)
    before = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1)
    tokenizer.padding_side = "left"
    second, again = models.load(models.MINILM, num_labels=2)
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in second.state_dict().items() if "classifier" not in name
    )
    assert again.padding_side == "right"


def test_whoever_reads_a_checkpoint_first_draws_the_same_head():
    heads = []
    for _ in range(2):
        torch.manual_seed(4)
        heads.append((models.classifier(models.MINILM, 5).classifier.weight, torch.rand(3)))
        torch.manual_seed(4)
        heads.append((models.classifier(models.MINILM, 5).classifier.weight, torch.rand(3)))
        models._pretrained.cache_clear()
    assert all(torch.equal(a, b) for head in heads[1:] for a, b in zip(head, heads[0], strict=True))


def test_weights_that_changed_on_disk_are_read_again(tmp_path):
    model, tokenizer = models.load("tiny", 2)
    for value in (1.0, 2.0):
        torch.nn.init.constant_(model.classifier.bias, value)
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        assert models.load(str(tmp_path), 2)[0].classifier.bias.tolist() == [value, value]
