"""Measurements behind BatchMixup's figure, its statement on timing and its claim to fill the space."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from mixlib import methods
from mixlib.methods import sites
from mixlib.methods.batchmixup import mixed_points, shares_of
from mixlib.methods.mixing import sample_beta
from mixlib.papers import geometry
from mixlib.runs import bench, heads, training
from mixlib.runs.studies import StudySpec, study

CENTRE, DEVIATION = 2.0, 2.0  # of the two Gaussian clouds at (-2, -2) and (2, 2); ours, because the paper gives none
POOL = 2000
GRID = 41
PLAIN_TURNS = 4  # on each batch, in addition
SHOWN = 120  # mixed points of each policy in a picture
REACH = 8.0  # the paper's panels run from -8 to 8


class PointClassifier(nn.Module):
    """A multilayer perceptron on points of the plane, built like the head of Table 1: two tanh layers, class layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_labels=2)
        self.base_model = nn.Linear(2, width)
        self.hidden = heads.tanh_layers(width)
        self.classifier = nn.Linear(width, 2)

    def forward(self, points: Tensor, labels: Tensor | None = None) -> SequenceClassifierOutput:
        logits = self.classifier(self.hidden(self.base_model(points)))
        return SequenceClassifierOutput(logits=logits)


def clouds(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """``rows`` points (rows, 2) of the two clouds, half of each, and their labels (rows,)."""
    labels = torch.arange(rows) % 2
    centres = CENTRE * (2.0 * labels - 1)[:, None]
    return centres + DEVIATION * torch.randn(rows, 2, generator=generator), labels


@study
def toy(spec: StudySpec) -> dict[str, Any]:
    """Figure 1: five points of each of two Gaussian classes, a perceptron trained for 100 epochs, one method.

    Params: ``method``, ``method_params``, ``draws`` (trainings, each on new points), ``shots``, ``epochs``,
    ``learning_rate``, ``width``. Values: ``accuracy`` of each draw on the same pool of points; for the first draw its
    ``points``, ``labels`` and the probability of class 1 on a ``grid``; the ``pool``'s first 400 points.

    Points and pool depend on the seed; starting weights and the draws of the mixing depend on the number of the
    training alone, so they are the same for every seed.
    """
    p = spec.params
    generator = torch.Generator().manual_seed(spec.seed)
    pool, pool_labels = clouds(POOL, generator)
    axis = torch.linspace(-REACH, REACH, GRID)
    grid = torch.cartesian_prod(axis, axis)
    values: dict[str, Any] = {"accuracy": []}
    for draw in range(p["draws"]):
        points, labels = clouds(2 * p["shots"], generator)
        torch.manual_seed(draw)  # the same start for every method
        model = PointClassifier(p["width"]).train()
        method = methods.get(p["method"], **p.get("method_params", {}))
        method.prepare(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=p["learning_rate"])
        for step in range(p["epochs"] * method.updates_per_batch):
            method.seed_step(draw, step)
            for loss in method.losses(model, {"points": points, "labels": labels}):
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.inference_mode():
            right = model(pool).logits.argmax(1) == pool_labels
            values["accuracy"].append(round(float(right.float().mean()), 4))
            if draw == 0:
                chance = model(grid).logits.softmax(1)[:, 1]
                shown = {"points": points, "grid": chance.view(GRID, GRID), "pool": pool[:400]}
                values |= {name: _rounded(x) for name, x in shown.items()}
                values |= {"labels": labels.tolist(), "pool_labels": pool_labels[:400].tolist()}
    return values


@study
def geometry_of_policies(spec: StudySpec) -> dict[str, Any]:
    """Where the mixed points of each policy lie among the sentence vectors of a batch (claim 11).

    Params: ``run`` (canonical spec of a plain run that is trained first), ``rows`` (batch sizes), ``points``,
    ``policies`` (list of ``{"policy": pairwise | nonlinear | elementwise | sample, "alpha", "temperature"}``). Values:
    ``rows`` of measurements, one per batch size and policy; ``pictures`` by batch size: the vectors and the first mixed
    points of each policy on the vectors' two principal axes; ``accuracy`` of the trained model.
    """
    p = spec.params
    fitted = training.fit(spec.run)
    trainer, model = fitted.trainer, fitted.trainer.model.eval()
    generator = torch.Generator().manual_seed(spec.seed)
    order = torch.randperm(len(fitted.train), generator=generator).tolist()
    found, pictures = [], {}
    for rows in p["rows"]:
        batch = trainer._prepare_inputs(trainer.data_collator([fitted.train[i] for i in order[:rows]]))
        with torch.inference_mode():
            vectors = sites.sentence_vectors(model, {k: v for k, v in batch.items() if k != "labels"}).float().cpu()
        unit = geometry.mean_pair_distance(vectors)
        axes = torch.linalg.svd(vectors - vectors.mean(0), full_matrices=False).Vh[:2].T
        plane = {"vectors": _rounded((vectors - vectors.mean(0)) @ axes), "points": []}
        for policy in p["policies"]:
            points, largest = draw_points(vectors, p["points"], generator=generator, **policy)
            plane["points"].append(_rounded((points[:SHOWN] - vectors.mean(0)) @ axes))
            found.append(
                {"rows": rows, **policy}
                | {
                    "largest_share": round(largest, 4),
                    "distance": round(float(geometry.distance_to_segments(points, vectors).mean()) / unit, 4),
                    "spread": round(geometry.spread(points, vectors), 4),
                    "effective_rank": round(geometry.effective_rank(points), 2),
                    "batch_rank": round(geometry.effective_rank(vectors), 2),
                    "box_side": round(geometry.box_side(points, vectors), 4),
                }
            )
        pictures[str(rows)] = plane
    return {"rows": found, "pictures": pictures, "accuracy": fitted.last("accuracy")}


def _rounded(x: Tensor) -> list[list[float]]:
    return [[round(value, 3) for value in row] for row in x.tolist()]


def draw_points(
    vectors: Tensor,
    points: int,
    policy: str,
    alpha: float,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> tuple[Tensor, float]:
    """Points mixed from vectors (rows, hidden) by a policy, and the mean over points of the largest share that a row
    has.

    ``pairwise`` and ``nonlinear`` mix random pairs with one draw each, ``sample`` and ``elementwise`` the whole batch.
    """
    rows, width = vectors.shape
    if policy in ("pairwise", "nonlinear"):
        first = torch.randint(rows, (points,), generator=generator)
        second = (first + 1 + torch.randint(rows - 1, (points,), generator=generator)) % rows
        lam = sample_beta((points, width if policy == "nonlinear" else 1), alpha, generator)
        return lam * vectors[first] + (1 - lam) * vectors[second], float(torch.maximum(lam, 1 - lam).mean())
    shares = shares_of(sample_beta((points, rows, width if policy == "elementwise" else 1), alpha, generator),
                       temperature)  # fmt: skip
    return mixed_points(vectors, shares), float(shares.amax(1).mean())


@study
def epoch_time(spec: StudySpec) -> dict[str, Any]:
    """Seconds an epoch takes with each method at several n (claims 8 to 10).

    Params: ``run`` (canonical spec of the plain run whose epoch it is), ``n`` (numbers of mixed points), ``batches``
    (how many of the epoch's are timed). Methods take turns in random order on the same batch, so that other load on the
    machine affects all equally. Values: ``batches_per_epoch``; ``seconds`` by method and n, a list of all timings.
    """
    p = spec.params
    fitted = training.fit(replace(spec.run, max_steps=1))
    collate, size = fitted.trainer.data_collator, fitted.trainer.args.per_device_train_batch_size
    timed = {("none", 1): methods.get("none")}
    for n in p["n"]:
        timed |= {(name, n): methods.get(name, n=n) for name in ("mixup", "nonlinear_mixup", "batchmixup")}
    contestants = {which: (method, collate) for which, method in timed.items()}
    seconds: dict[str, dict[str, list[float]]] = {}
    for _, took in bench.interleaved(
        fitted, contestants, ("none", 1), PLAIN_TURNS, p["batches"], spec.seed, spec.precision
    ):
        for (name, n), times in took.items():
            seconds.setdefault(name, {}).setdefault(str(n), []).extend(round(taken, 5) for taken in times)
    return {"batches_per_epoch": -(-len(fitted.train) // size), "seconds": seconds}


@study
def objectives(spec: StudySpec) -> dict[str, Any]:
    """The printed dot-product loss next to the softmax reading, on the toy problem with all its points.

    Params: ``objective``, ``policy``, ``steps``, ``learning_rate``, ``width``, ``rows``. Values: every tenth step's
    ``loss``, ``accuracy`` on the batch, ``cosine`` of the two class vectors and their mean ``norm``.
    """
    p = spec.params
    points, labels = clouds(p["rows"], torch.Generator().manual_seed(spec.seed))
    torch.manual_seed(spec.seed)
    model = PointClassifier(p["width"])
    method = methods.get("batchmixup", objective=p["objective"], policy=p["policy"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=p["learning_rate"])
    curve: dict[str, list[float]] = {"step": [], "loss": [], "accuracy": [], "cosine": [], "norm": []}
    for step in range(p["steps"] + 1):
        method.seed_step(spec.seed, step)
        (loss,) = method.losses(model, {"points": points, "labels": labels})
        if step % 10 == 0:
            with torch.inference_mode():
                weight = model.classifier.weight
                right = (model(points).logits.argmax(1) == labels).float().mean()
                cosine = F.cosine_similarity(weight[0], weight[1], dim=0)
                norm = weight.norm(dim=1).mean()
            entry = {
                "step": step,
                "loss": loss.detach(),
                "accuracy": right,
                "cosine": cosine,
                "norm": norm,
            }
            for name, value in entry.items():
                curve[name].append(round(float(value), 4))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return curve
