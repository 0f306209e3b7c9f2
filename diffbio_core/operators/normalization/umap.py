"""UMAP as a function of the features: a small network trained on UMAP's own graph and loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs, scalar
from diffbio_core.operators.normalization.fuzzy_graph import fuzzy_edges, fuzzy_similarities
from diffbio_core.operators.validation import check_finite, check_positive, check_shapes
from diffbio_core.typing import Metadata, PyTree
from diffbio_core.utils.training import Trainer, TrainingConfig

METRICS = ("euclidean", "cosine")

_SMALLEST = 1e-4
_NEGATIVES = 5
"""Random cells that each edge is held against, as in the published implementation."""

_EDGES_AT_ONCE = 1024


@dataclass(frozen=True)
class UMAPConfig(OperatorConfig):
    """Configuration of `DifferentiableUMAP`.

    Attributes:
        n_components: Dimensions of the view.
        n_neighbors: Neighbours that a cell's similarities reach to; all others where there are fewer.
        metric: "euclidean" or "cosine".
        input_features: Size of the features.
        hidden_dim: Width of the network's hidden layer.

    Raises:
        ValueError: A size that is not positive, or another metric.
    """

    n_components: int = 2
    n_neighbors: int = 15
    metric: str = "euclidean"
    input_features: int = 64
    hidden_dim: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            "UMAP",
            n_components=self.n_components,
            n_neighbors=self.n_neighbors,
            input_features=self.input_features,
            hidden_dim=self.hidden_dim,
        )
        if self.metric not in METRICS:
            raise ValueError(f"UMAP: metric must be one of {METRICS}, got {self.metric!r}")


class DifferentiableUMAP(OperatorModule):
    """Parametric UMAP (McInnes et al. 2018; Sainburg et al. 2021): new cells get a place without a new fit.

    Attributes:
        embedding_head: Network from features to the view.
        a, b: Shape of the low-dimensional similarity 1 / (1 + a d^2b).
    """

    config: UMAPConfig

    def __init__(self, config: UMAPConfig, *, rngs: nnx.Rngs | None = None):
        super().__init__(config, rngs=rngs)
        rngs = initialisation_rngs(rngs)
        self.embedding_head = _Head(config, rngs)
        self.a = nnx.Param(scalar(1.929))
        self.b = nnx.Param(scalar(0.7915))

    def fit(self, features: Float[Array | np.ndarray, "cells features"], *, epochs: int = 30, seed: int = 0) -> Self:
        """Train the network on the cells' graph of neighbours, with random cells as its opposite.

        Args:
            features: Cells.
            epochs: Passes over as many edges as the graph has.
            seed: Of edges and opposites; the same seed gives the same bits.

        Returns:
            The operator, with `embedding_head` fitted.

        Raises:
            ValueError: Shapes do not fit, a feature is not finite, or fewer than two cells.
        """
        self._check({"features": features})
        cells = np.asarray(features, np.float32)
        if cells.shape[0] < 2:
            raise ValueError(f"UMAP: a fit needs two cells at least, got {cells.shape[0]}")
        scaled = _unit(jnp.asarray(cells)) if self.config.metric == "cosine" else jnp.asarray(cells)
        heads, tails, weights = fuzzy_edges(scaled, min(self.config.n_neighbors, cells.shape[0] - 1))
        self.embedding_head.centre(cells)
        random = np.random.default_rng(seed)
        trainer = Trainer(
            _EdgeObjective(self.embedding_head, self.config, float(self.a[...]), float(self.b[...])),
            TrainingConfig(learning_rate=5e-3, num_epochs=epochs, grad_clip_norm=None, seed=seed),
        )
        for _ in range(epochs):
            drawn = random.choice(heads.size, size=-(-heads.size // _EDGES_AT_ONCE) * _EDGES_AT_ONCE, p=weights)
            opposites = random.integers(0, cells.shape[0], (drawn.size, _NEGATIVES))
            steps = (
                ({"heads": cells[heads[edges]], "tails": cells[tails[edges]], "others": cells[opposites[at]]}, None)
                for at in np.arange(drawn.size).reshape(-1, _EDGES_AT_ONCE)
                for edges in [drawn[at]]
            )
            trainer.train_epoch(steps, _edge_loss)
        return self

    def project(self, features: Float[Array, "cells features"]) -> Float[Array, "cells components"]:
        """Where cells lie in the view."""
        return self.embedding_head(features)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Place cells and compare who is near whom before and after.

        Args:
            data: `features` (cells, input_features). Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with `embedding` (cells, n_components), `high_dim_similarities` and `low_dim_similarities`
            (cells, cells), symmetric with a zero diagonal; state, metadata.

        Raises:
            ValueError: The key is missing, its shape does not fit, or a feature is not finite.
        """
        self._check(data)
        features = jnp.asarray(data["features"], float)
        embedding = self.project(features)
        compared = _unit(features) if self.config.metric == "cosine" else features
        neighbours = min(self.config.n_neighbors, max(features.shape[0] - 1, 1))
        result = {
            "embedding": embedding,
            "high_dim_similarities": fuzzy_similarities(compared, neighbours),
            "low_dim_similarities": self._low_dim_similarities(embedding),
        }
        return {**data, **result}, state, metadata

    def _low_dim_similarities(self, embedding: Array) -> Array:
        squares = ((embedding[:, None] - embedding[None]) ** 2).sum(axis=2)
        similar = _similarity(squares, jnp.abs(self.a[...]), jnp.abs(self.b[...]))
        return similar * (1 - jnp.eye(embedding.shape[0], dtype=embedding.dtype))

    def _compute_umap_loss(self, p: Float[Array, "cells cells"], q: Float[Array, "cells cells"]) -> Float[Array, ""]:
        """Cross-entropy of the two graphs, summed over pairs of different cells."""
        q = jnp.clip(q, _SMALLEST, 1 - _SMALLEST)
        apart = 1 - jnp.eye(p.shape[0], dtype=p.dtype)
        return -(apart * (p * jnp.log(q) + (1 - p) * jnp.log1p(-q))).sum()

    def _check(self, data: PyTree) -> None:
        check_shapes("UMAP", data, {"features": ("cells", self.config.input_features)})
        self._check_values(data)

    def _check_values(self, data: PyTree) -> None:
        check_finite("UMAP", "features", data["features"])


class _Head(nnx.Module):
    """Features, centred and scaled as the fit saw them, through one hidden layer."""

    def __init__(self, config: UMAPConfig, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(config.input_features, config.hidden_dim, rngs=rngs)
        self.output = nnx.Linear(config.hidden_dim, config.n_components, rngs=rngs)

    def __call__(self, features: Array) -> Array:
        return self.output(jnp.tanh(self.hidden(features)))

    def centre(self, features: np.ndarray) -> None:
        """Let the hidden layer see features of mean 0 and overall scale 1, whatever theirs is."""
        scale = max(float(features.std()), 1e-12)
        kernel = self.hidden.kernel[...] / scale
        bias = self.hidden.bias
        assert bias is not None
        self.hidden.kernel[...] = kernel
        bias[...] = -jnp.asarray(features.mean(axis=0)) @ kernel


class _EdgeObjective(OperatorModule):
    """UMAP's loss on edges and on pairs that are none."""

    def __init__(self, head: _Head, config: UMAPConfig, a: float, b: float):
        super().__init__(config)
        self.head = head
        self.shape = (a, b)

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        heads, tails, others = (self.head(data[name]) for name in ("heads", "tails", "others"))
        near = _similarity(((heads - tails) ** 2).sum(axis=-1), *self.shape)
        far = _similarity(((heads[:, None] - others) ** 2).sum(axis=-1), *self.shape)
        attraction = -jnp.log(jnp.maximum(near, _SMALLEST))
        repulsion = -jnp.log(jnp.maximum(1 - far, _SMALLEST)).sum(axis=1)
        return {"loss": (attraction + repulsion).mean()}, state, metadata


def _edge_loss(found: dict[str, Array], _: None) -> Array:
    return found["loss"]


def _similarity(squares: Array, a: Array | float, b: Array | float) -> Array:
    # The power of zero has no finite gradient for b below 1.
    return 1 / (1 + a * jnp.maximum(squares, _SMALLEST**2) ** b)


def _unit(features: Array) -> Array:
    return features * jax.lax.rsqrt(jnp.maximum((features**2).sum(axis=1, keepdims=True), 1e-12))
