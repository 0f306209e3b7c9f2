"""Whether predicted perturbations fall into the groups that measured ones do."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from diffbio_core.evaluation.perturbation.communities import adjusted_mutual_information, leiden
from diffbio_core.evaluation.perturbation.neighbours import neighbour_graph

RESOLUTIONS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0)
_FEWEST = 4  # perturbations of which groups can be told


def groups_of(means: Float[np.ndarray, "perts genes"]) -> Int[np.ndarray, "perts"]:
    """Group of every perturbation, by its mean."""
    return leiden(neighbour_graph(means))


def clustering_agreement(groups: Int[np.ndarray, "perts"], predicted: Float[np.ndarray, "perts genes"]) -> float:
    """Adjusted mutual information with the grouping of predicted means, at the resolution where it is largest.

    Args:
        groups: Groups of measured means.
        predicted: Predicted means.

    Returns:
        At most 1; NaN for fewer than four perturbations, or if all predicted means are the same.
    """
    if len(groups) < _FEWEST or not np.ptp(predicted, axis=0).any():
        return float("nan")
    graph = neighbour_graph(predicted)
    found = [adjusted_mutual_information(groups, leiden(graph, resolution)) for resolution in RESOLUTIONS]
    return max(0.0, *found)
