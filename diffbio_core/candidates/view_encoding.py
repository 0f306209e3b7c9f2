"""How a candidate's view is written: its width, the bits of a symbol and the roles of its rows.

A symbol holds a base code (``diffbio_core.windows.encoding``; 7: no base of the read) in bits 0-2, and in the two bits
above whether an indel follows. A row's group is 1 + 2 x role + strand; 0 marks a row without a read.
"""

from __future__ import annotations

FLANK = 16
"""Columns on each side of the candidate's column."""

WIDTH = 2 * FLANK + 1
"""Columns of a view."""

INSERTION_AFTER = 8
"""Bit of a view's symbol: bases are inserted after this column."""

DELETION_AFTER = 16
"""Bit of a view's symbol: a deletion starts after this column."""

SUPPORTS, DIFFERS, UNINFORMATIVE = range(3)
"""Role of a row: shows the allele; shows another; fits both alike, as one that ends in the repeat of the indel."""
