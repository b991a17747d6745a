"""What the protocol that all methods share registers, with the playground."""

from __future__ import annotations

from mixlib.evidence.published import Artefact
from mixlib.papers.base import Paper, Recipe
from mixlib.papers.common import pool
from mixlib.papers.playground import protocol as playground


def load() -> None:
    from mixlib.papers.playground import studies  # noqa: F401 (its functions register themselves)


PAPER = Paper(
    key="common",
    recipes={
        "common-protocol": Recipe("51_common_protocol", pool.methods_on_all, takes_more=True),
        "common-learning-rate": Recipe("51_common_protocol", pool.sensitivity, takes_more=True),
        "common-playground": Recipe("54_playground", playground.runs),
    },
    measured=(
        Artefact(
            "common-protocol", "common", "Common protocol", "measurement", "every method with one recipe per data set"
        ),
        Artefact(
            "common-learning-rate", "common", "Learning rate", "measurement", "the same at half and twice the rate"
        ),
        Artefact(
            "common-playground", "common", "Playground", "measurement", "what each method makes of a pair of texts"
        ),
    ),
    sensitivity=pool.SENSITIVITY,
    load=load,
)
