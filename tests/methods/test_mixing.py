import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mixlib.methods import mixing
from mixlib.methods.mixing import mix, mixed_cross_entropy, random_others, random_pairs, sample_beta, sample_lam

seeds = st.integers(0, 2**31 - 1)
lams = st.floats(0, 1)
rows = st.integers(1, 33)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@given(seeds, rows)
def test_random_pairs_is_its_own_inverse_and_leaves_at_most_one_row_alone(seed, n):
    perm = random_pairs(n, seeded(seed))
    assert torch.equal(perm[perm], torch.arange(n))
    assert int((perm == torch.arange(n)).sum()) == n % 2


@given(seeds, st.integers(2, 33))
def test_random_others_is_a_permutation_without_fixed_points(seed, n):
    perm = random_others(n, seeded(seed))
    assert sorted(perm.tolist()) == list(range(n))
    assert not (perm == torch.arange(n)).any()


def test_every_other_row_is_an_equally_likely_partner():
    generator = seeded(0)
    for draw in (random_others, random_pairs):
        counts = torch.zeros(4)
        for _ in range(3000):
            counts[draw(4, generator)[0]] += 1
        assert counts[0] == 0
        assert stats.chisquare(counts[1:]).pvalue > 1e-4


@given(seeds, rows, lams)
def test_weights_sum_to_one(seed, n, lam):
    perm = random_others(n, seeded(seed))
    assert torch.allclose(mix(torch.ones(n, 3), perm, lam), torch.ones(n, 3))


@given(seeds, st.integers(2, 12))
def test_lam_one_changes_no_bit(seed, n):
    x = torch.randn(n, 5, generator=seeded(seed))
    labels = torch.randint(0, 5, (n,), generator=seeded(seed))
    perm = random_others(n, seeded(seed))
    assert torch.equal(mix(x, perm, 1.0), x)
    assert torch.equal(mixed_cross_entropy(x, labels, perm, 1.0), F.cross_entropy(x, labels, reduction="none").mean())


@given(seeds, st.integers(2, 12), lams)
def test_mixing_twice_with_swapped_pairs_and_one_half_is_mixing_once(seed, n, lam):
    x = torch.randn(n, 4, generator=seeded(seed), dtype=torch.float64)
    perm = random_pairs(n, seeded(seed))
    once = mix(x, perm, 0.5)
    assert torch.allclose(mix(once, perm, lam), once)


@given(seeds, st.integers(2, 12), lams)
@settings(max_examples=50)
def test_two_term_loss_equals_soft_label_cross_entropy(seed, n, lam):
    logits = torch.randn(n, 4, generator=seeded(seed), dtype=torch.float64)
    labels = torch.randint(0, 4, (n,), generator=seeded(seed))
    perm = random_others(n, seeded(seed))
    soft = mix(F.one_hot(labels, 4).double(), perm, lam)
    assert torch.allclose(mixed_cross_entropy(logits, labels, perm, lam), F.cross_entropy(logits, soft))
    per_row = torch.full((n,), lam, dtype=torch.float64)
    assert torch.allclose(mixed_cross_entropy(logits, labels, perm, per_row), F.cross_entropy(logits, soft))


@pytest.mark.parametrize("alpha", [0.1, 0.75, 1.0, 4.0])
def test_lam_follows_the_beta_distribution(alpha):
    generator = seeded(0)
    draws = [sample_lam(alpha, generator) for _ in range(2000)]
    assert stats.kstest(draws, stats.beta(alpha, alpha).cdf).pvalue > 1e-4


def test_lam_rules():
    folded = [sample_lam(0.2, seeded(s), rule="folded") for s in range(200)]
    assert min(folded) >= 0.5
    largest = [sample_lam(0.1, seeded(s), rule="max_of_n", n=5) for s in range(400)]
    assert 0.8 < sum(lam > 0.99 for lam in largest) / 400 < 0.9  # 0.855 by the distribution
    assert sample_lam(0.3, seeded(7)) == sample_lam(0.3, seeded(7))


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf"), "1"])
def test_bad_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha must be a positive number"):
        sample_lam(alpha, seeded(0))


def test_bad_rule_and_n_are_refused():
    with pytest.raises(ValueError, match="plain, folded, max_of_n"):
        sample_lam(1.0, seeded(0), rule="max")
    with pytest.raises(ValueError, match="at least 1"):
        sample_lam(1.0, seeded(0), rule="max_of_n", n=0)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 8.0])
def test_many_beta_draws_have_the_distribution(alpha):
    draws = sample_beta((300, 401), alpha, seeded(0))
    assert draws.shape == (300, 401)
    assert 0 <= draws.min() <= draws.max() <= 1
    for value in (0.001, 0.05, 0.3, 0.5, 0.7, 0.95, 0.999):
        assert (draws <= value).double().mean() == pytest.approx(stats.beta.cdf(value, alpha, alpha), abs=0.005)
    for lag in range(1, 5):  # four draws come from one random number
        pair = torch.stack([draws.flatten()[:-lag], draws.flatten()[lag:]])
        assert abs(torch.corrcoef(pair)[0, 1]) < 0.015


def test_many_beta_draws_depend_on_the_generator_alone():
    torch.manual_seed(1)
    first = sample_beta((7, 5), 0.4, seeded(3))
    torch.manual_seed(2)
    assert torch.equal(first, sample_beta((7, 5), 0.4, seeded(3)))
    assert not torch.equal(first, sample_beta((7, 5), 0.4, seeded(4)))
    with pytest.raises(ValueError, match="alpha must be a positive number"):
        sample_beta((2,), 0, seeded(0))


@pytest.mark.parametrize(("alpha", "rule", "n"), [(0.5, "plain", 1), (0.2, "folded", 1), (0.1, "max_of_n", 5)])
def test_the_distribution_function_is_that_of_the_draws(alpha, rule, n):
    generator = torch.Generator().manual_seed(0)
    lams = np.array([mixing.sample_lam(alpha, generator, rule, n) for _ in range(4000)])
    for x in (0.3, 0.6, 0.9, 0.99):
        assert abs((lams <= x).mean() - mixing.lam_cdf(x, alpha, rule, n)) < 0.025
    assert abs((1 - lams).mean() - mixing.mean_partner_share(alpha, rule, n)) < 0.015
    soft = np.clip(lams, 1e-300, 1 - 1e-16)
    entropy = -(soft * np.log(soft) + (1 - soft) * np.log1p(-soft))
    assert abs(entropy.mean() - mixing.mean_label_entropy(alpha, rule, n)) < 0.015


def test_how_little_amplify_mixes():
    """The numbers of the paper's inconsistencies: 0.038 against 0.101, and the share of batches above 0.99."""
    assert mixing.mean_partner_share(0.1, "max_of_n", 5) == pytest.approx(0.038, abs=5e-4)
    assert mixing.mean_partner_share(0.2, "folded") == pytest.approx(0.101, abs=5e-4)
    shares = [1 - mixing.lam_cdf(0.99, 0.1, "max_of_n", n) for n in (1, 3, 5, 7, 9, 20)]
    assert shares == pytest.approx([0.32, 0.69, 0.85, 0.93, 0.97, 1.0], abs=6e-3)
