"""The places in a classifier where mixing can happen, found by module structure and reached through forward hooks.

Layers are counted as in the papers: 0 is the embedding layer's output (after its LayerNorm and dropout), k = 1..n the
output of block k, and n + 1 the sentence vector that enters the last linear layer. The output of the attention sublayer
of block k lies inside that block.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from mixlib.arguments import as_number

Classifier = Any  # a module with a config and a base_model, which torch's types take for tensors or modules


@dataclass(frozen=True)
class Family:
    """How one architecture family arranges its modules: dotted paths below ``model.base_model`` or, for ``attention``,
    below a block.

    Attributes:
        examples: models of this family, for error messages.
        embeddings: the module whose output is the embedding layer's.
        blocks: the list of blocks.
        attention: the module whose output is the attention sublayer's: after residual and LayerNorm or, if the norm
            comes before the sublayer, before it joins the residual.
        shared_blocks: whether a few modules, called in turn, serve as all blocks.
        reads_last_token: whether the head scores every position and one of them is then read.
        after_first: a module that, where present, completes the output of the first block.
    """

    examples: str
    embeddings: str
    blocks: str
    attention: str
    shared_blocks: bool = False
    reads_last_token: bool = False
    after_first: str | None = None


FAMILIES = (
    # large DeBERTa-v2 models add a convolution of the embeddings to the output of block 1
    Family("BERT, RoBERTa, XLM-R, ELECTRA, DeBERTa, MPNet", "embeddings", "encoder.layer", "attention",
           after_first="encoder.conv"),
    Family("DistilBERT", "embeddings", "transformer.layer", "sa_layer_norm"),
    Family("ALBERT", "embeddings", "encoder.albert_layer_groups", "attention", shared_blocks=True),
    Family("ModernBERT", "embeddings", "layers", "attn"),
    Family("GPT-2", "drop", "h", "attn", reads_last_token=True),
    Family("Llama, Mistral, Qwen", "embed_tokens", "layers", "self_attn", reads_last_token=True),
)  # fmt: skip


class UnsupportedArchitecture(ValueError):
    """The model has none of the module structures in :data:`FAMILIES`, or lacks a part that is needed."""


def unwrap(model: nn.Module) -> nn.Module:
    """The classifier itself, without the wrappers of data-parallel training and of PEFT (LoRA and the like).

    Raises:
        ValueError: the model, or one of its modules, is compiled by ``torch.compile`` or ``Module.compile``.
    """
    waiting = [model]
    while waiting:  # done in every step, where named_modules() would take three times as long
        module = waiting.pop()
        if "_orig_mod" in module._modules or module._compiled_call_impl is not None:
            raise ValueError(
                f"the {type(module).__name__} in this model was compiled with torch.compile or .compile(), which "
                "ignores hooks set afterwards: mixing would silently not happen. Train without torch_compile and "
                "compile no module, not even single layers; for evaluation compile a copy of the model."
            )
        waiting += [child for child in module._modules.values() if child is not None]
    model = _undistributed(model)
    peft = sys.modules.get("peft")  # without it there is no model of it
    if peft is None or not isinstance(model, (peft.PeftModel, peft.PeftMixedModel)):
        return model
    return model.get_base_model() if hasattr(model, "get_base_model") else model.base_model.model


def _undistributed(model: Any) -> nn.Module:
    return model.module if hasattr(model, "module") and not hasattr(model, "base_model_prefix") else model


def _has(module: Any, path: str) -> bool:
    try:
        return attrgetter(path)(module) is not None
    except AttributeError:
        return False


def family(model: nn.Module) -> Family:
    """The :class:`Family` whose modules ``model`` has; :class:`UnsupportedArchitecture` if there is none."""
    base = getattr(model, "base_model", model)
    for candidate in FAMILIES:
        if _has(base, candidate.embeddings) and _has(base, candidate.blocks):
            return candidate
    looked_for = "; ".join(f"{f.embeddings} and {f.blocks} ({f.examples})" for f in FAMILIES)
    raise UnsupportedArchitecture(
        f"cannot find where to mix in {type(model).__name__}: its base model {type(base).__name__} has the modules "
        f"{', '.join(name for name, _ in base.named_children()) or 'none'}; looked for {looked_for}. In a class of "
        "yours, let self.base_model be the encoder; ssmix_nosal, unk, batchmixup and mixup do without these modules"
    )


def _reads_last_token(model: Classifier) -> bool:
    return family(model).reads_last_token or getattr(model.config, "model_type", None) == "modernbert-decoder"


def of_text(model: nn.Module, width: int, tokens: int) -> slice:
    """Where the ``tokens`` of a text are among the ``width`` positions in a model: after virtual tokens of PEFT, before
    what else the model adds, as Longformer and BigBird do to fill their windows."""
    config = getattr(_undistributed(model), "active_peft_config", None)
    first = config.num_virtual_tokens if config is not None and config.is_prompt_learning else 0
    return slice(first := min(first, width - tokens), first + tokens)  # prefixes take no positions


def embeddings(model: Classifier) -> nn.Module:
    """The module whose output is the embedding layer's output, (rows, tokens, hidden)."""
    return attrgetter(family(model).embeddings)(model.base_model)


def blocks(model: Classifier) -> list[nn.Module]:
    """The modules whose outputs are block outputs; with shared blocks, fewer modules than blocks."""
    kind = family(model)
    found = attrgetter(kind.blocks)(model.base_model)
    return [layer for group in found for layer in group.albert_layers] if kind.shared_blocks else list(found)


def _block_outputs(model: Classifier) -> list[nn.Module]:
    """The modules whose outputs the next block reads: the blocks, or what completes the output of the first."""
    completes, found = family(model).after_first, blocks(model)
    if completes is not None and _has(model.base_model, completes):
        found[0] = attrgetter(completes)(model.base_model)
    return found


def num_blocks(model: Classifier) -> int:
    """The number n of blocks a row passes through."""
    return model.config.num_hidden_layers if family(model).shared_blocks else len(blocks(model))


def attentions(model: nn.Module) -> list[nn.Module]:
    """For each block, the module whose output is that of the attention sublayer, (rows, tokens, hidden).

    Raises:
        UnsupportedArchitecture: the blocks have no such module.
    """
    kind, found = family(model), blocks(model)
    for block in found:
        if not _has(block, kind.attention):
            raise UnsupportedArchitecture(
                f"{type(model).__name__} has no attention sublayers to mix in: a {type(block).__name__} has "
                f"{', '.join(name for name, _ in block.named_children()) or 'no modules'}, looked for "
                f"{kind.attention}; methods that mix elsewhere are embedmix, sentencemix and tmix"
            )
    return [_before_residual(attrgetter(kind.attention)(block)) for block in found]


def _before_residual(attention: nn.Module) -> nn.Module:
    """The sublayer itself or, in models that are built like BERT but norm first, the dropout before its residual."""
    output = getattr(attention, "output", None)
    if output is None or any("Norm" in type(child).__name__ for child in output.children()):
        return attention
    return getattr(output, "dropout", attention)


def chosen_blocks(model: nn.Module, chosen: Sequence[int | str] | None) -> tuple[int, ...]:
    """Block numbers of this model, each once.

    Args:
        model: a Hugging Face sequence classifier.
        chosen: numbers 1 to n, or strings such as ``"4/12"``, block 4 of twelve: in a model of n blocks,
            round(4 n / 12), halves to the even number, and at least 1; ``None``: all blocks.

    Raises:
        ValueError: a block that does not exist.
    """
    n = num_blocks(model)
    if chosen is None:
        return tuple(range(1, n + 1))
    found = {block: max(1, round(Fraction(block) * n)) if isinstance(block, str) else block for block in chosen}
    if wrong := [block for block, number in found.items() if not 1 <= number <= n]:
        raise ValueError(f"blocks {wrong} do not exist: this model has 1 to {n}")
    return tuple(dict.fromkeys(found.values()))


def check_blocks(chosen: Any) -> tuple[int | str, ...] | None:
    """What :func:`chosen_blocks` can read, as a tuple; ``ValueError`` for anything else, or for none at all."""
    if chosen is None:
        return None
    given = [chosen] if isinstance(chosen, str) or not isinstance(chosen, Iterable) else list(chosen)
    if not given:
        raise ValueError("blocks must name at least one block, got none")
    return tuple(map(_check_block, given))


def _check_block(block: Any) -> int | str:
    if isinstance(block, str):
        numbers = re.fullmatch(r"(\d+)/(\d+)", block)
        if numbers and 1 <= int(numbers[1]) <= int(numbers[2]):
            return block
    elif isinstance(number := as_number(block), int):
        return number
    raise ValueError(f"blocks must be whole numbers from 1 or strings such as '4/12', got {block!r}")


def _in_use(module: Any) -> Iterator[nn.Module]:
    """The modules that are called: where PEFT keeps copies, only the one in use; without the insides of adapters."""
    parts = module._modules
    if "modules_to_save" in parts and "original_module" in parts:
        active = [] if module.disable_adapters else module.active_adapters
        yield from _in_use(module.modules_to_save[active[0]] if active else module.original_module)
        return
    yield module
    for child in () if "base_layer" in parts else module.children():
        yield from _in_use(child)


def class_layer(model: Classifier) -> nn.Linear:
    """The last linear layer, whose rows are the class vectors, or PEFT's module in its place if PEFT adapts it;
    :class:`UnsupportedArchitecture` if the model has none."""
    base = getattr(model, "base_model", None)  # a model of the user's own may have none
    inside = set(base.modules()) if base is not None else set()
    found: list[Any] = [
        module
        for module in _in_use(model)
        if module not in inside
        and isinstance(getattr(module, "base_layer", module), nn.Linear)
        and module.out_features == model.config.num_labels
    ]
    if not found:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} has no linear layer with num_labels = {model.config.num_labels} outputs after its "
            "base model; load it with an Auto class for sequence classification"
        )
    return found[-1]


def check_class_vectors(model: nn.Module) -> None:
    """Raise :class:`UnsupportedArchitecture` unless the logits come from the class layer's own weight alone."""
    layer = class_layer(model)
    if not isinstance(layer, nn.Linear):
        (name,) = (name for name, module in model.named_modules() if module is layer)
        raise UnsupportedArchitecture(
            f"class vectors are mixed, but {name} has a PEFT adapter of its own ({type(layer).__name__}): take it out "
            f"of target_modules and train it whole, with task_type='SEQ_CLS' or modules_to_save=[{name!r}]"
        )
    if getattr(model.config, "classifier_pooling", None) == "late":
        raise UnsupportedArchitecture(
            f"{type(model).__name__} averages the logits of all positions (classifier_pooling='late'), so no single "
            "vector enters its class layer; load it with classifier_pooling='bos' or 'mean'"
        )


def _replace_output(change: Callable[[Tensor], Tensor]) -> Callable:
    def hook(module, inputs, output):
        several = isinstance(output, (tuple, list))
        return type(output)([change(output[0]), *output[1:]]) if several else change(output)

    return hook


def _replace_logits(change: Callable[[Tensor], Tensor]) -> Callable:
    def hook(module, inputs, output):
        output["logits"] = change(output["logits"])
        return output

    return hook


def _replace_input(change: Callable[[Tensor], Tensor], model: Classifier) -> Callable:
    def hook(module, inputs):
        if inputs[0].dim() == 3 and getattr(model.config, "classifier_pooling", None) != "late":
            raise UnsupportedArchitecture(
                f"{type(model).__name__} scores every position, and which of them it reads is not known here, so its "
                "sentence vectors cannot be mixed; mix at another layer"
            )
        return (change(inputs[0]), *inputs[1:])

    return hook


@contextmanager
def changed(model: nn.Module, layer: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside this context the tensor at ``layer`` is replaced by ``change(tensor)``; hooks are always removed.

    With gradient checkpointing, run the backward pass inside the context too, because it runs blocks again.

    Args:
        model: a Hugging Face sequence classifier.
        layer: 0 (embedding output) to n + 1 (sentence vector).
        change: maps a tensor of shape (rows, tokens, hidden), or (rows, hidden) at layer n + 1, to one of that shape.

    Raises:
        ValueError: layer out of range, or a compiled model.
        UnsupportedArchitecture: the model's structure is not known.
    """
    called, model = _undistributed(model), unwrap(model)
    last = num_blocks(model) + 1
    if not 0 <= layer <= last:
        raise ValueError(f"layer must be 0 (embedding output) to {last} (sentence vector), got {layer}")
    with ExitStack() as hooks:
        if layer == 0:
            handles = [embeddings(model).register_forward_hook(_replace_output(change))]
        elif layer == last and _reads_last_token(model):
            # The weights sum to one, so mixed logits are the logits of the mixed vectors.
            # The hook is on the model that is called, because some versions of PEFT bypass hooks on the classifier.
            handles = [called.register_forward_hook(_replace_logits(change))]
        elif layer == last:
            handles = [class_layer(model).register_forward_pre_hook(_replace_input(change, model))]
        else:
            handles = _change_in_blocks(model, _block_outputs(model), {layer}, change)
        for handle in handles:
            hooks.callback(handle.remove)
        yield


@contextmanager
def attention_changed(
    model: nn.Module, change: Callable[[Tensor], Tensor], chosen: Sequence[int | str] | None = None
) -> Iterator[None]:
    """Inside this context the outputs of attention sublayers are replaced by ``change(output)``; see :func:`changed`.

    Args:
        model: a Hugging Face sequence classifier.
        change: maps a tensor of shape (rows, tokens, hidden) to one of the same shape.
        chosen: the blocks to change, see :func:`chosen_blocks`.

    Raises:
        ValueError: a block that does not exist, or a compiled model.
        UnsupportedArchitecture: the model's structure is not known, or has no attention sublayers.
    """
    model = unwrap(model)
    turns, modules = chosen_blocks(model, chosen), attentions(model)
    with ExitStack() as hooks:
        for handle in _change_in_blocks(model, modules, turns, change):
            hooks.callback(handle.remove)
        yield


def _change_in_blocks(
    model: nn.Module, modules: Sequence[nn.Module], turns: Collection[int], change: Callable[[Tensor], Tensor]
) -> list[torch.utils.hooks.RemovableHandle]:
    """Hooks that change the output of ``modules`` in some blocks: one per block, or a few that are called in turn."""
    if not family(model).shared_blocks:
        return [modules[turn - 1].register_forward_hook(_replace_output(change)) for turn in turns]
    calls: list[Iterator[int]] = [count(1)]

    def restart(module, inputs, output) -> None:
        calls[0] = count(1)

    def at_its_turn(tensor: Tensor) -> Tensor:
        return change(tensor) if next(calls[0]) in turns else tensor

    return [
        embeddings(model).register_forward_hook(restart),
        *(module.register_forward_hook(_replace_output(at_its_turn)) for module in modules),
    ]


class Saliency:
    """The embeddings of one forward pass and, after its backward pass, the size of the gradient at each token."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.found: list[Tensor] = []
        self.outputs: list[Tensor] = []

    @property
    def embedded(self) -> Tensor:
        """The embedding layer's output, (rows, tokens, hidden)."""
        self._check_called_once()
        return self.outputs[0]

    def _check_called_once(self) -> None:
        if len(self.outputs) != 1:
            raise ValueError(
                f"the embedding layer was called {len(self.outputs)} times while saliency was watched, once is needed; "
                "instead of nn.DataParallel use one process per GPU (torchrun)"
            )

    def norms(self, tokens: int | None = None) -> Tensor:
        """L2 norm of the loss gradient at the embedding of each token, (rows, tokens); with ``tokens``, the number of
        them in a text, without the positions that the model or PEFT adds.

        Raises:
            RuntimeError: no backward pass has reached the embeddings.
            ValueError: the embedding layer was called more than once, as in replicas of ``nn.DataParallel``.
        """
        if not self.found:
            raise RuntimeError(
                "no gradient has reached the embeddings: back-propagate each loss as it is yielded, before the next "
                "one is asked for (MixupTrainer does)"
            )
        self._check_called_once()
        found = self.found[0]
        return found if tokens is None else found[:, of_text(self.model, found.shape[1], tokens)]


@contextmanager
def watched_saliency(model: nn.Module) -> Iterator[Saliency]:
    """Inside this context one forward pass is watched; its backward pass leaves behind the saliency of the tokens.

    The embedding layer may be frozen: the gradient is taken at its output, not at its weights.

    Raises:
        ValueError: gradients are switched off.
        UnsupportedArchitecture: the model's structure is not known.
    """
    watched = Saliency(model)

    def watch(module, inputs, output) -> None:
        if not torch.is_grad_enabled():
            raise ValueError("saliency is a gradient: call the model outside torch.no_grad() and inference_mode()")
        x = output[0] if isinstance(output, tuple) else output
        if not x.requires_grad:
            x.requires_grad_()
        digits = torch.promote_types(x.dtype, torch.float32)
        x.register_hook(lambda g: watched.found.append(torch.linalg.vector_norm(g, dim=-1, dtype=digits)))
        watched.outputs.append(x)

    handle = embeddings(unwrap(model)).register_forward_hook(watch)
    try:
        yield watched
    finally:
        handle.remove()


def sentence_vectors(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """The sentence vectors (rows, hidden) that enter the class layer, with their autograd history.

    Args:
        model: a Hugging Face sequence classifier or one of :mod:`mixlib.runs.heads`, also wrapped in
            ``DistributedDataParallel``.
        inputs: the inputs to call the model with.

    Raises:
        ValueError: a compiled model, or the class layer was not called exactly once, as in ``nn.DataParallel``.
        UnsupportedArchitecture: the model has no class layer.
    """
    inner: Classifier = unwrap(model)
    caught: list[Tensor] = []
    handle = class_layer(inner).register_forward_pre_hook(lambda module, args: caught.append(args[0]))
    try:
        model(**inputs)
    finally:
        handle.remove()
    if len(caught) != 1:
        raise ValueError(
            f"the class layer was called {len(caught)} times in one forward pass of {type(model).__name__}, once is "
            "needed; instead of nn.DataParallel use one process per GPU (torchrun)"
        )
    vectors = caught[0]
    if vectors.dim() == 3 and vectors.shape[1] != inputs["input_ids"].shape[1]:
        vectors = vectors[:, -1]  # with virtual tokens of PEFT, transformers ignores padding and reads the last one
    elif vectors.dim() == 3:  # a linear head on every position: transformers reads the last that is not padding
        position = torch.arange(vectors.shape[1], device=vectors.device)
        last = (position * (inputs["input_ids"] != inner.config.pad_token_id)).argmax(-1)
        vectors = vectors[torch.arange(len(vectors), device=vectors.device), last]
    return vectors
