"""Which methods are meant: by name, with parameters, or a user's own."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from mixlib.comparing import choices
from mixlib.methods import Method
from mixlib.methods.mixup_calibration import ClsMixup

SCALE = 1.0


def half(value):
    return value / 2


@dataclass(kw_only=True)
class Weaker(Method):
    """Plain training with a smaller loss: a method as a user would write it."""

    factor: float = 0.5

    def losses(self, model, batch) -> Iterator:
        yield self.factor * self.plain_loss(model, batch)


@dataclass(kw_only=True)
class Other(ClsMixup):
    """Inherits the name of its parent, and is another method."""


def test_a_changed_method_is_another_method(monkeypatch):
    first = choices.choose(Weaker).key

    @dataclass(kw_only=True)
    class Changed(Weaker):
        def losses(self, model, batch):
            yield (lambda loss: SCALE * half(loss))(self.plain_loss(model, batch))

    before = choices.choose(Changed).key
    assert before != first
    original, half.__code__ = half.__code__, (lambda value: value / 3).__code__
    try:
        assert choices.choose(Changed).key != before
    finally:
        half.__code__ = original
    assert choices.choose(Changed).key == before
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 0.25)  # a constant that its code reads
    assert choices.choose(Changed).key != before
    monkeypatch.undo()
    assert choices._said(frozenset("ba")) == "{'a', 'b'}"  # a set's own order changes from process to process
    assert choices.choose(Other).key.startswith("Other@")
    assert choices.choose(ClsMixup(alpha=0.3)).name == "cls_mixup:alpha=0.3"
    assert choices.choose(("cls_mixup", {"alpha": 1.0})).label == "CLS MixUp"
