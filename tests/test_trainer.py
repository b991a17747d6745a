from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from datasets import Dataset
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments
from transformers.models.bert.modeling_bert import BertAttention

from mixlib import methods, models
from mixlib.methods.amplify import Amplify
from mixlib.methods.mixup_calibration import ClsMixup, ManifoldMixup
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
    rows, progress = zip(*method.seen, strict=True)
    for i in range(0, 18, 3):
        assert rows[i] == rows[i + 1] == rows[i + 2]
    assert [len(r) for r in rows[:9:3]] == [4, 4, 2]
    assert rows[0] != rows[9]  # the second epoch has another order
    assert list(progress) == [step / 18 for step in range(18)]
    assert trainer.lr_scheduler.last_epoch == 18
    assert trainer.lr_scheduler.get_last_lr()[0] == pytest.approx(
        0, abs=1e-12
    )  # the linear schedule ends where it should


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
    with pytest.raises(ValueError, match=r"15 updates of each batch.*gradient_accumulation_steps=1"):
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
    assert type(trainer.lr_scheduler.lr_lambdas[0].func).__name__ == "function"


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


def test_bad_heads_labels_and_settings_are_refused(tmp_path):
    model, tokenizer = make(num_labels=2)
    data = rows(tokenizer, num_labels=3)
    with pytest.raises(ValueError, match=r"labels run from 0 to 2, but the head has num_labels=2"):
        MixupTrainer(model=model, args=arguments(tmp_path), method="cls_mixup", train_dataset=data)
    with pytest.raises(ValueError, match="one integer a row"):
        MixupTrainer(
            model=model, args=arguments(tmp_path), method="none",
            train_dataset=Dataset.from_dict({"input_ids": [[1, 2]], "labels": [0.5]}),
        )  # fmt: skip
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
    with pytest.raises(ValueError, match="give it the tokenizer"):
        MixupTrainer(model=model, args=arguments(tmp_path), method="input_mixup", train_dataset=rows(tokenizer))


def test_method_parameters_by_name(tmp_path):
    model, tokenizer = make()
    trainer = MixupTrainer(
        model=model, args=arguments(tmp_path), method="input_mixup", method_params={"padding": "pad_max", "alpha": 0.3},
        train_dataset=rows(tokenizer), processing_class=tokenizer,
    )  # fmt: skip
    assert trainer.method.longest == max(len(ids) for ids in trainer.train_dataset["input_ids"])
