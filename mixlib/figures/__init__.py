"""The plots, one function each. Every function returns the matplotlib figure; :func:`save` writes it as a stable SVG.

Colours come with a second sign (marker, line style, hatch), so that figures read in grey; the background is white and
opaque, so that they read on dark pages. One module a paper; all are called as ``figures.NAME``.
"""

from mixlib.figures.amplify import (
    attention_lines,
    attention_summary,
    block_schematic,
    by_noise,
    by_setting,
    curves_of,
    factor_leads,
    lam_distributions,
    loss_by_update,
    neuron_view,
    word_graph,
)
from mixlib.figures.batchmixup import (
    by_fraction,
    epoch_times,
    mixed_points,
    objective_curves,
    policy_geometry,
    toy_accuracies,
    toy_panels,
)
from mixlib.figures.common import DASHES, MARKERS, PALETTE, differences, save, theme
from mixlib.figures.evidence import against_plain, forest, gain_against_cost
from mixlib.figures.mixup_calibration import loss_curves, manifold_schematic, paddings, reliability, scaled_differences
from mixlib.figures.playground import (
    drawn,
    fitted_table,
    mixed_texts,
    mixing_sliders,
    mixture_table,
    mixtures,
    pair_list,
    pairs_table,
    temperature_slider,
)
from mixlib.figures.ssmix import (
    by_ratio,
    leak,
    learning_curves,
    off_the_segment,
    show_draws,
    show_mix,
    show_pair,
    stage_differences,
    step_times,
)

__all__ = [
    "DASHES", "MARKERS", "PALETTE", "against_plain", "attention_lines", "attention_summary",
    "block_schematic", "by_fraction", "by_noise", "by_ratio", "by_setting", "curves_of", "differences", "drawn",
    "epoch_times", "factor_leads", "fitted_table", "forest", "gain_against_cost", "lam_distributions", "leak",
    "learning_curves", "loss_by_update", "loss_curves", "manifold_schematic", "mixed_points", "mixed_texts",
    "mixing_sliders", "mixture_table", "mixtures", "neuron_view", "objective_curves", "off_the_segment",
    "paddings", "pair_list", "pairs_table", "policy_geometry", "reliability", "save", "scaled_differences",
    "show_draws", "show_mix", "show_pair", "stage_differences", "step_times", "temperature_slider", "theme",
    "toy_accuracies", "toy_panels", "word_graph",
]  # fmt: skip
