"""Doublets: droplets of two cells, told by how many simulated ones lie near them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from diffbio_core.operators.base import OperatorConfig, OperatorModule
from diffbio_core.operators.singlecell.neighbours import nearest_cells
from diffbio_core.operators.singlecell.simulated_doublets import simulated_doublets
from diffbio_core.operators.singlecell.solo_detector import DifferentiableSoloDetector, SoloDetectorConfig
from diffbio_core.operators.validation import check_counts, check_positive, check_shapes
from diffbio_core.typing import Metadata, PyTree

__all__ = [
    "DifferentiableDoubletScorer",
    "DifferentiableSoloDetector",
    "DoubletScorerConfig",
    "SoloDetectorConfig",
]

_SMALLEST = 1e-12


@dataclass(frozen=True)
class DoubletScorerConfig(OperatorConfig):
    """Configuration of `DifferentiableDoubletScorer`.

    Attributes:
        n_neighbors: Neighbours among observed cells; simulated ones come on top in proportion.
        expected_doublet_rate: Share of doublets that the experiment is expected to have.
        sim_doublet_ratio: Simulated doublets for each cell.
        n_pca_components: Principal components in which neighbours are sought; fewer where there are fewer.
        n_genes: Number of genes.
        threshold_temperature: How sharply a score above the threshold is a doublet.

    Raises:
        ValueError: A value that is not positive, or a rate outside (0, 1).
    """

    n_neighbors: int = 30
    expected_doublet_rate: float = 0.06
    sim_doublet_ratio: float = 2.0
    n_pca_components: int = 30
    n_genes: int = 2000
    threshold_temperature: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "stochastic", True)
        object.__setattr__(self, "stream_name", self.stream_name or "sample")
        super().__post_init__()
        check_positive(
            "doublet scorer",
            n_neighbors=self.n_neighbors,
            sim_doublet_ratio=self.sim_doublet_ratio,
            n_pca_components=self.n_pca_components,
            n_genes=self.n_genes,
            threshold_temperature=self.threshold_temperature,
        )
        if not 0 < self.expected_doublet_rate < 1:
            raise ValueError(
                f"doublet scorer: expected_doublet_rate must lie in (0, 1), got {self.expected_doublet_rate}"
            )


class DifferentiableDoubletScorer(OperatorModule):
    """Scrublet (Wolock, Lopez and Klein 2019): the share of simulated doublets among a cell's neighbours, as odds.

    Neighbours are counted; gradients are those of a count in which nearer neighbours weigh more.
    """

    config: DoubletScorerConfig

    def __init__(self, config: DoubletScorerConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Score cells.

        Args:
            data: `counts` (cells, n_genes), raw. Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: PRNG key for the pairs that are simulated; that of seed 0 if None.
            stats: Not used.

        Returns:
            The data with `doublet_scores` (cells,), probabilities, and `predicted_doublets` (cells,) in [0, 1], above
            one half where the score is above the threshold that parts the simulated doublets' scores best; state,
            metadata.

        Raises:
            ValueError: The key is missing, its shape does not fit, a value is no count, or fewer than three cells.
        """
        cells = check_shapes("doublet scorer", data, {"counts": ("cells", self.config.n_genes)})["cells"]
        if cells < 3:
            raise ValueError(f"doublet scorer: needs three cells at least, got {cells}")
        self._check_values(data)
        key = jax.random.key(0) if random_params is None else random_params
        return {**data, **self._score(jnp.asarray(data["counts"], float), key)}, state, metadata

    @jax.jit
    def _score(self, counts: Array, key: Array) -> dict[str, Array]:
        config, cells = self.config, counts.shape[0]
        number = max(1, round(config.sim_doublet_ratio * cells))
        doublets = simulated_doublets(key, counts, number)
        places = _components(counts, doublets, config.n_pca_components)
        near = min(round(config.n_neighbors * (1 + number / cells)), cells + number - 1)
        neighbours, _ = nearest_cells(jax.lax.stop_gradient(places), near)
        simulated = (neighbours >= cells).astype(counts.dtype)
        # Seen anew from the places, so that distances have gradients.
        squares = ((places[:, None] - places[neighbours]) ** 2).sum(axis=2)
        weights = jax.nn.softmax(-squares / jnp.maximum(squares.mean(axis=1, keepdims=True), _SMALLEST), axis=1)
        smooth = near * (weights * simulated).sum(axis=1)
        found = smooth + jax.lax.stop_gradient(simulated.sum(axis=1) - smooth)
        share = (found + 1) / (near + 2)
        rate, ratio = config.expected_doublet_rate, number / cells
        scores = share * rate / ratio / (1 - rate - share * (1 - rate - rate / ratio))
        threshold = _best_threshold(jax.lax.stop_gradient(scores[cells:]))
        predicted = jax.nn.sigmoid(config.threshold_temperature * (scores[:cells] - threshold))
        return {"doublet_scores": scores[:cells], "predicted_doublets": predicted}

    def _check_values(self, data: PyTree) -> None:
        check_counts("doublet scorer", "counts", data["counts"])


def _components(counts: Array, doublets: Array, number: int) -> Array:
    """Principal components of the cells, in which the doublets are placed, too; axes are constants to gradients."""
    depth = counts.sum(axis=1).mean()

    def normalised(counts: Array) -> Array:
        return jnp.log1p(counts * depth / jnp.maximum(counts.sum(axis=1, keepdims=True), _SMALLEST))

    observed, simulated = normalised(counts), normalised(doublets)
    mean = observed.mean(axis=0)
    number = min(number, *observed.shape)
    axes = jax.lax.stop_gradient(jnp.linalg.svd(jax.lax.stop_gradient(observed - mean), full_matrices=False)[2])
    return (jnp.concatenate([observed, simulated]) - mean) @ axes[:number].T


def _best_threshold(scores: Array) -> Array:
    """Where the two halves of the scores lie furthest apart for their sizes (Otsu 1979)."""
    ordered = jnp.sort(scores)
    sizes = jnp.arange(1, ordered.size)
    sums = jnp.cumsum(ordered)[:-1]
    below, above = sums / sizes, (ordered.sum() - sums) / (ordered.size - sizes)
    at = jnp.argmax(sizes * (ordered.size - sizes) * (above - below) ** 2) if ordered.size > 1 else 0
    return (ordered[at] + ordered[jnp.minimum(at + 1, ordered.size - 1)]) / 2
