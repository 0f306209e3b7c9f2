"""Base codes against what the SAM specification says of letters and nibbles."""

import numpy as np
import pysam
import pytest

from diffbio_core.windows.encoding import (
    BASES,
    CODE_MASK,
    CODE_OF_ASCII,
    CODE_OF_NIBBLE,
    DELETED,
    DELETION_FOLLOWS,
    INSERTION_FOLLOWS,
    N_BASE,
    NO_READ,
    PLANES,
    READ_START,
    REVERSE_STRAND,
)


def test_letters_of_either_case_are_their_base_and_all_others_n():
    for letter in map(chr, range(256)):
        expected = BASES.index(letter.upper()) if letter in "ACGTacgt" else N_BASE
        assert CODE_OF_ASCII[ord(letter)] == expected


@pytest.mark.parametrize("letter", "=ACMGRSVTWYHKDBN")
def test_nibbles_are_the_bases_that_samtools_reads(letter, tmp_path):
    read = pysam.AlignedSegment(pysam.AlignmentHeader.from_references(["c1"], [100]))
    read.query_name, read.reference_id, read.reference_start = "r", 0, 0
    read.query_sequence, read.cigarstring = letter, "1M"
    with pysam.AlignmentFile(str(tmp_path / "a.bam"), "wb0", header=read.header) as file:
        file.write(read)
    with pysam.BGZFile(str(tmp_path / "a.bam")) as file:
        base, _ = file.read()[-2:]

    assert CODE_OF_NIBBLE[base >> 4] == (BASES.index(letter) if letter in BASES else N_BASE)


def test_codes_and_bits_do_not_share_a_place():
    codes = [*range(N_BASE + 1), DELETED, NO_READ]
    assert len(set(codes)) == len(codes)
    assert all(code & CODE_MASK == code for code in codes)
    bits = CODE_MASK, READ_START, REVERSE_STRAND, INSERTION_FOLLOWS, DELETION_FOLLOWS
    assert sum(bits) == np.bitwise_or.reduce(bits) < 256


def test_every_plane_holds_its_fill():
    for kind, fill in PLANES.values():
        assert np.dtype(kind).type(fill) == fill
    assert PLANES["base"][1] == NO_READ
