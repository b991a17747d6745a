"""Where things of this repository stand: every path of notebooks, tests and commands comes from here.

Notebook tools start kernels in different folders, so nothing may depend on the working directory.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "figures"
PUBLISHED = ROOT / "data" / "published"
CORPORA_CARDS = ROOT / "data" / "corpora.json"
REQUESTS = ROOT / "data" / "own" / "requests.csv"
EVIDENCE = ROOT / "data" / "evidence.json"
BUILD = ROOT / "build"


def results() -> Path:
    """The folder of run records of real data: ``MIXLIB_RESULTS``, by default ``data/results``."""
    return Path(os.environ.get("MIXLIB_RESULTS") or ROOT / "data" / "results")


def synthetic_results() -> Path:
    """The folder of run records of synthetic data, kept apart so that they never stand among results."""
    override = os.environ.get("MIXLIB_RESULTS")
    return Path(override) / "synthetic" if override else BUILD / "results" / "synthetic"
