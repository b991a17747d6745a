"""Descriptions of the chapters' pictures for readers who cannot see them: how to read each one, true at every profile.

The numbers that a picture shows are in the tables and the text around it.
"""

from __future__ import annotations

import re

_DIFFERENCES = (
    "Three panels, for score, loss and calibration error: each mixup method's difference from no mixup, with one group "
    "of rows per data set and size and 95% intervals. Filled marks: as trained; hollow marks: after temperature "
    "scaling; black bars: printed values."
)
_RELIABILITY = (
    "Reliability diagrams, one column per method: accuracy of the test rows by the confidence of their prediction, "
    "with the diagonal of a calibrated model and hatching between confidence and accuracy; small bars show how many "
    "rows each bin has. Top: as trained. Bottom: after temperature scaling."
)
_BY_SETTING = (
    "Top: the printed accuracies. Bottom: the measured ones with 95% intervals and one grey line per seed. Dashed: no "
    "mixup."
)

# by the name under which a notebook saves its figure
WORDS = {
    "10_batchmixup_figure1/panels": (
        "Three scatter plots of two Gaussian classes in the plane: all test points; the ten training points of one "
        "draw with the two regions that the plain model learns; the same with BatchMixup."
    ),
    "10_batchmixup_figure1/draws": (
        "Two panels, one for each learning rate, with one row per method: the accuracy of every draw as a small dot, "
        "and the mean with its 95% interval; a dashed line marks the mean of no mixup."
    ),
    "10_batchmixup_figure1/objectives": (
        "Four line plots over updates, for the printed loss and for the softmax version: loss, accuracy on the batch, "
        "cosine of the two class vectors, mean length of a class vector."
    ),
    "11_batchmixup_table1/accuracy": (
        "Accuracy against the amount of training data, one column per data set and one line per method: printed above, "
        "measured with 95% intervals below."
    ),
    "12_batchmixup_epoch_time/ratio": (
        "Time of an epoch in plain epochs against the number of mixed points n, one line per method with 95% intervals "
        "over batches; a black bar marks the printed value for pairwise mixup."
    ),
    "13_batchmixup_geometry/points": (
        "The sentence vectors of a batch and the points mixed from them on the first two principal axes, one panel "
        "for each way to draw the weights."
    ),
    "13_batchmixup_geometry/policies": (
        "Four panels with one row for each way to draw the weights and one colour per batch size: distance of the "
        "mixed points from the batch's mean, side of their bounding box, effective rank, and distance to the nearest "
        "segment between two rows, each relative to the original rows."
    ),
    "13_batchmixup_geometry/trained": (
        "Accuracy after training on the points of each policy against their distance from the batch's mean, with 95% "
        "intervals and one colour and mark per family of policies, hollow where the loss is a cross-entropy; lines "
        "mark no mixup and the largest class."
    ),
    "21_calibration_figure1/manifold_mixup": (
        "Drawing: two texts go through the embeddings and the first blocks separately. Their hidden states are added "
        "with weights lambda and one minus lambda, and the sum continues through the other blocks to the class layer. "
        "Their one-hot labels are added with the same weights."
    ),
    "22_calibration_table2/differences": _DIFFERENCES,
    "22_calibration_table2/reliability_{size}": _RELIABILITY,
    "23_calibration_table3/differences": _DIFFERENCES,
    "23_calibration_table3/reliability_{size}": _RELIABILITY,
    "24_calibration_table4/differences": _DIFFERENCES,
    "24_calibration_table4/reliability_{dataset}": _RELIABILITY,
    "25_calibration_table5/paddings": (
        "One row for each way to fill the shorter text: measured mean accuracy with its 95% interval, every seed as a "
        "grey dot, the printed number as a black bar. Dashed: no mixup."
    ),
    "26_calibration_figure2/test_loss": (
        "Test loss over training steps with 95% bands, one panel per data set: no mixup and CLS MixUp."
    ),
    "32_ssmix_table2_tableA1/differences": (
        "One panel per data set and one for their mean, with one row per method: accuracy after the second stage minus "
        "that of a second stage without mixup, with 95% intervals; black bars are printed gains over stage 1."
    ),
    "33_ssmix_tableB1/ratio": (
        "Accuracy (top) and test loss (bottom) against the share of tokens that SSMix replaces, one column per data "
        "set, with 95% intervals and one grey line per seed. Dotted: the paper's share."
    ),
    "34_ssmix_figure2/segment": (
        "Left: sentence vectors of mixed texts and the segment between the two originals, for one pair. Right: mean "
        "distance from the segment by share replaced, for SSMix, EmbedMix and TMix, with 95% intervals."
    ),
    "35_ssmix_step_time/ratio": (
        "One panel per data set, one row per method: time of a training step relative to a plain step on the same "
        "texts, with one dot per batch and a diamond for their geometric mean."
    ),
    "35_ssmix_step_time/stages": (
        "Accuracy by epoch with 95% intervals for four plans: plain then SSMix, plain then plain, SSMix from the "
        "start, plain from the start. Left: all epochs. Right: from the end of the first stage."
    ),
    "36_ssmix_dropout_leak/effects": (
        "Left: the effect of the dropout leak on each method, in points of accuracy. Right: the lead of SSMix over "
        "each method, without the leak and with it. All with 95% intervals."
    ),
    "40_amplify_figures1_2/figure1": (
        "Drawing of one block: after attention, residual and norm, the rows of the batch are copied in the order of a "
        "permutation and added to the originals, with weights lambda and one minus lambda, before the feed-forward "
        "part. The labels are mixed with the same weights."
    ),
    "40_amplify_figures1_2/figure2": (
        "Left: densities of the Beta distribution for four values of alpha. Right: share of batches in which the "
        "second row has at least a given weight, for the largest of n draws and for the folded draw of the baselines."
    ),
    "41_amplify_table1/draws": f"Accuracy by the number of draws. {_BY_SETTING}",
    "42_amplify_table2/differences": (
        "One group of rows per data set: the accuracy of each method minus that of no mixup, with 95% intervals; black "
        "bars are printed values."
    ),
    "42_amplify_table2/label_noise": (
        "Test accuracy with correct training labels and with some that are wrong, one line per method with 95% "
        "intervals."
    ),
    "43_amplify_table3/differences": (
        "AMPLIFY's accuracy minus that of no mixup, with half of the blocks and with the whole model, with 95% "
        "intervals; black bars are printed values."
    ),
    "44_amplify_table4/blocks": f"Accuracy by the block that is mixed, one column per data set. {_BY_SETTING}",
    "45_amplify_figure3/loss": (
        "Training cross-entropy over updates, one panel per data set and one line per method, with bands over seeds."
    ),
    "45_amplify_figure3/step_times": (
        "One row per method: time of a training step relative to a plain step on the same texts, one dot per batch "
        "and a diamond for their geometric mean."
    ),
    "46_amplify_figures4_5_6/figure4": (
        "Attention between the words of two sentences as lines from left to right, for AMPLIFY, EmbedMix and no "
        "mixup: solid within a sentence, dashed across the separator, grey from or to special tokens; thicker is "
        "stronger."
    ),
    "46_amplify_figures4_5_6/figure5": (
        "The same lines from the word rabbit alone, for AMPLIFY, EmbedMix and no mixup."
    ),
    "46_amplify_figures4_5_6/many_pairs": (
        "Five panels with one row per method: percent of attention that crosses the separator, and of a subject's "
        "attention to verbs that goes to its own verb, on the paper's pair and on many others; means with 95% "
        "intervals over seeds."
    ),
    "46_amplify_figures4_5_6/figure6": (
        "Heat maps for AMPLIFY (top) and EmbedMix (bottom): the query of the word it, the keys of all words, their "
        "products dimension by dimension, and the resulting attention as bars."
    ),
    "46_amplify_figures4_5_6/references": (
        "Four panels with one row per method: percent of the attention of the word it that goes to animal, to too and "
        "tired, and to film, and the right noun's share of what two nouns get in twenty sentences; 95% intervals over "
        "seeds."
    ),
    "47_amplify_figure7/graph": (
        "Three circles of words, for AMPLIFY, EmbedMix and no mixup: lines are strong attention in the first block, "
        "and the colour of a word shows how much attention it gets from the word it."
    ),
    "50_claims/forest": (
        "Forest plot of all claims, grouped by paper: estimate in multiples of the smallest difference that matters, "
        "95% interval, printed size as a black bar; colour and marker show the verdict."
    ),
    "51_common_protocol/against_plain": (
        "Four panels with one row per method: its gain over no mixup in accuracy, loss, calibration error and Brier "
        "score, with 95% intervals, filled as trained and hollow after temperature scaling; differences in the grey "
        "band are too small to matter."
    ),
    "51_common_protocol/gain_against_cost": (
        "Two scatter plots with one mark per method, without BatchMixup, which lies far below: accuracy gained, and "
        "loss saved after temperature scaling, against training time relative to a plain run. The grey line joins the "
        "methods that no cheaper one beats."
    ),
    "52_amplify_fairness/leads": (
        "AMPLIFY's accuracy minus that of each other method, one column per data set: as the paper states the methods, "
        "with each of three features of the published code, and with all three. With 95% intervals; dotted lines are "
        "the printed leads."
    ),
    "52_amplify_fairness/loss": (
        "Training cross-entropy over updates, one column per data set: AMPLIFY, and EmbedMix and TMix with labels that "
        "belong to their inputs and with unrelated ones."
    ),
    "53_your_own_data/differences": (
        "Panels with one row per method: its difference from plain fine-tuning in accuracy, loss, calibration error "
        "and Brier score, as trained and after temperature scaling, with 95% intervals over seeds."
    ),
    "54_playground/temperatures": (
        "Reliability diagrams, with one column for no mixup and one for Manifold MixUp, and one row per temperature: "
        "accuracy of the test rows by confidence, with the diagonal of a calibrated model; small bars show how many "
        "rows each bin has."
    ),
}

_SAVED = re.compile(r'\bsave\(\s*\w+,\s*f?"([^"]+)"')


def of_code(source: str) -> str | None:
    """The words for the figures of a code cell, by the name it saves them under; ``None`` where there are none."""
    found = _SAVED.search(source)
    return WORDS.get(found[1]) if found else None
