import pytest
import torch

from mixlib import methods
from mixlib.methods import spans
from mixlib.runs import bench, training
from mixlib.runs.spec import RunFailed


def test_every_method_and_the_padded_step_are_timed(monkeypatch):
    monkeypatch.setattr(bench, "MINILM", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                                          "intermediate_size": 64})  # fmt: skip
    result = bench.run("trec", budget=0, at_least=2)
    assert {row["method"] for row in result["methods"]} == {
        *methods.names(), *(f"{name} {label}" for name, label, _ in bench.VARIANTS), "none_padded128"
    }  # fmt: skip
    assert result["rounds"] == 2
    assert result["threads"] == torch.get_num_threads()
    for row in result["methods"]:
        assert row["seconds"] > 0
        assert row["ratio"] > 0
    assert next(row for row in result["methods"] if row["method"] == "none")["ratio"] == 1


def test_some_methods_beside_the_plain_step(monkeypatch):
    monkeypatch.setattr(bench, "MINILM", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                                          "intermediate_size": 64})  # fmt: skip
    result = bench.run("mrpc", budget=0, at_least=1, only=["ssmix", "ssmix split"])
    assert [row["method"] for row in result["methods"]] == ["none", "ssmix", "ssmix split"]
    with pytest.raises(ValueError, match="unknown method 'ssmx'; did you mean ssmix"):
        bench.run("trec", only=["ssmx"])


def test_a_step_takes_losses_in_a_list():
    class Listed(methods.Method):
        def losses(self, model, batch):
            return [model(batch["input_ids"].float()).sum(), model(batch["input_ids"].float()).square().sum()]

    model, batch = torch.nn.Linear(3, 1), {"input_ids": torch.ones(2, 3)}
    before = model.weight.clone()
    assert bench.step(model, torch.optim.SGD(model.parameters(), 0.1), Listed(), batch, "fp32") > 0
    assert not torch.equal(model.weight, before)


def test_tf32_is_set_or_refused(monkeypatch):
    asked = []
    monkeypatch.setenv("MIXLIB_PRECISION", "tf32")
    monkeypatch.setattr(training, "is_torch_tf32_available", lambda: False)
    with pytest.raises(RunFailed, match="bench: precision tf32 needs an NVIDIA GPU"):
        bench.run("trec", budget=0, at_least=1, only=["none"])
    monkeypatch.setattr(training, "is_torch_tf32_available", lambda: True)
    monkeypatch.setattr(bench, "set_tf32", asked.append)
    assert bench.run("trec", budget=0, at_least=1, only=["none"])["precision"] == "tf32"
    assert asked == ["tf32"]


def test_pairs_have_two_sentences():
    batch = bench.rows(bench.LENGTHS["mrpc"], 128, torch.device("cpu"), pair=True)
    sentence = spans.sentence_of(batch, spans.special_tokens(bench._Tokens()))
    assert all({1, 2} <= set(row.tolist()) for row in sentence)
    assert torch.equal(sentence == 2, (batch["token_type_ids"] == 1) & (batch["input_ids"] != bench.SEP))


def test_unknown_lengths():
    with pytest.raises(ValueError, match="trec, mrpc"):
        bench.run("imdb")


@pytest.mark.parametrize("lengths", bench.LENGTHS)
def test_rows_have_the_lengths(lengths):
    batch = bench.rows(bench.LENGTHS[lengths], 128, torch.device("cpu"))
    assert batch["attention_mask"].sum(1).tolist() == list(bench.LENGTHS[lengths])
    assert len(bench.LENGTHS[lengths]) == 32
    assert (batch["input_ids"][batch["attention_mask"] == 0] == 0).all()
