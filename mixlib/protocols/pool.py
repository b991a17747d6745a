"""The pool: all methods under one recipe a data set, on the same rows.

Every table that needs no protocol of its own reads its runs.
"""

from __future__ import annotations

from typing import Any

from mixlib.protocols.cells import Cell, cell

PAPER = "common"
# Each paper's own parameters; SSMix and the plain model of twice the updates cost two plain steps, all others one
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("none", {}),
    "none_long": ("none_long", {"updates": 2}),
    "label_smoothing": ("label_smoothing", {}),
    "eda": ("eda", {}),
    "cls_mixup": ("cls_mixup", {"alpha": 1.0}),
    "input_mixup": ("input_mixup", {"alpha": 1.0}),
    "manifold_mixup": ("manifold_mixup", {"alpha": 1.0}),
    "embedmix": ("embedmix", {"alpha": 0.2}),
    "tmix": ("tmix", {"alpha": 0.2}),
    "sentencemix": ("sentencemix", {"alpha": 0.2}),
    "amplify": ("amplify", {"alpha": 0.1, "n": 5}),
    "ssmix": ("ssmix", {"lam0": 0.1}),
    "batchmixup": (
        "batchmixup",
        {"alpha": 1.0, "n_per_row": 75, "policy": "elementwise", "objective": "softmax"},
    ),
}
POOL: tuple[Cell, ...] = (
    cell("common/sst2", "sst2", METHODS, train_size=400, num_train_epochs=6, test_size=1821),
    cell("common/ag_news", "ag_news", METHODS, train_size=400, num_train_epochs=6, test_size=1000),
    cell("common/trec_coarse", "trec_coarse", METHODS, train_size=500, num_train_epochs=6, test_size=500,
         learning_rate=2e-4),
    cell("common/trec_fine", "trec_fine", METHODS, train_size=1000, num_train_epochs=8, test_size=500,
         learning_rate=2e-4),
    cell("common/banking77", "banking77", METHODS, train_per_class=10, num_train_epochs=8, test_size=1500,
         learning_rate=2e-4),
    cell("common/sst5", "sst5", METHODS, train_size=1000, num_train_epochs=4, test_size=2000),
    cell("common/qnli", "qnli", METHODS, train_size=2000, num_train_epochs=3, test_size=1000, max_length=96,
         eval_epochs=1),
)  # fmt: skip
SENSITIVITY = tuple(found.with_rate(factor) for found in (POOL[0], POOL[2]) for factor in (0.5, 2.0))
