"""Which methods are meant: by name, with parameters, or a user's own."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import indent

import numpy as np
import pytest
import torch

from mixlib import methods
from mixlib.comparing import choices
from mixlib.methods import Method
from mixlib.methods.mixup_calibration import ClsMixup
from mixlib.papers.common import pool

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


def test_the_same_parameters_written_otherwise_are_the_same_choice():
    assert choices.choose("cls_mixup:alpha=1") == choices.choose("cls_mixup")
    assert choices.choose("tmix:alpha=2") == choices.choose(("tmix", {"alpha": 2.0}))
    assert choices.choose("tmix:alpha=2").label == "TMix alpha=2"


def test_a_method_is_the_same_run_by_name_and_as_an_object():
    for key, usual in pool.METHODS.items():
        assert choices.choose(methods.get(usual[0], **usual[1])) == choices.choose(key), key
    assert choices.choose(methods.get("tmix", alpha=2)) == choices.choose("tmix:alpha=2")
    assert choices.choose(methods.get("batchmixup")) != choices.choose("batchmixup")  # the pool draws more points
    assert choices.choose("mixup").params == methods.get("mixup").params  # of what is not in the pool, all


def test_several_parameters_are_separated_by_colons():
    found = choices.choose('amplify:n=20:alpha=0.3:blocks=["4/12"]')
    assert found.params == {"n": 20, "alpha": 0.3, "blocks": ("4/12",)}
    assert choices.choose(found.name) == found  # as an error gives it, to be run again
    with pytest.raises(ValueError, match=r"'alpha=0\.3' is a parameter, not a method; write several as"):
        choices.choose("alpha=0.3")


def test_truth_values_may_be_written_as_in_python():
    for text in ("embedmix:originals=False", "embedmix:originals=false"):
        assert choices.choose(text) == choices.choose("embedmix")  # the default
    assert choices.choose("embedmix:originals=True").params["originals"] is True
    with pytest.raises(ValueError, match="originals must be one of True, False, got 'no'"):
        choices.choose("embedmix:originals=no")


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
    assert choices.choose(Other).label == "Other"  # not that of its parent
    assert choices.choose(ClsMixup(alpha=0.3)).name == "cls_mixup:alpha=0.3"
    assert choices.choose(("cls_mixup", {"alpha": 1.0})).label == "CLS MixUp"


def digest_of(body, parent="pass", helper="return 1", module=__name__):
    """Of a class with this body, whose parent has that one; both may call a function of this module or of another."""
    names = {"Method": Method, "__name__": module}
    exec(f"def helper():\n{indent(helper, '    ')}", names)
    names["__name__"] = __name__
    for line, of in (("class Parent(Method)", parent), ("class Own(Parent)", body)):
        exec(f"{line}:\n{indent(of, '    ')}", names)
    return choices.code_digest(names["Own"])


@pytest.mark.parametrize(
    "body",
    [
        "def f(self): return {}",
        "def f(self, x={}): return x",
        "def f(self, *, x={}): return x",
        "@property\ndef f(self): return {}",
        "@staticmethod\ndef f(): return {}",
        "@classmethod\ndef f(cls): return {}",
        "f = {}",
    ],
)
def test_whatever_may_change_what_a_class_does_makes_it_another(body):
    one, two = body.format(1), body.format(2)
    assert digest_of(one) == digest_of(f"# a comment\n{one}  # and another")
    assert digest_of(one) != digest_of(two)
    assert digest_of("pass", parent=one) != digest_of("pass", parent=two)


def test_functions_of_its_own_module_count_and_those_of_others_do_not():
    calls, two = "def f(self): return helper()", "return 2"
    assert digest_of(calls) != digest_of(calls, helper=two)
    assert digest_of(calls, module="elsewhere") == digest_of(calls, helper=two, module="elsewhere")
    assert digest_of("pass") == digest_of("pass", helper=two)  # never called


@pytest.mark.parametrize("one", [0.1, np.array([0.1]), torch.tensor([0.1]), np.float32(0.1), lambda: 0.1])
def test_variables_of_an_enclosing_function_count(one):
    other = {"function": lambda: 0.2}.get(type(one).__name__) or 2 * one

    def made(value):
        class Own(Method):
            def losses(self, model, batch):
                return value

        return choices.code_digest(Own)

    assert made(one) == made(one)
    assert made(one) != made(other)


def test_arrays_of_the_module_count_by_their_content():
    def with_array(values):
        names = {"Method": Method, "__name__": __name__, "ARRAY": np.array(values)}
        exec("class Own(Method):\n    def f(self): return ARRAY", names)
        return choices.code_digest(names["Own"])

    assert with_array([1, 2]) == with_array([1, 2])
    assert with_array([1, 2]) != with_array([1, 3])


def test_no_mixup_with_more_updates_says_how_many():
    assert choices.choose("none_long").label == "no mixup, 2 updates per batch"
    more = choices.choose("none_long:updates=15")
    assert (more.name, more.label) == ("none_long:updates=15", "no mixup, 15 updates per batch")


@pytest.mark.parametrize("factor", [float("nan"), object(), 1j])
def test_parameters_that_a_record_cannot_hold_are_refused(factor):
    with pytest.raises(ValueError, match="Weaker has parameters that a record cannot hold"):
        choices.choose(Weaker(factor=factor))


class Stated(Method):
    """Not a dataclass: its factor is no parameter."""

    def __init__(self, factor=0.3):
        self.factor = factor

    def losses(self, model, batch):
        yield self.factor * self.plain_loss(model, batch)


def test_what_a_method_keeps_outside_its_parameters_is_not_lost_silently():
    with pytest.raises(ValueError, match=r"Stated keeps factor outside its parameters.*make it a dataclass with these"):
        choices.choose(Stated(0.1))
