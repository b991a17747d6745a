"""Studies that belong to no paper: what all methods make of a few pairs of texts."""

from __future__ import annotations

from typing import Any

from torch import nn

from mixlib.papers.playground.mixes import mix
from mixlib.runs import training
from mixlib.runs.studies import StudySpec, study


@study
def mixed_pairs(spec: StudySpec) -> dict[str, Any]:
    """What every method makes of given pairs of texts, and what a model that is trained first says about the mixes.

    Params: ``run`` (canonical spec of a run), ``names`` (of its classes), ``pairs`` (list of ``{"texts", "labels"}``),
    ``lams`` (weights of the first text). Values: ``accuracy`` of the model, ``pairs``: one
    :class:`mixlib.papers.playground.mixes.Mixtures` each.
    """
    p = spec.params
    model, tokenizer, accuracy = trained(spec)
    found = [
        mix(model, tokenizer, *map(_text, pair["texts"]), tuple(pair["labels"]), p["names"], p["lams"], spec.seed)
        for pair in p["pairs"]
    ]
    return {"accuracy": accuracy, "pairs": [one.as_dict() for one in found]}


def trained(spec: StudySpec) -> tuple[nn.Module, Any, float]:
    """The model that a study is about, trained now; its tokenizer, and its accuracy on the test rows (a fraction)."""
    fitted = training.fit(spec.run)
    return fitted.trainer.model.eval(), fitted.tokenizer, fitted.last("accuracy")


def _text(given: str | list[str]) -> str | tuple[str, ...]:
    return given if isinstance(given, str) else tuple(given)
