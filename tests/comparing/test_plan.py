"""What a comparison runs: the recipe, and what is refused before anything is run."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import transformers

from mixlib.comparing.plan import plan
from mixlib.runs import paths
from tests.comparing.rows import TWIN
from tests.comparing.test_choices import Weaker


@pytest.mark.parametrize(
    ("rows", "classes", "model", "rate", "epochs"),
    [
        (300, 3, "all-MiniLM-L6-v2", 1e-4, 10),
        (1200, 5, "all-MiniLM-L6-v2", 1e-4, 6),
        (1200, 6, "all-MiniLM-L6-v2", 2e-4, 6),
        (1200, 5, "sentence-transformers/all-MiniLM-L6-v2", 1e-4, 6),
        (1200, 5, "all-MiniLM-L6-v2[::2]", 1e-4, 6),
        (1200, 5, "tiny", 5e-3, 6),
        (1200, 5, "someone/tiny", 3e-5, 6),
        (6000, 77, "bert-base-uncased", 6e-5, 3),
    ],
)
def test_the_recipe_follows_from_rows_classes_and_model_alone(rows, classes, model, rate, epochs):
    data = pd.DataFrame({"text": [f"text {i}" for i in range(rows)], "label": [i % classes for i in range(rows)]})
    specs = [plan(data, methods=[name], model=model, seeds=1).specs[1] for name in ("cls_mixup", "amplify")]
    for spec in specs:
        assert (spec.learning_rate, spec.num_train_epochs) == (rate, epochs)
    plain = replace(specs[0], method="none", method_params={})
    assert replace(specs[1], method="none", method_params={}) == plain


def test_the_default_methods_have_the_papers_parameters():
    planned = plan(TWIN)
    assert len(planned.specs) == 6 * 5
    assert {spec.method: spec.method_params for spec in planned.specs} == {
        "none": {}, "label_smoothing": {}, "cls_mixup": {"alpha": 1.0}, "tmix": {"alpha": 0.2},
        "amplify": {"alpha": 0.1, "n": 5}, "ssmix": {"lam0": 0.1},
    }  # fmt: skip


def test_what_is_asked_for_is_in_every_run():
    planned = plan(TWIN, learning_rate=1e-3, batch_size=8, max_length=20, train_size=40, epochs=2)
    assert len(planned.specs) == 6 * 5
    for spec in planned.specs:
        assert (spec.learning_rate, spec.batch_size, spec.max_length) == (1e-3, 8, 20)
        assert (spec.train_size, spec.num_train_epochs) == (40, 2)


def test_a_single_method_and_seeds_of_any_whole_number_are_understood():
    for method in ("tmix:alpha=0.4", ("tmix", {"alpha": 0.4}), Weaker, Weaker()):
        assert len(plan(TWIN, methods=method, seeds=np.int64(3)).specs) == 6


def test_texts_that_will_be_cut_are_counted():
    data = pd.DataFrame(
        {"text": ["word " * (300 if i < 3 else 5) + str(i) for i in range(30)], "label": ["a", "b"] * 15}
    )
    assert (
        plan(data, methods="tmix").describe()[-1].endswith("texts cut at 128 tokens (about 3 of the texts are longer).")
    )
    assert plan(data, methods="tmix", max_length=1000).describe()[-1].endswith("texts cut at 1000 tokens.")


def test_updates_of_methods_that_make_several_per_batch_are_counted():
    made = plan(TWIN, methods=["mixup", "none_long"], epochs=2, batch_size=16)
    updates = 2 * math.ceil(made.recipe.sizes["train_size"] / 16)
    assert made.describe()[-1] == (
        f"Updates per batch: mixup 15 ({15 * updates:,} in all), none_long 2 ({2 * updates:,} in all); the others 1. "
        "none_long:updates=N is no mixup with N."
    )


def test_without_a_checkout_there_is_an_estimate(monkeypatch, tmp_path):
    monkeypatch.delenv("MIXLIB_RESULTS", raising=False)
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "none")
    assert "by counting" in plan(TWIN, results=tmp_path).cost()["estimated_by"]


def test_the_cost_of_a_model_that_is_not_here_says_what_it_is_counted_as(monkeypatch, tmp_path):
    monkeypatch.setenv("MIXLIB_RESULTS", str(tmp_path))
    asked = {"seeds": 5, "results": tmp_path}
    assert (
        "; someone/nothing is not here, so it is counted as bert-base-uncased"
        in (plan(TWIN, model="someone/nothing", **asked).cost()["estimated_by"])
    )
    config = transformers.BertConfig(hidden_size=64, num_hidden_layers=2, intermediate_size=128)
    config.save_pretrained(tmp_path / "small")
    small, tiny = (plan(TWIN, model=model, **asked).cost() for model in (tmp_path / "small", "tiny"))
    assert "not here" not in small["estimated_by"]
    assert small["seconds"] < 10 * tiny["seconds"]


def test_too_few_seeds_are_said_to_be_before_anything_is_run():
    assert "Too few seeds to tell methods apart: 4 or more do" in "\n".join(plan(TWIN, seeds="5").describe())
    assert "Too few" not in "\n".join(plan(TWIN, seeds=4).describe())


def test_what_is_asked_for_wrongly_says_what_would_be_right():
    for asked, message in [
        ({"methods": ["cls_mixupp"]}, "did you mean cls_mixup"),
        ({"methods": ["tmix:alpha"]}, "as in tmix:alpha=0.4"),
        ({"methods": ["tmix:alfa=1"]}, "'tmix' has no parameter alfa"),
        ({"methods": ["none"]}, "nothing to compare"),
        (
            {"methods": [Weaker, type("Weaker", (Weaker,), {"__module__": __name__})]},
            "two of the methods are called 'Weaker'",
        ),
        ({"seeds": 0}, "no seeds"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": "3-1"}, "the range 3-1 ends before it begins"),
        ({"model": None}, "model must be a name or a folder, such as 'tiny' or 'models/mine', got None"),
        ({"epochs": -1}, "epochs must be a whole number of at least 1, got -1"),
        ({"epochs": 2.5}, "epochs must be a whole number of at least 1, got 2.5"),
        ({"max_length": 0}, "max_length must be a whole number of at least 4, got 0"),
        ({"epochs": True}, "epochs must be a whole number of at least 1, got True"),
        ({"train_size": "50"}, "train_size must be a whole number of at least 1, got '50'"),
        ({"learning_rate": 0}, "learning_rate must be above 0, got 0"),
        ({"learning_rate": "1e-4"}, "learning_rate must be above 0, got '1e-4'"),
        ({"train_size": 10_000}, "10000 training rows were asked for"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            plan(TWIN, **asked)
