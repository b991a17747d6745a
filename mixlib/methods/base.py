"""What a method is, the plain model, and the registry of names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mixlib.arguments import check_count, unknown
from mixlib.methods.mixing import Criterion, mixed_cross_entropy

Batch = dict[str, Tensor]

REGISTRY: dict[str, type[Method]] = {}


class Look(NamedTuple):
    """How tables and figures show a method; no number depends on it.

    ``label`` is its name for readers; ``colour``, ``marker`` and ``dashes`` (a line style) are matplotlib values. No
    two methods of this package share any of the four, and none has a spare look; those are given out in turn.
    """

    label: str
    colour: Any
    marker: Any
    dashes: Any


SPARE = (  # for methods without one
    ("#17becf", "8", (0, (9, 3, 1, 3))),
    ("#bcbd22", (6, 1, 0), (0, (2, 2, 6, 2))),
    ("#e377c2", (7, 1, 0), (0, (4, 2, 4, 2, 1, 2))),
)


class Draw(NamedTuple):
    """The random choices of one step.

    ``perm`` (rows,): the partner of each row. ``lam``: the weight of the row itself, 0 to 1. ``layer``: where to mix,
    counted as in :mod:`mixlib.methods.sites`. ``label_perm`` (rows,): whose label is mixed in; ``None`` means the
    partner's (anything else repeats a fault of published code).
    """

    perm: Tensor
    lam: float
    layer: int = 0
    label_perm: Tensor | None = None


@dataclass(kw_only=True)
class Method(ABC):
    """One way to make training losses from a batch. Its fields are its parameters.

    A training step runs :meth:`losses` and back-propagates each scalar *as it is yielded*, so a method may use the
    gradients of its first loss to build its second. The generator stays suspended during the backward pass.

    Attributes:
        key: its name in code, records and commands; a class that defines one is registered under it.
        look: how tables and figures show it.
        paper: key of the paper it comes from; ``None`` if it comes from none.
        uses_hooks: whether it changes what happens inside the model, which ``torch.compile`` and ``nn.DataParallel``
            would prevent; the trainer then refuses both.
        keeps_dropout: whether, under ``dropout_leak``, its saliency pass switches dropout on again.
        min_rows: the fewest rows a batch may have.
        needs_partner: whether a row alone in its batch is trained unmixed; a batch size of one is then refused.
        weighs_classes: whether class weights can be used with it.
        criterion: label smoothing and class weights, set by the trainer.
        generator: on the CPU; all random numbers come from it. :meth:`seed_step` seeds it before each step.
        progress: share of the training done so far, 0 to 1, set by the trainer.
    """

    key: ClassVar[str]
    look: ClassVar[Look]  # a class with a key but no look of its own gets a spare one, with its key for a label
    paper: ClassVar[str | None] = None
    uses_hooks: ClassVar[bool] = True
    keeps_dropout: ClassVar[bool] = False  # under ``dropout_leak``: its saliency pass switches dropout on again
    min_rows: ClassVar[int] = 1
    needs_partner: ClassVar[bool] = False
    weighs_classes: ClassVar[bool] = True  # its loss can weigh the rows by class

    criterion: Criterion = field(default=Criterion(), init=False, repr=False, compare=False)
    generator: torch.Generator = field(default_factory=torch.Generator, init=False, repr=False, compare=False)
    progress: float = field(default=0.0, init=False, repr=False, compare=False)

    def __init_subclass__(cls) -> None:
        if "key" not in cls.__dict__:
            return
        taken = REGISTRY.get(cls.key)
        if taken is not None and taken.__module__.startswith("mixlib.") and taken.__module__ != cls.__module__:
            raise ValueError(
                f"key {cls.key!r} of {cls.__name__} is that of {taken.__module__}.{taken.__name__}: choose another one"
            )
        if "look" not in cls.__dict__:
            place = list(REGISTRY | {cls.key: cls}).index(cls.key)  # the same when a cell is run again
            cls.look = Look(cls.key, *SPARE[place % len(SPARE)])
        REGISTRY[cls.key] = cls

    def prepare(  # noqa: B027 (a method that needs nothing need not define it)
        self, model: nn.Module, tokenizer: Any = None, train_lengths: Sequence[int] | None = None
    ) -> None:
        """Check once, before training, that model and tokenizer have what the method needs; look up ids.

        Args:
            model: the classifier.
            tokenizer: needed by methods that write tokens.
            train_lengths: number of tokens in each training text, for methods whose :attr:`needs_lengths` is true.
        """

    @property
    def needs_lengths(self) -> bool:
        """Whether :meth:`prepare` needs ``train_lengths``, for which the training data has to be read."""
        return False

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters by name, as :func:`get` takes them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    @property
    def writes(self) -> tuple[int, ...]:
        """Token ids, other than special ones, that it may write where they were not before; known once prepared."""
        return ()

    @property
    def updates_per_batch(self) -> int:
        """How many times the trainer repeats every batch, with an update of the model each time."""
        return 1

    @property
    def passes(self) -> int:
        """Forward and backward passes over the rows of a batch per update, used to estimate cost."""
        return 1

    def seed_step(self, seed: int, step: int, part: int = 0) -> None:
        """Make the draws of this step depend only on (run seed, step, part of an accumulated batch).

        A run resumed from a checkpoint then draws what it would have drawn anyway, with no state to save.
        """
        # the CPU generator keeps 32 bits of its seed: mix the three numbers into those bits first
        self.generator.manual_seed(int(np.random.SeedSequence([seed, step, part]).generate_state(1)[0]))

    def generator_on(self, device: torch.device) -> torch.Generator:
        """The method's generator or, for another device, one there seeded by it: draws are made where they are used."""
        if self.generator.device == device:
            return self.generator
        return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=self.generator)))

    def cross_entropy(
        self, logits: Tensor, labels: Tensor, perm: Tensor | None = None, lam: float | Tensor = 1.0
    ) -> Tensor:
        """The loss of logits given their labels, mixed if there is a ``perm``: the scalar that all losses are made of.

        This is :func:`mixlib.methods.mixing.mixed_cross_entropy` with the training's label smoothing and class weights.
        """
        return mixed_cross_entropy(logits, labels, perm, lam, **self.criterion._asdict())

    def plain_loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """:meth:`cross_entropy` of the unmixed rows."""
        return self.cross_entropy(logits_of(model, inputs_of(batch)), batch["labels"])

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        """Yield the scalar losses of one step, made with :meth:`cross_entropy`.

        Any iterable will do, but a loss that is *yielded* is back-propagated inside the hooks in which it was made.

        Args:
            model: the classifier, in train mode.
            batch: ``input_ids``, ``labels`` (rows,) and whatever else the model takes, such as ``attention_mask``
                (rows, tokens); without a mask all tokens are seen.
        """


def inputs_of(batch: Batch) -> Batch:
    """The batch without its labels: the inputs the model is called with."""
    return {name: tensor for name, tensor in batch.items() if name != "labels"}


def logits_of(model: nn.Module, inputs: Batch) -> Tensor:
    """What the classifier says of these inputs, (rows, num_labels)."""
    output = model(**inputs)
    if isinstance(output, tuple):
        raise ValueError(f"{type(model).__name__} returns a tuple, in which logits have no name: set its "
                         "config.return_dict=True")  # fmt: skip
    if "logits" not in output or output["logits"].dim() != 2:
        raise ValueError(f"{type(model).__name__} gives no logits (rows, num_labels): load a sequence classifier")
    return output["logits"]


def moved(drawn: Tensor, device: torch.device) -> Tensor:
    """What was drawn on the CPU, copied to where it is used, without making the host wait for the device."""
    return (drawn.pin_memory() if device.type == "cuda" else drawn).to(device, non_blocking=True)


def attention_mask(inputs: Batch) -> Tensor:
    """Which tokens attention sees, (rows, tokens): all of them if the batch does not say."""
    mask = inputs.get("attention_mask")
    return torch.ones_like(inputs["input_ids"]) if mask is None else mask


def swapped_halves(batch: Batch) -> tuple[Batch, Tensor]:
    """The batch cut to an even number of rows, and the partner of each row, (rows,): row i of one half and row i of the
    other belong together. In an odd batch the last row is left out.
    """
    even = len(batch["labels"]) // 2 * 2
    perm = torch.arange(even, device=batch["labels"].device).roll(even // 2)
    return {name: tensor[:even] for name, tensor in batch.items()}, perm


@dataclass(kw_only=True)
class Plain(Method):
    """Fine-tuning with cross-entropy: the control of every table."""

    key: ClassVar[str] = "none"
    look: ClassVar[Look] = Look("no mixup", "black", "o", "-")
    uses_hooks: ClassVar[bool] = False

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[Tensor]:
        yield self.plain_loss(model, batch)


@dataclass(kw_only=True)
class PlainLong(Plain):
    """The plain model with as many optimizer updates as a method that makes several per batch.

    Each batch is repeated in the same places, so that only the mixing is left out.

    Args:
        updates: optimizer updates per batch, at least 1.
    """

    key: ClassVar[str] = "none_long"
    look: ClassVar[Look] = Look("no mixup, as many updates", "#606060", "X", (0, (1, 2)))
    updates: int = 15

    def __post_init__(self) -> None:
        self.updates = check_count("updates", self.updates)

    @property
    def updates_per_batch(self) -> int:
        return self.updates


def names() -> list[str]:
    """All method names, except those of a user's own methods (``NAME@DIGEST``, see :mod:`mixlib.comparing.choices`)."""
    return sorted(name for name in REGISTRY if "@" not in name)


def table() -> list[dict[str, Any]]:
    """All methods, one dictionary each: ``name``, ``label``, ``paper`` (``None`` if from no paper), ``params`` (with
    defaults), ``passes`` (forward and backward passes per update) and ``about``, the docstring's first line."""
    return [
        {
            "name": key, "label": cls.look.label, "paper": cls.paper, "params": cls().params, "passes": cls().passes,
            "about": (cls.__doc__ or "").strip().partition("\n")[0],
        }
        for key, cls in REGISTRY.items()
        if "@" not in key
    ]  # fmt: skip


def get(method: str | Method, **params: Any) -> Method:
    """A method by name with its parameters, or the method itself if it is one already.

    Raises:
        ValueError: an unknown name (the message gives the nearest) or parameter (it lists those there are), a value out
            of range, a class instead of an object, or parameters for what is already an object.
    """
    if isinstance(method, Method):
        if params:
            raise ValueError(f"{method!r} is a method already: give parameters {sorted(params)} when making it")
        return method
    if isinstance(method, type):
        raise ValueError(f"{method.__name__} is a class of methods: make one, {method.__name__}(...), or name it")
    if not isinstance(method, str) or method not in REGISTRY:
        raise unknown("method", method, names(), " mixlib.methods.names() lists all")
    cls = REGISTRY[method]
    known = [f.name for f in fields(cls) if f.init]
    if others := sorted(set(params) - set(known)):
        has = f"it has {', '.join(known)}" if known else "it takes no parameters"
        raise ValueError(f"method {method!r} has no parameter {', '.join(others)}; {has}")
    return cls(**params)
