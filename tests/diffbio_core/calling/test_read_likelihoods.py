"""What single reads say of haplotypes that are spelled out."""

import numpy as np
import pytest

from diffbio_core.calling.read_likelihoods import Stretch, log_likelihoods
from diffbio_core.reads.slippage import Slippage
from diffbio_core.simulation.sequence import encode_bases
from diffbio_core.windows.grid import WindowGrid
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, pack, write_bam

GRID = WindowGrid(512, 256, 1)
REFERENCE = "".join(np.random.default_rng(5).choice(list("ACGT"), 200)) + "GATCC" + "ACGTTGCA" * 38
FIRST, LAST, BESIDE, SPARE = 201, 206, 10, 12
STRETCH = Stretch(0, FIRST - BESIDE + GRID.halo, LAST + BESIDE + GRID.halo, FIRST + GRID.halo, LAST + GRID.halo, SPARE)


def haplotype(change=("GATCC", "GATCC"), at=200):
    old, new = change
    assert REFERENCE[at : at + len(old)] == old
    start, stop = FIRST - BESIDE - SPARE, LAST + BESIDE + SPARE
    return encode_bases(REFERENCE[start:at] + new + REFERENCE[at + len(old) : stop])


PLAIN, CHANGED, SHORTER = haplotype(), haplotype(("GATCC", "GATGC")), haplotype(("GATCC", "GC"))


@pytest.fixture
def held(tmp_path):
    """Differences of the logarithms between haplotypes, one row a read, of reads and haplotypes."""

    def make(reads, haplotypes, *, reference=REFERENCE, slippage=None, stretch=STRETCH):
        reads = [Sam(start, cigar, bases, name=str(place), **more) for place, (start, cigar, bases, more) in reads]
        with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": len(reference)})) as reader:
            (planes,) = pack(reader, reference, GRID)
        planes.slippage = slippage or Slippage()
        found = log_likelihoods(planes, stretch, haplotypes)
        return found - found.max(axis=1, keepdims=True)

    return lambda *reads, haplotypes, **more: make(list(enumerate(reads)), haplotypes, **more)


def read(start, stop, change=("", ""), at=0, cigar=None, **more):
    old, new = change
    assert REFERENCE[at : at + len(old)] == old
    bases = REFERENCE[start:at] + new + REFERENCE[at + len(old) : stop] if old else REFERENCE[start:stop]
    return start, cigar or f"{len(bases)}M", bases, more


def test_a_read_speaks_for_the_haplotype_that_it_agrees_with(held):
    found = held(
        read(150, 250),
        read(150, 250, ("GATCC", "GATGC"), 200),
        read(150, 250, ("GATCC", "GC"), 200, "51M3D46M"),
        haplotypes=[PLAIN, CHANGED, SHORTER],
    )
    assert found.argmax(1).tolist() == [0, 1, 2]
    assert np.sort(found, axis=1)[:, 1].max() < -3


def test_a_deletion_that_an_aligner_wrote_as_changed_bases_is_told_from_either_side(held):
    sequence = REFERENCE[150:201] + REFERENCE[204:230]
    from_left = 150, f"{len(sequence)}M", sequence, {}
    sequence = REFERENCE[180:201] + REFERENCE[204:260]
    from_right = 183, f"{len(sequence)}M", sequence, {}
    found = held(from_left, from_right, haplotypes=[PLAIN, SHORTER])
    assert found.argmax(1).tolist() == [1, 1]
    assert found.min() < -2


def test_a_read_that_ends_before_haplotypes_differ_says_nothing(held):
    assert held(read(120, 201), read(206, 260), haplotypes=[PLAIN, SHORTER]).size == 0
    found = held(read(140, 203), haplotypes=[PLAIN, CHANGED])
    assert found == pytest.approx(0)


def test_a_poor_base_says_less_than_a_good_one(held):
    changed = ("GATCC", "GATGC")
    good, poor = held(
        read(150, 250, changed, 200), read(150, 250, changed, 200, quality=")" * 100), haplotypes=[PLAIN, CHANGED]
    )
    assert good[0] < poor[0] < -1


def test_a_read_that_fits_no_haplotype_says_next_to_nothing(held):
    elsewhere = "".join(np.random.default_rng(6).choice(list("ACGT"), 60))
    found = held((180, "60M", elsewhere, {}), haplotypes=[PLAIN, CHANGED, SHORTER])
    assert found.min() > -0.1


def test_reads_that_map_badly_are_left_out(held):
    assert held(read(150, 250, mapping_quality=3), haplotypes=[PLAIN, CHANGED]).size == 0


def test_a_masked_column_tells_nothing(held):
    masked = [codes.copy() for codes in (PLAIN, SHORTER)]
    for codes in masked:
        codes[SPARE + 2] = 4
    (unmasked,) = held(read(150, 250, (REFERENCE[193], "ACGT"[REFERENCE[193] == "A"]), 193), haplotypes=masked)
    assert (unmasked[0], unmasked[1] < -3) == (0, True)


def test_a_slip_of_a_repeat_is_as_likely_as_the_library_slips(held):
    reference = REFERENCE[:190] + "A" * 14 + REFERENCE[204:]
    first, last = 190 + GRID.halo, 205 + GRID.halo
    stretch = Stretch(0, first - BESIDE, last + BESIDE, first, last, SPARE)
    start, stop = 190 - BESIDE - SPARE, 205 + BESIDE + SPARE
    plain = encode_bases(reference[start:stop])
    shorter = encode_bases(reference[start:190] + reference[191:stop])
    slipped = 150, "40M1D59M", reference[150:190] + reference[191:250], {}
    rare, often = (
        held(slipped, haplotypes=[plain, shorter], reference=reference, slippage=Slippage(rate, rate), stretch=stretch)
        for rate in (0.001, 0.1)
    )
    assert rare[0, 0] < often[0, 0] - 1 < -1
