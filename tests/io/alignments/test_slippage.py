"""How often a sample's reads slip is a matter of its files alone, and of its library and not of its variants."""

import numpy as np
import pytest

from diffbio_core.reads.slippage import TYPICAL, Slippage
from diffbio_io.alignments.reader import AlignmentReader
from diffbio_io.alignments.slippage import TILE, measure_slippage
from diffbio_io.reference import Reference
from tests.alignments import Sam, write_bam, write_cram, write_fasta

EVERY, RUN = 500, 10
"""A homopolymer of `RUN` bp in the middle of every piece of `EVERY` bp."""


@pytest.fixture(scope="module")
def sequence():
    random = np.random.default_rng(1)
    pieces = []
    for _ in range(6 * TILE // EVERY):
        other = "".join(random.permuted(np.tile(list("ACGT"), EVERY // 4)))
        while any(letter * 7 in other for letter in "ACGT"):
            other = "".join(random.permuted(np.tile(list("ACGT"), EVERY // 4)))
        half = EVERY // 2
        pieces.append(other[: half - 1] + "C" + "A" * RUN + "G" + other[half + RUN + 1 :])
    return "".join(pieces)


def reads(sequence, cigars, first="100M"):
    """As many reads over each homopolymer as there are CIGARs; the homopolymer begins 40 bp into each."""
    found = []
    for start in range(EVERY // 2 - 40, len(sequence) - 200, EVERY):
        found += [Sam(start, cigar, name=f"{start}.{number}") for number, cigar in enumerate(cigars)]
    return found


def measured(path, sequence, records, *, index="bai", cram=False):
    reference = write_fasta(path / "reference.fa", {"c1": sequence, "empty": "ACGT" * 10_000})
    bam = write_bam(path / "reads.bam", records, {"c1": len(sequence), "empty": 40_000}, index=index)
    if cram:
        bam = write_cram(path / "reads.cram", bam, reference)
    with Reference(reference, path) as fasta, AlignmentReader(bam, reference) as alignments:
        return measure_slippage(alignments, fasta)


def test_reads_of_a_wrong_length_are_counted_by_direction(tmp_path, sequence):
    found = measured(tmp_path, sequence, reads(sequence, ["100M"] * 17 + ["44M1D56M", "44M2I54M", "44M1I55M"]))
    # Drawn towards a typical rate by as many reads as a few homopolymers have.
    assert found.shorter == pytest.approx(1 / 20, rel=0.06)
    assert found.longer == pytest.approx(2 / 20, rel=0.06)


def test_what_many_reads_of_one_place_show_is_an_allele(tmp_path, sequence):
    heterozygous = ["100M"] * 10 + ["44M1D56M"] * 10
    assert measured(tmp_path, sequence, reads(sequence, heterozygous)) == Slippage()


@pytest.mark.parametrize("cigar", ["44M56S", "20M1D80M", "20M5I75M"])
def test_reads_that_do_not_cover_it_or_differ_elsewhere_do_not_slip(tmp_path, sequence, cigar):
    found = measured(tmp_path, sequence, reads(sequence, ["100M"] * 4 + [cigar]))
    assert found.longer == found.shorter < TYPICAL


def test_it_does_not_depend_on_the_kind_of_file_or_index(tmp_path, sequence):
    records = reads(sequence, ["100M"] * 5 + ["44M1D56M"])
    # Few reads, and none over much of the contig: indexes differ most in what they tell of such.
    sparse = [record for record in records if record.start < TILE or record.start > 4 * TILE]
    found = set()
    for name, more in {"bai": {}, "csi": {"index": "csi"}, "cram": {"cram": True}}.items():
        folder = tmp_path / name
        folder.mkdir()
        found.add(measured(folder, sequence, sparse, **more))
    assert len(found) == 1
    assert found.pop().shorter > 10 * TYPICAL


def test_without_reads_it_is_a_typical_one(tmp_path, sequence):
    assert measured(tmp_path, sequence, []) == Slippage()
