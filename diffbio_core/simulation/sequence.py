"""Sequences as base codes: A C G T = 0-3, everything else N = 4."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from diffbio_core.windows.encoding import BASES, CODE_OF_ASCII

_LETTERS = np.frombuffer(BASES.encode("ascii"), np.uint8)
_COMPLEMENT = np.array([3, 2, 1, 0, 4], np.uint8)


def encode_bases(text: str | bytes) -> UInt8[np.ndarray, " length"]:
    """Base codes of a text; lower case counts as upper case."""
    raw = text.encode("ascii") if isinstance(text, str) else text
    return CODE_OF_ASCII[np.frombuffer(raw, np.uint8)]


def decode_bases(codes: UInt8[np.ndarray, "..."]) -> str:
    """Text of base codes in upper case; rows of a matrix follow each other."""
    return _LETTERS[codes].tobytes().decode("ascii")


def reverse_complement(codes: UInt8[np.ndarray, " length"]) -> UInt8[np.ndarray, " length"]:
    """Reverse complement; N stays N."""
    return _COMPLEMENT[codes][::-1]
