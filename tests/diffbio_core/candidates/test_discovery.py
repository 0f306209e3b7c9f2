"""Alleles that reads propose."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.candidates.discovery import MAX_DELETION
from diffbio_core.windows.encoding import BASES
from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.projection import MIN_CERTAIN_QUALITY
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, pack, write_bam
from tests.random_reads import random_reads, random_reference

GRIDS = (WindowGrid(256, 192, 3), WindowGrid(512, 256, 2), WindowGrid(1024, 512, 8))


def alleles(planes):
    """Candidates as (0-based position, length, new or inserted bases, reads that show an indel)."""
    table, grid = planes.candidates, planes.grid
    found = []
    for index in range(len(table)):
        window = planes.shard.first_window + int(table.window[index])
        position = window * grid.reference_length + int(table.column[index]) - grid.halo
        bases = table.sequence[table.sequence_start[index] : table.sequence_start[index + 1]]
        shown = BASES[table.code[index]] if table.length[index] == 0 else "".join(BASES[code] for code in bases)
        supports = int(table.support_start[index + 1] - table.support_start[index])
        found.append((position, int(table.length[index]), shown, supports))
    return found


@pytest.fixture
def candidates_of(tmp_path):
    """Candidates of reads on a contig."""

    def make(reference, *reads, grid=GRIDS[1]):
        bam = write_bam(tmp_path / "reads.bam", reads, {"c1": len(reference)})
        with AlignmentReader(bam) as reader:
            return [allele for planes in pack(reader, reference, grid) for allele in alleles(planes)]

    return make


UNIQUE = "".join(np.random.default_rng(5).choice(list("ACGT"), 600))


def reads_of(reference, start, parts, copies=3, **fields):
    """Equal reads under several names, of parts such as (10, "M") or (2, "I", "GG")."""
    cigar, sequence, at = "", "", start
    for run, kind, *bases in parts:
        cigar += f"{run}{kind}"
        if kind == "M":
            sequence += bases[0] if bases else reference[at : at + run].replace("N", "A")
        elif bases:
            sequence += bases[0]
        at += run if kind in "MDN" else 0
    return [Sam(start, cigar, sequence, name=f"{start}.{cigar}.{copy}", **fields) for copy in range(copies)]


def other(base):
    return "ACGT"["ACGT".index(base) - 1]


def test_a_changed_base_is_a_candidate(candidates_of):
    new = other(UNIQUE[110])
    assert candidates_of(UNIQUE, *reads_of(UNIQUE, 100, [(10, "M"), (1, "M", new), (10, "M")])) == [(110, 0, new, 0)]


def test_one_read_is_not_enough_but_for_a_long_indel(candidates_of):
    def read(deleted):
        parts = [(10, "M"), (1, "M", other(UNIQUE[110])), (5, "M"), (deleted, "D"), (9, "M")]
        return reads_of(UNIQUE, 100, parts, copies=1)

    assert candidates_of(UNIQUE, *read(1)) == []
    assert [candidate[:2] for candidate in candidates_of(UNIQUE, *read(2))] == [(115, -2)]


def test_less_than_a_twentieth_of_the_reads_is_not_enough(candidates_of):
    many = reads_of(UNIQUE, 100, [(30, "M")], copies=58)
    new = other(UNIQUE[110])
    changed = [(10, "M"), (1, "M", new), (19, "M")]
    assert candidates_of(UNIQUE, *many, *reads_of(UNIQUE, 100, changed, copies=2)) == []
    assert candidates_of(UNIQUE, *many, *reads_of(UNIQUE, 100, changed, copies=4)) == [(110, 0, new, 0)]


def test_bases_of_low_quality_and_reads_that_map_badly_propose_nothing(candidates_of):
    new = other(UNIQUE[110])
    changed = [(10, "M"), (1, "M", new), (10, "M"), (2, "D"), (10, "M")]
    assert candidates_of(UNIQUE, *reads_of(UNIQUE, 100, changed, mapping_quality=4)) == []
    worse = reads_of(UNIQUE, 100, changed, quality="I" * 10 + "," + "I" * 20)
    assert [length for _, length, _, _ in candidates_of(UNIQUE, *worse)] == [-2]


def test_a_base_that_is_n_and_a_reference_that_is_n_propose_nothing(candidates_of):
    reference = UNIQUE[:105] + "NR" + UNIQUE[107:]
    reads = reads_of(UNIQUE, 100, [(10, "M"), (1, "M", "N"), (10, "M")])
    assert candidates_of(reference, *reads) == []


def test_an_insertion_is_listed_with_its_bases_at_the_base_before_it(candidates_of):
    bases = "CA" + other(UNIQUE[109])
    reads = reads_of(UNIQUE, 100, [(10, "M"), (3, "I", bases), (10, "M")])
    assert candidates_of(UNIQUE, *reads) == [(109, 3, bases, 3)]


def test_indels_written_at_any_place_of_a_repeat_are_one_candidate_at_its_left(candidates_of):
    reference = UNIQUE[:100] + "G" + "T" * 12 + "G" + UNIQUE[114:]
    shifted = [
        read
        for place in (3, 7, 12)
        for read in reads_of(reference, 90, [(11 + place - 2, "M"), (2, "D"), (40, "M")], copies=1)
    ]
    assert candidates_of(reference, *shifted) == [(100, -2, "", 3)]
    inserted = [
        read
        for place in (0, 5, 12)
        for read in reads_of(reference, 90, [(11 + place, "M"), (2, "I", "TT"), (40, "M")], copies=1)
    ]
    assert candidates_of(reference, *inserted) == [(100, 2, "TT", 3)]


def test_a_shifted_insertion_is_turned_with_its_repeat(candidates_of):
    reference = UNIQUE[:100] + "G" + "ACACACAC" + "G" + UNIQUE[110:]
    reads = reads_of(reference, 90, [(14, "M"), (2, "I", "CA"), (30, "M")])
    wanted = [(100, 2, "AC", 3)]
    assert reference[104:106] == "CA"
    assert candidates_of(reference, *reads) == wanted


def test_a_changed_base_stops_the_shift(candidates_of):
    reference = UNIQUE[:100] + "G" + "T" * 12 + "G" + UNIQUE[114:]
    reads = reads_of(reference, 90, [(14, "M"), (1, "M", "C"), (4, "M"), (2, "D"), (40, "M")])
    assert candidates_of(reference, *reads) == [(104, -2, "", 3), (104, 0, "C", 0)]


def with_poor_t(quality, cigar, sequence, copies=3):
    """Equal reads of a homopolymer, all of whose T have some quality and the other bases a good one."""
    phred = "".join(chr(33 + (quality if base == "T" else 35)) for base in sequence)
    return [Sam(80, cigar, sequence, phred, name=f"poor{copy}") for copy in range(copies)]


HOMOPOLYMER = UNIQUE[:99] + "C" + "A" * 20 + "G" + UNIQUE[121:300]


@pytest.mark.parametrize("quality", [MIN_CERTAIN_QUALITY - 1, MIN_CERTAIN_QUALITY])
@pytest.mark.parametrize("wrong", [0, 7, 20])
def test_a_base_that_the_aligner_took_for_the_inserted_one_is_an_error_if_poor_and_else_a_change(
    candidates_of, wrong, quality
):
    run = "A" * wrong + "T" + "A" * (20 - wrong)  # the last of them stands behind the repeat
    sequence = HOMOPOLYMER[80:100] + run + HOMOPOLYMER[120:160]
    placed = with_poor_t(quality, f"{20 + wrong}M1I{60 - wrong}M", sequence)
    pure = reads_of(HOMOPOLYMER, 60, [(40, "M"), (1, "I", "A"), (60, "M")], copies=2)
    found = candidates_of(HOMOPOLYMER, *placed, *pure)
    if wrong == 0 and quality == MIN_CERTAIN_QUALITY:
        # Nothing of the repeat stands before it: it may as well have been inserted.
        assert [allele for allele in found if allele[1]] == [(99, 1, "A", 2), (99, 1, "T", 3)]
        return
    assert [allele for allele in found if allele[1]] == [(99, 1, "A", 5)]
    changed = {allele[0] for allele in found if allele[1:3] == (0, "T")}
    assert (99 + wrong in changed) == (quality == MIN_CERTAIN_QUALITY)


@pytest.mark.parametrize(("quality", "supports"), [(MIN_CERTAIN_QUALITY - 1, 5), (MIN_CERTAIN_QUALITY, 2)])
@pytest.mark.parametrize("length", [1, -1])
def test_a_poor_base_on_the_way_does_not_keep_an_indel_from_its_place(candidates_of, length, quality, supports):
    change = (1, "I", "A") if length > 0 else (1, "D")
    sequence = (
        HOMOPOLYMER[80:100] + "AAATAAAAAA" + ("A" if length > 0 else "") + HOMOPOLYMER[110 - min(length, 0) : 160]
    )
    placed = with_poor_t(quality, f"30M1{'I' if length > 0 else 'D'}{50 + min(length, 0)}M", sequence)
    pure = reads_of(HOMOPOLYMER, 60, [(40, "M"), change, (60, "M")], copies=2)
    found = [allele[:2] + allele[3:] for allele in candidates_of(HOMOPOLYMER, *placed, *pure) if allele[1] == length]
    assert (99, length, supports) in found


def test_a_poor_base_between_bases_that_do_not_repeat_is_an_insertion_of_its_own(candidates_of):
    sequence = UNIQUE[60:100] + other(UNIQUE[100]) + UNIQUE[100:160]
    placed = [Sam(60, "40M1I60M", sequence, "+" * 101, name=str(copy)) for copy in range(3)]
    (found,) = candidates_of(UNIQUE, *placed)
    assert found[1:3] == (1, other(UNIQUE[100]))


def test_an_indel_against_another_one_stays_where_it_is(candidates_of):
    reference = UNIQUE[:100] + "G" + "T" * 12 + "G" + UNIQUE[114:]
    reads = reads_of(reference, 90, [(16, "M"), (2, "I", "CC"), (3, "D"), (40, "M")])
    assert candidates_of(reference, *reads) == [(105, -3, "", 3), (105, 2, "CC", 3)]


def test_a_deletion_at_the_longest_is_proposed_and_a_longer_one_is_not(candidates_of):
    def deletion(run):
        return candidates_of(UNIQUE, *reads_of(UNIQUE, 100, [(30, "M"), (run, "D"), (30, "M")]))

    assert [allele[1] for allele in deletion(MAX_DELETION)] == [-MAX_DELETION]
    assert deletion(MAX_DELETION + 1) == []


def test_a_long_insertion_keeps_all_its_bases(candidates_of):
    bases = "".join(np.random.default_rng(6).choice(list("ACGT"), 300))
    ((_, length, shown, supports),) = candidates_of(
        UNIQUE, *reads_of(UNIQUE, 100, [(30, "M"), (300, "I", bases), (30, "M")])
    )
    assert (length, len(shown), supports) == (300, 300, 3)
    assert Counter(shown) == Counter(bases)


def test_a_deletion_that_passes_the_contigs_end_is_not_proposed(candidates_of):
    assert candidates_of(UNIQUE, *reads_of(UNIQUE, 550, [(45, "M"), (6, "D"), (5, "M", "ACGTA")])) == []


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_candidates_do_not_depend_on_the_windows_or_on_the_region(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    reference = random_reference(random, 2500)
    reads = random_reads(random, reference, 60)
    reads += [read for read in reads for _ in range(2)]
    bam = write_bam(tmp_path_factory.mktemp("law") / "reads.bam", reads, {"c1": 2500})
    with AlignmentReader(bam) as reader:
        first, *more = (
            [allele for planes in pack(reader, reference, grid) for allele in alleles(planes)] for grid in GRIDS
        )
        assert sum(length != 0 for _, length, _, _ in first) > 10
        assert all(found == first for found in more)
        start = int(random.integers(0, 2400))
        for planes in pack(reader, reference, GRIDS[0], (start, start + 300)):
            low, high = GRIDS[0].core(planes.shard, 2500)
            assert alleles(planes) == [allele for allele in first if low <= allele[0] < high]
