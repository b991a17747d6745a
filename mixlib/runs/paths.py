"""Where things are: every path in notebooks, tests and commands comes from here.

Notebook tools start kernels in different folders, so nothing of this repository may depend on the working directory.
Paths that a user gives may: relative ones start from where the program was started.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
FIGURES = ROOT / "figures"
DATA = ROOT / "data"
PUBLISHED = DATA / "published"
CORPORA_COUNTS = DATA / "corpora.json"
MESSAGES = DATA / "own" / "messages.csv"
EVIDENCE = DATA / "evidence.json"
BUILD = ROOT / "build"

FOLDERS = ("MIXLIB_DATA", "MIXLIB_MODELS", "MIXLIB_RESULTS")  # variables that name a folder
UPDATING = "MIXLIB_UPDATING"  # set while the committed notebooks are executed: their figures are the committed ones


class NoCheckout(FileNotFoundError):
    """Something is needed that only the repository has, not a package installed without it."""


def of_checkout(path: Path) -> Path:
    """The same path.

    Raises:
        NoCheckout: mixlib was installed as a package, without notebooks, records and the papers' numbers.
    """
    if not (NOTEBOOKS.is_dir() and PUBLISHED.is_dir()):
        raise NoCheckout(
            f"this needs a checkout of mixlib's repository, with its {path.name}; the mixlib in "
            f"{ROOT / 'mixlib'} was installed without one. Clone the repository and install it from there with "
            "pip install --editable '.[reproduce]'; MixupTrainer, bench, and records in folders that you name need none"
        )
    return path


def named(variable: str) -> Path | None:
    """The folder that an environment variable names, as an absolute path; ``None`` if it is not set, or empty.

    Raises:
        NotADirectoryError: it names a file.
    """
    given = os.environ.get(variable)
    if not given:
        return None
    folder = Path(os.path.abspath(os.path.expanduser(given)))
    if folder.is_file():
        raise NotADirectoryError(f"{variable} names {folder}, which is a file, not a folder")
    return folder


def results() -> Path:
    """The folder of run records on real data: ``MIXLIB_RESULTS``, by default ``data/results``."""
    return named("MIXLIB_RESULTS") or of_checkout(DATA / "results")


def trials() -> Path:
    """The folder of trials: runs that stop after a few updates and are no results."""
    override = named("MIXLIB_RESULTS")
    return override.with_name(f"{override.name}-trials") if override else of_checkout(BUILD) / "trials"


def synthetic_results() -> Path:
    """The folder of run records on synthetic data, kept apart so that they are never mixed with results."""
    override = named("MIXLIB_RESULTS")
    return override / "synthetic" if override else of_checkout(BUILD) / "results" / "synthetic"
