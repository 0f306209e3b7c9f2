"""Copies of each part of a human genome by sex: X, Y, their pseudo-autosomal regions, mitochondria."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Sex = Literal["male", "female", "unknown"]

Spans = tuple[tuple[int, int], ...]

_LENGTHS = {"GRCh37": (155_270_560, 59_373_566), "GRCh38": (156_040_895, 57_227_415)}
"""Lengths of X and Y (bp)."""

_PAR_X = {
    "GRCh37": ((60_000, 2_699_520), (154_931_043, 155_260_560)),
    "GRCh38": ((10_000, 2_781_479), (155_701_382, 156_030_895)),
}
_PAR_Y = {
    "GRCh37": ((10_000, 2_649_520), (59_034_049, 59_363_566)),
    "GRCh38": ((10_000, 2_781_479), (56_887_902, 57_217_415)),
}
"""Pseudo-autosomal regions, 0-based half-open, as the Genome Reference Consortium gives them."""

_MITOCHONDRIA = {"MT": (16_569,), "M": (16_569, 16_571)}  # hg19's chrM is another sequence, of 16,571 bp


@dataclass(frozen=True)
class HumanBuild:
    """The contigs of a human reference, as it names them.

    Attributes:
        name: GRCh37 or GRCh38.
        x: Name of X.
        y: Name of Y; None where the reference lacks it.
        mitochondria: Name of the mitochondrial contig; None where the reference lacks it.
        autosomes: Names of 1 to 22, of those that it has.
        par_x: Pseudo-autosomal regions of X, 0-based half-open.
        par_y: Those of Y.
    """

    name: str
    x: str
    y: str | None
    mitochondria: str | None
    autosomes: tuple[str, ...]
    par_x: Spans
    par_y: Spans

    @classmethod
    def of(cls, contigs: Mapping[str, int]) -> HumanBuild | None:
        """The build of a reference, told by the lengths of X and Y, ``chr`` or not; None where it is neither.

        Args:
            contigs: Length (bp) by name.
        """
        for prefix in ("chr", ""):
            x, y = f"{prefix}X", f"{prefix}Y"
            for name, (length_x, length_y) in _LENGTHS.items():
                if contigs.get(x) == length_x and contigs.get(y, length_y) == length_y:
                    autosomes = (f"{prefix}{number}" for number in range(1, 23))
                    mitochondria = (
                        f"{prefix}{short}"
                        for short, lengths in _MITOCHONDRIA.items()
                        if contigs.get(f"{prefix}{short}") in lengths
                    )
                    return cls(
                        name,
                        x,
                        y if y in contigs else None,
                        next(mitochondria, None),
                        tuple(contig for contig in autosomes if contig in contigs),
                        _PAR_X[name],
                        _PAR_Y[name],
                    )
        return None


@dataclass(frozen=True)
class CopyNumbers:
    """Where an individual has other than two copies.

    Attributes:
        haploid: Parts with one copy by contig, 0-based half-open, sorted.
        absent: Contigs of which there is none.
    """

    haploid: Mapping[str, Spans]
    absent: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        contigs: Mapping[str, int],
        build: HumanBuild | None = None,
        sex: Sex | None = None,
        haploid_contigs: Iterable[str] = (),
    ) -> CopyNumbers:
        """Copies by sex, and of contigs that are known to have one.

        A male has one X and one Y outside their pseudo-autosomal regions, a female no Y. Whoever's sex was asked for
        has one kind of mitochondria; without it, and without named contigs, all has two copies.

        Args:
            contigs: Length (bp) by name.
            build: The human reference; without one, sex says nothing.
            sex: Of the individual; None where it does not matter.
            haploid_contigs: Contigs with one copy, whole.
        """
        haploid: dict[str, Spans] = {}
        absent: tuple[str, ...] = ()
        if build is not None and sex is not None:
            if build.mitochondria is not None:
                haploid[build.mitochondria] = ((0, contigs[build.mitochondria]),)
            if sex == "male":
                haploid[build.x] = outside(build.par_x, (0, contigs[build.x]))
                if build.y is not None:
                    haploid[build.y] = outside(build.par_y, (0, contigs[build.y]))
            elif sex == "female" and build.y is not None:
                absent = (build.y,)
        haploid |= {contig: ((0, contigs[contig]),) for contig in haploid_contigs}
        return cls(haploid, tuple(contig for contig in absent if contig not in haploid))

    def haploid_parts(self, contig: str, spans: Iterable[tuple[int, int]]) -> Spans:
        """What of some spans of a contig has one copy."""
        return common(spans, self.haploid.get(contig, ()))


def common(spans: Iterable[tuple[int, int]], others: Spans) -> Spans:
    """What sorted spans share with others."""
    cut = ((max(start, low), min(stop, high)) for start, stop in spans for low, high in others)
    return tuple((low, high) for low, high in cut if low < high)


def outside(removed: Iterable[tuple[int, int]], *spans: tuple[int, int]) -> Spans:
    """What of sorted spans lies outside other sorted ones."""
    removed = tuple(removed)
    kept = []
    for start, stop in spans:
        for low, high in removed:
            if start < min(low, stop):
                kept.append((start, min(low, stop)))
            start = max(start, high)
        if start < stop:
            kept.append((start, stop))
    return tuple(kept)
