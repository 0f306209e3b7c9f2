"""How the records of a VCF are spread over quality, depth, allele fraction, length, substitution and place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest

DENSITY_BIN = 1_000_000
"""Positions of one bin of ``density`` (bp)."""

LONGEST_INDEL = 50
"""Length from which on indels are counted together (bp)."""

DEEPEST = 300
"""Depth from which on records are counted together (reads)."""

DOUBTFUL = 20
"""Records that are listed as doubtful, of a shard as of the whole."""

NAMES = (
    *("filter", "qual_snv", "qual_indel", "gq_het", "gq_hom", "depth_het", "depth_hom"),
    *("fraction_het", "fraction_hom", "indel_length", "substitution", "density"),
)
"""What is counted, each by a key that is text, as in JSON: numbers are rounded down, fractions are percentages."""


@dataclass(frozen=True, order=True)
class DoubtfulCall:
    """A record that passes, with a low GQ.

    Attributes:
        gq: Its GQ.
        qual: Its QUAL.
        contig: Where.
        position: 1-based.
        ref: Reference allele.
        alt: Alternative alleles.
        genotype: GT.
        depth: DP.
        support: AD.
    """

    gq: float
    qual: float
    contig: str
    position: int
    ref: str
    alt: str
    genotype: str
    depth: str = ""
    support: str = ""


@dataclass(frozen=True)
class Distributions:
    """Counts of records, all but those by filter of records that pass and differ from the reference.

    Attributes:
        counts: By name, one of `NAMES`, and key.
        doubtful: Records that pass with the lowest GQ, the lowest first.
    """

    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    doubtful: tuple[DoubtfulCall, ...] = ()

    @classmethod
    def of(cls, lines: Iterable[str]) -> Distributions:
        """Counts the records of a VCF's lines, by the first sample; lines of the header are passed over."""
        counts: dict[str, Counter[str]] = {name: Counter() for name in NAMES}
        doubts = _Doubts()
        for line in lines:
            if not line.startswith("#"):
                _count(line, counts, doubts)
        return cls({name: dict(found) for name, found in counts.items() if found}, doubts.most())

    @classmethod
    def from_json(cls, entries: Mapping[str, object]) -> Distributions:
        """Made again of what `dataclasses.asdict` gave, through JSON."""
        counts, doubtful = entries.get("counts", {}), entries.get("doubtful", ())
        return cls(counts, tuple(DoubtfulCall(**call) for call in doubtful))  # type: ignore[arg-type,union-attr]

    def numbers(self, name: str) -> list[tuple[int, int]]:
        """Keys that are numbers, in order, each with its count."""
        return sorted((int(key), count) for key, count in self.counts.get(name, {}).items())

    def density(self) -> dict[str, list[int]]:
        """Records by contig, in order, and bin of `DENSITY_BIN`."""
        found: dict[str, list[int]] = {}
        for key, count in self.counts.get("density", {}).items():
            contig, _, place = key.rpartition(":")
            bins = found.setdefault(contig, [])
            bins += [0] * (int(place) + 1 - len(bins))
            bins[int(place)] += count
        return found


class DistributionSum:
    """Adds up the distributions of shards."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._doubtful: list[DoubtfulCall] = []

    def add(self, part: Distributions) -> None:
        """Adds one."""
        for name, found in part.counts.items():
            self._counts.setdefault(name, Counter()).update(found)
        self._doubtful = nsmallest(DOUBTFUL, [*self._doubtful, *part.doubtful])

    def total(self) -> Distributions:
        """The sum so far."""
        return Distributions({name: dict(found) for name, found in self._counts.items()}, tuple(self._doubtful))


class _Doubts:
    """The records with the lowest GQ so far; others are dropped before anything is made of them."""

    def __init__(self) -> None:
        self.limit = float("inf")
        self._kept: list[DoubtfulCall] = []

    def add(self, call: DoubtfulCall) -> None:
        self._kept.append(call)
        if len(self._kept) >= 2 * DOUBTFUL:
            self._kept = nsmallest(DOUBTFUL, self._kept)
            self.limit = self._kept[-1].gq

    def most(self) -> tuple[DoubtfulCall, ...]:
        return tuple(nsmallest(DOUBTFUL, self._kept))


def _count(line: str, counts: dict[str, Counter[str]], doubts: _Doubts) -> None:
    columns = line.rstrip("\n").split("\t", 10)
    if len(columns) < 10:
        return
    contig, position, _, ref, alt, qual, filters, _, names, values, *_ = columns
    sample = dict(zip(names.split(":"), values.split(":"), strict=False))
    genotype = sample.get("GT", ".")
    alleles = set(genotype.replace("|", "/").split("/"))
    others = alleles - _NO_ALLELE
    if not others:
        return
    if filters not in ("PASS", "."):
        for name in filters.split(";"):
            counts["filter"][name] += 1
        return
    counts["filter"][filters] += 1
    zygosity = "het" if len(alleles) > 1 else "hom"
    alternatives = alt.split(",")
    snv = len(ref) == 1 and all(len(other) == 1 for other in alternatives)
    counts["density"][f"{contig}:{int(position) // DENSITY_BIN}"] += 1
    counts["qual_snv" if snv else "qual_indel"][_floor(qual)] += 1
    gq = sample.get("GQ", ".")
    counts[f"gq_{zygosity}"][_floor(gq)] += 1
    depth, support = sample.get("DP", "."), sample.get("AD", "")
    if depth.isdecimal():
        counts[f"depth_{zygosity}"][str(min(int(depth), DEEPEST))] += 1
    numbers = [int(number) for number in support.split(",") if number.isdecimal()]
    if len(numbers) == len(alternatives) + 1 and (total := sum(numbers)):
        counts[f"fraction_{zygosity}"][str(100 * max(numbers[1:]) // total)] += 1
    for allele in others:
        other = alternatives[int(allele) - 1]
        if len(other) == len(ref) == 1:
            counts["substitution"][f"{ref}>{other}"] += 1
        elif other != "*" and len(other) != len(ref):
            length = min(max(len(other) - len(ref), -LONGEST_INDEL), LONGEST_INDEL)
            counts["indel_length"][str(length)] += 1
    if gq != "." and float(gq) <= doubts.limit:
        told = (contig, int(position), ref, alt, genotype, depth, support)
        doubts.add(DoubtfulCall(float(gq), float(qual) if qual != "." else 0.0, *told))


_NO_ALLELE = frozenset("0.")


def _floor(number: str) -> str:
    """A number's part before the point, of what VCF writes: none is negative."""
    return "0" if number == "." else number.partition(".")[0] if "e" not in number else str(int(float(number)))
