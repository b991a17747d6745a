"""``MixupTrainer``: transformers' ``Trainer`` with a method in place of the loss. Nothing else is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Sampler
from transformers import Trainer, TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from mixlib import methods
from mixlib.methods import Method
from mixlib.mixing import Criterion


class MixupTrainer(Trainer):
    """Fine-tune any Hugging Face sequence classifier with any method of the four papers.

    Evaluation, schedules, mixed precision, gradient accumulation, early stopping, checkpoints and everything else of
    ``Trainer`` work as usual; only the training losses come from the method. Random choices of a step depend on
    ``args.seed`` and the step number alone, so a resumed run goes on as if it had not been stopped. Batches depend on
    the seed and the epoch alone, with ``train_sampling_strategy="group_by_length"`` too: all methods see the same.

    ``args.label_smoothing_factor`` smooths the labels of every method before they are mixed; the methods that mix class
    vectors smooth those. The loss is that of :func:`mixlib.mixing.mixed_cross_entropy`.

    Args:
        method: a name (see ``mixlib.methods.names()``) or a :class:`~mixlib.methods.Method` with its parameters.
        method_params: parameters for a method given by name, e.g. ``{"alpha": 0.5}``.
        dropout_leak: repeat a fault of the published SSMix code, for comparison only: an evaluation in mid-epoch leaves
            the model in eval mode, so that dropout is off for the rest of the epoch, except for SSMix, whose saliency
            pass switches it on again.
        class_weights: one positive number a class, to weigh the rows by their class in training and evaluation. Each
            loss is a weighted mean: unmixed, over rows i of class y[i], ``sum_i w[y[i]] CE_i / sum_i w[y[i]]``, as in
            ``torch.nn.functional.cross_entropy(weight=)``; mixed with partners of class z[i], ``sum_i (lam w[y[i]]
            CE(y[i]) + (1 - lam) w[z[i]] CE(z[i])) / sum_i (lam w[y[i]] + (1 - lam) w[z[i]])``. The sums are over the
            rows (or pairs) of one batch of one process. Not for batchmixup and nonlinear_mixup.
        **kwargs: of ``Trainer``, except for ``compute_loss_func``. ``processing_class`` (the tokenizer) is needed by
            methods that write tokens.

    Raises:
        ValueError: unknown method or parameter, regression or multi-label head, labels outside the head,
            ``torch_compile``, a compiled model or ``nn.DataParallel`` with a method that needs hooks, DeepSpeed, a loss
            of one's own, batches with fewer rows than the method needs, gradient accumulation with a method that makes
            several updates of a batch.
    """

    # every method yields batch means, so the Trainer's own scaling by accumulated batches applies
    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: nn.Module | None = None,
        args: Any = None,
        *,
        method: str | Method = "none",
        method_params: dict[str, Any] | None = None,
        dropout_leak: bool = False,
        class_weights: Tensor | Sequence[float] | None = None,
        model_init: Callable[..., nn.Module] | None = None,
        **kwargs: Any,
    ) -> None:
        self.method = methods.get(method, **(method_params or {}))
        if kwargs.get("compute_loss_func") is not None or type(self).compute_loss is not MixupTrainer.compute_loss:
            raise ValueError(
                "the training loss is the method's, so compute_loss_func and an overridden compute_loss would be "
                "ignored: use class_weights=[...] to weigh classes, TrainingArguments(label_smoothing_factor=...) to "
                "smooth labels, and for any other loss a Method of your own (mixlib.methods.Method)"
            )
        super().__init__(model=model, args=args, model_init=model_init, **kwargs)
        self.dropout_leak = dropout_leak
        self._evaluated_in = -1  # the epoch of the last evaluation during training
        self._epoch = 0
        self._grouped: GroupedByLength | None = None
        self.add_callback(_CountEpochs(self))
        check_classifier(self.model)
        if self.args.torch_compile and self.method.uses_hooks:
            raise ValueError(
                f"{_name(self.method)} mixes through hooks, which torch.compile ignores: set torch_compile=False"
            )
        if self.is_deepspeed_enabled:
            raise ValueError(
                "DeepSpeed takes each backward pass for a step, and a method may make several a batch: train without "
                "deepspeed, with torchrun on several GPUs"
            )
        if self.args.n_gpu > 1 and self.method.uses_hooks:
            raise ValueError(
                f"{_name(self.method)} mixes the rows of a batch, which nn.DataParallel cuts among the "
                f"{self.args.n_gpu} GPUs that this process sees: show it one (CUDA_VISIBLE_DEVICES=0, set before torch "
                "is imported), or start one process a GPU with torchrun"
            )
        self.class_weights = self._checked_weights(class_weights)
        self.method.criterion = Criterion(self.args.label_smoothing_factor, self.class_weights)
        if self.train_dataset is not None:
            check_labels(self.train_dataset, self.model.config.num_labels)
            self._check_batches()
        lengths = token_lengths(self.train_dataset)
        self.method.prepare(self.model, tokenizer=self.processing_class, train_lengths=lengths)
        self._part = (-1, 0)  # (optimizer step, batches of it already seen)

    def _checked_weights(self, weights: Tensor | Sequence[float] | None) -> Tensor | None:
        if weights is None:
            return None
        classes = self.model.config.num_labels
        weights = torch.as_tensor(weights, dtype=torch.float32, device=self.args.device)
        if weights.shape != (classes,) or not bool(((weights > 0) & weights.isfinite()).all()):
            raise ValueError(
                f"class_weights must be num_labels={classes} positive numbers, one a class, got {weights.tolist()}"
            )
        if not self.method.weighs_classes:
            raise ValueError(
                f"{_name(self.method)} mixes the class vectors of many rows, dimension by dimension, so that a mixed "
                "point has no one class to weigh it by: leave class_weights out, or use mixup"
            )
        return weights

    def _check_batches(self) -> None:
        size, needed = self._train_batch_size, self.method.min_rows
        rows = len(self.train_dataset) if hasattr(self.train_dataset, "__len__") else 0
        last = 0 if self.args.dataloader_drop_last else rows % size
        for got, where in ((size, "a batch"), (last, "the last batch of an epoch")):
            if 0 < got < needed:
                raise ValueError(
                    f"{_name(self.method)} needs at least {needed} rows, but {where} has {got} ({rows} rows in batches "
                    f"of {size}): change per_device_train_batch_size, or set dataloader_drop_last=True"
                )
        several = f"{_name(self.method)} makes {self.method.updates_per_batch} updates of each batch"
        if self.method.updates_per_batch > 1 and self.args.gradient_accumulation_steps > 1:
            raise ValueError(f"{several}, which cannot be accumulated over several: set gradient_accumulation_steps=1")
        if self.method.updates_per_batch > 1 and self.args.world_size > 1:
            raise ValueError(f"{several}, which would be shared out among {self.args.world_size} processes: use one")

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        sampler = super()._get_train_sampler(train_dataset)
        if type(sampler) is LengthGroupedSampler:
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            sampler = self._grouped = GroupedByLength(sampler, seed)
        return sampler

    def get_train_dataloader(self) -> DataLoader:
        """The training batches, each repeated for every update that the method makes of it.

        Repeating them here rather than in the step keeps schedules, logs and step counts true.
        """
        times = self.method.updates_per_batch
        if times == 1:
            return super().get_train_dataloader()
        sampler = self._get_train_sampler()
        if sampler is None or self.args.train_sampling_strategy == "batch_rebalance":
            raise ValueError(
                f"{_name(self.method)} repeats batches, which needs a data set of known length and "
                "train_sampling_strategy 'random', 'sequential' or 'group_by_length'"
            )
        loader = DataLoader(
            self._remove_unused_columns(self.train_dataset, description="training"),
            batch_sampler=RepeatedBatches(sampler, self._train_batch_size, self.args.dataloader_drop_last, times),
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Tensor], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Back-propagate each loss of the method as it is yielded; return their detached sum for the log."""
        leaking = self.dropout_leak and self._evaluated_in == self._epoch and not self.method.keeps_dropout
        model.train(not leaking)
        if hasattr(self.optimizer, "train") and callable(self.optimizer.train):
            self.optimizer.train()  # schedule-free optimizers
        inputs = self._prepare_inputs(inputs)
        self._start_step()

        losses, total = self.method.losses(model, inputs), None
        try:
            while True:
                with self.compute_loss_context_manager():
                    loss = next(losses, None)
                if loss is None:
                    break
                loss = loss.mean() / self.current_gradient_accumulation_steps
                self.accelerator.backward(loss)
                total = loss.detach() if total is None else total + loss.detach()
        finally:
            losses.close()  # removes hooks at once where the backward pass raised
        if total is None:
            raise RuntimeError(f"{_name(self.method)} yielded no loss for a batch of {len(inputs['labels'])} rows")
        return total

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As in ``Trainer``."""
        self._evaluated_in = self._epoch
        return super().evaluate(*args, **kwargs)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, **kwargs: Any
    ) -> Tensor | tuple[Tensor, Any]:
        """The loss of an evaluation, unmixed; that of a training step comes from the method."""
        if self.class_weights is None or "labels" not in inputs:
            return super().compute_loss(model, inputs, return_outputs, **kwargs)
        outputs = model(**{name: tensor for name, tensor in inputs.items() if name != "labels"})
        loss = self.method.cross_entropy(outputs["logits"], inputs["labels"])
        return (loss, outputs) if return_outputs else loss

    def _start_step(self) -> None:
        step, part = self.state.global_step, 0
        if self._part[0] == step:
            part = self._part[1] + 1
        self._part = (step, part)
        self.method.seed_step(self.args.seed, step, part)
        self.method.progress = step / self.state.max_steps if self.state.max_steps > 0 else 0.0


def _name(method: Method) -> str:
    return getattr(method, "key", type(method).__name__)  # a user's own method need not be registered


class _CountEpochs(TrainerCallback):
    def __init__(self, trainer: MixupTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs) -> None:
        self.trainer._epoch += 1
        if self.trainer._grouped is not None:  # a loader that skips batches after a resumption may not pass epochs on
            self.trainer._grouped.epoch = int(state.epoch or 0)


class GroupedByLength(LengthGroupedSampler):
    """Transformers' sampler with an order that depends on (seed, epoch) alone, not on what was drawn before."""

    def __init__(self, sampler: LengthGroupedSampler, seed: int) -> None:
        super().__init__(sampler.batch_size, lengths=sampler.lengths, generator=torch.Generator())
        self.seed, self.epoch = seed, 0

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0]))
        return super().__iter__()


class RepeatedBatches(BatchSampler):
    """Batches of row numbers, each of them ``times`` times in a row."""

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool, times: int) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.times = times

    def __iter__(self) -> Iterator[list[int]]:
        for batch in super().__iter__():
            for _ in range(self.times):
                yield batch

    def __len__(self) -> int:
        return self.times * super().__len__()


def check_classifier(model: nn.Module) -> None:
    """Raise ``ValueError`` unless the model has a single-label classification head with at least two classes."""
    config = model.config
    problem = getattr(config, "problem_type", None)
    if problem in ("regression", "multi_label_classification") or config.num_labels < 2:
        raise ValueError(
            "mixup of labels needs a single-label classifier with num_labels >= 2; this head has "
            f"problem_type={problem!r}, num_labels={config.num_labels}"
        )


def _column(dataset: Any, names: tuple[str, ...]) -> Any:
    columns = getattr(dataset, "column_names", None) or ()
    return next((dataset[name] for name in names if name in columns), None)


def check_labels(dataset: Any, num_labels: int) -> None:
    """Raise ``ValueError`` if a label of the data set is not a class number of the head (0 to num_labels - 1)."""
    labels = _column(dataset, ("labels", "label"))
    if labels is None:
        return
    labels = torch.as_tensor(list(labels))
    if labels.is_floating_point() or labels.dim() != 1:
        raise ValueError(f"labels must be one integer a row, got {labels.dtype} of shape {tuple(labels.shape)}")
    if len(labels) and (labels.min() < 0 or labels.max() >= num_labels):
        raise ValueError(
            f"labels run from {int(labels.min())} to {int(labels.max())}, but the head has num_labels={num_labels} "
            f"(0 to {num_labels - 1}); load the model with the right num_labels"
        )


def token_lengths(dataset: Any) -> list[int] | None:
    """Tokens of each row of a tokenized data set, or ``None`` where they cannot be had without iterating it."""
    ids = _column(dataset, ("input_ids",))
    return None if ids is None else [len(row) for row in ids]
