"""The caller's own operators: from a candidate's view to the number of copies of its allele."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.operators.allele.classifier import AlleleClassifier, AlleleClassifierConfig, AlleleNetwork
    from diffbio_core.operators.allele.pileup import AllelePileup
    from diffbio_core.operators.allele.quality_filter import WindowQualityFilter, WindowQualityFilterConfig

__all__ = [
    "AlleleClassifier",
    "AlleleClassifierConfig",
    "AlleleNetwork",
    "AllelePileup",
    "WindowQualityFilter",
    "WindowQualityFilterConfig",
]

__getattr__ = lazy_names(
    __name__,
    {
        "classifier": ("AlleleClassifier", "AlleleClassifierConfig", "AlleleNetwork"),
        "pileup": ("AllelePileup",),
        "quality_filter": ("WindowQualityFilter", "WindowQualityFilterConfig"),
    },
)
