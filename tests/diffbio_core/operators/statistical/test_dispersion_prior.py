import numpy as np
import pytest
from scipy.special import ndtri, polygamma

from diffbio_core.operators.statistical.dispersion_prior import prior_variance, residual_variance

RESIDUALS = np.exp(1.4 * ndtri((np.arange(2000) + 0.5) / 2000) - 0.3)


@pytest.mark.parametrize(("degrees", "expected"), [(1, 0.576576576577), (2, 0.816816816817), (3, 1.07307307307)])
def test_few_degrees_of_freedom_give_the_variance_that_deseq2_simulates(degrees, expected):
    assert prior_variance(RESIDUALS, np.ones(2000), degrees) == pytest.approx(expected, rel=1e-11)


def test_more_degrees_of_freedom_take_off_the_variance_of_estimation():
    observed = residual_variance(RESIDUALS, np.ones(2000))

    assert observed == pytest.approx(1.4**2, rel=1e-3)
    assert prior_variance(RESIDUALS, np.ones(2000), 10) == pytest.approx(observed - polygamma(1, 5))


def test_the_variance_is_a_quarter_at_least_and_genes_without_spread_do_not_count():
    close = np.exp(0.1 * np.linspace(-1, 1, 100))
    assert prior_variance(close, np.ones(100), 10) == 0.25
    poisson = np.concatenate([RESIDUALS, np.full(500, 1e-8)])
    assert residual_variance(poisson, np.ones(2500)) == residual_variance(RESIDUALS, np.ones(2000))
