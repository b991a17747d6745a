"""What the AMPLIFY paper did, and at what size it is repeated here.

``STATED`` are the paper's settings, ``CHOICES`` ours where it is silent, the same for every method of a table.
``PUBLISHED`` is what its code does differently, one factor at a time (notebook 52).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mixlib.evidence.cells import FIRST_SEED, RECIPE, Cell, StudyCell, cell, table_runs
from mixlib.papers.common import pool
from mixlib.runs import corpora
from mixlib.runs.checkpoints import MINILM, TINY
from mixlib.runs.machine import default_precision
from mixlib.runs.profiles import Named, Seeds, check_profile, method_runs, seeds_or, study_of
from mixlib.runs.spec import RunSpec
from mixlib.runs.studies import StudySpec

PAPER = "amplify"
DATASETS = ("mrpc", "sst2", "sst5", "trec_fine", "trec_coarse", "imdb", "yelp5")  # columns of Table 2
BASELINES = ("embedmix", "sentencemix", "tmix")
TABLE_2 = ("none", *BASELINES, "amplify")
DRAWS = (1, 3, 5, 7, 9, 20)  # Table 1
BLOCKS = (4, 8, 12)  # Table 4, of twelve

STATED: dict[str, Any] = {  # sections 3, 4.1 to 4.3
    "model": "bert-base-uncased",
    "small_model": "distilbert-base-uncased",
    "seeds": 3,
    "batch_size": 32,
    "max_length": 256,
    "num_train_epochs": 15,
    "early_stopping_patience": 5,
    "learning_rate": 2e-5,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "weight_decay": 0.01,
    "adam_epsilon": 1e-8,  # also the default of the Trainer
    "iterations": 12000,  # Figure 3 and section 5.3
}
METHODS: dict[str, dict[str, Any]] = {  # sections 3 and 4.2
    "none": {},
    "embedmix": {"alpha": 0.2},
    "sentencemix": {"alpha": 0.2},
    "tmix": {"alpha": 0.2},
    "amplify": {"alpha": 0.1, "n": 5},
}


def _whole(epochs: int) -> dict[str, int]:
    """This many epochs, with one evaluation at their end."""
    return {"num_train_epochs": epochs, "eval_epochs": epochs}


# Ours: seeds 0, 1, 2; casing of DistilBERT; the model's own dropout; no clipping; the epoch of the best accuracy on the
# development rows, which is also what early stopping looks at; scores on the test sets, whose labelled sizes fit the
# printed accuracies of MRPC, SST-2, SST-5 and TREC. "Yelp-5" is Yelp polarity: 560,000 rows, two classes, 97%. Where
# there is no development set, a quarter of the training rows is held out, as in the authors' code; for IMDb the
# development rows are cut from the test set, as for the other paper that uses it.
CHOICES: dict[str, Any] = {"max_grad_norm": 0.0, "dropout": None, "metric_for_best_model": "accuracy"}
FULL: dict[str, dict[str, Any]] = {
    "mrpc": {"train_size": 3668, "dev_size": 408, "test_size": 1725},
    "sst2": {"train_size": 67349, "dev_size": 872, "test_size": 1821},
    "sst5": {"train_size": 8544, "dev_size": 1101, "test_size": 2210},
    "trec_fine": {"train_size": 4089, "dev_size": 1363, "test_size": 500},
    "trec_coarse": {"train_size": 4089, "dev_size": 1363, "test_size": 500},
    "imdb": {"train_size": 25000, "dev_size": 3200, "test_size": 21800},
    "yelp5": {"train_size": 420000, "dev_size": 140000, "test_size": 38000},
}
FULL_DATA = {"yelp5": "yelp_polarity"}

# Tables and figures of scores read cells of the evidence at mini. Whatever else is studied has runs of its own, sized
# for two CPU cores. Learning rate and batch size are the best of 2e-4, 5e-4 and 1e-3 with batches of 32 and of 5e-4
# with 16, for the plain model on TREC-fine and SST-2 with a seed that no table uses; no mixup method was looked at.
# Runs are evaluated once, at their end, so nothing is chosen and no development rows are needed.
MINI_TRAINING: dict[str, Any] = {"learning_rate": 5e-4, "batch_size": 16, "group_by_length": True, "dev_size": 0}
MINI: dict[str, dict[str, Any]] = {
    "mrpc": _whole(2) | {"train_size": 64, "test_size": 80, "max_length": 48},
    "trec_fine": _whole(4) | {"train_size": 128, "test_size": 250, "max_length": 24},
}
MINI_SEEDS = range(6)
MINI_MORE_SEEDS = {"trec_fine": range(10)}  # short runs
MINI_SMALL = f"{MINILM}[::2]"  # every second block, as DistilBERT took from BERT, but not distilled again

_SMOKE = _whole(2) | {
    "learning_rate": 5e-3, "train_size": 64, "dev_size": 0, "test_size": 48, "max_length": 32, "batch_size": 16,
    "synthetic": True,
}  # fmt: skip
SMOKE_DATASETS = ("mrpc", "trec_fine")


def settings(profile: str, dataset: str) -> dict[str, Any]:
    """The fields of ``RunSpec`` that a profile sets for a data set, except method, model and seed.

    Raises:
        ValueError: a data set for which mini has no runs other than those of the evidence.
    """
    names = ("batch_size", "num_train_epochs", "learning_rate", "lr_scheduler_type", "warmup_ratio", "weight_decay")
    training = {name: STATED[name] for name in names} | CHOICES | {"dataset": dataset}
    training["precision"] = default_precision(check_profile(profile))
    if profile == "full":
        own = {name: STATED[name] for name in ("max_length", "early_stopping_patience")} | FULL[dataset]
        return training | own | {"dataset": FULL_DATA.get(dataset, dataset)}
    if profile == "smoke":
        return training | _SMOKE
    if dataset not in MINI:
        raise ValueError(
            f"mini has runs of its own on {' and '.join(MINI)} alone, got {dataset!r}; others are in CELLS"
        )
    return training | MINI_TRAINING | MINI[dataset]


def _seeds(profile: str, dataset: str, more_seeds: bool = False) -> Sequence[int]:
    if profile == "full":
        return range(STATED["seeds"])
    if profile == "smoke":
        return range(2)
    return MINI_MORE_SEEDS.get(dataset, MINI_SEEDS) if more_seeds else MINI_SEEDS


def runs(
    profile: str,
    dataset: str,
    methods: Iterable[Named],
    model: str | None = None,
    seeds: Seeds | None = None,
    more_seeds: bool = False,
    **overrides: Any,
) -> list[RunSpec]:
    """The runs of some methods on one data set; all methods get the same settings and seeds.

    Args:
        profile: ``smoke``, ``mini`` or ``full``.
        dataset: one of :data:`DATASETS`; at mini one of :data:`MINI`.
        methods: names, or names with parameters in place of the paper's.
        model, seeds, overrides: in place of the profile's; overrides are fields of ``RunSpec``.
        more_seeds: ten seeds if the profile has them for the data set, for comparisons that need them.
    """
    usual = {"full": STATED["model"], "mini": MINILM, "smoke": TINY}[check_profile(profile)]
    return method_runs(
        methods, METHODS.__getitem__, seeds_or(seeds, _seeds(profile, dataset, more_seeds)),
        paper=PAPER, model=model or usual, **(settings(profile, dataset) | overrides),
    )  # fmt: skip


def method_of(spec: RunSpec) -> str:
    """The row of Tables 2 to 4 that a run belongs to: ``amplify_block4`` for AMPLIFY in block 4 of twelve alone."""
    blocks = spec.method_params.get("blocks")
    return f"{spec.method}_block{blocks[0].partition('/')[0]}" if spec.method == "amplify" and blocks else spec.method


def _on_all(methods: Sequence[Named], **overrides: Any) -> list[RunSpec]:
    """The runs of some methods on all seven data sets, by the paper's own protocol."""
    return [spec for dataset in DATASETS for spec in runs("full", dataset, methods, **overrides)]


# Which cells of the evidence the tables and figures read below full, by profile: all that claims are judged on; at
# smoke, two. The pool has two more data sets, which are shown next to Table 2.
TABLE_2_ON = {
    "mini": ("amplify/mrpc", "common/sst2", "common/sst5", "common/trec_fine", "common/trec_coarse"),
    "smoke": ("amplify/mrpc", "common/trec_fine"),
}
BESIDE_TABLE_2 = {"mini": ("common/ag_news", "common/qnli"), "smoke": ()}
CONTROLS = ("label_smoothing", "none_long")  # without mixup: soft labels, and twice as many updates


def table2(profile: str, **overrides: Any) -> list[RunSpec]:
    """Five methods on seven data sets (Table 2); below full on those of the evidence, with two controls."""
    if check_profile(profile) == "full":
        return _on_all(TABLE_2, **overrides)
    names = TABLE_2_ON[profile] + BESIDE_TABLE_2[profile]
    return table_runs(_cells(names), profile, (*TABLE_2, *CONTROLS), **overrides)


def table1(profile: str, **overrides: Any) -> list[RunSpec]:
    """AMPLIFY with lam the largest of 1 to 20 draws, and the plain model beside it (Table 1)."""
    if check_profile(profile) == "full":
        return _on_all(["none", *(("amplify", {"n": n}) for n in DRAWS)], **overrides)
    return table_runs(_cells(["amplify/trec_coarse draws"]), profile, (*TWO, *DRAWN), **overrides)


def table3(profile: str, model: str | None = None, **overrides: Any) -> list[RunSpec]:
    """A model of half the depth with and without AMPLIFY, and the whole one beside it (Table 3).

    Args:
        profile: ``smoke``, ``mini`` or ``full``.
        model: in place of the model of half the depth.
        **overrides: of all runs.
    """
    if check_profile(profile) == "full":
        names = (model or STATED["small_model"], None)
        return [spec for name in names for spec in _on_all(("none", "amplify"), model=name, **overrides)]
    small, whole = _cells(["amplify/trec_coarse half model", "common/trec_coarse"])
    return [
        *table_runs([small], profile, TWO, model=model, **overrides), *table_runs([whole], profile, TWO, **overrides)
    ]  # fmt: skip


TABLE_4_ON = ("amplify/trec_coarse draws", "amplify/sst5 blocks")


def table4(profile: str, **overrides: Any) -> list[RunSpec]:
    """AMPLIFY in one block alone, 4, 8 or 12 of twelve, in all blocks, and not at all (Table 4)."""
    if check_profile(profile) == "full":
        methods = ["none", "amplify", *(("amplify", {"blocks": [f"{block}/12"]}) for block in BLOCKS)]
        return _on_all(methods, **overrides)
    return table_runs(_cells(TABLE_4_ON), profile, (*TWO, *SINGLE), **overrides)


# The published comparison's three differences between AMPLIFY and its baselines, one at a time, then together
PUBLISHED: dict[str, dict[str, Any]] = {
    "labels": {"label_perm": "independent"},  # of the baselines' method_params
    "head": {"head": "published"},
    "schedule": {"schedule": "published"},
}


def padding(profile: str, **overrides: Any) -> list[RunSpec]:
    """With and without AMPLIFY, in batches of texts of similar length and of any length, which need more padding (claim
    6)."""
    if check_profile(profile) == "full":
        return [
            spec
            for grouped in (True, False)
            for spec in runs("full", "sst2", ("none", "amplify"), **{"group_by_length": grouped} | overrides)
        ]
    return table_runs(_cells(["amplify/sst2 by length", "common/sst2"]), profile, TWO, **overrides)


LOSS_EPOCHS = 105  # 12,000 updates of MRPC


def figure3(profile: str, **overrides: Any) -> list[RunSpec]:
    """Training loss of MRPC over more updates than Table 2 has, and without early stopping (Figure 3).

    Below full, the runs of Table 2 on MRPC and on single texts.
    """
    if check_profile(profile) == "full":
        longer = _whole(LOSS_EPOCHS) | {"early_stopping_patience": None}
        return runs(profile, "mrpc", TABLE_2, **longer | overrides)
    return table_runs(_cells(TABLE_2_ON[profile]), profile, TABLE_2, **overrides)


TIMED = [{"label": method, "method": method, "params": METHODS[method]} for method in TABLE_2 if method != "none"]


def step_time(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[StudySpec]:
    """Seconds a training step takes on MRPC, in the paper's batches of 32 texts of up to 256 tokens.

    Below full, the cell that claims 9 and 10 read: batches of 16 texts of up to 96 tokens.
    """
    if check_profile(profile) != "full":
        return STEP_TIME.on(model).specs(seeds_or(seeds, [FIRST_SEED]), profile=profile)
    few = {"train_size": 400, "batch_size": 32, "max_length": STATED["max_length"], "dev_size": 0, "test_size": 16,
           "early_stopping_patience": None} | _whole(1)  # fmt: skip
    params = {"batches": 30, "padded": STATED["max_length"], "methods": TIMED}
    specs = runs(profile, "mrpc", ["none"], model, seeds_or(seeds, [0]), **few)
    return [study_of(spec, "step_time", **params) for spec in specs]


LOOKED_AT = {"smoke": 4, "mini": 120, "full": 500}  # pairs of sentences in addition to the paper's
LONGER = {"smoke": {}, "mini": _whole(3) | {"train_size": 128}, "full": {}}


def attention(profile: str, model: str | None = None, seeds: Seeds | None = None) -> list[StudySpec]:
    """Attention of the sentences of Figures 4 to 7 and of many others, after training on MRPC with each method.

    Which data set the paper's models were trained on is not stated; MRPC has pairs of sentences, as the figures have.
    """
    specs = runs(profile, "mrpc", ("none", "embedmix", "amplify"), model, seeds, **LONGER[check_profile(profile)])
    params = {"blocks": ["4/12", "1/12"], "pairs": LOOKED_AT[profile]}
    return [study_of(spec, "attention", keep=spec.seed == min(s.seed for s in specs), **params) for spec in specs]


FAIR_ON = {"full": ("mrpc", "trec_fine"), "mini": ("mrpc", "trec_fine"), "smoke": SMOKE_DATASETS}


def fairness(profile: str, **overrides: Any) -> list[RunSpec]:
    """Table 2's methods as the paper says and as its code does: labels, head, schedule, one at a time, then all.

    The plain model is also run with AMPLIFY's head, which no row of the paper has. Single texts have one token type, so
    leaving types out changes nothing there and is not run.
    """
    specs: list[RunSpec] = []
    unrelated = [(method, PUBLISHED["labels"]) for method in BASELINES]
    for dataset in FAIR_ON[check_profile(profile)]:
        fields = {"profile": profile, "dataset": dataset, "more_seeds": True, **overrides}
        untyped = PUBLISHED["head"] if corpora.get(dataset).is_pair else {}
        swinging = PUBLISHED["schedule"]
        specs += runs(methods=TABLE_2, **fields)
        specs += runs(methods=unrelated, **fields)
        specs += runs(methods=("none", *BASELINES) if untyped else (), **fields | untyped)
        specs += runs(methods=["amplify"], **fields | PUBLISHED["head"])
        specs += runs(methods=["none"], **fields | {"head": "mean"})
        specs += runs(methods=TABLE_2, **fields | swinging)
        specs += runs(methods=["none", *unrelated], **fields | untyped | swinging)
        specs += runs(methods=["amplify"], **fields | PUBLISHED["head"] | swinging)
    return list(dict.fromkeys(specs))


FAIR_CELLS = tuple(f"amplify/trec_fine {what}" for what in ("own head", "mean head", "trained pooler"))


def heads(profile: str, **overrides: Any) -> list[RunSpec]:
    """The heads once more, on TREC-fine with 1,000 rows and the recipe of the evidence; and with a pooler that was
    trained before the methods are compared. At full, the runs of :func:`fairness` that show the heads there.
    """
    if check_profile(profile) == "full":
        there = [spec for spec in fairness(profile, **overrides) if spec.method in TWO]
        return [spec for spec in there if (spec.dataset, spec.schedule) == ("trec_fine", "stated")]
    return table_runs(_cells(FAIR_CELLS), profile, **overrides)


NOISE = (0.1, 0.2)
NOISE_ON = ("mrpc", "trec_fine")


def noise(profile: str, **overrides: Any) -> list[RunSpec]:
    """Table 2's methods with a tenth and a fifth of the training labels wrong (claim 15; not in the paper).

    Below full, only a fifth.
    """
    if check_profile(profile) == "full":
        return [
            spec
            for share in (0.0, *NOISE)
            for dataset in NOISE_ON
            for spec in runs("full", dataset, TABLE_2, **({"label_noise": share} if share else {}), **overrides)
        ]
    return table_runs(_cells(["common/trec_coarse", "amplify/trec_coarse 20% noise"]), profile, TABLE_2, **overrides)


# The cells of the claims besides the pool; the first has the pool's runs, plus more draws and single blocks
DRAWN = {f"amplify n={n}": ("amplify", METHODS["amplify"] | {"n": n}) for n in DRAWS if n != METHODS["amplify"]["n"]}
SINGLE = {f"amplify block {block}": ("amplify", METHODS["amplify"] | {"blocks": [f"{block}/12"]}) for block in BLOCKS}
FIVE = {name: pool.METHODS[name] for name in TABLE_2}
TWO = {name: pool.METHODS[name] for name in ("none", "amplify")}
CELLS: tuple[Cell, ...] = (
    pool.cell_as_in("trec_coarse", "amplify/trec_coarse draws", TWO | DRAWN | SINGLE, paper=pool.PAPER, seeds=12),
    pool.cell_as_in("sst5", "amplify/sst5 blocks", TWO | SINGLE, paper=pool.PAPER),
    pool.cell_as_in("sst2", "amplify/sst2 by length", TWO, group_by_length=True, says="batches with little padding"),
    pool.cell_as_in("trec_coarse", "amplify/trec_coarse half model", TWO, model=MINI_SMALL),
    pool.cell_as_in("trec_coarse", "amplify/trec_coarse 20% noise", FIVE, label_noise=0.2),
    cell("amplify/mrpc", "mrpc", {name: FIVE[name] for name in ("none", "embedmix", "amplify")}, train_size=3668,
         num_train_epochs=3, eval_epochs=1, dev_size=400, test_size=1725, max_length=96),
    pool.cell_as_in("trec_fine", "amplify/trec_fine own head", TWO, paper=pool.PAPER,
                    says="to compare other heads with"),
    pool.cell_as_in("trec_fine", "amplify/trec_fine mean head", TWO, head="mean", max_length=32,
                    says="AMPLIFY as published"),
    pool.cell_as_in("trec_fine", "amplify/trec_fine trained pooler", FIVE, num_train_epochs=4,
                    first={"num_train_epochs": 4}, says="the pooler has been trained before methods are compared"),
)  # fmt: skip

STEP_TIME = StudyCell(
    name="amplify/step time", study="step_time", dataset="mrpc", seeds=1,
    recipe=RECIPE | _whole(1) | {"train_size": 400, "test_size": 16, "max_length": 96},
    params={"batches": 100, "padded": 96, "methods": TIMED}, smoke={"batches": 2},
    varied={name: {} for name in TABLE_2}, says="seconds of a step",
)  # fmt: skip
STUDY_CELLS: tuple[StudyCell, ...] = (
    STEP_TIME,
    StudyCell(
        name="amplify/attention", study="attention", dataset="qnli",
        recipe=RECIPE | _whole(3) | {"train_size": 2000, "test_size": 1000, "max_length": 96},
        params={"blocks": ["4/12", "1/12"], "pairs": 120, "keep": True}, smoke={"pairs": 4},
        varied={name: {"method": method, "method_params": params}
                for name, (method, params) in FIVE.items() if name in ("none", "embedmix", "amplify")},
        says="attention after the pool's training on pairs",
    ),
)  # fmt: skip


def _cells(names: Iterable[str]) -> list[Cell]:
    """Cells of the pool and of this paper by name."""
    known = {found.name: found for found in (*pool.POOL, *CELLS)}
    return [known[name] for name in names]
