"""The fixed grid of windows and shards that every stage, store and resume shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MIN_HALO = 192
"""Positions (bp) past a window's core that its candidates and their views may look at, so the least halo."""


WEIGHED_BESIDE = MIN_HALO
"""Positions (bp) past what is asked for whose alleles may be weighed with those in it."""


@dataclass(frozen=True, order=True)
class Shard:
    """A run of consecutive windows of one contig: the unit of work, of writing and of resuming.

    Attributes:
        contig: Name of the contig.
        index: Place in the contig's grid of shards, from 0.
        first_window: First window of the contig to process, inside this shard.
        last_window: One past the last window to process, inside this shard.
    """

    contig: str
    index: int
    first_window: int
    last_window: int

    @property
    def name(self) -> str:
        """Name that sorts like the genome within a contig, for files and logs."""
        return f"{self.contig}.{self.index:06d}"

    @property
    def num_windows(self) -> int:
        """Number of windows to process."""
        return self.last_window - self.first_window


@dataclass(frozen=True)
class WindowGrid:
    """Cuts contigs into windows and shards from position 0, whatever region is asked for.

    Attributes:
        reference_length: Core positions of a window (bp).
        halo: Positions added on both sides of a window (bp): at least ``MIN_HALO``, and no longer than a window, so
            that only neighbours share any.
        windows_per_shard: Windows in a shard.

    Raises:
        ValueError: A length is not positive, or the halo is shorter than ``MIN_HALO`` or longer than a window.
    """

    reference_length: int = 4096
    halo: int = 256
    windows_per_shard: int = 64

    def __post_init__(self) -> None:
        if self.reference_length <= 0:
            raise ValueError(f"reference_length must be positive, got {self.reference_length}")
        if not MIN_HALO <= self.halo <= self.reference_length:
            raise ValueError(
                f"halo must lie between {MIN_HALO} and reference_length ({self.reference_length}), got {self.halo}"
            )
        if self.windows_per_shard <= 0:
            raise ValueError(f"windows_per_shard must be positive, got {self.windows_per_shard}")

    @property
    def positions(self) -> int:
        """Columns of a window, halo included."""
        return self.reference_length + 2 * self.halo

    def num_windows(self, contig_length: int) -> int:
        """Number of windows that cover a contig."""
        return -(-contig_length // self.reference_length)

    def core(self, shard: Shard, contig_length: int) -> tuple[int, int]:
        """Core positions of a shard's windows, 0-based half-open, cut at the contig's end."""
        start = shard.first_window * self.reference_length
        return start, min(shard.last_window * self.reference_length, contig_length)

    def shards(
        self, contig: str, contig_length: int, intervals: Iterable[tuple[int, int]], beside: int = 0
    ) -> Iterator[Shard]:
        """Shards that hold the windows which any interval touches.

        Within a shard the run from the first to the last touched window is taken, so that a shard stays one run.

        Args:
            contig: Name of the contig.
            contig_length: Its length (bp).
            intervals: 0-based half-open intervals on the contig, sorted, not overlapping.
            beside: Positions (bp) past both ends of an interval whose windows are taken, too, if they are of a shard
                that it touches.
        """
        bounds: dict[int, tuple[int, int]] = {}
        for start, stop in intervals:
            start, stop = max(0, start), min(stop, contig_length)
            if start >= stop:
                continue
            first, last = start // self.reference_length, (stop - 1) // self.reference_length
            indices = range(first // self.windows_per_shard, last // self.windows_per_shard + 1)
            first = max(0, start - beside) // self.reference_length
            last = (min(stop + beside, contig_length) - 1) // self.reference_length
            for index in indices:
                low, high = index * self.windows_per_shard, (index + 1) * self.windows_per_shard
                run = max(first, low), min(last + 1, high)
                known = bounds.get(index, run)
                bounds[index] = min(run[0], known[0]), max(run[1], known[1])
        for index in sorted(bounds):
            yield Shard(contig, index, *bounds[index])
