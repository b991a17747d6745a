"""What the SSMix paper did, and at what size it is repeated here.

``STATED`` are the paper's settings, ``CHOICES`` ours where it is silent: together they are profile ``full``. At
``mini`` and ``smoke`` the tables read :data:`CELLS`, which the claims are judged on. A table's methods share settings,
seeds and the weights of the first stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mixlib.evidence.cells import FIRST, FIRST_SEED, RECIPE, Cell, StudyCell, cell, table_runs
from mixlib.runs.checkpoints import MINILM, TINY
from mixlib.runs.machine import default_precision
from mixlib.runs.profiles import Named, Seeds, check_profile, method_runs, seeds_or, study_of
from mixlib.runs.spec import RunSpec
from mixlib.runs.studies import StudySpec

PAPER = "ssmix"
DATASETS = ("sst2", "qqp", "mnli", "qnli", "rte", "mrpc", "trec_coarse", "trec_fine", "anli_r1", "anli_r2", "anli_r3")
PAIRS = ("qqp", "mnli", "qnli", "rte", "mrpc", "anli_r1", "anli_r2", "anli_r3")
TABLE_2 = ("embedmix", "tmix", "ssmix", "ssmix_nosal", "ssmix_nosal_nospan")
TABLE_B1 = ("ssmix", "ssmix_nosal", "ssmix_nosal_nospan", "unk")

STATED: dict[str, Any] = {
    "model": "bert-base-uncased",
    "max_length": 128,
    "batch_size": 32,
    "weight_decay": 1e-4,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.1,
    "eval_steps": 500,
    "first": {"learning_rate": 5e-5, "num_train_epochs": 3},
    "second": {"learning_rate": 1e-5, "num_train_epochs": 5},
    "seeds": (0, 1, 2, 3, 4),
    "metric_for_best_model": "accuracy",
}
METHODS: dict[str, dict[str, Any]] = {  # sections 3.2 to 3.4
    "none": {},
    "embedmix": {"alpha": 0.2, "originals": True},
    "tmix": {"alpha": 0.2, "originals": True},
    "ssmix": {"lam0": 0.1},
    "ssmix_nosal": {"lam0": 0.1},
    "ssmix_nosal_nospan": {"lam0": 0.1},
    "unk": {"lam0": 0.1},
}
# Ours: casing of the model as in the authors' code; no clipping, which that code asks for where it has no effect; the
# model's own dropout. TREC, QNLI, RTE and QQP are selected and scored on the same split, as in that code; MNLI is
# selected on the matched and scored on the mismatched set.
CHOICES: dict[str, Any] = {"max_grad_norm": 0.0, "dropout": None}
_ANLI = {"train_size": 162865, "dev_size": 1000, "test_size": 1000}
FULL: dict[str, dict[str, Any]] = {  # the official sizes: a source with fewer rows is refused
    "sst2": {"train_size": 67349, "dev_size": 872, "test_size": 1821},
    "qqp": {"train_size": 363846, "dev_size": 0, "test_size": 40430},
    "mnli": {"train_size": 392702, "dev_size": 9815, "test_size": 9832},
    "qnli": {"train_size": 104743, "dev_size": 0, "test_size": 5463},
    "rte": {"train_size": 2490, "dev_size": 0, "test_size": 277},
    "mrpc": {"train_size": 3668, "dev_size": 408, "test_size": 1725},
    "trec_coarse": {"train_size": 5452, "dev_size": 0, "test_size": 500},
    "trec_fine": {"train_size": 5452, "dev_size": 0, "test_size": 500},
    "anli_r1": _ANLI,
    "anli_r2": _ANLI,
    "anli_r3": _ANLI | {"dev_size": 1200, "test_size": 1200},
}
FULL_DATA = {"mnli": "mnli_mismatched"}
REPORTED = {"sst2": "dev", "mrpc": "dev"}  # the split whose number the paper prints, if it is not our test split

# Figures and the dropout leak have settings of their own at mini, sized for two CPU cores. The learning
# rate of the first stage was chosen on the plain model alone, and the second one's is a fifth of it, as in the paper.
_SINGLE = {"max_length": 32, "batch_size": 16, "dev_size": 48, "test_size": 120}
_PAIR = {"max_length": 48, "batch_size": 8, "train_size": 64, "dev_size": 32, "test_size": 96}
MINI: dict[str, dict[str, Any]] = {
    "sst2": _SINGLE | {"train_size": 128, "dev_size": 40, "test_size": 100},
    "trec_coarse": _SINGLE | {"train_size": 160},
    "mnli": _PAIR | {"train_size": 96},
}
MINI_TRAINING: dict[str, Any] = {"group_by_length": True}
MINI_FIRST = {"learning_rate": 2e-4, "num_train_epochs": 5}
MINI_SECOND = {"learning_rate": 4e-5, "num_train_epochs": 3}
MINI_FIRST_PAIR = MINI_FIRST | {"num_train_epochs": 4, "eval_epochs": 2}
MINI_SEEDS = range(6)
LEAKING = {"full": ("sst2", "qnli"), "mini": ("trec_coarse",), "smoke": ("sst2",)}
MID_EPOCH = {"mini": {"eval_steps": 3}, "smoke": {"eval_steps": 1}}  # of 10 and 2 updates an epoch, in a second stage

_SMOKE = {"train_size": 32, "dev_size": 16, "test_size": 32, "max_length": 32, "batch_size": 16}
SMOKE_STAGE = {"learning_rate": 5e-3, "num_train_epochs": 1}


def settings(profile: str, dataset: str, stage: int) -> dict[str, Any]:
    """The fields of ``RunSpec`` that a profile sets for a data set and stage, except method, model and seed.

    Raises:
        ValueError: nothing besides the cells uses this data set at ``mini``.
    """
    training = {name: STATED[name] for name in ("weight_decay", "lr_scheduler_type", "warmup_ratio")} | CHOICES
    training["precision"] = default_precision(check_profile(profile))
    if profile == "full":
        names = ("max_length", "batch_size", "eval_steps", "metric_for_best_model")
        both = {name: STATED[name] for name in names} | FULL[dataset]
        return training | both | STATED["first" if stage == 1 else "second"] | {
            "dataset": FULL_DATA.get(dataset, dataset)}  # fmt: skip
    mid_epoch = MID_EPOCH[profile] if stage == 2 and dataset in LEAKING[profile] else {}
    if profile == "smoke":
        return training | _SMOKE | SMOKE_STAGE | mid_epoch | {"dataset": dataset, "synthetic": True}
    if dataset not in MINI:
        raise ValueError(f"no settings for {dataset!r} at profile mini; choose one of {', '.join(MINI)}, or a cell")
    own = MINI_SECOND if stage == 2 else MINI_FIRST_PAIR if dataset in PAIRS else MINI_FIRST
    return training | MINI_TRAINING | MINI[dataset] | own | mid_epoch | {"dataset": dataset}


def seeds_of(profile: str) -> Sequence[int]:
    """The seeds of a profile's runs outside the cells of the evidence."""
    if profile == "full":
        return STATED["seeds"]
    return range(2) if profile == "smoke" else MINI_SEEDS


def first_stage(
    profile: str,
    dataset: str,
    model: str | None = None,
    seeds: Seeds | None = None,
    method: Named = "none",
    **overrides: Any,
) -> list[RunSpec]:
    """Stage 1, without mixup: the row "no mixup" of the tables, and what every second stage starts from."""
    usual = {"full": STATED["model"], "mini": MINILM, "smoke": TINY}[check_profile(profile)]
    fields = settings(profile, dataset, 1) | {"model": model or usual, "keep_state": True} | overrides
    return method_runs([method], METHODS.__getitem__, seeds_or(seeds, seeds_of(profile)), paper=PAPER, **fields)


def second_stage(
    profile: str,
    dataset: str,
    methods: Iterable[Named],
    model: str | None = None,
    seeds: Seeds | None = None,
    **overrides: Any,
) -> list[RunSpec]:
    """Stage 2 of some methods, each seed from the best weights of its stage 1.

    Args:
        profile: ``smoke``, ``mini`` or ``full``.
        dataset: one of :data:`DATASETS`.
        methods: names, or names with parameters in place of the paper's; ``"none"`` is a second stage without mixup,
            with as many updates as the methods make.
        model, seeds, overrides: in place of the profile's; overrides are fields of ``RunSpec`` for the second stage.
    """
    fields = {"paper": PAPER} | settings(profile, dataset, 2) | overrides
    return [
        spec
        for first in first_stage(profile, dataset, model, seeds)
        for spec in method_runs(
            methods, METHODS.__getitem__, [first.seed], model=first.model, first_stage=first, **fields
        )
    ]


def both_stages(
    profile: str, methods: Iterable[str], only: Iterable[str] | None = None, model: str | None = None,
    seeds: Seeds | None = None,
) -> list[RunSpec]:  # fmt: skip
    """Stage 1, stage 2 without mixup and stage 2 of these methods, on all data sets of the paper or ``only`` some."""
    chosen = DATASETS if only is None else only
    stages = [(dataset, first_stage(profile, dataset, model, seeds)) for dataset in chosen]
    return [spec for _, firsts in stages for spec in firsts] + [
        spec for dataset, _ in stages for spec in second_stage(profile, dataset, ("none", *methods), model, seeds)
    ]


def _table(profile: str, methods: Iterable[str], **overrides: Any) -> list[RunSpec]:
    """Both stages of some methods: the paper's own protocol at ``full``, else the cells of the claims."""
    if check_profile(profile) == "full":
        return both_stages(profile, methods, **overrides)
    return table_runs(_cells(profile, TABLE_CELLS), profile, [FIRST, "none", *methods], **overrides)


def _cells(profile: str, names: Iterable[str]) -> list[Cell]:
    return [found for found in CELLS if found.name in names and (profile != "smoke" or found.name in SMOKE_CELLS)]


TABLE_CELLS = ("ssmix/sst2", "ssmix/trec_coarse", "ssmix/trec_fine", "ssmix/qnli")
RATIO_CELLS = ("ssmix/sst2", "ssmix/trec_coarse")
START_CELLS = ("ssmix/trec_coarse", "ssmix/trec_coarse from the start")
SMOKE_CELLS = ("ssmix/sst2", "ssmix/qnli")  # among those of the tables: single texts and pairs


def table2(profile: str, **overrides: Any) -> list[RunSpec]:
    """Tables 2 and A.1: five methods, at ``full`` on nine data sets, ANLI in three rounds."""
    return _table(profile, TABLE_2, **overrides)


def tableB1(profile: str, **overrides: Any) -> list[RunSpec]:
    """Table B.1: random replacement by the unknown token next to SSMix and its ablations."""
    return _table(profile, TABLE_B1, **overrides)


# Section 3.4 says that 0.1 is best, without numbers. A text of n tokens gives floor(lam0 n), but never less than one.
RATIOS = (0.01, 0.1, 0.5)
RATIO_DATASETS = ("rte", "trec_fine", "sst2")


def ratios(profile: str, **overrides: Any) -> list[RunSpec]:
    """SSMix with several shares lam0 (claim 13)."""
    if check_profile(profile) != "full":
        labels = [FIRST, "none", "ssmix", *OTHER_RATIOS]
        return table_runs(_cells(profile, RATIO_CELLS), profile, labels, **overrides)
    firsts = [spec for dataset in RATIO_DATASETS for spec in first_stage(profile, dataset, **overrides)]
    return firsts + [
        spec
        for dataset in RATIO_DATASETS
        for spec in second_stage(profile, dataset, [("ssmix", {"lam0": ratio}) for ratio in RATIOS], **overrides)
    ]


START_DATASETS = ("trec_coarse", "rte")


def from_the_start(profile: str, **overrides: Any) -> list[RunSpec]:
    """SSMix in two stages, and from the start for as many epochs at the first stage's learning rate (claim 14)."""
    if check_profile(profile) != "full":
        chosen = [found for found in CELLS if found.name in START_CELLS]
        return table_runs(chosen, profile, [FIRST, "none", "ssmix"], **overrides)
    specs: list[RunSpec] = []
    for dataset in START_DATASETS:
        specs += first_stage(profile, dataset, **overrides) + second_stage(profile, dataset, ["ssmix"], **overrides)
        first, second = (settings(profile, dataset, stage) for stage in (1, 2))
        epochs = first["num_train_epochs"] + second["num_train_epochs"]
        alone = {"method": "ssmix", "keep_state": False, "num_train_epochs": epochs}
        specs += first_stage(profile, dataset, **overrides | alone)
    return specs


def dropout_leak(profile: str, **overrides: Any) -> list[RunSpec]:
    """Every second stage of Table 2 with and without the dropout leak of the published code."""
    chosen = LEAKING[check_profile(profile)]
    return both_stages(profile, TABLE_2, only=chosen, **overrides) + [
        spec
        for dataset in chosen
        for spec in second_stage(profile, dataset, ("none", *TABLE_2), dropout_leak=True, **overrides)
    ]


# Figures 1, 3 and 4 draw two reviews whose words are only in the picture: these are ours, of ten tokens each as there,
# so that lam0 = 0.2 replaces two. Figure 5's sentences are the paper's.
REVIEWS = ("the plot is dull and the acting is simply awful", "a warm and charming film with a truly wonderful cast")
SENTENCE_PAIRS = (
    ("Fun for only children.", "Fun for adults and children."),
    ("Problems in data synthesis.", "Issues in data synthesis."),
)
DRAWN_LAM0 = {"lam0": 0.2}
DRAWN = {
    "sst2": {"texts": REVIEWS, "labels": (0, 1), "names": ("negative", "positive"),
             "methods": [{"method": name, "params": DRAWN_LAM0} for name in TABLE_B1]},
    "mnli": {"texts": SENTENCE_PAIRS, "labels": (2, 0), "names": ("contradiction", "entailment"),
             "methods": [{"method": "ssmix", "params": DRAWN_LAM0 | how} for how in ({}, {"saliency": "split"})]},
}  # fmt: skip
DRAWN_SIZES = {"smoke": {}, "mini": {"train_size": 2000, "num_train_epochs": 1, "eval_epochs": 1}, "full": {}}


def figures1_3_4_5(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[StudySpec]:
    """Two reviews and two pairs of sentences mixed by every input-level method, with a trained model."""
    return [
        study_of(spec, "mixed_texts", **drawn)
        for dataset, drawn in DRAWN.items()
        for spec in first_stage(
            profile,
            dataset,
            model,
            seeds_or(seeds, [0]),
            keep_state=False,
            **DRAWN_SIZES[check_profile(profile)],
        )
    ]


def figure2(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[StudySpec]:
    """Where sentence vectors of mixed texts lie relative to the segment between the originals' (claim 15)."""
    runs = first_stage(profile, "sst2", model, seeds, keep_state=False)
    return [study_of(spec, "off_the_segment", ratios=RATIOS_DRAWN, shown=2) for spec in runs]


RATIOS_DRAWN = (0.1, 0.3, 0.5)
TIMED = [
    {"label": "embedmix", "method": "embedmix", "params": METHODS["embedmix"]},
    {"label": "tmix", "method": "tmix", "params": METHODS["tmix"]},
    {"label": "ssmix", "method": "ssmix", "params": METHODS["ssmix"]},
    {"label": "ssmix_split", "method": "ssmix", "params": METHODS["ssmix"] | {"saliency": "split"}},
    *({"label": name, "method": name, "params": METHODS[name]} for name in TABLE_B1 if name != "ssmix"),
]


def step_time(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[StudySpec]:
    """Seconds a step of the second stage takes, in the paper's batches of 32 texts of up to 128 tokens.

    Below full, the cell that claims 11 and 12 read: questions of TREC, cut at 64 tokens.
    """
    if check_profile(profile) != "full":
        return STEP_TIME.on(model).specs(seeds_or(seeds, [FIRST_SEED]), profile=profile)
    few = {"train_size": 400, "batch_size": STATED["batch_size"], "max_length": STATED["max_length"], "dev_size": 0,
           "test_size": 16, "num_train_epochs": 1, "eval_epochs": 1, "keep_state": False}  # fmt: skip
    params = {"batches": 30, "padded": STATED["max_length"], "methods": TIMED}
    return [
        study_of(spec, "step_time", **params)
        for dataset in ("trec_coarse", "mrpc")
        for spec in first_stage(profile, dataset, model, seeds_or(seeds, [0]), **few)
    ]


# The cells of the claims: two stages on data sets at which the plain model learns. Every stage is scored at its end.
TWO_STAGES = {name: (name, METHODS[name]) for name in ("none", *TABLE_2, "unk")}
OTHER_RATIOS = {f"ssmix lam0={ratio:g}": ("ssmix", {"lam0": ratio}) for ratio in (0.01, 0.5)}
_TREC_RATES: dict[str, Any] = {"learning_rate": 4e-5, "first": {"learning_rate": 2e-4, "num_train_epochs": 5,
                                                               "eval_epochs": 5}}  # fmt: skip
_RATES: dict[str, Any] = {"learning_rate": 2e-5, "first": {"learning_rate": 1e-4, "num_train_epochs": 5,
                                                          "eval_epochs": 5}}  # fmt: skip
_SECOND: dict[str, Any] = {"num_train_epochs": 3, "eval_epochs": 3}
CELLS: tuple[Cell, ...] = (
    cell("ssmix/sst2", "sst2", TWO_STAGES | OTHER_RATIOS, train_size=400, test_size=1821, **_SECOND | _RATES),
    cell("ssmix/trec_coarse", "trec_coarse", TWO_STAGES | OTHER_RATIOS, train_size=500, test_size=500,
         **_SECOND | _TREC_RATES),
    cell("ssmix/trec_fine", "trec_fine", TWO_STAGES, train_size=1000, test_size=500, **_SECOND | _TREC_RATES),
    cell("ssmix/qnli", "qnli", TWO_STAGES, train_size=1000, test_size=1000, max_length=96, learning_rate=2e-5,
         num_train_epochs=1, eval_epochs=1,
         first={"learning_rate": 1e-4, "num_train_epochs": 2, "eval_epochs": 2}),
    cell("ssmix/trec_coarse from the start", "trec_coarse", {name: TWO_STAGES[name] for name in ("none", "ssmix")},
         train_size=500, test_size=500, learning_rate=2e-4, num_train_epochs=8, eval_epochs=1,
         says="mixing from the first update on"),
)  # fmt: skip

# Steps of the second stage, of the methods that the claims about time name
EVIDENCE_TIMED = [found for found in TIMED if found["label"] in ("embedmix", "tmix", "ssmix", "ssmix_split")]
STEP_TIME = StudyCell(
    name="ssmix/step time", study="step_time", dataset="trec_coarse", seeds=1,
    recipe=RECIPE | {"train_size": 400, "test_size": 16, "batch_size": STATED["batch_size"], "num_train_epochs": 1,
                     "eval_epochs": 1},
    params={"batches": 100, "padded": 64, "methods": EVIDENCE_TIMED}, smoke={"batches": 2},
    varied={name: {} for name in ("none", *(found["label"] for found in EVIDENCE_TIMED))},
    says="seconds of a step",
)  # fmt: skip
STUDY_CELLS: tuple[StudyCell, ...] = (
    STEP_TIME,
    StudyCell(
        name="ssmix/off the segment", study="off_the_segment", dataset="sst2",
        recipe=RECIPE | {"train_size": 400, "num_train_epochs": 6, "eval_epochs": 6, "test_size": 200},
        params={"ratios": RATIOS_DRAWN, "shown": 2}, smoke={"shown": 1},
        varied={f"{name} lam0={ratio:g}": {} for ratio in RATIOS_DRAWN for name in ("ssmix", "embedmix", "tmix")},
        says="where sentence vectors of mixed texts lie",
    ),
)  # fmt: skip
