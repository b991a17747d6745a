"""Studies for the SSMix paper: where mixed texts lie, and what the method makes of a few texts."""

from __future__ import annotations

from typing import Any

import torch

from mixlib import methods
from mixlib.methods import Draw, sites
from mixlib.methods.base import inputs_of, swapped_halves
from mixlib.papers import geometry
from mixlib.papers.ssmix import texts
from mixlib.runs import training
from mixlib.runs.studies import StudySpec, study


@study
def mixed_texts(spec: StudySpec) -> dict[str, Any]:
    """What the methods make of given texts, with the saliency of a model that is trained first (Figures 1, 3, 4, 5).

    Params: ``run`` (canonical spec of a plain run), ``texts`` (two, each a sentence or a list of two), ``labels``
    (class numbers), ``names`` (of the labels), ``methods`` (list of ``{"method", "params"}``). Values: ``accuracy`` of
    the model, ``mixed``: one :class:`mixlib.papers.ssmix.texts.MixedPair` per method.
    """
    p = spec.params
    fitted = training.fit(spec.run)
    a, b = (text if isinstance(text, str) else tuple(text) for text in p["texts"])
    mixed = [
        texts.mix_pair(
            fitted.trainer.model, fitted.tokenizer, a, b, tuple(p["labels"]), m["method"], tuple(p["names"]), spec.seed,
            **m["params"],
        ).as_dict()
        for m in p["methods"]
    ]  # fmt: skip
    return {"accuracy": fitted.last("accuracy"), "mixed": mixed}


@study
def off_the_segment(spec: StudySpec) -> dict[str, Any]:
    """How far sentence vectors of mixed texts lie from the segment between the two originals' (Figure 2, claim 15).

    Params: ``run`` (canonical spec of a plain run that is trained first), ``ratios`` (lam0 of SSMix), ``shown`` (pairs
    to draw). The test texts are cut in halves and paired as in training. EmbedMix and TMix mix each pair with the very
    weight that SSMix gave it, so that methods are compared at equal weights. Values: ``rows``, one per pair, method and
    ratio: ``along`` (0 at text a, 1 at b) and ``distance`` from the segment, both in units of the segment's length,
    ``weight`` of a; ``pictures``: for the shown pairs, many mixed texts on the plane of the segment and the direction
    in which they stray most; ``accuracy`` of the model.
    """
    p = spec.params
    fitted = training.fit(spec.run)
    trainer, model = fitted.trainer, fitted.trainer.model.eval()
    data = fitted.evaluated["test"]
    batch = trainer._prepare_inputs(trainer.data_collator([data[i] for i in range(len(data) // 2 * 2)]))
    order = torch.randperm(len(batch["labels"]), generator=torch.Generator().manual_seed(spec.seed))
    batch, perm = swapped_halves({name: tensor[order.to(tensor.device)] for name, tensor in batch.items()})
    inputs = inputs_of(batch)
    others = {name: tensor[perm] for name, tensor in inputs.items()}
    with sites.watched_saliency(model) as watched:
        torch.autograd.grad(methods.get("none").plain_loss(model, batch), watched.embedded)
    saliency = [watched.norms()] * 2
    start = vectors_of(model, inputs)
    end, rows = start[perm.cpu()], []
    hidden = {"embedmix": methods.get("embedmix"), "tmix": methods.get("tmix")}
    (seventh,) = sites.chosen_blocks(model, ["7/12"])
    for ratio in p["ratios"]:
        ssmix = methods.get("ssmix", lam0=ratio)
        ssmix.prepare(model, fitted.tokenizer)
        mixed = ssmix.mix_texts(inputs, others, saliency, [s[perm] for s in saliency])
        found = {"ssmix": vectors_of(model, inputs | {"input_ids": mixed.input_ids})}
        lam = mixed.weight.view(-1, 1, 1)
        for name, method in hidden.items():
            draw = Draw(perm, lam, 0 if name == "embedmix" else seventh)
            with method.mixing(model, batch, draw) as changed:
                found[name] = vectors_of(model, changed)
        for name, points in found.items():
            along, distance = geometry.on_segment(points, start, end)
            rows += [
                {"ratio": ratio, "method": name, "weight": round(w, 4), "along": round(t, 4), "distance": round(d, 4)}
                for w, t, d in zip(mixed.weight.tolist(), along.tolist(), distance.tolist(), strict=True)
            ]
    pictures = [_picture(model, fitted, inputs, perm, i, start, end, spec.seed) for i in range(p["shown"])]
    return {"accuracy": fitted.last("accuracy"), "rows": rows, "pictures": pictures}


def vectors_of(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sentence vectors (rows, hidden) on the CPU."""
    with torch.no_grad():
        return sites.sentence_vectors(model, inputs).float().cpu()


SCATTER = 60  # random spans of one pair


def _picture(
    model: torch.nn.Module, fitted: training.Fitted, inputs: dict[str, torch.Tensor], perm: torch.Tensor, row: int,
    start: torch.Tensor, end: torch.Tensor, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """One pair: texts with random spans of every length, and hidden mixing at every weight, on a plane."""
    one, other = (
        {name: tensor[i : i + 1].expand(SCATTER, -1) for name, tensor in inputs.items()} for i in (row, int(perm[row]))
    )
    points = {}
    texts_found = []
    for lam0 in (0.1, 0.3, 0.5, 0.8):
        random_spans = methods.get("ssmix_nosal", lam0=lam0)
        random_spans.prepare(model, fitted.tokenizer)
        random_spans.generator.manual_seed(seed)
        quarter = {name: tensor[: SCATTER // 4] for name, tensor in one.items()}
        mixed = random_spans.mix_texts(quarter, {name: tensor[: SCATTER // 4] for name, tensor in other.items()})
        texts_found.append(vectors_of(model, quarter | {"input_ids": mixed.input_ids}))
    points["spans"] = torch.cat(texts_found)
    count = 21
    lam = torch.linspace(1, 0, count).view(-1, 1, 1).to(perm.device)
    both = {name: torch.cat([one[name][:count], other[name][:count]]) for name in one} | {
        "labels": torch.zeros(2 * count, dtype=torch.long, device=perm.device)
    }
    swap = torch.arange(2 * count, device=perm.device).roll(count)
    for name, layer in (("embedmix", 0), ("tmix", *sites.chosen_blocks(model, ["7/12"]))):
        with methods.get(name).mixing(model, both, Draw(swap, torch.cat([lam, lam]), layer)) as changed:
            points[name] = vectors_of(model, changed)[:count]
    origin, axis = start[row], end[row] - start[row]
    length = axis.norm()
    axis = axis / length
    away = torch.cat(list(points.values())) - origin
    away = away - (away @ axis)[:, None] * axis
    second = torch.linalg.svd(away, full_matrices=False).Vh[0]
    plane = torch.stack([axis, second], 1)
    return {name: [[round(v, 3) for v in xy] for xy in ((x - origin) @ plane / length).tolist()]
            for name, x in points.items()}  # fmt: skip
