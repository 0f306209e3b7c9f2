"""The bases of a BAM record, the reference's in place of ``=``."""

from __future__ import annotations

import numba
import numpy as np

from diffbio_core.reads.records import (
    CIGAR_D,
    CIGAR_I,
    CIGAR_M,
    CIGAR_N,
    CIGAR_S,
    little_endian_16,
    little_endian_32,
    next_run,
)
from diffbio_core.windows.encoding import CODE_OF_NIBBLE, N_BASE

_AS_REFERENCE = 6
"""Code of the base ``=`` until the reference's stands in its place."""

_CODE_OF_NIBBLE = np.concatenate([[np.uint8(_AS_REFERENCE)], CODE_OF_NIBBLE[1:]])
_CODES_OF_BYTE = np.stack([np.repeat(_CODE_OF_NIBBLE, 16), np.tile(_CODE_OF_NIBBLE, 16)], axis=1)


@numba.njit(cache=True, nogil=True)
def decode_read(raw, record, codes, reference, first):
    """Base codes of a record, two bases a byte, written to ``codes``; returns its qualities."""
    length = little_endian_32(raw, record + 16)
    operations = little_endian_16(raw, record + 12)
    sequence = record + 32 + np.int64(raw[record + 8]) + 4 * operations
    packed = raw[sequence : sequence + (length + 1) // 2]
    for byte in range(packed.size):
        codes[2 * byte] = _CODES_OF_BYTE[packed[byte], 0]
        codes[2 * byte + 1] = _CODES_OF_BYTE[packed[byte], 1]
    # A nibble of a byte is 0 where subtracting 1 from each borrows.
    zero = np.uint8(0)
    for byte in range(length // 2):
        zero |= (packed[byte] - np.uint8(0x11)) & ~packed[byte] & np.uint8(0x88)
    if zero or (length % 2 and codes[length - 1] == _AS_REFERENCE):
        _fill_in(raw, record, codes[:length], reference, first)
    return raw[sequence + packed.size :][:length]


@numba.njit(cache=True, nogil=True)
def _fill_in(raw, record, codes, reference, first):
    """Put the reference's bases in place of ``=``; N where none is aligned or known."""
    operations = little_endian_16(raw, record + 12)
    cigar = record + 32 + np.int64(raw[record + 8])
    column = little_endian_32(raw, record + 4) - first
    query = np.int64(0)
    operation = 0
    while operation < operations:
        kind, run, operation = next_run(raw, cigar, operation, operations)
        if kind == CIGAR_M:
            for step in range(run):
                if codes[query + step] == _AS_REFERENCE and 0 <= column + step < reference.size:
                    codes[query + step] = reference[column + step]
        if kind == CIGAR_M or kind == CIGAR_D or kind == CIGAR_N:
            column += run
        if kind == CIGAR_M or kind == CIGAR_I or kind == CIGAR_S:
            query += run
    for place in range(codes.size):
        if codes[place] == _AS_REFERENCE:
            codes[place] = N_BASE
