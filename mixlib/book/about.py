"""What each method's page says in words and formulas; everything else on the page is read from its class and records.
A method without an entry here gets the first line of its docstring.

Notation, as in the glossary: texts i and j, their labels y, lam the weight of a text itself, f the classifier,
h a hidden state, v the sentence vector, CE the cross-entropy.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixlib import methods

SITE_WORDS = {  # where methods mix, in the order in which a model meets it
    "words": "the words themselves", "embeddings": "token embeddings", "attention": "the output of attention",
    "block": "the output of a block", "sentence": "the sentence vector", "label": "the label",
}  # fmt: skip
SSMIX_CODE = "https://github.com/clovaai/ssmix/tree/127e7963"
AMPLIFY_CODE = "https://github.com/kiwi-lilo/AMPLIFY/tree/606d924e"
BATCHMIXUP_CODE = "https://github.com/wyin-Salesforce/Mixup_for_FewShot_NLP"
TWO_TERMS = r"\mathcal L=\lambda\,\mathrm{CE}(f(\tilde x),y_i)+(1-\lambda)\,\mathrm{CE}(f(\tilde x),y_j)"
FOLDED = r"\lambda=\max(\lambda_0,1-\lambda_0),\quad\lambda_0\sim\mathrm{Beta}(\alpha,\alpha)"


@dataclass(frozen=True)
class About:
    """What a method's page says about it.

    Attributes:
        idea: one sentence.
        formula: lines of TeX.
        where: what it changes, keys of :data:`SITE_WORDS`.
        drawn: it changes only one of several places, drawn anew for each batch.
        paper: how ours differs from what the paper says, or what the paper leaves open.
        code: how ours differs from the published code.
        sources: where that code is; empty if there is none or none was found.
        of: for a method that the paper only compares with, whose it is.
    """

    idea: str
    formula: tuple[str, ...]
    where: tuple[str, ...] = ()
    drawn: bool = False
    paper: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    of: str = ""


_CALIBRATION_OPEN = (
    "The paper does not state the optimizer, the schedule or on which rows the reported epoch is chosen; chapter 20 "
    "lists what we chose.",
)
_SSMIX_FRAME = (
    "The published SSMix code trains on a random 75% of each training set; we use all of it.",
    "In the SSMix code, an evaluation in mid-epoch leaves dropout off until the epoch ends, except for SSMix itself, "
    "whose saliency pass switches it on again. Ours leaves it on; `MixupTrainer(dropout_leak=True)` repeats the fault, "
    "and chapter 36 measures it.",
    "In the SSMix code, gradients are clipped before they are computed, that is, never.",
)
_HALVES = (
    "Half of the loss is that of the texts as they are: a step takes the mean of the losses of A, of B, of A with "
    "tokens of B, and of B with tokens of A. The equation shows one mixed text.",
)
_SWAPPED = (
    "Partners are swapped pairs, so that both are padded to one length, and an odd row is trained unmixed. The paper "
    "pairs each text with any other.",
)
_AMPLIFY_LABELS = (
    "The published AMPLIFY code draws a second permutation for the labels, so mixed labels do not belong to the mixed "
    'inputs. Ours uses one permutation; `label_perm="independent"` repeats the fault.',
)
_PAIRWISE_CODE = ("The author's code makes 15 optimizer updates per batch, one per draw. That is our default too.",)

ABOUT: dict[str, About] = {
    "none": About("Plain fine-tuning: what every method is compared with.", (r"\mathcal L=\mathrm{CE}(f(x_i),y_i)",)),
    "none_long": About(
        "Plain fine-tuning with several updates per batch: the control for methods that make several.",
        (r"\mathcal L=\mathrm{CE}(f(x_i),y_i),\quad\text{each batch }u\text{ times}",),
        paper=("No paper has this control: methods that make more updates are compared with a model that gets fewer.",),
    ),
    "label_smoothing": About(
        "Every label gives up a small part to all classes; no text is mixed.",
        (r"\mathcal L=(1-\varepsilon)\,\mathrm{CE}(f(x_i),y_i)+\frac{\varepsilon}{C}\sum_{c}\mathrm{CE}(f(x_i),c)",),
        where=("label",),
        paper=(
            "After Szegedy et al. (2016); none of the four papers uses it. It shows what softer labels do without "
            "mixing.",
        ),
    ),
    "eda": About(
        "Words are deleted or swapped and the label is kept; no text is mixed.",
        (r"\mathcal L=\mathrm{CE}(f(\mathrm{change}(x_i)),y_i)",),
        where=("words",),
        paper=(
            "After Wei and Zou (2019), whose synonym replacement and insertion (two of the four operations) need a "
            "thesaurus and are left out.",
            "Changed copies replace texts instead of being added to them, so that a step costs as much as a plain one.",
        ),
    ),
    "cls_mixup": About(
        "The pooled sentence vectors of two texts are mixed before the class layer.",
        (r"\tilde v=\lambda v_i+(1-\lambda)v_j,\quad\lambda\sim\mathrm{Beta}(\alpha,\alpha)", TWO_TERMS),
        where=("sentence", "label"), paper=_CALIBRATION_OPEN,
    ),
    "cls_mixup_late": About(
        "CLS MixUp in the last part of training, after plain fine-tuning.",
        (r"\tilde v=\lambda v_i+(1-\lambda)v_j", r"\text{after half of the training}", TWO_TERMS),
        where=("sentence", "label"),
        paper=("The paper only uses it in an argument (section 4) and prints no number for it.",),
    ),
    "input_mixup": About(
        "Token embeddings of two texts are mixed position by position.",
        (r"\tilde e_t=\lambda e_{i,t}+(1-\lambda)e_{j,t},\quad\lambda\sim\mathrm{Beta}(\alpha,\alpha)", TWO_TERMS),
        where=("embeddings", "label"),
        paper=(
            *_CALIBRATION_OPEN, *_SWAPPED,
            "How pairs of unequal length are mixed without padding is not described; positions beyond the shorter "
            "text keep the longer text's vector.",
        ),
    ),
    "manifold_mixup": About(
        "Hidden states are mixed at a layer drawn anew for each batch.",
        (r"\tilde h^{(k)}=\lambda h^{(k)}_i+(1-\lambda)h^{(k)}_j", r"k\text{ drawn from }0,\dots,n+1", TWO_TERMS),
        where=("embeddings", "block", "sentence", "label"), drawn=True,
        paper=(
            *_CALIBRATION_OPEN, *_SWAPPED,
            "The paper does not state which layers are drawn from; we draw from all of them.",
            "At layer n + 1 the texts are padded as well, so with texts of unequal length it is not quite CLS MixUp "
            "(chapter 21).",
        ),
    ),
    "embedmix": About(
        "Token embeddings are mixed, with weights that favour the text itself.",
        (r"\tilde e=\lambda e_i+(1-\lambda)e_j", FOLDED, TWO_TERMS),
        where=("embeddings", "label"), code=(*_AMPLIFY_LABELS, *_SSMIX_FRAME), sources=(SSMIX_CODE, AMPLIFY_CODE),
        of="after the word-level mixup of Guo et al. (2019)",
    ),
    "tmix": About(
        "The outputs of one block, drawn anew for each batch, are mixed.",
        (r"\tilde h^{(k)}=\lambda h^{(k)}_i+(1-\lambda)h^{(k)}_j", r"k\text{ drawn from }7,9,12\text{ of }12", FOLDED,
         TWO_TERMS),
        where=("block", "label"), drawn=True, of="Chen et al. (2020)",
        code=(
            *_AMPLIFY_LABELS,
            "On a model with fewer blocks, the published SSMix code mixes labels but never a layer. Ours scales the "
            "block numbers to the model.",
            *_SSMIX_FRAME,
        ),
        sources=(SSMIX_CODE, AMPLIFY_CODE),
    ),
    "sentencemix": About(
        "Sentence vectors are mixed before the class layer, with weights that favour the text itself.",
        (r"\tilde v=\lambda v_i+(1-\lambda)v_j", FOLDED, TWO_TERMS),
        where=("sentence", "label"), of="after the sentence-level mixup of Guo et al. (2019)",
        code=(
            *_AMPLIFY_LABELS,
            "The published code mixes the logits of two forward passes. With a linear class layer that is the same "
            "except for dropout, at twice the cost.",
        ),
        sources=(AMPLIFY_CODE,),
    ),
    "ssmix": About(
        "The least salient span of a text is overwritten by the most salient span of its partner.",
        (
            r"k=\max(\min(\lfloor\lambda_0|a|\rfloor,|b|),1)", r"s_t=\|\partial\mathcal L/\partial e_t\|_2",
            r"\mathcal L=(1-\tfrac{k}{|a|})\,\mathrm{CE}(f(\tilde a),y_a)+\tfrac{k}{|a|}\,\mathrm{CE}(f(\tilde a),y_b)",
        ),
        where=("words", "label"),
        paper=(
            *_HALVES,
            "In a pair each sentence is mixed on its own; the tokens and the lengths are added up for the label.",
            "Algorithm 1 weighs label A with the share of text B. We follow the formula of section 2, as the authors' "
            "code does.",
        ),
        code=(
            "We read the saliency off the backward pass over the originals, so it needs no pass of its own; in the "
            "published code it does.",
            "For sentence pairs, the published code finds the saliency of each sentence alone, with the label of the "
            'pair; `saliency="split"` does the same.',
            "Where the partner, special tokens included, is shorter than the span, the published code skips mixing; "
            'where it lacks only a token or two, it copies special tokens. `short_partner="skip"` skips mixing in both '
            "cases.",
            *_SSMIX_FRAME,
        ),
        sources=(SSMIX_CODE,),
    ),
    "ssmix_nosal": About(
        "SSMix with both spans at random places.",
        (r"\mathcal L=(1-\tfrac{k}{|a|})\,\mathrm{CE}(f(\tilde a),y_a)+\tfrac{k}{|a|}\,\mathrm{CE}(f(\tilde a),y_b)",),
        where=("words", "label"), paper=_HALVES,
        code=(
            "The published code uses the same start in both texts and lets special tokens move. Ours draws two places "
            "among the words, as the paper says.",
            *_SSMIX_FRAME,
        ),
        sources=(SSMIX_CODE,),
    ),
    "ssmix_nosal_nospan": About(
        "Single tokens at random places are taken from the same places of the partner.",
        (r"\mathcal L=(1-\tfrac{k}{|a|})\,\mathrm{CE}(f(\tilde a),y_a)+\tfrac{k}{|a|}\,\mathrm{CE}(f(\tilde a),y_b)",),
        where=("words", "label"), paper=_HALVES, code=_SSMIX_FRAME, sources=(SSMIX_CODE,),
    ),
    "unk": About(
        "Random tokens are replaced by the unknown token and the label is kept; no text is mixed.",
        (r"\mathcal L=\mathrm{CE}(f(\tilde a),y_a)",),
        where=("words",), code=_SSMIX_FRAME, sources=(SSMIX_CODE,),
        paper=(
            "Half of the loss is that of the texts as they are: a step takes the mean of the losses of A, of B, and of "
            "both with tokens replaced.",
        ),
    ),
    "amplify": About(
        "In every block, the attention outputs of two texts are mixed, with one weight for all blocks of a step.",
        (
            r"\tilde h^{(k)}=\lambda h^{(k)}_i+(1-\lambda)h^{(k)}_j", r"\text{after the attention of every block }k",
            r"\lambda=\max(\lambda_1,\dots,\lambda_n),\quad\lambda_m\sim\mathrm{Beta}(\alpha,\alpha)", TWO_TERMS,
        ),
        where=("attention", "label"),
        code=(
            "In the published code AMPLIFY classifies from the mean over all positions, padding included, and its "
            "baselines from the pooler. Ours gives all methods the same head; chapter 52 measures the difference.",
            "That code gives token types to AMPLIFY alone; ours gives them to all methods.",
            "That code sets the cosine schedule for too few steps and continues it past its end, so the learning rate "
            "swings; ours comes down to 0 (chapter 52).",
            "In that code, choosing a single block other than the last also switches on all later blocks; "
            "`and_later=True` does the same.",
        ),
        sources=(AMPLIFY_CODE,),
    ),
    "mixup": About(
        "The sentence vectors of all pairs in a batch are mixed, with several draws of the weight.",
        (r"\hat x_{ij}=\beta v_i+(1-\beta)v_j,\quad\beta\sim\mathrm{Beta}(\alpha,\alpha)",
         r"\mathcal L=\frac1{b^2}\sum_{i,j}\bigl[\beta\,\mathrm{CE}(\hat x_{ij},y_i)"
         r"+(1-\beta)\,\mathrm{CE}(\hat x_{ij},y_j)\bigr]"),
        where=("sentence", "label"),
        paper=("The shape α of the weights' distribution is not stated; we use that of the author's code.",),
        code=_PAIRWISE_CODE, sources=(BATCHMIXUP_CODE,),
    ),
    "nonlinear_mixup": About(
        "Sentence vectors of all pairs are mixed with a separate weight for each dimension; class vectors likewise.",
        (r"\hat x_{ij}=\beta\circ v_i+(1-\beta)\circ v_j", r"\hat y_{ij}=\beta\circ w_{y_i}+(1-\beta)\circ w_{y_j}",
         r"\mathcal L=\frac1{b^2}\sum_{i,j}\bigl[-\hat x_{ij}\cdot\hat y_{ij}"
         r"+\log\sum_c e^{\hat x_{ij}\cdot w_c}\bigr]"),
        where=("sentence", "label"),
        paper=(
            "How the word-level method of Guo (2020) was adapted to hidden states is not described.",
            "The loss is our reading. It can fall below zero, because a mixture of class vectors can fit a point "
            'better than any class does (chapter 11); with `objective="cross_entropy"` it cannot.',
        ),
        code=("The author's code has no nonlinear mixup.",), sources=(BATCHMIXUP_CODE,),
    ),
    "batchmixup": About(
        "Every mixed point is a weighted sum of the whole batch; many points are made at once.",
        (r"\hat x=\sum_j\mathrm{softmax}_j(M)\circ v_j", r"\hat y=\sum_j\mathrm{softmax}_j(M)\circ w_{y_j}",
         r"\mathcal L=-\hat x\cdot\hat y+\log\sum_c e^{\hat x\cdot w_c}"),
        where=("sentence", "label"),
        paper=(
            "The printed loss is −x̂·ŷ alone. It has no lower bound and does not train a classifier (chapter 10). Our "
            'default adds the other classes. With one weight per dimension that can fall below zero too; `objective='
            '"cross_entropy"` cannot (chapter 13), and `"dot"` is the printed loss.',
            "The shape α of the policy's distribution and the number of points are not stated. In the author's code α "
            "is 1, and there are 400 points of a batch of 5 (the default here), and 75 per row of larger ones "
            "(`n_per_row`).",
            "A softmax over numbers between 0 and 1 gives nearly equal weights, so points crowd around the batch mean "
            "(chapter 13); `temperature` spreads them out.",
        ),
        code=(
            "The author's code has one weight per text and mixes labels, not class vectors; "
            '`policy="sample"` does the same.',
            "In that code, the main script for RTE trains 20 epochs with BatchMixup and then 20 with pairwise mixup; "
            "another adds 5 epochs of pairwise mixup to the best BatchMixup checkpoint. It is not stated which script "
            "made Table 1.",
        ),
        sources=(BATCHMIXUP_CODE,),
    ),
}  # fmt: skip


def every() -> dict[str, About]:
    """The entry of each method in the library, those of :data:`ABOUT` first."""
    of_library = (
        row for row in methods.table() if methods.REGISTRY[row["name"]].__module__.startswith("mixlib.methods.")
    )
    return ABOUT | {row["name"]: About(row["about"], ()) for row in of_library if row["name"] not in ABOUT}
