"""Reads clipped at long insertions and deletions are aligned through them, and no others."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.reads.realignment import LONGEST, SHORTEST
from diffbio_core.reads.thinning import Interval, scan_pieces, scan_records
from diffbio_core.simulation.sequence import decode_bases, encode_bases
from diffbio_core.windows.grid import WindowGrid
from diffbio_core.windows.packing import pack_shard, shard_interval
from diffbio_io.alignments.reader import AlignmentReader
from tests.alignments import Sam, cigar_length, record_bytes, write_bam

LENGTH, AT = 3000, 1500
REFERENCE = "".join(np.random.default_rng(8).choice(list("ACGT"), LENGTH))
INSERTED = "".join(np.random.default_rng(9).choice(list("ACGT"), 40))
INTERVAL = Interval(0, 0, LENGTH, 0, LENGTH)


def codes(interval=INTERVAL, reference=REFERENCE):
    start, stop = interval.scanned
    padded = "N" * max(-start, 0) + reference[max(start, 0) : stop] + "N" * max(stop - len(reference), 0)
    return encode_bases(padded)


def clipped(haplotype, starts, length, before, deleted=0, *, keep=25, **more):
    """Reads of a haplotype that differs from the reference behind so many bases, clipped where it does.

    Those are clipped that have no more than `keep` bases behind the change; the others are clipped before it.
    """
    reads = []
    change = len(haplotype) - (LENGTH - deleted)
    for number, start in enumerate(starts):
        bases = haplotype[start : start + length]
        left = before - start
        name = f"r{start}.{number}"
        if left >= length - left - max(change, 0):
            reads.append(Sam(start, f"{left}M{length - left}S", bases, name=name, **more))
        else:
            right = length - left - max(change, 0)
            reads.append(Sam(before + deleted, f"{length - right}S{right}M", bases, name=name, **more))
    return reads


def alignments(reads, *, interval=INTERVAL, reference=REFERENCE, tmp_path):
    """Start and CIGAR of each read by name, as it is used."""
    raw = record_bytes(write_bam(tmp_path / "reads.bam", reads, {"c1": len(reference)}))
    return used(scan_records(raw, interval, codes(interval, reference)))


def used(found):
    kinds, result = "MIDNSHP=X", {}
    for offset, end in zip(found.offset.tolist(), found.end.tolist(), strict=True):
        raw = found.raw
        name_length, operations = int(raw[offset + 8]), int(raw[offset + 12 : offset + 14].view(np.uint16)[0])
        name = raw[offset + 32 : offset + 31 + name_length].tobytes().decode()
        at = offset + 32 + name_length
        cigar = raw[at : at + 4 * operations].copy().view(np.uint32)
        position = int(raw[offset + 4 : offset + 8].copy().view(np.int32)[0])
        text = "".join(f"{value >> 4}{kinds[value & 15]}" for value in cigar.tolist())
        assert end == position + cigar_length(text, "MDN=X")
        result[name] = position, text
    return result


INSERTION = REFERENCE[: AT + 1] + INSERTED + REFERENCE[AT + 1 :]
DELETION = REFERENCE[: AT + 1] + REFERENCE[AT + 51 :]


def test_reads_that_end_behind_a_long_insertion_show_it(tmp_path):
    found = alignments(clipped(INSERTION, range(1410, 1440, 5), 150, AT + 1), tmp_path=tmp_path)
    assert len(found) == 6
    for name, (start, cigar) in found.items():
        before = AT + 1 - start
        assert cigar == f"{before}M40I{110 - before}M"
        assert name.startswith(f"r{start}.")


def test_reads_that_begin_before_a_long_insertion_show_it_and_start_there(tmp_path):
    found = alignments(clipped(INSERTION, range(1470, 1490, 5), 150, AT + 1), tmp_path=tmp_path)
    assert sorted(found.values()) == [(start, f"{AT + 1 - start}M40I{150 - 40 - AT - 1 + start}M") for start in
                                      range(1470, 1490, 5)]  # fmt: skip


def test_reads_over_a_long_deletion_show_it_from_either_side(tmp_path):
    found = alignments(clipped(DELETION, range(1370, 1490, 10), 150, AT + 1, 50), tmp_path=tmp_path)
    assert sorted(found.values()) == [(start, f"{AT + 1 - start}M50D{150 - AT - 1 + start}M") for start in
                                      range(1370, 1490, 10)]  # fmt: skip


def test_an_indel_that_one_read_shows_changes_no_read(tmp_path):
    (read,) = alignments(clipped(INSERTION, [1410], 150, AT + 1), tmp_path=tmp_path).values()
    assert read == (1410, "91M59S")


def test_what_reads_are_aligned_with_proposes_it_to_those_that_are_clipped(tmp_path):
    aligned = [
        Sam(start, f"{AT + 1 - start}M40I{110 - AT - 1 + start}M", INSERTION[start : start + 150], name=f"a{start}")
        for start in (1440, 1445)
    ]
    # Too few bases behind the insertion to propose it.
    (short,) = clipped(INSERTION, [AT + 1 - 104], 150, AT + 1)
    assert short.cigar == "104M46S"
    found = alignments([*aligned, short], tmp_path=tmp_path)
    assert found[short.name] == (AT + 1 - 104, "104M40I6M")


def test_of_a_tandem_duplication_reads_need_not_reach_its_second_end(tmp_path):
    unit = REFERENCE[AT + 1 : AT + 25]
    duplicated = REFERENCE[: AT + 1] + unit + REFERENCE[AT + 1 :]
    # An aligner takes the first copy for the reference's and clips where the second begins, or ends.
    left = [
        Sam(start, f"{AT + 25 - start}M{100 - AT - 25 + start}S", duplicated[start : start + 100], name=f"l{start}")
        for start in (AT - 59, AT - 57)
    ]
    right = [
        Sam(AT + 1, f"{AT + 25 - start}S{75 - AT + start}M", duplicated[start : start + 100], name=f"r{start}")
        for start in (AT + 10, AT + 11)
    ]
    assert [read.cigar for read in [*left, *right]] == ["84M16S", "82M18S", "15S85M", "14S86M"]
    whole = [(AT - 40, f"{AT + 25 + 40 - AT}M{35}S")]
    through = [Sam(start, cigar, duplicated[start : start + 100], name="whole") for start, cigar in whole]
    found = alignments([*left, *right, *through], tmp_path=tmp_path)
    # As far left as it goes: the base before the copies is that which they end with.
    assert REFERENCE[AT] == unit[-1]
    assert found["whole"] == (AT - 40, "40M24I36M")


def test_inserted_bases_are_spelled_as_most_reads_spell_them(tmp_path):
    reads = clipped(INSERTION, range(1410, 1440, 5), 150, AT + 1)
    wrong = AT + 1 + 20 - reads[0].start
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}[reads[0].sequence[wrong]]
    changed = reads[0].sequence[:wrong] + other + reads[0].sequence[wrong + 1 :]
    for quality, number in (("(", 1), ("I", 2)):
        qualities = "I" * wrong + quality + "I" * (149 - wrong)
        found = insertions([replace(reads[0], sequence=changed, quality=qualities), *reads[1:]], tmp_path)
        assert len(found) == number
        assert found[INSERTED] == len(reads) - (number == 2)


def test_two_insertions_of_one_length_are_kept_apart(tmp_path):
    other = INSERTED[:20] + {"A": "C", "C": "G", "G": "T", "T": "A"}[INSERTED[20]] + INSERTED[21:]
    reads = [
        *clipped(INSERTION, range(1410, 1440, 5), 150, AT + 1),
        *clipped(REFERENCE[: AT + 1] + other + REFERENCE[AT + 1 :], range(1411, 1440, 5), 150, AT + 1),
    ]
    assert insertions(reads, tmp_path) == {INSERTED: 6, other: 6}


def test_bases_written_as_those_of_the_reference_are(tmp_path):
    reads = clipped(INSERTION, range(1410, 1490, 5), 150, AT + 1)
    written = []
    for read in reads:
        clip = re.match(r"(\d+)S", read.cigar)
        start, length = (int(clip[1]) if clip else 0), cigar_length(read.cigar, "M")
        equal = read.sequence[:start] + "=" * length + read.sequence[start + length :]
        written.append(replace(read, sequence=equal))
    assert alignments(written, tmp_path=tmp_path) == alignments(reads, tmp_path=tmp_path)
    assert insertions(written, tmp_path) == insertions(reads, tmp_path) == {INSERTED: len(reads)}


def test_tails_of_one_base_fit_nowhere(tmp_path):
    reference = REFERENCE[: AT + 40] + "A" * 18 + REFERENCE[AT + 58 :]
    reads = [
        Sam(start, f"{AT - start}M16S", reference[start:AT] + "A" * 16, name=f"r{start}")
        for start in range(AT - 90, AT - 60, 3)
    ]
    found = alignments(reads, reference=reference, tmp_path=tmp_path)
    assert all(found[read.name] == (read.start, read.cigar) for read in reads)


def test_ends_that_are_clipped_though_they_fit_stay_where_they_are(tmp_path):
    reference = REFERENCE[:AT] + "AAAT" * 30 + REFERENCE[AT + 120 :]
    reads = [
        Sam(start, "60M40S", reference[start : start + 100], name=f"r{start}") for start in range(AT - 20, AT + 20, 2)
    ]
    found = alignments(reads, reference=reference, tmp_path=tmp_path)
    assert all(found[read.name] == (read.start, "60M40S") for read in reads)


def insertions(reads, tmp_path):
    """Inserted bases of a shard's candidates, and how many reads show each."""
    raw = record_bytes(write_bam(tmp_path / "reads.bam", reads, {"c1": LENGTH}))
    grid = WindowGrid(4096, 256, 1)
    (shard,) = grid.shards("c1", LENGTH, [(0, LENGTH)])
    interval = shard_interval(shard, grid, LENGTH, 0)
    here = codes(interval)
    table = pack_shard(scan_records(raw, interval, here), interval.under(here), shard, grid, LENGTH).candidates
    support = np.diff(table.support_start)
    return {
        decode_bases(table.sequence[slice(*table.sequence_start[place : place + 2])]): int(support[place])
        for place in np.flatnonzero(table.length > 0)
    }


def test_reads_that_fit_the_reference_stay_as_they_are(tmp_path):
    plain = [Sam(start, "150M", REFERENCE[start : start + 150], name=f"p{start}") for start in range(1360, 1500, 7)]
    found = alignments([*plain, *clipped(INSERTION, range(1410, 1440, 5), 150, AT + 1)], tmp_path=tmp_path)
    assert [found[read.name] for read in plain] == [(read.start, "150M") for read in plain]


def test_clips_that_fit_nowhere_stay(tmp_path):
    random = np.random.default_rng(10)
    starts = (1400, 1400, 1400)
    strange = ["".join(random.choice(list("ACGT"), 50)) for _ in starts]
    reads = [Sam(1400, "100M50S", REFERENCE[1400:1500] + clip, name=clip) for clip in strange]
    assert set(alignments(reads, tmp_path=tmp_path).values()) == {(1400, "100M50S")}


def test_adapters_stay_clipped(tmp_path):
    reads = clipped(INSERTION, range(1412, 1440, 5), 150, AT + 1)
    (read,) = clipped(INSERTION, [1420], 150, AT + 1)
    adapted = Sam(1420, "81M82S", read.sequence + "AGATCGGAAGAGC", name="adapted")
    assert alignments([*reads, adapted], tmp_path=tmp_path)["adapted"] == (1420, "81M40I29M13S")


def test_mates_that_overlap_are_joined_once_both_show_the_indel(tmp_path):
    other = clipped(INSERTION, range(1412, 1440, 5), 150, AT + 1)
    first = Sam(1400, "101M49S", INSERTION[1400:1550], name="pair", flag=0x43, mate=1450)
    second = Sam(1450, "51M99S", INSERTION[1450:1600], name="pair", flag=0x83, mate=1400)
    raw = record_bytes(write_bam(tmp_path / "reads.bam", [*other, first, second], {"c1": LENGTH}))
    found = scan_records(raw, INTERVAL, codes())
    starts = sorted(zip(found.start.tolist(), found.end.tolist(), found.mate.tolist(), strict=True))
    (joined,) = [entry for entry in starts if entry[2] >= 0]
    assert joined[:2] == (1400, 1400 + 110)
    # The second takes over where the first ends, and ends 10 + 40 bases further.
    assert (1510, 1560, -1) in starts


def test_reads_are_counted_where_the_file_has_them(tmp_path):
    reads = clipped(INSERTION, range(1470, 1490, 5), 150, AT + 1)
    raw = record_bytes(write_bam(tmp_path / "reads.bam", reads, {"c1": LENGTH}))
    halves = [Interval(0, 0, LENGTH, 0, AT), Interval(0, 0, LENGTH, AT, LENGTH)]
    counts = [scan_records(raw, half, codes(half)).counts[0] for half in halves]
    assert counts == [0, len(reads)]


def test_the_windows_hold_the_insertion_as_a_candidate_of_all_its_reads(tmp_path):
    reads = clipped(INSERTION, range(1410, 1490, 4), 150, AT + 1)
    grid = WindowGrid(1024, 256, 1)
    with AlignmentReader(write_bam(tmp_path / "reads.bam", reads, {"c1": LENGTH})) as reader:
        found = []
        for shard in grid.shards("c1", LENGTH, [(0, LENGTH)]):
            interval = shard_interval(shard, grid, LENGTH, 0)
            here = codes(interval)
            planes = pack_shard(reader.read(interval, here), interval.under(here), shard, grid, LENGTH)
            origin = shard.first_window * grid.reference_length - grid.halo
            table = planes.candidates
            number = np.diff(table.support_start)
            found += [
                (int(c) + origin, int(n), int(s)) for c, n, s in zip(table.column, table.length, number, strict=True)
            ]
    ((position, length, support),) = [entry for entry in found if entry[1] > 0]
    assert (position, length) == (AT, 40)
    assert support >= 18


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_aligned_anew_spells_its_bases_and_fits_better(tmp_path_factory, data):
    length = data.draw(st.integers(SHORTEST, 60), "length")
    insertion = data.draw(st.booleans(), "insertion")
    at = data.draw(st.integers(1400, 1600), "at")
    seed = data.draw(st.integers(0, 1000), "seed")
    random = np.random.default_rng(seed)
    new = "".join(random.choice(list("ACGT"), length)) if insertion else ""
    deleted = 0 if insertion else length
    haplotype = REFERENCE[: at + 1] + new + REFERENCE[at + 1 + deleted :]
    starts = sorted(random.integers(at - 140, at - 5, 12).tolist())
    reads = {read.name: read for read in clipped(haplotype, starts, 150, at + 1, deleted)}
    found = alignments(reads.values(), tmp_path=tmp_path_factory.mktemp("reads"))
    assert set(found) == set(reads)
    for name, (start, cigar) in found.items():
        read = reads[name]
        assert cigar_length(cigar, "MIS") == 150
        assert agreeing(start, cigar, read.sequence) >= agreeing(read.start, read.cigar, read.sequence)
        lengths = [int(run) * (1 if kind == "I" else -1) for run, kind in re.findall(r"(\d+)([ID])", cigar)]
        assert lengths in ([], [length if insertion else -length])


def agreeing(start, cigar, sequence):
    """Aligned bases that agree with the reference, less four for each that does not."""
    score, query, column = 0, 0, start
    for run, kind in re.findall(r"(\d+)(\D)", cigar):
        for step in range(int(run)) if kind == "M" else ():
            score += 1 if sequence[query + step] == REFERENCE[column + step] else -4
        query += int(run) * (kind in "MIS")
        column += int(run) * (kind in "MD")
    return score


@pytest.mark.parametrize("cut", range(1380, 1680, 29))
def test_reads_are_aligned_alike_whichever_interval_they_are_wanted_in(tmp_path, cut):
    reads = clipped(DELETION, range(1365, 1495, 6), 150, AT + 1, 50)
    whole = alignments(reads, tmp_path=tmp_path)
    raw = record_bytes(tmp_path / "reads.bam")
    for low, high in pairwise((0, cut, LENGTH)):
        interval = Interval(0, low, high, low, high)
        part = used(scan_records(raw, interval, codes(interval)))
        assert part
        assert all(whole[name] == found for name, found in part.items())


def test_reads_that_come_in_pieces_are_aligned_alike(tmp_path):
    reads = clipped(INSERTION, range(1410, 1490, 4), 150, AT + 1)
    raw = record_bytes(write_bam(tmp_path / "reads.bam", reads, {"c1": LENGTH}))
    sizes = raw[:4].view(np.int32)[0] + 4
    pieces = [raw[:sizes], raw[sizes:]]
    assert used(scan_pieces(lambda: pieces, INTERVAL, codes())) == used(scan_records(raw, INTERVAL, codes()))


def test_a_gap_longer_than_the_longest_is_left_alone(tmp_path):
    haplotype = REFERENCE[: AT + 1] + REFERENCE[AT + 2 + LONGEST :]
    found = alignments(clipped(haplotype, range(1370, 1490, 10), 150, AT + 1, LONGEST + 1), tmp_path=tmp_path)
    assert not any("D" in cigar for _, cigar in found.values())
