"""Bases as codes: A C G T = 0-3, everything else N = 4."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

_CODES = np.full(256, 4, np.uint8)
for _code, _letters in enumerate(("Aa", "Cc", "Gg", "Tt")):
    _CODES[[ord(letter) for letter in _letters]] = _code
_LETTERS = np.frombuffer(b"ACGTN", np.uint8)


def encode_bases(text: str | bytes) -> UInt8[np.ndarray, " length"]:
    """Base codes of a text; lower case counts as upper case."""
    raw = text.encode("ascii") if isinstance(text, str) else text
    return _CODES[np.frombuffer(raw, np.uint8)]


def decode_bases(codes: UInt8[np.ndarray, " length"]) -> str:
    """Text of base codes, in upper case."""
    return _LETTERS[codes].tobytes().decode("ascii")


def reverse_complement(codes: UInt8[np.ndarray, " length"]) -> UInt8[np.ndarray, " length"]:
    """Reverse complement; N stays N."""
    return np.where(codes < 4, 3 - codes, codes).astype(np.uint8)[::-1]
