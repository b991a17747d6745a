"""README's example of ``MixupTrainer`` on a CSV, and what one does next: class weights, a stream, LoRA."""

import json

import peft
import pytest
import torch
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainingArguments, pipeline

from mixlib.runs import models
from mixlib.trainer import MixupTrainer
from tests.test_trainer import SHORT


@pytest.fixture
def bert(tmp_path):
    """A folder with a tiny encoder and its tokenizer."""
    torch.manual_seed(0)
    for part in models.load("tiny", num_labels=3):
        part.save_pretrained(tmp_path / "bert")
    return str(tmp_path / "bert")


@pytest.fixture
def csv(tmp_path):
    """Texts and intents as people keep them: three words for the classes."""
    path = tmp_path / "mine.csv"
    intents = ("refund", "card", "login")
    path.write_text("text,intent\n" + "".join(f"{intents[i % 3]} please {'x' * (i % 4)},{intents[i % 3]}\n"
                                              for i in range(24)))  # fmt: skip
    return str(path)


def arguments(folder, **changes):
    quick = {"per_device_train_batch_size": 4, "num_train_epochs": 1, "report_to": [], "disable_tqdm": True}
    return TrainingArguments(str(folder), use_cpu=True, save_strategy="no", **(quick | changes))


def test_a_csv_with_labels_in_words(tmp_path, bert, csv):
    tokenizer = AutoTokenizer.from_pretrained(bert)
    data = load_dataset("csv", data_files=csv, split="train", cache_dir=tmp_path)
    data = data.rename_column("intent", "label").class_encode_column("label")
    data = data.map(lambda row: tokenizer(row["text"], truncation=True))
    names = data.features["label"].names
    model = AutoModelForSequenceClassification.from_pretrained(
        bert, num_labels=len(names), id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)}
    )
    args = arguments(tmp_path / "out", learning_rate=5e-3, num_train_epochs=8)
    trainer = MixupTrainer(model, args, train_dataset=data, processing_class=tokenizer, method="ssmix")
    trainer.train()
    trainer.save_model()

    classify = pipeline("text-classification", str(tmp_path / "out"), device="cpu")
    assert [classify(f"{name} please")[0]["label"] for name in names] == names == ["card", "login", "refund"]
    saved = json.loads((tmp_path / "out" / "mixup.json").read_text())
    assert saved["method"] == "ssmix"


def test_class_weights(tmp_path, bert, csv):
    tokenizer = AutoTokenizer.from_pretrained(bert)
    data = load_dataset("csv", data_files=csv, split="train", cache_dir=tmp_path)
    data = data.rename_column("intent", "label").class_encode_column("label")
    data = data.map(lambda row: tokenizer(row["text"], truncation=True))
    count = torch.bincount(torch.tensor(data["label"][:]))
    model = AutoModelForSequenceClassification.from_pretrained(bert, num_labels=3)
    trainer = MixupTrainer(
        model, arguments(tmp_path), train_dataset=data, processing_class=tokenizer,
        method="cls_mixup", class_weights=len(data) / (len(count) * count),
    )  # fmt: skip
    trainer.train()
    assert trainer.class_weights.tolist() == [1, 1, 1]  # three classes of eight rows


@pytest.mark.parametrize("method", ["none", "cls_mixup", "ssmix"])  # mixup repeats a batch, which a stream cannot
def test_a_stream(tmp_path, bert, csv, method):
    names = ["card", "login", "refund"]
    tokenizer = AutoTokenizer.from_pretrained(bert)
    data = load_dataset("csv", data_files=csv, split="train", streaming=True).shuffle(seed=0)
    data = data.map(lambda row: {**tokenizer(row["text"]), "label": names.index(row["intent"])})
    model = AutoModelForSequenceClassification.from_pretrained(bert, num_labels=3)
    trainer = MixupTrainer(
        model, arguments(tmp_path, max_steps=3), train_dataset=data, processing_class=tokenizer,
        method=method, method_params=SHORT.get(method),
    )  # fmt: skip
    assert trainer.train().global_step == 3


@pytest.mark.parametrize("method", ["none", "cls_mixup", "ssmix", "mixup"])
def test_lora(tmp_path, bert, csv, method):
    tokenizer = AutoTokenizer.from_pretrained(bert)
    data = load_dataset("csv", data_files=csv, split="train", cache_dir=tmp_path)
    data = data.rename_column("intent", "label").class_encode_column("label")
    data = data.map(lambda row: tokenizer(row["text"], truncation=True))
    model = AutoModelForSequenceClassification.from_pretrained(bert, num_labels=3)
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS"))
    frozen = model.get_base_model().bert.embeddings.word_embeddings.weight.clone()
    trainer = MixupTrainer(
        model, arguments(tmp_path / "out", max_steps=4, learning_rate=1e-2), train_dataset=data,
        processing_class=tokenizer, method=method, method_params=SHORT.get(method),
    )  # fmt: skip
    trainer.train()
    trainer.save_model()

    again = AutoModelForSequenceClassification.from_pretrained(bert, num_labels=3)
    again = peft.PeftModel.from_pretrained(again, str(tmp_path / "out")).eval()
    rows = tokenizer(["refund please", "login"], padding=True, return_tensors="pt")
    assert torch.equal(again(**rows).logits, model.eval()(**rows).logits)
    assert torch.equal(model.get_base_model().bert.embeddings.word_embeddings.weight, frozen)
    assert json.loads((tmp_path / "out" / "mixup.json").read_text())["method"] == method
