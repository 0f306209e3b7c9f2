"""Soft recalibration of variants: a learnable Gaussian mixture over what is known of each one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.constants import DEFAULT_TEMPERATURE
from diffbio_core.operators.base import TemperatureConfig, TemperatureOperator, initialisation_rngs
from diffbio_core.operators.validation import check_fraction, check_positive, check_quality, check_shapes
from diffbio_core.typing import Metadata, PyTree

_FILTER_SHARPNESS = 10.0
"""Slope of the soft filter at temperature 1: a score 0.2 above the threshold passes with weight 0.88."""


@dataclass(frozen=True)
class VariantQualityFilterConfig(TemperatureConfig):
    """Configuration of `SoftVariantQualityFilter`.

    Attributes:
        n_components: Components of the mixture; the first is that of true variants.
        n_features: What is known of each variant.
        threshold: Quality score at which half of a variant passes.
        temperature: Of the assignment to components and of the filter.

    Raises:
        ValueError: Sizes or a temperature that are not positive, or a threshold outside 0 to 1.
    """

    n_components: int = 3
    n_features: int = 4
    threshold: float = 0.5
    temperature: float = DEFAULT_TEMPERATURE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("variant quality filter", n_components=self.n_components, n_features=self.n_features)
        check_fraction("variant quality filter", threshold=self.threshold)


class SoftVariantQualityFilter(TemperatureOperator):
    """Scores variants by the mixture component that they fall into.

    The idea is that of GATK's VQSR, which fits such a mixture to known variants; here it is trained by gradients. The
    score of a variant is the sum of its responsibilities times each component's learnable quality, which starts at 1
    for the first component and falls evenly to 0 for the last.

    Attributes:
        means: (n_components, n_features).
        log_variances: (n_components, n_features).
        log_mixing_weights: (n_components,), before normalisation.
        component_logits: (n_components,), logit of each component's quality.
    """

    config: VariantQualityFilterConfig

    def __init__(self, config: VariantQualityFilterConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)
        shape = (config.n_components, config.n_features)
        key = initialisation_rngs(rngs).params()
        self.means = nnx.Param(0.5 + 0.5 * jax.random.normal(key, shape))
        self.log_variances = nnx.Param(jnp.zeros(shape))
        self.log_mixing_weights = nnx.Param(jnp.zeros(config.n_components))
        self.component_logits = nnx.Param(jnp.linspace(2.0, -2.0, config.n_components))

    def get_mixing_weights(self) -> Float[Array, " n_components"]:
        """Weights of the components, which sum to one."""
        return jax.nn.softmax(self.log_mixing_weights[...])

    def get_variances(self) -> Float[Array, "n_components n_features"]:
        """Variances of the components."""
        return jnp.exp(self.log_variances[...])

    @jax.jit
    def compute_component_log_probs(
        self, features: Float[Array, "variants n_features"]
    ) -> Float[Array, "variants n_components"]:
        """Log density of each variant under each component, mixing weight included."""
        log_variances = self.log_variances[...]
        distances = (features[:, None, :] - self.means[...]) ** 2 * jnp.exp(-log_variances)
        densities = -0.5 * (distances + log_variances + math.log(2 * math.pi)).sum(axis=-1)
        return densities + jax.nn.log_softmax(self.log_mixing_weights[...])

    def compute_responsibilities(
        self, features: Float[Array, "variants n_features"]
    ) -> Float[Array, "variants n_components"]:
        """Soft assignment of each variant to the components, at the configured temperature."""
        return jax.nn.softmax(self.compute_component_log_probs(features) / self._temperature, axis=-1)

    def compute_quality_scores(self, features: Float[Array, "variants n_features"]) -> Float[Array, " variants"]:
        """Quality in [0, 1] of each variant."""
        return self._scores(self.compute_responsibilities(features))

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Score and filter variants.

        Args:
            data: `variant_features` (variants, n_features); other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with `quality_scores` and `filter_weights` (variants,) and `component_probs`
            (variants, n_components), state, metadata.

        Raises:
            ValueError: The key is missing, has another shape, or holds NaN.
        """
        check_shapes("variant quality filter", data, {"variant_features": ("variants", self.config.n_features)})
        self._check_values(data)
        responsibilities = self.compute_responsibilities(data["variant_features"])
        scores = self._scores(responsibilities)
        passing = jax.nn.sigmoid(_FILTER_SHARPNESS * (scores - self.config.threshold) / self._temperature)
        result = {"quality_scores": scores, "filter_weights": passing, "component_probs": responsibilities}
        return {**data, **result}, state, metadata

    def _scores(self, responsibilities: Array) -> Array:
        return responsibilities @ jax.nn.sigmoid(self.component_logits[...])

    def _check_values(self, data: PyTree) -> None:
        check_quality("variant quality filter", "variant_features", data["variant_features"])
