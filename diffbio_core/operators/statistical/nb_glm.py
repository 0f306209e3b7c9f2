"""Negative binomial regression of many genes, as one differentiable function of counts, design and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.losses.count_likelihoods import negative_binomial_log_prob
from diffbio_core.operators.base import FixedValue, OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.validation import check_positive, check_shapes
from diffbio_core.typing import Metadata, PyTree

if TYPE_CHECKING:
    from diffbio_core.operators.statistical.count_model import CountModel

_SMALLEST_DISPERSION = 1e-4
_INITIAL_SPREAD = 0.1
_EMPTY_GENE_MEAN = 1e-8


@dataclass(frozen=True)
class NBGLMConfig(OperatorConfig):
    """Configuration of `DifferentiableNBGLM`.

    Attributes:
        n_features: Genes.
        n_covariates: Columns of the design.
        estimate_dispersion: Whether dispersions are trained; if not, they stay as they are set or fitted.

    Raises:
        ValueError: A number that is not positive.
    """

    n_features: int = 2000
    n_covariates: int = 2
    estimate_dispersion: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("NB-GLM", n_features=self.n_features, n_covariates=self.n_covariates)


class DifferentiableNBGLM(OperatorModule):
    """Counts of genes with mean size factor x exp(design @ beta) and variance mean + mean^2 / dispersion.

    The dispersion is the inverse of DESeq2's alpha. Gradients of the likelihood go to counts, design and parameters.

    Attributes:
        beta: Natural-log coefficients (n_covariates, n_features).
        log_dispersion: (n_features,), from which softplus makes the dispersion.
    """

    config: NBGLMConfig

    def __init__(self, config: NBGLMConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None) -> None:
        super().__init__(config, rngs=rngs, name=name)
        key = initialisation_rngs(rngs).params()
        shape = (config.n_covariates, config.n_features)
        self.beta = nnx.Param(_INITIAL_SPREAD * jax.random.normal(key, shape))
        kind = nnx.Param if config.estimate_dispersion else FixedValue
        self.log_dispersion = kind(jnp.zeros(config.n_features))

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Evaluate one sample.

        Args:
            data: ``counts`` (n_features,), ``design`` (n_covariates,), ``size_factor`` ().
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The sample with ``log_likelihood`` (), ``predicted_mean`` and ``dispersion`` (n_features,).

        Raises:
            ValueError: A key is missing or has another shape.
        """
        features, covariates = self.config.n_features, self.config.n_covariates
        check_shapes("NB-GLM", data, {"counts": (features,), "design": (covariates,), "size_factor": ()})
        counts, design, size_factor = data["counts"], data["design"], data["size_factor"]
        found = {
            "log_likelihood": self.negative_binomial_log_prob(counts, design, size_factor),
            "predicted_mean": self.predict_mean(design, size_factor),
            "dispersion": self.get_dispersion(),
        }
        return {**data, **found}, state, metadata

    def get_coefficients(self) -> Float[Array, "n_covariates n_features"]:
        """Natural-log coefficients."""
        return self.beta[...]

    def get_dispersion(self) -> Float[Array, " n_features"]:
        """Dispersions, positive."""
        return jax.nn.softplus(self.log_dispersion[...]) + _SMALLEST_DISPERSION

    def predict_mean(
        self, design: Float[Array, " n_covariates"], size_factor: Float[Array, ""]
    ) -> Float[Array, " n_features"]:
        """Expected counts of a sample."""
        return jnp.exp(self._log_mean(design, size_factor))

    def negative_binomial_log_prob(
        self, counts: Float[Array, " n_features"], design: Float[Array, " n_covariates"], size_factor: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Log likelihood of a sample, summed over genes."""
        log_mean = self._log_mean(design, size_factor)
        return negative_binomial_log_prob(jnp.asarray(counts, log_mean.dtype), log_mean, self._log_theta()).sum()

    def batch_log_likelihood(
        self,
        counts: Float[Array, "n_samples n_features"],
        design: Float[Array, "n_samples n_covariates"],
        size_factors: Float[Array, " n_samples"],
    ) -> Float[Array, ""]:
        """Log likelihood of samples, summed."""
        return jax.vmap(self.negative_binomial_log_prob)(counts, design, size_factors).sum()

    def fit(self, counts: Any, design: Any, size_factors: Any = "auto") -> CountModel:
        """Set coefficients and dispersions to DESeq2's estimates.

        Args:
            counts: (n_samples, n_features) raw counts: an array, a sparse matrix, a table or an AnnData.
            design: (n_samples, n_covariates), or a `Design`.
            size_factors: (n_samples,), or how they are estimated: "ratio", "poscounts", or whichever fits, "auto".

        Returns:
            Everything that was fitted.

        Raises:
            ValueError: Counts or a design that cannot be used, or of other sizes than the configuration's.
        """
        from diffbio_core.operators.statistical.count_model import fit_count_model
        from diffbio_core.operators.statistical.inputs import as_design, as_sample_counts

        found, table = as_sample_counts(counts)
        model = fit_count_model(found, as_design(design, table), size_factors=size_factors)
        self.set_estimates(model)
        return model

    def set_estimates(self, model: CountModel) -> None:
        """Take over what was fitted; genes without counts get a mean next to 0.

        Raises:
            ValueError: The model has other sizes than the configuration's.
        """
        sizes = model.design.matrix.shape[1], model.counts.genes
        if sizes != (self.config.n_covariates, self.config.n_features):
            raise ValueError(
                f"NB-GLM: counts and design have {sizes[1]} genes and {sizes[0]} coefficients, the configuration "
                f"n_features={self.config.n_features} and n_covariates={self.config.n_covariates}"
            )
        beta, dispersion = operator_estimates(model)
        excess = np.maximum(dispersion - _SMALLEST_DISPERSION, 1e-6)
        # Inverse of softplus, by its logarithm where exp would overflow.
        inverse = excess + np.log(-np.expm1(-excess))
        self.beta[...] = jnp.asarray(beta.T, dtype=self.beta[...].dtype)
        self.log_dispersion[...] = jnp.asarray(inverse, dtype=self.log_dispersion[...].dtype)

    def _log_mean(self, design: Array, size_factor: Array) -> Float[Array, " n_features"]:
        return jnp.asarray(design, self.beta[...].dtype) @ self.beta[...] + jnp.log(size_factor)

    def _log_theta(self) -> Float[Array, " n_features"]:
        return jnp.log(self.get_dispersion())


def operator_estimates(
    model: CountModel,
) -> tuple[Float[np.ndarray, "genes coefficients"], Float[np.ndarray, " genes"]]:
    """Coefficients and inverse dispersions without gaps: genes without counts get a mean next to 0.

    Args:
        model: Fitted counts.
    """
    fitted = model.fitted
    level = np.full(len(model.design.matrix), np.log(_EMPTY_GENE_MEAN))
    nothing = np.linalg.lstsq(model.design.matrix, level, rcond=None)[0]
    beta = np.where(fitted[:, None], model.coefficients, nothing)
    return beta, 1 / np.where(fitted, model.dispersions.final, 1.0)
