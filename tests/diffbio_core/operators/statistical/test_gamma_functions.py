import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gammaln

from diffbio_core.operators.statistical.gamma_functions import digamma_difference, log_factorial, log_gamma_ratio


@given(st.integers(0, 100_000), st.floats(1e-3, 1e4))
@settings(deadline=None)
def test_ratios_are_differences_of_log_gammas(count, size):
    expected = gammaln(count + size) - gammaln(size)
    assert log_gamma_ratio(float(count), size) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert digamma_difference(float(count), size) == pytest.approx(
        digamma(count + size) - digamma(size), rel=1e-9, abs=1e-11
    )


@pytest.mark.parametrize("count", [1, 11, 12, 1000])
def test_a_huge_size_loses_no_digits(count):
    size = 1e9
    expected = math.fsum(math.log(size + step) for step in range(count))
    assert log_gamma_ratio(float(count), size) == pytest.approx(expected, rel=1e-14)


def test_a_factorial():
    assert log_factorial(5.0) == pytest.approx(4.787491742782046, rel=1e-14)
