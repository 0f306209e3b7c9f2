"""Ratios of gamma functions as the negative binomial needs them, without the cancellation of their difference."""

from __future__ import annotations

import math

import numba

_SHORT_PRODUCT = 12
"""Counts below this are multiplied out."""

_STIRLING_FROM = 10.0
"""Where six terms of Stirling's series are exact to 1e-13."""


@numba.njit(cache=True, error_model="numpy", inline="always")
def _stirling_rest(z: float) -> float:
    """What Stirling's formula leaves out of log gamma(z), for z of 10 or more."""
    inverse = 1.0 / z
    square = inverse * inverse
    series = 1.0 / 1188.0
    series = -1.0 / 1680.0 + square * series
    series = 1.0 / 1260.0 + square * series
    series = -1.0 / 360.0 + square * series
    return inverse * (1.0 / 12.0 + square * series)


@numba.njit(cache=True, error_model="numpy", inline="always")
def _digamma_rest(z: float) -> float:
    """What log(z) exceeds digamma(z) by, for z of 10 or more."""
    inverse = 1.0 / z
    square = inverse * inverse
    series = 1.0 / 132.0
    series = -1.0 / 240.0 + square * series
    series = 1.0 / 252.0 + square * series
    series = -1.0 / 120.0 + square * series
    return inverse * (0.5 + inverse * (1.0 / 12.0 + square * series))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_gamma_ratio(count: float, size: float) -> float:
    """Log of gamma(count + size) / gamma(size), for a whole count and a positive size."""
    if count < _SHORT_PRODUCT:
        product = 1.0
        for step in range(int(count)):
            product *= size + step
        return math.log(product)
    shift = 0.0
    low = size
    if size < _STIRLING_FROM:
        product = 1.0
        while low < _STIRLING_FROM:
            product *= low
            low += 1.0
        shift = math.log(product)
    high = size + count
    step = high - low
    return shift + (low - 0.5) * math.log1p(step / low) + step * math.log(high) - step + (
        _stirling_rest(high) - _stirling_rest(low)
    )  # fmt: skip


@numba.njit(cache=True, error_model="numpy", nogil=True)
def digamma_difference(count: float, size: float) -> float:
    """Digamma(count + size) - digamma(size), for a whole count and a positive size."""
    total = 0.0
    if count < _SHORT_PRODUCT:
        for step in range(int(count)):
            total += 1.0 / (size + step)
        return total
    low = size
    while low < _STIRLING_FROM:
        total += 1.0 / low
        low += 1.0
    high = size + count
    return total + math.log1p((high - low) / low) - (_digamma_rest(high) - _digamma_rest(low))


@numba.njit(cache=True, error_model="numpy", nogil=True)
def log_factorial(count: float) -> float:
    """Log of count factorial."""
    return math.lgamma(count + 1.0)
