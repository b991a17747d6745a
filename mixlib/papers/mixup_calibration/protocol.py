"""What the MixUp-calibration paper did, and at what size it is repeated here.

``TABLE_6`` are the paper's settings, ``FULL`` its sizes. ``CHOICES`` are values the paper does not state: they are
ours, and the same for every method. Profiles ``smoke`` and ``mini`` run the cells of the claims instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mixlib.evidence.cells import Cell, cell, table_runs
from mixlib.methods.mixup_calibration import PADDINGS
from mixlib.papers.common import pool
from mixlib.runs.machine import default_precision
from mixlib.runs.profiles import Named, Seeds, check_profile, method_runs, seeds_or
from mixlib.runs.spec import RunSpec

PAPER = "mixup_calibration"
FEW = {"imdb": 32, "ag_news": 32, "sst2": 64}  # section 3.3 and appendix B
VARIANTS = ("none", "cls_mixup", "input_mixup", "manifold_mixup")
METRIC = {"cola": "mcc"}  # Table 1; accuracy elsewhere

TABLE_6: dict[str, dict[str, Any]] = {
    "imdb": {"learning_rate": 1e-5, "batch_size": 16, "num_train_epochs": 10, "dropout": 0.1, "max_length": 128},
    "ag_news": {"learning_rate": 2e-5, "batch_size": 16, "num_train_epochs": 10, "dropout": 0.1, "max_length": 128},
    "cola": {"learning_rate": 2e-5, "batch_size": 16, "num_train_epochs": 5, "dropout": 0.1, "max_length": 128},
    "rte": {"learning_rate": 3e-5, "batch_size": 16, "num_train_epochs": 5, "dropout": 0.1, "max_length": 128},
    "boolq": {"learning_rate": 2e-5, "batch_size": 16, "num_train_epochs": 10, "dropout": 0.1, "max_length": 256},
}
ALPHA = {"imdb": 1.0, "ag_news": 1.0, "cola": 0.75, "rte": 1.0, "boolq": 1.0}  # Table 6

CHOICES: dict[str, Any] = {  # clipping at 1.0 is the Trainer's default
    "lr_scheduler_type": "linear", "warmup_ratio": 0.1, "weight_decay": 0.01, "max_grad_norm": 1.0,
}  # fmt: skip
SST2_CHOICES: dict[str, Any] = {  # Table 6 has no SST-2 row
    "learning_rate": 2e-5, "batch_size": 16, "num_train_epochs": 10, "dropout": 0.1, "max_length": 128,
}  # fmt: skip
SST2_ALPHA = 1.0  # ours as well
LAYERS = None  # the eligible set of Manifold MixUp is not stated: every layer, 0 to n + 1

# Sizes at which the labels of the official test sets are public. CoLA, RTE and BoolQ have none (inconsistencies.md):
# the epoch is chosen on the split that is reported there, as the paper's wording allows; records keep every epoch.
FULL: dict[str, dict[str, Any]] = {
    "imdb": {"train_size": 25000, "dev_size": 3200, "test_size": 21800},
    "ag_news": {"train_size": 120000, "dev_size": 2400, "test_size": 5200},
    "cola": {"train_size": 8551, "dev_size": 0, "test_size": 1043},
    "rte": {"train_size": 2490, "dev_size": 0, "test_size": 277},
    "boolq": {"train_size": 9427, "dev_size": 0, "test_size": 3270},
    "sst2": {"train_size": 64, "dev_size": 872, "test_size": 1821},
}


def runs(
    dataset: str,
    few: bool,
    methods: Iterable[Named],
    model: str | None = None,
    seeds: Seeds | None = None,
    **overrides: Any,
) -> list[RunSpec]:
    """The paper's own runs of some methods on one data set (profile ``full``), with the same settings and seeds.

    Args:
        dataset: see :data:`TABLE_6`, or ``sst2``.
        few: with the few training examples of section 3.3 instead of the large set.
        methods: names, or names with parameters.
        model, seeds, overrides: in place of the paper's; overrides are fields of ``RunSpec``.
    """
    paper = SST2_CHOICES if dataset == "sst2" else TABLE_6[dataset]
    settings = CHOICES | paper | FULL[dataset] | ({"train_size": FEW[dataset]} if few else {})
    alpha = {"alpha": ALPHA.get(dataset, SST2_ALPHA)}
    return method_runs(
        methods, lambda name: {} if name == "none" else alpha, seeds_or(seeds, range(5)),
        paper=PAPER, dataset=dataset, model=model or "bert-base-uncased",
        metric_for_best_model=METRIC.get(dataset, "accuracy"),
        **(settings | {"precision": default_precision("full")} | overrides),
    )  # fmt: skip


def size_label(spec: RunSpec) -> str:
    """The row of the paper a run belongs to: ``"32"`` (``"64"`` for SST-2) or ``"full"``."""
    few = FEW.get(spec.dataset)
    is_few = few and (spec.train_size == few or spec.dataset not in TABLE_6)
    return str(few) if is_few else "full"


# The cells of the claims: few examples, where the plain model overfits, and the paddings of Table 5. That of AG News
# has the pool's runs, of these methods alone, so that it can have more seeds than the pool
MIXED = {name: pool.METHODS[name] for name in VARIANTS}
LATE = {"cls_mixup_late": ("cls_mixup_late", {"alpha": 1.0})}
PADDED = {f"input_mixup {padding}": ("input_mixup", {"alpha": 1.0, "padding": padding}) for padding in PADDINGS}
_FEW_ROWS: dict[str, Any] = {"dev_size": 200, "learning_rate": 2e-4, "seeds": 12}
CELLS: tuple[Cell, ...] = (
    cell("mixup_calibration/imdb", "imdb", MIXED, train_size=400, num_train_epochs=6, test_size=1000),
    pool.cell_as_in("ag_news", "mixup_calibration/ag_news", MIXED, paper=pool.PAPER),
    cell("mixup_calibration/imdb-32", "imdb", MIXED, train_size=32, num_train_epochs=12, eval_epochs=3, test_size=1000,
         **_FEW_ROWS),
    cell("mixup_calibration/ag_news-32", "ag_news", MIXED, train_size=32, num_train_epochs=40, eval_epochs=10,
         test_size=1000, **_FEW_ROWS),
    cell("mixup_calibration/sst2-64", "sst2", MIXED | PADDED, train_size=64, num_train_epochs=20, eval_epochs=5,
         test_size=1821, **_FEW_ROWS),
    cell("mixup_calibration/cola", "cola", MIXED | LATE, train_size=2000, num_train_epochs=6, eval_epochs=1,
         test_size=1043, max_length=32, says="overfitting: loss and ECE"),
)  # fmt: skip


def _of_cells(names: Sequence[str], profile: str, labels: Iterable[str] = VARIANTS, **overrides: Any) -> list[RunSpec]:
    """The runs of some cells at ``smoke`` and ``mini``; at ``smoke``, where all cells have one size, only the first of
    each data set."""
    found = [{found.name: found for found in (*pool.POOL, *CELLS)}[name] for name in names]
    if profile == "smoke":
        found = list({cell.dataset: cell for cell in reversed(found)}.values())[::-1]
    return table_runs(found, profile, labels, **overrides)


def table2(profile: str, **overrides: Any) -> list[RunSpec]:
    """IMDb, all and 32 examples: accuracy, loss, ECE of the plain model and three MixUp variants."""
    if check_profile(profile) == "full":
        return [spec for few in (False, True) for spec in runs("imdb", few, VARIANTS, **overrides)]
    return _of_cells(["mixup_calibration/imdb", "mixup_calibration/imdb-32"], profile, **overrides)


def table3(profile: str, **overrides: Any) -> list[RunSpec]:
    """AG News, all and 32 examples: as Table 2."""
    if check_profile(profile) == "full":
        return [spec for few in (False, True) for spec in runs("ag_news", few, VARIANTS, **overrides)]
    return _of_cells(["mixup_calibration/ag_news", "mixup_calibration/ag_news-32"], profile, **overrides)


def table4(profile: str, **overrides: Any) -> list[RunSpec]:
    """CoLA with all variants, RTE and BoolQ with CLS MixUp, and the late CLS MixUp of claim 15 on CoLA and RTE. In
    addition to CoLA the cells have QNLI with all variants, in place of RTE and BoolQ, which are not learned at their
    size."""
    if check_profile(profile) == "full":
        return [
            *runs("cola", False, (*VARIANTS, "cls_mixup_late"), **overrides),
            *runs("rte", False, ("none", "cls_mixup", "cls_mixup_late"), **overrides),
            *runs("boolq", False, ("none", "cls_mixup"), **overrides),
        ]
    return _of_cells(["mixup_calibration/cola", "common/qnli"], profile, [*VARIANTS, *LATE], **overrides)


def table5(profile: str, **overrides: Any) -> list[RunSpec]:
    """SST-2 with 64 examples: Input MixUp with seven paddings, and the plain model beside them."""
    if check_profile(profile) == "full":
        methods = ["none", *(("input_mixup", {"padding": padding}) for padding in PADDINGS)]
        return runs("sst2", True, methods, **overrides)
    return _of_cells(["mixup_calibration/sst2-64"], profile, ["none", *PADDED], **overrides)


def figure2(profile: str, **overrides: Any) -> list[RunSpec]:
    """Test loss over training of the plain model and CLS MixUp: runs of Table 4."""
    return [spec for spec in table4(profile, **overrides) if spec.method in ("none", "cls_mixup")]


def tables2_3_4(profile: str, **overrides: Any) -> list[RunSpec]:
    """All runs whose loss and calibration the paper prints, for questions about its data sets together."""
    return [spec for table in (table2, table3, table4) for spec in table(profile, **overrides)]
