"""Reads clipped at long insertions and deletions are aligned through them, and no others."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffbio_core.reads.long_indels import LONGEST, SHORTEST
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


def bases(seed, number):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), number))


def test_insertions_close_together_are_spelled_in_one_way_by_all_reads(tmp_path):
    first, second, third = "GG", "CC", bases(20, 21)
    change = first + REFERENCE[AT + 1 : AT + 4] + second + REFERENCE[AT + 4 : AT + 6] + third
    haplotype = REFERENCE[: AT + 1] + change + REFERENCE[AT + 6 :]
    aligned = [
        Sam(
            start,
            f"{AT + 1 - start}M2I3M2I2M21I{AT + 1 - start}M",
            haplotype[start : 2 * AT + 32 - start],
            name=f"a{start}",
        )
        for start in (1440, 1450)
    ]
    cut = [
        Sam(start, f"{AT + 1 - start}M{149 - AT + start}S", haplotype[start : start + 150], name=f"l{start}")
        for start in (1400, 1410, 1420)
    ] + [
        Sam(AT + 6, f"{AT + 31 - start}S{119 - AT + start}M", haplotype[start : start + 150], name=f"r{start}")
        for start in (1470, 1480)
    ]  # fmt: skip
    found = alignments([*aligned, *cut], tmp_path=tmp_path)
    for read in [*aligned, *cut]:
        start = int(read.name[1:])
        before = AT + 1 - start
        assert found[read.name] == (start, f"{before}M2I3M2I2M21I{len(read.sequence) - before - 30}M")


TWO_AT = 1499  # where the deletion cannot stand further left
DELETED_AND_INSERTED = (
    REFERENCE[: TWO_AT + 1] + REFERENCE[TWO_AT + 13 : TWO_AT + 53] + bases(21, 15) + REFERENCE[TWO_AT + 53 :]
)


def through_both(start, length=150):
    """Alignment of a read of a haplotype without 12 bases and, 40 bp on, with 15 more."""
    before = TWO_AT + 1 - start
    return start, f"{before}M12D40M15I{length - before - 55}M"


def test_reads_clipped_at_both_of_two_indels_are_aligned_through_both(tmp_path):
    haplotype = DELETED_AND_INSERTED
    reads = [
        Sam(
            TWO_AT + 13,
            f"{TWO_AT + 1 - start}S40M{109 - TWO_AT + start}S",
            haplotype[start : start + 150],
            name=f"b{start}",
        )
        for start in (1440, 1445, 1450)
    ]
    found = alignments(reads, tmp_path=tmp_path)
    assert found == {read.name: through_both(int(read.name[1:])) for read in reads}


def test_reads_clipped_at_one_indel_are_aligned_through_another_beyond_it(tmp_path):
    haplotype = DELETED_AND_INSERTED
    left = [
        Sam(start, f"{TWO_AT + 1 - start}M{149 - TWO_AT + start}S", haplotype[start : start + 150], name=f"l{start}")
        for start in (1420, 1425)
    ]
    right = [
        Sam(
            TWO_AT + 53,
            f"{TWO_AT + 56 - start}S{94 - TWO_AT + start}M",
            haplotype[start : start + 150],
            name=f"r{start}",
        )
        for start in (1475, 1480)
    ]
    for reads in (left, right, left + right):
        found = alignments(reads, tmp_path=tmp_path)
        assert found == {read.name: through_both(int(read.name[1:])) for read in reads}


def test_reads_that_go_through_one_indel_are_aligned_through_another(tmp_path):
    haplotype = DELETED_AND_INSERTED
    reads = [
        Sam(
            start,
            f"{TWO_AT + 1 - start}M12D40M{109 - TWO_AT + start}S",
            haplotype[start : start + 150],
            name=f"l{start}",
        )
        for start in (1420, 1425)
    ]
    found = alignments(reads, tmp_path=tmp_path)
    assert found == {read.name: through_both(int(read.name[1:])) for read in reads}


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


def used_spans(reads, tmp_path):
    """First and last position that each read is used from and to, and whether it is joined with its mate, in order."""
    raw = record_bytes(write_bam(tmp_path / "reads.bam", reads, {"c1": LENGTH}))
    found = scan_records(raw, INTERVAL, codes())
    return sorted(zip(found.start.tolist(), found.end.tolist(), (found.mate >= 0).tolist(), strict=True))


def test_mates_that_overlap_only_once_they_are_aligned_anew_count_once(tmp_path):
    others = clipped(DELETION, range(1372, 1490, 10), 150, AT + 1, 50)
    first = Sam(1371, "130M20S", DELETION[1371:1521], name="pair", flag=0x63, mate=1551)
    second = Sam(1551, "5S145M", DELETION[1496:1646], name="pair", flag=0x93, mate=1371)
    spans = used_spans([*others, first, second], tmp_path)
    assert (1371, 1571, True) in spans
    assert (1571, 1696, False) in spans
    assert not any(span[0] == 1496 for span in spans)


def test_of_mates_the_one_that_starts_first_once_aligned_anew_is_used_first(tmp_path):
    others = clipped(INSERTION, range(1412, 1440, 5), 150, AT + 1)
    late = Sam(1501, "51S99M", INSERTION[1490:1640], name="pair", flag=0x63, mate=1501)
    early = Sam(1501, "61S89M", INSERTION[1480:1630], name="pair", flag=0x93, mate=1501)
    for pair in ([late, early], [early, late]):
        spans = used_spans([*others, *pair], tmp_path)
        assert (1480, 1590, True) in spans
        assert (1590, 1600, False) in spans
        assert not any(span[0] == 1490 for span in spans)


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


def score(start, cigar, sequence, reference):
    """What no alignment has less of than before; inserted bases count as matches."""
    total, query, column = 0, 0, start
    for run, kind in ((int(run), kind) for run, kind in re.findall(r"(\d+)(\D)", cigar)):
        if kind == "M":
            pairs = zip(sequence[query : query + run], reference[column : column + run].ljust(run, "N"), strict=True)
            total += sum(1 if base == other else -4 for base, other in pairs)
        elif kind in "ID":
            total += (run if kind == "I" else 0) - 5
        query += run * (kind in "MIS")
        column += run * (kind in "MD")
    return total


@st.composite
def shuffled_haplotypes(draw):
    """A reference with repeats, and reads of two haplotypes with several changes, as a poor aligner writes them."""
    random = np.random.default_rng(draw(st.integers(0, 10**6), "seed"))
    unit = "".join(random.choice(list("ACGT"), int(random.integers(1, 9))))
    middle = unit * int(random.integers(0, 8))
    reference = REFERENCE[:300] + middle + REFERENCE[300 : 900 - len(middle)]
    reads = []
    for _ in range(2):
        # Columns by base, None for an inserted one.
        columns: list[int | None] = list(range(len(reference)))
        spelled = list(reference)
        for at in sorted(random.integers(4, 896, int(random.integers(1, 6))).tolist(), reverse=True):
            near = int(np.clip(at if random.random() < 0.3 else 300 + at % 60, 4, 896))
            size = int(random.integers(1, 45))
            kind = random.integers(3)
            if kind == 0:
                spelled[near:near] = random.choice(list("ACGT"), size)
                columns[near:near] = [None] * size
            elif kind == 1:
                del spelled[near : near + size], columns[near : near + size]
            else:
                spelled[min(near, len(spelled) - 1)] = str(random.choice(list("ACGT")))
        for _ in range(int(random.integers(2, 14))):
            length = int(random.integers(40, 151))
            start = int(random.integers(0, max(len(spelled) - length, 1)))
            read = _as_aligned(spelled[start : start + length], columns[start : start + length], random)
            if read:
                reads.append((*read, "".join(random.choice(list("(I"), len(spelled[start : start + length])))))
    reads = sorted(reads)
    return reference, [
        Sam(start, cigar, sequence, quality, name=f"n{number}")
        for number, (start, cigar, sequence, quality) in enumerate(reads)
    ]  # fmt: skip


def _as_aligned(spelled, columns, random):
    """Where a read starts, its CIGAR and bases: clipped somewhere, often, before or behind one of its gaps."""
    known = [place for place, column in enumerate(columns) if column is not None]
    if not known:
        return None
    low, high = known[0], known[-1] + 1
    gaps = [b for a, b in pairwise(known) if b - a > 1 or columns[b] - columns[a] > 1]
    if gaps and random.random() < 0.6:
        cut = int(random.choice(gaps))
        low, high = (cut, high) if random.random() < 0.5 else (low, max(each for each in known if each < cut) + 1)
    text, last = "S" * low, None
    for place in range(low, high):
        if columns[place] is None:
            text += "I"
            continue
        text += "D" * (columns[place] - last - 1 if last is not None else 0) + "M"
        last = columns[place]
    text += "S" * (len(spelled) - high)
    cigar = "".join(f"{len(run[0])}{run[1]}" for run in re.findall(r"((.)\2*)", text))
    return columns[low], cigar, "".join(spelled)


@settings(max_examples=150, deadline=None)
@given(shuffled_haplotypes(), st.integers(1, 599))
def test_no_alignment_gets_worse_and_none_depends_on_what_else_is_asked_for(tmp_path_factory, drawn, cut):
    reference, reads = drawn
    folder = tmp_path_factory.mktemp("reads")
    whole = Interval(0, 0, len(reference), 0, len(reference))
    found = alignments(reads, interval=whole, reference=reference, tmp_path=folder)
    assert set(found) == {read.name for read in reads}
    for read in reads:
        start, cigar = found[read.name]
        assert cigar_length(cigar, "MIS") == len(read.sequence)
        assert start >= 0
        assert start + cigar_length(cigar, "MD") <= len(reference)
        assert score(start, cigar, read.sequence, reference) >= score(read.start, read.cigar, read.sequence, reference)
    # Of equal position in another order.
    other = sorted(reversed(reads), key=lambda read: read.start)
    assert alignments(other, interval=whole, reference=reference, tmp_path=folder) == found
    scanned = scan_records(record_bytes(folder / "reads.bam"), whole, codes(whole, reference))
    assert (np.diff(scanned.start) >= 0).all()
    for low, high in ((0, cut), (cut, len(reference))):
        part = Interval(0, low, high, low, high)
        here = alignments(reads, interval=part, reference=reference, tmp_path=folder)
        assert here.items() <= found.items()


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


def test_records_that_change_are_written_behind_the_others_where_there_is_room(tmp_path):
    reads = clipped(INSERTION, range(1410, 1440, 5), 150, AT + 1)
    raw = record_bytes(write_bam(tmp_path / "reads.bam", reads, {"c1": LENGTH}))
    before = raw.copy()
    expected = scan_records(raw, INTERVAL, codes())
    for room in (4096, 1):
        memory = np.concatenate([raw, np.empty(room, np.uint8)])
        found = scan_records(memory[: raw.size], INTERVAL, codes(), memory)
        assert np.shares_memory(found.raw, memory) == (room > 1)
        assert np.array_equal(found.raw, expected.raw)
        assert used(found) == used(expected)
        assert np.array_equal(memory[: raw.size], before)


def test_a_gap_longer_than_the_longest_is_left_alone(tmp_path):
    haplotype = REFERENCE[: AT + 1] + REFERENCE[AT + 2 + LONGEST :]
    found = alignments(clipped(haplotype, range(1370, 1490, 10), 150, AT + 1, LONGEST + 1), tmp_path=tmp_path)
    assert not any("D" in cigar for _, cigar in found.values())
