"""``MixupTrainer``: transformers' ``Trainer`` with a method in place of the loss."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import fields
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils.memory import clear_device_cache
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Sampler
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import seed_worker

from mixlib import data_checks, methods
from mixlib.methods import Method
from mixlib.methods.mixing import Criterion

SAVED = "mixup.json"  # what a saved model was trained with, next to its weights


class MixupTrainer(Trainer):
    """Fine-tune a Hugging Face sequence classifier with a method of the four papers, or one of your own.

    Evaluation, schedules, mixed precision, gradient accumulation, early stopping, checkpoints and everything else in
    ``Trainer`` work as usual; only the training losses come from the method. The random choices of a step depend only
    on ``args.seed`` and the step number, so a resumed run continues as if it had never been stopped (except with
    ``dropout_leak``). Batches depend only on the seed and the epoch, even with
    ``train_sampling_strategy="group_by_length"``: all methods see the same batches (unless
    ``accelerator_config`` switches ``use_seedable_sampler`` off).

    ``args.label_smoothing_factor`` smooths the labels of every method before they are mixed; methods that mix class
    vectors smooth those. The loss is that of :func:`mixlib.methods.mixing.mixed_cross_entropy`.

    :meth:`save_model` and every checkpoint write ``mixup.json`` next to the weights. It holds ``method``,
    ``method_params``, ``class_weights`` and ``dropout_leak`` as they are passed here:
    ``MixupTrainer(model, args, **json.load(open("out/mixup.json")))``. A class of your own that is not registered under
    a key is written as ``module.ClassName``, which cannot be passed back: pass an object of it instead.

    Args:
        model, args, data_collator, model_init, compute_metrics, callbacks, optimizers: as in ``Trainer``.
        optimizer_cls_and_kwargs, preprocess_logits_for_metrics: as in ``Trainer``.
        train_dataset, eval_dataset: as in ``Trainer``. Rows have ``labels`` or ``label``, class numbers from 0; these
            are checked before training if they can be read without making rows (columns in memory), otherwise batch
            by batch.
        processing_class: the tokenizer, as in ``Trainer``; needed by methods that write tokens.
        compute_loss_func: an argument of ``Trainer``, refused here because the method computes the loss.
        method: a name (see ``mixlib.methods.names()``; by default ``"none"``, plain fine-tuning) or a
            :class:`~mixlib.methods.Method` object. The trainer keeps a copy, ``trainer.method``, so several trainers
            may be given the same object.
        method_params: parameters for a method given by name, e.g. ``{"alpha": 0.5}``.
        dropout_leak: repeat a fault of the published SSMix code, for comparison only: an evaluation in mid-epoch leaves
            the model in eval mode, so dropout is off for the rest of the epoch, except for SSMix, whose saliency pass
            switches it on again. Checkpoints do not hold this: a run resumed in mid-epoch has dropout on until the next
            evaluation.
        class_weights: one positive number per class, to weight rows by their class in training and evaluation. Each
            loss is a weighted mean: unmixed, over rows i of class y[i], ``sum_i w[y[i]] CE_i / sum_i w[y[i]]``, as in
            ``torch.nn.functional.cross_entropy(weight=)``; mixed with partners of class z[i], ``sum_i (lam w[y[i]]
            CE(y[i]) + (1 - lam) w[z[i]] CE(z[i])) / sum_i (lam w[y[i]] + (1 - lam) w[z[i]])``. The sums are over the
            rows (or pairs) of one batch of one process. Not for batchmixup and nonlinear_mixup.
        **kwargs: arguments that later versions of ``Trainer`` may take.

    Raises:
        TypeError: an argument that neither class has, or ``method_params`` that is not a dict.
        ValueError: unknown method or parameter, regression or multi-label head, training data with no rows or tokens,
            or with labels that the head does not have (:mod:`mixlib.data_checks`), ``torch_compile``, a compiled model
            or ``nn.DataParallel`` with a method that needs hooks, DeepSpeed, context or sequence parallelism, LOMO and
            layer-wise optimizers, a loss of your own, batches with too few rows, gradient accumulation or several
            processes with a method that makes several updates per batch, class weights that fit neither head nor
            method, or a model or tokenizer that the method cannot use.
    """

    # every method yields batch means, so the Trainer's own scaling by accumulated batches applies
    loss_is_scaled_for_ga = False
    model: Any  # Trainer's types for these four allow None, and say little about models and data sets
    train_dataset: Any
    eval_dataset: Any
    optimizer: Any

    def __init__(
        self,
        model: nn.Module | None = None,
        args: TrainingArguments | None = None,
        data_collator: Callable[[list], Any] | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        model_init: Callable[..., PreTrainedModel] | None = None,
        compute_loss_func: Callable | None = None,
        compute_metrics: Callable[..., dict[str, float]] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        optimizer_cls_and_kwargs: tuple[type[torch.optim.Optimizer], dict[str, Any]] | None = None,
        preprocess_logits_for_metrics: Callable[[Tensor, Tensor], Tensor] | None = None,
        *,
        method: str | Method = "none",
        method_params: dict[str, Any] | None = None,
        dropout_leak: bool = False,
        class_weights: Tensor | Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(method_params, Mapping | None):
            raise TypeError(f"method_params must be a dict such as {{'alpha': 0.5}}, got {method_params!r}")
        self.method = copy(methods.get(method, **(method_params or {})))
        self.method.generator = torch.Generator()
        check_arguments(kwargs, self.method)
        if compute_loss_func is not None or type(self).compute_loss is not MixupTrainer.compute_loss:
            raise ValueError(
                "the training loss is the method's, so compute_loss_func and an overridden compute_loss would be "
                "ignored: use class_weights=[...] to weight classes, TrainingArguments(label_smoothing_factor=...) to "
                "smooth labels, and for any other loss a Method of your own (mixlib.methods.Method)"
            )
        super().__init__(
            model=model, args=args, data_collator=data_collator, train_dataset=train_dataset, eval_dataset=eval_dataset,
            processing_class=processing_class, model_init=model_init, compute_metrics=compute_metrics,
            callbacks=callbacks, optimizers=optimizers, optimizer_cls_and_kwargs=optimizer_cls_and_kwargs,
            preprocess_logits_for_metrics=preprocess_logits_for_metrics, **kwargs,
        )  # fmt: skip
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
        self._check_parallelism()
        self.class_weights = self._checked_weights(class_weights)
        self.method.criterion = Criterion(self.args.label_smoothing_factor, self.class_weights)
        self._prepared_for: Any = None
        if self.train_dataset is not None:  # an evaluation mixes nothing
            self._prepare_method()
        self._part = (-1, 0)  # (optimizer step, batches of it already seen)

    @property
    def num_labels(self) -> int:
        """Classes of the head."""
        return self.model.config.num_labels

    def __repr__(self) -> str:
        weights = "" if self.class_weights is None else f", class_weights={self.class_weights.tolist()}"
        leak = ", dropout_leak=True" if self.dropout_leak else ""
        return f"{type(self).__name__}(model={type(self.model).__name__}, method={self.method!r}{weights}{leak})"

    def _prepare_method(self) -> None:
        """Check the training data, and make the method ready for them."""
        data_checks.check_rows(self.train_dataset, getattr(self.model, "main_input_name", None), self.data_collator)
        data_checks.check(self.train_dataset, self.num_labels, self.data_collator, self.args.label_names)
        self._check_batches()
        lengths = data_checks.token_lengths(self.train_dataset) if self.method.needs_lengths else None
        self.method.prepare(self.model, tokenizer=self.processing_class, train_lengths=lengths)
        self._prepared_for = self.train_dataset

    def _check_parallelism(self) -> None:
        if self.is_deepspeed_enabled:
            raise ValueError(
                "DeepSpeed treats each backward pass as a step, but a method may make several per batch: train without "
                "deepspeed, with torchrun on several GPUs"
            )
        optimizer = self.args.to_dict()["optim"]
        if optimizer in ("lomo", "adalomo") or optimizer.endswith("layerwise"):
            raise ValueError(
                f"optim={optimizer!r} treats each backward pass as a step, but a method may make "
                "several per batch: choose another optimizer"
            )
        if self.get_cp_size() > 1 or self.get_sp_size() > 1:
            raise ValueError(
                "context and sequence parallelism split texts between processes, but a method mixes whole texts: leave "
                "cp_size and sp_size of parallelism_config at 1 and start one process per GPU with torchrun"
            )
        if self.args.n_gpu > 1 and self.method.uses_hooks:
            raise ValueError(
                f"{_name(self.method)} mixes the rows of a batch, which nn.DataParallel splits between the "
                f"{self.args.n_gpu} GPUs that this process sees: show it one (CUDA_VISIBLE_DEVICES=0, set before torch "
                "is imported), or start one process per GPU with torchrun"
            )

    def _checked_weights(self, weights: Tensor | Sequence[float] | None) -> Tensor | None:
        if weights is None:
            return None
        weights = data_checks.class_weights(weights, self.num_labels).to(self.args.device)
        if not self.method.weighs_classes:
            raise ValueError(
                f"{_name(self.method)} mixes the class vectors of many rows, dimension by dimension, so a mixed "
                "point has no single class to be weighted by: leave class_weights out, or use mixup"
            )
        return weights

    def _check_batches(self) -> None:
        size, needed = self._train_batch_size, self.method.min_rows
        rows = len(self.train_dataset) if hasattr(self.train_dataset, "__len__") else 0
        filled = self.args.world_size > 1 and self.accelerator.even_batches
        last = 0 if self.args.dataloader_drop_last or filled else rows % size
        for got, where in ((size, "a batch"), (last, "the last batch of an epoch")):
            if 0 < got < needed:
                raise ValueError(
                    f"{_name(self.method)} needs at least {needed} rows, but {where} has {got} ({rows} rows in batches "
                    f"of {size}): change per_device_train_batch_size, or set dataloader_drop_last=True"
                )
        if size == 1 and self.method.needs_partner:
            raise ValueError(
                f"{_name(self.method)} has nothing to mix in batches of one row (accumulation mixes each by itself): "
                "set per_device_train_batch_size to at least 2"
            )
        several = f"{_name(self.method)} makes {self.method.updates_per_batch} updates per batch"
        if self.method.updates_per_batch > 1 and self.args.gradient_accumulation_steps > 1:
            raise ValueError(f"{several}, which cannot be accumulated over batches: set gradient_accumulation_steps=1")
        if self.method.updates_per_batch > 1 and self.args.world_size > 1:
            raise ValueError(f"{several}, which would be split between {self.args.world_size} processes: use one")

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        sampler = super()._get_train_sampler(train_dataset)
        if type(sampler) is LengthGroupedSampler:
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            sampler = self._grouped = GroupedByLength(sampler, seed)
        return sampler

    def get_train_dataloader(self) -> DataLoader:
        """The training batches, each repeated once for every update the method makes from it.

        Repeating them here rather than in the step keeps schedules, logs and step counts correct.
        """
        if self._prepared_for is not self.train_dataset:
            self._prepare_method()
        self._check_batches()  # auto_find_batch_size makes them smaller
        with self._labels_checked(self.train_dataset, training=True):
            return super().get_train_dataloader() if self.method.updates_per_batch == 1 else self._repeated_batches()

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        """As in ``Trainer``, but labels are checked."""
        data = self.eval_dataset if eval_dataset is None else eval_dataset
        with self._labels_checked(self.eval_dataset[data] if isinstance(data, str) else data):
            return super().get_eval_dataloader(eval_dataset)

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader:
        """As in ``Trainer``, but labels are checked if there are any."""
        with self._labels_checked(test_dataset):
            return super().get_test_dataloader(test_dataset)

    @contextmanager
    def _labels_checked(self, dataset: Any, training: bool = False) -> Iterator[None]:
        given = self.data_collator
        self.data_collator = data_checks.Checked(given, dataset, self.num_labels, training)
        try:
            yield
        finally:
            self.data_collator = given

    def _repeated_batches(self) -> DataLoader:
        sampler = None if data_checks.is_stream(self.train_dataset) else self._get_train_sampler()
        if sampler is None or self.args.train_sampling_strategy == "batch_rebalance":
            raise ValueError(
                f"{_name(self.method)} repeats batches, which needs a data set of known length and "
                "train_sampling_strategy 'random', 'sequential' or 'group_by_length'"
            )
        dataset, collate, args = self.train_dataset, self.data_collator, self.args
        if hasattr(dataset, "remove_columns"):
            dataset = self._remove_unused_columns(dataset, description="training")
        else:
            collate = self._get_collator_with_removed_columns(collate, description="training")
        loader = DataLoader(  # as Trainer makes it, except for the batches
            dataset,
            batch_sampler=RepeatedBatches(
                sampler, self._train_batch_size, args.dataloader_drop_last, self.method.updates_per_batch
            ),
            collate_fn=collate,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=getattr(args, "dataloader_multiprocessing_context", None),
            in_order=getattr(args, "dataloader_in_order", True),
            worker_init_fn=partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index),
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

        losses, total = self._losses(model, inputs), None
        try:
            while True:
                with self.compute_loss_context_manager():
                    loss = next(losses, None)
                if loss is None:
                    break
                if not isinstance(loss, Tensor):
                    raise TypeError(f"{_name(self.method)} yielded {loss!r}, but a loss is a tensor with a gradient")
                loss = loss.mean() / self.current_gradient_accumulation_steps
                self.accelerator.backward(loss)
                total = loss.detach() if total is None else total + loss.detach()
        finally:
            if hasattr(losses, "close"):
                losses.close()  # removes hooks at once if the backward pass raised
        if total is None:
            raise RuntimeError(f"{_name(self.method)} yielded no loss for a batch of {len(inputs['labels'])} rows")
        every = self.args.torch_empty_cache_steps
        if every is not None and self.state.global_step % every == 0:
            clear_device_cache()
        return total

    def _losses(self, model: nn.Module, inputs: dict[str, Tensor]) -> Iterator[Tensor]:
        if "labels" not in inputs:  # a user's own loader
            raise ValueError(data_checks.no_labels(inputs))
        losses = self.method.losses(model, inputs)
        if isinstance(losses, Tensor) or not isinstance(losses, Iterable):
            raise TypeError(
                f"losses of {_name(self.method)} gave one {type(losses).__name__}, but an iterable of losses is "
                "needed: write `yield loss` instead of `return loss`, so that it is back-propagated right there"
            )
        finished = not hasattr(losses, "close") and self.method.uses_hooks
        if finished and any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
            raise TypeError(
                f"losses of {_name(self.method)} gave a finished {type(losses).__name__}, but with activation "
                "checkpointing the backward pass needs the hooks: yield each loss inside their context"
            )
        return iter(losses)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As in ``Trainer``."""
        self._evaluated_in = self._epoch
        return super().evaluate(*args, **kwargs)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, *args: Any, **kwargs: Any
    ) -> Tensor | tuple[Tensor, Any]:
        """The loss of an evaluation, unmixed; that of a training step comes from the method.

        Rows labelled -100 do not count; the loss of a batch in which no row counts is NaN.
        """
        # The library's smoothing asks PEFT's prompt tuning for a model inside the model, which that does not have
        own = self.class_weights is not None or self.args.label_smoothing_factor
        if not own or "labels" not in inputs:
            return super().compute_loss(model, inputs, return_outputs, *args, **kwargs)
        outputs = model(**{name: tensor for name, tensor in inputs.items() if name != "labels"})
        logits = outputs["logits"] if isinstance(outputs, Mapping) else outputs[0]
        counted = inputs["labels"] != data_checks.IGNORED
        loss = self.method.cross_entropy(logits[counted], inputs["labels"][counted])
        return (loss, outputs) if return_outputs else loss

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            kind = type(self.method)
            known = methods.REGISTRY.get(_name(self.method)) is kind
            saved = {
                "method": self.method.key if known else f"{kind.__module__}.{kind.__qualname__}",
                "method_params": self.method.params,
                "class_weights": None if self.class_weights is None else self.class_weights.tolist(),
                "dropout_leak": self.dropout_leak,
            }
            path = Path(str(self.args.output_dir if output_dir is None else output_dir)) / SAVED
            path.write_text(json.dumps(saved, indent=2, default=str) + "\n")

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

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.trainer._part = (-1, 0)  # an interrupted training leaves its own behind

    def on_epoch_begin(self, args, state, control, **kwargs) -> None:
        self.trainer._epoch += 1
        if self.trainer._grouped is not None:  # a loader that skips batches after resuming may not pass epochs on
            self.trainer._grouped.epoch = int(state.epoch or 0)


class GroupedByLength(LengthGroupedSampler):
    """Transformers' sampler with an order that depends only on (seed, epoch), not on what was drawn before."""

    def __init__(self, sampler: LengthGroupedSampler, seed: int) -> None:
        super().__init__(sampler.batch_size, lengths=sampler.lengths, generator=torch.Generator())
        self.seed, self.epoch = seed, 0

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0]))
        return super().__iter__()


class RepeatedBatches(BatchSampler):
    """Batches of row numbers, each repeated ``times`` times in a row."""

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
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "num_labels"):
        raise ValueError(
            f"a Hugging Face sequence classifier is needed, such as AutoModelForSequenceClassification loads, but "
            f"{type(model).__name__} has no config with num_labels"
        )
    problem = getattr(config, "problem_type", None)
    if problem in ("regression", "multi_label_classification") or config.num_labels < 2:
        raise ValueError(
            "mixup of labels needs a single-label classifier with num_labels >= 2; this head has "
            f"problem_type={problem!r}, num_labels={config.num_labels}"
        )


def check_arguments(given: dict[str, Any], method: Method) -> None:
    """Raise ``TypeError`` for arguments that ``Trainer`` does not take, saying where they belong."""
    takes = [*inspect.signature(MixupTrainer.__init__).parameters, *inspect.signature(Trainer.__init__).parameters]
    own = {field.name for field in fields(method) if field.init}
    of_any = {field.name for cls in methods.REGISTRY.values() for field in fields(cls) if field.init}
    of_args = {field.name for field in fields(TrainingArguments)}
    for name, value in given.items():
        if name in takes:
            continue
        where = f"did you mean {', '.join(get_close_matches(name, takes, n=2)) or 'an argument of another class'}?"
        if name == "tokenizer":  # in earlier versions of Trainer
            where = "it is now called processing_class"
        elif name in own:
            where = f"it is a parameter of {_name(method)}: method_params={{{name!r}: {value!r}}}"
        elif name in of_any:
            where = f"parameters of a method go into method_params={{...}}, and {_name(method)} has no {name}"
        elif name in of_args:
            where = f"it belongs in args=TrainingArguments(..., {name}={value!r})"
        raise TypeError(f"MixupTrainer has no argument {name!r}: {where}")
