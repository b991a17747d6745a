"""What notebook 53 compares: a small file from this repository, or the reader's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mixlib.comparing.plan import Plan, plan
from mixlib.comparing.sources import Source
from mixlib.runs import paths
from mixlib.runs.checkpoints import MINILM, TINY
from mixlib.runs.profiles import Seeds, check_profile, seeds_or

MODELS = {"smoke": TINY, "mini": MINILM, "full": "bert-base-uncased"}
# On the repository's file, so that smoke takes a minute and the committed records took minutes on a core or two; a
# reader's own file gets the usual comparison
EXAMPLE: dict[str, dict[str, Any]] = {
    "smoke": {"methods": ("label_smoothing", "cls_mixup"), "seeds": 4, "train_size": 64},
    "mini": {"train_size": 160, "epochs": 6},
    "full": {},
}


def comparison(
    profile: str,
    data: Source | None = None,
    text: str = "text",
    label: str = "label",
    text_b: str | None = None,
    test: Source | None = None,
    model: str | None = None,
    seeds: Seeds | None = None,
) -> Plan:
    """The comparison that notebook 53 runs.

    Args:
        profile: decides which model is trained; at ``smoke`` it is trained for two epochs.
        data: a file instead of the repository's; ``text``, ``label``, ``text_b`` and ``test`` say how to read it.
        model, seeds: replace those of the profile.
    """
    small = {"epochs": 2} if check_profile(profile) == "smoke" else {}
    example = EXAMPLE[profile] if data is None else {}
    own = {"model": model or MODELS[profile]} | ({"seeds": seeds_or(seeds, ())} if seeds is not None else {})
    place = {"results": _results(profile)} if data is None else {}
    return plan(data or paths.MESSAGES, text, label, text_b=text_b, test=test, **small | example | own | place)


def _results(profile: str) -> Path:
    """Where the runs on the repository's file are kept: next to it if they are committed."""
    if os.environ.get("MIXLIB_RESULTS"):
        return paths.results().with_name(f"{paths.results().name}-own")
    return paths.MESSAGES.with_name("mixlib-results") if profile == "mini" else paths.BUILD / "own" / profile
