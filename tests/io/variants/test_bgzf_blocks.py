"""BGZF blocks that are written here are read by htslib and by Python's gzip."""

import gzip
import random

import pysam
import pytest

from diffbio_io.variants.bgzf_blocks import END, bgzf_blocks
from diffbio_io.variants.vcf import concatenate_shards, vcf_header

CONTIGS = {"c1": 1000, "c2": 800}


@pytest.mark.parametrize("size", [0, 1, 0xFF00, 0xFF01, 300_000])
def test_what_is_packed_comes_back_whatever_its_size_and_however_badly_it_compresses(tmp_path, size):
    content = random.Random(size).randbytes(size)
    path = tmp_path / "blocks.gz"
    path.write_bytes(bgzf_blocks(content) + END)
    assert gzip.decompress(path.read_bytes()) == content
    with pysam.BGZFile(str(path)) as file:
        assert file.read(size + 1) == content


def lines(contig, *positions):
    return "".join(f"{contig}\t{position}\t.\tA\tG\t9.0\tPASS\tDP=3\tGT\t0/1\n" for position in positions).encode()


def concatenated(folder, *shards):
    paths = [folder / f"shard{number}" for number in range(len(shards))]
    for path, shard in zip(paths, shards, strict=True):
        path.write_bytes(shard)
    output = folder / "calls.vcf.gz"
    concatenate_shards(output, paths, CONTIGS, vcf_header(CONTIGS, "S1"), aside=folder / "aside")
    return output


def test_concatenated_shards_are_one_indexed_file(tmp_path):
    output = concatenated(tmp_path, *map(bgzf_blocks, (lines("c1", 5, 400), b"", lines("c1", 700), lines("c2", 6))))
    with pysam.VariantFile(str(output)) as file:
        assert [(record.chrom, record.pos) for record in file] == [("c1", 5), ("c1", 400), ("c1", 700), ("c2", 6)]
        assert [record.pos for record in file.fetch("c1", 500, 1000)] == [700]
    assert output.read_bytes().endswith(END)


def test_shards_without_records_make_a_valid_file(tmp_path):
    with pysam.VariantFile(str(concatenated(tmp_path, b"", b""))) as file:
        assert list(file) == []


@pytest.mark.parametrize(
    "shards",
    [
        [bgzf_blocks(lines("c1", 700)), bgzf_blocks(lines("c1", 5))],
        [bgzf_blocks(lines("c1", 700)), bgzf_blocks(lines("c2", 5)), bgzf_blocks(lines("c1", 900))],
        [bgzf_blocks(lines("c1", 700))[:-12]],
        [bgzf_blocks(lines("c1", 5))[:30] + b"xx" + bgzf_blocks(lines("c1", 5))[32:]],
    ],
    ids=["positions not in order", "a contig twice", "a block cut off", "a block altered"],
)
def test_what_is_out_of_order_or_damaged_leaves_no_file(tmp_path, shards):
    with pytest.raises(OSError, match=r"calls\.vcf\.gz"):
        concatenated(tmp_path, *shards)
    assert not (tmp_path / "calls.vcf.gz").exists()


def test_a_missing_shard_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="1 shards have no records yet"):
        concatenate_shards(
            tmp_path / "o.vcf.gz", [tmp_path / "no"], CONTIGS, vcf_header(CONTIGS, "S1"), aside=tmp_path / "aside"
        )
