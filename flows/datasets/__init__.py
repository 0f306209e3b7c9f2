"""Sets with a known truth, real or simulated, and the model that is made of them."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_flows.datasets.labelled_views import Dataset, LabelledViews

__all__ = ["Dataset", "LabelledViews"]

__getattr__ = lazy_names(
    __name__,
    {"labelled_views": ("Dataset", "LabelledViews")},
)
