"""What operators compute with: weights of qualities, sums over columns, a softmax and rounding that suit them."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.operators.numerics.columns import sum_bases, sum_columns
    from diffbio_core.operators.numerics.distances import squared_distances
    from diffbio_core.operators.numerics.rounding import round_straight_through
    from diffbio_core.operators.numerics.soft_quality import base_weights, soft_retention

__all__ = ["base_weights", "round_straight_through", "soft_retention", "squared_distances", "sum_bases", "sum_columns"]

__getattr__ = lazy_names(
    __name__,
    {
        "columns": ("sum_bases", "sum_columns"),
        "distances": ("squared_distances",),
        "rounding": ("round_straight_through",),
        "soft_quality": ("base_weights", "soft_retention"),
    },
)
