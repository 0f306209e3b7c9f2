"""What the depth of X and Y says of a sample's sex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from diffbio_core.calling.copy_numbers import HumanBuild

_TWO_X, _ONE_X = 0.8, 0.7
"""Depth of X, in that of the autosomes, from which on there are two, and up to which there is one; half and all of it
are expected."""

_ONE_Y, _NO_Y = 0.25, 0.15
"""Likewise of Y, half or nothing of whose depth is expected; it has much that reads of other contigs fit."""


@dataclass(frozen=True)
class ObservedSex:
    """What was seen, and what it means.

    Attributes:
        sex: ``male``, ``female``, or ``unclear``.
        x: Depth of X as a share of the autosomes'; None where it was not called.
        y: Likewise of Y.
        autosomes: Contigs that they were compared with.
    """

    sex: str
    x: float | None
    y: float | None
    autosomes: tuple[str, ...]


def observed_sex(depths: Mapping[str, float], build: HumanBuild | None) -> ObservedSex | None:
    """What the depth of X and Y says; None where the reference is not human, or no autosome or neither was called.

    X decides where Y was not called, as in one who is said to be a woman.

    Args:
        depths: Mean depth by contig, of those that were called.
        build: The reference.
    """
    if build is None:
        return None
    autosomes = tuple(contig for contig in build.autosomes if contig in depths)
    # The median, for a person may have three of one.
    usual = median(depths[contig] for contig in autosomes) if autosomes else 0.0
    if usual <= 0.0 or not {build.x, build.y} & depths.keys():
        return None
    x, y = (depths[c] / usual if c is not None and c in depths else None for c in (build.x, build.y))
    says = {_by_x(x), _by_y(y)} - {""}
    return ObservedSex(says.pop() if len(says) == 1 else "unclear", x, y, autosomes)


def _by_x(share: float | None) -> str:
    if share is None:
        return ""
    return "female" if share >= _TWO_X else "male" if share <= _ONE_X else "unclear"


def _by_y(share: float | None) -> str:
    if share is None:
        return ""
    return "male" if share >= _ONE_Y else "female" if share <= _NO_Y else "unclear"
