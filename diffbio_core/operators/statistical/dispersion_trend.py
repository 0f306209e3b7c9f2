"""The trend of dispersion over mean: a gamma regression of alpha on 1/mean, or a local regression where that fails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SMALLEST_DISPERSION = 1e-8
_USED_FROM = 100 * SMALLEST_DISPERSION
_NEAREST_FRACTION = 0.7
_KNOTS = 200


@dataclass(frozen=True)
class DispersionTrend:
    """Dispersion that a gene of some mean is expected to have.

    Attributes:
        kind: "parametric", asymptote + extra / mean; "local", a smooth curve on logs; or "mean", one for all.
        asymptote: Of the parametric trend; the dispersion of all genes for "mean"; NaN for "local".
        extra: Coefficient of 1 / mean; NaN unless parametric.
        knots: (knots, 2) log mean and log dispersion of a local trend; empty otherwise.
    """

    kind: str
    asymptote: float
    extra: float
    knots: Float[np.ndarray, "knots 2"]

    def __call__(self, means: Float[np.ndarray, " genes"]) -> Float[np.ndarray, " genes"]:
        """Dispersions at some means of normalised counts."""
        if self.kind == "parametric":
            return self.asymptote + self.extra / means
        if self.kind == "mean":
            return np.full(len(means), self.asymptote)
        return np.exp(np.interp(np.log(means), self.knots[:, 0], self.knots[:, 1]))


def fit_trend(
    means: Float[np.ndarray, " genes"], dispersions: Float[np.ndarray, " genes"], kind: str = "parametric"
) -> DispersionTrend:
    """Fit a trend to gene-wise dispersions.

    Args:
        means: (genes,) means of normalised counts, positive.
        dispersions: (genes,) gene-wise estimates.
        kind: "parametric", which becomes "local" where it fails, as in DESeq2; "local"; or "mean".

    Raises:
        ValueError: Another kind, or no gene varies more than Poisson.
    """
    if kind not in ("parametric", "local", "mean"):
        raise ValueError(f"trend must be 'parametric', 'local' or 'mean', got {kind!r}")
    used = dispersions > _USED_FROM
    if not used.any():
        raise ValueError(
            "no gene varies more than Poisson noise explains, so that no dispersion trend can be fitted; "
            "check that counts are raw and that replicates are no copies"
        )
    if kind == "mean":
        return DispersionTrend("mean", _trimmed_mean(dispersions[used], 0.001), np.nan, np.empty((0, 2)))
    if kind == "parametric":
        coefficients = _parametric(means[used], dispersions[used])
        if coefficients is not None:
            return DispersionTrend("parametric", *coefficients, np.empty((0, 2)))
    return DispersionTrend("local", np.nan, np.nan, _local(means[used], dispersions[used]))


def _parametric(
    means: Float[np.ndarray, " genes"], dispersions: Float[np.ndarray, " genes"]
) -> tuple[float, float] | None:
    """Asymptote and extra, refitted without genes far off until they settle; None where that fails."""
    coefficients = np.array([0.1, 1.0])
    for _ in range(11):
        ratio = dispersions / (coefficients[0] + coefficients[1] / means)
        good = (ratio > 1e-4) & (ratio < 15)
        fitted = _gamma_regression(1 / means[good], dispersions[good], coefficients)
        if fitted is None:
            return None
        before, (coefficients, converged) = coefficients, fitted
        if not (coefficients > 0).all():
            return None
        if converged and (np.log(coefficients / before) ** 2).sum() < 1e-6:
            return float(coefficients[0]), float(coefficients[1])
    return None


def _gamma_regression(
    inverse_means: Float[np.ndarray, " genes"],
    dispersions: Float[np.ndarray, " genes"],
    start: Float[np.ndarray, "2"],
    most_steps: int = 25,
    tolerance: float = 1e-8,
) -> tuple[Float[np.ndarray, "2"], bool] | None:
    """Regression with gamma errors and the identity link, steps halved while a fitted value is negative."""
    columns = np.column_stack([np.ones_like(inverse_means), inverse_means])

    def deviance_at(coefficients: Float[np.ndarray, "2"]) -> float:
        fitted = columns @ coefficients
        if not (fitted > 0).all():
            return np.nan
        return float(-2 * (np.log(dispersions / fitted) - (dispersions - fitted) / fitted).sum())

    coefficients, before = start, deviance_at(start)
    if np.isnan(before):
        return None
    for _ in range(most_steps):
        weights = (columns @ coefficients) ** -2
        weighted = columns * weights[:, None]
        proposal = np.linalg.solve(weighted.T @ columns, weighted.T @ dispersions)
        deviance = deviance_at(proposal)
        for _ in range(most_steps):
            if not np.isnan(deviance):
                break
            proposal = (proposal + coefficients) / 2
            deviance = deviance_at(proposal)
        if np.isnan(deviance):
            return None
        coefficients = proposal
        if abs(deviance - before) / (abs(deviance) + 0.1) < tolerance:
            return coefficients, True
        before = deviance
    return coefficients, False


def _local(
    means: Float[np.ndarray, " genes"], dispersions: Float[np.ndarray, " genes"]
) -> Float[np.ndarray, "knots 2"]:
    """Local quadratic regression of log dispersion on log mean over the nearest 70 % of genes, weighted by mean."""
    x, y = np.log(means), np.log(dispersions)
    order = np.argsort(x, kind="stable")
    x, y, prior = x[order], y[order], means[order]
    near = max(3, int(_NEAREST_FRACTION * len(x)))
    knots = np.linspace(x[0], x[-1], _KNOTS) if len(x) > 1 else x
    fitted = np.empty(len(knots))
    for index, knot in enumerate(knots):
        distance = np.abs(x - knot)
        width = np.partition(distance, min(near, len(x)) - 1)[min(near, len(x)) - 1]
        weights = prior * (1 - np.minimum(distance / max(width, 1e-12), 1) ** 3) ** 3
        root = np.sqrt(weights)
        columns = np.column_stack([np.ones_like(x), x - knot, (x - knot) ** 2])
        fitted[index] = np.linalg.lstsq(columns * root[:, None], y * root, rcond=None)[0][0]
    return np.column_stack([knots, fitted])


def _trimmed_mean(values: Float[np.ndarray, " values"], fraction: float) -> float:
    """Mean without the lowest and the highest fraction of values."""
    cut = int(len(values) * fraction)
    return float(np.sort(values)[cut : len(values) - cut].mean())
