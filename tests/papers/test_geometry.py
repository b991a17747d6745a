import pytest
import torch

from mixlib.papers import geometry
from mixlib.papers.batchmixup.studies import draw_points


@pytest.fixture
def vectors():
    return torch.randn(6, 10, generator=torch.Generator().manual_seed(0))


def test_distance_to_the_nearest_segment():
    square = torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]])
    points = torch.tensor([[1.0, 0.0], [2.0, 1.0], [5.0, 2.0], [2.0, -1.0], [-3.0, -4.0], [0.0, 4.0]])
    expected = torch.tensor([0.0, 0.5**0.5, 1.0, 1.0, 5.0, 8**0.5])
    assert torch.allclose(geometry.distance_to_segments(points, square), expected)


def test_pairwise_points_lie_on_segments_and_others_do_not(vectors):
    generator = torch.Generator().manual_seed(1)
    pairwise, _ = draw_points(vectors, 50, "pairwise", 0.4, generator)
    assert geometry.distance_to_segments(pairwise, vectors).max() < 1e-5
    for policy in ("nonlinear", "elementwise", "sample"):
        points, _ = draw_points(vectors, 50, policy, 1.0, generator)
        assert geometry.distance_to_segments(points, vectors).min() > 1e-2


def test_points_of_batchmixup_crowd_at_the_mean_and_a_temperature_spreads_them(vectors):
    generator = torch.Generator().manual_seed(1)
    spreads = [
        geometry.spread(draw_points(vectors, 400, "elementwise", 1.0, generator, temperature)[0], vectors)
        for temperature in (1.0, 0.3, 0.03)
    ]
    assert spreads[0] < 0.2 < spreads[1] < spreads[2] <= 1.1
    crowded = [geometry.spread(draw_points(vectors, 400, "sample", a, generator)[0], vectors) for a in (0.1, 1.0, 8.0)]
    assert crowded == sorted(crowded, reverse=True)  # a larger alpha makes it worse


def test_spread_box_and_rank(vectors):
    assert geometry.spread(vectors, vectors) == pytest.approx(1)
    assert geometry.spread(vectors.mean(0, keepdim=True), vectors) == pytest.approx(0, abs=1e-6)
    half = (vectors + vectors.mean(0)) / 2
    assert geometry.spread(half, vectors) == pytest.approx(0.5)
    assert geometry.box_side(half, vectors) == pytest.approx(0.5, rel=1e-4)
    line = torch.arange(5.0)[:, None] * torch.ones(1, 4)
    assert geometry.effective_rank(line) == pytest.approx(1, abs=1e-4)
    ball = torch.randn(20000, 3, generator=torch.Generator().manual_seed(0))
    assert geometry.effective_rank(ball) == pytest.approx(3, rel=1e-2)
    far = torch.tensor([0.0, 0.0, 0.0, 7.0])  # where the points lie does not matter
    assert geometry.effective_rank(line + far) == pytest.approx(1, abs=1e-4)
    assert geometry.mean_pair_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]])) == pytest.approx(5)


def test_place_beside_a_segment():
    start, end = torch.zeros(4, 2), torch.tensor([[2.0, 0.0]]).expand(4, 2)
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, -0.5], [3.0, 0.0]])
    along, distance = geometry.on_segment(points, start, end)
    assert along.tolist() == [0, 0.5, 1, 1.5]
    assert distance.tolist() == [0, 0.5, 0.25, 0.5]  # beyond its end the distance is to the end
