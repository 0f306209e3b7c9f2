import mappy
import numpy as np
import pysam
import pytest

from diffbio_core.simulation.sequence import decode_bases, encode_bases, reverse_complement
from diffbio_io.simulation.dataset import write_fasta
from diffbio_io.simulation.pair_alignment import Mate, PairAligner

JUNK = "ACGGTCAATTCGCGATATCGGCTAAGTCCGTT"


@pytest.fixture(scope="module")
def genome():
    rng = np.random.default_rng(11)
    return {name: rng.integers(0, 4, 20_000).astype(np.uint8) for name in ("chr1", "hidden")}


@pytest.fixture(scope="module")
def aligner(genome, tmp_path_factory):
    path = tmp_path_factory.mktemp("aligner") / "reference.fa"
    write_fasta(path, genome)
    return PairAligner(path, {"hidden"}, "group")


@pytest.fixture(scope="module")
def header(genome):
    return pysam.AlignmentHeader.from_references(["chr1"], [20_000])


def turned(text: str) -> str:
    return decode_bases(reverse_complement(encode_bases(text)))


def align(aligner, header, first: str, last: str, duplicate: bool = False) -> list[pysam.AlignedSegment]:
    mates = tuple(Mate(bases, "".join(chr(40 + i % 30) for i in range(len(bases)))) for bases in (first, last))
    lines = aligner.sam_lines("pair", mates, duplicate, mappy.ThreadBuffer())
    return [pysam.AlignedSegment.fromstring(line, header) for line in lines]


def test_pair_is_placed_with_its_template(aligner, header, genome):
    fragment = decode_bases(genome["chr1"][5_000:5_400])
    first, last = align(aligner, header, fragment[:150], turned(fragment)[:150])
    assert (first.reference_start, first.cigarstring, first.is_reverse, first.template_length) == (
        5_000,
        "150M",
        False,
        400,
    )
    assert (last.reference_start, last.cigarstring, last.is_reverse, last.template_length) == (
        5_250,
        "150M",
        True,
        -400,
    )
    assert first.is_proper_pair
    assert last.is_proper_pair
    assert first.is_read1
    assert last.is_read2
    assert first.mapping_quality == 60
    assert first.next_reference_start == last.reference_start
    assert first.mate_is_reverse
    assert not last.mate_is_reverse
    assert first.get_tag("RG") == "group"


@pytest.mark.parametrize("swap", [False, True])
def test_clipped_bases_are_those_that_do_not_match(aligner, header, genome, swap):
    fragment = decode_bases(genome["chr1"][5_000:5_400])
    first, last = fragment[:110] + JUNK[:30], JUNK[:20] + turned(fragment)[20:150]
    for read in align(aligner, header, *((last, first) if swap else (first, last))):
        clipped = read.cigartuples[0][1] if read.cigartuples[0][0] == 4 else 0
        aligned = read.query_sequence[clipped:][: read.query_alignment_length]
        expected = decode_bases(genome["chr1"][read.reference_start : read.reference_end])
        assert "S" in read.cigarstring
        assert sum(a != b for a, b in zip(aligned, expected, strict=True)) <= 2


def test_reverse_read_is_stored_on_the_forward_strand(aligner, header, genome):
    fragment = decode_bases(genome["chr1"][5_000:5_400])
    last = align(aligner, header, fragment[:150], turned(fragment)[:150])[1]
    assert last.query_sequence == fragment[250:]
    assert list(last.query_qualities)[::-1] == [7 + i % 30 for i in range(150)]


def test_pair_on_a_hidden_contig_is_left_out(aligner, header, genome):
    fragment = decode_bases(genome["hidden"][5_000:5_400])
    assert align(aligner, header, fragment[:150], turned(fragment)[:150]) == []


def test_mate_that_does_not_map_is_filed_beside_the_other(aligner, header, genome):
    rng = np.random.default_rng(12)
    strange = decode_bases(rng.integers(0, 4, 150).astype(np.uint8))
    first, last = align(aligner, header, decode_bases(genome["chr1"][5_000:5_150]), strange)
    assert last.is_unmapped
    assert first.mate_is_unmapped
    assert (last.reference_id, last.reference_start) == (0, 5_000)
    assert not first.is_proper_pair
    assert first.template_length == 0


def test_pair_that_nothing_matches_is_kept_unmapped(aligner, header):
    strange = [decode_bases(np.random.default_rng(seed).integers(0, 4, 150).astype(np.uint8)) for seed in (13, 14)]
    reads = align(aligner, header, *strange)
    assert [(read.is_unmapped, read.mate_is_unmapped, read.reference_id) for read in reads] == [(True, True, -1)] * 2


def test_duplicates_are_flagged(aligner, header, genome):
    fragment = decode_bases(genome["chr1"][5_000:5_400])
    assert all(read.is_duplicate for read in align(aligner, header, fragment[:150], turned(fragment)[:150], True))


def test_file_that_is_no_fasta_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"missing\.fa: minimap2 cannot index it"):
        PairAligner(tmp_path / "missing.fa", (), "group")
