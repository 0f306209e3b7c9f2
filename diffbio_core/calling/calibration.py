"""Calibration: a slope and an offset per class and depth of candidates, so that what is told is right as often.

Platt's scaling (1999) in the form for three outcomes: the logarithms of the probabilities of 0, 1 and 2 copies times a
slope, that of 0 copies raised by an offset, then normalised. A slope under 1 makes what was too sure less so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int, Int8, Int64

VERSION = 1
"""Format of what a model's card holds under ``calibration``."""

CLASSES = ("SNV", "indel", "indel in a repeat")
"""Classes of candidates."""

REPEAT = 6
"""Columns that an indel can be shifted by from which on it lies in a repeat."""

DEPTH_BANDS = (12, 30)
"""Reads over a candidate at which the next band begins."""

PRIOR = 20.0
"""Candidates' worth of belief that a class needs no calibration, so that a few do not move it far."""


@dataclass(frozen=True)
class Calibration:
    """Slopes and offsets.

    Attributes:
        slope: Per class and depth band; positive.
        offset: Added to the logarithm of no copies.
    """

    slope: Float64[np.ndarray, "classes bands"]
    offset: Float64[np.ndarray, "classes bands"]

    @classmethod
    def none(cls) -> Calibration:
        """What leaves every probability as it is."""
        shape = len(CLASSES), len(DEPTH_BANDS) + 1
        return cls(np.ones(shape), np.zeros(shape))

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Calibration:
        """The calibration that a model's card holds; that of a card without one changes nothing.

        Raises:
            ValueError: It is of another version, or no table of finite numbers.
        """
        entry = card.get("calibration")
        if entry is None:
            return cls.none()
        if not isinstance(entry, Mapping) or entry.get("version") != VERSION:
            found = entry.get("version") if isinstance(entry, Mapping) else entry
            raise ValueError(f"calibration is of version {found}, expected {VERSION}")
        slope, offset = (np.array(entry.get(name), np.float64) for name in ("slope", "offset"))
        shape = len(CLASSES), len(DEPTH_BANDS) + 1
        if slope.shape != shape or offset.shape != shape or not np.isfinite([slope, offset]).all() or slope.min() <= 0:
            raise ValueError(f"calibration must hold finite slope (above 0) and offset of shape {shape}")
        return cls(slope, offset)

    def to_card(self) -> dict[str, Any]:
        """As a model's card holds it."""
        return {"version": VERSION, "slope": self.slope.tolist(), "offset": self.offset.tolist()}

    def __call__(
        self,
        logs: Float64[np.ndarray, "candidates 3"],
        kinds: Int64[np.ndarray, " candidates"],
        depth: Int[np.ndarray, " candidates"],
    ) -> Float64[np.ndarray, "candidates 3"]:
        """Calibrated logarithms of the probabilities of 0, 1 and 2 copies.

        Args:
            logs: As the classifier gives them.
            kinds: Class of each candidate, as ``candidate_kinds`` tells it.
            depth: Reads that were looked at.
        """
        band = np.searchsorted(DEPTH_BANDS, depth, side="right")
        slope, offset = self.slope[kinds, band], self.offset[kinds, band]
        unchanged = (slope == 1) & (offset == 0)
        return np.where(unchanged[:, None], logs, _scaled(logs, slope, offset))


def candidate_kinds(
    length: Int[np.ndarray, " candidates"], tract: Int[np.ndarray, " candidates"]
) -> Int64[np.ndarray, " candidates"]:
    """Index into ``CLASSES`` of candidates of a length (0, +inserted, -deleted) and a tract (``CandidateViews``)."""
    return np.where(length == 0, 0, np.where(tract >= REPEAT, 2, 1)).astype(np.int64)


def fit_calibration(
    logs: Float64[np.ndarray, "candidates 3"],
    labels: Int8[np.ndarray, " candidates"],
    kinds: Int64[np.ndarray, " candidates"],
    depth: Int[np.ndarray, " candidates"],
) -> Calibration:
    """Slopes and offsets of highest likelihood, drawn to none where there are few (``PRIOR``).

    Args:
        logs: Logarithms of the probabilities that the classifier gives, not calibrated.
        labels: True copies (0, 1, 2); others are left out.
        kinds: Class of each candidate.
        depth: Reads that were looked at.
    """
    fitted = Calibration.none()
    band = np.searchsorted(DEPTH_BANDS, depth, side="right")
    for kind, level in np.ndindex(fitted.slope.shape):
        chosen = (kinds == kind) & (band == level) & (labels >= 0)
        if np.any(chosen):
            fitted.slope[kind, level], fitted.offset[kind, level] = _fit(logs[chosen], labels[chosen])
    return fitted


def _scaled(logs: np.ndarray, slope: np.ndarray, offset: np.ndarray) -> np.ndarray:
    scaled = logs * np.asarray(slope)[..., None]
    scaled[:, 0] += offset
    return scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)


def _fit(logs: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    from scipy.optimize import minimize

    rows = np.arange(labels.size)

    def loss(parameters: np.ndarray) -> float:
        steepness, offset = parameters
        found = _scaled(logs, np.full(labels.size, np.exp(steepness)), np.full(labels.size, offset))
        return float(-found[rows, labels].sum() + PRIOR * (steepness**2 + 0.25 * offset**2))

    steepness, offset = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6}).x
    return round(float(np.exp(steepness)), 4), round(float(offset), 4)
