"""gVCF text: blocks and sites of a shard, and shards joined."""

import numpy as np
import pysam
import pysam.bcftools
import pytest

from diffbio_core.calling.reference_confidence import ReferenceBlocks
from diffbio_core.calling.sites import CalledSite
from diffbio_io.variants.gvcf import GVCF_FIELDS, gvcf_text, without_seams
from diffbio_io.variants.vcf import merge_shards, vcf_header

CONTIGS = {"c": 100, "d": 50}
SEQUENCE = {"c": "ACGT" * 25, "d": "ACGT" * 12 + "AC"}


def blocks_of(*rows, ploidy=2):
    """Blocks from (start, stop, GQ, depth); GQ None where nothing is known."""
    start, stop, gq, depth = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    return ReferenceBlocks(
        np.array(start, np.int64),
        np.array(stop, np.int64),
        np.array([at % 4 for at in start], np.uint8),
        np.array([value is not None for value in gq], bool),
        np.array(depth, np.int32),
        np.array([[0, value or 0, 10 * (value or 0)][: ploidy + 1] for value in gq], np.int32),
    )


def site(position, ref="C", alt="T"):
    return CalledSite("c", position, ref, (alt,), (0, 1), 40.0, 30, (40, 0, 40), 20, 20, (10, 10))


def base(contig, position):
    return SEQUENCE[contig][position]


def joined(*texts):
    return b"".join(without_seams([text.encode() for text in texts], base)).decode()


def places(text):
    """(POS, END of a block or REF) of each line."""
    fields = (line.split("\t") for line in text.splitlines())
    return [(int(line[1]), int(line[7][4:]) if line[4] == "<*>" else line[3]) for line in fields]


def test_blocks_and_sites_stand_in_order_with_the_unseen_allele():
    text = gvcf_text("c", [blocks_of((0, 5, 30, 10), (6, 9, None, 0))], [site(5)])
    assert text.splitlines() == [
        "c\t1\t.\tA\t<*>\t.\t.\tEND=5\tGT:GQ:MIN_DP:PL\t0/0:30:10:0,30,300",
        "c\t6\t.\tC\tT,<*>\t40.00\tPASS\tDP=20;AC=1,0;AN=2\tGT:GQ:DP:AD:PL\t"
        "0/1:30:20:10,10,0:40,0,40,170,170,340",
        "c\t7\t.\tG\t<*>\t.\t.\tEND=9\tGT:GQ:MIN_DP:PL\t./.:0:0:0,0,0",
    ]  # fmt: skip


def test_a_haploid_block_has_one_allele():
    assert gvcf_text("c", [blocks_of((0, 5, 30, 10), ploidy=1)], []).endswith("0:30:10:0,30\n")


def test_a_block_that_a_shards_end_cut_is_one_again():
    first = gvcf_text("c", [blocks_of((0, 8, 5, 9), (8, 20, 35, 12))], [])
    second = gvcf_text("c", [blocks_of((20, 30, 33, 14), (30, 31, 0, 3))], [])
    assert joined(first, second).splitlines()[1] == (
        "c\t9\t.\tA\t<*>\t.\t.\tEND=30\tGT:GQ:MIN_DP:PL\t0/0:33:12:0,33,330"
    )
    assert places(joined(first, second)) == [(1, 8), (9, 30), (31, 31)]


def test_a_block_may_span_several_shards_and_empty_ones():
    texts = [gvcf_text("c", [blocks_of((start, start + 10, None, 0))], []) for start in (0, 10, 20, 30)]
    assert places(joined(texts[0], texts[1], "", texts[2], texts[3])) == [(1, 40)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, 20, 35, 9), (20, 30, 45, 9)),
        ((0, 20, 0, 9), (20, 30, None, 9)),
        ((0, 19, 35, 9), (20, 30, 35, 9)),
    ],
    ids=["of another band", "unknown", "apart"],
)
def test_blocks_that_differ_stay_two(first, second):
    text = gvcf_text("c", [blocks_of(first)], []) + gvcf_text("c", [blocks_of(second)], [])
    assert joined(gvcf_text("c", [blocks_of(first)], []), gvcf_text("c", [blocks_of(second)], [])) == text


def test_blocks_of_two_contigs_stay_two():
    texts = [gvcf_text(contig, [blocks_of((start, 30, 9, 9))], []) for contig, start in (("c", 0), ("d", 20))]
    assert joined(*texts) == "".join(texts)


def test_blocks_give_way_to_a_deletion_that_reaches_over_from_the_shard_before():
    first = gvcf_text("c", [blocks_of((0, 18, 35, 9))], [site(18, "GTACGTA", "G")])
    second = gvcf_text("c", [blocks_of((20, 22, 35, 9), (22, 23, 3, 9), (24, 40, 35, 9))], [site(23, "T", "A")])
    text = joined(first, second)
    assert places(text) == [(1, 18), (19, "GTACGTA"), (24, "T"), (26, 40)]
    assert text.splitlines()[-1].split("\t")[3] == SEQUENCE["c"][25]


@pytest.fixture
def gvcf(tmp_path):
    """A gVCF of the contig c, whole."""
    shards = [
        gvcf_text("c", [blocks_of((0, 21, 30, 10), (22, 60, 41, 14))], [site(21)]),
        gvcf_text("c", [blocks_of((60, 80, 40, 11), (80, 100, None, 0))], []),
    ]
    for number, text in enumerate(shards):
        (tmp_path / f"{number}.g.vcf").write_text(text)
    header = vcf_header(CONTIGS, "S", fields=GVCF_FIELDS)
    path = tmp_path / "a.g.vcf.gz"
    paths = [tmp_path / f"{number}.g.vcf" for number in range(2)]
    merge_shards(path, paths, CONTIGS, header, lambda texts: without_seams(texts, base), aside=tmp_path / "aside")
    return path


def test_pysam_reads_the_ends_of_blocks(gvcf):
    with pysam.VariantFile(str(gvcf)) as file:
        found = [(record.start, record.stop, record.alts) for record in file]
    assert found == [
        (0, 21, ("<*>",)),
        (21, 22, ("T", "<*>")),
        (22, 80, ("<*>",)),
        (80, 100, ("<*>",)),
    ]


def test_the_index_finds_a_block_by_a_position_within(gvcf):
    assert pysam.bcftools.query("-r", "c:50", "-f", "%POS[ %GT %GQ %MIN_DP %PL]\n", str(gvcf)) == (
        "23 0/0 40 11 0,40,400\n"
    )


def test_bcftools_writes_a_block_out_position_by_position(gvcf, tmp_path):
    reference = tmp_path / "r.fa"
    reference.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in SEQUENCE.items()))
    text = pysam.bcftools.convert("--gvcf2vcf", "--fasta-ref", str(reference), str(gvcf))
    records = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    assert [(int(record[1]), record[3]) for record in records] == [
        (position + 1, letter) for position, letter in enumerate(SEQUENCE["c"])
    ]
