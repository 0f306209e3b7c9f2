import numpy as np
import pytest

from diffbio_core.operators.statistical.dispersion_trend import fit_trend

MEANS = np.exp(np.linspace(0, 9, 500))
NOISE = np.exp(np.random.default_rng(0).normal(0, 0.3, 500))


def test_a_trend_over_the_inverse_mean_is_found():
    trend = fit_trend(MEANS, (0.05 + 3 / MEANS) * NOISE / NOISE.mean())

    assert trend.kind == "parametric"
    assert trend.asymptote == pytest.approx(0.05, rel=0.05)
    assert trend.extra == pytest.approx(3, rel=0.1)
    assert trend(np.array([1.0, 10.0])) == pytest.approx(trend.asymptote + trend.extra / np.array([1.0, 10.0]))


def test_genes_far_off_do_not_bend_it():
    dispersions = (0.05 + 3 / MEANS) * NOISE / NOISE.mean()
    far = dispersions.copy()
    far[::50] = 100.0
    assert fit_trend(MEANS, far).asymptote == pytest.approx(fit_trend(MEANS, dispersions).asymptote, rel=0.03)


def test_a_rising_dispersion_is_followed_locally():
    trend = fit_trend(MEANS, 0.01 * MEANS**0.3)

    assert trend.kind == "local"
    assert trend(MEANS) == pytest.approx(0.01 * MEANS**0.3, rel=1e-3)


def test_one_dispersion_for_all():
    assert fit_trend(MEANS, np.full(500, 0.2), "mean")(np.array([1.0, 99.0])) == pytest.approx([0.2, 0.2])


def test_counts_without_more_than_poisson_noise_are_refused():
    with pytest.raises(ValueError, match="no gene varies more than Poisson"):
        fit_trend(MEANS, np.full(500, 1e-8))
    with pytest.raises(ValueError, match="trend must be"):
        fit_trend(MEANS, np.ones(500), "spline")
