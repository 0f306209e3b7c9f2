"""The metrics, by name, and what their best value is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from diffbio_core.evaluation.perturbation import effects
from diffbio_core.evaluation.perturbation.agreement import OVERLAP_SIZES, agreements, count_correlation
from diffbio_core.evaluation.perturbation.clustering import clustering_agreement, groups_of
from diffbio_core.evaluation.perturbation.differential import DifferentialExpression, against_controls
from diffbio_core.evaluation.perturbation.distances import e_distance, spread
from diffbio_core.evaluation.perturbation.groups import Profiles

_OVERLAPS = tuple(f"{kind}_at_{size or 'N'}" for kind in ("overlap", "precision") for size in OVERLAP_SIZES)

METRICS: dict[str, int | None] = {
    "pearson_delta": 1,
    "mse": 0,
    "mae": 0,
    "mse_delta": 0,
    "mae_delta": 0,
    "discrimination_score_l1": 1,
    "discrimination_score_l2": 1,
    "discrimination_score_cosine": 1,
    "pearson_edistance": 1,
    "clustering_agreement": 1,
    **dict.fromkeys(_OVERLAPS, 1),
    "de_spearman_sig": 1,
    "de_direction_match": 1,
    "de_spearman_lfc_sig": 1,
    "de_sig_genes_recall": 1,
    "de_nsig_counts_real": None,
    "de_nsig_counts_pred": None,
    "pr_auc": 1,
    "roc_auc": 1,
}
"""Best value of each metric; None for counts, which have none."""

OVERALL = ("pearson_edistance", "clustering_agreement", "de_spearman_sig")
"""Metrics of all perturbations together."""


@dataclass(frozen=True)
class Measured:
    """Values of metrics.

    Attributes:
        values: By metric, one per perturbation, NaN where it is not defined.
        overall: By metric, one for all perturbations together.
    """

    values: dict[str, Float[np.ndarray, "perts"]]
    overall: dict[str, float]


class Truth:
    """What was measured, with what every prediction is compared with computed once.

    Args:
        perturbations: Their names.
        profiles: Cells and means of them.
        controls: Measured controls.
        targets: Genes that each perturbation aims at.
        alpha: False discovery rate below which a gene is significant.
        with_cells: Whether metrics that take longer are wanted, too: e-distance, groups, differential expression.
    """

    def __init__(
        self,
        perturbations: Sequence[str],
        profiles: Profiles,
        controls: Float[np.ndarray, "n genes"],
        targets: Bool[np.ndarray, "perts genes"],
        alpha: float,
        with_cells: bool,
    ):
        self.perturbations, self.controls, self.targets, self.alpha = perturbations, controls, targets, alpha
        self.means = np.stack([profiles.mean(name) for name in perturbations])
        self.effects = self.means - controls.mean(axis=0)
        self.with_cells = with_cells
        if with_cells:
            self.spread = spread(controls)
            self.distances = self._distances(perturbations, profiles, controls, self.spread)
            self.expression: DifferentialExpression = against_controls(perturbations, profiles.cells, controls)

    def measure(
        self,
        predicted: Profiles,
        *,
        controls: Float[np.ndarray, "n genes"] | None = None,
        names: Sequence[str] | None = None,
    ) -> Measured:
        """Metrics of a prediction.

        Args:
            predicted: Predicted cells.
            controls: Controls that predicted cells are compared with; the measured ones if None.
            names: Perturbations that are predicted; all if None. Values of the others are NaN.
        """
        names = self.perturbations if names is None else names
        places = np.array([self.perturbations.index(name) for name in names])
        own = self.controls if controls is None else controls
        means = np.stack([predicted.mean(name) for name in names])
        changes, true_means, true_changes = means - own.mean(axis=0), self.means[places], self.effects[places]
        values = {
            "pearson_delta": effects.correlations(changes, true_changes),
            "mse": effects.squared_errors(means, true_means),
            "mae": effects.absolute_errors(means, true_means),
            "mse_delta": effects.squared_errors(changes, true_changes),
            "mae_delta": effects.absolute_errors(changes, true_changes),
        }
        for metric in ("l1", "l2", "cosine"):
            found = effects.discrimination(changes, self.effects, self.targets, places, metric)
            values[f"discrimination_score_{metric}"] = found
        overall: dict[str, float] = {}
        if self.with_cells:
            distances = self._distances(names, predicted, own, self.spread if controls is None else spread(own))
            kinds, like = predicted.kinds(names)
            expression = against_controls(kinds, predicted.cells, own).of(like)
            values |= agreements(self.expression.of(places), expression, self.alpha)
            overall = {
                "clustering_agreement": clustering_agreement(groups_of(true_means), means),
                "pearson_edistance": float(effects.correlations(distances[None], self.distances[None, places])[0]),
                "de_spearman_sig": count_correlation(values["de_nsig_counts_real"], values["de_nsig_counts_pred"]),
            }
        return Measured({metric: self._spread_out(found, places) for metric, found in values.items()}, overall)

    def _spread_out(
        self, values: Float[np.ndarray, "some"], places: Int[np.ndarray, "some"]
    ) -> Float[np.ndarray, "perts"]:
        found = np.full(len(self.perturbations), np.nan)
        found[places] = values
        return found

    def _distances(
        self,
        names: Sequence[str],
        profiles: Profiles,
        controls: Float[np.ndarray, "n genes"],
        spread_of_controls: float,
    ) -> Float[np.ndarray, "some"]:
        kinds, like = profiles.kinds(names)
        return np.array([e_distance(profiles.cloud(name), controls, spread_of_controls) for name in kinds])[like]
