"""Where mixed points lie: how far from the segments between the originals, how widely spread, in how many directions.

Pure functions of tensors: ``points`` (points, hidden) are the mixed ones, ``vectors`` (rows, hidden) the originals.
"""

from __future__ import annotations

import torch
from torch import Tensor


def distance_to_segments(points: Tensor, vectors: Tensor) -> Tensor:
    """Distance of each point to the nearest segment between two of the vectors, (points,)."""
    first, second = torch.combinations(torch.arange(len(vectors)), 2).unbind(1)
    start, along = vectors[first], vectors[second] - vectors[first]
    length = along.pow(2).sum(1).clamp_min(1e-12)
    nearest = torch.full((len(points),), torch.inf, dtype=points.dtype)
    for a, d, n in zip(start, along, length, strict=True):  # one segment at a time: pairs are many, memory is not
        share = ((points - a) @ d / n).clamp(0, 1)
        nearest = torch.minimum(nearest, (points - a - share[:, None] * d).norm(dim=1))
    return nearest


def on_segment(points: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Where each point lies relative to its own segment, in units of that segment's length.

    Args:
        points, start, end: (rows, hidden); segment i runs from ``start[i]`` to ``end[i]``.

    Returns:
        Along the segment, 0 at its start and 1 at its end, and the distance from it, (rows,) each.
    """
    axis = end - start
    length = axis.pow(2).sum(1).clamp_min(1e-12)
    along = ((points - start) * axis).sum(1) / length
    nearest = start + along.clamp(0, 1)[:, None] * axis
    return along, (points - nearest).norm(dim=1) / length.sqrt()


def mean_pair_distance(vectors: Tensor) -> float:
    """Mean distance between two different vectors: the unit that other distances are given in."""
    return float(torch.pdist(vectors).mean())


def spread(points: Tensor, vectors: Tensor) -> float:
    """Root mean square distance of the points from the vectors' mean, over that of the vectors themselves."""
    mean = vectors.mean(0)
    return float(((points - mean).pow(2).sum(1).mean() / (vectors - mean).pow(2).sum(1).mean()).sqrt())


def effective_rank(points: Tensor) -> float:
    """In how many directions the points spread: exp of the entropy of the shares of variance of their principal axes.

    (Roy and Vetterli 2007, with squared singular values.) Points on a line have 1, a uniform ball of k dimensions has
    k.
    """
    variance = torch.linalg.svdvals(points - points.mean(0)).pow(2)
    share = variance / variance.sum()
    return float(torch.exp(torch.special.entr(share).sum()))


def box_side(points: Tensor, vectors: Tensor) -> float:
    """Side of the points' bounding box over that of the vectors', the geometric mean over the dimensions.

    Raised to the number of dimensions, it is the ratio of the volumes.
    """
    sides = [x.amax(0) - x.amin(0) for x in (points, vectors)]
    return float((sides[0].clamp_min(1e-12) / sides[1].clamp_min(1e-12)).log().mean().exp())
