"""Called sites as VCF: a text file per shard, then one bgzipped and indexed file of all shards."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pysam

from diffbio_core.calling.sites import CalledSite
from diffbio_core.whole_file import put_in_place
from diffbio_io.files.fresh_folder import fresh_folder
from diffbio_io.variants.bgzf_blocks import END, bgzf_blocks

LONGEST_TABIX_CONTIG = 1 << 29
"""Longest contig that a tabix index covers (bp); longer ones need a CSI index."""

_FIELDS = (
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Reads that cover the site, overlapping mates counted once; '
    'more than FORMAT/DP where reads were thinned">',
    '##INFO=<ID=AC,Number=A,Type=Integer,Description="Copies of each alternative allele in the genotype">',
    '##INFO=<ID=AN,Number=1,Type=Integer,Description="Alleles in the genotype">',
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
    '##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="Phred-scaled probability that the genotype is wrong">',
    '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Reads that the genotype was made from: all that INFO/DP '
    'counts, or a sample of them where they are more than the model was trained on">',
    '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Reads that support each allele, of those that FORMAT/DP '
    'counts">',
    '##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Phred-scaled genotype likelihoods, the likeliest 0">',
)
FILTERS = {
    "LowQual": "QUAL below the threshold for a confident call",
    "LowGQ": "GQ below the threshold for a confident genotype",
}
"""Filters that a site may fail, with their meaning."""


def vcf_header(
    contigs: Mapping[str, int],
    sample: str,
    *,
    filters: Mapping[str, str] = FILTERS,
    fields: Sequence[str] = (),
    meta: Sequence[tuple[str, str]] = (),
    md5: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Header text, up to and with the line of column names.

    Args:
        contigs: Length (bp) of every contig of the reference, in its order.
        sample: Name of the sample.
        filters: Description of each filter.
        fields: Lines that describe further fields.
        meta: Further lines as (key, value), such as ``("source", "diffbio 0.1.0")``.
        md5: MD5 of a contig's sequence, of those where it is known.
    """
    header = pysam.VariantHeader()
    for key, value in meta:
        header.add_line(f"##{key}={value}")
    for name, description in filters.items():
        header.filters.add(name, None, None, description)
    for line in (*_FIELDS, *fields):
        header.add_line(line)
    for contig, length in contigs.items():
        known = {"md5": md5[contig]} if contig in md5 else {}
        header.contigs.add(contig, length=length, **known)
    header.add_sample(sample)
    return str(header)


def structured(name: str, fields: Mapping[str, object]) -> str:
    """The value of a structured header line, ``<ID=name,field="value",...>``, with what it may hold of any text.

    Args:
        name: Its ID.
        fields: Further fields; numbers stand as they are, all else in quotes.
    """
    parts = [f"ID={name}"]
    for field, value in fields.items():
        # Characters that no line of text holds become a question mark.
        text = "".join(character if character.isprintable() else "?" for character in str(value))
        escaped = text.replace("\\", r"\\").replace('"', r"\"")
        parts.append(f"{field}={value}" if isinstance(value, int) else f'{field}="{escaped}"')
    return f"<{','.join(parts)}>"


def vcf_line(site: CalledSite) -> str:
    """One record as a line of VCF, with its end of line; 1-based as VCF is."""
    copies = Counter(site.genotype)
    counts = ",".join(str(copies[number]) for number in range(1, 1 + len(site.alts)))
    sample = (
        "/".join(map(str, site.genotype)),
        str(site.gq),
        str(site.depth),
        ",".join(map(str, site.allele_depths)),
        ",".join(map(str, site.pl)),
    )
    fields = (
        site.contig,
        str(site.position + 1),
        ".",
        site.ref,
        ",".join(site.alts) or ".",
        f"{site.qual:.2f}",
        ";".join(site.filters) or "PASS",
        f"DP={site.coverage};" + (f"AC={counts};" if counts else "") + f"AN={len(site.genotype)}",
        "GT:GQ:DP:AD:PL",
        ":".join(sample),
    )
    return "\t".join(fields) + "\n"


def merge_shards(
    output: str | os.PathLike[str],
    shards: Sequence[str | os.PathLike[str]],
    contigs: Mapping[str, int],
    header: str,
    join: Callable[[Iterator[bytes]], Iterable[bytes]] = iter,
    *,
    aside: str | os.PathLike[str],
) -> Path:
    """Join shards into one bgzipped, indexed VCF, which appears under its name only when whole.

    Both files are made aside; the index is renamed first, so that a VCF never stands without its own.

    Args:
        output: Where the VCF goes; an old one and its indexes are replaced.
        shards: Files of lines of :func:`vcf_line`, each sorted, in the order of the contigs and along each contig.
        contigs: Length (bp) of every contig, in the header's order.
        header: Text of :func:`vcf_header`.
        join: Makes the output's lines of the shards' lines; by default they follow each other.
        aside: Folder on the output's file system to make the files in, of no other process's use. It is gone
            afterwards; what a killed process has left of it goes first.

    Returns:
        Path of the index: ``.tbi``, or ``.csi`` where a contig is longer than 512 Mb.

    Raises:
        FileNotFoundError: A shard is missing.
        ValueError: Records are not in order, or are of a contig that the header lacks.
    """
    _check_there(shards)

    def write(path: Path) -> None:
        with pysam.BGZFile(str(path), "w", index=None) as file:
            file.write(header.encode())
            for block in join(_ordered(shards, contigs)):
                file.write(block)

    return _write_indexed(Path(output), contigs, write, aside)


def concatenate_shards(
    output: str | os.PathLike[str],
    shards: Sequence[str | os.PathLike[str]],
    contigs: Mapping[str, int],
    header: str,
    *,
    aside: str | os.PathLike[str],
) -> Path:
    """Join shards that are BGZF blocks already, as `merge_shards` does: copied, and looked at by the indexer alone.

    Args:
        output: See `merge_shards`.
        shards: Files of the blocks of lines of :func:`vcf_line` (`bgzf_blocks`), in the order of `merge_shards`.
        contigs: See `merge_shards`.
        header: See `merge_shards`.
        aside: See `merge_shards`.

    Returns:
        Path of the index.

    Raises:
        FileNotFoundError: A shard is missing.
        OSError: Records are not in order, or blocks are damaged.
    """
    _check_there(shards)

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(bgzf_blocks(header.encode()))
            for shard in shards:
                file.write(Path(shard).read_bytes())
            file.write(END)

    return _write_indexed(Path(output), contigs, write, aside)


def _check_there(shards: Sequence[str | os.PathLike[str]]) -> None:
    missing = [str(shard) for shard in shards if not Path(shard).is_file()]
    if missing:
        raise FileNotFoundError(f"{len(missing)} shards have no records yet, the first: {missing[0]}")


def _write_indexed(
    output: Path, contigs: Mapping[str, int], write: Callable[[Path], None], aside: str | os.PathLike[str]
) -> Path:
    """Has a VCF written aside, indexes it, and gives both their names."""
    csi = max(contigs.values(), default=0) > LONGEST_TABIX_CONTIG
    index = output.with_name(f"{output.name}.{'csi' if csi else 'tbi'}")
    stale = output.with_name(f"{output.name}.{'tbi' if csi else 'csi'}")
    with fresh_folder(Path(aside)) as folder:
        new = folder / output.name
        write(new)
        # A preset names the columns; the index covers a file without records, too.
        pysam.tabix_index(str(new), preset="vcf", keep_original=True, csi=csi, index=f"{new}.index")
        output.unlink(missing_ok=True)
        stale.unlink(missing_ok=True)
        put_in_place(f"{new}.index", index)
        put_in_place(new, output)
    return index


def _ordered(shards: Sequence[str | os.PathLike[str]], contigs: Mapping[str, int]) -> Iterator[bytes]:
    """Contents of the shards, each checked to follow the one before."""
    rank = {contig.encode(): number for number, contig in enumerate(contigs)}
    last = -1, 0
    for shard in shards:
        block = Path(shard).read_bytes()
        if block and not block.endswith(b"\n"):
            raise ValueError(f"{shard}: its last line is not whole")
        for line in block.splitlines():
            contig, position, _ = line.split(b"\t", 2)
            if contig not in rank:
                raise ValueError(f"{shard}: the header has no contig {contig.decode()!r}")
            place = rank[contig], int(position)
            if place < last:
                raise ValueError(f"{shard}: the record at {contig.decode()}:{int(position)} comes after a later one")
            last = place
        if block:
            yield block
