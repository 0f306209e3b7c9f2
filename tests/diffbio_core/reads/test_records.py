"""What becomes of each kind of BAM record."""

import struct

import numpy as np
import pytest

from diffbio_core.reads.records import SET_ASIDE, MalformedRecords, RecordScan
from tests.alignments import Sam, record_bytes, write_bam


@pytest.fixture
def describe(tmp_path):
    """Describes reads on a contig of 10 kb; gives (name of the fate, start, end) of each."""

    def make(*reads, start=0, stop=10_000):
        raw = record_bytes(write_bam(tmp_path / "reads.bam", reads, {"c1": 10_000, "c2": 10_000}))
        return table_of(raw, start, stop)

    return make


def table_of(raw, start=0, stop=10_000):
    table = RecordScan(0, start, stop).describe(raw)
    return [
        (SET_ASIDE[fate], int(low), int(high))
        for fate, low, high in zip(table.fate, table.start, table.end, strict=True)
    ]


def record(name=b"r\0", operations=((10, 0),), length=10, flag=0, position=100, contig=0, extra=0, mate=(-1, -1)):
    """The bytes of a record that samtools would not write."""
    cigar = b"".join(struct.pack("<I", run << 4 | kind) for run, kind in operations)
    bases = b"\x11" * ((max(length, 0) + 1) // 2) + b"\x20" * max(length, 0)
    fixed = struct.pack("<iiBBHHHiiii", contig, position, len(name), 60, 0, len(operations), flag, length, *mate, 0)
    body = fixed + name + cigar + bases
    return np.frombuffer(struct.pack("<i", len(body) + extra) + body, np.uint8)


def fate(**fields):
    ((name, _, _),) = table_of(record(**fields))
    return name


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        (0, "used"),
        (0x10, "used"),
        (0x4, "unmapped"),
        (0x100, "secondary"),
        (0x800, "supplementary"),
        (0x200, "qc_fail"),
        (0x400, "duplicate"),
        (0x4 | 0x400, "unmapped"),
    ],
)
def test_a_flag_sets_a_read_aside(flag, name):
    assert fate(flag=flag) == name


def test_a_mapped_read_without_cigar_is_set_aside():
    assert fate(operations=()) == "no_cigar"


def test_the_stand_in_of_a_long_cigar_is_set_aside():
    assert fate(operations=((10, 4), (500, 3))) == "no_cigar"


def test_a_read_without_sequence_is_set_aside():
    assert fate(length=0) == "no_sequence"


@pytest.mark.parametrize(
    "fields",
    [
        {"operations": ((9, 0),)},
        {"operations": ((10, 0), (1, 9))},
        {"length": -5},
        {"position": -1},
        {"name": b""},
    ],
)
def test_a_record_that_contradicts_itself_is_malformed(fields):
    assert table_of(record(**fields), start=-10)[0][0] == "malformed"


def test_fields_that_pass_the_records_end_are_malformed():
    raw = record().copy()
    raw[4 + 16] = 200
    assert table_of(raw)[0][0] == "malformed"


def test_a_record_of_an_impossible_size_is_refused():
    raw = np.concatenate([record(), np.zeros(40, np.uint8)])
    with pytest.raises(MalformedRecords, match=f"no BAM record can start at byte {record().size} of {raw.size}"):
        table_of(raw)


def test_a_cut_record_at_the_end_is_not_looked_at():
    assert len(table_of(np.concatenate([record(), record()[:-1]]))) == 1


def test_records_of_the_smallest_size_fit_the_table():
    raw = np.concatenate([record(name=b"r\0", operations=(), length=0)] * 1000)
    assert len(table_of(raw)) == 1000


def test_reads_of_other_contigs_and_outside_the_interval_are_not_listed(describe):
    reads = Sam(90, "10M"), Sam(91, "10M"), Sam(199, "10M"), Sam(200, "10M"), Sam(150, "10M", contig="c2")
    assert describe(*reads, start=100, stop=200) == [("used", 91, 101), ("used", 199, 209)]


def test_skips_and_deletions_count_towards_the_end(describe):
    assert describe(Sam(100, "2S5M10N3D2I5M3H")) == [("used", 100, 123)]


def test_the_second_mate_is_used_from_past_the_first(describe):
    mates = Sam(100, "50M", flag=0x41, mate=130), Sam(130, "50M", flag=0x81, mate=100)
    assert describe(*mates) == [("used", 100, 150), ("used", 150, 180)]


def test_a_mate_within_the_other_is_set_aside(describe):
    mates = Sam(100, "50M", flag=0x41, mate=110), Sam(110, "40M", flag=0x81, mate=100)
    assert describe(*mates) == [("used", 100, 150), ("mate_overlap", 150, 150)]


def test_of_mates_with_one_start_the_first_of_the_file_is_used(describe):
    mates = Sam(100, "20M", flag=0x41, mate=100), Sam(100, "50M", flag=0x81, mate=100)
    assert describe(*mates) == [("used", 100, 120), ("used", 120, 150)]


def test_mates_that_only_touch_are_both_whole(describe):
    mates = Sam(100, "30M", flag=0x41, mate=130), Sam(130, "30M", flag=0x81, mate=100)
    assert describe(*mates) == [("used", 100, 130), ("used", 130, 160)]


def test_reads_that_share_a_name_but_not_each_others_positions_are_no_mates(describe):
    reads = (
        Sam(100, "50M", flag=0x41, mate=140),
        Sam(110, "50M", flag=0x41, mate=120),
        Sam(120, "50M", flag=0x81, mate=110),
        Sam(130, "50M"),
        Sam(140, "50M", flag=0x81, mate=100),
    )
    starts = [start for _, start, _ in describe(*reads)]
    assert starts == [100, 110, 160, 130, 150]


def test_the_mate_of_a_read_that_is_set_aside_is_whole(describe):
    mates = Sam(100, "50M", flag=0x441, mate=130), Sam(130, "50M", flag=0x81, mate=100)
    assert describe(*mates) == [("duplicate", 100, 150), ("used", 130, 180)]


def test_reads_without_a_name_have_no_mate(describe):
    mates = Sam(100, "50M", name="*", flag=0x41, mate=130), Sam(130, "50M", name="*", flag=0x81, mate=100)
    assert describe(*mates) == [("used", 100, 150), ("used", 130, 180)]


def test_a_mate_that_ends_before_the_interval_changes_nothing(describe):
    mates = Sam(100, "50M", flag=0x41, mate=130), Sam(130, "50M", flag=0x81, mate=100)
    assert describe(*mates, start=150) == [("used", 130, 180)]


def test_mates_have_one_hash_and_unnamed_reads_one_each(tmp_path):
    reads = (
        Sam(100, "50M", flag=0x41, mate=300),
        Sam(200, "8M", "ACGTACGT", name="*"),
        Sam(200, "8M", "ACGTACGG", name="*"),
        Sam(300, "50M", flag=0x81, mate=100),
    )
    raw = record_bytes(write_bam(tmp_path / "reads.bam", reads, {"c1": 1000}))
    first, one, two, last = RecordScan(0, 0, 1000).describe(raw).name_hash
    assert first == last
    assert len({first, one, two}) == 3


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_mates_are_found_across_pieces(tmp_path, cut):
    mates = Sam(100, "50M", flag=0x41, mate=130), Sam(130, "50M", flag=0x81, mate=100)
    others = Sam(110, "9M", name="a"), Sam(120, "9M", name="b")
    raw = record_bytes(write_bam(tmp_path / "reads.bam", [*mates, *others], {"c1": 1000}))
    bounds = [0]
    while bounds[-1] < raw.size:
        bounds.append(bounds[-1] + 4 + int(raw[bounds[-1] :][:4].view("<i4")[0]))
    scan = RecordScan(0, 0, 1000)
    starts = [*scan.describe(raw[: bounds[cut]]).start, *scan.describe(raw[bounds[cut] :]).start]
    assert starts == [100, 110, 120, 150]


def test_reads_are_counted_by_where_they_start(describe, tmp_path):
    raw = record_bytes(write_bam(tmp_path / "reads.bam", [Sam(95), Sam(100), Sam(109, flag=4), Sam(110)], {"c1": 1000}))
    counts = RecordScan(0, 0, 1000).describe(raw).count_fates(100, 110)
    assert dict(zip(SET_ASIDE, counts.tolist(), strict=True)) == {
        **dict.fromkeys(SET_ASIDE, 0),
        "used": 1,
        "unmapped": 1,
    }
