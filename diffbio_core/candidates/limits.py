"""How far a model's training went: views of candidates are brought within it before the model sees them."""

from __future__ import annotations

from dataclasses import dataclass

from diffbio_core.windows.grid import MIN_HALO


@dataclass(frozen=True)
class ViewLimits:
    """How far a model is to be believed: largest values of a view that it was trained on, and the least slippage.

    Deeper candidates are looked at through some of their reads, chosen by rank, that is by name
    (``diffbio_core.windows.encoding``): the same reads whatever the window, the region or the lanes.

    Attributes:
        max_reads: Reads that may cover a candidate before its view is thinned.
        thinned_reads: Most reads of a view that is thinned. Fewer than ``max_reads``, since errors that reads share
            grow with depth, and training saw few of them at the depths where they are many.
        max_tract: Columns by which an indel could be shifted; larger values are set to it.
        max_crowd: Other candidates nearby; larger values are set to it.
        min_slippage: Rates of slippage below it are set to it. Real libraries slip that often even without PCR; where
            reads do not seem to, they were realigned or simulated, and long repeats may slip all the same.

    Raises:
        ValueError: A limit is not positive, or views would be thinned to more reads than they may have.
    """

    max_reads: int = 80
    thinned_reads: int = 55
    max_tract: int = MIN_HALO
    max_crowd: int = 30
    min_slippage: float = 0.002

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f"{name} of view limits must be positive, got {value}")
        if self.thinned_reads > self.max_reads:
            raise ValueError(f"thinned_reads ({self.thinned_reads}) must not be above max_reads ({self.max_reads})")
