"""Where cells come from: tables of expression, whoever reads them, and the documents' sources on top."""

from diffbio_core.sources.expression import ExpressionTable, open_expression
from diffbio_core.sources.matrix import CountMatrix, DenseCounts, SparseCounts, StackedCounts, StoredCounts

__all__ = [
    "CountMatrix",
    "DenseCounts",
    "ExpressionTable",
    "SparseCounts",
    "StackedCounts",
    "StoredCounts",
    "open_expression",
]
