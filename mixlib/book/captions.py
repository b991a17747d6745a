"""Words in place of each picture of the chapters, for readers who do not see it: how to read it, true at every profile.

What a picture shows in numbers stands in the tables and the text beside it.
"""

from __future__ import annotations

import re

_DIFFERENCES = (
    "Three panels, for score, loss and calibration error: how far each mixup method is from no mixup, a row a data set "
    "and size. Filled marks with 95% intervals are measured as trained, hollow ones after temperature scaling, black "
    "bars are printed."
)
_RELIABILITY = (
    "Reliability diagrams, a column a method: accuracy of the test rows by confidence of their prediction, beside the "
    "diagonal of a calibrated model, with hatching where confidence is above accuracy; small bars say how many rows "
    "each bin has. Above as trained, below after temperature scaling."
)
_BY_SETTING = (
    "Above the printed accuracies, below the measured ones with 95% intervals and a grey line a seed; dashed: no mixup."
)

# by the name under which a notebook saves its figure
WORDS = {
    "10_batchmixup_figure1/panels": (
        "Three scatter plots of two Gaussian classes in the plane: all test points; the ten training points of one "
        "draw with the two regions that the plain model learns; the same with BatchMixup."
    ),
    "10_batchmixup_figure1/draws": (
        "Two panels, one for each learning rate, with a row a method: the accuracy of every draw as a small dot and "
        "the mean with its 95% interval; a dotted line marks the mean of no mixup."
    ),
    "10_batchmixup_figure1/objectives": (
        "Four line plots over updates, for the printed loss and for the one with all classes: loss, accuracy on the "
        "batch, cosine of the two class vectors, mean length of a class vector."
    ),
    "11_batchmixup_table1/accuracy": (
        "Accuracy against the amount of training data, a column a data set and a line a method: printed above, "
        "measured with 95% intervals below."
    ),
    "12_batchmixup_epoch_time/ratio": (
        "Time of an epoch in plain epochs against the number of mixed points n, a line a method with 95% intervals "
        "over batches; a black bar marks what is printed for pairwise mixup."
    ),
    "13_batchmixup_geometry/points": (
        "The sentence vectors of a batch and the points mixed from them on the first two principal axes, a panel for "
        "each way to draw the weights."
    ),
    "13_batchmixup_geometry/policies": (
        "Four panels with a row for each way to draw the weights and a colour a batch size: distance of mixed points "
        "from the batch's mean, side of their bounding box, effective rank, distance to the nearest segment between "
        "two rows, each in units of the original rows."
    ),
    "21_calibration_figure1/manifold_mixup": (
        "Drawing: two texts go through the embeddings and the first blocks separately, their hidden states are added "
        "with weights lambda and one minus lambda, and the sum goes on through the other blocks to the class layer; "
        "their one-hot labels are added with the same weights."
    ),
    "22_calibration_table2/differences": _DIFFERENCES,
    "22_calibration_table2/reliability_{size}": _RELIABILITY,
    "23_calibration_table3/differences": _DIFFERENCES,
    "23_calibration_table3/reliability_{size}": _RELIABILITY,
    "24_calibration_table4/differences": _DIFFERENCES,
    "24_calibration_table4/reliability_{dataset}": _RELIABILITY,
    "25_calibration_table5/paddings": (
        "A row for each way to fill the shorter text: measured mean accuracy with its 95% interval, every seed as a "
        "grey dot, the printed number as a black bar; dashed: no mixup."
    ),
    "26_calibration_figure2/test_loss": (
        "Test loss over training steps with bands of 95%, a panel a data set: no mixup and CLS MixUp."
    ),
    "32_ssmix_table2_tableA1/differences": (
        "A panel a data set and one for their mean, a row a method: accuracy after the second stage minus that of a "
        "second stage without mixup, with 95% intervals; black bars are printed gains over stage 1."
    ),
    "33_ssmix_tableB1/ratio": (
        "Accuracy above and test loss below against the share of tokens that SSMix replaces, a column a data set, "
        "with 95% intervals and a grey line a seed; dotted: the paper's share."
    ),
    "34_ssmix_figure2/segment": (
        "Left: sentence vectors of mixed texts beside the segment between the two originals, for one pair. Right: "
        "mean distance from the segment by share replaced, for SSMix, EmbedMix and TMix, with 95% intervals."
    ),
    "35_ssmix_step_time/ratio": (
        "A panel a data set, a row a method: time of a training step in plain steps on the same texts: a "
        "dot a batch, a diamond their geometric mean."
    ),
    "35_ssmix_step_time/stages": (
        "Accuracy by epoch with 95% intervals for four plans: plain then SSMix, plain then plain, SSMix from the "
        "start, plain from the start; left all epochs, right from the end of the first stage on."
    ),
    "36_ssmix_dropout_leak/effects": (
        "Left: what the dropout leak changes for each method, in points of accuracy. Right: the lead of SSMix over "
        "each method without the leak and with it. All with 95% intervals."
    ),
    "40_amplify_figures1_2/figure1": (
        "Drawing of one block: after attention, residual and norm, the rows of the batch are copied in the order of a "
        "permutation and added to the originals with weights lambda and one minus lambda, before the feed-forward "
        "part; labels are mixed with the same weights."
    ),
    "40_amplify_figures1_2/figure2": (
        "Left: densities of the Beta distribution for four values of alpha. Right: share of batches in which the "
        "second row has at least a given weight, for the largest of n draws and for the folded draw of the baselines."
    ),
    "41_amplify_table1/draws": f"Accuracy by the number of draws. {_BY_SETTING}",
    "42_amplify_table2/differences": (
        "A group of rows a data set: the accuracy of each method minus that of no mixup, with 95% intervals; black "
        "bars are printed."
    ),
    "42_amplify_table2/label_noise": (
        "Test accuracy with right training labels and with some that are wrong, a line a method with 95% intervals."
    ),
    "43_amplify_table3/differences": (
        "AMPLIFY's accuracy minus that of no mixup on half of the blocks and on the whole model, with 95% intervals; "
        "black bars are printed."
    ),
    "44_amplify_table4/blocks": f"Accuracy by the block that is mixed, a column a data set. {_BY_SETTING}",
    "45_amplify_figure3/loss": (
        "Training cross-entropy over updates, a panel a data set and a line a method, with bands over seeds."
    ),
    "45_amplify_figure3/step_times": (
        "A row a method: time of a training step in plain steps on the same texts: a dot a batch, a diamond their "
        "geometric mean."
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
        "Five panels with a row a method: percent of attention that crosses the separator or stays with the own "
        "sentence, on the paper's pair and on many others; means with 95% intervals over seeds."
    ),
    "46_amplify_figures4_5_6/figure6": (
        "Heat maps for AMPLIFY above and EmbedMix below: the query of the word it, the keys of all words, their "
        "products dimension by dimension, and the attention that follows as bars."
    ),
    "46_amplify_figures4_5_6/references": (
        "Four panels with a row a method: percent of the attention of the word it that goes to animal, to too and "
        "tired, to the right noun in twenty sentences, and to film; 95% intervals over seeds."
    ),
    "47_amplify_figure7/graph": (
        "Three circles of words, for AMPLIFY, EmbedMix and no mixup: lines are strong attention in the first block, "
        "and a word's colour is the attention that the word it gives to it."
    ),
    "50_claims/forest": (
        "Forest plot of all claims, grouped by paper: estimate in multiples of the smallest difference that matters, "
        "95% interval, printed size as a black bar; colour and marker say the verdict."
    ),
    "51_common_protocol/against_plain": (
        "Four panels with a row a method: what it gains over no mixup in accuracy, loss, calibration error and Brier "
        "score, with 95% intervals, filled as trained and hollow after temperature scaling; the grey band is too "
        "small to matter."
    ),
    "51_common_protocol/gain_against_cost": (
        "Two scatter plots with a mark a method: accuracy gained, and loss saved after temperature scaling, against "
        "training time in plain runs."
    ),
    "52_amplify_fairness/leads": (
        "AMPLIFY's accuracy minus that of each other method, a column a data set: as the paper states the methods, "
        "with each of three features of the published code, and with all three, with 95% intervals; dotted lines are "
        "the printed leads."
    ),
    "52_amplify_fairness/loss": (
        "Training cross-entropy over updates, a column a data set: AMPLIFY, and EmbedMix and TMix with labels that "
        "belong to their inputs and with unrelated ones."
    ),
    "53_your_own_data/differences": (
        "Panels with a row a method: its difference to plain fine-tuning on the file in accuracy, loss, calibration "
        "error and Brier score, as trained and after temperature scaling, with 95% intervals over seeds."
    ),
    "54_playground/temperatures": (
        "Reliability diagrams, a column for no mixup and one for Manifold MixUp, a row a temperature: accuracy of the "
        "test rows by confidence beside the diagonal of a calibrated model; small bars say how many rows each bin has."
    ),
}

_SAVED = re.compile(r'\bsave\(\s*\w+,\s*f?"([^"]+)"')


def of_code(source: str) -> str | None:
    """The words for the figures of a code cell, by the name it saves them under; ``None`` where there are none."""
    found = _SAVED.search(source)
    return WORDS.get(found[1]) if found else None
