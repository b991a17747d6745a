"""Labels of users' data sets. Each error is followed as it says, and what it says must then work."""

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, IterableDataset, Value
from transformers import DataCollatorWithPadding, default_data_collator

from mixlib import data_checks, methods
from mixlib.runs import models
from mixlib.trainer import MixupTrainer
from tests.test_trainer import SHORT, arguments

IDS = [[2, 10 + i, 3] for i in range(6)]
NAN = float("nan")
BAD = {
    "text": (["no", "yes", "no", "yes", "no", "yes"], 0, "'no'"),
    "missing": ([0, 1, None, 1, 0, 1], 2, "None"),
    "missing in decimals": ([0.0, 1.0, 0.0, NAN, 0.0, 1.0], 3, "nan"),
    "ignored": ([0, 1, 0, -100, 0, 1], 3, "-100"),
    "untold": ([-1, 1, 0, 1, 0, 1], 0, "-1"),
    "beyond": ([0, 1, 0, 1, 5, 7], 4, "5"),
    "decimal": ([0.0, 1.0, 0.0, 1.0, 0.0, 1.0], 0, "0.0"),
    "amount": ([0.5, 1.0, 0.25, 1.0, 0.0, 1.0], 0, "0.5"),
    "several": ([[0, 1]] * 6, 0, r"\[0, 1\]"),
}
REMEDY = {
    "text": r"data = data.class_encode_column\('label'\), and load the model with num_labels=len\(data.features",
    "missing": r"data = data.filter\(lambda row: row\['label'\] is not None\)",
    "missing in decimals": r"data = data.filter\(lambda row: row\['label'\] == row\['label'\]\)",
    "ignored": r"-100 stands for rows to be ignored. .* data = data.filter\(lambda row: row\['label'\] >= 0\)",
    "untold": r"-1 stands for rows whose label is withheld. .* data = data.filter\(lambda row: row\['label'\] >= 0\)"
    r"; or, if -1 is one of your classes, number them: data = data.class_encode_column\('label'\)",
    "beyond": r"data = data.class_encode_column\('label'\), or load the model with num_labels=8",
    "decimal": r"data = data.cast_column\('label', datasets.Value\('int64'\)\)",
    "amount": "each row needs exactly one class",
    "several": "each row needs exactly one class",
}


class Rows(torch.utils.data.Dataset):
    """A plain data set of torch."""

    def __init__(self, labels, column="label"):
        self.labels, self.column, self.read = labels, column, 0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        self.read += 1
        return {"input_ids": IDS[row], "attention_mask": [1, 1, 1], self.column: self.labels[row]}


class Stream(torch.utils.data.IterableDataset):
    """A plain stream of torch."""

    def __init__(self, labels):
        self.rows, self.read = Rows(labels), 0

    def __iter__(self):
        while True:
            for row in range(len(self.rows)):
                self.read += 1
                yield self.rows[row]


class Known(Stream):
    """A stream that says how many rows it has."""

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return (self.rows[row] for row in range(len(self.rows)))


def hub(labels, column="label"):
    return Dataset.from_dict({"input_ids": IDS, "attention_mask": [[1, 1, 1]] * 6, column: labels})


def trainer_on(folder, data, num_labels=2, method="none", collator=None, **changes):
    torch.manual_seed(0)
    model, tokenizer = models.load("tiny", num_labels=num_labels, dropout=0.0)
    args = arguments(folder, **({"max_steps": 2, "train_sampling_strategy": "sequential"} | changes))
    return MixupTrainer(model, args, collator, data, processing_class=tokenizer, method=method,
                        method_params=SHORT.get(str(method)))  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_column_in_memory_is_refused_before_training_with_row_and_remedy(tmp_path, kind):
    values, row, shown = BAD[kind]
    data = hub(values)
    expected = rf"training data has {shown} in column 'label', row {row}, .*from 0 to 1.*num_labels=2.*{REMEDY[kind]}"
    with pytest.raises(ValueError, match=expected):
        trainer_on(tmp_path, data)
    turned = data.select(range(5, -1, -1)).filter(lambda row: data_checks.fault(row["label"], 2) or True)
    rows, row = (turned, 5 - row) if kind in ("ignored", "untold") else (data.select([row]), 0)
    with pytest.raises(ValueError, match=rf"in column 'label', row {row}"):
        trainer_on(tmp_path, rows)


@pytest.mark.parametrize("label", [None, NAN, pd.NA, pd.NaT, torch.tensor(NAN)])
def test_every_kind_of_gap_is_a_missing_label(label):
    assert data_checks.fault(label, 2) == "missing"


def test_every_remedy_leads_to_training(tmp_path):
    def trained(data, num_labels=2):
        return trainer_on(tmp_path, data, num_labels).train().global_step == 2

    data = hub(BAD["text"][0]).class_encode_column("label")
    assert data.features["label"].names == ["no", "yes"]
    assert trained(data)
    assert trained(hub(BAD["missing"][0]).filter(lambda row: row["label"] is not None))
    known = hub(BAD["missing in decimals"][0]).filter(lambda row: row["label"] == row["label"])
    assert trained(known.cast_column("label", datasets.Value("int64")))
    assert trained(hub(BAD["untold"][0]).class_encode_column("label"), 3)
    assert trained(hub(BAD["ignored"][0]).filter(lambda row: row["label"] >= 0))
    assert trained(hub(BAD["beyond"][0]), 8)
    assert trained(hub(BAD["beyond"][0]).class_encode_column("label"), 4)
    assert trained(hub(BAD["decimal"][0]).cast_column("label", datasets.Value("int64")))
    assert trained(hub(BAD["text"][0], "intent").rename_column("intent", "label").class_encode_column("label"))


def test_a_csv_with_a_missing_number_is_mended_as_the_errors_say(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("input,label\na,0\nb,\nc,1\nd,1\n")
    data = datasets.load_dataset("csv", data_files=str(path), split="train", cache_dir=str(tmp_path))
    data = data.add_column("input_ids", IDS[:4]).add_column("attention_mask", [[1, 1, 1]] * 4)
    with pytest.raises(ValueError, match=r"has None in column 'label', row 1.*data.filter"):
        trainer_on(tmp_path, data)
    data = data.filter(lambda row: row["label"] is not None)
    with pytest.raises(ValueError, match=r"has 0.0 in column 'label', row 0.*cast_column"):
        trainer_on(tmp_path, data)
    data = data.cast_column("label", datasets.Value("int64"))
    assert trainer_on(tmp_path, data).train().global_step == 2


@pytest.mark.parametrize(
    ("kind", "collator"),
    [*((kind, None) for kind in BAD), ("text", default_data_collator), ("missing", default_data_collator)],
)
def test_a_plain_data_set_is_refused_by_the_batch_with_row_and_remedy(tmp_path, kind, collator):
    values, row, shown = BAD[kind]
    data = Rows(values)
    trainer = trainer_on(tmp_path, data, collator=collator)
    assert data.read == 0
    with pytest.raises(ValueError, match=rf"training data has {shown} in column 'label', row {row}, .*num_labels=2\b"):
        trainer.train()


@pytest.mark.parametrize("kind", BAD)
def test_a_stream_is_not_read_before_training_and_refused_by_the_row(tmp_path, kind):
    values, row, shown = BAD[kind]
    data = Stream(values)
    trainer = trainer_on(tmp_path, data)
    assert data.read == 0
    with pytest.raises(ValueError, match=rf"training data has {shown} in column 'label', row {row}, "):
        trainer.train()


def test_a_stream_of_known_length_is_a_stream(tmp_path):
    with pytest.raises(ValueError, match=r"training data has 9 in column 'label', row 1, "):
        trainer_on(tmp_path, Known([0, 9] * 3)).train()
    with pytest.raises(ValueError, match="repeats batches, which needs a data set of known length"):
        trainer_on(tmp_path, Known([0, 1] * 3), method="mixup").train()
    assert data_checks.token_lengths(Known([0, 1] * 3)) is None
    assert trainer_on(tmp_path, Known([0, 1] * 3)).train().global_step == 2


def test_a_stream_of_datasets_is_not_read_before_training(tmp_path):
    read = []

    def rows(values):
        for ids, label in zip(IDS, values, strict=True):
            read.append(label)
            yield {"input_ids": ids, "attention_mask": [1, 1, 1], "label": label}

    def stream(values, label):
        types = {"input_ids": datasets.List(Value("int64")), "attention_mask": datasets.List(Value("int64"))}
        return IterableDataset.from_generator(rows, features=Features({**types, **label}),
                                              gen_kwargs={"values": tuple(values)})  # fmt: skip

    trainer = trainer_on(tmp_path, stream([0, 1] * 3, {"label": ClassLabel(names=["no", "yes"])}))
    assert read == []
    assert trainer.train().global_step == 2
    assert len(read) >= 2
    read.clear()
    with pytest.raises(ValueError, match=r"column 'label' holds text.*data.map.*names.index.*num_labels=len\(names\)"):
        trainer_on(tmp_path, stream(["no", "yes"] * 3, {"label": Value("string")}))
    with pytest.raises(ValueError, match=r"no column 'label'.*rename_column\('intent', 'label'\)"):
        trainer_on(tmp_path, stream([0, 1] * 3, {"intent": ClassLabel(names=["no", "yes"])}))
    assert read == []
    with pytest.raises(ValueError, match=r"has 7 in column 'label', row 5,.*num_labels=8 or more"):
        trainer_on(tmp_path, stream([0, 1, 0, 1, 1, 7], {"label": Value("int64")})).train()


def test_an_endless_stream_with_declared_types_starts(tmp_path):
    def endless():
        while True:
            yield {"input_ids": [2, 10, 3], "attention_mask": [1, 1, 1], "label": 1}

    types = {"input_ids": datasets.List(Value("int64")), "attention_mask": datasets.List(Value("int64"))}
    data = IterableDataset.from_generator(endless, features=Features({**types, "label": Value("int64")}))
    assert trainer_on(tmp_path, data, method="batchmixup").train().global_step == 2


@pytest.mark.parametrize("names", [None, ["intent"]])
def test_labels_in_another_column_are_looked_for_in_words(tmp_path, names):
    rename = r"data = data.rename_column\('intent', 'label'\)"
    data = hub(BAD["text"][0], "intent").class_encode_column("intent") if names is None else hub([0, 1] * 3, "intent")
    with pytest.raises(ValueError, match=rf"no column 'label' or 'labels', only input_ids, .*intent\. .*{rename}"):
        trainer_on(tmp_path, data, label_names=names)
    with pytest.raises(ValueError, match=r"no column 'label' or 'labels', only .*rename_column"):
        trainer_on(tmp_path, Rows([0, 1] * 3, "intent"), label_names=names).train()


def test_truth_values_and_narrow_integers_are_class_numbers(tmp_path):
    for values in ([True, False] * 3, np.array([0, 1] * 3, dtype=np.int8), np.array([0, 1] * 3, dtype=np.uint8)):
        assert trainer_on(tmp_path, hub(values), method="cls_mixup").train().global_step == 2
        typed = hub(values).with_format("torch", columns=["input_ids"], output_all_columns=True)
        assert trainer_on(tmp_path, typed, method="cls_mixup").train().global_step == 2
        assert trainer_on(tmp_path, Rows(list(values)), method="cls_mixup").train().global_step == 2


def test_a_collator_of_ones_own_may_read_labels_in_words(tmp_path):
    _, tokenizer = models.load("tiny", num_labels=2)
    pad = DataCollatorWithPadding(tokenizer)

    def collate(rows):
        rows = [{**row, "label": ["no", "yes", "perhaps"].index(row["label"])} for row in rows]
        return pad(rows)

    assert trainer_on(tmp_path, hub(BAD["text"][0]), collator=collate).train().global_step == 2
    with pytest.raises(ValueError, match=r"training data has 2 in column 'labels', row 2 of a batch"):
        trainer_on(tmp_path, hub(["no", "yes", "perhaps"] * 2), collator=collate).train()


@pytest.mark.parametrize("method", ["none", "cls_mixup", "mixup"])
def test_methods_train_on_a_plain_data_set(tmp_path, method):
    """With workers where batches are repeated: that loader is our own."""
    trainer = trainer_on(tmp_path, Rows([0, 1] * 3), method=method)
    trainer.train()
    same = trainer_on(tmp_path, hub([0, 1] * 3), method=method)
    same.train()
    first, second = (torch.cat([p.flatten() for p in t.model.parameters()]) for t in (trainer, same))
    assert torch.equal(first, second)


@pytest.mark.parametrize("method", ["none", "cls_mixup", "mixup"])
def test_methods_train_on_a_data_set_with_a_transform(tmp_path, method):
    """It tokenizes on the fly and renames: what the raw columns hold is of no concern."""
    _, tokenizer = models.load("tiny", num_labels=2)
    raw = Dataset.from_dict({"text": [f"w{i}" for i in range(6)], "label": ["no", "yes"] * 3})
    calls = []

    def encode(rows):
        calls.append(len(rows["text"]))
        return {**tokenizer(rows["text"]), "labels": [["no", "yes"].index(label) for label in rows["label"]]}

    trainer = trainer_on(tmp_path, raw.with_transform(encode), method=method, remove_unused_columns=False)
    assert calls == []
    assert trainer.train().global_step == 2
    wrong = raw.with_transform(lambda rows: encode(rows) | {"labels": [3] * len(rows["text"])})
    with pytest.raises(ValueError, match=r"has 3 in column 'labels', row 0"):
        trainer_on(tmp_path, wrong, method=method, remove_unused_columns=False).train()


def test_repeated_batches_do_without_an_argument_that_older_versions_lack(tmp_path, monkeypatch):
    trainer = trainer_on(tmp_path, Rows([0, 1] * 3), method="mixup")
    name = "dataloader_multiprocessing_context"  # transformers 5.10 does not have it
    trainer.args.__dict__.pop(name, None)
    monkeypatch.delattr(type(trainer.args), name, raising=False)
    assert len(list(trainer.get_train_dataloader())) == 4


def test_repeated_batches_are_loaded_as_the_trainer_loads(tmp_path):
    workers = {"dataloader_num_workers": 1, "dataloader_prefetch_factor": 3, "dataloader_persistent_workers": True}
    loader = trainer_on(tmp_path, Rows([0, 1] * 3), method="mixup", **workers).get_train_dataloader()
    assert (loader.num_workers, loader.prefetch_factor, loader.persistent_workers) == (1, 3, True)
    assert loader.worker_init_fn is not None
    assert len(list(loader)) == 4  # two batches, two updates of each
    with pytest.raises(ValueError, match=r"has 9 in column 'label', row 1"):
        list(trainer_on(tmp_path, Rows([0, 9] * 3), method="mixup", **workers).get_train_dataloader())


def test_evaluation_names_row_and_column_too_and_may_ignore_or_lack_labels(tmp_path):
    trainer = trainer_on(tmp_path, hub([0, 1] * 3))
    with pytest.raises(ValueError, match=r"evaluation data has 4 in column 'label', row 5"):
        trainer.evaluate(hub([0, 1, 0, 1, 1, 4]))
    with pytest.raises(ValueError, match=r"evaluation data has -1 in column 'label', row 0.*remove_columns\('label'\)"):
        trainer.predict(hub([-1] * 6))
    with pytest.raises(ValueError, match=r"evaluation data has 'no' in column 'label', row 0"):
        trainer.evaluate({"a": hub([0, 1] * 3), "b": hub(BAD["text"][0])})
    assert trainer.predict(hub([-1] * 6).remove_columns("label")).predictions.shape == (6, 2)
    assert trainer.evaluate(hub([0, 1, 0, 1, -100, 1]))["eval_loss"] > 0


def test_a_loader_of_ones_own_without_labels_is_told_so(tmp_path):
    class Own(MixupTrainer):
        def get_train_dataloader(self):
            return [{"input_ids": torch.tensor(IDS)}]

    model, tokenizer = models.load("tiny", num_labels=2)
    trainer = Own(model, arguments(tmp_path, max_steps=1), train_dataset=hub([0, 1] * 3), processing_class=tokenizer)
    with pytest.raises(ValueError, match=r"no column 'label' or 'labels', only input_ids"):
        trainer.train()


def test_the_collator_stays_the_users_own(tmp_path):
    trainer = trainer_on(tmp_path, hub([0, 1] * 3))
    given = trainer.data_collator
    trainer.get_train_dataloader(), trainer.get_eval_dataloader(hub([0, 1] * 3))
    assert type(given) is DataCollatorWithPadding
    assert trainer.data_collator is given


@pytest.mark.parametrize("kind", [hub, Rows])
def test_lengths_are_read_only_for_methods_that_need_them(tmp_path, monkeypatch, kind):
    asked = []
    original = data_checks.token_lengths
    monkeypatch.setattr(data_checks, "token_lengths", lambda data: asked.append(data) or original(data))
    data = kind([0, 1] * 3)
    for method in methods.names():
        trainer_on(tmp_path, data, method=method)
    assert asked == []
    trainer = trainer_on(tmp_path, data, method=methods.get("input_mixup", padding="pad_max"))
    assert len(asked) == 1
    assert trainer.method.longest == 3


def test_lengths_through_arrow_are_those_of_the_rows():
    data = Dataset.from_dict({"input_ids": [[1] * n for n in (3, 0, 5, 2, 8)], "label": [0] * 5})
    for some in (data, data.select([4, 1]), data.shuffle(seed=1), data.with_format("torch"), data.filter(lambda r: r)):
        assert data_checks.token_lengths(some) == [len(ids) for ids in some["input_ids"]]
    assert data_checks.token_lengths(Rows([0] * 6)) == [3] * 6
    assert data_checks.token_lengths(Stream([0] * 6)) is None
    assert data_checks.token_lengths(data.remove_columns("input_ids")) is None


def test_a_stream_has_no_longest_text(tmp_path):
    with pytest.raises(ValueError, match=r"padding='pad_max' needs the lengths.*a stream.*padding='pad_pair' does not"):
        trainer_on(tmp_path, Stream([0, 1] * 3), method=methods.get("input_mixup", padding="pad_max"))
