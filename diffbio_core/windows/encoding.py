"""How one cell of a window's planes is written: base codes and the bits beside them.

============ ===== ======================================================================
plane        type  meaning of a cell
============ ===== ======================================================================
base         uint8 bits 0-2: A C G T = 0-3, N = 4, deleted = 5, no read = 7;
                   bit 3: first column of a read; bit 4: read on the reverse strand;
                   bit 5: bases are inserted after this column; bit 6: a deletion follows
base_quality uint8 Phred; a deleted base takes the quality before it
============ ===== ======================================================================

Of two indels at one place the bits tell the first, as samtools' pileup does. Their lengths and inserted bases, and what
is one number for all cells of a read, stand in the tables of ``diffbio_core.windows.lanes``.
"""

from __future__ import annotations

import numpy as np

N_BASE = 4
DELETED = 5
NO_READ = 7
CODE_MASK = 7
READ_START = 8
REVERSE_STRAND = 16
INSERTION_FOLLOWS = 32
DELETION_FOLLOWS = 64
INDEL_FOLLOWS = INSERTION_FOLLOWS | DELETION_FOLLOWS

NUM_RANKS = 64
"""Ranks of reads (``diffbio_core.windows.lanes``)."""

MISSING_QUALITY = 30
"""Phred quality given to the bases of a read whose record holds none."""

UNKNOWN_MAPPING_QUALITY = 60
"""Mapping quality given to a read whose record says 255: not available (SAM specification 1.4)."""

PLANES = {
    "base": ("uint8", NO_READ),
    "base_quality": ("uint8", 0),
}
"""Type and fill value of each plane."""

BASES = "ACGTN"

CODE_OF_ASCII = np.full(256, N_BASE, np.uint8)
"""Base code of an ASCII letter of either case; whatever is not A, C, G or T is N."""
for _code, _letter in enumerate(b"ACGT"):
    CODE_OF_ASCII[_letter] = CODE_OF_ASCII[_letter + 32] = _code

CODE_OF_NIBBLE = np.array([4, 0, 1, 4, 2, 4, 4, 4, 3, 4, 4, 4, 4, 4, 4, 4], np.uint8)
"""Base code of a BAM 4-bit base (SAM specification 4.2.3); ambiguity codes are N."""
