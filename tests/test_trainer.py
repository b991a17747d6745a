import inspect
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from datasets import Dataset, DatasetDict
from transformers import (
    BertForTokenClassification,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)
from transformers.models.bert.modeling_bert import BertAttention

import mixlib.trainer
from mixlib import methods
from mixlib.methods.amplify import Amplify
from mixlib.methods.mixup_calibration import ClsMixup, ManifoldMixup
from mixlib.runs import models
from mixlib.trainer import MixupTrainer


def make(seed=0, num_labels=3, dropout=0.1):
    torch.manual_seed(seed)
    return models.load("tiny", num_labels=num_labels, dropout=dropout)


def rows(tokenizer, n=16, num_labels=3):
    texts = [f"{'abcdefgh'[i % num_labels] * 3} {'xyz'[: 1 + i % 3]} w{i}" for i in range(n)]
    return Dataset.from_dict({**tokenizer(texts), "labels": [i % num_labels for i in range(n)]})


def arguments(folder, **changes):
    defaults = {
        "output_dir": str(folder), "num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-3,
        "report_to": [], "save_strategy": "no", "disable_tqdm": True, "logging_strategy": "no", "seed": 5,
        "dataloader_pin_memory": False,
    }  # fmt: skip
    return TrainingArguments(**(defaults | changes))


def trained(folder, method, trainer_class=MixupTrainer, data_rows=16, **changes):
    model, tokenizer = make()
    extra = {"method": method} if trainer_class is MixupTrainer else {}
    trainer = trainer_class(
        model=model, args=arguments(folder, **changes), train_dataset=rows(tokenizer, data_rows),
        processing_class=tokenizer, **extra,
    )  # fmt: skip
    trainer.train()
    return trainer


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def fixed_lam(base, key_, value):
    @dataclass(kw_only=True)
    class Fixed(base):
        def draw(self, model, n):
            return super().draw(model, n)._replace(lam=value)

    return Fixed()


def test_method_none_is_the_plain_trainer_bit_for_bit(tmp_path):
    assert torch.equal(weights(trained(tmp_path, "none")), weights(trained(tmp_path, None, Trainer)))


def test_lam_one_is_plain_training_bit_for_bit(tmp_path):
    plain = weights(trained(tmp_path, "none"))
    assert torch.equal(weights(trained(tmp_path, fixed_lam(ClsMixup, "cls", 1.0))), plain)
    manifold = fixed_lam(ManifoldMixup, "manifold", 1.0)
    manifold.padding = "no_pad"  # SEP padding would change the texts themselves
    assert torch.equal(weights(trained(tmp_path, manifold)), plain)
    assert not torch.equal(weights(trained(tmp_path, "cls_mixup")), plain)


@dataclass(kw_only=True)
class Recorder(methods.Method):
    """Plain training in several updates a batch, noting the rows and the progress of each."""

    times: int = 3
    uses_hooks: ClassVar[bool] = False

    @property
    def updates_per_batch(self):
        return self.times

    def losses(self, model, batch):
        self.__dict__.setdefault("seen", []).append((batch["input_ids"].tolist(), self.progress))
        yield from methods.get("none").losses(model, batch)


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_each_batch_is_repeated_for_every_update_and_steps_are_true(tmp_path, strategy):
    method = Recorder()
    trainer = trained(tmp_path, method, data_rows=10, train_sampling_strategy=strategy)  # batches of 4, 4 and 2
    assert trainer.state.global_step == trainer.state.max_steps == 2 * 3 * 3
    assert trainer.state.epoch == 2
    rows, progress = zip(*trainer.method.seen, strict=True)
    for i in range(0, 18, 3):
        assert rows[i] == rows[i + 1] == rows[i + 2]
    assert [len(r) for r in rows[:9:3]] == [4, 4, 2]
    assert rows[0] != rows[9]  # the second epoch has another order
    assert list(progress) == [step / 18 for step in range(18)]
    assert trainer.lr_scheduler.last_epoch == 18
    assert trainer.lr_scheduler.get_last_lr()[0] == pytest.approx(
        0, abs=1e-12
    )  # the linear schedule ends where it should


def test_repeated_batches_leave_out_the_last_rows_if_asked_to(tmp_path):
    trainer = trained(tmp_path, Recorder(), data_rows=10, num_train_epochs=1, dataloader_drop_last=True)
    assert [len(rows) for rows, _ in trainer.method.seen] == [4] * 6
    assert trainer.state.global_step == trainer.state.max_steps == 6


def test_long_plain_training_repeats_batches_and_one_repetition_is_plain_training(tmp_path):
    once, long = methods.get("none_long", updates=1), methods.get("none_long", updates=4)
    assert torch.equal(weights(trained(tmp_path, once)), weights(trained(tmp_path, "none")))
    trainer = trained(tmp_path, long)
    assert trainer.state.global_step == 4 * 8


@pytest.mark.parametrize(
    ("method", "params", "stopped_after", "updates"),
    [("manifold_mixup", {}, 3, 8), ("mixup", {"n": 3}, 7, 24), ("ssmix_nosal", {}, 3, 8)],  # mixup: inside a batch
)
def test_resumed_run_equals_the_uninterrupted_one(tmp_path, method, params, stopped_after, updates):
    whole = trained(tmp_path / "a", methods.get(method, **params), save_strategy="steps", save_steps=stopped_after)
    model, tokenizer = make()
    trainer = MixupTrainer(
        model=model, args=arguments(tmp_path / "b"), method=methods.get(method, **params),
        train_dataset=rows(tokenizer), processing_class=tokenizer,
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=str(tmp_path / "a" / f"checkpoint-{stopped_after}"))
    assert trainer.state.global_step == whole.state.global_step == updates
    assert torch.equal(weights(trainer), weights(whole))


class Stopped(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 3 and not self.__dict__.setdefault("stopped", False):
            self.within = True

    def on_substep_end(self, args, state, control, **kwargs):
        if getattr(self, "within", False) and not self.stopped:  # inside the step, after its first batch
            self.stopped = True
            raise KeyboardInterrupt


def test_a_training_that_was_interrupted_inside_a_step_goes_on_in_the_same_trainer(tmp_path):
    changes = {"save_strategy": "steps", "save_steps": 3, "gradient_accumulation_steps": 2, "num_train_epochs": 3}
    whole = trained(tmp_path / "a", "manifold_mixup", **changes)
    model, tokenizer = make()
    trainer = MixupTrainer(
        model=model, args=arguments(tmp_path / "b", **changes), train_dataset=rows(tokenizer),
        processing_class=tokenizer, method="manifold_mixup", callbacks=[Stopped()],
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == whole.state.global_step == 6
    assert torch.equal(weights(trainer), weights(whole))


@pytest.mark.parametrize("name", ["ssmix", "eda", "input_mixup"])
def test_a_trainer_that_only_evaluates_needs_no_tokenizer_and_training_data_may_come_later(tmp_path, name):
    model, tokenizer = make()
    args = arguments(tmp_path, remove_unused_columns=False)
    padded = DataCollatorWithPadding(tokenizer)
    trainer = MixupTrainer(model=model, args=args, method=name, data_collator=padded)
    assert trainer.evaluate(rows(tokenizer))["eval_loss"] > 0
    trainer.train_dataset = rows(tokenizer)
    with pytest.raises(ValueError, match="tokenizer"):
        trainer.train()
    trainer.processing_class = tokenizer
    trainer.train()
    assert trainer.state.global_step == 8


def test_padding_to_the_longest_text_follows_training_data_that_come_later(tmp_path):
    model, tokenizer = make()
    trainer = MixupTrainer(model=model, args=arguments(tmp_path), method="input_mixup", processing_class=tokenizer,
                           method_params={"padding": "pad_max"})  # fmt: skip
    trainer.train_dataset = rows(tokenizer)
    trainer.train()
    assert torch.equal(weights(trainer), weights(trained(tmp_path, methods.get("input_mixup", padding="pad_max"))))


class OfDictionaries(torch.nn.Module):
    """A user's own classifier, which returns a dictionary; or, like a model with return_dict=False, a tuple."""

    def __init__(self, model, kind=dict):
        super().__init__()
        self.model, self.config, self.kind = model, model.config, kind

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, labels=None):
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, labels=labels)
        return dict(found) if self.kind is dict else tuple(found.values())


@pytest.mark.parametrize("name", ["none", "label_smoothing", "eda", "unk"])
def test_a_classifier_may_return_a_dictionary(tmp_path, name):
    def train(wrap):
        model, tokenizer = make()
        trainer = MixupTrainer(model=wrap(model), args=arguments(tmp_path), method=name, train_dataset=rows(tokenizer),
                               processing_class=tokenizer)  # fmt: skip
        trainer.train()
        return trainer

    own, plain = train(OfDictionaries), train(lambda model: model)
    assert torch.equal(torch.cat([p.detach().flatten() for p in own.model.model.parameters()]), weights(plain))


def test_a_classifier_that_returns_tuples_is_told_what_to_set(tmp_path):
    model, tokenizer = make()
    trainer = MixupTrainer(model=OfDictionaries(model, tuple), args=arguments(tmp_path), train_dataset=rows(tokenizer),
                           processing_class=tokenizer)  # fmt: skip
    with pytest.raises(ValueError, match=r"OfDictionaries returns a tuple.*return_dict=True"):
        trainer.train()


def test_a_model_that_is_no_classifier_of_texts_is_told_how_to_load_one(tmp_path):
    model, tokenizer = make()
    args = arguments(
        tmp_path, remove_unused_columns=False
    )  # otherwise Trainer drops the labels, which BERT does not take
    for other in (model.bert, BertForTokenClassification(model.config)):
        trainer = MixupTrainer(other, args, train_dataset=rows(tokenizer), processing_class=tokenizer)
        with pytest.raises(ValueError, match=r"gives no logits \(rows, num_labels\): load a sequence classifier"):
            trainer.train()


class Watched(MixupTrainer):
    """Keeps the token ids of every batch, by epoch."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        self.__dict__.setdefault("seen", []).append((int(self.state.epoch), inputs["input_ids"].tolist()))
        return super().training_step(model, inputs, num_items_in_batch)


def watched(folder, method, resume=None, **changes):
    model, tokenizer = make()
    torch.manual_seed(0)
    trainer = Watched(
        model=model, args=arguments(folder, train_sampling_strategy="group_by_length", num_train_epochs=3, **changes),
        method=method, train_dataset=rows(tokenizer, 20), processing_class=tokenizer,
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def test_all_methods_see_the_same_batches_grouped_by_length(tmp_path):
    plain = watched(tmp_path, "none")
    assert plain.seen == watched(tmp_path, "ssmix_nosal").seen  # its second pass draws more dropout
    repeated = watched(tmp_path, methods.get("none_long", updates=2)).seen
    assert plain.seen == repeated[::2] == repeated[1::2]
    epochs = [[batch for epoch, batch in plain.seen if epoch == i] for i in range(3)]
    assert [len(batches) for batches in epochs] == [5, 5, 5]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert epochs[0] != [batch for epoch, batch in watched(tmp_path, "none", seed=6).seen if epoch == 0]
    assert plain.seen == watched(tmp_path, "none", seed=6, data_seed=5).seen
    plain.train()  # anew
    assert plain.seen[:15] == plain.seen[15:]


@pytest.mark.parametrize("stopped_after", [5, 7, 10])
def test_batches_grouped_by_length_go_on_after_a_resumption(tmp_path, stopped_after):
    whole = watched(tmp_path / "a", "ssmix_nosal", save_strategy="steps", save_steps=stopped_after)
    resumed = watched(tmp_path / "b", "ssmix_nosal", resume=str(tmp_path / "a" / f"checkpoint-{stopped_after}"))
    assert resumed.seen == whole.seen[stopped_after:]
    assert torch.equal(weights(resumed), weights(whole))


class Weighted(Trainer):
    """The plain trainer with a class-weighted loss, as transformers documents it."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        outputs = model(**{name: x for name, x in inputs.items() if name != "labels"})
        loss = torch.nn.functional.cross_entropy(outputs.logits, inputs["labels"], torch.tensor([1.0, 2.0, 6.0]))
        return (loss, outputs) if return_outputs else loss


def test_label_smoothing_is_that_of_the_plain_trainer_and_reaches_mixed_losses(tmp_path):
    plain = trained(tmp_path, None, Trainer, label_smoothing_factor=0.3)
    own = trained(tmp_path, "none", label_smoothing_factor=0.3)
    assert torch.equal(weights(own), weights(plain))
    assert not torch.equal(weights(own), weights(trained(tmp_path, "none")))
    assert own.evaluate(own.train_dataset)["eval_loss"] == plain.evaluate(plain.train_dataset)["eval_loss"]
    mixed = trained(tmp_path, "cls_mixup", label_smoothing_factor=0.3)
    assert not torch.equal(weights(mixed), weights(trained(tmp_path, "cls_mixup")))


def weighted(folder, cls=MixupTrainer, **changes):
    model, tokenizer = make()
    args = arguments(folder, label_smoothing_factor=changes.pop("smoothing", 0.0))
    trainer = cls(model=model, args=args, train_dataset=rows(tokenizer, 15), processing_class=tokenizer, **changes)
    trainer.train()
    return trainer


def test_class_weights_are_those_of_a_weighted_plain_trainer(tmp_path):
    reference = weighted(tmp_path, Weighted)
    listed = weighted(tmp_path, method="none", class_weights=[1, 2, 6])
    tensor = weighted(tmp_path, method="none", class_weights=torch.tensor([1.0, 2.0, 6.0]))
    assert torch.equal(weights(listed), weights(tensor))
    assert torch.allclose(weights(listed), weights(reference), atol=1e-5)
    assert not torch.allclose(weights(listed), weights(trained(tmp_path, "none", data_rows=15)), atol=1e-3)
    ours, theirs = (trainer.evaluate(trainer.train_dataset)["eval_loss"] for trainer in (listed, reference))
    assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_evaluation_has_the_class_weights_and_the_smoothing_of_training(tmp_path, smoothing):
    trainer = weighted(tmp_path, method="cls_mixup", class_weights=[1, 2, 6], smoothing=smoothing)
    logits, labels = (torch.from_numpy(x) for x in trainer.predict(trainer.train_dataset)[:2])
    w = torch.tensor([1.0, 2.0, 6.0])
    first, last = (  # a mean over batches of 8 and 7 rows
        torch.nn.functional.cross_entropy(logits[part], labels[part], w, label_smoothing=smoothing).item()
        for part in (slice(8), slice(8, 15))
    )
    loss = trainer.evaluate(trainer.train_dataset)["eval_loss"]
    assert loss == pytest.approx((8 * first + 7 * last) / 15, abs=1e-5)


def test_class_weights_that_do_not_fit_are_refused(tmp_path):
    def start(class_weights, method="cls_mixup"):
        model, tokenizer = make()
        return MixupTrainer(model=model, args=arguments(tmp_path), method=method, class_weights=class_weights,
                            train_dataset=rows(tokenizer), processing_class=tokenizer)  # fmt: skip

    for wrong in ([1.0, 2.0], [1.0, 0.0, 1.0], [1.0, -1.0, 1.0], [1.0, float("nan"), 1.0], [[1.0, 1.0, 1.0]],
                  {"a": 1.0, "b": 2.0, "c": 3.0}, "balanced", [1.0, "2", 3.0], 3.0):  # fmt: skip
        with pytest.raises(ValueError, match="class_weights must be a list of num_labels=3 positive numbers"):
            start(wrong)
    for method in ("batchmixup", "nonlinear_mixup"):
        with pytest.raises(
            ValueError, match=f"{method} mixes the class vectors.*leave class_weights out, or use mixup"
        ):
            start([1.0, 2.0, 3.0], method)


def test_compute_loss_takes_all_that_trainers_takes_by_place():
    arguments_of_trainers = inspect.signature(Trainer.compute_loss).parameters
    inspect.signature(MixupTrainer.compute_loss).bind(*arguments_of_trainers)


def test_a_method_used_again_has_the_loss_of_its_new_trainer(tmp_path):
    method = ClsMixup()
    trained(tmp_path, method, label_smoothing_factor=0.3)
    assert torch.equal(weights(trained(tmp_path, method)), weights(trained(tmp_path, "cls_mixup")))


def test_trainers_that_are_given_one_method_do_not_change_each_other(tmp_path):
    method = Recorder(times=1)
    trainer = trained(tmp_path, method, label_smoothing_factor=0.3)
    loss = trainer.evaluate(trainer.train_dataset)["eval_loss"]
    progress, draws = trainer.method.progress, trainer.method.generator.get_state()
    trained(tmp_path, method, data_rows=4, num_train_epochs=1)
    assert trainer.method.criterion.smoothing == 0.3
    assert trainer.method.progress == progress == 7 / 8
    assert torch.equal(trainer.method.generator.get_state(), draws)
    assert trainer.evaluate(trainer.train_dataset)["eval_loss"] == loss
    assert method == Recorder(times=1)
    assert not hasattr(method, "seen")


@pytest.mark.parametrize("weights_of_classes", [None, [1, 2, 6]])
def test_evaluation_leaves_ignored_rows_out_with_class_weights_as_without(tmp_path, weights_of_classes):
    model, tokenizer = make()
    trainer = MixupTrainer(model=model, args=arguments(tmp_path), processing_class=tokenizer,
                           class_weights=weights_of_classes)  # fmt: skip
    data = rows(tokenizer, 8)

    def loss(labels):
        return trainer.evaluate(data.remove_columns("labels").add_column("labels", labels))["eval_loss"]

    known = trainer.evaluate(data.select(range(6)))["eval_loss"]
    assert loss([*data["labels"][:6], -100, -100]) == pytest.approx(known, abs=1e-6)
    assert math.isnan(loss([-100] * 8))


def test_a_module_that_is_no_classifier_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a Hugging Face sequence classifier is needed.*Linear has no config"):
        MixupTrainer(torch.nn.Linear(2, 2), arguments(tmp_path))


def test_a_loss_of_ones_own_is_refused_with_what_to_use_instead(tmp_path):
    model, tokenizer = make()
    more = {"model": model, "args": arguments(tmp_path), "train_dataset": rows(tokenizer)}
    message = r"use class_weights=.*label_smoothing_factor=.*a Method of your own"
    with pytest.raises(ValueError, match=message):
        MixupTrainer(**more, compute_loss_func=lambda outputs, labels, num_items_in_batch: outputs.logits.mean())

    class Own(MixupTrainer):
        def compute_loss(self, *args, **kwargs):
            return super().compute_loss(*args, **kwargs)

    with pytest.raises(ValueError, match=message):
        Own(**more)


@pytest.mark.parametrize("method", methods.names())
def test_a_model_compiled_in_place_is_refused_where_hooks_are_used(tmp_path, method):
    model, tokenizer = make()
    model.compile(backend="eager")
    start = lambda: MixupTrainer(  # noqa: E731
        model=model, args=arguments(tmp_path), method=method, train_dataset=rows(tokenizer), processing_class=tokenizer
    )
    if methods.get(method).uses_hooks:
        with pytest.raises(ValueError, match="mixing would silently not happen"):
            start()
    else:
        start()


def test_a_model_compiled_after_the_trainer_was_made_is_refused_in_the_first_step(tmp_path):
    model, tokenizer = make()
    trainer = MixupTrainer(model=model, args=arguments(tmp_path), method="cls_mixup", train_dataset=rows(tokenizer),
                           processing_class=tokenizer)  # fmt: skip
    model.compile(backend="eager")
    with pytest.raises(ValueError, match="mixing would silently not happen"):
        trainer.train()


def test_several_gpus_in_one_process_are_refused_where_rows_are_mixed_in_the_model(tmp_path):
    model, tokenizer = make()
    args = arguments(tmp_path, use_cpu=True)
    assert args.n_gpu == 0
    args._n_gpu = 2
    for method in ("amplify", "batchmixup", "ssmix"):
        with pytest.raises(ValueError, match=rf"{method}.*the 2 GPUs.*CUDA_VISIBLE_DEVICES=0.*torchrun"):
            MixupTrainer(model=model, args=args, method=method, processing_class=tokenizer)
    MixupTrainer(model=model, args=args, method="none", processing_class=tokenizer)


def test_deepspeed_is_refused(tmp_path):
    class UnderDeepSpeed(MixupTrainer):
        def create_accelerator_and_postprocess(self):
            super().create_accelerator_and_postprocess()
            self.is_deepspeed_enabled = True

    model, tokenizer = make()
    with pytest.raises(ValueError, match="train without deepspeed"):
        UnderDeepSpeed(model=model, args=arguments(tmp_path), method="none", processing_class=tokenizer)


def test_context_parallelism_and_optimizers_that_step_in_the_backward_pass_are_refused(tmp_path):
    model, tokenizer = make()
    for size in ("get_cp_size", "get_sp_size"):
        cut = type("Cut", (MixupTrainer,), {size: lambda self: 2})
        with pytest.raises(ValueError, match=r"split texts between processes.*cp_size.*torchrun"):
            cut(model=model, args=arguments(tmp_path), method="none", processing_class=tokenizer)
    for optim in ("lomo", "adalomo", "galore_adamw_layerwise"):
        with pytest.raises(ValueError, match=rf"optim='{optim}' treats each backward pass as a step"):
            MixupTrainer(model=model, args=arguments(tmp_path, optim=optim), method="none", processing_class=tokenizer)


def test_several_processes_fill_up_their_last_batch_and_share_no_batch_of_several_updates(tmp_path, monkeypatch):
    model, tokenizer = make()
    args = arguments(tmp_path)
    start = lambda method="batchmixup": MixupTrainer(  # noqa: E731
        model=model, args=args, method=method, train_dataset=rows(tokenizer, 9), processing_class=tokenizer
    )
    monkeypatch.setattr(type(args), "world_size", 2)
    start()
    with pytest.raises(ValueError, match="none_long makes 15 updates per batch, which would be split between 2 proc"):
        start("none_long")
    args.accelerator_config.even_batches = False
    with pytest.raises(ValueError, match="the last batch of an epoch has 1"):
        start()


def test_reentrant_checkpointing_is_refused_for_split_saliency_alone(tmp_path):
    reentrant = {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": True}}
    with pytest.raises(ValueError, match=r"use_reentrant': False\}, or use saliency='joint'"):
        trained(tmp_path, methods.get("ssmix", saliency="split"), **reentrant)
    split, joint = methods.get("ssmix", saliency="split"), methods.get("ssmix")
    plain = weights(trained(tmp_path, joint))
    assert torch.allclose(weights(trained(tmp_path, joint, **reentrant)), plain, atol=1e-5)
    reentrant["activation_checkpointing_kwargs"] = {"use_reentrant": False}
    trained(tmp_path, split, **reentrant)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("method", ["batchmixup", "mixup", "nonlinear_mixup"])
def test_weights_of_other_number_formats_are_trained(tmp_path, method, dtype):
    model, tokenizer = make()
    before = model.to(dtype).classifier.weight.clone()
    args = arguments(tmp_path, optim="sgd", learning_rate=0.1, max_steps=4)
    trainer = MixupTrainer(model=model, args=args, method=methods.get(method, **SHORT[method]),
                           train_dataset=rows(tokenizer), processing_class=tokenizer)  # fmt: skip
    trainer.train()
    assert all(p.dtype == dtype and p.isfinite().all() for p in model.parameters())
    assert not torch.equal(model.classifier.weight, before)


def test_batches_that_cannot_be_mixed_or_repeated_are_refused_before_training(tmp_path):
    model, tokenizer = make()

    def start(method, rows_=16, **changes):
        return MixupTrainer(model=model, args=arguments(tmp_path, **changes), method=method,
                            train_dataset=rows(tokenizer, rows_), processing_class=tokenizer)  # fmt: skip

    with pytest.raises(ValueError, match=r"at least 2 rows, but a batch has 1 .*per_device_train_batch_size"):
        start("batchmixup", per_device_train_batch_size=1)
    with pytest.raises(ValueError, match=r"the last batch of an epoch has 1 \(9 rows in batches of 4\)"):
        start("mixup", rows_=9)
    start("mixup", rows_=9, dataloader_drop_last=True)
    with pytest.raises(ValueError, match=r"15 updates per batch.*gradient_accumulation_steps=1"):
        start("nonlinear_mixup", gradient_accumulation_steps=2)
    trainer = start("mixup", train_sampling_strategy="batch_rebalance")
    with pytest.raises(ValueError, match="repeats batches"):
        trainer.get_train_dataloader()


SHORT = {"mixup": {"n": 2}, "nonlinear_mixup": {"n": 2}, "none_long": {"updates": 2}, "batchmixup": {"n": 20}}


@pytest.mark.parametrize("method", methods.names())
def test_same_seed_same_weights(tmp_path, method):
    first, second = (weights(trained(tmp_path, methods.get(method, **SHORT.get(method, {})))) for _ in range(2))
    assert torch.equal(first, second)


def gradients(folder, method, size, parts):
    """Gradient of one update over the same rows, in one batch or in parts."""
    model, tokenizer = make(dropout=0.0)
    data = rows(tokenizer, 8)
    args = arguments(
        folder, per_device_train_batch_size=size, gradient_accumulation_steps=parts, max_steps=1, learning_rate=0.0,
        max_grad_norm=0, train_sampling_strategy="sequential", weight_decay=0.0,
    )  # fmt: skip
    seen = {}

    trainer = MixupTrainer(model=model, args=args, method=method, train_dataset=data, processing_class=tokenizer)
    trainer.create_optimizer()
    step = trainer.optimizer.step

    def remember(*a, **k):
        seen["grad"] = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return step(*a, **k)

    trainer.optimizer.step = remember
    trainer.train()
    return seen["grad"]


@dataclass(kw_only=True)
class Neighbours(ClsMixup):
    """CLS MixUp whose partners stay within consecutive pairs, so that parts of a batch mix like the whole."""

    def draw(self, model, n):
        return super().draw(model, n)._replace(perm=torch.arange(n).view(-1, 2).flip(1).flatten(), lam=0.3)


@pytest.mark.parametrize("method", ["none", Neighbours()], ids=["none", "mixed"])
def test_one_batch_of_8_and_four_of_2_give_the_same_gradient(tmp_path, method):
    whole, parts = gradients(tmp_path, method, 8, 1), gradients(tmp_path, method, 2, 4)
    assert torch.allclose(whole, parts, atol=1e-6)
    assert whole.abs().max() > 1e-3


def weights_drawn(folder, **changes):
    """The weight of each draw of a training of eight batches."""
    lams = []

    @dataclass(kw_only=True)
    class Noted(ClsMixup):
        def draw(self, model, n):
            lams.append((draw := super().draw(model, n)).lam)
            return draw

    trained(folder, Noted(), **changes)
    assert len(lams) == 8
    return lams


def test_parts_of_an_accumulated_batch_are_mixed_by_draws_of_their_own(tmp_path):
    assert len(set(weights_drawn(tmp_path, gradient_accumulation_steps=2))) == 8


def test_mixing_is_drawn_by_the_seed_of_the_training_not_by_that_of_the_data(tmp_path):
    five, six = (weights_drawn(tmp_path, seed=seed, data_seed=1) for seed in (5, 6))
    assert not set(five) & set(six)
    assert weights_drawn(tmp_path, seed=5, data_seed=1) == five
    assert weights_drawn(tmp_path, seed=5, data_seed=2) == five


def test_several_losses_are_backpropagated_as_they_are_yielded(tmp_path):
    found = []

    @dataclass(kw_only=True)
    class Two(methods.Method):
        uses_hooks: ClassVar[bool] = False

        def losses(self, model, batch) -> Iterator[torch.Tensor]:
            inputs = {k: v for k, v in batch.items() if k != "labels"}
            before = model.classifier.bias.grad
            before = torch.zeros(3) if before is None else before.clone()
            yield torch.nn.functional.cross_entropy(model(**inputs).logits, batch["labels"])
            found.append((model.classifier.bias.grad - before).abs().max().item())
            yield model(**inputs).logits.pow(2).mean()

    trained(tmp_path, Two(), data_rows=4, num_train_epochs=1)
    assert found[0] > 0


def iterable(kind):
    """A method of one's own that gives the two halves of its loss in some other way than by yielding them."""

    @dataclass(kw_only=True)
    class Own(ClsMixup):
        def losses(self, model, batch):
            return kind([self.plain_loss(model, batch) / 2, self.plain_loss(model, batch) / 2])

    return Own()


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_losses_may_be_any_iterable(tmp_path, kind):
    @dataclass(kw_only=True)
    class Yielded(methods.Method):
        uses_hooks: ClassVar[bool] = False

        def losses(self, model, batch):
            yield from iterable(list).losses(model, batch)

    assert torch.equal(weights(trained(tmp_path, iterable(kind))), weights(trained(tmp_path, Yielded())))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (sum, "gave one Tensor, but an iterable of losses is needed: write `yield loss` instead of `return loss`"),
        (lambda losses: None, "gave one NoneType, but an iterable"),
        (lambda losses: [0.5], "yielded 0.5, but a loss is a tensor with a gradient"),
    ],
)
def test_what_losses_give_is_told_where_it_is_wrong(tmp_path, kind, message):
    with pytest.raises(TypeError, match=message):
        trained(tmp_path, iterable(kind))


def test_finished_losses_are_refused_where_the_backward_pass_runs_blocks_again(tmp_path):
    with pytest.raises(TypeError, match=r"gave a finished list.*yield each loss inside their context"):
        trained(tmp_path, iterable(list), activation_checkpointing=True)


def test_early_stopping_and_schedules_keep_working(tmp_path):
    model, tokenizer = make()
    data = rows(tokenizer)
    args = arguments(
        tmp_path, num_train_epochs=20, eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True,
        metric_for_best_model="loss", learning_rate=0.0, lr_scheduler_type="cosine", save_total_limit=1,
    )  # fmt: skip
    trainer = MixupTrainer(
        model=model, args=args, method="input_mixup", train_dataset=data, eval_dataset=data, processing_class=tokenizer,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=2)],
    )  # fmt: skip
    trainer.train()
    assert trainer.state.epoch == 3  # nothing improves at learning rate 0: two epochs of patience after the first
    assert trainer.lr_scheduler.lr_lambdas[0].func.__name__.startswith("_get_cosine_schedule")


def test_bf16_trains_and_mixes(tmp_path):
    mixed, plain = (weights(trained(tmp_path, m, bf16=True, use_cpu=True)) for m in ("manifold_mixup", "none"))
    assert not torch.equal(mixed, plain)
    assert not torch.equal(plain, weights(trained(tmp_path, "none")))  # bf16 was really on


IN_BLOCKS = [methods.get("manifold_mixup", layers=(1,)), methods.get("amplify", n=1, alpha=1.0)]


@pytest.mark.parametrize("in_a_block", IN_BLOCKS, ids=["manifold_mixup", "amplify"])
def test_gradient_checkpointing_gives_the_same_training(tmp_path, monkeypatch, in_a_block):
    calls = []
    forward = BertAttention.forward
    monkeypatch.setattr(BertAttention, "forward", lambda self, *a, **k: calls.append(1) or forward(self, *a, **k))
    plain = weights(trained(tmp_path, in_a_block))
    once = len(calls)
    checked = weights(trained(tmp_path, in_a_block, activation_checkpointing=True))
    assert len(calls) - once == 2 * once  # the insides of the blocks really ran again in the backward pass
    assert torch.allclose(plain, checked, atol=1e-5)
    assert not torch.allclose(plain, weights(trained(tmp_path, "none")), atol=1e-5)


@pytest.mark.parametrize("method", ["cls_mixup", "amplify"])
def test_evaluation_is_never_mixed(tmp_path, method):
    trainer = trained(tmp_path, method)
    data = trainer.train_dataset
    first = trainer.predict(data).predictions
    trainer.method = methods.get("none")
    assert (first == trainer.predict(data).predictions).all()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in trainer.model.modules())


@pytest.mark.parametrize("name", [name for name, kind in methods.REGISTRY.items() if kind.__module__[:6] == "mixlib"])
def test_batches_of_one_row_are_refused_where_they_would_be_plain_training(tmp_path, name):
    if name in ("none", "none_long", "label_smoothing", "eda"):  # they mix nothing
        trained(tmp_path, methods.get(name), per_device_train_batch_size=1, max_steps=1)
        return
    with pytest.raises(
        ValueError, match=r"has nothing to mix in batches of one row|needs at least 2 rows, but a batch"
    ):
        trained(tmp_path, methods.get(name), per_device_train_batch_size=1)


def test_batches_that_become_too_small_during_training_are_refused(tmp_path):
    model, tokenizer = make()
    trainer = MixupTrainer(model, arguments(tmp_path), train_dataset=rows(tokenizer), processing_class=tokenizer,
                           method="tmix")  # fmt: skip
    trainer._train_batch_size = 1  # as auto_find_batch_size does after it ran out of memory
    with pytest.raises(ValueError, match="tmix has nothing to mix in batches of one row"):
        trainer.get_train_dataloader()


def test_a_model_trained_with_the_longest_text_in_mind_is_evaluated_without_training_data(tmp_path):
    model, tokenizer = make()
    saved = {"method": "input_mixup", "method_params": {"padding": "sep_max"}}
    trainer = MixupTrainer(
        model, arguments(tmp_path), eval_dataset=rows(tokenizer), processing_class=tokenizer, **saved
    )
    assert trainer.evaluate()["eval_loss"] > 0


def test_a_batch_of_one_row_at_the_end_of_an_epoch_trains(tmp_path):
    assert trained(tmp_path, "input_mixup", data_rows=9).state.global_step == 6


@pytest.mark.parametrize("kind", [ClsMixup, Amplify])
def test_hooks_are_gone_when_a_step_raises(tmp_path, kind):
    model, tokenizer = make()

    @dataclass(kw_only=True)
    class Broken(kind):
        def losses(self, model, batch):
            for loss in super().losses(model, batch):
                yield loss * torch.tensor(1.0).requires_grad_(False)
                raise RuntimeError("in the step")

    trainer = MixupTrainer(
        model=model,
        args=arguments(tmp_path),
        method=Broken(),
        train_dataset=rows(tokenizer),
        processing_class=tokenizer,
    )
    with pytest.raises(RuntimeError, match="in the step"):
        trainer.train()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_losses_are_closed_when_the_backward_pass_raises_even_while_the_error_is_kept(tmp_path):
    """An error that is kept, as a notebook does, keeps the step's frame: hooks must not wait for it to go."""
    model, tokenizer = make()

    @dataclass(kw_only=True)
    class Constant(ClsMixup):
        def losses(self, model, batch):
            with self.mixing(model, batch, self.draw(model, len(batch["labels"]))) as inputs:
                yield model(**inputs).logits.mean().detach()

    trainer = MixupTrainer(
        model=model, args=arguments(tmp_path), method=Constant(), train_dataset=rows(tokenizer),
        processing_class=tokenizer,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="does not require grad") as kept:
        trainer.train()
    assert kept.traceback
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_bad_heads_and_settings_are_refused(tmp_path):
    model, _ = make(num_labels=2)
    for problem in ("regression", "multi_label_classification"):
        model.config.problem_type = problem
        with pytest.raises(ValueError, match=problem):
            MixupTrainer(model=model, args=arguments(tmp_path), method="cls_mixup")
    model.config.problem_type = None
    with pytest.raises(ValueError, match="unknown method 'cls'"):
        MixupTrainer(model=model, args=arguments(tmp_path), method="cls")
    with pytest.raises(ValueError, match="torch_compile=False"):
        MixupTrainer(model=model, args=arguments(tmp_path, torch_compile=True), method="cls_mixup")


def test_single_output_head_is_refused(tmp_path):
    model, _ = make(num_labels=1)
    with pytest.raises(ValueError, match="num_labels=1"):
        MixupTrainer(model=model, args=arguments(tmp_path), method="none")


def test_input_mixup_without_tokenizer_says_so(tmp_path):
    model, tokenizer = make()
    with pytest.raises(ValueError, match=r"give it the tokenizer \(processing_class\)"):
        MixupTrainer(model=model, args=arguments(tmp_path), method="input_mixup", train_dataset=rows(tokenizer))


def test_method_parameters_by_name(tmp_path):
    model, tokenizer = make()
    trainer = MixupTrainer(
        model=model, args=arguments(tmp_path), method="input_mixup", method_params={"padding": "pad_max", "alpha": 0.3},
        train_dataset=rows(tokenizer), processing_class=tokenizer,
    )  # fmt: skip
    assert trainer.method.longest == max(len(ids) for ids in trainer.train_dataset["input_ids"])


def test_the_signature_is_that_of_trainer_and_what_is_added():
    ours, theirs = inspect.signature(MixupTrainer).parameters, inspect.signature(Trainer).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert {name: ours[name].default for name in theirs} == {name: p.default for name, p in theirs.items()}
    assert list(ours)[len(theirs) :] == ["method", "method_params", "dropout_leak", "class_weights", "kwargs"]
    for name in theirs:
        assert name in MixupTrainer.__doc__


def test_arguments_may_stand_where_trainer_has_them(tmp_path):
    model, tokenizer = make()
    collate, metrics = default_data_collator, lambda prediction: {}
    trainer = MixupTrainer(model, arguments(tmp_path), collate, rows(tokenizer), None, tokenizer, None, None, metrics)
    assert (trainer.data_collator, trainer.processing_class, trainer.compute_metrics) == (collate, tokenizer, metrics)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": 0.5}, r"no argument 'alpha': it is a parameter of cls_mixup: method_params=\{'alpha': 0.5\}"),
        ({"lam0": 0.5}, r"no argument 'lam0': parameters of a method go into method_params.*cls_mixup has no lam0"),
        ({"learning_rate": 0.5}, r"it belongs in args=TrainingArguments\(..., learning_rate=0.5\)"),
        ({"train_data": []}, r"no argument 'train_data': did you mean train_dataset"),
        ({"tokenizer": None}, r"no argument 'tokenizer': it is now called processing_class"),
        ({"method_params": "alpha=1"}, r"method_params must be a dict such as \{'alpha': 0.5\}, got 'alpha=1'"),
    ],
)
def test_an_argument_in_the_wrong_place_is_told_the_right_one(tmp_path, given, message):
    with pytest.raises(TypeError, match=message):
        MixupTrainer(make()[0], arguments(tmp_path), method="cls_mixup", **given)


def test_training_data_that_is_none_says_what_to_make_of_it(tmp_path):
    model, tokenizer = make()
    data = rows(tokenizer)
    texts = Dataset.from_dict({"text": ["a b", "c"], "labels": [0, 1]})
    for given, message in (
        (
            DatasetDict(train=data, test=data),
            r"holds several splits, train and test: take one, train_dataset=data\['train'\]",
        ),
        (data.to_pandas(), r"is a DataFrame: convert it, datasets.Dataset.from_pandas\(frame\)"),
        ("mine.csv", r"is 'mine.csv': read it, e.g. datasets.load_dataset"),
        (data.select([]), "has no rows"),
        (texts, r"no column 'input_ids', only text, labels. .* data = data.map\(lambda row: tokenizer\(row\['text'\]"),
        (texts.to_iterable_dataset(), "no column 'input_ids', only text, labels"),
        (texts.select_columns(["labels", "text"]), r"only labels, text. .* tokenizer\(row\['text'\]"),
        (
            texts.add_column("inputs_embeds", [[[0.0] * 32]] * 2),
            "inputs_embeds. Methods read tokens",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            MixupTrainer(model, arguments(tmp_path, max_steps=1), train_dataset=given, processing_class=tokenizer)


def test_a_collator_of_ones_own_may_make_tokens_of_texts(tmp_path):
    model, tokenizer = make()

    def collate(found):
        texts = tokenizer([row["text"] for row in found], padding=True, return_tensors="pt")
        return {**texts, "labels": torch.tensor([row["labels"] for row in found])}

    texts = Dataset.from_dict({"text": ["a b", "c"], "labels": [0, 1]})
    args = arguments(tmp_path, max_steps=1, remove_unused_columns=False)
    trainer = MixupTrainer(model, args, collate, texts, processing_class=tokenizer, method="cls_mixup")
    assert trainer.train().global_step == 1


def test_a_method_that_is_a_class_or_has_no_parameters_is_told_so(tmp_path):
    with pytest.raises(ValueError, match=r"ClsMixup is a class of methods: make one, ClsMixup\(...\)"):
        MixupTrainer(make()[0], arguments(tmp_path), method=ClsMixup)
    with pytest.raises(ValueError, match="method 'none' has no parameter alpha; it takes no parameters"):
        MixupTrainer(make()[0], arguments(tmp_path), method_params={"alpha": 1.0})


def test_method_and_parameters_are_shown_and_saved_with_model_and_checkpoints(tmp_path):
    model, tokenizer = make()
    given = {"method": "manifold_mixup", "method_params": {"alpha": 0.5, "layers": (0, 2), "padding": "pad_pair"},
             "class_weights": [1.0, 2.0, 6.0], "dropout_leak": True}  # fmt: skip
    args = arguments(tmp_path, save_strategy="steps", save_steps=4)
    trainer = MixupTrainer(model, args, train_dataset=rows(tokenizer), processing_class=tokenizer, **given)
    shown = (
        "MixupTrainer(model=BertForSequenceClassification, method=ManifoldMixup(alpha=0.5, layers=(0, 2), "
        "padding='pad_pair'), class_weights=[1.0, 2.0, 6.0], dropout_leak=True)"
    )
    assert repr(trainer) == shown
    trainer.train()
    trainer.save_model()
    for folder in (tmp_path, tmp_path / "checkpoint-4"):
        saved = json.loads((folder / "mixup.json").read_text())
        again = MixupTrainer(model, arguments(tmp_path), processing_class=tokenizer, **saved)
        assert repr(again) == shown
        assert again.method == trainer.method


@pytest.mark.parametrize("method", methods.names())
def test_every_method_comes_back_from_what_was_saved(tmp_path, method):
    model, tokenizer = make()
    MixupTrainer(model, arguments(tmp_path), processing_class=tokenizer, method=method).save_model()
    saved = json.loads((tmp_path / "mixup.json").read_text())
    assert methods.get(saved["method"], **saved["method_params"]) == methods.get(method)


def test_a_method_of_ones_own_is_saved_by_its_class(tmp_path):
    MixupTrainer(make()[0], arguments(tmp_path), method=Neighbours()).save_model()
    saved = json.loads((tmp_path / "mixup.json").read_text())
    assert saved["method"] == f"{__name__}.Neighbours"  # it has the key of ClsMixup, but is none


def test_the_cache_of_the_device_is_emptied_as_often_as_asked(tmp_path, monkeypatch):
    emptied = []
    monkeypatch.setattr(mixlib.trainer, "clear_device_cache", lambda: emptied.append(1))
    trained(tmp_path, "none")
    assert not emptied
    trained(tmp_path, "none", torch_empty_cache_steps=3)
    assert len(emptied) == 3  # steps 0, 3 and 6 of 8
