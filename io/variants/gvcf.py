"""gVCF: called sites between blocks of reference confidence, as lines of a shard, and shards joined without a seam."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

from diffbio_core.calling.reference_confidence import BANDS, UNSEEN, ReferenceBlocks, with_unseen_allele
from diffbio_core.calling.sites import CalledSite
from diffbio_core.windows.encoding import BASES
from diffbio_io.variants.vcf import vcf_line

GVCF_FIELDS = (
    '##ALT=<ID=*,Description="Any allele that the record does not name">',
    '##INFO=<ID=END,Number=1,Type=Integer,Description="Last position of the block (1-based)">',
    '##FORMAT=<ID=MIN_DP,Number=1,Type=Integer,Description="Smallest DP among the positions of the block">',
)
"""Header lines that a gVCF has besides those of a VCF."""

_FORMAT = "GT:GQ:MIN_DP:PL"


def gvcf_text(contig: str, parts: Iterable[ReferenceBlocks], sites: Iterable[CalledSite]) -> str:
    """Sites and the blocks around them as lines, sorted by position.

    Args:
        contig: Name of the contig.
        parts: Blocks of it, those of each number of copies together.
        sites: Records of it; each gets ``<*>`` as its last alternative allele.
    """
    lines = [(site.position, vcf_line(with_unseen_allele(site))) for site in sorted(sites)]
    for blocks in parts:
        ploidy = blocks.pl.shape[1] - 1
        columns = (blocks.start, blocks.stop, blocks.code, blocks.known, blocks.gq, blocks.min_depth, blocks.pl)
        for start, stop, code, known, gq, depth, pl in zip(*(column.tolist() for column in columns), strict=True):
            genotype = "/".join(("0" if known else ".") * ploidy)
            lines.append((start, _block_line(contig, start, stop, BASES[code], genotype, gq, depth, pl) + "\n"))
    # Sites that share a position keep their order.
    return "".join(line for _, line in sorted(lines, key=lambda entry: entry[0]))


def without_seams(shards: Iterable[bytes], base: Callable[[str, int], str]) -> Iterator[bytes]:
    """Shards' lines as though the genome had not been cut: a block that a shard's end has cut is one again.

    Blocks at a shard's start also give way to a deletion that reaches over from the shard before.

    Args:
        shards: Lines of each shard, in the genome's order.
        base: Reference base of a contig's position (0-based).
    """
    pending: _Block | None = None
    reach = "", 0
    for shard in shards:
        lines = _uncovered(shard.decode().splitlines(), reach, base)
        reach = _reach(lines, reach)
        if lines and pending is not None:
            head = _Block.parse(lines[0])
            joined = pending.joined(head) if head is not None else None
            lines[:1] = [str(joined)] if joined is not None else [str(pending), lines[0]]
        if lines:
            pending = _Block.parse(lines[-1])
            if pending is not None:
                lines.pop()
        yield "".join(line + "\n" for line in lines).encode()
    if pending is not None:
        yield f"{pending}\n".encode()


def _uncovered(lines: Sequence[str], reach: tuple[str, int], base: Callable[[str, int], str]) -> list[str]:
    """A shard's lines, its first blocks without the positions that a site of the shard before covers."""
    contig, stop = reach
    kept = []
    for number, line in enumerate(lines):
        name, position, _ = line.split("\t", 2)
        if name != contig or int(position) > stop:
            return [*kept, *lines[number:]]
        block = _Block.parse(line)
        if block is None:
            kept.append(line)
        elif block.stop > stop:
            kept.append(str(replace(block, start=stop, base=base(contig, stop))))
    return kept


def _reach(lines: Sequence[str], before: tuple[str, int]) -> tuple[str, int]:
    """Contig of the last line, and one past the last position that a site on it covers."""
    contig, stop = before
    for line in lines:
        name, position, _, ref, alts, _ = line.split("\t", 5)
        if name != contig:
            contig, stop = name, 0
        if alts != UNSEEN:
            stop = max(stop, int(position) - 1 + len(ref))
    return contig, stop


def _block_line(
    contig: str, start: int, stop: int, base: str, genotype: str, gq: int, min_depth: int, pl: Iterable[int]
) -> str:
    values = f"{genotype}:{gq}:{min_depth}:{','.join(map(str, pl))}"
    return f"{contig}\t{start + 1}\t.\t{base}\t{UNSEEN}\t.\t.\tEND={stop}\t{_FORMAT}\t{values}"


@dataclass(frozen=True)
class _Block:
    """A block as its line says it; positions are 0-based half-open."""

    contig: str
    start: int
    stop: int
    base: str
    genotype: str
    gq: int
    min_depth: int
    pl: tuple[int, ...]

    def __str__(self) -> str:
        return _block_line(*(getattr(self, field.name) for field in fields(self)))

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """The block of a line; None where the line is a site."""
        contig, position, _, base, alts, _, _, info, _, values = line.split("\t")
        if alts != UNSEEN:
            return None
        genotype, gq, depth, pl = values.split(":")
        likelihoods = tuple(map(int, pl.split(",")))
        stop = int(info.removeprefix("END="))
        return cls(contig, int(position) - 1, stop, base, genotype, int(gq), int(depth), likelihoods)

    def joined(self, other: Self) -> Self | None:
        """This block and the one after it as one; None where they are of two bands or do not touch."""
        if (self.contig, self.stop, self._band) != (other.contig, other.start, other._band):
            return None
        return replace(
            self,
            stop=other.stop,
            gq=min(self.gq, other.gq),
            min_depth=min(self.min_depth, other.min_depth),
            pl=tuple(map(min, self.pl, other.pl)),
        )

    @property
    def _band(self) -> tuple[str, int]:
        return self.genotype, sum(bound <= self.gq for bound in BANDS)
