"""R's random numbers, compiled: Mersenne Twister, normals by inversion, chi-squares of 1 to 3 degrees of freedom.

The prior's width for few degrees of freedom is estimated by DESeq2 from draws of a fixed seed. The same draws give the
same width. Algorithms: Matsumoto and Nishimura 1998; Wichura 1988 (AS 241); Ahrens and Dieter 1972, 1974, 1982.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from jaxtyping import Float, Integer

_STATE, _PERIOD = 624, 397
_INVERSION = 134217728.0


def seeded_state(seed: int) -> Integer[np.ndarray, "625"]:
    """State of the generator as `set.seed(seed)` leaves it: 624 words and the place of the next one."""
    word = seed & 0xFFFFFFFF
    for _ in range(50):
        word = (69069 * word + 1) & 0xFFFFFFFF
    state = np.empty(_STATE + 1, dtype=np.int64)
    for index in range(_STATE + 1):
        word = (69069 * word + 1) & 0xFFFFFFFF
        # R keeps the place of the next word first, and sets it to the end.
        state[index - 1] = word
    state[_STATE] = _STATE
    return state


@numba.njit(cache=True, nogil=True)
def uniform(state: np.ndarray) -> float:
    """Next number between 0 and 1, ends left out."""
    if state[_STATE] >= _STATE:
        for index in range(_STATE):
            mixed = (state[index] & 0x80000000) | (state[(index + 1) % _STATE] & 0x7FFFFFFF)
            word = state[(index + _PERIOD) % _STATE] ^ (mixed >> 1)
            if mixed & 1:
                word ^= 0x9908B0DF
            state[index] = word
        state[_STATE] = 0
    word = state[state[_STATE]]
    state[_STATE] += 1
    word ^= word >> 11
    word ^= (word << 7) & 0x9D2C5680
    word ^= (word << 15) & 0xEFC60000
    word ^= word >> 18
    value = float(word * 2.3283064365386963e-10)
    if value <= 0.0:
        return 0.5 * 2.328306437080797e-10
    return value


@numba.njit(cache=True, nogil=True)
def normal(state: np.ndarray) -> float:
    """Next standard normal, by inversion of a uniform of two draws."""
    whole = math.floor(_INVERSION * uniform(state))
    return normal_quantile((whole + uniform(state)) / _INVERSION)


@numba.njit(cache=True, nogil=True)
def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal (AS 241, 16 digits)."""
    central = probability - 0.5
    if abs(central) <= 0.425:
        r = 0.180625 - central * central
        above = (((((((r * 2509.0809287301226727 + 33430.575583588128105) * r + 67265.770927008700853) * r
            + 45921.953931549871457) * r + 13731.693765509461125) * r + 1971.5909503065514427) * r
            + 133.14166789178437745) * r + 3.387132872796366608)  # fmt: skip
        below = (((((((r * 5226.495278852545925 + 28729.085735721942674) * r + 39307.89580009271061) * r
            + 21213.794301586595867) * r + 5394.1960214247511077) * r + 687.1870074920579083) * r
            + 42.313330701600911252) * r + 1.0)  # fmt: skip
        return central * above / below
    tail = probability if central < 0 else 1.0 - probability
    r = math.sqrt(-math.log(tail))
    if r <= 5.0:
        r -= 1.6
        above = (((((((r * 7.7454501427834140764e-4 + 0.0227238449892691845833) * r + 0.24178072517745061177) * r
            + 1.27045825245236838258) * r + 3.64784832476320460504) * r + 5.7694972214606914055) * r
            + 4.6303378461565452959) * r + 1.42343711074968357734)  # fmt: skip
        below = (((((((r * 1.05075007164441684324e-9 + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r
            + 0.14810397642748007459) * r + 0.68976733498510000455) * r + 1.6763848301838038494) * r
            + 2.05319162663775882187) * r + 1.0)  # fmt: skip
    else:
        r -= 5.0
        above = (((((((r * 2.01033439929228813265e-7 + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r
            + 0.026532189526576123093) * r + 0.29656057182850489123) * r + 1.7848265399172913358) * r
            + 5.4637849111641143699) * r + 6.6579046435011037772)  # fmt: skip
        below = (((((((r * 2.04426310338993978564e-15 + 1.4215117583164458887e-7) * r
            + 1.8463183175100546818e-5) * r + 7.868691311456132591e-4) * r + 0.0148753612908506148525) * r
            + 0.13692988092273580531) * r + 0.59983220655588793769) * r + 1.0)  # fmt: skip
    value = above / below
    return -value if central < 0 else value


@numba.njit(cache=True, nogil=True)
def exponential(state: np.ndarray) -> float:
    """Next standard exponential (Ahrens and Dieter 1972, algorithm SA)."""
    total = 0.0
    first = uniform(state)
    while first <= 0.0 or first >= 1.0:
        first = uniform(state)
    while True:
        first += first
        if first > 1.0:
            break
        total += math.log(2.0)
    first -= 1.0
    if first <= math.log(2.0):
        return total + first
    smallest = uniform(state)
    term = math.log(2.0)
    reached = term
    order = 1
    while True:
        drawn = uniform(state)
        smallest = min(smallest, drawn)
        order += 1
        term *= math.log(2.0) / order
        reached += term
        if first <= reached:
            break
    return total + smallest * math.log(2.0)


@numba.njit(cache=True, nogil=True)
def chi_square(state: np.ndarray, degrees: int) -> float:
    """Next chi-square: twice a gamma of half the degrees of freedom."""
    shape = 0.5 * degrees
    return 2.0 * (_small_gamma(state, shape) if shape < 1.0 else _large_gamma(state, shape))


@numba.njit(cache=True, nogil=True)
def _small_gamma(state: np.ndarray, shape: float) -> float:
    """Gamma of a shape below 1 (Ahrens and Dieter 1974, algorithm GS)."""
    bound = 1.0 + 0.36787944117144233 * shape
    while True:
        product = bound * uniform(state)
        if product >= 1.0:
            value = -math.log((bound - product) / shape)
            if exponential(state) >= (1.0 - shape) * math.log(value):
                return value
        else:
            value = math.exp(math.log(product) / shape)
            if exponential(state) >= value:
                return value


@numba.njit(cache=True, nogil=True)
def _quotient_log(t: float, scale: float, variance: float, quarter: float) -> float:
    """Log of the quotient that algorithm GD accepts by."""
    v = t / (scale + scale)
    if abs(v) <= 0.25:
        series = (((((0.1233795 * v - 0.1367177) * v + 0.1423657) * v - 0.1662921) * v + 0.2000062) * v - 0.250003) * v
        return quarter + 0.5 * t * t * (series + 0.3333333) * v
    return quarter - scale * t + 0.25 * t * t + (variance + variance) * math.log(1.0 + v)


@numba.njit(cache=True, nogil=True)
def _large_gamma(state: np.ndarray, shape: float) -> float:
    """Gamma of a shape of 1 to 3.686 (Ahrens and Dieter 1982, algorithm GD)."""
    variance = shape - 0.5
    scale = math.sqrt(variance)
    twelve = 5.656854 - scale * 12.0
    t = normal(state)
    x = scale + 0.5 * t
    if t >= 0.0:
        return x * x
    u = uniform(state)
    if twelve * u <= t * t * t:
        return x * x
    r = 1.0 / shape
    quarter = ((((((2.424e-4 * r + 2.4511e-4) * r - 7.388e-5) * r + 1.44121e-3) * r + 8.01191e-3) * r
        + 2.083148e-2) * r + 4.166669e-2) * r  # fmt: skip
    bound = 0.463 + scale + 0.178 * variance
    slope = 1.235
    factor = 0.195 / scale - 0.079 + 0.16 * scale
    if x > 0.0 and math.log(1.0 - u) <= _quotient_log(t, scale, variance, quarter):
        return x * x
    while True:
        e = exponential(state)
        u = uniform(state)
        u = u + u - 1.0
        t = bound - slope * e if u < 0.0 else bound + slope * e
        if t < -0.71874483771719:
            continue
        q = _quotient_log(t, scale, variance, quarter)
        if q > 0.0 and factor * abs(u) <= math.expm1(q) * math.exp(e - 0.5 * t * t):
            x = scale + 0.5 * t
            return x * x


@numba.njit(cache=True, nogil=True)
def residual_histograms(
    state: np.ndarray, degrees: int, variances: np.ndarray, draws: int, lowest: float, width: float, bins: int
) -> Float[np.ndarray, "variances bins"]:
    """Densities of log(chi-square / degrees) + a normal of each variance.

    Args:
        state: Of the generator; moved on.
        degrees: Degrees of freedom, 1 to 3.
        variances: (variances,)
        draws: Per variance.
        lowest: Lower end of the first bin; bins hold their upper end.
        width: Of a bin.
        bins: How many.
    """
    densities = np.zeros((len(variances), bins))
    values = np.empty(draws)
    for index in range(len(variances)):
        for draw in range(draws):
            values[draw] = math.log(chi_square(state, degrees))
        spread = math.sqrt(variances[index])
        inside = 0
        for draw in range(draws):
            # R draws nothing for a standard deviation of 0.
            noise = spread * normal(state) if spread > 0.0 else 0.0
            value = values[draw] + noise - math.log(degrees)
            if lowest < value < lowest + width * bins:
                densities[index, math.ceil((value - lowest) / width) - 1] += 1.0
                inside += 1
        densities[index] /= inside * width
    return densities
