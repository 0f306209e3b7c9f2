"""Pileup: reads summed over the columns of the reference, by quality, with gradients to every base and quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from diffbio_core.operators.base import TemperatureConfig, TemperatureOperator
from diffbio_core.operators.numerics.columns import sum_bases, sum_columns
from diffbio_core.operators.numerics.short_softmax import short_softmax
from diffbio_core.operators.validation import check_positions, check_positive, check_quality, check_shapes
from diffbio_core.typing import Metadata, PyTree


@dataclass(frozen=True)
class PileupConfig(TemperatureConfig):
    """Configuration of `DifferentiablePileup`.

    Attributes:
        use_quality_weights: Weigh a base by the probability that it was read right, 1 - 10^(-quality / 10).
        reference_length: Columns of the pileup (bp).
        return_coverage: Add `coverage`, the read depth, and `weighted_coverage`, the sum of weights.
        return_quality: Add `mean_quality`.
        apply_softmax: Turn weighted fractions into softmax(fractions / temperature), which sums to one in every column.

    Raises:
        ValueError: A length or temperature that is not positive.
    """

    use_quality_weights: bool = True
    reference_length: int = 100
    return_coverage: bool = False
    return_quality: bool = False
    apply_softmax: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("pileup", reference_length=self.reference_length)


class DifferentiablePileup(TemperatureOperator):
    """Distribution of bases in each reference column.

    A column that no read covers has the distribution of ignorance, 0.25 each, or zeros without softmax.
    """

    config: PileupConfig

    def __init__(self, config: PileupConfig, *, rngs: nnx.Rngs | None = None, name: str | None = None):
        super().__init__(config, rngs=rngs, name=name)

    def compute_pileup(
        self,
        reads: Float[Array, "num_reads read_length 4"],
        positions: Int[Array, " num_reads"],
        quality: Float[Array, "num_reads read_length"],
        reference_length: int,
        read_mask: Float[Array, "num_reads read_length"] | None = None,
        threshold: Float[Array, ""] | None = None,
    ) -> dict[str, Float[Array, "reference_length channels"]]:
        """Pile reads up.

        Bases outside the reference count nowhere.

        Args:
            reads: One-hot or soft bases, A C G T.
            positions: Column of each read's first base, 0-based.
            quality: Phred qualities.
            reference_length: Columns of the pileup.
            read_mask: 1 for a base, 0 for padding; all are bases if None.
            threshold: Phred threshold of a soft filter, as if `reads` had been multiplied by
                sigmoid(quality - threshold); no filter if None.

        Returns:
            `pileup` (reference_length, 4); (reference_length, 1) each: `coverage` and `weighted_coverage` if the
            configuration asks for coverage, `mean_quality` if it asks for quality.

        Raises:
            ValueError: Shapes do not fit, a quality is NaN, or a read starts outside the reference, where values are
                concrete.
        """
        check_positive("pileup", reference_length=reference_length)
        arrays = {"reads": reads, "positions": positions, "quality": quality}
        _check_shapes(arrays if read_mask is None else {**arrays, "read_mask": read_mask})
        _check_values(arrays, reference_length)

        weighted, total = sum_bases(
            reads, quality, positions, reference_length, read_mask, threshold, self.config.use_quality_weights
        )
        depth = summed_quality = None
        if self.config.return_coverage or self.config.return_quality:
            present = jnp.ones_like(quality) if read_mask is None else read_mask
            depth = sum_columns(present, positions, reference_length)
            if self.config.return_quality:
                summed_quality = sum_columns(quality * present, positions, reference_length)
        return self.results(weighted, total, depth, summed_quality)

    def results(
        self,
        weighted: Float[Array, "columns 4"],
        total: Float[Array, "columns"],
        depth: Float[Array, "columns"] | None,
        summed_quality: Float[Array, "columns"] | None,
    ) -> dict[str, Float[Array, "columns channels"]]:
        """What `compute_pileup` returns, from sums over the reads of each column.

        Args:
            weighted: Sum of base x weight.
            total: Sum of weights.
            depth: Number of reads; needed if the configuration asks for coverage or quality.
            summed_quality: Sum of Phred qualities; needed if the configuration asks for quality.
        """
        result = {"pileup": self.distribution(weighted, total)}
        if self.config.return_coverage and depth is not None:
            result |= {"coverage": depth[:, None], "weighted_coverage": total[:, None]}
        if self.config.return_quality and depth is not None and summed_quality is not None:
            result["mean_quality"] = _fraction(summed_quality, depth)[:, None]
        return result

    def distribution(
        self, weighted: Float[Array, "*columns 4"], total: Float[Array, "*columns"]
    ) -> Float[Array, "*columns 4"]:
        """Turn weighted sums of bases into the distribution that `pileup` holds.

        Args:
            weighted: Sum of base x weight per column.
            total: Sum of weights per column.
        """
        fractions = _fraction(weighted, total[..., None])
        return short_softmax(fractions / self._temperature) if self.config.apply_softmax else fractions

    def apply(
        self,
        data: PyTree,
        state: PyTree,
        metadata: Metadata,
        random_params: Any = None,
        stats: dict[str, Any] | None = None,
    ) -> tuple[PyTree, PyTree, Metadata]:
        """Pile up one sample, over the configured reference length.

        Args:
            data: `reads` (num_reads, read_length, 4), `positions` (num_reads,), `quality` (num_reads, read_length);
                optionally `read_mask` (num_reads, read_length). Other keys pass through.
            state: Passed through.
            metadata: Passed through.
            random_params: Not used.
            stats: Not used.

        Returns:
            The data with what `compute_pileup` returns, state, metadata.

        Raises:
            ValueError: A key is missing, or what `compute_pileup` refuses.
        """
        _check_shapes(data)
        result = self.compute_pileup(
            data["reads"], data["positions"], data["quality"], self.config.reference_length, data.get("read_mask")
        )
        return {**data, **result}, state, metadata

    def _check_values(self, data: PyTree) -> None:
        _check_values(data, self.config.reference_length)


def _fraction(numerator: Float[Array, "..."], denominator: Float[Array, "..."]) -> Float[Array, "..."]:
    covered = denominator > 0
    return jnp.where(covered, numerator / jnp.where(covered, denominator, 1), 0)


def _check_shapes(data: PyTree) -> None:
    expected: dict[str, tuple[str | int, ...]] = {
        "reads": ("num_reads", "read_length", 4),
        "positions": ("num_reads",),
        "quality": ("num_reads", "read_length"),
    }
    if isinstance(data, dict) and "read_mask" in data:
        expected["read_mask"] = ("num_reads", "read_length")
    check_shapes("pileup", data, expected)


def _check_values(data: PyTree, reference_length: int) -> None:
    check_quality("pileup", "quality", data["quality"])
    check_positions("pileup", data["positions"], reference_length)
