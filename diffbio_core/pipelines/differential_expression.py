"""Differential expression: counts and a design in, fold changes and p-values out, as one differentiable function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from diffbio_core.operators.base import OperatorConfig, OperatorModule, initialisation_rngs
from diffbio_core.operators.statistical.nb_glm import DifferentiableNBGLM, NBGLMConfig, operator_estimates
from diffbio_core.operators.validation import check_fraction, check_positive, check_shapes, concrete
from diffbio_core.typing import Metadata, PyTree

if TYPE_CHECKING:
    from diffbio_core.operators.statistical.design import ContrastAsked
    from diffbio_core.operators.statistical.differential_expression import DifferentialExpression

_LN_2 = 0.6931471805599453
_SMALLEST_MEAN = 0.5
_RIDGE = 1e-6 / _LN_2**2
_SOFTNESS = 0.1
_TESTED = 1


@dataclass(frozen=True)
class DEPipelineConfig(OperatorConfig):
    """Configuration of `DifferentialExpressionPipeline`.

    Attributes:
        n_genes: Genes; `fit` takes that of its counts.
        n_conditions: Columns of the design, at least two: the intercept and the tested effect.
        alpha: Significance.
        use_size_factors: Whether samples are scaled by how deep they were sequenced.

    Raises:
        ValueError: A number out of range.
    """

    n_genes: int = 1000
    n_conditions: int = 2
    alpha: float = 0.05
    use_size_factors: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("differential expression", n_genes=self.n_genes, alpha=self.alpha)
        check_fraction("differential expression", alpha=self.alpha)
        if self.n_conditions < 2:
            raise ValueError(
                f"differential expression: n_conditions must be 2 or more, got {self.n_conditions}: "
                "an intercept and the tested effect"
            )


class DifferentialExpressionPipeline(OperatorModule):
    """Size factors, negative binomial regression and Wald test (Love, Huber, Anders 2014).

    `fit` does all that DESeq2 does and keeps coefficients and dispersions; `apply` is then the test at those. Before a
    fit, `apply` estimates them from its own counts, unless `train_mode` was called: then they are being trained.

    Attributes:
        nb_glm: The regression, with the parameters.
        estimates: Whether `apply` estimates parameters from its counts.
    """

    config: DEPipelineConfig

    def __init__(self, config: DEPipelineConfig, *, rngs: nnx.Rngs | None = None) -> None:
        super().__init__(config, rngs=rngs)
        self.nb_glm = DifferentiableNBGLM(
            NBGLMConfig(n_features=config.n_genes, n_covariates=config.n_conditions), rngs=initialisation_rngs(rngs)
        )
        self.estimates = True

    def train_mode(self) -> None:
        """Have `apply` take the parameters as they are, so that they can be trained."""
        super().train_mode()
        self.estimates = False

    def fit(
        self, counts: Any, design: Any = None, contrast: ContrastAsked = None, **options: Any
    ) -> DifferentialExpression:
        """Fit and test every gene, and keep coefficients and dispersions.

        Args:
            counts: Raw counts of samples by genes: an array, a SciPy sparse matrix, a pandas DataFrame, an AnnData, or
                the dictionary that `apply` takes, with ``counts`` and ``design``.
            design: A formula over ``samples``, a matrix (samples, coefficients), or a `Design`.
            contrast: Coefficient by name or number, (factor, level, reference level), or weights; the coefficient of
                the design's second column if the design is a matrix, of its last if it is a formula, if None.
            options: The keyword arguments of `differential_expression`: ``samples``, ``reduced``, ``shrink`` and so on.

        Returns:
            The tested genes; as a mapping, the keys of `apply` and more, NaN where ``reason`` says why.

        Raises:
            ValueError: What `differential_expression` refuses.
        """
        from diffbio_core.operators.statistical.differential_expression import differential_expression

        if isinstance(counts, dict):
            check_shapes(
                "differential expression", counts, {"counts": ("n_samples", "n_genes"), "design": ("n_samples", "n")}
            )
            design = counts["design"] if design is None else design
            counts = counts["counts"]
        if design is None:
            raise ValueError("differential expression: fit needs a design: a formula or a matrix")
        if contrast is None and not isinstance(design, str) and np.ndim(design) == 2:
            contrast = _TESTED
        if not self.config.use_size_factors:
            samples = counts.shape[0]
            options = {"size_factors": np.ones(samples), **options}
        result = differential_expression(counts, design, contrast, **{"alpha": self.config.alpha, **options})
        genes, width = result.model.counts.genes, result.model.design.matrix.shape[1]
        if (genes, width) != (self.config.n_genes, self.config.n_conditions):
            self.config = replace(self.config, n_genes=genes, n_conditions=max(width, 2))
            self.nb_glm = DifferentiableNBGLM(NBGLMConfig(n_features=genes, n_covariates=width))
        self.nb_glm.set_estimates(result.model)
        self.estimates = False
        return result

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Test the effect of the design's second column.

        Where parameters are estimated, gradients to counts are those of the fitted coefficients at fixed dispersions,
        and gradients to parameters are those at the estimates. A gene without counts has no change and a p-value of 1.

        Args:
            data: ``counts`` (n_samples, n_genes), ``design`` (n_samples, n_conditions).
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with ``size_factors`` (n_samples,), ``predicted_mean`` (n_samples, n_genes), ``log_fold_change``
            (log2), ``wald_statistic``, ``standard_error`` (natural log), ``p_values`` and ``significant`` (n_genes,).

        Raises:
            ValueError: A key is missing or has another shape, or counts are not raw.
        """
        check_shapes(
            "differential expression",
            data,
            {"counts": ("n_samples", self.config.n_genes), "design": ("n_samples", self.config.n_conditions)},
        )
        dtype = self.nb_glm.beta[...].dtype
        counts, design = jnp.asarray(data["counts"], dtype), jnp.asarray(data["design"], dtype)
        factors = median_of_ratios(counts) if self.config.use_size_factors else jnp.ones(len(counts), dtype)
        beta, theta = self.nb_glm.get_coefficients(), self.nb_glm.get_dispersion()
        if self.estimates:
            fitted, fitted_theta = _estimates(data["counts"], data["design"], factors)
            fitted = fitted.T + _response_to_counts(counts, design, factors, fitted.T, 1 / fitted_theta)
            beta = fitted + beta - jax.lax.stop_gradient(beta)
            theta = fitted_theta + theta - jax.lax.stop_gradient(theta)
        means = jnp.exp(design @ beta) * factors[:, None]
        error = _standard_error(design, means, 1 / theta)
        statistic = beta[_TESTED] / error
        p_values = jax.lax.erfc(jnp.abs(statistic) / jnp.sqrt(jnp.asarray(2.0, dtype)))
        found = {
            "size_factors": factors,
            "predicted_mean": means,
            "log_fold_change": beta[_TESTED] / _LN_2,
            "wald_statistic": statistic,
            "standard_error": error,
            "p_values": p_values,
            "significant": jax.nn.sigmoid((self.config.alpha - p_values) / _SOFTNESS),
        }
        return {**data, **found}, state, metadata


def median_of_ratios(counts: Float[Array, "n_samples n_genes"]) -> Float[Array, " n_samples"]:
    """Size factors: medians over genes of a count's ratio to the gene's geometric mean.

    Over genes without zeros; where there are none, over positive counts, with geometric means that count zeros as 1.
    """
    positive = counts > 0
    logs = jnp.log(jnp.where(positive, counts, 1))
    everywhere = positive.all(axis=0)
    usable = jnp.where(everywhere.any(), everywhere, positive.any(axis=0)) & positive
    ratios = jnp.where(usable, logs - logs.mean(axis=0), jnp.nan)
    # A sample without any usable count would have no median.
    logs = jnp.where(usable.any(axis=1), jnp.nanmedian(ratios, axis=1), 0)
    return jnp.exp(logs - jnp.where(everywhere.any(), 0, logs.mean()))


def _estimates(counts: Any, design: Any, factors: Array) -> tuple[Array, Array]:
    """Coefficients (genes, coefficients) and inverse dispersions (genes,), constants to JAX."""
    dtype = factors.dtype
    if concrete(counts) is not None and concrete(design) is not None and concrete(factors) is not None:
        beta, theta = _fit_on_host(counts, design, factors)
        return jnp.asarray(beta, dtype), jnp.asarray(theta, dtype)
    genes, width = np.shape(counts)[1], np.shape(design)[1]
    shapes = jax.ShapeDtypeStruct((genes, width), dtype), jax.ShapeDtypeStruct((genes,), dtype)
    fixed = jax.lax.stop_gradient((jnp.asarray(counts), jnp.asarray(design), factors))

    def on_host(*values: Any) -> tuple[np.ndarray, np.ndarray]:
        beta, theta = _fit_on_host(*values)
        return beta.astype(dtype), theta.astype(dtype)

    return jax.pure_callback(on_host, shapes, *fixed, vmap_method="sequential")


def _fit_on_host(counts: Any, design: Any, factors: Any) -> tuple[np.ndarray, np.ndarray]:
    from diffbio_core.operators.statistical.count_model import fit_count_model
    from diffbio_core.operators.statistical.design import Design
    from diffbio_core.operators.statistical.sample_counts import SampleCounts

    model = fit_count_model(
        SampleCounts(np.asarray(counts)), Design.of_matrix(design), size_factors=np.asarray(factors, dtype=np.float64)
    )
    return operator_estimates(model)


def _response_to_counts(counts: Array, design: Array, factors: Array, beta: Array, dispersions: Array) -> Array:
    """0, with the derivatives of fitted coefficients to counts, design and size factors (implicit function theorem)."""
    means = jnp.maximum(jnp.exp(design @ beta) * factors[:, None], _SMALLEST_MEAN)
    shared = 1 + dispersions * means
    slope = jnp.einsum("sc,sg->gc", design, (counts - means) / shared)
    curvature = jnp.einsum("sc,sg,sd->gcd", design, means * (1 + dispersions * counts) / shared**2, design)
    curvature = curvature + _RIDGE * jnp.eye(design.shape[1], dtype=design.dtype)
    step = jnp.linalg.solve(jax.lax.stop_gradient(curvature), slope[..., None])[..., 0].T
    # The fit leaves genes without counts alone.
    step = jnp.where((counts > 0).any(axis=0), step, 0)
    return step - jax.lax.stop_gradient(step)


def _standard_error(design: Array, means: Array, dispersions: Array) -> Float[Array, " n_genes"]:
    """Of the tested coefficient, by the sandwich of the slight ridge that the fit has."""
    means = jnp.maximum(means, _SMALLEST_MEAN)
    information = jnp.einsum("sc,sg,sd->gcd", design, means / (1 + dispersions * means), design)
    regular = information + _RIDGE * jnp.eye(design.shape[1], dtype=design.dtype)
    tested = jnp.zeros((len(information), design.shape[1]), design.dtype).at[:, _TESTED].set(1)
    row = jnp.linalg.solve(regular, tested[..., None])[..., 0]
    return jnp.sqrt(jnp.einsum("gc,gcd,gd->g", row, information, row))
