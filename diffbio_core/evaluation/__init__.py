"""How good calls are: comparison with a truth set by local haplotypes, and hap.py's summary of it."""

from typing import TYPE_CHECKING

from diffbio_core.lazy_names import lazy_names

if TYPE_CHECKING:
    from diffbio_core.evaluation.comparison import Verdict, Verdicts, compare
    from diffbio_core.evaluation.haplotypes import match
    from diffbio_core.evaluation.records import GenotypedVariant
    from diffbio_core.evaluation.summary import SummaryRow

__all__ = ["GenotypedVariant", "SummaryRow", "Verdict", "Verdicts", "compare", "match"]

__getattr__ = lazy_names(
    __name__,
    {
        "comparison": ("Verdict", "Verdicts", "compare"),
        "haplotypes": ("match",),
        "records": ("GenotypedVariant",),
        "summary": ("SummaryRow",),
    },
)
