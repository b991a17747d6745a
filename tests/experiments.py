"""Fabricated experiments in which a claim is right, or wrong, for tests of verdicts."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from mixlib.evidence import plan, statistics
from mixlib.evidence.cells import FIRST_SEED
from mixlib.evidence.claims import EARLY, ECE_POINTS, Claim, Contrast, Term
from mixlib.evidence.verdicts import Records
from mixlib.papers.batchmixup.protocol import policy_label
from mixlib.runs.records import Record, Spec
from mixlib.runs.spec import RunRecord, RunSpec
from mixlib.runs.studies import StudyRecord, StudySpec
from tests.fabricate import record, study

BASE = {"loss": 0.0, "rise": 0.7, "training loss": 0.0, "unsteadiness": -4.0, "seconds": 0.0, "deviation": 5.0,
        "ece": 30.0, "above chance": 0.0, "plain steps": 5000.0}  # fmt: skip
OTHERWISE = 50.0
CLEARLY = 3.0  # margins
LARGER_CLASS = 0.5


class Shelf:
    """A store of fabricated records."""

    def __init__(self, made: dict[Spec, Record]) -> None:
        self.made = made

    def missing(self, specs: Iterable[Spec]) -> list[Spec]:
        return [spec for spec in specs if spec not in self.made]

    def get(self, spec: Spec) -> Record | None:
        return self.made.get(spec)

    def predictions(self, record: Record) -> None:
        raise FileNotFoundError(f"nothing was kept of {record.spec}")


def terms_of(claim: Claim) -> list[Term]:
    return [term for part in claim.parts for terms in part.units.values() for term in terms]


def seeds_of(cell: str, most: int) -> range:
    return range(FIRST_SEED, FIRST_SEED + min(most, plan.get(cell).seeds))


def experiment(claim: Claim, wrong: Iterable[str] = (), noise: float = 0.1, seeds: int = 12) -> Records:
    """Records in which the parts of a claim are clearly right, those named ``wrong`` clearly wrong.

    What each run measures is the least change of a base by which every contrast gets its size, and noise of its own
    with a standard deviation of ``noise`` margins. The salt is one with which no data sets differ by chance.
    """
    rng = np.random.default_rng(1)
    values: dict[Spec, dict[str, dict[str, np.ndarray]]] = {}
    cells = dict.fromkeys(term.cell for term in terms_of(claim))
    for cell in cells:
        plain = plan.get(cell).plain
        for seed in seeds_of(cell, seeds) if plain else ():  # the margin of calibration errors looks at it
            values[plan.get(cell).spec(plain, seed)] = {plain: {}}
    for measure in dict.fromkeys(part.measure for part in claim.parts):
        parts = [part for part in claim.parts if part.measure == measure]
        size = min(part.margin or ECE_POINTS for part in parts)
        for term, value in solved(parts, set(wrong)).items():
            for seed in seeds_of(term[0], seeds):
                spec = plan.get(term[0]).spec(term[1], seed)
                draws = value + noise * size * rng.normal(size=getattr(spec, "params", {}).get("batches", 1))
                values.setdefault(spec, {}).setdefault(term[1], {})[measure] = draws
    made = {spec: measured(spec, of_labels) for spec, of_labels in values.items()}
    read = {cell: list(seeds_of(cell, seeds)) for cell in cells}
    return Records(Shelf(made), plan.Decided(read, {cell: ["accuracy", "loss"] for cell in cells}, {}))


def solved(parts: list[Contrast], wrong: set[str]) -> dict[tuple[str, str], float]:
    """By cell and label, values with which all parts have the size they should, on each data set if that can be.

    It cannot where one part is a gain on several data sets and another one the difference of these gains: then in the
    mean over data sets.
    """
    runs = list(dict.fromkeys((t.cell, t.label) for part in parts for terms in part.units.values() for t in terms))
    base = np.full(len(runs), BASE.get(parts[0].measure, OTHERWISE))
    for in_the_mean in (False, True):
        rows, sizes = [], []
        for part in parts:
            weights = [[sum(t.weight for t in terms if (t.cell, t.label) == run) for run in runs]
                       for terms in part.units.values()]  # fmt: skip
            rows += [np.mean(weights, axis=0)] if in_the_mean else weights
            sizes += [wanted(part, part.name not in wrong)] * (1 if in_the_mean else len(weights))
        matrix = np.array(rows)
        found = base + np.linalg.lstsq(matrix, np.array(sizes) - matrix @ base, rcond=None)[0]
        if np.allclose(matrix @ found, sizes, atol=1e-6):
            return dict(zip(runs, found.tolist(), strict=True))
    raise ValueError(f"parts that contradict each other: {', '.join(part.name for part in parts)}")


def wanted(part: Contrast, right: bool) -> float:
    """A size with which a part is clearly right, or clearly wrong."""
    margin = part.margin or ECE_POINTS
    low, high = statistics.region(part.kind, margin, part.bounds)
    below = math.isfinite(low)
    if right and below and math.isfinite(high):
        return (low + high) / 2
    return (low if below else high) + (CLEARLY if right == below else -CLEARLY) * margin


def measured(spec: Spec, of_labels: dict[str, dict[str, np.ndarray]]) -> Record:
    return of_study(spec, of_labels) if isinstance(spec, StudySpec) else of_run(spec, *of_labels.values())


def of_run(spec: RunSpec, values: dict[str, np.ndarray]) -> RunRecord:
    """A run in which the measures have these values."""
    v = {name: float(found[0]) for name, found in values.items()}
    accuracy = v.get("accuracy", OTHERWISE) + v.get("deviation", 0.0) * (1 if spec.seed % 2 else -1)
    if "above chance" in v:
        accuracy = 100 * LARGER_CLASS + v["above chance"]
    made = record(
        spec, accuracy=accuracy / 100, mcc=v.get("mcc", OTHERWISE) / 100, nll=math.exp(v.get("loss", 0.0)),
        ece=v.get("ece", BASE["ece"]) / 100,
        train_losses=[math.exp(v.get("training loss", 0.0)) + s * math.exp(v.get("unsteadiness", -4.0))
                      for s in [1, -1] * 20],
    )  # fmt: skip
    last = made.evaluations[-1] | {"curve": {"nll": math.exp(v.get("rise", 0.7))}}
    last["test"] |= {"brier": v.get("brier", OTHERWISE) / 100}
    early = v.get(f"accuracy after {EARLY} epochs", OTHERWISE) / 100
    first = {"epoch": float(EARLY), "step": 1, "curve": {"nll": 1.0, "accuracy": early},
             "test": last["test"] | {"accuracy": v.get("selected accuracy", accuracy) / 100}}  # fmt: skip
    last |= {"epoch": EARLY + 3.0, "step": 2}
    return replace(made, evaluations=[first, last], data=made.data | {"larger_class": LARGER_CLASS})


def of_study(spec: StudySpec, of_labels: dict[str, dict[str, np.ndarray]]) -> StudyRecord:
    """A study in which the measures have these values for each label."""
    flat = {(label, name): found for label, values in of_labels.items() for name, found in values.items()}
    one = {name: float(found[0]) for (_, name), found in flat.items()}  # of studies with one label a record
    values: dict = {}
    if spec.study in ("epoch_time", "step_time"):
        seconds: dict = {"none": np.ones(spec.params["batches"])}
        for (label, name), found in flat.items():
            seconds[label] = np.exp(found) if name == "seconds" else found / 100
        by_n: dict = {}
        for label, taken in seconds.items():
            method, _, n = label.partition(" n=")
            by_n.setdefault(method, {})[n or "1"] = taken.tolist()
        whole = spec.study == "epoch_time"
        values = {"seconds": by_n if whole else {label: found["1"] for label, found in by_n.items()}}
    elif spec.study == "toy":
        values = {"accuracy": [one["toy accuracy"] / 100]}
    elif spec.study == "geometry_of_policies":
        rows = {policy_label(rows=n, **policy): {"rows": n, **policy}
                for policy, n in itertools.product(spec.params["policies"], spec.params["rows"])}  # fmt: skip
        for (label, name), found in flat.items():
            rows[label][name.replace(" ", "_")] = found[0] / 100
        values = {"rows": list(rows.values())}
    elif spec.study == "off_the_segment":
        named = {label: label.split(" lam0=") for label in of_labels}
        values = {"rows": [{"method": named[label][0], "ratio": float(named[label][1]), "distance": found[0] / 100}
                           for (label, _), found in flat.items()]}  # fmt: skip
    elif spec.study == "attention":
        words = {"film": "resolved_film"}
        values = {words.get(name, name.replace(" ", "_")): found / 100 for name, found in one.items()}
        values["resolved"] = {word: values.pop(word) for word in ("animal", "too", "tired") if word in values}
    return study(spec, values)
