"""What the BatchMixup paper did, and at what size it is repeated here.

The paper states little: ``STATED`` is all of it. ``CODE`` are values that it leaves open and its author's earlier
public code has; ``CHOICES`` are ours. All of them are the same for every method of a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mixlib.evidence.cells import FIRST_SEED, RECIPE, Cell, StudyCell, cell, first_seeds, table_runs
from mixlib.papers.common import pool
from mixlib.runs.checkpoints import MINILM, TINY
from mixlib.runs.machine import default_precision
from mixlib.runs.profiles import Named, Seeds, check_profile, method_runs, seeds_or, study_of
from mixlib.runs.spec import RunSpec
from mixlib.runs.studies import StudySpec

PAPER = "batchmixup"
FRACTIONS = {"full": 1.0, "75%": 0.75, "50%": 0.5, "25%": 0.25, "1%": 0.01}
# Two stand-ins for FewRel: the paper's 75 + None, and 42 of its relations with all their examples
DATASETS = ("rte", "fewrel75_none", "fewrel", "banking77")
PRINTED = {"fewrel75_none": "fewrel"}  # whose printed column is compared, if it has another name
VARIANTS = ("none", "mixup", "nonlinear_mixup", "batchmixup")

STATED: dict[str, Any] = {"model": "roberta-large", "seeds": 3, "timing_draws": 15, "toy_epochs": 100, "toy_shots": 5}

_FEWREL: dict[str, Any] = {"learning_rate": 1e-5, "batch_size": 32, "num_train_epochs": 8, "max_length": 64}
CODE: dict[str, dict[str, Any]] = {  # the author's earlier public code; BANKING77 is not in it and takes FewRel's
    "rte": {"learning_rate": 1e-6, "batch_size": 5, "num_train_epochs": 20, "max_length": 128},
    "fewrel75_none": _FEWREL | {"train_per_class": 400},
    "fewrel": _FEWREL | {"train_per_class": 400},
    "banking77": _FEWREL,
}
CODE_TRAINING: dict[str, Any] = {"lr_scheduler_type": "constant", "warmup_ratio": 0.0, "weight_decay": 0.01}
CODE_METHODS: dict[str, dict[str, Any]] = {
    "none": {},
    "mixup": {"alpha": 0.4, "n": 15},
    "nonlinear_mixup": {"alpha": 0.4, "n": 15},
    "batchmixup": {"alpha": 1.0},
}
CODE_POINTS = {"rte": {"n": 400}}  # a batch of 5
CODE_POINTS_PER_ROW = {"n_per_row": 75}  # 2400 for a batch of 32
# Ours: the objective that can be trained, and the paper's weight for each dimension. Where a data set has no labelled
# rows besides those trained on and those reported (RTE, BANKING77), the epoch is chosen on the reported split.
CHOICES: dict[str, Any] = {"policy": "elementwise", "objective": "softmax"}
CLIPPING = {"max_grad_norm": 1.0}  # the Trainer's default; neither the paper nor the code mentions clipping
FULL_SIZES: dict[str, dict[str, Any]] = {
    "rte": {"dev_size": 0},
    "fewrel75_none": {},
    "fewrel": {},
    "banking77": {"dev_size": 0},
}
HEAD = {"rte": "tanh", "banking77": "tanh", "fewrel75_none": "entities", "fewrel": "entities"}  # the author's code

# Table 1 reads cells of the evidence at mini. Whatever else is studied has plain runs of its own, sized for two CPU
# cores. The learning rate is the best of 2e-4, 1e-4 and 5e-5 for the plain model with one and with two updates per
# batch, taken together, on a seed that no table uses; no mixup method was looked at.
_MINI = {"learning_rate": 5e-5, "batch_size": 8, "num_train_epochs": 1, "group_by_length": True, "train_per_class": 6,
         "dev_size": 8}  # fmt: skip
MINI: dict[str, dict[str, Any]] = {
    "banking77": _MINI | {"max_length": 40, "test_size": 160},
}

_SMOKE = {"learning_rate": 5e-3, "batch_size": 16, "num_train_epochs": 1, "train_per_class": 2, "max_length": 32}
SMOKE: dict[str, dict[str, Any]] = {dataset: _SMOKE | {"dev_size": 8, "test_size": 32} for dataset in DATASETS}


def _settings(profile: str, dataset: str) -> tuple[dict[str, Any], str]:
    if check_profile(profile) == "full":
        return CODE_TRAINING | CODE[dataset] | FULL_SIZES[dataset], STATED["model"]
    if profile == "mini":
        if dataset not in MINI:
            own = " and ".join(MINI)
            raise ValueError(f"mini has runs of its own on {own} alone, got {dataset!r}; others are in CELLS")
        return CODE_TRAINING | MINI[dataset], MINILM
    return CODE_TRAINING | SMOKE[dataset] | {"synthetic": True}, TINY


def _seeds(profile: str) -> Sequence[int]:
    return range({"full": STATED["seeds"], "mini": 6, "smoke": 2}[check_profile(profile)])


def method_params(dataset: str, method: str) -> dict[str, Any]:
    """The parameters of a method of Table 1."""
    if method == "none_long":
        return {"updates": CODE_METHODS["mixup"]["n"]}
    params = dict(CODE_METHODS[method])
    if method == "batchmixup":
        params |= CODE_POINTS.get(dataset, CODE_POINTS_PER_ROW) | CHOICES
    if method == "nonlinear_mixup":
        params["objective"] = CHOICES["objective"]
    return params


def runs(
    profile: str,
    dataset: str,
    fraction: str,
    methods: Iterable[Named],
    model: str | None = None,
    seeds: Seeds | None = None,
    **overrides: Any,
) -> list[RunSpec]:
    """The runs of some methods on a share of one data set; all methods of a cell get the same settings and seeds.

    Args:
        profile: ``smoke``, ``mini`` or ``full``.
        dataset: one of :data:`DATASETS`; at mini one of :data:`MINI`.
        fraction: a key of :data:`FRACTIONS`, of each class (at least one example).
        methods: names, or names with parameters in place of the protocol's.
        model, seeds, overrides: in place of the profile's; overrides are fields of ``RunSpec``.
    """
    settings, usual_model = _settings(profile, dataset)
    return method_runs(
        methods, partial(method_params, dataset), seeds_or(seeds, _seeds(profile)),
        paper=PAPER, dataset=dataset, model=model or usual_model, head=HEAD[dataset],
        **(settings | CLIPPING | {"train_fraction": FRACTIONS[fraction], "precision": default_precision(profile)}
           | overrides),
    )  # fmt: skip


# The cells of Table 1 below full, and which of the paper's rows a size stands for: 1% of BANKING77 is one row per
# class, 25% are 32; 1% of RTE is 12 per class; FewRel has 700 rows per relation, of which 7 are 1%, and its author
# trains on 400 of them. The other sizes have no printed row
TABLE_1_ON = {
    "mini": (
        "banking77-1",
        "banking77-5",
        "banking77-10",
        "banking77-30",
        "banking77-all",
        "fewrel-7",
        "fewrel",
        "rte-12",
    ),
    "smoke": ("banking77-1", "fewrel-7"),
}
STANDS_FOR = {("banking77", 1): "1%", ("banking77", 30): "25%", ("fewrel", 7): "1%", ("rte", 12): "1%"}


def size_label(spec: RunSpec) -> str:
    """The row of Table 1 a run belongs to, or stands for; if there is none, a name such as ``5 a class``."""
    a_class = spec.train_per_class
    if spec.train_fraction != 1 or a_class in (None, CODE[spec.dataset].get("train_per_class")):
        return next(label for label, fraction in FRACTIONS.items() if fraction == spec.train_fraction)
    return STANDS_FOR.get((spec.dataset, a_class), f"{a_class} a class")


def table1(profile: str, **overrides: Any) -> list[RunSpec]:
    """Three tasks at five shares of the training data, four methods, and the plain model with as many updates.

    Below full, on the sizes of the evidence, with three draws per batch for the pairwise methods.
    """
    if check_profile(profile) == "full":
        return [
            spec
            for dataset in DATASETS
            for fraction in FRACTIONS
            for spec in runs(profile, dataset, fraction, (*VARIANTS, "none_long"), **overrides)
        ]
    known = {found.name: found for found in CELLS}
    return table_runs([known[f"{PAPER}/{name}"] for name in TABLE_1_ON[profile]], profile, **overrides)


# Figure 1. The paper says: Gaussian points, 5 a class, a perceptron, 100 epochs. Means, spread, size of the perceptron,
# optimizer and learning rate are ours; a second learning rate shows how much depends on it.
TOY: dict[str, Any] = {"shots": STATED["toy_shots"], "epochs": STATED["toy_epochs"], "width": 16}
TOY_RATES = (0.01, 0.001)
TOY_DRAWS = {"smoke": 3, "mini": 200, "full": 200}
TOY_UPDATES = {"smoke": 2, "mini": 5, "full": 15}


def figure1(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[StudySpec]:
    """The toy problem with every method, many draws each. ``model`` has no meaning here."""
    n = TOY_UPDATES[check_profile(profile)]
    variants: list[tuple[str, dict[str, Any]]] = [
        ("none", {}),
        ("batchmixup", {}),
        ("batchmixup", {"policy": "sample"}),
        ("batchmixup", {"temperature": 0.1}),
        ("none_long", {"updates": n}),
        ("mixup", {"n": n}),
        ("nonlinear_mixup", {"n": n}),
    ]
    specs = [
        _study(profile, "toy", seed, TOY | {"method": method, "method_params": params, "learning_rate": rate,
                                            "draws": TOY_DRAWS[profile]})
        for rate in TOY_RATES
        for method, params in variants
        for seed in seeds_or(seeds, [0])
        if rate == TOY_RATES[0] or method in ("none", "batchmixup")
    ]  # fmt: skip
    return specs + [
        _study(profile, "objectives", seed, {"objective": objective, "policy": "elementwise", "steps": 200,
                                             "learning_rate": TOY_RATES[0], "width": TOY["width"], "rows": 32})
        for objective in ("softmax", "dot")
        for seed in seeds_or(seeds, [0])
    ]  # fmt: skip


TIMED_N, TIMED_BATCHES = (1, 5, 10, 15), 20  # at full; 15: section 5


def epoch_time(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[StudySpec]:
    """Section 5's timing statement: an epoch of RTE with every method at several n.

    Below full, the cell that claims 8 to 10 read, in the paper's batches of five texts of up to 128 tokens.
    """
    if check_profile(profile) != "full":
        return EPOCH_TIME.on(model).specs(seeds_or(seeds, [FIRST_SEED]), profile=profile)
    few = {"num_train_epochs": 1, "eval_epochs": 1, "dev_size": 0, "test_size": 16}
    specs = runs(profile, "rte", "full", ["none"], model=model, seeds=_study_seeds(profile, seeds), **few)
    return [study_of(spec, "epoch_time", n=TIMED_N, batches=TIMED_BATCHES) for spec in specs]


POLICIES: tuple[dict[str, Any], ...] = (
    {"policy": "pairwise", "alpha": 0.4},
    {"policy": "nonlinear", "alpha": 0.4},
    *({"policy": "elementwise", "alpha": alpha} for alpha in (0.1, 1.0, 8.0)),
    *({"policy": "elementwise", "alpha": 1.0, "temperature": t} for t in (0.3, 0.1, 0.03)),
    {"policy": "sample", "alpha": 1.0},
    *({"policy": "sample", "alpha": 1.0, "temperature": t} for t in (0.3, 0.1, 0.03)),
)
GEOMETRY_ROWS = {"smoke": (5, 8), "mini": (5, 8, 32), "full": (5, 32)}


def geometry(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[StudySpec]:
    """Where the points of each policy lie among the sentence vectors of a trained plain model (BANKING77)."""
    few: dict[str, Any] = {"dev_size": 0, "test_size": 80}
    if profile == "mini":
        # longer and faster than in Table 1, so that the classes have begun to separate
        few |= {"num_train_epochs": 4, "eval_epochs": 4, "learning_rate": 2e-4}
    specs = runs(profile, "banking77", "full", ["none"], model=model, seeds=_study_seeds(profile, seeds), **few)
    params = {"rows": GEOMETRY_ROWS[profile], "points": 400, "policies": POLICIES}
    return [study_of(spec, "geometry_of_policies", **params) for spec in specs]


def _study_seeds(profile: str, seeds: Seeds | None) -> Sequence[int]:
    return seeds_or(seeds, _seeds(profile))


def _study(profile: str, study: str, seed: int, params: dict[str, Any]) -> StudySpec:
    return StudySpec(paper=PAPER, study=study, seed=seed, synthetic=profile == "smoke", params=params)


# The cells of the claims: BANKING77 at four sizes by the pool's recipe (10 a class is the pool's own), and relations,
# where entities are marked
EVIDENCE_DRAWS = 3
PAIRWISE = {
    "mixup": ("mixup", {"alpha": 0.4, "n": EVIDENCE_DRAWS}),
    "nonlinear_mixup": ("nonlinear_mixup", {"alpha": 0.4, "n": EVIDENCE_DRAWS, "objective": CHOICES["objective"]}),
    "none_long 3": ("none_long", {"updates": EVIDENCE_DRAWS}),
}
COMPARED = {name: pool.METHODS[name] for name in ("none", "batchmixup")} | PAIRWISE


def _banking(name: str, methods: Mapping[str, tuple[str, Mapping[str, Any]]], **changes: Any) -> Cell:
    """A cell on BANKING77, of 10 rows a class as in the pool unless changed."""
    return pool.cell_as_in("banking77", f"batchmixup/{name}", methods, paper=pool.PAPER, **changes)


CELLS: tuple[Cell, ...] = (
    _banking("banking77-1", COMPARED, train_per_class=1, num_train_epochs=40, eval_epochs=20),
    # batches of 16 would leave one of the 385 rows with nothing to mix with
    _banking("banking77-5", COMPARED, train_per_class=5, num_train_epochs=16, eval_epochs=8, batch_size=15),
    _banking("banking77-10", COMPARED),
    _banking("banking77-30", COMPARED, train_per_class=30, num_train_epochs=4),
    cell("batchmixup/fewrel", "fewrel", COMPARED, train_per_class=20, num_train_epochs=8, test_size=1000,
         learning_rate=2e-4, head="entities"),
    _banking("banking77-all", {name: COMPARED[name] for name in ("none", "batchmixup")}, train_per_class=None,
             train_size=9500, num_train_epochs=3, eval_epochs=1, says="all training rows but the development rows"),
    # 1% of the paper's training rows, where it says that the plain model collapses and that nothing is learned
    cell("batchmixup/fewrel-7", "fewrel", COMPARED, train_per_class=7, num_train_epochs=10, test_size=1000,
         learning_rate=2e-4, head="entities"),
    cell("batchmixup/rte-12", "rte", {name: COMPARED[name] for name in VARIANTS}, train_per_class=12,
         num_train_epochs=12, eval_epochs=12, dev_size=200, test_size=277, max_length=96, says="at chance, as claimed"),
)  # fmt: skip


def policy_name(policy: str, alpha: float, temperature: float = 1.0) -> str:
    """What a policy is called in a cell, such as ``elementwise alpha=1 temperature=0.1``."""
    return f"{policy} alpha={alpha:g}" + ("" if temperature == 1 else f" temperature={temperature:g}")


def policy_label(rows: int, **policy: Any) -> str:
    """What a policy at a batch size is called in the cell of the geometry, such as ``elementwise alpha=1 rows=16``."""
    return f"{policy_name(**policy)} rows={rows}"


def trained_with(policy: str, alpha: float, temperature: float = 1.0) -> tuple[str, dict[str, Any]]:
    """The method that trains on a policy's points, one update a batch."""
    if policy == "pairwise":
        return "mixup", {"alpha": alpha, "n": 1}
    if policy == "nonlinear":
        return "nonlinear_mixup", {"alpha": alpha, "n": 1, "objective": CHOICES["objective"]}
    cooled = {} if temperature == 1 else {"temperature": temperature}
    return "batchmixup", pool.METHODS["batchmixup"][1] | {"alpha": alpha, "policy": policy} | cooled


# Does a policy train that spreads its points (notebook 13)? Does the paper's with more updates, or at a lower rate? No
# claim reads these cells, so they were not planned with the others
PAPERS_POLICY: dict[str, Any] = {"policy": "elementwise", "alpha": 1.0}
OTHER_POLICIES = _banking(
    "policies",
    {"none": pool.METHODS["none"]}
    | {policy_name(**p): trained_with(**p) for p in POLICIES if p["policy"] != "elementwise" or p["alpha"] == 1},
    seeds=3,
)  # fmt: skip
THE_PAPERS_ALONE = {policy_name(**PAPERS_POLICY): trained_with(**PAPERS_POLICY)}
LONGER = _banking(
    "three times as long", {"none": pool.METHODS["none"]} | THE_PAPERS_ALONE,
    num_train_epochs=24, eval_epochs=12, seeds=3,
)  # fmt: skip
LOWER_RATES = ((OTHER_POLICIES, 0.25), (LONGER, 0.25), (OTHER_POLICIES, 0.1))
# With a weight in each dimension, "softmax" may have no lower bound: the same points, with a loss that has one
BOUNDED = _banking(
    "policies by cross-entropy",
    {name: (method, params | {"objective": "cross_entropy"})
     for name, (method, params) in OTHER_POLICIES.methods.items() if name.startswith(("nonlinear", "elementwise"))},
    seeds=3,
)  # fmt: skip
BUDGETS: tuple[Cell, ...] = (
    LONGER,
    *(replace(found.with_rate(rate), methods=THE_PAPERS_ALONE) for found, rate in LOWER_RATES),
)
VARIED = (OTHER_POLICIES, BOUNDED, *BUDGETS)


def policies(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[RunSpec]:
    """Runs that train on the points of each policy, and without mixing: 10 rows a class of BANKING77, one update a
    batch; at full all its training rows."""
    return _runs_of(OTHER_POLICIES, profile, model, seeds)


def policies_bounded(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[RunSpec]:
    """The policies with a weight in each dimension once more, with a loss that has a lower bound."""
    return _runs_of(BOUNDED, profile, model, seeds)


def _runs_of(found: Cell, profile: str, model: str | None, seeds: Seeds | None) -> list[RunSpec]:
    if check_profile(profile) == "full":
        return runs(profile, "banking77", "full", list(found.methods.values()), model=model, seeds=seeds)
    return table_runs([found], profile, model=model, seeds=seeds)


def policies_placed(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[StudySpec]:
    """Where each policy's points lie in batches of the size that :func:`policies` trains on."""
    if check_profile(profile) == "full":
        return geometry(profile, model, seeds)
    return GEOMETRY.on(model).specs(seeds_or(seeds, first_seeds(GEOMETRY.seeds)), profile=profile)


def longer_and_slower(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[RunSpec]:
    """The paper's policy with three times the updates, and at lower learning rates; nothing but at mini."""
    return table_runs(BUDGETS, profile, model=model, seeds=seeds) if check_profile(profile) == "mini" else []


def trained_policies(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[RunSpec | StudySpec]:
    """What notebook 13 trains to see whether a policy trains that spreads its points, with what it is set beside."""
    asked = profile, model, seeds
    return [*policies(*asked), *policies_bounded(*asked), *policies_placed(*asked), *longer_and_slower(*asked)]


EVIDENCE_N, EVIDENCE_ROWS = (1, 5, 15), (5, 16, 32)
# The paper's batches of five texts of up to 128 tokens; only the model is smaller
EPOCH_TIME = StudyCell(
    name="batchmixup/epoch time", study="epoch_time", dataset="rte", seeds=1,
    recipe=RECIPE | {"train_size": 400, "test_size": 16, "batch_size": CODE["rte"]["batch_size"],
                     "max_length": CODE["rte"]["max_length"], "num_train_epochs": 1, "eval_epochs": 1},
    params={"n": EVIDENCE_N, "batches": 100}, smoke={"batches": 2},
    varied={"none": {}} | {f"{name} n={n}": {} for n in EVIDENCE_N for name in VARIANTS if name != "none"},
    says="seconds of a step",
)  # fmt: skip
GEOMETRY = StudyCell(
    name="batchmixup/geometry", study="geometry_of_policies", dataset="banking77",
    recipe=dict(pool.on("banking77").recipe) | {"eval_epochs": 8},
    params={"rows": EVIDENCE_ROWS, "points": 400, "policies": POLICIES}, smoke={"points": 40},
    varied={policy_label(rows=rows, **policy): {} for rows in EVIDENCE_ROWS for policy in POLICIES},
    methods={policy_label(rows=rows, **p): trained_with(**p)[0] for rows in EVIDENCE_ROWS for p in POLICIES},
    says="where mixed points lie among the sentence vectors of a trained plain model",
)  # fmt: skip
STUDY_CELLS: tuple[StudyCell, ...] = (
    EPOCH_TIME,
    StudyCell(
        name="batchmixup/toy", study="toy", dataset=None, recipe={"train_per_class": STATED["toy_shots"]},
        params=TOY | {"draws": 50}, smoke={"draws": 3},
        varied={
            f"{method} rate={rate:g}": {"method": method, "method_params": {}, "learning_rate": rate}
            for rate in TOY_RATES for method in ("none", "batchmixup")
        },
        says="two Gaussian clouds in the plane; 50 draws of points a seed",
    ),
    GEOMETRY,
)  # fmt: skip
